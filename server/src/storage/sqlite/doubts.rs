//! Doubtful answers.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, DeviceId, RecordId};
use doorstep_core::record::FormRef;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::super::columns::{BadColumn, from_heads, to_core, to_heads};
use super::super::doubts::{self, Beside, DoubtCheck, DoubtFilter, DoubtRow, DoubtTotal, NewDoubt, Refreshed};
use super::super::{Result, TownshipId};
use super::figures::{self, Touched};
use super::{about, pack, people, seq_of};

/// Closes and opens a record's entries, so that those open are what was found, and counts them anew. `change_no` is the newest
/// change of the merge.
pub(super) fn file(
    c: &Connection,
    township_no: i64,
    record_no: i64,
    check: &DoubtCheck,
    (change_no, now_ms): (i64, Millis),
) -> Result<()> {
    if check.is_idle() {
        return Ok(());
    }
    let open = open(c, record_no)?;
    let (closed, new) = check.difference(&open);
    let mut close = c.prepare_cached("UPDATE doubt SET closed_ms = ? WHERE no = ?")?;
    for no in &closed {
        close.execute(params![now_ms as i64, pack(township_no, *no)])?;
    }
    let mut last = last_no(c, township_no)?;
    let mut insert = c.prepare_cached(
        "INSERT INTO doubt (no, record_no, key, question, kind, class, form, version, change_no, opened_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for doubt in &new {
        last += 1;
        insert.execute(params![
            pack(township_no, last),
            record_no,
            doubt.key,
            doubt.question(),
            doubt.kind.as_str(),
            doubt.class.as_str(),
            doubt.form.name,
            doubt.form.version,
            change_no,
            now_ms as i64,
        ])?;
    }
    let count = open.len() - closed.len() + new.len();
    c.prepare_cached("UPDATE record SET doubts = ? WHERE no = ? AND doubts <> ?1")?
        .execute(params![count as i64, record_no])?;
    Ok(())
}

/// Files what was found about a record that a push doesn't change; false when it isn't as it was looked at.
pub(super) fn file_beside(
    c: &Connection,
    township_no: i64,
    beside: &Beside,
    at: (i64, Millis),
    touched: &mut Touched,
) -> Result<bool> {
    let mut find = c.prepare_cached("SELECT no, heads, doubts FROM record WHERE id = ? AND township_no = ?")?;
    let found = find
        .query_row(params![beside.id.0, township_no], |r| {
            Ok((r.get::<_, i64>(0)?, to_heads(r.get_ref(1)?.as_blob()?), r.get::<_, u32>(2)?))
        })
        .optional()?;
    let Some((record_no, heads, count)) = found else { return Ok(beside.heads.is_none()) };
    if beside.heads.as_ref() != Some(&heads) || count != beside.check.before {
        return Ok(false);
    }
    if !beside.check.is_idle() {
        file(c, township_no, record_no, &beside.check, at)?;
        touched.insert(record_no);
    }
    Ok(true)
}

fn last_no(c: &Connection, township_no: i64) -> Result<u64> {
    let mut statement = c.prepare_cached("SELECT max(no) FROM doubt WHERE no > ? AND no < ?")?;
    let last: Option<i64> = statement.query_row([pack(township_no, 0), pack(township_no + 1, 0)], |r| r.get(0))?;
    Ok(last.map_or(0, seq_of))
}

const DOUBT_COLUMNS: &str = "d.no, d.key, d.kind, d.class, d.form, d.version";

fn doubt(r: &Row<'_>) -> rusqlite::Result<(u64, String, NewDoubt)> {
    let class = doubts::to_class(r.get_ref(3)?.as_str()?);
    let form = FormRef { name: r.get(4)?, version: r.get(5)? };
    // the kind is read by the caller, who can say that it is damaged
    let kind = doorstep_core::form::session::Doubt::Unfit;
    Ok((seq_of(r.get(0)?), r.get(2)?, NewDoubt { key: r.get(1)?, kind, class, form }))
}

fn with_kind((no, kind, doubt): (u64, String, NewDoubt)) -> Result<(u64, NewDoubt)> {
    Ok((no, NewDoubt { kind: doubts::to_kind(&kind)?, ..doubt }))
}

fn open(c: &Connection, record_no: i64) -> Result<Vec<(u64, NewDoubt)>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {DOUBT_COLUMNS} FROM doubt d WHERE d.record_no = ? AND d.closed_ms IS NULL ORDER BY d.no"
    ))?;
    let found: Vec<_> = statement.query_map([record_no], doubt)?.collect::<rusqlite::Result<_>>()?;
    found.into_iter().map(with_kind).collect()
}

