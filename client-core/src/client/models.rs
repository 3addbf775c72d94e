//! Forms made ready to run, with lists of records as choices.

use std::sync::Arc;

use super::{Phone, PhoneError};
use crate::form::attachment;
use crate::form::model::{Files, Model};
use crate::form::{Form, PhoneList};
use crate::id::RecordId;
use crate::lists::{Item, LISTED_RECORDS_MAX, area_item, instance_items, list, record_item};
use crate::store::{ListFilter, Row};

impl Phone {
    /// A form about `subject` ready to run, with the lists that it names and this phone makes.
    pub(super) fn model(&self, form: &Arc<Form>, subject: Option<RecordId>) -> Result<Arc<Model>, PhoneError> {
        let lists = self.phone_lists(form, subject)?;
        let model = match lists.is_empty() {
            true => self.store.forms()?.model(form),
            false => Model::with_files(Arc::clone(form), &lists).ok().map(Arc::new),
        };
        model.ok_or(PhoneError::FormLogic)
    }

    /// Lists that a form needs and doesn't carry.
    fn phone_lists(&self, form: &Form, subject: Option<RecordId>) -> Result<Files, PhoneError> {
        let mut lists = Files::new();
        for file in attachment::missing(form) {
            let rows: Vec<Item> = match PhoneList::named(file) {
                Some(PhoneList::Records(record_type)) => self.record_rows(record_type)?,
                Some(PhoneList::Areas) => self.store.areas_in_scope()?.iter().map(area_item).collect(),
                Some(PhoneList::AllAreas) => self.store.areas()?.iter().map(area_item).collect(),
                Some(PhoneList::OfSubject(repeat)) => match subject {
                    Some(subject) => instance_items(&repeat, &self.record(subject)?.answers()),
                    None => Vec::new(),
                },
                None => continue,
            };
            lists.insert(file.to_owned(), list(&rows));
        }
        Ok(lists)
    }

    fn record_rows(&self, record_type: String) -> Result<Vec<Item>, PhoneError> {
        // of households that are united the one that stands for them
        let united = if record_type == "household" { self.united_here()? } else { Default::default() };
        let limit = LISTED_RECORDS_MAX;
        let filter = ListFilter { record_type: Some(record_type), united, limit, ..ListFilter::default() };
        let rows = self.store.list(&filter)?;
        let item = |row: &Row| Ok(record_item(row.id, row.area, &row.title, &self.record(row.id)?.answers()));
        rows.iter().map(item).collect()
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
