//! Values and their conversions, as JavaRosa converts them.

use std::sync::Arc;

use super::data::Env;
use super::date::Moment;

/// Two numbers closer than this are equal, and a number this close to zero is false.
pub const EPSILON: f64 = 1e-12;

/// A value in an expression. A blank answer is the empty text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, also the names of choices and places (`latitude longitude altitude accuracy`).
    Text(Arc<str>),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// A day, a time of day, or a day with time.
    Moment(Moment),
}

/// How the answers of a leaf are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum AnswerType {
    /// As text.
    #[default]
    Text,
    /// As a number.
    Number,
    /// As a day.
    Date,
    /// As a time of day.
    Time,
    /// As a day with time.
    DateTime,
    /// As true or false.
    Bool,
}

impl Value {
    /// The blank.
    pub fn blank() -> Self {
        static BLANK: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from(""));
        Self::Text(Arc::clone(&BLANK))
    }

    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// The value of an answer as its leaf's type has it; a text that doesn't fit the type stays text.
    /// `offset_minutes` is the zone that a day with time and no zone of its own is in.
    pub fn typed(text: &str, kind: AnswerType, offset_minutes: i32) -> Self {
        if text.is_empty() {
            return Self::blank();
        }
        let as_text = || Self::text(text);
        match kind {
            AnswerType::Text => as_text(),
            AnswerType::Number => match text_to_number(text) {
                n if n.is_nan() => as_text(),
                n => Self::Number(n),
            },
            AnswerType::Bool => match text {
                "true" | "1" => Self::Bool(true),
                "false" | "0" => Self::Bool(false),
                _ => as_text(),
            },
            AnswerType::Date => Moment::parse(text, offset_minutes).ok().flatten().map_or_else(as_text, |m| match m {
                Moment::Instant(_) => Self::Moment(Moment::Day(m.local_day(offset_minutes))),
                m => Self::Moment(m),
            }),
            AnswerType::DateTime => {
                Moment::parse(text, offset_minutes).ok().flatten().map_or_else(as_text, Self::Moment)
            }
            AnswerType::Time => {
                Moment::parse_time(text, offset_minutes).map_or_else(as_text, |ms| Self::Moment(Moment::Time(ms)))
            }
        }
    }

    /// True for the empty text.
    pub fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    /// `boolean()`: a text that isn't empty, a number other than 0 and NaN, any moment.
    pub fn to_bool(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(n) => n.abs() > EPSILON,
            Self::Bool(b) => *b,
            Self::Moment(_) => true,
        }
    }

    /// `number()`: a day is the whole days since 1970-01-01 in the zone, a time the fraction of a day.
    pub fn to_number(&self, offset_minutes: i32) -> f64 {
        match self {
            Self::Text(text) => text_to_number(text),
            Self::Number(n) => *n,
            Self::Bool(b) => f64::from(u8::from(*b)),
            Self::Moment(moment) => moment.to_number(offset_minutes),
        }
    }

    /// `string()`. A day with time is its day, as in JavaRosa; [`Value::to_answer`] keeps the time.
    pub fn to_text(&self, offset_minutes: i32) -> Arc<str> {
        match self {
            Self::Text(text) => Arc::clone(text),
            Self::Number(n) => number_to_text(*n).into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Moment(moment) => moment.to_text(offset_minutes).into(),
        }
    }

    /// How a computed value is kept as an answer: as `string()`, but NaN is blank and a day with time keeps its time and zone.
    pub fn to_answer(&self, env: &Env<'_>) -> Arc<str> {
        match self {
            Self::Number(n) if n.is_nan() => "".into(),
            Self::Moment(moment @ Moment::Instant(_)) => moment.to_iso(env.offset_minutes).into(),
            other => other.to_text(env.offset_minutes),
        }
    }
}

/// A text as a number: digits, `.` and `-` only (no exponent, no `+`), spaces around are allowed; otherwise NaN.
pub fn text_to_number(text: &str) -> f64 {
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    let plain = !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    if plain { trimmed.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// A number as text: no exponent below 1e21, whole numbers without a point.
pub fn number_to_text(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if n.abs() < EPSILON {
        return "0".to_owned();
    }
    if n.abs() >= 1e21 {
        let text = format!("{n:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    let whole = n.trunc();
    if (n - whole).abs() < EPSILON { format!("{whole}") } else { format!("{n}") }
}
