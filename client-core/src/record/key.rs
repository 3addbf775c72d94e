//! The keys that a record's maps may hold.

use std::fmt;

use super::limits;
use super::Section;

/// A key in the answers: the place within repeats, and what it names there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey {
    /// Repeat and instance, outermost first.
    pub instances: Vec<(String, String)>,
    /// What the key names there.
    pub leaf: AnswerLeaf,
}

/// What an answer key names in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerLeaf {
    /// The answer to a question.
    Question(String),
    /// One option of a multiple choice: true is ticked, false is unticked.
    Option(String, String),
    /// The order of a repeat instance among its like.
    Order,
    /// The mark of a removed repeat instance.
    Deleted,
}

impl AnswerKey {
    /// Parses a key; `None` when it isn't one or is too long.
    pub fn parse(key: &str) -> Option<Self> {
        let (place, leaf) = split(key)?;
        let mut instances = Vec::new();
        for part in place.into_iter().flat_map(|p| p.split('/')) {
            let (repeat, instance) = part.split_once('#')?;
            instances.push((repeat.to_owned(), instance.to_owned()));
        }
        let leaf = match leaf {
            ("@order", _) => AnswerLeaf::Order,
            ("@deleted", _) => AnswerLeaf::Deleted,
            (question, None) => AnswerLeaf::Question(question.to_owned()),
            (question, Some(option)) => AnswerLeaf::Option(question.to_owned(), option.to_owned()),
        };
        Some(Self { instances, leaf })
    }
}

impl fmt::Display for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (repeat, instance) in &self.instances {
            write!(f, "{repeat}#{instance}/")?;
        }
        match &self.leaf {
            AnswerLeaf::Question(question) => f.write_str(question),
            AnswerLeaf::Option(question, option) => write!(f, "{question}={option}"),
            AnswerLeaf::Order => f.write_str("@order"),
            AnswerLeaf::Deleted => f.write_str("@deleted"),
        }
    }
}

type Leaf<'a> = (&'a str, Option<&'a str>);

/// Checks a key without allocating and splits it into place and leaf.
fn split(key: &str) -> Option<(Option<&str>, Leaf<'_>)> {
    if key.len() > limits::KEY_BYTES {
        return None;
    }
    let (path, option) = key.split_once('=').map_or((key, None), |(path, option)| (path, Some(option)));
    let (place, name) = path.rsplit_once('/').map_or((None, path), |(place, name)| (Some(place), name));
    let mut depth = 0;
    for part in place.into_iter().flat_map(|p| p.split('/')) {
        let (repeat, instance) = part.split_once('#')?;
        depth += 1;
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let length = (1..=limits::INSTANCE_BYTES).contains(&instance.len());
        if depth > limits::REPEAT_DEPTH || !is_name(repeat) || !length || !instance.bytes().all(lower) {
            return None;
        }
    }
    let allowed = match (name, option) {
        ("@order" | "@deleted", None) => depth > 0,
        (name, None) => is_name(name),
        (name, Some(option)) => is_name(name) && is_option(option),
    };
    allowed.then_some((place, (name, option)))
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_option(option: &str) -> bool {
    !option.is_empty() && !option.chars().any(|c| c.is_control() || c == '/')
}

/// True when `key` may stand in `section`.
pub(super) fn is_allowed(section: Section, key: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match section {
        Section::Answers => split(key).is_some(),
        Section::Events => (16..=32).contains(&key.len()) && key.bytes().all(hex),
        Section::Files => key.len() == 64 && key.bytes().all(hex),
    }
}

/// What kind of value an answer key takes: ticks and marks are bools, orders are ints.
pub(super) fn takes(section: Section, key: &str, value: &super::Value) -> bool {
    use super::Value;
    match section {
        Section::Answers => match split(key) {
            Some((_, ("@order", _))) => matches!(value, Value::Int(_)),
            Some((_, ("@deleted", _) | (_, Some(_)))) => matches!(value, Value::Bool(_)),
            Some(_) => true,
            None => false,
        },
        Section::Events | Section::Files => matches!(value, Value::Text(text) if is_compact_object(text)),
    }
}

/// True when a text is a JSON object written in serde_json's compact form, so that it can stand in the view as it is.
fn is_compact_object(text: &str) -> bool {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.is_object() && value.to_string() == text,
        Err(_) => false,
    }
}
