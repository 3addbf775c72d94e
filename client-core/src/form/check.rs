//! Checks a single answer against its question: kind, choice, range. What depends on other answers (relevance, most
//! constraints, required) needs the form session and isn't looked at here.

use crate::record::Value;
use crate::record::key::{AnswerKey, Leaf};

use super::definition::{ChoiceSource, Question, QuestionKind};
use super::index::{Form, is_reserved_name};

/// The longest text of one answer, in bytes.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;

/// Why an answer doesn't fit its question.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No record takes an answer under this key.
    #[error("not an answer key")]
    MalformedKey,
    /// The form has no such question or repeat.
    #[error("the form has no such question")]
    UnknownQuestion,
    /// The question takes no answer, as a note.
    #[error("this takes no answer")]
    NotAnswerable,
    /// A tick for a question that isn't a multiple choice, or a multiple choice answered as a whole.
    #[error("a multiple choice is answered choice by choice")]
    NotMultipleChoice,
    /// Another kind of value is expected.
    #[error("the answer has the wrong kind")]
    WrongKind,
    /// The choice isn't in the list.
    #[error("the choice isn't in the list")]
    UnknownChoice,
    /// A rank names a choice twice.
    #[error("a choice stands twice")]
    ChoiceTwice,
    /// Not a day, time, or day with time that exists.
    #[error("not a date or time")]
    NotADate,
    /// Not a place, line or outline on earth.
    #[error("not a place")]
    NotAPlace,
    /// The number is below or above its bounds.
    #[error("the number is out of range")]
    OutOfRange {
        /// The least allowed number.
        min: Option<f64>,
        /// The greatest allowed number.
        max: Option<f64>,
    },
    /// The text is longer than a record holds.
    #[error("the text is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
}

impl Form {
    /// Checks one answer. A blank fits every question, but no tick, order or mark of removal: a record takes none there.
    ///
    /// # Errors
    /// Says what doesn't fit; [`AnswerError::message`] has it in the user's language.
    pub fn check_answer(&self, key: &str, value: &Value) -> Result<(), AnswerError> {
        let key = AnswerKey::parse(key).ok_or(AnswerError::MalformedKey)?;
        match key.leaf {
            Leaf::Order | Leaf::Deleted => {
                self.repeat_class(&key).ok_or(AnswerError::UnknownQuestion)?;
                if key.leaf.takes(value) { Ok(()) } else { Err(AnswerError::WrongKind) }
            }
            Leaf::Tick { question, .. } if key.instances.is_empty() && is_reserved_name(question) => {
                if key.leaf.takes(value) { Ok(()) } else { Err(AnswerError::WrongKind) }
            }
            Leaf::Tick { choice, .. } => {
                let question = self.question_at(&key).ok_or(AnswerError::UnknownQuestion)?;
                if question.kind != QuestionKind::SelectMultiple {
                    return Err(AnswerError::NotMultipleChoice);
                }
                self.check_choice(question, choice)?;
                if key.leaf.takes(value) { Ok(()) } else { Err(AnswerError::WrongKind) }
            }
            Leaf::Question(_) => {
                let question = self.question_at(&key).ok_or(AnswerError::UnknownQuestion)?;
                self.check_value(question, value)
            }
        }
    }

    fn check_value(&self, question: &Question, value: &Value) -> Result<(), AnswerError> {
        match (&question.kind, value) {
            (QuestionKind::Note, _) => Err(AnswerError::NotAnswerable),
            (_, Value::Blank) => Ok(()),
            (QuestionKind::SelectMultiple, _) => Err(AnswerError::NotMultipleChoice),
            (_, Value::Text(text)) if text.len() > TEXT_BYTES_MAX => Err(AnswerError::TooLong),
            (QuestionKind::Calculate | QuestionKind::Hidden | QuestionKind::Unknown(_), _) => Ok(()),
            (QuestionKind::Integer, Value::Int(n)) => check_number(question, *n as f64),
            (QuestionKind::Decimal | QuestionKind::Range, Value::Int(n)) => check_number(question, *n as f64),
            (QuestionKind::Decimal | QuestionKind::Range, Value::Number(n)) => check_number(question, *n),
            (QuestionKind::Acknowledge, Value::Bool(_)) => Ok(()),
            (QuestionKind::Acknowledge, Value::Text(text)) if text == "OK" => Ok(()),
            (kind, Value::Text(text)) => self.check_text(question, kind, text),
            _ => Err(AnswerError::WrongKind),
        }
    }

