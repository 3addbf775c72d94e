//! Grants by subject and by their end, the past of areas, units, and moves of records.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Position};
use tokio_postgres::Row;

use super::super::chain::{KIND_CHANGE, KIND_MOVE};
use super::super::relocation::{self, Change, MovedBy};
use super::super::rights::MOVED_MAX;
use super::super::{
    AreaChange, AreaEnd, AreaPast, Areas, Claims, Grant, Hung, Move, Place, Placement, PreparedPush, Relocation,
    Result, RightsStorage, TownshipId, Unit,
};
use super::people::{self, GRANT_COLUMNS};
use super::plan::Feed;
use super::{PostgresStorage, Tenant, array, get, number, number32, optional, row, rows, run, standing};

impl RightsStorage for PostgresStorage {
    fn claims(&self, township: TownshipId, user: UserId) -> Result<Claims> {
        self.read(async |c, t| standing::claims(c, t, &self.caches(), township, user).await)
    }

    fn grants_about(&self, subject: RecordId) -> Result<Vec<(UserId, Grant)>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT user_id, {GRANT_COLUMNS} FROM grant_entry WHERE tenant = $1 AND subject = $2 ORDER BY user_id, seq"
            );
            let found = rows(c, &sql, &[&t, &subject.0.as_slice()]).await?;
            found.iter().map(|r| Ok((UserId(array(r, 0)?), people::grant(r, 1)?))).collect()
        })
    }

    fn overdue_grants(&self, now_ms: Millis) -> Result<Vec<(UserId, Grant)>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT user_id, {GRANT_COLUMNS} FROM grant_entry g WHERE tenant = $1 AND until_ms <= $2 AND active
                 AND NOT EXISTS (SELECT 1 FROM grant_entry l WHERE l.tenant = g.tenant AND l.user_id = g.user_id
                 AND l.grant_no = g.grant_no AND l.seq > g.seq) LIMIT 1000"
            );
            let found = rows(c, &sql, &[&t, &now_ms.cast_signed()]).await?;
            found.iter().map(|r| Ok((UserId(array(r, 0)?), people::grant(r, 1)?))).collect()
        })
    }

    fn area_tree(&self, township: TownshipId) -> Result<Arc<Areas>> {
        self.read(async |c, t| {
            let version = people::areas_version(c, t, township).await?;
            standing::areas(c, t, &self.caches(), township, version).await
        })
    }

    fn area_past(&self, township: TownshipId) -> Result<(Vec<AreaPast>, Vec<AreaEnd>)> {
        self.read(async |c, t| {
            let town = township.0.as_slice();
            let sql = "SELECT area, parent, level, code, name_zh, name_en, until_day FROM area_past
                WHERE tenant = $1 AND township = $2 ORDER BY area, until_day";
            let past = rows(c, sql, &[&t, &town]).await?;
            let past = past.iter().map(|r| Ok(AreaPast { entry: entry(r)?, until_day: get(r, 6)? }));
            Ok((past.collect::<Result<_>>()?, ended(c, t, township).await?))
        })
    }

    fn units(&self) -> Result<Vec<Unit>> {
        self.ask(async |c, t| {
            let sql = "SELECT id, name, sends, is_responsible FROM unit WHERE tenant = $1 ORDER BY name COLLATE \"C\"";
            let found = rows(c, sql, &[&t]).await?;
            let read = |r: &Row| {
                Ok(Unit { id: array(r, 0)?, name: get(r, 1)?, sends: get(r, 2)?, is_responsible: get(r, 3)? })
            };
            found.iter().map(read).collect()
        })
    }

    fn places(&self, township: TownshipId, ids: &[RecordId]) -> Result<HashMap<RecordId, Place>> {
        self.ask(async |c, t| places(c, t, township, ids).await)
    }

    fn relocations(&self, township: TownshipId, record: RecordId) -> Result<Vec<Relocation>> {
        self.ask(async |c, t| {
            let mut found = relocations(c, t, township, &[record.0.as_slice()]).await?;
            Ok(found.remove(&record).unwrap_or_default())
        })
    }

    fn placements(&self, township: TownshipId, record: RecordId) -> Result<Vec<Placement>> {
        self.ask(async |c, t| {
            let sql = "SELECT seq, area, until_day, at_ms FROM placement
                WHERE tenant = $1 AND township = $2 AND record = $3 ORDER BY seq";
            let found = rows(c, sql, &[&t, &township.0.as_slice(), &record.0.as_slice()]).await?;
            let read = |r: &Row| {
                let (seq, at_ms) = (number(r, 0)?, number(r, 3)?);
                Ok(Placement { seq, area: AreaId(array(r, 1)?), until_day: get(r, 2)?, at_ms })
            };
            found.iter().map(read).collect()
        })
    }
}

