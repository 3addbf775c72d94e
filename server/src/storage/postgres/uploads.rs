//! Staged uploads, and the batches that were taken.

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;

use super::super::columns::to_outcomes;
use super::super::{BatchRow, BranchState, Result};
use super::{array, get, number, row, run};

pub(super) async fn stage(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    digest: [u8; 32],
    bytes: &[u8],
    now_ms: Millis,
) -> Result<()> {
    let sql = "INSERT INTO upload (tenant, device, digest, staged_ms, bytes) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, device) DO UPDATE
        SET digest = excluded.digest, staged_ms = excluded.staged_ms, bytes = excluded.bytes";
    run(c, sql, &[&tenant, &device.0.as_slice(), &digest.as_slice(), &(now_ms as i64), &bytes]).await?;
    Ok(())
}

pub(super) async fn staged(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    digest: [u8; 32],
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes FROM upload WHERE tenant = $1 AND device = $2 AND digest = $3";
    let found = row(c, sql, &[&tenant, &device.0.as_slice(), &digest.as_slice()]).await?;
    found.map(|r| get(&r, 0)).transpose()
}

pub(super) async fn drop_one(c: &impl GenericClient, tenant: &[u8], device: DeviceId) -> Result<()> {
    run(c, "DELETE FROM upload WHERE tenant = $1 AND device = $2", &[&tenant, &device.0.as_slice()]).await?;
    Ok(())
}

pub(super) async fn drop_before(c: &impl GenericClient, tenant: &[u8], before_ms: Millis) -> Result<u64> {
    run(c, "DELETE FROM upload WHERE tenant = $1 AND staged_ms < $2", &[&tenant, &(before_ms as i64)]).await
}

pub(super) async fn branch(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    branch: u32,
) -> Result<BranchState> {
    let sql = "SELECT number, hash FROM batch WHERE tenant = $1 AND device = $2 AND branch = $3
        ORDER BY number DESC LIMIT 1";
    match row(c, sql, &[&tenant, &device.0.as_slice(), &i64::from(branch)]).await? {
        Some(r) => Ok(BranchState { last: number(&r, 0)?, last_hash: array(&r, 1)? }),
        None => Ok(BranchState::default()),
    }
}

pub(super) async fn batch(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    branch: u32,
    number: u64,
) -> Result<Option<BatchRow>> {
    let sql = "SELECT hash, digest, signature, signed, manifest, outcomes FROM batch
        WHERE tenant = $1 AND device = $2 AND branch = $3 AND number = $4";
    let found = row(c, sql, &[&tenant, &device.0.as_slice(), &i64::from(branch), &number.cast_signed()]).await?;
    let Some(r) = found else { return Ok(None) };
    Ok(Some(BatchRow {
        branch,
        number,
        hash: array(&r, 0)?,
        digest: array(&r, 1)?,
        signature: array(&r, 2)?,
        signed: get(&r, 3)?,
        manifest: get(&r, 4)?,
        outcomes: to_outcomes(get(&r, 5)?)?,
    }))
}
