//! Events in the life of households that wait: what follows from them isn't written, or not known to be.

use doorstep_core::clock::Millis;
use doorstep_core::id::{RecordId, UserId};

use super::{Result, TownshipId};

/// The reason of an event that nobody has tried yet.
pub const UNTRIED: &str = "event_untried";

/// An event that a push brings, to be filed as untried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewlyFinished {
    /// The event's record.
    pub event: RecordId,
    /// Who wrote it: what follows is written where that person may edit.
    pub author: UserId,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    /// The event's record.
    pub event: RecordId,
    /// Who wrote it.
    pub author: UserId,
    /// Why, as a code.
    pub reason: String,
    /// The record that it waits for, where it is one.
    pub waits_for: Option<RecordId>,
    /// When it was filed first.
    pub since_ms: Millis,
    /// Where the feed stood when it was filed last.
    pub filed: u64,
}

/// What is kept of events that wait. They are filed by commits (`PreparedPush::events`).
pub trait EventStorage {
    /// Those after an event, by event.
    fn waiting_events(&self, township: TownshipId, after: Option<RecordId>, limit: u32) -> Result<Vec<WaitingEvent>>;
    /// Those that are, or wait for, one of these records.
    fn events_waiting_for(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<WaitingEvent>>;
    /// Writes down why an event waits; nothing if it was filed anew since.
    fn keep_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()>;
    /// An event waits no longer; nothing if it was filed anew since.
    fn end_waiting(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<()>;
}