/// The areas that ended.
async fn ended(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<AreaEnd>> {
    let sql = "SELECT area, ended_day, merged_into FROM area
        WHERE tenant = $1 AND township = $2 AND ended_day IS NOT NULL ORDER BY area";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice()]).await?;
    let read = |r: &Row| Ok(AreaEnd { area: AreaId(array(r, 0)?), day: get(r, 1)?, into: optional(r, 2)?.map(AreaId) });
    found.iter().map(read).collect()
}

/// The areas with all that became of them.
pub(super) async fn areas(c: &impl GenericClient, tenant: &[u8], township: TownshipId, version: u64) -> Result<Areas> {
    let sql = "SELECT version, area, parent, at_ms FROM area_hung WHERE tenant = $1 AND township = $2
        ORDER BY version, area";
    let hung = rows(c, sql, &[&tenant, &township.0.as_slice()]).await?;
    let read = |r: &Row| {
        let (version, at_ms) = (number(r, 0)?, number(r, 3)?);
        Ok(Hung { area: AreaId(array(r, 1)?), parent: optional(r, 2)?.map(AreaId), version, at_ms })
    };
    let hung = hung.iter().map(read).collect::<Result<_>>()?;
    Ok(Areas::new(version, people::areas(c, tenant, township).await?, ended(c, tenant, township).await?, hung))
}

/// Changes an area from a day on; what it was goes into its past.
pub(super) async fn change_area(
    tx: &impl GenericClient,
    t: &Tenant,
    township: TownshipId,
    change: &AreaChange,
) -> Result<u64> {
    let (tenant, town, area) = (t.id.as_slice(), township.0.as_slice(), change.entry.area.0.as_slice());
    let sql = "INSERT INTO area_past (tenant, township, area, until_day, parent, level, code, name_zh, name_en)
        SELECT tenant, township, area, $4, parent, level, code, name_zh, name_en FROM area
        WHERE tenant = $1 AND township = $2 AND area = $3
        ON CONFLICT (tenant, township, area, until_day) DO UPDATE SET parent = excluded.parent,
        level = excluded.level, code = excluded.code, name_zh = excluded.name_zh, name_en = excluded.name_en";
    run(tx, sql, &[&tenant, &town, &area, &change.from_day]).await?;
    let before = "SELECT parent FROM area WHERE tenant = $1 AND township = $2 AND area = $3";
    let before = row(tx, before, &[&tenant, &town, &area]).await?;
    let before = before.map(|r| get::<Option<Vec<u8>>>(&r, 0)).transpose()?;
    let version = people::put_areas(tx, tenant, township, std::slice::from_ref(&change.entry)).await?;
    let parent = change.entry.parent.map(|p| p.0.to_vec());
    if let Some(before) = before.filter(|before| *before != parent || change.merged_into.is_some()) {
        let sql = "INSERT INTO area_hung (tenant, township, version, area, parent, at_ms)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let n = [version, change.at_ms].map(u64::cast_signed);
        run(tx, sql, &[&tenant, &town, &n[0], &area, &before, &n[1]]).await?;
    }
    if let Some(into) = change.merged_into {
        let sql = "UPDATE area SET ended_day = $4, merged_into = $5
            WHERE tenant = $1 AND township = $2 AND area = $3";
        run(tx, sql, &[&tenant, &town, &area, &change.from_day, &into.0.as_slice()]).await?;
    }
    Ok(version)
}

pub(super) async fn put_units(tx: &impl GenericClient, t: &Tenant, units: &[Unit]) -> Result<()> {
    let sql = "INSERT INTO unit (tenant, id, name, sends, is_responsible) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, sends = excluded.sends,
        is_responsible = excluded.is_responsible";
    for unit in units {
        let (tenant, id) = (t.id.as_slice(), unit.id.as_slice());
        run(tx, sql, &[&tenant, &id, &unit.name, &unit.sends, &unit.is_responsible]).await?;
    }
    Ok(())
}

fn entry(r: &Row) -> Result<AreaEntry> {
    Ok(AreaEntry {
        area: AreaId(array(r, 0)?),
        parent: optional(r, 1)?.map(AreaId),
        level: get(r, 2)?,
        code: get(r, 3)?,
        name_zh: get(r, 4)?,
        name_en: get(r, 5)?,
    })
}

/// Where records lie; those that aren't there are left out.
pub(super) async fn places(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    ids: &[RecordId],
) -> Result<HashMap<RecordId, Place>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
    let sql = "SELECT id, area, subject, state FROM record WHERE tenant = $1 AND township = $2 AND id = ANY($3)";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &ids]).await?;
    let read = |r: &Row| {
        let place = Place { area: AreaId(array(r, 1)?), subject: optional(r, 2)?.map(RecordId), state: get(r, 3)? };
        Ok((RecordId(array(r, 0)?), place))
    };
    found.iter().map(read).collect()
}

