//! A workbook as the importer sees it: the sheets of a form, their headers and the rows below, each cell a text.

use std::collections::BTreeMap;

use super::cell::{Kind, Value, is_blank};
use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::{csv_file, limits, ods, xls, xlsx};

/// The sheets that mean something; any other is left aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SheetKind {
    Survey,
    Choices,
    Settings,
    ExternalChoices,
    Entities,
    Osm,
}

impl SheetKind {
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Survey, "survey"),
        (Self::Choices, "choices"),
        (Self::Settings, "settings"),
        (Self::ExternalChoices, "external_choices"),
        (Self::Entities, "entities"),
        (Self::Osm, "osm"),
    ];

    /// The kind of a sheet with this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(kind, _)| *kind)
    }
}

/// One cell below a header.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// The column, counted from 0.
    pub(super) column: u16,
    pub(super) kind: Kind,
    pub(super) text: Box<str>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Counted from 1.
    pub(super) number: u32,
    /// Those with a value, by column.
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) name: String,
    /// By column; `None` where the header cell is empty.
    pub(super) headers: Vec<Option<String>>,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Default)]
pub(super) struct Workbook {
    /// All sheets' names, in order.
    pub(super) names: Vec<String>,
    pub(super) sheets: BTreeMap<SheetKind, Sheet>,
}

impl Workbook {
    pub(super) fn sheet(&self, kind: SheetKind) -> Option<&Sheet> {
        self.sheets.get(&kind)
    }
}

/// Reads a workbook of any format, told by its content.
pub(super) fn read(bytes: &[u8], problems: &mut Problems) -> Option<Workbook> {
    if bytes.len() > limits::FILE_BYTES {
        problems.add(Diagnostic::new(Code::FileTooLarge, Place::default()));
        return None;
    }
    let read = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        xlsx::read_zipped(bytes, problems)
    } else if bytes.starts_with(&[0xD0, 0xCF, 0x11, 0xE0]) {
        xls::read(bytes, problems)
    } else {
        csv_file::read(bytes, problems)
    };
    match read {
        Ok(workbook) => Some(workbook),
        Err(stop) => {
            problems.add(*stop);
            None
        }
    }
}

/// Why reading can't go on.
pub(super) type Stop = Box<Diagnostic>;

/// A diagnostic about the whole file, as a reason to stop.
pub(super) fn stop(code: Code) -> Stop {
    Box::new(Diagnostic::new(code, Place::default()))
}

/// Which sheets to read, and as what: the known ones, or the only one.
pub(super) fn wanted(names: &[String]) -> Vec<(usize, SheetKind)> {
    let mut wanted: Vec<(usize, SheetKind)> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let kind = SheetKind::of(name).or((names.len() == 1).then_some(SheetKind::Survey));
        if let Some(kind) = kind {
            wanted.retain(|(_, k)| *k != kind);
            wanted.push((index, kind));
        }
    }
    wanted
}

/// What all sheets of a workbook may still use.
#[derive(Debug)]
pub(super) struct Budget {
    cells: usize,
    text: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { cells: limits::CELLS, text: limits::TEXT_BYTES }
    }
}

impl Budget {
    /// Takes one cell with its text; otherwise says which limit it would break.
    fn spend(&mut self, bytes: usize) -> Result<(), Code> {
        if bytes > limits::CELL_BYTES {
            return Err(Code::CellTooLong);
        }
        let (Some(cells), Some(text)) = (self.cells.checked_sub(1), self.text.checked_sub(bytes)) else {
            return Err(Code::TooMuch);
        };
        (self.cells, self.text) = (cells, text);
        Ok(())
    }
}

/// Whether a sheet's remaining cells still matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    Done,
}

/// Takes a sheet's cells in order and keeps those that stand under a header, up to the first long gap.
pub(super) struct SheetBuilder<'a> {
    sheet: Sheet,
    header: BTreeMap<u32, HeaderCell>,
    header_frozen: bool,
    budget: &'a mut Budget,
    problems: &'a mut Problems,
}

enum HeaderCell {
    Text(String),
    Other,
}

