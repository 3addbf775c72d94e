//! Areas, people and pairings: small tables with a thing in each row. Planned, shown and written like households, but they can't
//! be undone: a corrected table puts them right.

mod areas;
mod pairings;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::id::{UserId, first16, keyed};
use doorstep_core::record::USUAL_ZONE_MINUTES;
use hmac::Mac;
use serde_json::{Value as Json, json};

use super::fault::Fault;
use super::planned::State;
use super::schema::Words;
use super::sheet::{self, HEADER_ROWS, Sheet};
use super::{Counts, Options, RegisterError, clean};
use crate::messages::Language;
use crate::service::Service;
use crate::service::audit::{Act, Action, Actor};
use crate::service::giving::Giving;
use crate::service::grants::NewGrant;
use crate::storage::register::NewImport;
use crate::storage::{self, AreaChange, TownshipId, Unit, User};
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
    ChangedArea(Box<AreaChange>),
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
    /// Reads a file.
    pub fn read(kind: Kind, township: TownshipId, bytes: &[u8], options: &Options) -> Result<Self, RegisterError> {
        let known = |sheet: &Sheet| header(sheet, kind, options).is_some();
        let sheet = sheet::read(bytes, options.sheet.as_deref(), &known)?;
        let (header_row, columns) = header(&sheet, kind, options).ok_or(RegisterError::Table("list_columns"))?;
        if sheet.len() > ROWS_MAX {
            return Err(RegisterError::Table("too_many_rows"));
        }
        let fingerprint = options.fingerprint(bytes);
        Ok(Self { kind, township, sheet, header_row, columns, fingerprint })
    }

    /// The tidy text of a row's field.
    fn text(&self, row: usize, field: &str) -> String {
        let cell = self.columns.get(field).and_then(|column| self.sheet.cell(row, *column));
        cell.map(|c| clean::tidy(c.text)).unwrap_or_default()
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
        for items in items.chunks(ROWS_AT_ONCE) {
            self.write(service, items, no, actor)?;
        }
        let summary = serde_json::to_string(&done).unwrap_or_default();
        super::import_done(service, (self.township, no), actor, summary, writes)?;
        Ok(done)
    }

    /// Some rows in one transaction, with their entries of the audit log; roles and pairings as when they are given by hand. An
    /// import that is interrupted between two is run again.
    fn write(&self, service: &Service, items: &[Item], no: u64, actor: Actor) -> Result<(), RegisterError> {
        let mut giving = Giving::new(service, self.township);
        let mut areas = 0_u64;
        for write in items.iter().flat_map(|item| &item.writes) {
            match write {
                Write::Area(entry) => giving.also(storage::Write::Areas(self.township, vec![entry.clone()])),
                Write::ChangedArea(change) => {
                    giving.also(storage::Write::ChangeArea(self.township, (**change).clone()));
                }
                Write::User(user) => giving.make(user.clone())?,
                Write::Unit(unit) => giving.also(storage::Write::Units(vec![unit.clone()])),
                Write::Give(new) if new.household.is_some() => drop(giving.pair_anew(new)?),
                Write::Give(new) => drop(giving.give(new)?),
            }
            areas += u64::from(matches!(write, Write::Area(_) | Write::ChangedArea(_)));
        }
        if areas > 0 {
            let act = Act::new(Action::AreaChanged).in_township(self.township).about("import", no);
            giving.add(act.with("areas", areas), []);
        }
        Ok(giving.done(actor)?)
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
        json!({
            "kind": self.kind.as_str(), "format": self.sheet.format, "sheet": self.sheet.name, "rows": page,
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

/// The header's row and the columns by field.
fn header(sheet: &Sheet, kind: Kind, options: &Options) -> Option<(usize, BTreeMap<String, u16>)> {
    for row in 0..sheet.len().min(HEADER_ROWS) {
        let mut columns = BTreeMap::new();
        for cell in sheet.cells(row) {
            let given = options.mapping.iter().find(|(h, _)| clean::compared(h) == clean::compared(cell.text));
            let field = match given {
                Some((_, name)) => Some(name.as_str()),
                None => Words::built_in().list_field(kind.as_str(), cell.text),
            };
            if let Some(field) = field {
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

/// The end of a day where townships are.
fn end_of_day(day: &str) -> Option<Millis> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date = time::Date::parse(day, format).ok()?.next_day()?;
    let at = date.midnight().assume_utc().unix_timestamp() - i64::from(USUAL_ZONE_MINUTES) * 60;
    u64::try_from(at * 1000).ok()
}

#[cfg(test)]
mod tests;
