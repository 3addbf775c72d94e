//! Errors by what the app can do; the message says what happened, in English, for a log.

use doorstep_core::client;
use doorstep_core::store::{OpenError, StoreError};
use doorstep_core::sync::{SyncError, TransportError};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error, uniffi::Error)]
#[uniffi(flat_error)]
pub enum PhoneError {
    /// The database is closed: call `reopen_store`.
    #[error("the phone's database is closed")]
    Closed,
    /// Not enrolled: ask for a code.
    #[error("the phone isn't enrolled yet")]
    NotEnrolled,
    /// The answer, draft, form or record isn't one of this phone: ask the person again.
    #[error("{0}")]
    NotAccepted(#[source] Cause),
    /// No way to the server now: try again later. Nothing is lost.
    #[error("{0}")]
    TryLater(#[source] Cause),
    /// The person has to sign in to the network or to set the clock.
    #[error("{0}")]
    NetworkNeedsAttention(#[source] Cause),
    /// Stopped by `SyncCancel`.
    #[error("cancelled")]
    Cancelled,
    /// The phone's storage is full. Nothing is lost: show `storage_full_advice` and offer `free_space` (or, where the phone
    /// can't be opened, `free_space_in`), then call again.
    #[error("the phone's storage is full: free space (the reserve of 8 MiB), finish, sync, then make room")]
    StorageFull,
    /// The phone was reported lost: it has sent what waited and has erased itself. Show `wiped_advice`; after `reopen_store` it can
    /// be enrolled anew.
    #[error("the phone was reported lost and has erased itself")]
    Wiped,
    /// The database is damaged: close and reopen it, which saves what is readable, then show `notices`.
    #[error("{0}")]
    Damaged(#[source] Cause),
    /// The database belongs to a newer program: update the app.
    #[error("{0}")]
    UpdateApp(#[source] Cause),
    /// Server or storage refuse for another reason: show the message to the office.
    #[error("{0}")]
    Refused(#[source] Cause),
}

impl From<client::PhoneError> for PhoneError {
    fn from(error: client::PhoneError) -> Self {
        use client::PhoneError as Core;
        if let (Core::Transport(_) | Core::Sync(SyncError::Transport(_)), Some(zh), Some(en)) =
            (&error, error.advice("zh"), error.advice("en"))
        {
            return Self::Refused(format!("{zh} {en}").into());
        }
        match error {
            Core::Sync(SyncError::Wiped) => Self::Wiped,
            Core::NotEnrolled => Self::NotEnrolled,
            Core::Store(store) => store.into(),
            Core::Transport(way) => way.into(),
            Core::Sync(SyncError::NotEnrolled) => Self::NotEnrolled,
            Core::Sync(SyncError::Store(store)) => store.into(),
            Core::Sync(SyncError::Transport(way)) => way.into(),
            Core::UnknownForm
            | Core::UnknownRecord
            | Core::UnknownQuestion(_)
            | Core::Answer(_)
            | Core::Refused(_)
            | Core::Unfinished { .. }
            | Core::TooManySubjects { .. }
            | Core::Invitation(_)
            | Core::Record(_) => Self::NotAccepted(error.into()),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<StoreError> for PhoneError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::StorageFull,
            StoreError::NotEnrolled => Self::NotEnrolled,
            StoreError::Wiped => Self::Wiped,
            StoreError::Damaged(_) => Self::Damaged(error.into()),
            StoreError::NoDraft | StoreError::Edit(_) => Self::NotAccepted(error.into()),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<TransportError> for PhoneError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Cancelled => Self::Cancelled,
            TransportError::CaptivePortal | TransportError::ClockWrong => Self::NetworkNeedsAttention(error.into()),
            error if error.is_temporary() => Self::TryLater(error.into()),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<OpenError> for PhoneError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Full => Self::StorageFull,
            OpenError::Newer { .. } => Self::UpdateApp(error.into()),
            error => Self::Refused(error.into()),
        }
    }
}
