//! The only place that knows SQL. One trait of coarse transactions, two backends, one conformance suite
//! (`storage/conformance.rs`) that runs on both.
//!
//! Methods block: callers run them on worker threads. Changes as received are the truth; heads and projections
//! are caches that can be rebuilt from them. Each township has one feed: a counter, a keyed chain and a digest in one row,
//! taken last inside the transaction that stores the change, townships in sorted order, so that the feed is gapless and
//! ordered by commit on both backends.

use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, Identity, Incarnation, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Outcome, Position, ScopeDigest};
use doorstep_core::rights::Role;

mod about;
pub mod acts;
pub mod areas;
pub mod audit;
pub mod away;
pub mod chain;
pub mod columns;
#[cfg(test)]
mod conformance;
pub mod devices;
pub mod doubts;
pub mod erasure;
mod error;
pub mod events;
pub mod figures;
pub mod forms;
pub mod links;
pub mod lists;
pub mod page;
pub mod people;
pub mod planned;
pub mod postgres;
pub mod refused;
pub mod register;
pub mod relocation;
pub mod rights;
mod secrets;
pub mod sqlite;
pub mod standing;

pub use acts::{ActStorage, EntryOf, Write};
pub use areas::{Areas, AreasBefore, Hung};
pub use audit::{AuditEntry, AuditFilter, AuditRow, AuditStorage};
pub use away::{Away, AwayStorage};
pub use devices::{Decision, DeviceStorage, InvitationState, Lost, QuarantineFilter, QuarantineRow, WipeStep};
pub use doubts::{Beside, DoubtCheck, DoubtFilter, DoubtRow, DoubtTotal, NewDoubt, Refreshed};
pub use erasure::ErasureStorage;
pub use error::{Result, StorageError};
pub use events::EventStorage;
pub use figures::FigureStorage;
pub use forms::{FormChange, FormLogEntry};
pub use links::{LinkStorage, StoredLink, United};
pub use lists::ListStorage;
pub use people::{Device, Known, SYNC_GAP_MS, User};
pub use planned::{PlannedGrant, PlannedStorage};
pub use postgres::PostgresStorage;
pub use refused::{RefusedLimits, RefusedUpload, RefusedUploadRow};
pub use register::RegisterStorage;
pub use relocation::{Move, Relocation};
pub use rights::{AreaChange, AreaEnd, AreaPast, Claims, Grant, Place, Placement, RightsStorage, Unit};
pub use secrets::Secrets;
pub use sqlite::SqliteStorage;
#[cfg(feature = "tools")]
pub use sqlite::Steps;
pub use standing::{MergeBase, PlanPull, PushBase, PushQuery, ReplyQuery, Standing};

/// The setting that closes reading after a restore or rewind: `1` while closed.
pub const READS_CLOSED: &str = "reads_closed";

/// A township, by the area that it is.
pub type TownshipId = AreaId;

/// A stored change with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// Its place in the township's feed.
    pub seq: u64,
    /// Its hash.
    pub hash: ChangeHash,
    /// Which device sent it; `None` if a refill brought it back.
    pub device: Option<DeviceId>,
    /// When.
    pub received_ms: Millis,
    /// The raw chunk.
    pub bytes: Vec<u8>,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Id.
    pub id: RecordId,
    /// Type and natural key.
    pub identity: Identity,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Where it is placed now.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// Heads of what is stored, sorted.
    pub heads: Vec<ChangeHash>,
    /// How many doubtful answers are open.
    pub doubts: u32,
    /// All changes, in the order of the feed, which is causal.
    pub changes: Vec<StoredChange>,
}

/// What lists, search and figures need of a record; a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    /// Canonical JSON of the merged record.
    pub json: String,
    /// Shown in lists: the name of a household's head, the date of a visit.
    pub title: String,
    /// Second column of lists: the household's number, a visit's result.
    pub label: String,
    /// Lower-case text that search looks in.
    pub search: String,
    /// Status, a name from the pack; empty where the type has none.
    pub status: String,
    /// Persons that the record stands for (members of a household that weren't removed).
    pub persons: u32,
    /// The day that the record is about, `YYYY-MM-DD`; empty where there is none.
    pub day: String,
    /// The state that the record is in (`doorstep_core::rights::OPEN` unless an event says otherwise).
    pub state: String,
    /// From which day on it stands for how many persons: `3 2026-03-01=4 2026-06-01=-` where the first holds from the
    /// beginning on, and `-` says that it doesn't exist. Empty where the type has no persons.
    pub steps: String,
    /// How many answers stand differently.
    pub differences: u32,
    /// How many doubtful answers are open; written by the storage, which keeps their entries.
    pub doubts: u32,
}

