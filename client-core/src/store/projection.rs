//! What lists and search need of a record, computed from the merged document. A cache: rebuilt whenever a record changes.

use std::collections::BTreeMap;

use crate::record::{Record, Value};

/// The columns that lists show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Projection {
    pub title: String,
    pub label: String,
    pub search: String,
    pub status: String,
    pub persons: u32,
    pub day: String,
    pub differences: u32,
}

/// Projects a merged record.
pub(super) fn project(record: &Record) -> Projection {
    let answers = record.answers();
    let text = |key: &str| match answers.get(key) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Int(n)) => n.to_string(),
        _ => String::new(),
    };
    let differences = record.view().differences.len();
    let mut projection = Projection { differences: clamp(differences), ..Projection::default() };
    match record.identity().record_type.as_str() {
        "household" => {
            projection.title = text("head_name");
            projection.label = text("household_no");
            projection.status = text("status");
            projection.persons = persons(&answers);
            let mut search = vec![projection.title.clone(), projection.label.clone(), text("address")];
            search.extend(answers.iter().filter(|(key, _)| is_member_name(key)).filter_map(|(_, value)| match value {
                Value::Text(name) => Some(name.clone()),
                _ => None,
            }));
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
    projection
}

fn is_member_name(key: &str) -> bool {
    key.starts_with("member#") && key.ends_with("/name")
}

/// Members that are in the household: those with a name and without the mark of removal.
fn persons(answers: &BTreeMap<String, Value>) -> u32 {
    let named = answers.keys().filter_map(|key| key.strip_prefix("member#")?.strip_suffix("/name"));
    let there = named.filter(|i| answers.get(&format!("member#{i}/@deleted")) != Some(&Value::Bool(true)));
    clamp(there.count())
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
