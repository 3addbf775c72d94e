//! Records: whole, and as rows of lists.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::columns::{to_core, to_heads, to_identity};
use super::super::{Projection, RecordFilter, RecordRow, Result, StoredChange, StoredRecord, TownshipId};
use super::{Param, array, get, number, number32, optional, row, rows};

/// A change, from column `first` on: seq, hash, device, received_ms, bytes.
pub(super) fn change(r: &Row, first: usize) -> Result<StoredChange> {
    Ok(StoredChange {
        seq: number(r, first)?,
        hash: ChangeHash(array(r, first + 1)?),
        device: optional(r, first + 2)?.map(DeviceId),
        received_ms: number(r, first + 3)?,
        bytes: get(r, first + 4)?,
    })
}

/// The changes of some records, in the order of the feed.
pub(super) async fn changes(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    wanted: &[RecordId],
) -> Result<HashMap<RecordId, Vec<StoredChange>>> {
    let ids: Vec<&[u8]> = wanted.iter().map(|id| id.0.as_slice()).collect();
    let sql = "SELECT record, seq, hash, device, received_ms, bytes FROM change
        WHERE tenant = $1 AND township = $2 AND record = ANY($3) AND kind = 1 ORDER BY seq";
    let mut found: HashMap<RecordId, Vec<StoredChange>> = HashMap::new();
    for r in rows(c, sql, &[&tenant, &township.0.as_slice(), &ids]).await? {
        found.entry(RecordId(array(&r, 0)?)).or_default().push(change(&r, 1)?);
    }
    Ok(found)
}

const STORED_COLUMNS: &str = "id, type, key, incarnation, area, subject, heads, doubts";

fn stored(r: &Row) -> Result<StoredRecord> {
    Ok(StoredRecord {
        id: RecordId(array(r, 0)?),
        identity: to_identity(get(r, 1)?, get(r, 2)?),
        incarnation: number32(r, 3)?,
        area: AreaId(array(r, 4)?),
        subject: optional(r, 5)?.map(RecordId),
        heads: to_heads(get(r, 6)?),
        doubts: number32(r, 7)?,
        changes: Vec::new(),
    })
}

pub(super) async fn load(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    ids: &[RecordId],
) -> Result<Vec<Option<StoredRecord>>> {
    let wanted: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
    let sql = format!("SELECT {STORED_COLUMNS} FROM record WHERE tenant = $1 AND township = $2 AND id = ANY($3)");
    let mut found = HashMap::new();
    for r in rows(c, &sql, &[&tenant, &township.0.as_slice(), &wanted]).await? {
        let record = stored(&r)?;
        found.insert(record.id, record);
    }
    if !found.is_empty() {
        let known: Vec<RecordId> = found.keys().copied().collect();
        for (id, changes) in changes(c, tenant, township, &known).await? {
            found.entry(id).and_modify(|record| record.changes = changes);
        }
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn full(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    record: RecordId,
) -> Result<Option<StoredRecord>> {
    let sql = format!("SELECT {STORED_COLUMNS} FROM record WHERE tenant = $1 AND township = $2 AND id = $3");
    let found = row(c, &sql, &[&tenant, &township.0.as_slice(), &record.0.as_slice()]).await?;
    let Some(r) = found else { return Ok(None) };
    let mut record = stored(&r)?;
    let changes = changes(c, tenant, township, &[record.id]).await?;
    record.changes = changes.into_values().next().unwrap_or_default();
    Ok(Some(record))
}

const ROW_COLUMNS: &str =
    "born, id, type, area, subject, updated_ms, title, label, status, persons, day, differences, doubts,
    json, search, state, key, steps FROM record";

fn record_row(r: &Row) -> Result<RecordRow> {
    let (id, record_type) = (RecordId(array(r, 1)?), get::<String>(r, 2)?);
    Ok(RecordRow {
        born: number(r, 0)?,
        id,
        core: to_core(id, &record_type, get(r, 16)?),
        record_type,
        area: AreaId(array(r, 3)?),
        subject: optional(r, 4)?.map(RecordId),
        updated_ms: number(r, 5)?,
        projection: Projection {
            title: get(r, 6)?,
            label: get(r, 7)?,
            status: get(r, 8)?,
            persons: number32(r, 9)?,
            day: get(r, 10)?,
            differences: number32(r, 11)?,
            doubts: number32(r, 12)?,
            json: get(r, 13)?,
            search: get(r, 14)?,
            state: get(r, 15)?,
            steps: get(r, 17)?,
        },
    })
}

pub(super) async fn row_of(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    record: RecordId,
) -> Result<Option<RecordRow>> {
    let sql = format!("SELECT {ROW_COLUMNS} WHERE tenant = $1 AND township = $2 AND id = $3");
    row(c, &sql, &[&tenant, &township.0.as_slice(), &record.0.as_slice()]).await?.map(|r| record_row(&r)).transpose()
}

pub(super) async fn list(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    filter: &RecordFilter,
) -> Result<Vec<RecordRow>> {
    let mut sql = format!("SELECT {ROW_COLUMNS} WHERE tenant = $1 AND township = $2 AND born > $3");
    let mut values: Vec<Box<dyn ToSql + Sync>> = vec![
        Box::new(tenant.to_vec()),
        Box::new(township.0.to_vec()),
        Box::new(filter.after.min(i64::MAX as u64) as i64),
    ];
    let mut also = |condition: &str, value: Box<dyn ToSql + Sync>| {
        values.push(value);
        sql.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    if let Some(record_type) = &filter.record_type {
        also(" AND type = ?", Box::new(record_type.clone()));
    }
    if let Some(area) = filter.area {
        also(" AND area = ?", Box::new(area.0.to_vec()));
    }
    if let Some(subject) = filter.subject {
        let named = "SELECT record FROM about WHERE tenant = $1 AND township = $2 AND subject = ?";
        also(&format!(" AND (subject = ? OR id IN ({named}))"), Box::new(subject.0.to_vec()));
    }
    if let Some(status) = &filter.status {
        also(" AND status = ?", Box::new(status.clone()));
    }
    if let Some(search) = &filter.search {
        also(" AND strpos(search, ?) > 0", Box::new(search.clone()));
    }
    if !filter.elsewhere {
        also(" AND area <> ?", Box::new(AreaId::NOWHERE.0.to_vec()));
    }
    if filter.with_differences {
        also(" AND differences > ?", Box::new(0_i64));
    }
    if filter.without_united {
        let united = "SELECT record FROM united WHERE tenant = $1 AND township = ?";
        also(&format!(" AND id NOT IN ({united})"), Box::new(township.0.to_vec()));
    }
    also(" ORDER BY born LIMIT ?", Box::new(i64::from(filter.limit.clamp(1, 1000))));
    let params: Vec<Param<'_>> = values.iter().map(|v| &**v).collect();
    rows(c, &sql, &params).await?.iter().map(record_row).collect()
}
