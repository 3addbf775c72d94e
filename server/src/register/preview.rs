//! What an import would do, shown before anything is written.

use std::collections::BTreeMap;

use doorstep_core::form::Sensitivity;
use doorstep_core::form::{AnswerKey, Leaf};
use doorstep_core::record::Value;
use serde_json::{Value as Json, json};

use super::columns::Target;
use super::fault::{self, Fault, Notes};
use super::planned::{Change, Planned, State};
use super::{Counts, RegisterError, Table};
use crate::messages::Language;
use crate::service::Service;

/// Rows in one page at most.
pub const PAGE_ROWS_MAX: usize = 500;
/// Changes shown of one row.
const CHANGES_MAX: usize = 60;

/// Which rows a preview lists.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Rows listed before this page.
    pub skip: usize,
    /// Rows of the page.
    pub rows: usize,
    /// Rows that stay as they are, too.
    pub unchanged: bool,
    /// Sensitive answers in clear.
    pub show_values: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { skip: 0, rows: 50, unchanged: false, show_values: false }
    }
}

/// A row of the table with what becomes of it.
#[derive(Debug, Clone)]
pub struct ListedRow {
    /// Its number as spreadsheets show it.
    pub row: u32,
    /// The household's number.
    pub number: String,
    /// The person's name.
    pub name: String,
    /// What becomes of it.
    pub state: State,
    /// The answers that change, of the household at its first row.
    pub changes: Vec<Change>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// A preview.
#[derive(Debug)]
pub struct Preview {
    /// Households.
    pub households: Counts,
    /// Persons.
    pub persons: Counts,
    /// What was put right or left aside.
    pub notes: Notes,
    /// Rows with each fault, by the code of its message.
    pub faults: BTreeMap<&'static str, u64>,
    /// A page of the rows.
    pub rows: Vec<ListedRow>,
    /// Rows that could be listed, over all pages.
    pub listed: usize,
    /// Names what was shown: an import with it edits at what the preview showed.
    pub token: String,
}

impl Table {
    /// Plans the import and writes nothing.
    pub fn preview(&self, service: &Service, page: Page) -> Result<Preview, RegisterError> {
        let (head, _) = service.storage.head(self.township)?;
        let (planner, groups) = self.plan(service, None)?;
        let mut preview = Preview {
            households: Counts::default(),
            persons: Counts::default(),
            notes: groups.notes,
            faults: BTreeMap::new(),
            rows: Vec::new(),
            listed: 0,
            token: self.token(head.seq),
        };
        let mut notes = std::mem::take(&mut preview.notes);
        let rows_max = page.rows.min(PAGE_ROWS_MAX);
        planner.walk(groups.list, &mut notes, &mut |households| {
            for household in households {
                preview.households.add(household.state);
                household.persons.iter().for_each(|p| preview.persons.add(p.state));
                for fault in &household.faults {
                    *preview.faults.entry(fault.code).or_default() += 1;
                }
                for listed in self.listed(household, page.unchanged) {
                    preview.listed += 1;
                    if preview.listed > page.skip && preview.rows.len() < rows_max {
                        preview.rows.push(listed);
                    }
                }
            }
            Ok(())
        })?;
        preview.notes = notes;
        Ok(preview)
    }

    fn token(&self, seq: u64) -> String {
        format!("{seq}-{}", data_encoding::HEXLOWER.encode(&self.fingerprint[..16]))
    }

    /// The feed's number in a preview's token.
    pub(super) fn shown_upto(&self, token: &str) -> Result<u64, RegisterError> {
        let seq = token.split('-').next().and_then(|seq| seq.parse().ok());
        let seq = seq.filter(|seq| self.token(*seq) == token);
        seq.ok_or(RegisterError::Table("other_file"))
    }

    /// The rows of a household as they are listed.
    fn listed(&self, household: Planned, unchanged: bool) -> Vec<ListedRow> {
        let mut listed = Vec::new();
        let first = household.rows.first().copied();
        for row in &household.rows {
            let at = *row as usize;
            let person = household.persons.iter().find(|p| p.row == at);
            let mut faults: Vec<Fault> = household.faults.iter().filter(|f| f.row == at).cloned().collect();
            if household.state == State::Faulty && faults.is_empty() {
                faults.push(Fault::new("held_back", at));
            }
            let mut changes: Vec<Change> = Vec::new();
            if Some(*row) == first && household.state == State::Changed {
                changes.extend(household.changes.iter().cloned());
            }
            let state = match person {
                _ if household.state == State::Faulty => State::Faulty,
                Some(person) => {
                    if person.state == State::Changed {
                        changes.extend(person.changes.iter().cloned());
                    }
                    if person.state == State::Unchanged && !changes.is_empty() { State::Changed } else { person.state }
                }
                None if !changes.is_empty() => State::Changed,
                None => household.state,
            };
            if state == State::Unchanged && !unchanged {
                continue;
            }
            changes.truncate(CHANGES_MAX);
            let name = person.map(|p| p.name.clone()).unwrap_or_default();
            let row = self.sheet.number(at);
            listed.push(ListedRow { row, number: household.number.clone(), name, state, changes, faults });
        }
        listed
    }

