//! Answers from JSON, for `form eval` and for tests: a tree and its data in one.
//!
//! Keys are children of the root `data`: a string is a leaf (`""` is blank), an object a group, an array of objects the
//! instances of a repeat. `@self` is the path of the asking field (`/data/member[2]/note`), `@types` the type by leaf name,
//! `@instances` lists of items by id, `@choices` choice lists by select question, `@version` the form's version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::data::{Context, Data, Env, Rows, Spot};
use super::error::ExpressionError;
use super::syntax::Parsed;
use super::table::{Table, TableId};
use super::tree::{NodeId, NodeKind, Tree, TreeError};
use super::value::{AnswerType, Value};

/// A form with answers, made from JSON.
#[derive(Debug)]
pub struct JsonAnswers {
    tree: Tree,
    values: HashMap<(NodeId, Rows), Value>,
    counts: HashMap<(NodeId, Rows), u32>,
    tables: Vec<Table>,
    choices: HashMap<NodeId, Vec<(String, Arc<str>)>>,
    asker: Spot,
    version: String,
}

/// Why JSON can't be read as answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The context isn't an object.
    #[error("the context must be an object")]
    NotAnObject,
    /// A value under this name has another shape.
    #[error("{0}: a text, an object, or an array of objects is expected")]
    BadShape(String),
    /// `@types` has no such type.
    #[error("@types: there is no type {0:?}")]
    UnknownType(String),
    /// `@self` isn't a path under the root.
    #[error("@self: {0:?} isn't a path under /data")]
    BadSelf(String),
    /// The tree can't have this node.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

type Read<T> = Result<T, ContextError>;

impl JsonAnswers {
    /// Reads a context; texts that are days with time and no zone are in the zone `offset_minutes`.
    ///
    /// # Errors
    /// When the JSON has another shape.
    pub fn new(context: &Json, offset_minutes: i32) -> Read<Self> {
        let context = match context {
            Json::Null => &Map::new(),
            Json::Object(context) => context,
            _ => return Err(ContextError::NotAnObject),
        };
        let mut answers = Self {
            tree: Tree::new("data"),
            values: HashMap::new(),
            counts: HashMap::new(),
            tables: Vec::new(),
            choices: HashMap::new(),
            asker: Spot { node: Tree::ROOT, rows: Rows::NONE },
            version: text_of(context.get("@version")).unwrap_or_default(),
        };
        let (types, places) = read_types(context.get("@types"))?;
        let reader = Reader { types: &types, places: &places, offset_minutes };
        for (name, json) in context.iter().filter(|(name, _)| !name.starts_with('@')) {
            answers.add(&reader, Tree::ROOT, Rows::NONE, name, json)?;
        }
        answers.asker = match text_of(context.get("@self")) {
            Some(path) => answers.find_or_add(&reader, &path)?,
            // a nameless field of the form asks
            None => {
                Spot { node: answers.node(Tree::ROOT, "@self", NodeKind::Leaf(AnswerType::Text))?, rows: Rows::NONE }
            }
        };
        answers.add_tables(context.get("@instances"))?;
        answers.add_choices(context.get("@choices"))?;
        Ok(answers)
    }

    /// The tree of the nodes.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The asking field; where none was named, a field right below the root.
    pub fn asker(&self) -> Spot {
        self.asker
    }

    /// The form's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads, resolves and computes an expression. The version of `env` gives way to the context's own.
    ///
    /// # Errors
    /// As of reading, resolving and evaluating.
    pub fn evaluate(&self, expression: &str, env: &Env<'_>) -> Result<Value, ExpressionError> {
        let resolved = Parsed::new(expression)?.resolve(&self.tree, self.asker.node)?;
        let env = Env { version: &self.version, ..*env };
        resolved.evaluate(&Context { tree: &self.tree, data: self, env, at: self.asker, candidate: None })
    }

    fn node(&mut self, parent: NodeId, name: &str, kind: NodeKind) -> Read<NodeId> {
        match self.tree.child(parent, name) {
            Some(node) => Ok(node),
            None => Ok(self.tree.add(parent, name, kind)?),
        }
    }

    fn add(&mut self, reader: &Reader<'_>, parent: NodeId, rows: Rows, name: &str, json: &Json) -> Read<()> {
        match json {
            Json::Object(inner) => {
                let node = self.node(parent, name, NodeKind::Group)?;
                for (name, json) in inner {
                    self.add(reader, node, rows, name, json)?;
                }
            }
            Json::Array(instances) => {
                let node = self.node(parent, name, NodeKind::Repeat)?;
                self.counts.insert((node, rows), u32::try_from(instances.len()).unwrap_or(u32::MAX));
                for (row, instance) in (0..).zip(instances) {
                    let Json::Object(inner) = instance else { return Err(ContextError::BadShape(name.to_owned())) };
                    for (name, json) in inner {
                        self.add(reader, node, rows.with(row), name, json)?;
                    }
                }
            }
            leaf => {
                let kind = reader.types.get(name).copied().unwrap_or_default();
                let node = self.node(parent, name, NodeKind::Leaf(kind))?;
                let text = text_of(Some(leaf)).unwrap_or_default();
                let text = if reader.places.contains(name) { place(&text) } else { text };
                self.values.insert((node, rows), Value::typed(&text, kind, reader.offset_minutes));
            }
        }
        Ok(())
    }

