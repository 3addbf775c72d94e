//! The choices that a question offers now.

use std::sync::Arc;

use super::Session;
use super::view::View;
use crate::form::definition::ChoiceSource;
use crate::form::expression::shuffle::{ParkMiller, seed_of, shuffled};
use crate::form::expression::{Data, NodeId, Spot, Table, Value};
use crate::form::model::{Choices, Model};

/// A choice on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The name, which is the answer.
    pub name: Arc<str>,
    /// The label in the session's language.
    pub label: Arc<str>,
    /// Its place in the choice list; `None` for choices from earlier answers.
    pub item: Option<u32>,
}

/// The columns of a question's table that give names and labels.
pub(super) struct Columns<'a> {
    pub table: &'a Table,
    pub name: usize,
    label: Option<usize>,
}

impl<'a> Columns<'a> {
    pub fn of(model: &Model, question: NodeId, table: &'a Table, language: &str) -> Self {
        let question = model.question(question);
        let parameter = |name: &str, usual: &'static str| -> String {
            question.and_then(|q| q.parameters.get(name)).map_or_else(|| usual.to_owned(), Clone::clone)
        };
        let from_file = question.is_some_and(|q| matches!(q.choices, Some(ChoiceSource::File(_))));
        let (value, label) = match from_file {
            true => (parameter("value", "name"), parameter("label", "label")),
            false => ("name".to_owned(), "label".to_owned()),
        };
        Self {
            table,
            name: table.column(&value, language).unwrap_or(usize::MAX),
            label: table.column(&label, language),
        }
    }

    pub fn label(&self, item: u32) -> Arc<str> {
        let label = self.label.map(|column| self.table.cell(item, column)).filter(|label| !label.is_empty());
        label.unwrap_or_else(|| self.table.cell(item, self.name))
    }
}

impl Session {
    /// The choices that a question offers now, filtered, in order, with labels. Empty for questions without choices, and
    /// where the filter can't be evaluated.
    pub fn choices(&self, spot: Spot) -> Vec<Offered> {
        let view = View::new(self);
        let context = view.context(spot, None);
        let mut offered = match &self.model.node(spot.node).choices {
            Choices::None | Choices::Missing => Vec::new(),
            Choices::Answers(code) => {
                let nodes = code.nodes(&context).unwrap_or_default();
                let answer = |spot: Spot| {
                    let text = view.value(spot.node, spot.rows.as_slice()).to_answer(&context.env);
                    Offered { name: Arc::clone(&text), label: text, item: None }
                };
                let named = |o: &Offered| self.collect || !o.name.is_empty();
                nodes.into_iter().map(answer).filter(named).collect()
            }
            Choices::Items(table, filter) => {
                let Some(table) = self.model.table(*table) else { return Vec::new() };
                let columns = Columns::of(&self.model, spot.node, table, &self.around.language);
                let items = match filter {
                    Some(filter) => filter.items(&context).unwrap_or_default(),
                    None => (0..u32::try_from(table.len()).unwrap_or(u32::MAX)).collect(),
                };
                let offer = |item| {
                    let label = self.interpolated(spot, &columns.label(item));
                    Offered { name: table.cell(item, columns.name), label, item: Some(item) }
                };
                items.into_iter().map(offer).collect()
            }
        };
        self.shuffle(spot, &mut offered);
        offered
    }

    /// Choices that are given by what is shown, several with commas, as the answer of the question; `None` where they are given
    /// by name already, or one isn't offered.
    pub fn by_label(&self, spot: Spot, text: &str) -> Option<String> {
        let offered = self.choices(spot);
        if text.is_empty() || text.split_whitespace().all(|name| offered.iter().any(|choice| &*choice.name == name)) {
            return None;
        }
        let named =
            |label: &str| offered.iter().find(|choice| &*choice.label == label).map(|choice| choice.name.to_string());
        let names: Option<Vec<String>> = text.split([',', '、']).map(|label| named(label.trim())).collect();
        names.map(|names| names.join(" "))
    }

    /// True when the choices depend on answers or columns: a filter, or earlier answers.
    pub fn has_filtered_choices(&self, node: NodeId) -> bool {
        matches!(&self.model.node(node).choices, Choices::Items(_, Some(_)) | Choices::Answers(_))
    }

    /// The label of a choice, offered now or not; the name when it is unknown.
    pub fn choice_label(&self, spot: Spot, name: &str) -> Arc<str> {
        let Choices::Items(table, _) = &self.model.node(spot.node).choices else { return name.into() };
        let Some(table) = self.model.table(*table) else { return name.into() };
        let columns = Columns::of(&self.model, spot.node, table, &self.around.language);
        let found = columns.table.find(columns.name, name).first();
        found.map_or_else(|| name.into(), |item| self.interpolated(spot, &columns.label(*item)))
    }

    pub(super) fn offers(&self, spot: Spot, name: &str) -> bool {
        match &self.model.node(spot.node).choices {
            Choices::None => false,
            // a list that isn't on this phone can't be judged
            Choices::Missing => true,
            Choices::Items(table, filter) => {
                let Some(table) = self.model.table(*table) else { return true };
                let columns = Columns::of(&self.model, spot.node, table, &self.around.language);
                let named = table.find(columns.name, name);
                let Some(filter) = filter else { return !named.is_empty() };
                let view = View::new(self);
                let items = filter.items(&view.context(spot, None)).unwrap_or_default();
                named.iter().any(|item| items.binary_search(item).is_ok())
            }
            Choices::Answers(_) => self.choices(spot).iter().any(|c| &*c.name == name),
        }
    }

    /// `randomize=true`: an order of chance, the same each time for one form instance, or that of the seed.
    fn shuffle(&self, spot: Spot, offered: &mut Vec<Offered>) {
        let Some(question) = self.model.question(spot.node) else { return };
        if question.parameters.get("randomize").is_none_or(|r| r != "true") {
            return;
        }
        let text = question.parameters.get("seed").map(|seed| self.interpolated(spot, seed));
        let seed = text.map_or(self.shuffle_seed, |text| seed_of(&Value::Text(text), self.around.offset_minutes));
        let mut generator = ParkMiller::new(seed);
        *offered = shuffled(offered, || generator.draw());
    }
}
