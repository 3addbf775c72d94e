//! Filling a form on a phone: the session with its draft's journal below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NewRecord, Phone, PhoneError, classed};
use crate::form::definition::Sensitivity;
use crate::form::expression::{NodeId, NodeKind, Rows, Spot};
use crate::form::index::{NO_CHANGE, SUBJECTS, is_reserved};
use crate::form::model::Model;
use crate::form::session::{Changes, Edits, PageId, Session, Surroundings};
use crate::form::{AnswerKey, Form};
use crate::id::{Identity, RecordId, TenantKey};
use crate::record::{ChangeNote, Value};
use crate::store::{DraftId, DraftRow, FinishPlan, Store, StoreError};

/// What a phone knows when a form is opened, beside its own clock and randomness.
#[derive(Debug, Clone, Default)]
pub struct FillOptions {
    /// The zone: minutes east of UTC.
    pub offset_minutes: i32,
    /// The language of labels, as the form spells it; the form's default when blank.
    pub language: String,
    /// The record of the last round: its answers stand ready to be taken over.
    pub last_round: Option<RecordId>,
    /// Classes that this phone's user may not read: answers computed from them aren't written.
    pub withheld: BTreeSet<Sensitivity>,
}

/// A form being filled. Each answer is in the journal when a call returns.
pub struct Filling {
    store: Arc<Store>,
    draft: DraftRow,
    pub(super) form: Arc<Form>,
    session: Session,
    /// The record's answers that the session stands on.
    base: Edits,
    /// The last round's answers.
    last: Option<Session>,
    options: FillOptions,
    around: Surroundings,
    /// The page in view; `None` before the first turn.
    pub(super) page: Option<PageId>,
}

impl Phone {
    /// Opens a draft's form: where it was left, on what the record holds now. A new draft gets its defaults.
    ///
    /// # Errors
    /// When there is no such draft or form, or the form's logic is broken.
    pub fn fill(&self, draft: DraftId, options: FillOptions) -> Result<Filling, PhoneError> {
        let draft = self.draft(draft)?;
        let form = self.form_of(&draft)?;
        let model = self.model(&form, draft.subject)?;
        let mut around = Surroundings::new(self.clock.clone(), self.entropy.clone(), options.offset_minutes);
        around.language.clone_from(&options.language);
        if let Some(enrolment) = self.store.enrolment()? {
            around.properties.insert("username".to_owned(), enrolment.user_name);
            around.properties.insert("deviceid".to_owned(), enrolment.device.to_string());
        }
        if let Some(subject) = draft.subject {
            around.properties.insert("subject".to_owned(), subject.to_string());
        }
        // random orders of choices stay as they were when the form is opened again
        around.shuffle = Some(draft.record.map_or((draft.opened_ms.cast_signed()) ^ draft.id.0, |record| {
            i64::from_be_bytes(record.0.first_chunk().copied().unwrap_or_default())
        }));
        let base = draft.record.map(|record| self.instance_answers(record)).transpose()?.unwrap_or_default();
        let last_round = options.last_round.map(|r| self.instance_answers(r)).transpose()?;
        let last = last_round.map(|answers| Session::open(Arc::clone(&model), around.clone(), &answers));
        let fresh = draft.record.is_none() && draft.answers == 0 && !self.store.is_started(draft.id)?;
        let session = if fresh {
            let mut session = Session::new(model, around.clone());
            self.store.save_start(draft.id, &session.take_edits())?;
            session
        } else {
            open(&self.store, model, around.clone(), &base, draft.id)?
        };
        Ok(Filling { store: self.store.clone(), draft, form, session, base, last, options, around, page: None })
    }

    /// The answers of a record with those of its other sensitivity classes, as far as they are on this phone.
    pub fn instance_answers(&self, record: RecordId) -> Result<Edits, PhoneError> {
        let row = self.store.row(record)?.ok_or(PhoneError::UnknownRecord)?;
        let tenant_key = TenantKey(self.enrolled()?.tenant_key);
        let mut answers = self.record(record)?.answers();
        for class in ["sensitive", "office"] {
            let part = Identity::part(&row.identity.record_type, class, record).derived_id(&tenant_key);
            if let Some(part) = part.map(|id| self.store.record(id)).transpose()?.flatten() {
                answers.extend(part.answers());
            }
        }
        Ok(answers)
    }

