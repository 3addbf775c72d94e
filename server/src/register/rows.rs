//! The rows of a table put together to households, by household number: it may stand on the first row of a household only.

use std::collections::HashMap;

use super::clean;
use super::columns::Columns;
use super::fault::{Fault, Notes};
use super::schema::{Schema, Words};
use super::sheet::Sheet;
use super::values;

/// The rows of a household.
#[derive(Debug, Default)]
pub struct Group {
    /// Its number; empty where it is unknown.
    pub number: String,
    /// Its rows in the table, counted from 0.
    pub rows: Vec<u32>,
    /// What is wrong with it so far.
    pub faults: Vec<Fault>,
    /// Its place in the register, where it isn't found by its number.
    pub known: Option<usize>,
}

/// The places of the columns that tell households and persons apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyColumns {
    /// Household number.
    pub number: Option<u16>,
    /// Village.
    pub village: Option<u16>,
    /// Name of a member.
    pub name: Option<u16>,
    /// Name of the head.
    pub head_name: Option<u16>,
    /// ID number.
    pub id: Option<u16>,
    /// Relation to the head.
    pub relation: Option<u16>,
}

impl KeyColumns {
    /// Where they stand in a table.
    pub fn of(schema: &Schema, columns: &Columns) -> Self {
        let column = |name: &str| schema.position(name).and_then(|field| columns.column_of(field));
        Self {
            number: column("household_no"),
            village: column("village"),
            name: column("name"),
            head_name: column("head_name"),
            id: column("id_number"),
            relation: column("relation"),
        }
    }
}

/// The households of a table.
#[derive(Debug, Default)]
pub struct Groups {
    /// In the order of their first rows.
    pub list: Vec<Group>,
    /// What was skipped or filled in.
    pub notes: Notes,
    /// Rows with persons.
    pub rows: usize,
}

/// True for a row below a table: totals, signatures, remarks.
fn is_footer(sheet: &Sheet, row: usize, keys: &KeyColumns) -> bool {
    let mut cells = sheet.cells(row);
    let Some(first) = cells.next() else { return false };
    let has = |column: Option<u16>| column.is_some_and(|c| c != first.column && sheet.cell(row, c).is_some());
    let a_person = has(keys.id) || (has(keys.name) && has(keys.number));
    !a_person && Words::built_in().is_footer(first.text)
}

/// Data rows below the header: blank rows, repeated headers and footers left out.
pub fn data_rows(sheet: &Sheet, columns: &Columns, keys: &KeyColumns, notes: &mut Notes) -> Vec<u32> {
    let mut rows = Vec::with_capacity(sheet.len());
    let mut before = sheet.number(columns.header_row);
    for row in columns.header_row + 1..sheet.len() {
        let number = sheet.number(row);
        for _ in before.saturating_add(1)..number.min(before.saturating_add(1_000)) {
            notes.add("note_blank_rows", before + 1);
        }
        before = number;
        let says_something =
            sheet.cells(row).any(|c| columns.field(c.column).is_some() && !clean::tidy(c.text).is_empty());
        if columns.is_header_again(sheet, row) {
            notes.add("note_header_again", number);
        } else if is_footer(sheet, row, keys) {
            notes.add("note_footer", number);
        } else if says_something {
            rows.push(row as u32);
        } else {
            notes.add("note_blank_rows", number);
        }
    }
    rows
}

/// Puts the rows together.
pub fn group(sheet: &Sheet, schema: &Schema, columns: &Columns, keys: &KeyColumns) -> Groups {
    let mut groups = Groups::default();
    let rows = data_rows(sheet, columns, keys, &mut groups.notes);
    groups.rows = rows.len();
    let mut maker = Maker { sheet, schema, keys, by_number: HashMap::new(), last: None, last_village: String::new() };
    for row in rows {
        maker.add(row, &mut groups);
    }
    mark_repeated_ids(sheet, keys, &mut groups);
    groups
}

struct Maker<'a> {
    sheet: &'a Sheet,
    schema: &'a Schema,
    keys: &'a KeyColumns,
    by_number: HashMap<String, usize>,
    last: Option<usize>,
    last_village: String,
}

impl Maker<'_> {
    fn text(&self, row: u32, column: Option<u16>) -> String {
        let cell = column.and_then(|c| self.sheet.cell(row as usize, c));
        cell.map(|c| clean::compared(c.text)).unwrap_or_default()
    }

    fn add(&mut self, row: u32, groups: &mut Groups) {
        let cell = self.keys.number.and_then(|c| self.sheet.cell(row as usize, c));
        let number = cell.map(values::code);
        let village = self.text(row, self.keys.village);
        let at = match number {
            Some(Some(number)) if !number.is_empty() => self.named(number, groups),
            Some(None) => {
                let fault = Fault::new("digits_lost", row as usize);
                self.faulty(fault.at(self.keys.number.unwrap_or_default()), groups)
            }
            _ => match self.last.filter(|_| self.goes_on(row, &village)) {
                Some(last) => {
                    groups.notes.add("note_number_from_above", self.sheet.number(row as usize));
                    last
                }
                None => self.faulty(Fault::new("no_number", row as usize), groups),
            },
        };
        groups.list[at].rows.push(row);
        self.last = Some(at);
        if !village.is_empty() {
            self.last_village = village;
        }
    }

    fn named(&mut self, number: String, groups: &mut Groups) -> usize {
        if let Some(at) = self.by_number.get(&number) {
            return *at;
        }
        let at = groups.list.len();
        groups.list.push(Group { number: number.clone(), ..Group::default() });
        self.by_number.insert(number, at);
        at
    }

    fn faulty(&mut self, fault: Fault, groups: &mut Groups) -> usize {
        groups.list.push(Group { faults: vec![fault], ..Group::default() });
        groups.list.len() - 1
    }

    /// True when a row without number belongs to the household above: not a head, and not of another village.
    fn goes_on(&self, row: u32, village: &str) -> bool {
        let relation = self.schema.position("relation").map(|at| &self.schema.fields[at]);
        let is_head = relation.is_some_and(|f| f.choice(&self.text(row, self.keys.relation)) == Some("head"));
        !is_head && (village.is_empty() || village == self.last_village)
    }
}

/// One ID number in two rows is a fault of both.
fn mark_repeated_ids(sheet: &Sheet, keys: &KeyColumns, groups: &mut Groups) {
    let Some(column) = keys.id else { return };
    let mut first: HashMap<u64, (u32, usize)> = HashMap::new();
    let mut found: Vec<(usize, Fault)> = Vec::new();
    for (at, group) in groups.list.iter().enumerate() {
        for row in &group.rows {
            let cell = sheet.cell(*row as usize, column);
            let id = cell.and_then(|c| clean::id_number(c.text, false).ok()).and_then(|id| clean::id_key(&id));
            let Some(id) = id else { continue };
            let fault = |row: u32, other: u32| {
                Fault::new("id_twice", row as usize).at(column).with("other", sheet.number(other as usize))
            };
            match first.get(&id) {
                Some((other, other_at)) => {
                    found.push((at, fault(*row, *other)));
                    found.push((*other_at, fault(*other, *row)));
                }
                None => drop(first.insert(id, (*row, at))),
            }
        }
    }
    for (at, fault) in found {
        if !groups.list[at].faults.iter().any(|f| f.code == "id_twice" && f.row == fault.row) {
            groups.list[at].faults.push(fault);
        }
    }
}
