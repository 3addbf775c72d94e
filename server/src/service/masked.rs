//! A look at masked answers: with a reason, and with a line in the audit log before anything is shown.

use doorstep_core::id::RecordId;

use super::Service;
use super::audit::{Act, Action, Actor, REASON_CHARS};
use super::view::{RecordPage, record_page};
use crate::storage::{StorageError, TownshipId};

/// Why masked answers can't be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskedError {
    /// No such record in the township.
    #[error("there is no such record")]
    Unknown,
    /// Without a reason, or with one that is longer than 200 characters.
    #[error("a look at masked answers needs a reason of at most {REASON_CHARS} characters")]
    Reason,
    /// Storage failed: nothing is shown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A record with its masked parts.
pub struct MaskedLook {
    /// The record that was asked for.
    pub page: RecordPage,
    /// Its sensitive and office-only parts; the record itself, where it is one.
    pub parts: Vec<RecordPage>,
}

impl Service {
    /// Opens a record's masked parts, once it stands in the audit log who looks and why.
    pub fn look_at_masked(
        &self,
        actor: Actor,
        township: TownshipId,
        id: RecordId,
        reason: &str,
    ) -> Result<MaskedLook, MaskedError> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS {
            return Err(MaskedError::Reason);
        }
        let page = record_page(self, township, id)?.ok_or(MaskedError::Unknown)?;
        let mut parts = Vec::new();
        for part in &page.parts {
            parts.extend(record_page(self, township, part.id)?);
        }
        let act = Act::new(Action::MaskedLook).in_township(township).record(id).because(reason);
        self.audit(actor, parts.iter().fold(act, |act, part| act.record(part.row.id)))?;
        Ok(MaskedLook { page, parts })
    }
}
