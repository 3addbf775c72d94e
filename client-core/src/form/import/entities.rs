//! The entities sheet and the `save_to` column: which subjects the form makes or changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::nearest::nearest;
use super::node::{Nodes, Role, Use};
use super::reference::{is_name, references};
use super::survey::Survey;
use super::table::{Line, Table};
use super::workbook::{SheetKind, Workbook};
use crate::form::definition::Extra;
use crate::form::entity::record_type;
use crate::form::pack::Pack;

/// The declared lists, in order.
#[derive(Debug, Default)]
pub(super) struct Entities {
    declared: Vec<Declaration>,
    /// `save_to` cells: list, property, the node's parent, where.
    saved: Vec<Saved>,
}

#[derive(Debug)]
struct Declaration {
    list: String,
    columns: Extra,
    expressions: Vec<(String, Place)>,
    place: Place,
}

#[derive(Debug)]
struct Saved {
    list: String,
    property: String,
    parent: usize,
    row: u32,
    place: Place,
}

/// Reads the sheet.
pub(super) fn read(workbook: &Workbook, problems: &mut Problems) -> Entities {
    let mut entities = Entities::default();
    let Some(sheet) = workbook.sheet(SheetKind::Entities) else { return entities };
    let table = Table::new(sheet, SheetKind::Entities, problems);
    for column in &table.columns {
        let known = ["dataset", "entity_id", "create_if", "update_if", "repeat", "label"];
        let has_values = sheet.rows.iter().any(|r| r.cells.iter().any(|c| c.column == column.index));
        if has_values && !known.contains(&column.canonical().as_str()) {
            let place = table.place(1, column);
            let nearest = nearest(&column.header, ["list_name", "entity_id", "create_if", "update_if", "label"]);
            problems
                .add(Diagnostic::new(Code::UnknownEntityColumn, place).with("name", &column.header).nearest(nearest));
        }
    }
    for line in table.lines() {
        if let Some(declaration) = declaration(line, problems) {
            if entities.declared.iter().any(|d| d.list == declaration.list) {
                let diagnostic = Diagnostic::new(Code::EntityTwice, declaration.place);
                problems.add(diagnostic.with("list", &declaration.list));
            } else {
                entities.declared.push(declaration);
            }
        }
    }
    entities
}

fn declaration(line: Line<'_>, problems: &mut Problems) -> Option<Declaration> {
    let place = line.place(&["dataset"]);
    let Some(list) = line.get(&["dataset"]) else {
        problems.add(Diagnostic::new(Code::EntityWithoutList, place));
        return None;
    };
    if list.starts_with("__") || list.contains('.') || !is_name(list) {
        problems.add(Diagnostic::new(Code::BadEntityName, place.clone()).with("name", list));
    }
    let (id, create, update) = (line.get(&["entity_id"]), line.get(&["create_if"]), line.get(&["update_if"]));
    let missing = match (id, create, update) {
        (None, _, Some(_)) => Some("entity_id"),
        (Some(_), Some(_), None) => Some("update_if"),
        (None, _, _) if line.get(&["label"]).is_none() => Some("label"),
        _ => None,
    };
    if let Some(missing) = missing {
        let diagnostic = Diagnostic::new(Code::EntityIncomplete, place.clone());
        problems.add(diagnostic.with("list", list).with("name", missing));
    }
    let mut columns = Extra::new();
    let mut expressions = Vec::new();
    for (column, cell) in line.cells() {
        let name = column.canonical();
        if matches!(name.as_str(), "entity_id" | "create_if" | "update_if" | "label") {
            expressions.push((cell.text.to_string(), line.place(&[name.as_str()])));
        }
        let name = if name == "dataset" { "list_name".to_owned() } else { name };
        columns.insert(name, Value::from(&*cell.text));
    }
    Some(Declaration { list: list.to_owned(), columns, expressions, place })
}

impl Entities {
    /// The declarations for the definition, `None` without any.
    pub(super) fn to_json(&self) -> Option<Value> {
        if self.declared.is_empty() {
            return None;
        }
        Some(Value::Array(self.declared.iter().map(|d| Value::Object(d.columns.clone())).collect()))
    }

    /// Names of the lists: expressions may name them as instances.
    pub(super) fn lists(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().map(|d| d.list.as_str())
    }

    /// The sheet's expressions, evaluated at the root.
    pub(super) fn uses(&self) -> Vec<Use> {
        let uses = self.declared.iter().flat_map(|d| &d.expressions).map(|(text, place)| Use {
            node: Nodes::ROOT,
            role: Role::Entity,
            text: text.clone(),
            place: place.clone(),
            list: None,
        });
        uses.collect()
    }

    /// An entity can be changed only when the list of entities is at hand.
    pub(super) fn check_attached(&self, instances: &BTreeSet<String>, problems: &mut Problems) {
        for declared in self.declared.iter().filter(|d| d.columns.contains_key("entity_id")) {
            if !instances.contains(&declared.list) {
                let diagnostic = Diagnostic::new(Code::EntityNotAttached, declared.place.clone());
                problems.add(diagnostic.with("list", &declared.list));
            }
        }
    }

