//! The answers of one form instance: a tree of blocks, one for the form and one for each repeat instance.

use std::sync::Arc;

use crate::form::expression::{NodeId, NodeKind, Rows, Spot, Value};
use crate::form::model::{Model, VertexKind};

/// Whether a node applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// By its own expression.
    pub own: bool,
    /// By those of the nodes around it too.
    pub effective: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub value: Value,
    pub mark: Mark,
}

/// One repeat instance, or the form.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// As in answer keys; empty for the form.
    pub id: Arc<str>,
    /// Where it stands among its like.
    pub order: i64,
    pub mark: Mark,
    pub leaves: Vec<Leaf>,
    pub groups: Vec<Mark>,
    pub repeats: Vec<Instances>,
}

/// The instances of a repeat.
#[derive(Debug, Clone, Default)]
pub(super) struct Instances {
    pub blocks: Vec<Block>,
    /// How many of them count; the others wait for a repeat count to grow again.
    pub shown: usize,
}

impl Block {
    /// A block without answers, everything relevant that `effective` allows.
    pub fn new(model: &Model, scope: usize, id: Arc<str>, order: i64, effective: bool) -> Self {
        let scope = model.scope(scope);
        let mark = Mark { own: true, effective };
        Self {
            id,
            order,
            mark,
            leaves: vec![Leaf { value: Value::blank(), mark }; scope.leaves.len()],
            groups: vec![mark; scope.groups.len()],
            repeats: vec![Instances::default(); scope.repeats.len()],
        }
    }
}

/// The whole instance.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    root: Block,
}

impl Instance {
    pub fn new(model: &Model) -> Self {
        Self { root: Block::new(model, 0, "".into(), 0, true) }
    }

    /// The block of a scope in these rows; `None` when the rows don't exist (any more).
    pub fn block(&self, model: &Model, scope: usize, rows: &[u32]) -> Option<&Block> {
        let chain = &model.scope(scope).chain;
        if rows.len() < chain.len() {
            return None;
        }
        chain.iter().zip(rows).try_fold(&self.root, |block, (slot, row)| {
            let instances = block.repeats.get(*slot)?;
            instances.blocks[..instances.shown].get(*row as usize)
        })
    }

    pub fn block_mut(&mut self, model: &Model, scope: usize, rows: &[u32]) -> Option<&mut Block> {
        let chain = &model.scope(scope).chain;
        if rows.len() < chain.len() {
            return None;
        }
        chain.iter().zip(rows).try_fold(&mut self.root, |block, (slot, row)| {
            let instances = block.repeats.get_mut(*slot)?;
            let shown = instances.shown;
            instances.blocks[..shown].get_mut(*row as usize)
        })
    }

    pub fn leaf(&self, model: &Model, node: NodeId, rows: &[u32]) -> Option<&Leaf> {
        let place = model.node(node);
        self.block(model, place.scope, rows)?.leaves.get(place.slot)
    }

    pub fn leaf_mut(&mut self, model: &Model, node: NodeId, rows: &[u32]) -> Option<&mut Leaf> {
        let place = model.node(node);
        self.block_mut(model, place.scope, rows)?.leaves.get_mut(place.slot)
    }

    pub fn instances(&self, model: &Model, repeat: NodeId, rows: &[u32]) -> Option<&Instances> {
        let place = model.node(repeat);
        self.block(model, place.scope, rows)?.repeats.get(place.slot)
    }

    pub fn instances_mut(&mut self, model: &Model, repeat: NodeId, rows: &[u32]) -> Option<&mut Instances> {
        let place = model.node(repeat);
        self.block_mut(model, place.scope, rows)?.repeats.get_mut(place.slot)
    }

    /// Whether a node applies; for a repeat the rows hold its own. `None` where there is no such instance.
    pub fn mark(&self, model: &Model, node: NodeId, rows: &[u32]) -> Option<Mark> {
        let place = model.node(node);
        match model.tree().kind(node) {
            NodeKind::Leaf(_) => self.leaf(model, node, rows).map(|l| l.mark),
            NodeKind::Group => self.block(model, place.scope, rows)?.groups.get(place.slot).copied(),
            NodeKind::Repeat => self.block(model, model.inner_scope(node), rows).map(|b| b.mark),
        }
    }

