//! Households and members that may stand in the register twice: found over the whole township, with a score and its reasons.
//!
//! Only those are compared that share something telling, such as an ID number or name and birth, so that the work grows with
//! the register and not with its square. ID numbers and phone numbers are compared as digests and never shown.

mod score;

use std::collections::{BTreeMap, HashMap, HashSet};

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, first16};
use doorstep_core::link::{self, Side};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Service;
use crate::limits;
use crate::storage::{RecordFilter, StorageError, TownshipId};

pub use score::Reason;

/// Candidates that are kept, the likeliest ones.
pub const CANDIDATES_MAX: usize = 1_000;
/// What more share than these tells nothing: a name that half a village has.
const BLOCK_MAX: usize = 20;
/// Persons of one household that are looked at.
const PERSONS_MAX: usize = 60;
/// Pairs that are compared, at most.
const PAIRS_MAX: usize = 2_000_000;

/// Two that may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The two; with members where it is about persons.
    pub sides: (Side, Side),
    /// What they are called: the heads of the households, or the members.
    pub names: (String, String),
    /// Where they lie.
    pub areas: (AreaId, AreaId),
    /// 1 to 100: the higher, the likelier.
    pub score: u32,
    /// Why, the weightiest first.
    pub reasons: Vec<Reason>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The likeliest first.
    pub candidates: Vec<Candidate>,
    /// There are more than are kept.
    pub has_more: bool,
    /// When.
    pub as_of_ms: Millis,
    /// Households that were looked at.
    pub households: usize,
    /// Pairs that were compared.
    pub compared: usize,
}

/// A household as it is compared.
#[derive(Debug, Clone, Default)]
struct Household {
    id: Option<RecordId>,
    area: Option<AreaId>,
    head: String,
    address: String,
    number: String,
    phone: Option<Mark>,
    persons: Vec<Person>,
}

/// A digest of what is compared and never shown.
type Mark = [u8; 16];

#[derive(Debug, Clone, Default, PartialEq)]
struct Person {
    instance: String,
    /// As written.
    shown: String,
    /// As compared.
    name: String,
    birth: String,
    relation: String,
    id_number: Option<Mark>,
}

#[derive(Deserialize)]
struct Merged {
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

impl Merged {
    fn text(&self, key: &str) -> String {
        self.answers.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
    }
}

/// A name as it is compared: without spaces and points, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn mark(purpose: &str, text: &str) -> Option<Mark> {
    let text = plain(text);
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update(&text);
    (!text.is_empty()).then(|| first16(&hash.finalize()))
}

/// The repeat instance and question of a member's answer.
fn of_member(key: &str) -> Option<(&str, &str)> {
    let (instance, question) = key.strip_prefix("member#")?.split_once('/')?;
    (!question.contains('/')).then_some((instance, question))
}

impl Household {
    fn read(id: RecordId, area: AreaId, merged: &Merged) -> Self {
        let mut persons: BTreeMap<&str, Person> = BTreeMap::new();
        let mut gone = HashSet::new();
        for (key, value) in &merged.answers {
            let Some((instance, question)) = of_member(key) else { continue };
            let text = value.as_str().unwrap_or_default().trim();
            let person = persons.entry(instance).or_default();
            match question {
                "name" => (person.shown, person.name) = (text.to_owned(), plain(text)),
                "birth" => text.clone_into(&mut person.birth),
                "relation" => text.clone_into(&mut person.relation),
                "left_on" if !text.is_empty() => drop(gone.insert(instance)),
                "@deleted" if value == &Value::Bool(true) => drop(gone.insert(instance)),
                _ => {}
            }
        }
        let persons =
            persons.into_iter().filter(|(instance, person)| !gone.contains(instance) && !person.name.is_empty());
        let person = |(instance, person): (&str, Person)| Person { instance: instance.to_owned(), ..person };
        Self {
            id: Some(id),
            area: Some(area),
            head: merged.text("head_name"),
            address: plain(&(merged.text("hamlet") + &merged.text("address"))),
            number: plain(&merged.text("national_no")),
            phone: None,
            persons: persons.take(PERSONS_MAX).map(person).collect(),
        }
    }

    /// Adds what stands in the sensitive part.
    fn add_sensitive(&mut self, merged: &Merged) {
        self.phone = mark("phone", &merged.text("phone"));
        for person in &mut self.persons {
            person.id_number = mark("id", &merged.text(&format!("member#{}/id_number", person.instance)));
        }
    }

