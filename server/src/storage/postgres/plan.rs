//! What a group of pushes will write, decided in memory from what the group's locked rows hold.

use std::collections::{BTreeMap, HashMap};

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, Chain, ChangeHash, DeviceId, Incarnation, RecordId};
use doorstep_core::protocol::{Position, ScopeDigest};

use super::super::chain::Links;
use super::super::{Committed, DoubtCheck, HeldChange, NewChange, PreparedPush, PreparedRecord, TownshipId};

/// What a push must find of a record as it was when it was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub heads: Vec<ChangeHash>,
    pub incarnation: Incarnation,
    /// How many doubtful answers are open.
    pub doubts: u32,
    /// Where it lies.
    pub area: AreaId,
}

/// What is stored now of what a group touches.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Records.
    pub records: HashMap<(TownshipId, RecordId), State>,
    /// Last batch of each branch.
    pub branches: HashMap<(DeviceId, u32), u64>,
    /// Versions of townships' areas.
    pub areas: HashMap<TownshipId, u64>,
}

impl Known {
    /// Judges a push and, if it is taken, moves on to what will be stored after it.
    fn take(&mut self, push: &PreparedPush) -> Option<Committed> {
        if push.areas_version.is_some_and(|version| self.areas.get(&push.township) != Some(&version)) {
            return Some(Committed::Moved);
        }
        if let Some(batch) = &push.batch {
            let last = self.branches.get(&(push.device, batch.branch)).copied().unwrap_or(0);
            if batch.number != last + 1 {
                return Some(Committed::BatchTaken);
            }
        }
        let mut after = HashMap::new();
        for record in &push.records {
            let key = (push.township, record.id);
            let now = after.get(&key).or_else(|| self.records.get(&key));
            let as_merged = match (now, &record.base_heads) {
                (None, None) => true,
                (Some(now), Some(base)) => {
                    now.heads == *base && now.incarnation == record.incarnation && now.doubts == record.check.before
                }
                _ => false,
            };
            if !as_merged {
                return Some(Committed::Moved);
            }
            let area = now.map_or(record.area, |now| now.area);
            let (heads, incarnation) = (record.heads.clone(), record.incarnation);
            after.insert(key, State { heads, incarnation, doubts: record.check.found.len() as u32, area });
        }
        for beside in &push.beside {
            let now = self.records.get(&(push.township, beside.id));
            let as_looked_at = match (now, &beside.heads) {
                (None, None) => true,
                (Some(now), Some(heads)) => now.heads == *heads && now.doubts == beside.check.before,
                _ => false,
            };
            if !as_looked_at {
                return Some(Committed::Moved);
            }
        }
        self.records.extend(after);
        for beside in &push.beside {
            if let Some(state) = self.records.get_mut(&(push.township, beside.id)) {
                state.doubts = beside.check.found.len() as u32;
            }
        }
        if let Some(batch) = &push.batch {
            self.branches.insert((push.device, batch.branch), batch.number);
        }
        None
    }
}

/// Judges a group's pushes in order; `None` for those that are taken.
pub(super) fn judge(known: &mut Known, pushes: &[PreparedPush]) -> Vec<Option<Committed>> {
    pushes.iter().map(|push| known.take(push)).collect()
}

/// A township's feed while a group is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    /// The newest entry.
    pub position: Position,
    /// Over all changes.
    pub digest: ScopeDigest,
    /// Number of the newest refused change.
    pub refused: u64,
    /// The version of the areas.
    pub areas_version: u64,
}

impl Feed {
    /// Counts a change of a record that lies there.
    pub fn count(&mut self, area: AreaId, change: &ChangeHash) {
        if area != AreaId::NOWHERE {
            self.digest.add(change);
        }
    }

    /// A change of a record that lies there goes.
    pub fn discount(&mut self, area: AreaId, change: &ChangeHash) {
        if area != AreaId::NOWHERE {
            self.digest.remove(change);
        }
    }
}

/// A record's row as it will be.
pub(super) struct RecordWrite<'a> {
    /// How it came into the group: identity, placement and subject of a new record.
    pub first: &'a PreparedRecord,
    /// How it leaves the group: heads and projection.
    pub latest: &'a PreparedRecord,
    /// Feed number of its first change in the group.
    pub born: u64,
    /// How many changes are new, and their bytes.
    pub grown: (i64, i64),
    /// When the newest was received.
    pub updated_ms: Millis,
    /// Feed number of its newest change.
    pub last: u64,
}

