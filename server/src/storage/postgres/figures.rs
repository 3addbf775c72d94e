//! Figures: written at the end of each transaction that merged something, read by area.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, RecordId};
use tokio_postgres::Row;

use super::super::columns::to_identity;
use super::super::figures::plan::{LineChange, Loaded, Tally};
use super::super::figures::{
    Cells, Fact, FigureEntry, FigureFilter, FigureGroup, FigureQuery, FigureRow, FigureStorage, FrozenReport, Kind,
    LATE_SETTING, LateDays, Line, Stay, Sums,
};
use super::super::{Result, TownshipId, relocation};
use super::{Param, PostgresStorage, array, get, links, number, number32, optional, rights, rows, run, settings};
use crate::calendar::Period;

mod frozen;
mod read;

/// Records whose figures are settled together when all are made anew.
const REBUILD_CHUNK: i64 = 2_000;

/// Brings lines, stays and figures up to date with the records that a transaction touched. The township's feed is locked, so
/// that one transaction at a time does.
pub(super) async fn settle(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    touched: &BTreeSet<RecordId>,
) -> Result<()> {
    if touched.is_empty() {
        return Ok(());
    }
    let mut tally = Tally::default();
    let ids: Vec<&[u8]> = touched.iter().map(|id| id.0.as_slice()).collect();
    let facts = facts_where(c, tenant, township, "r.id = ANY($3)", &ids).await?;
    tally_up(c, tenant, township, facts, &late_days(c, tenant).await?, &mut tally).await?;
    write(c, tenant, township, tally).await
}

async fn late_days(c: &impl GenericClient, tenant: &[u8]) -> Result<LateDays> {
    Ok(LateDays::stored(settings::setting(c, tenant, LATE_SETTING).await?.as_deref()))
}

async fn tally_up(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    facts: Vec<Fact>,
    late_days: &LateDays,
    tally: &mut Tally,
) -> Result<()> {
    let mut loaded = Loaded { facts: facts.into_iter().map(|fact| (fact.born, fact)).collect(), ..Loaded::default() };
    loaded.united = links::united_with(c, tenant, township, &loaded.concerned()).await?;
    let households: BTreeSet<RecordId> =
        loaded.facts.values().filter(|fact| fact.subject.is_none()).map(|fact| fact.id).collect();
    let mut old = stays(c, tenant, township, &households).await?;
    let mut moved: Vec<(u64, Vec<Stay>)> = Vec::new();
    let mut subjects: Vec<RecordId> = Vec::new();
    let mut now: HashMap<RecordId, Vec<Stay>> = HashMap::new();
    for fact in loaded.facts.values().filter(|fact| fact.subject.is_none()) {
        let (old, new) = (old.remove(&fact.id).unwrap_or_default(), loaded.stays_now(fact));
        if old != new {
            tally.stays(&old, -1);
            tally.stays(&new, 1);
            moved.push((fact.born, new.clone()));
            subjects.extend(loaded.united.all(fact.id));
        }
        now.insert(fact.id, new);
    }
    loaded.stays = now;
    write_stays(c, tenant, township, &moved).await?;
    if !subjects.is_empty() {
        let ids: Vec<&[u8]> = subjects.iter().map(|id| id.0.as_slice()).collect();
        let about = facts_where(c, tenant, township, "r.subject = ANY($3)", &ids).await?;
        loaded.facts.extend(about.into_iter().map(|fact| (fact.born, fact)));
    }
    let leads: BTreeSet<RecordId> = loaded.concerned().into_iter().map(|id| loaded.united.lead(id)).collect();
    let others: BTreeSet<RecordId> = leads.difference(&households).copied().collect();
    loaded.stays.extend(stays(c, tenant, township, &others).await?);
    loaded.lines = lines(c, tenant, township, &loaded).await?;
    let changes = loaded.changes(late_days);
    write_lines(c, tenant, township, &changes).await?;
    changes.iter().for_each(|change| change.tally(tally));
    Ok(())
}

