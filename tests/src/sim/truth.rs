//! What helpers were told, kept apart from the code under test.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::RecordId;
use doorstep_core::record::{Record, Section, Value};
use doorstep_core::store::DraftId;

/// A value as text, to compare by.
pub fn text(value: &Value) -> String {
    value.to_json().to_string()
}

/// An answer that was finished: the phone said that it is part of a record.
#[derive(Debug, Clone)]
pub struct Finished {
    /// On which phone.
    pub phone: usize,
    /// In which document.
    pub record: RecordId,
    /// Under which key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// No other answer has this value.
    pub unique: bool,
    /// The values that the helper, or an own earlier change, had seen in the record: only these may it replace.
    pub seen: BTreeSet<String>,
    /// Gone with a phone or a server that lost its memory, and nobody else had it.
    pub lost: bool,
}

/// True when a record's history has this value under this key.
pub fn has(record: &Record, key: &str, value: &Value) -> bool {
    record.history().iter().any(|h| h.section == Section::Answers && h.key == key && h.value == *value)
}

/// All values that a record shows: winning ones and those that differ from them.
pub fn visible(record: &Record) -> BTreeSet<String> {
    let mut values: BTreeSet<String> = record.answers().values().map(text).collect();
    for difference in record.view().differences {
        values.extend(difference.values.iter().map(|v| text(&v.value)));
    }
    values
}

/// A draft's journal.
pub type Journal = Vec<(String, Value)>;

/// The answers that a journal stands for.
pub fn fold(journal: &Journal) -> BTreeMap<String, Value> {
    journal.iter().cloned().collect()
}

/// A draft as the helper knows it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its number on the phone.
    pub id: DraftId,
    /// The form.
    pub form: &'static str,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// The record that it edits.
    pub record: Option<RecordId>,
    /// The campaign, of a screening.
    pub campaign: bool,
    /// The answers so far.
    pub journal: Journal,
    /// What the helper was shown, by document.
    pub shown: BTreeMap<RecordId, BTreeSet<String>>,
}

/// What was being done when a phone died: it may have happened or not.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    /// Nothing with drafts.
    Nothing,
    /// A draft was being started.
    Starting,
    /// This draft's journal was about to become this.
    Writing(DraftId, Journal),
    /// This draft was being finished.
    Finishing(DraftId),
    /// This draft was being thrown away.
    Discarding(DraftId),
}

/// What one phone's helper knows.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Open drafts.
    pub drafts: Vec<Draft>,
    /// Values that this phone's own changes of a document have seen or written.
    pub own: BTreeMap<RecordId, BTreeSet<String>>,
}

impl Memory {
    /// A draft.
    pub fn draft(&self, id: DraftId) -> Option<&Draft> {
        self.drafts.iter().find(|d| d.id == id)
    }

    /// A draft, to be changed.
    pub fn draft_mut(&mut self, id: DraftId) -> Option<&mut Draft> {
        self.drafts.iter_mut().find(|d| d.id == id)
    }

    /// The draft is gone.
    pub fn forget(&mut self, id: DraftId) -> Option<Draft> {
        let index = self.drafts.iter().position(|d| d.id == id)?;
        Some(self.drafts.remove(index))
    }
}