/// Doubtful answers to be filed.
pub(super) struct Filed<'a> {
    pub record: RecordId,
    pub check: &'a DoubtCheck,
    /// Feed number of the newest change that was merged.
    pub change: u64,
    pub now_ms: Millis,
}

/// A row of the feed.
pub(super) struct ChangeWrite<'a> {
    pub seq: u64,
    pub chain: Chain,
    pub record: RecordId,
    pub change: &'a NewChange,
    pub received_ms: Millis,
}

/// What a group writes in one township.
pub(super) struct TownshipWrites<'a> {
    pub feed: Feed,
    pub records: Vec<RecordWrite<'a>>,
    pub changes: Vec<ChangeWrite<'a>>,
    pub filed: Vec<Filed<'a>>,
    /// Refused changes with their numbers and senders.
    pub refused: Vec<(u64, DeviceId, &'a PreparedPush, &'a HeldChange)>,
    places: HashMap<RecordId, usize>,
}

impl<'a> TownshipWrites<'a> {
    fn new(feed: Feed) -> Self {
        Self {
            feed,
            records: Vec::new(),
            changes: Vec::new(),
            filed: Vec::new(),
            refused: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn record(&mut self, links: &Links, (record, area): (&'a PreparedRecord, AreaId), received_ms: Millis) {
        let born = self.feed.position.seq + 1;
        for change in &record.changes {
            let chain = links.change(self.feed.position.chain, record.id, record.incarnation, &change.hash);
            self.feed.position = Position { seq: self.feed.position.seq + 1, chain };
            self.feed.count(area, &change.hash);
            let seq = self.feed.position.seq;
            self.changes.push(ChangeWrite { seq, chain, record: record.id, change, received_ms });
        }
        self.file(record.id, &record.check, received_ms);
        let place = *self.places.entry(record.id).or_insert(self.records.len());
        if place == self.records.len() {
            let write = RecordWrite { first: record, latest: record, born, grown: (0, 0), updated_ms: 0, last: 0 };
            self.records.push(write);
        }
        let write = &mut self.records[place];
        write.latest = record;
        write.last = self.feed.position.seq;
        write.updated_ms = write.updated_ms.max(received_ms);
        write.grown.0 += record.changes.len() as i64;
        write.grown.1 += record.changes.iter().map(|c| c.bytes.len() as i64).sum::<i64>();
    }

    fn file(&mut self, record: RecordId, check: &'a DoubtCheck, now_ms: Millis) {
        if !check.is_idle() {
            self.filed.push(Filed { record, check, change: self.feed.position.seq, now_ms });
        }
    }
}

/// The writes of the pushes that were taken, by township; and all answers.
pub(super) fn plan<'a>(
    links: &Links,
    known: &Known,
    pushes: &'a [PreparedPush],
    verdicts: Vec<Option<Committed>>,
    feeds: BTreeMap<TownshipId, Feed>,
) -> (BTreeMap<TownshipId, TownshipWrites<'a>>, Vec<Committed>) {
    let mut writes: BTreeMap<_, _> = feeds.into_iter().map(|(id, feed)| (id, TownshipWrites::new(feed))).collect();
    let mut answers = Vec::with_capacity(pushes.len());
    for (push, verdict) in pushes.iter().zip(verdicts) {
        let (None, Some(township)) = (&verdict, writes.get_mut(&push.township)) else {
            answers.push(verdict.unwrap_or(Committed::Moved));
            continue;
        };
        for record in &push.records {
            let area = known.records.get(&(push.township, record.id)).map_or(record.area, |state| state.area);
            township.record(links, (record, area), push.received_ms);
        }
        for beside in push.beside.iter().filter(|b| b.heads.is_some()) {
            township.file(beside.id, &beside.check, push.received_ms);
        }
        for (sender, held) in &push.quarantined {
            township.feed.refused += 1;
            township.refused.push((township.feed.refused, *sender, push, held));
        }
        answers.push(Committed::Done(township.feed.position));
    }
    (writes, answers)
}
