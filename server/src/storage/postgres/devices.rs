//! Lost phones, used invitations, and what becomes of quarantined changes.

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;
use doorstep_core::protocol::{ManifestEntry, Outcome, Position, State};
use tokio_postgres::Row;

use super::super::devices::{
    Decision, DeviceStorage, InvitationState, QuarantineFilter, QuarantineRow, WipeStep, anew, fate,
};
use super::super::{Result, TownshipId};
use super::{PostgresStorage, array, feed, get, held, number, row, run};

fn quarantine_row(r: &Row) -> Result<QuarantineRow> {
    Ok(QuarantineRow {
        no: number(r, 11)?,
        device: DeviceId(array(r, 0)?),
        received_ms: number(r, 1)?,
        change: held::held(r)?,
        decision: Decision::from_number(get(r, 12)?),
        decided_ms: number(r, 13)?,
    })
}

impl DeviceStorage for PostgresStorage {
    fn note_wipe(&self, device: DeviceId, step: WipeStep, now_ms: Millis) -> Result<bool> {
        self.write(async |tx, t| note_wipe(tx, &t.id, device, step, now_ms).await)
    }

    fn invitation(&self, secret_hash: [u8; 32]) -> Result<Option<InvitationState>> {
        self.ask(async |c, t| {
            let sql = "SELECT device IS NOT NULL, until_ms FROM invitation WHERE tenant = $1 AND secret_hash = $2";
            let found = super::row(c, sql, &[&t, &secret_hash.as_slice()]).await?;
            found.map(|r| Ok(InvitationState { used: get(&r, 0)?, until_ms: number(&r, 1)? })).transpose()
        })
    }

    fn fates(
        &self,
        township: TownshipId,
        device: DeviceId,
        asked: &[ManifestEntry],
    ) -> Result<(Vec<Outcome>, Position)> {
        self.read(async |c, t| {
            let (head, _) = feed::head(c, t, township).await?;
            let (town, device) = (township.0.as_slice(), device.0.as_slice());
            let stored = "SELECT 1 FROM record r JOIN change c ON c.tenant = r.tenant AND c.township = r.township
                AND c.record = r.id WHERE r.tenant = $1 AND r.township = $2 AND r.id = $3 AND r.incarnation = $4
                AND c.hash = $5";
            let kept =
                "SELECT NULL::TEXT FROM waiting WHERE tenant = $1 AND township = $2 AND record = $3 AND hash = $4
                UNION ALL SELECT reason FROM quarantine WHERE tenant = $1 AND township = $2 AND record = $3
                AND hash = $4 AND device = $5 LIMIT 1";
            let rooted = "SELECT 1 FROM record WHERE tenant = $1 AND township = $2 AND id = $3 AND incarnation > $4";
            let mut fates = Vec::with_capacity(asked.len());
            for entry in asked {
                let (record, hash) = (entry.record.0.as_slice(), entry.change.0.as_slice());
                if row(c, stored, &[&t, &town, &record, &i64::from(entry.incarnation), &hash]).await?.is_some() {
                    fates.push(Outcome::of(State::Stored));
                    continue;
                }
                if row(c, rooted, &[&t, &town, &record, &i64::from(entry.incarnation)]).await?.is_some() {
                    fates.push(anew());
                    continue;
                }
                let found = row(c, kept, &[&t, &town, &record, &hash, &device]).await?;
                fates.push(fate(found.map(|r| get::<Option<String>>(&r, 0)).transpose()?));
            }
            Ok((fates, head))
        })
    }

    fn quarantine_list(&self, township: TownshipId, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT {}, no, decision, decided_ms FROM quarantine WHERE tenant = $1 AND township = $2 AND no < $3
                 AND ($4::BIGINT IS NULL OR decision = $4) AND ($5::BYTEA IS NULL OR device = $5)
                 AND ($6::TEXT IS NULL OR reason = $6) ORDER BY no DESC LIMIT $7",
                held::COLUMNS
            );
            let before = filter.before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
            let decision = filter.decision.map(|d| d as i64);
            let device = filter.device.as_ref().map(|d| d.0.as_slice());
            let (town, limit) = (township.0.as_slice(), i64::from(filter.limit));
            let values: [super::Param<'_>; 7] = [&t, &town, &before, &decision, &device, &filter.reason, &limit];
            super::rows(c, &sql, &values).await?.iter().map(quarantine_row).collect()
        })
    }

    fn quarantine_rows(&self, township: TownshipId, nos: &[u64]) -> Result<Vec<QuarantineRow>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT {}, no, decision, decided_ms FROM quarantine
                 WHERE tenant = $1 AND township = $2 AND no = ANY($3) ORDER BY no",
                held::COLUMNS
            );
            super::rows(c, &sql, &[&t, &township.0.as_slice(), &signed(nos)])
                .await?
                .iter()
                .map(quarantine_row)
                .collect()
        })
    }
}

/// False if the phone is unknown, or its report stands already.
pub(super) async fn report_lost(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    now_ms: Millis,
) -> Result<bool> {
    let sql = "INSERT INTO lost_device (tenant, device, reported_ms, told_ms, wiped_ms)
        SELECT tenant, id, $3, 0, 0 FROM device WHERE tenant = $1 AND id = $2
        ON CONFLICT (tenant, device) DO UPDATE SET reported_ms = excluded.reported_ms, told_ms = 0, wiped_ms = 0,
        withdrawn_ms = 0 WHERE lost_device.withdrawn_ms > 0";
    Ok(run(c, sql, &[&tenant, &device.0.as_slice(), &now_ms.cast_signed()]).await? > 0)
}

pub(super) async fn withdraw_lost(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    now_ms: Millis,
) -> Result<bool> {
    let sql = "UPDATE lost_device SET withdrawn_ms = $3
        WHERE tenant = $1 AND device = $2 AND withdrawn_ms = 0 AND wiped_ms = 0";
    Ok(run(c, sql, &[&tenant, &device.0.as_slice(), &now_ms.cast_signed()]).await? > 0)
}

pub(super) async fn note_wipe(
    c: &impl GenericClient,
    tenant: &[u8],
    device: DeviceId,
    step: WipeStep,
    now_ms: Millis,
) -> Result<bool> {
    let sql = match step {
        WipeStep::Told => "UPDATE lost_device SET told_ms = $3 WHERE tenant = $1 AND device = $2 AND told_ms = 0",
        WipeStep::Wiped => {
            "UPDATE lost_device SET wiped_ms = $3, withdrawn_ms = 0 WHERE tenant = $1 AND device = $2 AND wiped_ms = 0"
        }
    };
    Ok(run(c, sql, &[&tenant, &device.0.as_slice(), &now_ms.cast_signed()]).await? > 0)
}

pub(super) async fn decide(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    nos: &[u64],
    decision: Decision,
    now_ms: Millis,
) -> Result<()> {
    let sql = "UPDATE quarantine SET decision = $4, decided_ms = $5
        WHERE tenant = $1 AND township = $2 AND no = ANY($3) AND decision <> 1";
    let (town, now) = (township.0.as_slice(), now_ms.cast_signed());
    run(c, sql, &[&tenant, &town, &signed(nos), &(decision as i64), &now]).await?;
    Ok(())
}

fn signed(nos: &[u64]) -> Vec<i64> {
    nos.iter().filter_map(|no| i64::try_from(*no).ok()).collect()
}
