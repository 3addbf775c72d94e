//! Making changes.

use std::collections::HashMap;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ReadDoc};

use crate::id::ChangeHash;

use super::contain::contain;
use super::{Author, Edit, EditError, RawChange, Record, Refusal, Section, key, limits, prescan};

impl Record {
    /// Makes one change at `at` (the heads that the helper was shown) plus the author's own last change, and merges it.
    ///
    /// What merged meanwhile stays concurrent and shows as a difference. A value that is there already is no operation;
    /// without operations there is no change. A key given twice counts with its last value.
    pub fn edit(&mut self, at: &[ChangeHash], author: &Author, edits: &[Edit]) -> Result<Option<RawChange>, EditError> {
        let edits = self.checked(author, edits)?;
        let heads = self.heads_for(at, author)?;
        let mut fork = contain(|| self.fork(&heads))?;
        fork.set_actor(automerge::ActorId::from(&author.actor.0[..]));
        let Some(raw) = contain(|| self.write(&mut fork, author, &edits))?? else { return Ok(None) };
        prescan::change(&raw.bytes)?;
        self.apply_trusted([&raw.bytes])?;
        Ok(Some(raw))
    }

    /// Checks keys and values; keeps the last edit of every key.
    fn checked<'a>(&self, author: &Author, edits: &'a [Edit]) -> Result<Vec<(usize, &'a Edit)>, EditError> {
        if author.actor.0[..] == *self.genesis.actor.to_bytes() {
            return Err(EditError::GenesisActor);
        }
        let mut last = HashMap::with_capacity(edits.len());
        for (index, edit) in edits.iter().enumerate() {
            if !key::is_allowed(edit.section, &edit.key) {
                return Err(EditError::Key { index });
            }
            if !edit.value.is_valid() || !key::takes(edit.section, &edit.key, &edit.value) {
                return Err(EditError::Value { index });
            }
            last.insert((edit.section, edit.key.as_str()), index);
        }
        let mut indexes: Vec<_> = last.into_values().collect();
        indexes.sort_unstable();
        Ok(indexes.into_iter().map(|i| (i, &edits[i])).collect())
    }

    fn heads_for(&self, at: &[ChangeHash], author: &Author) -> Result<Vec<automerge::ChangeHash>, EditError> {
        let own = self.last.get(&author.actor).map(|(_, hash)| *hash);
        let mut heads: Vec<_> = at.iter().copied().chain(own).map(|h| automerge::ChangeHash(h.0)).collect();
        if heads.is_empty() {
            heads.push(automerge::ChangeHash(self.genesis.hash.0));
        }
        heads.sort_unstable();
        heads.dedup();
        if self.doc.get_missing_deps(&heads).is_empty() { Ok(heads) } else { Err(EditError::UnknownHeads) }
    }

    /// A copy of the document as it was at `heads`; at the current heads without rebuilding.
    fn fork(&self, heads: &[automerge::ChangeHash]) -> Result<Automerge, Refusal> {
        if self.doc.get_heads().iter().all(|h| heads.contains(h)) {
            Ok(self.doc.clone())
        } else {
            self.doc.fork_at(heads).map_err(|_| Refusal::Refused)
        }
    }

    fn write(
        &self,
        fork: &mut Automerge,
        author: &Author,
        edits: &[(usize, &Edit)],
    ) -> Result<Result<Option<RawChange>, EditError>, Refusal> {
        let mut changed = Vec::with_capacity(edits.len());
        for (index, edit) in edits {
            let visible = fork.get_all(self.genesis.map(edit.section), edit.key.as_str()).map_err(|_| Refusal::Refused)?;
            let value = edit.value.to_scalar();
            let same = matches!(visible.as_slice(), [(automerge::Value::Scalar(v), _)] if **v == value);
            if same {
                continue;
            }
            if edit.section == Section::Events && !visible.is_empty() {
                return Ok(Err(EditError::EventExists { index: *index }));
            }
            changed.push((*edit, value));
        }
        if changed.is_empty() {
            return Ok(Ok(None));
        }
        if changed.len() as u64 > limits::OPERATIONS {
            return Ok(Err(Refusal::TooManyOperations.into()));
        }
        let mut tx = fork.transaction();
        for (edit, value) in changed {
            tx.put(self.genesis.map(edit.section), edit.key.as_str(), value).map_err(|_| Refusal::Refused)?;
        }
        let options = CommitOptions::default().with_message(author.note.to_string()).with_time(author.claimed_s);
        let (hash, _) = tx.commit_with(options);
        let change = hash.and_then(|h| fork.get_change_by_hash(&h)).ok_or(Refusal::Refused)?;
        Ok(Ok(Some(super::raw_change(&change))))
    }
}
