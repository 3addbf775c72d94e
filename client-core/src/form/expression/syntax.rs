//! What the parser makes: the expression as it is written, names not looked up yet.

use super::error::ExpressionError;
use super::functions::Function;
use super::parser;
use super::resolve::{self, ChoiceFilter, Resolved};
use super::table::TableId;
use super::tree::{NodeId, Tree};

/// An expression that was read: right in form, with names not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub(super) root: Expr,
}

impl Parsed {
    /// Reads an expression.
    ///
    /// # Errors
    /// With the place of the first fault.
    pub fn new(text: &str) -> Result<Self, ExpressionError> {
        parser::parse(text).map(|root| Self { root })
    }

    /// Looks names up, for the node that asks.
    ///
    /// # Errors
    /// With the place of the first name that isn't clear, or of a regular expression or argument that can't work.
    pub fn resolve(&self, tree: &Tree, asker: NodeId) -> Result<Resolved, ExpressionError> {
        resolve::resolve(&self.root, tree, asker)
    }

    /// Looks names up for a choice filter of the question `asker` over the items of `table`: a bare name is a column.
    ///
    /// # Errors
    /// As [`Parsed::resolve`].
    pub fn resolve_filter(&self, tree: &Tree, asker: NodeId, table: TableId) -> Result<ChoiceFilter, ExpressionError> {
        resolve::resolve_filter(&self.root, tree, asker, table)
    }
}

/// A part of an expression, with its offset in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub at: usize,
    pub kind: ExprKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExprKind {
    Text(String),
    Number(f64),
    /// `first op a op b ...`, operators of one level, from the left.
    Chain(Box<Expr>, Vec<(Operator, Expr)>),
    Negate(Box<Expr>),
    Call(Function, Vec<Expr>),
    Path(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub start: Start,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Start {
    /// `/`
    Root,
    /// The node that the expression (or filter) stands on.
    Here,
    /// `current()`
    Current,
    /// `instance('id')`
    Instance(String),
    /// `${name}`, with filters right behind it.
    Name(String, Vec<Expr>),
    /// `${last-saved#name}`
    LastSaved(String),
    /// A function call whose value is a set of nodes, with filters or steps behind it.
    Call(Box<Expr>, Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub at: usize,
    pub axis: Axis,
    pub filters: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Axis {
    Child(String),
    AnyChild,
    Here,
    Parent,
}
