//! Who changed what, from what, in causal order.

use std::collections::HashMap;

use automerge::{Change, ReadDoc};

use crate::id::{ActorId, ChangeHash, UserId};

use super::guard::{self, OpKey};
use super::{ChangeNote, Edit, FormRef, Record, Section, Value};

/// What is known of a change beside its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInfo {
    /// Its author.
    pub actor: ActorId,
    /// Its number among its author's changes of this record, from 1.
    pub seq: u64,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
    /// User, form and origin.
    pub note: ChangeNote,
    /// What it builds on.
    pub deps: Vec<ChangeHash>,
}

/// One value that was put.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// In which map.
    pub section: Section,
    /// Under which key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The values that it replaced: several when it settled a difference.
    pub previous: Vec<Value>,
    /// The change.
    pub change: ChangeHash,
    /// The author.
    pub actor: ActorId,
    /// The user.
    pub user: UserId,
    /// The form.
    pub form: Option<FormRef>,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
}

/// An event of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// A compact JSON object.
    pub json: String,
    /// The change that holds it.
    pub change: ChangeHash,
    /// Its author.
    pub actor: ActorId,
}

impl Record {
    /// What a change builds on; `None` when it isn't in the record.
    pub fn deps(&self, hash: &ChangeHash) -> Option<Vec<ChangeHash>> {
        let meta = self.doc().get_change_meta_by_hash(&automerge::ChangeHash(hash.0))?;
        Some(meta.deps.iter().map(|d| ChangeHash(d.0)).collect())
    }

    /// Author, time and note of a change; `None` for the derived first change and for those not in the record.
    pub fn author_of(&self, hash: &ChangeHash) -> Option<ChangeInfo> {
        let meta = self.doc().get_change_meta_by_hash(&automerge::ChangeHash(hash.0))?;
        Some(ChangeInfo {
            actor: ActorId::from_slice(meta.actor.to_bytes())?,
            seq: meta.seq,
            claimed_s: meta.timestamp,
            note: meta.message.as_ref()?.parse().ok()?,
            deps: meta.deps.iter().map(|d| ChangeHash(d.0)).collect(),
        })
    }

    /// The edits that a change made, for making it anew under another actor; empty when it isn't in the record.
    pub fn operations(&self, hash: &ChangeHash) -> Vec<Edit> {
        let change = self.doc().get_change_by_hash(&automerge::ChangeHash(hash.0));
        change.map(|c| guard::edits(self, &c.decode())).unwrap_or_default()
    }

    /// Every value that was put, in an order that is causal and the same wherever the heads are the same.
    pub fn history(&self) -> Vec<HistoryEntry> {
        let mut changes: Vec<Change> = self.others().collect();
        changes.sort_by(|a, b| (a.start_op(), a.actor_id()).cmp(&(b.start_op(), b.actor_id())));
        let mut values: HashMap<OpKey, Value> = HashMap::new();
        let mut history = Vec::new();
        for change in changes {
            let hash = ChangeHash(change.hash().0);
            let note: Option<ChangeNote> = change.message().and_then(|m| m.parse().ok());
            let (Some(note), Some(actor)) = (note, ActorId::from_slice(change.actor_id().to_bytes())) else { continue };
            for (counter, op) in (change.start_op().get()..).zip(&change.decode().operations) {
                let Ok((section, key, value)) = guard::static_check(self, op) else { continue };
                let previous = op.pred.iter().filter_map(|p| values.get(&(p.0, p.1.clone())).cloned()).collect();
                values.insert((counter, change.actor_id().clone()), value.clone());
                history.push(HistoryEntry {
                    section,
                    key: key.to_owned(),
                    value,
                    previous,
                    change: hash,
                    actor,
                    user: note.user,
                    form: note.form.clone(),
                    claimed_s: change.timestamp(),
                });
            }
        }
        history
    }

    /// The events, ordered causally, then by counter and actor. An id that was written concurrently appears once for each.
    pub fn events(&self) -> Vec<Event> {
        let map = self.genesis.map(Section::Events);
        let mut events: Vec<(OpKey, Event)> = Vec::new();
        for item in self.doc().map_range(map, ..) {
            for (value, id) in self.doc().get_all(map, item.key.as_ref()).unwrap_or_default() {
                let (Some(order), Some(hash), Some(text)) =
                    (guard::op_key(&id), self.doc().hash_for_opid(&id), value.as_str())
                else {
                    continue;
                };
                let Some(actor) = ActorId::from_slice(order.1.to_bytes()) else { continue };
                let (id, json) = (item.key.to_string(), text.to_owned());
                events.push((order, Event { id, json, change: ChangeHash(hash.0), actor }));
            }
        }
        events.sort_by(|a, b| a.0.cmp(&b.0));
        events.into_iter().map(|(_, event)| event).collect()
    }
}
