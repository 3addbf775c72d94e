//! The documents of a bench: read from the JSON lines of the peers' workload, or from the invented township.

use std::collections::HashMap;
use std::path::Path;

use doorstep_core::clock::SeededEntropy;
use doorstep_core::id::{RecordId, RecordIdMaker};
use doorstep_core::record::Value;
use serde_json::Value as Json;

use super::Fault;
use crate::demo::answers::{screening_answers, visit_answers};
use crate::demo::township::Township;

/// Seed of everything invented here.
const SEED: u64 = 42;
/// The day of invented visits.
const DAY: &str = "2026-11-23";

/// One document: a record with all its answers in the core class.
#[derive(Debug, Clone)]
pub struct Document {
    /// The record.
    pub id: RecordId,
    /// Type.
    pub record_type: &'static str,
    /// Index of the village.
    pub village: usize,
    /// The household that it is about.
    pub subject: Option<RecordId>,
    /// Answers by compound key.
    pub answers: Vec<(String, Value)>,
    /// The same document as a JSON text.
    pub json: String,
}

/// All documents.
#[derive(Debug, Clone)]
pub struct Workload {
    /// How many villages.
    pub villages: usize,
    /// Households.
    pub households: Vec<Document>,
    /// Visits.
    pub visits: Vec<Document>,
}

impl Workload {
    /// Reads JSON lines, one document each.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path)?;
        let ids = RecordIdMaker::new(&SeededEntropy::new(SEED));
        let mut workload = Self { villages: 0, households: Vec::new(), visits: Vec::new() };
        let mut known: HashMap<String, RecordId> = HashMap::new();
        for line in text.lines() {
            let json: Json = serde_json::from_str(line)?;
            let id = ids.next_id();
            known.insert(json["_id"].as_str().ok_or("a document without _id")?.to_owned(), id);
            let village = json["village"].as_u64().ok_or("a document without village")? as usize;
            workload.villages = workload.villages.max(village + 1);
            let subject = json["household"].as_str().and_then(|h| known.get(h).copied());
            let mut document =
                Document { id, record_type: "visit", village, subject, answers: Vec::new(), json: line.to_owned() };
            flatten("", &json, &mut document.answers);
            document.answers.retain(|(key, _)| !matches!(key.as_str(), "_id" | "type" | "village" | "household"));
            if json["type"] == "household" {
                document.record_type = "household";
                workload.households.push(document);
            } else {
                workload.visits.push(document);
            }
        }
        Ok(workload)
    }

    /// Takes households of the invented township and visits in turn until there are enough.
    pub fn invent(households: usize, visits: usize) -> Self {
        let (township, entropy) = (Township::invent(SEED), SeededEntropy::new(SEED));
        let ids = RecordIdMaker::new(&entropy);
        let all = &township.households;
        let households = households.clamp(1, all.len());
        // spread evenly, so that all villages have a part in a smaller selection
        let seeds: Vec<_> = (0..households).map(|i| &all[i * all.len() / households]).collect();
        let document = |id, record_type, village, subject, answers: Vec<(String, Value)>| {
            let json = to_json(&answers);
            Document { id, record_type, village, subject, answers, json }
        };
        let visit = |n: usize| {
            let seed = seeds[n % seeds.len()];
            document(ids.next_id(), "visit", seed.village, Some(seed.id), visit_answers(&entropy, seed, DAY))
        };
        Self {
            villages: township.villages.len(),
            households: seeds.iter().map(|s| document(s.id, "household", s.village, None, s.answers.clone())).collect(),
            visits: (0..visits).map(visit).collect(),
        }
    }

    /// Screenings of these households, with the answers of invented ones.
    pub fn screenings(&self, count: usize) -> Vec<Document> {
        let (township, entropy) = (Township::invent(SEED), SeededEntropy::new(SEED ^ 1));
        let ids = RecordIdMaker::new(&entropy);
        let screening = |(household, seed): (&Document, &_)| {
            let answers = screening_answers(&entropy, seed, DAY);
            let json = to_json(&answers);
            let (id, subject) = (ids.next_id(), Some(household.id));
            Document { id, record_type: "screening", village: household.village, subject, answers, json }
        };
        self.households.iter().cycle().zip(township.households.iter().cycle()).take(count).map(screening).collect()
    }

    /// `count` visits in these villages, from the `skip`th on.
    pub fn visits_of(&self, villages: &[usize], skip: usize, count: usize) -> Vec<Document> {
        let fit: Vec<&Document> = self.visits.iter().filter(|v| villages.contains(&v.village)).collect();
        fit.into_iter().cycle().skip(skip).take(count).cloned().collect()
    }
}

/// Nested objects become dotted names, arrays of objects become repeats.
fn flatten(place: &str, json: &Json, answers: &mut Vec<(String, Value)>) {
    let value = match json {
        Json::Object(object) => {
            for (name, value) in object {
                let key = if place.is_empty() || place.ends_with('/') {
                    format!("{place}{name}")
                } else {
                    format!("{place}.{name}")
                };
                flatten(&key, value, answers);
            }
            return;
        }
        Json::Array(list) => {
            let repeat = place.strip_suffix('s').unwrap_or(place);
            for (index, value) in list.iter().enumerate() {
                flatten(&format!("{repeat}#m{}/", index + 1), value, answers);
            }
            return;
        }
        Json::Null => Value::Blank,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::from(n.as_f64().unwrap_or_default()),
        },
    };
    answers.push((place.to_owned(), value));
}

fn to_json(answers: &[(String, Value)]) -> String {
    Json::Object(answers.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()).to_string()
}

/// What documents are as JSON lines, and as those with zstd level 9, in bytes.
pub fn json_sizes<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<(usize, usize), Fault> {
    let mut lines = String::new();
    for document in documents {
        lines.push_str(&document.json);
        lines.push('\n');
    }
    Ok((lines.len(), zstd::bulk::compress(lines.as_bytes(), 9)?.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_objects_and_lists_become_compound_keys() {
        let json: Json = serde_json::json!({
            "checks": {"housing": {"result": "ok"}}, "members": [{"name": "甲"}, {"name": "乙"}], "m2": 80, "mu": 1.5, "none": null
        });
        let mut answers = Vec::new();
        flatten("", &json, &mut answers);
        let expected = [
            ("checks.housing.result", Value::from("ok")),
            ("member#m1/name", Value::from("甲")),
            ("member#m2/name", Value::from("乙")),
            ("m2", Value::Int(80)),
            ("mu", Value::Number(1.5)),
            ("none", Value::Blank),
        ];
        assert_eq!(answers, expected.map(|(key, value)| (key.to_owned(), value)));
    }
}
