//! The state that a record is in: open, approved ... It follows from the record's events alone, at any point of its history.

use serde::{Deserialize, Serialize};

use crate::id::ChangeHash;
use crate::record::Record;

/// The state of a record that no event has put into another.
pub const OPEN: &str = "open";

/// An event that puts a record into a state; the JSON of an entry in a record's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The state, a name such as `approved`.
    pub state: String,
    /// Why, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Why an event says no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event isn't a state of a record")]
pub struct StandingError;

impl Standing {
    /// Reads an event; one of another kind is an error.
    pub fn from_json(json: &str) -> Result<Self, StandingError> {
        serde_json::from_str(json).map_err(|_| StandingError)
    }

    /// The event as it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Record {
    /// The state that the record is in.
    pub fn standing(&self) -> String {
        last_state(self.events().into_iter().map(|event| event.json))
    }

    /// The state that the record was in at these heads: whoever wrote on them saw it so.
    pub fn standing_at(&self, heads: &[ChangeHash]) -> String {
        last_state(self.events_at(heads).into_iter().map(|event| event.json))
    }
}

fn last_state(events: impl DoubleEndedIterator<Item = String>) -> String {
    let last = events.rev().find_map(|json| Standing::from_json(&json).ok());
    last.map_or_else(|| OPEN.to_owned(), |standing| standing.state)
}
