//! A form definition with an index over its answer keys.

mod classes;

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::attachment;
use super::definition::{ChoiceSource, FormDef, Item, PlacedQuestion, Question, Sensitivity};
use super::expression::Table;
use super::model::Files;
use crate::id::RecordId;
use crate::record::Value;
use crate::record::key::{AnswerKey, Leaf};

/// The reserved question under which a record says, by ticks, which sections were taken over from the last round as they were.
pub const NO_CHANGE: &str = "_no_change";

/// The reserved question under which a record says, by ticks, which records it is about, where there are several.
pub const SUBJECTS: &str = "_subjects";

/// The reserved question under which a household says, by ticks, which events were applied to it ([`crate::life`]).
pub const EVENTS: &str = "_events";

/// True for the names of reserved questions.
pub(super) fn is_reserved_name(question: &str) -> bool {
    matches!(question, NO_CHANGE | SUBJECTS | EVENTS)
}

/// True for keys of answers that no question asks for: [`NO_CHANGE`], [`SUBJECTS`] and [`EVENTS`].
pub fn is_reserved(key: &str) -> bool {
    let question = key.split_once('=').map_or(key, |(question, _)| question);
    is_reserved_name(question)
}

/// The records that a record names under [`SUBJECTS`].
pub fn subjects(answers: &BTreeMap<String, Value>) -> Vec<RecordId> {
    let ticked = answers.iter().filter(|(_, value)| **value == Value::Bool(true));
    let named = ticked.filter_map(|(key, _)| key.split_once('=').filter(|(question, _)| *question == SUBJECTS));
    named.filter_map(|(_, id)| id.parse().ok()).collect()
}

/// A form ready for use: its definition, which can't change any more, and an index over it.
#[derive(Debug, Clone)]
pub struct Form {
    def: FormDef,
    questions: HashMap<String, Indexed>,
    repeats: HashMap<String, Sensitivity>,
    attached: OnceLock<Files>,
}

#[derive(Debug, Clone)]
struct Indexed {
    question: Question,
    class: Sensitivity,
}

impl Deref for Form {
    type Target = FormDef;
    fn deref(&self) -> &FormDef {
        &self.def
    }
}

impl Form {
    /// Indexes a definition. Where two questions share a key the first counts; [`FormDef::validate`] reports it.
    pub fn new(def: FormDef) -> Self {
        let mut questions = HashMap::new();
        for placed in def.questions() {
            let key = scoped(placed.repeats.iter().copied(), placed.question.key());
            let class = placed.class;
            questions.entry(key).or_insert_with(|| Indexed { question: placed.question.clone(), class });
        }
        let mut repeats = HashMap::new();
        index_repeats(&def.items, "", Sensitivity::Core, &mut repeats);
        classes::raise_calculations(&def, &mut questions, &repeats);
        Self { def, questions, repeats, attached: OnceLock::new() }
    }

    /// The definition.
    pub fn def(&self) -> &FormDef {
        &self.def
    }

    /// The lists attached to the form, as tables, by file name; read when they are first asked for.
    pub fn attached(&self) -> &Files {
        self.attached.get_or_init(|| attachment::tables(&self.def))
    }

    /// The attached list that a question takes its choices from, with the column of their names.
    pub(super) fn attached_choices(&self, question: &Question) -> Option<(&Arc<Table>, usize)> {
        let Some(ChoiceSource::File(name)) = &question.choices else { return None };
        let table = self.attached().get(name)?;
        let column = question.parameters.get("value").map_or("name", String::as_str);
        Some((table, table.column(column, "")?))
    }

    /// The label of a choice from an attached list, in a language where the list has it.
    pub fn attached_label(&self, question: &Question, choice: &str, language: &str) -> Option<Arc<str>> {
        let (table, names) = self.attached_choices(question)?;
        let label = question.parameters.get("label").map_or("label", String::as_str);
        let item = *table.find(names, choice).first()?;
        Some(table.cell(item, table.column(label, language)?)).filter(|label| !label.is_empty())
    }

    /// The names of a question's choices, where the form holds them.
    pub fn choice_names(&self, question: &Question) -> Option<Vec<Arc<str>>> {
        if let Some((table, column)) = self.attached_choices(question) {
            return Some((0..u32::try_from(table.len()).unwrap_or(0)).map(|item| table.cell(item, column)).collect());
        }
        let list = self.choices_of(question)?;
        Some(list.choices.iter().map(|c| c.name.as_str().into()).collect())
    }

    /// The question that a compound key belongs to.
    pub fn question_of(&self, key: &str) -> Option<&Question> {
        self.indexed(&AnswerKey::parse(key)?).map(|i| &i.question)
    }

    /// The sensitivity class of the document that holds the answer under a compound key; `None` when the form has no such
    /// answer. Order and removal of a repeat instance have the repeat's own class; a calculation has the highest class of
    /// its inputs unless declared public.
    pub fn class_of(&self, key: &str) -> Option<Sensitivity> {
        let key = AnswerKey::parse(key)?;
        match key.leaf {
            Leaf::Order | Leaf::Deleted => self.repeat_class(&key),
            Leaf::Tick { question, .. } if key.instances.is_empty() && is_reserved_name(question) => {
                Some(Sensitivity::Core)
            }
            _ => self.indexed(&key).map(|i| i.class),
        }
    }

    /// The class of the document that holds a question's answers.
    pub(super) fn class_of_placed(&self, placed: &PlacedQuestion<'_>) -> Sensitivity {
        let key = scoped(placed.repeats.iter().copied(), placed.question.key());
        self.questions.get(&key).map_or(placed.class, |indexed| indexed.class)
    }

    pub(super) fn question_at(&self, key: &AnswerKey<'_>) -> Option<&Question> {
        self.indexed(key).map(|i| &i.question)
    }

    pub(super) fn repeat_class(&self, key: &AnswerKey<'_>) -> Option<Sensitivity> {
        let names: Vec<&str> = key.instances.iter().map(|(repeat, _)| *repeat).collect();
        self.repeats.get(&names.join("/")).copied()
    }

    fn indexed(&self, key: &AnswerKey<'_>) -> Option<&Indexed> {
        let question = match key.leaf {
            Leaf::Question(question) | Leaf::Tick { question, .. } => question,
            Leaf::Order | Leaf::Deleted => return None,
        };
        if key.instances.is_empty() {
            return self.questions.get(question);
        }
        self.questions.get(&scoped(key.instances.iter().map(|(repeat, _)| *repeat), question))
    }
}

fn scoped<'a>(repeats: impl Iterator<Item = &'a str>, question: &str) -> String {
    let mut key = String::new();
    for repeat in repeats {
        key.push_str(repeat);
        key.push('/');
    }
    key.push_str(question);
    key
}

fn index_repeats(items: &[Item], prefix: &str, class: Sensitivity, out: &mut HashMap<String, Sensitivity>) {
    for item in items {
        match item {
            Item::Question(_) => {}
            Item::Group(group) => index_repeats(&group.items, prefix, class.max(group.class), out),
            Item::Repeat(repeat) => {
                let path = if prefix.is_empty() { repeat.name.clone() } else { format!("{prefix}/{}", repeat.name) };
                let class = class.max(repeat.class);
                out.insert(path.clone(), class);
                index_repeats(&repeat.items, &path, class, out);
            }
        }
    }
}

/// The names in `${name}` references of an expression.
pub(super) fn references(expression: &str) -> impl Iterator<Item = &str> {
    expression.split("${").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let name = name.trim();
        Some(name.strip_prefix("last-saved#").unwrap_or(name))
    })
}
