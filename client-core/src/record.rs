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
mod oracle;
mod prescan;
mod refusal;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use automerge::{Automerge, Change};
use serde::{Deserialize, Serialize};

use crate::id::{ActorId, ChangeHash, Identity, UserId};

pub use edit::pieces;
pub use history::{ChangeInfo, Event, HistoryEntry};
pub use note::{ChangeNote, FormRef, ParseNoteError, USUAL_ZONE_MINUTES};
pub use refusal::{EditError, Refusal};
pub use value::Value;
pub use view::{Difference, DifferingValue, View};

use genesis::Genesis;
use state::{Known, State};

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

/// What came of checking a change.
#[derive(Debug)]
pub enum Checked {
    /// The record has it.
    Known(ChangeHash),
    /// It can be taken.
    New(Candidate),
}

/// A change that passed the guard and isn't in its record yet.
#[derive(Debug)]
pub struct Candidate {
    change: Known,
    operations: Vec<state::Operation>,
}

impl Candidate {
    /// Its hash.
    pub fn hash(&self) -> ChangeHash {
        self.change.hash
    }

    /// What it builds on.
    pub fn deps(&self) -> &[ChangeHash] {
        &self.change.deps
    }

    /// What it puts where.
    pub fn puts(&self) -> impl Iterator<Item = (Section, &str, &Value)> {
        self.operations.iter().map(|o| (o.section, &*o.key, &o.value))
    }
}

/// A record.
#[derive(Debug, Clone)]
pub struct Record {
    identity: Identity,
    genesis: Arc<Genesis>,
    state: State,
}

impl Record {
    /// A record that holds its derived first change alone.
    pub fn new(identity: Identity) -> Self {
        let genesis = Genesis::of(&identity);
        let state = State::new(genesis.hash);
        Self { identity, genesis, state }
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
    #[cfg(test)]
    pub(crate) fn genesis_bytes(&self) -> Vec<u8> {
        self.genesis.raw.clone()
    }

    /// The frontier of the history, sorted; that of a fresh record is its first change.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.state.heads().to_vec()
    }