    /// Finishes a form: what differs from the record becomes one change for each sensitivity class, and the draft is gone.
    ///
    /// # Errors
    /// [`PhoneError::Unfinished`] while answers are missing or can't stand ([`Session::problems`] lists them).
    pub fn finish_filled(&self, filling: Filling, new: &NewRecord) -> Result<RecordId, PhoneError> {
        match filling.session.problems().len() {
            0 => self.write_filled(&filling, new, true),
            problems => Err(PhoneError::Unfinished { problems }),
        }
    }

    /// Shares an unfinished form, as two helpers do who work on one visit: what there is becomes a change, and a draft of that
    /// record goes on.
    ///
    /// # Errors
    /// As the store.
    pub fn share_filled(&self, filling: Filling, new: &NewRecord) -> Result<Filling, PhoneError> {
        let plan = self.plan(&filling, new, false)?;
        let (_, draft) = self.store.share_draft(filling.draft.id, &plan)?;
        self.fill(draft, filling.options)
    }

    fn write_filled(&self, filling: &Filling, new: &NewRecord, is_complete: bool) -> Result<RecordId, PhoneError> {
        let plan = self.plan(filling, new, is_complete)?;
        Ok(self.store.finish_draft(filling.draft.id, &plan)?.record)
    }

    /// What a form writes: its record's documents, and when it is complete those of the subjects that it makes or changes.
    fn plan(&self, filling: &Filling, new: &NewRecord, is_complete: bool) -> Result<FinishPlan, PhoneError> {
        let mut edits = filling.edits();
        // what the form has no place for any more goes where few can read it
        let misfits = filling.session.misfits().iter().filter(|m| filling.base.get(&m.key) != Some(&m.value));
        edits.extend(misfits.map(|m| (m.key.clone(), m.value.clone())));
        let mut placed = self.place(&filling.draft, &filling.form, new)?;
        let mut further = Vec::new();
        if is_complete {
            further = self.entity_documents(filling, placed.id, placed.area, &edits)?;
            further.extend(self.event_documents(filling, placed.id, placed.subject)?);
            let made = further.iter().filter(|d| d.identity.key.first() == Some(&placed.id));
            if let (None, [only]) = (placed.subject, made.collect::<Vec<_>>().as_slice()) {
                placed.subject = Some(only.id);
            }
        }
        let edits = classed(&filling.form, edits, Some(Sensitivity::Sensitive))?;
        let documents = self.split(placed, edits, &TenantKey(self.enrolled()?.tenant_key))?;
        let zone_minutes = ChangeNote::zone_of(filling.options.offset_minutes);
        let note = ChangeNote { zone_minutes, is_complete, ..self.note(Some(&filling.form))? };
        Ok(FinishPlan { documents, further, note })
    }
}

fn open(
    store: &Store,
    model: Arc<Model>,
    around: Surroundings,
    base: &Edits,
    draft: DraftId,
) -> Result<Session, StoreError> {
    let mut answers = base.clone();
    answers.extend(store.draft_answers(draft)?);
    answers.retain(|key, _| !is_reserved(key));
    Ok(Session::open(model, around, &answers))
}

impl Filling {
    /// The form as it stands: pages, choices, labels, problems, progress.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The draft.
    pub fn draft(&self) -> DraftId {
        self.draft.id
    }

    /// The record's answers that the form was opened with.
    pub(super) fn base(&self) -> &Edits {
        &self.base
    }

    pub(super) fn draft_row(&self) -> &DraftRow {
        &self.draft
    }

    /// True for classes that this phone's user may not read.
    pub(super) fn withholds(&self, class: Sensitivity) -> bool {
        self.options.withheld.contains(&class)
    }

    /// Shows labels in another language.
    pub fn set_language(&mut self, language: &str) {
        language.clone_into(&mut self.around.language);
        self.session.set_language(language);
    }

    /// Answers a question; blank clears.
    ///
    /// # Errors
    /// [`PhoneError::Refused`] when the answer can't stand: the old one stays.
    pub fn answer(&mut self, spot: Spot, text: &str) -> Result<Changes, PhoneError> {
        let text = self.session.normalised(spot, text);
        let changes = self.session.answer(spot, &text)?;
        self.save()?;
        Ok(changes)
    }