/// A change that passed the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// Hash.
    pub hash: ChangeHash,
    /// Which device sent it; `None` when a refill brings it back.
    pub device: Option<DeviceId>,
    /// The raw chunk.
    pub bytes: Vec<u8>,
}

/// A change to be kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChange {
    /// The record that it names.
    pub record: RecordId,
    /// Type and key as named.
    pub identity: Identity,
    /// Incarnation as named.
    pub incarnation: Incarnation,
    /// Area as named.
    pub area: AreaId,
    /// Subject as named.
    pub subject: Option<RecordId>,
    /// Hash of the bytes as a change.
    pub hash: ChangeHash,
    /// Why it is refused (a code); empty for one that waits for dependencies.
    pub reason: String,
    /// The raw chunk.
    pub bytes: Vec<u8>,
}

/// A record after a merge, ready to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRecord {
    /// Id.
    pub id: RecordId,
    /// Type and key.
    pub identity: Identity,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Placement, counts only for a new record.
    pub area: AreaId,
    /// Subject, counts only for a new record.
    pub subject: Option<RecordId>,
    /// The heads that it was merged on; `None`: the record was unknown.
    pub base_heads: Option<Vec<ChangeHash>>,
    /// The heads now.
    pub heads: Vec<ChangeHash>,
    /// The new changes, in causal order; never empty.
    pub changes: Vec<NewChange>,
    /// The projection now.
    pub projection: Projection,
    /// The doubtful answers now.
    pub check: DoubtCheck,
}

/// A batch's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// The branch.
    pub branch: u32,
    /// The number on it.
    pub number: u64,
    /// The batch's hash.
    pub hash: [u8; 32],
    /// SHA-256 of the compressed upload that brought it: a phone that lost the reply asks by it.
    pub digest: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
    /// What was signed (`Batch::signed_message`).
    pub signed: Vec<u8>,
    /// Record, incarnation, hash of each change: 52 bytes each, see `ManifestEntry`.
    pub manifest: Vec<u8>,
    /// Final states, one a change.
    pub outcomes: Vec<Outcome>,
}

/// One push (or refill), merged and ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPush {
    /// Whose feed.
    pub township: TownshipId,
    /// Sender.
    pub device: DeviceId,
    /// The sender's hello counter.
    pub counter: u64,
    /// The batch; `None` for a refill.
    pub batch: Option<BatchRow>,
    /// When it was received.
    pub received_ms: Millis,
    /// Records with new changes.
    pub records: Vec<PreparedRecord>,
    /// Other parts of their form instances whose doubts may change with them.
    pub beside: Vec<Beside>,
    /// Changes that wait for others; replaces what waits under the same (record, hash).
    pub waiting: Vec<HeldChange>,
    /// Waiting changes that were merged or given up by this push: (record, hash).
    pub settled: Vec<(RecordId, ChangeHash)>,
    /// Refused changes, each with the device that sent it.
    pub quarantined: Vec<(DeviceId, HeldChange)>,
    /// Records that lie elsewhere from now on, with everything about them.
    pub moves: Vec<Move>,
    /// The version of the township's areas by which places were judged; if it is another one by then, the push is merged again.
    pub areas_version: Option<u64>,
    /// Grants that follow from it: whoever makes a record may read and write it.
    pub grants: Vec<(UserId, Grant)>,
    /// What an act writes beside records, and its entries of the audit log.
    pub writes: Vec<Write>,
    /// See `writes`.
    pub entries: Vec<AuditEntry>,
    /// Events that are finished with it: filed as untried.
    pub events: Vec<events::NewlyFinished>,
}

/// What became of a prepared push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Durable. The feed's head after it.
    Done(Position),
    /// A record's heads moved meanwhile: merge again. Nothing of the push was stored.
    Moved,
    /// The batch's number was taken meanwhile. Nothing was stored.
    BatchTaken,
}

/// That a device synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncNote {
    /// Which.
    pub device: DeviceId,
    /// Its hello counter.
    pub counter: u64,
    /// When.
    pub now_ms: Millis,
    /// How far it was sent the feed.
    pub feed_seq: u64,
    /// What it showed to know.
    pub known: Known,
}

