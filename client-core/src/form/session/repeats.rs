//! Repeat instances: added and removed by the user, or by a count.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::evaluate::Queue;
use super::instance::Block;
use super::{Changes, Fault, INSTANCES_MAX, LEAVES_MAX, Refusal, Session};
use crate::clock::random;
use crate::form::definition::QuestionKind;
use crate::form::expression::{NodeId, NodeKind, Rows, Spot, Tree, Value};
use crate::form::model::{Detail, Role, VertexKind};

impl Session {
    /// Gives a new form instance what it starts with.
    pub(super) fn begin(&mut self) {
        self.give_constants(Tree::ROOT, Rows::NONE);
        self.give_preloads();
        self.add_first_instances(Tree::ROOT, Rows::NONE);
        // as in ODK, dynamic defaults come before the first calculation
        self.give_defaults(Rows::NONE, None);
        self.evaluate_all(true);
        self.come_to_counts();
        self.changed.clear();
    }

    /// One instance of each repeat without count that has none, in these rows and inwards: only at the start, as in ODK.
    pub(super) fn add_first_instances(&mut self, node: NodeId, rows: Rows) {
        let model = Arc::clone(&self.model);
        for child in model.tree().children(node) {
            match model.tree().kind(*child) {
                NodeKind::Leaf(_) => {}
                NodeKind::Group => self.add_first_instances(*child, rows),
                NodeKind::Repeat => {
                    let counted = matches!(model.detail(*child), Detail::Repeat(head) if head.counted);
                    if (!counted || self.keeps_instances)
                        && self.count(*child, rows) == 0
                        && let Some(row) = self.push_block(*child, rows, None)
                    {
                        let spot = Spot { node: *child, rows: rows.with(row) };
                        let entry = self.order_entry(spot).map(|(key, order)| (key, crate::record::Value::Int(order)));
                        self.moved.extend(entry);
                        self.add_first_instances(*child, rows.with(row));
                    }
                }
            }
        }
    }

    /// Adds an instance at the end of a repeat, within `rows` of the repeats around it.
    ///
    /// # Errors
    /// When the number of instances is computed, the repeat doesn't apply, or a limit is reached.
    pub fn add_instance(&mut self, repeat: NodeId, rows: Rows) -> Result<(Spot, Changes), Refusal> {
        self.tick();
        let Detail::Repeat(head) = self.model.detail(repeat) else { return Err(Refusal::NoSuchPlace) };
        if head.counted {
            return Err(Refusal::Counted);
        }
        if self.instance.instances(&self.model, repeat, rows.as_slice()).is_none() {
            return Err(Refusal::NoSuchPlace);
        }
        let row = self.push_block(repeat, rows, None).ok_or(Refusal::TooMany)?;
        self.copy_template(repeat, rows.with(row));
        let spot = Spot { node: repeat, rows: rows.with(row) };
        if let Some((key, order)) = self.order_entry(spot) {
            self.moved.push((key, crate::record::Value::Int(order)));
        }
        self.changed.insert((repeat, spot.rows));
        self.settle_new(repeat, spot.rows);
        self.come_to_counts();
        Ok((spot, self.changes()))
    }

    /// Removes an instance.
    ///
    /// # Errors
    /// When there is no such instance, or the number of instances is computed.
    pub fn remove_instance(&mut self, spot: Spot) -> Result<Changes, Refusal> {
        self.tick();
        let Detail::Repeat(head) = self.model.detail(spot.node) else { return Err(Refusal::NoSuchPlace) };
        if head.counted {
            return Err(Refusal::Counted);
        }
        let removed = self.key(spot).map(|place| format!("{place}/@deleted"));
        let (row, outer) = split(spot.rows).ok_or(Refusal::NoSuchPlace)?;
        let model = Arc::clone(&self.model);
        let instances = self.instance.instances_mut(&model, spot.node, outer.as_slice()).ok_or(Refusal::NoSuchPlace)?;
        if row as usize >= instances.shown {
            return Err(Refusal::NoSuchPlace);
        }
        let block = instances.blocks.remove(row as usize);
        instances.shown -= 1;
        let (blocks, leaves) = size(&block);
        self.blocks = self.blocks.saturating_sub(blocks);
        self.leaves = self.leaves.saturating_sub(leaves);
        self.shift_touched(spot.node, spot.rows);
        if let Some(key) = removed {
            self.moved.push((key, crate::record::Value::Bool(true)));
        }
        self.changed.insert((spot.node, spot.rows));
        let mut queue = Queue::new();
        self.mark_dependents(spot.node, outer, &mut queue);
        self.settle(queue);
        Ok(self.changes())
    }

