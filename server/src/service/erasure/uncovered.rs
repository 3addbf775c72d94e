//! What erasing a person doesn't reach, and until when, as far as this program can know.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use doorstep_core::clock::Millis;
use serde::Serialize;

use crate::messages::{self, Language, Text};
use crate::service::Service;
use crate::service::audit::Action;
use crate::storage::{AuditFilter, StorageError};
use crate::web::{texts, times};

/// Exports of the audit log that are read at once.
const PAGE: u32 = 1_000;

static TEXTS: LazyLock<BTreeMap<String, Text>> =
    LazyLock::new(|| messages::load(include_str!("../../../messages/erasure.json")));

/// Something that the erasure doesn't reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCovered {
    /// `backups`, `phones_that_lost_it`, `logs_of_the_database`, `other_households`, `exports`; `remains`: the database's files
    /// couldn't be written anew.
    pub code: &'static str,
    /// What it is, until when it holds the person, and what to do.
    pub message: Text,
}

impl NotCovered {
    /// By its code.
    pub fn of(code: &'static str) -> Self {
        Self { code, message: text(code) }
    }
}

fn text(code: &str) -> Text {
    TEXTS.get(code).cloned().unwrap_or_else(|| Text { zh: code.to_owned(), en: code.to_owned() })
}

/// The backups that the audit log knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KnownBackups {
    /// How many.
    pub count: u64,
    /// When the last one was begun, in server time; `None`: there is none.
    pub last_ms: Option<Millis>,
}

impl KnownBackups {
    fn text(&self) -> Text {
        let (code, last) = match self.last_ms {
            Some(last) => ("backups_known", times::minute(last).unwrap_or_default()),
            None => ("backups_unknown", String::new()),
        };
        let (general, known, count) = (text("backups"), text(code), self.count.to_string());
        let filled = |language| texts::fill(known.in_language(language), &[("n", &count), ("last", &last)]);
        Text {
            zh: format!("{}{}", general.zh, filled(Language::Zh)),
            en: format!("{} {}", general.en, filled(Language::En)),
        }
    }
}

impl Service {
    /// The backups that were made with this program, by the audit log.
    pub(super) fn known_backups(&self) -> Result<KnownBackups, StorageError> {
        let mut known = KnownBackups::default();
        let mut before = None;
        loop {
            let action = Some(Action::Export.code().to_owned());
            let rows = self.storage.audit(&AuditFilter { action, before, limit: PAGE, ..AuditFilter::default() })?;
            let Some(last) = rows.last() else { return Ok(known) };
            before = Some(last.position.seq);
            for row in rows.iter().filter(|row| row.entry.details.contains("\"backup\"")) {
                known.count += 1;
                known.last_ms = known.last_ms.max(Some(row.entry.at_ms));
            }
        }
    }
}

/// What no erasure reaches.
pub(super) fn not_covered(backups: &KnownBackups) -> Vec<NotCovered> {
    let mut all: Vec<NotCovered> =
        ["backups", "phones_that_lost_it", "logs_of_the_database", "other_households", "exports"]
            .map(NotCovered::of)
            .into();
    if let Some(of_backups) = all.first_mut() {
        of_backups.message = backups.text();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_in_both_languages() {
        let codes: Vec<&str> = not_covered(&KnownBackups::default()).iter().map(|one| one.code).collect();
        for code in codes.into_iter().chain(["remains", "backups_known", "backups_unknown"]) {
            let text = TEXTS.get(code);
            assert!(text.is_some_and(|t| t.zh.ends_with('。') && t.en.ends_with('.')), "{code}");
        }
        assert_eq!(TEXTS.len(), 8, "a text for each");
    }
}
