//! From the households of a table to what an import would do. Writes nothing.

use std::collections::BTreeMap;

use doorstep_core::id::{RecordId, first16, keyed};
use doorstep_core::record::Value;
use hmac::Mac;

use super::RegisterError;
use super::columns::Columns;
use super::content::{Content, Found, Standing};
use super::documents::{self, Answers};
use super::fault::{Fault, Notes};
use super::places::Places;
use super::planned::{Change, Planned, State};
use super::rows::{Group, KeyColumns};
use super::schema::{FieldKind, Schema};
use super::sheet::Sheet;
use super::values::{self, Given};
use crate::service::Service;
use crate::storage::TownshipId;

/// Households planned at once.
const CHUNK: usize = 200;

/// What all households of a table share.
pub struct Planner<'a> {
    /// The server.
    pub service: &'a Service,
    /// The township.
    pub township: TownshipId,
    /// The register's fields.
    pub schema: &'a Schema,
    /// The table.
    pub sheet: &'a Sheet,
    /// Its columns.
    pub columns: &'a Columns,
    /// The columns that tell households and persons apart.
    pub keys: KeyColumns,
    /// Villages and groups.
    pub places: Places,
    /// What the register holds.
    pub content: Content,
    /// Only these fields are written, and nobody is added.
    pub only: Option<Vec<usize>>,
    /// The village of households whose rows name none.
    pub village: Option<usize>,
    /// The feed's number at which a preview showed the register.
    pub upto: Option<u64>,
    /// Sensitive and other classes of the form.
    pub classes: Vec<&'static str>,
}

/// A row's cells, read.
#[derive(Debug, Default)]
pub(super) struct ReadRow {
    pub(super) row: usize,
    /// Field, column, what is given.
    pub(super) given: Vec<(usize, u16, Given)>,
}

impl ReadRow {
    pub(super) fn get(&self, field: Option<usize>) -> Option<&Given> {
        self.given.iter().find(|(f, _, _)| Some(*f) == field).map(|(_, _, given)| given)
    }

    pub(super) fn text(&self, field: Option<usize>) -> &str {
        if let Some(Given::Value(Value::Text(text))) = self.get(field) { text } else { "" }
    }
}

/// A household in the making.
pub(super) struct Draft<'p> {
    pub(super) answers: &'p Answers,
    pub(super) notes: &'p mut Notes,
    pub(super) faults: Vec<Fault>,
    /// The number of the household's first row.
    pub(super) row_number: u32,
}

impl Draft<'_> {
    /// Wants an answer: nothing to do where it is so already, or where the preview showed it so.
    pub(super) fn want(&mut self, key: String, new: Value, into: &mut Vec<Change>) {
        if values::same(self.answers.now(&key), &new) || values::same(self.answers.shown(&key), &new) {
            return;
        }
        if self.answers.differing.contains(&key) {
            self.notes.add("note_differing", self.row_number);
            return;
        }
        let old = self.answers.shown(&key).clone();
        into.push(Change { key, old, new });
    }

    /// Wants what a cell gives.
    pub(super) fn want_given(&mut self, key: &str, given: &Given, into: &mut Vec<Change>) {
        match given {
            Given::Value(value) => self.want(key.to_owned(), value.clone(), into),
            Given::Ticks(ticks) => {
                for tick in ticks {
                    self.want(format!("{key}={tick}"), Value::Bool(true), into);
                }
                self.untick(key, ticks, into);
            }
            Given::Clear => {
                self.untick(key, &[], into);
                if self.answers.now.contains_key(key) {
                    self.want(key.to_owned(), Value::Blank, into);
                }
            }
        }
    }

    fn untick(&mut self, key: &str, ticks: &[String], into: &mut Vec<Change>) {
        let start = format!("{key}=");
        let ticked = self.answers.now.range(start.clone()..).take_while(|(k, _)| k.starts_with(&start));
        let away: Vec<String> = ticked
            .filter(|(k, v)| **v == Value::Bool(true) && !ticks.iter().any(|t| k[start.len()..] == **t))
            .map(|(k, _)| k.clone())
            .collect();
        for key in away {
            self.want(key, Value::Bool(false), into);
        }
    }
}

