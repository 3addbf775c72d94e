//! Why a change, a snapshot or an edit isn't taken.

use crate::id::ChangeHash;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $text:literal;)*) => {
        /// Why the guard refuses bytes. What it refuses leaves the record untouched.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Refusal {
            /// The change builds on changes that the record lacks: keep it until they come.
            #[error("{} dependencies are missing", .0.len())]
            MissingDependencies(Vec<ChangeHash>),
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Refusal {
            /// A stable name for storage and the wire.
            pub fn code(&self) -> &'static str {
                match self {
                    Self::MissingDependencies(_) => "missing_dependencies",
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

refusals! {
    /// Larger than the limit.
    TooLarge, "too_large", "too large";
    /// Not an uncompressed change chunk.
    NotAChange, "not_a_change", "not an uncompressed change";
    /// The record holds as much as one may.
    RecordFull, "record_full", "the record is full";
    /// The checksum doesn't match.
    Checksum, "checksum", "the checksum doesn't match";
    /// More operations than allowed, or none.
    TooManyOperations, "too_many_operations", "too many operations, or none";
    /// More dependencies than allowed.
    TooManyDependencies, "too_many_dependencies", "too many dependencies";
    /// An actor isn't 16 bytes long.
    ActorLength, "actor_length", "an actor has the wrong length";
    /// The bytes aren't built as a change.
    Malformed, "malformed", "malformed";
    /// Not the bytes that automerge itself would write.
    NotCanonical, "not_canonical", "not in canonical form";
    /// The start counter isn't the highest of the dependencies plus 1.
    StartOp, "start_op", "the start counter doesn't follow from the dependencies";
    /// The sequence number isn't the next of its actor.
    Sequence, "sequence", "the sequence number isn't the next";
    /// The author's own previous change isn't in the past of the change.
    OwnChangeNotInPast, "own_change_not_in_past", "the author's previous change isn't in the past";
    /// Anything but putting a value into a map.
    ForbiddenOperation, "forbidden_operation", "an operation that records don't allow";
    /// An object other than answers, events and files.
    UnknownObject, "unknown_object", "an object that records don't have";
    /// A key that its map doesn't allow, an event written again, or a key written twice.
    ForbiddenKey, "forbidden_key", "a key that isn't allowed";
    /// A value that its key doesn't allow.
    ForbiddenValue, "forbidden_value", "a value that isn't allowed";
    /// The predecessors aren't exactly the values visible at the dependencies.
    Predecessors, "predecessors", "the predecessors aren't the visible values";
    /// The derived first change's actor wrote something else.
    GenesisActor, "genesis_actor", "the first change's actor may write nothing else";
    /// Another change with the same actor and sequence number is in the record.
    Equivocation, "equivocation", "another change has this actor and sequence number";
    /// The message isn't a note.
    Message, "message", "the message isn't a note";
    /// automerge panicked; the panic was contained.
    Panicked, "panicked", "automerge panicked";
    /// automerge refused the change.
    Refused, "refused", "automerge refused the change";
    /// The snapshot isn't this record's, or isn't what was announced.
    Snapshot, "snapshot", "the snapshot isn't what was announced";
}

/// Why an edit can't be made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The heads to edit at aren't in the record.
    #[error("the record lacks the heads to edit at")]
    UnknownHeads,
    /// A key isn't allowed, or is too long.
    #[error("edit {index} has a key that isn't allowed")]
    Key {
        /// Which of the edits.
        index: usize,
    },
    /// A value isn't allowed under its key, or is too long.
    #[error("edit {index} has a value that isn't allowed under its key")]
    Value {
        /// Which of the edits.
        index: usize,
    },
    /// The event is already written.
    #[error("edit {index} writes an event that exists")]
    EventExists {
        /// Which of the edits.
        index: usize,
    },
    /// The author is the actor of the derived first change.
    #[error("the first change's actor may write nothing else")]
    GenesisActor,
    /// The change would break a limit or a rule of the guard.
    #[error("the change wouldn't be accepted: {0}")]
    Refused(#[from] Refusal),
}