    /// Touched leaves of a removed instance are gone; those behind it move up.
    fn shift_touched(&mut self, repeat: NodeId, gone: Rows) {
        let depth = gone.as_slice().len();
        let tree = self.model.tree();
        let inside = |node: NodeId| tree.chain(node).contains(&repeat);
        let moved = std::mem::take(&mut self.touched).into_iter().filter_map(|(node, rows)| {
            let (own, before) = (rows.as_slice(), gone.as_slice());
            let among = inside(node) && own.len() >= depth && own[..depth - 1] == before[..depth - 1];
            if !among || own[depth - 1] < before[depth - 1] {
                return Some((node, rows));
            }
            if own[depth - 1] == before[depth - 1] {
                return None;
            }
            let mut shifted = own.to_vec();
            shifted[depth - 1] -= 1;
            Some((node, Rows::new(&shifted)))
        });
        self.touched = moved.collect();
    }

    /// Grows or shrinks a counted repeat.
    pub(super) fn set_count(&mut self, repeat: NodeId, rows: Rows, wanted: f64, queue: &mut Queue) {
        let model = Arc::clone(&self.model);
        let Some(instances) = self.instance.instances(&model, repeat, rows.as_slice()) else { return };
        // a count beyond the limit stops at the limit, and a fault says so
        let wanted = wanted.min(INSTANCES_MAX as f64 + 1.0) as usize;
        let before = instances.shown;
        let stays = if wanted < before { self.keeps_instances } else { self.collect && !self.grows_now(repeat, rows) };
        if wanted == before || stays {
            return;
        }
        let Some(instances) = self.instance.instances_mut(&model, repeat, rows.as_slice()) else { return };
        instances.shown = wanted.min(instances.blocks.len());
        let (again, have) = (before..instances.shown, instances.blocks.len());
        for row in again.filter_map(|r| u32::try_from(r).ok()) {
            let rows = rows.with(row);
            self.align_block(repeat, rows);
            self.mark_inside(repeat, rows, queue);
        }
        for index in have..wanted {
            let id = format!("n{}", index + 1);
            let Some(row) = self.push_block(repeat, rows, Some((id.as_str().into(), index as i64 + 1))) else {
                let path = model.tree().path(repeat);
                self.fault(Fault::TooManyInstances { path });
                break;
            };
            self.fill_new(repeat, rows.with(row), queue);
        }
        self.changed.insert((repeat, rows));
        if !self.collect || wanted < before {
            self.mark_dependents(repeat, rows, queue);
        }
    }

    /// A block that comes back may stand under other relevance than when it went.
    fn align_block(&mut self, repeat: NodeId, rows: Rows) {
        let around = self.instance.around(&self.model, repeat, rows.first(rows.as_slice().len() - 1).as_slice());
        let model = Arc::clone(&self.model);
        let mut changed = Vec::new();
        self.instance.spread(&model, Spot { node: repeat, rows }, around, &mut changed);
    }

    /// Adds a block with constants in it; gives its row, or nothing when a limit is reached.
    pub(super) fn push_block(&mut self, repeat: NodeId, rows: Rows, id: Option<(Arc<str>, i64)>) -> Option<u32> {
        let model = Arc::clone(&self.model);
        let scope = model.inner_scope(repeat);
        let leaves = model.scope(scope).leaves.len();
        if self.blocks >= INSTANCES_MAX || self.leaves + leaves > LEAVES_MAX {
            return None;
        }
        let around = self.instance.around(&model, repeat, rows.as_slice());
        let fresh: [u8; 8] = random(&*self.around.entropy);
        let instances = self.instance.instances_mut(&model, repeat, rows.as_slice())?;
        let next = instances.blocks.iter().map(|b| b.order).max().unwrap_or(0).saturating_add(1);
        let (id, order) = id.unwrap_or_else(|| (HEXLOWER.encode(&fresh).as_str().into(), next));
        instances.blocks.push(Block::new(&model, scope, id, order, around));
        instances.shown = instances.blocks.len();
        let row = u32::try_from(instances.blocks.len() - 1).ok()?;
        self.blocks += 1;
        self.leaves += leaves;
        let inner = rows.with(row);
        self.give_constants(repeat, inner);
        Some(row)
    }

    fn settle_new(&mut self, repeat: NodeId, rows: Rows) {
        self.give_defaults(rows, Some(repeat));
        if self.collect {
            return self.settle_created(repeat, rows);
        }
        let mut queue = Queue::new();
        self.mark_inside(repeat, rows, &mut queue);
        let outer = rows.first(rows.as_slice().len().saturating_sub(1));
        self.mark_dependents(repeat, outer, &mut queue);
        self.settle(queue);
    }

