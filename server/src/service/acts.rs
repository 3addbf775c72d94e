//! Doing acts: what is written and the audit log's entry about it go to the database in one transaction.

use super::Service;
use super::audit::{Act, Actor};
use crate::storage::{AuditEntry, StorageError, Write};

/// Acts that are done together, with all that they write.
#[derive(Debug, Default)]
pub struct Acts {
    acts: Vec<Act>,
    writes: Vec<Write>,
}

impl Acts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an act with what it writes.
    pub fn add(&mut self, act: Act, writes: impl IntoIterator<Item = Write>) {
        self.acts.push(act);
        self.writes.extend(writes);
    }

    /// Adds what acts that were added write further.
    pub fn also(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.writes.extend(writes);
    }

    /// True where nothing is written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

impl Service {
    /// Does an act: what it writes and its entry become durable together. False, and neither is written, where an *if* of its
    /// writes isn't so.
    pub fn act(&self, actor: Actor, act: Act, writes: impl IntoIterator<Item = Write>) -> Result<bool, StorageError> {
        let mut acts = Acts::new();
        acts.add(act, writes);
        self.act_all(actor, acts)
    }

    /// The same for several acts at once.
    pub fn act_all(&self, actor: Actor, acts: Acts) -> Result<bool, StorageError> {
        if acts.acts.is_empty() && acts.is_empty() {
            return Ok(true);
        }
        let now_ms = self.clock.now_ms();
        let entries: Vec<AuditEntry> = acts.acts.into_iter().map(|act| act.entry(actor, now_ms)).collect();
        self.storage.act(&acts.writes, &entries)
    }
}
