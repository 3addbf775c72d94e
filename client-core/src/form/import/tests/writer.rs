//! A small writer of workbooks, which can also write what no spreadsheet program would.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A cell's value as it stands in the file.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(String),
    Number(&'static str),
    Boolean(bool),
    /// A serial number with the format of a date.
    Moment(f64),
    Error(&'static str),
    /// A formula, maybe with its stored result.
    Formula(Option<&'static str>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A sheet: cells by row and column, counted from 0.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) cells: Vec<(u32, u32, Cell)>,
}

impl Sheet {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a row of texts at `row`; blanks are left out.
    pub(super) fn row(mut self, row: u32, texts: &[&str]) -> Self {
        for (column, text) in texts.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            self.cells.push((row, column as u32, (*text).into()));
        }
        self
    }

    pub(super) fn cell(mut self, row: u32, column: u32, cell: Cell) -> Self {
        self.cells.push((row, column, cell));
        self
    }

    fn xml(&self) -> String {
        let mut cells = self.cells.clone();
        cells.sort_by_key(|(row, column, _)| (*row, *column));
        let mut xml = String::from("<worksheet><sheetData>");
        let mut open = None;
        for (row, column, cell) in &cells {
            if open != Some(*row) {
                if open.is_some() {
                    xml.push_str("</row>");
                }
                xml.push_str(&format!("<row r=\"{}\">", row + 1));
                open = Some(*row);
            }
            let at = format!("{}{}", letters(*column), row + 1);
            xml.push_str(&match cell {
                Cell::Text(text) => {
                    format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{}</t></is></c>", escape(text))
                }
                Cell::Number(text) => format!("<c r=\"{at}\"><v>{text}</v></c>"),
                Cell::Boolean(value) => format!("<c r=\"{at}\" t=\"b\"><v>{}</v></c>", u8::from(*value)),
                Cell::Moment(serial) => format!("<c r=\"{at}\" s=\"1\"><v>{serial}</v></c>"),
                Cell::Error(text) => format!("<c r=\"{at}\" t=\"e\"><v>{text}</v></c>"),
                Cell::Formula(Some(value)) => format!("<c r=\"{at}\" t=\"str\"><f>A1</f><v>{value}</v></c>"),
                Cell::Formula(None) => format!("<c r=\"{at}\"><f>A1</f></c>"),
            });
        }
        if open.is_some() {
            xml.push_str("</row>");
        }
        xml + "</sheetData></worksheet>"
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Workbook {
    pub(super) sheets: Vec<Sheet>,
    pub(super) epoch_1904: bool,
}

impl Workbook {
    pub(super) fn of(sheets: impl IntoIterator<Item = Sheet>) -> Self {
        Self { sheets: sheets.into_iter().collect(), epoch_1904: false }
    }

    pub(super) fn parts(&self) -> Vec<(String, String)> {
        let mut list = String::new();
        let mut relations = String::new();
        let mut parts = Vec::new();
        for (i, sheet) in self.sheets.iter().enumerate() {
            let name = escape(&sheet.name);
            list.push_str(&format!("<sheet name=\"{name}\" sheetId=\"{0}\" r:id=\"rId{0}\"/>", i + 1));
            let kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet";
            relations.push_str(&format!(
                "<Relationship Id=\"rId{0}\" Type=\"{kind}\" Target=\"worksheets/sheet{0}.xml\"/>",
                i + 1
            ));
            parts.push((format!("xl/worksheets/sheet{}.xml", i + 1), sheet.xml()));
        }
        let epoch = if self.epoch_1904 { "<workbookPr date1904=\"1\"/>" } else { "" };
        parts.push((
            "xl/workbook.xml".to_owned(),
            format!("<workbook xmlns:r=\"r\">{epoch}<sheets>{list}</sheets></workbook>"),
        ));
        parts.push(("xl/_rels/workbook.xml.rels".to_owned(), format!("<Relationships>{relations}</Relationships>")));
        let styles = "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"22\"/></cellXfs></styleSheet>";
        parts.push(("xl/styles.xml".to_owned(), styles.to_owned()));
        parts
    }

    pub(super) fn to_xlsx(&self) -> Vec<u8> {
        zipped(&self.parts(), CompressionMethod::Deflated)
    }

    /// The same sheets as an OpenDocument file.
    pub(super) fn to_ods(&self) -> Vec<u8> {
        let mut tables = String::new();
        for sheet in &self.sheets {
            let rows = sheet.cells.iter().map(|c| c.0).max().map_or(0, |r| r + 1);
            tables.push_str(&format!("<table:table table:name=\"{}\">", escape(&sheet.name)));
            for row in 0..rows {
                tables.push_str("<table:table-row>");
                let columns = sheet.cells.iter().filter(|c| c.0 == row).map(|c| c.1).max().map_or(0, |c| c + 1);
                for column in 0..columns {
                    let cell = sheet.cells.iter().find(|c| (c.0, c.1) == (row, column)).map(|c| &c.2);
                    tables.push_str(&match cell {
                        Some(Cell::Text(text)) => format!(
                            "<table:table-cell office:value-type=\"string\"><text:p>{}</text:p></table:table-cell>",
                            escape(text)
                        ),
                        Some(Cell::Number(n)) => format!(
                            "<table:table-cell office:value-type=\"float\" office:value=\"{n}\"><text:p>{n}</text:p></table:table-cell>"
                        ),
                        Some(Cell::Boolean(b)) => format!(
                            "<table:table-cell office:value-type=\"boolean\" office:boolean-value=\"{b}\"/>"
                        ),
                        _ => "<table:table-cell/>".to_owned(),
                    });
                }
                tables.push_str("</table:table-row>");
            }
            tables.push_str(
                "<table:table-row table:number-rows-repeated=\"1048000\">\
                 <table:table-cell table:number-columns-repeated=\"16384\"/></table:table-row></table:table>",
            );
        }
        let content = format!(
            "<office:document-content><office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"
        );
        let mimetype = "application/vnd.oasis.opendocument.spreadsheet".to_owned();
        zipped(&[("mimetype".to_owned(), mimetype), ("content.xml".to_owned(), content)], CompressionMethod::Deflated)
    }

    /// The same sheets as XLSForm's text layout.
    pub(super) fn to_csv(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for sheet in &self.sheets {
            writer.write_record([sheet.name.as_str()]).unwrap();
            let rows = sheet.cells.iter().map(|c| c.0).max().map_or(0, |r| r + 1);
            for row in 0..rows {
                let mut record = vec![String::new()];
                for (_, column, cell) in sheet.cells.iter().filter(|c| c.0 == row) {
                    record.resize(*column as usize + 1, String::new());
                    record.push(match cell {
                        Cell::Text(text) => text.clone(),
                        Cell::Number(n) => (*n).to_owned(),
                        _ => "TRUE".to_owned(),
                    });
                }
                writer.write_record(&record).unwrap();
            }
        }
        writer.into_inner().unwrap()
    }
}

/// A container of these parts.
pub(super) fn zipped(parts: &[(String, String)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (path, content) in parts {
        zip.start_file(path.as_str(), options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn letters(column: u32) -> String {
    crate::form::import::Place { column: Some(column), ..Default::default() }.letters().unwrap()
}

/// Reads tables as in the documentation of XLSForm.
pub(super) fn from_tables(text: &str) -> Workbook {
    let mut workbook = Workbook::default();
    for line in text.lines().map(str::trim).filter(|l| l.starts_with('|')) {
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|c| c.trim().replace('\u{1}', "|")).collect();
        let (first, rest) = cells.split_first().unwrap();
        if !first.is_empty() {
            workbook.sheets.push(Sheet::new(first));
        }
        let Some(sheet) = workbook.sheets.last_mut() else { continue };
        if rest.iter().all(String::is_empty) && !first.is_empty() {
            continue;
        }
        let row = sheet.cells.iter().map(|c| c.0).max().map_or(0, |r| r + 1);
        for (column, text) in rest.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            sheet.cells.push((row, column as u32, Cell::Text(text.clone())));
        }
    }
    workbook
}
