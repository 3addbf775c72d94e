//! A form being filled: what any screen needs, without I/O.
//!
//! A [`Session`] holds the answers of one form instance over a shared [`Model`] and keeps relevance, calculations and repeat
//! counts up to date: an answer re-evaluates only what depends on it. Constraints, required, read-only, choices and texts
//! are evaluated when they are asked for. Places are [`Spot`]s (a node and the rows of the repeats around it); answer keys
//! ([`Session::key`], [`Session::spot`]) name the same places in records and journals, whatever was added or removed since.
//!
//! Blocks: `instance` holds the answers, `evaluate` keeps them up to date, `answer` and `repeats` change them, `pages`,
//! `choices` and `words` show them, `problems` judges them, `mapping` turns them into a record's answers and back.
//! `collect` does as ODK Collect where a phone of ours doesn't, for comparing forms.

mod answer;
mod ask;
mod choices;
mod collect;
mod evaluate;
mod instance;
mod mapping;
mod pages;
mod problems;
mod recheck;
mod repeats;
mod view;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::expression::{ExpressionError, NodeId, NodeKind, Rows, Spot, Value};
use super::model::{Model, Role};
use crate::clock::{Clock, Entropy};
use instance::Instance;

pub use answer::{Changes, Refusal};
pub use ask::Asked;
pub use choices::Offered;
pub use mapping::{Edits, Misfit};
pub use pages::{Entry, EntryKind, Page, PageId, Progress};
pub use problems::{Problem, ProblemKind};
pub use recheck::{Classes, Doubt, Found, ParseDoubtError, RecheckOptions, Rules, question_key, recheck, recomputed};

/// The most repeat instances of a form instance, all repeats together.
pub const INSTANCES_MAX: usize = 20_000;
/// The most leaves (questions in all repeat instances) of a form instance.
pub const LEAVES_MAX: usize = 400_000;
/// How many expressions one action may re-evaluate; what is left over then keeps its value, and a fault says so.
pub const REEVALUATIONS_MAX: usize = 1_000_000;
/// How far triggers may set off one another.
pub const TRIGGERS_MAX: usize = 10_000;
/// How many faults are kept.
pub const FAULTS_MAX: usize = 100;

/// What a session gets from outside. `Debug` is left out: it holds answers of the last record.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The zone: minutes east of UTC.
    pub offset_minutes: i32,
    /// The language of labels, as the form spells it.
    pub language: String,
    /// For `property()`, and for questions such as `deviceid` and `username`.
    pub properties: BTreeMap<String, String>,
    /// Answers of the record saved last, by path (`/data/village`), for `${last-saved#village}`.
    pub last_saved: BTreeMap<String, String>,
    /// What random orders of choices come from, the same whenever one form instance is opened; by chance otherwise.
    pub shuffle: Option<i64>,
}

impl Surroundings {
    /// Surroundings with nothing but clock, randomness and zone.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, offset_minutes: i32) -> Self {
        Self {
            clock,
            entropy,
            offset_minutes,
            language: String::new(),
            properties: BTreeMap::new(),
            last_saved: BTreeMap::new(),
            shuffle: None,
        }
    }
}

/// Something in the form's logic that went wrong with these answers; holds no answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// An expression gave no value; it counts as blank.
    Expression {
        /// Where, as `/data/member/age`.
        path: String,
        /// Which expression.
        role: Role,
        /// Why.
        error: ExpressionError,
    },
    /// An action would re-evaluate more than [`REEVALUATIONS_MAX`] expressions.
    TooMuchWork,
    /// A repeat can't have as many instances as asked for ([`INSTANCES_MAX`], [`LEAVES_MAX`]).
    TooManyInstances {
        /// The repeat.
        path: String,
    },
}

/// A form being filled.
pub struct Session {
    model: Arc<Model>,
    instance: Instance,
    around: Surroundings,
    version: String,
    now_ms: i64,
    blocks: usize,
    leaves: usize,
    faults: Vec<Fault>,
    /// Leaves whose value a person, default, trigger or draw of chance gave, since they were last asked for.
    touched: BTreeSet<(NodeId, Rows)>,
    /// Repeat instances added or removed likewise, as entries of a journal.
    moved: Vec<(String, crate::record::Value)>,
    /// What changed in the action under way.
    changed: BTreeSet<(NodeId, Rows)>,
    misfits: Vec<Misfit>,
    /// What random orders of choices come from.
    shuffle_seed: i64,
    /// Does as ODK Collect does (block `collect`).
    collect: bool,
    /// A counted repeat begins with one instance and keeps what it has, as in JavaRosa.
    keeps_instances: bool,
    /// In Collect: the place whose change is under way.
    focus: Option<Spot>,
    /// In Collect: what has been evaluated, while that is asked for.
    had_turn: Option<BTreeSet<u32>>,
    /// In Collect: what isn't to be evaluated now.
    left_out: BTreeSet<u32>,
}

impl Session {
    /// A new form instance: one instance of each repeat without count, defaults given, everything computed.
    pub fn new(model: Arc<Model>, around: Surroundings) -> Self {
        let mut session = Self::empty(model, around);
        session.begin();
        session
    }

