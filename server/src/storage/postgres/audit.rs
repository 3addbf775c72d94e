//! The audit log.

use deadpool_postgres::GenericClient;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::Position;
use tokio_postgres::Row;

use super::super::Result;
use super::super::audit::{AuditEntry, AuditFilter, AuditRow, AuditStorage};
use super::{PostgresStorage, Tenant, get, number, optional, people, run};

const COLUMNS: &str = "no, chain, at_ms, actor, action, township, subjects, reason, details";

impl AuditStorage for PostgresStorage {
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<Position> {
        self.write(async |tx, t| append(tx, t, entries).await)
    }

    fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>> {
        self.ask(async |c, t| {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE tenant = $1 AND no > $2 ORDER BY no LIMIT $3");
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            super::rows(c, &sql, &[&t, &after, &i64::from(limit)]).await?.iter().map(row).collect()
        })
    }

    fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>> {
        self.ask(async |c, t| {
            let sql = format!(
                "SELECT {COLUMNS} FROM audit WHERE tenant = $1 AND no < $2 AND ($3::TEXT IS NULL OR action = $3)
                 AND ($4::TEXT IS NULL OR strpos(' ' || subjects || ' ', ' ' || $4 || ' ') > 0)
                 AND ($5::BYTEA IS NULL OR township IS NULL OR township = $5)
                 AND ($7::TEXT[] IS NULL OR actor = ANY($7) OR string_to_array(subjects, ' ') && $7)
                 AND at_ms BETWEEN $8 AND $9 ORDER BY no DESC LIMIT $6"
            );
            let (from, to) = filter.at_ms.map_or((i64::MIN, i64::MAX), |(a, b)| (a.cast_signed(), b.cast_signed()));
            let before = filter.before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
            let township = filter.township.as_ref().map(|t| t.0.as_slice());
            let limit = i64::from(filter.limit);
            let values: [super::Param<'_>; 9] =
                [&t, &before, &filter.action, &filter.subject, &township, &limit, &filter.of, &from, &to];
            super::rows(c, &sql, &values).await?.iter().map(row).collect()
        })
    }

    fn audit_head(&self) -> Result<Position> {
        self.ask(async |c, t| {
            let sql = "SELECT no, chain FROM audit_head WHERE tenant = $1";
            super::row(c, sql, &[&t]).await?.map_or(Ok(Position::default()), |r| people::position(&r, 0))
        })
    }
}

/// Appends in the transaction of what the entries are about.
pub(super) async fn append(c: &impl GenericClient, tenant: &Tenant, entries: &[AuditEntry]) -> Result<Position> {
    let id = tenant.id.as_slice();
    let start = Position::default();
    let sql = "INSERT INTO audit_head (tenant, no, chain) VALUES ($1, 0, $2) ON CONFLICT (tenant) DO NOTHING";
    run(c, sql, &[&id, &start.chain.0.as_slice()]).await?;
    // the row is locked until the transaction ends, so that two writers follow each other
    let sql = "SELECT no, chain FROM audit_head WHERE tenant = $1 FOR UPDATE";
    let mut at = super::row(c, sql, &[&id]).await?.map_or(Ok(start), |r| people::position(&r, 0))?;
    let sql = format!("INSERT INTO audit (tenant, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    for entry in entries {
        at = Position { seq: at.seq + 1, chain: tenant.links.audit(at.chain, entry) };
        let (no, chain, at_ms) = (at.seq.cast_signed(), at.chain.0.as_slice(), entry.at_ms.cast_signed());
        let township = entry.township.as_ref().map(|t| t.0.as_slice());
        let values: [super::Param<'_>; 10] = [
            &id,
            &no,
            &chain,
            &at_ms,
            &entry.actor,
            &entry.action,
            &township,
            &entry.subjects,
            &entry.reason,
            &entry.details,
        ];
        run(c, &sql, &values).await?;
    }
    let sql = "UPDATE audit_head SET no = $2, chain = $3 WHERE tenant = $1";
    run(c, sql, &[&id, &at.seq.cast_signed(), &at.chain.0.as_slice()]).await?;
    Ok(at)
}

fn row(r: &Row) -> Result<AuditRow> {
    let entry = AuditEntry {
        at_ms: number(r, 2)?,
        actor: get(r, 3)?,
        action: get(r, 4)?,
        township: optional(r, 5)?.map(AreaId),
        subjects: get(r, 6)?,
        reason: get(r, 7)?,
        details: get(r, 8)?,
    };
    Ok(AuditRow { position: people::position(r, 0)?, entry })
}
