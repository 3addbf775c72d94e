//! Expressions that stand outside the questions: those of the entities sheet.

use std::sync::Arc;

use super::Session;
use super::view::View;
use crate::form::expression::{ExpressionError, Parsed, Spot};

/// What an expression gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As the text of an answer.
    pub text: Arc<str>,
    /// As a condition.
    pub holds: bool,
}

impl Session {
    /// Evaluates an expression as a question at this place would.
    ///
    /// # Errors
    /// When it can't be read or evaluated.
    pub fn ask(&self, spot: Spot, expression: &str) -> Result<Asked, ExpressionError> {
        let code = Parsed::new(expression)?.resolve(self.model.tree(), spot.node)?;
        let view = View::new(self);
        let context = view.context(spot, None);
        let value = code.evaluate(&context)?;
        Ok(Asked { text: value.to_answer(&context.env), holds: value.to_bool() })
    }
}
