//! Figures and the lists behind them.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, RecordId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::super::figures::plan;
use super::super::super::figures::{
    Cell, Cells, Fact, FigureEntry, FigureFilter, FigureGroup, FigureQuery, FigureRow, Kind, Sums,
};
use super::super::super::{Result, TownshipId};
use super::super::{Param, array, get, number, number32, optional, row, rows};
use super::{LINE_COLUMNS, facts_where, line, stays};
use crate::calendar::Period;

fn sums(r: &Row, first: usize) -> Result<Sums> {
    Ok(Sums {
        records: get(r, first)?,
        late: get(r, first + 1)?,
        households: get(r, first + 2)?,
        persons: get(r, first + 3)?,
    })
}

/// All areas of a township that have figures, without walking along all of them.
async fn known_areas(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<AreaId>> {
    let sql = "WITH RECURSIVE a (area) AS (
            (SELECT area FROM figure WHERE tenant = $1 AND township = $2 ORDER BY area LIMIT 1)
            UNION ALL
            SELECT (SELECT f.area FROM figure f WHERE f.tenant = $1 AND f.township = $2 AND f.area > a.area
                ORDER BY f.area LIMIT 1) FROM a WHERE a.area IS NOT NULL)
        SELECT area FROM a WHERE area IS NOT NULL";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice()]).await?;
    found.iter().map(|r| Ok(AreaId(array(r, 0)?))).collect()
}

pub(super) async fn figures(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    query: &FigureQuery,
) -> Result<Vec<FigureRow>> {
    let areas = if query.areas.is_empty() { known_areas(c, tenant, township).await? } else { query.areas.clone() };
    let areas: Vec<&[u8]> = areas.iter().map(|area| area.0.as_slice()).collect();
    let column = plan::column(&query.period);
    let one = |column: &str| (column.to_owned(), column.to_owned());
    let mut ranges = vec![
        (Kind::Records, one(&column)),
        (Kind::Differing, one(plan::DIFFERING)),
        (Kind::Doubtful, one(plan::DOUBTFUL)),
    ];
    ranges.extend(plan::stock_ranges(&query.as_of).map(|range| (Kind::Stock, range)));
    let sql = "SELECT area, type, status, records, late, households, persons FROM figure
        WHERE tenant = $1 AND township = $2 AND area = ANY($3) AND period >= $4 AND period <= $5";
    let mut found: HashMap<(AreaId, Kind, String, String), Sums> = HashMap::new();
    for (kind, (from, to)) in ranges {
        for r in rows(c, sql, &[&tenant, &township.0.as_slice(), &areas, &from, &to]).await? {
            let key = (AreaId(array(&r, 0)?), kind, get(&r, 1)?, get(&r, 2)?);
            found.entry(key).or_default().add(&sums(&r, 3)?, 1);
        }
    }
    let rows = found.into_iter().filter(|(_, sums)| !sums.is_zero());
    Ok(rows
        .map(|((area, kind, record_type, status), sums)| FigureRow { area, kind, record_type, status, sums })
        .collect())
}

