//! Guard and merge: from a decoded batch or refill to a prepared push. Reads storage, writes nothing.

mod events;
mod instances;
mod permit;
mod waiting;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use doorstep_core::fault;
use doorstep_core::form::Catalog;
use doorstep_core::id::{ChangeHash, DeviceId, RecordId, TenantKey, branch_actor};
use doorstep_core::protocol::{
    Batch, ChangeHead, LOST_DEVICE, ManifestEntry, Outcome, RecordBody, RecordFrame, Refill, State,
};
use doorstep_core::record::{Candidate, ChangeNote, Checked, Record, Refusal};
use doorstep_core::rights::Role;

use super::doubts::{self, DateBounds, Document};
use super::projection::project;
use super::rights::Rights;
use crate::storage::{
    BatchRow, Claims, Device, DoubtCheck, HeldChange, MergeBase, Move, NewChange, PreparedPush, PreparedRecord,
    Storage, StorageError, StoredRecord,
};
use instances::Part;
use permit::Places;
pub use permit::{core_of, subjects};
use waiting::by_record;

/// Refused changes of one device that are kept; what comes after them is denied, until an administrator looked.
const QUARANTINE_MAX: Room = Room { changes: 10_000, bytes: 64 << 20 };
/// One change in so many is saved and loaded again in service, to notice what the guard doesn't know.
const RELOAD_CHECK_EVERY: u32 = 100;

/// Loads a record as stored.
pub fn open_record(stored: &StoredRecord) -> Result<Record, Refusal> {
    let mut record = Record::new(stored.identity.clone());
    record.apply_trusted(stored.changes.iter().map(|c| c.bytes.as_slice()))?;
    Ok(record)
}

/// Who sends, and by what right.
#[derive(Clone, Copy)]
pub enum Sender<'a> {
    /// A device pushes its own changes, all by the actor of this branch.
    Author {
        /// The device.
        device: &'a Device,
        /// The batch's branch.
        branch: u32,
    },
    /// The office releases changes of a device that stood in quarantine: only the guard still asks.
    Releaser {
        /// The device.
        device: &'a Device,
    },
    /// A device brings back changes under the server's own receipts.
    Carrier {
        /// The device.
        device: &'a Device,
        /// The changes that the receipts cover.
        covered: &'a HashSet<(RecordId, ChangeHash)>,
    },
}

impl Sender<'_> {
    fn device(&self) -> &Device {
        match self {
            Self::Author { device, .. } | Self::Releaser { device } | Self::Carrier { device, .. } => device,
        }
    }
}

struct Merging {
    record: Record,
    /// How many doubtful answers were open.
    doubts: u32,
    base_heads: Option<Vec<ChangeHash>>,
    /// Feed number of the first change that is stored; `None` where none is.
    born: Option<u64>,
    new: Vec<NewChange>,
    refused: HashSet<ChangeHash>,
}

/// Merges one upload's records, record by record; a bad one never touches another.
pub struct Merge<'a> {
    storage: &'a dyn Storage,
    sender: Sender<'a>,
    push: PreparedPush,
    outcomes: Vec<Outcome>,
    base: Option<MergeBase>,
    forms: Arc<Catalog>,
    tenant_key: Option<TenantKey>,
    /// Bounds of the form dates in what the sender made itself.
    dates: Option<DateBounds>,
    parts: Vec<Part>,
    /// What the author may write; `None`: everything, for the server's own and what receipts vouch for.
    rights: Option<(Rights, Claims)>,
    /// Where records lie that are named, and the push's own.
    places: Places,
    /// Records that the author made with this push, each with the role that let them be made.
    made: HashMap<RecordId, Arc<Role>>,
    /// States of instances as a device had heard of them, by how far it had read.
    states_seen: HashMap<(RecordId, u64), String>,
    waiting_room: Option<Room>,
    quarantine_room: HashMap<DeviceId, Room>,
}

