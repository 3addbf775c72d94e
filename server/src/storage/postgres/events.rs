//! Events in the life of households that wait.

use deadpool_postgres::GenericClient;
use doorstep_core::id::{RecordId, UserId};
use tokio_postgres::Row;

use super::super::events::{EventStorage, UNTRIED, WaitingEvent};
use super::super::{PreparedPush, Result, TownshipId};
use super::{PostgresStorage, array, get, number, optional, rows, run};

const COLUMNS: &str = "event, author, reason, waits_for, since_ms, filed FROM waiting_event";

impl EventStorage for PostgresStorage {
    fn waiting_events(&self, township: TownshipId, after: Option<RecordId>, limit: u32) -> Result<Vec<WaitingEvent>> {
        self.ask(async |c, t| {
            let sql =
                format!("SELECT {COLUMNS} WHERE tenant = $1 AND township = $2 AND event > $3 ORDER BY event LIMIT $4");
            let after = after.map_or(Vec::new(), |id| id.0.to_vec());
            let found = rows(c, &sql, &[&t, &township.0.as_slice(), &after, &i64::from(limit)]).await?;
            found.iter().map(waiting).collect()
        })
    }

    fn events_waiting_for(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<WaitingEvent>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT {COLUMNS} WHERE tenant = $1 AND township = $2 AND (event = ANY($3) OR waits_for = ANY($3))
                 ORDER BY since_ms, event"
            );
            let ids: Vec<&[u8]> = records.iter().map(|id| id.0.as_slice()).collect();
            let found = rows(c, &sql, &[&t, &township.0.as_slice(), &ids]).await?;
            found.iter().map(waiting).collect()
        })
    }

    fn keep_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()> {
        self.write(async |tx, tenant| {
            let sql = "UPDATE waiting_event SET reason = $5, waits_for = $6
                WHERE tenant = $1 AND township = $2 AND event = $3 AND filed = $4";
            let waits_for = waiting.waits_for.as_ref().map(|id| id.0.as_slice());
            let (town, event, filed) = (township.0.as_slice(), waiting.event.0.as_slice(), waiting.filed.cast_signed());
            run(tx, sql, &[&tenant.id.as_slice(), &town, &event, &filed, &waiting.reason, &waits_for]).await?;
            Ok(())
        })
    }

    fn end_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()> {
        self.write(async |tx, tenant| {
            let sql = "DELETE FROM waiting_event WHERE tenant = $1 AND township = $2 AND event = $3 AND filed = $4";
            let (town, event, filed) = (township.0.as_slice(), waiting.event.0.as_slice(), waiting.filed.cast_signed());
            run(tx, sql, &[&tenant.id.as_slice(), &town, &event, &filed]).await?;
            Ok(())
        })
    }
}

fn waiting(r: &Row) -> Result<WaitingEvent> {
    Ok(WaitingEvent {
        event: RecordId(array(r, 0)?),
        author: UserId(array(r, 1)?),
        reason: get(r, 2)?,
        waits_for: optional(r, 3)?.map(RecordId),
        since_ms: number(r, 4)?,
        filed: number(r, 5)?,
    })
}

/// Files events that a push brought. The feed's row is written by then.
pub(super) async fn file(c: &impl GenericClient, tenant: &[u8], push: &PreparedPush) -> Result<()> {
    let (town, now_ms) = (push.township.0.as_slice(), push.received_ms.cast_signed());
    for new in &push.events {
        let sql = "INSERT INTO waiting_event (tenant, township, event, author, reason, waits_for, since_ms, filed)
            SELECT $1, $2, $3, $4, $5, NULL, $6, seq FROM feed WHERE tenant = $1 AND township = $2
            ON CONFLICT (tenant, township, event) DO UPDATE SET author = excluded.author, reason = excluded.reason,
            waits_for = NULL, filed = excluded.filed";
        let (event, author) = (new.event.0.as_slice(), new.author.0.as_slice());
        run(c, sql, &[&tenant, &town, &event, &author, &UNTRIED, &now_ms]).await?;
    }
    Ok(())
}
