//! The logic of forms: ODK's XPath dialect, parsed once, resolved once against a form's tree, evaluated often.
//!
//! 1. [`Parsed::new`] reads the text (offsets are bytes; length and nesting are bounded).
//! 2. [`Parsed::resolve`] looks names up in a [`Tree`] (made from a form definition, or from the JSON of `form eval`) and gives
//!    a [`Resolved`]: what it depends on, whether it gives the same result each time, what an importer should warn about.
//! 3. [`Resolved::evaluate`] computes, over anything that is [`Data`], with clock, zone, language and randomness handed in.
//!
//! The dialect is that of JavaRosa, with the differences of docs/decisions/0009-expressions.md. To add a function: a line in
//! `functions.rs` (name and arity), an arm in the `call` of its group under `eval/`, and cases in `tests/conformance`.

mod code;
mod data;
pub(super) mod date;
mod error;
mod eval;
mod functions;
mod json;
mod lexer;
mod messages;
mod parser;
mod pattern;
mod resolve;
pub(super) mod shuffle;
mod syntax;
mod table;
mod tree;
mod value;

pub use data::{Context, Data, Env, Rows, Spot, Warning};
pub use date::{Moment, days_from_civil};
pub use error::{ExpressionError, Fault};
pub use json::{ContextError, JsonAnswers};
pub use resolve::{ChoiceFilter, Dependency, Notice, Purity, Resolved};
pub use syntax::Parsed;
pub use table::{Table, TableId};
pub use tree::{Named, NodeId, NodeKind, Tree, TreeError};
pub use value::{AnswerType, Value};

/// The longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How deep parentheses, arguments and filters may nest.
pub const DEPTH_MAX: usize = 128;
/// How many repeats may stand in one another.
pub const REPEAT_DEPTH_MAX: usize = 8;
/// How many nodes one evaluation may visit; beyond that it ends with [`Fault::TooMuchWork`].
pub const VISITS_MAX: u64 = 5_000_000;
/// The longest text that an evaluation may make, in bytes.
pub const RESULT_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
