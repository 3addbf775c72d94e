//! Every limit of the wire, in one table.

/// An uncompressed batch or refill: header, records, signature.
pub const UPLOAD_INFLATED_MAX: usize = 2 << 20;
/// A compressed batch or refill.
pub const UPLOAD_MAX: usize = 1 << 20;
/// Changes in one batch.
pub const BATCH_CHANGES_MAX: usize = 2_000;
/// The hello of a request.
pub const HELLO_MAX: usize = 16 << 10;
/// A whole request body.
pub const REQUEST_MAX: usize = UPLOAD_MAX + HELLO_MAX + 16;
/// One frame of a reply, uncompressed.
pub const FRAME_MAX: usize = 4 << 20;
/// Uncompressed record bytes after which the server closes a frame of records; what a cut can lose at most.
pub const FRAME_RECORDS_TARGET: usize = 24 << 10;
/// Bytes of packed definitions after which the server closes a frame of forms; they don't compress any further.
pub const FRAME_FORMS_TARGET: usize = 4 << 10;
/// A whole reply, uncompressed; the rest comes with the next request.
pub const REPLY_MAX: usize = 64 << 20;
/// The binary logarithm of the largest compression window that a reader must hold.
pub const WINDOW_LOG_MAX: u32 = 20;
/// Older points of a feed in one hello.
pub const OLDER_POINTS_MAX: usize = 64;
/// Waiting changes that one hello asks about.
pub const WAITING_ASKED_MAX: usize = 32;
/// Townships, and unfinished fills, in one hello.
pub const POSITIONS_MAX: usize = 64;
/// Receipts in one refill.
pub const REFILL_RECEIPTS_MAX: usize = 256;
/// Changes in one refill.
pub const REFILL_CHANGES_MAX: usize = 4_000;
/// A sealed part of a batch or refill: one change of the largest size, or more smaller ones, with what they belong to.
pub const SEALED_MAX: usize = 96 << 10;
/// Sealed parts in one refill.
pub const REFILL_SEALED_MAX: usize = 1_024;
