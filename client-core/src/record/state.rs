//! The merged state of a record: its changes, its heads, and every value that was put.
//!
//! Records use a small part of automerge: changes that put scalars into three fixed maps, where every put names exactly
//! the values that it replaces. For these, merging needs no document: a value is visible until a change replaces it, and
//! of several visible values the one with the highest counter, then the highest actor, comes first, as automerge has it.
//! What automerge itself makes of the same changes is compared in [`super::oracle`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::id::{ActorId, ChangeHash};

use super::{ChangeNote, Section, Value};

/// An operation's id: counter and actor. Of two visible values the one with the greater id comes first.
pub(super) type OpKey = (u64, ActorId);

/// A change that is in the record.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub hash: ChangeHash,
    pub actor: ActorId,
    pub seq: u64,
    pub start_op: u64,
    pub max_op: u64,
    pub claimed_s: i64,
    pub note: ChangeNote,
    pub deps: Vec<ChangeHash>,
    pub raw: Arc<[u8]>,
}

/// One operation of a change: puts a value in place of others.
#[derive(Debug)]
pub(super) struct Operation {
    pub section: Section,
    pub key: Box<str>,
    pub value: Value,
    /// Sorted.
    pub replaces: Vec<OpKey>,
}

/// A value that was put.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub counter: u64,
    /// Which change put it, by its place.
    pub by: usize,
    pub value: Value,
    /// Which changes put another value in its place; empty while it is visible.
    pub replaced_by: Vec<usize>,
}

/// Which changes are heads or before them, by place.
pub(super) struct Past(Vec<bool>);

impl Past {
    fn sees(&self, put: &Put) -> bool {
        self.0[put.by] && !put.replaced_by.iter().any(|by| self.0[*by])
    }
}

#[derive(Debug, Clone)]
pub(super) struct State {
    changes: Vec<Known>,
    places: HashMap<ChangeHash, usize>,
    last: HashMap<ActorId, usize>,
    heads: Vec<ChangeHash>,
    bytes: usize,
    puts: [BTreeMap<Box<str>, Vec<Put>>; 3],
}

impl State {
    /// A record that holds its derived first change alone.
    pub fn new(first_change: ChangeHash) -> Self {
        Self {
            changes: Vec::new(),
            places: HashMap::new(),
            last: HashMap::new(),
            heads: vec![first_change],
            bytes: 0,
            puts: Default::default(),
        }
    }

    /// Adds a change whose dependencies are here and whose operations were checked.
    pub fn insert(&mut self, change: Known, operations: Vec<Operation>) {
        let by = self.changes.len();
        for (counter, operation) in (change.start_op..).zip(operations) {
            let puts = self.puts[operation.section as usize].entry(operation.key).or_default();
            for put in puts.iter_mut() {
                if operation.replaces.contains(&(put.counter, self.changes[put.by].actor)) {
                    put.replaced_by.push(by);
                }
            }
            puts.push(Put { counter, by, value: operation.value, replaced_by: Vec::new() });
        }
        self.heads.retain(|head| !change.deps.contains(head));
        let at = self.heads.partition_point(|head| *head < change.hash);
        self.heads.insert(at, change.hash);
        self.places.insert(change.hash, by);
        self.bytes += change.raw.len();
        let last = self.last.entry(change.actor).or_insert(by);
        if self.changes.get(*last).is_none_or(|known| known.seq < change.seq) {
            *last = by;
        }
        self.changes.push(change);
    }

    /// Every change but the derived first one, in causal order.
    pub fn changes(&self) -> &[Known] {
        &self.changes
    }

    /// Bytes of all changes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn heads(&self) -> &[ChangeHash] {
        &self.heads
    }

    pub fn change(&self, hash: &ChangeHash) -> Option<&Known> {
        self.places.get(hash).map(|place| &self.changes[*place])
    }

    /// The last change of an author.
    pub fn last_of(&self, actor: &ActorId) -> Option<&Known> {
        self.last.get(actor).map(|place| &self.changes[*place])
    }

    /// What is in the past of these heads; those that aren't here count for nothing.
    pub fn past(&self, heads: &[ChangeHash]) -> Past {
        let mut past = vec![false; self.changes.len()];
        let mut todo: Vec<&ChangeHash> = heads.iter().collect();
        while let Some(hash) = todo.pop() {
            if let Some(place) = self.places.get(hash)
                && !std::mem::replace(&mut past[*place], true)
            {
                todo.extend(&self.changes[*place].deps);
            }
        }
        Past(past)
    }

    /// True when `wanted`, a change of this record, is among `heads` or before them.
    pub fn is_in_past(&self, heads: &[ChangeHash], wanted: &ChangeHash) -> bool {
        heads.contains(wanted)
            || heads == self.heads
            || self.places.get(wanted).is_some_and(|place| self.past(heads).0[*place])
    }

    pub fn id(&self, put: &Put) -> OpKey {
        (put.counter, self.changes[put.by].actor)
    }

    pub fn put_by(&self, put: &Put) -> &Known {
        &self.changes[put.by]
    }

    /// Everything that was put in a section, by key.
    pub fn puts(&self, section: Section) -> impl Iterator<Item = (&str, &[Put])> {
        self.puts[section as usize].iter().map(|(key, puts)| (&**key, puts.as_slice()))
    }

    /// The values that are visible under a key, now or at a past, the first one first.
    pub fn visible(&self, section: Section, key: &str, at: Option<&Past>) -> Vec<&Put> {
        let puts = self.puts[section as usize].get(key).map_or(&[][..], Vec::as_slice);
        self.visible_of(puts, at)
    }

    /// Those of a key's puts that are visible, the first one first.
    pub fn visible_of<'a>(&self, puts: &'a [Put], at: Option<&Past>) -> Vec<&'a Put> {
        let is_visible = |put: &&Put| at.map_or(put.replaced_by.is_empty(), |past| past.sees(put));
        let mut visible: Vec<&Put> = puts.iter().filter(is_visible).collect();
        visible.sort_unstable_by_key(|put| std::cmp::Reverse(self.id(put)));
        visible
    }
}
