//! Days and times of the Gregorian calendar, with a fixed offset as zone.

use super::error::Fault;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;
const YEAR_MAX: i64 = 99_999;

/// A day, a time of day, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A day without time and zone: days since 1970-01-01.
    Day(i64),
    /// A time of day: milliseconds since midnight.
    Time(i64),
    /// A day with time: milliseconds since 1970-01-01T00:00Z.
    Instant(i64),
}

impl Moment {
    /// Reads `2026-11-24` (also `2026-1-4`), with `T08:30[:15[.123]][zone]` behind it or not. `None` when it isn't a date.
    ///
    /// # Errors
    /// [`Fault::ImpossibleDate`] for a date in form that doesn't exist, as 30 February or 25 o'clock.
    pub fn parse(text: &str, offset_minutes: i32) -> Result<Option<Self>, Fault> {
        let (date, time) = text.split_once('T').map_or((text, None), |(d, t)| (d, Some(t)));
        let Some((year, month, day)) = date_fields(date) else { return Ok(None) };
        let time = match time {
            None => None,
            Some(time) => match time_fields(time) {
                None => return Ok(None),
                fields => fields,
            },
        };
        let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !exists || time.as_ref().is_some_and(|t| t.ms >= DAY_MS) {
            return Err(Fault::ImpossibleDate);
        }
        let day = days_from_civil(year, month, day);
        Ok(Some(match time {
            None => Self::Day(day),
            Some(time) => {
                let offset = i64::from(time.offset_minutes.unwrap_or(offset_minutes));
                Self::Instant(day * DAY_MS + time.ms - offset * 60_000)
            }
        }))
    }

    /// Reads a time of day as `08:30`, `08:30:15.123`, with a zone (turned into the local one) or not.
    pub fn parse_time(text: &str, offset_minutes: i32) -> Option<i64> {
        let time = time_fields(text).filter(|t| t.ms < DAY_MS)?;
        let shift = time.offset_minutes.map_or(0, |zone| i64::from(offset_minutes - zone) * 60_000);
        Some((time.ms + shift).rem_euclid(DAY_MS))
    }

    /// Milliseconds since 1970-01-01T00:00 local time; a time is on day 0.
    pub fn local_ms(self, offset_minutes: i32) -> i64 {
        match self {
            Self::Day(day) => day * DAY_MS,
            Self::Time(ms) => ms,
            Self::Instant(ms) => ms + i64::from(offset_minutes) * 60_000,
        }
    }

    /// The local day, in days since 1970-01-01.
    pub fn local_day(self, offset_minutes: i32) -> i64 {
        self.local_ms(offset_minutes).div_euclid(DAY_MS)
    }

    /// Days since 1970-01-01T00:00Z, with fraction.
    pub fn decimal_date_time(self, offset_minutes: i32) -> f64 {
        let utc_ms = self.local_ms(offset_minutes) - i64::from(offset_minutes) * 60_000;
        utc_ms as f64 / DAY_MS as f64
    }

    /// The fraction of the local day. Computed as JavaRosa does, to the last digit.
    pub fn decimal_time(self, offset_minutes: i32) -> f64 {
        let days = self.local_ms(offset_minutes) as f64 / DAY_MS as f64;
        days - days.floor()
    }

    /// As a number: whole local days; a time is the fraction of the day.
    pub fn to_number(self, offset_minutes: i32) -> f64 {
        match self {
            Self::Time(ms) => ms as f64 / DAY_MS as f64,
            _ => self.local_day(offset_minutes) as f64,
        }
    }

    /// As text: the local day; of a time its hours, minutes, and seconds if there are some.
    pub fn to_text(self, offset_minutes: i32) -> String {
        let Self::Time(ms) = self else {
            let (year, month, day) = civil_from_days(self.local_day(offset_minutes));
            return format!("{year:04}-{month:02}-{day:02}");
        };
        let (h, m, s, ms) = clock(ms);
        match (s, ms) {
            (0, 0) => format!("{h:02}:{m:02}"),
            (s, 0) => format!("{h:02}:{m:02}:{s:02}"),
            (s, ms) => format!("{h:02}:{m:02}:{s:02}.{ms:03}"),
        }
    }

    /// As ISO text with all it has: an instant in local time with its zone, `2026-06-01T10:00:00.000-07:00`.
    pub fn to_iso(self, offset_minutes: i32) -> String {
        let Self::Instant(_) = self else { return self.to_text(offset_minutes) };
        let (h, m, s, ms) = clock(self.local_ms(offset_minutes).rem_euclid(DAY_MS));
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let (zone_h, zone_m) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
        let day = self.to_text(offset_minutes);
        format!("{day}T{h:02}:{m:02}:{s:02}.{ms:03}{sign}{zone_h:02}:{zone_m:02}")
    }

