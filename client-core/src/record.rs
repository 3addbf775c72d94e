//! Records: one small automerge document each, and the guard before it. No I/O, no clock.
//!
//! Every record starts with a derived first change that makes its maps and never travels. Every later change only puts
//! values into them. The same heads give the same view, byte for byte, whatever the order of arrival.

mod contain;
mod edit;
mod genesis;
mod guard;
mod history;
pub mod key;
pub mod limits;
mod note;
mod prescan;
mod refusal;
#[cfg(test)]
mod tests;
mod value;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use automerge::{Automerge, Change, ReadDoc, ValueRef};
use serde::{Deserialize, Serialize};

use crate::id::{ActorId, ChangeHash, Identity};

pub use history::{ChangeInfo, Event, HistoryEntry};
pub use note::{ChangeNote, FormRef, ParseNoteError};
pub use refusal::{EditError, Refusal};
pub use value::Value;
pub use view::{Difference, DifferingValue, View};

use genesis::Genesis;

/// One of the three maps of a record that changes may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Answers: keys as in [`key::AnswerKey`].
    Answers,
    /// Events, each written once: 16 to 32 hexadecimal digits, a text holding a compact JSON object.
    Events,
    /// Files: SHA-256 in hexadecimal digits, a text holding a compact JSON object.
    Files,
}

/// One value to put.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Into which map.
    pub section: Section,
    /// Under which key.
    pub key: String,
    /// The value.
    pub value: Value,
}

impl Edit {
    /// An edit of an answer.
    pub fn answer(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { section: Section::Answers, key: key.into(), value: value.into() }
    }
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The device on its branch.
    pub actor: ActorId,
    /// User, form and origin.
    pub note: ChangeNote,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
}

/// A change as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawChange {
    /// SHA-256 of the chunk.
    pub hash: ChangeHash,
    /// The whole uncompressed change chunk.
    pub bytes: Vec<u8>,
}

/// A change that the guard let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its hash.
    pub hash: ChangeHash,
    /// True when the record had it before.
    pub already_known: bool,
    /// Its author.
    pub actor: ActorId,
    /// Its number among its author's changes of this record, from 1.
    pub seq: u64,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
    /// User, form and origin.
    pub note: ChangeNote,
}

/// A record.
#[derive(Debug, Clone)]
pub struct Record {
    identity: Identity,
    genesis: Arc<Genesis>,
    /// `None` while the record holds its first change alone: the shared document serves then, and needs no copy.
    own: Option<Automerge>,
    /// Last sequence number and change of every author.
    last: HashMap<ActorId, (u64, ChangeHash)>,
}

impl Record {
    /// A record that holds its derived first change alone.
    pub fn new(identity: Identity) -> Self {
        let genesis = Genesis::of(&identity);
        Self { identity, genesis, own: None, last: HashMap::new() }
    }

    fn doc(&self) -> &Automerge {
        self.own.as_ref().unwrap_or(&self.genesis.doc)
    }

    /// Type and natural key.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The hash of the derived first change.
    pub fn genesis_hash(&self) -> ChangeHash {
        self.genesis.hash
    }

    /// The derived first change's raw bytes, which never travel.
    pub fn genesis_bytes(&self) -> Vec<u8> {
        self.genesis.raw()
    }

    /// The frontier of the history, sorted; that of a fresh record is its first change.
    pub fn heads(&self) -> Vec<ChangeHash> {
        hashes_of(&self.doc().get_heads())
    }

