//! The audit log.

use doorstep_core::id::AreaId;
use doorstep_core::protocol::Position;
use rusqlite::{Connection, Row, params};

use super::super::Result;
use super::super::audit::{AuditEntry, AuditFilter, AuditRow, AuditStorage};
use super::super::chain::Links;
use super::{SqliteStorage, people};

const COLUMNS: &str = "no, chain, at_ms, actor, action, township, subjects, reason, details";

impl AuditStorage for SqliteStorage {
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<Position> {
        let links = self.links()?;
        self.write(|tx| append(tx, links, entries))
    }

    fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>> {
        self.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE no > ? ORDER BY no LIMIT ?");
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map(params![after, limit], row)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>> {
        self.read(|c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM audit WHERE no < ?1 AND (?2 IS NULL OR action = ?2)
                 AND (?3 IS NULL OR instr(' ' || subjects || ' ', ' ' || ?3 || ' ') > 0)
                 AND (?4 IS NULL OR township IS NULL OR township = ?4)
                 AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(?6) j WHERE j.value = actor
                      OR instr(' ' || subjects || ' ', ' ' || j.value || ' ') > 0))
                 AND at_ms BETWEEN ?7 AND ?8 ORDER BY no DESC LIMIT ?5"
            );
            let of = filter.of.as_ref().map(|of| serde_json::Value::from(of.clone()).to_string());
            let (from, to) = filter.at_ms.map_or((i64::MIN, i64::MAX), |(a, b)| (a.cast_signed(), b.cast_signed()));
            let before = filter.before.map_or(i64::MAX, |no| i64::try_from(no).unwrap_or(i64::MAX));
            let township = filter.township.map(|t| t.0);
            let values = params![before, filter.action, filter.subject, township, filter.limit, of, from, to];
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map(values, row)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn audit_head(&self) -> Result<Position> {
        self.read(head)
    }
}

fn head(c: &Connection) -> Result<Position> {
    let mut statement = c.prepare_cached("SELECT no, chain FROM audit_head")?;
    Ok(statement.query_row([], |r| people::position(r, 0))?)
}

/// Appends in the transaction of what the entries are about.
pub(super) fn append(c: &Connection, links: &Links, entries: &[AuditEntry]) -> Result<Position> {
    let mut at = head(c)?;
    let mut insert = c.prepare_cached(&format!("INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"))?;
    for entry in entries {
        at = Position { seq: at.seq + 1, chain: links.audit(at.chain, entry) };
        insert.execute(params![
            at.seq.cast_signed(),
            at.chain.0,
            entry.at_ms as i64,
            entry.actor,
            entry.action,
            entry.township.map(|t| t.0),
            entry.subjects,
            entry.reason,
            entry.details,
        ])?;
    }
    c.prepare_cached("UPDATE audit_head SET no = ?, chain = ?")?.execute(params![at.seq.cast_signed(), at.chain.0])?;
    Ok(at)
}

fn row(r: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let entry = AuditEntry {
        at_ms: r.get::<_, i64>(2)?.cast_unsigned(),
        actor: r.get(3)?,
        action: r.get(4)?,
        township: r.get::<_, Option<_>>(5)?.map(AreaId),
        subjects: r.get(6)?,
        reason: r.get(7)?,
        details: r.get(8)?,
    };
    Ok(AuditRow { position: people::position(r, 0)?, entry })
}
