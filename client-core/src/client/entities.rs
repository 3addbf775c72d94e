//! What a finished form writes to other records: the entities that it makes or changes.

use sha2::{Digest, Sha256};

use super::filling::Filling;
use super::{Phone, PhoneError, Placed, answer};
use crate::form::entity::{Entity, entities};
use crate::form::expression::Spot;
use crate::form::session::Edits;
use crate::form::{Form, Sensitivity};
use crate::id::{AreaId, Identity, RecordId, TenantKey, first16};
use crate::record::{Edit, Section, Value};
use crate::store::PlannedDocument;

/// The answer that names an entity of a type without form.
const LABEL: &str = "label";

/// Edits with the class of the document that they belong to.
type Classed = Vec<(Sensitivity, Edit)>;

impl Phone {
    /// The documents of the entities of a form that becomes (or changes) the record `of` in `area`. Of a form that was
    /// finished before only the answers among `edits` are taken over again.
    pub(super) fn entity_documents(
        &self,
        filling: &Filling,
        of: RecordId,
        area: AreaId,
        edits: &Edits,
    ) -> Result<Vec<PlannedDocument>, PhoneError> {
        let edited = filling.draft_row().record.map(|record| self.record(record)).transpose()?;
        let again = edited.is_some_and(|record| record.is_complete());
        let tenant_key = TenantKey(self.enrolled()?.tenant_key);
        let mut documents = Vec::new();
        for entity in entities(filling.session()) {
            let Some(placed) = self.place_entity(&entity, of, area, &tenant_key)? else { continue };
            let form = self.form_of_type(&entity.record_type)?;
            let only = again.then_some(edits);
            let mut edits = entity_edits(filling, &entity, form.as_deref(), only);
            if self.store.row(placed.id)?.is_none() {
                edits.retain(|(_, edit)| !matches!(edit.value, Value::Blank | Value::Bool(false)));
            }
            if !edits.is_empty() {
                documents.extend(self.split(placed, edits, &tenant_key)?);
            }
        }
        Ok(documents)
    }

    /// Where an entity's record is: that of its id, if it is on this phone and of the right type; or a new one, whose id follows
    /// from the form's record, so that a form finished twice makes one.
    fn place_entity(
        &self,
        entity: &Entity,
        of: RecordId,
        area: AreaId,
        tenant_key: &TenantKey,
    ) -> Result<Option<Placed>, PhoneError> {
        if let Some(id) = entity.changes {
            let row = self.store.row(id)?.filter(|row| row.record_type == entity.record_type);
            return Ok(row.map(|row| Placed { id, identity: row.identity, area: row.area, subject: row.subject }));
        }
        let mut key = vec![of];
        if !entity.place.is_empty() {
            key.push(RecordId(first16(&Sha256::digest(entity.place.as_bytes()))));
        }
        let identity = Identity::keyed(&entity.record_type, &key);
        let Some(id) = identity.derived_id(tenant_key) else { return Ok(None) };
        Ok(Some(Placed { id, identity, area, subject: None }))
    }
}

/// What is written to an entity: what fits the questions of its own form; everything where it has no form.
fn entity_edits(filling: &Filling, entity: &Entity, form: Option<&Form>, only: Option<&Edits>) -> Classed {
    let source = &filling.form;
    let title = form.map_or(LABEL, |form| form.list.title.as_str());
    let classed = |class: Sensitivity, answers: Vec<(String, Value)>| -> Classed {
        let own = |key: &str| form.and_then(|f| f.class_of(key)).unwrap_or_default();
        let edit =
            |(key, value): (String, Value)| (class.max(own(&key)), Edit { section: Section::Answers, key, value });
        answers.into_iter().map(edit).collect()
    };
    let mut edits = Classed::new();
    for (property, spot) in &entity.saved {
        let Some(key) = filling.session().key(*spot) else { continue };
        let class = source.class_of(&key).unwrap_or(Sensitivity::Sensitive);
        let tick = format!("{key}=");
        let is_meant =
            only.is_none_or(|edits| edits.contains_key(&key) || edits.keys().any(|other| other.starts_with(&tick)));
        if !is_meant || filling.withholds(class) {
            continue;
        }
        let text = filling.session().value(*spot);
        let answers = match form {
            Some(form) => fitting(form, property, &text),
            None => free(filling, property, *spot, &text),
        };
        edits.extend(classed(class, answers));
    }
    let has_title = entity.saved.iter().any(|(property, _)| property == title);
    if let (Some((label, class)), false, None) = (&entity.label, has_title, only) {
        let answers = match form {
            Some(form) => fitting(form, title, label),
            None => vec![(title.to_owned(), Value::Text(label.clone()))],
        };
        edits.extend(classed(*class, answers));
    }
    edits
}

/// An answer as the question of this name takes it; nothing where it doesn't fit, or there is no such question.
fn fitting(form: &Form, property: &str, text: &str) -> Vec<(String, Value)> {
    let named = form.questions().into_iter().find(|p| p.repeats.is_empty() && p.question.name == property);
    let Some(key) = named.map(|placed| placed.question.key().to_owned()) else { return Vec::new() };
    let Ok(answers) = answer::parse(form, &key, text) else { return Vec::new() };
    let fits = answers.iter().all(|(key, value)| form.check_answer(key, value).is_ok());
    if fits { answers } else { Vec::new() }
}

/// An answer as it stands, under the property's own name.
fn free(filling: &Filling, property: &str, spot: Spot, text: &str) -> Vec<(String, Value)> {
    if !crate::record::key::is_name(property) {
        return Vec::new();
    }
    let key = filling.session().key(spot).unwrap_or_default();
    let value = match filling.session().answers().remove(&key) {
        Some(value) => value,
        None if text.is_empty() => Value::Blank,
        None => Value::Text(text.to_owned()),
    };
    vec![(property.to_owned(), value)]
}
