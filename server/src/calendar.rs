//! Days and periods as offices count them: calendar months, quarters and years, in the one time zone of the pages.

use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime, UtcOffset};

/// The time zone of pages and figures, China Standard Time; the text `times.zone` names it.
pub const ZONE: UtcOffset = offset!(+8);

/// The day of a server time, `YYYY-MM-DD`; empty for times that no calendar has.
pub fn day_of(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| at.checked_to_offset(ZONE));
    at.map(|at| text_of(at.date())).unwrap_or_default()
}

/// Reads `YYYY-MM-DD`, nothing else.
pub fn parse_day(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.is_ascii();
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok().filter(|_| plain)
}

/// A day as text.
pub fn text_of(day: Date) -> String {
    day.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

/// The first millisecond of a day (`YYYY-MM-DD`); `None` for what isn't a day.
pub fn day_start(day: &str) -> Option<u64> {
    start_of(parse_day(day)?)
}

/// The last millisecond of a day.
pub fn day_end(day: &str) -> Option<u64> {
    Some(start_of(parse_day(day)?.next_day()?)? - 1)
}

fn start_of(day: Date) -> Option<u64> {
    u64::try_from(day.midnight().assume_offset(ZONE).unix_timestamp() * 1000).ok()
}

/// The day before; a text that is no day stays as it is.
pub fn day_before(day: &str) -> String {
    parse_day(day).and_then(Date::previous_day).map_or_else(|| day.to_owned(), text_of)
}

/// A period that figures are kept for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From the beginning on, days or none.
    Whole,
    /// A calendar year, month or quarter: `2026`, `2026-03`, `2026-Q1`.
    Calendar(String),
    /// The round (campaign) that a record's natural key names after its subject: 32 hex digits.
    Round(String),
}

impl Period {
    /// The month, the quarter and the year of a day.
    pub fn of_day(day: &str) -> Option<[String; 3]> {
        let date = parse_day(day)?;
        let (year, month) = (&day[..4], &day[..7]);
        let quarter = (u8::from(date.month()) - 1) / 3 + 1;
        Some([month.to_owned(), format!("{year}-Q{quarter}"), year.to_owned()])
    }

    /// The first and the last day; `None` where it has none.
    pub fn days(&self) -> Option<(String, String)> {
        let Self::Calendar(text) = self else { return None };
        let year: i32 = text.get(..4)?.parse().ok()?;
        let (from, to) = match (text.get(4..6), text.get(5..)) {
            (None, _) => (1, 12),
            (Some("-Q"), _) => {
                let quarter: u8 = text.get(6..)?.parse().ok().filter(|q| (1..=4).contains(q))?;
                (quarter * 3 - 2, quarter * 3)
            }
            (_, month) => {
                let month: u8 = month?.parse().ok()?;
                (month, month)
            }
        };
        let first = Date::from_calendar_date(year, from.try_into().ok()?, 1).ok()?;
        let to = time::Month::try_from(to).ok()?;
        let last = Date::from_calendar_date(year, to, to.length(year)).ok()?;
        Some((text_of(first), text_of(last)))
    }
}

/// A text that names no period.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a period is written as 2026, 2026-Q1, 2026-03, all, or round:ID")]
pub struct BadPeriod;

impl std::str::FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        if text == "all" {
            return Ok(Self::Whole);
        }
        if let Some(round) = text.strip_prefix("round:") {
            let hex = round.len() == 32 && round.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            return hex.then(|| Self::Round(round.to_owned())).ok_or(BadPeriod);
        }
        let shape = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
        let shaped: Vec<u8> = text.bytes().map(shape).collect();
        let known: [&[u8]; 3] = [b"0000", b"0000-00", b"0000-Q0"];
        let period = Self::Calendar(text.to_owned());
        (known.contains(&shaped.as_slice()) && period.days().is_some()).then_some(period).ok_or(BadPeriod)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => f.write_str("all"),
            Self::Calendar(text) => f.write_str(text),
            Self::Round(round) => write!(f, "round:{round}"),
        }
    }
}

/// True for a record of a month that was over by more than `grace` days when it was received.
pub fn is_late(day: &str, received_ms: u64, grace: u32) -> bool {
    let Some(date) = parse_day(day) else { return false };
    let end = date.replace_day(date.month().length(date.year())).unwrap_or(date);
    let last = end.checked_add(time::Duration::days(grace.into())).unwrap_or(Date::MAX);
    parse_day(&day_of(received_ms)).is_some_and(|received| received > last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use super::*;

    #[test]
    fn a_day_lies_in_its_month_quarter_and_year() {
        assert_eq!(Period::of_day("2026-03-31").unwrap(), ["2026-03", "2026-Q1", "2026"]);
        assert_eq!(Period::of_day("2026-10-01").unwrap(), ["2026-10", "2026-Q4", "2026"]);
        for bad in ["2026-02-30", "", "2026-3-01", "2026-03-01T00:00", "二〇二六", "+026-03-01"] {
            assert_eq!(Period::of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_period_is_read_as_it_is_written_and_knows_its_days() {
        let days = |text: &str| text.parse::<Period>().unwrap().days();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(days("2024-02"), pair("2024-02-01", "2024-02-29"));
        assert_eq!(days("2026-Q3"), pair("2026-07-01", "2026-09-30"));
        assert_eq!(days("2026"), pair("2026-01-01", "2026-12-31"));
        assert_eq!(days("all"), None);
        for text in ["2024-02", "2026-Q3", "2026", "all", "round:00112233445566778899aabbccddeeff"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for bad in ["", "2026-13", "2026-Q5", "2026-Q0", "26", "2026-03-01", "round:xy", "２０２６"] {
            assert_eq!(bad.parse::<Period>(), Err(BadPeriod), "{bad}");
        }
    }

    #[test]
    fn late_is_what_arrives_after_the_days_that_its_month_is_given() {
        let at = |day: &str, hour: i64| {
            let midnight = parse_day(day).unwrap().midnight().assume_offset(ZONE);
            (midnight.unix_timestamp() + hour * 3600) as u64 * 1000
        };
        assert!(!is_late("2026-03-05", at("2026-04-03", 23), 3));
        assert!(is_late("2026-03-05", at("2026-04-04", 0), 3));
        assert!(!is_late("2026-03-31", at("2026-03-31", 12), 0));
        assert!(is_late("2026-03-31", at("2026-04-01", 0), 0));
        assert!(!is_late("", at("2026-04-01", 0), 0));
        assert!(!is_late("2026-03-05", 0, 3));
        assert_eq!(day_of(at("2026-04-03", 23)), "2026-04-03");
    }
}
