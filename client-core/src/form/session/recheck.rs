//! A merged record run once more through its form: computed answers that differ, and answers that break the form's rules.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::problems::ProblemKind;
use super::{Edits, Session, Surroundings};
use crate::form::check::bounds;
use crate::form::definition::Sensitivity;
use crate::form::expression::{NodeId, Resolved, Rows, Spot, Tree};
use crate::form::model::{Choices, Model, VertexKind};
use crate::record::Value;
use crate::record::key::{AnswerKey, Leaf};

/// Why an answer is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// It doesn't fit its question: kind, choices or range.
    Unfit,
    /// It breaks the form's condition.
    Constraint,
    /// It is computed, and the other answers give something else.
    Differs,
    /// It was answered although it doesn't apply.
    NotRelevant,
    /// It must be answered, isn't, and the form was finished.
    Missing,
    /// The form's day lies before the device's previous sync or after the receipt, by more than a day.
    Date,
}

impl Doubt {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unfit, Self::Constraint, Self::Differs, Self::NotRelevant, Self::Missing, Self::Date];

    /// A name for tables, addresses and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unfit => "unfit",
            Self::Constraint => "constraint",
            Self::Differs => "differs",
            Self::NotRelevant => "not_relevant",
            Self::Missing => "missing",
            Self::Date => "date",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no [`Doubt`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such kind of doubt")]
pub struct ParseDoubtError;

impl FromStr for Doubt {
    type Err = ParseDoubtError;

    fn from_str(name: &str) -> Result<Self, ParseDoubtError> {
        Self::ALL.into_iter().find(|d| d.as_str() == name).ok_or(ParseDoubtError)
    }
}

/// Some of the sensitivity classes; and, for what a rule reads, whether it reads something that only the phone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Classes(u8);

impl Classes {
    /// Every class there is.
    pub const ALL: Self = Self(0b111);
    /// What isn't in the record and its form: a list that wasn't published with it, the phone's own properties and language.
    /// Nobody holds it, so what reads it is left alone.
    const ELSEWHERE: Self = Self(0b1000);

    /// One class alone.
    pub fn one(class: Sensitivity) -> Self {
        Self(1 << class as u8)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when all of them are among `other`.
    pub fn are_in(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// True for a class among them.
    pub fn contain(self, class: Sensitivity) -> bool {
        Self::one(class).are_in(self)
    }

    /// True for more than one.
    pub fn are_several(self) -> bool {
        (self.0 & Self::ALL.0).count_ones() > 1
    }

    /// The highest of them; the lowest there is where there is none.
    pub fn highest(self) -> Sensitivity {
        match self.0 & Self::ALL.0 {
            0..=1 => Sensitivity::Core,
            2..=3 => Sensitivity::Sensitive,
            _ => Sensitivity::Office,
        }
    }
}

/// What the rules of a node read.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    /// For its value and whether it applies.
    value: Classes,
    /// The same, and for its constraint, choices and whether it is required.
    rule: Classes,
}

/// A form version ready to check merged records: its model, and which sensitivity classes each of its rules reads.
#[derive(Debug)]
pub struct Rules {
    model: Arc<Model>,
    reads: Vec<Reads>,
    has_logic: bool,
    asks: bool,
    are_mixed: bool,
    classes: Classes,
    /// By node: a rule reads it, or judges it.
    ruled: Vec<bool>,
}

impl Rules {
    /// Looks through a model's rules.
    pub fn of(model: Arc<Model>) -> Self {
        let values = values_read(&model);
        let of = |node: NodeId| values.get(node.0 as usize).copied().unwrap_or_default();
        let reads = (0u32..).map(NodeId).take(model.tree().len()).map(|node| {
            let codes = rules_of(&model, node);
            let inputs = codes.iter().flat_map(|code| code.dependencies().iter().map(|d| of(d.node)));
            let rule = codes.iter().map(|code| read_elsewhere(&model, code)).chain(inputs).fold(of(node), Classes::and);
            Reads { value: of(node), rule }
        });
        let reads: Vec<Reads> = reads.collect();
        let has_logic = has_logic(&model);
        let asks = model.leaves().any(|node| model.node(node).required.is_some());
        let are_mixed = reads.iter().any(|r| r.rule.are_several());
        let of_leaf = |node| class_of(&model, node).map(Classes::one);
        let classes = model.leaves().filter_map(of_leaf).fold(Classes::default(), Classes::and);
        let ruled = ruled(&model);
        Self { reads, has_logic, asks, are_mixed, classes, ruled, model }
    }

    /// The form.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// True when the rules say more about a record than the check of each answer by itself; for a finished form, also that an
    /// answer must be there.
    pub fn say_more(&self, complete: bool) -> bool {
        self.has_logic || complete && self.asks
    }

    /// True when a rule reads answers of several classes: it needs all documents of the form instance.
    pub fn are_mixed(&self) -> bool {
        self.are_mixed
    }

    /// True for the key of an answer that no rule reads or judges: changing it changes nothing about the others.
    pub fn leave_free(&self, key: &str) -> bool {
        let Some(AnswerKey { instances, leaf: Leaf::Question(question) | Leaf::Tick { question, .. } }) =
            AnswerKey::parse(key)
        else {
            return false;
        };
        let around: String = instances.iter().map(|(repeat, _)| format!("{repeat}/")).collect();
        let node = self.model.keyed(&format!("{around}{question}"));
        node.is_some_and(|node| self.ruled.get(node.0 as usize) == Some(&false))
    }

    /// The classes of the form's questions.
    pub fn classes(&self) -> Classes {
        self.classes
    }

    fn reads(&self, node: NodeId) -> Reads {
        self.reads.get(node.0 as usize).copied().unwrap_or_default()
    }
}

/// True when a form's logic says more about its answers than the check of each by itself: bounds are looked at there.
fn has_logic(model: &Model) -> bool {
    let unbounded = |node: NodeId| model.question(node).is_some_and(|q| bounds(q) == (None, None));
    let judged = |node: NodeId| {
        let filtered = matches!(&model.node(node).choices, Choices::Items(_, Some(_)) | Choices::Answers(_));
        filtered || model.node(node).constraint.is_some() && unbounded(node)
    };
    !model.vertices().is_empty() || model.leaves().any(judged)
}

/// By node: whether a rule reads it, or judges it.
fn ruled(model: &Model) -> Vec<bool> {
    let tree = model.tree();
    let mut ruled = vec![false; tree.len()];
    let mut read = |code: &Resolved| {
        for node in code.dependencies() {
            ruled[node.node.0 as usize] = true;
        }
    };
    model.vertices().iter().for_each(|vertex| read(&vertex.code));
    model.leaves().flat_map(|node| rules_of(model, node)).for_each(read);
    for node in model.leaves() {
        let within = tree.chain(node).into_iter().any(|around| !model.standing(around).is_empty());
        ruled[node.0 as usize] |= within || !rules_of(model, node).is_empty();
    }
    ruled
}

/// A node's constraint, choices and whether it is required.
fn rules_of(model: &Model, node: NodeId) -> Vec<&Resolved> {
    let logic = model.node(node);
    let choices = match &logic.choices {
        Choices::Items(_, Some(filter)) => Some(&filter.resolved),
        Choices::Answers(code) => Some(&**code),
        _ => None,
    };
    [logic.constraint.as_ref(), logic.required.as_ref(), choices].into_iter().flatten().collect()
}

/// Whether an expression reads what only the phone has.
fn read_elsewhere(model: &Model, code: &Resolved) -> Classes {
    let lists_are_here = code.tables().iter().all(|table| model.table(*table).is_some());
    if code.purity().device || !lists_are_here { Classes::ELSEWHERE } else { Classes::default() }
}

/// For each node, the classes of all answers that its value and relevance are made of, its own included.
fn values_read(model: &Model) -> Vec<Classes> {
    let tree = model.tree();
    let nodes = || (0u32..).map(NodeId).take(tree.len());
    let mut own: Vec<Classes> = nodes().map(|n| class_of(model, n).map(Classes::one).unwrap_or_default()).collect();
    // what the relevance and counts of a node read holds for all within it
    let mut within = vec![Classes::default(); tree.len()];
    let reads = |own: &[Classes], within: &[Classes], node: NodeId| {
        let around = tree.chain(node).into_iter().map(|n| within[n.0 as usize]);
        around.fold(own[node.0 as usize], Classes::and)
    };
    loop {
        let before = (own.clone(), within.clone());
        for vertex in model.vertices() {
            let inputs = vertex.code.dependencies().iter().map(|d| reads(&own, &within, d.node));
            let inputs = inputs.fold(read_elsewhere(model, &vertex.code), Classes::and);
            let list = if vertex.kind == VertexKind::Value { &mut own } else { &mut within };
            list[vertex.node.0 as usize] = list[vertex.node.0 as usize].and(inputs);
        }
        if before == (own.clone(), within.clone()) {
            return nodes().map(|node| reads(&own, &within, node)).collect();
        }
    }
}

fn class_of(model: &Model, node: NodeId) -> Option<Sensitivity> {
    let tree = model.tree();
    let question = model.question(node)?;
    let around: String = tree.repeats(node).iter().map(|r| format!("{}#x/", tree.name(*r))).collect();
    model.form().class_of(&format!("{around}{}", question.key()))
}

/// A doubtful answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The question's key, with the repeat instances around it.
    pub key: String,
    /// Why.
    pub doubt: Doubt,
    /// The highest class among what the rule read: only who may read this class learns of it.
    pub class: Sensitivity,
    /// What a computed answer should be.
    pub expected: Option<Value>,
}

/// What a recheck looks at.
#[derive(Debug, Clone, Copy)]
pub struct RecheckOptions {
    /// The classes whose answers are there. What reads answers of another class is left alone.
    pub held: Classes,
    /// The form was finished: what must be answered and isn't is doubtful too.
    pub complete: bool,
}

impl Default for RecheckOptions {
    /// All classes, and what is missing isn't doubtful.
    fn default() -> Self {
        Self { held: Classes::ALL, complete: false }
    }
}

/// Runs calculations, relevance and constraints on a record's answers, with the clock and zone of `around` (the record's own).
/// What depends on clock or chance isn't compared. Of answers that don't apply, the first one of a section counts for all of it.
pub fn recheck(rules: &Rules, answers: &Edits, around: Surroundings, options: &RecheckOptions) -> Vec<Found> {
    let session = Session::open(Arc::clone(&rules.model), around, answers);
    let mut left_out = BTreeSet::new();
    let mut found = Vec::new();
    for spot in session.leaf_spots() {
        let reads = rules.reads(spot.node);
        let doubts = [
            (reads.value, session.doubtful_value(spot, answers, &mut left_out)),
            (reads.rule, session.broken_rule(spot, options.complete).map(|doubt| (doubt, None))),
        ];
        for (classes, doubt) in doubts {
            let Some((doubt, expected)) = doubt.filter(|_| classes.are_in(options.held)) else { continue };
            let class = classes.highest();
            found.extend(session.key(spot).map(|key| Found { key, doubt, class, expected }));
        }
    }
    found
}

/// Computed answers that a record's other answers give and that it doesn't hold, for a record changed elsewhere than in its own
/// form. What depends on clock or chance stays as it is, and so does what reads answers of a class beyond `held`.
pub fn recomputed(model: &Arc<Model>, answers: &Edits, around: Surroundings, held: &BTreeSet<Sensitivity>) -> Edits {
    let session = Session::open(Arc::clone(model), around, answers);
    let mut edits = Edits::new();
    for spot in session.leaf_spots() {
        let pure = session.model.calculation(spot.node).is_some_and(|v| v.code.purity().is_pure());
        if !pure || !session.has_inputs(spot.node, held) {
            continue;
        }
        let now = if session.is_relevant(spot) { session.answer_at(spot) } else { Value::Blank };
        if let Some(key) = session.key(spot)
            && *answers.get(&key).unwrap_or(&Value::Blank) != now
        {
            edits.insert(key, now);
        }
    }
    edits
}

impl Session {
    /// What is wrong with a value beside others: it is computed and they give another one, or it doesn't apply.
    fn doubtful_value(
        &self,
        spot: Spot,
        answers: &Edits,
        left_out: &mut BTreeSet<(NodeId, Rows)>,
    ) -> Option<(Doubt, Option<Value>)> {
        match self.model.calculation(spot.node).map(|v| v.code.purity().is_pure()) {
            Some(true) => {
                let before = answers.get(&self.key(spot)?).filter(|v| **v != Value::Blank)?;
                let now = self.is_relevant(spot).then(|| self.answer_at(spot))?;
                (now != *before).then_some((Doubt::Differs, Some(now)))
            }
            // what the clock or chance gave stays as it was
            Some(false) => None,
            None => {
                let section = self.left_out(spot)?;
                let answered = self.model.is_shown(spot.node) && !self.is_blank(spot);
                (answered && left_out.insert((section.node, section.rows))).then_some((Doubt::NotRelevant, None))
            }
        }
    }

    /// The rule of its own that an answer breaks. Whether it fits its question by itself is looked at elsewhere, but for choices
    /// that depend on other answers.
    fn broken_rule(&self, spot: Spot, complete: bool) -> Option<Doubt> {
        let is_blank = self.is_blank(spot);
        if is_blank && !complete || !self.is_relevant(spot) {
            return None;
        }
        let node = self.model.node(spot.node);
        let chosen = matches!(&node.choices, Choices::Items(_, Some(_)) | Choices::Answers(_));
        let is_judged = if is_blank { node.required.is_some() } else { chosen || node.constraint.is_some() };
        is_judged.then(|| self.problem(spot)).flatten().and_then(|kind| match kind {
            ProblemKind::Required(_) => Some(Doubt::Missing),
            ProblemKind::Constraint(_) => Some(Doubt::Constraint),
            ProblemKind::Answer(_) => chosen.then_some(Doubt::Unfit),
        })
    }

    fn is_blank(&self, spot: Spot) -> bool {
        let leaf = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice());
        leaf.is_none_or(|leaf| leaf.value.is_blank())
    }

    /// A question's answer as a record keeps it.
    fn answer_at(&self, spot: Spot) -> Value {
        let mut answer = Edits::new();
        self.add_answer(spot, true, &mut answer);
        answer.into_values().next().unwrap_or(Value::Blank)
    }

    /// The outermost place around (or at) a spot that doesn't apply; `None` when the spot applies.
    fn left_out(&self, spot: Spot) -> Option<Spot> {
        if self.is_relevant(spot) {
            return None;
        }
        let tree: &Tree = self.model.tree();
        let around = tree.chain(spot.node).into_iter();
        around.map(|node| Spot { node, rows: spot.rows.first(tree.depth(node)) }).find(|at| !self.is_relevant(*at))
    }
}

/// The key of an answer's question: the ticks of a multiple choice are one answer, and what was ticked isn't told.
pub fn question_key(key: &str) -> String {
    let Some(parsed) = AnswerKey::parse(key) else { return String::new() };
    match parsed.leaf {
        Leaf::Tick { question, .. } => AnswerKey { leaf: Leaf::Question(question), ..parsed }.to_string(),
        _ => key.to_owned(),
    }
}
