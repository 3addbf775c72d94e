//! What lists, search and figures need of a record, computed from the merged document.

use doorstep_core::form::Pack;
use doorstep_core::record::{Record, Value};

use crate::storage::Projection;

/// Projects a merged record.
pub fn project(record: &Record) -> Projection {
    let (view, answers) = record.view_and_answers();
    let text = |key: &str| match answers.get(key) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Int(n)) => n.to_string(),
        _ => String::new(),
    };
    let mut projection = Projection {
        differences: u32::try_from(view.differences.len()).unwrap_or(u32::MAX),
        json: view.json,
        ..Projection::default()
    };
    match record.identity().record_type.as_str() {
        "household" => {
            projection.title = text("head_name");
            projection.label = text("household_no");
            projection.status = text("status");
            projection.persons = persons(&answers);
            let names = answers.iter().filter(|(key, _)| key.starts_with("member#") && key.ends_with("/name"));
            let mut search = vec![projection.title.clone(), projection.label.clone(), text("address")];
            search.extend(names.filter_map(|(_, v)| if let Value::Text(t) = v { Some(t.clone()) } else { None }));
            projection.search = search.join(" ").to_lowercase();
        }
        "visit" => {
            projection.day = text("visit_date");
            projection.title = projection.day.clone();
            projection.label = text("result");
        }
        "screening" => {
            projection.day = text("screening_date");
            projection.title = projection.day.clone();
        }
        _ => {}
    }
    projection.doubts = doubts(record, &answers);
    projection
}

/// Members that are in the household: those with a name and without the mark of removal.
fn persons(answers: &std::collections::BTreeMap<String, Value>) -> u32 {
    let named = answers.iter().filter_map(|(key, _)| key.strip_prefix("member#")?.strip_suffix("/name"));
    let there = named.filter(|i| answers.get(&format!("member#{i}/@deleted")) != Some(&Value::Bool(true)));
    u32::try_from(there.count()).unwrap_or(u32::MAX)
}

/// Answers that don't fit their question's kind, choices or range.
fn doubts(record: &Record, answers: &std::collections::BTreeMap<String, Value>) -> u32 {
    let record_type = &record.identity().record_type;
    let core_type = record_type.split('.').next().unwrap_or(record_type);
    let Some(form) = Pack::built_in().form_of_type(core_type) else { return 0 };
    u32::try_from(answers.iter().filter(|(key, value)| form.check_answer(key, value).is_err()).count()).unwrap_or(u32::MAX)
}
