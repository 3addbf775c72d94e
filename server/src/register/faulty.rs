//! The faulty rows back as a workbook with reasons, which imports once it is mended.

use rust_xlsxwriter::{Format, FormatAlign, Workbook, XlsxError};

use super::fault::Fault;
use super::planned::{Planned, State};
use super::sheet::Sheet;
use super::{RegisterError, Table};
use crate::messages::Language;
use crate::service::Service;

/// Rows of a workbook with faulty rows at most: it is made in memory. More come once these are mended.
pub(super) const ROWS_MAX: usize = 100_000;
/// Header of the column with reasons; such a column is left aside when the workbook comes back.
pub const REASONS_ZH: &str = "问题说明";
/// Header of the column with the row's number in the first file.
pub const ROW_ZH: &str = "原行号";

/// A row that goes back.
pub(super) struct Returned {
    pub row: usize,
    /// The household's number, for a row that lacks it.
    pub number: String,
    pub reasons: String,
}

/// A workbook of faulty rows.
pub struct FaultyRows {
    /// The `.xlsx` file; `None` when no row is faulty.
    pub workbook: Option<Vec<u8>>,
    /// Households in it.
    pub households: u64,
    /// Rows in it.
    pub rows: u64,
    /// Faulty rows that had no place in it.
    pub left_out: u64,
}

impl Table {
    /// Makes a workbook of all rows of faulty households, with the reasons in a first column.
    pub fn faulty(&self, service: &Service, language: Language) -> Result<FaultyRows, RegisterError> {
        let (planner, groups) = self.plan(service, None)?;
        let mut notes = groups.notes;
        let mut found = FaultyRows { workbook: None, households: 0, rows: 0, left_out: 0 };
        let mut rows: Vec<Returned> = Vec::new();
        planner.walk(groups.list, &mut notes, &mut |households| {
            for household in households.iter().filter(|h| h.state == State::Faulty) {
                found.households += 1;
                rows.extend(household.rows.iter().map(|row| Returned {
                    row: *row as usize,
                    number: household.number.clone(),
                    reasons: reasons(household, *row as usize, language),
                }));
            }
            Ok(())
        })?;
        found.left_out = rows.len().saturating_sub(ROWS_MAX) as u64;
        rows.truncate(ROWS_MAX);
        found.rows = rows.len() as u64;
        if !rows.is_empty() {
            found.workbook = Some(self.workbook(&rows).map_err(|_| RegisterError::Table("too_much"))?);
        }
        Ok(found)
    }

    fn workbook(&self, rows: &[Returned]) -> Result<Vec<u8>, XlsxError> {
        let headers = self.columns.list.iter().map(|column| (column.index, column.header.clone())).collect();
        let wide = self.schema.position("id_number").and_then(|at| self.columns.column_of(at));
        Sent { sheet: &self.sheet, headers, wide, number: self.keys.number }.workbook(rows)
    }
}

/// A table of which rows go back.
pub(super) struct Sent<'a> {
    pub sheet: &'a Sheet,
    /// Its columns with their headers.
    pub headers: Vec<(u16, String)>,
    /// A column with long numbers.
    pub wide: Option<u16>,
    /// The column of the household's number, which may stand on the household's first row alone.
    pub number: Option<u16>,
}

impl Sent<'_> {
    /// Everything is written as text, so that no number loses a digit and no formula runs; texts that a spreadsheet program
    /// would take for a formula begin with an apostrophe.
    pub fn workbook(&self, rows: &[Returned]) -> Result<Vec<u8>, XlsxError> {
        let mut book = Workbook::new();
        let text = Format::new().set_num_format("@");
        let head = Format::new().set_bold().set_num_format("@");
        let reason = Format::new().set_text_wrap().set_num_format("@").set_align(FormatAlign::Top);
        let sheet = book.add_worksheet();
        sheet.set_column_width(0, 60)?;
        sheet.set_freeze_panes(1, 0)?;
        let column_of = |index: u16| index.saturating_add(2);
        // a column of reasons from before is replaced
        let kept = |index: u16| {
            let header = self.headers.iter().find(|(at, _)| *at == index).map_or("", |(_, header)| header.as_str());
            !matches!(header, "" | REASONS_ZH | ROW_ZH)
        };
        for (index, _) in &self.headers {
            sheet.set_column_format(column_of(*index), &text)?;
            if self.wide == Some(*index) {
                sheet.set_column_width(column_of(*index), 22)?;
            }
        }
        sheet.write_string_with_format(0, 0, REASONS_ZH, &head)?;
        sheet.write_string_with_format(0, 1, ROW_ZH, &head)?;
        for (index, header) in self.headers.iter().filter(|(index, _)| kept(*index)) {
            sheet.write_string_with_format(0, column_of(*index), harmless(header), &head)?;
        }
        for (at, returned) in rows.iter().enumerate() {
            let line = at as u32 + 1;
            sheet.write_string_with_format(line, 0, harmless(&returned.reasons), &reason)?;
            sheet.write_string_with_format(line, 1, self.sheet.number(returned.row).to_string(), &text)?;
            let mut numbered = returned.number.is_empty();
            for cell in self.sheet.cells(returned.row).filter(|c| kept(c.column)) {
                numbered |= Some(cell.column) == self.number;
                sheet.write_string_with_format(line, column_of(cell.column), harmless(cell.text), &text)?;
            }
            // a number that stood on the household's first row alone stands on each
            if let Some(column) = self.number.filter(|_| !numbered) {
                sheet.write_string_with_format(line, column_of(column), harmless(&returned.number), &text)?;
            }
        }
        book.save_to_buffer()
    }
}

fn reasons(household: &Planned, row: usize, language: Language) -> String {
    let own: Vec<String> = household.faults.iter().filter(|f| f.row == row).map(|f| f.message(language)).collect();
    if own.is_empty() { Fault::new("held_back", row).message(language) } else { own.join("\n") }
}

/// A text that no spreadsheet program runs. Reading takes the apostrophe away again.
pub fn harmless(text: &str) -> String {
    let risky =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.chars().count() > 1 && text != super::values::CLEAR;
    if risky { format!("'{text}") } else { text.to_owned() }
}
