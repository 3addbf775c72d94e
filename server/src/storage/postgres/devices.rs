//! Lost phones, used invitations, and what becomes of quarantined changes.

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;
use tokio_postgres::Row;

use super::super::devices::{Decision, DeviceStorage, InvitationState, QuarantineFilter, QuarantineRow, WipeStep};
use super::super::{Result, TownshipId};
use super::{PostgresStorage, array, get, held, number, people, run};

fn row(r: &Row) -> Result<QuarantineRow> {
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
    fn report_lost(&self, device: DeviceId, now_ms: Millis) -> Result<bool> {
        self.write(async |tx, t| {
            if people::device(tx, &t.id, device).await?.is_none() {
                return Ok(false);
            }
            let sql =
                "INSERT INTO lost_device (tenant, device, reported_ms, told_ms, wiped_ms) VALUES ($1, $2, $3, 0, 0)
                ON CONFLICT (tenant, device) DO NOTHING";
            run(tx, sql, &[&t.id.as_slice(), &device.0.as_slice(), &now_ms.cast_signed()]).await?;
            Ok(true)
        })
    }

    fn note_wipe(&self, device: DeviceId, step: WipeStep, now_ms: Millis) -> Result<bool> {
        let sql = match step {
            WipeStep::Told => "UPDATE lost_device SET told_ms = $3 WHERE tenant = $1 AND device = $2 AND told_ms = 0",
            WipeStep::Wiped => {
                "UPDATE lost_device SET wiped_ms = $3 WHERE tenant = $1 AND device = $2 AND wiped_ms = 0"
            }
        };
        self.write(async |tx, t| {
            Ok(run(tx, sql, &[&t.id.as_slice(), &device.0.as_slice(), &now_ms.cast_signed()]).await? > 0)
        })
    }

    fn invitation(&self, secret_hash: [u8; 32]) -> Result<Option<InvitationState>> {
        self.ask(async |c, t| {
            let sql = "SELECT device IS NOT NULL, until_ms FROM invitation WHERE tenant = $1 AND secret_hash = $2";
            let found = super::row(c, sql, &[&t, &secret_hash.as_slice()]).await?;
            found.map(|r| Ok(InvitationState { used: get(&r, 0)?, until_ms: number(&r, 1)? })).transpose()
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
            super::rows(c, &sql, &values).await?.iter().map(row).collect()
        })
    }

    fn quarantine_rows(&self, township: TownshipId, nos: &[u64]) -> Result<Vec<QuarantineRow>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT {}, no, decision, decided_ms FROM quarantine
                 WHERE tenant = $1 AND township = $2 AND no = ANY($3) ORDER BY no",
                held::COLUMNS
            );
            super::rows(c, &sql, &[&t, &township.0.as_slice(), &signed(nos)]).await?.iter().map(row).collect()
        })
    }

    fn decide_quarantine(&self, township: TownshipId, nos: &[u64], decision: Decision, now_ms: Millis) -> Result<()> {
        self.write(async |tx, t| {
            let sql = "UPDATE quarantine SET decision = $4, decided_ms = $5
                WHERE tenant = $1 AND township = $2 AND no = ANY($3) AND decision <> 1";
            let (id, town, now) = (t.id.as_slice(), township.0.as_slice(), now_ms.cast_signed());
            run(tx, sql, &[&id, &town, &signed(nos), &(decision as i64), &now]).await?;
            Ok(())
        })
    }
}

fn signed(nos: &[u64]) -> Vec<i64> {
    nos.iter().filter_map(|no| i64::try_from(*no).ok()).collect()
}
