//! Changes kept aside: those that wait, and those that were refused.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::columns::{from_key, to_identity};
use super::super::{HeldChange, Result, TownshipId};
use super::people;

pub(super) const COLUMNS: &str =
    "device, received_ms, record, hash, type, key, incarnation, area, subject, reason, bytes, no";

pub(super) fn held(r: &Row<'_>) -> rusqlite::Result<HeldChange> {
    Ok(HeldChange {
        record: RecordId(r.get(2)?),
        hash: ChangeHash(r.get(3)?),
        identity: to_identity(r.get(4)?, r.get_ref(5)?.as_blob()?),
        incarnation: r.get(6)?,
        area: AreaId(r.get(7)?),
        subject: r.get::<_, Option<_>>(8)?.map(RecordId),
        reason: r.get(9)?,
        bytes: r.get(10)?,
    })
}

pub(super) fn waiting(
    c: &Connection,
    township: TownshipId,
    records: &[RecordId],
) -> Result<Vec<(DeviceId, HeldChange)>> {
    let any: bool = c.prepare_cached("SELECT EXISTS (SELECT 1 FROM waiting)")?.query_row([], |r| r.get(0))?;
    let Some(township_no) = people::township_no(c, township)?.filter(|_| any) else { return Ok(Vec::new()) };
    let mut statement =
        c.prepare_cached(&format!("SELECT {COLUMNS} FROM waiting WHERE record = ? AND township_no = ? ORDER BY no"))?;
    let mut found = Vec::new();
    for record in records {
        let rows = statement.query_map(params![record.0, township_no], |r| Ok((DeviceId(r.get(0)?), held(r)?)))?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// Changes of a device on a shelf, and their bytes.
pub(super) fn held_of(c: &Connection, shelf: &Shelf, device: DeviceId) -> Result<(u64, u64)> {
    let which = match shelf {
        Shelf::Waiting => "waiting WHERE device = ?",
        Shelf::Quarantine => "quarantine WHERE device = ? AND decision = 0",
    };
    let mut statement = c.prepare_cached(&format!("SELECT count(*), coalesce(sum(length(bytes)), 0) FROM {which}"))?;
    Ok(statement
        .query_row([device.0], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(1)?.cast_unsigned())))?)
}

pub(super) fn quarantined(
    c: &Connection,
    township: TownshipId,
    record: RecordId,
    hashes: &[ChangeHash],
) -> Result<Vec<ChangeHash>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement =
        c.prepare_cached("SELECT 1 FROM quarantine WHERE record = ? AND hash = ? AND township_no = ? LIMIT 1")?;
    let mut found = Vec::new();
    for hash in hashes {
        if statement.query_row(params![record.0, hash.0, township_no], |_| Ok(())).optional()?.is_some() {
            found.push(*hash);
        }
    }
    Ok(found)
}

/// Where a held change goes.
pub(super) enum Shelf {
    Waiting,
    Quarantine,
}

pub(super) fn insert(
    c: &Connection,
    shelf: &Shelf,
    (township_no, device, received_ms): (i64, DeviceId, Millis),
    change: &HeldChange,
) -> Result<()> {
    // both stay as they first came: whose a change is doesn't change with who brings it once more
    let start = match shelf {
        Shelf::Waiting => "INSERT OR IGNORE INTO waiting",
        Shelf::Quarantine => "INSERT OR IGNORE INTO quarantine",
    };
    c.prepare_cached(&format!(
        "{start} (township_no, device, received_ms, record, hash, type, key, incarnation, area, subject, reason, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    ))?
    .execute(params![
        township_no,
        device.0,
        received_ms as i64,
        change.record.0,
        change.hash.0,
        change.identity.record_type,
        from_key(&change.identity),
        change.incarnation,
        change.area.0,
        change.subject.map(|s| s.0),
        change.reason,
        change.bytes,
    ])?;
    Ok(())
}

pub(super) fn settle(c: &Connection, township_no: i64, record: RecordId, hash: &ChangeHash) -> Result<()> {
    c.prepare_cached("DELETE FROM waiting WHERE record = ? AND hash = ? AND township_no = ?")?.execute(params![
        record.0,
        hash.0,
        township_no
    ])?;
    Ok(())
}
