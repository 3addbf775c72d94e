//! A merged record run once more: computed answers that differ, and answers that break the form's rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::problems::{Problem, ProblemKind};
use super::{Edits, Session, Surroundings};
use crate::form::definition::Sensitivity;
use crate::form::model::Model;
use crate::record::Value;

/// What a recheck found; keys are answer keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recheck {
    /// Computed answers that differ from what the answers give now, with what they should be.
    pub differing: Vec<(String, Value)>,
    /// Answers that break a rule.
    pub violations: Vec<(String, ProblemKind)>,
    /// Answers to questions that don't apply.
    pub not_relevant: Vec<String>,
    /// Answers that the form has no place for.
    pub misfits: Vec<String>,
}

/// What a recheck looks at.
#[derive(Debug, Clone)]
pub struct RecheckOptions {
    /// The classes whose answers are there. What reads answers of another class is left alone.
    pub held: BTreeSet<Sensitivity>,
    /// Missing required answers are violations too.
    pub complete: bool,
}

impl Default for RecheckOptions {
    /// All classes, and what is missing isn't a violation.
    fn default() -> Self {
        Self { held: [Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office].into(), complete: false }
    }
}

/// Runs calculations, relevance and constraints on a record's answers, with the clock and zone of `around` (the record's own).
/// What depends on clock or chance isn't compared.
pub fn recheck(model: &Arc<Model>, answers: &Edits, around: Surroundings, options: &RecheckOptions) -> Recheck {
    let session = Session::open(Arc::clone(model), around, answers);
    let mut found = Recheck { misfits: session.misfits.iter().map(|m| m.key.clone()).collect(), ..Recheck::default() };
    let now = session.answers();
    for spot in session.leaf_spots() {
        let Some(key) = session.key(spot) else { continue };
        let Some(before) = answers.get(&key).filter(|v| **v != Value::Blank) else { continue };
        if !session.has_inputs(spot.node, &options.held) {
            continue;
        }
        let computed = model.calculation(spot.node).is_some_and(|v| v.code.purity().is_pure());
        match now.get(&key) {
            Some(value) if computed && value != before => found.differing.push((key, value.clone())),
            None if !session.is_relevant(spot) => found.not_relevant.push(key),
            None if computed => found.differing.push((key, Value::Blank)),
            _ => {}
        }
    }
    for Problem { spot, kind, .. } in session.problems() {
        let counts = options.complete || !matches!(kind, ProblemKind::Required(_));
        if counts && session.has_rule_inputs(spot.node, &options.held) {
            found.violations.extend(session.key(spot).map(|key| (key, kind)));
        }
    }
    found
}
