//! Tables: choice lists and attached files, with an index for each column that is searched by equality.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::value::text_to_number;

/// A table of a [`super::Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// A choice list or an attached file: items with columns, texts throughout. `instance('id')/root/item` gives its items.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    names: HashMap<String, usize>,
    len: usize,
}

#[derive(Debug, Default)]
struct Column {
    name: String,
    /// Cells of the items in order; shorter than the table when the last ones are blank.
    cells: Vec<Arc<str>>,
    by_text: OnceLock<HashMap<Arc<str>, Vec<u32>>>,
    by_number: OnceLock<HashMap<u64, Vec<u32>>>,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item: its columns and their texts. A column that an item lacks is blank there.
    pub fn push<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Arc<str>)>) {
        for (name, text) in cells {
            let at = match self.names.get(name) {
                Some(at) => *at,
                None => {
                    self.names.insert(name.to_owned(), self.columns.len());
                    self.columns.push(Column { name: name.to_owned(), ..Column::default() });
                    self.columns.len() - 1
                }
            };
            let column = &mut self.columns[at];
            column.cells.resize(self.len, blank());
            column.cells.push(text);
            (column.by_text, column.by_number) = (OnceLock::new(), OnceLock::new());
        }
        self.len += 1;
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of a column. The label has one column a language, `label::English (en)`, beside the plain `label`.
    pub fn column(&self, name: &str, language: &str) -> Option<usize> {
        let translated = || self.names.get(&format!("{name}::{language}")).copied();
        if name == "label" { translated() } else { None }.or_else(|| self.names.get(name).copied())
    }

    /// Names of the columns.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// A cell; blank where there is none.
    pub fn cell(&self, item: u32, column: usize) -> Arc<str> {
        let cell = self.columns.get(column).and_then(|c| c.cells.get(item as usize));
        cell.map_or_else(blank, Arc::clone)
    }

    /// Items, in order, whose cell is exactly this text, by an index made at first use. Not for the blank text.
    pub fn find(&self, column: usize, text: &str) -> &[u32] {
        let Some(column) = self.columns.get(column) else { return &[] };
        let index = column.by_text.get_or_init(|| {
            let mut index: HashMap<Arc<str>, Vec<u32>> = HashMap::new();
            for (item, cell) in (0..).zip(&column.cells) {
                index.entry(Arc::clone(cell)).or_default().push(item);
            }
            index
        });
        index.get(text).map_or(&[], Vec::as_slice)
    }

    /// Items, in order, whose cell is exactly this number, by an index made at first use.
    pub fn find_number(&self, column: usize, number: f64) -> &[u32] {
        let Some(column) = self.columns.get(column) else { return &[] };
        let index = column.by_number.get_or_init(|| {
            let mut index: HashMap<u64, Vec<u32>> = HashMap::new();
            for (item, cell) in (0..).zip(&column.cells) {
                let number = text_to_number(cell);
                if !number.is_nan() {
                    index.entry((number + 0.0).to_bits()).or_default().push(item);
                }
            }
            index
        });
        index.get(&(number + 0.0).to_bits()).map_or(&[], Vec::as_slice)
    }
}

fn blank() -> Arc<str> {
    static BLANK: OnceLock<Arc<str>> = OnceLock::new();
    Arc::clone(BLANK.get_or_init(|| Arc::from("")))
}
