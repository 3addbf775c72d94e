//! All limits and timeouts of the HTTP side, in one place. Those of the wire stand in `doorstep_core::protocol::limits`.

use std::time::Duration;

/// Exchanges under way at once; more are told to come later.
pub const EXCHANGES_MAX: usize = 512;
/// Merges, commits and page reads under way on worker threads at once; more wait. More than there are cores, since a push
/// waits for the commit that it shares with others.
pub const WORKERS_MAX: usize = 6;
/// Seconds that a phone is told to wait when the server is busy.
pub const RETRY_AFTER_S: u32 = 20;
/// Silence in a request's body before it counts as cut.
pub const BODY_IDLE: Duration = Duration::from_secs(60);
/// A whole request body, on the slowest link.
pub const BODY_WHOLE: Duration = Duration::from_secs(15 * 60);
/// A request other than an exchange.
pub const REQUEST: Duration = Duration::from_secs(30);
/// The headers of a request.
pub const HEADERS: Duration = Duration::from_secs(30);
/// A body other than an exchange's.
pub const SMALL_BODY_MAX: usize = 16 << 10;
/// Rows in one page of an API list.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Rows in one page when none is asked.
pub const PAGE_ROWS: u32 = 50;
/// How long open exchanges may go on after a signal to stop.
pub const DRAIN: Duration = Duration::from_secs(30);
/// How long a cut upload is kept.
pub const STAGED_UPLOAD_MS: u64 = 3 * 24 * 3600 * 1000;
/// How often housekeeping runs.
pub const HOUSEKEEPING: Duration = Duration::from_secs(600);
