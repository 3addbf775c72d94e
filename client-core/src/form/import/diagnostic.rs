//! What an import has to say about a workbook: place, code, sentence, hint. The sentences stand in `messages/import.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::limits;
use crate::form::expression::ExpressionError;

/// Whether a workbook can be published all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The form is refused.
    Error,
    /// The form can be published; something in it may not be meant, or isn't run.
    Warning,
}

/// Where in a workbook; any part may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The sheet's name, as written.
    pub sheet: Option<String>,
    /// The row, counted from 1 as spreadsheets show it.
    pub row: Option<u32>,
    /// The column, counted from 0.
    pub column: Option<u32>,
    /// The column's header, as written.
    pub header: Option<String>,
    /// Where in the cell's text, in characters from 0.
    pub offset: Option<usize>,
}

impl Place {
    /// A whole sheet.
    pub(super) fn sheet(name: &str) -> Self {
        Self { sheet: Some(name.to_owned()), ..Self::default() }
    }

    /// A row of it.
    pub(super) fn row(mut self, row: u32) -> Self {
        self.row = Some(row);
        self
    }

    /// A column of it.
    pub(super) fn column(mut self, column: u32) -> Self {
        self.column = Some(column);
        self
    }

    /// The column as spreadsheets show it: `A`, `B`, ... `AA`.
    pub fn letters(&self) -> Option<String> {
        self.column.map(letters)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(sheet) = &self.sheet else { return Ok(()) };
        f.write_str(sheet)?;
        match (self.letters(), self.row) {
            (Some(column), Some(row)) => write!(f, "!{column}{row}"),
            (None, Some(row)) => write!(f, "!{row}"),
            (Some(column), None) => write!(f, "!{column}"),
            (None, None) => Ok(()),
        }
    }
}

/// The letters of a column counted from 0.
fn letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

/// One thing to say about a workbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What is said.
    pub code: Code,
    /// About what.
    pub place: Place,
    values: Vec<(&'static str, String)>,
    fault: Option<ExpressionError>,
}

impl Diagnostic {
    pub(super) fn new(code: Code, place: Place) -> Self {
        Self { code, place, values: Vec::new(), fault: None }
    }

    /// A fault of an expression, in the expression's own words; `text` is the cell's.
    pub(super) fn of_expression(fault: ExpressionError, text: &str, place: Place) -> Self {
        let offset = super::reference::in_chars(text, fault.offset);
        let diagnostic = Self { fault: Some(fault), ..Self::new(Code::Expression, place) };
        diagnostic.with("value", text).at(offset)
    }

    /// Fills a `[[name]]` of the sentence or the hint; long texts are shortened.
    pub(super) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        let mut short: String = value.chars().take(limits::QUOTED_CHARS).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        self.values.push((name, short));
        self
    }

    /// Fills `[[nearest]]` where there is one.
    pub(super) fn nearest(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => self.with("nearest", nearest),
            None => self,
        }
    }

    /// The position in the cell's text, in characters.
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.place.offset = Some(offset);
        self
    }

    /// The code: a name that programs may rely on.
    pub fn code(&self) -> &'static str {
        self.fault.as_ref().map_or(self.code.as_str(), ExpressionError::message_id)
    }

    /// Whether the form is refused for it.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// What is wrong, in Chinese for `zh` and `zh-CN`, in English for everything else.
    pub fn message(&self, language: &str) -> String {
        if let Some(fault) = &self.fault {
            return fault.message(language);
        }
        let text = texts(self.code);
        self.fill(text.what.in_language(language)).unwrap_or_else(|| self.code.as_str().to_owned())
    }

    /// What to do about it, where something can be said.
    pub fn hint(&self, language: &str) -> Option<String> {
        if let Some(fault) = &self.fault {
            return fault.hint(language);
        }
        let text = texts(self.code);
        text.hints.iter().find_map(|hint| self.fill(hint.in_language(language)))
    }

    /// The pattern with its `[[names]]` filled; `None` when a value is missing.
    fn fill(&self, pattern: &str) -> Option<String> {
        let mut out = String::with_capacity(pattern.len() + 32);
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("[[") {
            let (name, after) = after.split_once("]]")?;
            out.push_str(before);
            out.push_str(&self.values.iter().find(|(n, _)| *n == name)?.1);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Text {
    pub(super) what: Both,
    #[serde(default)]
    pub(super) hints: Vec<Both>,
}

/// A text in Chinese and English.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Both {
    pub(super) zh: String,
    pub(super) en: String,
}

impl Both {
    fn in_language(&self, language: &str) -> &str {
        if language.starts_with("zh") { &self.zh } else { &self.en }
    }
}

pub(super) static TEXTS: LazyLock<BTreeMap<String, Text>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../messages/import.json")).unwrap_or_default());
static NO_TEXT: LazyLock<Text> = LazyLock::new(Text::default);

fn texts(code: Code) -> &'static Text {
    TEXTS.get(code.as_str()).unwrap_or(&NO_TEXT)
}

/// What was found so far, bounded.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Diagnostic>,
    refused: bool,
}

impl Problems {
    /// Adds a diagnostic, once.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.refused |= diagnostic.severity() == Severity::Error;
        if self.list.len() < limits::DIAGNOSTICS && !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// True when something refuses the form.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// All of them, errors first, each kind in the order of the workbook.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list;
        list.sort_by_key(Diagnostic::severity);
        list
    }
}