impl<'a> Merge<'a> {
    /// Starts a merge.
    pub fn new(storage: &'a dyn Storage, sender: Sender<'a>, counter: u64, received_ms: u64) -> Self {
        let device = sender.device();
        let push = PreparedPush {
            township: device.township,
            device: device.id,
            counter,
            batch: None,
            received_ms,
            records: Vec::new(),
            beside: Vec::new(),
            waiting: Vec::new(),
            settled: Vec::new(),
            quarantined: Vec::new(),
            moves: Vec::new(),
            areas_version: None,
            grants: Vec::new(),
            writes: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
        };
        Self {
            storage,
            sender,
            push,
            outcomes: Vec::new(),
            base: None,
            forms: Arc::default(),
            tenant_key: None,
            dates: None,
            parts: Vec::new(),
            rights: None,
            places: Places::new(),
            made: HashMap::new(),
            states_seen: HashMap::new(),
            waiting_room: None,
            quarantine_room: HashMap::new(),
        }
    }

    /// Projects and checks records by these forms; otherwise by the built-in ones. The tenant's key tells which documents belong
    /// to one form instance.
    pub fn by_forms(mut self, forms: Arc<Catalog>, tenant_key: TenantKey) -> Self {
        (self.forms, self.tenant_key) = (forms, Some(tenant_key));
        self
    }

    /// Looks whether the days of forms fit the device's syncs.
    pub fn judging_dates(mut self) -> Self {
        let received_ms = self.push.received_ms;
        let previous_sync_ms = self.sender.device().synced_before(received_ms);
        self.dates = Some(DateBounds { previous_sync_ms, received_ms });
        self
    }

    /// Writes only what these rights allow.
    pub fn by_rights(mut self, rights: Rights, claims: Claims) -> Self {
        self.rights = Some((rights, claims));
        self
    }

    /// Gives what was read of the upload's records already; otherwise it is read when they are merged.
    pub fn on(mut self, mut base: MergeBase) -> Self {
        self.places = std::mem::take(&mut base.places);
        self.base = Some(base);
        self
    }

    /// Merges a batch whose signature was checked.
    pub fn batch(mut self, batch: &Batch, digest: [u8; 32]) -> Result<PreparedPush, StorageError> {
        self.records(&batch.records)?;
        if fault::bug("all_or_nothing") && !self.push.quarantined.is_empty() {
            self.push.records.clear();
            self.outcomes.fill(Outcome::quarantined("batch"));
        }
        self.push.batch = Some(BatchRow {
            branch: batch.header.branch,
            number: batch.header.number,
            hash: batch.hash(),
            digest,
            signature: batch.signature,
            signed: batch.signed_message(),
            manifest: batch.manifest().iter().flat_map(ManifestEntry::to_bytes).collect(),
            outcomes: self.outcomes,
        });
        Ok(self.push)
    }

    /// A push that only moves records.
    pub fn moving(mut self, moves: Vec<Move>) -> Result<PreparedPush, StorageError> {
        self.push.moves = moves;
        self.check_moves()?;
        Ok(self.push)
    }

    /// Merges what a phone brings back; gives the push and how many changes it couldn't take.
    pub fn refill(mut self, refill: &Refill) -> Result<(PreparedPush, u32), StorageError> {
        self.records(&refill.records)?;
        let refused = self.outcomes.iter().filter(|o| !o.state.is_acknowledged() && o.state != State::Waiting).count();
        // what a receipt didn't cover isn't evidence against anybody: it is dropped. What the server once held and can't
        // take back, because it has another change of this author and number since, or for want of room, is kept for people
        // to see; and so is what waited here and is refused by now.
        let waited: HashSet<(RecordId, ChangeHash)> = self.push.settled.iter().copied().collect();
        let kept = ["equivocation", "depends_on_refused", "too_many_waiting", Refusal::RecordFull.code()];
        self.push
            .quarantined
            .retain(|(_, held)| kept.contains(&held.reason.as_str()) || waited.contains(&(held.record, held.hash)));
        Ok((self.push, refused as u32))
    }

    /// Merges what comes from another township of this server; what can't be taken is kept aside.
    pub fn carried(mut self, frames: &[RecordFrame]) -> Result<PreparedPush, StorageError> {
        self.records(frames)?;
        Ok(self.push)
    }

