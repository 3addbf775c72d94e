//! Figures: written at the end of each transaction that merged something, read by area.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::{AreaId, RecordId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::columns::to_identity;
use super::super::figures::plan::{LineChange, Loaded, Tally};
use super::super::figures::{
    Cells, Fact, FigureEntry, FigureFilter, FigureGroup, FigureQuery, FigureRow, FigureStorage, FrozenReport, Kind,
    LATE_SETTING, LateDays, Line, Stay, Sums,
};
use super::super::{Result, TownshipId, relocation};
use crate::calendar::Period;

mod frozen;
mod read;

use super::{SEQ_BITS, SqliteStorage, links, pack, people, rights, seq_of, settings};
use read::{cells, facts, figures, group, list};

/// Records whose figures are settled together when all are made anew.
const REBUILD_CHUNK: usize = 500;

/// Numbers of the records that a transaction touched: whatever changes of a record, its lines follow at the end.
pub(super) type Touched = BTreeSet<i64>;

/// Brings lines, stays and figures up to date with the records that a transaction touched. Records that aren't there (any more)
/// are passed over.
pub(super) fn settle(c: &Connection, touched: &Touched) -> Result<()> {
    let late_days = late_days(c)?;
    let mut townships: BTreeMap<i64, Touched> = BTreeMap::new();
    for no in touched {
        townships.entry(no >> SEQ_BITS).or_default().insert(*no);
    }
    for (township_no, touched) in townships {
        let mut tally = Tally::default();
        tally_up(c, township_no, &touched, &late_days, &mut tally)?;
        write(c, township_no, tally)?;
    }
    Ok(())
}

pub(super) fn late_days(c: &Connection) -> Result<LateDays> {
    Ok(LateDays::stored(settings::setting(c, LATE_SETTING)?.as_deref()))
}

fn tally_up(
    c: &Connection,
    township_no: i64,
    touched: &Touched,
    late_days: &LateDays,
    tally: &mut Tally,
) -> Result<()> {
    let mut loaded = Loaded::default();
    for no in touched {
        if let Some(fact) = fact(c, *no)? {
            loaded.facts.insert(fact.born, fact);
        }
    }
    loaded.united = links::united_with(c, township_no, &loaded.concerned())?;
    let households: Vec<Fact> = loaded.facts.values().filter(|fact| fact.subject.is_none()).cloned().collect();
    for household in households {
        let no = pack(township_no, household.born);
        let (old, new) = (stays(c, no)?, loaded.stays_now(&household));
        if old != new {
            write_stays(c, no, &new)?;
            tally.stays(&old, -1);
            tally.stays(&new, 1);
            for one in loaded.united.all(household.id) {
                for no in about(c, township_no, one)? {
                    if let Some(fact) = fact(c, no)? {
                        loaded.facts.insert(fact.born, fact);
                    }
                }
            }
        }
        loaded.stays.insert(household.id, new);
    }
    load_lines(c, township_no, &mut loaded)?;
    for change in loaded.changes(late_days) {
        write_line(c, township_no, &change)?;
        change.tally(tally);
    }
    Ok(())
}

fn load_lines(c: &Connection, township_no: i64, loaded: &mut Loaded) -> Result<()> {
    let mut own = c.prepare_cached(&format!("SELECT {LINE_COLUMNS} FROM figure_line l WHERE l.record_no = ?"))?;
    let mut lines = Vec::new();
    for fact in loaded.facts.values().filter(|fact| fact.subject.is_none()) {
        lines.extend(own.query_row([pack(township_no, fact.born)], line).optional()?.map(|line| (None, line)));
    }
    let mut siblings = c.prepare_cached(&format!(
        "SELECT {LINE_COLUMNS} FROM record r JOIN figure_line l ON l.record_no = r.no
         WHERE r.subject = ? AND r.type = ? AND r.no > ? AND r.no < ?"
    ))?;
    let (first, last) = (pack(township_no, 0), pack(township_no + 1, 0));
    for (subject, record_type) in loaded.subjects() {
        let rows = siblings.query_map(params![subject.0, record_type, first, last], line)?;
        for line in rows {
            lines.push((Some(subject), line?));
        }
    }
    loaded.lines = lines;
    for subject in loaded.concerned() {
        let lead = loaded.united.lead(subject);
        if let Entry::Vacant(vacant) = loaded.stays.entry(lead) {
            vacant.insert(stays_of(c, township_no, lead)?);
        }
    }
    Ok(())
}

const FACT_COLUMNS: &str =
    "r.no, r.id, r.type, r.subject, r.key, r.area, r.status, r.day, r.steps, r.differences, r.doubts,
    coalesce(c.received_ms, r.updated_ms) FROM record r LEFT JOIN change c ON c.no = r.no";

