//! Reports that stay as they were.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::super::super::figures::{FigureEntry, FigureFilter, FrozenReport, Kind};
use super::super::super::{Result, TownshipId};
use super::super::{Param, get, number, other, people, row, rows, run};
use super::read::{entry, list};
use crate::calendar::Period;

pub(super) async fn freeze(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    report: &FrozenReport,
    period: &Period,
) -> Result<u64> {
    let id = township.0.as_slice();
    people::know_township(c, tenant, township).await?;
    // nothing merges between the lists of one report
    row(c, "SELECT 1 FROM feed WHERE tenant = $1 AND township = $2 FOR UPDATE", &[&tenant, &id]).await?;
    let sql = "INSERT INTO frozen_report (tenant, township, no, name, period, as_of, made_ms, made_by, areas)
        SELECT $1, $2, coalesce(max(no), 0) + 1, $3, $4, $5, $6, $7, $8 FROM frozen_report WHERE tenant = $1 AND township = $2
        RETURNING no";
    let values: [Param<'_>; 8] = [
        &tenant,
        &id,
        &report.name,
        &report.period,
        &report.as_of,
        &report.made_ms.cast_signed(),
        &report.made_by,
        &report.areas,
    ];
    let made = row(c, sql, &values).await?.ok_or_else(|| other("the report is gone"))?;
    let no: i64 = get(&made, 0)?;
    for kind in [Kind::Stock, Kind::Records] {
        let mut filter = FigureFilter::whole(kind, period.clone(), report.as_of.clone());
        loop {
            let entries = list(c, tenant, township, &filter).await?;
            let Some(last) = entries.last() else { break };
            filter.after = last.born;
            insert(c, tenant, township, (no, kind), &entries).await?;
        }
    }
    Ok(no.cast_unsigned())
}

async fn insert(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    (no, kind): (i64, Kind),
    entries: &[FigureEntry],
) -> Result<()> {
    let texts = |f: fn(&FigureEntry) -> &str| -> Vec<&str> { entries.iter().map(f).collect() };
    let bytes = |f: fn(&FigureEntry) -> &[u8]| -> Vec<&[u8]> { entries.iter().map(f).collect() };
    let flags = |f: fn(&FigureEntry) -> bool| -> Vec<bool> { entries.iter().map(f).collect() };
    let subjects: Vec<Option<&[u8]>> = entries.iter().map(|e| e.subject.as_ref().map(|s| s.0.as_slice())).collect();
    let sql = "INSERT INTO frozen_entry (tenant, township, report_no, kind, born, record, subject, type, area, status, day,
         persons, late, household)
        SELECT $1, $2, $3, $4, n.* FROM UNNEST($5::BIGINT[], $6::BYTEA[], $7::BYTEA[], $8::TEXT[], $9::BYTEA[], $10::TEXT[],
         $11::TEXT[], $12::BIGINT[], $13::BOOLEAN[], $14::BOOLEAN[]) AS n";
    let values: [Param<'_>; 14] = [
        &tenant,
        &township.0.as_slice(),
        &no,
        &kind.as_str(),
        &entries.iter().map(|e| e.born.cast_signed()).collect::<Vec<i64>>(),
        &bytes(|e| &e.record.0),
        &subjects,
        &texts(|e| &e.record_type),
        &bytes(|e| &e.area.0),
        &texts(|e| &e.status),
        &texts(|e| &e.day),
        &entries.iter().map(|e| i64::from(e.persons)).collect::<Vec<i64>>(),
        &flags(|e| e.late),
        &flags(|e| e.household),
    ];
    run(c, sql, &values).await?;
    Ok(())
}

pub(super) async fn reports(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<FrozenReport>> {
    let sql = "SELECT no, name, period, as_of, made_ms, made_by, areas FROM frozen_report
        WHERE tenant = $1 AND township = $2 ORDER BY no DESC";
    let report = |r: &Row| {
        Ok(FrozenReport {
            no: number(r, 0)?,
            name: get(r, 1)?,
            period: get(r, 2)?,
            as_of: get(r, 3)?,
            made_ms: number(r, 4)?,
            made_by: get(r, 5)?,
            areas: get(r, 6)?,
        })
    };
    rows(c, sql, &[&tenant, &township.0.as_slice()]).await?.iter().map(report).collect()
}

pub(super) async fn entries(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    (report, kind): (u64, Kind),
    (after, limit): (u64, u32),
) -> Result<Vec<FigureEntry>> {
    let sql = "SELECT born, record, subject, type, area, status, day, persons, late, household FROM frozen_entry
        WHERE tenant = $1 AND township = $2 AND report_no = $3 AND kind = $4 AND born > $5 ORDER BY born LIMIT $6";
    let (report, after) = (report.min(i64::MAX as u64).cast_signed(), after.min(i64::MAX as u64).cast_signed());
    let limit = i64::from(limit.clamp(1, 1000));
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &report, &kind.as_str(), &after, &limit]).await?;
    found.iter().map(entry).collect()
}
