//! The canonical JSON of a record and its differences, from one walk over its maps.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::id::{ActorId, ChangeHash, UserId};

use super::state::{Past, Put};
use super::{FormRef, Record, Section, Value};

/// What readers see of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Canonical JSON: the same heads give the same bytes.
    pub json: String,
    /// Where concurrent changes disagree.
    pub differences: Vec<Difference>,
}

/// Two or more concurrent values under one key, not all equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// In which map.
    pub section: Section,
    /// Under which key.
    pub key: String,
    /// The value that every reader sees first, then the others.
    pub values: Vec<DifferingValue>,
}

/// One of the values of a difference.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferingValue {
    /// The value.
    pub value: Value,
    /// Its author.
    pub actor: ActorId,
    /// The user.
    pub user: UserId,
    /// The form.
    pub form: Option<FormRef>,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
    /// The change that put it.
    pub change: ChangeHash,
}

impl Record {
    /// The record's canonical JSON and its differences.
    pub fn view(&self) -> View {
        self.walk(None, |_, _| {})
    }

    /// The record as it was at these heads: canonical JSON and differences. The same heads give the same bytes, whatever came
    /// after them; heads that aren't in the record count for nothing.
    pub fn view_at(&self, heads: &[ChangeHash]) -> View {
        self.walk(Some(&self.state.past(heads)), |_, _| {})
    }

    /// The answers that every reader saw at these heads.
    pub fn answers_at(&self, heads: &[ChangeHash]) -> BTreeMap<String, Value> {
        let mut answers = BTreeMap::new();
        self.walk(Some(&self.state.past(heads)), |key, value| {
            answers.insert(key.to_owned(), value.clone());
        });
        answers
    }

    /// The view and the answers that every reader sees, from the same walk.
    pub fn view_and_answers(&self) -> (View, BTreeMap<String, Value>) {
        let mut answers = Vec::new();
        let view = self.walk(None, |key, value| answers.push((key.to_owned(), value.clone())));
        (view, answers.into_iter().collect())
    }

    fn walk(&self, at: Option<&Past>, mut answer: impl FnMut(&str, &Value)) -> View {
        let mut json = Vec::with_capacity(1024);
        let mut differences = Vec::new();
        json.extend_from_slice(b"{\"type\":");
        push_json(&mut json, &self.identity.record_type);
        json.extend_from_slice(b",\"key\":");
        push_json(&mut json, &self.identity.key);
        for section in [Section::Answers, Section::Events, Section::Files] {
            json.extend_from_slice(b",");
            push_json(&mut json, &section);
            json.extend_from_slice(b":");
            self.write_map((section, at), &mut json, &mut differences, &mut answer);
        }
        json.extend_from_slice(b",\"differences\":");
        push_json(&mut json, &differences.iter().map(Difference::to_json).collect::<Vec<_>>());
        json.extend_from_slice(b"}");
        #[expect(clippy::expect_used, reason = "serde_json and the texts of events are UTF-8")]
        let json = String::from_utf8(json).expect("JSON is UTF-8");
        View { json, differences }
    }

    fn write_map(
        &self,
        (section, at): (Section, Option<&Past>),
        json: &mut Vec<u8>,
        differences: &mut Vec<Difference>,
        answer: &mut impl FnMut(&str, &Value),
    ) {
        let mut separator: &[u8] = b"{";
        for (key, puts) in self.state.puts(section) {
            let visible = self.state.visible_of(puts, at);
            let Some(first) = visible.first() else { continue };
            json.extend_from_slice(std::mem::replace(&mut separator, b","));
            push_json(json, key);
            json.extend_from_slice(b":");
            if visible.iter().any(|put| put.value != first.value) {
                let values = visible.iter().map(|put| self.differing(put)).collect();
                differences.push(Difference { section, key: key.to_owned(), values });
            }
            match (&first.value, section) {
                (value, Section::Answers) => {
                    push_json(json, value);
                    answer(key, value);
                }
                // a compact JSON object already: the guard saw to that
                (Value::Text(object), _) => json.extend_from_slice(object.as_bytes()),
                _ => json.extend_from_slice(b"null"),
            }
        }
        json.extend_from_slice(if separator == b"{" { b"{}" } else { b"}" });
    }

    fn differing(&self, put: &Put) -> DifferingValue {
        let by = self.state.put_by(put);
        DifferingValue {
            value: put.value.clone(),
            actor: by.actor,
            user: by.note.user,
            form: by.note.form.clone(),
            claimed_s: by.claimed_s,
            change: by.hash,
        }
    }
}

/// Appends a value's JSON.
fn push_json<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    #[expect(clippy::expect_used, reason = "ids, texts, scalars and JSON values can always be written into memory")]
    serde_json::to_writer(json, value).expect("plain data");
}

impl Difference {
    fn to_json(&self) -> serde_json::Value {
        let values: Vec<_> = self.values.iter().map(DifferingValue::to_json).collect();
        match self.section {
            Section::Answers => json!({"key": self.key, "values": values}),
            section => json!({"section": section, "key": self.key, "values": values}),
        }
    }
}

impl DifferingValue {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "value": self.value.to_json(),
            "actor": self.actor,
            "user": self.user,
            "form": self.form.as_ref().map(ToString::to_string),
            "claimed_s": self.claimed_s,
            "change": self.change,
        })
    }
}
