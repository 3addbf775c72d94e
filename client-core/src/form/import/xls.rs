//! `.xls` (Excel 97 to 2003, BIFF8): records one after the other; only those with sheets, texts, formats and cells count.

use std::borrow::Cow;
use std::collections::HashMap;

use super::cell::{Value, is_moment_format, is_moment_format_id, moment_text};
use super::code::Code;
use super::diagnostic::Problems;
use super::limits;
use super::ole;
use super::workbook::{Budget, Flow, SheetBuilder, Stop, Workbook, stop, wanted};

mod id {
    pub(super) const FORMULA: u16 = 0x0006;
    pub(super) const EOF: u16 = 0x000A;
    pub(super) const EPOCH: u16 = 0x0022;
    pub(super) const FILE_PASS: u16 = 0x002F;
    pub(super) const CONTINUE: u16 = 0x003C;
    pub(super) const SHEET: u16 = 0x0085;
    pub(super) const MULTIPLE_RK: u16 = 0x00BD;
    pub(super) const RICH_LABEL: u16 = 0x00D6;
    pub(super) const CELL_FORMAT: u16 = 0x00E0;
    pub(super) const SHARED_TEXTS: u16 = 0x00FC;
    pub(super) const SHARED_LABEL: u16 = 0x00FD;
    pub(super) const NUMBER: u16 = 0x0203;
    pub(super) const LABEL: u16 = 0x0204;
    pub(super) const BOOLEAN_OR_ERROR: u16 = 0x0205;
    pub(super) const STRING: u16 = 0x0207;
    pub(super) const RK: u16 = 0x027E;
    pub(super) const NUMBER_FORMAT: u16 = 0x041E;
    pub(super) const BEGIN: u16 = 0x0809;
}

/// The records of a workbook's file.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<u8>, Stop> {
    ole::stream(bytes, &["Workbook", "Book"])
}

pub(super) fn read(bytes: &[u8], problems: &mut Problems) -> Result<Workbook, Stop> {
    let stream = records(bytes)?;
    let globals = Globals::read(&stream)?;
    let mut workbook = Workbook { names: globals.names(), ..Workbook::default() };
    let mut budget = Budget::default();
    for (index, kind) in wanted(&workbook.names) {
        let mut builder = SheetBuilder::new(&workbook.names[index], &mut budget, problems);
        for (row, column, value) in globals.cells(&stream, index)? {
            if builder.put(row, column, value)? == Flow::Done {
                break;
            }
        }
        workbook.sheets.insert(kind, builder.finish());
    }
    Ok(workbook)
}