fn read_fact(r: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact {
        born: seq_of(r.get(0)?),
        id: RecordId(r.get(1)?),
        record_type: r.get(2)?,
        subject: r.get::<_, Option<_>>(3)?.map(RecordId),
        key: to_identity(String::new(), r.get_ref(4)?.as_blob()?).key,
        area: AreaId(r.get(5)?),
        status: r.get(6)?,
        day: r.get(7)?,
        steps: r.get(8)?,
        differences: r.get(9)?,
        doubts: r.get(10)?,
        received_ms: r.get::<_, i64>(11)?.cast_unsigned(),
        earlier: Vec::new(),
    })
}

fn fact(c: &Connection, no: i64) -> Result<Option<Fact>> {
    let mut statement = c.prepare_cached(&format!("SELECT {FACT_COLUMNS} WHERE r.no = ?"))?;
    let Some(mut fact) = statement.query_row([no], read_fact).optional()? else { return Ok(None) };
    if fact.subject.is_none() {
        fact.earlier = relocation::past(&rights::relocations(c, no)?).0;
    }
    Ok(Some(fact))
}

/// Numbers of the records about a subject.
pub(super) fn about(c: &Connection, township_no: i64, subject: RecordId) -> Result<Vec<i64>> {
    let mut statement =
        c.prepare_cached("SELECT no FROM record WHERE subject = ? AND no > ? AND no < ? ORDER BY no")?;
    let rows = statement.query_map(params![subject.0, pack(township_no, 0), pack(township_no + 1, 0)], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const LINE_COLUMNS: &str =
    "l.record_no, l.type, l.day, l.round, l.area, l.status, l.persons, l.counts, l.late, l.stands,
    l.open_area, l.differing, l.doubtful";

fn line(r: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        born: seq_of(r.get(0)?),
        record_type: r.get(1)?,
        day: r.get(2)?,
        round: r.get(3)?,
        area: AreaId(r.get(4)?),
        status: r.get(5)?,
        persons: r.get(6)?,
        counts: r.get(7)?,
        late: r.get(8)?,
        stands: r.get(9)?,
        open_area: r.get::<_, Option<_>>(10)?.map(AreaId),
        differing: r.get(11)?,
        doubtful: r.get(12)?,
    })
}

fn write_line(c: &Connection, township_no: i64, change: &LineChange) -> Result<()> {
    let no = pack(township_no, change.born);
    let Some(new) = &change.new else {
        c.prepare_cached("DELETE FROM figure_line WHERE record_no = ?")?.execute([no])?;
        return Ok(());
    };
    if change.old.as_ref().is_some_and(|old| *new == Line { stands: new.stands, ..old.clone() }) {
        // touches no index
        c.prepare_cached("UPDATE figure_line SET stands = ? WHERE record_no = ?")?.execute(params![new.stands, no])?;
        return Ok(());
    }
    let mut statement = c.prepare_cached(
        "INSERT OR REPLACE INTO figure_line (record_no, type, day, round, area, status, persons, counts, late, stands,
         open_area, differing, doubtful) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(params![
        no,
        new.record_type,
        new.day,
        new.round,
        new.area.0,
        new.status,
        new.persons,
        new.counts,
        new.late,
        new.stands,
        new.open_area.map(|area| area.0),
        new.differing,
        new.doubtful,
    ])?;
    Ok(())
}

const STAY_COLUMNS: &str = "s.from_day, s.until_day, s.area, s.counts, s.persons, s.status, s.type";

fn stay(r: &Row<'_>) -> rusqlite::Result<Stay> {
    Ok(Stay {
        from: r.get(0)?,
        until: r.get(1)?,
        area: AreaId(r.get(2)?),
        counts: r.get(3)?,
        persons: r.get(4)?,
        status: r.get(5)?,
        record_type: r.get(6)?,
    })
}

fn stays(c: &Connection, no: i64) -> Result<Vec<Stay>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {STAY_COLUMNS} FROM figure_stay s WHERE s.record_no = ? ORDER BY s.from_day"
    ))?;
    Ok(statement.query_map([no], stay)?.collect::<rusqlite::Result<_>>()?)
}

fn stays_of(c: &Connection, township_no: i64, subject: RecordId) -> Result<Vec<Stay>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {STAY_COLUMNS} FROM record r JOIN figure_stay s ON s.record_no = r.no WHERE r.id = ? AND r.township_no = ?
         ORDER BY s.from_day"
    ))?;
    Ok(statement.query_map(params![subject.0, township_no], stay)?.collect::<rusqlite::Result<_>>()?)
}

