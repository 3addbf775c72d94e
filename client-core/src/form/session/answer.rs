//! Giving an answer: judged, kept, and what follows from it.

use std::sync::Arc;

use super::evaluate::Queue;
use super::{Fault, Session, TRIGGERS_MAX};
use crate::form::check::AnswerError;
use crate::form::definition::{Question, QuestionKind};
use crate::form::expression::{NodeId, NodeKind, Rows, Spot, Value};
use crate::form::model::{Role, VertexKind};
use crate::record;

/// What an action changed: answers, computed values, relevance, repeat instances. Screens show these places anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes(pub Vec<Spot>);

/// Why an action was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The form has no such place, or not any more.
    #[error("there is no such place in the form")]
    NoSuchPlace,
    /// The place doesn't apply as things stand.
    #[error("the question doesn't apply")]
    NotRelevant,
    /// The answer can't be changed by hand.
    #[error("the answer can't be changed")]
    ReadOnly,
    /// An answer must be given.
    #[error("an answer is required")]
    Required {
        /// What the form says about it; blank when it says nothing.
        message: String,
    },
    /// The answer doesn't fulfil the form's condition.
    #[error("the answer doesn't fulfil the condition")]
    Constraint {
        /// What the form says about it; blank when it says nothing.
        message: String,
    },
    /// The answer doesn't fit its question.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The number of instances is computed.
    #[error("how many there are is computed")]
    Counted,
    /// A limit of the form instance is reached.
    #[error("there can't be more")]
    TooMany,
}

impl Session {
    /// Answers a question: the text is as in XForms (names of choices separated by spaces, `2026-11-24`, `latitude longitude`);
    /// blank clears. Triggers follow.
    ///
    /// # Errors
    /// When the answer can't stand: the old one stays.
    pub fn answer(&mut self, spot: Spot, text: &str) -> Result<Changes, Refusal> {
        self.tick();
        let model = Arc::clone(&self.model);
        let question = model.question(spot.node).ok_or(Refusal::NoSuchPlace)?;
        if self.instance.leaf(&model, spot.node, spot.rows.as_slice()).is_none() {
            return Err(Refusal::NoSuchPlace);
        }
        if !self.is_relevant(spot) {
            return Err(Refusal::NotRelevant);
        }
        if self.is_read_only(spot) {
            return Err(Refusal::ReadOnly);
        }
        let value = self.read(spot, question, text)?;
        self.judge(spot, &value)?;
        self.set(spot, value);
        Ok(self.changes())
    }

