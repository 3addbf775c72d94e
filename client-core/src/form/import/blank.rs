//! The form as it is opened: each expression is computed once without answers, as ODK Validate does. What fails then fails
//! for everybody: a constant that is no date, an algorithm that doesn't exist.

use std::sync::Arc;

use super::node::Role;
use crate::clock::Entropy;
use crate::form::expression::{
    Context, Data, Env, ExpressionError, NodeId, Resolved, Rows, Spot, Table, TableId, Tree, Value,
};

/// One instance of every repeat, no answers.
struct Blank;

impl Data for Blank {
    fn value(&self, _node: NodeId, _rows: &[u32]) -> Value {
        Value::blank()
    }

    fn count(&self, _repeat: NodeId, _rows: &[u32]) -> u32 {
        1
    }

    fn is_relevant(&self, _node: NodeId, _rows: &[u32]) -> bool {
        true
    }

    fn table(&self, _table: TableId) -> Option<&Table> {
        None
    }

    fn choice_label(&self, _question: NodeId, _rows: &[u32], _choice: &str, _language: &str) -> Option<Arc<str>> {
        None
    }
}

/// Nothing random: an import gives the same result each time.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// Computes an expression on the blank form; constraints and filters wait for an answer.
///
/// # Errors
/// As the evaluation does.
pub(super) fn try_out(
    resolved: &Resolved,
    role: Role,
    tree: &Tree,
    asker: NodeId,
) -> Result<Option<Value>, ExpressionError> {
    if !matches!(role, Role::Relevant | Role::Calculation | Role::Required | Role::ReadOnly | Role::Default) {
        return Ok(None);
    }
    let rows = vec![0; tree.depth(asker)];
    let env = Env { now_ms: 1_767_225_600_000, offset_minutes: 480, language: "", version: "", entropy: &Zeros };
    let at = Spot { node: asker, rows: Rows::new(&rows) };
    resolved.evaluate(&Context { tree, data: &Blank, env, at, candidate: None }).map(Some)
}
