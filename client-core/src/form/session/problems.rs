//! The whole form judged: everything that keeps it from being finished.

use super::{Refusal, Session};
use crate::form::check::AnswerError;
use crate::form::definition::QuestionKind;
use crate::form::expression::Spot;
use crate::form::model::Role;

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// An answer is required; what the form says about it.
    Required(String),
    /// The answer doesn't fulfil the form's condition; what the form says about it.
    Constraint(String),
    /// The answer doesn't fit its question, as a choice that isn't offered any more.
    Answer(AnswerError),
}

/// An answer that can't stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where.
    pub spot: Spot,
    /// Where, as `/data/member[2]/age`.
    pub path: String,
    /// What.
    pub kind: ProblemKind,
}

impl Session {
    /// All problems of relevant answers, in order of the form.
    pub fn problems(&self) -> Vec<Problem> {
        let spots = self.leaf_spots().into_iter().filter(|s| self.is_relevant(*s));
        let judged = spots.filter_map(|spot| Some((spot, self.problem(spot)?)));
        judged.map(|(spot, kind)| Problem { spot, path: self.path(spot), kind }).collect()
    }

    /// What is wrong with the answer at one place.
    pub fn problem(&self, spot: Spot) -> Option<ProblemKind> {
        let question = self.model.question(spot.node)?;
        if question.kind == QuestionKind::Note {
            return None;
        }
        let leaf = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice())?;
        if leaf.value.is_blank() {
            let required = self.model.is_shown(spot.node) && self.is_required(spot);
            return required.then(|| ProblemKind::Required(self.required_message(spot)));
        }
        let node = self.model.node(spot.node);
        if let Some(code) = &node.constraint
            && self.test(spot, Role::Constraint, code, Some(&leaf.value)) == Some(false)
        {
            return Some(ProblemKind::Constraint(self.constraint_message(spot)));
        }
        if self.model.is_calculated(spot.node) {
            return None;
        }
        match self.read(spot, question, &self.text_of(&leaf.value)) {
            Err(Refusal::Answer(error)) => Some(ProblemKind::Answer(error)),
            _ => None,
        }
    }
}
