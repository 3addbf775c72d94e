//! Columns without a field of their own: kept as they came.

use serde_json::Value;

use super::table::Line;
use crate::form::definition::Extra;

/// The columns that a definition has no field for.
pub(super) fn extra(line: Line<'_>) -> Extra {
    let mut extra = Extra::new();
    for (column, cell) in line.cells() {
        let tokens: Vec<&str> = column.tokens.iter().map(String::as_str).collect();
        let key = match tokens.as_slice() {
            ["type" | "name" | "default" | "choice_filter" | "parameters" | "trigger" | "disabled"]
            | ["label" | "hint" | "guidance_hint" | "media", ..]
            | ["bind", "required" | "relevant" | "constraint" | "calculate" | "readonly"]
            | ["bind", "jr:constraintMsg" | "jr:requiredMsg", ..]
            | ["control", "appearance" | "jr:count"]
            | ["doorstep", "class" | "public"] => continue,
            ["bind", "entities:saveto"] => "save_to".to_owned(),
            ["doorstep", rest @ ..] => rest.join("::"),
            ["control", rest @ ..] => format!("body::{}", rest.join("::")),
            other => other.join("::"),
        };
        extra.insert(free_key(&extra, key), Value::from(&*cell.text));
    }
    extra
}

/// A key that no field of a definition has and no other column took.
fn free_key(extra: &Extra, key: String) -> String {
    const FIELDS: [&str; 27] = [
        "item",
        "key",
        "type",
        "choices",
        "labels",
        "hints",
        "guidance",
        "media",
        "required",
        "required_messages",
        "relevant",
        "constraint",
        "constraint_messages",
        "calculation",
        "trigger",
        "default",
        "dynamic_default",
        "choice_filter",
        "appearance",
        "read_only",
        "parameters",
        "class",
        "declared_public",
        "items",
        "count",
        "name",
        "label",
    ];
    if FIELDS.contains(&key.as_str()) || extra.contains_key(&key) { format!("column::{key}") } else { key }
}
