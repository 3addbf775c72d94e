//! A merged record run once more: computed answers that differ, and answers that break the form's rules.

use std::sync::Arc;

use super::problems::{Problem, ProblemKind};
use super::{Edits, Session, Surroundings};
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

/// Runs calculations, relevance and constraints on a record's answers, with the clock and zone of `around` (the record's own).
/// What depends on clock or chance isn't compared. Missing required answers are violations only with `complete`.
pub fn recheck(model: &Arc<Model>, answers: &Edits, around: Surroundings, complete: bool) -> Recheck {
    let session = Session::open(Arc::clone(model), around, answers);
    let mut found = Recheck { misfits: session.misfits.iter().map(|m| m.key.clone()).collect(), ..Recheck::default() };
    let now = session.answers();
    for spot in session.leaf_spots() {
        let Some(key) = session.key(spot) else { continue };
        let vertex = model.calculation(spot.node);
        if let Some(before) = answers.get(&key)
            && *before != Value::Blank
        {
            match now.get(&key) {
                Some(value) if vertex.is_some_and(|v| v.code.purity().is_pure()) && value != before => {
                    found.differing.push((key.clone(), value.clone()));
                }
                None if !session.is_relevant(spot) => found.not_relevant.push(key.clone()),
                None if vertex.is_some_and(|v| v.code.purity().is_pure()) => {
                    found.differing.push((key.clone(), Value::Blank));
                }
                _ => {}
            }
        }
    }
    for Problem { spot, kind, .. } in session.problems() {
        if complete || !matches!(kind, ProblemKind::Required(_)) {
            found.violations.extend(session.key(spot).map(|key| (key, kind)));
        }
    }
    found
}