    /// In Collect a new instance has an instance of the repeats that stand in groups in it, by the way that workbooks are
    /// converted; not of those that stand in it directly.
    fn copy_template(&mut self, repeat: NodeId, rows: Rows) {
        if !self.collect {
            return;
        }
        let model = Arc::clone(&self.model);
        let groups = model.tree().children(repeat).iter().filter(|n| model.tree().kind(**n) == NodeKind::Group);
        groups.for_each(|group| self.add_first_instances(*group, rows));
    }

    fn fill_new(&mut self, repeat: NodeId, rows: Rows, queue: &mut Queue) {
        if self.collect {
            self.copy_template(repeat, rows);
            return self.settle_new(repeat, rows);
        }
        self.give_defaults_into(rows, Some(repeat), queue);
        self.mark_inside(repeat, rows, queue);
    }

    /// Constant defaults of the leaves directly in a node's scope.
    fn give_constants(&mut self, node: NodeId, rows: Rows) {
        let model = Arc::clone(&self.model);
        for child in model.tree().children(node) {
            match model.tree().kind(*child) {
                NodeKind::Group => self.give_constants(*child, rows),
                NodeKind::Repeat => {}
                NodeKind::Leaf(kind) => {
                    let Some(question) = model.question(*child) else { continue };
                    let Some(text) = question.default.as_deref().filter(|_| !question.dynamic_default) else {
                        continue;
                    };
                    let value = Value::typed(text.trim(), kind, self.around.offset_minutes);
                    if let Some(leaf) = self.instance.leaf_mut(&model, *child, rows.as_slice()) {
                        leaf.value = value;
                        self.touched.insert((*child, rows));
                    }
                }
            }
        }
    }

    /// What the phone knows by itself: when filling began, which day, which device and user.
    fn give_preloads(&mut self) {
        let model = Arc::clone(&self.model);
        let now = crate::form::expression::Moment::Instant(self.now_ms);
        for node in model.leaves() {
            let Some(question) = model.question(node) else { continue };
            let property = |name: &str| {
                self.around.properties.get(name).map_or_else(Value::blank, |text| Value::text(text.as_str()))
            };
            let value = match question.kind {
                QuestionKind::Start => Value::Moment(now),
                QuestionKind::Today => {
                    let day = now.local_day(self.around.offset_minutes);
                    Value::Moment(crate::form::expression::Moment::Day(day))
                }
                QuestionKind::DeviceId => property("deviceid"),
                QuestionKind::Username => property("username"),
                QuestionKind::PhoneNumber => property("phonenumber"),
                QuestionKind::Email => property("email"),
                _ => continue,
            };
            if value.is_blank() {
                continue;
            }
            if let Some(leaf) = self.instance.leaf_mut(&model, node, &[]) {
                leaf.value = value;
                self.touched.insert((node, Rows::NONE));
            }
        }
    }

    /// Dynamic defaults, once, in order of the form; each is settled before the next.
    fn give_defaults(&mut self, rows: Rows, inside: Option<NodeId>) {
        let mut queue = Queue::new();
        self.give_defaults_into(rows, inside, &mut queue);
        self.settle(queue);
    }

    fn give_defaults_into(&mut self, prefix: Rows, inside: Option<NodeId>, queue: &mut Queue) {
        let model = Arc::clone(&self.model);
        for node in model.defaults() {
            let around = model.tree().repeats(*node);
            // in Collect repeats in the new instance don't get theirs
            let among = if self.collect { around.last().map_or(&[][..], std::slice::from_ref) } else { &around[..] };
            if inside.is_some_and(|repeat| !among.contains(&repeat)) {
                continue;
            }
            let Some(code) = &model.node(*node).default else { continue };
            let mut rows = Vec::new();
            self.instance.vertex_rows(&model, *node, VertexKind::Value, prefix, &mut rows);
            for rows in rows {
                self.settle(std::mem::take(queue));
                let spot = Spot { node: *node, rows };
                let value = self.compute(spot, Role::Default, code);
                let value = self.converted(*node, value);
                self.put(spot, value, queue);
                self.touched.insert((*node, rows));
            }
        }
    }
}

/// A repeat instance's own row and those around it.
pub(super) fn split(rows: Rows) -> Option<(u32, Rows)> {
    let own = *rows.as_slice().last()?;
    Some((own, rows.first(rows.as_slice().len() - 1)))
}

fn size(block: &Block) -> (usize, usize) {
    let inner = block.repeats.iter().flat_map(|i| &i.blocks).map(size);
    inner.fold((1, block.leaves.len()), |(b, l), (blocks, leaves)| (b + blocks, l + leaves))
}