/// Writes records' projections and doubts anew, where they are still as they were read; gives how many.
pub(super) fn refresh(c: &Connection, township: TownshipId, records: &[Refreshed], now_ms: Millis) -> Result<usize> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(0) };
    let mut update = c.prepare_cached(
        "UPDATE record SET title = ?, label = ?, status = ?, persons = ?, day = ?, differences = ?, steps = ?
         WHERE id = ? AND township_no = ? AND heads = ? AND doubts = ? RETURNING no, last",
    )?;
    let mut text = c.prepare_cached("UPDATE record_text SET json = ?, search = ? WHERE record_no = ?")?;
    let mut touched = Touched::new();
    let mut other = c.prepare_cached("SELECT heads FROM record WHERE id = ? AND township_no = ?")?;
    for record in records {
        let mut moved = false;
        for (id, heads) in &record.beside {
            let now =
                other.query_row(params![id.0, township_no], |r| Ok(to_heads(r.get_ref(0)?.as_blob()?))).optional()?;
            moved |= now != *heads;
        }
        if moved {
            continue;
        }
        let p = &record.projection;
        let values = params![
            p.title,
            p.label,
            p.status,
            p.persons,
            p.day,
            p.differences,
            p.steps,
            record.id.0,
            township_no,
            from_heads(&record.heads),
            record.check.before,
        ];
        let found = update.query_row(values, |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?))).optional()?;
        let Some((record_no, last)) = found else { continue };
        text.execute(params![p.json, p.search, record_no])?;
        about::file(c, record_no, p)?;
        file(c, township_no, record_no, &record.check, (last, now_ms))?;
        touched.insert(record_no);
    }
    figures::settle(c, &touched)?;
    Ok(touched.len())
}

pub(super) fn list(c: &Connection, township: TownshipId, filter: &DoubtFilter) -> Result<Vec<DoubtRow>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let closed = if filter.closed { "NOT NULL" } else { "NULL" };
    let mut sql = format!(
        "SELECT {DOUBT_COLUMNS}, r.id, r.type, r.area, r.subject, d.opened_ms, d.closed_ms, d.change_no, c.bytes,
         c.received_ms, c.device, r.key FROM doubt d JOIN record r ON r.no = d.record_no LEFT JOIN change c ON c.no = d.change_no
         WHERE d.closed_ms IS {closed} AND d.no > ? AND d.no < ?"
    );
    let before = filter.before.map_or(pack(township_no + 1, 0), |no| pack(township_no, no));
    let mut values: Vec<Value> = vec![pack(township_no, 0).into(), before.into()];
    let mut also = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    match filter.area {
        Some(area) => also(" AND r.area = ?", area.0.to_vec().into()),
        // what went to another township is decided there
        None => also(" AND r.area <> ?", AreaId::NOWHERE.0.to_vec().into()),
    }
    if let Some(form) = &filter.form {
        also(" AND d.form = ?", form.clone().into());
    }
    if let Some(question) = &filter.question {
        also(" AND d.question = ?", question.clone().into());
    }
    if let Some(kind) = filter.kind {
        also(" AND d.kind = ?", kind.as_str().to_owned().into());
    }
    if let Some(record) = filter.record {
        also(" AND r.id = ?", record.0.to_vec().into());
    }
    also(" ORDER BY d.no DESC LIMIT ?", filter.limit.clamp(1, 1000).into());
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(r) = rows.next()? {
        let (no, doubt) = with_kind(doubt(r)?)?;
        let bytes: Option<Vec<u8>> = r.get(13)?;
        let received_ms = r.get::<_, Option<i64>>(14)?.unwrap_or(0).cast_unsigned();
        let device = r.get::<_, Option<_>>(15)?.map(DeviceId);
        let (record, record_type) = (RecordId(r.get(6)?), r.get::<_, String>(7)?);
        let key = r.get_ref(16)?.as_blob().map_err(|_| BadColumn("key"))?;
        found.push(DoubtRow {
            no,
            record,
            core: to_core(record, &record_type, key),
            record_type,
            area: AreaId(r.get(8)?),
            subject: r.get::<_, Option<_>>(9)?.map(RecordId),
            doubt,
            opened_ms: r.get::<_, i64>(10)?.cast_unsigned(),
            closed_ms: r.get::<_, Option<i64>>(11)?.map(i64::cast_unsigned),
            seq: seq_of(r.get(12)?),
            change: bytes.map(|bytes| (doubts::claimed_s(&bytes), received_ms, device)),
        });
    }
    Ok(found)
}

pub(super) fn totals(c: &Connection, township: TownshipId, area: Option<AreaId>) -> Result<Vec<DoubtTotal>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT d.form, d.question, d.class, count(*) FROM doubt d JOIN record r ON r.no = d.record_no
         WHERE d.closed_ms IS NULL AND d.no > ? AND d.no < ? AND CASE WHEN ?3 IS NULL THEN r.area <> ?5 ELSE r.area = ?3 END
         GROUP BY d.form, d.question, d.class ORDER BY count(*) DESC, d.form, d.question LIMIT ?4",
    )?;
    let area = area.map(|a| a.0.to_vec());
    let values = params![pack(township_no, 0), pack(township_no + 1, 0), area, doubts::TOTALS_MAX, AreaId::NOWHERE.0];
    let rows = statement.query_map(values, |r| {
        Ok(DoubtTotal {
            form: r.get(0)?,
            question: r.get(1)?,
            class: doubts::to_class(r.get_ref(2)?.as_str()?),
            open: r.get::<_, i64>(3)?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
