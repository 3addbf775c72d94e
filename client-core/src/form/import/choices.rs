//! The sheets `choices` and `external_choices`: lists of choices, with their labels, media and columns for filters.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::limits;
use super::reference::is_name;
use super::settings::Settings;
use super::table::Table;
use super::workbook::{SheetKind, Workbook};
use crate::form::definition::{Choice, ChoiceList, Extra};
use crate::form::text::LocalText;

/// All lists by name.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) lists: HashMap<String, List>,
    /// True when the workbook has the sheet with at least one list.
    pub(super) any: bool,
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) list: ChoiceList,
    /// Where each choice stands; added ones have no row.
    pub(super) rows: Vec<u32>,
    pub(super) used: bool,
}

impl Lists {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&List> {
        self.lists.get(name)
    }

    /// Adds `other` to a list, once, in each language that the list has.
    pub(super) fn add_other(&mut self, name: &str, unnamed: &str) {
        let Some(list) = self.lists.get_mut(name) else { return };
        if list.list.choices.iter().any(|c| c.name == "other") {
            return;
        }
        let languages: HashSet<&String> = list.list.choices.iter().flat_map(|c| c.labels.0.keys()).collect();
        let mut labels: BTreeMap<String, String> =
            languages.into_iter().map(|l| (l.clone(), other_label(l).to_owned())).collect();
        if labels.is_empty() {
            labels.insert(unnamed.to_owned(), other_label(unnamed).to_owned());
        }
        let labels = LocalText(labels.into());
        list.list.choices.push(Choice {
            name: "other".to_owned(),
            labels,
            media: BTreeMap::new(),
            extra: Extra::new(),
        });
    }
}

/// True for a language that is Chinese by its name or code.
pub(super) fn is_chinese(language: &str) -> bool {
    let lower = language.to_lowercase();
    lower == "zh"
        || lower.contains("(zh")
        || lower.starts_with("zh-")
        || lower.contains("chinese")
        || lower.contains("中文")
}

fn other_label(language: &str) -> &'static str {
    if is_chinese(language) { "其他" } else { "Other" }
}

/// What a column of the sheet holds.
enum Role {
    List,
    Name,
    Label(String),
    Media(String, String),
    Data(String),
    Nothing,
}

/// Reads the lists of a sheet.
pub(super) fn read(workbook: &Workbook, kind: SheetKind, settings: &Settings, problems: &mut Problems) -> Lists {
    let mut lists = Lists::default();
    let Some(sheet) = workbook.sheet(kind).filter(|s| !s.rows.is_empty()) else { return lists };
    let table = Table::new(sheet, kind, problems);
    if !table.has(&["name"]) && kind == SheetKind::Choices {
        let place = Place::sheet(&sheet.name).row(1);
        problems.add(Diagnostic::new(Code::MissingColumn, place).with("name", "name").with("sheet", &sheet.name));
        return lists;
    }
    if sheet.rows.len() > limits::CHOICES {
        problems.add(Diagnostic::new(Code::TooMuch, Place::sheet(&sheet.name)));
        return lists;
    }
    let roles = roles(&table, settings.unnamed(), kind, problems);
    let mut nameless = HashSet::new();
    for row in &sheet.rows {
        let (list, choice) = choice(row, &roles);
        let place = || Place::sheet(&sheet.name).row(row.number);
        let Some(list) = list else {
            if row.cells.iter().any(|c| matches!(role(&roles, c.column), Role::Name)) {
                problems.add(Diagnostic::new(Code::ChoiceWithoutList, place()));
            }
            continue;
        };
        lists.any = true;
        let entry = lists.lists.entry(list.to_owned()).or_default();
        entry.list.allow_duplicates = settings.allow_choice_duplicates || kind == SheetKind::ExternalChoices;
        if choice.name.is_empty() {
            if kind == SheetKind::Choices {
                problems.add(Diagnostic::new(Code::ChoiceWithoutName, place()).with("list", list));
            }
            continue;
        }
        if choice.labels.is_empty() && choice.media.is_empty() && kind == SheetKind::Choices {
            // one warning a list: whole lists without labels are common (codes, map features)
            if nameless.insert(list.to_owned()) {
                let diagnostic = Diagnostic::new(Code::ChoiceWithoutLabel, place());
                problems.add(diagnostic.with("list", list).with("name", &choice.name));
            }
        }
        entry.list.choices.push(choice);
        entry.rows.push(row.number);
    }
    if kind == SheetKind::Choices && !settings.allow_choice_duplicates {
        report_duplicates(&lists, &sheet.name, problems);
    }
    lists
}

