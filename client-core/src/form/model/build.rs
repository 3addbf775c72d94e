//! From a definition to a model.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::{ModelError, Role};
use super::graph::{self, Graph, Vertex, VertexKind};
use super::tables::{external_name, table};
use super::text::words;
use super::{Choices, Detail, Files, Head, Model, NODES_MAX, Node, Scope, Words};
use crate::form::definition::{ChoiceSource, FormDef, Item, Question, QuestionKind};
use crate::form::expression::{AnswerType, Named, NodeId, NodeKind, Parsed, Resolved, Table, Tree};
use crate::form::index::Form;
use crate::form::text::LocalText;

pub(super) fn build(form: Arc<Form>, files: &Files) -> Result<Model, Vec<ModelError>> {
    let def = form.def();
    let root = def.settings.get("name").and_then(|n| n.as_str()).unwrap_or("data");
    let mut build = Builder::new(def, Tree::new(root));
    build.add_tables(files);
    build.add_items(&def.items, Tree::ROOT, 0, "");
    if build.errors.is_empty() {
        build.compile_all();
    }
    build.finish(Arc::clone(&form))
}

struct Builder<'a> {
    def: &'a FormDef,
    tree: Tree,
    nodes: Vec<Node>,
    scopes: Vec<Scope>,
    tables: Vec<Option<Arc<Table>>>,
    /// Expressions of groups and repeats: relevant and count.
    blocks: Vec<(NodeId, Option<&'a str>, Option<&'a str>)>,
    vertices: Vec<Vertex>,
    words: HashMap<(NodeId, String), Words>,
    triggers: HashMap<NodeId, Vec<NodeId>>,
    keys: HashMap<String, NodeId>,
    errors: Vec<ModelError>,
}

fn node(detail: Detail, scope: usize, slot: usize) -> Node {
    Node {
        detail,
        scope,
        slot,
        constraint: None,
        required: None,
        read_only: None,
        default: None,
        triggered: None,
        choices: Choices::None,
    }
}

impl<'a> Builder<'a> {
    fn new(def: &'a FormDef, tree: Tree) -> Self {
        let root = Head { labels: def.titles.clone(), ..Head::default() };
        Self {
            def,
            tree,
            nodes: vec![node(Detail::Group(root), 0, 0)],
            scopes: vec![Scope { groups: vec![Tree::ROOT], ..Scope::default() }],
            tables: Vec::new(),
            blocks: Vec::new(),
            vertices: Vec::new(),
            words: HashMap::new(),
            triggers: HashMap::new(),
            keys: HashMap::new(),
            errors: Vec::new(),
        }
    }

    fn add_tables(&mut self, files: &Files) {
        for (name, list) in &self.def.choice_lists {
            self.add_table(name, Some(Arc::new(table(self.def, list))));
        }
        for (name, contents) in files {
            self.add_table(name, Some(Arc::clone(contents)));
            if let Some((stem, _)) = name.rsplit_once('.') {
                self.add_table(stem, Some(Arc::clone(contents)));
            }
        }
        // files that are named but not at hand count as empty
        for question in self.def.questions().iter().filter_map(|q| q.question.choices.as_ref()) {
            if let ChoiceSource::File(name) = question {
                self.add_missing(name);
            }
        }
        let named = self.def.extra.get("files").or_else(|| self.def.settings.get("files"));
        for name in named.and_then(|f| f.as_array()).into_iter().flatten().filter_map(|n| n.as_str()) {
            self.add_missing(name);
        }
    }

    fn add_missing(&mut self, name: &str) {
        self.add_table(name, None);
        if let Some((stem, _)) = name.rsplit_once('.') {
            self.add_table(stem, None);
        }
    }

    fn add_table(&mut self, name: &str, contents: Option<Arc<Table>>) {
        let id = self.tree.add_table(name).0 as usize;
        if self.tables.len() <= id {
            self.tables.resize(id + 1, None);
        }
        if let (Some(slot @ None), Some(contents)) = (self.tables.get_mut(id), contents) {
            *slot = Some(contents);
        }
    }

    fn add_items(&mut self, items: &'a [Item], parent: NodeId, scope: usize, prefix: &str) {
        for item in items {
            if self.nodes.len() >= NODES_MAX {
                self.errors.push(ModelError::TooManyNodes);
                return;
            }
            let (name, kind) = match item {
                Item::Question(question) => (&question.name, NodeKind::Leaf(answer_type(question))),
                Item::Group(group) => (&group.name, NodeKind::Group),
                Item::Repeat(repeat) => (&repeat.name, NodeKind::Repeat),
            };
            match self.tree.add(parent, name, kind) {
                Ok(id) => self.add_item(item, id, scope, prefix),
                Err(error) => self.errors.push(error.into()),
            }
        }
    }

