//! Making changes.

use std::collections::HashMap;
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{Change, ExpandedChange, ReadDoc};

use crate::id::ChangeHash;

use super::contain::contain;
use super::genesis::Genesis;
use super::{Author, Edit, EditError, RawChange, Record, Refusal, Section, guard, key};

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
        let change = contain(|| self.build(heads, author, operations))?;
        let raw = super::raw_change(&change);
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
    fn heads_for(&self, at: &[ChangeHash], author: &Author) -> Result<Vec<automerge::ChangeHash>, EditError> {
        let own = self.last.get(&author.actor).map(|(_, hash)| *hash);
        let mut heads: Vec<_> = at.iter().copied().chain(own).map(|h| automerge::ChangeHash(h.0)).collect();
        if heads.is_empty() {
            heads.push(automerge::ChangeHash(self.genesis.hash.0));
        }
        heads.sort_unstable();
        heads.dedup();
        if !self.doc().get_missing_deps(&heads).is_empty() {
            return Err(EditError::UnknownHeads);
        }
        let current = self.doc().get_heads();
        if current.iter().all(|h| heads.contains(h)) {
            return Ok(current);
        }
        let others = |hash| -> Vec<_> { heads.iter().copied().filter(|h| *h != hash).collect() };
        Ok(heads.iter().copied().filter(|h| !guard::is_in_past(self, &others(*h), ChangeHash(h.0))).collect())
    }

    /// The operations that put what isn't there already.
    fn operations_for(&self, heads: &[automerge::ChangeHash], edits: &[(usize, &Edit)]) -> Result<Vec<Op>, EditError> {
        let at = if heads == self.doc().get_heads() { None } else { Some(heads) };
        let mut operations = Vec::with_capacity(edits.len());
        for (index, edit) in edits {
            let map = self.genesis.map(edit.section);
            let visible = match at {
                None => self.doc().get_all(map, edit.key.as_str()),
                Some(heads) => self.doc().get_all_at(map, edit.key.as_str(), heads),
            };
            let visible = visible.map_err(|_| Refusal::Refused)?;
            let value = edit.value.to_scalar();
            if matches!(visible.as_slice(), [(automerge::Value::Scalar(v), _)] if **v == value) {
                continue;
            }
            if edit.section == Section::Events && !visible.is_empty() {
                return Err(EditError::EventExists { index: *index });
            }
            let pred =
                visible.iter().filter_map(|(_, id)| guard::op_key(id)).map(|(n, actor)| OpId(n, actor)).collect();
            operations.push(Op {
                action: OpType::Put(value),
                obj: ObjectId::Id(OpId(Genesis::counter(edit.section), self.genesis.actor.clone())),
                key: Key::Map(edit.key.as_str().into()),
                pred,
                insert: false,
            });
        }
        Ok(operations)
    }

    /// Builds the change itself: a transaction of automerge would delete the losing values when a difference is settled
    /// with the winning one, and a deletion says nothing about what was decided.
    fn build(&self, deps: Vec<automerge::ChangeHash>, author: &Author, operations: Vec<Op>) -> Result<Change, Refusal> {
        let highest = deps.iter().filter_map(|h| self.doc().get_change_meta_by_hash(h)).map(|m| m.max_op).max();
        let start_op = highest.unwrap_or(0).checked_add(1).and_then(NonZeroU64::new).ok_or(Refusal::StartOp)?;
        Ok(Change::from(ExpandedChange {
            operations,
            actor_id: automerge::ActorId::from(&author.actor.0[..]),
            hash: None,
            seq: self.last.get(&author.actor).map_or(0, |(seq, _)| *seq) + 1,
            start_op,
            time: author.claimed_s,
            message: Some(author.note.to_string()),
            deps,
            extra_bytes: Vec::new(),
            author: None,
        }))
    }
}
