//! `.xlsx` and `.xlsm`: shared texts, number formats, and each wanted sheet cell by cell.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};

use super::cell::{Value, is_moment_format, is_moment_format_id, moment_text};
use super::code::Code;
use super::diagnostic::Problems;
use super::limits;
use super::package::{Bounds, Package, Xml, attribute, push_entity, unescaped};
use super::workbook::{Budget, Flow, SheetBuilder, Stop, Workbook, read_ods, stop, wanted};

/// Reads zipped XML: a workbook of Excel, or of OpenDocument.
pub(super) fn read_zipped(bytes: &[u8], problems: &mut Problems) -> Result<Workbook, Stop> {
    let mut package = Package::open(bytes, Bounds::FORM)?;
    if is_ods(&package) {
        return read_ods(&mut package, problems);
    }
    let contents = Contents::read(&mut package)?;
    let mut workbook = Workbook { names: contents.names(), ..Workbook::default() };
    let mut budget = Budget::default();
    for (index, kind) in wanted(&workbook.names) {
        let mut builder = SheetBuilder::new(&workbook.names[index], &mut budget, problems);
        contents.cells(&mut package, index, |row, column, value| builder.put(row, column, value))?;
        workbook.sheets.insert(kind, builder.finish());
    }
    Ok(workbook)
}

/// True for a workbook of OpenDocument.
pub(super) fn is_ods(package: &Package<'_>) -> bool {
    package.has("content.xml") && !package.has("xl/workbook.xml")
}

/// What stands before the cells: where the sheets are, shared texts, formats.
pub(super) struct Contents {
    sheets: Vec<(String, String)>,
    context: Context,
}

impl Contents {
    pub(super) fn read(package: &mut Package<'_>) -> Result<Self, Stop> {
        let path = workbook_path(package)?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let relations = relations(package, &folder, &path)?;
        let (sheets, epoch_1904) = sheet_list(package, &path, &relations)?;
        let part = |kind: &str, default: &str| {
            let found = relations.values().find(|r| r.kind.ends_with(kind)).map(|r| r.target.clone());
            found.unwrap_or_else(|| join(&folder, default))
        };
        let texts = shared_texts(package, &part("/sharedStrings", "sharedStrings.xml"))?;
        let moments = moment_formats(package, &part("/styles", "styles.xml"))?;
        Ok(Self { sheets, context: Context { texts, moments, epoch_1904 } })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.sheets.iter().map(|s| s.0.clone()).collect()
    }

    /// Hands out the cells of a sheet that have a value, in the file's order, until `put` has enough.
    pub(super) fn cells(
        &self,
        package: &mut Package<'_>,
        sheet: usize,
        put: impl FnMut(u32, u32, Value<'_>) -> Result<Flow, Stop>,
    ) -> Result<(), Stop> {
        let Some((_, path)) = self.sheets.get(sheet) else { return Ok(()) };
        read_cells(package, path, &self.context, put)
    }
}

struct Relation {
    kind: String,
    target: String,
}

fn workbook_path(package: &mut Package<'_>) -> Result<String, Stop> {
    let root = relations(package, "", "")?;
    let main = root.values().find(|r| r.kind.ends_with("/officeDocument")).map(|r| r.target.clone());
    let path = main.unwrap_or_else(|| "xl/workbook.xml".to_owned());
    if package.spelling(&path).is_none() {
        return Err(stop(Code::NotAWorkbook));
    }
    Ok(path)
}

/// The relations of a part by id, with targets as whole paths.
fn relations(package: &mut Package<'_>, folder: &str, of: &str) -> Result<HashMap<String, Relation>, Stop> {
    let file = of.rsplit('/').next().unwrap_or_default();
    let mut found = HashMap::new();
    let Some(mut xml) = package.xml(&join(folder, &format!("_rels/{file}.rels")))? else { return Ok(found) };
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "Relationship" => {
                let (Some(id), Some(target)) = (attribute(&e, "Id"), attribute(&e, "Target")) else { continue };
                let kind = attribute(&e, "Type").unwrap_or_default().into_owned();
                let target = match target.strip_prefix('/') {
                    Some(absolute) => absolute.to_owned(),
                    None => join(folder, target.trim_start_matches("./")),
                };
                found.insert(id.into_owned(), Relation { kind, target });
                if found.len() > limits::ZIP_ENTRIES {
                    return Err(stop(Code::ZipBomb));
                }
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// Names and parts of the sheets, and whether days count from 1904.
fn sheet_list(
    package: &mut Package<'_>,
    path: &str,
    relations: &HashMap<String, Relation>,
) -> Result<(Vec<(String, String)>, bool), Stop> {
    let mut xml = package.xml(path)?.ok_or_else(|| stop(Code::NotAWorkbook))?;
    let (mut sheets, mut epoch_1904) = (Vec::new(), false);
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "sheet" => {
                let name = attribute(&e, "name").unwrap_or_default().into_owned();
                let id = e.attributes().with_checks(false).flatten().find(|a| {
                    let key = a.key.as_ref();
                    key.ends_with(":id")
                });
                let id = id.and_then(|a| unescaped(&a));
                let relation = id.and_then(|id| relations.get(&id)).filter(|r| r.kind.ends_with("/worksheet"));
                if let Some(relation) = relation {
                    sheets.push((name, relation.target.clone()));
                }
                if sheets.len() > limits::SHEETS {
                    return Err(stop(Code::TooMuch));
                }
            }
            Event::Start(e) if e.local_name().as_ref() == "workbookPr" => {
                let flag = attribute(&e, "date1904");
                epoch_1904 = matches!(flag.as_deref(), Some("1" | "true"));
            }
            Event::Eof => return Ok((sheets, epoch_1904)),
            _ => {}
        }
    }
}

/// All shared texts in one string, with where each ends.
#[derive(Default)]
struct Texts {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|i| self.ends.get(i)).map_or(0, |e| *e as usize);
        self.all.get(start..end)
    }
}

