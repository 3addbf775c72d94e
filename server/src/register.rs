//! The register: households and members, areas, people and pairings from the spreadsheets that offices have.
//!
//! 1. [`sheet`] reads the file under limits, [`columns`] finds the header and what each column means ([`schema`]).
//! 2. `rows` puts rows together to households, `values` and `clean` read the cells.
//! 3. `planner` compares each household with what the register has (`content`, `documents`) and gives what would change,
//!    or what is wrong. It writes nothing; [`preview`] shows it, [`faulty`] gives the faulty rows back.
//! 4. [`apply`] writes it as the office, [`undo`] takes it back.
//!
//! Messages stand in `messages/register.json`, the words of offices in `messages/register_words.json`. See docs/register.md.

mod answers;
pub mod apply;
pub mod clean;
pub mod columns;
mod content;
mod documents;

pub mod fault;
pub mod faulty;
pub mod lists;
mod members;
mod places;
pub mod planned;
mod planner;
pub mod preview;
mod rows;
pub mod schema;
pub mod sheet;
pub mod undo;
mod values;

use doorstep_core::id::{UserId, first16};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::messages::{Language, Text};
use crate::service::audit::{Act, Action, Actor};
use crate::service::grants::GrantError;
use crate::service::office::WriteError;
use crate::service::{Refused, Service};
use crate::storage::register::{ImportRow, ImportState, NewImport};
use crate::storage::{StorageError, TownshipId, User, Write};

use columns::{Columns, Mapping};
use content::{Content, Found};
use fault::Fault;
use places::Places;
use planner::Planner;
use rows::{Group, Groups, KeyColumns};
use schema::Schema;
use sheet::{Sheet, SheetError};

/// Why an import couldn't be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The file can't be read.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// The table, or what was asked, is wrong as a whole: a code of `messages/register.json`.
    #[error("{}", fault::text(.0).en)]
    Table(&'static str),
    /// Somebody has built on the import since: it can't be undone.
    #[error("{} records were edited since: {}", .count, .numbers.join(", "))]
    EditedSince {
        /// Which kind of import: `edited_since` (households) or `used_since`.
        code: &'static str,
        /// How many households or rows.
        count: usize,
        /// Numbers of the first of them.
        numbers: Vec<String>,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The merge pipeline refused a change.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A role or pairing can't be given any more.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl From<Refused> for RegisterError {
    fn from(refused: Refused) -> Self {
        Self::Write(refused.into())
    }
}

impl RegisterError {
    /// The code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sheet(SheetError::Table(code)) | Self::Table(code) => code,
            Self::Sheet(SheetError::Workbook(problem)) => problem.code.as_str(),
            Self::EditedSince { code, .. } => code,
            Self::Storage(_) | Self::Write(_) | Self::Grant(_) => "internal",
        }
    }

    /// What to tell people; `None` for what is the server's fault.
    pub fn text(&self) -> Option<Text> {
        match self {
            Self::Sheet(error) => Some(error.text()),
            Self::Table(code) => Some(fault::text(code)),
            Self::EditedSince { code, count, numbers } => {
                let fault = Fault::new(code, 0).with("count", count).with("numbers", numbers.join("、"));
                Some(Text { zh: fault.message(Language::Zh), en: fault.message(Language::En) })
            }
            Self::Storage(_) | Self::Write(_) | Self::Grant(_) => None,
        }
    }
}

/// How a file is to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The file's name.
    pub file_name: String,
    /// The workbook's sheet; the first with a header that is understood if none is named.
    pub sheet: Option<String>,
    /// What columns mean, by header: a question's name, or `-` for a column to leave aside.
    pub mapping: Mapping,
    /// Only these questions are written, and nobody is added.
    pub only: Vec<String>,
    /// The village of all rows that name none.
    pub village: Option<String>,
}

impl Options {
    /// SHA-256 of the file and of all that decides how it is read.
    fn fingerprint(&self, bytes: &[u8]) -> [u8; 32] {
        let how = (&self.sheet, &self.mapping, &self.only, &self.village);
        let mut hash = Sha256::new();
        hash.update(Sha256::digest(bytes));
        hash.update(serde_json::to_vec(&how).unwrap_or_default());
        hash.finalize().into()
    }
}

