//! Households that went to another township.

use doorstep_core::id::{AreaId, RecordId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::super::acts::NotTaken;
use super::super::away::{Away, AwayStorage};
use super::super::{PreparedPush, Result, TownshipId};
use super::{SqliteStorage, commit, pack, people};

impl AwayStorage for SqliteStorage {
    fn away(&self, township: TownshipId, household: RecordId) -> Result<Option<Away>> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(None) };
            let sql = "SELECT household, to_township, upto FROM away WHERE township_no = ? AND household = ?";
            Ok(c.prepare_cached(sql)?.query_row(params![no, household.0], away).optional()?)
        })
    }

    fn came_from(&self, township: TownshipId, household: RecordId) -> Result<Vec<TownshipId>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT t.id FROM away a JOIN township t ON t.no = a.township_no
                 WHERE a.household = ? AND a.to_township = ? ORDER BY t.id",
            )?;
            let rows = statement.query_map(params![household.0, township.0], |r| Ok(AreaId(r.get(0)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn away_behind(&self, township: TownshipId, limit: u32) -> Result<Vec<Away>> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let mut statement = c.prepare_cached(
                "SELECT household, to_township, upto FROM away a WHERE township_no = ?1 AND (
                 EXISTS (SELECT 1 FROM record r WHERE r.id = a.household AND r.township_no = ?1 AND r.last > ?2 + a.upto)
                 OR EXISTS (SELECT 1 FROM record r WHERE r.subject = a.household AND r.last > ?2 + a.upto AND r.last < ?3))
                 ORDER BY household LIMIT ?4",
            )?;
            let rows = statement.query_map(params![no, pack(no, 0), pack(no + 1, 0), limit], away)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn stranded(&self, township: TownshipId, limit: u32) -> Result<Vec<RecordId>> {
        self.read(|c| {
            let Some(no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let mut statement = c.prepare_cached(
                "SELECT id FROM record r WHERE area = ?1 AND last > ?2 AND last < ?3 AND subject IS NULL AND NOT EXISTS
                 (SELECT 1 FROM away a WHERE a.township_no = ?4 AND a.household = r.id) ORDER BY last LIMIT ?5",
            )?;
            let values = params![AreaId::NOWHERE.0, pack(no, 0), pack(no + 1, 0), no, limit];
            let rows = statement.query_map(values, |r| Ok(RecordId(r.get(0)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn note_given(&self, township: TownshipId, household: RecordId, upto: u64) -> Result<()> {
        self.write(|tx| {
            let Some(no) = people::township_no(tx, township)? else { return Ok(()) };
            tx.prepare_cached("UPDATE away SET upto = max(upto, ?) WHERE township_no = ? AND household = ?")?
                .execute(params![upto.cast_signed(), no, household.0])?;
            Ok(())
        })
    }

    fn commit_together(&self, pushes: &[PreparedPush]) -> Result<bool> {
        let links = self.links()?;
        NotTaken::taken(self.write(|tx| commit::all(tx, links, pushes).map(drop)))
    }
}

fn away(r: &Row<'_>) -> rusqlite::Result<Away> {
    Ok(Away { household: RecordId(r.get(0)?), to: AreaId(r.get(1)?), upto: r.get::<_, i64>(2)?.cast_unsigned() })
}

/// False if it went before.
pub(super) fn leave(tx: &Transaction<'_>, township: TownshipId, away: &Away) -> Result<bool> {
    let no = people::township_no_or_new(tx, township)?;
    let known = "SELECT EXISTS (SELECT 1 FROM away WHERE township_no = ? AND household = ?)";
    if tx.prepare_cached(known)?.query_row(params![no, away.household.0], |r| r.get(0))? {
        return Ok(false);
    }
    put(tx, township, away)?;
    Ok(true)
}

pub(super) fn put(tx: &Transaction<'_>, township: TownshipId, away: &Away) -> Result<()> {
    let no = people::township_no_or_new(tx, township)?;
    tx.prepare_cached("INSERT OR REPLACE INTO away (township_no, household, to_township, upto) VALUES (?, ?, ?, ?)")?
        .execute(params![no, away.household.0, away.to.0, away.upto.cast_signed()])?;
    Ok(())
}

pub(super) fn end(tx: &Connection, township: TownshipId, household: RecordId) -> Result<()> {
    let Some(no) = people::township_no(tx, township)? else { return Ok(()) };
    tx.prepare_cached("DELETE FROM away WHERE township_no = ? AND household = ?")?.execute(params![no, household.0])?;
    Ok(())
}
