//! The log of forms: what was published and retired, in order. One for the whole database; phones read it by position.

use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::clock::Millis;
use doorstep_core::form::version::VersionHash;
use doorstep_core::protocol::{FormBytes, Position};

/// An entry that is about to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormChange {
    /// The form's name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of its definition's bytes.
    pub hash: VersionHash,
    /// Not offered for new records.
    pub retired: bool,
    /// When.
    pub at_ms: Millis,
    /// The definition packed whole, where the entry publishes it.
    pub definition: Option<Vec<u8>>,
    /// The same as a difference against an earlier version, where that is smaller.
    pub difference: Option<FormBytes>,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormLogEntry {
    /// Its number, and the chain after it.
    pub position: Position,
    /// What it says.
    pub change: FormChange,
}

/// Where a log stands.
pub fn head(log: &[FormLogEntry]) -> Position {
    log.last().map(|entry| entry.position).unwrap_or_default()
}

/// The log as it was last read. Its head is read anew each time, so that another server's entry is seen at once.
#[derive(Debug, Default)]
pub(super) struct FormsCache(Mutex<Arc<[FormLogEntry]>>);

impl FormsCache {
    /// The log, if it still ends here.
    pub fn get(&self, at: Position) -> Option<Arc<[FormLogEntry]>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (head(&known) == at).then(|| known.clone())
    }

    /// Keeps a log.
    pub fn put(&self, log: Vec<FormLogEntry>) -> Arc<[FormLogEntry]> {
        let log: Arc<[FormLogEntry]> = log.into();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = log.clone();
        log
    }
}