const FACT_COLUMNS: &str = "r.born, r.id, r.type, r.subject, r.key, r.area, r.status, r.day, r.steps, r.differences,
    r.doubts, coalesce(c.received_ms, r.updated_ms) FROM record r
    LEFT JOIN change c ON c.tenant = r.tenant AND c.township = r.township AND c.seq = r.born";

fn fact(r: &Row) -> Result<Fact> {
    Ok(Fact {
        born: number(r, 0)?,
        id: RecordId(array(r, 1)?),
        record_type: get(r, 2)?,
        subject: optional(r, 3)?.map(RecordId),
        key: to_identity(String::new(), get(r, 4)?).key,
        area: AreaId(array(r, 5)?),
        status: get(r, 6)?,
        day: get(r, 7)?,
        steps: get(r, 8)?,
        differences: number32(r, 9)?,
        doubts: number32(r, 10)?,
        received_ms: number(r, 11)?,
        earlier: Vec::new(),
    })
}

/// The facts of records that a condition on `$3` chooses, by birth.
async fn facts_where(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    condition: &str,
    ids: &[&[u8]],
) -> Result<Vec<Fact>> {
    let sql = format!("SELECT {FACT_COLUMNS} WHERE r.tenant = $1 AND r.township = $2 AND {condition} ORDER BY r.born");
    let found = rows(c, &sql, &[&tenant, &township.0.as_slice(), &ids]).await?;
    let mut facts: Vec<Fact> = found.iter().map(fact).collect::<Result<_>>()?;
    add_earlier(c, tenant, township, &mut facts).await?;
    Ok(facts)
}

/// Adds where records that are about nothing lay before.
async fn add_earlier(c: &impl GenericClient, tenant: &[u8], township: TownshipId, facts: &mut [Fact]) -> Result<()> {
    let mut own: HashMap<RecordId, &mut Fact> =
        facts.iter_mut().filter(|fact| fact.subject.is_none()).map(|fact| (fact.id, fact)).collect();
    if own.is_empty() {
        return Ok(());
    }
    let known: Vec<RecordId> = own.keys().copied().collect();
    let ids: Vec<&[u8]> = known.iter().map(|id| id.0.as_slice()).collect();
    for (record, rows) in rights::relocations(c, tenant, township, &ids).await? {
        if let Some(fact) = own.get_mut(&record) {
            fact.earlier = relocation::past(&rows).0;
        }
    }
    Ok(())
}

const LINE_COLUMNS: &str = "l.born, l.type, l.day, l.round, l.area, l.status, l.persons, l.counts, l.late, l.stands,
    l.open_area, l.differing, l.doubtful";

fn line(r: &Row) -> Result<Line> {
    Ok(Line {
        born: number(r, 0)?,
        record_type: get(r, 1)?,
        day: get(r, 2)?,
        round: get(r, 3)?,
        area: AreaId(array(r, 4)?),
        status: get(r, 5)?,
        persons: number32(r, 6)?,
        counts: get(r, 7)?,
        late: get(r, 8)?,
        stands: number32(r, 9)? as u8,
        open_area: optional(r, 10)?.map(AreaId),
        differing: get(r, 11)?,
        doubtful: get(r, 12)?,
    })
}

/// The lines of records without subject, and all lines of the subjects and types of the others.
async fn lines(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    loaded: &Loaded,
) -> Result<Vec<(Option<RecordId>, Line)>> {
    let (subjects, types): (BTreeSet<RecordId>, BTreeSet<&str>) = loaded.subjects().into_iter().unzip();
    let ids: Vec<&[u8]> = subjects.iter().map(|id| id.0.as_slice()).collect();
    let types: Vec<&str> = types.into_iter().collect();
    let own = loaded.facts.values().filter(|fact| fact.subject.is_none());
    let own: Vec<i64> = own.map(|fact| fact.born.cast_signed()).collect();
    let join = "FROM record r JOIN figure_line l ON l.tenant = r.tenant AND l.township = r.township AND l.born = r.born
        WHERE r.tenant = $1 AND r.township = $2";
    let columns = format!("SELECT {LINE_COLUMNS}, r.subject {join}");
    let township = township.0.as_slice();
    let mut found = Vec::new();
    if !ids.is_empty() {
        let sql = format!("{columns} AND r.subject = ANY($3) AND r.type = ANY($4)");
        found.extend(rows(c, &sql, &[&tenant, &township, &ids, &types]).await?);
    }
    if !own.is_empty() {
        found.extend(rows(c, &format!("{columns} AND l.born = ANY($3)"), &[&tenant, &township, &own]).await?);
    }
    found.iter().map(|r| Ok((optional(r, 13)?.map(RecordId), line(r)?))).collect()
}

