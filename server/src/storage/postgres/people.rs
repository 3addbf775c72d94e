//! Areas, users, grants, invitations, devices.

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, Chain, DeviceId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry, Position};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::{Device, Grant, Known, Lost, Result, SyncNote, TownshipId, User};
use super::{Tenant, array, get, number, optional, other, row, rows, run};

/// Makes a township's feed, if it is new.
pub(super) async fn know_township(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<()> {
    let sql = "INSERT INTO feed (tenant, township, chain, no)
        VALUES ($1, $2, $3, (SELECT count(*) FROM feed WHERE tenant = $1)) ON CONFLICT DO NOTHING";
    run(c, sql, &[&tenant, &township.0.as_slice(), &Chain::default().0.as_slice()]).await?;
    Ok(())
}

pub(super) async fn put_areas(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    areas: &[AreaEntry],
) -> Result<u64> {
    know_township(c, tenant, township).await?;
    // the version's row first: it also keeps two writers of areas apart
    let raise =
        "UPDATE feed SET areas_version = areas_version + 1 WHERE tenant = $1 AND township = $2 RETURNING areas_version";
    let raised =
        row(c, raise, &[&tenant, &township.0.as_slice()]).await?.ok_or_else(|| other("the township is gone"))?;
    let sql = "INSERT INTO area (tenant, township, area, parent, level, code, name_zh, name_en)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, township, area) DO UPDATE SET parent = excluded.parent,
        level = excluded.level, code = excluded.code, name_zh = excluded.name_zh, name_en = excluded.name_en";
    for area in areas {
        let parent = area.parent.as_ref().map(|p| p.0.as_slice());
        let (township, id) = (township.0.as_slice(), area.area.0.as_slice());
        run(c, sql, &[&tenant, &township, &id, &parent, &area.level, &area.code, &area.name_zh, &area.name_en]).await?;
    }
    number(&raised, 0)
}

pub(super) async fn areas_version(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<u64> {
    let sql = "SELECT areas_version FROM feed WHERE tenant = $1 AND township = $2";
    row(c, sql, &[&tenant, &township.0.as_slice()]).await?.map_or(Ok(0), |r| number(&r, 0))
}

pub(super) async fn areas(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<AreaEntry>> {
    let township = township.0.as_slice();
    let sql = "SELECT area, parent, level, code, name_zh, name_en FROM area WHERE tenant = $1 AND township = $2
        ORDER BY code COLLATE \"C\", area";
    let read = |r: &Row| {
        Ok(AreaEntry {
            area: AreaId(array(r, 0)?),
            parent: optional(r, 1)?.map(AreaId),
            level: get(r, 2)?,
            code: get(r, 3)?,
            name_zh: get(r, 4)?,
            name_en: get(r, 5)?,
        })
    };
    rows(c, sql, &[&tenant, &township]).await?.iter().map(read).collect()
}

pub(super) async fn townships(c: &impl GenericClient, tenant: &[u8]) -> Result<Vec<TownshipId>> {
    let found = rows(c, "SELECT township FROM feed WHERE tenant = $1 ORDER BY no, township", &[&tenant]).await?;
    found.iter().map(|r| Ok(AreaId(array(r, 0)?))).collect()
}

pub(super) async fn put_users(c: &impl GenericClient, tenant: &[u8], users: &[User]) -> Result<()> {
    let sql = "INSERT INTO app_user (tenant, id, name, unit) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, unit = excluded.unit";
    for user in users {
        run(c, sql, &[&tenant, &user.id.0.as_slice(), &user.name, &user.unit]).await?;
    }
    Ok(())
}

pub(super) async fn users(c: &impl GenericClient, tenant: &[u8]) -> Result<Vec<User>> {
    let found = rows(c, "SELECT id, name, unit FROM app_user WHERE tenant = $1 ORDER BY id", &[&tenant]).await?;
    found.iter().map(|r| Ok(User { id: UserId(array(r, 0)?), name: get(r, 1)?, unit: get(r, 2)? })).collect()
}

pub(super) fn position(r: &Row, first: usize) -> Result<Position> {
    Ok(Position { seq: number(r, first)?, chain: Chain(array(r, first + 1)?) })
}

async fn grants_head(c: &impl GenericClient, tenant: &[u8], user: UserId) -> Result<Position> {
    let sql = "SELECT seq, chain FROM grant_entry WHERE tenant = $1 AND user_id = $2 ORDER BY seq DESC LIMIT 1";
    row(c, sql, &[&tenant, &user.0.as_slice()]).await?.map_or(Ok(Position::default()), |r| position(&r, 0))
}

pub(super) async fn append_grants(
    c: &impl GenericClient,
    tenant: &Tenant,
    user: UserId,
    entries: &[Grant],
) -> Result<Position> {
    let (id, user_id) = (tenant.id.as_slice(), user.0.as_slice());
    // a user's log has no row to lock before its first entry
    let key = i64::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| user.0[i] ^ user.0[i + 8]));
    run(c, "SELECT pg_advisory_xact_lock($1)", &[&key]).await?;
    let mut head = grants_head(c, id, user).await?;
    let sql = "SELECT coalesce(max(grant_no), 0) FROM grant_entry WHERE tenant = $1 AND user_id = $2";
    let mut last = row(c, sql, &[&id, &user_id]).await?.map_or(Ok(0), |r| number(&r, 0))?;
    let sql = "INSERT INTO grant_entry (tenant, user_id, seq, chain, grant_no, role, area, subject, active, until_ms,
        stand_in_for, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    for given in entries {
        let mut entry = given.entry.clone();
        if entry.grant == 0 {
            entry.grant = last + 1;
        }
        last = last.max(entry.grant);
        head = Position { seq: head.seq + 1, chain: tenant.links.grant(head.chain, user, &entry) };
        let (seq, chain) = (head.seq.cast_signed(), head.chain.0.as_slice());
        let (grant, area) = (entry.grant.cast_signed(), entry.area.0.as_slice());
        let subject = entry.subject.as_ref().map(|s| s.0.as_slice());
        let (until_ms, at_ms) = (given.until_ms.map(u64::cast_signed), given.at_ms.cast_signed());
        let for_whom = given.stand_in_for.as_ref().map(|u| u.0.as_slice());
        let (role, active) = (&entry.role, &entry.active);
        run(
            c,
            sql,
            &[&id, &user_id, &seq, &chain, &grant, role, &area, &subject, active, &until_ms, &for_whom, &at_ms],
        )
        .await?;
    }
    Ok(head)
}

pub(super) const GRANT_COLUMNS: &str = "grant_no, role, area, subject, active, until_ms, stand_in_for, at_ms";

/// A grant, from column `first` on.
pub(super) fn grant(r: &Row, first: usize) -> Result<Grant> {
    let entry = GrantEntry {
        grant: number(r, first)?,
        role: get(r, first + 1)?,
        area: AreaId(array(r, first + 2)?),
        subject: optional(r, first + 3)?.map(RecordId),
        active: get(r, first + 4)?,
    };
    Ok(Grant {
        entry,
        until_ms: get::<Option<i64>>(r, first + 5)?.map(i64::cast_unsigned),
        stand_in_for: optional(r, first + 6)?.map(UserId),
        at_ms: number(r, first + 7)?,
    })
}

pub(super) async fn grants(
    c: &impl GenericClient,
    tenant: &[u8],
    user: UserId,
    after: u64,
) -> Result<(Position, Vec<(Position, Grant)>)> {
    let sql = format!(
        "SELECT seq, chain, {GRANT_COLUMNS} FROM grant_entry WHERE tenant = $1 AND user_id = $2 AND seq > $3 ORDER BY seq"
    );
    let found = rows(c, &sql, &[&tenant, &user.0.as_slice(), &after.cast_signed()]).await?;
    let read = |r: &Row| Ok((position(r, 0)?, grant(r, 2)?));
    let entries: Vec<(Position, Grant)> = found.iter().map(read).collect::<Result<_>>()?;
    let head = match entries.last() {
        Some((at, _)) => *at,
        None => grants_head(c, tenant, user).await?,
    };
    Ok((head, entries))
}

pub(super) async fn put_invitation(
    c: &impl GenericClient,
    tenant: &[u8],
    secret_hash: [u8; 32],
    user: UserId,
    township: TownshipId,
    until_ms: Millis,
) -> Result<()> {
    know_township(c, tenant, township).await?;
    let sql = "INSERT INTO invitation (tenant, secret_hash, user_id, township, until_ms) VALUES ($1, $2, $3, $4, $5)";
    let (user, township) = (user.0.as_slice(), township.0.as_slice());
    run(c, sql, &[&tenant, &secret_hash.as_slice(), &user, &township, &(until_ms as i64)]).await?;
    Ok(())
}

pub(super) async fn redeem_invitation(
    c: &impl GenericClient,
    tenant: &[u8],
    secret_hash: [u8; 32],
    device: &Device,
    now_ms: Millis,
) -> Result<Option<Device>> {
    let sql =
        "UPDATE invitation SET device = $3 WHERE tenant = $1 AND secret_hash = $2 AND device IS NULL AND until_ms > $4
        RETURNING user_id, township";
    let (hash, id) = (secret_hash.as_slice(), device.id.0.as_slice());
    let Some(invited) = row(c, sql, &[&tenant, &hash, &id, &(now_ms as i64)]).await? else {
        return enrolled_before(c, tenant, secret_hash, &device.public_key).await;
    };
    let (user, township) = (UserId(array(&invited, 0)?), AreaId(array(&invited, 1)?));
    let device = Device { user, township, ..device.clone() };
    put_device(c, tenant, &device).await?;
    Ok(Some(device))
}

/// The device that this invitation enrolled with this key: its answer was lost.
async fn enrolled_before(
    c: &impl GenericClient,
    tenant: &[u8],
    secret_hash: [u8; 32],
    public_key: &[u8; 32],
) -> Result<Option<Device>> {
    let sql = format!(
        "SELECT {DEVICE_COLUMNS} WHERE tenant = $1 AND public_key = $3 AND NOT revoked AND lost_device IS NULL
         AND id = (SELECT device FROM invitation WHERE tenant = $1 AND secret_hash = $2)"
    );
    let keys: [&[u8]; 2] = [&secret_hash, public_key];
    row(c, &sql, &[&tenant, &keys[0], &keys[1]]).await?.map(|r| read_device(&r)).transpose()
}

pub(super) async fn put_device(c: &impl GenericClient, tenant: &[u8], d: &Device) -> Result<()> {
    know_township(c, tenant, d.township).await?;
    let sql =
        "INSERT INTO device (tenant, id, user_id, township, public_key, enrolled_ms, revoked, counter, last_sync_ms,
        previous_sync_ms, feed_seq, known_feed, known_grants, known_areas)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (tenant, id) DO UPDATE SET user_id = excluded.user_id, township = excluded.township,
        public_key = excluded.public_key, enrolled_ms = excluded.enrolled_ms, revoked = excluded.revoked,
        counter = excluded.counter, last_sync_ms = excluded.last_sync_ms, previous_sync_ms = excluded.previous_sync_ms,
        feed_seq = excluded.feed_seq, known_feed = excluded.known_feed, known_grants = excluded.known_grants,
        known_areas = excluded.known_areas";
    let (id, user, township, key) =
        (d.id.0.as_slice(), d.user.0.as_slice(), d.township.0.as_slice(), d.public_key.as_slice());
    let n = [d.enrolled_ms, d.counter, d.last_sync_ms, d.previous_sync_ms, d.feed_seq].map(u64::cast_signed);
    let k = [d.known.feed, d.known.grants, d.known.areas].map(u64::cast_signed);
    let state: [&(dyn ToSql + Sync); 9] = [&n[0], &d.revoked, &n[1], &n[2], &n[3], &n[4], &k[0], &k[1], &k[2]];
    let whose: [&(dyn ToSql + Sync); 5] = [&tenant, &id, &user, &township, &key];
    run(c, sql, &[&whose[..], &state[..]].concat()).await?;
    Ok(())
}