    /// Merges changes that stood in quarantine; gives the push and what each came to, in order. What can't be merged stays
    /// where it is.
    pub fn release(mut self, frames: &[RecordFrame]) -> Result<(PreparedPush, Vec<Outcome>), StorageError> {
        // what can't be merged isn't kept a second time: no bound may hide why
        self.waiting_room = Some(Room::MAX);
        self.quarantine_room.insert(self.push.device, Room::MAX);
        self.records(frames)?;
        self.push.quarantined.clear();
        self.push.waiting.clear();
        Ok((self.push, self.outcomes))
    }

    fn records(&mut self, frames: &[RecordFrame]) -> Result<(), StorageError> {
        let ids: Vec<RecordId> = frames.iter().map(|f| f.id).collect();
        let base = match self.base.take() {
            Some(base) => base,
            None => {
                self.places = self.storage.places(self.push.township, &subjects(frames))?;
                self.storage.merge_base(self.push.township, &ids)?
            }
        };
        let mut waiting = by_record(base.waiting);
        let mut seen: HashSet<RecordId> = HashSet::new();
        for (frame, stored) in frames.iter().zip(base.records) {
            if !seen.insert(frame.id) {
                self.refuse_all(frame, "record_twice")?;
                continue;
            }
            self.record(frame, stored, waiting.remove(&frame.id).unwrap_or_default())?;
        }
        self.check_instances()?;
        self.check_moves()
    }

    fn record(
        &mut self,
        frame: &RecordFrame,
        stored: Option<StoredRecord>,
        waiting: Vec<(DeviceId, HeldChange)>,
    ) -> Result<(), StorageError> {
        let RecordBody::Changes(changes) = &frame.body else { return Ok(()) };
        let (named, frame) = (frame, &self.placed(frame, stored.as_ref()));
        if let Some(stored) = &stored {
            if stored.identity != frame.identity {
                return self.refuse_all(named, "identity");
            }
            if frame.incarnation > stored.incarnation {
                return self.refuse_all(named, "unknown_incarnation");
            }
            if frame.incarnation < stored.incarnation {
                // its author makes it anew; here it may hold what was erased
                for change in changes {
                    self.hold(frame, change.hash, &[], State::Equivocation, "old_incarnation")?;
                }
                return Ok(());
            }
        }
        if stored.is_none() && frame.incarnation != 0 && matches!(self.sender, Sender::Author { .. }) {
            // only the server roots a record anew
            return self.refuse_all(named, "unknown_incarnation");
        }
        let record = match &stored {
            None => Record::new(frame.identity.clone()),
            Some(stored) => match open_record(stored) {
                Ok(record) => record,
                Err(refusal) => {
                    tracing::error!(
                        code = refusal.code(),
                        "a stored record can't be opened: what was sent for it is kept aside"
                    );
                    return self.refuse_all(named, "record_damaged");
                }
            },
        };
        let mut merging = Merging {
            base_heads: stored.as_ref().map(|s| s.heads.clone()),
            born: stored.as_ref().map(|s| s.changes.first().map_or(0, |change| change.seq)),
            doubts: stored.as_ref().map_or(0, |s| s.doubts),
            record,
            new: Vec::new(),
            refused: HashSet::new(),
        };
        for change in changes {
            self.change(frame, &mut merging, change.hash, &change.bytes)?;
        }
        if !waiting.is_empty() {
            self.settle(frame, &mut merging, waiting)?;
        }
        if !merging.new.is_empty() {
            self.finish_record(frame, merging);
        }
        Ok(())
    }