    fn add_item(&mut self, item: &'a Item, id: NodeId, scope: usize, prefix: &str) {
        match item {
            Item::Question(question) => {
                let key = format!("{prefix}{}", question.key());
                self.keys.entry(key).or_insert(id);
                let leaves = &mut self.scopes[scope].leaves;
                leaves.push(id);
                let slot = leaves.len() - 1;
                self.nodes.push(node(Detail::Question(question.clone()), scope, slot));
            }
            Item::Group(group) => {
                let head = Head { labels: group.labels.clone(), appearance: group.appearance.clone(), counted: false };
                let groups = &mut self.scopes[scope].groups;
                groups.push(id);
                let slot = groups.len() - 1;
                self.nodes.push(node(Detail::Group(head), scope, slot));
                self.blocks.push((id, group.relevant.as_deref(), None));
                self.add_items(&group.items, id, scope, prefix);
            }
            Item::Repeat(repeat) => {
                let head = Head {
                    labels: repeat.labels.clone(),
                    appearance: repeat.appearance.clone(),
                    counted: repeat.count.is_some(),
                };
                let inner = self.scopes.len();
                let slot = self.scopes[scope].repeats.len();
                self.scopes[scope].repeats.push((id, inner));
                let mut chain = self.scopes[scope].chain.clone();
                chain.push(slot);
                self.scopes.push(Scope { chain, ..Scope::default() });
                self.nodes.push(node(Detail::Repeat(head), scope, slot));
                self.keys.entry(format!("{prefix}{}", repeat.name)).or_insert(id);
                self.blocks.push((id, repeat.relevant.as_deref(), repeat.count.as_deref()));
                self.add_items(&repeat.items, id, inner, &format!("{prefix}{}/", repeat.name));
            }
        }
    }

    fn compile_all(&mut self) {
        for (id, relevant, count) in std::mem::take(&mut self.blocks) {
            self.vertex(id, Role::Relevant, VertexKind::Relevance, relevant);
            self.vertex(id, Role::Count, VertexKind::Count, count);
        }
        for index in 0..self.nodes.len() {
            let id = NodeId(u32::try_from(index).unwrap_or(u32::MAX));
            match &self.nodes[index].detail {
                Detail::Question(question) => {
                    let question = question.clone();
                    self.compile_question(id, &question);
                }
                Detail::Group(head) | Detail::Repeat(head) => {
                    let labels = head.labels.clone();
                    self.compile_text(id, &labels);
                }
            }
        }
        self.vertices.sort_by_key(|v| (v.node, v.kind));
    }

    fn compile_question(&mut self, id: NodeId, question: &Question) {
        self.vertex(id, Role::Relevant, VertexKind::Relevance, question.relevant.as_deref());
        let constraint = self.code(id, Role::Constraint, question.constraint.as_deref());
        let required = self.code(id, Role::Required, question.required.as_deref());
        let read_only = self.code(id, Role::ReadOnly, question.read_only.as_deref());
        let dynamic = question.default.as_deref().filter(|_| question.dynamic_default);
        let default = self.code(id, Role::Default, dynamic);
        let mut triggered = None;
        match &question.trigger {
            Some(trigger) => {
                triggered = self.code(id, Role::Calculation, question.calculation.as_deref());
                self.add_triggers(id, trigger);
            }
            None => self.vertex(id, Role::Calculation, VertexKind::Value, question.calculation.as_deref()),
        }
        let choices = self.choices(id, question);
        let texts = [&question.labels, &question.hints, &question.guidance];
        for texts in texts.into_iter().chain([&question.constraint_messages, &question.required_messages]) {
            self.compile_text(id, texts);
        }
        let node = &mut self.nodes[id.0 as usize];
        (node.constraint, node.required, node.read_only) = (constraint, required, read_only);
        (node.default, node.triggered, node.choices) = (default, triggered, choices);
    }

    fn add_triggers(&mut self, id: NodeId, trigger: &str) {
        for part in trigger.split(',') {
            let name = part.trim().trim_start_matches("${").trim_end_matches('}').trim();
            match self.tree.named(name) {
                Named::One(source) => self.triggers.entry(source).or_default().push(id),
                _ => {
                    let path = self.tree.path(id);
                    self.errors.push(ModelError::UnknownTrigger { path, name: name.to_owned() });
                }
            }
        }
    }

