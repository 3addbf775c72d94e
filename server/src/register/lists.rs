//! Areas, people and pairings: small tables with a thing in each row. Planned, shown, given back and written like households. Each row
//! keeps what it wrote, so that a whole import can be undone.

mod areas;
mod faulty;
mod items;
mod pairings;
mod people;
pub(super) mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use doorstep_core::id::{UserId, first16, keyed};
use hmac::Mac;
use serde_json::{Value as Json, json};

use items::Written;

use super::columns::{self, LEFT, Mapping};
use super::fault::Fault;
use super::planned::State;
use super::schema::Words;
use super::sheet::{self, HEADER_ROWS, Sheet};
use super::{Counts, Options, RegisterError, clean, values};
use crate::messages::Language;
use crate::service::Service;
use crate::service::audit::{Act, Action, Actor};
use crate::service::giving::{Given, Giving};
use crate::service::grants::NewGrant;
use crate::storage::register::NewImport;
use crate::storage::{self, AreaChange, AreaPast, StorageError, TownshipId, Unit, User};
use doorstep_core::protocol::AreaEntry;

/// Rows of such a table at most.
const ROWS_MAX: usize = 50_000;
/// Rows that are written in one transaction.
const ROWS_AT_ONCE: usize = 500;

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Villages, groups, hamlets.
    Areas,
    /// People with their units and roles.
    People,
    /// Helpers with their households.
    Pairings,
}

impl Kind {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Areas, Self::People, Self::Pairings].into_iter().find(|k| k.as_str() == name)
    }

    /// The name on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Areas => "areas",
            Self::People => "people",
            Self::Pairings => "pairings",
        }
    }

    /// Columns that it can't do without.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Areas => &["name"],
            Self::People => &["name", "role"],
            Self::Pairings => &["helper", "household_no"],
        }
    }
}

/// What is to be written for a row.
#[derive(Debug, Clone)]
enum Write {
    Area(AreaEntry),
    /// With how it was.
    ChangedArea(Box<(AreaChange, AreaEntry)>),
    User(User),
    Unit(Unit),
    /// A role for an area, or a household's helper.
    Give(Box<NewGrant>),
}

/// A row with what becomes of it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its number as spreadsheets show it.
    pub row: u32,
    /// The thing's name.
    pub name: String,
    /// What becomes of it.
    pub state: State,
    /// What changes: old and new.
    pub change: Option<(String, String)>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    writes: Vec<Write>,
}

impl Item {
    fn new(row: u32, name: &str) -> Self {
        let (name, state) = (name.to_owned(), State::Unchanged);
        Self { row, name, state, change: None, faults: Vec::new(), writes: Vec::new() }
    }

    fn fail(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self.state = State::Faulty;
        self.writes.clear();
        self
    }
}

/// A table that was read.
pub struct List {
    kind: Kind,
    township: TownshipId,
    sheet: Sheet,
    header_row: usize,
    columns: BTreeMap<String, u16>,
    mapping: Mapping,
    fingerprint: [u8; 32],
}

/// What an import of a list did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// Its number; `None` when there was nothing to write.
    pub no: Option<u64>,
    /// Rows.
    pub rows: Counts,
}

impl List {
    /// Reads a file. Where no mapping of columns is given, the one that was used last with these headers counts.
    pub fn read(
        service: &Service,
        kind: Kind,
        township: TownshipId,
        bytes: &[u8],
        options: &Options,
    ) -> Result<Self, RegisterError> {
        let fields = |name: &String| name == LEFT || Words::built_in().is_list_field(kind.as_str(), name);
        if !options.mapping.values().all(fields) {
            return Err(RegisterError::Table("unknown_target"));
        }
        let known = |sheet: &Sheet| {
            let remembered =
                if options.mapping.is_empty() { remembered(service, township, sheet, kind)? } else { None };
            let given = || header(sheet, kind, &options.mapping).map(|found| (found, options.mapping.clone()));
            Ok::<_, StorageError>(remembered.or_else(given))
        };
        let sheet = sheet::read(bytes, options.sheet.as_deref(), &|sheet| known(sheet).is_ok_and(|k| k.is_some()))?;
        let ((header_row, columns), mapping) = known(&sheet)?.ok_or(RegisterError::Table("list_columns"))?;
        if sheet.len() > ROWS_MAX {
            return Err(RegisterError::Table("too_many_rows"));
        }
        let fingerprint = options.fingerprint(bytes);
        Ok(Self { kind, township, sheet, header_row, columns, mapping, fingerprint })
    }

    /// The tidy text of a row's field.
    fn text(&self, row: usize, field: &str) -> String {
        let cell = self.columns.get(field).and_then(|column| self.sheet.cell(row, *column));
        cell.map(|c| clean::tidy(values::unguarded(c.text))).unwrap_or_default()
    }

