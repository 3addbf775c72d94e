//! What depends on what: the order of evaluation, and cycles.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::error::ModelError;
use crate::form::expression::{NodeId, NodeKind, Resolved, Tree};

/// What a vertex gives its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::form) enum VertexKind {
    /// Whether it applies.
    Relevance,
    /// How many instances the repeat has.
    Count,
    /// Its value.
    Value,
}

/// An expression that is kept up to date.
#[derive(Debug)]
pub(in crate::form) struct Vertex {
    pub node: NodeId,
    pub kind: VertexKind,
    pub code: Resolved,
    /// How many rows it has: those of its node, without the repeat's own for a count.
    pub depth: usize,
}

impl Vertex {
    pub(super) fn new(tree: &Tree, node: NodeId, kind: VertexKind, code: Resolved) -> Self {
        let depth = tree.depth(node) - usize::from(kind == VertexKind::Count);
        Self { node, kind, code, depth }
    }
}

/// Sorted vertices and the ways back from nodes to them.
pub(super) struct Graph {
    pub vertices: Vec<Vertex>,
    pub dependents: Vec<Vec<(u32, u8)>>,
    pub standing: Vec<Vec<u32>>,
}

/// Sorts vertices so that each stands after what it depends on.
pub(super) fn sort(tree: &Tree, vertices: Vec<Vertex>) -> Result<Graph, ModelError> {
    let at: HashMap<(NodeId, VertexKind), usize> =
        vertices.iter().enumerate().map(|(i, v)| ((v.node, v.kind), i)).collect();
    let before: Vec<Vec<usize>> = vertices.iter().map(|v| sources(tree, &at, v)).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); vertices.len()];
    let mut waiting: Vec<usize> = before.iter().map(Vec::len).collect();
    for (vertex, sources) in before.iter().enumerate() {
        for source in sources {
            after[*source].push(vertex);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..vertices.len()).filter(|v| waiting[*v] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(vertices.len());
    while let Some(Reverse(vertex)) = ready.pop() {
        order.push(vertex);
        for next in &after[vertex] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    if order.len() < vertices.len() {
        return Err(cycle(tree, &vertices, &before, &waiting));
    }
    let mut taken: Vec<Option<Vertex>> = vertices.into_iter().map(Some).collect();
    let vertices: Vec<Vertex> = order.into_iter().filter_map(|i| taken[i].take()).collect();
    Ok(ways_back(tree, vertices))
}

/// The vertices that give what a vertex reads.
fn sources(tree: &Tree, at: &HashMap<(NodeId, VertexKind), usize>, vertex: &Vertex) -> Vec<usize> {
    let mut found = Vec::new();
    for dependency in vertex.code.dependencies() {
        let chain = tree.chain(dependency.node);
        found.extend(chain.iter().filter_map(|n| at.get(&(*n, VertexKind::Relevance))));
        found.extend(at.get(&(dependency.node, VertexKind::Value)));
        found.extend(at.get(&(dependency.node, VertexKind::Count)));
    }
    // the instances of a repeat around it must be there
    found.sort_unstable();
    found.dedup();
    found
}

fn ways_back(tree: &Tree, vertices: Vec<Vertex>) -> Graph {
    let mut dependents = vec![Vec::new(); tree.len()];
    let mut standing = vec![Vec::new(); tree.len()];
    for (i, vertex) in (0u32..).zip(&vertices) {
        standing[vertex.node.0 as usize].push(i);
        for dependency in vertex.code.dependencies() {
            let own = usize::from(tree.kind(dependency.node) == NodeKind::Repeat);
            let around = tree.depth(dependency.node) - own.min(tree.depth(dependency.node));
            let shared = dependency.shared.min(around).min(vertex.depth);
            dependents[dependency.node.0 as usize].push((i, u8::try_from(shared).unwrap_or(u8::MAX)));
        }
    }
    Graph { vertices, dependents, standing }
}

/// One circle among the vertices that are left over.
fn cycle(tree: &Tree, vertices: &[Vertex], before: &[Vec<usize>], waiting: &[usize]) -> ModelError {
    // from any left-over vertex, going back over left-over sources must come round
    let mut at = waiting.iter().position(|w| *w > 0).unwrap_or(0);
    let mut seen: Vec<usize> = Vec::new();
    while !seen.contains(&at) {
        seen.push(at);
        match before[at].iter().find(|s| waiting[**s] > 0) {
            Some(source) => at = *source,
            None => break,
        }
    }
    let start = seen.iter().position(|v| *v == at).unwrap_or(0);
    let mut nodes: Vec<usize> = seen.split_off(start);
    nodes.reverse();
    let mut paths: Vec<String> = nodes.iter().map(|v| tree.path(vertices[*v].node)).collect();
    paths.dedup();
    paths.extend(paths.first().cloned());
    ModelError::Cycle(paths)
}
