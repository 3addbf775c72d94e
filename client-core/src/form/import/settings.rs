//! The settings sheet: its second row, and what of it the importer acts on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::reference::is_name;
use super::table::{Line, SETTINGS, Table, snake_case, unnamed_language};
use super::workbook::{SheetKind, Workbook};
use crate::form::definition::{Extra, SubjectKind};
use crate::form::summary::ListColumns;

/// Settings of a form; blanks are the defaults.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) title: Option<String>,
    /// Titles in other languages than the default one.
    pub(super) titles: BTreeMap<String, String>,
    pub(super) id: Option<String>,
    pub(super) default_language: Option<String>,
    pub(super) instance_name: Option<String>,
    /// The name of the root element.
    pub(super) root: Option<String>,
    pub(super) allow_choice_duplicates: bool,
    pub(super) keep_spaces: bool,
    pub(super) omit_instance_id: bool,
    pub(super) record_type: Option<String>,
    pub(super) subject: Option<SubjectKind>,
    pub(super) list: ListColumns,
    /// The sheet as it came.
    pub(super) all: Extra,
}

impl Settings {
    /// The language of columns without one.
    pub(super) fn unnamed(&self) -> &str {
        unnamed_language(self.default_language.as_deref())
    }

    pub(super) fn root(&self) -> &str {
        self.root.as_deref().unwrap_or("data")
    }
}

/// `yes` and `no` as XLSForm spells them; `None` for anything else.
pub(super) fn yes_no(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "true()" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "false()" => Some(false),
        _ => None,
    }
}

pub(super) fn read(workbook: &Workbook, problems: &mut Problems) -> Settings {
    let mut settings = Settings::default();
    let Some(sheet) = workbook.sheet(SheetKind::Settings) else { return settings };
    let table = Table::new(sheet, SheetKind::Settings, problems);
    let both = ["form_id", "id_string"].iter().all(|n| table.columns.iter().any(|c| c.header == *n));
    if both {
        problems.add(Diagnostic::new(Code::TwoFormIds, Place::sheet(&sheet.name).row(1)));
    }
    for extra in table.sheet.rows.iter().filter(|r| r.number > 2) {
        problems.add(Diagnostic::new(Code::SettingsBelow, Place::sheet(&sheet.name).row(extra.number)));
    }
    let Some(line) = table.lines().find(|l| l.row.number == 2) else { return settings };
    for (column, cell) in line.cells() {
        let canonical = match column.canonical().as_str() {
            "title" => "form_title".to_owned(),
            "id_string" => "form_id".to_owned(),
            other => other.to_owned(),
        };
        settings.all.insert(canonical, Value::from(&*cell.text));
        settings.take(column.tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &cell.text);
        if column.tokens.len() == 1 && !SETTINGS.contains(&column.tokens[0].as_str()) {
            let place = table.place(1, column);
            let nearest = super::nearest::nearest(&snake_case(&column.header), setting_names());
            problems.add(Diagnostic::new(Code::UnknownSetting, place).with("name", &column.header).nearest(nearest));
        }
    }
    settings.check(line, problems);
    settings
}

fn setting_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().copied().filter(|n| !matches!(*n, "title" | "id_string")).chain(["form_title", "form_id"])
}

impl Settings {
    fn take(&mut self, path: &[&str], text: &str) {
        let owned = || Some(text.to_owned());
        match path {
            ["title"] => self.title = owned(),
            ["doorstep", "title", language] => {
                self.titles.insert((*language).to_owned(), text.to_owned());
            }
            ["id_string"] => self.id = owned(),
            ["default_language"] => self.default_language = owned(),
            ["instance_name"] => self.instance_name = owned(),
            ["name"] => self.root = owned(),
            ["allow_choice_duplicates"] => self.allow_choice_duplicates = yes_no(text) == Some(true),
            ["clean_text_values"] => self.keep_spaces = yes_no(text) == Some(false),
            ["omit_instanceID"] => self.omit_instance_id = yes_no(text) == Some(true),
            ["doorstep", "record_type"] => self.record_type = owned(),
            ["doorstep", "subject"] => self.subject = Some(SubjectKind::from(text)),
            ["doorstep", "list_title"] => text.clone_into(&mut self.list.title),
            ["doorstep", "list_label"] => text.clone_into(&mut self.list.label),
            ["doorstep", "list_status"] => text.clone_into(&mut self.list.status),
            ["doorstep", "list_day"] => text.clone_into(&mut self.list.day),
            ["doorstep", "list_persons"] => text.clone_into(&mut self.list.persons),
            ["doorstep", "list_joined"] => text.clone_into(&mut self.list.joined),
            ["doorstep", "list_absent"] => text.clone_into(&mut self.list.absent),
            ["doorstep", "list_ended"] => text.clone_into(&mut self.list.ended),
            ["doorstep", "list_search"] => {
                self.list.search = text.split([' ', ',']).filter(|n| !n.is_empty()).map(str::to_owned).collect();
            }
            _ => {}
        }
    }

    fn check(&self, line: Line<'_>, problems: &mut Problems) {
        if let Some(root) = &self.root
            && !is_name(root)
        {
            problems.add(Diagnostic::new(Code::BadName, line.place(&["name"])).with("name", root));
        }
        if let Some(subject @ SubjectKind::Unknown(name)) = &self.subject {
            let known = ["none", "household", "person", "village", "several"];
            let nearest = super::nearest::nearest(subject.as_str(), known);
            let place = line.place(&["doorstep", "subject"]);
            problems.add(Diagnostic::new(Code::UnknownSubject, place).with("name", name).nearest(nearest));
        }
        for (name, code) in [("public_key", Code::NotRun), ("submission_url", Code::NotRun), ("flat", Code::NotRun)] {
            if line.get(&[name]).is_some() {
                problems.add(Diagnostic::new(code, line.place(&[name])).with("name", name));
            }
        }
        if self.omit_instance_id && line.get(&["public_key"]).is_some() {
            problems.add(Diagnostic::new(Code::EncryptedWithoutId, line.place(&["omit_instanceID"])));
        }
    }
}