    /// A text as the question's kind of value.
    pub(super) fn read(&self, spot: Spot, question: &Question, text: &str) -> Result<Value, Refusal> {
        let NodeKind::Leaf(kind) = self.model.tree().kind(spot.node) else { return Err(Refusal::NoSuchPlace) };
        let text = match question.kind {
            QuestionKind::Text => text,
            _ => text.trim(),
        };
        if text.is_empty() {
            return Ok(Value::blank());
        }
        let value = Value::typed(text, kind, self.around.offset_minutes);
        match question.kind {
            QuestionKind::SelectOne => self.check_offered(spot, &[text])?,
            QuestionKind::SelectMultiple | QuestionKind::Rank => {
                let names: Vec<&str> = text.split_whitespace().collect();
                if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
                    return Err(AnswerError::ChoiceTwice.into());
                }
                self.check_offered(spot, &names)?;
            }
            _ => {}
        }
        if question.kind != QuestionKind::SelectMultiple
            && let Some(key) = self.key(spot)
        {
            let answer = self.record_value(question, text, &value);
            match self.model.form().check_answer(&key, &answer) {
                // bounds that are the constraint are judged as the constraint
                Err(AnswerError::OutOfRange { .. }) if question.kind != QuestionKind::Range => {}
                other => other?,
            }
        }
        Ok(value)
    }

    fn check_offered(&self, spot: Spot, names: &[&str]) -> Result<(), Refusal> {
        if names.iter().all(|name| self.offers(spot, name)) { Ok(()) } else { Err(AnswerError::UnknownChoice.into()) }
    }

    /// Required and constraint.
    pub(super) fn judge(&self, spot: Spot, value: &Value) -> Result<(), Refusal> {
        if value.is_blank() {
            if self.is_required(spot) {
                return Err(Refusal::Required { message: self.required_message(spot) });
            }
            return Ok(());
        }
        let Some(code) = &self.model.node(spot.node).constraint else { return Ok(()) };
        // a condition that can't be evaluated can't be broken
        if self.test(spot, Role::Constraint, code, Some(value)) == Some(false) {
            return Err(Refusal::Constraint { message: self.constraint_message(spot) });
        }
        Ok(())
    }

    /// Sets a value and runs what it sets off.
    pub(super) fn set(&mut self, spot: Spot, value: Value) {
        if self.set_only(spot, value) {
            self.run_triggers(spot);
        }
    }

    /// Sets a value and computes what follows; true when the value is another one.
    fn set_only(&mut self, spot: Spot, value: Value) -> bool {
        let mut queue = Queue::new();
        self.focus = self.collect.then_some(spot);
        let changed = self.put(spot, value, &mut queue);
        self.settle(queue);
        self.focus = None;
        self.touched.insert((spot.node, spot.rows));
        changed
    }

    /// Runs what waits for an answer to change, each with what it sets off in turn before the next, as in ODK.
    pub(super) fn run_triggers(&mut self, from: Spot) {
        let model = Arc::clone(&self.model);
        let follow = |session: &Self, source: Spot| -> Vec<Spot> {
            let targets = model.triggered_by(source.node).iter();
            targets
                .flat_map(|n| session.rows_beside(source, *n).into_iter().map(|rows| Spot { node: *n, rows }))
                .collect()
        };
        let mut waiting: Vec<Spot> = follow(self, from).into_iter().rev().collect();
        let mut runs = 0;
        while let Some(spot) = waiting.pop() {
            runs += 1;
            if runs > TRIGGERS_MAX {
                self.fault(Fault::TooMuchWork);
                return;
            }
            let value = match &model.node(spot.node).triggered {
                Some(code) => self.compute(spot, Role::Calculation, code),
                None => Value::blank(),
            };
            let value = self.converted(spot.node, value);
            if self.set_only(spot, value) {
                waiting.extend(follow(self, spot).into_iter().rev());
            }
        }
    }

    /// The instances of a node in the repeat instances that it shares with a place.
    fn rows_beside(&self, source: Spot, node: NodeId) -> Vec<Rows> {
        let tree = self.model.tree();
        let (ours, theirs) = (tree.repeats(source.node), tree.repeats(node));
        let shared = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let mut rows = Vec::new();
        self.instance.vertex_rows(&self.model, node, VertexKind::Value, source.rows.first(shared), &mut rows);
        rows
    }

    pub(super) fn changes(&self) -> Changes {
        Changes(self.changed.iter().map(|(node, rows)| Spot { node: *node, rows: *rows }).collect())
    }

    /// A value as a record keeps it; multiple choices have one entry a choice and come as text here.
    pub(super) fn record_value(&self, question: &Question, text: &str, value: &Value) -> record::Value {
        if value.is_blank() {
            return record::Value::Blank;
        }
        match (&question.kind, value) {
            (QuestionKind::Acknowledge, _) if matches!(text, "OK" | "true" | "1") => record::Value::Bool(true),
            (QuestionKind::Integer, Value::Number(n))
            | (QuestionKind::Calculate | QuestionKind::Hidden, Value::Number(n)) => {
                whole(*n).map_or_else(|| record::Value::from(*n), record::Value::Int)
            }
            (QuestionKind::Decimal | QuestionKind::Range, Value::Number(n)) => record::Value::from(*n),
            (QuestionKind::Calculate | QuestionKind::Hidden, Value::Bool(b)) => record::Value::Bool(*b),
            _ => record::Value::Text(text.to_owned()),
        }
    }
}

fn whole(n: f64) -> Option<i64> {
    (n.fract() == 0.0 && n.abs() < 9e15).then_some(n as i64)
}
