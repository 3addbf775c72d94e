//! The wire contract between phone and server, byte for byte; docs/protocol.md says the same in prose.
//!
//! A sync is one exchange: a [`Hello`] with an optional upload (a signed [`Batch`] or a [`Refill`]) goes up, a compressed
//! stream of [`ReplyFrame`]s comes down. Nothing here does I/O. Whoever adds a field appends it to the end of its
//! structure: readers ignore what follows the fields that they know, and skip frames of unknown kind.

pub mod batch;
pub mod codec;
pub mod enrol;
pub mod forms;
pub mod grants;
pub mod hello;
pub mod invitation;
pub mod limits;
pub mod records;
pub mod refill;
pub mod refused;
pub mod reply;
pub mod sealed;
pub mod status;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod wipe;

pub use batch::{Batch, BatchHeader, ManifestEntry};
pub use codec::{DecodeError, Reader, Writer};
pub use forms::{FormBytes, FormEntry, FormsKnown, FormsNews};
pub use grants::GrantLog;
pub use hello::{FillPosition, Hello, Position, Upload, UploadKind};
pub use invitation::Invitation;
pub use records::{ChangeHead, RecordBody, RecordFrame, WireChange};
pub use refill::{Receipt, Refill};
pub use refused::{RefusalText, UploadRefusal, change_refusal_text, refusal_text};
pub use reply::{AreaEntry, Delivery, Done, GrantEntry, ReplyFrame, ScopeDigest, Source, Welcome};
pub use sealed::{SealError, SealedBatch, SealedBy, SealedPart};
pub use status::{NOT_KEPT, Outcome, REASON_BYTES, State, forbidden_keys, reason_code};
pub use stream::{ReplyDecoder, ReplyEncoder, Weight};
pub use wipe::{LOST_DEVICE, WipeOrder};

/// The version of the protocol that this code speaks.
pub const VERSION: u8 = 1;

/// The first bytes of every request and reply body; the version follows.
pub const MAGIC: [u8; 4] = *b"DOOR";

/// The content type of request and reply bodies.
pub const CONTENT_TYPE: &str = "application/x-doorstep";

/// The path of the exchange.
pub const SYNC_PATH: &str = "/sync";

/// The level at which everything is compressed: the knee between bytes and time (measured: 19 costs 40 times as much
/// for 3 percent).
pub const ZSTD_LEVEL: i32 = 9;
