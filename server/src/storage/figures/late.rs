//! When a record counts as late: for all record types, and for those that have a rule of their own.

use std::collections::BTreeMap;
use std::fmt;

use super::{LATE_DAYS, LATE_DAYS_MAX, LATE_TYPES_MAX};

/// The longest name of a record type, in bytes.
const TYPE_MAX: usize = 64;

/// Days after the end of a month until which its records aren't late. As text: the days of all record types, then those of
/// types of their own, such as `3 visit=5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateDays {
    days: u32,
    own: BTreeMap<String, u32>,
}

impl Default for LateDays {
    fn default() -> Self {
        Self { days: LATE_DAYS, own: BTreeMap::new() }
    }
}

/// What was given is no rule of lateness.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither a number of days (0 to {LATE_DAYS_MAX}) nor such as visit=5")]
pub struct BadLateDays(String);

impl LateDays {
    /// The setting's; of what can't be read the usual days.
    pub fn stored(setting: Option<&str>) -> Self {
        let mut late = Self::default();
        for rule in setting.unwrap_or_default().split_whitespace() {
            // a damaged rule leaves the others as they are
            let _ = late.set(rule);
        }
        late
    }

    /// Changes one rule: `5`, or `visit=5` for one record type.
    ///
    /// # Errors
    /// When it is none, or there are too many.
    pub fn set(&mut self, rule: &str) -> Result<(), BadLateDays> {
        let bad = || BadLateDays(rule.chars().take(80).collect());
        let (record_type, days) = rule.split_once('=').unwrap_or(("", rule));
        let days = days.parse().ok().filter(|days| *days <= LATE_DAYS_MAX).ok_or_else(bad)?;
        if !rule.contains('=') {
            self.days = days;
            return Ok(());
        }
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let is_room = self.own.len() < LATE_TYPES_MAX || self.own.contains_key(record_type);
        if !(1..=TYPE_MAX).contains(&record_type.len()) || !record_type.bytes().all(is_name) || !is_room {
            return Err(bad());
        }
        self.own.insert(record_type.to_owned(), days);
        Ok(())
    }

    /// The days of a record type.
    pub fn of(&self, record_type: &str) -> u32 {
        self.own.get(record_type).copied().unwrap_or(self.days)
    }

    /// The days of all types without a rule of their own.
    pub fn usual(&self) -> u32 {
        self.days
    }

    /// The types with a rule of their own.
    pub fn own(&self) -> &BTreeMap<String, u32> {
        &self.own
    }
}

impl fmt::Display for LateDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.days)?;
        self.own.iter().try_for_each(|(record_type, days)| write!(f, " {record_type}={days}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use super::*;

    #[test]
    fn a_record_type_has_its_own_days_or_the_usual_ones_and_the_setting_reads_back() {
        let mut late = LateDays::stored(None);
        assert_eq!((late.of("visit"), late.to_string().as_str()), (LATE_DAYS, "3"));
        for rule in ["visit=5", "screening=0", "7", "visit=6"] {
            late.set(rule).unwrap();
        }
        assert_eq!((late.of("visit"), late.of("screening"), late.of("household")), (6, 0, 7));
        assert_eq!(LateDays::stored(Some(&late.to_string())), late);
        assert_eq!(LateDays::stored(Some("10")).of("visit"), 10, "as it was written before types had their own");
    }

    #[test]
    fn what_is_no_rule_is_refused_and_changes_nothing() {
        for rule in ["", "x", "-1", "3661", "visit=", "=3", "visit=x", "a b=3", "visit=99999999999"] {
            let mut late = LateDays::default();
            assert!(late.set(rule).is_err(), "{rule:?}");
            assert_eq!(late, LateDays::default());
        }
        let mut many = LateDays::default();
        let taken = (0..300).filter(|n| many.set(&format!("t{n}=1")).is_ok()).count();
        assert_eq!(taken, LATE_TYPES_MAX);
        assert_eq!(LateDays::stored(Some("nonsense visit=9")).of("visit"), 9);
    }
}
