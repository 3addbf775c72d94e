//! Keeps relevance, calculations and repeat counts up to date.

use std::collections::BTreeSet;

use super::view::View;
use super::{Fault, REEVALUATIONS_MAX, Session};
use crate::form::expression::{AnswerType, ExpressionError, Moment, NodeId, NodeKind, Resolved, Rows, Spot, Value};
use crate::form::model::{Role, VertexKind};

/// Vertices to be evaluated, in their order, each with its rows.
pub(super) type Queue = BTreeSet<(u32, Rows)>;

impl Session {
    /// Evaluates everything; without `kept`, also what chance and the clock gave before.
    pub(super) fn evaluate_all(&mut self, kept: bool) {
        let mut queue = Queue::new();
        let model = std::sync::Arc::clone(&self.model);
        for (at, vertex) in (0u32..).zip(model.vertices()) {
            let mut rows = Vec::new();
            self.instance.vertex_rows(&model, vertex.node, vertex.kind, Rows::NONE, &mut rows);
            let settled = |session: &Self, rows: &Rows| {
                kept && vertex.kind == VertexKind::Value
                    && !vertex.code.purity().is_pure()
                    && session.instance.leaf(&model, vertex.node, rows.as_slice()).is_some_and(|l| !l.value.is_blank())
            };
            queue.extend(rows.into_iter().filter(|rows| !settled(self, rows)).map(|rows| (at, rows)));
        }
        self.settle(queue);
    }

    /// Evaluates what is marked, and what that changes in turn.
    pub(super) fn settle(&mut self, mut queue: Queue) {
        let mut work = 0;
        while let Some((vertex, rows)) = queue.pop_first() {
            if self.collect && self.model.vertices().get(vertex as usize).is_some_and(|v| v.kind == VertexKind::Count) {
                continue; // Session::come_to_counts
            }
            if self.left_out.contains(&vertex) {
                continue;
            }
            if let Some(turns) = &mut self.had_turn {
                turns.insert(vertex);
            }
            work += 1;
            if work > REEVALUATIONS_MAX {
                self.fault(Fault::TooMuchWork);
                return;
            }
            self.step(vertex, rows, &mut queue);
        }
    }

    pub(super) fn step(&mut self, vertex: u32, rows: Rows, queue: &mut Queue) {
        let model = std::sync::Arc::clone(&self.model);
        let Some(vertex) = model.vertices().get(vertex as usize) else { return };
        let spot = Spot { node: vertex.node, rows };
        match vertex.kind {
            VertexKind::Relevance => {
                let Some(mark) = self.instance.mark(&model, spot.node, rows.as_slice()) else { return };
                let own = self.test(spot, Role::Relevant, &vertex.code, None);
                let own = own.unwrap_or_else(|| self.note_error(spot, Role::Relevant, &vertex.code).to_bool());
                if own == mark.own {
                    if self.collect {
                        self.mark_read_inside(spot, queue);
                    }
                    return;
                }
                let mut changed = Vec::new();
                self.instance.set_relevance(&model, spot, own, &mut changed);
                for spot in changed {
                    self.changed.insert((spot.node, spot.rows));
                    self.mark_dependents(spot.node, spot.rows, queue);
                    // a place counts only while it applies: what is computed there may read its own
                    let own = model.standing(spot.node).iter().filter(|at| {
                        model
                            .vertices()
                            .get(**at as usize)
                            .is_some_and(|v| v.kind == VertexKind::Value && v.code.purity().is_pure())
                    });
                    queue.extend(own.map(|at| (*at, spot.rows)));
                }
                self.changed.insert((spot.node, spot.rows));
            }
            VertexKind::Value => {
                if self.instance.leaf(&model, spot.node, rows.as_slice()).is_none() {
                    return;
                }
                let value = self.compute(spot, Role::Calculation, &vertex.code);
                let value = self.converted(spot.node, value);
                if self.put(spot, value, queue) && !vertex.code.purity().is_pure() {
                    self.touched.insert((spot.node, spot.rows));
                }
            }
            VertexKind::Count => {
                let asker = Spot { node: vertex.node, rows: rows.with(0) };
                let value = self.compute(asker, Role::Count, &vertex.code);
                let number = value.to_number(self.around.offset_minutes);
                self.set_count(vertex.node, rows, if number >= 1.0 { number } else { 0.0 }, queue);
            }
        }
    }

    /// Sets a leaf; true when that changed it.
    pub(super) fn put(&mut self, spot: Spot, value: Value, queue: &mut Queue) -> bool {
        let model = std::sync::Arc::clone(&self.model);
        let Some(leaf) = self.instance.leaf_mut(&model, spot.node, spot.rows.as_slice()) else { return false };
        if same(&leaf.value, &value) {
            if self.collect {
                self.mark_dependents(spot.node, spot.rows, queue);
            }
            return false;
        }
        leaf.value = value;
        let read = leaf.mark.effective || self.collect;
        self.changed.insert((spot.node, spot.rows));
        if read {
            self.mark_dependents(spot.node, spot.rows, queue);
        }
        true
    }

