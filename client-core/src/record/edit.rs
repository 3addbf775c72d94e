//! Making changes.

use std::collections::HashMap;
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{Change, ExpandedChange};

use crate::id::ChangeHash;

use super::contain::contain;
use super::genesis::Genesis;
use super::{Author, Edit, EditError, RawChange, Record, Refusal, Section, Value, key, limits};

/// Splits edits, in their order, so that each piece fits into one change.
pub fn pieces(edits: &[Edit]) -> Vec<&[Edit]> {
    /// Bytes of keys and texts in a piece: with all that a change adds to them it stays below [`limits::CHANGE_BYTES`].
    const BYTES: usize = limits::CHANGE_BYTES * 3 / 4;
    const OPERATIONS: usize = limits::OPERATIONS as usize / 2;
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, edit) in edits.iter().enumerate() {
        let text = if let Value::Text(text) = &edit.value { text.len() } else { 0 };
        let size = edit.key.len() + text + 16;
        if at > start && (bytes + size > BYTES || at - start >= OPERATIONS) {
            pieces.push(&edits[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < edits.len() {
        pieces.push(&edits[start..]);
    }
    pieces
}

impl Record {
    /// Makes one change at `at` (the heads that the helper was shown) plus the author's own last change, and merges it.
    ///
    /// What merged meanwhile stays concurrent and shows as a difference. A value that is there already is no operation;
    /// without operations there is no change. A key given twice counts with its last value.
    pub fn edit(&mut self, at: &[ChangeHash], author: &Author, edits: &[Edit]) -> Result<Option<RawChange>, EditError> {
        let edits = self.checked(author, edits)?;
        let heads = self.heads_for(at, author)?;
        let operations = self.operations_for(&heads, &edits)?;
        if operations.is_empty() {
            return Ok(None);
        }
        let change = contain(|| self.build(&heads, author, operations))?;
        let raw = RawChange { hash: ChangeHash(change.hash().0), bytes: change.raw_bytes().to_vec() };
        if !self.has_room(raw.bytes.len(), &heads) {
            return Err(Refusal::RecordFull.into());
        }
        self.accept(&raw.bytes)?;
        Ok(Some(raw))
    }

    /// Checks keys and values; keeps the last edit of every key.
    fn checked<'a>(&self, author: &Author, edits: &'a [Edit]) -> Result<Vec<(usize, &'a Edit)>, EditError> {
        if author.actor.0[..] == *self.genesis.actor.to_bytes() {
            return Err(EditError::GenesisActor);
        }
        let mut last = HashMap::with_capacity(edits.len());
        for (index, edit) in edits.iter().enumerate() {
            key::check(edit.section, &edit.key, &edit.value).map_err(|fault| match fault {
                key::Fault::Key => EditError::Key { index },
                key::Fault::Value => EditError::Value { index },
            })?;
            last.insert((edit.section, edit.key.as_str()), index);
        }
        let mut indexes: Vec<_> = last.into_values().collect();
        indexes.sort_unstable();
        Ok(indexes.into_iter().map(|i| (i, &edits[i])).collect())
    }

    /// The frontier of `at` and the author's own last change.
    fn heads_for(&self, at: &[ChangeHash], author: &Author) -> Result<Vec<ChangeHash>, EditError> {
        let own = self.state.last_of(&author.actor).map(|last| last.hash);
        let mut heads: Vec<ChangeHash> = at.iter().copied().chain(own).collect();
        if heads.is_empty() {
            heads.push(self.genesis.hash);
        }
        heads.sort_unstable();
        heads.dedup();
        if !heads.iter().all(|head| self.contains(head)) {
            return Err(EditError::UnknownHeads);
        }
        if self.state.heads().iter().all(|h| heads.contains(h)) {
            return Ok(self.heads());
        }
        let is_below_others = |hash: &ChangeHash| {
            let others: Vec<ChangeHash> = heads.iter().filter(|other| *other != hash).copied().collect();
            // everything builds on the first change, which is none of the state's changes
            !others.is_empty() && (*hash == self.genesis.hash || self.state.is_in_past(&others, hash))
        };
        Ok(heads.iter().copied().filter(|hash| !is_below_others(hash)).collect())
    }

    /// The operations that put what isn't there already.
    fn operations_for(&self, heads: &[ChangeHash], edits: &[(usize, &Edit)]) -> Result<Vec<Op>, EditError> {
        let at = if heads == self.state.heads() { None } else { Some(self.state.past(heads)) };
        let mut operations = Vec::with_capacity(edits.len());
        for (index, edit) in edits {
            let visible = self.state.visible(edit.section, &edit.key, at.as_ref());
            if matches!(visible.as_slice(), [put] if put.value == edit.value) {
                continue;
            }
            if edit.section == Section::Events && !visible.is_empty() {
                return Err(EditError::EventExists { index: *index });
            }
            let replaced = visible.iter().map(|put| self.state.id(put));
            operations.push(Op {
                action: OpType::Put(edit.value.to_scalar()),
                obj: ObjectId::Id(OpId(Genesis::counter(edit.section), self.genesis.actor.clone())),
                key: Key::Map(edit.key.as_str().into()),
                pred: replaced.map(|(n, actor)| OpId(n, automerge::ActorId::from(&actor.0[..]))).collect(),
                insert: false,
            });
        }
        Ok(operations)
    }

    /// Builds the change itself: a transaction of automerge would delete the losing values when a difference is settled
    /// with the winning one, and a deletion says nothing about what was decided.
    fn build(&self, deps: &[ChangeHash], author: &Author, operations: Vec<Op>) -> Result<Change, Refusal> {
        let start_op = self.highest(deps).checked_add(1).and_then(NonZeroU64::new).ok_or(Refusal::StartOp)?;
        Ok(Change::from(ExpandedChange {
            operations,
            actor_id: automerge::ActorId::from(&author.actor.0[..]),
            hash: None,
            seq: self.state.last_of(&author.actor).map_or(0, |last| last.seq) + 1,
            start_op,
            time: author.claimed_s,
            message: Some(author.note.to_string()),
            deps: deps.iter().map(|dep| automerge::ChangeHash(dep.0)).collect(),
            extra_bytes: Vec::new(),
            author: None,
        }))
    }
}
