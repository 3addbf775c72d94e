//! Doubtful answers.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use doorstep_core::record::FormRef;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::columns::{from_heads, to_core, to_heads};
use super::super::doubts::{self, DoubtCheck, DoubtFilter, DoubtRow, DoubtTotal, NewDoubt, Refreshed};
use super::super::{Result, TownshipId};
use super::{Param, about, array, figures, get, number, number32, optional, other, row, rows, run};

/// Closes and opens a record's entries, so that those open are what was found, and counts them anew. `change` is the feed number
/// of the merge's newest change. The record's row and the feed's are locked.
pub(super) async fn file(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    (record, check): (RecordId, &DoubtCheck),
    (change, now_ms): (u64, Millis),
) -> Result<()> {
    if check.is_idle() {
        return Ok(());
    }
    let township = township.0.as_slice();
    let open = open(c, tenant, township, record).await?;
    let (closed, new) = check.difference(&open);
    if !closed.is_empty() {
        let closed: Vec<i64> = closed.iter().map(|no| no.cast_signed()).collect();
        let sql = "UPDATE doubt SET closed_ms = $4 WHERE tenant = $1 AND township = $2 AND no = ANY($3)";
        run(c, sql, &[&tenant, &township, &closed, &now_ms.cast_signed()]).await?;
    }
    if !new.is_empty() {
        insert(c, tenant, township, record, &new, (change, now_ms)).await?;
    }
    let count = (open.len() - closed.len() + new.len()) as i64;
    let sql = "UPDATE record SET doubts = $4 WHERE tenant = $1 AND township = $2 AND id = $3";
    run(c, sql, &[&tenant, &township, &record.0.as_slice(), &count]).await?;
    Ok(())
}

async fn insert(
    c: &impl GenericClient,
    tenant: &[u8],
    township: &[u8],
    record: RecordId,
    new: &[&NewDoubt],
    (change, now_ms): (u64, Millis),
) -> Result<()> {
    let sql = "UPDATE feed SET doubts = doubts + $3 WHERE tenant = $1 AND township = $2 RETURNING doubts";
    let taken = row(c, sql, &[&tenant, &township, &(new.len() as i64)]).await?;
    let last: i64 = get(&taken.ok_or_else(|| other("the feed is gone"))?, 0)?;
    let nos: Vec<i64> = (last - new.len() as i64 + 1..=last).collect();
    let texts = |f: fn(&NewDoubt) -> String| -> Vec<String> { new.iter().map(|d| f(d)).collect() };
    let versions: Vec<i64> = new.iter().map(|d| d.form.version.into()).collect();
    let sql =
        "INSERT INTO doubt (tenant, township, record, change, opened_ms, no, key, question, kind, class, form, version)
        SELECT $1, $2, $3, $4, $5, n.* FROM UNNEST($6::BIGINT[], $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[],
        $11::TEXT[], $12::BIGINT[]) AS n";
    run(
        c,
        sql,
        &[
            &tenant,
            &township,
            &record.0.as_slice(),
            &change.cast_signed(),
            &now_ms.cast_signed(),
            &nos,
            &texts(|d| d.key.clone()),
            &texts(NewDoubt::question),
            &texts(|d| d.kind.to_string()),
            &texts(|d| d.class.as_str().to_owned()),
            &texts(|d| d.form.name.clone()),
            &versions,
        ],
    )
    .await?;
    Ok(())
}

const DOUBT_COLUMNS: &str = "d.no, d.key, d.kind, d.class, d.form, d.version";

fn doubt(r: &Row) -> Result<(u64, NewDoubt)> {
    let (kind, class) = (doubts::to_kind(get(r, 2)?)?, doubts::to_class(get(r, 3)?));
    let form = FormRef { name: get(r, 4)?, version: number32(r, 5)? };
    Ok((number(r, 0)?, NewDoubt { key: get(r, 1)?, kind, class, form }))
}

async fn open(
    c: &impl GenericClient,
    tenant: &[u8],
    township: &[u8],
    record: RecordId,
) -> Result<Vec<(u64, NewDoubt)>> {
    let sql = format!(
        "SELECT {DOUBT_COLUMNS} FROM doubt d WHERE d.tenant = $1 AND d.township = $2 AND d.record = $3
         AND d.closed_ms IS NULL ORDER BY d.no"
    );
    rows(c, &sql, &[&tenant, &township, &record.0.as_slice()]).await?.iter().map(doubt).collect()
}

/// Locks records and what was read with them, in order; gives their heads.
async fn lock(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    records: &[Refreshed],
) -> Result<HashMap<RecordId, Vec<ChangeHash>>> {
    let beside = records.iter().flat_map(|r| r.beside.iter().map(|(id, _)| *id));
    let ids: BTreeSet<RecordId> = records.iter().map(|r| r.id).chain(beside).collect();
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
    let sql =
        "SELECT id, heads FROM record WHERE tenant = $1 AND township = $2 AND id = ANY($3) ORDER BY id FOR UPDATE";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &ids]).await?;
    found.iter().map(|r| Ok((RecordId(array(r, 0)?), to_heads(get(r, 1)?)))).collect()
}