    fn mark_mut(&mut self, model: &Model, node: NodeId, rows: &[u32]) -> Option<&mut Mark> {
        let place = model.node(node);
        match model.tree().kind(node) {
            NodeKind::Leaf(_) => self.leaf_mut(model, node, rows).map(|l| &mut l.mark),
            NodeKind::Group => self.block_mut(model, place.scope, rows)?.groups.get_mut(place.slot),
            NodeKind::Repeat => self.block_mut(model, model.inner_scope(node), rows).map(|b| &mut b.mark),
        }
    }

    /// Whether the nodes around a node apply; `rows` are those of the node, a repeat's own included or not.
    pub fn around(&self, model: &Model, node: NodeId, rows: &[u32]) -> bool {
        let Some(parent) = model.tree().parent(node) else { return true };
        let depth = model.tree().depth(parent).min(rows.len());
        self.mark(model, parent, &rows[..depth]).is_some_and(|m| m.effective)
    }

    /// Takes over what a node's own expression says; gives the leaves and repeat instances that it changes.
    pub fn set_relevance(&mut self, model: &Model, spot: Spot, own: bool, changed: &mut Vec<Spot>) {
        let around = self.around(model, spot.node, spot.rows.as_slice());
        match self.mark_mut(model, spot.node, spot.rows.as_slice()) {
            Some(mark) if mark.own != own => mark.own = own,
            _ => return,
        }
        self.spread(model, spot, around, changed);
    }

    /// Brings a node and all in it in line with whether the nodes around it apply.
    pub fn spread(&mut self, model: &Model, spot: Spot, around: bool, changed: &mut Vec<Spot>) {
        let Some(mark) = self.mark_mut(model, spot.node, spot.rows.as_slice()) else { return };
        let effective = around && mark.own;
        if mark.effective == effective {
            return;
        }
        mark.effective = effective;
        if model.tree().kind(spot.node) != NodeKind::Group {
            changed.push(spot);
        }
        for child in model.tree().children(spot.node) {
            if model.tree().kind(*child) == NodeKind::Repeat {
                let count = self.instances(model, *child, spot.rows.as_slice()).map_or(0, |i| i.shown);
                for row in (0..count).filter_map(|i| u32::try_from(i).ok()) {
                    let spot = Spot { node: *child, rows: spot.rows.with(row) };
                    self.spread(model, spot, effective, changed);
                }
            } else {
                self.spread(model, Spot { node: *child, rows: spot.rows }, effective, changed);
            }
        }
    }

    /// All rows of a scope that begin with these.
    pub fn rows(&self, model: &Model, scope: usize, prefix: Rows, out: &mut Vec<Rows>) {
        let chain = &model.scope(scope).chain;
        let given = prefix.as_slice().len().min(chain.len());
        let mut block = &self.root;
        for (slot, row) in chain.iter().zip(prefix.as_slice()) {
            let Some(instances) = block.repeats.get(*slot) else { return };
            let Some(inner) = instances.blocks[..instances.shown].get(*row as usize) else { return };
            block = inner;
        }
        descend(block, &chain[given..], prefix.first(given), out);
    }

    /// All spots of a vertex that begin with these rows.
    pub fn vertex_rows(&self, model: &Model, node: NodeId, kind: VertexKind, prefix: Rows, out: &mut Vec<Rows>) {
        let repeat_instance = model.tree().kind(node) == NodeKind::Repeat && kind != VertexKind::Count;
        let scope = if repeat_instance { model.inner_scope(node) } else { model.node(node).scope };
        self.rows(model, scope, prefix, out);
    }
}

fn descend(block: &Block, chain: &[usize], rows: Rows, out: &mut Vec<Rows>) {
    let Some((slot, rest)) = chain.split_first() else {
        out.push(rows);
        return;
    };
    let Some(instances) = block.repeats.get(*slot) else { return };
    for (row, inner) in (0u32..).zip(&instances.blocks[..instances.shown]) {
        descend(inner, rest, rows.with(row), out);
    }
}
