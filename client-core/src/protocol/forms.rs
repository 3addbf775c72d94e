//! Forms on the wire: what a phone says it has of them, and what is new.
//!
//! The server keeps one log of forms: an entry publishes a version or retires one. A phone says up to which entry it knows
//! the log, and gets what follows; what arrived counts. Definitions travel compressed, whole or against the bytes of
//! another version; the phone checks each against its hash, so that a damaged one is asked for again by name.

use super::codec::{DecodeError, Reader, Writer};
use super::hello::{Position, read_position, write_position};
use crate::clock::Millis;
use crate::form::version::{PACKED_MAX, VersionHash};

/// Definitions that one hello asks for again.
pub const WANTED_MAX: usize = 16;
/// Entries in one frame.
const ENTRIES_MAX: usize = 1_000;
/// A form's name, in bytes.
pub const NAME_MAX: usize = 64;

/// What a phone says of the forms that it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormsKnown {
    /// The last entry of the log that it took in.
    pub position: Position,
    /// Versions whose definition it couldn't read: asked for again, whole.
    pub wanted: Vec<(String, u32)>,
}

impl FormsKnown {
    pub(super) fn write(&self, w: &mut Writer) {
        w.number(self.position.seq);
        if self.position.seq > 0 {
            w.raw(&self.position.chain.0);
        }
        w.number(self.wanted.len() as u64);
        for (name, version) in &self.wanted {
            w.text(name);
            w.number(u64::from(*version));
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let seq = r.number()?;
        let chain = if seq > 0 { crate::id::Chain(r.array()?) } else { crate::id::Chain::default() };
        let n = r.count(WANTED_MAX, "number of wanted forms")?;
        let wanted = (0..n)
            .map(|_| Ok((r.text(NAME_MAX, "form's name")?.to_owned(), r.number32()?)))
            .collect::<Result<_, DecodeError>>()?;
        Ok(Self { position: Position { seq, chain }, wanted })
    }
}

/// A definition on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormBytes {
    /// The version whose bytes it is a difference against; `None`: it is whole.
    pub base: Option<VersionHash>,
    /// As [`crate::form::version::DefinitionBytes::pack`] made them.
    pub packed: Vec<u8>,
}

/// What the log of forms says of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormEntry {
    /// The form's name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of its definition's bytes.
    pub hash: VersionHash,
    /// It is not offered for new records.
    pub retired: bool,
    /// When the entry was made, by the server's clock.
    pub at_ms: Millis,
    /// The definition, where the entry brings it.
    pub definition: Option<FormBytes>,
}

/// A part of the log of forms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormsNews {
    /// The last entry that the phone knows once it has taken these in.
    pub position: Position,
    /// The entries, oldest first.
    pub entries: Vec<FormEntry>,
}

const RETIRED: u8 = 1;
const DEFINITION: u8 = 2;
const DIFFERENCE: u8 = 4;

impl FormsNews {
    pub(super) fn write(&self, w: &mut Writer) {
        write_position(w, &self.position);
        w.number(self.entries.len() as u64);
        for entry in &self.entries {
            w.text(&entry.name);
            w.number(u64::from(entry.version));
            w.raw(&entry.hash);
            let base = entry.definition.as_ref().and_then(|d| d.base);
            let mut flags = 0;
            for (flag, set) in
                [(RETIRED, entry.retired), (DEFINITION, entry.definition.is_some()), (DIFFERENCE, base.is_some())]
            {
                flags |= if set { flag } else { 0 };
            }
            w.byte(flags);
            w.number(entry.at_ms);
            if let Some(base) = base {
                w.raw(&base);
            }
            if let Some(definition) = &entry.definition {
                w.counted(&definition.packed);
            }
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let position = read_position(r)?;
        let n = r.count(ENTRIES_MAX, "number of forms")?;
        let entries = (0..n).map(|_| read_entry(r)).collect::<Result<_, _>>()?;
        Ok(Self { position, entries })
    }
}

fn read_entry(r: &mut Reader<'_>) -> Result<FormEntry, DecodeError> {
    let name = r.text(NAME_MAX, "form's name")?.to_owned();
    let (version, hash) = (r.number32()?, r.array()?);
    let (flags, at_ms) = (r.byte()?, r.number()?);
    let base = if flags & DIFFERENCE != 0 { Some(r.array()?) } else { None };
    let packed = if flags & DEFINITION != 0 { Some(r.counted(PACKED_MAX, "definition")?.to_vec()) } else { None };
    let definition = packed.map(|packed| FormBytes { base, packed });
    Ok(FormEntry { name, version, hash, retired: flags & RETIRED != 0, at_ms, definition })
}