fn role(roles: &[Role], column: u16) -> &Role {
    roles.get(usize::from(column)).unwrap_or(&Role::Nothing)
}

fn roles(table: &Table<'_>, unnamed: &str, kind: SheetKind, problems: &mut Problems) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    roles.resize_with(table.sheet.headers.len(), || Role::Nothing);
    for column in &table.columns {
        let tokens: Vec<&str> = column.tokens.iter().map(String::as_str).collect();
        let role = match tokens.as_slice() {
            ["list name"] => Role::List,
            ["name"] => Role::Name,
            ["label"] => Role::Label(unnamed.to_owned()),
            ["label", language] => Role::Label((*language).to_owned()),
            ["media", medium] => Role::Media((*medium).to_owned(), unnamed.to_owned()),
            ["media", medium, language] => Role::Media((*medium).to_owned(), (*language).to_owned()),
            [first, ..] if first.contains(' ') && kind == SheetKind::Choices => {
                let place = table.place(1, column);
                problems.add(Diagnostic::new(Code::ColumnWithSpace, place).with("header", &column.header));
                Role::Nothing
            }
            _ => {
                let name = column.canonical();
                let has_values = || table.sheet.rows.iter().any(|r| r.cells.iter().any(|c| c.column == column.index));
                if kind == SheetKind::Choices && !is_name(&column.tokens[0]) && has_values() {
                    let nearest = super::question::suggested_name(&name);
                    let diagnostic = Diagnostic::new(Code::BadColumnName, table.place(1, column));
                    problems.add(diagnostic.with("header", &column.header).nearest(nearest.as_deref()));
                }
                Role::Data(name)
            }
        };
        if let Some(slot) = roles.get_mut(usize::from(column.index)) {
            *slot = role;
        }
    }
    roles
}

fn choice<'a>(row: &'a super::workbook::Row, roles: &[Role]) -> (Option<&'a str>, Choice) {
    let mut list = None;
    let mut choice =
        Choice { name: String::new(), labels: LocalText::default(), media: BTreeMap::new(), extra: Extra::new() };
    for cell in &row.cells {
        match role(roles, cell.column) {
            Role::List => list = Some(&*cell.text),
            Role::Name => choice.name = cell.text.to_string(),
            Role::Label(language) => {
                choice.labels.0.insert(language.clone(), cell.text.to_string());
            }
            Role::Media(medium, language) => {
                let texts = choice.media.entry(medium.clone()).or_default();
                texts.0.insert(language.clone(), cell.text.to_string());
            }
            Role::Data(name) => {
                choice.extra.insert(name.clone(), Value::from(&*cell.text));
            }
            Role::Nothing => {}
        }
    }
    (list, choice)
}

fn report_duplicates(lists: &Lists, sheet: &str, problems: &mut Problems) {
    let mut found = Vec::new();
    for (name, list) in &lists.lists {
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for (choice, row) in list.list.choices.iter().zip(&list.rows) {
            match seen.get(choice.name.as_str()) {
                Some(first) => found.push((*row, *first, name.as_str(), choice.name.as_str())),
                None => {
                    seen.insert(&choice.name, *row);
                }
            }
        }
    }
    found.sort_unstable();
    for (row, first, list, choice) in found {
        let diagnostic = Diagnostic::new(Code::ChoiceTwice, Place::sheet(sheet).row(row));
        problems.add(diagnostic.with("name", choice).with("list", list).with("other_row", first.to_string()));
    }
}
