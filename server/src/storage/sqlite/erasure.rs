//! Records rooted anew, and files without remains.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash};
use doorstep_core::protocol::Position;
use rusqlite::{OptionalExtension, Transaction, params};

use super::super::chain::{KIND_CHANGE, KIND_ERASED, Links};
use super::super::columns::from_heads;
use super::super::erasure::ErasureStorage;
use super::super::{AuditEntry, Committed, DoubtCheck, PreparedRecord, Result, StorageError, TownshipId};
use super::commit::{Feed, load_feed, store_feed};
use super::figures::{self, Touched};
use super::{SqliteStorage, about, acts, doubts, pack};

/// Readers hold on to the log: it can't be emptied yet.
#[derive(Debug, thiserror::Error)]
#[error("the write-ahead log is in use")]
struct LogInUse;

/// A record isn't as it was read: undoes the transaction.
#[derive(Debug, thiserror::Error)]
#[error("a record moved")]
struct Moved;

impl ErasureStorage for SqliteStorage {
    fn reroot(
        &self,
        township: TownshipId,
        records: &[PreparedRecord],
        entries: &[AuditEntry],
        now_ms: Millis,
    ) -> Result<Committed> {
        let links = self.links()?;
        let done = self.write(|tx| {
            let done = reroot(tx, links, township, records, now_ms)?;
            acts::apply(tx, links, &[], entries)?;
            Ok(done)
        });
        match done {
            Err(StorageError::Other(error)) if error.is::<Moved>() => Ok(Committed::Moved),
            done => done,
        }
    }

    fn purge(&self) -> Result<()> {
        let writer = self.writer();
        writer.execute_batch("VACUUM")?;
        let busy: bool = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        if busy { Err(StorageError::Busy(Box::new(LogInUse))) } else { Ok(()) }
    }
}

fn reroot(
    tx: &Transaction<'_>,
    links: &Links,
    township: TownshipId,
    records: &[PreparedRecord],
    now_ms: Millis,
) -> Result<Committed> {
    let mut feed = load_feed(tx, township)?;
    let mut touched = Touched::new();
    for record in records {
        let (no, area) = erase_old(tx, &mut feed, record)?.ok_or_else(|| StorageError::Other(Box::new(Moved)))?;
        write_new(tx, links, &mut feed, (no, area, record), now_ms)?;
        touched.insert(no);
    }
    tx.execute("UPDATE refused_upload SET kept = 0, bytes = NULL WHERE township_no = ?", [feed.no])?;
    tx.execute("DELETE FROM upload WHERE device IN (SELECT id FROM device WHERE township_no = ?)", [feed.no])?;
    store_feed(tx, &feed)?;
    figures::settle(tx, &touched)?;
    Ok(Committed::Done(feed.position))
}

/// Removes a record's old content; gives its number and where it lies, `None` when it isn't as it was read.
fn erase_old(tx: &Transaction<'_>, feed: &mut Feed, record: &PreparedRecord) -> Result<Option<(i64, AreaId)>> {
    let heads = record.base_heads.as_deref().unwrap_or_default();
    let found = tx
        .prepare_cached(
            "SELECT no, area FROM record WHERE id = ? AND township_no = ? AND heads = ? AND incarnation + 1 = ?",
        )?
        .query_row(params![record.id.0, feed.no, from_heads(heads), record.incarnation], |r| {
            Ok((r.get(0)?, AreaId(r.get(1)?)))
        })
        .optional()?;
    let Some((no, area)) = found else { return Ok(None) };
    let mut old = tx.prepare_cached("SELECT hash FROM change WHERE record_no = ? AND kind = ?")?;
    for hash in old.query_map(params![no, KIND_CHANGE], |r| Ok(ChangeHash(r.get(0)?)))? {
        feed.discount(area, &hash?);
    }
    tx.prepare_cached(
        "UPDATE change SET kind = ?, device = NULL, bytes = zeroblob(0) WHERE record_no = ? AND kind = ?",
    )?
    .execute(params![KIND_ERASED, no, KIND_CHANGE])?;
    for table in ["waiting", "quarantine"] {
        let sql = format!("DELETE FROM {table} WHERE (record = ?1 OR subject = ?1) AND township_no = ?2");
        tx.prepare_cached(&sql)?.execute(params![record.id.0, feed.no])?;
    }
    for table in ["doubt", "about"] {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE record_no = ?"))?.execute([no])?;
    }
    Ok(Some((no, area)))
}

fn write_new(
    tx: &Transaction<'_>,
    links: &Links,
    feed: &mut Feed,
    (no, area, record): (i64, AreaId, &PreparedRecord),
    now_ms: Millis,
) -> Result<()> {
    let bytes: usize = record.changes.iter().map(|c| c.bytes.len()).sum();
    for change in &record.changes {
        let chain = links.change(feed.position.chain, record.id, record.incarnation, &change.hash);
        feed.position = Position { seq: feed.position.seq + 1, chain };
        feed.count(area, &change.hash);
        tx.prepare_cached(
            "INSERT INTO change (no, kind, record_no, chain, hash, device, received_ms, bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            pack(feed.no, feed.position.seq),
            KIND_CHANGE,
            no,
            chain.0,
            change.hash.0,
            change.device.map(|d| d.0),
            now_ms.cast_signed(),
            change.bytes,
        ])?;
    }
    let (p, last) = (&record.projection, pack(feed.no, feed.position.seq));
    tx.prepare_cached(
        "UPDATE record SET incarnation = ?, heads = ?, changes = ?, bytes = ?, updated_ms = ?, title = ?, label = ?,
         status = ?, persons = ?, day = ?, state = ?, differences = ?, doubts = 0, last = ?, steps = ? WHERE no = ?",
    )?
    .execute(params![
        record.incarnation,
        from_heads(&record.heads),
        record.changes.len() as i64,
        bytes as i64,
        now_ms.cast_signed(),
        p.title,
        p.label,
        p.status,
        p.persons,
        p.day,
        p.state,
        p.differences,
        last,
        p.steps,
        no,
    ])?;
    tx.prepare_cached("INSERT OR REPLACE INTO record_text (record_no, json, search) VALUES (?, ?, ?)")?
        .execute(params![no, p.json, p.search])?;
    about::file(tx, no, p)?;
    let check = DoubtCheck { before: 0, ..record.check.clone() };
    doubts::file(tx, feed.no, no, &check, (last, now_ms))
}