async fn write_lines(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    changes: &[LineChange],
) -> Result<()> {
    let township = township.0.as_slice();
    let gone: Vec<i64> = changes.iter().filter(|l| l.new.is_none()).map(|l| l.born.cast_signed()).collect();
    if !gone.is_empty() {
        let sql = "DELETE FROM figure_line WHERE tenant = $1 AND township = $2 AND born = ANY($3)";
        run(c, sql, &[&tenant, &township, &gone]).await?;
    }
    let lines: Vec<&Line> = changes.iter().filter_map(|change| change.new.as_ref()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let texts = |f: fn(&Line) -> &str| -> Vec<&str> { lines.iter().map(|l| f(l)).collect() };
    let numbers = |f: fn(&Line) -> i64| -> Vec<i64> { lines.iter().map(|l| f(l)).collect() };
    let flags = |f: fn(&Line) -> bool| -> Vec<bool> { lines.iter().map(|l| f(l)).collect() };
    let areas: Vec<&[u8]> = lines.iter().map(|l| l.area.0.as_slice()).collect();
    let open: Vec<Option<&[u8]>> = lines.iter().map(|l| l.open_area.as_ref().map(|a| a.0.as_slice())).collect();
    let sql = "INSERT INTO figure_line (tenant, township, born, type, day, round, area, status, persons, counts, late, stands,
         open_area, differing, doubtful)
        SELECT $1, $2, n.* FROM UNNEST($3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BYTEA[], $8::TEXT[], $9::BIGINT[],
         $10::BOOLEAN[], $11::BOOLEAN[], $12::BIGINT[], $13::BYTEA[], $14::BOOLEAN[], $15::BOOLEAN[]) AS n
        ON CONFLICT (tenant, township, born) DO UPDATE SET type = excluded.type, day = excluded.day, round = excluded.round,
         area = excluded.area, status = excluded.status, persons = excluded.persons, counts = excluded.counts,
         late = excluded.late, stands = excluded.stands, open_area = excluded.open_area, differing = excluded.differing,
         doubtful = excluded.doubtful";
    let values: [Param<'_>; 15] = [
        &tenant,
        &township,
        &numbers(|l| l.born.cast_signed()),
        &texts(|l| &l.record_type),
        &texts(|l| &l.day),
        &texts(|l| &l.round),
        &areas,
        &texts(|l| &l.status),
        &numbers(|l| l.persons.into()),
        &flags(|l| l.counts),
        &flags(|l| l.late),
        &numbers(|l| l.stands.into()),
        &open,
        &flags(|l| l.differing),
        &flags(|l| l.doubtful),
    ];
    run(c, sql, &values).await?;
    Ok(())
}

