//! Tables of any content, such as a township's register: the same readers, with the rows handed out one by one and limits of
//! the caller's. Nothing is kept here but the row in hand and the file's shared texts.

use super::cell::{self, Value, is_blank};
use super::code::Code;
use super::diagnostic::{Diagnostic, Place};
use super::package::{Bounds, Package};
use super::workbook::{Flow, Stop, stop};
use super::xls::{self, Globals};
use super::xlsx::{self, Contents};

/// What a table may cost at most. Each is checked before the memory is used.
#[derive(Debug, Clone, Copy)]
pub struct GridLimits {
    /// Largest file, in bytes.
    pub file_bytes: usize,
    /// All parts of the file together once inflated, in bytes; they are streamed.
    pub inflated_bytes: u64,
    /// Texts that several cells may share; these are kept.
    pub shared_texts: usize,
    /// Their bytes.
    pub shared_bytes: usize,
    /// Cells with a value that are handed out.
    pub cells: usize,
    /// Text of all these cells, in bytes.
    pub text_bytes: usize,
    /// Text of one cell, in bytes.
    pub cell_bytes: usize,
    /// Columns; cells further right are left out.
    pub columns: u16,
}

/// What a cell held before it became text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// A text, as it stands.
    Text,
    /// A number, without exponent. One of more than 15 digits isn't what was typed: spreadsheets keep no more.
    Number,
    /// True or false, as `TRUE` or `FALSE`.
    Boolean,
    /// A date as `2024-05-06 00:00:00`, or a time as `07:30:00`.
    Moment,
    /// `#N/A` and the like, or a formula without a result.
    Error,
}

/// One cell with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridCell {
    /// The column, counted from 0.
    pub column: u16,
    /// What it was.
    pub kind: CellKind,
    /// Its text.
    pub text: String,
}

/// True for bytes that begin like a workbook of Excel (`.xlsx`, `.xls`), which [`Grid::open`] takes.
pub fn is_workbook(bytes: &[u8]) -> bool {
    is_zipped(bytes) || bytes.starts_with(&[0xD0, 0xCF, 0x11, 0xE0])
}

fn is_zipped(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// An open workbook.
pub struct Grid<'a> {
    source: Source<'a>,
    limits: GridLimits,
}

enum Source<'a> {
    Xlsx(Package<'a>, Contents),
    Xls(Vec<u8>, Globals),
}

impl<'a> Grid<'a> {
    /// Opens a workbook and reads what stands before its cells.
    ///
    /// # Errors
    /// Says why the file can't be read and what to do.
    pub fn open(bytes: &'a [u8], limits: GridLimits) -> Result<Self, Box<Diagnostic>> {
        if bytes.len() > limits.file_bytes {
            return Err(stop(Code::FileTooLarge));
        }
        let source = if is_zipped(bytes) { open_xlsx(bytes, &limits) } else { open_xls(bytes) };
        Ok(Self { source: source?, limits })
    }

    /// The sheets' names, in order.
    pub fn sheets(&self) -> Vec<String> {
        match &self.source {
            Source::Xlsx(_, contents) => contents.names(),
            Source::Xls(_, globals) => globals.names(),
        }
    }

    /// Hands out the rows of a sheet that have a value, each with its number as spreadsheets show it, until `take` says false.
    ///
    /// # Errors
    /// Says why the sheet can't be read on and what to do.
    pub fn rows(
        &mut self,
        sheet: usize,
        take: &mut dyn FnMut(u32, &[GridCell]) -> bool,
    ) -> Result<(), Box<Diagnostic>> {
        let mut rows = Rows { limits: self.limits, number: 0, row: Vec::new(), cells: 0, bytes: 0, take };
        let read = match &mut self.source {
            Source::Xlsx(package, contents) => {
                contents.cells(package, sheet, |row, column, value| rows.put(row, column, value))
            }
            Source::Xls(stream, globals) => globals.cells(stream, sheet).and_then(|cells| {
                for (row, column, value) in cells {
                    if rows.put(row, column, value)? == Flow::Done {
                        break;
                    }
                }
                Ok(())
            }),
        };
        read?;
        rows.flush();
        Ok(())
    }
}

fn open_xlsx<'a>(bytes: &'a [u8], limits: &GridLimits) -> Result<Source<'a>, Stop> {
    let bounds = Bounds {
        inflated_bytes: limits.inflated_bytes,
        shared_texts: limits.shared_texts,
        shared_bytes: limits.shared_bytes,
    };
    let mut package = Package::open(bytes, bounds)?;
    if xlsx::is_ods(&package) {
        return Err(stop(Code::NotAWorkbook));
    }
    let contents = Contents::read(&mut package)?;
    Ok(Source::Xlsx(package, contents))
}

fn open_xls(bytes: &[u8]) -> Result<Source<'static>, Stop> {
    let stream = xls::records(bytes)?;
    let globals = Globals::read(&stream)?;
    Ok(Source::Xls(stream, globals))
}

/// Puts cells together to rows.
struct Rows<'t> {
    limits: GridLimits,
    /// Of the row in hand, counted from 1; 0 before the first.
    number: u32,
    row: Vec<GridCell>,
    cells: usize,
    bytes: usize,
    take: &'t mut dyn FnMut(u32, &[GridCell]) -> bool,
}

impl Rows<'_> {
    fn put(&mut self, row: u32, column: u32, value: Value<'_>) -> Result<Flow, Stop> {
        let number = row.saturating_add(1);
        if number != self.number {
            if !self.flush() {
                return Ok(Flow::Done);
            }
            // rows stand in order in every file that a program wrote; one that goes back is left out
            if number < self.number {
                return Ok(Flow::More);
            }
            self.number = number;
        }
        let in_order = self.row.last().is_none_or(|before| u32::from(before.column) < column);
        let Some(column) = u16::try_from(column).ok().filter(|c| *c < self.limits.columns && in_order) else {
            return Ok(Flow::More);
        };
        let (kind, text) = text_of(value);
        if is_blank(&text) {
            return Ok(Flow::More);
        }
        let place = || Place { row: Some(number), column: Some(column.into()), ..Place::default() };
        if text.len() > self.limits.cell_bytes {
            return Err(Box::new(Diagnostic::new(Code::CellTooLong, place())));
        }
        (self.cells, self.bytes) = (self.cells + 1, self.bytes + text.len());
        if self.cells > self.limits.cells || self.bytes > self.limits.text_bytes {
            return Err(Box::new(Diagnostic::new(Code::TooMuch, place())));
        }
        self.row.push(GridCell { column, kind, text });
        Ok(Flow::More)
    }

    /// Hands out the row in hand; false when there is enough.
    fn flush(&mut self) -> bool {
        let more = self.row.is_empty() || (self.take)(self.number, &self.row);
        self.row.clear();
        more
    }
}

fn text_of(value: Value<'_>) -> (CellKind, String) {
    match value {
        Value::Text(text) => (CellKind::Text, text.into_owned()),
        Value::Error(name) => (CellKind::Error, name.into_owned()),
        Value::NoResult | Value::Ambiguous => (CellKind::Error, "?".to_owned()),
        value => {
            let (kind, text) = value.into_text();
            let kind = match kind {
                cell::Kind::Text => CellKind::Text,
                cell::Kind::Number => CellKind::Number,
                cell::Kind::Boolean => CellKind::Boolean,
                cell::Kind::Moment => CellKind::Moment,
            };
            (kind, text)
        }
    }
}
