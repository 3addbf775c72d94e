//! What the person does about an error, in plain words of both languages.

use super::{Phone, PhoneError};
use crate::messages::find;
use crate::store::{OpenError, StoreError};
use crate::sync::{SyncError, TransportError};

impl PhoneError {
    /// What the person does about it, in Chinese (`zh`, also `zh-CN`) or English; `None` where the error's own words are all
    /// that there is.
    pub fn advice(&self, language: &str) -> Option<&'static str> {
        match self {
            Self::Store(error) | Self::Sync(SyncError::Store(error)) => of_store(error, language),
            Self::Sync(SyncError::Wiped) => find("wiped", language),
            Self::Transport(TransportError::Refused { code, .. })
            | Self::Sync(SyncError::Transport(TransportError::Refused { code, .. })) => find(code, language),
            _ => None,
        }
    }

    /// True where the phone was reported lost and has erased itself.
    pub fn is_wiped(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Wiped) | Self::Sync(SyncError::Wiped | SyncError::Store(StoreError::Wiped))
        )
    }
}

impl OpenError {
    /// The same for an opening.
    pub fn advice(&self, language: &str) -> Option<&'static str> {
        if self.is_storage_full() { find("storage_full", language) } else { None }
    }
}

fn of_store(error: &StoreError, language: &str) -> Option<&'static str> {
    match error {
        StoreError::Full => find("storage_full", language),
        StoreError::Wiped => find("wiped", language),
        _ => None,
    }
}

impl Phone {
    /// What a phone says that was reported lost and has erased itself.
    pub fn wiped_advice(language: &str) -> &'static str {
        crate::messages::wiped_text(language)
    }
}