/// A table of households that was read and understood.
pub struct Table {
    township: TownshipId,
    schema: Schema,
    sheet: Sheet,
    columns: Columns,
    keys: KeyColumns,
    only: Option<Vec<usize>>,
    village: Option<String>,
    mapping: Mapping,
    fingerprint: [u8; 32],
}

/// The kind of imports of households.
pub const HOUSEHOLDS: &str = "households";

impl Table {
    /// Reads a file of households and members.
    pub fn read(
        service: &Service,
        township: TownshipId,
        bytes: &[u8],
        options: &Options,
    ) -> Result<Self, RegisterError> {
        let form = service.forms()?.of_type("household").ok_or(RegisterError::Table("no_form"))?;
        let schema = Schema::of(form).ok_or(RegisterError::Table("no_form"))?;
        for name in options.mapping.values().filter(|name| *name != columns::LEFT) {
            schema.position(name).ok_or(RegisterError::Table("unknown_target"))?;
        }
        let known = |sheet: &Sheet| Columns::find(sheet, &schema, &options.mapping).is_some();
        let sheet = sheet::read(bytes, options.sheet.as_deref(), &known)?;
        let (columns, mapping) = understand(service, township, &sheet, &schema, &options.mapping)?;
        let keys = KeyColumns::of(&schema, &columns);
        let only = only_fields(&schema, &columns, &options.only)?;
        match &only {
            None if keys.number.is_none() => return Err(RegisterError::Table("no_number_column")),
            Some(_) if keys.id.is_none() && keys.number.is_none() => return Err(RegisterError::Table("no_person_key")),
            _ => {}
        }
        let fingerprint = options.fingerprint(bytes);
        Ok(Self {
            township,
            schema,
            sheet,
            columns,
            keys,
            only,
            village: options.village.clone(),
            mapping,
            fingerprint,
        })
    }

    /// Puts the rows together and reads what the register holds. `upto` is the feed's number that a preview showed.
    fn plan<'a>(&'a self, service: &'a Service, upto: Option<u64>) -> Result<(Planner<'a>, Groups), RegisterError> {
        let (_, areas) = service.storage.areas(self.township)?;
        let places = Places::of(&areas);
        let village = match &self.village {
            Some(name) => Some(places.village(name).ok_or(RegisterError::Table("no_such_village"))?),
            None => None,
        };
        let record_type = &self.schema.form.record_type;
        let content = Content::read(&*service.storage, self.township, record_type, &self.schema.repeat)?;
        let groups = match &self.only {
            None => rows::group(&self.sheet, &self.schema, &self.columns, &self.keys),
            Some(_) => self.single_rows(&content),
        };
        let mut classes: Vec<&'static str> =
            self.schema.fields.iter().map(|f| f.class.as_str()).filter(|class| *class != "core").collect();
        classes.sort_unstable();
        classes.dedup();
        let planner = Planner {
            service,
            township: self.township,
            schema: &self.schema,
            sheet: &self.sheet,
            columns: &self.columns,
            keys: self.keys,
            places,
            content,
            only: self.only.clone(),
            village,
            upto,
            classes,
        };
        Ok((planner, groups))
    }

    /// With chosen columns each row stands for itself: a wrong one holds back no other.
    fn single_rows(&self, content: &Content) -> Groups {
        let mut groups = Groups::default();
        for row in rows::data_rows(&self.sheet, &self.columns, &self.keys, &mut groups.notes) {
            groups.rows += 1;
            let cell = |column: Option<u16>| column.and_then(|c| self.sheet.cell(row as usize, c));
            let id = cell(self.keys.id).and_then(|c| clean::id_number(c.text, false).ok());
            let by_id = id.map(|id| content.by_id(&id)).unwrap_or_default();
            let number = cell(self.keys.number).and_then(values::code).unwrap_or_default();
            let known = match (by_id.as_slice(), content.by_number(&number)) {
                ([(at, _)], _) => Some(*at),
                ([], Found::One(at)) if !number.is_empty() => Some(at),
                _ => None,
            };
            let code = if by_id.len() > 1 { "several_in_register" } else { "not_in_register" };
            let faults = if known.is_none() { vec![Fault::new(code, row as usize)] } else { Vec::new() };
            groups.list.push(Group { number, rows: vec![row], faults, known });
        }
        groups
    }
}

