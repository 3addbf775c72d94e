//! Labels, hints and messages with answers in them.

use crate::form::expression::{ExpressionError, NodeId, Parsed, Resolved, Tree};

/// A text in parts.
#[derive(Debug, Clone)]
pub(in crate::form) struct Words(pub Vec<Part>);

/// A part of a text.
#[derive(Debug, Clone)]
pub(in crate::form) enum Part {
    /// Words as they stand.
    Text(String),
    /// An answer.
    Answer(Box<Resolved>),
}

/// Takes a text apart; `None` when no answer stands in it.
pub(super) fn words(text: &str, tree: &Tree, asker: NodeId) -> Result<Option<Words>, ExpressionError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        let Some(length) = text[start..].find('}') else { break };
        let end = start + length + 1;
        if start > at {
            parts.push(Part::Text(text[at..start].to_owned()));
        }
        let moved = |e: ExpressionError| ExpressionError { offset: e.offset + start, fault: e.fault };
        let parsed = Parsed::new(&text[start..end]).map_err(moved)?;
        parts.push(Part::Answer(Box::new(parsed.resolve(tree, asker).map_err(moved)?)));
        at = end;
    }
    if at < text.len() {
        parts.push(Part::Text(text[at..].to_owned()));
    }
    Ok(Some(Words(parts)))
}
