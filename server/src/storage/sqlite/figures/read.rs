//! Figures and the lists behind them.

use std::collections::HashMap;

use doorstep_core::id::{AreaId, RecordId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::super::super::figures::plan;
use super::super::super::figures::{
    Cell, Cells, Fact, FigureEntry, FigureFilter, FigureGroup, FigureQuery, FigureRow, Kind, Sums,
};
use super::super::super::{Result, TownshipId};
use super::super::{pack, people, seq_of};
use super::{LINE_COLUMNS, Touched, about, fact, line, stays, sums};
use crate::calendar::Period;

/// All areas of a township that have figures, without walking along all of them.
fn known_areas(c: &Connection, township_no: i64) -> Result<Vec<AreaId>> {
    let mut next = c.prepare_cached("SELECT min(area) FROM figure WHERE township_no = ? AND area > ?")?;
    let mut areas: Vec<AreaId> = Vec::new();
    loop {
        let after = areas.last().map(|area| area.0.to_vec()).unwrap_or_default();
        let found: Option<[u8; 16]> = next.query_row(params![township_no, after], |r| r.get(0))?;
        let Some(area) = found else { return Ok(areas) };
        areas.push(AreaId(area));
    }
}

const FIGURES: &str = "SELECT type, status, records, late, households, persons FROM figure
    WHERE township_no = ? AND area = ? AND period >= ? AND period <= ?";

pub(super) fn figures(c: &Connection, township: TownshipId, query: &FigureQuery) -> Result<Vec<FigureRow>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let areas = if query.areas.is_empty() { known_areas(c, township_no)? } else { query.areas.clone() };
    let mut statement = c.prepare_cached(FIGURES)?;
    let column = plan::column(&query.period);
    let one = |column: &str| (column.to_owned(), column.to_owned());
    let mut ranges = vec![
        (Kind::Records, one(&column)),
        (Kind::Differing, one(plan::DIFFERING)),
        (Kind::Doubtful, one(plan::DOUBTFUL)),
    ];
    ranges.extend(plan::stock_ranges(&query.as_of).map(|range| (Kind::Stock, range)));
    let mut found: HashMap<(AreaId, Kind, String, String), Sums> = HashMap::new();
    for area in areas {
        for (kind, (from, to)) in &ranges {
            let mut rows = statement.query(params![township_no, area.0, from, to])?;
            while let Some(r) = rows.next()? {
                let key = (area, *kind, r.get(0)?, r.get(1)?);
                found.entry(key).or_default().add(&sums(r, 2)?, 1);
            }
        }
    }
    let rows = found.into_iter().filter(|(_, sums)| !sums.is_zero());
    Ok(rows
        .map(|((area, kind, record_type, status), sums)| FigureRow { area, kind, record_type, status, sums })
        .collect())
}

pub(super) fn list(c: &Connection, township: TownshipId, filter: &FigureFilter) -> Result<Vec<FigureEntry>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let (columns, table) = match filter.kind {
        Kind::Stock => ("l.area, l.status, '', l.persons, 0, 1", "figure_stay"),
        Kind::Records => ("l.area, l.status, l.day, l.persons, l.late, (l.stands & ?) <> 0", "figure_line"),
        Kind::Differing | Kind::Doubtful => ("l.open_area, '', l.day, l.persons, l.late, 0", "figure_line"),
    };
    let bit = i64::from(plan::bit(&filter.period));
    // a unary plus keeps the list from being found by number where it can be found by area
    let no = if filter.areas.is_empty() { "l.record_no" } else { "+l.record_no" };
    let mut sql = format!(
        "SELECT r.no, r.id, r.subject, l.type, {columns} FROM {table} l JOIN record r ON r.no = l.record_no
         WHERE {no} > ? AND {no} < ?"
    );
    let mut values: Vec<Value> = if filter.kind == Kind::Records { vec![bit.into()] } else { Vec::new() };
    values.extend([Value::from(pack(township_no, filter.after)), pack(township_no + 1, 0).into()]);
    let mut also = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    let as_of = || Value::from(filter.as_of.clone());
    match filter.kind {
        Kind::Stock => {
            also(" AND l.counts AND l.from_day <= ?", as_of());
            also(" AND l.until_day > ?", as_of());
        }
        Kind::Differing => also(" AND l.differing = ? AND l.open_area IS NOT NULL", 1.into()),
        Kind::Doubtful => also(" AND l.doubtful = ? AND l.open_area IS NOT NULL", 1.into()),
        Kind::Records => match (&filter.period, filter.period.days()) {
            (Period::Calendar(_), Some((from, to))) => {
                also(" AND l.day >= ?", from.into());
                also(" AND l.day <= ?", to.into());
            }
            (Period::Round(round), _) => also(" AND l.round = ?", round.clone().into()),
            _ => also(" AND instr(l.type, ?) = 0", ".".to_owned().into()),
        },
    }
    if let Some(record_type) = &filter.record_type {
        also(" AND l.type = ?", record_type.clone().into());
    }
    if let Some(status) = &filter.status {
        also(" AND l.status = ?", status.clone().into());
    }
    if filter.late {
        also(" AND l.late = ?", 1.into());
    }
    if filter.households && filter.kind == Kind::Records {
        also(" AND (l.stands & ?) <> 0", bit.into());
    }
    if !filter.areas.is_empty() {
        let area = if table == "figure_line" && filter.kind != Kind::Records { "open_area" } else { "area" };
        sql.push_str(&format!(" AND l.{area} IN ({})", vec!["?"; filter.areas.len()].join(", ")));
        values.extend(filter.areas.iter().map(|area| Value::from(area.0.to_vec())));
    }
    sql.push_str(&format!(" ORDER BY {no} LIMIT ?"));
    values.push(i64::from(filter.limit.clamp(1, 1000)).into());
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), entry)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn entry(r: &Row<'_>) -> rusqlite::Result<FigureEntry> {
    Ok(FigureEntry {
        born: seq_of(r.get(0)?),
        record: RecordId(r.get(1)?),
        subject: r.get::<_, Option<_>>(2)?.map(RecordId),
        record_type: r.get(3)?,
        area: AreaId(r.get(4)?),
        status: r.get(5)?,
        day: r.get(6)?,
        persons: r.get(7)?,
        late: r.get(8)?,
        household: r.get(9)?,
    })
}

