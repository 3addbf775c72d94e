//! The audit log as a file: a table for spreadsheet programs, or a JSON object a line.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Service;
use crate::export::{BYTE_ORDER_MARK, cell};
use crate::storage::audit::AUDIT_PAGE;
use crate::storage::{AuditRow, StorageError};
use crate::web::times;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A table for spreadsheet programs.
    #[default]
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl Format {
    /// Its name, also the end of a file's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Why the log could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file can't be written.
    #[error("the file can't be written")]
    Io(#[from] io::Error),
    /// The file can't be written.
    #[error("the file can't be written")]
    Csv(#[from] csv::Error),
}

/// An entry for programs.
pub fn row_json(row: &AuditRow) -> Value {
    let AuditRow { position, entry } = row;
    json!({
        "no": position.seq,
        "chain": HEXLOWER.encode(&position.chain.0),
        "at_ms": entry.at_ms,
        "actor": entry.actor,
        "action": entry.action,
        "township": entry.township,
        "about": entry.subjects.split(' ').filter(|s| !s.is_empty()).collect::<Vec<_>>(),
        "reason": entry.reason,
        "details": serde_json::from_str::<Value>(&entry.details).unwrap_or(Value::Null),
    })
}

const HEADER: [&str; 10] =
    ["no", "time", "at_ms", "actor", "action", "township", "about", "reason", "details", "chain"];

fn row_cells(AuditRow { position, entry }: &AuditRow) -> [String; 10] {
    let text = |t: &str| cell(t).into_owned();
    [
        position.seq.to_string(),
        times::minute(entry.at_ms).unwrap_or_default(),
        entry.at_ms.to_string(),
        text(&entry.actor),
        text(&entry.action),
        entry.township.map(|t| t.to_string()).unwrap_or_default(),
        text(&entry.subjects),
        text(&entry.reason),
        text(&entry.details),
        HEXLOWER.encode(&position.chain.0),
    ]
}

impl Service {
    /// Writes the whole log, in order; gives how many entries.
    pub fn write_audit(&self, format: Format, to: &mut dyn Write) -> Result<u64, ExportError> {
        match format {
            Format::Csv => {
                to.write_all(BYTE_ORDER_MARK)?;
                let mut csv = csv::Writer::from_writer(&mut *to);
                csv.write_record(HEADER)?;
                let written = self.each_entry(|row| Ok(csv.write_record(row_cells(row))?))?;
                csv.flush()?;
                Ok(written)
            }
            Format::Jsonl => self.each_entry(|row| Ok(writeln!(to, "{}", row_json(row))?)),
        }
    }

    fn each_entry(&self, mut take: impl FnMut(&AuditRow) -> Result<(), ExportError>) -> Result<u64, ExportError> {
        let mut after = 0;
        loop {
            let rows = self.storage.audit_after(after, AUDIT_PAGE)?;
            let Some(last) = rows.last() else { return Ok(after) };
            after = last.position.seq;
            rows.iter().try_for_each(&mut take)?;
        }
    }
}