const DEVICE_COLUMNS: &str = "id, user_id, township, public_key, enrolled_ms, revoked, counter, last_sync_ms,
    previous_sync_ms, feed_seq, lost_reported_ms, lost_told_ms, lost_wiped_ms, known_feed, known_grants, known_areas
    FROM device LEFT JOIN (SELECT tenant AS lost_tenant, device AS lost_device, reported_ms AS lost_reported_ms,
        told_ms AS lost_told_ms, wiped_ms AS lost_wiped_ms FROM lost_device WHERE withdrawn_ms = 0) AS lost
        ON lost_tenant = tenant AND lost_device = id";

pub(super) async fn revoke_device(c: &impl GenericClient, tenant: &[u8], device: DeviceId) -> Result<bool> {
    let sql = "UPDATE device SET revoked = TRUE WHERE tenant = $1 AND id = $2";
    Ok(run(c, sql, &[&tenant, &device.0.as_slice()]).await? > 0)
}

fn read_device(r: &Row) -> Result<Device> {
    let lost = match get::<Option<i64>>(r, 10)? {
        None => None,
        Some(reported_ms) => {
            Some(Lost { reported_ms: reported_ms.cast_unsigned(), told_ms: number(r, 11)?, wiped_ms: number(r, 12)? })
        }
    };
    Ok(Device {
        id: DeviceId(array(r, 0)?),
        user: UserId(array(r, 1)?),
        township: AreaId(array(r, 2)?),
        public_key: array(r, 3)?,
        enrolled_ms: number(r, 4)?,
        revoked: get(r, 5)?,
        lost,
        counter: number(r, 6)?,
        last_sync_ms: number(r, 7)?,
        previous_sync_ms: number(r, 8)?,
        feed_seq: number(r, 9)?,
        known: Known { feed: number(r, 13)?, grants: number(r, 14)?, areas: number(r, 15)? },
    })
}

