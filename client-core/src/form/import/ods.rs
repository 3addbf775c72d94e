//! `.ods` (OpenDocument): one part holds all sheets; repeated rows and cells are counted, never copied out.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};

use super::cell::Value;
use super::code::Code;
use super::diagnostic::Problems;
use super::limits;
use super::package::{Package, Xml, attribute, push_entity};
use super::workbook::{Budget, Flow, Sheet, SheetBuilder, Stop, Workbook, stop, wanted};

pub(super) fn read(package: &mut Package<'_>, problems: &mut Problems) -> Result<Workbook, Stop> {
    refuse_encrypted(package)?;
    let mut workbook = Workbook { names: sheet_names(package)?, ..Workbook::default() };
    let wanted = wanted(&workbook.names);
    let mut budget = Budget::default();
    let mut xml = package.xml("content.xml")?.ok_or_else(|| stop(Code::NotAWorkbook))?;
    let mut index = 0;
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "table" => {
                if let Some((_, kind)) = wanted.iter().find(|(i, _)| *i == index) {
                    let name = &workbook.names[index];
                    let sheet = read_sheet(&mut xml, name, &mut budget, problems)?;
                    workbook.sheets.insert(*kind, sheet);
                }
                index += 1;
            }
            Event::Eof => return Ok(workbook),
            _ => {}
        }
    }
}

fn refuse_encrypted(package: &mut Package<'_>) -> Result<(), Stop> {
    let Some(mut xml) = package.xml("META-INF/manifest.xml")? else { return Ok(()) };
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "encryption-data" => return Err(stop(Code::FileEncrypted)),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn sheet_names(package: &mut Package<'_>) -> Result<Vec<String>, Stop> {
    let mut xml = package.xml("content.xml")?.ok_or_else(|| stop(Code::NotAWorkbook))?;
    let mut names = Vec::new();
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "table" => {
                names.push(attribute(&e, "name").unwrap_or_default().into_owned());
                if names.len() > limits::SHEETS {
                    return Err(stop(Code::TooMuch));
                }
            }
            Event::Eof => return Ok(names),
            _ => {}
        }
    }
}

fn read_sheet(xml: &mut Xml<'_, '_>, name: &str, budget: &mut Budget, problems: &mut Problems) -> Result<Sheet, Stop> {
    let mut builder = SheetBuilder::new(name, budget, problems);
    let mut row = 0u32;
    let mut flow = Flow::More;
    loop {
        match xml.next()? {
            Event::Start(e) if e.local_name().as_ref() == "table-row" => {
                let repeated = count(&e, "number-rows-repeated");
                let cells = read_row(xml)?;
                // a row of values repeated is rare; more copies than a gap of empty rows may have aren't meant
                let copies = if cells.is_empty() { 0 } else { repeated.min(limits::EMPTY_ROWS) };
                for copy in 0..copies {
                    for (column, value) in &cells {
                        if flow == Flow::More {
                            flow = builder.put(row + copy, *column, value.clone())?;
                        }
                    }
                }
                row = row.saturating_add(repeated).min(u32::MAX / 2);
            }
            Event::End(e) if e.local_name().as_ref() == "table" => return Ok(builder.finish()),
            Event::Eof => return Err(stop(Code::FileDamaged)),
            _ => {}
        }
    }
}

fn count(e: &BytesStart<'_>, name: &str) -> u32 {
    attribute(e, name).and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, 1 << 24)
}

/// The cells of a row that have a value, with their columns.
fn read_row(xml: &mut Xml<'_, '_>) -> Result<Vec<(u32, Value<'static>)>, Stop> {
    let mut cells = Vec::new();
    let mut column = 0u32;
    loop {
        match xml.next()? {
            Event::Start(e) if matches!(e.local_name().as_ref(), "table-cell" | "covered-table-cell") => {
                let repeated = count(&e, "number-columns-repeated");
                let head = Head::of(&e);
                let closing = e.local_name().as_ref().to_owned();
                let text = read_paragraphs(xml, &closing)?;
                let value = head.value(text);
                if value != Value::Empty {
                    for copy in 0..repeated.min(limits::EMPTY_HEADERS as u32) {
                        cells.push((column.saturating_add(copy), value.clone()));
                    }
                    if cells.len() > usize::from(u16::MAX) {
                        return Err(stop(Code::TooMuch));
                    }
                }
                column = column.saturating_add(repeated);
            }
            Event::End(e) if e.local_name().as_ref() == "table-row" => return Ok(cells),
            Event::Eof => return Err(stop(Code::FileDamaged)),
            _ => {}
        }
    }
}