    fn fault(&self, code: &'static str, row: usize, field: &str) -> Fault {
        let fault = Fault::new(code, row);
        match self.columns.get(field) {
            Some(column) => fault.at(*column).with("value", self.text(row, field)),
            None => fault.with("value", ""),
        }
    }

    /// Rows below the header that say something.
    fn rows(&self) -> impl Iterator<Item = usize> {
        (self.header_row + 1..self.sheet.len()).filter(|row| {
            let first = self.sheet.cells(*row).next();
            let a_footer = first.is_some_and(|c| Words::built_in().is_footer(c.text));
            let needed = self.kind.needed().iter().filter(|f| !self.text(*row, f).is_empty()).count();
            let is_header = first.is_some_and(|c| {
                Words::built_in()
                    .list_field(self.kind.as_str(), c.text)
                    .is_some_and(|f| self.columns.get(f) == Some(&c.column))
            });
            let says = self.columns.keys().any(|field| !self.text(*row, field).is_empty());
            says && !is_header && !(a_footer && needed < self.kind.needed().len())
        })
    }

    /// The day of a field.
    fn day(&self, row: usize, field: &str) -> Result<Option<String>, Fault> {
        let text = self.text(row, field);
        if text.is_empty() {
            return Ok(None);
        }
        clean::date(&text).map(Some).map_err(|_| self.fault("not_a_date", row, field))
    }

    /// What an import would do; nothing is written.
    pub fn plan(&self, service: &Service) -> Result<Vec<Item>, RegisterError> {
        match self.kind {
            Kind::Areas => self.plan_areas(service),
            Kind::People => self.plan_people(service),
            Kind::Pairings => self.plan_pairings(service),
        }
    }

    /// Writes what was planned; faulty rows are left out.
    pub fn import(
        &self,
        service: &Arc<Service>,
        user: UserId,
        file_name: &str,
        actor: Actor,
    ) -> Result<Listed, RegisterError> {
        let items = self.plan(service)?;
        let mut done = Listed { no: None, rows: counts(&items) };
        let writes: usize = items.iter().map(|i| i.writes.len()).sum();
        if writes == 0 {
            return Ok(done);
        }
        let import = NewImport {
            kind: self.kind.as_str().to_owned(),
            file_name: super::short_name(file_name),
            file_hash: self.fingerprint,
            user,
            started_ms: service.clock.now_ms(),
        };
        let no = super::begin_import(service, self.township, &import, actor)?;
        done.no = Some(no);
        let past = match self.kind {
            Kind::Areas => service.storage.area_past(self.township)?.0,
            _ => Vec::new(),
        };
        for items in items.chunks(ROWS_AT_ONCE) {
            self.write(service, items, &past, (no, actor))?;
        }
        let summary = serde_json::to_string(&done).unwrap_or_default();
        super::import_done(service, (self.township, no), actor, summary, writes)?;
        if !self.mapping.is_empty() {
            let json = serde_json::to_string(&self.mapping).unwrap_or_default();
            let headers = fingerprint(&self.sheet, self.header_row);
            service.storage.put_column_mapping(self.township, self.kind.as_str(), headers, &json)?;
        }
        Ok(done)
    }

    /// Some rows in one transaction, with their entries of the audit log and what undoing them needs; roles and pairings as when
    /// they are given by hand. An import that is interrupted between two is run again.
    fn write(
        &self,
        service: &Service,
        items: &[Item],
        past: &[AreaPast],
        (no, actor): (u64, Actor),
    ) -> Result<(), RegisterError> {
        let mut giving = Giving::new(service, self.township);
        let mut areas = 0_u64;
        for item in items {
            let mut written = Vec::new();
            for write in &item.writes {
                areas += u64::from(matches!(write, Write::Area(_) | Write::ChangedArea(_)));
                written.extend(self.write_one(&mut giving, write, past)?);
            }
            if !written.is_empty() {
                let json = serde_json::to_string(&written).unwrap_or_default();
                giving.also(storage::Write::ImportItem(self.township, no, item.row.into(), json));
            }
        }
        if areas > 0 {
            let act = Act::new(Action::AreaChanged).in_township(self.township).about("import", no);
            giving.add(act.with("areas", areas), []);
        }
        giving.done(actor)?;
        Ok(())
    }

