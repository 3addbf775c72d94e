//! A resolved expression: names are nodes, paths are plans.

use regex::Regex;

use super::functions::Function;
use super::syntax::Operator;
use super::table::TableId;
use super::tree::NodeId;
use super::value::Value;

/// A part of a resolved expression, with its offset in bytes.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub at: usize,
    pub kind: CodeKind,
}

#[derive(Debug, Clone)]
pub(super) enum CodeKind {
    Value(Value),
    Chain(Box<Code>, Vec<(Operator, Code)>),
    Negate(Box<Code>),
    Call(Function, Vec<Code>),
    /// `regex` with a pattern known beforehand.
    Matches(Box<Code>, Regex),
    /// `jr:choice-name(value, '${question}')`.
    ChoiceName(Box<Code>, NodePath),
    Pulldata(Box<Pulldata>),
    LastSaved(NodeId),
    Set(SetCode),
}

/// `pulldata(file, column, key column, key)`
#[derive(Debug, Clone)]
pub(super) struct Pulldata {
    pub table: TableId,
    pub column: Code,
    pub key_column: Code,
    pub key: Code,
}

/// What gives a set of nodes or items.
#[derive(Debug, Clone)]
pub(super) enum SetCode {
    Empty,
    Nodes(NodePath),
    /// Several paths one after the other, for `*`.
    Union(Vec<NodePath>),
    Items(ItemPath),
    /// A column of the item that a filter stands on, or with `None` the item itself.
    Column(Option<String>),
    IndexedRepeat(Box<IndexedRepeat>),
    Randomize(Box<SetCode>, Option<Box<Code>>),
}

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The asking node.
    Asker,
    /// The node that the filter stands on.
    Item,
}

/// A path to nodes: the target, of whose repeats the outermost `shared` are the base's; others are gone through in full.
#[derive(Debug, Clone)]
pub(super) struct NodePath {
    pub base: Base,
    pub shared: usize,
    pub target: NodeId,
    /// Repeats to go through and nodes with filters, from the root inwards.
    pub levels: Vec<Level>,
    /// The path ends at `.` itself: a candidate stands in for its value.
    pub own: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Level {
    pub node: NodeId,
    /// The node is a repeat whose instances are gone through.
    pub expand: bool,
    pub filters: Vec<Code>,
}

/// A path to items of a table, or cells of them.
#[derive(Debug, Clone)]
pub(super) struct ItemPath {
    pub table: TableId,
    pub filters: Vec<ItemFilter>,
    pub column: Option<String>,
    pub column_filters: Vec<Code>,
}

/// A filter over items. Where one of its conditions is `column = value`, it starts from the column's index.
#[derive(Debug, Clone)]
pub(super) struct ItemFilter {
    pub equal: Option<(String, Code)>,
    /// The whole condition; `None` when `equal` says it all.
    pub test: Option<Code>,
}

#[derive(Debug, Clone)]
pub(super) struct IndexedRepeat {
    pub target: NodeId,
    /// How many outer repeats are the asker's where no index is given.
    pub shared: usize,
    /// The repeats around the target, with their index where one is given.
    pub repeats: Vec<(NodeId, Option<Code>)>,
}