    fn check_text(&self, question: &Question, kind: &QuestionKind, text: &str) -> Result<(), AnswerError> {
        let fits = |ok: bool, error: AnswerError| if ok { Ok(()) } else { Err(error) };
        match kind {
            QuestionKind::SelectOne => self.check_choice(question, text),
            QuestionKind::Rank => {
                let mut seen = Vec::new();
                for choice in text.split_whitespace() {
                    self.check_choice(question, choice)?;
                    if seen.contains(&choice) {
                        return Err(AnswerError::ChoiceTwice);
                    }
                    seen.push(choice);
                }
                Ok(())
            }
            QuestionKind::Date | QuestionKind::Today => fits(is_date(text), AnswerError::NotADate),
            QuestionKind::Time => fits(is_time(text), AnswerError::NotADate),
            QuestionKind::DateTime | QuestionKind::Start | QuestionKind::End => {
                let both = text.split_once('T').is_some_and(|(date, time)| is_date(date) && is_time(time));
                fits(both, AnswerError::NotADate)
            }
            QuestionKind::Geopoint => fits(is_place(text), AnswerError::NotAPlace),
            QuestionKind::Geotrace => fits(line(text).is_some_and(|l| l.len() >= 2), AnswerError::NotAPlace),
            QuestionKind::Geoshape => {
                let closed = line(text).is_some_and(|l| l.len() >= 4 && l.first() == l.last());
                fits(closed, AnswerError::NotAPlace)
            }
            QuestionKind::Integer | QuestionKind::Decimal | QuestionKind::Range | QuestionKind::Acknowledge => {
                Err(AnswerError::WrongKind)
            }
            _ => Ok(()),
        }
    }

    fn check_choice(&self, question: &Question, choice: &str) -> Result<(), AnswerError> {
        match &question.choices {
            Some(ChoiceSource::List(list)) => {
                let known = self.choice_lists.get(list).is_some_and(|l| l.choice(choice).is_some());
                if known { Ok(()) } else { Err(AnswerError::UnknownChoice) }
            }
            Some(ChoiceSource::File(_)) => match self.attached_choices(question) {
                Some((table, column)) if table.find(column, choice).is_empty() => Err(AnswerError::UnknownChoice),
                _ => Ok(()),
            },
            _ => Ok(()), // earlier answers aren't part of the definition
        }
    }
}

fn check_number(question: &Question, number: f64) -> Result<(), AnswerError> {
    let (min, max) = bounds(question);
    let inside = number.is_finite() && min.is_none_or(|m| number >= m) && max.is_none_or(|m| number <= m);
    if inside { Ok(()) } else { Err(AnswerError::OutOfRange { min, max }) }
}

/// The bounds of a number: a range's parameters, or a constraint that is nothing but bounds (`. >= 0 and . <= 150`).
/// Any other constraint gives none here; the form session evaluates it.
pub fn bounds(question: &Question) -> (Option<f64>, Option<f64>) {
    if question.kind == QuestionKind::Range {
        let number =
            |name: &str, default: f64| question.parameters.get(name).and_then(|p| p.parse().ok()).unwrap_or(default);
        let (start, end): (f64, f64) = (number("start", 1.0), number("end", 10.0));
        return (Some(start.min(end)), Some(start.max(end)));
    }
    question.constraint.as_deref().and_then(constraint_bounds).unwrap_or((None, None))
}

fn constraint_bounds(constraint: &str) -> Option<(Option<f64>, Option<f64>)> {
    let (mut min, mut max) = (None, None);
    for part in constraint.split(" and ") {
        let rest = part.trim().strip_prefix('.')?.trim_start();
        if let Some(number) = rest.strip_prefix(">=") {
            min = Some(number.trim().parse().ok()?);
        } else if let Some(number) = rest.strip_prefix("<=") {
            max = Some(number.trim().parse().ok()?);
        } else {
            return None;
        }
    }
    Some((min, max))
}

/// True for a day that exists, as `2026-11-24`.
pub fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10)) else {
        return false;
    };
    (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month)
}

/// Days in a month of the Gregorian calendar.
pub fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// True for `08:30`, `08:30:15`, `08:30:15.123`, each with or without `Z` or `+08:00`.
fn is_time(text: &str) -> bool {
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone_at);
    let zone_fits = match zone {
        "" | "Z" => true,
        z => hour_minute(&z[1..], 14),
    };
    let (minutes, seconds) = if clock.len() > 5 && clock.is_char_boundary(5) { clock.split_at(5) } else { (clock, "") };
    let seconds_fit = match seconds.strip_prefix(':') {
        None => seconds.is_empty(),
        Some(s) => {
            let (whole, fraction) = s.split_once('.').unwrap_or((s, "0"));
            whole.len() == 2
                && digits(whole, 0, 2).is_some_and(|n| n <= 59)
                && (1..=9).contains(&fraction.len())
                && fraction.bytes().all(|b| b.is_ascii_digit())
        }
    };
    zone_fits && seconds_fit && hour_minute(minutes, 23)
}

fn hour_minute(text: &str, hour_max: u32) -> bool {
    text.len() == 5
        && text.as_bytes()[2] == b':'
        && digits(text, 0, 2).is_some_and(|h| h <= hour_max)
        && digits(text, 3, 5).is_some_and(|m| m <= 59)
}

fn digits(text: &str, from: usize, to: usize) -> Option<u32> {
    let part = text.get(from..to)?;
    if part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
}

fn is_place(text: &str) -> bool {
    let numbers: Option<Vec<f64>> =
        text.split_whitespace().map(|n| n.parse().ok().filter(|n: &f64| n.is_finite())).collect();
    numbers.is_some_and(|n| (2..=4).contains(&n.len()) && n[0].abs() <= 90.0 && n[1].abs() <= 180.0)
}

fn line(text: &str) -> Option<Vec<&str>> {
    let places: Vec<&str> = text.split(';').map(str::trim).filter(|p| !p.is_empty()).collect();
    places.iter().all(|p| is_place(p)).then_some(places)
}
