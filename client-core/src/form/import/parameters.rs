//! The `parameters` column: `key=value` pairs, and what each type takes.

use std::collections::BTreeMap;

use super::code::Code;
use super::decimal::Decimal;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::nearest::nearest;
use super::reference::{is_name, only_reference};
use super::settings::yes_no;
use crate::form::definition::Choice;

pub(super) type Parameters = BTreeMap<String, String>;

/// Reads the pairs; separated by space, comma or semicolon, keys and most values in lower case.
pub(super) fn parse(text: &str) -> Option<Parameters> {
    let spaced = text.replace('=', " = ");
    let mut tokens = spaced.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|t| !t.is_empty());
    let mut parameters = Parameters::new();
    while let Some(key) = tokens.next() {
        let (Some("="), Some(value)) = (tokens.next(), tokens.next()) else { return None };
        if key == "=" || value == "=" {
            return None;
        }
        let key = key.to_lowercase();
        let keep = matches!(key.as_str(), "label" | "value") || value.contains("${");
        let value = if keep { value.to_owned() } else { value.to_lowercase() };
        parameters.insert(key, value);
    }
    Some(parameters)
}

/// What the checks need to know of a question.
pub(super) struct Asked<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) appearance: Option<&'a str>,
    pub(super) place: Place,
}