/// The records of a stream from its start; a cut one ends it.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = u16_at(self.0, 0)?;
        let length = usize::from(u16_at(self.0, 2)?);
        let data = self.0.get(4..4 + length)?;
        self.0 = &self.0[4 + length..];
        Some((kind, data))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn f64_at(bytes: &[u8], at: usize) -> Option<f64> {
    Some(f64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What stands before the sheets.
#[derive(Default)]
pub(super) struct Globals {
    sheets: Vec<(String, usize)>,
    texts: Vec<String>,
    moments: Vec<bool>,
    epoch_1904: bool,
}

impl Globals {
    pub(super) fn names(&self) -> Vec<String> {
        self.sheets.iter().map(|s| s.0.clone()).collect()
    }

    /// The cells of a sheet that have a value, rows ascending.
    pub(super) fn cells<'a>(&'a self, stream: &'a [u8], sheet: usize) -> Result<Vec<Found<'a>>, Stop> {
        let start = self.sheets.get(sheet).and_then(|(_, start)| stream.get(*start..));
        let mut cells = collect_cells(start.unwrap_or_default(), self)?;
        cells.sort_by_key(|(row, column, _)| (*row, *column));
        Ok(cells)
    }

    pub(super) fn read(stream: &[u8]) -> Result<Self, Stop> {
        let mut globals = Self::default();
        let mut custom: HashMap<u32, bool> = HashMap::new();
        let mut formats: Vec<u32> = Vec::new();
        let mut records = Records(stream);
        while let Some((kind, data)) = records.next() {
            match kind {
                id::BEGIN if u16_at(data, 0) != Some(0x0600) => return Err(stop(Code::OldWorkbook)),
                id::FILE_PASS => return Err(stop(Code::FileEncrypted)),
                id::EPOCH => globals.epoch_1904 = u16_at(data, 0) == Some(1),
                id::NUMBER_FORMAT => {
                    if let (Some(id), Some(code)) = (u16_at(data, 0), long_text(data.get(2..).unwrap_or_default())) {
                        custom.insert(u32::from(id), is_moment_format(&code));
                    }
                }
                id::CELL_FORMAT => formats.push(u16_at(data, 2).map_or(0, u32::from)),
                id::SHEET => {
                    // worksheets only: charts and macros have no cells of a form
                    if let (Some(start), Some(0), Some(name)) = (u32_at(data, 0), data.get(5), short_text(data)) {
                        globals.sheets.push((name, start as usize));
                    }
                }
                id::SHARED_TEXTS => {
                    let mut parts = vec![data];
                    while let Some((id::CONTINUE, more)) = Records(records.0).next() {
                        parts.push(more);
                        records.next();
                    }
                    globals.texts = Segments { parts, part: 0, at: 0 }.shared_texts()?;
                }
                id::EOF => break,
                _ => {}
            }
            if globals.sheets.len() > limits::SHEETS || formats.len() > limits::CELL_FORMATS {
                return Err(stop(Code::TooMuch));
            }
        }
        if globals.sheets.is_empty() {
            return Err(stop(Code::NotAWorkbook));
        }
        globals.moments =
            formats.iter().map(|id| custom.get(id).copied().unwrap_or_else(|| is_moment_format_id(*id))).collect();
        Ok(globals)
    }

    fn number(&self, number: f64, format: u16) -> Value<'static> {
        if self.moments.get(usize::from(format)) != Some(&true) {
            return if number.is_finite() { Value::Number(number) } else { Value::Empty };
        }
        if !self.epoch_1904 && (1.0..61.0).contains(&number) {
            return Value::Ambiguous;
        }
        moment_text(number, self.epoch_1904).map_or(Value::Number(number), Value::Moment)
    }
}

/// Characters of one byte each, or of two.
fn decode(bytes: &[u8], wide: bool) -> String {
    if !wide {
        return bytes.iter().map(|b| char::from(*b)).collect();
    }
    let units = bytes.as_chunks::<2>().0.iter().map(|c| u16::from_le_bytes(*c));
    char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// A text with a length of two bytes and a flag.
fn long_text(data: &[u8]) -> Option<String> {
    let length = usize::from(u16_at(data, 0)?);
    let wide = data.get(2)? & 1 == 1;
    let bytes = data.get(3..)?;
    let wanted = if wide { 2 * length } else { length };
    Some(decode(bytes.get(..wanted).unwrap_or(bytes), wide))
}

/// The name in a sheet's record: a length of one byte and a flag.
fn short_text(data: &[u8]) -> Option<String> {
    let length = usize::from(*data.get(6)?);
    let wide = data.get(7)? & 1 == 1;
    let bytes = data.get(8..)?;
    let wanted = if wide { 2 * length } else { length };
    Some(decode(bytes.get(..wanted).unwrap_or(bytes), wide).replace('\0', ""))
}

/// A record with its continuations. A text cut between two goes on with a new flag.
struct Segments<'a> {
    parts: Vec<&'a [u8]>,
    part: usize,
    at: usize,
}

impl<'a> Segments<'a> {
    fn rest(&self) -> &'a [u8] {
        self.parts.get(self.part).and_then(|p| p.get(self.at..)).unwrap_or_default()
    }

    fn next_part(&mut self) -> Option<()> {
        self.part += 1;
        self.at = 0;
        self.parts.get(self.part).map(|_| ())
    }

    fn byte(&mut self) -> Option<u8> {
        while self.rest().is_empty() {
            self.next_part()?;
        }
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self, bytes: u32) -> Option<u32> {
        let mut n = 0;
        for shift in 0..bytes {
            n |= u32::from(self.byte()?) << (8 * shift);
        }
        Some(n)
    }

    fn skip(&mut self, mut bytes: usize) -> Option<()> {
        while bytes > 0 {
            let here = self.rest().len().min(bytes);
            self.at += here;
            bytes -= here;
            if bytes > 0 {
                self.next_part()?;
            }
        }
        Some(())
    }

    fn shared_texts(&mut self) -> Result<Vec<String>, Stop> {
        self.skip(4);
        let count = self.number(4).unwrap_or(0) as usize;
        let mut texts = Vec::new();
        for _ in 0..count {
            let Some(text) = self.text() else { break };
            texts.push(text);
            if texts.len() > limits::SHARED_TEXTS {
                return Err(stop(Code::TooMuch));
            }
        }
        Ok(texts)
    }

    fn text(&mut self) -> Option<String> {
        let mut left = self.number(2)? as usize;
        let mut flags = self.byte()?;
        let runs = if flags & 8 != 0 { self.number(2)? as usize } else { 0 };
        let extra = if flags & 4 != 0 { self.number(4)? as usize } else { 0 };
        let mut text = String::new();
        loop {
            let width = if flags & 1 != 0 { 2 } else { 1 };
            let here = (self.rest().len() / width).min(left);
            text.push_str(&decode(&self.rest()[..here * width], width == 2));
            self.at += here * width;
            left -= here;
            if left == 0 {
                break;
            }
            self.next_part()?;
            flags = self.byte()?;
        }
        self.skip(4 * runs)?;
        self.skip(extra)?;
        Some(text)
    }
}

