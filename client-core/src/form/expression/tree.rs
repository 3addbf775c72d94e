//! The tree of a form's nodes, which names and paths are looked up in.

use std::collections::HashMap;

use super::REPEAT_DEPTH_MAX;
use super::table::TableId;
use super::value::AnswerType;

/// A node of a [`Tree`]; 0 is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// The root or a group.
    Group,
    /// A repeat.
    Repeat,
    /// Something with a value.
    Leaf(AnswerType),
}

#[derive(Debug, Clone)]
struct Node {
    name: String,
    kind: NodeKind,
    parent: Option<NodeId>,
    children: Vec<NodeId>,
    /// How many repeats are around it, itself included.
    depth: u8,
}

/// What a bare name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Unknown,
    /// One node.
    One(NodeId),
    /// Several nodes: an expression can't use the name.
    Several,
}

/// Why a node can't be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The parent has a child of this name already.
    #[error("{0} stands twice")]
    Twice(String),
    /// Repeats nest deeper than [`REPEAT_DEPTH_MAX`].
    #[error("{0} is nested in more than {REPEAT_DEPTH_MAX} repeats")]
    TooDeep(String),
}

/// The tree of a form's nodes, and the tables (choice lists, files) that its expressions may name.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
    names: HashMap<String, Named>,
    children: HashMap<(NodeId, String), NodeId>,
    tables: Vec<String>,
    table_ids: HashMap<String, TableId>,
}

impl Tree {
    /// The root.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree of only a root, by convention named `data`.
    pub fn new(root: &str) -> Self {
        let node = Node { name: root.to_owned(), kind: NodeKind::Group, parent: None, children: Vec::new(), depth: 0 };
        Self {
            nodes: vec![node],
            names: HashMap::from([(root.to_owned(), Named::One(Self::ROOT))]),
            children: HashMap::new(),
            tables: Vec::new(),
            table_ids: HashMap::new(),
        }
    }

    /// Adds a node as the last child of `parent`.
    ///
    /// # Errors
    /// When the name is taken in `parent`, or repeats nest too deep.
    pub fn add(&mut self, parent: NodeId, name: &str, kind: NodeKind) -> Result<NodeId, TreeError> {
        if self.child(parent, name).is_some() {
            return Err(TreeError::Twice(name.to_owned()));
        }
        let depth = self.depth(parent) + usize::from(kind == NodeKind::Repeat);
        if depth > REPEAT_DEPTH_MAX {
            return Err(TreeError::TooDeep(name.to_owned()));
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            name: name.to_owned(),
            kind,
            parent: Some(parent),
            children: Vec::new(),
            depth: u8::try_from(depth).unwrap_or(u8::MAX),
        });
        self.nodes[parent.0 as usize].children.push(id);
        self.children.insert((parent, name.to_owned()), id);
        self.names.entry(name.to_owned()).and_modify(|n| *n = Named::Several).or_insert(Named::One(id));
        Ok(id)
    }

    /// Declares a table that expressions may name; [`super::Data::table`] gives its contents.
    pub fn add_table(&mut self, name: &str) -> TableId {
        if let Some(id) = self.table_ids.get(name) {
            return *id;
        }
        let id = TableId(u32::try_from(self.tables.len()).unwrap_or(u32::MAX));
        self.tables.push(name.to_owned());
        self.table_ids.insert(name.to_owned(), id);
        id
    }

    /// The table of this name; `pulldata` may name a file without its ending.
    pub fn table(&self, name: &str) -> Option<TableId> {
        let with_ending = || self.table_ids.get(&format!("{name}.csv"));
        let without_ending = || self.table_ids.get(name.strip_suffix(".csv")?);
        self.table_ids.get(name).or_else(with_ending).or_else(without_ending).copied()
    }

    /// A table's name.
    pub fn table_name(&self, table: TableId) -> &str {
        self.tables.get(table.0 as usize).map_or("", String::as_str)
    }

    /// Names of all tables.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(String::as_str)
    }

    /// How many nodes there are; ids are below this.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: the root is always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        self.node(node).map_or("", |n| &n.name)
    }

    /// What a node is.
    pub fn kind(&self, node: NodeId) -> NodeKind {
        self.node(node).map_or(NodeKind::Group, |n| n.kind)
    }

    /// The node around it; `None` for the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.node(node)?.parent
    }

    /// The nodes in it, in order.
    pub fn children(&self, node: NodeId) -> &[NodeId] {
        self.node(node).map_or(&[], |n| &n.children)
    }

    /// The child of this name.
    pub fn child(&self, node: NodeId, name: &str) -> Option<NodeId> {
        self.children.get(&(node, name.to_owned())).copied()
    }

    /// How many repeats are around a node, a repeat itself included: the length of its rows.
    pub fn depth(&self, node: NodeId) -> usize {
        self.node(node).map_or(0, |n| usize::from(n.depth))
    }

    /// What a bare name stands for.
    pub fn named(&self, name: &str) -> Named {
        self.names.get(name).copied().unwrap_or(Named::Unknown)
    }

    /// Names of all nodes, for hints.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|n| n.name.as_str())
    }

    /// The repeats around a node, outermost first, a repeat itself included.
    pub fn repeats(&self, node: NodeId) -> Vec<NodeId> {
        let mut around = self.chain(node);
        around.retain(|n| self.kind(*n) == NodeKind::Repeat);
        around
    }

    /// The nodes from the root to `node`, both included.
    pub fn chain(&self, node: NodeId) -> Vec<NodeId> {
        let mut chain: Vec<NodeId> = std::iter::successors(Some(node), |n| self.parent(*n)).collect();
        chain.reverse();
        chain
    }

    /// The path of a node, as `/data/member/age`.
    pub fn path(&self, node: NodeId) -> String {
        self.chain(node).iter().map(|n| format!("/{}", self.name(*n))).collect()
    }

    fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node.0 as usize)
    }
}
