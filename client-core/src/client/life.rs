//! What a finished event writes to the households on this phone: see [`crate::life`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::filling::Filling;
use super::{Phone, PhoneError, Placed, classed};
use crate::form::session::{Edits, Surroundings, recomputed};
use crate::form::{Form, Sensitivity};
use crate::id::{Identity, RecordId, TenantKey};
use crate::life::{Effects, Households, LifeEvent, Touched, Written, corrected, effects};
use crate::record::{Record, Value};
use crate::store::{PlannedDocument, Row};

/// The classes of which a household has a document of its own.
const PARTS: [Sensitivity; 2] = [Sensitivity::Sensitive, Sensitivity::Office];

impl Phone {
    /// The documents of the households that a form changes or makes, where its records are events. `of` is the event's
    /// record, `subject` the household that it is about: nothing where that isn't on this phone.
    pub(super) fn event_documents(
        &self,
        filling: &Filling,
        of: RecordId,
        subject: Option<RecordId>,
    ) -> Result<Vec<PlannedDocument>, PhoneError> {
        let (Some(_), Some(household)) = (filling.form.event(), subject) else { return Ok(Vec::new()) };
        let Some(row) = self.store.row(household)? else { return Ok(Vec::new()) };
        let Some(form) = self.form_of_type(&row.record_type)? else { return Ok(Vec::new()) };
        let answers = filling.session().answers();
        let event = LifeEvent { id: of, form: &filling.form, answers: &answers };
        let effects = self.effects_of(filling, &event, &row, &form)?;
        self.effect_documents(filling, &row, &form, effects)
    }

    fn effects_of(
        &self,
        filling: &Filling,
        event: &LifeEvent<'_>,
        row: &Row,
        form: &Arc<Form>,
    ) -> Result<Effects, PhoneError> {
        let finished = filling.draft_row().record.map(|record| self.record(record)).transpose()?;
        let before = filling.base();
        let again = finished.is_some_and(|record| record.is_complete());
        let earlier = LifeEvent { answers: before, ..*event };
        let others = [event.other_household(), earlier.other_household().filter(|_| again)];
        let tenant_key = TenantKey(self.enrolled()?.tenant_key);
        let made = Identity::keyed(&row.record_type, &[event.id]).derived_id(&tenant_key);
        let named = others.into_iter().flatten().chain(made).chain([row.id]).collect::<BTreeSet<_>>();
        let mut at_hand = BTreeMap::new();
        for id in named {
            if self.store.row(id)?.is_some_and(|other| other.record_type == row.record_type) {
                at_hand.insert(id, self.touched(event, id)?);
            }
        }
        if again {
            return Ok(corrected(event, form, row.id, made, &at_hand));
        }
        let answers_of = |id: RecordId| Some((id, &at_hand.get(&id)?.answers));
        let Some(own) = answers_of(row.id) else { return Ok(Effects::default()) };
        let other = event.other_household().and_then(answers_of);
        Ok(effects(event, &Households { form, own, other }))
    }

    /// A household as it is now, with what the event wrote to it earlier.
    fn touched(&self, event: &LifeEvent<'_>, household: RecordId) -> Result<Touched, PhoneError> {
        let core = self.record(household)?;
        let mut documents = vec![core];
        for class in PARTS {
            documents.extend(self.part(household, class)?);
        }
        let documents: Vec<&Record> = documents.iter().collect();
        let answers = documents.iter().flat_map(|record| record.answers()).collect();
        Ok(Touched { answers, written: Written::by(event, &documents) })
    }

    fn part(&self, household: RecordId, class: Sensitivity) -> Result<Option<Record>, PhoneError> {
        let row = self.store.row(household)?.ok_or(PhoneError::UnknownRecord)?;
        let identity = Identity::part(&row.identity.record_type, class.as_str(), household);
        let id = identity.derived_id(&TenantKey(self.enrolled()?.tenant_key));
        Ok(id.map(|id| self.store.record(id)).transpose()?.flatten())
    }

    fn effect_documents(
        &self,
        filling: &Filling,
        row: &Row,
        form: &Arc<Form>,
        effects: Effects,
    ) -> Result<Vec<PlannedDocument>, PhoneError> {
        let tenant_key = TenantKey(self.enrolled()?.tenant_key);
        let mut documents = Vec::new();
        for (id, answers) in effects.changed {
            let Some(row) = self.store.row(id)? else { continue };
            let mut held = BTreeSet::from([Sensitivity::Core]);
            for class in PARTS {
                if self.part(id, class)?.is_some() {
                    held.insert(class);
                }
            }
            let before = self.instance_answers(id)?;
            let edits = self.with_computed(filling, form, &before, answers, held)?;
            let placed = Placed { id, identity: row.identity, area: row.area, subject: row.subject };
            documents.extend(self.split(placed, classed(form, edits, None)?, &tenant_key)?);
        }
        if let Some(made) = effects.made
            && let Some(id) = made.identity.derived_id(&tenant_key)
        {
            let held = BTreeSet::from([Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office]);
            let edits = self.with_computed(filling, form, &Edits::new(), made.answers, held)?;
            let placed = Placed { id, identity: made.identity, area: row.area, subject: None };
            documents.extend(self.split(placed, classed(form, edits, None)?, &tenant_key)?);
        }
        documents.retain(|document| !document.edits.is_empty());
        Ok(documents)
    }

    /// What is written to a household, with the computed answers that follow; nothing of classes that aren't this user's.
    fn with_computed(
        &self,
        filling: &Filling,
        form: &Arc<Form>,
        before: &Edits,
        mut edits: Edits,
        mut held: BTreeSet<Sensitivity>,
    ) -> Result<Edits, PhoneError> {
        if edits.is_empty() {
            return Ok(edits);
        }
        held.retain(|class| !filling.withholds(*class));
        let mut answers = before.clone();
        answers.extend(edits.clone());
        answers.retain(|_, value| *value != Value::Blank);
        let around = Surroundings::new(self.clock.clone(), self.entropy.clone(), 0);
        edits.extend(recomputed(&self.model(form, None)?, &answers, around, &held));
        edits.retain(|key, value| {
            let unsaid = *value == Value::Blank && !before.contains_key(key);
            !unsaid && form.class_of(key).is_some_and(|class| !filling.withholds(class))
        });
        Ok(edits)
    }
}