struct Head {
    kind: String,
    value: Option<String>,
    formula: bool,
}

impl Head {
    fn of(e: &BytesStart<'_>) -> Self {
        let kind = attribute(e, "value-type").unwrap_or_default().into_owned();
        let name = match kind.as_str() {
            "date" => "date-value",
            "time" => "time-value",
            "boolean" => "boolean-value",
            _ => "value",
        };
        let value = attribute(e, name).map(Cow::into_owned);
        Self { kind, value, formula: attribute(e, "formula").is_some() }
    }

    fn value(self, text: String) -> Value<'static> {
        if self.formula && (text.starts_with("#") || text.starts_with("Err:")) {
            return Value::Error(Cow::Owned(text));
        }
        match (self.kind.as_str(), self.value) {
            ("float" | "percentage" | "currency", Some(value)) => {
                value.parse().map_or(Value::Text(Cow::Owned(text)), Value::Number)
            }
            ("boolean", Some(value)) => Value::Boolean(value == "true"),
            ("date", Some(value)) => {
                let (date, time) = value.split_once('T').unwrap_or((&value, "00:00:00"));
                let time = time.split('.').next().unwrap_or(time);
                Value::Moment(format!("{date} {time}"))
            }
            ("time", Some(value)) => Value::Moment(duration_text(&value).unwrap_or(text)),
            ("", _) if text.is_empty() => {
                if self.formula {
                    Value::NoResult
                } else {
                    Value::Empty
                }
            }
            _ if text.is_empty() => Value::Empty,
            _ => Value::Text(Cow::Owned(text)),
        }
    }
}

/// `PT07H30M00S` as `07:30:00`.
fn duration_text(value: &str) -> Option<String> {
    let rest = value.strip_prefix("PT")?;
    let (hours, rest) = rest.split_once('H')?;
    let (minutes, rest) = rest.split_once('M')?;
    let seconds = rest.trim_end_matches('S').split(['.', ',']).next()?;
    let number = |text: &str| text.parse::<u32>().ok();
    Some(format!("{:02}:{:02}:{:02}", number(hours)?, number(minutes)?, number(seconds)?))
}

/// The paragraphs of a cell, one a line; comments left out.
fn read_paragraphs(xml: &mut Xml<'_, '_>, closing: &str) -> Result<String, Stop> {
    let mut text = String::new();
    let (mut paragraphs, mut in_paragraph, mut in_comment) = (0, false, false);
    loop {
        match xml.next()? {
            Event::Start(e) => match e.local_name().as_ref() {
                "annotation" => in_comment = true,
                "p" if !in_comment => {
                    if paragraphs > 0 {
                        text.push('\n');
                    }
                    paragraphs += 1;
                    in_paragraph = true;
                }
                "s" if in_paragraph => {
                    let spaces = count(&e, "c").min(1_000);
                    text.extend(std::iter::repeat_n(' ', spaces as usize));
                }
                "tab" if in_paragraph => text.push('\t'),
                "line-break" if in_paragraph => text.push('\n'),
                _ => {}
            },
            Event::End(e) => match e.local_name().as_ref() {
                "annotation" => in_comment = false,
                "p" if !in_comment => in_paragraph = false,
                name if name == closing => return Ok(text),
                _ => {}
            },
            Event::Text(t) if in_paragraph => text.push_str(&t.xml10_content()),
            Event::CData(t) if in_paragraph => text.push_str(&t.xml10_content()),
            Event::GeneralRef(entity) if in_paragraph => push_entity(&entity, &mut text),
            Event::Eof => return Err(stop(Code::FileDamaged)),
            _ => {}
        }
        if text.len() > limits::CELL_BYTES {
            return Err(stop(Code::CellTooLong));
        }
    }
}
