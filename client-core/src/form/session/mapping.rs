//! Answers as a record keeps them, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::instance::Block;
use super::repeats::split;
use super::{INSTANCES_MAX, LEAVES_MAX, Session, Surroundings};
use crate::form::definition::{Question, QuestionKind, Sensitivity};
use crate::form::expression::{Moment, NodeId, NodeKind, Rows, Spot, Tree, Value};
use crate::form::model::{Choices, Detail, Model, VertexKind};
use crate::record;
use crate::record::key::{AnswerKey, Leaf};

/// Answers by key, as they go into a journal or a record.
pub type Edits = BTreeMap<String, record::Value>;

/// An answer that the form has no place for (any more): kept as it was, and shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    /// Its key.
    pub key: String,
    /// The answer.
    pub value: record::Value,
}

impl Session {
    /// A form instance with answers that were given before. Everything computed is computed anew, but what chance and the
    /// clock gave stays.
    pub fn open(model: Arc<Model>, around: Surroundings, answers: &Edits) -> Self {
        let mut session = Self::empty(model, around);
        session.load(answers);
        session.evaluate_all(true);
        session.changed.clear();
        session.touched.clear();
        session
    }

    /// Answers that the form has no place for.
    pub fn misfits(&self) -> &[Misfit] {
        &self.misfits
    }

    /// The key of a question's answer, or the place of a repeat instance (`member#a1`). `None` where there is no such
    /// instance, and for what a record can't name.
    pub fn key(&self, spot: Spot) -> Option<String> {
        let mut key = self.place(spot)?;
        if let NodeKind::Leaf(_) = self.model.tree().kind(spot.node) {
            if !key.is_empty() {
                key.push('/');
            }
            key.push_str(self.model.question(spot.node)?.key());
        }
        Some(key)
    }

    /// The repeat instances around a place, as `member#a1`.
    fn place(&self, spot: Spot) -> Option<String> {
        let mut place = String::new();
        let repeats = self.model.tree().repeats(spot.node);
        for (depth, repeat) in repeats.iter().enumerate() {
            let rows = spot.rows.first(depth + 1);
            if rows.as_slice().len() <= depth {
                return None;
            }
            let block = self.instance.block(&self.model, self.model.inner_scope(*repeat), rows.as_slice())?;
            if depth > 0 {
                place.push('/');
            }
            place.push_str(self.model.tree().name(*repeat));
            place.push('#');
            place.push_str(&block.id);
        }
        Some(place)
    }

    /// The place of an answer's key: a question (also by the key of one tick), or a repeat instance by its `@order`.
    pub fn spot(&self, key: &str) -> Option<Spot> {
        self.spot_of(&AnswerKey::parse(key)?)
    }

    fn spot_of(&self, key: &AnswerKey<'_>) -> Option<Spot> {
        if let (Leaf::Question(question) | Leaf::Tick { question, .. }, true) = (key.leaf, key.instances.is_empty()) {
            return Some(Spot { node: self.model.keyed(question)?, rows: Rows::NONE });
        }
        let mut scoped = String::new();
        let mut rows = Rows::NONE;
        for (repeat, id) in &key.instances {
            scoped.push_str(repeat);
            let node = self.model.keyed(&scoped)?;
            let instances = self.instance.instances(&self.model, node, rows.as_slice())?;
            let row = instances.blocks[..instances.shown].iter().position(|b| &*b.id == *id)?;
            rows = rows.with(u32::try_from(row).ok()?);
            scoped.push('/');
        }
        let node = match key.leaf {
            Leaf::Question(question) | Leaf::Tick { question, .. } => {
                self.model.keyed(&format!("{scoped}{question}"))?
            }
            Leaf::Order | Leaf::Deleted => self.model.keyed(scoped.strip_suffix('/')?)?,
        };
        Some(Spot { node, rows })
    }

