//! What an exchange reads at once: what a push builds on, and what a reply is planned from. One snapshot each.

use std::collections::HashMap;
use std::sync::Arc;

use doorstep_core::id::{DeviceId, RecordId, UserId};
use doorstep_core::protocol::Position;

use super::areas::AreasCache;
use super::forms::FormsCache;
use super::rights::RolesCache;
use super::{BatchRow, BranchState, Claims, FormLogEntry, HeldChange, Place, PullQuery, StoredRecord, TownshipId};

/// What merging into some records needs of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MergeBase {
    /// The records, in the order asked.
    pub records: Vec<Option<StoredRecord>>,
    /// The changes that wait for these records' changes, each with the device that sent it.
    pub waiting: Vec<(DeviceId, HeldChange)>,
    /// Where the subjects lie that were asked for.
    pub places: HashMap<RecordId, Place>,
    /// What the sender may; only for a push.
    pub claims: Option<Claims>,
}

/// A batch that is about to be merged.
#[derive(Debug, Clone, Copy)]
pub struct PushQuery<'a> {
    /// Whose records.
    pub township: TownshipId,
    /// The sender.
    pub device: DeviceId,
    /// The batch's branch.
    pub branch: u32,
    /// The batch's number on it.
    pub number: u64,
    /// The records that it changes.
    pub records: &'a [RecordId],
    /// What they are about.
    pub subjects: &'a [RecordId],
    /// Whose rights count.
    pub user: UserId,
}

/// What a push builds on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PushBase {
    /// The branch's last batch.
    pub branch: BranchState,
    /// The batch that has this number already.
    pub taken: Option<BatchRow>,
    /// What merging needs; read only if the number is the branch's next one.
    pub merge: MergeBase,
}

/// What a reply needs to know of its device.
#[derive(Debug, Clone, Copy)]
pub struct ReplyQuery<'a> {
    /// Whose feed.
    pub township: TownshipId,
    /// Whose grants.
    pub user: UserId,
    /// The branch whose last batch is asked for, with its device.
    pub branch: Option<(DeviceId, u32)>,
    /// Points of the feed, best first: which is the first on the chain?
    pub points: &'a [Position],
    /// One more point, asked by itself.
    pub told: Option<Position>,
}

/// What a reply is planned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Reading is closed after a restore.
    pub reads_closed: bool,
    /// Number of the last batch of the branch that was asked for; 0 for none.
    pub last_batch: u64,
    /// The feed's head.
    pub head: Position,
    /// The first of the points asked that is on the chain.
    pub common: Option<Position>,
    /// The point told is on the chain; true if none was asked.
    pub told_on_chain: bool,
    /// The user's grants, the township's areas, the roles.
    pub claims: Claims,
    /// The log of forms.
    pub forms: Arc<[FormLogEntry]>,
}

/// Decides from the standing what the reply's first page reads; `None`: there is no page.
pub type PlanPull<'a> = &'a mut dyn FnMut(Standing) -> Option<PullQuery>;

/// What a storage keeps in memory of what exchanges read.
pub(super) struct Caches<'a> {
    pub areas: &'a AreasCache,
    pub forms: &'a FormsCache,
    pub roles: &'a RolesCache,
}