/// What is known of a branch's batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BranchState {
    /// Number of the last batch; 0 for none.
    pub last: u64,
    /// Its hash; zeros for none.
    pub last_hash: [u8; 32],
}

/// What a role reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Reads {
    /// Everything.
    #[default]
    All,
    /// What the role may read.
    By(Arc<Role>),
}

impl Reads {
    /// True when records of this type are read.
    pub fn covers(&self, record_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::By(role) => role.reads(record_type),
        }
    }
}

/// What part of a township a device may read. An empty list of areas and of subjects reads nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Only records of types that the role reads.
    pub reads: Reads,
    /// The whole township.
    pub whole: bool,
    /// Records placed in these areas (already expanded to all areas below).
    pub areas: Vec<AreaId>,
    /// Records about these subjects, and these records themselves.
    pub subjects: Vec<RecordId>,
}

/// A page of a pull.
#[derive(Debug, Clone)]
pub struct PullQuery {
    /// Whose feed.
    pub township: TownshipId,
    /// Read the feed after this number.
    pub after: u64,
    /// Grants whose fills are complete, those of one role together: their news come by the feed.
    pub complete: Vec<Scope>,
    /// Unfinished fills: (grant, scope, born after). Feed news of their records count only up to the fill's position.
    pub fills: Vec<(u64, Scope, u64)>,
    /// About how many bytes of changes a page may have; at least one record comes.
    pub bytes_max: usize,
}

/// How a record comes into a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// With what is new of it, or in a fill.
    #[default]
    Known,
    /// It lies elsewhere now, still in scope.
    Placed,
    /// It came into the scope by a move: all its changes come.
    Entered,
    /// It left the scope by a move: nothing of it comes.
    Left,
}

/// A record of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledRecord {
    /// How it comes.
    pub arrival: Arrival,
    /// Id.
    pub id: RecordId,
    /// Type and key.
    pub identity: Identity,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Placement.
    pub area: AreaId,
    /// Subject.
    pub subject: Option<RecordId>,
    /// Heads at the page's snapshot.
    pub heads: Vec<ChangeHash>,
    /// The feed number of its first change.
    pub born: u64,
    /// The changes to send, in feed order: the new ones (feed) or all (fill).
    pub changes: Vec<StoredChange>,
}

/// What a page holds; everything is read in one snapshot.
#[derive(Debug, Clone)]
pub struct PullPage {
    /// The feed's head in the snapshot.
    pub head: Position,
    /// The digest over the whole township at the head.
    pub digest: ScopeDigest,
    /// News, grouped by record in order of first appearance.
    pub feed: Vec<PulledRecord>,
    /// Where the feed stands after `feed`; equals `head` when the page reached it.
    pub feed_upto: Position,
    /// Records of the first unfinished fill, by birth; only when the feed reached the head.
    pub fill: Vec<PulledRecord>,
    /// Which fill that is.
    pub fill_grant: Option<u64>,
    /// That fill has no more records after these.
    pub fill_complete: bool,
}

/// A row of a record list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Id.
    pub id: RecordId,
    /// The core record of its form instance: itself, unless it is a sensitive or office part.
    pub core: RecordId,
    /// Type.
    pub record_type: String,
    /// Placement.
    pub area: AreaId,
    /// Subject.
    pub subject: Option<RecordId>,
    /// The projection.
    pub projection: Projection,
    /// When its newest change was received.
    pub updated_ms: Millis,
    /// Feed number of its first change: the list's order and cursor.
    pub born: u64,
}

/// Which records a list shows.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Only this type.
    pub record_type: Option<String>,
    /// Only placed here.
    pub area: Option<AreaId>,
    /// Only about this.
    pub subject: Option<RecordId>,
    /// Only where the search text has this (lower case) in it.
    pub search: Option<String>,
    /// Only where answers differ.
    pub with_differences: bool,
    /// Without households that are united into others.
    pub without_united: bool,
    /// Also what went to another township.
    pub elsewhere: bool,
    /// Only with this status.
    pub status: Option<String>,
    /// Born after this feed number.
    pub after: u64,
    /// At most so many (1 to 1,000).
    pub limit: u32,
}