impl Asked<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(String::as_str)
    }

    /// Refuses keys that the type doesn't take.
    pub(super) fn only(&self, known: &[&str], problems: &mut Problems) {
        for key in self.parameters.keys().filter(|k| !known.contains(&k.as_str())) {
            let diagnostic = Diagnostic::new(Code::UnknownParameter, self.place.clone()).with("name", key);
            problems.add(diagnostic.with("known", known.join(", ")).nearest(nearest(key, known.iter().copied())));
        }
    }

    fn must(&self, key: &str, allowed: &str, fits: impl Fn(&str) -> bool, problems: &mut Problems) {
        if let Some(value) = self.get(key)
            && !fits(value)
        {
            self.bad(key, value, allowed, problems);
        }
    }

    fn bad(&self, key: &str, value: &str, allowed: &str, problems: &mut Problems) {
        let diagnostic = Diagnostic::new(Code::BadParameter, self.place.clone()).with("name", key);
        problems.add(diagnostic.with("value", value).with("allowed", allowed));
    }

    fn one_of(&self, key: &str, allowed: &[&str], problems: &mut Problems) {
        self.must(key, &allowed.join(", "), |v| allowed.contains(&v), problems);
    }

    /// Checks the parameters of a type without choices.
    pub(super) fn check(&self, kind: &str, problems: &mut Problems) {
        let whole = |v: &str| v.parse::<i64>().is_ok();
        let number = |v: &str| v.parse::<f64>().is_ok();
        match kind {
            "text" => {
                self.only(&["rows"], problems);
                self.must("rows", "1, 2, 3 …", whole, problems);
            }
            "image" => {
                self.only(&["app", "max-pixels"], problems);
                self.must("max-pixels", "1024 …", whole, problems);
                if self.appearance.is_none_or(|a| a == "annotate") {
                    self.must("app", "org.example.app", is_package, problems);
                }
            }
            "audio" => {
                self.only(&["quality"], problems);
                self.one_of("quality", &["voice-only", "low", "normal", "external"], problems);
            }
            "background-audio" => {
                self.only(&["quality"], problems);
                self.one_of("quality", &["voice-only", "low", "normal"], problems);
            }
            "geopoint" => {
                let known = ["allow-mock-accuracy", "capture-accuracy", "reference-geometry", "warning-accuracy"];
                self.only(&known, problems);
                self.must("capture-accuracy", "5, 10 …", number, problems);
                self.must("warning-accuracy", "5, 10 …", number, problems);
                self.one_of("allow-mock-accuracy", &["true", "false"], problems);
            }
            "geotrace" | "geoshape" => {
                self.only(&["allow-mock-accuracy", "incremental", "reference-geometry"], problems);
                self.must("incremental", "true", |v| yes_no(v) == Some(true), problems);
                self.one_of("allow-mock-accuracy", &["true", "false"], problems);
            }
            "audit" => self.check_audit(problems),
            _ => {}
        }
    }

    fn check_audit(&self, problems: &mut Problems) {
        let location = ["location-priority", "location-min-interval", "location-max-age"];
        let known = ["identify-user", "track-changes", "track-changes-reasons"];
        self.only(&[&known[..], &location[..]].concat(), problems);
        self.one_of("identify-user", &["true", "false"], problems);
        self.one_of("track-changes", &["true", "false"], problems);
        self.one_of("track-changes-reasons", &["on-form-edit"], problems);
        let given = location.iter().filter(|k| self.get(k).is_some()).count();
        if given == 0 {
            return;
        }
        if given < location.len() {
            let missing = location.iter().find(|k| self.get(k).is_none()).copied().unwrap_or_default();
            self.bad(missing, "", &location.join(", "), problems);
            return;
        }
        self.one_of("location-priority", &["no-power", "low-power", "balanced", "high-accuracy"], problems);
        let seconds = |key: &str| self.get(key).and_then(|v| v.parse::<i64>().ok()).filter(|n| *n >= 0);
        for key in &location[1..] {
            self.must(key, "0, 60 …", |_| seconds(key).is_some(), problems);
        }
        if let (Some(least), Some(most)) = (seconds(location[1]), seconds(location[2]))
            && most < least
        {
            self.bad(location[2], &most.to_string(), &format!("≥ {least}"), problems);
        }
    }

    /// Checks the parameters of a question with choices.
    pub(super) fn check_select(&self, from_file: bool, problems: &mut Problems) {
        if from_file {
            self.only(&["label", "randomize", "seed", "value"], problems);
            self.must("value", "name", is_name, problems);
            self.must("label", "label", is_name, problems);
        } else {
            self.only(&["randomize", "seed"], problems);
        }
        self.one_of("randomize", &["true", "false"], problems);
        if self.get("randomize").is_none() && self.get("seed").is_some() {
            self.bad("seed", self.get("seed").unwrap_or_default(), "randomize=true", problems);
        }
        self.must("seed", "42, ${name}", |v| only_reference(v).is_some() || v.parse::<f64>().is_ok(), problems);
    }

    /// Checks a range; true when its numbers aren't whole. `choices` are those of `tick_labelset`.
    pub(super) fn check_range(&self, choices: Option<&[Choice]>, problems: &mut Problems) -> bool {
        self.only(&["end", "placeholder", "start", "step", "tick_interval", "tick_labelset"], problems);
        let ticks = ["tick_interval", "placeholder", "tick_labelset"].iter().find(|k| self.get(k).is_some());
        if let (Some(key), Some(appearance)) = (ticks, self.appearance)
            && !appearance.contains("vertical")
            && !appearance.contains("no-ticks")
        {
            self.bad(key, appearance, "appearance: vertical, no-ticks", problems);
        }
        let mut bad = false;
        let mut number = |key: &str, default: Option<&str>| {
            let text = self.get(key).or(default)?;
            let parsed = Decimal::parse(text);
            if parsed.is_none() {
                bad = true;
                self.bad(key, text, "1, 2.5 …", problems);
            }
            parsed
        };
        let (start, end) = (number("start", Some("1")), number("end", Some("10")));
        let (step, interval) = (number("step", Some("1")), number("tick_interval", None));
        let placeholder = number("placeholder", None);
        let (Some(start), Some(end), Some(step), false) = (start, end, step, bad) else { return false };
        let range = Range { start, end, step, interval };
        self.check_range_numbers(&range, placeholder, problems);
        if let Some(name) = self.get("tick_labelset") {
            match choices {
                None => self.bad("tick_labelset", name, "choices", problems),
                Some(choices) => self.check_tick_labels(&range, choices, problems),
            }
        }
        [Some(start), Some(end), Some(step), interval, placeholder].into_iter().flatten().any(|n| !n.is_whole())
    }

    fn check_range_numbers(&self, range: &Range, placeholder: Option<Decimal>, problems: &mut Problems) {
        let width = range.end.minus(range.start).abs();
        let shown = |key: &str| self.get(key).unwrap_or_default().to_owned();
        if range.step.is_zero() || range.step > width {
            self.bad("step", &shown("step"), "0 < step ≤ |end - start|", problems);
            return;
        }
        if let Some(interval) = range.interval
            && (interval.is_zero() || interval > width || !interval.is_multiple_of(range.step))
        {
            self.bad("tick_interval", &shown("tick_interval"), "n × step ≤ |end - start|", problems);
        }
        if let Some(placeholder) = placeholder
            && !(placeholder.minus(range.start).is_multiple_of(range.step) && range.holds(placeholder))
        {
            self.bad("placeholder", &shown("placeholder"), "start + n × step", problems);
        }
    }

    fn check_tick_labels(&self, range: &Range, choices: &[Choice], problems: &mut Problems) {
        let no_ticks = self.appearance.is_some_and(|a| a.contains("no-ticks"));
        let unit = range.interval.unwrap_or(range.step);
        let mut values: Vec<Decimal> = Vec::new();
        for choice in choices {
            let fits = |v: &Decimal| range.holds(*v) && !unit.is_zero() && v.minus(range.start).is_multiple_of(unit);
            match Decimal::parse(&choice.name).filter(fits) {
                Some(value) if !values.contains(&value) => values.push(value),
                Some(_) => {}
                None => return self.bad("tick_labelset", &choice.name, "start + n × step", problems),
            }
        }
        let both_ends = values.len() == 2 && values.contains(&range.start) && values.contains(&range.end);
        if no_ticks && !both_ends {
            self.bad("tick_labelset", "no-ticks", "start, end", problems);
        }
    }
}

struct Range {
    start: Decimal,
    end: Decimal,
    step: Decimal,
    interval: Option<Decimal>,
}

impl Range {
    fn holds(&self, value: Decimal) -> bool {
        let (low, high) = if self.start < self.end { (self.start, self.end) } else { (self.end, self.start) };
        low <= value && value <= high
    }
}

/// True for the package name of an Android app.
fn is_package(name: &str) -> bool {
    name.contains('.')
        && name.split('.').all(|part| {
            let first = part.chars().next();
            first.is_some_and(|c| c != '_' && !c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
}
