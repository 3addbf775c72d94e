//! What is wrong with a row, and what was put right in it. The sentences stand in `messages/register.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::messages::{self, Language, Text};

static TEXTS: LazyLock<BTreeMap<String, Text>> =
    LazyLock::new(|| messages::load(include_str!("../../messages/register.json")));

/// The sentence of a code, with its gaps.
pub fn text(code: &str) -> Text {
    TEXTS.get(code).cloned().unwrap_or_else(|| Text { zh: code.to_owned(), en: code.to_owned() })
}

/// One thing to say about a row, or about a whole household (at its first row).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code in `messages/register.json`.
    pub code: &'static str,
    /// The row in the table, counted from 0.
    pub row: usize,
    /// The column, if it is about one.
    pub column: Option<u16>,
    values: Vec<(&'static str, String)>,
}

impl Fault {
    /// About a row.
    pub fn new(code: &'static str, row: usize) -> Self {
        Self { code, row, column: None, values: Vec::new() }
    }

    /// In a column.
    pub fn at(mut self, column: u16) -> Self {
        self.column = Some(column);
        self
    }

    /// Fills the gap `{name}`; long texts are shortened.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        let mut short: String = value.chars().take(60).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        self.values.push((name, short));
        self
    }

    /// The sentence.
    pub fn message(&self, language: Language) -> String {
        let mut sentence = text(self.code).in_language(language).to_owned();
        for (name, value) in &self.values {
            sentence = sentence.replace(&format!("{{{name}}}"), value);
        }
        sentence
    }
}

/// Counts what was put right, or left aside, with the first row where it was.
#[derive(Debug, Clone, Default)]
pub struct Notes(BTreeMap<&'static str, (u64, u32)>);

impl Notes {
    /// Counts one; `row` is its number as spreadsheets show it.
    pub fn add(&mut self, code: &'static str, row: u32) {
        let (count, first) = self.0.entry(code).or_insert((0, row));
        *count += 1;
        *first = (*first).min(row);
    }

    /// Code, how often, first row.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, u32)> {
        self.0.iter().map(|(code, (count, first))| (*code, *count, *first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_there_in_both_languages() {
        assert!(TEXTS.len() > 30);
        for (code, text) in TEXTS.iter() {
            assert!(!text.zh.is_empty() && !text.en.is_empty(), "{code}");
            assert_eq!(text.zh.matches('{').count(), text.en.matches('{').count(), "{code}");
        }
    }

    #[test]
    fn gaps_are_filled_and_long_values_shortened() {
        let fault = Fault::new("unknown_choice", 3).with("value", "长".repeat(100)).with("choices", "是、否");
        let message = fault.message(Language::Zh);
        assert!(message.contains("是、否") && message.contains('…') && !message.contains('{'), "{message}");
    }
}
