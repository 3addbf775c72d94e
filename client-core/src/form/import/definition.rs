//! From the nodes to the definition that is stored and sent.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::node::Nodes;
use super::rules::Languages;
use super::survey::Survey;
use crate::form::definition::{Extra, FormDef, Item, SubjectKind};
use crate::form::text::LocalText;
use crate::record::key;

/// Puts the definition together; `stem` is the id where the settings give none.
pub(super) fn assemble(survey: &mut Survey<'_>, stem: &str, languages: Languages) -> FormDef {
    let mut items = survey.nodes.take_items(Nodes::ROOT);
    assign_keys(&mut items, "", &mut HashSet::new());
    let id = survey.settings.id.clone().unwrap_or_else(|| if stem.is_empty() { "data" } else { stem }.to_owned());
    let title = survey.settings.title.clone().unwrap_or_else(|| id.clone());
    let mut titles = LocalText(std::mem::take(&mut survey.settings.titles).into());
    titles.0.insert(languages.default.clone(), title);
    let mut extra = Extra::new();
    if let Some(entities) = survey.entities.to_json() {
        extra.insert("entities".to_owned(), entities);
    }
    if !survey.files.is_empty() {
        extra.insert("files".to_owned(), Value::from(survey.files.keys().cloned().collect::<Vec<_>>()));
    }
    let lists = std::mem::take(&mut survey.lists.lists).into_iter().map(|(name, list)| (name, list.list));
    let external = std::mem::take(&mut survey.external.lists).into_iter();
    let external = external.map(|(name, list)| (format!("external_choices/{name}"), list.list));
    let choice_lists: BTreeMap<_, _> = lists.chain(external).filter(|(_, list)| !list.choices.is_empty()).collect();
    FormDef {
        record_type: survey.settings.record_type.clone().unwrap_or_else(|| id.clone()),
        subject: survey.settings.subject.clone().unwrap_or(SubjectKind::None),
        titles,
        name: id,
        version: 1,
        languages: languages.all,
        default_language: languages.default,
        items,
        choice_lists,
        attachments: BTreeMap::new(),
        list: std::mem::take(&mut survey.settings.list),
        settings: std::mem::take(&mut survey.settings.all),
        extra,
    }
}

/// Gives questions whose name another answer of the same repeat instance (or form) has, or that answer keys don't take, a
/// key of their own. The first of several keeps the name; the others get that of their group before it.
fn assign_keys(items: &mut [Item], path: &str, taken: &mut HashSet<String>) {
    for item in items {
        match item {
            Item::Question(question) => {
                let plain = ascii_name(&question.name);
                let mut key = plain.clone();
                if taken.contains(&key) && !path.is_empty() {
                    key = format!("{path}.{plain}");
                }
                let mut number = 2;
                while !taken.insert(key.clone()) {
                    key = format!("{plain}.{number}");
                    number += 1;
                }
                if key != question.name {
                    question.key = Some(key);
                }
            }
            Item::Group(group) => {
                let name = ascii_name(&group.name);
                let inner = if path.is_empty() { name } else { format!("{path}.{name}") };
                assign_keys(&mut group.items, &inner, taken);
            }
            Item::Repeat(repeat) => {
                taken.insert(repeat.name.clone());
                assign_keys(&mut repeat.items, "", &mut HashSet::new());
            }
        }
    }
}

/// A name with every letter that answer keys don't take written as `_u` and its number: `姓名` becomes `_u59d3_u540d`.
fn ascii_name(name: &str) -> String {
    if key::is_name(name) {
        return name.to_owned();
    }
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.push_str(&format!("_u{:x}", u32::from(c)));
        }
    }
    out
}