/// The stays of households, by household; none for other records.
async fn stays(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    subjects: &BTreeSet<RecordId>,
) -> Result<HashMap<RecordId, Vec<Stay>>> {
    let mut found: HashMap<RecordId, Vec<Stay>> = HashMap::new();
    if subjects.is_empty() {
        return Ok(found);
    }
    let ids: Vec<&[u8]> = subjects.iter().map(|id| id.0.as_slice()).collect();
    let sql = "SELECT s.from_day, s.until_day, s.area, s.counts, s.persons, s.status, s.type, r.id FROM record r
        JOIN figure_stay s ON s.tenant = r.tenant AND s.township = r.township AND s.born = r.born
        WHERE r.tenant = $1 AND r.township = $2 AND r.id = ANY($3) ORDER BY s.from_day";
    for r in rows(c, sql, &[&tenant, &township.0.as_slice(), &ids]).await? {
        let stay = Stay {
            from: get(&r, 0)?,
            until: get(&r, 1)?,
            area: AreaId(array(&r, 2)?),
            counts: get(&r, 3)?,
            persons: number32(&r, 4)?,
            status: get(&r, 5)?,
            record_type: get(&r, 6)?,
        };
        found.entry(RecordId(array(&r, 7)?)).or_default().push(stay);
    }
    Ok(found)
}

async fn write_stays(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    households: &[(u64, Vec<Stay>)],
) -> Result<()> {
    if households.is_empty() {
        return Ok(());
    }
    let township = township.0.as_slice();
    let borns: Vec<i64> = households.iter().map(|(born, _)| born.cast_signed()).collect();
    let sql = "DELETE FROM figure_stay WHERE tenant = $1 AND township = $2 AND born = ANY($3)";
    run(c, sql, &[&tenant, &township, &borns]).await?;
    let all: Vec<(i64, &Stay)> =
        households.iter().flat_map(|(born, stays)| stays.iter().map(|s| (born.cast_signed(), s))).collect();
    let texts = |f: fn(&Stay) -> &str| -> Vec<&str> { all.iter().map(|(_, s)| f(s)).collect() };
    let sql =
        "INSERT INTO figure_stay (tenant, township, born, from_day, until_day, area, counts, persons, status, type)
        SELECT $1, $2, n.* FROM UNNEST($3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::BYTEA[], $7::BOOLEAN[], $8::BIGINT[],
         $9::TEXT[], $10::TEXT[]) AS n";
    let areas: Vec<&[u8]> = all.iter().map(|(_, s)| s.area.0.as_slice()).collect();
    let values: [Param<'_>; 10] = [
        &tenant,
        &township,
        &all.iter().map(|(born, _)| *born).collect::<Vec<i64>>(),
        &texts(|s| &s.from),
        &texts(|s| &s.until),
        &areas,
        &all.iter().map(|(_, s)| s.counts).collect::<Vec<bool>>(),
        &all.iter().map(|(_, s)| i64::from(s.persons)).collect::<Vec<i64>>(),
        &texts(|s| &s.status),
        &texts(|s| &s.record_type),
    ];
    run(c, sql, &values).await?;
    Ok(())
}

