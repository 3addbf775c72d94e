//! Links between households and members.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::RecordId;
use doorstep_core::link::{LINK_TYPE, Link, unite};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::super::columns::{from_key, to_identity};
use super::super::links::{LinkStorage, StoredLink, United, link_of};
use super::super::{PreparedRecord, Result, TownshipId};
use super::figures::{self, Touched};
use super::{SqliteStorage, people};

impl LinkStorage for SqliteStorage {
    fn links(&self, township: TownshipId) -> Result<Vec<StoredLink>> {
        self.read(|c| people::township_no(c, township)?.map_or(Ok(Vec::new()), |no| all(c, no)))
    }

    fn united(&self, township: TownshipId) -> Result<BTreeMap<RecordId, RecordId>> {
        self.read(|c| people::township_no(c, township)?.map_or(Ok(BTreeMap::new()), |no| united(c, no)))
    }
}

fn all(c: &Connection, township_no: i64) -> Result<Vec<StoredLink>> {
    let mut statement = c.prepare_cached(
        "SELECT record, key, is_same, is_not_same, leads FROM link WHERE township_no = ? ORDER BY record",
    )?;
    let rows = statement.query_map([township_no], |r| {
        let identity = to_identity(LINK_TYPE.to_owned(), r.get_ref(1)?.as_blob()?);
        let leads = r.get::<_, Option<_>>(4)?.map(RecordId);
        let (is_same, is_not_same) = (r.get(2)?, r.get(3)?);
        let none = Link::read(&identity, &BTreeMap::new(), false);
        let link = none.map(|link| Link { is_same, is_not_same, leads, ..link });
        Ok(link.map(|link| (RecordId(r.get(0).unwrap_or_default()), identity, link)))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten();
    Ok(rows.map(|(record, identity, link)| StoredLink { record, identity, link }).collect())
}

fn united(c: &Connection, township_no: i64) -> Result<BTreeMap<RecordId, RecordId>> {
    let mut statement = c.prepare_cached("SELECT record, leads FROM united WHERE township_no = ?")?;
    let rows = statement.query_map([township_no], |r| Ok((RecordId(r.get(0)?), RecordId(r.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What is united with any of these households.
pub(super) fn united_with(c: &Connection, township_no: i64, households: &BTreeSet<RecordId>) -> Result<United> {
    let mut found = United::default();
    let any = "SELECT EXISTS (SELECT 1 FROM united WHERE township_no = ?)";
    if !c.prepare_cached(any)?.query_row([township_no], |r| r.get(0))? {
        return Ok(found);
    }
    let mut statement = c.prepare_cached(
        "SELECT record, leads FROM united WHERE township_no = ?1
         AND leads = coalesce((SELECT leads FROM united WHERE township_no = ?1 AND record = ?2), ?2)",
    )?;
    for household in households {
        let rows = statement
            .query_map(params![township_no, household.0], |r| Ok((RecordId(r.get(0)?), RecordId(r.get(1)?))))?;
        for row in rows {
            let (record, leads) = row?;
            found.0.insert(record, leads);
        }
    }
    Ok(found)
}

/// Brings links and what they unite up to date with records that were just written. What counts otherwise by that is
/// touched: the households, and all records about them.
pub(super) fn file(c: &Connection, township_no: i64, records: &[PreparedRecord], touched: &mut Touched) -> Result<()> {
    let links = records.iter().filter_map(|r| link_of(r.id, &r.identity, &r.projection));
    let mut changed = false;
    for StoredLink { record, identity, link } in links {
        c.prepare_cached(
            "INSERT OR REPLACE INTO link (township_no, record, key, is_same, is_not_same, leads) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            township_no,
            record.0,
            from_key(&identity),
            link.is_same,
            link.is_not_same,
            link.leads.map(|id| id.0)
        ])?;
        changed = true;
    }
    if !changed {
        return Ok(());
    }
    let links = all(c, township_no)?;
    let now = United(unite(links.iter().map(|stored| &stored.link)));
    let before = United(united(c, township_no)?);
    for household in before.changed(&now) {
        let leads = now.0.get(&household).map(|id| id.0);
        let (sql, values): (_, &[&dyn ToSql]) = match &leads {
            Some(leads) => (
                "INSERT OR REPLACE INTO united (township_no, record, leads) VALUES (?, ?, ?)",
                &[&township_no, &household.0, leads],
            ),
            None => ("DELETE FROM united WHERE township_no = ? AND record = ?", &[&township_no, &household.0]),
        };
        c.prepare_cached(sql)?.execute(values)?;
        let no = "SELECT no FROM record WHERE id = ? AND township_no = ?";
        let own: Option<i64> =
            c.prepare_cached(no)?.query_row(params![household.0, township_no], |r| r.get(0)).optional()?;
        touched.extend(own);
        touched.extend(figures::about(c, township_no, household)?);
    }
    Ok(())
}
