//! Lists attached to a form: CSV, XML and GeoJSON files, read into tables.
//!
//! A form that is published carries its lists as CSV text, whatever the files were ([`attach`]): phones read one format, and a
//! corrected list travels as a small difference like the rest of the definition.

#[cfg(feature = "import")]
use std::collections::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::definition::FormDef;
use super::expression::Table;

#[cfg(feature = "import")]
mod geojson;
#[cfg(feature = "import")]
mod xml;

/// The most cells of an attached file; of a longer CSV text the rest is left out.
pub const CELLS_MAX: usize = 1_000_000;
/// The largest file that can be attached, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// The most that one list takes in a definition, in bytes of CSV.
pub const LIST_BYTES_MAX: usize = 2 << 20;
/// The most that all lists of a form take together, in bytes of CSV.
pub const LISTS_BYTES_MAX: usize = 3 << 20;

/// Why a file can't be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// Larger than [`FILE_BYTES_MAX`], [`LIST_BYTES_MAX`] or [`CELLS_MAX`] allow.
    #[error("{0} is too large: a list takes 16 MB as a file, 2 MB as text and a million cells at most")]
    TooLarge(String),
    /// More than [`LISTS_BYTES_MAX`] together.
    #[error("the form's attached lists are too large together: 3 MB as text at most")]
    TooLargeTogether,
    /// Not UTF-8, or not in the format that its name says.
    #[error("{name} can't be read as {format}: {reason}")]
    Unreadable {
        /// The file.
        name: String,
        /// CSV, XML or GeoJSON.
        format: &'static str,
        /// What is wrong.
        reason: Fault,
    },
    /// The name ends otherwise.
    #[error("{0} isn't a list: the name must end in .csv, .xml or .geojson")]
    UnknownFormat(String),
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Other bytes than UTF-8.
    #[error("it isn't UTF-8 text")]
    NotUtf8,
    /// The format's own rules are broken.
    #[error("it is damaged")]
    Damaged,
    /// A document type, or an entity that XML itself doesn't define.
    #[error("it has a document type or entities of its own, which aren't read")]
    Entities,
    /// Nothing in it looks like an item.
    #[error("there are no items in it")]
    NoItems,
    /// Places of another kind than points, lines and outlines.
    #[error("it has geometry other than Point, LineString and Polygon")]
    Geometry,
}

/// Items with their columns, as a file has them.
#[derive(Debug, Default)]
struct List {
    columns: Vec<String>,
    /// Places of the columns.
    #[cfg(feature = "import")]
    named: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
    cells: usize,
}

impl List {
    /// Adds an item; false when the list is full.
    #[cfg(feature = "import")]
    fn push(&mut self, item: Vec<(String, String)>) -> bool {
        let mut row = Vec::new();
        for (name, text) in item {
            let name = column_name(&name);
            if name.is_empty() {
                continue;
            }
            let at = *self.named.entry(name).or_insert_with_key(|name| {
                self.columns.push(name.clone());
                self.columns.len() - 1
            });
            if row.len() <= at {
                row.resize(at + 1, String::new());
            }
            row[at] = text;
        }
        self.cells += row.len().max(1);
        self.rows.push(row);
        self.cells <= CELLS_MAX && self.columns.len() <= COLUMNS_MAX
    }

    /// As CSV text; trailing blanks of a row are left out.
    #[cfg(feature = "import")]
    fn to_csv(&self) -> String {
        let (mut out, mut first) = (String::new(), true);
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let filled = row.iter().rposition(|c| !c.is_empty()).map_or(1, |at| at + 1);
            for (at, cell) in row.iter().take(filled).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if cell.contains(['"', ',', '\n', '\r', ';']) || cell.trim() != cell {
                    out.push('"');
                    out.push_str(&cell.replace('"', "\"\""));
                    out.push('"');
                } else {
                    out.push_str(cell);
                }
            }
            if first && out.contains(';') && !out.contains(',') {
                // so that the header still says which sign separates
                out.push(',');
            }
            first = false;
            out.push('\n');
        }
        out
    }

    /// Columns without a name are left out; of those with the same name the first counts.
    fn into_table(self) -> Table {
        let mut table = Table::new();
        let mut seen = BTreeSet::new();
        let counts: Vec<bool> = self.columns.iter().map(|name| !name.is_empty() && seen.insert(name)).collect();
        for row in self.rows {
            let named = self.columns.iter().map(String::as_str).zip(row).zip(&counts).filter(|(_, counts)| **counts);
            table.push(named.map(|((name, cell), _)| (name, Arc::from(cell))));
        }
        table
    }
}

