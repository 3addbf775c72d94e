//! What an import of a list wrote for a row, and what was there before: kept with the import, so that it can be undone.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use serde::{Deserialize, Serialize};

use crate::service::grants::NewGrant;
use crate::storage::Grant;

/// An area as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AreaLine {
    pub area: AreaId,
    parent: Option<AreaId>,
    level: String,
    code: String,
    zh: String,
    en: String,
}

impl From<&AreaEntry> for AreaLine {
    fn from(entry: &AreaEntry) -> Self {
        Self {
            area: entry.area,
            parent: entry.parent,
            level: entry.level.clone(),
            code: entry.code.clone(),
            zh: entry.name_zh.clone(),
            en: entry.name_en.clone(),
        }
    }
}

impl From<AreaLine> for AreaEntry {
    fn from(line: AreaLine) -> Self {
        let AreaLine { area, parent, level, code, zh, en } = line;
        Self { area, parent, level, code, name_zh: zh, name_en: en }
    }
}

/// A grant as it was given, or as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GrantLine {
    role: String,
    area: AreaId,
    pub subject: Option<RecordId>,
    pub until_ms: Option<Millis>,
    stand_in_for: Option<UserId>,
    pub at_ms: Millis,
}

impl From<&Grant> for GrantLine {
    fn from(grant: &Grant) -> Self {
        let GrantEntry { role, area, subject, .. } = grant.entry.clone();
        let Grant { until_ms, stand_in_for, at_ms, .. } = *grant;
        Self { role, area, subject, until_ms, stand_in_for, at_ms }
    }
}

impl GrantLine {
    /// The role.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// What gives it to somebody once more.
    pub fn anew(&self, user: UserId) -> NewGrant {
        let Self { role, area, subject: household, until_ms, stand_in_for, .. } = self.clone();
        NewGrant { user, role, area, household, until_ms, stand_in_for }
    }
}

/// One thing that was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Written {
    /// A new area.
    Area(AreaLine),
    /// An area that was changed. `past`: the day up to which its past says what it was, where that came with the change.
    AreaChanged { now: AreaLine, before: AreaLine, past: Option<String> },
    /// A new person.
    Person { id: UserId, name: String, unit: String },
    /// A new unit.
    Unit { id: [u8; 16], name: String },
    /// A role or pairing, whether it is new, and what it took the place of.
    Given { user: UserId, given: GrantLine, is_new: bool, before: Vec<(UserId, GrantLine)> },
}