    /// True when the record has this change.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        *hash == self.genesis.hash || self.state.change(hash).is_some()
    }

    /// True when another change of so many bytes on these dependencies leaves the record small enough to travel in one
    /// frame, and to be merged by one change. The server keeps to it, and whoever makes changes; what the server has taken
    /// is never refused for it.
    pub fn has_room(&self, bytes: usize, deps: &[ChangeHash]) -> bool {
        let heads = self.state.heads();
        let adds_a_head = !heads.iter().any(|head| deps.contains(head));
        self.state.bytes() + bytes <= limits::RECORD_BYTES
            && self.state.changes().len() < limits::RECORD_CHANGES
            && !(adds_a_head && heads.len() >= limits::RECORD_HEADS)
    }

    /// The highest operation counter of these changes, those that aren't here left out.
    fn highest(&self, changes: &[ChangeHash]) -> u64 {
        let max_op = |hash| self.state.change(hash).map_or(self.genesis.max_op, |change| change.max_op);
        changes.iter().map(max_op).max().unwrap_or(0)
    }

    /// Checks a raw change from elsewhere and takes it; a refusal leaves the record as it was.
    pub fn accept(&mut self, raw: &[u8]) -> Result<Accepted, Refusal> {
        if cfg!(debug_assertions) { self.accept_checked(raw) } else { self.accept_by_guard(raw) }
    }

    /// Like [`Record::accept`], and has automerge make the record, save it and load it again, which must give the same: slower
    /// by all of the record's history.
    pub fn accept_checked(&mut self, raw: &[u8]) -> Result<Accepted, Refusal> {
        let mut next = self.clone();
        let accepted = next.accept_by_guard(raw)?;
        if !accepted.already_known {
            next.check_with_automerge()?;
            *self = next;
        }
        Ok(accepted)
    }

    fn accept_by_guard(&mut self, raw: &[u8]) -> Result<Accepted, Refusal> {
        match guard::check(self, raw)? {
            guard::Checked::Known(hash) => {
                let known = self.state.change(&hash).ok_or(Refusal::GenesisActor)?;
                Ok(Accepted::of(known, true))
            }
            guard::Checked::New(change, operations) => {
                let accepted = Accepted::of(&change, false);
                self.state.insert(change, operations);
                Ok(accepted)
            }
        }
    }

    /// Checks a raw change from elsewhere without taking it: whoever may refuse it for other reasons looks into it first.
    pub fn check(&self, raw: &[u8]) -> Result<Checked, Refusal> {
        Ok(match guard::check(self, raw)? {
            guard::Checked::Known(hash) => Checked::Known(hash),
            guard::Checked::New(change, operations) => Checked::New(Candidate { change, operations }),
        })
    }

    /// Takes a change that was checked against this record as it is now. With `by_automerge`, automerge makes the record, saves
    /// it and loads it again, which must give the same; a refusal leaves the record as it was.
    pub fn take(&mut self, candidate: Candidate, by_automerge: bool) -> Result<(), Refusal> {
        let Candidate { change, operations } = candidate;
        if !by_automerge {
            self.state.insert(change, operations);
            return Ok(());
        }
        let mut next = self.clone();
        next.state.insert(change, operations);
        next.check_with_automerge()?;
        *self = next;
        Ok(())
    }

    /// Takes changes from the own storage, which the guard let through before; in causal order or not, but none may be
    /// without its dependencies. A failure leaves the record as it was.
    pub fn apply_trusted<B: AsRef<[u8]>>(&mut self, raw: impl IntoIterator<Item = B>) -> Result<(), Refusal> {
        let mut next = self.clone();
        let mut waiting = Vec::new();
        for bytes in raw {
            let (change, operations) = guard::read_trusted(&next, bytes.as_ref())?;
            waiting.push((change, operations));
        }
        loop {
            let before = waiting.len();
            let mut still = Vec::new();
            for (change, operations) in waiting {
                if next.contains(&change.hash) {
                    continue;
                }
                if change.deps.iter().all(|dep| next.contains(dep)) {
                    next.state.insert(change, operations);
                } else {
                    still.push((change, operations));
                }
            }
            if still.is_empty() {
                *self = next;
                return Ok(());
            }
            if still.len() == before {
                let missing = still.iter().flat_map(|(change, _)| &change.deps).filter(|dep| !next.contains(dep));
                return Err(Refusal::MissingDependencies(missing.copied().collect()));
            }
            waiting = still;
        }
    }

    /// The whole history as one uncompressed document chunk.
    ///
    /// # Errors
    /// When automerge doesn't take the record's changes, which the guard should have noticed.
    pub fn snapshot(&self) -> Result<Vec<u8>, Refusal> {
        let doc = self.document()?;
        contain::contain(|| Ok(doc.save_nocompress()))
    }

    /// A record from a snapshot that came over the wire, with the heads that were announced, sorted.
    ///
    /// Only its changes are taken from it, and each of them passes the guard: a snapshot can't bring in what changes
    /// can't.
    pub fn from_snapshot(identity: Identity, snapshot: &[u8], heads: &[ChangeHash]) -> Result<Self, Refusal> {
        prescan::document(snapshot)?;
        let mut record = Self::new(identity);
        for change in changes_of(snapshot)? {
            if change.hash().0 != record.genesis.hash.0 {
                record.accept_by_guard(change.raw_bytes())?;
            }
        }
        if record.state.heads() == heads { Ok(record) } else { Err(Refusal::Snapshot) }
    }

    /// Every change but the derived first one, in causal order.
    pub fn changes(&self) -> Vec<RawChange> {
        self.state.changes().iter().map(RawChange::of).collect()
    }

    /// The value that every reader sees under a key.
    pub fn value(&self, section: Section, key: &str) -> Option<Value> {
        self.state.visible(section, key, None).first().map(|put| put.value.clone())
    }

    /// When and where the record was written last, as the latest of its authors claims: seconds since 1970 and minutes east of
    /// UTC; 1970 in the usual zone without changes. The same heads give the same.
    pub fn written_last(&self) -> (i64, i16) {
        let last = self.state.changes().iter().max_by_key(|change| (change.claimed_s, change.max_op, change.hash));
        last.map_or((0, USUAL_ZONE_MINUTES), |change| (change.claimed_s, change.note.zone_minutes))
    }

    /// True when nobody but this user has written in the record.
    pub fn is_only_by(&self, user: UserId) -> bool {
        self.state.changes().iter().all(|change| change.note.user == user)
    }

    /// True when a change says that the form was finished with it.
    pub fn is_complete(&self) -> bool {
        self.state.changes().iter().any(|change| change.note.is_complete)
    }

    /// The versions of forms that the record was written with.
    pub fn forms(&self) -> BTreeSet<&FormRef> {
        self.state.changes().iter().filter_map(|change| change.note.form.as_ref()).collect()
    }

    /// The keys of answers that one of these changes put.
    pub fn answers_put_by(&self, changes: &[ChangeHash]) -> Vec<&str> {
        let by = |put: &state::Put| changes.contains(&self.state.put_by(put).hash);
        self.state.puts(Section::Answers).filter(|(_, puts)| puts.iter().any(by)).map(|(key, _)| key).collect()
    }

    /// The change that put the value which every reader sees under a key.
    pub fn put_by(&self, section: Section, key: &str) -> Option<ChangeHash> {
        Some(self.state.put_by(self.state.visible(section, key, None).first()?).hash)
    }

    /// The answers that every reader sees.
    pub fn answers(&self) -> BTreeMap<String, Value> {
        let first = |puts| self.state.visible_of(puts, None).first().map(|put| put.value.clone());
        self.state.puts(Section::Answers).filter_map(|(key, puts)| Some((key.to_owned(), first(puts)?))).collect()
    }
}

impl Accepted {
    fn of(change: &Known, already_known: bool) -> Self {
        Self {
            hash: change.hash,
            already_known,
            actor: change.actor,
            seq: change.seq,
            claimed_s: change.claimed_s,
            note: change.note.clone(),
        }
    }
}

impl RawChange {
    fn of(change: &Known) -> Self {
        Self { hash: change.hash, bytes: change.raw.to_vec() }
    }
}

/// All changes of a document chunk, the derived first one included.
fn changes_of(snapshot: &[u8]) -> Result<Vec<Change>, Refusal> {
    contain::contain(|| {
        let doc = Automerge::load(snapshot).map_err(|_| Refusal::Snapshot)?;
        Ok(doc.get_changes(&[]))
    })
}