fn shared_texts(package: &mut Package<'_>, path: &str) -> Result<Texts, Stop> {
    let mut texts = Texts::default();
    let bounds = package.bounds;
    let Some(mut xml) = package.xml(path)? else { return Ok(texts) };
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "si" => {
                read_text(&mut xml, "si", &mut texts.all)?;
                texts.ends.push(u32::try_from(texts.all.len()).map_err(|_| stop(Code::ZipBomb))?);
                if texts.ends.len() > bounds.shared_texts || texts.all.len() > bounds.shared_bytes {
                    return Err(stop(Code::TooMuch));
                }
            }
            Event::Eof => return Ok(texts),
            _ => {}
        }
    }
}

/// The text of all `<t>` up to the end of `closing`, without phonetic readings.
fn read_text(xml: &mut Xml<'_, '_>, closing: &str, out: &mut String) -> Result<(), Stop> {
    let (mut in_text, mut phonetic) = (false, false);
    let start = out.len();
    loop {
        match xml.next()? {
            Event::Start(e) => match e.local_name().as_ref() {
                "t" => in_text = true,
                "rPh" => phonetic = true,
                _ => {}
            },
            Event::End(e) => match e.local_name().as_ref() {
                "t" => in_text = false,
                "rPh" => phonetic = false,
                name if name == closing => break,
                _ => {}
            },
            Event::Text(t) if in_text && !phonetic => out.push_str(&t.xml10_content()),
            Event::CData(t) if in_text && !phonetic => out.push_str(&t.xml10_content()),
            Event::GeneralRef(entity) if in_text && !phonetic => push_entity(&entity, out),
            Event::Eof => return Err(stop(Code::FileDamaged)),
            _ => {}
        }
    }
    if out[start..].contains("_x") {
        let unescaped = unescape_units(&out[start..]);
        out.truncate(start);
        out.push_str(&unescaped);
    }
    Ok(())
}

/// Excel writes a sign that XML can't hold as `_x000D_`.
fn unescape_units(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        out.push_str(&rest[..at]);
        let unit = rest.get(at + 2..at + 6).filter(|_| rest.as_bytes().get(at + 6) == Some(&b'_'));
        let unit = unit.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        match unit {
            Some(c) => {
                out.push(c);
                rest = &rest[at + 7..];
            }
            None => {
                out.push_str("_x");
                rest = &rest[at + 2..];
            }
        }
    }
    out + rest
}

/// For each cell format whether it shows a date or time.
fn moment_formats(package: &mut Package<'_>, path: &str) -> Result<Vec<bool>, Stop> {
    let mut formats = Vec::new();
    let Some(mut xml) = package.xml(path)? else { return Ok(formats) };
    let mut custom: HashMap<u32, bool> = HashMap::new();
    let mut in_cell_formats = false;
    loop {
        match xml.next()? {
            Event::Start(e) => match e.local_name().as_ref() {
                "numFmt" => {
                    let id = attribute(&e, "numFmtId").and_then(|id| id.parse().ok());
                    if let (Some(id), Some(code)) = (id, attribute(&e, "formatCode")) {
                        custom.insert(id, is_moment_format(&code));
                    }
                }
                "cellXfs" => in_cell_formats = true,
                "xf" if in_cell_formats => {
                    let id: u32 = attribute(&e, "numFmtId").and_then(|id| id.parse().ok()).unwrap_or(0);
                    formats.push(custom.get(&id).copied().unwrap_or_else(|| is_moment_format_id(id)));
                }
                _ => {}
            },
            Event::End(e) if e.local_name().as_ref() == "cellXfs" => in_cell_formats = false,
            Event::Eof => return Ok(formats),
            _ => {}
        }
        if formats.len() > limits::CELL_FORMATS || custom.len() > limits::CELL_FORMATS {
            return Err(stop(Code::TooMuch));
        }
    }
}

struct Context {
    texts: Texts,
    moments: Vec<bool>,
    epoch_1904: bool,
}

