//! The value of a cell as text, as XLSForm converters write it.

use std::borrow::Cow;

use crate::form::expression::date::civil_from_days;

/// What a cell held before it became text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
    /// A date, a time, or both.
    Moment,
}

/// A cell's value as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Boolean(bool),
    /// A date as `2024-05-06 00:00:00`, or a time as `07:30:00`.
    Moment(String),
    /// `#N/A` and the like.
    Error(Cow<'a, str>),
    /// A formula whose result wasn't stored.
    NoResult,
    /// A day before 1900-03-01 in an `.xls` file, which Excel counts wrongly.
    Ambiguous,
    Empty,
}

impl Value<'_> {
    /// The text of a value that has one.
    pub(super) fn into_text(self) -> (Kind, String) {
        match self {
            Self::Text(text) => (Kind::Text, clean(&text)),
            Self::Number(number) => (Kind::Number, number_text(number)),
            Self::Boolean(true) => (Kind::Boolean, "TRUE".to_owned()),
            Self::Boolean(false) => (Kind::Boolean, "FALSE".to_owned()),
            Self::Moment(text) => (Kind::Moment, text),
            Self::Error(_) | Self::NoResult | Self::Ambiguous | Self::Empty => (Kind::Text, String::new()),
        }
    }
}

/// The signs that keyboards and word processors put in by themselves: curly quotes straight, no-break and other unusual
/// spaces plain, invisible signs gone, full-width `＄｛name｝` as `${name}`.
pub(super) fn clean(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut fullwidth = 0usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{2018}' | '\u{2019}' => out.push('\''),
            '\u{201c}' | '\u{201d}' => out.push('"'),
            '\u{a0}' | '\u{3000}' | '\u{202f}' | '\u{2007}' => out.push(' '),
            '\u{feff}' | '\u{200b}' | '\u{2060}' => {}
            '$' | '＄' if matches!(chars.peek(), Some('{' | '｛')) => {
                chars.next();
                out.push_str("${");
                fullwidth += 1;
            }
            '｝' if fullwidth > 0 => {
                out.push('}');
                fullwidth -= 1;
            }
            '}' => {
                out.push('}');
                fullwidth = fullwidth.saturating_sub(1);
            }
            c => out.push(c),
        }
    }
    out
}

/// A number as text: whole numbers without point, no exponent.
pub(super) fn number_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned(); // also for -0
    }
    format!("{number}")
}

/// True for no sign but space.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// A spreadsheet's serial number of days as text: a time of day below 1, else date and time. `None` for what is no date.
pub(super) fn moment_text(serial: f64, epoch_1904: bool) -> Option<String> {
    if !serial.is_finite() || !(0.0..2_958_466.0).contains(&serial) {
        return None;
    }
    let mut days = serial.floor();
    let mut seconds = ((serial - days) * 86_400.0).round();
    if seconds >= 86_400.0 {
        (days, seconds) = (days + 1.0, 0.0);
    }
    let seconds = seconds as i64;
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if days < 1.0 && !epoch_1904 {
        return Some(time);
    }
    let days = days as i64;
    // 1900 wasn't a leap year, but counts as one: day 60 doesn't exist
    let since_1970 = match (epoch_1904, days) {
        (true, days) => days - 24_107,
        (false, days) if days < 60 => days - 25_568,
        (false, days) => days - 25_569,
    };
    let (year, month, day) = civil_from_days(since_1970);
    Some(format!("{year:04}-{month:02}-{day:02} {time}"))
}

/// True when a number format shows a date or a time: one of the letters d, m, y, h, s outside quotes, escapes and brackets
/// (but `[h]`, `[mm]`, `[ss]` are times) in its first section.
pub(super) fn is_moment_format(format: &str) -> bool {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => while !matches!(chars.next(), None | Some('"')) {},
            '\\' | '_' | '*' => {
                chars.next();
            }
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let lower = inside.to_ascii_lowercase();
                if ["h", "hh", "m", "mm", "s", "ss"].contains(&lower.as_str()) {
                    return true;
                }
            }
            ';' => return false,
            'd' | 'D' | 'm' | 'M' | 'y' | 'Y' | 'h' | 'H' | 's' | 'S' => return true,
            _ => {}
        }
    }
    false
}

/// True for the built-in formats of dates and times, in `.xlsx` and `.xls` alike.
pub(super) fn is_moment_format_id(id: u32) -> bool {
    matches!(id, 14..=22 | 27..=36 | 45..=47 | 50..=58)
}
