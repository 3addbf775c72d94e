//! Uploads that were refused as a whole.

use doorstep_core::id::DeviceId;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::refused::surplus;
use super::super::{RefusedLimits, RefusedUpload, RefusedUploadRow, Result, TownshipId};
use super::people;

pub(super) fn keep(c: &Connection, upload: &RefusedUpload<'_>, limits: &RefusedLimits) -> Result<()> {
    let (now_ms, number) = (upload.received_ms as i64, upload.number.cast_signed());
    let known = c
        .prepare_cached(
            "UPDATE refused_upload SET last_ms = ?, times = times + 1, branch = ?, number = ?, reason = ?
             WHERE device = ? AND digest = ?",
        )?
        .execute(params![now_ms, upload.branch, number, upload.reason, upload.device.0, upload.digest])?;
    if known > 0 {
        return Ok(());
    }
    let bytes = &upload.bytes[..upload.bytes.len().min(limits.bytes_each)];
    c.prepare_cached(
        "INSERT INTO refused_upload (township_no, device, first_ms, last_ms, times, branch, number, reason, digest, size,
            kept, bytes)
         VALUES (?1, ?2, ?3, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        people::township_no_or_new(c, upload.township)?,
        upload.device.0,
        now_ms,
        upload.branch,
        number,
        upload.reason,
        upload.digest,
        upload.bytes.len() as i64,
        bytes.len() as i64,
        bytes,
    ])?;
    trim(c, upload.device, limits)
}

fn trim(c: &Connection, device: DeviceId, limits: &RefusedLimits) -> Result<()> {
    let rows: Vec<(i64, u64)> = {
        let mut statement =
            c.prepare_cached("SELECT no, kept FROM refused_upload WHERE device = ? ORDER BY no DESC")?;
        let rows = statement.query_map([device.0], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.cast_unsigned())))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let surplus = surplus(&rows, limits);
    for no in surplus.bytes {
        c.prepare_cached("UPDATE refused_upload SET kept = 0, bytes = NULL WHERE no = ?")?.execute([no])?;
    }
    for no in surplus.rows {
        c.prepare_cached("DELETE FROM refused_upload WHERE no = ?")?.execute([no])?;
    }
    Ok(())
}

pub(super) fn list(
    c: &Connection,
    township: TownshipId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<RefusedUploadRow>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT no, device, first_ms, last_ms, times, branch, number, reason, digest, size, kept FROM refused_upload
         WHERE township_no = ? AND no < ? ORDER BY no DESC LIMIT ?",
    )?;
    let before = before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
    let rows = statement.query_map(params![township_no, before, limit], |r| {
        let number = |at| -> rusqlite::Result<u64> { Ok(r.get::<_, i64>(at)?.cast_unsigned()) };
        Ok(RefusedUploadRow {
            no: number(0)?,
            device: DeviceId(r.get(1)?),
            first_ms: number(2)?,
            last_ms: number(3)?,
            times: number(4)?,
            branch: r.get(5)?,
            number: number(6)?,
            reason: r.get(7)?,
            digest: r.get(8)?,
            size: number(9)?,
            kept: number(10)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn bytes(c: &Connection, township: TownshipId, no: u64) -> Result<Option<Vec<u8>>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(None) };
    let mut statement = c.prepare_cached("SELECT bytes FROM refused_upload WHERE no = ? AND township_no = ?")?;
    let found = statement.query_row(params![no.cast_signed(), township_no], |r| r.get::<_, Option<Vec<u8>>>(0));
    Ok(found.optional()?.flatten())
}
