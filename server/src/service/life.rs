//! Events in the life of households, server side: an event whose author couldn't write what follows from it (the household
//! wasn't on the phone, or the program is an old one) is applied by the office; and the office records events itself.

mod elsewhere;
mod pairing;
#[cfg(test)]
mod tests;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::clock::{ManualClock, Millis, SeededEntropy, random};
use doorstep_core::form::attachment::missing;
use doorstep_core::form::expression::Tree;
use doorstep_core::form::model::{Files, Model};
use doorstep_core::form::session::{Problem, Refusal, Session, Surroundings, recomputed};
use doorstep_core::form::{Catalog, Form, PhoneList, Sensitivity};
use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::life::{
    Answers, Effects, EventKind, Households, Lack, LifeEvent, MadeHousehold, Placement, effects, is_united, lacking,
    placement,
};
use doorstep_core::lists::{area_item, instance_items, list, record_item};
use doorstep_core::record::{Record, USUAL_ZONE_MINUTES, Value};

use super::merge::{core_of, open_record};
use super::office::{FormInstance, Office, WriteError, check_here};
use super::rights::Rights;
use super::{Refused, Service};
use crate::storage::page::Placed;
use crate::storage::relocation::MovedBy;
use crate::storage::{Move, PreparedPush, StorageError, StoredRecord, TownshipId};

/// An event that the office records.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The form of the event.
    pub form: String,
    /// The household that it is about.
    pub household: RecordId,
    /// Answers by question, as text.
    pub answers: BTreeMap<String, String>,
}

/// Why the office's event isn't recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// No form of events has this name.
    #[error("there is no such event")]
    Form,
    /// No household of this id.
    #[error("there is no such household")]
    Household,
    /// The form refuses answers.
    #[error("the form refuses {} answers", .0.len())]
    Answers(Vec<(String, Refusal)>),
    /// Answers are missing, or can't stand.
    #[error("{} answers are missing or can't stand", .0.len())]
    Unfinished(Vec<Problem>),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A form instance as it is stored: its core record, and the answers of all its documents.
struct Stored {
    core: StoredRecord,
    record: Record,
    answers: Answers,
}

/// What came of an event that was tried.
#[derive(Debug)]
enum Tried {
    /// What follows from it is written; the households that were changed for that.
    Done(Vec<RecordId>),
    /// Nothing was written: why, and the record that it waits for.
    Waits(&'static str, Option<RecordId>),
}

/// What an event's author may edit, and since when the event is here; `None`: the office, which may everything.
type AuthorRights = Option<(Rights, Millis)>;

/// What a push brought, as far as something may follow from it.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The records, parts by their core record: what an event may wait for.
    records: Vec<RecordId>,
    /// Households that may be at home in another township, or may have to go back there.
    elsewhere: BTreeSet<RecordId>,
}

impl Arrived {
    /// What a push brings.
    pub(super) fn of(push: &PreparedPush) -> Self {
        let merged = push.records.iter().map(|r| (r.id, r.area, r.subject));
        let held = push.waiting.iter().map(|held| (held.record, held.area, held.subject));
        let nowhere = merged.chain(held).filter(|(_, area, _)| *area == AreaId::NOWHERE);
        let nowhere = nowhere.map(|(id, _, subject)| subject.unwrap_or(id));
        let elsewhere = nowhere.chain(push.moves.iter().map(|moved| moved.record)).collect();
        Self { records: cores(push), elsewhere }
    }
}

