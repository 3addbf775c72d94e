//! Links between households and members.

use std::collections::BTreeMap;

use doorstep_core::id::RecordId;
use doorstep_core::link::{LINK_TYPE, Link, unite};
use rusqlite::{Connection, params};

use super::super::columns::{from_key, to_identity};
use super::super::links::{LinkStorage, StoredLink, link_of};
use super::super::{PreparedRecord, Result, TownshipId};
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

/// Brings links and what they unite up to date with records that were just written.
pub(super) fn file(c: &Connection, township_no: i64, records: &[PreparedRecord]) -> Result<()> {
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
    let now = unite(links.iter().map(|stored| &stored.link));
    let before = united(c, township_no)?;
    for record in before.keys().filter(|record| !now.contains_key(record)) {
        c.prepare_cached("DELETE FROM united WHERE township_no = ? AND record = ?")?
            .execute(params![township_no, record.0])?;
    }
    for (record, leads) in now.iter().filter(|(record, leads)| before.get(record) != Some(leads)) {
        c.prepare_cached("INSERT OR REPLACE INTO united (township_no, record, leads) VALUES (?, ?, ?)")?
            .execute(params![township_no, record.0, leads.0])?;
    }
    Ok(())
}
