//! A zip container with XML inside, opened under limits: entries, inflated bytes over all parts, the size of one tag or text.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::code::Code;
use super::limits;
use super::workbook::{Stop, stop};

/// How much a container may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of all parts together, once inflated.
    pub(super) inflated_bytes: u64,
    /// Shared texts.
    pub(super) shared_texts: usize,
    /// Their bytes.
    pub(super) shared_bytes: usize,
}

impl Bounds {
    /// Those of a form.
    pub(super) const FORM: Self = Self {
        inflated_bytes: limits::INFLATED_BYTES,
        shared_texts: limits::SHARED_TEXTS,
        shared_bytes: limits::INFLATED_BYTES as usize,
    };
}

/// A container; every part that is read takes from one allowance.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    left: Rc<Cell<u64>>,
    pub(super) bounds: Bounds,
}

impl<'a> Package<'a> {
    pub(super) fn open(bytes: &'a [u8], bounds: Bounds) -> Result<Self, Stop> {
        let entries = bytes.windows(4).filter(|w| *w == b"PK\x01\x02").count();
        if entries > limits::ZIP_ENTRIES {
            return Err(stop(Code::ZipBomb));
        }
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| stop(Code::FileDamaged))?;
        Ok(Self { archive, left: Rc::new(Cell::new(bounds.inflated_bytes)), bounds })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.archive.index_for_name(path).is_some()
    }

    /// The path as the container spells it: some writers differ in case or begin with a slash.
    pub(super) fn spelling(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches('/');
        if self.has(path) {
            return Some(path.to_owned());
        }
        let mut names = self.archive.file_names().flatten();
        names.find(|name| name.eq_ignore_ascii_case(path)).map(|name| name.into_owned())
    }

    /// A part as a stream of XML events; `None` when it isn't there.
    pub(super) fn xml(&mut self, path: &str) -> Result<Option<Xml<'_, 'a>>, Stop> {
        let Some(path) = self.spelling(path) else { return Ok(None) };
        let left = Rc::clone(&self.left);
        let file = match self.archive.by_name(&path) {
            Ok(file) => file,
            Err(ZipError::UnsupportedArchive(_)) => return Err(stop(Code::FileEncrypted)),
            Err(_) => return Err(stop(Code::FileDamaged)),
        };
        if file.encrypted() {
            return Err(stop(Code::FileEncrypted));
        }
        if file.size() > left.get() {
            return Err(stop(Code::ZipBomb));
        }
        let bounded = Bounded { inner: BufReader::with_capacity(64 * 1024, file), left, piece: 0 };
        let mut reader = Reader::from_reader(bounded);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.expand_empty_elements = true;
        Ok(Some(Xml { reader, buffer: Vec::new() }))
    }
}

/// A part of the container, event by event.
pub(super) struct Xml<'p, 'a> {
    reader: Reader<Bounded<'p, 'a>>,
    buffer: Vec<u8>,
}

impl Xml<'_, '_> {
    /// The next event.
    pub(super) fn next(&mut self) -> Result<Event<'_>, Stop> {
        self.reader.get_mut().piece = 0;
        self.buffer.clear();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => Ok(event),
            Err(quick_xml::Error::Io(error)) if error.kind() == io::ErrorKind::QuotaExceeded => {
                Err(stop(Code::ZipBomb))
            }
            Err(_) => Err(stop(Code::FileDamaged)),
        }
    }
}

/// Counts what is read.
struct Bounded<'p, 'a> {
    inner: BufReader<ZipFile<'p, Cursor<&'a [u8]>>>,
    left: Rc<Cell<u64>>,
    piece: u64,
}

impl Read for Bounded<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Bounded<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.get() == 0 || self.piece > limits::XML_PIECE_BYTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.piece += n as u64;
        self.left.set(self.left.get().saturating_sub(n as u64));
    }
}

/// An attribute by its name without prefix, unescaped.
pub(super) fn attribute<'e>(element: &'e BytesStart<'_>, name: &str) -> Option<Cow<'e, str>> {
    let found = element.attributes().with_checks(false).flatten().find(|a| a.key.local_name().as_ref() == name)?;
    unescaped(&found).map(Cow::Owned)
}

/// An attribute's value with its entities replaced; `None` when one of them is unknown.
pub(super) fn unescaped(attribute: &Attribute<'_>) -> Option<String> {
    attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned)
}

/// Adds what `&name;` or `&#n;` stands for; an unknown entity stands for nothing.
pub(super) fn push_entity(entity: &BytesRef<'_>, out: &mut String) {
    if let Ok(Some(c)) = entity.resolve_char_ref() {
        out.push(c);
        return;
    }
    match entity.xml10_content().as_ref() {
        "amp" => out.push('&'),
        "lt" => out.push('<'),
        "gt" => out.push('>'),
        "apos" => out.push('\''),
        "quot" => out.push('"'),
        _ => {}
    }
}