    fn empty(model: Arc<Model>, mut around: Surroundings) -> Self {
        let def = model.form().def();
        if around.language.is_empty() {
            around.language.clone_from(&def.default_language);
        }
        let own_version = def.settings.get("version").and_then(|v| v.as_str()).map(str::to_owned);
        let version = own_version.unwrap_or_else(|| def.version.to_string());
        let instance = Instance::new(&model);
        let leaves = model.scope(0).leaves.len();
        let chance = || i64::from(u32::from_le_bytes(crate::clock::random(&*around.entropy)));
        let shuffle_seed = around.shuffle.unwrap_or_else(chance);
        let mut session = Self {
            instance,
            around,
            version,
            now_ms: 0,
            blocks: 1,
            leaves,
            faults: Vec::new(),
            touched: BTreeSet::new(),
            moved: Vec::new(),
            changed: BTreeSet::new(),
            misfits: Vec::new(),
            shuffle_seed,
            collect: false,
            keeps_instances: false,
            focus: None,
            had_turn: None,
            left_out: BTreeSet::new(),
            model,
        };
        session.tick();
        session
    }

    /// The clock stands still within an action.
    fn tick(&mut self) {
        self.now_ms = self.around.clock.now_ms().cast_signed();
        self.changed.clear();
    }

    /// The form.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The language of labels.
    pub fn language(&self) -> &str {
        &self.around.language
    }

    /// Shows labels in another language, as the form spells it; expressions that read labels are evaluated anew.
    pub fn set_language(&mut self, language: &str) {
        self.tick();
        language.clone_into(&mut self.around.language);
        self.evaluate_all(true);
    }

    /// What went wrong in the form's logic so far.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The value of a leaf as a text: as it was answered, relevant or not; blank when there is none.
    pub fn value(&self, spot: Spot) -> Arc<str> {
        let leaf = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice());
        leaf.map_or_else(|| "".into(), |leaf| self.text_of(&leaf.value))
    }

    fn text_of(&self, value: &Value) -> Arc<str> {
        if let Value::Bool(b) = value {
            // as XForms writes truth values
            return if *b { "1" } else { "0" }.into();
        }
        let view = view::View::new(self);
        value.to_answer(&view.env(&self.around.language))
    }

    /// True when a node applies, the nodes around it included. False where there is no such instance.
    pub fn is_relevant(&self, spot: Spot) -> bool {
        self.instance.mark(&self.model, spot.node, spot.rows.as_slice()).is_some_and(|m| m.effective)
    }

    /// True when an answer must be given here, as things stand.
    pub fn is_required(&self, spot: Spot) -> bool {
        let code = self.model.node(spot.node).required.as_ref();
        self.is_relevant(spot) && code.is_some_and(|code| self.test(spot, Role::Required, code, None) == Some(true))
    }

    /// True when the answer can't be changed by hand: read-only, computed, or a note.
    pub fn is_read_only(&self, spot: Spot) -> bool {
        let node = self.model.node(spot.node);
        let by_rule =
            node.read_only.as_ref().is_some_and(|code| self.test(spot, Role::ReadOnly, code, None) == Some(true));
        by_rule || self.model.is_calculated(spot.node)
    }

    /// How many instances a repeat has, within these rows of the repeats around it.
    pub fn count(&self, repeat: NodeId, rows: Rows) -> usize {
        self.instance.instances(&self.model, repeat, rows.as_slice()).map_or(0, |i| i.shown)
    }

    /// A place's path with indexes from 1, as `/data/member[2]/age`.
    pub fn path(&self, spot: Spot) -> String {
        let tree = self.model.tree();
        let mut rows = spot.rows.as_slice().iter();
        let mut path = String::new();
        for node in tree.chain(spot.node) {
            path.push('/');
            path.push_str(tree.name(node));
            if tree.kind(node) == NodeKind::Repeat
                && let Some(row) = rows.next()
            {
                path.push_str(&format!("[{}]", row + 1));
            }
        }
        path
    }

    /// The place of a path with indexes from 1; where an index is missing the first instance is meant.
    pub fn at_path(&self, path: &str) -> Option<Spot> {
        let tree = self.model.tree();
        let mut parts = path.strip_prefix('/')?.split('/');
        let named = |part: &str| -> Option<(String, Option<u32>)> {
            match part.split_once('[') {
                None => Some((part.to_owned(), None)),
                Some((name, index)) => {
                    let index: u32 = index.strip_suffix(']')?.parse().ok()?;
                    Some((name.to_owned(), Some(index.checked_sub(1)?)))
                }
            }
        };
        let (root, _) = named(parts.next()?)?;
        let mut spot = Spot { node: crate::form::expression::Tree::ROOT, rows: Rows::NONE };
        if root != tree.name(spot.node) {
            return None;
        }
        for part in parts {
            let (name, row) = named(part)?;
            spot.node = tree.child(spot.node, &name)?;
            if tree.kind(spot.node) == NodeKind::Repeat {
                spot.rows = spot.rows.with(row.unwrap_or(0));
            }
        }
        Some(spot)
    }

    /// All leaves there are, in order of the form, repeat instance by repeat instance.
    pub fn leaf_spots(&self) -> Vec<Spot> {
        let mut out = Vec::new();
        let root = Spot { node: crate::form::expression::Tree::ROOT, rows: Rows::NONE };
        self.walk(root, &mut |spot| out.push(spot));
        out
    }

    fn walk(&self, at: Spot, each: &mut impl FnMut(Spot)) {
        for child in self.model.tree().children(at.node) {
            let spot = Spot { node: *child, rows: at.rows };
            match self.model.tree().kind(*child) {
                NodeKind::Leaf(_) => each(spot),
                NodeKind::Group => self.walk(spot, each),
                NodeKind::Repeat => {
                    for row in 0..self.count(*child, at.rows) {
                        let row = u32::try_from(row).unwrap_or(u32::MAX);
                        self.walk(Spot { node: *child, rows: at.rows.with(row) }, each);
                    }
                }
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests;