    fn side(&self, person: Option<&Person>) -> Option<Side> {
        Some(Side { household: self.id?, member: person.map(|p| p.instance.clone()) })
    }
}

/// What a household or person may share with others that are the same: a short text that names kind and value.
fn blocks(household: &Household, mut add: impl FnMut([u8; 16])) {
    let mut of = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        add(first16(&hash.finalize()));
    };
    let area = household.area.map(|a| a.0).unwrap_or_default();
    let head = plain(&household.head);
    if !head.is_empty() {
        of(&[b"head", head.as_bytes(), &area]);
    }
    if !household.number.is_empty() {
        of(&[b"number", household.number.as_bytes()]);
    }
    if let Some(phone) = &household.phone {
        of(&[b"phone", phone]);
    }
    for person in &household.persons {
        if let Some(number) = &person.id_number {
            of(&[b"id", number]);
        }
        if let Some(year) = person.birth.get(..4) {
            of(&[b"year", person.name.as_bytes(), year.as_bytes()]);
        }
        of(&[b"name", person.name.as_bytes(), &area]);
    }
}

/// Finds candidates among households.
fn find(households: &[Household]) -> Found {
    let mut sharing: HashMap<[u8; 16], Vec<u32>> = HashMap::new();
    for (at, household) in households.iter().enumerate() {
        blocks(household, |block| {
            let those = sharing.entry(block).or_default();
            if those.len() <= BLOCK_MAX && those.last() != Some(&(at as u32)) {
                those.push(at as u32);
            }
        });
    }
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    let mut left_out = false;
    for those in sharing.into_values().filter(|those| those.len() <= BLOCK_MAX) {
        for (n, one) in those.iter().enumerate() {
            pairs.extend(those[n + 1..].iter().map(|other| (*one, *other)));
        }
        if pairs.len() > 4 * PAIRS_MAX {
            pairs.sort_unstable();
            pairs.dedup();
            left_out |= pairs.len() > PAIRS_MAX;
            pairs.truncate(PAIRS_MAX);
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    left_out |= pairs.len() > PAIRS_MAX;
    pairs.truncate(PAIRS_MAX);
    let mut found = Found { households: households.len(), compared: pairs.len(), ..Found::default() };
    for (one, other) in pairs {
        found.candidates.extend(score::pair(&households[one as usize], &households[other as usize]));
    }
    for household in households {
        found.candidates.extend(score::within(household));
    }
    found.candidates.sort_by(|a, b| (b.score, &a.sides).cmp(&(a.score, &b.sides)));
    found.has_more = left_out || found.candidates.len() > CANDIDATES_MAX;
    found.candidates.truncate(CANDIDATES_MAX);
    found
}

impl Service {
    /// Finds candidates in a township. Reads all its households: [`super::desk::Desk::duplicates`] keeps what was found.
    pub fn find_duplicates(&self, township: TownshipId) -> Result<Found, StorageError> {
        let mut households: Vec<Household> = Vec::new();
        let mut place: HashMap<RecordId, usize> = HashMap::new();
        let united = self.storage.united(township)?;
        for record_type in ["household", "household.sensitive"] {
            let mut after = 0;
            loop {
                let filter = RecordFilter {
                    record_type: Some(record_type.to_owned()),
                    after,
                    limit: limits::PAGE_ROWS_MAX,
                    ..RecordFilter::default()
                };
                let rows = self.storage.list_records(township, &filter)?;
                let Some(last) = rows.last() else { break };
                after = last.born;
                for row in &rows {
                    let Ok(merged) = serde_json::from_str::<Merged>(&row.projection.json) else { continue };
                    if row.core != row.id {
                        if let Some(at) = place.get(&row.core) {
                            households[*at].add_sensitive(&merged);
                        }
                    } else if merged.text("ended_on").is_empty() && !united.contains_key(&row.id) {
                        place.insert(row.id, households.len());
                        households.push(Household::read(row.id, row.area, &merged));
                    }
                }
            }
        }
        Ok(Found { as_of_ms: self.clock.now_ms(), ..find(&households) })
    }
}

/// The natural key of the link of a candidate's two.
pub fn link_key(candidate: &Candidate) -> Vec<RecordId> {
    link::identity(&candidate.sides.0, &candidate.sides.1).map(|identity| identity.key).unwrap_or_default()
}

#[cfg(test)]
mod tests;
