//! What is wrong with a form definition.

use std::collections::BTreeSet;

use super::definition::{ChoiceSource, FormDef, Item, QuestionKind};
use super::index::references;
use crate::record::key::is_name;

/// A fault of a form definition; names are the form's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The form asks nothing.
    #[error("the form has no questions")]
    Empty,
    /// A group or repeat holds nothing.
    #[error("{0} is empty")]
    EmptyBlock(String),
    /// A name is missing or holds a sign that answer keys don't take.
    #[error("{0:?} can't be a name: it takes Latin letters, digits, and _ . - after a first letter or _")]
    BadName(String),
    /// Two answers would stand under one key.
    #[error("{0} stands twice")]
    DuplicateName(String),
    /// The question names a choice list that isn't there.
    #[error("{question} uses the choice list {list}, which isn't there")]
    UnknownList {
        /// The question.
        question: String,
        /// The list.
        list: String,
    },
    /// A question with choices names none.
    #[error("{0} has no choices")]
    NoChoices(String),
    /// A list is empty.
    #[error("the choice list {0} is empty")]
    EmptyList(String),
    /// A choice stands twice in its list.
    #[error("the choice {choice} stands twice in {list}")]
    DuplicateChoice {
        /// The list.
        list: String,
        /// The choice.
        choice: String,
    },
    /// An expression refers to a name that isn't there.
    #[error("{question} refers to {name}, which isn't there")]
    UnknownReference {
        /// The question with the expression.
        question: String,
        /// The name.
        name: String,
    },
    /// The default language is none of the form's languages.
    #[error("the default language {0} is none of the form's languages")]
    UnknownLanguage(String),
}

impl FormDef {
    /// All faults found; empty when the form can be used.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.questions().is_empty() {
            problems.push(Problem::Empty);
        }
        if !self.languages.is_empty() && !self.languages.contains(&self.default_language) {
            problems.push(Problem::UnknownLanguage(self.default_language.clone()));
        }
        check_names(&self.items, &mut BTreeSet::new(), &mut problems);
        self.check_lists(&mut problems);
        self.check_questions(&mut problems);
        problems
    }

    fn check_lists(&self, problems: &mut Vec<Problem>) {
        for (list_name, list) in &self.choice_lists {
            if list.choices.is_empty() {
                problems.push(Problem::EmptyList(list_name.clone()));
            }
            let mut seen = BTreeSet::new();
            for choice in &list.choices {
                if !list.allow_duplicates && !seen.insert(&choice.name) {
                    problems.push(Problem::DuplicateChoice { list: list_name.clone(), choice: choice.name.clone() });
                }
            }
        }
    }

    fn check_questions(&self, problems: &mut Vec<Problem>) {
        let names = all_names(&self.items);
        for placed in self.questions() {
            let question = placed.question;
            match &question.choices {
                Some(ChoiceSource::List(list)) if !self.choice_lists.contains_key(list) => {
                    problems.push(Problem::UnknownList { question: question.name.clone(), list: list.clone() });
                }
                None if matches!(
                    question.kind,
                    QuestionKind::SelectOne | QuestionKind::SelectMultiple | QuestionKind::Rank
                ) =>
                {
                    problems.push(Problem::NoChoices(question.name.clone()));
                }
                _ => {}
            }
            let default = question.default.as_deref().filter(|_| question.dynamic_default);
            let expressions = [&question.relevant, &question.constraint, &question.calculation, &question.required];
            let expressions = expressions.into_iter().chain([&question.choice_filter, &question.read_only]);
            for name in expressions.filter_map(|e| e.as_deref()).chain(default).flat_map(references) {
                if !names.contains(name) && name != "instanceID" {
                    problems.push(Problem::UnknownReference { question: question.name.clone(), name: name.to_owned() });
                }
            }
        }
    }
}

fn all_names(items: &[Item]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for item in items {
        let (name, inner) = match item {
            Item::Question(question) => (&question.name, &[][..]),
            Item::Group(group) => (&group.name, &group.items[..]),
            Item::Repeat(repeat) => (&repeat.name, &repeat.items[..]),
        };
        names.insert(name.as_str());
        names.extend(all_names(inner));
    }
    names
}

/// Names of questions and repeats within one repeat (or the form) must differ; a repeat opens a scope of its own.
fn check_names<'a>(items: &'a [Item], scope: &mut BTreeSet<&'a str>, problems: &mut Vec<Problem>) {
    for item in items {
        let (key, inner) = match item {
            Item::Question(question) => (question.key(), None),
            Item::Group(group) => (group.name.as_str(), Some(&group.items)),
            Item::Repeat(repeat) => (repeat.name.as_str(), Some(&repeat.items)),
        };
        // groups are no part of answer keys: their names may be of any script and stand again in another group
        let is_group = matches!(item, Item::Group(_));
        if !is_group && !is_name(key) {
            problems.push(Problem::BadName(key.to_owned()));
        }
        if !is_group && !scope.insert(key) {
            problems.push(Problem::DuplicateName(key.to_owned()));
        }
        if inner.is_some_and(Vec::is_empty) {
            problems.push(Problem::EmptyBlock(key.to_owned()));
        }
        match item {
            Item::Question(_) => {}
            Item::Group(group) => check_names(&group.items, scope, problems),
            Item::Repeat(repeat) => check_names(&repeat.items, &mut BTreeSet::new(), problems),
        }
    }
}
