//! An event corrected after it was finished: what it wrote follows, where it still stands as it was written.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answers, Effects, Households, LifeEvent, told};
use crate::form::index::EVENTS;
use crate::form::{AnswerKey, Form};
use crate::id::{ActorId, ChangeHash, RecordId};
use crate::record::key::Leaf;
use crate::record::{FormRef, HistoryEntry, Record, Section, Value};

/// What an event wrote to a household, by key: the value, and the one that it replaced (blank for none).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    values: BTreeMap<String, (Value, Value)>,
    /// How often the event was applied.
    times: usize,
}

/// Who wrote, when, with which form: what the documents of one household have in common that an event wrote at once.
type Writer = (ActorId, i64, Option<FormRef>);

impl Written {
    /// Finds what an event wrote in the documents of a household, the core one first.
    pub fn by(event: &LifeEvent<'_>, documents: &[&Record]) -> Self {
        let mut written = Self::default();
        let mut writers: BTreeSet<Writer> = BTreeSet::new();
        for record in documents {
            let history = record.history();
            let mut others: BTreeSet<ChangeHash> = BTreeSet::new();
            for entry in history.iter().filter(|e| e.key.starts_with(EVENTS)) {
                if is_mark_of(event, &entry.key) {
                    writers.insert(writer(entry));
                    written.times += 1;
                } else {
                    others.insert(entry.change);
                }
            }
            let own = |e: &&HistoryEntry| e.section == Section::Answers && !e.key.starts_with(EVENTS);
            for entry in history.iter().filter(own) {
                if writers.contains(&writer(entry)) && !others.contains(&entry.change) {
                    let replaced = entry.previous.first().cloned().unwrap_or(Value::Blank);
                    let value = written.values.entry(entry.key.clone()).or_insert((Value::Blank, replaced));
                    value.0 = entry.value.clone();
                }
            }
        }
        written
    }

    /// True when the event was never applied.
    pub fn is_empty(&self) -> bool {
        self.times == 0
    }
}

fn writer(entry: &HistoryEntry) -> Writer {
    (entry.actor, entry.claimed_s, entry.form.clone())
}

fn is_mark_of(event: &LifeEvent<'_>, key: &str) -> bool {
    key.strip_prefix(&event.mark()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A household as it is now, with what the event wrote to it earlier.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// Its answers, those of all classes that are at hand.
    pub answers: Answers,
    /// What the event wrote.
    pub written: Written,
}

/// What a corrected event writes: where what it wrote before still stands, what it says now, or what stood there before the
/// event. What somebody has changed since stays as it is. A person whom the event no longer makes is removed; a household
/// that it no longer makes ends as registered by mistake. `households` are all at hand that the event says or said something
/// about; `own` is its subject, `made` the household that it makes.
pub fn corrected(
    event: &LifeEvent<'_>,
    form: &Form,
    own: RecordId,
    made: Option<RecordId>,
    households: &BTreeMap<RecordId, Touched>,
) -> Effects {
    let before: BTreeMap<RecordId, Answers> = households.iter().map(|(id, t)| (*id, rewound(t))).collect();
    let Some(own_answers) = before.get(&own) else { return Effects::default() };
    let other = event.other_household().and_then(|id| Some((id, before.get(&id)?)));
    let mut new = super::effects(event, &Households { form, own: (own, own_answers), other });
    let known = made.filter(|id| households.get(id).is_some_and(|touched| !touched.written.is_empty()));
    if let Some(id) = known {
        let answers = match new.made.take() {
            Some(made) => made.answers,
            None => ended_by_mistake(event, form),
        };
        new.changed.insert(id, answers);
    }
    for id in households.keys() {
        new.changed.entry(*id).or_default();
    }
    for (id, answers) in &mut new.changed {
        if let Some(touched) = households.get(id) {
            *answers = difference(event, form, touched, std::mem::take(answers), known == Some(*id));
        }
    }
    new.changed.retain(|_, answers| !answers.is_empty());
    new
}

/// A household's answers as they would be without the event, but for what was changed since.
fn rewound(touched: &Touched) -> Answers {
    let mut answers = touched.answers.clone();
    for (key, (value, before)) in &touched.written.values {
        if answers.get(key) == Some(value) {
            match before {
                Value::Blank => answers.remove(key),
                before => answers.insert(key.clone(), before.clone()),
            };
        }
    }
    answers
}

fn ended_by_mistake(event: &LifeEvent<'_>, form: &Form) -> Answers {
    let day = event.answers.get(super::asked::DAY).cloned().unwrap_or(Value::Blank);
    Answers::from([(form.list.ended.clone(), day), (told::ENDED_WHY.to_owned(), "error".into())])
}

/// What must be written so that a household says what the event says now. A household that the event made keeps its answers.
fn difference(event: &LifeEvent<'_>, form: &Form, touched: &Touched, new: Answers, made: bool) -> Answers {
    let written = &touched.written.values;
    let now = |key: &str| touched.answers.get(key).cloned().unwrap_or(Value::Blank);
    let mut edits = Answers::new();
    for (key, value) in &new {
        let stands = written.get(key).is_none_or(|(before, _)| now(key) == *before);
        if stands && now(key) != *value {
            edits.insert(key.clone(), value.clone());
        }
    }
    let mut gone = BTreeSet::new();
    for (key, (value, before)) in written.iter().filter(|(key, _)| !new.contains_key(*key)) {
        let Some(parsed) = AnswerKey::parse(key) else { continue };
        let person = parsed.instances.last().map(|(repeat, id)| format!("{repeat}#{id}"));
        let made_here = person.filter(|place| {
            let name = written.get(&format!("{place}/{}", told::NAME));
            name.is_some_and(|(_, before)| *before == Value::Blank)
                && !new.contains_key(&format!("{place}/{}", told::NAME))
        });
        match made_here {
            _ if parsed.leaf == Leaf::Deleted => drop(edits.insert(key.clone(), Value::Bool(false))),
            Some(place) => drop(gone.insert(format!("{place}/@deleted"))),
            None if made || now(key) != *value || form.class_of(key).is_none() => {}
            None => match (parsed.leaf, before) {
                (Leaf::Tick { .. }, Value::Blank) => drop(edits.insert(key.clone(), Value::Bool(false))),
                (Leaf::Order, Value::Blank) => {}
                _ => drop(edits.insert(key.clone(), before.clone())),
            },
        }
    }
    edits.extend(gone.into_iter().map(|key| (key, Value::Bool(true))));
    edits.retain(|key, value| now(key) != *value && !(*value == Value::Bool(false) && now(key) == Value::Blank));
    if !edits.is_empty() {
        edits.remove(&event.mark());
        let mark = match touched.written.times {
            0 => event.mark(),
            times => format!("{}.{times}", event.mark()),
        };
        edits.insert(mark, Value::Bool(true));
    }
    edits
}
