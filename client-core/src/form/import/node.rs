//! The form's tree while it is being built.

use super::diagnostic::Place;
use super::types::Control;
use crate::form::definition::{Group, Item, Question, Repeat};

/// One row of the survey, or a node that stands for one more of its columns.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) parent: usize,
    pub(super) children: Vec<usize>,
    /// Its row; for a node without row of its own that of the row it was made for.
    pub(super) row: u32,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    Root,
    Group(Box<Group>),
    Repeat(Box<Repeat>),
    Question {
        question: Box<Question>,
        /// The data type, as in an XForm.
        bind: String,
        control: Control,
        /// Called for after `calculate` or by a trigger, and never shown.
        hidden: bool,
    },
}

/// What an expression decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Relevant,
    Constraint,
    Required,
    ReadOnly,
    Calculation,
    /// A calculation that runs when another question changes.
    Triggered,
    Default,
    Count,
    ChoiceFilter,
    Seed,
    InstanceName,
    Entity,
}

/// An expression of the form and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) node: usize,
    pub(super) role: Role,
    pub(super) text: String,
    pub(super) place: Place,
    /// The choice list that a filter narrows.
    pub(super) list: Option<String>,
}

/// The nodes; 0 is the root.
#[derive(Debug)]
pub(super) struct Nodes(pub(super) Vec<Node>);

impl Nodes {
    pub(super) const ROOT: usize = 0;

    pub(super) fn new(root: &str) -> Self {
        let root = Node { name: root.to_owned(), parent: Self::ROOT, children: Vec::new(), row: 1, shape: Shape::Root };
        Self(vec![root])
    }

    /// Adds a node as the last child of its parent.
    pub(super) fn push(&mut self, node: Node) -> usize {
        let id = self.0.len();
        let parent = node.parent;
        self.0.push(node);
        self.0[parent].children.push(id);
        id
    }

    /// The nodes around one, innermost first, the root left out.
    pub(super) fn around(&self, node: usize) -> impl Iterator<Item = usize> {
        let parent = |id: usize| if id == Self::ROOT { None } else { Some(self.0[id].parent) };
        std::iter::successors(parent(node), move |id| parent(*id)).filter(|id| *id != Self::ROOT)
    }

    pub(super) fn is_repeat(&self, node: usize) -> bool {
        matches!(self.0[node].shape, Shape::Repeat(_))
    }

    /// The items below a node, taken out of it.
    pub(super) fn take_items(&mut self, node: usize) -> Vec<Item> {
        let children = self.0[node].children.clone();
        let mut items = Vec::with_capacity(children.len());
        for child in children {
            match std::mem::replace(&mut self.0[child].shape, Shape::Root) {
                Shape::Root => {}
                Shape::Question { question, .. } => items.push(Item::Question(question)),
                Shape::Group(mut group) => {
                    group.items = self.take_items(child);
                    items.push(Item::Group(*group));
                }
                Shape::Repeat(mut repeat) => {
                    repeat.items = self.take_items(child);
                    items.push(Item::Repeat(*repeat));
                }
            }
        }
        items
    }
}