fn read_cells(
    package: &mut Package<'_>,
    path: &str,
    context: &Context,
    mut put: impl FnMut(u32, u32, Value<'_>) -> Result<Flow, Stop>,
) -> Result<(), Stop> {
    let Some(mut xml) = package.xml(path)? else { return Ok(()) };
    let (mut row, mut column) = (0u32, 0u32);
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "row" => {
                if let Some(number) = attribute(&e, "r").and_then(|r| r.parse::<u32>().ok()) {
                    row = number.saturating_sub(1);
                }
                column = 0;
            }
            Event::End(e) => match e.local_name().as_ref() {
                "row" => row = row.saturating_add(1),
                "sheetData" => return Ok(()),
                _ => {}
            },
            Event::Start(e) if e.local_name().as_ref() == "c" => {
                let head = CellHead::of(&e);
                let (cell_row, cell_column) = head.position.unwrap_or((row, column));
                (row, column) = (cell_row, cell_column.saturating_add(1));
                let value = read_cell(&mut xml, &head, context)?;
                if value != Value::Empty && put(cell_row, cell_column, value)? == Flow::Done {
                    return Ok(());
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Attributes of a `<c>`.
struct CellHead {
    position: Option<(u32, u32)>,
    kind: CellType,
    format: usize,
}

enum CellType {
    Number,
    Shared,
    Text,
    Boolean,
    Error,
    Date,
}

impl CellHead {
    fn of(e: &BytesStart<'_>) -> Self {
        let mut head = Self { position: None, kind: CellType::Number, format: 0 };
        for a in e.attributes().with_checks(false).flatten() {
            let value: &str = a.value.as_ref();
            match a.key.as_ref() {
                "r" => head.position = position(value),
                "s" => head.format = value.parse().unwrap_or(0),
                "t" => {
                    head.kind = match value {
                        "s" => CellType::Shared,
                        "str" | "inlineStr" => CellType::Text,
                        "b" => CellType::Boolean,
                        "e" => CellType::Error,
                        "d" => CellType::Date,
                        _ => CellType::Number,
                    };
                }
                _ => {}
            }
        }
        head
    }
}

/// Row and column, counted from 0, of `B3`.
fn position(reference: &str) -> Option<(u32, u32)> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = reference.split_at(letters);
    if letters.is_empty() || letters.len() > 4 {
        return None;
    }
    let column = letters.bytes().fold(0u32, |n, b| n * 26 + u32::from(b.to_ascii_uppercase() - b'A') + 1);
    let row: u32 = digits.parse().ok()?;
    Some((row.checked_sub(1)?, column - 1))
}

fn read_cell<'c>(xml: &mut Xml<'_, '_>, head: &CellHead, context: &'c Context) -> Result<Value<'c>, Stop> {
    let mut text: Option<String> = None;
    let (mut formula, mut in_value) = (false, false);
    loop {
        match xml.next()? {
            Event::Start(e) => match e.local_name().as_ref() {
                "v" => {
                    in_value = true;
                    text = text.or_else(|| Some(String::new()));
                }
                "f" => formula = true,
                "is" => {
                    let mut inline = String::new();
                    read_text(xml, "is", &mut inline)?;
                    text = Some(inline);
                }
                _ => {}
            },
            Event::End(e) => match e.local_name().as_ref() {
                "v" => in_value = false,
                "c" => break,
                _ => {}
            },
            Event::Text(t) if in_value => text.get_or_insert_default().push_str(&t.xml10_content()),
            Event::CData(t) if in_value => text.get_or_insert_default().push_str(&t.xml10_content()),
            Event::GeneralRef(entity) if in_value => push_entity(&entity, text.get_or_insert_default()),
            Event::Eof => return Err(stop(Code::FileDamaged)),
            _ => {}
        }
    }
    let Some(text) = text else { return Ok(if formula { Value::NoResult } else { Value::Empty }) };
    Ok(value_of(text, head, context))
}

fn value_of<'c>(text: String, head: &CellHead, context: &'c Context) -> Value<'c> {
    match head.kind {
        CellType::Shared => {
            let shared = text.trim().parse().ok().and_then(|index| context.texts.get(index));
            shared.map_or(Value::Empty, |t| Value::Text(Cow::Borrowed(t)))
        }
        CellType::Text => Value::Text(Cow::Owned(if text.contains("_x") { unescape_units(&text) } else { text })),
        CellType::Boolean => Value::Boolean(matches!(text.trim(), "1" | "true" | "TRUE")),
        CellType::Error => Value::Error(Cow::Owned(text)),
        CellType::Date => Value::Moment(text.replace('T', " ").trim_end_matches('Z').to_owned()),
        CellType::Number => match text.trim().parse::<f64>() {
            _ if text.is_empty() => Value::Empty,
            Ok(number) if context.moments.get(head.format) == Some(&true) => {
                moment_text(number, context.epoch_1904).map_or(Value::Number(number), Value::Moment)
            }
            Ok(number) if number.is_finite() => Value::Number(number),
            _ => Value::Text(Cow::Owned(text)),
        },
    }
}
