//! Staged uploads, and the batches that were taken.

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::columns::{from_outcomes, to_outcomes};
use super::super::{BatchRow, BranchState, Result};

pub(super) fn stage(c: &Connection, device: DeviceId, digest: [u8; 32], bytes: &[u8], now_ms: Millis) -> Result<()> {
    c.prepare_cached("INSERT OR REPLACE INTO upload (device, digest, staged_ms, bytes) VALUES (?, ?, ?, ?)")?
        .execute(params![device.0, digest, now_ms as i64, bytes])?;
    Ok(())
}

pub(super) fn staged(c: &Connection, device: DeviceId, digest: [u8; 32]) -> Result<Option<Vec<u8>>> {
    let mut statement = c.prepare_cached("SELECT bytes FROM upload WHERE device = ? AND digest = ?")?;
    Ok(statement.query_row(params![device.0, digest], |r| r.get(0)).optional()?)
}

pub(super) fn drop_one(c: &Connection, device: DeviceId) -> Result<()> {
    c.prepare_cached("DELETE FROM upload WHERE device = ?")?.execute([device.0])?;
    Ok(())
}

pub(super) fn drop_before(c: &Connection, before_ms: Millis) -> Result<u64> {
    Ok(c.execute("DELETE FROM upload WHERE staged_ms < ?", [before_ms as i64])? as u64)
}

pub(super) fn branch(c: &Connection, device: DeviceId, branch: u32) -> Result<BranchState> {
    let mut statement = c.prepare_cached(
        "SELECT number, hash FROM batch WHERE device = ? AND branch = ? ORDER BY number DESC LIMIT 1",
    )?;
    let last = statement
        .query_row(params![device.0, branch], |r| {
            Ok(BranchState { last: r.get::<_, i64>(0)?.cast_unsigned(), last_hash: r.get(1)? })
        })
        .optional()?;
    Ok(last.unwrap_or_default())
}

pub(super) fn batch(c: &Connection, device: DeviceId, branch: u32, number: u64) -> Result<Option<BatchRow>> {
    let mut statement = c.prepare_cached(
        "SELECT hash, digest, signature, signed, manifest, outcomes FROM batch
         WHERE device = ? AND branch = ? AND number = ?",
    )?;
    let mut rows = statement.query(params![device.0, branch, number.cast_signed()])?;
    let Some(r) = rows.next()? else { return Ok(None) };
    Ok(Some(BatchRow {
        branch,
        number,
        hash: r.get(0)?,
        digest: r.get(1)?,
        signature: r.get(2)?,
        signed: r.get(3)?,
        manifest: r.get(4)?,
        outcomes: to_outcomes(r.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?)?,
    }))
}

/// Stores a batch; false when its number isn't the next one of its branch.
pub(super) fn insert_batch(c: &Connection, device: DeviceId, row: &BatchRow, received_ms: Millis) -> Result<bool> {
    if branch(c, device, row.branch)?.last + 1 != row.number {
        return Ok(false);
    }
    c.prepare_cached(
        "INSERT INTO batch (device, branch, number, hash, digest, signature, signed, manifest, outcomes, received_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        device.0,
        row.branch,
        row.number.cast_signed(),
        row.hash,
        row.digest,
        row.signature,
        row.signed,
        row.manifest,
        from_outcomes(&row.outcomes),
        received_ms as i64,
    ])?;
    Ok(true)
}