    /// Projects a merged record and checks it, unless its form's rules need the other documents too.
    fn finish_record(&mut self, frame: &RecordFrame, merging: Merging) {
        let Merging { record, doubts, base_heads, new, .. } = merging;
        let heads = record.heads();
        let form = doubts::form_of(&self.forms, &frame.identity.record_type);
        let (projection, answers) = project(&record, form.as_deref());
        let mut check = DoubtCheck { before: doubts, ..DoubtCheck::default() };
        if let Some(form) = form {
            self.note_event(frame.id, &form, &record, &new);
            self.note_move(frame, &form, &record, &answers);
            let class = doubts::class_of(&frame.identity.record_type);
            let document = Document { class, record: &record, answers: &answers };
            let own = |device: Option<DeviceId>| device == Some(self.push.device);
            let arrived = |hash: &ChangeHash| new.iter().find(|c| c.hash == *hash).map(|c| own(c.device));
            let (judged, doubt) = doubts::judge_date(&form, &document, self.dates, arrived);
            (check.date_judged, check.found) = (judged, doubt.into_iter().collect());
            let changed: Vec<ChangeHash> = new.iter().map(|c| c.hash).collect();
            let was_right = base_heads.is_some() && doubts == 0;
            let free = was_right.then(|| doubts::find_free(&self.forms, &form, &document, &changed)).flatten();
            match doubts::mixed_rules(&self.forms, &form) {
                _ if free.is_some() => check.found.extend(free.unwrap_or_default()),
                None => check.found.extend(doubts::find(&self.forms, &form, &[document]).into_iter().flatten()),
                Some(rules) => {
                    let place = self.push.records.len();
                    self.parts.push(Part { place, form, rules, record, answers });
                }
            }
        }
        self.push.records.push(PreparedRecord {
            id: frame.id,
            identity: frame.identity.clone(),
            incarnation: frame.incarnation,
            area: frame.area,
            subject: frame.subject,
            base_heads,
            heads,
            changes: new,
            projection,
            check,
        });
    }

    fn change(
        &mut self,
        frame: &RecordFrame,
        merging: &mut Merging,
        hash: ChangeHash,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        if merging.record.contains(&hash) && !fault::bug("drop_dedupe") {
            self.outcomes.push(Outcome::of(State::Known));
            return Ok(());
        }
        if let Some(reason) = self.forbidden(frame, &merging.record, hash, bytes) {
            merging.refused.insert(hash);
            self.hold(frame, hash, bytes, State::Quarantined, reason)?;
            return Ok(());
        }
        let checked = check(&merging.record, hash, bytes);
        if let Ok(candidate) = &checked
            && let Err(forbidden) =
                self.permit(frame, (&merging.record, merging.born), self.sender.device().user, candidate)?
        {
            merging.refused.insert(hash);
            self.hold(frame, hash, bytes, State::Quarantined, &forbidden.reason())?;
            return Ok(());
        }
        match checked.and_then(|candidate| take(&mut merging.record, hash, candidate)) {
            Ok(()) => {
                let device = match self.sender {
                    Sender::Author { device, .. } | Sender::Releaser { device } => Some(device.id),
                    Sender::Carrier { .. } => None,
                };
                merging.new.push(new_change(hash, bytes, device));
                self.outcomes.push(Outcome::of(State::Stored));
            }
            Err(Refusal::MissingDependencies(_)) if fault::bug("trust_ok") => {
                self.outcomes.push(Outcome::of(State::Stored))
            }
            Err(Refusal::MissingDependencies(missing)) => self.missing(frame, merging, hash, bytes, &missing)?,
            Err(Refusal::Equivocation) => {
                merging.refused.insert(hash);
                self.hold(frame, hash, bytes, State::Equivocation, "equivocation")?;
            }
            Err(refusal) => {
                merging.refused.insert(hash);
                self.hold(frame, hash, bytes, State::Quarantined, refusal.code())?;
            }
        }
        Ok(())
    }

