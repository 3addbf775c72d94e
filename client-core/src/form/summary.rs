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
    /// The question of that repeat with the day on which the person joined; blank for one who always belonged to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub joined: String,
    /// The question of that repeat with the day on which the person left: whoever left is no person any more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub absent: String,
    /// The question with the day on which the record ended: it has no persons any more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ended: String,
    /// Questions that search looks in; `repeat/question` for those of a repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}

impl ListColumns {
    /// True when lists show nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many persons belonged to the record on a day (`YYYY-MM-DD`): who joined on that day is one, who left on it isn't
    /// any more. A record that had ended by then has none.
    pub fn persons_on(&self, answers: &BTreeMap<String, Value>, day: &str) -> u32 {
        let by_then = |key: &str| match answers.get(key).map(shown) {
            Some(text) if !text.is_empty() => Some(text.as_str() <= day),
            _ => None,
        };
        if self.persons.is_empty() || by_then(&self.ended) == Some(true) {
            return 0;
        }
        let belongs = |key: &String| {
            let Some(instance) = self.instance_of_person(key, answers) else { return false };
            let since = by_then(&format!("{instance}/{}", self.joined));
            let until = by_then(&format!("{instance}/{}", self.absent));
            since != Some(false) && until != Some(true)
        };
        u32::try_from(answers.keys().filter(|key| belongs(key)).count()).unwrap_or(u32::MAX)
    }

    /// The instance, as `member#a1`, for the `name` of one of the repeat of persons that isn't marked as removed: each person
    /// has one name, and counts once.
    pub fn instance_of_person<'a>(&self, key: &'a str, answers: &BTreeMap<String, Value>) -> Option<&'a str> {
        let instance = key.strip_suffix("/name")?;
        instance.strip_prefix(self.persons.as_str())?.strip_prefix('#')?;
        (answers.get(&format!("{instance}/@deleted")) != Some(&Value::Bool(true))).then_some(instance)
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
    /// Persons that belong to it now.
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
        let has_persons = !columns.persons.is_empty() && text(&columns.ended).is_empty();
        for (key, value) in answers {
            if !columns.search.is_empty() && columns.search.iter().any(|wanted| is_of(wanted, key)) {
                found.push(shown(value));
            }
            persons += usize::from(
                has_persons
                    && columns.instance_of_person(key, answers).is_some_and(|instance| {
                        columns.absent.is_empty() || text(&format!("{instance}/{}", columns.absent)).is_empty()
                    }),
            );
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]
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
    fn who_left_and_an_ended_household_count_no_more() {
        let text = |t: &str| Value::Text(t.to_owned());
        let mut household = answers(&[
            ("member#a/name", text("Wang")),
            ("member#a/left_on", text("2020-05-02")),
            ("member#b/name", text("Zhao")),
            ("member#b/left_on", Value::Blank),
            ("member#c/name", text("Qian")),
            ("member#c/joined_on", text("2020-06-01")),
        ]);
        let persons = |answers: &_| Summary::of("household", answers).persons;
        assert_eq!(persons(&household), 2);
        household.insert("ended_on".to_owned(), Value::Blank);
        assert_eq!(persons(&household), 2);
        household.insert("ended_on".to_owned(), text("2020-07-01"));
        assert_eq!(persons(&household), 0);
    }

    #[test]
    fn persons_on_a_day_are_those_who_joined_by_then_and_had_not_left() {
        let text = |t: &str| Value::Text(t.to_owned());
        let household = answers(&[
            ("member#a/name", text("Wang")),
            ("member#b/name", text("Zhao")),
            ("member#b/joined_on", text("2020-03-01")),
            ("member#b/left_on", text("2020-05-02")),
            ("member#c/name", text("Qian")),
            ("member#c/left_on", text("2020-06-01")),
            ("member#d/name", text("Sun")),
            ("member#d/@deleted", Value::Bool(true)),
            ("ended_on", text("2020-12-31")),
        ]);
        let form = Pack::built_in().form_of_type("household").unwrap();
        let on = |day: &str| form.list.persons_on(&household, day);
        assert_eq!((on("2020-02-29"), on("2020-03-01"), on("2020-05-01")), (2, 3, 3));
        assert_eq!((on("2020-05-02"), on("2020-06-01"), on("2020-12-30")), (2, 1, 1));
        assert_eq!(on("2020-12-31"), 0);
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
            let ListColumns { title, label, status, day, joined, absent, ended, .. } = columns;
            for name in [title, label, status, day, joined, absent, ended] {
                assert!(name.is_empty() || form.question(name).is_some(), "{}: {name}", form.name);
            }
            for name in &columns.search {
                let leaf = name.rsplit('/').next().unwrap_or_default();
                assert!(form.question(leaf).is_some(), "{}: {name}", form.name);
            }
        }
    }
}
