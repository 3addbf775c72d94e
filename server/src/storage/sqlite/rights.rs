//! Grants by subject and by their end, the past of areas, units, and moves of records.

use std::collections::HashMap;
use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Position};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::super::chain::{KIND_CHANGE, KIND_MOVE, Links};
use super::super::relocation::{self, Change, MovedBy};
use super::super::rights::MOVED_MAX;
use super::super::{
    AreaChange, AreaEnd, AreaPast, Areas, Claims, Grant, Hung, Move, Place, Placement, Relocation, Result,
    RightsStorage, TownshipId, Unit,
};
use super::commit::Feed;
use super::figures::Touched;
use super::people::{self, GRANT_COLUMNS};
use super::{SqliteStorage, feed, pack, seq_of, standing};

impl RightsStorage for SqliteStorage {
    fn claims(&self, township: TownshipId, user: UserId) -> Result<Claims> {
        self.read(|c| {
            let version = feed::read_head(c, township)?.map_or(0, |head| head.areas_version);
            standing::claims(c, &self.caches(), township, version, user)
        })
    }

    fn grants_about(&self, subject: RecordId) -> Result<Vec<(UserId, Grant)>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT user, {GRANT_COLUMNS} FROM grant_entry WHERE subject = ? ORDER BY user, seq"
            ))?;
            let rows = statement.query_map([subject.0], |r| Ok((UserId(r.get(0)?), people::grant(r, 1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn overdue_grants(&self, now_ms: Millis) -> Result<Vec<(UserId, Grant)>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT user, {GRANT_COLUMNS} FROM grant_entry g WHERE until_ms <= ? AND active = 1 AND NOT EXISTS
                 (SELECT 1 FROM grant_entry l WHERE l.user = g.user AND l.grant_no = g.grant_no AND l.seq > g.seq) LIMIT 1000"
            ))?;
            let rows = statement
                .query_map([now_ms.cast_signed()], |r| Ok((UserId(r.get(0)?), people::grant(r, 1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn area_tree(&self, township: TownshipId) -> Result<Arc<Areas>> {
        self.read(|c| standing::areas(c, &self.caches(), township))
    }

    fn area_past(&self, township: TownshipId) -> Result<(Vec<AreaPast>, Vec<AreaEnd>)> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(Default::default()) };
            let mut statement = c.prepare_cached(
                "SELECT area, parent, level, code, name_zh, name_en, until_day FROM area_past WHERE township_no = ?
                 ORDER BY area, until_day",
            )?;
            let past = statement.query_map([no], |r| Ok(AreaPast { entry: entry(r)?, until_day: r.get(6)? }))?;
            Ok((past.collect::<rusqlite::Result<_>>()?, ended(c, no)?))
        })
    }

    fn units(&self) -> Result<Vec<Unit>> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT id, name, sends, is_responsible FROM unit ORDER BY name")?;
            let rows = statement.query_map([], |r| {
                Ok(Unit { id: r.get(0)?, name: r.get(1)?, sends: r.get(2)?, is_responsible: r.get(3)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn places(&self, township: TownshipId, ids: &[RecordId]) -> Result<HashMap<RecordId, Place>> {
        self.read(|c| places(c, township, ids))
    }

    fn relocations(&self, township: TownshipId, record: RecordId) -> Result<Vec<Relocation>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let mut find = c.prepare_cached("SELECT no FROM record WHERE id = ? AND township_no = ?")?;
            let no: Option<i64> = find.query_row(params![record.0, township_no], |r| r.get(0)).optional()?;
            no.map_or(Ok(Vec::new()), |no| relocations(c, no))
        })
    }

    fn placements(&self, township: TownshipId, record: RecordId) -> Result<Vec<Placement>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let mut statement = c.prepare_cached(
                "SELECT p.no, p.area, p.until_day, p.at_ms FROM placement p JOIN record r ON r.no = p.record_no
                 WHERE r.id = ? AND r.township_no = ? ORDER BY p.no",
            )?;
            let rows = statement.query_map(params![record.0, township_no], |r| {
                let (seq, at_ms) = (seq_of(r.get(0)?), r.get::<_, i64>(3)?.cast_unsigned());
                Ok(Placement { seq, area: AreaId(r.get(1)?), until_day: r.get(2)?, at_ms })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The areas that ended.
fn ended(c: &Connection, township_no: i64) -> Result<Vec<AreaEnd>> {
    let mut statement = c.prepare_cached(
        "SELECT id, ended_day, merged_into FROM area WHERE township_no = ? AND ended_day IS NOT NULL ORDER BY id",
    )?;
    let rows = statement.query_map([township_no], |r| {
        let into = r.get::<_, Option<_>>(2)?.map(AreaId);
        Ok(AreaEnd { area: AreaId(r.get(0)?), day: r.get(1)?, into })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The areas with all that became of them.
pub(super) fn areas(c: &Connection, township: TownshipId, version: u64) -> Result<Areas> {
    let Some(no) = people::township_no(c, township)? else { return Ok(Areas::default()) };
    let mut statement = c.prepare_cached(
        "SELECT version, area, parent, at_ms FROM area_hung WHERE township_no = ? ORDER BY version, area",
    )?;
    let hung = statement.query_map([no], |r| {
        let (version, at_ms) = (r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(3)?.cast_unsigned());
        Ok(Hung { area: AreaId(r.get(1)?), parent: r.get::<_, Option<_>>(2)?.map(AreaId), version, at_ms })
    })?;
    Ok(Areas::new(version, people::areas(c, township)?, ended(c, no)?, hung.collect::<rusqlite::Result<_>>()?))
}

/// Changes an area from a day on; what it was goes into its past.
pub(super) fn change_area(tx: &Transaction<'_>, township: TownshipId, change: &AreaChange) -> Result<u64> {
    let no = people::township_no_or_new(tx, township)?;
    let before = tx
        .prepare_cached("SELECT parent FROM area WHERE township_no = ? AND id = ?")?
        .query_row(params![no, change.entry.area.0], |r| r.get::<_, Option<[u8; 16]>>(0))
        .optional()?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO area_past (township_no, area, until_day, parent, level, code, name_zh, name_en)
         SELECT township_no, id, ?, parent, level, code, name_zh, name_en FROM area WHERE township_no = ? AND id = ?",
    )?
    .execute(params![change.from_day, no, change.entry.area.0])?;
    let version = people::put_areas(tx, township, std::slice::from_ref(&change.entry))?;
    let parent = change.entry.parent.map(|p| p.0);
    if let Some(before) = before.filter(|before| *before != parent || change.merged_into.is_some()) {
        tx.prepare_cached("INSERT INTO area_hung (township_no, version, area, parent, at_ms) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![no, version.cast_signed(), change.entry.area.0, before, change.at_ms.cast_signed()])?;
    }
    if let Some(into) = change.merged_into {
        tx.prepare_cached("UPDATE area SET ended_day = ?, merged_into = ? WHERE township_no = ? AND id = ?")?
            .execute(params![change.from_day, into.0, no, change.entry.area.0])?;
    }
    Ok(version)
}

pub(super) fn put_units(tx: &Transaction<'_>, units: &[Unit]) -> Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO unit (id, name, sends, is_responsible) VALUES (?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, sends = excluded.sends,
         is_responsible = excluded.is_responsible",
    )?;
    for unit in units {
        insert.execute(params![unit.id, unit.name, unit.sends, unit.is_responsible])?;
    }
    Ok(())
}

fn entry(r: &Row<'_>) -> rusqlite::Result<AreaEntry> {
    Ok(AreaEntry {
        area: AreaId(r.get(0)?),
        parent: r.get::<_, Option<_>>(1)?.map(AreaId),
        level: r.get(2)?,
        code: r.get(3)?,
        name_zh: r.get(4)?,
        name_en: r.get(5)?,
    })
}

/// Where records lie; those that aren't there are left out.
pub(super) fn places(c: &Connection, township: TownshipId, ids: &[RecordId]) -> Result<HashMap<RecordId, Place>> {
    let mut places = HashMap::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(places);
    }
    let Some(township_no) = people::township_no(c, township)? else { return Ok(places) };
    let mut find = c.prepare_cached("SELECT area, subject, state FROM record WHERE id = ? AND township_no = ?")?;
    for id in ids {
        let read = |r: &Row<'_>| {
            let subject = r.get::<_, Option<_>>(1)?.map(RecordId);
            Ok(Place { area: AreaId(r.get(0)?), subject, state: r.get(2)? })
        };
        if let Some(place) = find.query_row(params![id.0, township_no], read).optional()? {
            places.insert(*id, place);
        }
    }
    Ok(places)
}

/// What moved a record.
pub(super) fn relocations(c: &Connection, record_no: i64) -> Result<Vec<Relocation>> {
    let mut statement =
        c.prepare_cached("SELECT kind, source, from_day, only_from, area FROM relocation WHERE record_no = ?")?;
    let rows = statement.query_map([record_no], |r| {
        Ok(Relocation {
            by: MovedBy::from_columns(r.get(0)?, r.get(1)?),
            from_day: r.get(2)?,
            only_from: r.get::<_, Option<_>>(3)?.map(AreaId),
            area: AreaId(r.get(4)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn relocate(c: &Connection, record_no: i64, change: &Change) -> Result<()> {
    match change {
        Change::Put(row) => {
            let (kind, source) = row.by.to_columns();
            c.prepare_cached(
                "INSERT OR REPLACE INTO relocation (record_no, kind, source, from_day, only_from, area)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                record_no,
                kind,
                source,
                row.from_day,
                row.only_from.map(|a| a.0),
                row.area.0
            ])?;
        }
        Change::Drop(by) => {
            let (kind, source) = by.to_columns();
            c.prepare_cached("DELETE FROM relocation WHERE record_no = ? AND kind = ? AND source = ?")?
                .execute(params![record_no, kind, source])?;
        }
    }
    Ok(())
}

/// Notes what moves a record, and moves it and all about it where they lie by that now: their areas, where they lay before,
/// and an entry of the feed for each.
pub(super) fn move_records(
    tx: &Transaction<'_>,
    links: &Links,
    feed: &mut Feed,
    moved: &Move,
    received_ms: Millis,
    touched: &mut Touched,
) -> Result<()> {
    let mut find = tx.prepare_cached("SELECT no, area, subject FROM record WHERE id = ? AND township_no = ?")?;
    let row = |r: &Row<'_>| Ok((r.get(0)?, AreaId(r.get(1)?), r.get::<_, Option<[u8; 16]>>(2)?));
    let found: Option<(i64, AreaId, _)> = find.query_row(params![moved.record.0, feed.no], row).optional()?;
    let Some((record_no, lies, subject)) = found else { return Ok(()) };
    let to = if subject.is_some() {
        // what is about another record lay where that one did
        moved.area.unwrap_or(lies)
    } else {
        let mut rows = relocations(tx, record_no)?;
        for change in relocation::apply(&mut rows, moved, lies, feed.position.seq + 1) {
            relocate(tx, record_no, &change)?;
            touched.insert(record_no);
        }
        relocation::past(&rows).1.unwrap_or(lies)
    };
    let mut find = tx.prepare_cached(
        "SELECT no, id, incarnation, area FROM record WHERE id = ?1 AND township_no = ?2 AND area <> ?3
         UNION SELECT no, id, incarnation, area FROM record WHERE subject = ?1 AND township_no = ?2 AND area <> ?3
         ORDER BY no LIMIT ?4",
    )?;
    let rows = find.query_map(params![moved.record.0, feed.no, to.0, MOVED_MAX as i64], |r| {
        Ok((r.get::<_, i64>(0)?, RecordId(r.get(1)?), r.get::<_, u32>(2)?, r.get::<_, [u8; 16]>(3)?))
    })?;
    let found: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    for (record_no, id, incarnation, from) in found {
        touched.insert(record_no);
        recount(tx, feed, record_no, (AreaId(from), to))?;
        let (hash, chain) = links.moved(feed.position.chain, id, incarnation, to);
        feed.position = Position { seq: feed.position.seq + 1, chain };
        let no = pack(feed.no, feed.position.seq);
        tx.prepare_cached(
            "INSERT INTO change (no, kind, record_no, chain, hash, device, received_ms, bytes) VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
        )?
        .execute(params![
            no,
            KIND_MOVE,
            record_no,
            chain.0,
            hash.0,
            received_ms.cast_signed(),
            [from, to.0].concat()
        ])?;
        tx.prepare_cached("INSERT INTO placement (no, record_no, area, until_day, at_ms) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![no, record_no, from, moved.from_day, received_ms.cast_signed()])?;
        tx.prepare_cached("UPDATE record SET area = ?, last = ? WHERE no = ?")?
            .execute(params![to.0, no, record_no])?;
    }
    Ok(())
}

/// Counts the changes of a record that comes from nowhere, and those of one that goes there not any more.
fn recount(tx: &Transaction<'_>, feed: &mut Feed, record_no: i64, (from, to): (AreaId, AreaId)) -> Result<()> {
    if from != AreaId::NOWHERE && to != AreaId::NOWHERE {
        return Ok(());
    }
    let mut find = tx.prepare_cached("SELECT hash FROM change WHERE record_no = ? AND kind = ?")?;
    for hash in find.query_map(params![record_no, KIND_CHANGE], |r| Ok(ChangeHash(r.get(0)?)))? {
        let hash = hash?;
        feed.discount(from, &hash);
        feed.count(to, &hash);
    }
    Ok(())
}
