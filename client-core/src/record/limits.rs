//! Every limit of records and changes, in one place. They are part of the wire format: a phone keeps to what the server accepts.

/// Largest raw change, in bytes.
pub const CHANGE_BYTES: usize = 64 * 1024;
/// Most operations in a change.
pub const OPERATIONS: u64 = 5_000;
/// Most dependencies of a change.
pub const DEPENDENCIES: u64 = 1_024;
/// Most other actors that a change may name.
pub const ACTORS: u64 = 1_024;
/// Most predecessors that all operations of a change may have together.
pub const PREDECESSORS: u64 = 4 * OPERATIONS;
/// Length of every actor, in bytes.
pub const ACTOR_BYTES: u64 = 16;
/// Longest key, in bytes.
pub const KEY_BYTES: usize = 256;
/// Longest text value, in bytes.
pub const TEXT_BYTES: usize = 32 * 1024;
/// Longest message of a change, in bytes.
pub const MESSAGE_BYTES: u64 = 256;
/// Highest operation counter at which a change may start; far below where automerge's counters overflow.
pub const START_OP: u64 = 1 << 30;
/// Most columns in a chunk.
pub const COLUMNS: u64 = 24;
/// Deepest nesting of repeats in an answer key.
pub const REPEAT_DEPTH: usize = 4;
/// Longest repeat instance, in bytes.
pub const INSTANCE_BYTES: usize = 32;
/// Most bytes of all changes of a record: a record travels in one frame.
pub const RECORD_BYTES: usize = 1024 * 1024;
/// Most changes of a record.
pub const RECORD_CHANGES: usize = 2_000;
/// Most heads of a record: a change names at most [`DEPENDENCIES`] of them when it merges them.
pub const RECORD_HEADS: usize = 256;
/// Largest snapshot, in bytes.
pub const SNAPSHOT_BYTES: usize = 16 * 1024 * 1024;
/// Most rows in any column of a snapshot.
pub const SNAPSHOT_ROWS: u64 = 1 << 20;
/// Most rows in any column of a snapshot for each of its bytes: run lengths may repeat, but not without end.
pub const SNAPSHOT_ROWS_PER_BYTE: u64 = 4;
/// Most actors in a snapshot.
pub const SNAPSHOT_ACTORS: u64 = 65_536;
/// Derived first changes kept in memory, each of a few kilobytes.
pub const CACHED_FIRST_CHANGES: usize = 256;
