//! Why a whole request is refused. Single changes get a final state instead.

use doorstep_core::protocol::{DecodeError, UploadRefusal};

use crate::storage::StorageError;

/// A request that can't be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The bytes aren't a request of this protocol version.
    #[error("the request can't be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// The request is fine, its upload isn't. The bytes are kept.
    #[error(transparent)]
    Upload(#[from] UploadRefusal),
    /// The request is for another organisation's server.
    #[error("the phone belongs to another organisation's server")]
    WrongTenant,
    /// The device isn't enrolled here.
    #[error("the phone isn't enrolled on this server")]
    UnknownDevice,
    /// The device was revoked.
    #[error("the phone was revoked")]
    Revoked,
    /// The signature is wrong.
    #[error("the request's signature is wrong")]
    Signature,
    /// The request's counter was used before: a replay, or a phone restored from a backup.
    #[error("the request's counter was used before")]
    StaleCounter {
        /// The last one seen.
        last: u64,
    },
    /// A code of no invitation.
    #[error("there is no such invitation")]
    InvitationUnknown,
    /// An invitation with which another phone was enrolled.
    #[error("the invitation was used before")]
    InvitationUsed,
    /// An invitation that has ended.
    #[error("the invitation is over")]
    InvitationOver,
    /// Too many wrong codes came from this address, or from everywhere.
    #[error("too many wrong codes were tried")]
    TooManyTries {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// Too many requests wait.
    #[error("the server is busy")]
    Busy,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
