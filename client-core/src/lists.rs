//! Choice lists that are made of what is known: areas, records, the instances of a record's repeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::form::AnswerKey;
use crate::form::expression::Table;
use crate::id::{AreaId, RecordId};
use crate::protocol::AreaEntry;
use crate::record::Value;
use crate::record::key::Leaf;

/// How many records a list of records offers.
pub const LISTED_RECORDS_MAX: u32 = 5_000;

/// One item of a list that is made of what is known, by column.
pub type Item = BTreeMap<String, String>;

/// Items as the table of a list.
pub fn list(items: &[Item]) -> Arc<Table> {
    let mut table = Table::new();
    for item in items {
        table.push(item.iter().map(|(column, text)| (column.as_str(), Arc::from(text.as_str()))));
    }
    Arc::new(table)
}

/// An area in the list of areas.
pub fn area_item(area: &AreaEntry) -> Item {
    let label = if area.name_zh.is_empty() { area.name_en.clone() } else { area.name_zh.clone() };
    let columns = [
        ("name", area.area.to_string()),
        ("label", label),
        ("parent", area.parent.map(|parent| parent.to_string()).unwrap_or_default()),
        ("level", area.level.clone()),
        ("code", area.code.clone()),
    ];
    columns.into_iter().map(|(column, text)| (column.to_owned(), text)).collect()
}

/// The instances of a repeat that weren't removed, in their order.
pub fn instance_items(repeat: &str, answers: &BTreeMap<String, Value>) -> Vec<Item> {
    let mut rows: BTreeMap<&str, Item> = BTreeMap::new();
    let mut order: BTreeMap<&str, i64> = BTreeMap::new();
    let mut removed = Vec::new();
    for (key, value) in answers {
        let Some(parsed) = AnswerKey::parse(key) else { continue };
        let [(of, instance)] = parsed.instances.as_slice() else { continue };
        match (parsed.leaf, value) {
            _ if *of != repeat => {}
            (Leaf::Question(question), _) => {
                rows.entry(instance).or_default().insert(question.to_owned(), text_of(value));
            }
            (Leaf::Order, Value::Int(place)) => drop(order.insert(instance, *place)),
            (Leaf::Deleted, Value::Bool(true)) => removed.push(*instance),
            _ => {}
        }
    }
    rows.retain(|instance, _| !removed.contains(instance));
    let mut rows: Vec<(&str, Item)> = rows.into_iter().collect();
    rows.sort_by_key(|(instance, _)| (order.get(instance).copied().unwrap_or_default(), *instance));
    let named = |(instance, mut cells): (&str, Item)| {
        let label = cells.remove("name").unwrap_or_default();
        cells.extend([("name".to_owned(), instance.to_owned()), ("label".to_owned(), label)]);
        cells
    };
    rows.into_iter().map(named).collect()
}

/// A record in the list of the records of its type.
pub fn record_item(id: RecordId, area: AreaId, title: &str, answers: &BTreeMap<String, Value>) -> Item {
    let mut cells = Item::new();
    for (key, value) in answers {
        let plain = AnswerKey::parse(key).is_some_and(|k| k.instances.is_empty());
        if plain && !key.contains('=') {
            cells.insert(key.clone(), text_of(value));
        }
    }
    let own_label = cells.get("label").cloned().unwrap_or_default();
    let title = if title.is_empty() { own_label } else { title.to_owned() };
    cells.extend([
        ("name".to_owned(), id.to_string()),
        ("label".to_owned(), title),
        ("area".to_owned(), area.to_string()),
    ]);
    cells
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Blank => String::new(),
        Value::Bool(true) => "OK".to_owned(),
        Value::Bool(false) => String::new(),
        Value::Int(n) => n.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Text(text) => text.clone(),
    }
}
