//! What lists, search and figures need of a record, computed from the merged document.

use doorstep_core::form::{Form, Summary};
use doorstep_core::record::Record;

use super::doubts::Answers;
use super::steps::steps;
use crate::storage::Projection;

/// Projects a merged record by the form that its type has now; gives its answers too.
pub fn project(record: &Record, form: Option<&Form>) -> (Projection, Answers) {
    let (view, answers) = record.view_and_answers();
    // parts with sensitive answers show nothing in lists
    let listed = form.filter(|_| !record.identity().record_type.contains('.'));
    let summary = listed.map(|form| Summary::by(&form.list, &answers)).unwrap_or_default();
    let steps = listed.map(|form| steps(&form.list, &answers)).unwrap_or_default();
    let Summary { title, label, search, status, day, persons } = summary;
    let differences = u32::try_from(view.differences.len()).unwrap_or(u32::MAX);
    let state = record.standing();
    let projection = Projection {
        json: view.json,
        title,
        label,
        search,
        status,
        persons,
        day,
        state,
        steps,
        differences,
        doubts: 0,
    };
    (projection, answers)
}
