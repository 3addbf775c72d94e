//! What the register holds already: households by number, persons by ID number. Read from the projections, in pages.

use std::collections::{HashMap, HashSet};
use std::fmt;

use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::storage::{RecordFilter, Storage, StorageError, TownshipId};

use super::clean;

/// Records in one page.
const PAGE: u32 = 1_000;

/// How a household stands in the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the register.
    Present,
    /// An import made it and was undone: it may come back.
    Undone,
    /// Ended.
    Ended,
    /// It went to another township.
    Away,
}

/// A household of the register.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its record.
    pub record: RecordId,
    /// Where it is.
    pub area: AreaId,
    /// How it stands.
    pub standing: Standing,
}

/// The register of a township.
#[derive(Debug, Default)]
pub struct Content {
    households: Vec<Known>,
    numbers: Vec<Box<str>>,
    by_number: HashMap<Box<str>, Vec<u32>>,
    by_record: HashMap<RecordId, u32>,
    persons: HashMap<u64, Vec<(u32, Box<str>)>>,
    left: HashSet<(u32, Box<str>)>,
}

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nobody has it.
    None,
    /// One household, by its place.
    One(usize),
    /// Several that haven't ended.
    Several,
}

impl Content {
    /// Reads the households of a type (`household`) and their parts of the sensitive class.
    pub fn read(
        storage: &dyn Storage,
        township: TownshipId,
        record_type: &str,
        repeat: &str,
    ) -> Result<Self, StorageError> {
        let mut content = Self::default();
        each(storage, township, record_type, |row| {
            content.take_core(row.id, row.area, Answers::of(&row.projection.json, repeat))
        })?;
        each(storage, township, &format!("{record_type}.sensitive"), |row| {
            if let Some(core) = row.subject {
                content.take_sensitive(core, Answers::of(&row.projection.json, repeat));
            }
        })?;
        Ok(content)
    }

    fn take_core(&mut self, record: RecordId, area: AreaId, answers: Answers) {
        let at = self.households.len() as u32;
        let standing = match (answers.ended, answers.ended_why.as_deref()) {
            _ if area == AreaId::NOWHERE => Standing::Away,
            (false, _) => Standing::Present,
            (true, Some("error")) => Standing::Undone,
            (true, _) => Standing::Ended,
        };
        self.households.push(Known { record, area, standing });
        self.numbers.push(answers.number.as_str().into());
        self.by_record.insert(record, at);
        if !answers.number.is_empty() {
            self.by_number.entry(answers.number.into()).or_default().push(at);
        }
        self.left.extend(answers.left.into_iter().map(|instance| (at, instance)));
    }

    fn take_sensitive(&mut self, core: RecordId, answers: Answers) {
        let Some(at) = self.by_record.get(&core) else { return };
        for (instance, id) in answers.ids {
            if let Some(key) = clean::id_key(&id) {
                self.persons.entry(key).or_default().push((*at, instance));
            }
        }
    }

    /// True for a household's record.
    pub fn has_record(&self, record: RecordId) -> bool {
        self.by_record.contains_key(&record)
    }

    /// A household by its place.
    pub fn household(&self, at: usize) -> &Known {
        &self.households[at]
    }

    /// Its number.
    pub fn number(&self, at: usize) -> &str {
        &self.numbers[at]
    }

    /// The household of a number: one that hasn't ended counts before others.
    pub fn by_number(&self, number: &str) -> Found {
        let Some(all) = self.by_number.get(number) else { return Found::None };
        let of = |standing| all.iter().copied().filter(move |at| self.households[*at as usize].standing == standing);
        for standing in [Standing::Present, Standing::Undone, Standing::Ended, Standing::Away] {
            let mut found = of(standing);
            match (found.next(), found.next()) {
                (Some(one), None) => return Found::One(one as usize),
                (Some(_), Some(_)) if matches!(standing, Standing::Present | Standing::Undone) => {
                    return Found::Several;
                }
                (Some(one), Some(_)) => return Found::One(one as usize),
                _ => {}
            }
        }
        Found::None
    }

    /// Where a person with this ID number lives who hasn't left: households with instances.
    pub fn by_id(&self, id: &str) -> Vec<(usize, &str)> {
        let found = clean::id_key(id).and_then(|key| self.persons.get(&key));
        let present = found.into_iter().flatten().filter(|(at, instance)| {
            let standing = self.households[*at as usize].standing;
            standing == Standing::Present && !self.left.contains(&(*at, instance.clone()))
        });
        present.map(|(at, instance)| (*at as usize, &**instance)).collect()
    }
}

fn each(
    storage: &dyn Storage,
    township: TownshipId,
    record_type: &str,
    mut take: impl FnMut(crate::storage::RecordRow),
) -> Result<(), StorageError> {
    let mut filter = RecordFilter {
        record_type: Some(record_type.to_owned()),
        elsewhere: true,
        limit: PAGE,
        ..RecordFilter::default()
    };
    loop {
        let rows = storage.list_records(township, &filter)?;
        let full = rows.len() as u32 >= PAGE;
        filter.after = rows.last().map_or(filter.after, |r| r.born);
        rows.into_iter().for_each(&mut take);
        if !full {
            return Ok(());
        }
    }
}

/// What is needed of a record's answers.
#[derive(Debug, Default)]
struct Answers {
    number: String,
    ended: bool,
    ended_why: Option<String>,
    left: Vec<Box<str>>,
    ids: Vec<(Box<str>, String)>,
}

impl Answers {
    /// From a record's canonical JSON; what can't be read counts as nothing.
    fn of(json: &str, repeat: &str) -> Self {
        #[derive(Deserialize)]
        struct View {
            answers: Picked,
        }
        let picked = serde_json::from_str::<View>(json).map(|v| v.answers).unwrap_or_default();
        let mut answers = Self::default();
        for (key, value) in picked.0 {
            match key.as_str() {
                "household_no" => answers.number = value,
                "ended_on" => answers.ended = true,
                "ended_why" => answers.ended_why = Some(value),
                key => {
                    let rest = key.strip_prefix(repeat).and_then(|rest| rest.strip_prefix('#'));
                    let Some((instance, leaf)) = rest.and_then(|rest| rest.split_once('/')) else { continue };
                    match leaf {
                        "id_number" => answers.ids.push((instance.into(), value)),
                        _ => answers.left.push(instance.into()),
                    }
                }
            }
        }
        answers
    }
}

/// The few answers that count, those with a value.
#[derive(Debug, Default)]
struct Picked(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Picked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Picked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("answers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Picked, A::Error> {
                let mut picked = Picked::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let leaf = key.rsplit('/').next().unwrap_or_default();
                    if !matches!(leaf, "household_no" | "ended_on" | "ended_why" | "left_on" | "id_number" | "@deleted")
                    {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    match map.next_value::<serde_json::Value>()? {
                        serde_json::Value::String(text) => picked.0.push((key.into_owned(), text)),
                        serde_json::Value::Bool(true) => picked.0.push((key.into_owned(), String::new())),
                        _ => {}
                    }
                }
                Ok(picked)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
