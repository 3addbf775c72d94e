//! How values stand in columns, alike in both backends.

use doorstep_core::id::{ChangeHash, Identity, RecordId};
use doorstep_core::protocol::{Outcome, Reader, Writer, limits, status};

use super::{Result, StorageError};

/// A column that doesn't hold what this program writes.
#[derive(Debug, thiserror::Error)]
#[error("a stored {0} can't be read")]
pub struct BadColumn(pub &'static str);

impl From<BadColumn> for StorageError {
    fn from(error: BadColumn) -> Self {
        Self::Damaged(Box::new(error))
    }
}

/// Heads, one after the other.
pub fn from_heads(heads: &[ChangeHash]) -> Vec<u8> {
    heads.iter().flat_map(|h| h.0).collect()
}

/// Reads heads.
pub fn to_heads(bytes: &[u8]) -> Vec<ChangeHash> {
    bytes.as_chunks().0.iter().map(|h| ChangeHash(*h)).collect()
}

/// The parts of a natural key, one after the other.
pub fn from_key(identity: &Identity) -> Vec<u8> {
    identity.key.iter().flat_map(|part| part.0).collect()
}

/// The core record of the form instance that a record of this type and key belongs to.
pub fn to_core(id: RecordId, record_type: &str, key: &[u8]) -> RecordId {
    let core = key.as_chunks().0.first().map(|part| RecordId(*part));
    core.filter(|_| record_type.contains('.')).unwrap_or(id)
}

/// Type and key.
pub fn to_identity(record_type: String, key: &[u8]) -> Identity {
    Identity { record_type, key: key.as_chunks().0.iter().map(|part| RecordId(*part)).collect() }
}

/// Final states.
pub fn from_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    let mut w = Writer::new();
    status::write_outcomes(&mut w, outcomes);
    w.0
}

/// Reads final states.
pub fn to_outcomes(bytes: &[u8]) -> Result<Vec<Outcome>> {
    Ok(status::read_outcomes(&mut Reader::new(bytes), limits::BATCH_CHANGES_MAX).map_err(|_| BadColumn("outcome"))?)
}