pub(super) fn facts(c: &Connection, township: TownshipId, after: u64, limit: u32) -> Result<Vec<Fact>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached("SELECT no FROM record WHERE no > ? AND no < ? ORDER BY no LIMIT ?")?;
    let range = params![pack(township_no, after), pack(township_no + 1, 0), limit.clamp(1, 1000)];
    let nos: Vec<i64> = statement.query_map(range, |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    nos.into_iter().filter_map(|no| fact(c, no).transpose()).collect()
}

pub(super) fn group(c: &Connection, township: TownshipId, subject: RecordId) -> Result<FigureGroup> {
    let mut group = FigureGroup::default();
    let Some(township_no) = people::township_no(c, township)? else { return Ok(group) };
    let mut find = c.prepare_cached("SELECT no FROM record WHERE id = ? AND township_no = ?")?;
    let own: Option<i64> = find.query_row(params![subject.0, township_no], |r| r.get(0)).optional()?;
    let mut nos: Touched = about(c, township_no, subject)?.into_iter().collect();
    nos.extend(own);
    let mut own_line = c.prepare_cached(&format!("SELECT {LINE_COLUMNS} FROM figure_line l WHERE l.record_no = ?"))?;
    for no in nos {
        group.facts.extend(fact(c, no)?);
        group.lines.extend(own_line.query_row([no], line).optional()?);
    }
    if let Some(own) = own {
        group.stays = stays(c, own)?;
    }
    Ok(group)
}

pub(super) fn cells(c: &Connection, township: TownshipId) -> Result<(Cells, u64, u64)> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Default::default()) };
    let mut statement = c.prepare_cached(
        "SELECT area, period, type, status, records, late, households, persons FROM figure WHERE township_no = ?",
    )?;
    let rows = statement.query_map([township_no], |r| {
        let cell = Cell { area: AreaId(r.get(0)?), period: r.get(1)?, record_type: r.get(2)?, status: r.get(3)? };
        Ok((cell, sums(r, 4)?))
    })?;
    let mut cells: Cells = rows.collect::<rusqlite::Result<_>>()?;
    cells.retain(|_, sums| !sums.is_zero());
    let count = |table: &str| -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {table} WHERE record_no > ? AND record_no < ?");
        let range = [pack(township_no, 0), pack(township_no + 1, 0)];
        Ok(c.prepare_cached(&sql)?.query_row(range, |r| r.get::<_, i64>(0))?.cast_unsigned())
    };
    Ok((cells, count("figure_line")?, count("figure_stay")?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use rusqlite::StatementStatus;

    use super::super::super::super::conformance;
    use super::*;

    /// SQLite's steps for the figures of a village, read 20 times.
    fn steps(records: usize) -> i32 {
        let (_folder, storage, township, village) = conformance::figures::village_with(records);
        let areas = vec![village];
        let query = FigureQuery { areas, period: Period::Whole, as_of: "2026-11-25".to_owned() };
        let work = |c: &Connection| {
            for _ in 0..20 {
                assert!(figures(c, township, &query)?.iter().any(|row| row.sums.records == (records * 9 / 10) as i64));
            }
            Ok(c.prepare_cached(FIGURES)?.get_status(StatementStatus::VmStep))
        };
        storage.read(work).unwrap()
    }

    #[test]
    fn an_areas_figures_take_the_same_work_at_a_hundred_times_as_many_records() {
        let (few, many) = (steps(100), steps(10_000));
        assert!(few > 0 && f64::from(many) <= f64::from(few) * 1.5, "{few} steps, then {many}");
    }
}
