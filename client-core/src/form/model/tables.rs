//! Choice lists as tables that filters and `instance('list')` read.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::form::definition::{ChoiceList, FormDef};
use crate::form::expression::Table;

/// The name of the table of a list of the sheet `external_choices`.
pub(super) fn external_name(list: &str) -> String {
    format!("external_choices/{list}")
}

/// A choice list's table: `name`, `label`, `label::language`, and the further columns. A missing translation is the
/// default language's text.
pub(super) fn table(def: &FormDef, list: &ChoiceList) -> Table {
    let mut languages: BTreeSet<&str> = def.languages.iter().map(String::as_str).collect();
    languages.extend(list.choices.iter().flat_map(|c| c.labels.0.keys().map(String::as_str)));
    let headers: Vec<(&str, String)> = languages.into_iter().map(|l| (l, format!("label::{l}"))).collect();
    let mut table = Table::new();
    for choice in &list.choices {
        let mut cells: Vec<(&str, Arc<str>)> = Vec::with_capacity(2 + headers.len() + choice.extra.len());
        cells.push(("name", choice.name.as_str().into()));
        let label = |language: &str| choice.labels.get(language, &def.default_language).unwrap_or_default();
        let plain: Arc<str> = label(&def.default_language).into();
        for (language, header) in &headers {
            let text = label(language);
            let cell = if *text == *plain { Arc::clone(&plain) } else { text.into() };
            cells.push((header, cell));
        }
        cells.push(("label", plain));
        cells.extend(choice.extra.iter().map(|(column, value)| (column.as_str(), cell(value))));
        table.push(cells);
    }
    table
}

fn cell(value: &Value) -> Arc<str> {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Null => "".into(),
        Value::Bool(true) => "TRUE".into(),
        Value::Bool(false) => "FALSE".into(),
        other => other.to_string().into(),
    }
}