impl<'a> SheetBuilder<'a> {
    pub(super) fn new(name: &str, budget: &'a mut Budget, problems: &'a mut Problems) -> Self {
        let sheet = Sheet { name: name.to_owned(), ..Sheet::default() };
        Self { sheet, header: BTreeMap::new(), header_frozen: false, budget, problems }
    }

    /// Takes one cell, rows ascending; `row` and `column` are counted from 0. A cell far off costs nothing.
    pub(super) fn put(&mut self, row: u32, column: u32, value: Value<'_>) -> Result<Flow, Stop> {
        if row == 0 {
            self.put_header(column, value)?;
            return Ok(Flow::More);
        }
        self.freeze_header();
        let last = self.sheet.rows.last().map_or(1, |r| r.number);
        if row + 1 > last.saturating_add(limits::EMPTY_ROWS + 1) {
            return Ok(Flow::Done);
        }
        let under_header = usize::try_from(column).ok().and_then(|c| self.sheet.headers.get(c));
        if row + 1 < last || !matches!(under_header, Some(Some(_))) {
            return Ok(Flow::More);
        }
        let place = || Place::sheet(&self.sheet.name).row(row + 1).column(column);
        let (kind, text) = match value {
            Value::Error(name) => {
                self.problems.add(Diagnostic::new(Code::ErrorCell, place()).with("value", name));
                return Ok(Flow::More);
            }
            Value::NoResult => {
                self.problems.add(Diagnostic::new(Code::FormulaWithoutValue, place()));
                return Ok(Flow::More);
            }
            Value::Ambiguous => {
                self.problems.add(Diagnostic::new(Code::AmbiguousDate, place()));
                return Ok(Flow::More);
            }
            value => value.into_text(),
        };
        let text = text.trim();
        if is_blank(text) {
            return Ok(Flow::More);
        }
        if let Err(code) = self.budget.spend(text.len()) {
            return Err(Box::new(Diagnostic::new(code, place())));
        }
        let cell = Cell { column: column as u16, kind, text: text.into() };
        match self.sheet.rows.last_mut() {
            Some(last) if last.number == row + 1 => match last.cells.last() {
                Some(before) if before.column >= cell.column => {}
                _ => last.cells.push(cell),
            },
            _ => self.sheet.rows.push(Row { number: row + 1, cells: vec![cell] }),
        }
        Ok(Flow::More)
    }

    fn put_header(&mut self, column: u32, value: Value<'_>) -> Result<(), Stop> {
        if self.header_frozen || column > u32::from(u16::MAX) {
            return Ok(());
        }
        let cell = match value {
            Value::Text(text) if is_blank(text.trim()) => return Ok(()),
            Value::Text(text) => {
                if let Err(code) = self.budget.spend(text.len()) {
                    let place = Place::sheet(&self.sheet.name).row(1).column(column);
                    return Err(Box::new(Diagnostic::new(code, place)));
                }
                HeaderCell::Text(collapse_spaces(&text))
            }
            Value::Empty | Value::NoResult => return Ok(()),
            _ => HeaderCell::Other,
        };
        self.header.insert(column, cell);
        Ok(())
    }

    /// Settles the header: a run of more than 20 empty cells ends it.
    fn freeze_header(&mut self) {
        if std::mem::replace(&mut self.header_frozen, true) {
            return;
        }
        for (column, cell) in std::mem::take(&mut self.header) {
            let column_at = column as usize;
            if column_at > self.sheet.headers.len() + limits::EMPTY_HEADERS {
                break;
            }
            self.sheet.headers.resize(column_at, None);
            match cell {
                HeaderCell::Text(text) => self.sheet.headers.push(Some(text)),
                HeaderCell::Other => {
                    let place = Place::sheet(&self.sheet.name).row(1).column(column);
                    self.problems.add(Diagnostic::new(Code::HeaderNotText, place));
                    self.sheet.headers.push(None);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Sheet {
        self.freeze_header();
        self.sheet
    }
}

/// Runs of spaces as one space, none at the ends.
pub(super) fn collapse_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

/// The reading of an `.ods` file lives beside that of `.xlsx`; both are zipped XML.
pub(super) use ods::read as read_ods;
