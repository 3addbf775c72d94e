//! Forms made ready to run, with lists of records as choices.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Phone, PhoneError};
use crate::form::attachment;
use crate::form::entity::record_type;
use crate::form::expression::Table;
use crate::form::model::{Files, Model};
use crate::form::{AnswerKey, Form};
use crate::id::RecordId;
use crate::record::Value;
use crate::store::{ListFilter, Row};

/// How many records a list of records offers.
pub const LISTED_RECORDS_MAX: u32 = 5_000;

impl Phone {
    /// A form ready to run, with the lists of records that it names.
    pub(super) fn model(&self, form: &Arc<Form>) -> Result<Arc<Model>, PhoneError> {
        let lists = self.record_lists(form)?;
        let model = match lists.is_empty() {
            true => self.store.forms()?.model(form),
            false => Model::with_files(Arc::clone(form), &lists).ok().map(Arc::new),
        };
        model.ok_or(PhoneError::FormLogic)
    }

    /// Lists that a form needs and doesn't carry, where they are named as a type of records: `household.csv` has the
    /// households on this phone, `name` being the record's id, `label` its title, and the core answers as columns.
    fn record_lists(&self, form: &Form) -> Result<Files, PhoneError> {
        let mut lists = Files::new();
        for file in attachment::missing(form) {
            let Some(record_type) = file.strip_suffix(".csv").and_then(record_type) else { continue };
            let filter =
                ListFilter { record_type: Some(record_type), limit: LISTED_RECORDS_MAX, ..ListFilter::default() };
            let rows = self.store.list(&filter)?;
            let mut table = Table::new();
            for row in &rows {
                let answers = self.record(row.id)?.answers();
                let cells = record_cells(row, &answers);
                table.push(cells.iter().map(|(column, text)| (column.as_str(), Arc::from(text.as_str()))));
            }
            lists.insert(file.to_owned(), Arc::new(table));
        }
        Ok(lists)
    }

    /// The records that a record is about, as far as it says: its subject first.
    pub fn subjects(&self, record: RecordId) -> Result<Vec<RecordId>, PhoneError> {
        let row = self.store.row(record)?.ok_or(PhoneError::UnknownRecord)?;
        let mut subjects: Vec<RecordId> = row.subject.into_iter().collect();
        let further = crate::form::index::subjects(&self.record(record)?.answers());
        subjects.extend(further.into_iter().filter(|id| row.subject != Some(*id)));
        Ok(subjects)
    }
}

fn record_cells(row: &Row, answers: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut cells = BTreeMap::new();
    for (key, value) in answers {
        let plain = AnswerKey::parse(key).is_some_and(|k| k.instances.is_empty());
        if plain && !key.contains('=') {
            cells.insert(key.clone(), text_of(value));
        }
    }
    let own_label = cells.get("label").cloned().unwrap_or_default();
    let title = if row.title.is_empty() { own_label } else { row.title.clone() };
    cells.extend([
        ("name".to_owned(), row.id.to_string()),
        ("label".to_owned(), title),
        ("area".to_owned(), row.area.to_string()),
    ]);
    cells
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Blank => String::new(),
        Value::Bool(true) => "OK".to_owned(),
        Value::Bool(false) => String::new(),
        Value::Int(n) => n.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Text(text) => text.clone(),
    }
}
