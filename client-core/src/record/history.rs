//! Who changed what, from what, in causal order.

use crate::id::{ActorId, ChangeHash, UserId};

use super::state::{OpKey, Past, Put};
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
        if *hash == self.genesis.hash {
            return Some(Vec::new());
        }
        Some(self.state.change(hash)?.deps.clone())
    }

    /// Author, time and note of a change; `None` for the derived first change and for those not in the record.
    pub fn author_of(&self, hash: &ChangeHash) -> Option<ChangeInfo> {
        let change = self.state.change(hash)?;
        Some(ChangeInfo {
            actor: change.actor,
            seq: change.seq,
            claimed_s: change.claimed_s,
            note: change.note.clone(),
            deps: change.deps.clone(),
        })
    }

    /// True when a change of this record is among these heads or before them.
    pub fn is_at(&self, heads: &[ChangeHash], change: &ChangeHash) -> bool {
        *change == self.genesis.hash || self.state.is_in_past(heads, change)
    }

    /// The edits that a change made, for making it anew under another actor; empty when it isn't in the record.
    pub fn operations(&self, hash: &ChangeHash) -> Vec<Edit> {
        let mut made: Vec<(u64, Edit)> = Vec::new();
        for (section, key, put) in self.all_puts() {
            if self.state.put_by(put).hash == *hash {
                made.push((put.counter, Edit { section, key: key.to_owned(), value: put.value.clone() }));
            }
        }
        made.sort_by_key(|(counter, _)| *counter);
        made.into_iter().map(|(_, edit)| edit).collect()
    }

    fn all_puts(&self) -> impl Iterator<Item = (Section, &str, &Put)> {
        [Section::Answers, Section::Events, Section::Files].into_iter().flat_map(|section| {
            let keys = self.state.puts(section);
            keys.flat_map(move |(key, puts)| puts.iter().map(move |put| (section, key, put)))
        })
    }

    /// Every value that was put, in an order that is causal and the same wherever the heads are the same.
    pub fn history(&self) -> Vec<HistoryEntry> {
        let mut history = Vec::new();
        for section in [Section::Answers, Section::Events, Section::Files] {
            for (key, puts) in self.state.puts(section) {
                for put in puts {
                    let mut replaced: Vec<&Put> = puts.iter().filter(|p| p.replaced_by.contains(&put.by)).collect();
                    replaced.sort_unstable_by_key(|p| self.state.id(p));
                    let change = self.state.put_by(put);
                    let entry = HistoryEntry {
                        section,
                        key: key.to_owned(),
                        value: put.value.clone(),
                        previous: replaced.into_iter().map(|p| p.value.clone()).collect(),
                        change: change.hash,
                        actor: change.actor,
                        user: change.note.user,
                        form: change.note.form.clone(),
                        claimed_s: change.claimed_s,
                    };
                    history.push(((change.start_op, change.actor, put.counter), entry));
                }
            }
        }
        history.sort_by_key(|(order, _)| *order);
        history.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The events, ordered causally, then by counter and actor. An id that was written concurrently appears once for each.
    pub fn events(&self) -> Vec<Event> {
        self.events_in(None)
    }

    /// The events that there were at these heads, in the same order.
    pub fn events_at(&self, heads: &[ChangeHash]) -> Vec<Event> {
        if heads == self.state.heads() { self.events_in(None) } else { self.events_in(Some(&self.state.past(heads))) }
    }

    fn events_in(&self, at: Option<&Past>) -> Vec<Event> {
        let mut events: Vec<(OpKey, Event)> = Vec::new();
        for (key, puts) in self.state.puts(Section::Events) {
            for put in self.state.visible_of(puts, at) {
                let Value::Text(json) = &put.value else { continue };
                let by = self.state.put_by(put);
                let event = Event { id: key.to_owned(), json: json.clone(), change: by.hash, actor: by.actor };
                events.push((self.state.id(put), event));
            }
        }
        events.sort_by_key(|(order, _)| *order);
        events.into_iter().map(|(_, event)| event).collect()
    }
}
