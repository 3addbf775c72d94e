//! What an evaluation reads: the answers, the choices, clock and zone.

use std::fmt;
use std::sync::Arc;

use super::REPEAT_DEPTH_MAX;
use super::table::{Table, TableId};
use super::tree::{NodeId, Tree};
use super::value::Value;
use crate::clock::Entropy;

/// Which instance of each enclosing repeat, outermost first, counted from 0. A repeat's own spot includes its own row.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rows {
    at: [u32; REPEAT_DEPTH_MAX],
    len: u8,
}

impl Rows {
    /// No repeat around.
    pub const NONE: Self = Self { at: [0; REPEAT_DEPTH_MAX], len: 0 };

    /// Rows from the outermost repeat inwards; what is deeper than [`REPEAT_DEPTH_MAX`] is cut.
    pub fn new(rows: &[u32]) -> Self {
        rows.iter().take(REPEAT_DEPTH_MAX).fold(Self::NONE, |all, row| all.with(*row))
    }

    /// One row more.
    pub fn with(mut self, row: u32) -> Self {
        if let Some(place) = self.at.get_mut(usize::from(self.len)) {
            *place = row;
            self.len += 1;
        }
        self
    }

    /// The outermost `len` rows.
    pub fn first(mut self, len: usize) -> Self {
        self.len = self.len.min(u8::try_from(len).unwrap_or(u8::MAX));
        self
    }

    /// As a slice.
    pub fn as_slice(&self) -> &[u32] {
        &self.at[..usize::from(self.len)]
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// One instance of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spot {
    /// Which node.
    pub node: NodeId,
    /// In which instances of the repeats around it (and, for a repeat, which instance).
    pub rows: Rows,
}

/// What happened in an evaluation that an author should know; holds no answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A text that isn't a date was used as one, and counted as blank.
    NotADate,
    /// A table (file) isn't at hand; it counted as empty.
    MissingTable(TableId),
}

/// The live answers of one form instance. Nodes are those of the [`Tree`] that the expressions were resolved against.
pub trait Data {
    /// The value of a leaf: typed ([`Value::typed`]), blank when unanswered or not relevant. Called often: keep values ready.
    fn value(&self, node: NodeId, rows: &[u32]) -> Value;

    /// How many instances a repeat has, within the instances `rows` of the repeats around it.
    fn count(&self, repeat: NodeId, rows: &[u32]) -> u32;

    /// Whether a node is relevant, its groups and repeats included; others don't count in sets of nodes.
    fn is_relevant(&self, node: NodeId, rows: &[u32]) -> bool;

    /// A table that `instance('id')` or `pulldata` names: a choice list, an attached file. `None` when it isn't at hand.
    fn table(&self, table: TableId) -> Option<&Table>;

    /// The label of a choice of a select question as it is offered now (filtered), in the language; `None` when unknown.
    fn choice_label(&self, question: NodeId, rows: &[u32], choice: &str, language: &str) -> Option<Arc<str>>;

    /// Told whose choices `jr:choice-name` goes through.
    fn choices_looked_at(&self, _question: Spot) {}

    /// The value in the last saved record, for `${last-saved#name}`.
    fn last_saved(&self, _node: NodeId) -> Value {
        Value::blank()
    }

    /// `property('deviceid')` and others; blank when unknown.
    fn property(&self, _name: &str) -> Value {
        Value::blank()
    }

    /// Told what an author should know.
    fn warn(&self, _warning: Warning) {}
}

/// Clock, zone, language and randomness of an evaluation.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// Now, in milliseconds since 1970-01-01T00:00Z.
    pub now_ms: i64,
    /// The zone: minutes east of UTC.
    pub offset_minutes: i32,
    /// The language of labels and of month and day names, as the form spells it.
    pub language: &'a str,
    /// The form's version, for `version()`.
    pub version: &'a str,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

/// Everything that an evaluation needs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The tree that the expression was resolved against.
    pub tree: &'a Tree,
    /// The answers.
    pub data: &'a dyn Data,
    /// Clock, zone, language and randomness.
    pub env: Env<'a>,
    /// The asking node: `.` and where relative paths start.
    pub at: Spot,
    /// In a constraint: the value to be judged, in place of the one at `at`.
    pub candidate: Option<&'a Value>,
}
