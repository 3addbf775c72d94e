//! Events in the life of households that wait.

use doorstep_core::clock::Millis;
use doorstep_core::id::{RecordId, UserId};
use rusqlite::{Connection, Row, params};

use super::super::events::{EventStorage, NewlyFinished, UNTRIED, WaitingEvent};
use super::super::{Result, TownshipId};
use super::{SqliteStorage, people};

const COLUMNS: &str = "event, author, reason, waits_for, since_ms, filed FROM waiting_event";

impl EventStorage for SqliteStorage {
    fn waiting_events(&self, township: TownshipId, after: Option<RecordId>, limit: u32) -> Result<Vec<WaitingEvent>> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let sql = format!("SELECT {COLUMNS} WHERE township_no = ? AND event > ? ORDER BY event LIMIT ?");
            let after = after.map_or(Vec::new(), |id| id.0.to_vec());
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params![no, after, limit], waiting)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn events_waiting_for(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<WaitingEvent>> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let any = "SELECT EXISTS (SELECT 1 FROM waiting_event WHERE township_no = ?)";
            if !c.prepare_cached(any)?.query_row([no], |r| r.get::<_, bool>(0))? {
                return Ok(Vec::new());
            }
            let sql = format!(
                "SELECT {COLUMNS} WHERE township_no = ?1 AND event = ?2
                 UNION ALL SELECT {COLUMNS} WHERE township_no = ?1 AND waits_for = ?2"
            );
            let mut statement = c.prepare_cached(&sql)?;
            let mut found = Vec::new();
            for record in records {
                for row in statement.query_map(params![no, record.0], waiting)? {
                    found.push(row?);
                }
            }
            found.sort_unstable_by_key(|w| (w.since_ms, w.event));
            found.dedup();
            Ok(found)
        })
    }

    fn keep_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()> {
        self.write(|tx| {
            let Some(no) = people::township_no(tx, township)? else { return Ok(()) };
            tx.prepare_cached(
                "UPDATE waiting_event SET reason = ?, waits_for = ? WHERE township_no = ? AND event = ? AND filed = ?",
            )?
            .execute(params![
                waiting.reason,
                waiting.waits_for.map(|id| id.0),
                no,
                waiting.event.0,
                waiting.filed.cast_signed()
            ])?;
            Ok(())
        })
    }

    fn end_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()> {
        self.write(|tx| {
            let Some(no) = people::township_no(tx, township)? else { return Ok(()) };
            tx.prepare_cached("DELETE FROM waiting_event WHERE township_no = ? AND event = ? AND filed = ?")?
                .execute(params![no, waiting.event.0, waiting.filed.cast_signed()])?;
            Ok(())
        })
    }
}

fn waiting(r: &Row<'_>) -> rusqlite::Result<WaitingEvent> {
    Ok(WaitingEvent {
        event: RecordId(r.get(0)?),
        author: UserId(r.get(1)?),
        reason: r.get(2)?,
        waits_for: r.get::<_, Option<_>>(3)?.map(RecordId),
        since_ms: r.get::<_, i64>(4)?.cast_unsigned(),
        filed: r.get::<_, i64>(5)?.cast_unsigned(),
    })
}

/// Files events that a push brought; `seq` is where the feed stands after it.
pub(super) fn file(
    c: &Connection,
    township_no: i64,
    events: &[NewlyFinished],
    (seq, now_ms): (u64, Millis),
) -> Result<()> {
    for new in events {
        c.prepare_cached(
            "INSERT INTO waiting_event (township_no, event, author, reason, waits_for, since_ms, filed)
             VALUES (?, ?, ?, ?, NULL, ?, ?) ON CONFLICT (township_no, event) DO UPDATE SET author = excluded.author,
             reason = excluded.reason, waits_for = NULL, filed = excluded.filed",
        )?
        .execute(params![
            township_no,
            new.event.0,
            new.author.0,
            UNTRIED,
            now_ms.cast_signed(),
            seq.cast_signed()
        ])?;
    }
    Ok(())
}