pub(super) async fn list(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    filter: &FigureFilter,
) -> Result<Vec<FigureEntry>> {
    let bit = i64::from(plan::bit(&filter.period));
    let (columns, table) = match filter.kind {
        Kind::Stock => ("l.area, l.status, '', l.persons, FALSE, TRUE".to_owned(), "figure_stay"),
        Kind::Records => {
            (format!("l.area, l.status, l.day, l.persons, l.late, (l.stands & {bit}) <> 0"), "figure_line")
        }
        Kind::Differing | Kind::Doubtful => {
            ("l.open_area, '', l.day, l.persons, l.late, FALSE".to_owned(), "figure_line")
        }
    };
    let mut sql = format!(
        "SELECT r.born, r.id, r.subject, l.type, {columns} FROM {table} l
         JOIN record r ON r.tenant = l.tenant AND r.township = l.township AND r.born = l.born
         WHERE l.tenant = $1 AND l.township = $2 AND l.born > $3"
    );
    let after = filter.after.min(i64::MAX as u64).cast_signed();
    let mut values: Vec<Box<dyn ToSql + Sync>> =
        vec![Box::new(tenant.to_vec()), Box::new(township.0.to_vec()), Box::new(after)];
    let mut also = |condition: &str, value: Box<dyn ToSql + Sync>| {
        values.push(value);
        sql.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    match filter.kind {
        Kind::Stock => {
            also(" AND l.counts AND l.from_day <= ? AND l.until_day > ?", Box::new(filter.as_of.clone()));
        }
        Kind::Differing => also(" AND l.differing = ? AND l.open_area IS NOT NULL", Box::new(true)),
        Kind::Doubtful => also(" AND l.doubtful = ? AND l.open_area IS NOT NULL", Box::new(true)),
        Kind::Records => match (&filter.period, filter.period.days()) {
            (Period::Calendar(_), Some((from, to))) => {
                also(" AND l.day >= ?", Box::new(from));
                also(" AND l.day <= ?", Box::new(to));
            }
            (Period::Round(round), _) => also(" AND l.round = ?", Box::new(round.clone())),
            _ => also(" AND strpos(l.type, ?) = 0", Box::new(".")),
        },
    }
    if let Some(record_type) = &filter.record_type {
        also(" AND l.type = ?", Box::new(record_type.clone()));
    }
    if let Some(status) = &filter.status {
        also(" AND l.status = ?", Box::new(status.clone()));
    }
    if filter.late && filter.kind != Kind::Stock {
        also(" AND l.late = ?", Box::new(true));
    }
    if filter.households && filter.kind == Kind::Records {
        also(" AND (l.stands & ?) <> 0", Box::new(bit));
    }
    if !filter.areas.is_empty() {
        let column = if matches!(filter.kind, Kind::Differing | Kind::Doubtful) { "open_area" } else { "area" };
        let areas: Vec<Vec<u8>> = filter.areas.iter().map(|area| area.0.to_vec()).collect();
        also(&format!(" AND l.{column} = ANY(?)"), Box::new(areas));
    }
    also(" ORDER BY l.born LIMIT ?", Box::new(i64::from(filter.limit.clamp(1, 1000))));
    let params: Vec<Param<'_>> = values.iter().map(|v| &**v).collect();
    rows(c, &sql, &params).await?.iter().map(entry).collect()
}

pub(super) fn entry(r: &Row) -> Result<FigureEntry> {
    Ok(FigureEntry {
        born: number(r, 0)?,
        record: RecordId(array(r, 1)?),
        subject: optional(r, 2)?.map(RecordId),
        record_type: get(r, 3)?,
        area: AreaId(array(r, 4)?),
        status: get(r, 5)?,
        day: get(r, 6)?,
        persons: number32(r, 7)?,
        late: get(r, 8)?,
        household: get(r, 9)?,
    })
}

pub(super) async fn facts(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    after: u64,
    limit: u32,
) -> Result<Vec<Fact>> {
    let sql = "SELECT id FROM record WHERE tenant = $1 AND township = $2 AND born > $3 ORDER BY born LIMIT $4";
    let after = after.min(i64::MAX as u64).cast_signed();
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &after, &i64::from(limit.clamp(1, 1000))]).await?;
    let ids: Vec<&[u8]> = found.iter().map(|r| get(r, 0)).collect::<Result<_>>()?;
    facts_where(c, tenant, township, "r.id = ANY($3)", &ids).await
}

pub(super) async fn group(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    subject: RecordId,
) -> Result<FigureGroup> {
    let id = [subject.0.as_slice()];
    let facts = facts_where(c, tenant, township, "(r.id = ANY($3) OR r.subject = ANY($3))", &id).await?;
    let borns: Vec<i64> = facts.iter().map(|fact| fact.born.cast_signed()).collect();
    let sql = format!(
        "SELECT {LINE_COLUMNS} FROM figure_line l WHERE l.tenant = $1 AND l.township = $2 AND l.born = ANY($3) ORDER BY l.born"
    );
    let lines = rows(c, &sql, &[&tenant, &township.0.as_slice(), &borns]).await?;
    let lines = lines.iter().map(line).collect::<Result<_>>()?;
    let mut stays = stays(c, tenant, township, &BTreeSet::from([subject])).await?;
    Ok(FigureGroup { facts, lines, stays: stays.remove(&subject).unwrap_or_default() })
}

pub(super) async fn cells(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<(Cells, u64, u64)> {
    let sql = "SELECT area, period, type, status, records, late, households, persons FROM figure
        WHERE tenant = $1 AND township = $2";
    let township = township.0.as_slice();
    let mut cells = Cells::new();
    for r in rows(c, sql, &[&tenant, &township]).await? {
        let area = AreaId(array(&r, 0)?);
        let cell = Cell { area, period: get(&r, 1)?, record_type: get(&r, 2)?, status: get(&r, 3)? };
        cells.insert(cell, sums(&r, 4)?);
    }
    cells.retain(|_, sums| !sums.is_zero());
    let mut counts = [0; 2];
    for (count, table) in counts.iter_mut().zip(["figure_line", "figure_stay"]) {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant = $1 AND township = $2");
        *count = row(c, &sql, &[&tenant, &township]).await?.map_or(Ok(0), |r| number(&r, 0))?;
    }
    Ok((cells, counts[0], counts[1]))
}