/// The columns: by the mapping that is given, else by the one that was used last with these headers.
fn understand(
    service: &Service,
    township: TownshipId,
    sheet: &Sheet,
    schema: &Schema,
    given: &Mapping,
) -> Result<(Columns, Mapping), RegisterError> {
    let none = || RegisterError::Table("no_header");
    let columns = Columns::find(sheet, schema, given).ok_or_else(none)?;
    if !given.is_empty() {
        return Ok((columns, given.clone()));
    }
    let remembered = service.storage.column_mapping(township, HOUSEHOLDS, columns.fingerprint())?;
    let remembered: Mapping = remembered.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    // what the form has no more counts as not remembered
    let remembered: Mapping =
        remembered.into_iter().filter(|(_, name)| name == columns::LEFT || schema.position(name).is_some()).collect();
    if remembered.is_empty() {
        return Ok((columns, remembered));
    }
    Ok((Columns::find(sheet, schema, &remembered).unwrap_or(columns), remembered))
}

fn only_fields(schema: &Schema, columns: &Columns, only: &[String]) -> Result<Option<Vec<usize>>, RegisterError> {
    if only.is_empty() {
        return Ok(None);
    }
    let field = |name: &String| {
        let field = schema.position(name.trim()).or_else(|| schema.by_header(name))?;
        columns.column_of(field).map(|_| field)
    };
    let fields: Option<Vec<usize>> = only.iter().map(field).collect();
    fields.map(Some).ok_or(RegisterError::Table("unknown_only"))
}

/// Counts of households or persons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// That come into the register.
    pub new: u64,
    /// That get other answers.
    pub changed: u64,
    /// That stay as they are.
    pub unchanged: u64,
    /// That are held back.
    pub faulty: u64,
}

impl Counts {
    fn add(&mut self, state: planned::State) {
        match state {
            planned::State::New => self.new += 1,
            planned::State::Changed => self.changed += 1,
            planned::State::Unchanged => self.unchanged += 1,
            planned::State::Faulty => self.faulty += 1,
        }
    }
}

/// Who stands for the office.
pub fn office_user_id(service: &Service) -> UserId {
    let mut hash = Sha256::new();
    hash.update(b"doorstep/office-user/1");
    hash.update(service.secrets.tenant.0);
    UserId(first16(&hash.finalize()))
}

/// The user in whose name the office imports, made if it isn't there yet.
pub fn office_user(service: &Service) -> Result<UserId, StorageError> {
    let id = office_user_id(service);
    if service.storage.users()?.iter().all(|u| u.id != id) {
        let user = User { id, name: fault::text("office_user").zh, unit: String::new() };
        service.storage.put_users(&[user])?;
    }
    Ok(id)
}

/// A file's name without its folder, short enough to be kept.
fn short_name(file_name: &str) -> String {
    file_name.rsplit(['/', '\\']).next().unwrap_or_default().chars().filter(|c| *c != '\0').take(120).collect()
}

/// Begins an import, or goes on with the same one; gives its number.
fn begin_import(
    service: &Service,
    township: TownshipId,
    import: &NewImport,
    actor: Actor,
) -> Result<u64, StorageError> {
    let begun = |row: &ImportRow| {
        let act = Act::new(Action::Imported).in_township(township).about("import", row.no);
        service.entry(actor, act.with("begun", true))
    };
    Ok(service.storage.begin_import(township, import, &begun)?.no)
}

/// Notes that an import is done, here and in the audit log.
fn import_done(
    service: &Service,
    (township, no): (TownshipId, u64),
    actor: Actor,
    summary: String,
    changes: usize,
) -> Result<(), StorageError> {
    let act = Act::new(Action::Imported).in_township(township).about("import", no).with("changes", changes);
    let done = Write::Import(township, no, ImportState::Done, service.clock.now_ms(), Some(summary));
    service.act(actor, act, [done]).map(drop)
}

#[cfg(test)]
mod tests;
