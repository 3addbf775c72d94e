//! Errors by what the app can do; the message says what happened, in English, for a log.

use doorstep_core::client;
use doorstep_core::store::OpenError;
use doorstep_core::sync::{SyncError, TransportError};

/// Why a call failed.
#[derive(Debug, thiserror::Error, uniffi::Error)]
#[uniffi(flat_error)]
pub enum PhoneError {
    /// The database is closed: call `reopen_store`.
    #[error("the phone's database is closed")]
    Closed,
    /// Not enrolled: ask for a code.
    #[error(transparent)]
    NotEnrolled(client::PhoneError),
    /// The answer, form or record isn't one of this phone: ask the person again.
    #[error(transparent)]
    NotAccepted(client::PhoneError),
    /// No way to the server now: try again later. Nothing is lost.
    #[error(transparent)]
    TryLater(client::PhoneError),
    /// The person has to do something about network or clock: sign in, set the time.
    #[error(transparent)]
    NetworkNeedsAttention(client::PhoneError),
    /// Stopped by `SyncCancel`.
    #[error("cancelled")]
    Cancelled,
    /// The server or the phone's storage refuses: show the message to the office.
    #[error(transparent)]
    Refused(client::PhoneError),
    /// The database can't be opened: show the message to the office, touch nothing.
    #[error(transparent)]
    NotOpened(#[from] OpenError),
}

impl From<client::PhoneError> for PhoneError {
    fn from(error: client::PhoneError) -> Self {
        use client::PhoneError as Core;
        match &error {
            Core::NotEnrolled | Core::Sync(SyncError::NotEnrolled) => Self::NotEnrolled(error),
            Core::Transport(way) | Core::Sync(SyncError::Transport(way)) => match way {
                TransportError::Cancelled => Self::Cancelled,
                TransportError::CaptivePortal | TransportError::ClockWrong => Self::NetworkNeedsAttention(error),
                way if way.is_temporary() => Self::TryLater(error),
                _ => Self::Refused(error),
            },
            Core::UnknownForm | Core::UnknownRecord | Core::UnknownQuestion(_) | Core::Answer(_) | Core::Record(_) => {
                Self::NotAccepted(error)
            }
            _ => Self::Refused(error),
        }
    }
}
