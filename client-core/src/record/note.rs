//! The note in a change's message: who made it, with which form, and from which change it was remade.

use std::fmt;
use std::str::FromStr;

use crate::id::{ChangeHash, UserId};

use super::limits;

/// A form in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormRef {
    /// The form's name: `[A-Za-z0-9_.-]`, at most 64 bytes.
    pub name: String,
    /// The form's version.
    pub version: u32,
}

impl fmt::Display for FormRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A change's note, as text `u=<user> f=<form>@<version> r=<change>`; the last two can be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeNote {
    /// Who made the change.
    pub user: UserId,
    /// With which form.
    pub form: Option<FormRef>,
    /// The change that this one replaces.
    pub remade_from: Option<ChangeHash>,
}

impl fmt::Display for ChangeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u={}", self.user)?;
        if let Some(form) = &self.form {
            write!(f, " f={form}")?;
        }
        if let Some(hash) = &self.remade_from {
            write!(f, " r={hash}")?;
        }
        Ok(())
    }
}

/// A message that isn't a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change's message isn't a note")]
pub struct ParseNoteError;

impl FromStr for ChangeNote {
    type Err = ParseNoteError;

    /// Reads exactly what [`ChangeNote`] writes: any other text is refused.
    fn from_str(text: &str) -> Result<Self, ParseNoteError> {
        let note = parse(text).ok_or(ParseNoteError)?;
        if text.len() as u64 <= limits::MESSAGE_BYTES && note.to_string() == text {
            Ok(note)
        } else {
            Err(ParseNoteError)
        }
    }
}

fn parse(text: &str) -> Option<ChangeNote> {
    let mut parts = text.split(' ').peekable();
    let user = parts.next()?.strip_prefix("u=")?.parse().ok()?;
    let form = match parts.peek().and_then(|p| p.strip_prefix("f=")) {
        Some(form) => {
            parts.next();
            let (name, version) = form.rsplit_once('@')?;
            let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(ok) {
                return None;
            }
            Some(FormRef { name: name.to_owned(), version: version.parse().ok()? })
        }
        None => None,
    };
    let remade_from = match parts.next() {
        Some(part) => Some(part.strip_prefix("r=")?.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then_some(ChangeNote { user, form, remade_from })
}
