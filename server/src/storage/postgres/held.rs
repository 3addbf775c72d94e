//! Changes kept aside: those that wait, and those that were refused.

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use tokio_postgres::Row;

use super::super::columns::to_identity;
use super::super::{HeldChange, Result, TownshipId};
use super::{array, get, number, number32, optional, row, rows};

pub(super) const COLUMNS: &str =
    "device, received_ms, record, hash, type, key, incarnation, area, subject, reason, bytes";

pub(super) fn held(r: &Row) -> Result<HeldChange> {
    Ok(HeldChange {
        record: RecordId(array(r, 2)?),
        hash: ChangeHash(array(r, 3)?),
        identity: to_identity(get(r, 4)?, get(r, 5)?),
        incarnation: number32(r, 6)?,
        area: AreaId(array(r, 7)?),
        subject: optional(r, 8)?.map(RecordId),
        reason: get(r, 9)?,
        bytes: get(r, 10)?,
    })
}

pub(super) async fn waiting(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    records: &[RecordId],
) -> Result<Vec<(DeviceId, HeldChange)>> {
    let ids: Vec<&[u8]> = records.iter().map(|r| r.0.as_slice()).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM waiting WHERE tenant = $1 AND township = $2 AND record = ANY($3) ORDER BY received_ms, hash"
    );
    let found = rows(c, &sql, &[&tenant, &township.0.as_slice(), &ids]).await?;
    found.iter().map(|r| Ok((DeviceId(array(r, 0)?), held(r)?))).collect()
}

/// Changes of a device in a table of held changes (`which` may go on with a condition), and their bytes.
pub(super) async fn held_of(
    c: &impl GenericClient,
    tenant: &[u8],
    which: (&'static str, &'static str),
    device: DeviceId,
) -> Result<(u64, u64)> {
    let (table, further) = which;
    let sql = format!(
        "SELECT count(*), coalesce(sum(length(bytes)), 0)::BIGINT FROM {table}
         WHERE tenant = $1 AND device = $2 {further}"
    );
    match row(c, &sql, &[&tenant, &device.0.as_slice()]).await? {
        Some(r) => Ok((number(&r, 0)?, number(&r, 1)?)),
        None => Ok((0, 0)),
    }
}

pub(super) async fn quarantined(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    record: RecordId,
    hashes: &[ChangeHash],
) -> Result<Vec<ChangeHash>> {
    let wanted: Vec<&[u8]> = hashes.iter().map(|h| h.0.as_slice()).collect();
    let sql =
        "SELECT DISTINCT hash FROM quarantine WHERE tenant = $1 AND township = $2 AND record = $3 AND hash = ANY($4)";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &record.0.as_slice(), &wanted]).await?;
    let found = found.iter().map(|r| Ok(ChangeHash(array(r, 0)?))).collect::<Result<Vec<_>>>()?;
    Ok(hashes.iter().filter(|h| found.contains(h)).copied().collect())
}
