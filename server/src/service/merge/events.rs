//! Events in the life of households that a push brings: where one moves a household, everything about it moves with it.

use std::collections::HashSet;

use doorstep_core::form::Form;
use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::life::{LifeEvent, placement};
use doorstep_core::protocol::{ChangeHead, RecordFrame};
use doorstep_core::record::{ChangeNote, Record};

use super::super::doubts::Answers;
use super::{Merge, NewChange};
use crate::storage::events::NewlyFinished;
use crate::storage::{Move, StorageError};

/// The answers that say where a household moves, and whether it does.
const WHERE: [&str; 2] = ["to_area", "withdrawn"];

impl Merge<'_> {
    /// Notes that an event is finished: what follows from it is written after the push, and the push files it, so that
    /// nothing that stops the server between the two loses it.
    pub(super) fn note_event(&mut self, event: RecordId, form: &Form, record: &Record, new: &[NewChange]) {
        if form.event().is_none() || !record.is_complete() {
            return;
        }
        // whoever brings it needn't be who wrote it
        let note = |change: &NewChange| ChangeHead::read(&change.bytes)?.message.parse::<ChangeNote>().ok();
        let written_by = new.iter().rev().find_map(note).map(|note| note.user);
        let author = written_by.unwrap_or(self.sender.device().user);
        self.push.events.push(NewlyFinished { event, author });
    }

    /// Notes the move that a finished event says, when what arrived says where to: other corrections of the event don't move
    /// a household again that has moved on since.
    pub(super) fn note_move(
        &mut self,
        frame: &RecordFrame,
        form: &Form,
        record: &Record,
        answers: &Answers,
        new: &[NewChange],
    ) {
        let Some(household) = frame.subject.filter(|_| form.event().is_some() && record.is_complete()) else { return };
        let event = LifeEvent { id: frame.id, form, answers };
        let Some(placement) = placement(&event, household) else { return };
        let arrived: Vec<ChangeHash> = new.iter().map(|change| change.hash).collect();
        if record.answers_put_by(&arrived).iter().any(|key| WHERE.contains(key)) {
            let moved = Move { record: household, area: placement.area, from_day: placement.from_day };
            self.push.moves.push(moved);
        }
    }

    /// Leaves out moves to areas that the township doesn't have. What was made in, or moves to, an area that went into another
    /// one goes there.
    pub(super) fn check_moves(&mut self) -> Result<(), StorageError> {
        let areas = match &self.rights {
            Some((_, claims)) => claims.areas.clone(),
            None if self.push.moves.is_empty() => return Ok(()),
            None => self.storage.area_tree(self.push.township)?,
        };
        let made = self.push.records.iter().filter(|r| r.base_heads.is_none());
        let gone = made.filter_map(|made| {
            let (area, day) = areas.became(made.area)?;
            Some(Move { record: made.id, area, from_day: day.to_owned() })
        });
        let gone: Vec<Move> = gone.collect();
        self.push.moves.splice(0..0, gone);
        self.push.moves.retain(|moved| areas.contains(moved.area));
        for moved in &mut self.push.moves {
            moved.area = areas.became(moved.area).map_or(moved.area, |(area, _)| area);
        }
        // of several moves of one household the last one counts
        let mut seen = HashSet::new();
        self.push.moves.reverse();
        self.push.moves.retain(|moved| seen.insert(moved.record));
        self.push.moves.reverse();
        Ok(())
    }
}
