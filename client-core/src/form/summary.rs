//! What lists, search and figures need of a record, by the rule that its form gives. The same on phone and server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pack::Pack;
use crate::record::Value;

/// Which answers lists show; empty names show nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListColumns {
    /// The question whose answer is the title.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The question of the second column.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The question with the status.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The question with the day that the record is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub day: String,
    /// The repeat whose instances are persons.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub persons: String,
    /// Questions that search looks in; `repeat/question` for those of a repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}

impl ListColumns {
    /// True when lists show nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A record in lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Title.
    pub title: String,
    /// Second column.
    pub label: String,
    /// Lower-case text that search looks in.
    pub search: String,
    /// Status, a name from the pack.
    pub status: String,
    /// The day, `YYYY-MM-DD`.
    pub day: String,
    /// Persons that weren't removed.
    pub persons: u32,
}

impl Summary {
    /// Summarises a record's winning answers. Records of a type without form, and parts (`household.sensitive`), have none.
    pub fn of(record_type: &str, answers: &BTreeMap<String, Value>) -> Self {
        Pack::built_in().form_of_type(record_type).map_or_else(Self::default, |form| Self::by(&form.list, answers))
    }

    /// Summarises winning answers by what their form shows in lists.
    pub fn by(columns: &ListColumns, answers: &BTreeMap<String, Value>) -> Self {
        let text = |question: &str| answers.get(question).map(shown).unwrap_or_default();
        let mut summary = Self {
            title: text(&columns.title),
            label: text(&columns.label),
            status: text(&columns.status),
            day: text(&columns.day),
            ..Self::default()
        };
        let mut found = Vec::new();
        let mut persons = 0usize;
        for (key, value) in answers {
            if !columns.search.is_empty() && columns.search.iter().any(|wanted| is_of(wanted, key)) {
                found.push(shown(value));
            }
            persons += usize::from(!columns.persons.is_empty() && is_person(&columns.persons, key, answers));
        }
        summary.search = found.join(" ").to_lowercase();
        summary.persons = u32::try_from(persons).unwrap_or(u32::MAX);
        summary
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        _ => String::new(),
    }
}

/// True when a key is of the question `question`, or of `repeat/question` in any instance.
fn is_of(wanted: &str, key: &str) -> bool {
    match wanted.split_once('/') {
        None => wanted == key,
        Some((repeat, question)) => key.strip_prefix(repeat).is_some_and(|rest| {
            rest.strip_prefix('#').and_then(|rest| rest.split_once('/')).is_some_and(|(_, leaf)| leaf == question)
        }),
    }
}

/// True for the `name` of an instance of the repeat that isn't marked as removed: each person counts once.
fn is_person(repeat: &str, key: &str, answers: &BTreeMap<String, Value>) -> bool {
    let Some(instance) = key.strip_prefix(repeat).and_then(|k| k.strip_prefix('#')?.strip_suffix("/name")) else {
        return false;
    };
    let removed = answers.get(&format!("{repeat}#{instance}/@deleted"));
    removed != Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
    }

    #[test]
    fn a_household_shows_its_head_and_counts_members_that_were_not_removed() {
        let text = |t: &str| Value::Text(t.to_owned());
        let summary = Summary::of(
            "household",
            &answers(&[
                ("head_name", text("Li Si")),
                ("household_no", text("0001")),
                ("status", text("out")),
                ("member#a/name", text("Wang")),
                ("member#b/name", text("Zhao")),
                ("member#b/@deleted", Value::Bool(true)),
                ("member#c/name", text("Qian")),
                ("member#c/@deleted", Value::Bool(false)),
                ("remark", text("nothing to look for")),
            ]),
        );
        assert_eq!((summary.title.as_str(), summary.label.as_str(), summary.status.as_str()), ("Li Si", "0001", "out"));
        assert_eq!(summary.persons, 2);
        assert!(summary.search.contains("wang") && summary.search.contains("0001"));
        assert!(!summary.search.contains("look for"));
    }

    #[test]
    fn a_part_with_sensitive_answers_shows_nothing_in_lists() {
        let summary = Summary::of("household.sensitive", &answers(&[("phone", Value::Text("1".into()))]));
        assert_eq!(summary, Summary::default());
    }

    #[test]
    fn every_question_that_a_form_lists_is_one_of_its_questions() {
        for form in Pack::built_in().forms() {
            let columns = &form.list;
            for name in [&columns.title, &columns.label, &columns.status, &columns.day] {
                assert!(name.is_empty() || form.question(name).is_some(), "{}: {name}", form.name);
            }
            for name in &columns.search {
                let leaf = name.rsplit('/').next().unwrap_or_default();
                assert!(form.question(leaf).is_some(), "{}: {name}", form.name);
            }
        }
    }
}