/// What moved records, by record.
pub(super) async fn relocations(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    records: &[&[u8]],
) -> Result<HashMap<RecordId, Vec<Relocation>>> {
    let sql = "SELECT record, kind, source, from_day, only_from, area FROM relocation
        WHERE tenant = $1 AND township = $2 AND record = ANY($3)";
    let mut found: HashMap<RecordId, Vec<Relocation>> = HashMap::new();
    for r in rows(c, sql, &[&tenant, &township.0.as_slice(), &records]).await? {
        let row = Relocation {
            by: MovedBy::from_columns(get(&r, 1)?, array(&r, 2)?),
            from_day: get(&r, 3)?,
            only_from: optional(&r, 4)?.map(AreaId),
            area: AreaId(array(&r, 5)?),
        };
        found.entry(RecordId(array(&r, 0)?)).or_default().push(row);
    }
    Ok(found)
}

async fn relocate(
    c: &impl GenericClient,
    (tenant, town, record): (&[u8], &[u8], &[u8]),
    change: &Change,
) -> Result<()> {
    match change {
        Change::Put(row) => {
            let (kind, source) = row.by.to_columns();
            let (source, area) = (source.as_slice(), row.area.0.as_slice());
            let only_from = row.only_from.as_ref().map(|area| area.0.as_slice());
            let sql = "INSERT INTO relocation (tenant, township, record, kind, source, from_day, only_from, area)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, township, record, kind, source)
                DO UPDATE SET from_day = excluded.from_day, only_from = excluded.only_from, area = excluded.area";
            run(c, sql, &[&tenant, &town, &record, &kind, &source, &row.from_day, &only_from, &area]).await?;
        }
        Change::Drop(by) => {
            let (kind, source) = by.to_columns();
            let source = source.as_slice();
            let sql = "DELETE FROM relocation
                WHERE tenant = $1 AND township = $2 AND record = $3 AND kind = $4 AND source = $5";
            run(c, sql, &[&tenant, &town, &record, &kind, &source]).await?;
        }
    }
    Ok(())
}