impl Planner<'_> {
    /// Plans households in their order, some at a time, and hands them over.
    pub fn walk(
        &self,
        groups: Vec<Group>,
        notes: &mut Notes,
        visit: &mut dyn FnMut(Vec<Planned>) -> Result<(), RegisterError>,
    ) -> Result<(), RegisterError> {
        let mut groups = groups.into_iter().peekable();
        while groups.peek().is_some() {
            let chunk: Vec<Group> = groups.by_ref().take(CHUNK).collect();
            visit(self.plan(chunk, notes)?)?;
        }
        Ok(())
    }

    fn plan(&self, groups: Vec<Group>, notes: &mut Notes) -> Result<Vec<Planned>, RegisterError> {
        let found: Vec<Found> = groups
            .iter()
            .map(|g| match g.known {
                Some(known) => Found::One(known),
                None if g.number.is_empty() => Found::None,
                None => self.content.by_number(&g.number),
            })
            .collect();
        let record_type = &self.schema.form.record_type;
        let tenant_key = self.service.tenant_key();
        let ids: Vec<Vec<RecordId>> = found
            .iter()
            .map(|found| match found {
                Found::One(at) => {
                    documents::ids(record_type, &self.classes, self.content.household(*at).record, &tenant_key)
                }
                _ => Vec::new(),
            })
            .collect();
        let answers = documents::load(&*self.service.storage, self.township, &ids, self.upto)?;
        let planned = groups.into_iter().zip(found).zip(answers);
        Ok(planned.map(|((group, found), answers)| self.household(group, found, &answers, notes)).collect())
    }

    fn household(&self, group: Group, found: Found, answers: &Answers, notes: &mut Notes) -> Planned {
        let first = group.rows.first().copied().unwrap_or_default() as usize;
        let mut draft = Draft { answers, notes, faults: group.faults, row_number: self.sheet.number(first) };
        let known = match found {
            Found::One(at) => Some(at),
            Found::Several => {
                draft.faults.push(Fault::new("number_twice", first).with("number", &group.number));
                None
            }
            Found::None => None,
        };
        let fault = match known.map(|at| self.content.household(at).standing) {
            Some(Standing::Ended) => Some("household_ended"),
            Some(Standing::Away) => Some("household_away"),
            _ => None,
        };
        draft.faults.extend(fault.map(|code| Fault::new(code, first).with("number", &group.number)));
        if answers.damaged {
            draft.faults.push(Fault::new("unreadable_record", first));
        }
        let rows: Vec<ReadRow> = group.rows.iter().map(|row| self.read_row(*row as usize, &mut draft)).collect();
        let record = known.map_or_else(|| self.new_record(&group.number), |at| self.content.household(at).record);
        let mut changes = Vec::new();
        let area = if self.only.is_some() {
            self.only_household_answers(&rows, &mut draft, &mut changes);
            known.map(|at| self.content.household(at).area)
        } else {
            self.household_answers(&group.number, known, &rows, &mut draft, &mut changes)
        };
        let persons = self.persons(record, known.is_some(), &rows, &mut draft, &mut changes);
        if known.is_some_and(|at| self.content.household(at).standing == Standing::Undone) && self.only.is_none() {
            draft.want("ended_on".to_owned(), Value::Blank, &mut changes);
            draft.want("ended_why".to_owned(), Value::Blank, &mut changes);
        }
        let Some(area) = area.filter(|_| draft.faults.is_empty()) else {
            return Planned::faulty(group.number, group.rows, persons, draft.faults);
        };
        let any = !changes.is_empty() || persons.iter().any(|p| !p.changes.is_empty());
        let state = match (known, any) {
            (None, _) => State::New,
            (Some(_), true) => State::Changed,
            (Some(_), false) => State::Unchanged,
        };
        Planned {
            number: group.number,
            rows: group.rows,
            state,
            record: Some(record),
            creates: known.is_none(),
            area,
            changes,
            persons,
            faults: Vec::new(),
        }
    }

    /// Reads the cells of a row; what is wrong with them goes to the household's faults.
    fn read_row(&self, row: usize, draft: &mut Draft<'_>) -> ReadRow {
        let mut read = ReadRow { row, given: Vec::new() };
        for cell in self.sheet.cells(row) {
            let Some(field) = self.columns.field(cell.column) else { continue };
            if !self.is_read(field) {
                continue;
            }
            match values::given(self.schema, field, cell, row) {
                Ok(Some(given)) => {
                    self.note_cleaned(field, cell.text, &given, row, draft.notes);
                    read.given.push((field, cell.column, given));
                }
                Ok(None) => {}
                Err(fault) => draft.faults.push(fault),
            }
        }
        read
    }

    /// With chosen columns, only these and those that tell persons apart are looked at.
    fn is_read(&self, field: usize) -> bool {
        let Some(only) = &self.only else { return true };
        let name = self.schema.fields[field].name.as_str();
        only.contains(&field) || matches!(name, "household_no" | "id_number" | "name" | "birth")
    }

    fn note_cleaned(&self, field: usize, raw: &str, given: &Given, row: usize, notes: &mut Notes) {
        let Given::Value(Value::Text(text)) = given else { return };
        if text == raw {
            return;
        }
        match self.schema.fields[field].kind {
            FieldKind::Date => notes.add("note_date", self.sheet.number(row)),
            FieldKind::Name | FieldKind::Id | FieldKind::Code | FieldKind::Text => {
                notes.add("note_cleaned", self.sheet.number(row));
            }
            _ => {}
        }
    }

    /// The id of a household that the register doesn't have: it follows from township and number, so that the same file makes
    /// the same record however often it is imported.
    fn new_record(&self, number: &str) -> RecordId {
        let tenant_key = self.service.tenant_key();
        let mut attempt = 0u32;
        loop {
            let mut mac = keyed(&tenant_key.0, "doorstep/register-household/1");
            mac.update(&self.township.0);
            mac.update(&attempt.to_be_bytes());
            mac.update(number.as_bytes());
            let id = RecordId(first16(&mac.finalize().into_bytes()));
            // a household that was made by this number may have another one by now
            if !self.content.has_record(id) {
                return id;
            }
            attempt += 1;
        }
    }
}

/// What the rows of a household say under a field: row, column, what is given.
pub(super) fn by_field(rows: &[ReadRow]) -> BTreeMap<usize, Vec<(usize, u16, &Given)>> {
    let mut fields: BTreeMap<usize, Vec<(usize, u16, &Given)>> = BTreeMap::new();
    for row in rows {
        for (field, column, given) in &row.given {
            fields.entry(*field).or_default().push((row.row, *column, given));
        }
    }
    fields
}