/// A server's database.
pub trait Storage:
    ActStorage
    + AuditStorage
    + AwayStorage
    + DeviceStorage
    + ErasureStorage
    + EventStorage
    + FigureStorage
    + LinkStorage
    + ListStorage
    + PlannedStorage
    + RightsStorage
    + RegisterStorage
    + Send
    + Sync
{
    /// The tenant's secrets; `fresh` is stored and returned on first use.
    fn secrets(&self, fresh: &Secrets) -> Result<Secrets>;
    /// A setting; small texts such as `reads_closed`.
    fn setting(&self, name: &str) -> Result<Option<String>>;
    /// Writes a setting.
    fn set_setting(&self, name: &str, value: &str) -> Result<()>;

    /// Writes areas (insert or change by id) and raises the table's version. The township's feed row is made with it.
    fn put_areas(&self, township: TownshipId, areas: &[AreaEntry]) -> Result<u64>;
    /// The areas of a township and their table's version.
    fn areas(&self, township: TownshipId) -> Result<(u64, Vec<AreaEntry>)> {
        let tree = self.area_tree(township)?;
        Ok((tree.version(), tree.all().to_vec()))
    }
    /// All townships, the oldest first.
    fn townships(&self) -> Result<Vec<TownshipId>>;
    /// The log of forms.
    fn form_log(&self) -> Result<Arc<[FormLogEntry]>>;
    /// Writes users (insert or change by id).
    fn put_users(&self, users: &[User]) -> Result<()>;
    /// All users of the tenant, by id.
    fn users(&self) -> Result<Vec<User>>;
    /// Appends to a user's log of grants; grant numbers are given here (1, 2, 3 ...) where `entry.grant` is 0. The chain of
    /// entry n is HMAC-SHA-256(chain key, "doorstep/grant/1", previous chain, user, encoded entry), first 16 bytes.
    fn append_grants(&self, user: UserId, entries: &[Grant]) -> Result<Position>;
    /// A user's grant entries after a number, with their positions; and where the log stands.
    fn grants(&self, user: UserId, after: u64) -> Result<(Position, Vec<(Position, Grant)>)>;
    /// Uses up an invitation and enrols the device in one transaction; `None` if it is unknown, used or over. The device's
    /// `user` and `township` are taken from the invitation. One that was used with the same key gives the device that it
    /// enrolled, unless that was revoked.
    /// An enrolment is noted in the audit log with it.
    fn redeem_invitation(
        &self,
        secret_hash: [u8; 32],
        device: &Device,
        now_ms: Millis,
        enrolled: EntryOf<'_, Device>,
    ) -> Result<Option<Device>>;

    /// Enrols a device without invitation (the server itself, the demo).
    fn put_device(&self, device: &Device) -> Result<()>;
    /// A device.
    fn device(&self, device: DeviceId) -> Result<Option<Device>>;
    /// All devices of a township.
    fn devices(&self, township: TownshipId) -> Result<Vec<Device>>;
    /// Notes a sync without push. Need not be durable at once.
    fn note_sync(&self, note: SyncNote) -> Result<()> {
        self.commit(&[], &[note]).map(drop)
    }

    /// Keeps the part of an upload that arrived (one a device; bytes replace what was there).
    fn stage_upload(&self, device: DeviceId, digest: [u8; 32], bytes: &[u8], now_ms: Millis) -> Result<()>;
    /// The staged part of an upload, if its digest is this.
    fn staged_upload(&self, device: DeviceId, digest: [u8; 32]) -> Result<Option<Vec<u8>>>;
    /// Drops a device's staged upload.
    fn drop_upload(&self, device: DeviceId) -> Result<()>;
    /// Drops uploads staged before a time; gives how many.
    fn drop_uploads_before(&self, before_ms: Millis) -> Result<u64>;

    /// Keeps an upload that was refused as a whole; the same bytes of the same device are counted, not kept twice. Need not
    /// be durable at once.
    fn keep_refused_upload(&self, upload: &RefusedUpload<'_>, limits: &RefusedLimits) -> Result<()>;
    /// Uploads that were refused as a whole, newest first.
    fn refused_uploads(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<RefusedUploadRow>>;
    /// The bytes of such an upload as far as they are kept; `None` if there are none any more.
    fn refused_upload_bytes(&self, township: TownshipId, no: u64) -> Result<Option<Vec<u8>>>;

    /// The last batch of a branch.
    fn branch(&self, device: DeviceId, branch: u32) -> Result<BranchState>;
    /// A batch.
    fn batch(&self, device: DeviceId, branch: u32, number: u64) -> Result<Option<BatchRow>>;
    /// What a batch builds on, read in one snapshot.
    fn push_base(&self, query: &PushQuery<'_>) -> Result<PushBase>;
    /// What merging into these records needs, read in one snapshot.
    fn merge_base(&self, township: TownshipId, ids: &[RecordId]) -> Result<MergeBase>;
    /// Records by id, in the order asked, as of one snapshot.
    fn load_records(&self, township: TownshipId, ids: &[RecordId]) -> Result<Vec<Option<StoredRecord>>>;
    /// The changes that wait for these records' changes, each with the device that sent it.
    fn waiting(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<(DeviceId, HeldChange)>>;
    /// How many changes of a device wait, and their bytes.
    fn waiting_of(&self, device: DeviceId) -> Result<(u64, u64)>;
    /// How many changes of a device stand in quarantine undecided, and their bytes.
    fn quarantined_of(&self, device: DeviceId) -> Result<(u64, u64)>;
    /// Which of these hashes stand in quarantine for the township's record.
    fn quarantined(&self, township: TownshipId, record: RecordId, hashes: &[ChangeHash]) -> Result<Vec<ChangeHash>>;
    /// Commits several pushes in one transaction, durably; each push alone in a savepoint, all or nothing. Answers in order.
    fn commit_group(&self, pushes: &[PreparedPush]) -> Result<Vec<Result<Committed>>> {
        self.commit(pushes, &[])
    }
    /// The same, with notes of syncs that came before them. Without pushes it need not be durable at once.
    fn commit(&self, pushes: &[PreparedPush], notes: &[SyncNote]) -> Result<Vec<Result<Committed>>>;

    /// The feed's head and digest.
    fn head(&self, township: TownshipId) -> Result<(Position, ScopeDigest)>;
    /// True when the feed's chain at `position.seq` is `position.chain` (0 and zeros always is).
    fn is_on_chain(&self, township: TownshipId, position: Position) -> Result<bool>;
    /// What a reply is planned from and, if `plan` asks for it, the reply's first page; everything is read in one snapshot.
    fn begin_reply(&self, query: &ReplyQuery<'_>, plan: PlanPull<'_>) -> Result<Option<PullPage>>;
    /// A page of a pull, read in one snapshot.
    fn pull_page(&self, query: &PullQuery) -> Result<PullPage>;
    /// How many changes, and bytes of them, lie ahead of a device.
    fn pull_cost(&self, query: &PullQuery) -> Result<(u64, u64)>;

    /// A list of records, by birth.
    fn list_records(&self, township: TownshipId, filter: &RecordFilter) -> Result<Vec<RecordRow>>;
    /// One row of the township.
    fn record_row(&self, township: TownshipId, record: RecordId) -> Result<Option<RecordRow>>;
    /// A whole record of the township with all its changes (no snapshot), for its page and its history.
    fn full_record(&self, township: TownshipId, record: RecordId) -> Result<Option<StoredRecord>>;
    /// Writes anew what is computed of records, where they are still as they were read; gives how many.
    fn refresh(&self, township: TownshipId, records: &[Refreshed], now_ms: Millis) -> Result<usize>;
    /// Doubtful answers, newest first.
    fn doubts(&self, township: TownshipId, filter: &DoubtFilter) -> Result<Vec<DoubtRow>>;
    /// How many are open of each question, the most first; at most 200 questions.
    fn doubt_totals(&self, township: TownshipId, area: Option<AreaId>) -> Result<Vec<DoubtTotal>>;
    /// Refused changes about which nobody has decided, newest first.
    fn quarantine(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<QuarantineRow>> {
        let decision = Some(Decision::Open);
        self.quarantine_list(township, &QuarantineFilter { decision, before, limit, ..QuarantineFilter::default() })
    }
    /// All change hashes of the township, for verification: (record, incarnation, hash), by feed number after `after`.
    fn change_list(
        &self,
        township: TownshipId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, RecordId, Incarnation, ChangeHash)>>;

    /// Writes a consistent copy of the database to a file. PostgreSQL answers with an error that names its own tools.
    fn backup(&self, to: &std::path::Path) -> Result<()>;
    /// Cheap check that the database answers and takes writes.
    fn ping(&self) -> Result<()>;
}