async fn write(c: &impl GenericClient, tenant: &[u8], township: TownshipId, tally: Tally) -> Result<()> {
    let changes: Vec<_> = tally.changes().collect();
    if changes.is_empty() {
        return Ok(());
    }
    let township = township.0.as_slice();
    let areas: Vec<&[u8]> = changes.iter().map(|(cell, _)| cell.area.0.as_slice()).collect();
    let periods: Vec<&str> = changes.iter().map(|(cell, _)| cell.period.as_str()).collect();
    let types: Vec<&str> = changes.iter().map(|(cell, _)| cell.record_type.as_str()).collect();
    let statuses: Vec<&str> = changes.iter().map(|(cell, _)| cell.status.as_str()).collect();
    let numbers = |f: fn(&Sums) -> i64| -> Vec<i64> { changes.iter().map(|(_, s)| f(s)).collect() };
    let sql = "INSERT INTO figure (tenant, township, area, period, type, status, records, late, households, persons)
        SELECT $1, $2, n.* FROM UNNEST($3::BYTEA[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::BIGINT[],
         $9::BIGINT[], $10::BIGINT[]) AS n
        ON CONFLICT (tenant, township, area, period, type, status) DO UPDATE SET records = figure.records + excluded.records,
         late = figure.late + excluded.late, households = figure.households + excluded.households,
         persons = figure.persons + excluded.persons";
    let values: [Param<'_>; 10] = [
        &tenant,
        &township,
        &areas,
        &periods,
        &types,
        &statuses,
        &numbers(|s| s.records),
        &numbers(|s| s.late),
        &numbers(|s| s.households),
        &numbers(|s| s.persons),
    ];
    run(c, sql, &values).await?;
    let sql = "DELETE FROM figure f USING UNNEST($3::BYTEA[], $4::TEXT[]) AS n (area, period)
        WHERE f.tenant = $1 AND f.township = $2 AND f.area = n.area AND f.period = n.period
         AND f.records = 0 AND f.late = 0 AND f.households = 0 AND f.persons = 0";
    if changes.iter().any(|(_, s)| s.records < 0 || s.late < 0 || s.households < 0 || s.persons < 0) {
        run(c, sql, &[&tenant, &township, &areas, &periods]).await?;
    }
    Ok(())
}

/// Throws away what is kept for a township and makes it anew.
async fn rebuild(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<u64> {
    let id = township.0.as_slice();
    let sql = "SELECT 1 FROM feed WHERE tenant = $1 AND township = $2 FOR UPDATE";
    rows(c, sql, &[&tenant, &id]).await?;
    for table in ["figure", "figure_line", "figure_stay"] {
        let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND township = $2");
        run(c, &sql, &[&tenant, &id]).await?;
    }
    let (late_days, mut tally, mut after, mut done) = (late_days(c, tenant).await?, Tally::default(), 0_i64, 0);
    loop {
        let sql =
            "SELECT id, born FROM record WHERE tenant = $1 AND township = $2 AND born > $3 ORDER BY born LIMIT $4";
        let found = rows(c, sql, &[&tenant, &id, &after, &REBUILD_CHUNK]).await?;
        let Some(last) = found.last() else { break };
        after = get(last, 1)?;
        done += found.len() as u64;
        let ids: Vec<&[u8]> = found.iter().map(|r| get(r, 0)).collect::<Result<_>>()?;
        let facts = facts_where(c, tenant, township, "r.id = ANY($3)", &ids).await?;
        tally_up(c, tenant, township, facts, &late_days, &mut tally).await?;
    }
    write(c, tenant, township, tally).await?;
    Ok(done)
}

impl FigureStorage for PostgresStorage {
    fn figures(&self, township: TownshipId, query: &FigureQuery) -> Result<Vec<FigureRow>> {
        self.read(async |c, t| read::figures(c, t, township, query).await)
    }

    fn figure_list(&self, township: TownshipId, filter: &FigureFilter) -> Result<Vec<FigureEntry>> {
        self.ask(async |c, t| read::list(c, t, township, filter).await)
    }

    fn figure_facts(&self, township: TownshipId, after: u64, limit: u32) -> Result<Vec<Fact>> {
        self.read(async |c, t| read::facts(c, t, township, after, limit).await)
    }

    fn figure_group(&self, township: TownshipId, subject: RecordId) -> Result<FigureGroup> {
        self.read(async |c, t| read::group(c, t, township, subject).await)
    }

    fn figure_cells(&self, township: TownshipId) -> Result<(Cells, u64, u64)> {
        self.read(async |c, t| read::cells(c, t, township).await)
    }

    fn rebuild_figures(&self, township: TownshipId) -> Result<u64> {
        self.write(async |tx, t| rebuild(tx, &t.id, township).await)
    }

    fn freeze(&self, township: TownshipId, report: &FrozenReport, period: &Period) -> Result<u64> {
        self.write(async |tx, t| frozen::freeze(tx, &t.id, township, report, period).await)
    }

    fn frozen_reports(&self, township: TownshipId) -> Result<Vec<FrozenReport>> {
        self.ask(async |c, t| frozen::reports(c, t, township).await)
    }

    fn frozen_entries(
        &self,
        township: TownshipId,
        report: u64,
        kind: Kind,
        after: u64,
        limit: u32,
    ) -> Result<Vec<FigureEntry>> {
        self.ask(async |c, t| frozen::entries(c, t, township, (report, kind), (after, limit)).await)
    }
}