/// Row, column, value.
pub(super) type Found<'a> = (u32, u32, Value<'a>);

fn collect_cells<'a>(stream: &'a [u8], globals: &'a Globals) -> Result<Vec<Found<'a>>, Stop> {
    let mut cells: Vec<Found<'a>> = Vec::new();
    let mut depth = 0;
    let mut awaited: Option<(u32, u32)> = None;
    for (kind, data) in Records(stream) {
        match kind {
            id::BEGIN => depth += 1,
            id::EOF => {
                depth -= 1;
                if depth <= 0 {
                    break;
                }
            }
            _ if depth > 1 => {} // a chart inside the sheet
            id::STRING => {
                if let (Some((row, column)), Some(text)) = (awaited.take(), long_text(data)) {
                    cells.push((row, column, Value::Text(Cow::Owned(text))));
                }
            }
            id::MULTIPLE_RK => several_numbers(data, globals, &mut cells),
            kind => {
                let Some((row, column)) = u16_at(data, 0).zip(u16_at(data, 2)) else { continue };
                let at = (u32::from(row), u32::from(column));
                match one_value(kind, data, globals) {
                    Some(Value::NoResult) => awaited = Some(at), // the text follows in a record of its own
                    Some(value) => cells.push((at.0, at.1, value)),
                    None => {}
                }
            }
        }
        if cells.len() > limits::CELLS {
            return Err(stop(Code::TooMuch));
        }
    }
    Ok(cells)
}

fn one_value<'a>(kind: u16, data: &'a [u8], globals: &'a Globals) -> Option<Value<'a>> {
    let format = u16_at(data, 4)?;
    match kind {
        id::NUMBER => Some(globals.number(f64_at(data, 6)?, format)),
        id::RK => Some(globals.number(rk(u32_at(data, 6)?), format)),
        id::LABEL | id::RICH_LABEL => Some(Value::Text(Cow::Owned(long_text(data.get(6..)?)?))),
        id::SHARED_LABEL => {
            let text = globals.texts.get(u32_at(data, 6)? as usize)?;
            Some(Value::Text(Cow::Borrowed(text)))
        }
        id::BOOLEAN_OR_ERROR => {
            let value = *data.get(6)?;
            Some(if *data.get(7)? == 0 { Value::Boolean(value != 0) } else { error(value) })
        }
        id::FORMULA => {
            let result = data.get(6..14)?;
            if result[6..] != [0xFF, 0xFF] {
                return Some(globals.number(f64_at(result, 0)?, format));
            }
            Some(match result[0] {
                0 => Value::NoResult,
                1 => Value::Boolean(result[2] != 0),
                2 => error(result[2]),
                _ => Value::Empty,
            })
        }
        _ => None,
    }
}

fn error(code: u8) -> Value<'static> {
    Value::Error(Cow::Borrowed(match code {
        0x00 => "#NULL!",
        0x07 => "#DIV/0!",
        0x0F => "#VALUE!",
        0x17 => "#REF!",
        0x1D => "#NAME?",
        0x24 => "#NUM!",
        0x2A => "#N/A",
        _ => "#ERROR",
    }))
}

/// A number packed into 30 bits, whole or the upper part of a double, maybe in hundredths.
fn rk(packed: u32) -> f64 {
    let number = if packed & 2 != 0 {
        f64::from(packed as i32 >> 2)
    } else {
        f64::from_bits(u64::from(packed & 0xFFFF_FFFC) << 32)
    };
    if packed & 1 != 0 { number / 100.0 } else { number }
}

fn several_numbers<'a>(data: &'a [u8], globals: &'a Globals, cells: &mut Vec<Found<'a>>) {
    let Some((row, first)) = u16_at(data, 0).zip(u16_at(data, 2)) else { return };
    let numbers = data.get(4..data.len().saturating_sub(2)).unwrap_or_default();
    for (i, packed) in numbers.as_chunks::<6>().0.iter().enumerate() {
        if let Some((format, number)) = u16_at(packed, 0).zip(u32_at(packed, 2)) {
            cells.push((u32::from(row), u32::from(first) + i as u32, globals.number(rk(number), format)));
        }
    }
}
