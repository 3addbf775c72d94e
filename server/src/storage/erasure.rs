//! Erasure: records rooted anew without what must go, the old content physically removed.

use doorstep_core::clock::Millis;

use super::{AuditEntry, Committed, PreparedRecord, Result, TownshipId};

/// What a database does to forget.
pub trait ErasureStorage {
    /// Roots records anew in one durable transaction. Each record carries its new incarnation, the heads that it was read with,
    /// and the changes of its new incarnation, which enter the feed as ordinary entries; nothing is stored, and
    /// [`Committed::Moved`] answered, when one isn't as it was read or its incarnation isn't the next one.
    ///
    /// Of the old changes the entries of the feed stay (number, chain, hash), without device and bytes, as
    /// [`super::chain::KIND_ERASED`]. What waits or is quarantined for the records or about them goes, and their doubts. Of the
    /// township's refused uploads and cut uploads, which may hold anything, the bytes go.
    /// The entries of the audit log are written with it.
    fn reroot(
        &self,
        township: TownshipId,
        records: &[PreparedRecord],
        entries: &[AuditEntry],
        now_ms: Millis,
    ) -> Result<Committed>;

    /// Writes the database's files anew, so that nothing deleted is left in them. Blocks writes while it runs and needs free room
    /// of the database's size.
    fn purge(&self) -> Result<()>;
}
