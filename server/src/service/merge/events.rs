//! Events in the life of households that a push brings: where one moves a household, everything about it moves with it.

use doorstep_core::form::Form;
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::life::{EventKind, LifeEvent, placement};
use doorstep_core::protocol::{ChangeHead, RecordFrame};
use doorstep_core::record::{ChangeNote, Record};

use super::super::doubts::Answers;
use super::{Merge, NewChange};
use crate::storage::events::NewlyFinished;
use crate::storage::relocation::MovedBy;
use crate::storage::{Move, StorageError};

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

    /// Notes where a finished event moves its household by now, or that it doesn't any more.
    pub(super) fn note_move(&mut self, frame: &RecordFrame, form: &Form, record: &Record, answers: &Answers) {
        let is_move = form.event() == Some(EventKind::HouseholdMove) && record.is_complete();
        let Some(household) = frame.subject.filter(|_| is_move) else { return };
        let event = LifeEvent { id: frame.id, form, answers };
        let area = placement(&event, household).map(|placement| placement.area);
        let from_day = event.day().unwrap_or_default().to_owned();
        self.push.moves.push(Move { record: household, event: Some(frame.id), only_from: None, area, from_day });
    }

    /// What an event moves to an area that the township doesn't have isn't moved by it. What was made in, or moves to, an area
    /// that went into another one goes on there.
    pub(super) fn check_moves(&mut self) -> Result<(), StorageError> {
        if self.push.moves.is_empty() && self.push.records.iter().all(|r| r.base_heads.is_some()) {
            return Ok(());
        }
        let areas = match &self.rights {
            Some((_, claims)) => claims.areas.clone(),
            None => self.storage.area_tree(self.push.township)?,
        };
        self.push.areas_version = Some(areas.version());
        let goes_on = |record: RecordId, from: AreaId, after: &str| {
            let (area, day) = areas.became(from)?;
            let from_day = day.max(after).to_owned();
            Some(Move { record, event: None, only_from: Some(from), area: Some(area), from_day })
        };
        let made = self.push.records.iter().filter(|r| r.base_heads.is_none());
        let mut moves: Vec<Move> = made.filter_map(|made| goes_on(made.id, made.area, "")).collect();
        for mut moved in std::mem::take(&mut self.push.moves) {
            moved.area = moved.area.filter(|area| areas.contains(*area));
            if self.took_away(&moved)? {
                // where the household is at home decides what follows
                moved.area = Some(AreaId::NOWHERE);
            }
            let next = moved.area.and_then(|area| goes_on(moved.record, area, &moved.from_day));
            moves.push(moved);
            moves.extend(next);
        }
        self.push.moves = moves;
        Ok(())
    }

    /// True for the event that took a household to another township, where it still is.
    fn took_away(&self, moved: &Move) -> Result<bool, StorageError> {
        let (Some(event), township) = (moved.event, self.push.township) else { return Ok(false) };
        if self.storage.away(township, moved.record)?.is_none() {
            return Ok(false);
        }
        let rows = self.storage.relocations(township, moved.record)?;
        Ok(rows.iter().any(|row| row.by == MovedBy::Event(event) && row.area == AreaId::NOWHERE))
    }
}