    /// Adds an instance at the end of a repeat.
    ///
    /// # Errors
    /// As [`Session::add_instance`].
    pub fn add_instance(&mut self, repeat: NodeId, rows: Rows) -> Result<(Spot, Changes), PhoneError> {
        let added = self.session.add_instance(repeat, rows)?;
        self.save()?;
        Ok(added)
    }

    /// Removes a repeat instance.
    ///
    /// # Errors
    /// As [`Session::remove_instance`].
    pub fn remove_instance(&mut self, instance: Spot) -> Result<Changes, PhoneError> {
        let changes = self.session.remove_instance(instance)?;
        self.save()?;
        Ok(changes)
    }

    /// Takes the last action back, whatever it set off; false when there is none.
    ///
    /// # Errors
    /// As the store.
    pub fn undo(&mut self) -> Result<bool, PhoneError> {
        let undone = self.store.undo(self.draft.id)?.is_some();
        if undone {
            self.reopen()?;
        }
        Ok(undone)
    }

    /// What the last round answered here, as far as it says something: to be shown beside the question.
    pub fn last_answer(&self, spot: Spot) -> Option<String> {
        let last = self.last.as_ref()?;
        let there = last.spot(&self.session.key(spot)?)?;
        Some(last.value(there).to_string()).filter(|text| !text.is_empty())
    }

    /// "No change": takes the last round's answers over for a group (or one repeat instance, or question), and records that they
    /// were taken over. Gives how many; what can't stand any more is left out.
    ///
    /// # Errors
    /// As the store.
    pub fn no_change(&mut self, section: Spot) -> Result<usize, PhoneError> {
        let Some(last) = &self.last else { return Ok(0) };
        let tree = self.session.model().tree();
        let inside = |spot: &Spot| {
            let depth = tree.depth(section.node);
            tree.chain(spot.node).contains(&section.node) && spot.rows.first(depth) == section.rows.first(depth)
        };
        let spots: Vec<Spot> = last.leaf_spots().into_iter().filter(inside).collect();
        let name = tree.name(section.node).to_owned();
        let mut taken = 0;
        for from in spots {
            let text = last.value(from);
            let Some(to) = last.key(from).and_then(|key| self.session.spot(&key)) else { continue };
            let same = matches!(self.session.model().tree().kind(to.node), NodeKind::Leaf(_));
            if same && !text.is_empty() && self.session.answer(to, &text).is_ok() {
                taken += 1;
            }
        }
        let mut step = self.session.take_edits();
        step.insert(AnswerKey::tick(NO_CHANGE, &name), Value::Bool(true));
        if let Err(error) = self.store.save_step(self.draft.id, &step) {
            self.reopen()?;
            return Err(error.into());
        }
        Ok(taken)
    }

    /// What finishing would write.
    pub fn edits(&self) -> Edits {
        let mut held = BTreeSet::from([Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office]);
        held.retain(|class| !self.options.withheld.contains(class));
        let mut edits = self.session.finished(&self.base, &held);
        let journal = self.store.draft_answers(self.draft.id).unwrap_or_default();
        edits.extend(journal.into_iter().filter(|(key, _)| is_reserved(key) || key.ends_with("/@deleted")));
        if self.draft.record.is_none() && !self.draft.further_subjects.is_empty() {
            let all = self.draft.subject.iter().chain(&self.draft.further_subjects);
            edits.extend(all.map(|id| (AnswerKey::tick(SUBJECTS, &id.to_string()), Value::Bool(true))));
        }
        edits
    }

    /// Throws the draft away.
    ///
    /// # Errors
    /// As the store.
    pub fn discard(self) -> Result<(), PhoneError> {
        Ok(self.store.discard_draft(self.draft.id)?)
    }

    /// Puts what the last action gave into the journal. When that fails the session goes back to what the journal holds.
    fn save(&mut self) -> Result<(), PhoneError> {
        let edits = self.session.take_edits();
        let saved = match edits.first_key_value() {
            None => Ok(()),
            Some((key, value)) if edits.len() == 1 => self.store.save_answer(self.draft.id, key, value),
            Some(_) => self.store.save_step(self.draft.id, &edits),
        };
        if let Err(error) = saved {
            self.reopen()?;
            return Err(error.into());
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let model = Arc::clone(self.session.model());
        self.session = open(&self.store, model, self.around.clone(), &self.base, self.draft.id)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
