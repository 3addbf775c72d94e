//! What the helper does about a refused change: makes its edit anew on what the phone shows now, or leaves it.

use rusqlite::OptionalExtension;

use super::Store;
use super::connection::{Durability, Work};
use super::content::{Stored, changes, held_by_no, state};
use super::draft::{PlannedDocument, Shown};
use super::error::{Result, StoreError};
use crate::id::ChangeHash;
use crate::record::ChangeNote;

impl Store {
    /// Makes the edit of a refused change anew, on what the phone shows now; the refused one stays as evidence. False if no
    /// such change is refused (any more), or it can't be read.
    pub fn redo_refused(&self, hash: ChangeHash, note: &ChangeNote) -> Result<bool> {
        let Some(row) = self.refused()?.into_iter().find(|row| row.hash == hash) else { return Ok(false) };
        if row.edits.is_empty() {
            return Ok(false);
        }
        self.in_transaction(Durability::Power, |work| {
            let Some((record, change)) = work.refused_change(hash)? else { return Ok(false) };
            let held = held_by_no(work.db, record)?;
            let document = PlannedDocument {
                identity: held.identity,
                id: held.id,
                area: held.area,
                subject: held.subject,
                edits: row.edits,
            };
            work.set_state(&change, state::SUPERSEDED, "redone")?;
            work.write_documents(&[document], note, &Shown::Current)?;
            Ok(true)
        })
    }

    /// Leaves a refused change: it isn't shown any more, and stays as evidence. False if no such change is refused.
    pub fn leave_refused(&self, hash: ChangeHash) -> Result<bool> {
        self.in_transaction(Durability::Power, |work| {
            let Some((record, change)) = work.refused_change(hash)? else { return Ok(false) };
            work.set_state(&change, state::SUPERSEDED, "left")?;
            work.recount(record)?;
            work.drop_lost()?;
            Ok(true)
        })
    }
}

impl Work<'_> {
    fn refused_change(&self, hash: ChangeHash) -> Result<Option<(i64, Stored)>> {
        let sql = "SELECT record FROM change WHERE hash = ? AND state IN (4, 6)";
        let record: Option<i64> = self.db.prepare_cached(sql)?.query_row([hash.0], |r| r.get(0)).optional()?;
        let Some(record) = record else { return Ok(None) };
        let found = changes(self.db, record)?.into_iter().find(|change| change.hash == hash);
        Ok(Some((record, found.ok_or(StoreError::Stored("change"))?)))
    }
}