/// A column's name: runs of blanks and line ends count as one blank.
fn column_name(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The most columns of an XML or GeoJSON list.
#[cfg(feature = "import")]
const COLUMNS_MAX: usize = 1_000;

/// Reads an attached file in the format that its name says.
///
/// # Errors
/// When it isn't in this format, or too large.
#[cfg(feature = "import")]
pub fn read_table(name: &str, bytes: &[u8]) -> Result<Table, AttachmentError> {
    Ok(read(name, bytes)?.into_table())
}

#[cfg(feature = "import")]
fn read(name: &str, bytes: &[u8]) -> Result<List, AttachmentError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(AttachmentError::TooLarge(name.to_owned()));
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    let format = match ending.as_str() {
        "csv" => "CSV",
        "xml" => "XML",
        "geojson" => "GeoJSON",
        _ => return Err(AttachmentError::UnknownFormat(name.to_owned())),
    };
    let unreadable = |reason| AttachmentError::Unreadable { name: name.to_owned(), format, reason };
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable(Fault::NotUtf8))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let list = match format {
        "CSV" => Ok(csv_list(text)),
        "XML" => xml::read(text),
        _ => geojson::read(text),
    };
    let list = list.map_err(unreadable)?;
    if list.cells > CELLS_MAX {
        return Err(AttachmentError::TooLarge(name.to_owned()));
    }
    Ok(list)
}

/// Puts a file with a form, as the list that the form calls `name`. A file of this name that was there is replaced.
///
/// # Errors
/// When it can't be read, or is too large for a form that phones fetch.
#[cfg(feature = "import")]
pub fn attach(def: &mut FormDef, name: &str, bytes: &[u8]) -> Result<(), AttachmentError> {
    let csv = read(name, bytes)?.to_csv();
    if csv.len() > LIST_BYTES_MAX {
        return Err(AttachmentError::TooLarge(name.to_owned()));
    }
    def.attachments.insert(name.to_owned(), csv);
    if def.attachments.values().map(String::len).sum::<usize>() > LISTS_BYTES_MAX {
        def.attachments.remove(name);
        return Err(AttachmentError::TooLargeTogether);
    }
    Ok(())
}

/// The lists that a form needs and doesn't carry: choices from files, external instances, `pulldata`.
pub fn missing(def: &FormDef) -> Vec<&str> {
    let needed = def.extra.get("files").and_then(|f| f.as_array()).into_iter().flatten().filter_map(|n| n.as_str());
    needed.filter(|name| !def.attachments.contains_key(*name)).collect()
}

/// The tables of the lists that a form carries, by file name.
pub(super) fn tables(def: &FormDef) -> BTreeMap<String, Arc<Table>> {
    let read = |text: &String| Arc::new(csv_list(text).into_table());
    def.attachments.iter().map(|(name, text)| (name.clone(), read(text))).collect()
}

/// Reads a CSV file: a header row, fields separated by commas (or semicolons, where the header has no comma), quotes doubled
/// inside quotes, with or without byte order mark. Never fails: what can't be read as UTF-8 is replaced.
pub fn csv_table(bytes: &[u8]) -> Table {
    let text = String::from_utf8_lossy(bytes);
    csv_list(text.strip_prefix('\u{feff}').unwrap_or(&text)).into_table()
}

fn csv_list(text: &str) -> List {
    let header_line = text.lines().next().unwrap_or_default();
    let separator = if header_line.contains(',') || !header_line.contains(';') { ',' } else { ';' };
    let mut rows = Rows { rest: text.chars().peekable(), separator };
    let trimmed = |row: Vec<String>| row.into_iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let header = rows.next().unwrap_or_default();
    let mut list = List { columns: header.iter().map(|name| column_name(name)).collect(), ..List::default() };
    for row in rows {
        list.cells += row.len();
        if list.cells > CELLS_MAX {
            break;
        }
        if !row.iter().all(String::is_empty) {
            list.rows.push(trimmed(row));
        }
    }
    list
}

struct Rows<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    separator: char,
}

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        self.rest.peek()?;
        let mut row = vec![String::new()];
        let mut quoted = false;
        while let Some(sign) = self.rest.next() {
            let cell = row.last_mut()?;
            match sign {
                '"' if quoted && self.rest.peek() == Some(&'"') => {
                    self.rest.next();
                    cell.push('"');
                }
                '"' if quoted => quoted = false,
                '"' if cell.trim().is_empty() => {
                    cell.clear();
                    quoted = true;
                }
                '\n' if !quoted => break,
                '\r' if !quoted => {}
                sign if sign == self.separator && !quoted => row.push(String::new()),
                sign => cell.push(sign),
            }
        }
        Some(row)
    }
}

#[cfg(all(test, feature = "import"))]
mod tests;
