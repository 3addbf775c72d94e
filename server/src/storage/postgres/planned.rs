//! Grants that are to be given from a time on.

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use tokio_postgres::Row;

use super::super::Result;
use super::super::planned::{PlannedGrant, PlannedStorage};
use super::{PostgresStorage, array, get, number, optional, rows, run};

impl PlannedStorage for PostgresStorage {
    fn planned_grants(&self, upto_ms: Millis) -> Result<Vec<PlannedGrant>> {
        self.ask(async |c, t| {
            let sql = "SELECT no, township, from_ms, user_id, role, area, household, until_ms, stand_in_for, anew
                FROM planned_grant WHERE tenant = $1 AND from_ms <= $2 ORDER BY from_ms, no LIMIT 1000";
            let upto = i64::try_from(upto_ms).unwrap_or(i64::MAX);
            rows(c, sql, &[&t, &upto]).await?.iter().map(planned).collect()
        })
    }
}

fn planned(r: &Row) -> Result<PlannedGrant> {
    Ok(PlannedGrant {
        no: number(r, 0)?,
        township: AreaId(array(r, 1)?),
        from_ms: number(r, 2)?,
        user: UserId(array(r, 3)?),
        role: get(r, 4)?,
        area: AreaId(array(r, 5)?),
        household: optional(r, 6)?.map(RecordId),
        until_ms: get::<Option<i64>>(r, 7)?.map(i64::cast_unsigned),
        stand_in_for: optional(r, 8)?.map(UserId),
        anew: get(r, 9)?,
    })
}

pub(super) async fn put(c: &impl GenericClient, tenant: &[u8], p: &PlannedGrant) -> Result<()> {
    let sql = "INSERT INTO planned_grant
        (tenant, no, township, from_ms, user_id, role, area, household, until_ms, stand_in_for, anew)
        VALUES ($1, (SELECT coalesce(max(no), 0) + 1 FROM planned_grant WHERE tenant = $1), $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let (town, user, area) = (p.township.0.as_slice(), p.user.0.as_slice(), p.area.0.as_slice());
    let household = p.household.as_ref().map(|id| id.0.as_slice());
    let stand_in_for = p.stand_in_for.as_ref().map(|id| id.0.as_slice());
    let (from_ms, until_ms) = (p.from_ms.cast_signed(), p.until_ms.map(u64::cast_signed));
    run(c, sql, &[&tenant, &town, &from_ms, &user, &p.role, &area, &household, &until_ms, &stand_in_for, &p.anew])
        .await?;
    Ok(())
}

/// False if there is none of this number.
pub(super) async fn end(c: &impl GenericClient, tenant: &[u8], no: u64) -> Result<bool> {
    let sql = "DELETE FROM planned_grant WHERE tenant = $1 AND no = $2";
    Ok(run(c, sql, &[&tenant, &no.cast_signed()]).await? > 0)
}
