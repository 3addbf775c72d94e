//! Events in the life of households, server side: an event whose author couldn't write what follows from it (the household
//! wasn't on the phone, or the program is an old one) is applied by the office; and the office records events itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::form::session::{Surroundings, recomputed};
use doorstep_core::form::{Catalog, Form, Sensitivity};
use doorstep_core::id::{Identity, RecordId};
use doorstep_core::life::{Answers, Effects, Households, LifeEvent, effects};
use doorstep_core::record::{Record, Value};

use super::merge::open_record;
use super::office::{FormInstance, Office, WriteError};
use super::{Refused, Service};
use crate::register::office_user;
use crate::storage::{PreparedPush, StoredRecord, TownshipId};

/// A form instance as it is stored: its core record, and the answers of all its documents.
struct Stored {
    core: StoredRecord,
    record: Record,
    answers: Answers,
}

impl Service {
    /// The finished events among a push's records.
    pub(super) fn events_of(&self, push: &PreparedPush) -> Result<Vec<RecordId>, Refused> {
        let forms = self.forms_seen()?;
        let is_event = |record_type: &str| forms.of_type(record_type).is_some_and(|form| form.event().is_some());
        Ok(push.records.iter().filter(|r| is_event(&r.identity.record_type)).map(|r| r.id).collect())
    }

    /// Writes what follows from events to households that don't say yet that it was written ([`LifeEvent::mark`]); gives how
    /// many changes. Nothing is overwritten: where an answer is there already, the event's stands beside it as a
    /// difference, for people to decide.
    ///
    /// # Errors
    /// As [`Office::write`].
    pub fn apply_events(self: &Arc<Self>, township: TownshipId, events: &[RecordId]) -> Result<usize, WriteError> {
        let forms = self.forms().map_err(Refused::from)?;
        let mut written = 0;
        for id in events {
            let Some(event) = self.stored(township, &forms, *id)? else { continue };
            let (Some(form), Some(household)) = (forms.of_type(&event.core.identity.record_type), event.core.subject)
            else {
                continue;
            };
            let said = LifeEvent { id: *id, form: &form, answers: &event.answers };
            if said.kind().is_some() && event.record.is_complete() {
                written += self.apply_event(township, &forms, &said, household)?;
            }
        }
        Ok(written)
    }

    fn apply_event(
        self: &Arc<Self>,
        township: TownshipId,
        forms: &Catalog,
        event: &LifeEvent<'_>,
        household: RecordId,
    ) -> Result<usize, WriteError> {
        let Some(own) = self.stored(township, forms, household)? else { return Ok(0) };
        let Some(form) = forms.of_type(&own.core.identity.record_type) else { return Ok(0) };
        let other_id = event.other_household();
        let other = other_id.map(|id| self.stored(township, forms, id)).transpose()?.flatten();
        let other = other.filter(|other| other.core.identity.record_type == own.core.identity.record_type);
        let others = other.as_ref().map(|other| (other.core.id, &other.answers));
        let Effects { changed, made, .. } =
            effects(event, &Households { form: &form, own: (household, &own.answers), other: others });
        let mark = event.mark();
        let mut plan: Vec<(&Stored, Answers)> = Vec::new();
        for stored in std::iter::once(&own).chain(&other) {
            let answers = changed.get(&stored.core.id).filter(|_| !stored.answers.contains_key(&mark));
            plan.extend(answers.map(|answers| (stored, answers.clone())));
        }
        let made = match made {
            Some(made) => {
                let id = made.identity.derived_id(&self.tenant_key());
                let there = id.map(|id| self.stored(township, forms, id)).transpose()?.flatten();
                id.filter(|_| there.is_none()).map(|id| (id, made))
            }
            None => None,
        };
        if plan.is_empty() && made.is_none() {
            return Ok(0);
        }
        let user = office_user(self).map_err(Refused::from)?;
        let office = Office::start(self, user, township)?;
        let mut written = 0;
        for (stored, answers) in plan {
            written += self.add(township, forms, &form, &office, stored, answers)?;
        }
        if let Some((id, made)) = made {
            let mut answers = made.answers;
            answers.extend(computed(forms, &form, &answers));
            let area = own.core.area;
            let instance = FormInstance {
                id,
                identity: made.identity,
                area,
                subject: None,
                answers: answers.into_iter().collect(),
            };
            written += office.write(&[instance])?;
        }
        Ok(written)
    }

    /// Puts answers into a household: what is answered otherwise there stays, with the other answer beside it.
    fn add(
        &self,
        township: TownshipId,
        forms: &Catalog,
        form: &Arc<Form>,
        office: &Office,
        stored: &Stored,
        answers: Answers,
    ) -> Result<usize, WriteError> {
        let instance = |answers: Answers| FormInstance {
            id: stored.core.id,
            identity: stored.core.identity.clone(),
            area: stored.core.area,
            subject: stored.core.subject,
            answers: answers.into_iter().collect(),
        };
        let unsaid = |key: &String, value: &Value| {
            stored.answers.get(key).is_none_or(|now| matches!(now, Value::Blank | Value::Bool(false)) || now == value)
        };
        let (mut fresh, beside): (Answers, Answers) = answers.into_iter().partition(|(key, value)| unsaid(key, value));
        let mut written = 0;
        if !beside.is_empty() {
            written += office.write_as_of(&[instance(beside)], Some(0))?;
        }
        if let Some(now) = self.stored(township, forms, stored.core.id)? {
            let mut all = now.answers;
            all.extend(fresh.clone());
            fresh.extend(computed(forms, form, &all));
        }
        written += office.write(&[instance(fresh)])?;
        Ok(written)
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

/// Computed answers that follow from a household's others.
fn computed(forms: &Catalog, form: &Arc<Form>, answers: &Answers) -> BTreeMap<String, Value> {
    let Some(model) = forms.model(form) else { return BTreeMap::new() };
    let around = Surroundings::new(Arc::new(ManualClock::at(0)), Arc::new(SeededEntropy::new(0)), 0);
    let held = BTreeSet::from([Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office]);
    let mut computed = recomputed(&model, answers, around, &held);
    computed.retain(|key, value| *value != Value::Blank || answers.contains_key(key));
    computed
}
