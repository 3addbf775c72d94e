//! Links between households and members.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use doorstep_core::id::{Identity, RecordId};
use doorstep_core::link::{LINK_TYPE, Link, unite};

use super::super::columns::{from_key, to_identity};
use super::super::links::{LinkStorage, StoredLink, United, link_of};
use super::super::{Projection, Result, TownshipId};
use super::{PostgresStorage, array, get, optional, rows, run};

impl LinkStorage for PostgresStorage {
    fn links(&self, township: TownshipId) -> Result<Vec<StoredLink>> {
        self.ask(async |c, t| all(c, t, township).await)
    }

    fn united(&self, township: TownshipId) -> Result<BTreeMap<RecordId, RecordId>> {
        self.ask(async |c, t| united(c, t, township).await)
    }
}

async fn all(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<StoredLink>> {
    let sql = "SELECT record, key, is_same, is_not_same, leads FROM link WHERE tenant = $1 AND township = $2
        ORDER BY record";
    let mut found = Vec::new();
    for r in rows(c, sql, &[&tenant, &township.0.as_slice()]).await? {
        let identity = to_identity(LINK_TYPE.to_owned(), get(&r, 1)?);
        let Some(none) = Link::read(&identity, &BTreeMap::new(), false) else { continue };
        let leads = optional(&r, 4)?.map(RecordId);
        let link = Link { is_same: get(&r, 2)?, is_not_same: get(&r, 3)?, leads, ..none };
        found.push(StoredLink { record: RecordId(array(&r, 0)?), identity, link });
    }
    Ok(found)
}

async fn united(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<BTreeMap<RecordId, RecordId>> {
    let sql = "SELECT record, leads FROM united WHERE tenant = $1 AND township = $2";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice()]).await?;
    found.iter().map(|r| Ok((RecordId(array(r, 0)?), RecordId(array(r, 1)?)))).collect()
}

/// What is united with any of these households.
pub(super) async fn united_with(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    households: &BTreeSet<RecordId>,
) -> Result<United> {
    let ids: Vec<&[u8]> = households.iter().map(|id| id.0.as_slice()).collect();
    let sql = "SELECT record, leads FROM united WHERE tenant = $1 AND township = $2 AND (leads = ANY($3) OR leads IN
        (SELECT leads FROM united WHERE tenant = $1 AND township = $2 AND record = ANY($3)))";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &ids]).await?;
    let found: Result<_> = found.iter().map(|r| Ok((RecordId(array(r, 0)?), RecordId(array(r, 1)?)))).collect();
    Ok(United(found?))
}

/// Brings links and what they unite up to date with records that were just written. The feed's row is locked by then, so
/// that nobody else does the same for the township. Gives what counts otherwise by that: the households, and all records
/// about them.
pub(super) async fn file<'a>(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    records: impl Iterator<Item = (RecordId, &'a Identity, &'a Projection)>,
) -> Result<BTreeSet<RecordId>> {
    let links: Vec<StoredLink> = records.filter_map(|(id, identity, p)| link_of(id, identity, p)).collect();
    if links.is_empty() {
        return Ok(BTreeSet::new());
    }
    let town = township.0.as_slice();
    for StoredLink { record, identity, link } in &links {
        let sql = "INSERT INTO link (tenant, township, record, key, is_same, is_not_same, leads)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, township, record) DO UPDATE
            SET is_same = excluded.is_same, is_not_same = excluded.is_not_same, leads = excluded.leads";
        let leads = link.leads.as_ref().map(|id| id.0.as_slice());
        let key = from_key(identity);
        run(c, sql, &[&tenant, &town, &record.0.as_slice(), &key, &link.is_same, &link.is_not_same, &leads]).await?;
    }
    let links = all(c, tenant, township).await?;
    let now = United(unite(links.iter().map(|stored| &stored.link)));
    let before = United(united(c, tenant, township).await?);
    let mut changed = before.changed(&now);
    if changed.is_empty() {
        return Ok(changed);
    }
    let (led, free): (Vec<RecordId>, Vec<RecordId>) = changed.iter().partition(|id| now.is_led(**id));
    let gone: Vec<&[u8]> = free.iter().map(|id| id.0.as_slice()).collect();
    run(c, "DELETE FROM united WHERE tenant = $1 AND township = $2 AND record = ANY($3)", &[&tenant, &town, &gone])
        .await?;
    let records: Vec<&[u8]> = led.iter().map(|id| id.0.as_slice()).collect();
    let leads: Vec<RecordId> = led.iter().map(|id| now.lead(*id)).collect();
    let leads: Vec<&[u8]> = leads.iter().map(|id| id.0.as_slice()).collect();
    let sql = "INSERT INTO united (tenant, township, record, leads)
        SELECT $1, $2, n.* FROM UNNEST($3::BYTEA[], $4::BYTEA[]) AS n
        ON CONFLICT (tenant, township, record) DO UPDATE SET leads = excluded.leads";
    run(c, sql, &[&tenant, &town, &records, &leads]).await?;
    let all: Vec<&[u8]> = changed.iter().map(|id| id.0.as_slice()).collect();
    let sql = "SELECT id FROM record WHERE tenant = $1 AND township = $2 AND subject = ANY($3)";
    let about = rows(c, sql, &[&tenant, &town, &all]).await?;
    let about: Vec<RecordId> = about.iter().map(|r| Ok(RecordId(array(r, 0)?))).collect::<Result<_>>()?;
    changed.extend(about);
    Ok(changed)
}
