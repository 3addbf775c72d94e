//! The audit log: who did what to which data, in order. Rows are only ever appended (the database itself refuses to change
//! or delete one), and each is chained to the one before with a key, so that a row changed behind the program's back shows.

use doorstep_core::clock::Millis;
use doorstep_core::protocol::Position;

use super::chain::Links;
use super::{Result, TownshipId};

/// Rows that are read at once where the whole log is walked.
pub const AUDIT_PAGE: u32 = 500;

/// An entry that is about to be appended. It holds ids, codes and a reason, never an answer or a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditEntry {
    /// When, by the server's clock.
    pub at_ms: Millis,
    /// Who: `user/ID`, `device/ID`, `office`, `command_line`, `server`, `unknown`.
    pub actor: String,
    /// What (a code of `service::audit::Action`; one of a newer program may stand here too).
    pub action: String,
    /// In which township, where it was in one.
    pub township: Option<TownshipId>,
    /// What it was done to: `record/ID`, `user/ID`, `device/ID`, `quarantine/NO`, `import/NO` ..., with a space between.
    pub subjects: String,
    /// Why, in the words of whoever did it; may be empty.
    pub reason: String,
    /// Further facts as a small JSON object; empty for none.
    pub details: String,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number (1, 2, 3 ...) and the chain after it.
    pub position: Position,
    /// The entry.
    pub entry: AuditEntry,
}

/// Which entries are asked.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only with this code.
    pub action: Option<String>,
    /// Only about this, such as `record/ID`.
    pub subject: Option<String>,
    /// Only by or about one of these, such as a person and their phones.
    pub of: Option<Vec<String>>,
    /// Only from this time to that.
    pub at_ms: Option<(Millis, Millis)>,
    /// Only entries of this township and those of none.
    pub township: Option<TownshipId>,
    /// Only before this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// The audit log's part of a storage.
pub trait AuditStorage {
    /// Appends entries, durably; gives where the log stands after them. The chain of an entry is HMAC-SHA-256(chain key,
    /// "doorstep/audit/1", previous chain, encoded entry), first 16 bytes.
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<Position>;
    /// Entries after a number, in order; at most `limit`.
    fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>>;
    /// Entries that a filter names, newest first.
    fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>>;
    /// Where the log stands, by a row of its own: it shows that entries at the end are missing.
    fn audit_head(&self) -> Result<Position>;
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// This entry, or the one before it, isn't what was written.
    #[error("entry {0} was changed, or the one before it was")]
    Changed(u64),
    /// This entry isn't there.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// The log doesn't hold the entry that it is compared with.
    #[error("entry {0} isn't the one that was written down")]
    OtherEntry(u64),
}

/// What a log was compared with, once it is found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditVerified {
    /// How many entries were recomputed.
    pub entries: u64,
    /// Where the log stands: write it down elsewhere, to compare with later.
    pub head: Position,
}

/// Recomputes the chain of the whole log and compares it with its head and, if there is one, with a position that was
/// written down elsewhere before.
pub fn verify(
    storage: &dyn super::Storage,
    links: &Links,
    noted: Option<Position>,
) -> Result<std::result::Result<AuditVerified, AuditFault>> {
    let mut at = Position::default();
    let mut found_noted = noted.is_none_or(|n| n == Position::default());
    let head = storage.audit_head()?;
    loop {
        let rows = storage.audit_after(at.seq, AUDIT_PAGE)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let next = at.seq + 1;
            if row.position.seq != next {
                return Ok(Err(AuditFault::Missing(next)));
            }
            let chain = links.audit(at.chain, &row.entry);
            if chain != row.position.chain {
                return Ok(Err(AuditFault::Changed(next)));
            }
            at = row.position;
            match noted {
                Some(noted) if noted.seq == next && noted != at => return Ok(Err(AuditFault::OtherEntry(next))),
                Some(noted) if noted == at => found_noted = true,
                _ => {}
            }
        }
    }
    if at.seq < head.seq {
        return Ok(Err(AuditFault::Missing(at.seq + 1)));
    }
    if at.seq == head.seq && at != head {
        return Ok(Err(AuditFault::Changed(at.seq)));
    }
    let known = noted.map_or(0, |n| n.seq);
    Ok(if found_noted { Ok(AuditVerified { entries: at.seq, head: at }) } else { Err(AuditFault::Missing(known)) })
}
