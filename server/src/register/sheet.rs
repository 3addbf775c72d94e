//! A table as it came: CSV in the encodings of offices, or a sheet of a workbook, held compactly under limits.

use doorstep_core::form::import::Diagnostic;
use doorstep_core::form::import::grid::{CellKind, Grid, GridCell, GridLimits, is_workbook};
use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use crate::messages::Text;

use super::fault;

/// Largest file, in bytes.
pub const FILE_BYTES: usize = 64 << 20;
/// Most rows of a table.
pub const ROWS: usize = 400_000;
/// Most cells with a value.
const CELLS: usize = 12_000_000;
/// Most text in all cells together, in bytes.
const TEXT_BYTES: usize = 160 << 20;
/// Longest text of one cell, in bytes.
const CELL_BYTES: usize = 8 << 10;
/// Columns that are read.
const COLUMNS: u16 = 256;
/// What a workbook may cost: its sheets are streamed, its shared texts are kept.
const WORKBOOK: GridLimits = GridLimits {
    file_bytes: FILE_BYTES,
    inflated_bytes: 2 << 30,
    shared_texts: 4_000_000,
    shared_bytes: 96 << 20,
    cells: CELLS,
    text_bytes: TEXT_BYTES,
    cell_bytes: CELL_BYTES,
    columns: COLUMNS,
};
/// Rows in which a sheet must show its header.
pub const HEADER_ROWS: usize = 30;

/// Why a file can't be read as a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// A workbook that can't be read.
    #[error("{}", .0.message("en"))]
    Workbook(Box<Diagnostic>),
    /// Anything else: a code of `messages/register.json`.
    #[error("{}", fault::text(.0).en)]
    Table(&'static str),
}

impl SheetError {
    /// What to tell people.
    pub fn text(&self) -> Text {
        match self {
            Self::Workbook(problem) => Text { zh: problem.message("zh"), en: problem.message("en") },
            Self::Table(code) => fault::text(code),
        }
    }
}

impl From<Box<Diagnostic>> for SheetError {
    fn from(problem: Box<Diagnostic>) -> Self {
        if problem.code.as_str() == "not_a_workbook" { Self::Table("not_a_table") } else { Self::Workbook(problem) }
    }
}

#[derive(Debug, Clone, Copy)]
struct CellSpan {
    column: u16,
    kind: CellKind,
    end: u32,
}

/// A table: rows with a value, in order.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The sheet's name; empty for CSV.
    pub name: String,
    /// How it was written: `xlsx`, `xls`, or the encoding of a CSV.
    pub format: &'static str,
    /// Number as spreadsheets show it, and where the row's cells end.
    rows: Vec<(u32, u32)>,
    cells: Vec<CellSpan>,
    text: String,
}

/// One cell with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The column, counted from 0.
    pub column: u16,
    /// What it was.
    pub kind: CellKind,
    /// Its text as it stands.
    pub text: &'a str,
}

impl Sheet {
    /// Rows with a value.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row's number as spreadsheets show it.
    pub fn number(&self, row: usize) -> u32 {
        self.rows.get(row).map_or(0, |(number, _)| *number)
    }

    /// The cells of a row that have a value, by column.
    pub fn cells(&self, row: usize) -> impl Iterator<Item = Cell<'_>> {
        let start = row.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |(_, end)| *end as usize);
        let end = self.rows.get(row).map_or(start, |(_, end)| *end as usize);
        (start..end).map(move |at| {
            let from = at.checked_sub(1).and_then(|before| self.cells.get(before)).map_or(0, |c| c.end as usize);
            let span = self.cells[at];
            Cell { column: span.column, kind: span.kind, text: &self.text[from..span.end as usize] }
        })
    }

    /// The cell of a column.
    pub fn cell(&self, row: usize, column: u16) -> Option<Cell<'_>> {
        self.cells(row).find(|c| c.column == column)
    }

    fn push(
        &mut self,
        number: u32,
        cells: impl IntoIterator<Item = (u16, CellKind, impl AsRef<str>)>,
    ) -> Result<(), SheetError> {
        let before = self.cells.len();
        for (column, kind, text) in cells {
            let text = text.as_ref();
            if text.len() > CELL_BYTES {
                return Err(SheetError::Table("cell_too_long"));
            }
            if self.cells.len() >= CELLS || self.text.len() + text.len() > TEXT_BYTES {
                return Err(SheetError::Table("too_much"));
            }
            self.text.push_str(text);
            self.cells.push(CellSpan { column, kind, end: self.text.len() as u32 });
        }
        if self.cells.len() > before {
            if self.rows.len() >= ROWS {
                return Err(SheetError::Table("too_many_rows"));
            }
            self.rows.push((number, self.cells.len() as u32));
        }
        Ok(())
    }
}

