//! The faulty rows of a list back as a workbook with reasons, which imports once it is mended.

use super::{List, State};
use crate::messages::Language;
use crate::register::RegisterError;
use crate::register::faulty::{FaultyRows, ROWS_MAX, Returned, Sent};
use crate::service::Service;

impl List {
    /// Makes a workbook of all faulty rows, with the reasons in a first column.
    pub fn faulty(&self, service: &Service, language: Language) -> Result<FaultyRows, RegisterError> {
        let mut rows: Vec<Returned> = Vec::new();
        for item in self.plan(service)?.into_iter().filter(|item| item.state == State::Faulty) {
            let reasons: Vec<String> = item.faults.iter().map(|fault| fault.message(language)).collect();
            rows.extend(item.faults.first().map(|fault| Returned {
                row: fault.row,
                number: String::new(),
                reasons: reasons.join("\n"),
            }));
        }
        let mut found = FaultyRows { workbook: None, households: 0, rows: 0, left_out: 0 };
        found.left_out = rows.len().saturating_sub(ROWS_MAX) as u64;
        rows.truncate(ROWS_MAX);
        found.rows = rows.len() as u64;
        found.households = found.rows;
        if !rows.is_empty() {
            let headers = self.sheet.cells(self.header_row).map(|cell| (cell.column, cell.text.to_owned()));
            let sent = Sent { sheet: &self.sheet, headers: headers.collect(), wide: None, number: None };
            found.workbook = Some(sent.workbook(&rows).map_err(|_| RegisterError::Table("too_much"))?);
        }
        Ok(found)
    }
}
