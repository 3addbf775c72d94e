//! The office's desk: what people decide on pages and through the API becomes ordinary changes of the office.
//!
//! Every change is made at the heads that the person was shown: what came meanwhile stays beside it as a difference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorstep_core::form::Sensitivity;
use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::record::{Edit, Record, Section, Value};

use super::audit::{Act, Action, Actor};
use super::duplicates::Found;
use super::merge::open_record;
use super::office::{Office, WriteError};
use super::{Refused, Service};
use crate::register::office_user;
use crate::storage::{StorageError, StoredRecord, TownshipId};

/// Why a decision can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// No such record in the township.
    #[error("there is no such record in the township")]
    UnknownRecord,
    /// Heads that the record never had.
    #[error("the record never was as it is said to have been shown")]
    UnknownHeads,
    /// Somebody at the office answered the same question after what was shown.
    #[error("somebody at the office answered this question meanwhile; look again")]
    Answered,
    /// Nothing differed there.
    #[error("the answers to this question didn't differ in what was shown")]
    NoDifference,
    /// No such value.
    #[error("there is no such value under this question")]
    UnknownValue,
    /// An answer that doesn't fit the question, or belongs to another document.
    #[error("the answer doesn't fit the question")]
    Answer,
    /// Records that can't be linked: other types, one and the same, or not of the township.
    #[error("these records can't be linked")]
    Unlinkable,
    /// The household went to another township.
    #[error("the household is at home in another township now")]
    Elsewhere,
    /// The change was refused.
    #[error(transparent)]
    Write(WriteError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<WriteError> for DeskError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownRecord => Self::UnknownRecord,
            WriteError::UnknownHeads => Self::UnknownHeads,
            WriteError::Answered => Self::Answered,
            WriteError::Elsewhere => Self::Elsewhere,
            WriteError::Edit(_) => Self::Answer,
            error => Self::Write(error),
        }
    }
}

/// Which value is to stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The one that this change put.
    Of(ChangeHash),
    /// Of the values that differed, the one at this place, from 0.
    Place(usize),
    /// This one.
    Value(Value),
}

/// What somebody decided, and what they saw.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The record.
    pub record: RecordId,
    /// The answer's key.
    pub key: String,
    /// The value that is to stand.
    pub choice: Choice,
    /// The heads that were shown.
    pub heads: Vec<ChangeHash>,
    /// Why; may be empty.
    pub reason: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// A change was made; false where the value stood already.
    pub is_written: bool,
    /// Answers to the question still differ: somebody answered meanwhile.
    pub still_differs: bool,
}

/// Likely duplicates, with the feed's number at which they were looked for, how long that took, and when.
type Looked = (u64, Duration, Instant, Arc<Found>);

/// The desk.
pub struct Desk {
    pub(super) service: Arc<Service>,
    /// Likely duplicates by township.
    pub(super) duplicates: Mutex<HashMap<TownshipId, Looked>>,
    /// One author a township, made when it is first needed.
    authors: Mutex<HashMap<TownshipId, Arc<Office>>>,
}

impl Desk {
    /// The desk of a service.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, duplicates: Mutex::default(), authors: Mutex::default() }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The author for a township.
    pub fn author(&self, township: TownshipId) -> Result<Arc<Office>, DeskError> {
        let mut authors = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(author) = authors.get(&township) {
            return Ok(author.clone());
        }
        let user = office_user(&self.service)?;
        let author = Office::start(&self.service, user, township).map_err(refused)?;
        Ok(authors.entry(township).or_insert(Arc::new(author)).clone())
    }

    pub(super) fn open(&self, township: TownshipId, id: RecordId) -> Result<(StoredRecord, Record), DeskError> {
        let stored = self.service.storage.full_record(township, id)?.ok_or(DeskError::UnknownRecord)?;
        let record = open_record(&stored).map_err(|r| WriteError::Change(r.code().to_owned()))?;
        Ok((stored, record))
    }

    /// Decides a difference: the office puts one value in place of those that were shown.
    pub fn decide(&self, actor: Actor, township: TownshipId, decision: &Decision) -> Result<Decided, DeskError> {
        let (_, record) = self.open_shown(township, decision)?;
        let view = record.view_at(&decision.heads);
        let differs = |d: &&doorstep_core::record::Difference| d.section == Section::Answers && d.key == decision.key;
        let difference = view.differences.iter().find(differs).ok_or(DeskError::NoDifference)?;
        let value = match &decision.choice {
            Choice::Place(place) => difference.values.get(*place).map(|v| v.value.clone()),
            Choice::Of(change) => difference.values.iter().find(|v| v.change == *change).map(|v| v.value.clone()),
            Choice::Value(value) if difference.values.iter().any(|v| v.value == *value) => Some(value.clone()),
            Choice::Value(value) => Some(self.fitting(&record, &decision.key, value)?),
        };
        self.write(actor, township, Action::DifferenceDecided, decision, value.ok_or(DeskError::UnknownValue)?)
    }

    /// Restores an earlier value: the office puts it there once more.
    pub fn restore(&self, actor: Actor, township: TownshipId, decision: &Decision) -> Result<Decided, DeskError> {
        let (_, record) = self.open_shown(township, decision)?;
        let Choice::Of(change) = &decision.choice else { return Err(DeskError::UnknownValue) };
        let history = record.history();
        let put =
            history.iter().find(|h| h.section == Section::Answers && h.key == decision.key && h.change == *change);
        let value = put.ok_or(DeskError::UnknownValue)?.value.clone();
        self.write(actor, township, Action::RecordRestored, decision, value)
    }

    fn open_shown(&self, township: TownshipId, decision: &Decision) -> Result<(StoredRecord, Record), DeskError> {
        let (stored, record) = self.open(township, decision.record)?;
        let known = !decision.heads.is_empty() && decision.heads.iter().all(|head| record.contains(head));
        if known { Ok((stored, record)) } else { Err(DeskError::UnknownHeads) }
    }

    /// A new value, if it fits the question and belongs to this document.
    fn fitting(&self, record: &Record, key: &str, value: &Value) -> Result<Value, DeskError> {
        let record_type = record.identity().record_type.as_str();
        let (core, class) = record_type.split_once('.').unwrap_or((record_type, Sensitivity::Core.as_str()));
        let form = self.service.forms()?.of_type(core).ok_or(DeskError::Answer)?;
        let belongs = form.class_of(key).is_some_and(|c| c.as_str() == class);
        if !belongs || form.check_answer(key, value).is_err() {
            return Err(DeskError::Answer);
        }
        Ok(value.clone())
    }

    fn write(
        &self,
        actor: Actor,
        township: TownshipId,
        action: Action,
        decision: &Decision,
        value: Value,
    ) -> Result<Decided, DeskError> {
        let author = self.author(township)?;
        // a tick's key ends with the choice: an answer
        let question = decision.key.split('=').next().unwrap_or_default();
        let act = Act::new(action).in_township(township).record(decision.record).because(&decision.reason);
        let entry = self.service.entry(actor, act.with("question", question));
        let edit = Edit { section: Section::Answers, key: decision.key.clone(), value };
        let is_written = author.edit_at(decision.record, &decision.heads, vec![edit], entry)? > 0;
        let (_, record) = self.open(township, decision.record)?;
        let still_differs = record.view().differences.iter().any(|d| d.key == decision.key);
        Ok(Decided { is_written, still_differs })
    }
}

fn refused(refused: Refused) -> DeskError {
    DeskError::Write(WriteError::Refused(refused))
}