pub(super) async fn device(c: &impl GenericClient, tenant: &[u8], device: DeviceId) -> Result<Option<Device>> {
    let sql = format!("SELECT {DEVICE_COLUMNS} WHERE tenant = $1 AND id = $2");
    row(c, &sql, &[&tenant, &device.0.as_slice()]).await?.map(|r| read_device(&r)).transpose()
}

pub(super) async fn devices(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Vec<Device>> {
    let sql = format!("SELECT {DEVICE_COLUMNS} WHERE tenant = $1 AND township = $2 ORDER BY id");
    rows(c, &sql, &[&tenant, &township.0.as_slice()]).await?.iter().map(read_device).collect()
}

/// Sets of a noted sync; syncs that follow each other closely (push, then pull, or an upload in several parts; see
/// `SYNC_GAP_MS`) count as one. `n` holds counter and time.
pub(super) const NOTE: &str = "counter = greatest(d.counter, n.counter),
    previous_sync_ms = CASE WHEN n.at_ms - d.last_sync_ms >= 600000 THEN d.last_sync_ms ELSE d.previous_sync_ms END,
    last_sync_ms = greatest(d.last_sync_ms, n.at_ms)";

pub(super) async fn note_syncs(c: &impl GenericClient, tenant: &[u8], notes: &[SyncNote]) -> Result<()> {
    let sql = format!(
        "UPDATE device d SET {NOTE}, feed_seq = $5, known_feed = greatest(d.known_feed, $6),
         known_grants = greatest(d.known_grants, $7), known_areas = greatest(d.known_areas, $8) FROM (SELECT $3::BIGINT AS counter, $4::BIGINT AS at_ms) n
         WHERE d.tenant = $1 AND d.id = $2"
    );
    for note in notes {
        let k = note.known;
        let n = [note.counter, note.now_ms, note.feed_seq, k.feed, k.grants, k.areas].map(u64::cast_signed);
        run(c, &sql, &[&tenant, &note.device.0.as_slice(), &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]]).await?;
    }
    Ok(())
}
