//! Times as shown: minutes, in the one time zone of the pages.

use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::calendar::{ZONE, day_end};

/// `YYYY-MM-DD HH:MM`; `None` for 0 (never, unknown) and for times that no calendar has.
pub fn minute(ms: u64) -> Option<String> {
    minute_of_second(i64::try_from(ms / 1000).ok()?)
}

/// The same for seconds since 1970.
pub fn minute_of_second(s: i64) -> Option<String> {
    minute_in(ZONE, s)
}

/// The same in another zone.
pub fn minute_in(zone: UtcOffset, s: i64) -> Option<String> {
    if s == 0 {
        return None;
    }
    let at = OffsetDateTime::from_unix_timestamp(s).ok()?.checked_to_offset(zone)?;
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).ok()
}

/// A day's first and last millisecond in the zone of the pages.
pub fn day_span(day: &str) -> Option<(u64, u64)> {
    let last = day_end(day)?;
    Some((last.checked_sub(24 * 3600 * 1000 - 1)?, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_in_the_zone_of_the_pages() {
        let end = day_end("2026-11-25").unwrap_or(0);
        assert_eq!((minute(end), minute(end + 1)), (Some("2026-11-25 23:59".into()), Some("2026-11-26 00:00".into())));
        let (first, last) = day_span("2026-11-25").unwrap_or_default();
        assert_eq!((minute(first), last), (Some("2026-11-25 00:00".into()), end));
        assert_eq!((day_end("2026-02-30"), day_end("tomorrow")), (None, None));
    }

    #[test]
    fn times_are_shown_in_the_zone_and_impossible_ones_are_not_shown() {
        assert_eq!(minute(1_600_000_000_000).as_deref(), Some("2020-09-13 20:26"));
        assert_eq!(minute(0), None);
        assert_eq!(minute_of_second(i64::MAX), None);
        assert_eq!(minute(u64::MAX), None);
        assert_eq!(minute_of_second(-1).as_deref(), Some("1970-01-01 07:59"));
    }
}
