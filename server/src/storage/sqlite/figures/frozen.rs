//! Reports that stay as they were.

use rusqlite::{Connection, params};

use super::super::super::figures::{FigureEntry, FigureFilter, FrozenReport, Kind};
use super::super::super::{Result, TownshipId};
use super::super::{pack, people, seq_of};
use super::read::{entry, list};
use crate::calendar::Period;

pub(super) fn freeze(c: &Connection, township: TownshipId, report: &FrozenReport, period: &Period) -> Result<u64> {
    let township_no = people::township_no_or_new(c, township)?;
    let newest = "SELECT max(no) FROM frozen_report WHERE no > ? AND no < ?";
    let range = [pack(township_no, 0), pack(township_no + 1, 0)];
    let newest: Option<i64> = c.prepare_cached(newest)?.query_row(range, |r| r.get(0))?;
    let no = pack(township_no, newest.map_or(0, seq_of) + 1);
    c.prepare_cached(
        "INSERT INTO frozen_report (no, name, period, as_of, made_ms, made_by, areas) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        no,
        report.name,
        report.period,
        report.as_of,
        report.made_ms as i64,
        report.made_by,
        report.areas
    ])?;
    let mut insert = c.prepare_cached(
        "INSERT INTO frozen_entry (report_no, kind, record_no, record, subject, type, area, status, day, persons, late,
         household) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for kind in [Kind::Stock, Kind::Records] {
        let mut filter = FigureFilter::whole(kind, period.clone(), report.as_of.clone());
        loop {
            let entries = list(c, township, &filter)?;
            let Some(last) = entries.last() else { break };
            filter.after = last.born;
            for e in entries {
                insert.execute(params![
                    no,
                    kind.as_str(),
                    pack(township_no, e.born),
                    e.record.0,
                    e.subject.map(|s| s.0),
                    e.record_type,
                    e.area.0,
                    e.status,
                    e.day,
                    e.persons,
                    e.late,
                    e.household,
                ])?;
            }
        }
    }
    Ok(seq_of(no))
}

pub(super) fn reports(c: &Connection, township: TownshipId) -> Result<Vec<FrozenReport>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT no, name, period, as_of, made_ms, made_by, areas FROM frozen_report WHERE no > ? AND no < ? ORDER BY no DESC",
    )?;
    let rows = statement.query_map([pack(township_no, 0), pack(township_no + 1, 0)], |r| {
        Ok(FrozenReport {
            no: seq_of(r.get(0)?),
            name: r.get(1)?,
            period: r.get(2)?,
            as_of: r.get(3)?,
            made_ms: r.get::<_, i64>(4)?.cast_unsigned(),
            made_by: r.get(5)?,
            areas: r.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn entries(
    c: &Connection,
    township: TownshipId,
    report: u64,
    kind: Kind,
    (after, limit): (u64, u32),
) -> Result<Vec<FigureEntry>> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT record_no, record, subject, type, area, status, day, persons, late, household FROM frozen_entry
         WHERE report_no = ? AND kind = ? AND record_no > ? ORDER BY record_no LIMIT ?",
    )?;
    let values = params![pack(township_no, report), kind.as_str(), pack(township_no, after), limit.clamp(1, 1000)];
    Ok(statement.query_map(values, entry)?.collect::<rusqlite::Result<_>>()?)
}
