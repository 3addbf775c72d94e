//! What ODK Collect does otherwise than a phone of ours, for comparing forms: nothing here keeps answers safe.
//!
//! In Collect an answer that its filter doesn't offer any more is gone once somebody looks at the choices, without anything
//! being computed anew, and a change inside a repeat instance isn't seen by the other instances. Counted repeats
//! begin with one instance there and never shrink; that is only followed where it is asked for, as the dialect has them grow and
//! shrink with their count.

use super::evaluate::Queue;
use super::{Changes, Refusal, Session, Surroundings};
use crate::form::definition::QuestionKind;
use crate::form::expression::{Moment, NodeId, NodeKind, Rows, Spot, Value};
use crate::form::model::{Choices, Model, Role, VertexKind};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Session {
    /// A new form instance that is filled as ODK Collect would have it, by [`Session::replay`].
    pub fn as_collect(model: Arc<Model>, around: Surroundings) -> Self {
        let mut session = Self::empty(model, around);
        session.collect = true;
        session.begin();
        session
    }

    /// Like [`Session::as_collect`], and counted repeats begin with one instance and never shrink.
    pub fn as_javarosa(model: Arc<Model>, around: Surroundings) -> Self {
        let mut session = Self::empty(model, around);
        (session.collect, session.keeps_instances) = (true, true);
        session.begin();
        session
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
        let model = Arc::clone(&self.model);
        if self.instance.leaf(&model, spot.node, spot.rows.as_slice()).is_none() {
            return Err(Refusal::NoSuchPlace);
        }
        if self.has_filtered_choices(spot.node) {
            self.drop_unoffered(spot);
        }
        let text = match model.question(spot.node).map(|q| &q.kind) {
            Some(QuestionKind::Geopoint | QuestionKind::Geotrace | QuestionKind::Geoshape) => place_text(text),
            _ => text.to_owned(),
        };
        let value = Value::typed(&text, kind, self.around.offset_minutes);
        let node = model.node(spot.node);
        if value.is_blank() {
            if node.required.as_ref().is_some_and(|c| self.test(spot, Role::Required, c, None) == Some(true)) {
                return Err(Refusal::Required { message: String::new() });
            }
            // what is blank already sets nothing off; but a list with nothing chosen isn't a blank
            let is_list = model.question(spot.node).is_some_and(|q| q.kind == QuestionKind::SelectMultiple);
            if self.value(spot).is_empty() && !is_list {
                return Ok(self.changes());
            }
        } else if self.is_relevant(spot) {
            self.judge(spot, &value)?;
        } else if let Some(code) = &node.constraint
            && self.test(spot, Role::Constraint, code, Some(&Value::blank())) == Some(false)
        {
            return Err(Refusal::Constraint { message: String::new() });
        }
        self.set(spot, value);
        self.come_to_counts();
        Ok(self.changes())
    }

    /// A leaf's value as Collect writes it into a record: as [`Session::value`], times with seconds and zone.
    pub fn value_for_export(&self, spot: Spot) -> Arc<str> {
        let leaf = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice());
        match leaf.map(|leaf| &leaf.value) {
            Some(Value::Moment(Moment::Time(ms))) => {
                let (zone, ms) = (self.around.offset_minutes, *ms);
                let instant = Moment::Instant(ms - i64::from(zone) * 60_000).to_iso(zone);
                instant.split_once('T').map_or("", |(_, time)| time).into()
            }
            _ => self.value(spot),
        }
    }

    /// Takes out of an answer what isn't offered now. Nothing is computed anew.
    pub(super) fn drop_unoffered(&mut self, spot: Spot) {
        let model = Arc::clone(&self.model);
        if matches!(model.node(spot.node).choices, Choices::None | Choices::Missing) {
            return;
        }
        let Some(leaf) = self.instance.leaf(&model, spot.node, spot.rows.as_slice()) else { return };
        let text = self.text_of(&leaf.value);
        let many = matches!(
            model.question(spot.node).map(|q| &q.kind),
            Some(QuestionKind::SelectMultiple | QuestionKind::Rank)
        );
        let names: Vec<&str> = if many { text.split_whitespace().collect() } else { vec![&text] };
        let kept: Vec<&str> = names.iter().copied().filter(|name| self.offers(spot, name)).collect();
        if kept.len() == names.len() || text.is_empty() {
            return;
        }
        let NodeKind::Leaf(kind) = model.tree().kind(spot.node) else { return };
        let value = Value::typed(&kept.join(" "), kind, self.around.offset_minutes);
        if let Some(leaf) = self.instance.leaf_mut(&model, spot.node, spot.rows.as_slice()) {
            leaf.value = value;
            self.changed.insert((spot.node, spot.rows));
            self.touched.insert((spot.node, spot.rows));
        }
    }

    /// True when a counted repeat gets instances: in Collect not before it applies.
    pub(super) fn grows_now(&self, repeat: NodeId, rows: Rows) -> bool {
        self.repeat_applies(Spot { node: repeat, rows })
    }

    /// Computes what a new instance concerns, in JavaRosa's three turns: what speaks of the repeat; what stands in the
    /// instance; what reads the questions directly in it, except what had its turn already.
    pub(super) fn settle_created(&mut self, repeat: NodeId, rows: Rows) {
        let model = Arc::clone(&self.model);
        let outer = rows.first(rows.as_slice().len().saturating_sub(1));
        self.had_turn = Some(BTreeSet::new());
        let mut queue = Queue::new();
        self.mark_dependents(repeat, outer, &mut queue);
        queue.retain(|(at, _)| model.vertices().get(*at as usize).is_some_and(|v| v.code.names_repeat(repeat)));
        self.settle(queue);
        self.focus = Some(Spot { node: repeat, rows });
        let mut queue = Queue::new();
        self.mark_inside(repeat, rows, &mut queue);
        self.settle(queue);
        self.left_out = self.had_turn.take().unwrap_or_default();
        let mut queue = Queue::new();
        for child in model.tree().children(repeat) {
            if matches!(model.tree().kind(*child), NodeKind::Leaf(_)) {
                self.mark_dependents(*child, rows, &mut queue);
            }
        }
        self.settle(queue);
        self.left_out.clear();
        self.focus = None;
    }

    /// In Collect counted repeats get instances when somebody comes to them, after everything else.
    pub(super) fn come_to_counts(&mut self) {
        let model = Arc::clone(&self.model);
        let counts = (0u32..).zip(model.vertices()).filter(|(_, v)| self.collect && v.kind == VertexKind::Count);
        let counts: Vec<_> = counts.collect();
        loop {
            let before = self.blocks;
            for (index, vertex) in &counts {
                let mut all = Vec::new();
                self.instance.vertex_rows(&model, vertex.node, vertex.kind, Rows::NONE, &mut all);
                for rows in all {
                    let mut queue = Queue::new();
                    self.step(*index, rows, &mut queue);
                    self.settle(queue);
                }
            }
            if self.blocks == before {
                return;
            }
        }
    }

    /// True when a vertex's rows can see the change under way: in Collect only the instances do that the changed place stands
    /// in. On a phone of ours all do.
    pub(super) fn in_focus(&self, vertex: NodeId, rows: Rows) -> bool {
        let Some(focus) = self.focus else { return true };
        let tree = self.model.tree();
        let (ours, theirs) = (tree.repeats(focus.node), tree.repeats(vertex));
        let shared = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        rows.as_slice().iter().zip(focus.rows.as_slice()).take(shared).all(|(a, b)| a == b)
    }
}

/// Places as Collect writes them: `30.5 104.25 0.0 0.0`.
fn place_text(text: &str) -> String {
    let number = |word: &str| word.parse::<f64>().map_or_else(|_| word.to_owned(), |n| format!("{n:?}"));
    let point = |point: &str| {
        let mut numbers: Vec<String> = point.split_whitespace().map(number).collect();
        if matches!(numbers.len(), 2 | 3) {
            numbers.resize(4, "0.0".to_owned()); // altitude and accuracy
        }
        numbers.join(" ")
    };
    text.split(';').map(point).filter(|p| !p.is_empty()).collect::<Vec<_>>().join("; ")
}