    /// True when the record has this change.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.doc().get_missing_deps(&[automerge::ChangeHash(hash.0)]).is_empty()
    }

    /// Checks a raw change from elsewhere and takes it; a refusal leaves the record as it was.
    pub fn accept(&mut self, raw: &[u8]) -> Result<Accepted, Refusal> {
        self.accept_if(raw, |_| Ok(()))
    }

    /// Like [`Record::accept`], and checks that the result can be saved, loaded and shown again: slower by a load.
    pub fn accept_checked(&mut self, raw: &[u8]) -> Result<Accepted, Refusal> {
        self.accept_if(raw, |next| {
            contain::contain(|| {
                let loaded = Automerge::load(&next.snapshot()).map_err(|_| Refusal::Snapshot)?;
                let loaded = Self { own: Some(loaded), ..next.clone() };
                if loaded.heads() == next.heads() && loaded.view() == next.view() {
                    Ok(())
                } else {
                    Err(Refusal::Snapshot)
                }
            })
        })
    }

    fn accept_if(&mut self, raw: &[u8], check: impl FnOnce(&Self) -> Result<(), Refusal>) -> Result<Accepted, Refusal> {
        let (change, accepted) = guard::check(self, raw)?;
        if accepted.already_known {
            return Ok(accepted);
        }
        let doc = guard::apply(self.doc().clone(), change, raw)?;
        let before = self.own.replace(doc);
        if let Err(refusal) = check(self) {
            self.own = before;
            return Err(refusal);
        }
        self.last.insert(accepted.actor, (accepted.seq, accepted.hash));
        Ok(accepted)
    }

    /// Takes changes from the own storage, which the guard let through before; in causal order or not, but none may be
    /// without its dependencies. A failure leaves the record as it was.
    pub fn apply_trusted<B: AsRef<[u8]>>(&mut self, raw: impl IntoIterator<Item = B>) -> Result<(), Refusal> {
        let (doc, last) = contain::contain(|| {
            let mut last = self.last.clone();
            let mut hashes = Vec::new();
            let mut changes = Vec::new();
            for bytes in raw {
                let change = Change::try_from(bytes.as_ref()).map_err(|_| Refusal::Malformed)?;
                note_last(&mut last, &self.genesis, change.actor_id(), change.seq(), change.hash());
                hashes.push(change.hash());
                changes.push(change);
            }
            if changes.is_empty() {
                return Ok((None, last));
            }
            let mut doc = self.doc().clone();
            doc.apply_changes(changes).map_err(|_| Refusal::Refused)?;
            // automerge keeps a change without its dependencies in a queue, and only says so here
            let missing = doc.get_missing_deps(&hashes);
            if missing.is_empty() {
                Ok((Some(doc), last))
            } else {
                Err(Refusal::MissingDependencies(hashes_of(&missing)))
            }
        })?;
        if doc.is_some() {
            self.own = doc;
            self.last = last;
        }
        Ok(())
    }

    /// The whole history as one uncompressed document chunk.
    pub fn snapshot(&self) -> Vec<u8> {
        self.doc().save_nocompress()
    }

    /// A record from a snapshot that came over the wire, with the heads that were announced, sorted.
    ///
    /// Only its changes are taken from it, and each of them passes the guard: a snapshot can't bring in what changes
    /// can't.
    pub fn from_snapshot(identity: Identity, snapshot: &[u8], heads: &[ChangeHash]) -> Result<Self, Refusal> {
        prescan::document(snapshot)?;
        let changes = contain::contain(|| {
            let doc = Automerge::load(snapshot).map_err(|_| Refusal::Snapshot)?;
            Ok(doc.get_changes(&[]))
        })?;
        let mut record = Self::new(identity);
        for change in changes {
            let raw = change.raw_bytes();
            if change.hash().0 == record.genesis.hash.0 {
                continue;
            }
            let (checked, accepted) = guard::check(&record, raw)?;
            // no copy as in `accept`: after a refusal the whole record is thrown away
            let doc = record.own.take().unwrap_or_else(|| record.genesis.doc.clone());
            record.own = Some(guard::apply(doc, checked, raw)?);
            record.last.insert(accepted.actor, (accepted.seq, accepted.hash));
        }
        if record.heads() == heads { Ok(record) } else { Err(Refusal::Snapshot) }
    }

    /// A record from a snapshot of the own storage.
    pub fn from_own_snapshot(identity: Identity, snapshot: &[u8]) -> Result<Self, Refusal> {
        contain::contain(|| {
            let doc = Automerge::load(snapshot).map_err(|_| Refusal::Snapshot)?;
            let record = Self { own: Some(doc), ..Self::new(identity) };
            if !record.contains(&record.genesis.hash) {
                return Err(Refusal::Snapshot);
            }
            let last = record.last_changes();
            Ok(Self { last, ..record })
        })
    }

    /// The last change of every actor but the first change's.
    fn last_changes(&self) -> HashMap<ActorId, (u64, ChangeHash)> {
        let mut last = HashMap::new();
        for meta in self.doc().get_changes_meta(&[]) {
            note_last(&mut last, &self.genesis, &meta.actor, meta.seq, meta.hash);
        }
        last
    }

    /// Every change but the derived first one, in causal order.
    fn others(&self) -> impl Iterator<Item = Change> + '_ {
        self.doc().get_changes(&[]).into_iter().filter(|c| c.hash().0 != self.genesis.hash.0)
    }

    /// Every change but the derived first one, in causal order.
    pub fn changes(&self) -> Vec<RawChange> {
        self.others().map(|c| raw_change(&c)).collect()
    }

    /// The changes that aren't `heads` or before them, in causal order; unknown heads count for nothing.
    pub fn changes_since(&self, heads: &[ChangeHash]) -> Vec<RawChange> {
        let known: Vec<_> = heads.iter().filter(|h| self.contains(h)).map(|h| automerge::ChangeHash(h.0)).collect();
        let changes = self.doc().get_changes(&known).into_iter();
        changes.filter(|c| c.hash().0 != self.genesis.hash.0).map(|c| raw_change(&c)).collect()
    }

    /// The value that every reader sees under a key.
    pub fn value(&self, section: Section, key: &str) -> Option<Value> {
        let (value, _) = self.doc().get(self.genesis.map(section), key).ok()??;
        value.as_scalar().and_then(Value::from_scalar)
    }

    /// The answers that every reader sees.
    pub fn answers(&self) -> BTreeMap<String, Value> {
        let items = self.doc().map_range(self.genesis.map(Section::Answers), ..);
        items.filter_map(|i| Some((i.key.to_string(), scalar(&i.value)?))).collect()
    }

    /// The record made again of its first change and of all changes that don't build on a dropped one.
    pub fn without(&self, drop: &HashSet<ChangeHash>) -> Self {
        let mut dropped = drop.clone();
        let mut kept = Vec::new();
        for change in self.others() {
            if dropped.contains(&ChangeHash(change.hash().0))
                || change.deps().iter().any(|d| dropped.contains(&ChangeHash(d.0)))
            {
                dropped.insert(ChangeHash(change.hash().0));
            } else {
                kept.push(change);
            }
        }
        let mut record = Self::new(self.identity.clone());
        let mut doc = record.doc().clone();
        #[expect(clippy::expect_used, reason = "changes that stood in this record together stand together again")]
        doc.apply_changes(kept).expect("changes of one record");
        record.own = Some(doc);
        record.last = record.last_changes();
        record
    }
}

fn raw_change(change: &Change) -> RawChange {
    RawChange { hash: ChangeHash(change.hash().0), bytes: change.raw_bytes().to_vec() }
}

fn hashes_of(hashes: &[automerge::ChangeHash]) -> Vec<ChangeHash> {
    hashes.iter().map(|h| ChangeHash(h.0)).collect()
}

/// Keeps a change if it is the last of its actor so far.
fn note_last(
    last: &mut HashMap<ActorId, (u64, ChangeHash)>,
    genesis: &Genesis,
    actor: &automerge::ActorId,
    seq: u64,
    hash: automerge::ChangeHash,
) {
    let Some(id) = ActorId::from_slice(actor.to_bytes()) else { return };
    if *actor != genesis.actor && last.get(&id).is_none_or(|(known, _)| *known < seq) {
        last.insert(id, (seq, ChangeHash(hash.0)));
    }
}

fn scalar(value: &ValueRef<'_>) -> Option<Value> {
    match value {
        ValueRef::Scalar(scalar) => Value::from_scalar_ref(scalar),
        ValueRef::Object(_) => None,
    }
}
