//! A form version made ready to run: its tree of nodes, its expressions parsed and resolved, and what depends on what.
//!
//! A [`Model`] is made once for each version and shared by all sessions. Everything that can be wrong with a form's logic is
//! found here ([`ModelError`]); what only shows with answers gives blanks and a fault in the session.

mod build;
mod error;
mod graph;
mod tables;
mod text;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::definition::{FormDef, Question, QuestionKind};
use super::expression::{ChoiceFilter, NodeId, NodeKind, Resolved, Table, TableId, Tree};
use super::index::Form;
use super::text::LocalText;

pub use error::{ModelError, Role};
pub(super) use graph::{Vertex, VertexKind};
pub(super) use text::{Part, Words};

/// Attached files by name: `villages.csv`, `villages.geojson` and others, already read.
pub type Files = BTreeMap<String, Arc<Table>>;

/// The most nodes of a form.
pub const NODES_MAX: usize = 50_000;

/// A form version ready to run. Cheap to share, never changed.
#[derive(Debug)]
pub struct Model {
    form: Arc<Form>,
    tree: Tree,
    nodes: Vec<Node>,
    scopes: Vec<Scope>,
    tables: Vec<Option<Arc<Table>>>,
    /// In an order in which each stands after what it depends on.
    vertices: Vec<Vertex>,
    /// By source node: which vertices a change of it concerns, with the rows that they share.
    dependents: Vec<Vec<(u32, u8)>>,
    /// By node: the vertices that stand on it.
    standing: Vec<Vec<u32>>,
    /// Texts with `${name}` in them, by asking node and source text.
    words: HashMap<(NodeId, String), Words>,
    /// Nodes whose calculation runs when the key's answer changes.
    triggers: HashMap<NodeId, Vec<NodeId>>,
    /// Dynamic defaults, in the order of the form.
    defaults: Vec<NodeId>,
    /// Questions and repeats by the form part of their answer key, as `member/age`.
    keys: HashMap<String, NodeId>,
}

/// A node with its logic.
#[derive(Debug)]
pub struct Node {
    pub(super) detail: Detail,
    /// The repeat scope that it stands in.
    pub(super) scope: usize,
    /// Its place among the leaves, groups or repeats of the scope.
    pub(super) slot: usize,
    pub(super) constraint: Option<Resolved>,
    pub(super) required: Option<Resolved>,
    pub(super) read_only: Option<Resolved>,
    /// Evaluated once, for new instances.
    pub(super) default: Option<Resolved>,
    /// Evaluated when a trigger changes.
    pub(super) triggered: Option<Resolved>,
    pub(super) choices: Choices,
}

/// What a node is, in the words of the definition.
#[derive(Debug)]
pub enum Detail {
    /// The form, or a group.
    Group(Head),
    /// A repeat.
    Repeat(Head),
    /// A question or anything else with one value.
    Question(Box<Question>),
}

/// What groups and repeats show.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Labels.
    pub labels: LocalText,
    /// How to show it.
    pub appearance: Option<String>,
    /// True for a repeat whose number of instances is computed.
    pub counted: bool,
}

/// Where a question's choices come from.
#[derive(Debug, Default)]
pub(super) enum Choices {
    /// It has none.
    #[default]
    None,
    /// Items of a table, perhaps filtered.
    Items(TableId, Option<Box<ChoiceFilter>>),
    /// A file that isn't attached.
    Missing,
    /// Earlier answers.
    Answers(Box<Resolved>),
}

/// The nodes that live in one repeat instance (or in the form itself) without those of repeats inside it.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Which repeat of each enclosing scope leads here, from the root.
    pub chain: Vec<usize>,
    pub leaves: Vec<NodeId>,
    pub groups: Vec<NodeId>,
    /// Repeats in it: the node, and the scope of its instances.
    pub repeats: Vec<(NodeId, usize)>,
}

impl Model {
    /// Compiles a definition without attached files.
    ///
    /// # Errors
    /// All faults of its logic.
    pub fn new(def: FormDef) -> Result<Self, Vec<ModelError>> {
        Self::with_files(Arc::new(Form::new(def)), &Files::new())
    }

    /// Compiles a form with further files than those that it carries; one that isn't there counts as empty.
    ///
    /// # Errors
    /// All faults of its logic.
    pub fn with_files(form: Arc<Form>, files: &Files) -> Result<Self, Vec<ModelError>> {
        let mut all = form.attached().clone();
        all.extend(files.iter().map(|(name, table)| (name.clone(), Arc::clone(table))));
        build::build(form, &all)
    }

    /// The form.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The tree of its nodes.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What a node is.
    pub fn detail(&self, node: NodeId) -> &Detail {
        &self.node(node).detail
    }

