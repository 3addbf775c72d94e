//! Uploads that were refused as a whole.

use deadpool_postgres::GenericClient;
use doorstep_core::id::DeviceId;
use tokio_postgres::Row;

use super::super::refused::surplus;
use super::super::{RefusedLimits, RefusedUpload, RefusedUploadRow, Result, TownshipId};
use super::{array, get, number, number32, other, people, row, rows, run};

pub(super) async fn keep(
    c: &impl GenericClient,
    tenant: &[u8],
    upload: &RefusedUpload<'_>,
    limits: &RefusedLimits,
) -> Result<()> {
    let (township, device) = (upload.township.0.as_slice(), upload.device.0.as_slice());
    let (digest, reason) = (upload.digest.as_slice(), upload.reason);
    let (now_ms, branch, batch) = (upload.received_ms as i64, i64::from(upload.branch), upload.number.cast_signed());
    // taking the number first holds the township's row: of two servers with the same upload one finds the other's
    people::know_township(c, tenant, upload.township).await?;
    let sql = "UPDATE feed SET refused = refused + 1 WHERE tenant = $1 AND township = $2 RETURNING refused";
    let taken = row(c, sql, &[&tenant, &township]).await?.ok_or_else(|| other("the feed is gone"))?;
    let no = number(&taken, 0)?.cast_signed();
    let sql = "UPDATE refused_upload SET last_ms = $5, times = times + 1, branch = $6, number = $7, reason = $8
        WHERE tenant = $1 AND township = $2 AND device = $3 AND digest = $4";
    if run(c, sql, &[&tenant, &township, &device, &digest, &now_ms, &branch, &batch, &reason]).await? > 0 {
        return Ok(());
    }
    let bytes = &upload.bytes[..upload.bytes.len().min(limits.bytes_each)];
    let (size, kept) = (upload.bytes.len() as i64, bytes.len() as i64);
    let sql = "INSERT INTO refused_upload (tenant, township, device, digest, first_ms, last_ms, times, branch, number,
            reason, no, size, kept, bytes)
        VALUES ($1, $2, $3, $4, $5, $5, 1, $6, $7, $8, $9, $10, $11, $12)";
    let values: &[super::Param<'_>] =
        &[&tenant, &township, &device, &digest, &now_ms, &branch, &batch, &reason, &no, &size, &kept, &bytes];
    run(c, sql, values).await?;
    trim(c, tenant, upload, limits).await
}

async fn trim(c: &impl GenericClient, tenant: &[u8], upload: &RefusedUpload<'_>, limits: &RefusedLimits) -> Result<()> {
    let (township, device) = (upload.township.0.as_slice(), upload.device.0.as_slice());
    let sql =
        "SELECT no, kept FROM refused_upload WHERE tenant = $1 AND township = $2 AND device = $3 ORDER BY no DESC";
    let found = rows(c, sql, &[&tenant, &township, &device]).await?;
    let found = found.iter().map(|r| Ok((get(r, 0)?, number(r, 1)?))).collect::<Result<Vec<(i64, u64)>>>()?;
    let surplus = surplus(&found, limits);
    if !surplus.bytes.is_empty() {
        let sql = "UPDATE refused_upload SET kept = 0, bytes = NULL
            WHERE tenant = $1 AND township = $2 AND no = ANY($3)";
        run(c, sql, &[&tenant, &township, &surplus.bytes]).await?;
    }
    if !surplus.rows.is_empty() {
        let sql = "DELETE FROM refused_upload WHERE tenant = $1 AND township = $2 AND no = ANY($3)";
        run(c, sql, &[&tenant, &township, &surplus.rows]).await?;
    }
    Ok(())
}

pub(super) async fn list(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<RefusedUploadRow>> {
    let sql = "SELECT no, device, first_ms, last_ms, times, branch, number, reason, digest, size, kept
        FROM refused_upload WHERE tenant = $1 AND township = $2 AND no < $3 ORDER BY no DESC LIMIT $4";
    let before = before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &before, &i64::from(limit)]).await?;
    let read = |r: &Row| {
        Ok(RefusedUploadRow {
            no: number(r, 0)?,
            device: DeviceId(array(r, 1)?),
            first_ms: number(r, 2)?,
            last_ms: number(r, 3)?,
            times: number(r, 4)?,
            branch: number32(r, 5)?,
            number: number(r, 6)?,
            reason: get(r, 7)?,
            digest: array(r, 8)?,
            size: number(r, 9)?,
            kept: number(r, 10)?,
        })
    };
    found.iter().map(read).collect()
}

pub(super) async fn bytes(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    no: u64,
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes FROM refused_upload WHERE tenant = $1 AND township = $2 AND no = $3";
    match row(c, sql, &[&tenant, &township.0.as_slice(), &no.cast_signed()]).await? {
        Some(found) => get(&found, 0),
        None => Ok(None),
    }
}