    /// Lists are types of records: says where none of the forms that come with the program makes such records, and where its
    /// form lacks a property.
    pub(super) fn check_types(&self, problems: &mut Problems) {
        let pack = Pack::built_in();
        for declared in &self.declared {
            let form = record_type(&declared.list).and_then(|record_type| pack.form_of_type(&record_type));
            let Some(form) = form else {
                let nearest = nearest(&declared.list, pack.forms().iter().map(|f| f.record_type.as_str()));
                let diagnostic = Diagnostic::new(Code::EntityWithoutForm, declared.place.clone());
                problems.add(diagnostic.with("list", &declared.list).nearest(nearest));
                continue;
            };
            let placed = form.questions();
            let known: Vec<&str> =
                placed.iter().filter(|p| p.repeats.is_empty()).map(|p| p.question.name.as_str()).collect();
            let lacking = |s: &&Saved| s.list == declared.list && !known.contains(&s.property.as_str());
            for saved in self.saved.iter().filter(lacking) {
                let diagnostic = Diagnostic::new(Code::UnknownProperty, saved.place.clone());
                let diagnostic = diagnostic.with("list", &declared.list).with("name", &saved.property);
                problems.add(diagnostic.nearest(nearest(&saved.property, known.iter().copied())));
            }
        }
    }

    /// Checks that what one list saves and refers to stands in repeats that lie in one another, and that all it saves stands
    /// in one of them: otherwise it isn't clear how many entities are meant.
    pub(super) fn check_scopes(&self, nodes: &Nodes, by_name: &BTreeMap<&str, usize>, problems: &mut Problems) {
        let scope = |parent: usize| -> Vec<usize> {
            let own = nodes.is_repeat(parent).then_some(parent);
            let mut repeats: Vec<usize> =
                own.into_iter().chain(nodes.around(parent).filter(|n| nodes.is_repeat(*n))).collect();
            repeats.reverse();
            repeats
        };
        for declared in &self.declared {
            let saved: Vec<&Saved> = self.saved.iter().filter(|s| s.list == declared.list).collect();
            let mut scopes: Vec<(Vec<usize>, Place)> =
                saved.iter().map(|s| (scope(s.parent), s.place.clone())).collect();
            for (text, place) in &declared.expressions {
                for reference in references(text).flatten() {
                    if let Some(node) = by_name.get(reference.name) {
                        scopes.push((scope(nodes.0[*node].parent), place.clone()));
                    }
                }
            }
            let Some(deepest) = scopes.iter().map(|(s, _)| s).max_by_key(|s| s.len()).cloned() else { continue };
            for (scope, place) in &scopes {
                if deepest[..scope.len()] != scope[..] {
                    problems.add(Diagnostic::new(Code::EntityScopes, place.clone()).with("list", &declared.list));
                }
            }
            let saved_scope = saved.iter().map(|s| scope(s.parent)).max_by_key(Vec::len);
            for saved in &saved {
                if Some(scope(saved.parent)) != saved_scope
                    || saved_scope.as_ref().is_some_and(|s| s.len() < deepest.len())
                {
                    let diagnostic = Diagnostic::new(Code::EntityScopes, saved.place.clone());
                    problems.add(diagnostic.with("list", &declared.list));
                }
            }
        }
    }
}

impl Survey<'_> {
    /// A `save_to` on a group or repeat is refused.
    pub(super) fn note_save_to_block(&mut self, line: Line<'_>) {
        if line.get(&["bind", "entities:saveto"]).is_some() {
            self.warn(Code::SaveToBlock, line, &["bind", "entities:saveto"]);
        }
    }

    /// Notes a question's `save_to`.
    pub(super) fn note_save_to(&mut self, line: Line<'_>, _name: &str) {
        let Some(text) = line.get(&["bind", "entities:saveto"]) else { return };
        let place = line.place(&["bind", "entities:saveto"]);
        if self.entities.declared.is_empty() {
            self.problems.add(Diagnostic::new(Code::SaveToWithoutEntity, place).with("name", text));
            return;
        }
        let (list, property) = match text.split_once('#') {
            Some((list, property)) => (list.to_owned(), property),
            None if self.entities.declared.len() > 1 => {
                self.problems.add(Diagnostic::new(Code::SaveToWithoutList, place).with("name", text));
                return;
            }
            None => (self.entities.declared[0].list.clone(), text),
        };
        if !self.entities.declared.iter().any(|d| d.list == list) {
            let nearest = nearest(&list, self.entities.lists());
            let diagnostic = Diagnostic::new(Code::UnknownEntity, place).with("list", &list).nearest(nearest);
            self.problems.add(diagnostic);
            return;
        }
        let lower = property.to_lowercase();
        if matches!(lower.as_str(), "name" | "label") || property.starts_with("__") || !is_name(property) {
            self.problems.add(Diagnostic::new(Code::BadProperty, place).with("name", property));
            return;
        }
        if let Some(other) = self.entities.saved.iter().find(|s| s.list == list && s.property == property) {
            let diagnostic = Diagnostic::new(Code::PropertyTwice, place).with("name", property);
            self.problems.add(diagnostic.with("other_row", other.row.to_string()));
            return;
        }
        let (parent, row) = (self.parent(), line.row.number);
        self.entities.saved.push(Saved { list, property: property.to_owned(), parent, row, place });
    }
}
