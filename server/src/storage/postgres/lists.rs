//! What imports of areas, people and pairings wrote, and taking it back.

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::AreaEntry;

use super::super::lists::ListStorage;
use super::super::{Result, TownshipId};
use super::{PostgresStorage, array, get, number, people, row, rows, run};

impl ListStorage for PostgresStorage {
    fn import_items(
        &self,
        township: TownshipId,
        no: u64,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, String)>> {
        self.ask(async |c, t| {
            let sql = "SELECT row_no, item FROM register_item
                WHERE tenant = $1 AND township = $2 AND no = $3 AND row_no > $4 ORDER BY row_no LIMIT $5";
            let (town, no, limit) = (township.0.as_slice(), no.cast_signed(), i64::from(limit));
            let after = after.map_or(-1, u64::cast_signed);
            let found = rows(c, sql, &[&t, &town, &no, &after, &limit]).await?;
            found.iter().map(|r| Ok((number(r, 0)?, get(r, 1)?))).collect()
        })
    }

    fn people_in_use(&self, users: &[UserId]) -> Result<Vec<UserId>> {
        self.ask(async |c, t| {
            let ids: Vec<&[u8]> = users.iter().map(|user| user.0.as_slice()).collect();
            let sql = "SELECT DISTINCT user_id FROM (SELECT user_id FROM device WHERE tenant = $1 AND user_id = ANY($2)
                UNION ALL SELECT user_id FROM invitation WHERE tenant = $1 AND user_id = ANY($2)) AS used";
            let found = rows(c, sql, &[&t, &ids]).await?;
            found.iter().map(|r| Ok(UserId(array(r, 0)?))).collect()
        })
    }
}

pub(super) async fn put_item(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    (no, row): (u64, u64),
    item: &str,
) -> Result<()> {
    let sql = "INSERT INTO register_item (tenant, township, no, row_no, item) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, township, no, row_no) DO UPDATE SET item = excluded.item";
    run(c, sql, &[&tenant, &township.0.as_slice(), &no.cast_signed(), &row.cast_signed(), &item]).await?;
    Ok(())
}

pub(super) async fn drop_item(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    (no, row): (u64, u64),
) -> Result<()> {
    let sql = "DELETE FROM register_item WHERE tenant = $1 AND township = $2 AND no = $3 AND row_no = $4";
    run(c, sql, &[&tenant, &township.0.as_slice(), &no.cast_signed(), &row.cast_signed()]).await?;
    Ok(())
}

pub(super) async fn remove_area(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    area: AreaId,
) -> Result<()> {
    for table in ["area_past", "area"] {
        let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND township = $2 AND area = $3");
        run(c, &sql, &[&tenant, &township.0.as_slice(), &area.0.as_slice()]).await?;
    }
    people::put_areas(c, tenant, township, &[]).await.map(drop)
}

pub(super) async fn restore_area(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    entry: &AreaEntry,
    past: Option<&str>,
) -> Result<()> {
    let sql = "DELETE FROM area_past WHERE tenant = $1 AND township = $2 AND area = $3 AND until_day = $4";
    run(c, sql, &[&tenant, &township.0.as_slice(), &entry.area.0.as_slice(), &past]).await?;
    people::put_areas(c, tenant, township, std::slice::from_ref(entry)).await.map(drop)
}

/// False if the person has a device or an invitation.
pub(super) async fn remove_person(c: &impl GenericClient, tenant: &[u8], user: UserId) -> Result<bool> {
    let id = user.0.as_slice();
    let sql = "SELECT EXISTS (SELECT 1 FROM device WHERE tenant = $1 AND user_id = $2)
        OR EXISTS (SELECT 1 FROM invitation WHERE tenant = $1 AND user_id = $2)";
    let in_use = row(c, sql, &[&tenant, &id]).await?.is_none_or(|r| get(&r, 0).unwrap_or(true));
    if !in_use {
        run(c, "DELETE FROM app_user WHERE tenant = $1 AND id = $2", &[&tenant, &id]).await?;
    }
    Ok(!in_use)
}

pub(super) async fn remove_unit(c: &impl GenericClient, tenant: &[u8], unit: [u8; 16]) -> Result<()> {
    run(c, "DELETE FROM unit WHERE tenant = $1 AND id = $2", &[&tenant, &unit.as_slice()]).await?;
    Ok(())
}
