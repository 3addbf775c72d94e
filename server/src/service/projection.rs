//! What lists, search and figures need of a record, computed from the merged document.

use doorstep_core::form::{Catalog, Summary};
use doorstep_core::record::Record;

use super::doubts::doubts;
use crate::storage::Projection;

/// Projects a merged record by the form that its type has now.
pub fn project(record: &Record, forms: &Catalog) -> Projection {
    let (view, answers) = record.view_and_answers();
    let record_type = &record.identity().record_type;
    let form = forms.of_type(record_type.split('.').next().unwrap_or(record_type));
    // parts with sensitive answers show nothing in lists
    let listed = form.as_deref().filter(|_| !record_type.contains('.'));
    let summary = listed.map(|form| Summary::by(&form.list, &answers)).unwrap_or_default();
    let Summary { title, label, search, status, day, persons } = summary;
    let differences = u32::try_from(view.differences.len()).unwrap_or(u32::MAX);
    let doubts = form.map_or(0, |form| doubts(&form, record_type, &answers, record.written_last().0));
    Projection { json: view.json, title, label, search, status, persons, day, differences, doubts }
}
