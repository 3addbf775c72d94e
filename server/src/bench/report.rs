//! What a case gave, for people or as one JSON line, with the targets that it has to reach.

use serde_json::{Map, Value};

use crate::say;

/// A case's figures.
#[derive(Debug, Clone)]
pub struct Line {
    values: Map<String, Value>,
    targets: Vec<Target>,
}

#[derive(Debug, Clone)]
struct Target {
    text: String,
    met: bool,
}

impl Line {
    /// A case without figures yet.
    pub fn new(case: &str) -> Self {
        Self { values: Map::from_iter([("case".to_owned(), case.into())]), targets: Vec::new() }
    }

    /// Adds a figure.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// A number with one digit after the point.
    pub fn with_tenths(self, name: &str, value: f64) -> Self {
        self.with(name, (value * 10.0).round() / 10.0)
    }

    /// Adds a target: the sum of these figures is at most `limit`.
    pub fn at_most(mut self, names: &[&str], limit: f64) -> Self {
        let sum = self.sum(names);
        self.targets.push(Target { text: format!("{} at most {limit}", names.join(" + ")), met: sum <= limit });
        self
    }

    /// Adds a target: this figure is at least `limit`.
    pub fn at_least(mut self, name: &str, limit: f64) -> Self {
        let met = self.sum(&[name]) >= limit;
        self.targets.push(Target { text: format!("{name} at least {limit}"), met });
        self
    }

    fn sum(&self, names: &[&str]) -> f64 {
        names.iter().filter_map(|name| self.values.get(*name)?.as_f64()).sum()
    }

    /// Prints the case.
    pub fn print(&self, json: bool) {
        if json {
            let mut line = self.values.clone();
            let targets = self.targets.iter().map(|t| serde_json::json!({"target": t.text, "met": t.met}));
            line.insert("targets".into(), targets.collect());
            say!("{}", Value::Object(line));
            return;
        }
        let mut figures = self.values.iter();
        let case = figures.next().and_then(|(_, case)| case.as_str()).unwrap_or_default();
        say!("{case}");
        for (name, value) in figures {
            say!("    {name:<24} {value}");
        }
        for target in &self.targets {
            say!("    {:<24} {}", if target.met { "target met" } else { "TARGET MISSED" }, target.text);
        }
    }
}

/// The value below which `percent` of 100 lie; 0 of nothing.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}
