//! What expressions read of a session.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::instance::Instance;
use super::{Session, Surroundings};
use crate::form::expression::{Context, Data, Env, NodeId, Rows, Spot, Table, TableId, Value, Warning};
use crate::form::model::{Choices, Model};

/// How deep `jr:choice-name` may ask for choices whose filters ask for choices.
const NESTED_MAX: u32 = 8;

/// The answers with everything around them, for the time of an evaluation.
pub(super) struct View<'a> {
    pub model: &'a Model,
    pub instance: &'a Instance,
    pub around: &'a Surroundings,
    pub version: &'a str,
    /// The clock stands still during one action.
    pub now_ms: i64,
    nested: Cell<u32>,
    pub warnings: RefCell<Vec<Warning>>,
    /// Questions whose choices were gone through.
    pub looked_at: RefCell<Vec<Spot>>,
}

impl<'a> View<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self {
            model: &session.model,
            instance: &session.instance,
            around: &session.around,
            version: &session.version,
            now_ms: session.now_ms,
            nested: Cell::new(0),
            warnings: RefCell::new(Vec::new()),
            looked_at: RefCell::new(Vec::new()),
        }
    }

    pub fn env<'v>(&'v self, language: &'v str) -> Env<'v> {
        Env {
            now_ms: self.now_ms,
            offset_minutes: self.around.offset_minutes,
            language,
            version: self.version,
            entropy: &*self.around.entropy,
        }
    }

    pub fn context(&'a self, at: Spot, candidate: Option<&'a Value>) -> Context<'a> {
        self.context_in(at, candidate, &self.around.language)
    }

    pub fn context_in(&'a self, at: Spot, candidate: Option<&'a Value>, language: &'a str) -> Context<'a> {
        Context { tree: self.model.tree(), data: self, env: self.env(language), at, candidate }
    }
}

impl Data for View<'_> {
    fn value(&self, node: NodeId, rows: &[u32]) -> Value {
        match self.instance.leaf(self.model, node, rows) {
            Some(leaf) if leaf.mark.effective => leaf.value.clone(),
            _ => Value::blank(),
        }
    }

    fn count(&self, repeat: NodeId, rows: &[u32]) -> u32 {
        let shown = self.instance.instances(self.model, repeat, rows).map_or(0, |i| i.shown);
        u32::try_from(shown).unwrap_or(u32::MAX)
    }

    fn is_relevant(&self, node: NodeId, rows: &[u32]) -> bool {
        self.instance.mark(self.model, node, rows).is_some_and(|m| m.effective)
    }

    fn table(&self, table: TableId) -> Option<&Table> {
        self.model.table(table)
    }

    fn choice_label(&self, question: NodeId, rows: &[u32], choice: &str, language: &str) -> Option<Arc<str>> {
        let (table, filter) = match &self.model.node(question).choices {
            Choices::Items(table, filter) => (*table, filter.as_deref()),
            Choices::Answers(_) => return Some(choice.into()),
            Choices::None | Choices::Missing => return None,
        };
        let columns = super::choices::Columns::of(self.model, question, self.model.table(table)?, language);
        let named = columns.table.find(columns.name, choice);
        let item = match filter {
            None => *named.first()?,
            Some(filter) => {
                if self.nested.get() >= NESTED_MAX {
                    return None;
                }
                self.nested.set(self.nested.get() + 1);
                let spot = Spot { node: question, rows: Rows::new(rows) };
                let offered = filter.items(&self.context_in(spot, None, language));
                self.nested.set(self.nested.get() - 1);
                let offered = offered.ok()?;
                named.iter().copied().find(|item| offered.binary_search(item).is_ok())?
            }
        };
        Some(columns.label(item))
    }

    fn choices_looked_at(&self, question: Spot) {
        self.looked_at.borrow_mut().push(question);
    }

    fn last_saved(&self, node: NodeId) -> Value {
        self.around.last_saved.get(&self.model.tree().path(node)).map_or_else(Value::blank, |text| {
            match self.model.tree().kind(node) {
                crate::form::expression::NodeKind::Leaf(kind) => Value::typed(text, kind, self.around.offset_minutes),
                _ => Value::blank(),
            }
        })
    }

    fn property(&self, name: &str) -> Value {
        self.around.properties.get(name).map_or_else(Value::blank, |text| Value::text(text.as_str()))
    }

    fn warn(&self, warning: Warning) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < super::FAULTS_MAX && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}