    /// The question's label of a changed answer, and its old and new value as people read them.
    pub fn shown(&self, change: &Change, language: Language, show_values: bool) -> (String, String, String) {
        let question = self.schema.form.question_of(&change.key);
        let fallback = &self.schema.form.def().default_language;
        let label = question.map_or(change.key.as_str(), |q| q.label(language.code(), fallback)).to_owned();
        let class = self.schema.form.class_of(&change.key);
        let masked = class != Some(Sensitivity::Core) && !show_values;
        let value = |value: &Value| {
            if *value == Value::Blank {
                return String::new();
            }
            if masked { "***".to_owned() } else { self.value_text(&change.key, value, language) }
        };
        (label, value(&change.old), value(&change.new))
    }

    fn value_text(&self, key: &str, value: &Value, language: Language) -> String {
        let field = |name: &str| self.schema.fields.iter().find(|f| f.name == name);
        let parsed = AnswerKey::parse(key).map(|k| k.leaf);
        match (parsed, value) {
            (Some(Leaf::Tick { question, choice }), Value::Bool(ticked)) => {
                let label = field(question).map_or(choice, |f| f.label_of(&self.schema.form, choice, language.code()));
                format!("{} {label}", if *ticked { "☑" } else { "☐" })
            }
            (Some(Leaf::Question(name)), Value::Text(text)) => {
                field(name).map_or(text.as_str(), |f| f.label_of(&self.schema.form, text, language.code())).to_owned()
            }
            (_, Value::Text(text)) => text.clone(),
            (_, value) => value.to_json().to_string(),
        }
    }

    /// What a column means, for people: its question, or why it is left aside.
    pub fn meaning(&self, target: Target) -> (&'static str, Option<String>) {
        match target {
            Target::Field(at) => {
                let field = &self.schema.fields[at];
                let name =
                    if field.of_member { format!("{}/{}", self.schema.repeat, field.name) } else { field.name.clone() };
                ("question", Some(name))
            }
            Target::Left => ("left", None),
            Target::Twice => ("twice", None),
            Target::Unknown => ("unknown", None),
        }
    }

    /// The preview as JSON.
    pub fn preview_json(&self, preview: &Preview, show_values: bool) -> Json {
        let columns: Vec<Json> = self
            .columns
            .list
            .iter()
            .map(|c| {
                let (what, question) = self.meaning(c.target);
                json!({"header": c.header, "what": what, "question": question})
            })
            .collect();
        let notes: Vec<Json> = preview.notes.iter().map(note_json).collect();
        let rows: Vec<Json> = preview.rows.iter().map(|row| self.row_json(row, show_values)).collect();
        json!({
            "kind": super::HOUSEHOLDS, "format": self.sheet.format, "sheet": self.sheet.name,
            "header_row": self.sheet.number(self.columns.header_row), "columns": columns,
            "households": preview.households, "persons": preview.persons, "notes": notes, "rows": rows,
            "listed": preview.listed, "token": preview.token,
        })
    }

    fn row_json(&self, row: &ListedRow, show_values: bool) -> Json {
        let changes: Vec<Json> = row
            .changes
            .iter()
            .map(|change| {
                let (zh, old, new) = self.shown(change, Language::Zh, show_values);
                let (en, _, _) = self.shown(change, Language::En, show_values);
                let masked = self.schema.form.class_of(&change.key) != Some(Sensitivity::Core) && !show_values;
                json!({"key": change.key, "label": {"zh": zh, "en": en}, "old": old, "new": new, "masked": masked})
            })
            .collect();
        let faults: Vec<Json> = row
            .faults
            .iter()
            .map(|f| {
                let message = json!({"zh": f.message(Language::Zh), "en": f.message(Language::En)});
                json!({"code": f.code, "column": f.column.map(|c| self.columns.header(c)), "message": message})
            })
            .collect();
        json!({
            "row": row.row, "household": row.number, "name": row.name, "state": row.state.as_str(), "changes": changes,
            "faults": faults,
        })
    }

    /// The columns, with what each means.
    pub fn columns(&self) -> &super::Columns {
        &self.columns
    }
}

fn note_json((code, count, first): (&'static str, u64, u32)) -> Json {
    let text = fault::text(code);
    json!({"code": code, "count": count, "first_row": first, "message": {"zh": text.zh, "en": text.en}})
}
