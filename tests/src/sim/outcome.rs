//! What a run gives: failure or counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use doorstep_core::fault::Crash;
use serde_json::{Value, json};

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The invariant, as in design.md; `L` for liveness.
    pub invariant: String,
    /// What was seen.
    pub what: String,
}

impl Failure {
    /// An invariant that doesn't hold.
    pub fn broken(invariant: &str, what: impl Into<String>) -> Self {
        Self { invariant: invariant.to_owned(), what: what.into() }
    }

    /// An error where none may come, with its causes.
    pub fn unexpected(error: &dyn std::error::Error) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what.push_str(": ");
            what.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::broken("unexpected error", what)
    }

    /// The same, as a result.
    pub fn err<T>(invariant: &str, what: impl Into<String>) -> Result<T, Self> {
        Err(Self::broken(invariant, what))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::unexpected(&error)
    }
}

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// Adds to a count.
pub fn count(counts: &mut Counts, name: &str, n: u64) {
    *counts.entry(name.to_owned()).or_default() += n;
}

/// What one seed gave.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// `None`: all invariants held.
    pub failure: Option<Failure>,
    /// A digest of everything that happened: the same seed gives the same.
    pub digest: String,
    /// Work done.
    pub work: Counts,
    /// Faults injected.
    pub faults: Counts,
    /// Final states given.
    pub states: Counts,
    /// Crashes by point.
    pub crashes: Counts,
    /// Crash points reached.
    pub points: Counts,
}

impl Outcome {
    /// Before the run.
    pub fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        if let Some(failure) = &self.failure {
            return format!("seed {} FAILED: {failure}", self.seed);
        }
        let counts: Vec<String> = self.work.iter().map(|(name, n)| format!("{n} {name}")).collect();
        format!("seed {} ok: {}; digest {}", self.seed, counts.join(", "), self.digest)
    }

    /// One line for the sweep.
    pub fn to_json(&self) -> Value {
        json!({
            "seed": self.seed,
            "failure": self.failure.as_ref().map(|f| [&f.invariant, &f.what]),
            "digest": self.digest,
            "work": self.work,
            "faults": self.faults,
            "states": self.states,
            "crashes": self.crashes,
            "points": self.points,
        })
    }

    /// Reads what [`Outcome::to_json`] wrote.
    pub fn from_json(value: &Value) -> Option<Self> {
        let counts = |name: &str| -> Option<Counts> {
            value[name].as_object()?.iter().map(|(k, v)| Some((k.clone(), v.as_u64()?))).collect()
        };
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let failure = match &value["failure"] {
            Value::Array(f) => Some(Failure { invariant: text(f.first()?)?, what: text(f.get(1)?)? }),
            _ => None,
        };
        Some(Self {
            seed: value["seed"].as_u64()?,
            failure,
            digest: text(&value["digest"])?,
            work: counts("work")?,
            faults: counts("faults")?,
            states: counts("states")?,
            crashes: counts("crashes")?,
            points: counts("points")?,
        })
    }
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps panics off the screen: crashes are wanted, automerge's are contained; the last other one is remembered.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref::<Crash>().is_none() {
            *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }
    }));
}

/// The last panic that wasn't a crash.
pub fn last_panic() -> String {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).replace('\n', " ")
}
