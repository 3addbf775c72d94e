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

/// The zone of a note that names none: minutes east of UTC.
pub const USUAL_ZONE_MINUTES: i16 = 8 * 60;
/// The farthest zone from UTC, in minutes.
const ZONE_MINUTES_MAX: i16 = 14 * 60;

/// A change's note, as text `u=<user> f=<form>@<version> z=<zone> c r=<change>`; only the first must be there. The zone is
/// left out where it is the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeNote {
    /// Who made the change.
    pub user: UserId,
    /// With which form.
    pub form: Option<FormRef>,
    /// Where: minutes east of UTC, the zone in which the form's rules see the record's dates.
    pub zone_minutes: i16,
    /// The form was finished with it: on the author's phone nothing required was missing.
    pub is_complete: bool,
    /// The change that this one replaces.
    pub remade_from: Option<ChangeHash>,
}

impl ChangeNote {
    /// The note of a change without form in the usual zone.
    pub fn by(user: UserId) -> Self {
        Self { user, form: None, zone_minutes: USUAL_ZONE_MINUTES, is_complete: false, remade_from: None }
    }

    /// The nearest zone that a note can name.
    pub fn zone_of(offset_minutes: i32) -> i16 {
        let max = i32::from(ZONE_MINUTES_MAX);
        i16::try_from(offset_minutes.clamp(-max, max)).unwrap_or(USUAL_ZONE_MINUTES)
    }
}

impl fmt::Display for ChangeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u={}", self.user)?;
        if let Some(form) = &self.form {
            write!(f, " f={form}")?;
        }
        if self.zone_minutes != USUAL_ZONE_MINUTES {
            write!(f, " z={}", self.zone_minutes)?;
        }
        if self.is_complete {
            write!(f, " c")?;
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
    let zone_minutes = match parts.next_if(|p| p.starts_with("z=")) {
        Some(zone) => {
            let zone: i16 = zone.strip_prefix("z=")?.parse().ok()?;
            (-ZONE_MINUTES_MAX..=ZONE_MINUTES_MAX).contains(&zone).then_some(zone)?
        }
        None => USUAL_ZONE_MINUTES,
    };
    let is_complete = parts.next_if_eq(&"c").is_some();
    let remade_from = match parts.next() {
        Some(part) => Some(part.strip_prefix("r=")?.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then_some(ChangeNote { user, form, zone_minutes, is_complete, remade_from })
}