/// Reads a table. Of a workbook the sheet that is named, else the first whose first rows `is_table` knows.
pub fn read(bytes: &[u8], named: Option<&str>, is_table: &dyn Fn(&Sheet) -> bool) -> Result<Sheet, SheetError> {
    if bytes.len() > FILE_BYTES {
        return Err(SheetError::Table("file_too_large"));
    }
    let sheet = if is_workbook(bytes) { read_workbook(bytes, named, is_table)? } else { read_csv(bytes)? };
    if sheet.is_empty() { Err(SheetError::Table("empty")) } else { Ok(sheet) }
}

fn read_workbook(bytes: &[u8], named: Option<&str>, is_table: &dyn Fn(&Sheet) -> bool) -> Result<Sheet, SheetError> {
    let format = if bytes.starts_with(b"PK") { "xlsx" } else { "xls" };
    let mut grid = Grid::open(bytes, WORKBOOK)?;
    let names = grid.sheets();
    let mut first = None;
    for (at, name) in names.iter().enumerate() {
        if named.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let start = rows_of(&mut grid, at, HEADER_ROWS)?;
        if named.is_some() || is_table(&start) {
            first = Some(at);
            break;
        }
        if !start.is_empty() {
            first = first.or(Some(at));
        }
    }
    let Some(at) = first else {
        return Err(SheetError::Table(if named.is_some() { "no_such_sheet" } else { "empty" }));
    };
    let sheet = rows_of(&mut grid, at, usize::MAX)?;
    Ok(Sheet { name: names.get(at).cloned().unwrap_or_default(), format, ..sheet })
}

fn rows_of(grid: &mut Grid<'_>, at: usize, most: usize) -> Result<Sheet, SheetError> {
    let mut sheet = Sheet::default();
    let mut failed = None;
    grid.rows(at, &mut |number, cells: &[GridCell]| {
        let cells = cells.iter().map(|c| (c.column, c.kind, c.text.as_str()));
        match sheet.push(number, cells) {
            Ok(()) => sheet.len() < most,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    failed.map_or(Ok(sheet), Err)
}

/// The encodings in which spreadsheet programs write CSV.
fn decode(bytes: &[u8]) -> Result<(String, &'static str), SheetError> {
    let with = |encoding: &'static Encoding, name| {
        let (text, _, failed) = encoding.decode(bytes);
        if failed { Err(SheetError::Table("encoding")) } else { Ok((text.into_owned(), name)) }
    };
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        let name = if encoding == UTF_8 { "utf-8 (bom)" } else { "utf-16" };
        return with(encoding, name);
    }
    if bytes.contains(&0) {
        // every second byte of Latin digits is 0 in UTF-16
        let odd = bytes.iter().skip(1).step_by(2).take(512).filter(|b| **b == 0).count();
        let even = bytes.iter().step_by(2).take(512).filter(|b| **b == 0).count();
        return match odd.cmp(&even) {
            std::cmp::Ordering::Greater => with(UTF_16LE, "utf-16"),
            std::cmp::Ordering::Less => with(UTF_16BE, "utf-16"),
            std::cmp::Ordering::Equal => Err(SheetError::Table("not_a_table")),
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((text.to_owned(), "utf-8")),
        Err(_) => with(GB18030, "gbk"),
    }
}

/// The separator: the sign of which the first lines have the most outside quotes.
fn delimiter(text: &str) -> u8 {
    let start = text.get(..text.floor_char_boundary(16 << 10)).unwrap_or(text);
    let mut quoted = false;
    let mut counts = [(b',', 0usize), (b';', 0), (b'\t', 0)];
    for byte in start.bytes() {
        quoted ^= byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(sign, _)| !quoted && *sign == byte) {
            *count += 1;
        }
    }
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(sign, _)| *sign)
}

fn read_csv(bytes: &[u8]) -> Result<Sheet, SheetError> {
    if bytes.starts_with(b"%PDF") || bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xff\xd8\xff") {
        return Err(SheetError::Table("not_a_table"));
    }
    let (text, format) = decode(bytes)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(&text))
        .from_reader(text.as_bytes());
    let mut sheet = Sheet { format, ..Sheet::default() };
    let mut record = csv::StringRecord::new();
    // rows are counted as spreadsheets do: a line break inside a cell begins no row
    let mut inside = 0;
    while reader.read_record(&mut record).map_err(|_| SheetError::Table("encoding"))? {
        let start = record.position().map_or(0, |p| p.byte() as usize);
        let line = record.position().map_or(0, csv::Position::line) + blank_lines(&text, start);
        let number = u32::try_from(line.saturating_sub(inside)).unwrap_or(u32::MAX);
        inside += record.iter().map(|f| f.bytes().filter(|b| *b == b'\n').count() as u64).sum::<u64>();
        let filled = record.iter().take(usize::from(COLUMNS)).enumerate();
        let filled = filled.filter(|(_, text)| !text.chars().all(char::is_whitespace));
        sheet.push(number, filled.map(|(column, text)| (column as u16, CellKind::Text, text)))?;
    }
    Ok(sheet)
}

/// Line ends before the record that follows at a byte: the reader skips blank lines without counting them to the record.
fn blank_lines(text: &str, start: usize) -> u64 {
    let blank = text.as_bytes().get(start..).unwrap_or_default().iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    blank.filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests;