    fn choices(&mut self, id: NodeId, question: &Question) -> Choices {
        let name = match &question.choices {
            None => return Choices::None,
            Some(ChoiceSource::Question(name)) => return self.choices_from_answers(id, name, question),
            Some(ChoiceSource::List(list)) => list.clone(),
            Some(ChoiceSource::File(file)) => file.clone(),
            Some(ChoiceSource::External(list)) => {
                let external = external_name(list);
                if self.tree.table(&external).is_some() { external } else { list.clone() }
            }
        };
        let Some(table) = self.tree.table(&name) else { return Choices::Missing };
        let Some(text) = question.choice_filter.as_deref() else { return Choices::Items(table, None) };
        let parsed = Parsed::new(text).and_then(|p| p.resolve_filter(&self.tree, id, table));
        match parsed {
            Ok(filter) => Choices::Items(table, Some(Box::new(filter))),
            Err(error) => {
                let path = self.tree.path(id);
                self.errors.push(ModelError::Expression { path, role: Role::ChoiceFilter, error });
                Choices::None
            }
        }
    }

    /// The answers to a question inside a repeat that pass the filter, as pyxform has it; blanks are left out where they are
    /// shown.
    fn choices_from_answers(&mut self, id: NodeId, name: &str, question: &Question) -> Choices {
        let Named::One(source) = self.tree.named(name) else { return Choices::Missing };
        let Some(repeat) = self.tree.repeats(source).pop() else { return Choices::Missing };
        let chain = self.tree.chain(source);
        let inside: Vec<&str> =
            chain.iter().skip_while(|n| **n != repeat).skip(1).map(|n| self.tree.name(*n)).collect();
        let (inside, repeat) = (inside.join("/"), self.tree.name(repeat));
        let filter = question.choice_filter.clone().unwrap_or_else(|| format!("./{inside} != ''"));
        let text = format!("${{{repeat}}}[{filter}]/{inside}");
        self.code(id, Role::ChoiceFilter, Some(&text)).map_or(Choices::None, |c| Choices::Answers(Box::new(c)))
    }

    fn compile_text(&mut self, id: NodeId, texts: &LocalText) {
        for text in texts.0.values() {
            match words(text.trim(), &self.tree, id) {
                Ok(None) => {}
                Ok(Some(words)) => {
                    self.words.insert((id, text.trim().to_owned()), words);
                }
                Err(error) => {
                    let path = self.tree.path(id);
                    self.errors.push(ModelError::Expression { path, role: Role::Text, error });
                }
            }
        }
    }

    fn code(&mut self, id: NodeId, role: Role, text: Option<&str>) -> Option<Resolved> {
        match Parsed::new(text?).and_then(|p| p.resolve(&self.tree, id)) {
            Ok(code) => Some(code),
            Err(error) => {
                self.errors.push(ModelError::Expression { path: self.tree.path(id), role, error });
                None
            }
        }
    }

    fn vertex(&mut self, id: NodeId, role: Role, kind: VertexKind, text: Option<&str>) {
        if let Some(code) = self.code(id, role, text) {
            self.vertices.push(Vertex::new(&self.tree, id, kind, code));
        }
    }

    fn finish(mut self, form: Arc<Form>) -> Result<Model, Vec<ModelError>> {
        let graph = graph::sort(&self.tree, std::mem::take(&mut self.vertices));
        let Graph { vertices, dependents, standing } = match graph {
            Ok(graph) if self.errors.is_empty() => graph,
            Ok(_) => return Err(self.errors),
            Err(error) => {
                self.errors.push(error);
                return Err(self.errors);
            }
        };
        let defaults = (0u32..).zip(&self.nodes).filter(|(_, n)| n.default.is_some()).map(|(i, _)| NodeId(i)).collect();
        Ok(Model {
            form,
            tree: self.tree,
            nodes: self.nodes,
            scopes: self.scopes,
            tables: self.tables,
            vertices,
            dependents,
            standing,
            words: self.words,
            triggers: self.triggers,
            defaults,
            keys: self.keys,
        })
    }
}

/// How a question's answers are read: by its kind, or by the column `bind::type`.
pub(super) fn answer_type(question: &Question) -> AnswerType {
    match question.extra.get("bind::type").and_then(|t| t.as_str()) {
        Some("int" | "integer" | "decimal" | "long") => return AnswerType::Number,
        Some("date") => return AnswerType::Date,
        Some("time") => return AnswerType::Time,
        Some("dateTime") => return AnswerType::DateTime,
        Some("boolean") => return AnswerType::Bool,
        Some("string") => return AnswerType::Text,
        _ => {}
    }
    match question.kind {
        QuestionKind::Integer | QuestionKind::Decimal | QuestionKind::Range => AnswerType::Number,
        QuestionKind::Date | QuestionKind::Today => AnswerType::Date,
        QuestionKind::Time => AnswerType::Time,
        QuestionKind::DateTime | QuestionKind::Start | QuestionKind::End => AnswerType::DateTime,
        _ => AnswerType::Text,
    }
}