    fn write_one(
        &self,
        giving: &mut Giving<'_>,
        write: &Write,
        past: &[AreaPast],
    ) -> Result<Option<Written>, RegisterError> {
        Ok(Some(match write {
            Write::Area(entry) => {
                giving.also(storage::Write::Areas(self.township, vec![entry.clone()]));
                Written::Area(entry.into())
            }
            Write::ChangedArea(changed) => {
                let (change, before) = &**changed;
                giving.also(storage::Write::ChangeArea(self.township, change.clone()));
                let (area, day) = (change.entry.area, &change.from_day);
                let had_past = past.iter().any(|p| p.entry.area == area && p.until_day == *day);
                let past = (!had_past).then(|| day.clone());
                Written::AreaChanged { now: (&change.entry).into(), before: before.into(), past }
            }
            Write::User(user) => {
                giving.make(user.clone())?;
                Written::Person { id: user.id, name: user.name.clone(), unit: user.unit.clone() }
            }
            Write::Unit(unit) => {
                giving.also(storage::Write::Units(vec![unit.clone()]));
                Written::Unit { id: unit.id, name: unit.name.clone() }
            }
            Write::Give(new) => {
                let Given { stands, is_new, before } =
                    if new.household.is_some() { giving.pair_anew(new)? } else { giving.give(new)? };
                if !is_new && before.is_empty() {
                    return Ok(None);
                }
                let before = before.iter().map(|(user, grant)| (*user, grant.into())).collect();
                Written::Given { user: new.user, given: (&stands).into(), is_new, before }
            }
        }))
    }

    /// The preview as JSON: counts and a page of rows.
    pub fn preview_json(&self, items: &[Item], skip: usize, rows: usize) -> Json {
        let told = |item: &Item| {
            let faults: Vec<Json> = item
                .faults
                .iter()
                .map(|f| json!({"code": f.code, "message": {"zh": f.message(Language::Zh), "en": f.message(Language::En)}}))
                .collect();
            json!({
                "row": item.row, "name": item.name, "state": item.state.as_str(), "change": item.change, "faults": faults,
            })
        };
        let listed = items.iter().filter(|i| i.state != State::Unchanged);
        let page: Vec<Json> =
            listed.clone().skip(skip).take(rows.min(super::preview::PAGE_ROWS_MAX)).map(told).collect();
        let columns = self.sheet.cells(self.header_row).map(|cell| {
            let field = self.columns.iter().find(|(_, column)| **column == cell.column).map(|(field, _)| field);
            json!({"header": cell.text, "what": field})
        });
        json!({
            "kind": self.kind.as_str(), "format": self.sheet.format, "sheet": self.sheet.name, "rows": page,
            "header_row": self.sheet.number(self.header_row), "columns": columns.collect::<Vec<_>>(),
            "counts": counts(items), "listed": listed.count(),
        })
    }
}

/// How many rows become what.
pub fn counts(items: &[Item]) -> Counts {
    let mut counts = Counts::default();
    items.iter().for_each(|i| counts.add(i.state));
    counts
}

/// A header's row and the columns by field.
type Header = (usize, BTreeMap<String, u16>);

fn fingerprint(sheet: &Sheet, row: usize) -> [u8; 32] {
    columns::fingerprint(sheet.cells(row).map(|cell| cell.text))
}

/// The header as it was understood last.
fn remembered(
    service: &Service,
    township: TownshipId,
    sheet: &Sheet,
    kind: Kind,
) -> Result<Option<(Header, Mapping)>, StorageError> {
    for row in 0..sheet.len().min(HEADER_ROWS) {
        let json = service.storage.column_mapping(township, kind.as_str(), fingerprint(sheet, row))?;
        let mapping: Mapping = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        let found = header(sheet, kind, &mapping).filter(|(at, _)| *at == row && !mapping.is_empty());
        if let Some(found) = found {
            return Ok(Some((found, mapping)));
        }
    }
    Ok(None)
}

/// The header's row and the columns by field.
fn header(sheet: &Sheet, kind: Kind, mapping: &Mapping) -> Option<Header> {
    for row in 0..sheet.len().min(HEADER_ROWS) {
        let mut columns = BTreeMap::new();
        for cell in sheet.cells(row) {
            let given = mapping.iter().find(|(h, _)| clean::compared(h) == clean::compared(cell.text));
            let field = match given {
                Some((_, name)) => Some(name.as_str()),
                None => Words::built_in().list_field(kind.as_str(), cell.text),
            };
            if let Some(field) = field.filter(|field| *field != LEFT) {
                columns.entry(field.to_owned()).or_insert(cell.column);
            }
        }
        if kind.needed().iter().all(|field| columns.contains_key(*field)) {
            return Some((row, columns));
        }
    }
    None
}

/// An id that follows from what a thing is, so that the same table makes the same.
fn derived(service: &Service, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = keyed(&service.tenant_key().0, purpose);
    for part in parts {
        mac.update(&(part.len() as u32).to_be_bytes());
        mac.update(part);
    }
    first16(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests;
