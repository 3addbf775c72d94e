//! The log of forms.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use doorstep_core::protocol::{FormBytes, Position};
use tokio_postgres::Row;

use super::super::Result;
use super::super::forms::{FormChange, FormLogEntry, FormsCache};
use super::{Tenant, array, get, number, number32, optional, people, row, rows, run};

/// The lock that keeps two writers of the log apart; it has no row to lock before its first entry.
const LOCK: i64 = 0x646f_6f72_666f_726d;

pub(super) async fn head(c: &impl GenericClient, tenant: &[u8]) -> Result<Position> {
    let sql = "SELECT no, chain FROM form_log WHERE tenant = $1 ORDER BY no DESC LIMIT 1";
    row(c, sql, &[&tenant]).await?.map_or(Ok(Position::default()), |r| people::position(&r, 0))
}

pub(super) async fn log(c: &impl GenericClient, tenant: &[u8], cache: &FormsCache) -> Result<Arc<[FormLogEntry]>> {
    let head = head(c, tenant).await?;
    log_at(c, tenant, cache, head).await
}

/// The log, whose head was read in the same snapshot.
pub(super) async fn log_at(
    c: &impl GenericClient,
    tenant: &[u8],
    cache: &FormsCache,
    head: Position,
) -> Result<Arc<[FormLogEntry]>> {
    if let Some(known) = cache.get(head) {
        return Ok(known);
    }
    let sql = "SELECT no, chain, name, version, hash, retired, at_ms, definition, base, difference FROM form_log
        WHERE tenant = $1 ORDER BY no";
    let found = rows(c, sql, &[&tenant]).await?;
    Ok(cache.put(found.iter().map(entry).collect::<Result<_>>()?))
}

fn entry(r: &Row) -> Result<FormLogEntry> {
    let base = optional(r, 8)?;
    let change = FormChange {
        name: get(r, 2)?,
        version: number32(r, 3)?,
        hash: array(r, 4)?,
        retired: get(r, 5)?,
        at_ms: number(r, 6)?,
        definition: get(r, 7)?,
        difference: get::<Option<Vec<u8>>>(r, 9)?.map(|packed| FormBytes { base, packed }),
    };
    Ok(FormLogEntry { position: people::position(r, 0)?, change })
}

pub(super) async fn append(
    c: &impl GenericClient,
    tenant: &Tenant,
    on: Position,
    change: &FormChange,
) -> Result<Option<Position>> {
    let id = tenant.id.as_slice();
    run(c, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    if head(c, id).await? != on {
        return Ok(None);
    }
    let now = Position { seq: on.seq + 1, chain: tenant.links.form(on.chain, change) };
    let (no, chain, hash) = (now.seq.cast_signed(), now.chain.0.as_slice(), change.hash.as_slice());
    let (version, at_ms) = (i64::from(change.version), change.at_ms.cast_signed());
    let base = change.difference.as_ref().and_then(|d| d.base.as_ref()).map(|b| b.as_slice());
    let difference = change.difference.as_ref().map(|d| d.packed.as_slice());
    let definition = change.definition.as_deref();
    let sql =
        "INSERT INTO form_log (tenant, no, chain, name, version, hash, retired, at_ms, definition, base, difference)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values: [super::Param<'_>; 11] =
        [&id, &no, &chain, &change.name, &version, &hash, &change.retired, &at_ms, &definition, &base, &difference];
    run(c, sql, &values).await?;
    Ok(Some(now))
}
