//! XLSForm as text: the sheet's name in the first column, a header row after it, rows below.

use std::borrow::Cow;

use super::cell::{Value, is_blank};
use super::code::Code;
use super::diagnostic::Problems;
use super::limits;
use super::workbook::{Budget, SheetBuilder, SheetKind, Stop, Workbook, stop};

pub(super) fn read(bytes: &[u8], problems: &mut Problems) -> Result<Workbook, Stop> {
    let text = std::str::from_utf8(bytes).map_err(|_| stop(Code::NotAWorkbook))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let mut workbook = Workbook::default();
    let mut budget = Budget::default();
    let mut open: Option<(String, Vec<Vec<String>>)> = None;
    let mut cells = 0usize;
    for record in reader.records() {
        let record = record.map_err(|_| stop(Code::FileDamaged))?;
        cells += record.len();
        if cells > limits::CELLS * 4 {
            return Err(stop(Code::TooMuch));
        }
        let mut fields = record.iter();
        let name = fields.next().unwrap_or_default().trim();
        if !is_blank(name) {
            close(open.take(), &mut workbook, &mut budget, problems)?;
            open = Some((name.to_owned(), Vec::new()));
        }
        let content: Vec<String> = fields.map(|f| f.trim().to_owned()).collect();
        if let Some((_, lines)) = &mut open
            && content.iter().any(|c| !c.is_empty())
        {
            lines.push(content);
        }
    }
    close(open, &mut workbook, &mut budget, problems)?;
    if !workbook.names.iter().any(|name| SheetKind::of(name).is_some()) {
        return Err(stop(Code::NotAWorkbook));
    }
    Ok(workbook)
}

/// The separator: the sign that is more frequent near the beginning; semicolons come from European spreadsheets.
fn delimiter(text: &str) -> u8 {
    let start = text.get(..text.floor_char_boundary(4096)).unwrap_or(text);
    let count = |sign: char| start.matches(sign).count();
    let (comma, semicolon, tab) = (count(','), count(';'), count('\t'));
    if tab > comma && tab > semicolon {
        b'\t'
    } else if semicolon > comma {
        b';'
    } else {
        b','
    }
}

/// Blank lines don't count in this layout, so rows are numbered as in a sheet: the header is row 1.
fn close(
    open: Option<(String, Vec<Vec<String>>)>,
    workbook: &mut Workbook,
    budget: &mut Budget,
    problems: &mut Problems,
) -> Result<(), Stop> {
    let Some((name, lines)) = open else { return Ok(()) };
    workbook.names.push(name.clone());
    if workbook.names.len() > limits::SHEETS {
        return Err(stop(Code::TooMuch));
    }
    let Some(kind) = SheetKind::of(&name) else { return Ok(()) };
    let mut builder = SheetBuilder::new(&name, budget, problems);
    for (row, cells) in lines.into_iter().enumerate() {
        for (column, text) in cells.into_iter().enumerate() {
            if !text.is_empty() {
                builder.put(row as u32, column as u32 + 1, Value::Text(Cow::Owned(text)))?;
            }
        }
    }
    workbook.sheets.insert(kind, builder.finish());
    Ok(())
}
