//! Uploads that were refused as a whole and kept as evidence: what is stored of one, and how much of a device's stays.

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;

use super::TownshipId;

/// An upload to be kept; its sender has proved to be the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedUpload<'a> {
    /// The sender's township.
    pub township: TownshipId,
    /// The sender.
    pub device: DeviceId,
    /// When it came.
    pub received_ms: Millis,
    /// The branch that the hello names.
    pub branch: u32,
    /// The batch number that the hello names; 0 for a refill.
    pub number: u64,
    /// Why (a code of `UploadRefusal`).
    pub reason: &'static str,
    /// SHA-256 of the bytes as they came.
    pub digest: [u8; 32],
    /// The bytes as they came.
    pub bytes: &'a [u8],
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedLimits {
    /// Bytes of one upload; of a longer one the first so many.
    pub bytes_each: usize,
    /// Bytes of one device's uploads; the oldest lose theirs first, their rows stay.
    pub bytes_device: u64,
    /// Uploads of one device that keep bytes.
    pub kept_device: usize,
    /// Rows of one device; the oldest go first.
    pub rows_device: usize,
}

/// A refused upload as listed, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedUploadRow {
    /// Number, the list's cursor.
    pub no: u64,
    /// Sender.
    pub device: DeviceId,
    /// When it came first.
    pub first_ms: Millis,
    /// When it came last.
    pub last_ms: Millis,
    /// How often the same bytes came.
    pub times: u64,
    /// Branch, as the hello said last.
    pub branch: u32,
    /// Batch number, as the hello said last; 0 for a refill.
    pub number: u64,
    /// Why it was refused last.
    pub reason: String,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// How many bytes came.
    pub size: u64,
    /// How many of them are still kept.
    pub kept: u64,
}

/// What of a device's rows is over the limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Surplus {
    /// Rows that lose their bytes.
    pub bytes: Vec<i64>,
    /// Rows that go.
    pub rows: Vec<i64>,
}

/// Decides what goes; `rows` are a device's (number, bytes kept), newest first.
pub(super) fn surplus(rows: &[(i64, u64)], limits: &RefusedLimits) -> Surplus {
    let (mut found, mut kept, mut bytes) = (Surplus::default(), 0, 0);
    for (place, (no, size)) in rows.iter().enumerate() {
        if place >= limits.rows_device {
            found.rows.push(*no);
        } else if *size > 0 {
            (kept, bytes) = (kept + 1, bytes + size);
            if kept > limits.kept_device || bytes > limits.bytes_device {
                found.bytes.push(*no);
            }
        }
    }
    found
}