    /// Who may write what, and how much: all that needs no look into the operations.
    fn forbidden(&self, frame: &RecordFrame, record: &Record, hash: ChangeHash, bytes: &[u8]) -> Option<&'static str> {
        if let Sender::Carrier { covered, .. } = &self.sender
            && !covered.contains(&(frame.id, hash))
        {
            return Some("not_receipted");
        }
        let Some(head) = ChangeHead::read(bytes) else { return Some("malformed") };
        if !record.has_room(bytes.len(), &head.dependencies) {
            return Some(Refusal::RecordFull.code());
        }
        match &self.sender {
            Sender::Releaser { .. } | Sender::Carrier { .. } => None,
            Sender::Author { device, branch } => {
                if fault::bug("trust_author") {
                    return None;
                }
                if head.actor != branch_actor(&device.public_key, *branch) {
                    return Some("foreign_author");
                }
                match head.message.parse::<ChangeNote>() {
                    Err(_) => Some("message"),
                    Ok(note) if note.user != device.user => Some("foreign_user"),
                    Ok(_) => device.lost.map(|_| LOST_DEVICE),
                }
            }
        }
    }

    fn refuse_all(&mut self, frame: &RecordFrame, reason: &str) -> Result<(), StorageError> {
        if let RecordBody::Changes(changes) = &frame.body {
            for change in changes {
                self.hold(frame, change.hash, &change.bytes, State::Quarantined, reason)?;
            }
        }
        Ok(())
    }

    /// Takes room for a refused change of a device on the shelf of refused ones; false when that is full.
    fn takes_quarantine(&mut self, device: DeviceId, bytes: usize) -> Result<bool, StorageError> {
        let room = match self.quarantine_room.entry(device) {
            Entry::Occupied(room) => room.into_mut(),
            Entry::Vacant(room) => room.insert(QUARANTINE_MAX.without(self.storage.quarantined_of(device)?)),
        };
        Ok(room.takes(bytes))
    }

    /// Keeps a refused change with its reason, as far as there is room for this device.
    fn hold(
        &mut self,
        frame: &RecordFrame,
        hash: ChangeHash,
        bytes: &[u8],
        state: State,
        reason: &str,
    ) -> Result<(), StorageError> {
        if !self.takes_quarantine(self.push.device, bytes.len())? {
            self.outcomes.push(Outcome { state: State::Denied, reason: "quarantine_full".to_owned() });
            return Ok(());
        }
        self.push.quarantined.push((self.push.device, held(frame, hash, bytes, reason)));
        self.outcomes.push(Outcome { state, reason: reason.to_owned() });
        Ok(())
    }
}

/// How many changes of a device, and bytes of them, may still be kept aside.
#[derive(Debug, Clone, Copy)]
struct Room {
    changes: u64,
    bytes: u64,
}

impl Room {
    const MAX: Self = Self { changes: u64::MAX, bytes: u64::MAX };

    /// What is left beside so many changes with so many bytes.
    fn without(self, (changes, bytes): (u64, u64)) -> Self {
        Self { changes: self.changes.saturating_sub(changes), bytes: self.bytes.saturating_sub(bytes) }
    }

    /// Takes one more change, if it fits.
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.changes > 0 && self.bytes >= bytes as u64;
        if fits {
            *self = self.without((1, bytes as u64));
        }
        fits
    }
}

/// Guards a change that the record lacks.
fn check(record: &Record, hash: ChangeHash, bytes: &[u8]) -> Result<Candidate, Refusal> {
    match record.check(bytes)? {
        Checked::New(candidate) if candidate.hash() == hash => Ok(candidate),
        Checked::New(_) | Checked::Known(_) => Err(Refusal::Checksum),
    }
}

/// Takes a change that passed.
fn take(record: &mut Record, hash: ChangeHash, candidate: Candidate) -> Result<(), Refusal> {
    let sampled = u32::from_be_bytes([hash.0[0], hash.0[1], hash.0[2], hash.0[3]]).is_multiple_of(RELOAD_CHECK_EVERY);
    record.take(candidate, sampled || cfg!(debug_assertions))
}

fn new_change(hash: ChangeHash, bytes: &[u8], device: Option<DeviceId>) -> NewChange {
    NewChange { hash, device, bytes: bytes.to_vec() }
}

fn held(frame: &RecordFrame, hash: ChangeHash, bytes: &[u8], reason: &str) -> HeldChange {
    HeldChange {
        record: frame.id,
        identity: frame.identity.clone(),
        incarnation: frame.incarnation,
        area: frame.area,
        subject: frame.subject,
        hash,
        reason: reason.to_owned(),
        bytes: bytes.to_vec(),
    }
}