    /// The spot of a path with indexes from 1; a field that isn't there is blank.
    fn find_or_add(&mut self, reader: &Reader<'_>, path: &str) -> Read<Spot> {
        let bad = || ContextError::BadSelf(path.to_owned());
        let mut steps = path.trim().strip_prefix('/').ok_or_else(bad)?.split('/').peekable();
        if steps.next() != Some(self.tree.name(Tree::ROOT)) {
            return Err(bad());
        }
        let (mut node, mut rows) = (Tree::ROOT, Rows::NONE);
        while let Some(step) = steps.next() {
            let (name, index) = match step.strip_suffix(']').and_then(|s| s.split_once('[')) {
                Some((name, index)) => (name, index.trim().parse::<u32>().map_err(|_| bad())?),
                None => (step, 1),
            };
            if name.is_empty() {
                return Err(bad());
            }
            let kind = match (self.tree.child(node, name), steps.peek()) {
                (Some(known), _) => self.tree.kind(known),
                (None, Some(_)) => NodeKind::Group,
                (None, None) => NodeKind::Leaf(reader.types.get(name).copied().unwrap_or_default()),
            };
            node = self.node(node, name, kind)?;
            if kind == NodeKind::Repeat {
                rows = rows.with(index.saturating_sub(1));
            }
        }
        Ok(Spot { node, rows })
    }

    fn add_tables(&mut self, json: Option<&Json>) -> Read<()> {
        let Some(Json::Object(tables)) = json else { return shape("@instances", json) };
        for (id, items) in tables {
            self.tree.add_table(id);
            let mut table = Table::new();
            for item in objects(id, items)? {
                table.push(
                    item.iter().map(|(name, text)| (name.as_str(), Arc::from(text_of(Some(text)).unwrap_or_default()))),
                );
            }
            self.tables.push(table);
        }
        Ok(())
    }

    fn add_choices(&mut self, json: Option<&Json>) -> Read<()> {
        let Some(Json::Object(lists)) = json else { return shape("@choices", json) };
        for (question, items) in lists {
            let mut choices = Vec::new();
            for item in objects(question, items)? {
                let text = |key| text_of(item.get(key)).unwrap_or_default();
                choices.push((text("name"), Arc::from(text("label"))));
            }
            for node in (0..self.tree.len()).filter_map(|n| u32::try_from(n).ok()).map(NodeId) {
                if self.tree.name(node) == question {
                    self.choices.insert(node, choices.clone());
                }
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    types: &'a HashMap<String, AnswerType>,
    places: &'a HashSet<String>,
    offset_minutes: i32,
}

fn shape(name: &str, json: Option<&Json>) -> Read<()> {
    match json {
        None | Some(Json::Null) => Ok(()),
        Some(_) => Err(ContextError::BadShape(name.to_owned())),
    }
}

fn objects<'a>(name: &str, items: &'a Json) -> Read<Vec<&'a Map<String, Json>>> {
    let bad = || ContextError::BadShape(name.to_owned());
    items.as_array().ok_or_else(bad)?.iter().map(|item| item.as_object().ok_or_else(bad)).collect()
}

/// Types by leaf name, and which leaves are places.
fn read_types(json: Option<&Json>) -> Read<(HashMap<String, AnswerType>, HashSet<String>)> {
    let (mut types, mut places) = (HashMap::new(), HashSet::new());
    let Some(Json::Object(all)) = json else { return shape("@types", json).map(|()| (types, places)) };
    for (name, kind) in all {
        let kind = text_of(Some(kind)).unwrap_or_default();
        let read = match kind.to_ascii_lowercase().as_str() {
            "int" | "integer" | "decimal" | "range" => AnswerType::Number,
            "date" => AnswerType::Date,
            "time" => AnswerType::Time,
            "datetime" | "date_time" => AnswerType::DateTime,
            "boolean" => AnswerType::Bool,
            "select_one" | "select_multiple" | "geopoint" | "geotrace" | "geoshape" | "text" | "string" | "rank"
            | "barcode" | "calculate" => AnswerType::Text,
            _ => return Err(ContextError::UnknownType(kind)),
        };
        if kind == "geopoint" {
            places.insert(name.clone());
        }
        types.insert(name.clone(), read);
    }
    Ok((types, places))
}

/// A place as Collect keeps it: four decimal numbers, `10.5 20.25 0.0 0.0`.
fn place(text: &str) -> String {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    if !(2..=4).contains(&numbers.len()) || numbers.len() != text.split_whitespace().count() {
        return text.to_owned();
    }
    let all = numbers.into_iter().chain(std::iter::repeat(0.0)).take(4);
    all.map(|n| format!("{n:?}")).collect::<Vec<_>>().join(" ")
}

fn text_of(json: Option<&Json>) -> Option<String> {
    match json? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

impl Data for JsonAnswers {
    fn value(&self, node: NodeId, rows: &[u32]) -> Value {
        self.values.get(&(node, Rows::new(rows))).cloned().unwrap_or_else(Value::blank)
    }

    fn count(&self, repeat: NodeId, rows: &[u32]) -> u32 {
        self.counts.get(&(repeat, Rows::new(rows))).copied().unwrap_or(0)
    }

    fn is_relevant(&self, _node: NodeId, _rows: &[u32]) -> bool {
        true
    }

    fn table(&self, table: TableId) -> Option<&Table> {
        self.tables.get(table.0 as usize)
    }

    fn choice_label(&self, question: NodeId, _rows: &[u32], choice: &str, _language: &str) -> Option<Arc<str>> {
        let choices = self.choices.get(&question)?;
        choices.iter().find(|(name, _)| name == choice).map(|(_, label)| Arc::clone(label))
    }
}
