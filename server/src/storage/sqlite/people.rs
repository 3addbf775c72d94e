//! Areas, users, grants, invitations, devices.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, Chain, DeviceId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry, Position};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::chain::Links;
use super::super::{Device, Grant, Known, Lost, Result, SYNC_GAP_MS, TownshipId, User};

/// The number of a township, if it is known.
pub(super) fn township_no(c: &Connection, township: TownshipId) -> Result<Option<i64>> {
    let mut statement = c.prepare_cached("SELECT no FROM township WHERE id = ?")?;
    Ok(statement.query_row([township.0], |r| r.get(0)).optional()?)
}

/// The number of a township, whose feed is made if it is new.
pub(super) fn township_no_or_new(c: &Connection, township: TownshipId) -> Result<i64> {
    if let Some(no) = township_no(c, township)? {
        return Ok(no);
    }
    c.prepare_cached("INSERT INTO township (id, chain) VALUES (?, ?)")?
        .execute(params![township.0, Chain::default().0])?;
    Ok(c.last_insert_rowid())
}

pub(super) fn put_areas(c: &Connection, township: TownshipId, areas: &[AreaEntry]) -> Result<u64> {
    let no = township_no_or_new(c, township)?;
    let mut insert = c.prepare_cached(
        "INSERT INTO area (township_no, id, parent, level, code, name_zh, name_en) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (township_no, id) DO UPDATE SET parent = excluded.parent, level = excluded.level,
         code = excluded.code, name_zh = excluded.name_zh, name_en = excluded.name_en",
    )?;
    for area in areas {
        let parent = area.parent.map(|p| p.0);
        insert.execute(params![no, area.area.0, parent, area.level, area.code, area.name_zh, area.name_en])?;
    }
    let mut raise =
        c.prepare_cached("UPDATE township SET areas_version = areas_version + 1 WHERE no = ? RETURNING areas_version")?;
    Ok(raise.query_row([no], |r| r.get::<_, i64>(0))?.cast_unsigned())
}

