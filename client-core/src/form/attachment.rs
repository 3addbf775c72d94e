//! Files attached to a form, read into tables.

use std::sync::Arc;

use super::expression::Table;

/// The most cells of an attached file; what is beyond is left out.
pub const CELLS_MAX: usize = 5_000_000;

/// Reads a CSV file: a header row, fields separated by commas (or semicolons, where the header has no comma), quotes doubled
/// inside quotes, with or without byte order mark. Never fails: what can't be read as UTF-8 is replaced.
pub fn csv_table(bytes: &[u8]) -> Table {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let header_line = text.lines().next().unwrap_or_default();
    let separator = if header_line.contains(',') || !header_line.contains(';') { ',' } else { ';' };
    let mut rows = Rows { rest: text.chars().peekable(), separator };
    let header = rows.next().unwrap_or_default();
    let mut table = Table::new();
    let mut cells = 0;
    for row in rows {
        cells += row.len();
        if cells > CELLS_MAX {
            break;
        }
        if row.iter().all(String::is_empty) {
            continue;
        }
        let named = header.iter().map(|h| h.trim()).zip(row).filter(|(name, _)| !name.is_empty());
        table.push(named.map(|(name, cell)| (name, Arc::from(cell.trim()))));
    }
    table
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str, column: &str) -> Vec<String> {
        let table = csv_table(text.as_bytes());
        let at = table.column(column, "");
        let cell = |item| at.map_or_else(String::new, |at| table.cell(item, at).to_string());
        (0..u32::try_from(table.len()).unwrap_or(0)).map(cell).collect()
    }

    #[test]
    fn quotes_separators_and_line_ends_of_all_kinds_are_understood() {
        assert_eq!(cells("name,label\na,\"x, \"\"y\"\"\nz\"\r\nb,\n\n", "label"), ["x, \"y\"\nz", ""]);
        assert_eq!(cells("\u{feff}name;label\na;b,c\n", "label"), ["b,c"]);
        assert_eq!(cells("name,label\na,\"never closed", "label"), ["never closed"]);
        assert_eq!(cells("", "label"), Vec::<String>::new());
    }
}
