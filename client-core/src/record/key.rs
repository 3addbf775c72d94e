//! The keys that a record's maps may hold.

use std::fmt;

use super::{Section, Value, limits};

/// A key in the answers, parsed: `question`, `question=choice`, `repeat#instance/question`, `repeat#instance/@order`, and
/// nested `outer#i/inner#j/question`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey<'a> {
    /// The repeat instances around the answer, outermost first: repeat and instance.
    pub instances: Vec<(&'a str, &'a str)>,
    /// What the key names in the innermost of them.
    pub leaf: Leaf<'a>,
}

/// What a key names within its repeat instance, or within the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// The answer to a question.
    Question(&'a str),
    /// One tick of a multiple choice: true is ticked, false is unticked.
    Tick {
        /// The question's key.
        question: &'a str,
        /// The choice.
        choice: &'a str,
    },
    /// Where the instance stands among its like: a whole number.
    Order,
    /// Whether the instance was removed.
    Deleted,
}

impl<'a> AnswerKey<'a> {
    /// Parses a key; `None` when it isn't one that a record takes.
    pub fn parse(key: &'a str) -> Option<Self> {
        let (place, leaf) = split(key)?;
        let parts = place.into_iter().flat_map(|p| p.split('/'));
        let instances = parts.map(|part| part.split_once('#')).collect::<Option<_>>()?;
        Some(Self { instances, leaf })
    }

    /// The key of a question inside a repeat instance.
    pub fn in_repeat(repeat: &str, instance: &str, question: &str) -> String {
        format!("{repeat}#{instance}/{question}")
    }

    /// The key of one tick.
    pub fn tick(question: &str, choice: &str) -> String {
        format!("{question}={choice}")
    }
}

impl Leaf<'_> {
    /// True when a record takes the value here: ticks and marks of removal are true or false, orders whole numbers.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::Question(_) => true,
            Self::Tick { .. } | Self::Deleted => matches!(value, Value::Bool(_)),
            Self::Order => matches!(value, Value::Int(_)),
        }
    }
}

impl fmt::Display for AnswerKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (repeat, instance) in &self.instances {
            write!(f, "{repeat}#{instance}/")?;
        }
        match self.leaf {
            Leaf::Question(question) => f.write_str(question),
            Leaf::Tick { question, choice } => write!(f, "{question}={choice}"),
            Leaf::Order => f.write_str("@order"),
            Leaf::Deleted => f.write_str("@deleted"),
        }
    }
}

/// Checks a key without allocating and splits it into place and leaf.
fn split(key: &str) -> Option<(Option<&str>, Leaf<'_>)> {
    if key.len() > limits::KEY_BYTES {
        return None;
    }
    // a choice may hold any sign, so what follows the first "=" isn't split
    let (path, choice) = key.split_once('=').map_or((key, None), |(path, choice)| (path, Some(choice)));
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
    let leaf = match (name, choice) {
        ("@order", None) if depth > 0 => Leaf::Order,
        ("@deleted", None) if depth > 0 => Leaf::Deleted,
        (question, None) if is_name(question) => Leaf::Question(question),
        (question, Some(choice)) if is_name(question) && is_choice(choice) => Leaf::Tick { question, choice },
        _ => return None,
    };
    Some((place, leaf))
}

/// True when questions and repeats may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_choice(choice: &str) -> bool {
    !choice.is_empty() && !choice.chars().any(|c| c.is_control() || c == '/')
}

/// Why a key and its value can't stand in a section.
pub(super) enum Fault {
    Key,
    Value,
}

/// Checks a key, and a value under it.
pub(super) fn check(section: Section, key: &str, value: &Value) -> Result<(), Fault> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let takes = match section {
        Section::Answers => split(key).map(|(_, leaf)| leaf.takes(value)),
        Section::Events => ((16..=32).contains(&key.len()) && key.bytes().all(hex)).then(|| is_object(value)),
        Section::Files => (key.len() == 64 && key.bytes().all(hex)).then(|| is_object(value)),
    };
    match takes {
        None => Err(Fault::Key),
        Some(takes) if takes && value.is_valid() => Ok(()),
        Some(_) => Err(Fault::Value),
    }
}

fn is_object(value: &Value) -> bool {
    matches!(value, Value::Text(text) if is_compact_object(text))
}

/// True when a text is a JSON object written in serde_json's compact form, so that it can stand in the view as it is.
fn is_compact_object(text: &str) -> bool {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.is_object() && serde_json::to_string(&value).is_ok_and(|compact| compact == text),
        Err(_) => false,
    }
}