    /// Marks what a change of a node in these rows concerns.
    pub(super) fn mark_dependents(&self, node: NodeId, rows: Rows, queue: &mut Queue) {
        for (at, shared) in self.model.dependents(node) {
            let Some(vertex) = self.model.vertices().get(*at as usize) else { continue };
            let prefix = rows.first(usize::from(*shared));
            if vertex.depth == usize::from(*shared) && prefix.as_slice().len() == vertex.depth {
                if self.in_focus(vertex.node, prefix) {
                    queue.insert((*at, prefix));
                }
                continue;
            }
            let mut all = Vec::new();
            self.instance.vertex_rows(&self.model, vertex.node, vertex.kind, prefix, &mut all);
            all.retain(|rows| self.in_focus(vertex.node, *rows));
            queue.extend(all.into_iter().map(|rows| (*at, rows)));
        }
    }

    /// Marks what reads a node or anything in it.
    fn mark_read_inside(&self, at: Spot, queue: &mut Queue) {
        self.mark_dependents(at.node, at.rows, queue);
        self.walk(at, &mut |leaf| self.mark_dependents(leaf.node, leaf.rows, queue));
    }

    /// Marks everything that stands in a repeat instance, and on the instance itself.
    pub(super) fn mark_inside(&self, repeat: NodeId, rows: Rows, queue: &mut Queue) {
        for at in self.model.standing(repeat) {
            if self.model.vertices().get(*at as usize).is_some_and(|v| v.kind == VertexKind::Relevance) {
                queue.insert((*at, rows));
            }
        }
        self.mark_below(repeat, rows, queue);
    }

    fn mark_below(&self, node: NodeId, rows: Rows, queue: &mut Queue) {
        for child in self.model.tree().children(node) {
            for at in self.model.standing(*child) {
                let Some(vertex) = self.model.vertices().get(*at as usize) else { continue };
                let mut all = Vec::new();
                self.instance.vertex_rows(&self.model, vertex.node, vertex.kind, rows, &mut all);
                queue.extend(all.into_iter().map(|rows| (*at, rows)));
            }
            self.mark_below(*child, rows, queue);
        }
    }

    /// Evaluates; a fault is noted and counts as blank.
    pub(super) fn compute(&mut self, spot: Spot, role: Role, code: &Resolved) -> Value {
        let (result, looked_at) = {
            let view = View::new(self);
            let result = code.evaluate(&view.context(spot, None));
            (result, view.looked_at.take())
        };
        if self.collect {
            looked_at.into_iter().for_each(|question| self.drop_unoffered(question));
        }
        result.unwrap_or_else(|error| self.noted(spot, role, error))
    }

    /// Evaluates a condition; `None` when it can't be.
    pub(super) fn test(&self, spot: Spot, _role: Role, code: &Resolved, candidate: Option<&Value>) -> Option<bool> {
        let view = View::new(self);
        code.test(&view.context(spot, candidate)).ok()
    }

    /// Evaluates once more to note why it fails.
    fn note_error(&mut self, spot: Spot, role: Role, code: &Resolved) -> Value {
        self.compute(spot, role, code)
    }

    fn noted(&mut self, spot: Spot, role: Role, error: ExpressionError) -> Value {
        let path = self.model.tree().path(spot.node);
        self.fault(Fault::Expression { path, role, error });
        Value::blank()
    }

    /// A computed value as its leaf keeps it.
    pub(super) fn converted(&self, node: NodeId, value: Value) -> Value {
        let NodeKind::Leaf(kind) = self.model.tree().kind(node) else { return value };
        let value = match (value, self.model.is_whole(node)) {
            (Value::Number(n), true) => Value::Number(n.trunc()),
            (value, _) => value,
        };
        convert(value, kind, self.around.offset_minutes)
    }
}

/// A computed value as JavaRosa keeps it in a leaf of this type: a text leaf keeps numbers and truth values as such, and any
/// moment as a day with time.
fn convert(value: Value, kind: AnswerType, zone: i32) -> Value {
    match (value, kind) {
        (Value::Number(n), _) if n.is_nan() => Value::blank(),
        // what is nearly whole is whole, and there is no minus nought
        (Value::Number(n), _) if (n - n.trunc()).abs() < 1e-9 => Value::Number(n.trunc() + 0.0),
        (Value::Text(text), kind) => Value::typed(&text, kind, zone),
        (Value::Bool(b), AnswerType::Number) => Value::Number(f64::from(u8::from(b))),
        (Value::Moment(moment), AnswerType::Text | AnswerType::DateTime) => {
            Value::Moment(Moment::Instant(moment.local_ms(zone) - i64::from(zone) * 60_000))
        }
        (Value::Moment(moment @ Moment::Instant(_)), AnswerType::Date) => {
            Value::Moment(Moment::Day(moment.local_day(zone)))
        }
        (value, _) => value,
    }
}

/// Equal as kept values: NaN never is one, so plain equality does.
fn same(a: &Value, b: &Value) -> bool {
    a == b
}
