//! What can be wrong with a form's logic.

use std::fmt;

use crate::form::expression::{ExpressionError, TreeError};

/// What an expression or text decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// When a node applies.
    Relevant,
    /// What an answer must fulfil.
    Constraint,
    /// When an answer must be given.
    Required,
    /// When it can't be changed.
    ReadOnly,
    /// How it is computed.
    Calculation,
    /// Its first value.
    Default,
    /// How many instances a repeat has.
    Count,
    /// Which choices are offered.
    ChoiceFilter,
    /// A label, hint or message.
    Text,
    /// What makes a calculation run.
    Trigger,
}

impl Role {
    /// The column of the workbook.
    pub fn column(self) -> &'static str {
        match self {
            Self::Relevant => "relevant",
            Self::Constraint => "constraint",
            Self::Required => "required",
            Self::ReadOnly => "read_only",
            Self::Calculation => "calculation",
            Self::Default => "default",
            Self::Count => "repeat_count",
            Self::ChoiceFilter => "choice_filter",
            Self::Text => "label",
            Self::Trigger => "trigger",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.column())
    }
}

/// A fault of a form's logic; paths are as `/data/member/age`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// An expression can't be read, or names something that isn't there.
    #[error("{path}, {role}: {error}")]
    Expression {
        /// The node.
        path: String,
        /// Which of its expressions.
        role: Role,
        /// What is wrong.
        error: ExpressionError,
    },
    /// Nodes depend on one another in a circle; the first stands at the end again.
    #[error("these depend on one another in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A node can't stand where it does.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A trigger names no question.
    #[error("{path}: the trigger {name} isn't there")]
    UnknownTrigger {
        /// The node.
        path: String,
        /// What the trigger names.
        name: String,
    },
    /// More nodes than a form may have.
    #[error("the form has more than {} questions and groups", super::NODES_MAX)]
    TooManyNodes,
}
