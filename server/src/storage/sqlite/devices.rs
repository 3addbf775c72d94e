//! Lost phones, used invitations, and what becomes of quarantined changes.

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;
use doorstep_core::protocol::{ManifestEntry, Outcome, Position, State};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::devices::{
    Decision, DeviceStorage, InvitationState, QuarantineFilter, QuarantineRow, WipeStep, anew, fate,
};
use super::super::{Result, TownshipId};
use super::{SqliteStorage, feed, held, people};

fn quarantine_row(r: &Row<'_>) -> rusqlite::Result<QuarantineRow> {
    Ok(QuarantineRow {
        no: r.get::<_, i64>(11)?.cast_unsigned(),
        device: DeviceId(r.get(0)?),
        received_ms: r.get::<_, i64>(1)?.cast_unsigned(),
        change: held::held(r)?,
        decision: Decision::from_number(r.get(12)?),
        decided_ms: r.get::<_, i64>(13)?.cast_unsigned(),
    })
}

impl DeviceStorage for SqliteStorage {
    fn note_wipe(&self, device: DeviceId, step: WipeStep, now_ms: Millis) -> Result<bool> {
        self.write(|tx| note_wipe(tx, device, step, now_ms))
    }

    fn invitation(&self, secret_hash: [u8; 32]) -> Result<Option<InvitationState>> {
        self.read(|c| {
            let sql = "SELECT device IS NOT NULL, until_ms FROM invitation WHERE secret_hash = ?";
            let found = c.prepare_cached(sql)?.query_row([secret_hash], |r| {
                Ok(InvitationState { used: r.get(0)?, until_ms: r.get::<_, i64>(1)?.cast_unsigned() })
            });
            Ok(found.optional()?)
        })
    }

    fn fates(
        &self,
        township: TownshipId,
        device: DeviceId,
        asked: &[ManifestEntry],
    ) -> Result<(Vec<Outcome>, Position)> {
        self.read(|c| {
            let head = feed::read_head(c, township)?;
            let Some(town) = people::township_no(c, township)? else {
                return Ok((vec![fate(None); asked.len()], Position::default()));
            };
            let mut stored = c.prepare_cached(
                "SELECT 1 FROM record r JOIN change c ON c.record_no = r.no
                 WHERE r.id = ?1 AND r.township_no = ?2 AND r.incarnation = ?3 AND c.hash = ?4",
            )?;
            let mut kept = c.prepare_cached(
                "SELECT NULL FROM waiting WHERE record = ?1 AND hash = ?2 AND township_no = ?3
                 UNION ALL SELECT reason FROM quarantine WHERE record = ?1 AND hash = ?2 AND township_no = ?3 AND device = ?4",
            )?;
            let mut rooted =
                c.prepare_cached("SELECT 1 FROM record WHERE id = ? AND township_no = ? AND incarnation > ?")?;
            let mut fates = Vec::with_capacity(asked.len());
            for entry in asked {
                let (record, hash) = (entry.record.0, entry.change.0);
                if stored.exists(params![record, town, entry.incarnation, hash])? {
                    fates.push(Outcome::of(State::Stored));
                    continue;
                }
                if rooted.exists(params![record, town, entry.incarnation])? {
                    fates.push(anew());
                    continue;
                }
                let reason = kept.query_row(params![record, hash, town, device.0], |r| r.get::<_, Option<String>>(0));
                fates.push(fate(reason.optional()?));
            }
            Ok((fates, head.map(|h| h.position).unwrap_or_default()))
        })
    }

    fn quarantine_list(&self, township: TownshipId, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let sql = format!(
                "SELECT {}, decision, decided_ms FROM quarantine WHERE township_no = ?1 AND no < ?2
                 AND (?3 IS NULL OR decision = ?3) AND (?4 IS NULL OR device = ?4) AND (?5 IS NULL OR reason = ?5)
                 ORDER BY no DESC LIMIT ?6",
                held::COLUMNS
            );
            let before = filter.before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
            let decision = filter.decision.map(|d| d as i64);
            let device = filter.device.map(|d| d.0);
            let values = params![township_no, before, decision, device, filter.reason, filter.limit];
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map(values, quarantine_row)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn quarantine_rows(&self, township: TownshipId, nos: &[u64]) -> Result<Vec<QuarantineRow>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let sql = format!(
                "SELECT {}, decision, decided_ms FROM quarantine WHERE township_no = ? AND no = ?",
                held::COLUMNS
            );
            let mut statement = c.prepare_cached(&sql)?;
            let mut found = Vec::new();
            for no in sorted(nos) {
                found.extend(statement.query_row(params![township_no, no], quarantine_row).optional()?);
            }
            Ok(found)
        })
    }
}

/// False if the phone is unknown, or its report stands already.
pub(super) fn report_lost(c: &Connection, device: DeviceId, now_ms: Millis) -> Result<bool> {
    if people::device(c, device)?.is_none_or(|device| device.lost.is_some()) {
        return Ok(false);
    }
    let sql = "INSERT OR REPLACE INTO lost_device (device, reported_ms, told_ms, wiped_ms) VALUES (?, ?, 0, 0)";
    c.prepare_cached(sql)?.execute(params![device.0, now_ms as i64])?;
    Ok(true)
}

pub(super) fn withdraw_lost(c: &Connection, device: DeviceId, now_ms: Millis) -> Result<bool> {
    let sql = "UPDATE lost_device SET withdrawn_ms = ? WHERE device = ? AND withdrawn_ms = 0 AND wiped_ms = 0";
    Ok(c.prepare_cached(sql)?.execute(params![now_ms as i64, device.0])? > 0)
}

pub(super) fn note_wipe(c: &Connection, device: DeviceId, step: WipeStep, now_ms: Millis) -> Result<bool> {
    let sql = match step {
        WipeStep::Told => "UPDATE lost_device SET told_ms = ? WHERE device = ? AND told_ms = 0",
        WipeStep::Wiped => "UPDATE lost_device SET wiped_ms = ?, withdrawn_ms = 0 WHERE device = ? AND wiped_ms = 0",
    };
    Ok(c.prepare_cached(sql)?.execute(params![now_ms as i64, device.0])? > 0)
}

pub(super) fn decide(
    c: &Connection,
    township: TownshipId,
    nos: &[u64],
    decision: Decision,
    now_ms: Millis,
) -> Result<()> {
    let Some(township_no) = people::township_no(c, township)? else { return Ok(()) };
    let sql = "UPDATE quarantine SET decision = ?, decided_ms = ? WHERE township_no = ? AND no = ? AND decision <> 1";
    let mut statement = c.prepare_cached(sql)?;
    for no in sorted(nos) {
        statement.execute(params![decision as i64, now_ms as i64, township_no, no])?;
    }
    Ok(())
}

fn sorted(nos: &[u64]) -> Vec<i64> {
    let mut nos: Vec<i64> = nos.iter().filter_map(|no| i64::try_from(*no).ok()).collect();
    nos.sort_unstable();
    nos.dedup();
    nos
}