    /// The entry for a repeat instance's place among its like.
    pub(super) fn order_entry(&self, spot: Spot) -> Option<(String, i64)> {
        let place = self.key(spot)?;
        let block = self.instance.block(&self.model, self.model.inner_scope(spot.node), spot.rows.as_slice())?;
        Some((format!("{place}/@order"), block.order))
    }

    /// What the last actions gave that a journal must keep, and forgets it: answers of people, defaults, triggers and
    /// chance; repeat instances added and removed. What is only computed isn't among it.
    pub fn take_edits(&mut self) -> Edits {
        let mut edits: Edits = std::mem::take(&mut self.moved).into_iter().collect();
        for (node, rows) in std::mem::take(&mut self.touched) {
            self.add_answer(Spot { node, rows }, true, &mut edits);
        }
        edits
    }

    /// All answers that there are, computed ones included, as a record keeps them. Nothing for what is blank or not relevant.
    pub fn answers(&self) -> Edits {
        let mut edits = Edits::new();
        for spot in self.leaf_spots() {
            if self.is_relevant(spot) {
                self.add_answer(spot, false, &mut edits);
            }
        }
        edits
    }

    /// What finishing writes on top of `base`, the record's answers that the session was opened with: what differs, blanks
    /// for what isn't relevant or answered any more; questions of kind `end` get the time. Computed answers of inputs of a class beyond `held` are left alone.
    pub fn finished(&self, base: &Edits, held: &BTreeSet<Sensitivity>) -> Edits {
        let mut edits = Edits::new();
        for spot in self.leaf_spots() {
            if self.model.is_calculated(spot.node) && !self.has_inputs(spot.node, held) {
                continue;
            }
            if self.is_relevant(spot) {
                self.add_answer(spot, true, &mut edits);
                self.add_end(spot, &mut edits);
            } else {
                self.add_blank(spot, &mut edits);
            }
        }
        self.add_orders(Spot { node: Tree::ROOT, rows: Rows::NONE }, &mut edits);
        edits.retain(|key, value| match base.get(key) {
            Some(before) => before != value,
            // a tick that was never set needs no entry
            None => *value != record::Value::Blank && (*value != record::Value::Bool(false) || !key.contains('=')),
        });
        edits
    }

    fn add_end(&self, spot: Spot, edits: &mut Edits) {
        let question = self.model.question(spot.node).filter(|q| q.kind == QuestionKind::End);
        if let Some((question, key)) = question.zip(self.key(spot)) {
            let now = Value::Moment(Moment::Instant(self.around.clock.now_ms().cast_signed()));
            edits.insert(key, self.record_value(question, &self.text_of(&now), &now));
        }
    }

    fn add_orders(&self, at: Spot, edits: &mut Edits) {
        for child in self.model.tree().children(at.node) {
            match self.model.tree().kind(*child) {
                NodeKind::Leaf(_) => {}
                NodeKind::Group => self.add_orders(Spot { node: *child, rows: at.rows }, edits),
                NodeKind::Repeat => {
                    for row in 0..self.count(*child, at.rows) {
                        let rows = at.rows.with(u32::try_from(row).unwrap_or(u32::MAX));
                        let spot = Spot { node: *child, rows };
                        if let Some((key, order)) = self.order_entry(spot).filter(|_| self.is_relevant(spot)) {
                            edits.insert(key, record::Value::Int(order));
                        }
                        self.add_orders(spot, edits);
                    }
                }
            }
        }
    }

    /// True when everything is held that a node's value and relevance are made of.
    pub(super) fn has_inputs(&self, node: NodeId, held: &BTreeSet<Sensitivity>) -> bool {
        if held.len() == 3 {
            return true; // every class there is
        }
        let mut waiting = vec![node];
        let mut seen = BTreeSet::new();
        while let Some(node) = waiting.pop() {
            if !seen.insert(node) {
                continue;
            }
            if self.class_of(node).is_some_and(|class| !held.contains(&class)) {
                return false;
            }
            for around in self.model.tree().chain(node) {
                let on = self.model.standing(around).iter().filter_map(|v| self.model.vertices().get(*v as usize));
                let on = on.filter(|v| v.kind != VertexKind::Value || around == node);
                waiting.extend(on.flat_map(|v| v.code.dependencies().iter().map(|d| d.node)));
            }
        }
        true
    }