pub(super) fn areas(c: &Connection, township: TownshipId) -> Result<Vec<AreaEntry>> {
    let Some(no) = township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT id, parent, level, code, name_zh, name_en FROM area WHERE township_no = ? ORDER BY code, id",
    )?;
    let rows = statement.query_map([no], |r| {
        Ok(AreaEntry {
            area: AreaId(r.get(0)?),
            parent: r.get::<_, Option<_>>(1)?.map(AreaId),
            level: r.get(2)?,
            code: r.get(3)?,
            name_zh: r.get(4)?,
            name_en: r.get(5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn townships(c: &Connection) -> Result<Vec<TownshipId>> {
    let mut statement = c.prepare_cached("SELECT id FROM township ORDER BY no")?;
    let rows = statement.query_map([], |r| Ok(AreaId(r.get(0)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn put_users(c: &Connection, users: &[User]) -> Result<()> {
    let mut insert = c.prepare_cached(
        "INSERT INTO user (id, name, unit) VALUES (?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, unit = excluded.unit",
    )?;
    for user in users {
        insert.execute(params![user.id.0, user.name, user.unit])?;
    }
    Ok(())
}

pub(super) fn users(c: &Connection) -> Result<Vec<User>> {
    let mut statement = c.prepare_cached("SELECT id, name, unit FROM user ORDER BY id")?;
    let rows = statement.query_map([], |r| Ok(User { id: UserId(r.get(0)?), name: r.get(1)?, unit: r.get(2)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn grants_head(c: &Connection, user: UserId) -> Result<Position> {
    let mut statement =
        c.prepare_cached("SELECT seq, chain FROM grant_entry WHERE user = ? ORDER BY seq DESC LIMIT 1")?;
    Ok(statement.query_row([user.0], |r| position(r, 0)).optional()?.unwrap_or_default())
}

pub(super) fn position(r: &Row<'_>, first: usize) -> rusqlite::Result<Position> {
    Ok(Position { seq: r.get::<_, i64>(first)?.cast_unsigned(), chain: Chain(r.get(first + 1)?) })
}

pub(super) fn append_grants(c: &Connection, links: &Links, user: UserId, entries: &[Grant]) -> Result<Position> {
    let mut head = grants_head(c, user)?;
    let largest = "SELECT coalesce(max(grant_no), 0) FROM grant_entry WHERE user = ?";
    let mut last: i64 = c.prepare_cached(largest)?.query_row([user.0], |r| r.get(0))?;
    let mut insert = c.prepare_cached(
        "INSERT INTO grant_entry (user, seq, chain, grant_no, role, area, subject, active, until_ms, stand_in_for, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for grant in entries {
        let mut entry = grant.entry.clone();
        if entry.grant == 0 {
            entry.grant = last.cast_unsigned() + 1;
        }
        last = last.max(entry.grant.cast_signed());
        head = Position { seq: head.seq + 1, chain: links.grant(head.chain, user, &entry) };
        insert.execute(params![
            user.0,
            head.seq.cast_signed(),
            head.chain.0,
            entry.grant.cast_signed(),
            entry.role,
            entry.area.0,
            entry.subject.map(|s| s.0),
            entry.active,
            grant.until_ms.map(u64::cast_signed),
            grant.stand_in_for.map(|u| u.0),
            grant.at_ms.cast_signed(),
        ])?;
    }
    Ok(head)
}

pub(super) const GRANT_COLUMNS: &str = "grant_no, role, area, subject, active, until_ms, stand_in_for, at_ms";

/// A grant, from column `first` on.
pub(super) fn grant(r: &Row<'_>, first: usize) -> rusqlite::Result<Grant> {
    let entry = GrantEntry {
        grant: r.get::<_, i64>(first)?.cast_unsigned(),
        role: r.get(first + 1)?,
        area: AreaId(r.get(first + 2)?),
        subject: r.get::<_, Option<_>>(first + 3)?.map(RecordId),
        active: r.get(first + 4)?,
    };
    Ok(Grant {
        entry,
        until_ms: r.get::<_, Option<i64>>(first + 5)?.map(i64::cast_unsigned),
        stand_in_for: r.get::<_, Option<_>>(first + 6)?.map(UserId),
        at_ms: r.get::<_, i64>(first + 7)?.cast_unsigned(),
    })
}

pub(super) fn grants(c: &Connection, user: UserId, after: u64) -> Result<(Position, Vec<(Position, Grant)>)> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT seq, chain, {GRANT_COLUMNS} FROM grant_entry WHERE user = ? AND seq > ? ORDER BY seq"
    ))?;
    let rows = statement.query_map(params![user.0, after.cast_signed()], |r| Ok((position(r, 0)?, grant(r, 2)?)))?;
    let entries: Vec<(Position, Grant)> = rows.collect::<rusqlite::Result<_>>()?;
    let head = entries.last().map_or_else(|| grants_head(c, user), |(at, _)| Ok(*at))?;
    Ok((head, entries))
}

pub(super) fn put_invitation(
    c: &Connection,
    secret_hash: [u8; 32],
    user: UserId,
    township: TownshipId,
    until_ms: Millis,
) -> Result<()> {
    let no = township_no_or_new(c, township)?;
    c.prepare_cached("INSERT INTO invitation (secret_hash, user, township_no, until_ms) VALUES (?, ?, ?, ?)")?
        .execute(params![secret_hash, user.0, no, until_ms as i64])?;
    Ok(())
}

pub(super) fn redeem_invitation(
    c: &Connection,
    secret_hash: [u8; 32],
    device: &Device,
    now_ms: Millis,
) -> Result<Option<Device>> {
    let mut statement = c.prepare_cached(
        "UPDATE invitation SET device = ? WHERE secret_hash = ? AND device IS NULL AND until_ms > ?
         RETURNING user, (SELECT id FROM township WHERE no = township_no)",
    )?;
    let invited = statement
        .query_row(params![device.id.0, secret_hash, now_ms as i64], |r| Ok((UserId(r.get(0)?), AreaId(r.get(1)?))))
        .optional()?;
    let Some((user, township)) = invited else { return enrolled_before(c, secret_hash, &device.public_key) };
    let device = Device { user, township, ..device.clone() };
    put_device(c, &device)?;
    Ok(Some(device))
}

/// The device that this invitation enrolled with this key: its answer was lost.
fn enrolled_before(c: &Connection, secret_hash: [u8; 32], public_key: &[u8; 32]) -> Result<Option<Device>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {DEVICE_COLUMNS} JOIN invitation i ON i.device = d.id
         WHERE i.secret_hash = ? AND d.public_key = ? AND NOT d.revoked AND l.device IS NULL"
    ))?;
    Ok(statement.query_row(params![secret_hash, public_key], read_device).optional()?)
}

const DEVICE_COLUMNS: &str = "d.id, d.user, t.id, d.public_key, d.enrolled_ms, d.revoked, d.counter, d.last_sync_ms,
    d.previous_sync_ms, d.feed_seq, l.reported_ms, l.told_ms, l.wiped_ms, d.known_feed, d.known_grants, d.known_areas
    FROM device d JOIN township t ON t.no = d.township_no LEFT JOIN lost_device l ON l.device = d.id
        AND l.withdrawn_ms = 0";

pub(super) fn put_device(c: &Connection, device: &Device) -> Result<()> {
    let no = township_no_or_new(c, device.township)?;
    c.prepare_cached(
        "INSERT OR REPLACE INTO device (id, user, township_no, public_key, enrolled_ms, revoked, counter, last_sync_ms,
         previous_sync_ms, feed_seq, known_feed, known_grants, known_areas)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        device.id.0,
        device.user.0,
        no,
        device.public_key,
        device.enrolled_ms as i64,
        device.revoked,
        device.counter.cast_signed(),
        device.last_sync_ms as i64,
        device.previous_sync_ms as i64,
        device.feed_seq.cast_signed(),
        device.known.feed.cast_signed(),
        device.known.grants.cast_signed(),
        device.known.areas.cast_signed(),
    ])?;
    Ok(())
}

pub(super) fn revoke_device(c: &Connection, device: DeviceId) -> Result<bool> {
    Ok(c.prepare_cached("UPDATE device SET revoked = 1 WHERE id = ?")?.execute([device.0])? > 0)
}

fn read_device(r: &Row<'_>) -> rusqlite::Result<Device> {
    let lost = match r.get::<_, Option<i64>>(10)? {
        None => None,
        Some(reported_ms) => Some(Lost {
            reported_ms: reported_ms.cast_unsigned(),
            told_ms: r.get::<_, i64>(11)?.cast_unsigned(),
            wiped_ms: r.get::<_, i64>(12)?.cast_unsigned(),
        }),
    };
    Ok(Device {
        id: DeviceId(r.get(0)?),
        user: UserId(r.get(1)?),
        township: AreaId(r.get(2)?),
        public_key: r.get(3)?,
        enrolled_ms: r.get::<_, i64>(4)?.cast_unsigned(),
        revoked: r.get(5)?,
        lost,
        counter: r.get::<_, i64>(6)?.cast_unsigned(),
        last_sync_ms: r.get::<_, i64>(7)?.cast_unsigned(),
        previous_sync_ms: r.get::<_, i64>(8)?.cast_unsigned(),
        feed_seq: r.get::<_, i64>(9)?.cast_unsigned(),
        known: Known {
            feed: r.get::<_, i64>(13)?.cast_unsigned(),
            grants: r.get::<_, i64>(14)?.cast_unsigned(),
            areas: r.get::<_, i64>(15)?.cast_unsigned(),
        },
    })
}

pub(super) fn device(c: &Connection, device: DeviceId) -> Result<Option<Device>> {
    let mut statement = c.prepare_cached(&format!("SELECT {DEVICE_COLUMNS} WHERE d.id = ?"))?;
    Ok(statement.query_row([device.0], read_device).optional()?)
}

pub(super) fn devices(c: &Connection, township: TownshipId) -> Result<Vec<Device>> {
    let mut statement = c.prepare_cached(&format!("SELECT {DEVICE_COLUMNS} WHERE t.id = ? ORDER BY d.id"))?;
    let rows = statement.query_map([township.0], read_device)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Notes a sync; syncs that follow each other closely (push, then pull, or an upload in several parts) count as one. With
/// what the device was sent and has shown to know, where it was answered.
pub(super) fn note_sync(
    c: &Connection,
    device: DeviceId,
    counter: u64,
    now_ms: Millis,
    answered: Option<(u64, Known)>,
) -> Result<()> {
    let (feed_seq, known) = answered.map_or((None, Known::default()), |(seq, known)| (Some(seq), known));
    c.prepare_cached(
        "UPDATE device SET counter = max(counter, ?2),
         previous_sync_ms = CASE WHEN ?3 - last_sync_ms >= ?5 THEN last_sync_ms ELSE previous_sync_ms END,
         last_sync_ms = max(last_sync_ms, ?3), feed_seq = coalesce(?4, feed_seq), known_feed = max(known_feed, ?6),
         known_grants = max(known_grants, ?7), known_areas = max(known_areas, ?8) WHERE id = ?1",
    )?
    .execute(params![
        device.0,
        counter.cast_signed(),
        now_ms as i64,
        feed_seq.map(u64::cast_signed),
        SYNC_GAP_MS as i64,
        known.feed.cast_signed(),
        known.grants.cast_signed(),
        known.areas.cast_signed(),
    ])?;
    Ok(())
}
