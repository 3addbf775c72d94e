//! Records: whole, and as rows of lists.

use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::super::columns::{to_core, to_heads, to_identity};
use super::super::{Projection, RecordFilter, RecordRow, Result, StoredChange, StoredRecord, TownshipId};
use super::{pack, people, seq_of};

pub(super) fn change(r: &Row<'_>) -> rusqlite::Result<StoredChange> {
    Ok(StoredChange {
        seq: seq_of(r.get(0)?),
        hash: ChangeHash(r.get(1)?),
        device: r.get::<_, Option<_>>(2)?.map(DeviceId),
        received_ms: r.get::<_, i64>(3)?.cast_unsigned(),
        bytes: r.get(4)?,
    })
}

/// A record's changes, in the order of the feed.
pub(super) fn changes(c: &Connection, record_no: i64) -> Result<Vec<StoredChange>> {
    let mut statement = c.prepare_cached(
        "SELECT no, hash, device, received_ms, bytes FROM change WHERE record_no = ? AND kind = 1 ORDER BY no",
    )?;
    let rows = statement.query_map([record_no], change)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const STORED_COLUMNS: &str = "no, id, type, key, incarnation, area, subject, heads, doubts";

fn stored(r: &Row<'_>) -> rusqlite::Result<(i64, StoredRecord)> {
    let record = StoredRecord {
        id: RecordId(r.get(1)?),
        identity: to_identity(r.get(2)?, r.get_ref(3)?.as_blob()?),
        incarnation: r.get(4)?,
        area: AreaId(r.get(5)?),
        subject: r.get::<_, Option<_>>(6)?.map(RecordId),
        heads: to_heads(r.get_ref(7)?.as_blob()?),
        doubts: r.get(8)?,
        changes: Vec::new(),
    };
    Ok((r.get(0)?, record))
}

pub(super) fn load(c: &Connection, township: TownshipId, ids: &[RecordId]) -> Result<Vec<Option<StoredRecord>>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(vec![None; ids.len()]) };
    let mut find =
        c.prepare_cached(&format!("SELECT {STORED_COLUMNS} FROM record WHERE id = ? AND township_no = ?"))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some((no, mut record)) = find.query_row(params![id.0, township_no], stored).optional()? else {
            found.push(None);
            continue;
        };
        record.changes = changes(c, no)?;
        found.push(Some(record));
    }
    Ok(found)
}

pub(super) fn full(c: &Connection, township: TownshipId, record: RecordId) -> Result<Option<StoredRecord>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(None) };
    let mut statement =
        c.prepare_cached(&format!("SELECT {STORED_COLUMNS} FROM record WHERE id = ? AND township_no = ?"))?;
    let found = statement.query_row(params![record.0, township_no], stored).optional()?;
    let Some((no, mut record)) = found else { return Ok(None) };
    record.changes = changes(c, no)?;
    Ok(Some(record))
}

const ROW_COLUMNS: &str =
    "r.no, r.id, r.type, r.area, r.subject, r.updated_ms, r.title, r.label, r.status, r.persons, r.day,
    r.differences, r.doubts, t.json, t.search, r.state, r.key, r.steps FROM record r JOIN record_text t ON t.record_no = r.no";

fn record_row(r: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let (id, record_type) = (RecordId(r.get(1)?), r.get::<_, String>(2)?);
    Ok(RecordRow {
        born: seq_of(r.get(0)?),
        id,
        core: to_core(id, &record_type, r.get_ref(16)?.as_blob()?),
        record_type,
        area: AreaId(r.get(3)?),
        subject: r.get::<_, Option<_>>(4)?.map(RecordId),
        updated_ms: r.get::<_, i64>(5)?.cast_unsigned(),
        projection: Projection {
            title: r.get(6)?,
            label: r.get(7)?,
            status: r.get(8)?,
            persons: r.get(9)?,
            day: r.get(10)?,
            differences: r.get(11)?,
            doubts: r.get(12)?,
            json: r.get(13)?,
            search: r.get(14)?,
            state: r.get(15)?,
            steps: r.get(17)?,
        },
    })
}

pub(super) fn row(c: &Connection, township: TownshipId, record: RecordId) -> Result<Option<RecordRow>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(None) };
    let mut statement = c.prepare_cached(&format!("SELECT {ROW_COLUMNS} WHERE r.id = ? AND r.township_no = ?"))?;
    Ok(statement.query_row(params![record.0, township_no], record_row).optional()?)
}

pub(super) fn list(c: &Connection, township: TownshipId, filter: &RecordFilter) -> Result<Vec<RecordRow>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut sql = format!("SELECT {ROW_COLUMNS} WHERE r.no > ? AND r.no < ?");
    let mut values: Vec<Value> = vec![pack(township_no, filter.after).into(), pack(township_no + 1, 0).into()];
    let mut also = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(record_type) = &filter.record_type {
        also(" AND r.type = ?", record_type.clone().into());
    }
    if let Some(area) = filter.area {
        also(" AND r.area = ?", area.0.to_vec().into());
    }
    if let Some(subject) = filter.subject {
        also(" AND (r.subject = ?", subject.0.to_vec().into());
        also(" OR r.no IN (SELECT record_no FROM about WHERE subject = ?))", subject.0.to_vec().into());
    }
    if let Some(status) = &filter.status {
        also(" AND r.status = ?", status.clone().into());
    }
    if let Some(search) = &filter.search {
        also(" AND instr(t.search, ?) > 0", search.clone().into());
    }
    if !filter.elsewhere {
        also(" AND r.area <> ?", AreaId::NOWHERE.0.to_vec().into());
    }
    if filter.with_differences {
        also(" AND r.differences > ?", 0.into());
    }
    if filter.without_united {
        let united = "SELECT record FROM united WHERE township_no = ?";
        also(&format!(" AND r.id NOT IN ({united})"), township_no.into());
    }
    also(" ORDER BY r.no LIMIT ?", filter.limit.clamp(1, 1000).into());
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), record_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
