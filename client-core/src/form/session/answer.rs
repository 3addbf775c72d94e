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

    /// Answers as JavaRosa does when nobody is asked: only constraint and required are looked at, also where the question
    /// doesn't apply. There its condition sees a blank, as every expression does. What a filtered list doesn't offer any more
    /// goes when the question is come to.
    ///
    /// # Errors
    /// [`Refusal::Required`], [`Refusal::Constraint`], or [`Refusal::NoSuchPlace`]: the old answer stays.
    pub fn replay(&mut self, spot: Spot, text: &str) -> Result<Changes, Refusal> {
        self.tick();
        let NodeKind::Leaf(kind) = self.model.tree().kind(spot.node) else { return Err(Refusal::NoSuchPlace) };
        if self.instance.leaf(&self.model, spot.node, spot.rows.as_slice()).is_none() {
            return Err(Refusal::NoSuchPlace);
        }
        let value = Value::typed(text, kind, self.around.offset_minutes);
        let node = Arc::clone(&self.model);
        let node = node.node(spot.node);
        if value.is_blank() {
            if node.required.as_ref().is_some_and(|c| self.test(spot, Role::Required, c, None) == Some(true)) {
                return Err(Refusal::Required { message: String::new() });
            }
        } else if self.is_relevant(spot) {
            self.judge(spot, &value)?;
        } else if let Some(code) = &node.constraint
            && self.test(spot, Role::Constraint, code, Some(&Value::blank())) == Some(false)
        {
            return Err(Refusal::Constraint { message: String::new() });
        }
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
    fn judge(&self, spot: Spot, value: &Value) -> Result<(), Refusal> {
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
        let mut queue = Queue::new();
        let changed = self.put(spot, value, &mut queue);
        self.settle(queue);
        self.touched.insert((spot.node, spot.rows));
        if changed {
            self.run_triggers(spot);
        }
    }

    fn run_triggers(&mut self, from: Spot) {
        let mut waiting = std::collections::VecDeque::from([from]);
        let mut runs = 0;
        while let Some(source) = waiting.pop_front() {
            let model = Arc::clone(&self.model);
            for node in model.triggered_by(source.node) {
                for rows in self.rows_beside(source, *node) {
                    runs += 1;
                    if runs > TRIGGERS_MAX {
                        self.fault(Fault::TooMuchWork);
                        return;
                    }
                    let spot = Spot { node: *node, rows };
                    let value = match &model.node(*node).triggered {
                        Some(code) => self.compute(spot, Role::Calculation, code),
                        None => Value::blank(),
                    };
                    let value = self.converted(*node, value);
                    let mut queue = Queue::new();
                    if self.put(spot, value, &mut queue) {
                        waiting.push_back(spot);
                    }
                    self.settle(queue);
                    self.touched.insert((spot.node, spot.rows));
                }
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