fn write_stays(c: &Connection, no: i64, stays: &[Stay]) -> Result<()> {
    c.prepare_cached("DELETE FROM figure_stay WHERE record_no = ?")?.execute([no])?;
    let mut insert = c.prepare_cached(
        "INSERT INTO figure_stay (record_no, from_day, until_day, area, counts, persons, status, type)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for s in stays {
        insert.execute(params![no, s.from, s.until, s.area.0, s.counts, s.persons, s.status, s.record_type])?;
    }
    Ok(())
}

fn write(c: &Connection, township_no: i64, tally: Tally) -> Result<()> {
    let mut add = c.prepare_cached(
        "INSERT INTO figure (township_no, area, period, type, status, records, late, households, persons)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET records = records + excluded.records,
         late = late + excluded.late, households = households + excluded.households, persons = persons + excluded.persons",
    )?;
    let mut clear = c.prepare_cached(
        "DELETE FROM figure WHERE township_no = ? AND area = ? AND period = ? AND type = ? AND status = ?
         AND records = 0 AND late = 0 AND households = 0 AND persons = 0",
    )?;
    for (cell, s) in tally.changes() {
        let place = (cell.area.0, &cell.period, &cell.record_type, &cell.status);
        let (area, period, record_type, status) = place;
        add.execute(params![
            township_no,
            area,
            period,
            record_type,
            status,
            s.records,
            s.late,
            s.households,
            s.persons
        ])?;
        if s.records < 0 || s.households < 0 || s.late < 0 || s.persons < 0 {
            clear.execute(params![township_no, area, period, record_type, status])?;
        }
    }
    Ok(())
}

/// Throws away what is kept for a township and makes it anew.
pub(super) fn rebuild(c: &Connection, township: TownshipId) -> Result<u64> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(0) };
    let (first, last) = (pack(township_no, 0), pack(township_no + 1, 0));
    c.execute("DELETE FROM figure WHERE township_no = ?", [township_no])?;
    for table in ["figure_line", "figure_stay"] {
        c.execute(&format!("DELETE FROM {table} WHERE record_no > ? AND record_no < ?"), [first, last])?;
    }
    let (late_days, mut tally, mut after, mut done) = (late_days(c)?, Tally::default(), first, 0);
    loop {
        let mut statement = c.prepare_cached("SELECT no FROM record WHERE no > ? AND no < ? ORDER BY no LIMIT ?")?;
        let rows = statement.query_map(params![after, last, REBUILD_CHUNK as i64], |r| r.get(0))?;
        let chunk: Touched = rows.collect::<rusqlite::Result<_>>()?;
        let Some(newest) = chunk.last() else { break };
        (after, done) = (*newest, done + chunk.len() as u64);
        tally_up(c, township_no, &chunk, &late_days, &mut tally)?;
    }
    write(c, township_no, tally)?;
    Ok(done)
}

fn sums(r: &Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    Ok(Sums {
        records: r.get(first)?,
        late: r.get(first + 1)?,
        households: r.get(first + 2)?,
        persons: r.get(first + 3)?,
    })
}

impl FigureStorage for SqliteStorage {
    fn figures(&self, township: TownshipId, query: &FigureQuery) -> Result<Vec<FigureRow>> {
        self.read(|c| figures(c, township, query))
    }

    fn figure_list(&self, township: TownshipId, filter: &FigureFilter) -> Result<Vec<FigureEntry>> {
        self.read(|c| list(c, township, filter))
    }

    fn figure_facts(&self, township: TownshipId, after: u64, limit: u32) -> Result<Vec<Fact>> {
        self.read(|c| facts(c, township, after, limit))
    }

    fn figure_group(&self, township: TownshipId, subject: RecordId) -> Result<FigureGroup> {
        self.read(|c| group(c, township, subject))
    }

    fn figure_cells(&self, township: TownshipId) -> Result<(Cells, u64, u64)> {
        self.read(|c| cells(c, township))
    }

    fn rebuild_figures(&self, township: TownshipId) -> Result<u64> {
        self.write(|tx| rebuild(tx, township))
    }

    fn freeze(&self, township: TownshipId, report: &FrozenReport, period: &Period) -> Result<u64> {
        self.write(|tx| frozen::freeze(tx, township, report, period))
    }

    fn frozen_reports(&self, township: TownshipId) -> Result<Vec<FrozenReport>> {
        self.read(|c| frozen::reports(c, township))
    }

    fn frozen_entries(
        &self,
        township: TownshipId,
        report: u64,
        kind: Kind,
        after: u64,
        limit: u32,
    ) -> Result<Vec<FigureEntry>> {
        self.read(|c| frozen::entries(c, township, report, kind, (after, limit)))
    }
}