fn cores(push: &PreparedPush) -> Vec<RecordId> {
    let ids = push.records.iter().flat_map(|r| [Some(r.id), core_of(&r.identity)]).flatten();
    let held = push.waiting.iter().flat_map(|held| [Some(held.record), core_of(&held.identity)]).flatten();
    let mut ids: Vec<RecordId> = ids.chain(held).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Service {
    /// Writes what follows from an event to households that don't say yet that it was written ([`LifeEvent::mark`]).
    /// Only what the `office` records itself overwrites; without it, where an answer is there already, the event's stands beside it as a
    /// difference, for people to decide. Only households that the event's author may edit as they are now are written: an
    /// event that names another one changes nothing there. As long as something is lacking nothing is written at all.
    fn apply_event(
        self: &Arc<Self>,
        township: TownshipId,
        (forms, rights): (&Catalog, &AuthorRights),
        event: &LifeEvent<'_>,
        household: RecordId,
        office: Option<&Office>,
    ) -> Result<Tried, WriteError> {
        let Some(own) = self.stored(township, forms, household)? else {
            return Ok(Tried::Waits(waiting::HOUSEHOLD, Some(household)));
        };
        let Some(form) = forms.of_type(&own.core.identity.record_type) else { return Ok(Tried::Done(Vec::new())) };
        let other_id = event.other_household();
        let other = other_id.map(|id| self.stored(township, forms, id)).transpose()?.flatten();
        // one that went to another township is as good as not here
        let other = other.filter(|other| other.core.area != AreaId::NOWHERE);
        let other = other.filter(|other| other.core.identity.record_type == own.core.identity.record_type);
        let others = other.as_ref().map(|other| (other.core.id, &other.answers));
        let households = Households { form: &form, own: (household, &own.answers), other: others };
        let mark = event.mark();
        let says = |stored: &Stored| stored.answers.contains_key(&mark);
        let is_written = says(&own) && other.as_ref().map_or(other_id.is_none(), says);
        if let Some(lack) = lacking(event, &households).filter(|_| !is_written) {
            return Ok(match lack {
                Lack::Day => Tried::Waits(waiting::DAY, None),
                Lack::OtherHousehold => Tried::Waits(waiting::OTHER_HOUSEHOLD, other_id),
                Lack::Person => Tried::Waits(waiting::PERSON, Some(household)),
            });
        }
        let moves_to = match event.kind() {
            Some(EventKind::HouseholdMove) => self.moves_to(event, household).map_err(Refused::from)?,
            _ => Some(township),
        };
        let Some(moves_to) = moves_to else { return Ok(Tried::Waits(waiting::AREA, None)) };
        let Effects { mut changed, made, .. } = effects(event, &households);
        // a phone that didn't have the other household marked its own one and wrote nothing else
        let own_lacks = !says(&own) || !is_written && !is_united(&households);
        let other_lacks = other.as_ref().is_some_and(|other| !says(other));
        let mut plan: Vec<(&Stored, Answers)> = Vec::new();
        for stored in Some(&own).filter(|_| own_lacks).into_iter().chain(other.iter().filter(|_| other_lacks)) {
            plan.extend(changed.remove(&stored.core.id).map(|answers| (stored, answers)));
        }
        let made = made.and_then(|made| Some((made.identity.derived_id(&self.tenant_key())?, made)));
        let made_id = made.as_ref().map(|(id, _)| *id);
        let there = made_id.map(|id| self.stored(township, forms, id)).transpose()?.flatten();
        let made = made.filter(|_| there.is_none());
        if !plan.is_empty() || made.is_some() {
            for stored in std::iter::once(&own).chain(&other) {
                if !self.may_edit(township, rights, stored).map_err(Refused::from)? {
                    return Ok(Tried::Waits(waiting::RIGHTS, None));
                }
            }
        }
        let mut written: Vec<RecordId> = plan.iter().map(|(stored, _)| stored.core.id).collect();
        written.extend(made.iter().map(|(id, _)| *id));
        self.write_effects(township, (forms, &form), plan, made.map(|(id, made)| (id, made, own.core.area)), office)?;
        if let Some(made) = made_id {
            self.pair_like(township, (household, made)).map_err(Refused::from)?;
        }
        if event.kind() == Some(EventKind::HouseholdMove) {
            // where it is at home; after a restored backup that may be another one than the one that the event came to
            let homes = if moves_to == township { self.other_homes(township, household)? } else { vec![township] };
            for home in homes {
                if let Some(reason) = self.move_out((home, moves_to), event, household)? {
                    return Ok(Tried::Waits(reason, None));
                }
            }
        }
        Ok(Tried::Done(written))
    }

    fn write_effects(
        self: &Arc<Self>,
        township: TownshipId,
        (forms, form): (&Catalog, &Arc<Form>),
        plan: Vec<(&Stored, Answers)>,
        made: Option<(RecordId, MadeHousehold, AreaId)>,
        office: Option<&Office>,
    ) -> Result<(), WriteError> {
        if plan.is_empty() && made.is_none() {
            return Ok(());
        }
        let (replaces, own);
        let office = match office {
            Some(office) => {
                replaces = true;
                office
            }
            None => {
                (replaces, own) = (false, Office::for_events(self, township)?);
                &own
            }
        };
        for (stored, answers) in plan {
            self.add(township, forms, office, stored, answers, replaces)?;
        }
        if let Some((id, made, area)) = made {
            let mut answers = made.answers;
            answers.extend(computed(forms, form, &answers));
            let answers = answers.into_iter().collect();
            office.write(&[FormInstance { id, identity: made.identity, area, subject: None, answers }])?;
        }
        Ok(())
    }

    /// Whether an event's author may edit a household where it lies, or lay when the event came (the event may have moved it).
    fn may_edit(&self, township: TownshipId, rights: &AuthorRights, stored: &Stored) -> Result<bool, StorageError> {
        let Some((rights, since_ms)) = rights else { return Ok(true) };
        let core = &stored.core;
        let record_type = core.identity.record_type.as_str();
        let state = stored.record.standing();
        let may = |area| rights.edits(&Placed { id: core.id, area, subject: core.subject, record_type }, &state);
        if may(core.area) {
            return Ok(true);
        }
        let moves = self.storage.placements(township, core.id)?;
        Ok(moves.iter().any(|before| before.at_ms >= *since_ms && may(before.area)))
    }

    /// Moves a household that wasn't here, or whose new area wasn't, when its move came.
    fn move_waited(
        self: &Arc<Self>,
        township: TownshipId,
        event: &LifeEvent<'_>,
        household: RecordId,
    ) -> Result<(), WriteError> {
        let Some(Placement { area, from_day, .. }) = placement(event, household) else { return Ok(()) };
        if !self.storage.area_tree(township).map_err(Refused::from)?.contains(area) {
            return Ok(());
        }
        let known = self.storage.relocations(township, household).map_err(Refused::from)?;
        let by = MovedBy::Event(event.id);
        if known.iter().any(|row| row.by == by && (row.area, &row.from_day) == (area, &from_day)) {
            return Ok(());
        }
        let moved = Move { event: Some(event.id), ..Move::by_office(household, area, from_day) };
        Office::for_events(self, township)?.move_records(vec![moved])
    }

    /// Puts answers into a household: without `replaces`, what is answered otherwise there stays, with the other answer beside it.
    fn add(
        &self,
        township: TownshipId,
        forms: &Catalog,
        office: &Office,
        stored: &Stored,
        answers: Answers,
        replaces: bool,
    ) -> Result<usize, WriteError> {
        let instance = |answers: Answers| FormInstance {
            id: stored.core.id,
            identity: stored.core.identity.clone(),
            area: stored.core.area,
            subject: stored.core.subject,
            answers: answers.into_iter().collect(),
        };
        let is_free = |key: &String, value: &Value| {
            stored.answers.get(key).is_none_or(|now| matches!(now, Value::Blank | Value::Bool(false)) || now == value)
        };
        // as a phone: what was never answered needs no blank
        let unsaid_blank = |key: &String, value: &Value| *value == Value::Blank && !stored.answers.contains_key(key);
        let answers = answers.into_iter().filter(|(key, value)| !unsaid_blank(key, value));
        let (mut fresh, beside): (Answers, Answers) = answers.partition(|(key, value)| replaces || is_free(key, value));
        let mut written = 0;
        if !beside.is_empty() {
            written += office.write_as_of(&[instance(beside)], Some(0))?;
        }
        if let Some(now) = self.stored(township, forms, stored.core.id)? {
            let mut all = now.answers;
            all.extend(fresh.clone());
            let form = forms.of_type(&stored.core.identity.record_type);
            fresh.extend(form.map(|form| computed(forms, &form, &all)).unwrap_or_default());
        }
        written += office.write(&[instance(fresh)])?;
        Ok(written)
    }

    /// Fills the form of an event about a household, writes its record and what follows from it; gives the event's record. Persons
    /// and areas may be given by what lists show of them.
    ///
    /// # Errors
    /// When there is no such form or household, an answer is refused, or answers are missing.
    pub fn record_event(self: &Arc<Self>, township: TownshipId, new: &NewEvent) -> Result<RecordId, EventError> {
        let forms = self.forms().map_err(Refused::from).map_err(WriteError::from)?;
        let form = forms.newest(&new.form).filter(|form| form.event().is_some()).ok_or(EventError::Form)?;
        let own = self.stored(township, &forms, new.household)?.ok_or(EventError::Household)?;
        check_here(own.core.area)?;
        let files = self.lists(township, &forms, &form, &own, new)?;
        let model = Model::with_files(Arc::clone(&form), &files).map_err(|_| EventError::Form)?;
        let zone = i32::from(USUAL_ZONE_MINUTES);
        let mut around = Surroundings::new(self.clock.clone(), self.entropy.clone(), zone);
        around.properties.insert("subject".to_owned(), new.household.to_string());
        let answers = filled(Session::new(Arc::new(model), around), &new.answers)?;
        let id = RecordId(random(&*self.entropy));
        let office = Office::for_events(self, township).map_err(WriteError::from)?;
        let record_type = &form.record_type;
        office.write(&[FormInstance {
            id,
            identity: Identity::of_type(record_type),
            area: own.core.area,
            subject: Some(new.household),
            answers: answers.clone().into_iter().collect(),
        }])?;
        let said = LifeEvent { id, form: &form, answers: &answers };
        self.apply_event(township, (&forms, &None), &said, new.household, Some(&office))?;
        // what couldn't be applied waits, with its reason; what the event changed may be what others wait for
        let elsewhere = BTreeSet::from([new.household]);
        self.settle_arrived(township, &Arrived { records: vec![id, new.household], elsewhere });
        Ok(id)
    }

    /// The lists that an event's form reads: of households only those that its answers name.
    fn lists(
        &self,
        township: TownshipId,
        forms: &Catalog,
        form: &Form,
        own: &Stored,
        new: &NewEvent,
    ) -> Result<Files, WriteError> {
        let mut files = Files::new();
        for file in missing(form) {
            let items = match PhoneList::named(file) {
                Some(PhoneList::Areas) => {
                    self.storage.area_tree(township).map_err(Refused::from)?.live().map(area_item).collect()
                }
                Some(PhoneList::AllAreas) => self.all_areas(township).map_err(Refused::from)?,
                Some(PhoneList::OfSubject(repeat)) => instance_items(&repeat, &own.record.answers()),
                Some(PhoneList::Records(record_type)) => {
                    let mut items = Vec::new();
                    for id in new.answers.values().filter_map(|text| text.parse().ok()) {
                        let found = self.stored(township, forms, id)?;
                        let found = found.filter(|found| found.core.identity.record_type == record_type);
                        items.extend(found.map(|f| record_item(id, f.core.area, "", &f.record.answers())));
                    }
                    items
                }
                None => continue,
            };
            files.insert(file.to_owned(), list(&items));
        }
        Ok(files)
    }

    fn stored(&self, township: TownshipId, forms: &Catalog, id: RecordId) -> Result<Option<Stored>, WriteError> {
        let load = |ids: &[RecordId]| self.storage.load_records(township, ids).map_err(Refused::from);
        let open = |stored: &StoredRecord| open_record(stored).map_err(|r| WriteError::Change(r.code().to_owned()));
        let Some(core) = load(&[id])?.into_iter().flatten().next() else { return Ok(None) };
        let record_type = core.identity.record_type.clone();
        if forms.of_type(&record_type).is_none() {
            return Ok(None);
        }
        let record = open(&core)?;
        let mut answers = record.answers();
        let part = |class: &str| Identity::part(&record_type, class, id).derived_id(&self.tenant_key());
        let parts: Vec<RecordId> = ["sensitive", "office"].into_iter().filter_map(part).collect();
        for part in load(&parts)?.into_iter().flatten() {
            answers.extend(open(&part)?.answers());
        }
        Ok(Some(Stored { core, record, answers }))
    }
}

/// Answers a form until it is whole. An answer may wait for another that makes its question apply.
fn filled(mut session: Session, said: &BTreeMap<String, String>) -> Result<Answers, EventError> {
    let mut waiting: Vec<(&String, &String)> = said.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut refused = Vec::new();
        for (question, text) in std::mem::take(&mut waiting) {
            let root = session.model().tree().name(Tree::ROOT).to_owned();
            let spot = session.spot(question).or_else(|| session.at_path(&format!("/{root}/{question}")));
            let answered = match spot {
                Some(spot) => {
                    let text = session.by_label(spot, text).unwrap_or_else(|| session.normalised(spot, text));
                    session.answer(spot, &text).map(drop)
                }
                None => Err(Refusal::NoSuchPlace),
            };
            if let Err(refusal) = answered {
                waiting.push((question, text));
                refused.push((question.clone(), refusal));
            }
        }
        if waiting.len() == before {
            return Err(EventError::Answers(refused));
        }
    }
    let problems = session.problems();
    if problems.is_empty() {
        return Ok(session.answers());
    }
    Err(EventError::Unfinished(problems))
}

/// Computed answers that follow from a household's others.
pub(super) fn computed(forms: &Catalog, form: &Arc<Form>, answers: &Answers) -> BTreeMap<String, Value> {
    let Some(model) = forms.model(form) else { return BTreeMap::new() };
    let around = Surroundings::new(Arc::new(ManualClock::at(0)), Arc::new(SeededEntropy::new(0)), 0);
    let held = BTreeSet::from([Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office]);
    let mut computed = recomputed(&model, answers, around, &held);
    computed.retain(|key, value| *value != Value::Blank || answers.contains_key(key));
    computed
}