/// Writes records' projections and doubts anew, where they are still as they were read; gives how many. Records are locked in
/// order, then the feed, as a commit does.
pub(super) async fn refresh(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    records: &[Refreshed],
    now_ms: Millis,
) -> Result<usize> {
    let read = lock(c, tenant, township, records).await?;
    let is_as_read = |r: &&Refreshed| r.beside.iter().all(|(id, heads)| read.get(id) == heads.as_ref());
    let sql =
        "UPDATE record SET title = $4, label = $5, status = $6, persons = $7, day = $8, differences = $9, json = $10,
        search = $11, steps = $14
        WHERE tenant = $1 AND township = $2 AND id = $3 AND heads = $12 AND doubts = $13 RETURNING last";
    let id = township.0.as_slice();
    let mut to_file = Vec::new();
    let mut written = BTreeSet::new();
    for record in records.iter().filter(is_as_read) {
        let p = &record.projection;
        let (persons, differences, before) =
            (i64::from(p.persons), i64::from(p.differences), i64::from(record.check.before));
        let heads = from_heads(&record.heads);
        let values: [Param<'_>; 14] = [
            &tenant,
            &id,
            &record.id.0.as_slice(),
            &p.title,
            &p.label,
            &p.status,
            &persons,
            &p.day,
            &differences,
            &p.json,
            &p.search,
            &heads,
            &before,
            &p.steps,
        ];
        let Some(found) = row(c, sql, &values).await? else { continue };
        about::file(c, tenant, township, record.id, p).await?;
        written.insert(record.id);
        if !record.check.is_idle() {
            to_file.push((record, number(&found, 0)?));
        }
    }
    if !written.is_empty() {
        let sql = "SELECT 1 FROM feed WHERE tenant = $1 AND township = $2 FOR UPDATE";
        row(c, sql, &[&tenant, &id]).await?;
    }
    for (record, last) in to_file {
        file(c, tenant, township, (record.id, &record.check), (last, now_ms)).await?;
    }
    figures::settle(c, tenant, township, &written).await?;
    Ok(written.len())
}

pub(super) async fn list(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    filter: &DoubtFilter,
) -> Result<Vec<DoubtRow>> {
    let closed = if filter.closed { "NOT NULL" } else { "NULL" };
    let mut sql = format!(
        "SELECT {DOUBT_COLUMNS}, r.id, r.type, r.area, r.subject, d.opened_ms, d.closed_ms, d.change, c.bytes, c.received_ms,
         c.device, r.key FROM doubt d
         JOIN record r ON r.tenant = d.tenant AND r.township = d.township AND r.id = d.record
         LEFT JOIN change c ON c.tenant = d.tenant AND c.township = d.township AND c.seq = d.change
         WHERE d.tenant = $1 AND d.township = $2 AND d.closed_ms IS {closed} AND d.no < $3"
    );
    let before = filter.before.and_then(|no| i64::try_from(no).ok()).unwrap_or(i64::MAX);
    let mut values: Vec<Box<dyn ToSql + Sync>> =
        vec![Box::new(tenant.to_vec()), Box::new(township.0.to_vec()), Box::new(before)];
    let mut also = |condition: &str, value: Box<dyn ToSql + Sync>| {
        values.push(value);
        sql.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    match filter.area {
        Some(area) => also(" AND r.area = ?", Box::new(area.0.to_vec())),
        // what went to another township is decided there
        None => also(" AND r.area <> ?", Box::new(AreaId::NOWHERE.0.to_vec())),
    }
    if let Some(form) = &filter.form {
        also(" AND d.form = ?", Box::new(form.clone()));
    }
    if let Some(question) = &filter.question {
        also(" AND d.question = ?", Box::new(question.clone()));
    }
    if let Some(kind) = filter.kind {
        also(" AND d.kind = ?", Box::new(kind.as_str()));
    }
    if let Some(record) = filter.record {
        also(" AND d.record = ?", Box::new(record.0.to_vec()));
    }
    also(" ORDER BY d.no DESC LIMIT ?", Box::new(i64::from(filter.limit.clamp(1, 1000))));
    let params: Vec<Param<'_>> = values.iter().map(|v| &**v).collect();
    rows(c, &sql, &params).await?.iter().map(doubt_row).collect()
}

fn doubt_row(r: &Row) -> Result<DoubtRow> {
    let (no, doubt) = doubt(r)?;
    let change = match get::<Option<&[u8]>>(r, 13)? {
        Some(bytes) => Some((doubts::claimed_s(bytes), number(r, 14)?, optional(r, 15)?.map(DeviceId))),
        None => None,
    };
    let (record, record_type) = (RecordId(array(r, 6)?), get::<String>(r, 7)?);
    Ok(DoubtRow {
        no,
        record,
        core: to_core(record, &record_type, get(r, 16)?),
        record_type,
        area: AreaId(array(r, 8)?),
        subject: optional(r, 9)?.map(RecordId),
        doubt,
        opened_ms: number(r, 10)?,
        closed_ms: get::<Option<i64>>(r, 11)?.map(i64::cast_unsigned),
        seq: number(r, 12)?,
        change,
    })
}

pub(super) async fn totals(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    area: Option<AreaId>,
) -> Result<Vec<DoubtTotal>> {
    let sql = "SELECT d.form, d.question, d.class, count(*) FROM doubt d
        JOIN record r ON r.tenant = d.tenant AND r.township = d.township AND r.id = d.record
        WHERE d.tenant = $1 AND d.township = $2 AND d.closed_ms IS NULL AND CASE WHEN $3::BYTEA IS NULL THEN r.area <> $5 ELSE r.area = $3 END
        GROUP BY d.form, d.question, d.class ORDER BY count(*) DESC, d.form, d.question LIMIT $4";
    let area = area.map(|a| a.0.to_vec());
    let found =
        rows(c, sql, &[&tenant, &township.0.as_slice(), &area, &doubts::TOTALS_MAX, &AreaId::NOWHERE.0.as_slice()])
            .await?;
    let total = |r: &Row| {
        Ok(DoubtTotal {
            form: get(r, 0)?,
            question: get(r, 1)?,
            class: doubts::to_class(get(r, 2)?),
            open: number(r, 3)?,
        })
    };
    found.iter().map(total).collect()
}