/// Notes what moves a record; gives where it lies by that now, and whether anything changed. `None`: it isn't there.
async fn lies_now(
    c: &impl GenericClient,
    tenant: &[u8],
    (township, seq): (TownshipId, u64),
    moved: &Move,
) -> Result<Option<(AreaId, bool)>> {
    let (town, record) = (township.0.as_slice(), moved.record.0.as_slice());
    let sql = "SELECT area, subject FROM record WHERE tenant = $1 AND township = $2 AND id = $3";
    let Some(found) = row(c, sql, &[&tenant, &town, &record]).await? else { return Ok(None) };
    let lies = AreaId(array(&found, 0)?);
    if optional::<16>(&found, 1)?.is_some() {
        // what is about another record lay where that one did
        return Ok(Some((moved.area.unwrap_or(lies), false)));
    }
    let mut rows = relocations(c, tenant, township, &[record]).await?.remove(&moved.record).unwrap_or_default();
    let changes = relocation::apply(&mut rows, moved, lies, seq);
    for change in &changes {
        relocate(c, (tenant, town, record), change).await?;
    }
    Ok(Some((relocation::past(&rows).1.unwrap_or(lies), !changes.is_empty())))
}

/// Notes what moves a push's records, and moves them and all about them where they lie by that now: their areas, where they
/// lay before, and an entry of the feed for each. Gives which they were.
pub(super) async fn move_records(
    c: &impl GenericClient,
    tenant: &Tenant,
    feed: &mut Feed,
    push: &PreparedPush,
) -> Result<Vec<RecordId>> {
    let mut touched = Vec::new();
    let (id, town, at_ms) = (tenant.id.as_slice(), push.township.0.as_slice(), push.received_ms.cast_signed());
    for moved in &push.moves {
        let next = (push.township, feed.position.seq + 1);
        let Some((area, noted)) = lies_now(c, id, next, moved).await? else { continue };
        touched.extend(Some(moved.record).filter(|_| noted));
        let (record, to) = (moved.record.0.as_slice(), area.0.as_slice());
        let sql = "SELECT id, incarnation, area FROM record WHERE tenant = $1 AND township = $2
            AND (id = $3 OR subject = $3) AND area <> $4 ORDER BY born LIMIT $5";
        for r in rows(c, sql, &[&id, &town, &record, &to, &(MOVED_MAX as i64)]).await? {
            let (record, incarnation, from) = (RecordId(array(&r, 0)?), number32(&r, 1)?, array::<16>(&r, 2)?);
            touched.push(record);
            recount(c, (id, town), feed, record, (AreaId(from), area)).await?;
            let (hash, chain) = tenant.links.moved(feed.position.chain, record, incarnation, area);
            feed.position = Position { seq: feed.position.seq + 1, chain };
            let (seq, bytes) = (feed.position.seq.cast_signed(), [from, area.0].concat());
            let (record, from) = (record.0.as_slice(), from.as_slice());
            let sql =
                "INSERT INTO change (tenant, township, kind, seq, record, chain, hash, device, received_ms, bytes)
                VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9)";
            let (kind, chain, hash) = (i64::from(KIND_MOVE), chain.0.as_slice(), hash.0.as_slice());
            run(c, sql, &[&id, &town, &kind, &seq, &record, &chain, &hash, &at_ms, &bytes]).await?;
            let sql = "INSERT INTO placement (tenant, township, seq, record, area, until_day, at_ms)
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
            run(c, sql, &[&id, &town, &seq, &record, &from, &moved.from_day, &at_ms]).await?;
            let sql = "UPDATE record SET area = $4, last = $5 WHERE tenant = $1 AND township = $2 AND id = $3";
            run(c, sql, &[&id, &town, &record, &to, &seq]).await?;
        }
    }
    Ok(touched)
}

/// Counts the changes of a record that comes from nowhere, and those of one that goes there not any more.
pub(super) async fn recount(
    c: &impl GenericClient,
    (tenant, town): (&[u8], &[u8]),
    feed: &mut Feed,
    record: RecordId,
    (from, to): (AreaId, AreaId),
) -> Result<()> {
    if from != AreaId::NOWHERE && to != AreaId::NOWHERE {
        return Ok(());
    }
    let sql = "SELECT hash FROM change WHERE tenant = $1 AND township = $2 AND record = $3 AND kind = $4";
    let kind = i64::from(KIND_CHANGE);
    for r in rows(c, sql, &[&tenant, &town, &record.0.as_slice(), &kind]).await? {
        let hash = ChangeHash(array(&r, 0)?);
        feed.discount(from, &hash);
        feed.count(to, &hash);
    }
    Ok(())
}
