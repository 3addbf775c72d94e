//! Which row is the header, and what each column means.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::clean;
use super::schema::{Schema, Words};
use super::sheet::{HEADER_ROWS, Sheet};

/// The mark in a mapping for a column that is left aside.
pub const LEFT: &str = "-";

/// What a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A field of the register.
    Field(usize),
    /// Left aside: it counts up, is computed, or was mapped to nothing.
    Left,
    /// Left aside, since another column before it means the same.
    Twice,
    /// Left aside: nobody knows what it means.
    Unknown,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its place, counted from 0.
    pub index: u16,
    /// Its header.
    pub header: String,
    /// What it means.
    pub target: Target,
}

/// The columns of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// All with a header.
    pub list: Vec<Column>,
    /// The header's row in the sheet, counted from 0.
    pub header_row: usize,
    by_index: Vec<Option<usize>>,
}

/// A mapping by header: the name of a question, or [`LEFT`].
pub type Mapping = BTreeMap<String, String>;

/// SHA-256 of the set of headers, by which a mapping is remembered.
pub fn fingerprint<'a>(headers: impl Iterator<Item = &'a str>) -> [u8; 32] {
    let mut headers: Vec<String> = headers.map(clean::compared).collect();
    headers.sort_unstable();
    headers.dedup();
    Sha256::digest(headers.join("\0").as_bytes()).into()
}

impl Columns {
    /// Finds the header among the first rows: the row of which the most is understood. Cells that span two rows of a header
    /// fill the lower one.
    pub fn find(sheet: &Sheet, schema: &Schema, mapping: &Mapping) -> Option<Self> {
        let mut best = None;
        let mut most = 1;
        for row in 0..sheet.len().min(HEADER_ROWS) {
            let headers = headers_at(sheet, row);
            let known = headers.iter().filter(|(_, h)| mapped(schema, mapping, h).is_some()).count();
            if known > most {
                (most, best) = (known, Some((row, headers)));
            }
        }
        let (header_row, headers) = best?;
        Some(Self::of(headers, header_row, schema, mapping))
    }

    fn of(headers: Vec<(u16, String)>, header_row: usize, schema: &Schema, mapping: &Mapping) -> Self {
        let mut columns = Self { header_row, ..Self::default() };
        for (index, header) in headers {
            let target = match mapped(schema, mapping, &header) {
                Some(Target::Field(field)) if columns.column_of(field).is_some() => Target::Twice,
                Some(target) => target,
                None if Words::built_in().is_left(&clean::compared(&header)) => Target::Left,
                None => Target::Unknown,
            };
            if let Target::Field(field) = target {
                columns.by_index.resize(columns.by_index.len().max(usize::from(index) + 1), None);
                columns.by_index[usize::from(index)] = Some(field);
            }
            columns.list.push(Column { index, header, target });
        }
        columns
    }

    /// The field of a column.
    pub fn field(&self, index: u16) -> Option<usize> {
        self.by_index.get(usize::from(index)).copied().flatten()
    }

    /// The column of a field.
    pub fn column_of(&self, field: usize) -> Option<u16> {
        self.by_index.iter().position(|f| *f == Some(field)).and_then(|at| u16::try_from(at).ok())
    }

    /// The header of a column.
    pub fn header(&self, index: u16) -> &str {
        self.list.iter().find(|c| c.index == index).map_or("", |c| c.header.as_str())
    }

    /// By what a mapping of these columns is remembered.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(self.list.iter().map(|c| c.header.as_str()))
    }

    /// True for a row that repeats the header, as below a page break.
    pub fn is_header_again(&self, sheet: &Sheet, row: usize) -> bool {
        let is_same = |text: &str, column| clean::compared(text) == clean::compared(self.header(column));
        if sheet.cells(row).next().is_none_or(|first| !is_same(first.text, first.column)) {
            return false;
        }
        let (mut same, mut all) = (0, 0);
        for cell in sheet.cells(row) {
            all += 1;
            same += usize::from(is_same(cell.text, cell.column));
        }
        same >= 2 && same * 2 > all
    }
}

fn headers_at(sheet: &Sheet, row: usize) -> Vec<(u16, String)> {
    let text = |row: usize| sheet.cells(row).map(|c| (c.column, clean::tidy(c.text).replace('\n', "")));
    let mut headers: BTreeMap<u16, String> = BTreeMap::new();
    if let Some(above) = row.checked_sub(1) {
        // a title stands alone in its row and isn't a header
        let above: Vec<(u16, String)> = text(above).collect();
        if above.len() >= 2 {
            headers.extend(above);
        }
    }
    headers.extend(text(row));
    headers.into_iter().filter(|(_, h)| !h.is_empty()).collect()
}

/// What a mapping, or else the schema, makes of a header.
fn mapped(schema: &Schema, mapping: &Mapping, header: &str) -> Option<Target> {
    let compared = clean::compared(header);
    let given = mapping.iter().find(|(h, _)| clean::compared(h) == compared).map(|(_, name)| name.as_str());
    match given {
        Some(LEFT) => Some(Target::Left),
        Some(name) => schema.position(name).map(Target::Field),
        None => schema.by_header(header).map(Target::Field),
    }
}
