//! What lists, search and figures need of a record, computed from the merged document.

use doorstep_core::form::{Pack, Summary};
use doorstep_core::record::{Record, Value};

use crate::storage::Projection;

/// Projects a merged record.
pub fn project(record: &Record) -> Projection {
    let (view, answers) = record.view_and_answers();
    let Summary { title, label, search, status, day, persons } = Summary::of(&record.identity().record_type, &answers);
    let differences = u32::try_from(view.differences.len()).unwrap_or(u32::MAX);
    let doubts = doubts(record, &answers);
    Projection { json: view.json, title, label, search, status, persons, day, differences, doubts }
}

/// Answers that don't fit their question's kind, choices or range.
fn doubts(record: &Record, answers: &std::collections::BTreeMap<String, Value>) -> u32 {
    let record_type = &record.identity().record_type;
    let core_type = record_type.split('.').next().unwrap_or(record_type);
    let Some(form) = Pack::built_in().form_of_type(core_type) else { return 0 };
    u32::try_from(answers.iter().filter(|(key, value)| form.check_answer(key, value).is_err()).count())
        .unwrap_or(u32::MAX)
}