    /// The question that a node is.
    pub fn question(&self, node: NodeId) -> Option<&Question> {
        match &self.node(node).detail {
            Detail::Question(question) => Some(question),
            _ => None,
        }
    }

    /// The repeat or question of this place in answer keys, as `member/age`.
    pub fn keyed(&self, scoped: &str) -> Option<NodeId> {
        self.keys.get(scoped).copied()
    }

    /// The node at a path without indexes, as `/data/member/age`.
    pub fn at_path(&self, path: &str) -> Option<NodeId> {
        let mut parts = path.strip_prefix('/')?.split('/');
        if parts.next()? != self.tree.name(Tree::ROOT) {
            return None;
        }
        parts.try_fold(Tree::ROOT, |node, name| self.tree.child(node, name))
    }

    /// True when no answer of the form is computed, hidden or judged by an expression.
    pub fn is_plain(&self) -> bool {
        self.vertices.is_empty() && self.nodes.iter().all(|n| n.constraint.is_none() && n.required.is_none())
    }

    /// True for a leaf whose value is computed all the time.
    pub fn is_calculated(&self, node: NodeId) -> bool {
        self.calculation(node).is_some()
    }

    /// True for a leaf that takes whole numbers only.
    pub(super) fn is_whole(&self, node: NodeId) -> bool {
        self.question(node).is_some_and(|q| match q.extra.get("bind::type").and_then(|t| t.as_str()) {
            Some(given) => matches!(given, "int" | "integer" | "long"),
            None => q.kind == QuestionKind::Integer,
        })
    }

    pub(super) fn node(&self, node: NodeId) -> &Node {
        // ids come from this model's own tree
        &self.nodes[(node.0 as usize).min(self.nodes.len() - 1)]
    }

    pub(super) fn scope(&self, scope: usize) -> &Scope {
        &self.scopes[scope.min(self.scopes.len() - 1)]
    }

    /// The scope of a repeat's instances.
    pub(super) fn inner_scope(&self, repeat: NodeId) -> usize {
        let node = self.node(repeat);
        self.scope(node.scope).repeats.get(node.slot).map_or(0, |(_, scope)| *scope)
    }

    pub(super) fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    pub(super) fn dependents(&self, node: NodeId) -> &[(u32, u8)] {
        self.dependents.get(node.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn standing(&self, node: NodeId) -> &[u32] {
        self.standing.get(node.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn calculation(&self, node: NodeId) -> Option<&Vertex> {
        let on = self.standing(node).iter().filter_map(|v| self.vertices.get(*v as usize));
        on.into_iter().find(|v| v.kind == VertexKind::Value)
    }

    pub(super) fn table(&self, table: TableId) -> Option<&Table> {
        self.tables.get(table.0 as usize)?.as_deref()
    }

    /// A text in parts; `None` when it stands as it is.
    pub(super) fn words(&self, node: NodeId, text: &str) -> Option<Cow<'_, Words>> {
        if !text.contains("${") {
            return None;
        }
        match self.words.get(&(node, text.to_owned())) {
            Some(words) => Some(Cow::Borrowed(words)),
            // choices' labels are taken apart where they are shown: few have answers in them
            None => text::words(text, &self.tree, node).ok().flatten().map(Cow::Owned),
        }
    }

    pub(super) fn triggered_by(&self, node: NodeId) -> &[NodeId] {
        self.triggers.get(&node).map_or(&[], Vec::as_slice)
    }

    pub(super) fn defaults(&self) -> &[NodeId] {
        &self.defaults
    }

    /// True for a node that is shown: a question to answer or a note to read.
    pub(super) fn is_shown(&self, node: NodeId) -> bool {
        let Some(question) = self.question(node) else { return false };
        let carried = matches!(
            question.kind,
            QuestionKind::Calculate
                | QuestionKind::Hidden
                | QuestionKind::Start
                | QuestionKind::End
                | QuestionKind::Today
                | QuestionKind::DeviceId
                | QuestionKind::Username
                | QuestionKind::PhoneNumber
                | QuestionKind::Email
                | QuestionKind::Audit
                | QuestionKind::Unknown(_)
        );
        let computed = question.calculation.is_some() || question.trigger.is_some();
        let speaks = !question.labels.is_empty() || !question.hints.is_empty() || !question.media.is_empty();
        !carried && (!computed || speaks)
    }

    /// Leaves in order of the form.
    pub fn leaves(&self) -> impl Iterator<Item = NodeId> {
        (0..self.tree.len())
            .filter_map(|i| u32::try_from(i).ok().map(NodeId))
            .filter(|n| matches!(self.tree.kind(*n), NodeKind::Leaf(_)))
    }
}
