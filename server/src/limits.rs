//! All limits and timeouts of the HTTP side, in one place. Those of the wire stand in `doorstep_core::protocol::limits`.

use std::time::Duration;

use crate::storage::RefusedLimits;

/// Connections at once; more wait in the system's queue until one ends. Idle ones end by themselves (see [`Timeouts`]).
pub const CONNECTIONS_MAX: usize = 8_192;
/// Exchanges under way at once; more are told to come later.
pub const EXCHANGES_MAX: usize = 512;
/// Of these, exchanges of one device: one that was cut may linger until its silence counts as its end.
pub const DEVICE_EXCHANGES_MAX: usize = 8;
/// Senders that haven't said who they are yet; more are told to come later.
pub const STRANGERS_MAX: usize = 2_048;
/// Merges, commits and page reads under way on worker threads at once; more wait. More than there are cores, since a push
/// waits for the commit that it shares with others.
pub const WORKERS_MAX: usize = 6;
/// Seconds that a phone is told to wait when the server is busy.
pub const RETRY_AFTER_S: u32 = 20;
/// A body other than an exchange's.
pub const SMALL_BODY_MAX: usize = 16 << 10;

/// Bytes of a phone's certificate with its user's log of grants: about 2,500 entries.
pub const ENROL_AGAIN_MAX: usize = 256 << 10;
/// A body that invites many people: 2,000 names and units.
pub const INVITATIONS_MAX: usize = 1 << 20;
/// Rows in one page of an API list.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Rows in one page when none is asked.
pub const PAGE_ROWS: u32 = 50;
/// How much is kept of uploads that were refused as a whole.
pub const REFUSED_UPLOADS: RefusedLimits = RefusedLimits {
    bytes_each: doorstep_core::protocol::limits::UPLOAD_MAX,
    bytes_device: 4 << 20,
    kept_device: 50,
    rows_device: 500,
};
/// How long a cut upload is kept.
pub const STAGED_UPLOAD_MS: u64 = 3 * 24 * 3600 * 1000;
/// How often the server looks whether forms changed, and records are to be computed anew.
pub const REFRESH: Duration = Duration::from_secs(10);
/// Bytes of an export in one part, and how many parts wait for whoever downloads it.
pub const EXPORT_PART: usize = 64 << 10;
/// See [`EXPORT_PART`].
pub const EXPORT_PARTS: usize = 4;
/// How often housekeeping runs.
pub const HOUSEKEEPING: Duration = Duration::from_secs(600);

/// How long the server waits for those who talk to it. The defaults suit 2G links; the hidden options of `serve` change them.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Timeouts {
    /// The headers of a request, an exchange's hello, and the pause between two requests on one connection.
    #[arg(long, hide = true, default_value_t = Timeouts::default().headers_ms)]
    pub headers_ms: u64,
    /// Silence in an exchange's request before it counts as cut.
    #[arg(long, hide = true, default_value_t = Timeouts::default().body_idle_ms)]
    pub body_idle_ms: u64,
    /// The whole of an exchange's request, on the slowest link.
    #[arg(long, hide = true, default_value_t = Timeouts::default().body_whole_ms)]
    pub body_whole_ms: u64,
    /// A request other than an exchange, up to its answer.
    #[arg(long, hide = true, default_value_t = Timeouts::default().request_ms)]
    pub request_ms: u64,
    /// How long an answer may stand still because nobody reads it. The system tells of progress in steps of tens of
    /// kilobytes, so that this is also the slowest pace at which an answer may be read: about 300 bytes a second.
    #[arg(long, hide = true, default_value_t = Timeouts::default().answer_idle_ms)]
    pub answer_idle_ms: u64,
    /// How long open requests may go on after a signal to stop.
    #[arg(long, hide = true, default_value_t = Timeouts::default().drain_ms)]
    pub drain_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            headers_ms: 30_000,
            body_idle_ms: 60_000,
            body_whole_ms: 15 * 60_000,
            request_ms: 30_000,
            answer_idle_ms: 3 * 60_000,
            drain_ms: 30_000,
        }
    }
}