    fn class_of(&self, node: NodeId) -> Option<Sensitivity> {
        let tree = self.model.tree();
        let question = self.model.question(node)?;
        let around: String = tree.repeats(node).iter().map(|r| format!("{}#x/", tree.name(*r))).collect();
        self.model.form().class_of(&format!("{around}{}", question.key()))
    }

    /// An answer's entries. Blanks are entries only with `blanks`.
    pub(super) fn add_answer(&self, spot: Spot, blanks: bool, edits: &mut Edits) {
        let Some(question) = self.model.question(spot.node) else { return };
        let Some(leaf) = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice()) else { return };
        if question.kind == QuestionKind::Note {
            return;
        }
        let Some(key) = self.key(spot) else { return };
        let text = self.text_of(&leaf.value);
        if question.kind == QuestionKind::SelectMultiple {
            let ticked: BTreeSet<&str> = text.split_whitespace().collect();
            let known = if blanks { self.choice_names(spot.node) } else { Vec::new() };
            for name in known.iter().filter(|n| !ticked.contains(&***n)) {
                edits.insert(AnswerKey::tick(&key, name), record::Value::Bool(false));
            }
            for name in ticked {
                edits.insert(AnswerKey::tick(&key, name), record::Value::Bool(true));
            }
        } else if blanks || !leaf.value.is_blank() {
            edits.insert(key, self.record_value(question, &text, &leaf.value));
        }
    }

    /// The entries that say that nothing stands here.
    fn add_blank(&self, spot: Spot, edits: &mut Edits) {
        let Some(question) = self.model.question(spot.node).filter(|q| q.kind != QuestionKind::Note) else { return };
        let Some(key) = self.key(spot) else { return };
        if question.kind == QuestionKind::SelectMultiple {
            let names = self.choice_names(spot.node);
            edits.extend(names.iter().map(|n| (AnswerKey::tick(&key, n), record::Value::Bool(false))));
        } else {
            edits.insert(key, record::Value::Blank);
        }
    }

    fn choice_names(&self, node: NodeId) -> Vec<Arc<str>> {
        let Choices::Items(table, _) = &self.model.node(node).choices else { return Vec::new() };
        let Some(table) = self.model.table(*table) else { return Vec::new() };
        let columns = super::choices::Columns::of(&self.model, node, table, "");
        (0..u32::try_from(table.len()).unwrap_or(0)).map(|item| table.cell(item, columns.name)).collect()
    }

    /// Takes over answers: instances first, in their order, then values.
    fn load(&mut self, answers: &Edits) {
        let parsed: Vec<_> = answers.iter().map(|(key, value)| (key, value, AnswerKey::parse(key))).collect();
        let is_mark = |parsed: &&AnswerKey<'_>| parsed.leaf == Leaf::Deleted;
        let marked = parsed.iter().filter(|(_, value, _)| **value == record::Value::Bool(true));
        let gone: BTreeSet<Vec<(&str, &str)>> = marked
            .filter_map(|(.., parsed)| parsed.as_ref().filter(is_mark))
            .map(|key| key.instances.clone())
            .collect();
        let mut places: Vec<(Vec<(&str, &str)>, i64)> = Vec::new();
        let mut seen = BTreeSet::new();
        for parsed in parsed.iter().filter_map(|(.., parsed)| parsed.as_ref()) {
            for depth in 1..=parsed.instances.len() {
                let place = &parsed.instances[..depth];
                if !seen.contains(place) {
                    seen.insert(place.to_vec());
                    if !is_gone(place, &gone) {
                        places.push((place.to_vec(), order_of(place, answers)));
                    }
                }
            }
        }
        places.sort_by(|a, b| (a.0.len(), a.1, &a.0).cmp(&(b.0.len(), b.1, &b.0)));
        for (place, order) in places {
            self.load_instance(&place, order);
        }
        let mut ticks: BTreeMap<(NodeId, Rows), Vec<&str>> = BTreeMap::new();
        for (key, value, parsed) in &parsed {
            let Some(parsed) = parsed else {
                self.misfits.push(Misfit { key: (*key).clone(), value: (*value).clone() });
                continue;
            };
            if is_gone(&parsed.instances, &gone) || matches!(parsed.leaf, Leaf::Order | Leaf::Deleted) {
                continue;
            }
            match (self.spot_of(parsed), parsed.leaf) {
                (Some(spot), Leaf::Tick { choice, .. }) if self.takes_ticks(spot.node) => {
                    if **value == record::Value::Bool(true) {
                        ticks.entry((spot.node, spot.rows)).or_default().push(choice);
                    }
                }
                (Some(spot), Leaf::Question(_)) if !self.takes_ticks(spot.node) => self.load_value(spot, key, value),
                _ => self.misfit(key, value),
            }
        }
        for ((node, rows), names) in ticks {
            let text = self.in_list_order(node, names);
            self.load_leaf(Spot { node, rows }, Value::text(text));
        }
    }

    fn takes_ticks(&self, node: NodeId) -> bool {
        self.model.question(node).is_some_and(|q| q.kind == QuestionKind::SelectMultiple)
    }

    fn misfit(&mut self, key: &str, value: &record::Value) {
        if !matches!(value, record::Value::Blank | record::Value::Bool(false)) {
            self.misfits.push(Misfit { key: key.to_owned(), value: value.clone() });
        }
    }

    fn load_instance(&mut self, place: &[(&str, &str)], order: i64) {
        let mut scoped = String::new();
        let mut rows = Rows::NONE;
        let model = Arc::clone(&self.model);
        for (depth, (repeat, id)) in place.iter().enumerate() {
            scoped.push_str(repeat);
            let Some(node) = model.keyed(&scoped).filter(|n| model.tree().kind(*n) == NodeKind::Repeat) else { return };
            scoped.push('/');
            if depth + 1 == place.len() {
                self.fill_up_to(node, rows, id);
            }
            let Some(instances) = self.instance.instances_mut(&model, node, rows.as_slice()) else { return };
            let row = match instances.blocks.iter().position(|b| &*b.id == *id) {
                Some(row) => row,
                None if depth + 1 == place.len() => {
                    let scope = model.inner_scope(node);
                    let leaves = model.scope(scope).leaves.len();
                    if self.blocks >= INSTANCES_MAX || self.leaves + leaves > LEAVES_MAX {
                        return;
                    }
                    instances.blocks.push(Block::new(&model, scope, (*id).into(), order, true));
                    instances.shown = instances.blocks.len();
                    self.blocks += 1;
                    self.leaves += leaves;
                    instances.blocks.len() - 1
                }
                None => return,
            };
            rows = rows.with(u32::try_from(row).unwrap_or(u32::MAX));
        }
    }

    /// Instances that a count made have their number as id: those before this one are there too.
    fn fill_up_to(&mut self, repeat: NodeId, rows: Rows, id: &str) {
        let counted = matches!(self.model.detail(repeat), Detail::Repeat(head) if head.counted);
        let number = id.strip_prefix('n').and_then(|n| n.parse::<usize>().ok()).filter(|_| counted);
        for index in self.count(repeat, rows)..number.unwrap_or(0).min(INSTANCES_MAX) {
            let id = format!("n{}", index + 1);
            if self.push_block(repeat, rows, Some((id.as_str().into(), index as i64 + 1))).is_none() {
                return;
            }
        }
    }

    fn load_value(&mut self, spot: Spot, key: &str, value: &record::Value) {
        let Some(question) = self.model.question(spot.node) else { return };
        match self.loaded(question, spot.node, value) {
            Some(value) => self.load_leaf(spot, value),
            None => self.misfit(key, value),
        }
    }

    fn load_leaf(&mut self, spot: Spot, value: Value) {
        let model = Arc::clone(&self.model);
        if let Some(leaf) = self.instance.leaf_mut(&model, spot.node, spot.rows.as_slice()) {
            leaf.value = value;
        }
    }

    /// A record's value as the leaf keeps it; `None` when it doesn't fit the question's kind.
    fn loaded(&self, question: &Question, node: NodeId, value: &record::Value) -> Option<Value> {
        let NodeKind::Leaf(kind) = self.model.tree().kind(node) else { return None };
        Some(match value {
            record::Value::Blank => Value::blank(),
            record::Value::Bool(b) if question.kind == QuestionKind::Acknowledge => {
                if *b {
                    Value::text("OK")
                } else {
                    Value::blank()
                }
            }
            record::Value::Bool(b) if carries_anything(question) => Value::Bool(*b),
            record::Value::Bool(_) => return None,
            record::Value::Int(n) => self.loaded_number(question, *n as f64)?,
            record::Value::Number(n) => self.loaded_number(question, *n)?,
            record::Value::Text(text) => {
                let value = Value::typed(text, kind, self.around.offset_minutes);
                let wants_more = !matches!(kind, crate::form::expression::AnswerType::Text);
                if wants_more && matches!(value, Value::Text(_)) && !carries_anything(question) {
                    return None;
                }
                value
            }
        })
    }

    fn loaded_number(&self, question: &Question, number: f64) -> Option<Value> {
        let takes = matches!(question.kind, QuestionKind::Integer | QuestionKind::Decimal | QuestionKind::Range);
        if takes || carries_anything(question) {
            return Some(Value::Number(number));
        }
        // a question that was a number in an earlier version: its digits are a text
        matches!(question.kind, QuestionKind::Text | QuestionKind::Barcode)
            .then(|| Value::text(crate::form::expression::Value::Number(number).to_text(0)))
    }

    /// Ticks as one text, in the order of the choice list.
    fn in_list_order(&self, node: NodeId, names: Vec<&str>) -> String {
        let mut names = names;
        let order = self.choice_names(node);
        let at: BTreeMap<&str, usize> = order.iter().enumerate().rev().map(|(i, n)| (&**n, i)).collect();
        names.sort_by_key(|n| at.get(n).copied().unwrap_or(usize::MAX));
        names.join(" ")
    }

    /// An answer's text in the order of the choice list, as it comes back from a record.
    pub fn normalised(&self, spot: Spot, text: &str) -> String {
        if self.takes_ticks(spot.node) {
            self.in_list_order(spot.node, text.split_whitespace().collect())
        } else {
            text.to_owned()
        }
    }

    /// The row of a repeat instance among its like, from 0.
    pub fn row(&self, spot: Spot) -> Option<u32> {
        split(spot.rows).map(|(row, _)| row)
    }
}

fn carries_anything(question: &Question) -> bool {
    matches!(question.kind, QuestionKind::Calculate | QuestionKind::Hidden | QuestionKind::Unknown(_))
}

/// Places of instances that are marked as removed.
fn is_gone(place: &[(&str, &str)], gone: &BTreeSet<Vec<(&str, &str)>>) -> bool {
    !gone.is_empty() && (1..=place.len()).any(|depth| gone.contains(&place[..depth]))
}

/// Where an instance stands: by its `@order`, or its number where a count made it.
fn order_of(place: &[(&str, &str)], answers: &Edits) -> i64 {
    let text: Vec<String> = place.iter().map(|(repeat, id)| format!("{repeat}#{id}")).collect();
    match answers.get(&format!("{}/@order", text.join("/"))) {
        Some(record::Value::Int(order)) => *order,
        _ => place.last().and_then(|(_, id)| id.strip_prefix('n')?.parse().ok()).unwrap_or(0),
    }
}
