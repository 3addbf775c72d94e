//! The entities of a form: the subjects that it makes or changes, as ODK's sheet `entities` and column `save_to` declare them.

use serde_json::Value;

use super::definition::{FormDef, Question};
use super::expression::{NodeId, Rows, Spot, Tree};
use super::index::{Form, references};
use super::session::Session;
use crate::form::Sensitivity;
use crate::id::{Identity, RecordId};

/// A list of entities that a form makes or changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntityList {
    /// The list's name, which is a type of records.
    pub name: String,
    /// Which entity is changed; blank where one is made.
    pub entity_id: Option<String>,
    /// When one is made.
    pub create_if: Option<String>,
    /// When one is changed.
    pub update_if: Option<String>,
    /// What it is called.
    pub label: Option<String>,
}

/// One entity that a filled form makes or changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The type of its record.
    pub record_type: String,
    /// The record to change; `None` for one to be made.
    pub changes: Option<RecordId>,
    /// The repeat instance that it comes from, as `member#a1`; blank for the form as a whole.
    pub place: String,
    /// What it is called, with the sensitivity class of what that is made of.
    pub label: Option<(String, Sensitivity)>,
    /// What is saved to it: property, and the place of the answer.
    pub saved: Vec<(String, Spot)>,
}

impl FormDef {
    /// The lists of entities that the form makes or changes.
    pub fn entity_lists(&self) -> Vec<EntityList> {
        let rows = self.extra.get("entities").and_then(Value::as_array).into_iter().flatten();
        let list = |row: &Value| {
            let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(EntityList {
                name: text("list_name")?,
                entity_id: text("entity_id"),
                create_if: text("create_if"),
                update_if: text("update_if"),
                label: text("label"),
            })
        };
        rows.filter_map(list).collect()
    }
}

/// The type of the records of a list: its name in small letters. `None` where that can't be a type.
pub fn record_type(list: &str) -> Option<String> {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = list.chars().map(fit).collect();
    (name.len() <= 48 && Identity::of_type(&name).is_valid()).then_some(name)
}

/// Which property of which list a question is saved to.
pub fn saved_to<'a>(question: &'a Question, lists: &'a [EntityList]) -> Option<(&'a str, &'a str)> {
    let text = question.extra.get("save_to").and_then(Value::as_str)?;
    match text.split_once('#') {
        Some(named) => Some(named),
        None => Some((lists.first()?.name.as_str(), text)),
    }
}

impl Form {
    /// The highest class of the questions that an expression names.
    pub fn class_of_expression(&self, expression: &str) -> Sensitivity {
        let names: Vec<&str> = references(expression).collect();
        let named = self.questions().into_iter().filter(|placed| names.contains(&placed.question.name.as_str()));
        named.map(|placed| self.class_of_placed(&placed).max(placed.class)).max().unwrap_or_default()
    }
}

/// The entities that a filled form makes or changes, by ODK's rules: without `entity_id` one is made (if `create_if` holds),
/// with it that one is changed (if `update_if` holds); where the id is blank and there is a `create_if` that holds, one is
/// made. In a repeat each instance is one. What can't be evaluated makes and changes nothing.
pub fn entities(session: &Session) -> Vec<Entity> {
    let form = session.model().form();
    let lists = form.entity_lists();
    let mut found = Vec::new();
    if lists.is_empty() {
        return found;
    }
    let leaves = session.leaf_spots();
    let property = |spot: &Spot| {
        let (list, property) = saved_to(session.model().question(spot.node)?, &lists)?;
        Some((list.to_owned(), property.to_owned()))
    };
    let saved: Vec<(String, String, Spot)> =
        leaves.into_iter().filter_map(|spot| property(&spot).map(|(list, name)| (list, name, spot))).collect();
    for list in &lists {
        let Some(record_type) = record_type(&list.name) else { continue };
        let mut groups: Vec<(Rows, Vec<(String, Spot)>)> = Vec::new();
        for (_, name, spot) in saved.iter().filter(|(of, _, _)| *of == list.name) {
            match groups.iter_mut().find(|(rows, _)| *rows == spot.rows) {
                Some((_, group)) => group.push((name.clone(), *spot)),
                None => groups.push((spot.rows, vec![(name.clone(), *spot)])),
            }
        }
        if groups.is_empty() {
            groups.push((Rows::NONE, Vec::new()));
        }
        for (rows, group) in groups {
            let at = group.first().map_or(Spot { node: Tree::ROOT, rows: Rows::NONE }, |(_, spot)| *spot);
            found.extend(entity(session, list, &record_type, at, rows, group));
        }
    }
    found
}

fn entity(
    session: &Session,
    list: &EntityList,
    record_type: &str,
    at: Spot,
    rows: Rows,
    saved: Vec<(String, Spot)>,
) -> Option<Entity> {
    let repeat: Option<NodeId> = session.model().tree().repeats(at.node).last().copied();
    let place = match repeat {
        Some(repeat) => {
            let instance = Spot { node: repeat, rows };
            if !session.is_relevant(instance) {
                return None;
            }
            session.key(instance)?
        }
        None => String::new(),
    };
    let text = |expression: &Option<String>| -> Option<String> {
        let asked = session.ask(at, expression.as_deref()?).ok()?;
        Some(asked.text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let holds = |condition: &Option<String>| condition.as_deref().map(|c| session.ask(at, c).is_ok_and(|a| a.holds));
    let id = text(&list.entity_id);
    let changes = match (&list.entity_id, id) {
        // without an id of its own the entity is a new one
        (None, _) if holds(&list.create_if).unwrap_or(true) => None,
        (Some(_), Some(id)) if holds(&list.update_if).unwrap_or(true) => Some(id.parse::<RecordId>().ok()?),
        (Some(_), None) if holds(&list.create_if) == Some(true) => None,
        _ => return None,
    };
    let class = list.label.as_deref().map(|l| session.model().form().class_of_expression(l)).unwrap_or_default();
    let label = text(&list.label).map(|text| (text, class));
    let saved = saved.into_iter().filter(|(_, spot)| session.is_relevant(*spot)).collect();
    Some(Entity { record_type: record_type.to_owned(), changes, place, label, saved })
}
