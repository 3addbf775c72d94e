//! The canonical JSON of a record and its differences, from one walk over its maps.

use std::fmt::Write;

use automerge::ReadDoc;
use serde_json::json;

use crate::id::{ActorId, ChangeHash, UserId};

use super::guard::op_key;
use super::{FormRef, Record, Section, Value, scalar};

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
        let key: Vec<String> = self.identity.key.iter().map(ToString::to_string).collect();
        let mut json = format!("{{\"type\":{},\"key\":{}", json!(self.identity.record_type), json!(key));
        let mut differences = Vec::new();
        for (name, section) in [("answers", Section::Answers), ("events", Section::Events), ("files", Section::Files)] {
            let _ = write!(json, ",\"{name}\":");
            self.write_map(section, &mut json, &mut differences);
        }
        json.push_str(",\"differences\":[");
        for (i, difference) in differences.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            let _ = write!(json, "{}", difference.to_json());
        }
        json.push_str("]}");
        View { json, differences }
    }

    fn write_map(&self, section: Section, json: &mut String, differences: &mut Vec<Difference>) {
        json.push('{');
        let mut first = true;
        for item in self.doc.map_range(self.genesis.map(section), ..) {
            let Some(value) = scalar(&item.value) else { continue };
            if !std::mem::take(&mut first) {
                json.push(',');
            }
            let _ = write!(json, "{}:", json!(item.key));
            match (&value, section) {
                (value, Section::Answers) => drop(write!(json, "{}", value.to_json())),
                (Value::Text(object), _) => json.push_str(object),
                _ => json.push_str("null"),
            }
            if item.conflict {
                differences.extend(self.difference(section, &item.key));
            }
        }
        json.push('}');
    }

    fn difference(&self, section: Section, key: &str) -> Option<Difference> {
        let mut values = Vec::new();
        for (value, id) in self.doc.get_all(self.genesis.map(section), key).ok()? {
            let value = value.as_scalar().and_then(Value::from_scalar)?;
            let change = ChangeHash(self.doc.hash_for_opid(&id)?.0);
            let info = self.author_of(&change)?;
            let (user, form) = (info.note.user, info.note.form);
            values.push((op_key(&id)?, DifferingValue { value, actor: info.actor, user, form, claimed_s: info.claimed_s, change }));
        }
        values.sort_by(|a, b| b.0.cmp(&a.0));
        let values: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
        let differ = values.windows(2).any(|w| w[0].value != w[1].value);
        differ.then(|| Difference { section, key: key.to_owned(), values })
    }
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
