//! What imports of areas, people and pairings wrote, and taking it back.

use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::AreaEntry;
use rusqlite::{Connection, params};

use super::super::lists::ListStorage;
use super::super::{Result, TownshipId};
use super::{SqliteStorage, people};

/// A person who has a device or an invitation.
const IN_USE: &str =
    "EXISTS (SELECT 1 FROM device WHERE user = ?1) OR EXISTS (SELECT 1 FROM invitation WHERE user = ?1)";

impl ListStorage for SqliteStorage {
    fn import_items(
        &self,
        township: TownshipId,
        no: u64,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, String)>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let after = after.map_or(-1, u64::cast_signed);
            let sql =
                "SELECT row, item FROM register_item WHERE township_no = ? AND no = ? AND row > ? ORDER BY row LIMIT ?";
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map(params![township_no, no.cast_signed(), after, limit], |r| {
                Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get(1)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn people_in_use(&self, users: &[UserId]) -> Result<Vec<UserId>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!("SELECT {IN_USE}"))?;
            let mut found = Vec::new();
            for user in users {
                if statement.query_row([user.0], |r| r.get(0))? {
                    found.push(*user);
                }
            }
            Ok(found)
        })
    }
}

pub(super) fn put_item(c: &Connection, township: TownshipId, no: u64, row: u64, item: &str) -> Result<()> {
    let township_no = people::township_no_or_new(c, township)?;
    let sql = "INSERT OR REPLACE INTO register_item (township_no, no, row, item) VALUES (?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![township_no, no.cast_signed(), row.cast_signed(), item])?;
    Ok(())
}

pub(super) fn drop_item(c: &Connection, township: TownshipId, no: u64, row: u64) -> Result<()> {
    let township_no = people::township_no_or_new(c, township)?;
    let sql = "DELETE FROM register_item WHERE township_no = ? AND no = ? AND row = ?";
    c.prepare_cached(sql)?.execute(params![township_no, no.cast_signed(), row.cast_signed()])?;
    Ok(())
}

pub(super) fn remove_area(c: &Connection, township: TownshipId, area: AreaId) -> Result<()> {
    let no = people::township_no_or_new(c, township)?;
    for table in ["area_past WHERE township_no = ? AND area = ?", "area WHERE township_no = ? AND id = ?"] {
        c.prepare_cached(&format!("DELETE FROM {table}"))?.execute(params![no, area.0])?;
    }
    people::put_areas(c, township, &[]).map(drop)
}

pub(super) fn restore_area(c: &Connection, township: TownshipId, entry: &AreaEntry, past: Option<&str>) -> Result<()> {
    let no = people::township_no_or_new(c, township)?;
    let sql = "DELETE FROM area_past WHERE township_no = ? AND area = ? AND until_day = ?";
    c.prepare_cached(sql)?.execute(params![no, entry.area.0, past])?;
    people::put_areas(c, township, std::slice::from_ref(entry)).map(drop)
}

/// False if the person has a device or an invitation.
pub(super) fn remove_person(c: &Connection, user: UserId) -> Result<bool> {
    let in_use: bool = c.prepare_cached(&format!("SELECT {IN_USE}"))?.query_row([user.0], |r| r.get(0))?;
    if !in_use {
        c.prepare_cached("DELETE FROM user WHERE id = ?")?.execute([user.0])?;
    }
    Ok(!in_use)
}

pub(super) fn remove_unit(c: &Connection, unit: [u8; 16]) -> Result<()> {
    c.prepare_cached("DELETE FROM unit WHERE id = ?")?.execute([unit])?;
    Ok(())
}