    /// `format-date`: `%Y %y %m %n %b %d %e %a %H %h %M %S %3 %W %%`.
    ///
    /// # Errors
    /// [`Fault::BadDateFormat`] for another sign after `%`.
    pub fn format(self, pattern: &str, offset_minutes: i32, language: &str) -> Result<String, Fault> {
        let local = self.local_ms(offset_minutes);
        let day = local.div_euclid(DAY_MS);
        let (year, month, date) = civil_from_days(day);
        let (h, m, s, ms) = clock(local.rem_euclid(DAY_MS));
        let mut out = String::with_capacity(pattern.len() + 8);
        let mut signs = pattern.chars();
        while let Some(sign) = signs.next() {
            if sign != '%' {
                out.push(sign);
                continue;
            }
            let part = match signs.next() {
                Some('%') => "%".to_owned(),
                Some('Y') => format!("{year:04}"),
                Some('y') => format!("{:02}", year.rem_euclid(100)),
                Some('m') => format!("{month:02}"),
                Some('n') => month.to_string(),
                Some('b') => month_name(month, language),
                Some('d') => format!("{date:02}"),
                Some('e') => date.to_string(),
                Some('a') => day_name(day, language),
                Some('H') => format!("{h:02}"),
                Some('h') => h.to_string(),
                Some('M') => format!("{m:02}"),
                Some('S') => format!("{s:02}"),
                Some('3') => format!("{ms:03}"),
                Some('W') => week(day).to_string(),
                other => return Err(Fault::BadDateFormat(format!("%{}", other.map_or(String::new(), String::from)))),
            };
            out.push_str(&part);
        }
        Ok(out)
    }
}

struct TimeFields {
    ms: i64,
    offset_minutes: Option<i32>,
}

fn date_fields(text: &str) -> Option<(i64, i64, i64)> {
    let mut pieces = text.split('-');
    let (year, month, day) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if pieces.next().is_some() {
        return None;
    }
    let year = whole(year, 5).filter(|y| *y <= YEAR_MAX)?;
    Some((year, whole(month, 2)?, whole(day, 2)?))
}

/// A time of day and its zone; milliseconds are a day or more when a field is out of range.
fn time_fields(text: &str) -> Option<TimeFields> {
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at(zone_at);
    let offset_minutes = match zone {
        "" => None,
        "Z" => Some(0),
        zone => Some(zone_offset(zone)?),
    };
    let mut pieces = time.split(':');
    let (h, m) = (whole(pieces.next()?, 2)?, whole(pieces.next()?, 2)?);
    let (s, fraction) = match pieces.next() {
        None => (0, 0),
        Some(seconds) => {
            let (s, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            (whole(s, 2)?, thousandths(fraction)?)
        }
    };
    if pieces.next().is_some() {
        return None;
    }
    let in_range = h <= 23 && m <= 59 && s <= 59;
    let ms = ((h * 60 + m) * 60 + s) * 1000 + fraction;
    Some(TimeFields { ms: if in_range { ms } else { DAY_MS }, offset_minutes })
}

/// `+08`, `+08:00`, `-0700`, as minutes east.
fn zone_offset(zone: &str) -> Option<i32> {
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?;
    let (h, m) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (h, m) = (whole(h, 2)?, whole(m, 2)?);
    let minutes = i32::try_from(h * 60 + m).ok().filter(|minutes| *minutes <= 18 * 60)?;
    Some(sign * minutes)
}

fn whole(text: &str, digits_max: usize) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= digits_max && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

fn clock(ms: i64) -> (i64, i64, i64, i64) {
    (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day in the Gregorian calendar; years begin in March here, so that leap days come last.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The ISO week of the year.
fn week(day: i64) -> i64 {
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (thursday - days_from_civil(year, 1, 1)) / 7 + 1
}

/// True for a language spelled `zh`, `zh-CN`, `中文 (zh)`, `Chinese`.
fn is_chinese(language: &str) -> bool {
    language.starts_with("zh") || language.contains("(zh") || language.contains("中文") || language.contains("Chinese")
}

fn month_name(month: i64, language: &str) -> String {
    const ENGLISH: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if is_chinese(language) {
        return format!("{month}月");
    }
    let at = usize::try_from(month - 1).unwrap_or(0);
    ENGLISH.get(at).copied().unwrap_or_default().to_owned()
}

fn day_name(day: i64, language: &str) -> String {
    const ENGLISH: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const CHINESE: [&str; 7] = ["周四", "周五", "周六", "周日", "周一", "周二", "周三"];
    let names = if is_chinese(language) { CHINESE } else { ENGLISH };
    names[usize::try_from(day.rem_euclid(7)).unwrap_or(0)].to_owned()
}
