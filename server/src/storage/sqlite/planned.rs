//! Grants that are to be given from a time on.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use rusqlite::{Connection, Transaction, params};

use super::super::Result;
use super::super::planned::{PlannedGrant, PlannedStorage};
use super::SqliteStorage;

impl PlannedStorage for SqliteStorage {
    fn planned_grants(&self, upto_ms: Millis) -> Result<Vec<PlannedGrant>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT no, township, from_ms, user, role, area, household, until_ms, stand_in_for, anew FROM planned_grant
                 WHERE from_ms <= ? ORDER BY from_ms, no LIMIT 1000",
            )?;
            let rows = statement.query_map([i64::try_from(upto_ms).unwrap_or(i64::MAX)], |r| {
                Ok(PlannedGrant {
                    no: r.get::<_, i64>(0)?.cast_unsigned(),
                    township: AreaId(r.get(1)?),
                    from_ms: r.get::<_, i64>(2)?.cast_unsigned(),
                    user: UserId(r.get(3)?),
                    role: r.get(4)?,
                    area: AreaId(r.get(5)?),
                    household: r.get::<_, Option<_>>(6)?.map(RecordId),
                    until_ms: r.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
                    stand_in_for: r.get::<_, Option<_>>(8)?.map(UserId),
                    anew: r.get(9)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

pub(super) fn put(tx: &Transaction<'_>, p: &PlannedGrant) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO planned_grant (no, township, from_ms, user, role, area, household, until_ms, stand_in_for, anew)
         VALUES ((SELECT coalesce(max(no), 0) + 1 FROM planned_grant), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        p.township.0,
        p.from_ms.cast_signed(),
        p.user.0,
        p.role,
        p.area.0,
        p.household.map(|id| id.0),
        p.until_ms.map(u64::cast_signed),
        p.stand_in_for.map(|id| id.0),
        p.anew
    ])?;
    Ok(())
}

/// False if there is none of this number.
pub(super) fn end(c: &Connection, no: u64) -> Result<bool> {
    Ok(c.prepare_cached("DELETE FROM planned_grant WHERE no = ?")?.execute([no.cast_signed()])? > 0)
}
