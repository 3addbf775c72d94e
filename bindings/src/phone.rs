//! One phone: the core's facade, with a slot so that its database can be closed while the system suspends the app.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{self, FreedSpace, NewRecord};
use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::store::DraftId;
use doorstep_core::sync::{Cancel, Progress};

use crate::error::PhoneError;
use crate::form::{Draft, Filling, FormInfo};
use crate::value::{Answer, AnswerDifference, Area, RecordRow, RefusedChange, RefusedUpload, SyncCost, SyncReport};

/// Hears how a sync goes on, on the syncing thread.
#[uniffi::export(with_foreign)]
pub trait SyncProgress: Send + Sync {
    /// `report` so far.
    fn progressed(&self, report: SyncReport);
}

struct Hears(Arc<dyn SyncProgress>);

impl Progress for Hears {
    fn progressed(&self, report: &doorstep_core::sync::SyncReport) {
        self.0.progressed(report.into());
    }
}

/// Stops a sync from another thread; what arrived whole stays.
#[derive(Default, uniffi::Object)]
pub struct SyncCancel {
    inner: Cancel,
}

#[uniffi::export]
impl SyncCancel {
    /// For one sync.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks the sync to stop.
    pub fn cancel(&self) {
        self.inner.cancel();
    }
}

/// A phone. Calls block; several threads may call.
#[derive(uniffi::Object)]
pub struct Phone {
    dir: PathBuf,
    inner: RwLock<Option<Arc<client::Phone>>>,
    notices: RwLock<Vec<String>>,
    /// Forms being filled, which let go of the database when it is closed.
    fillings: Mutex<Vec<Weak<Filling>>>,
}

impl Phone {
    pub(crate) fn inner(&self) -> Result<Arc<client::Phone>, PhoneError> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(PhoneError::Closed)
    }
}

#[uniffi::export]
impl Phone {
    /// Opens (or makes) the phone's database in a folder of its own.
    #[uniffi::constructor]
    pub fn open(dir: String) -> Result<Arc<Self>, PhoneError> {
        let dir = dir.into();
        let phone = Self { dir, inner: RwLock::default(), notices: RwLock::default(), fillings: Mutex::default() };
        phone.reopen_store()?;
        Ok(Arc::new(phone))
    }

    /// Closes the database, for example before the system suspends the app. Calls until `reopen_store` give `Closed`;
    /// a sync under way ends on its own first.
    pub fn close_store(&self) -> Result<(), PhoneError> {
        let phone = self.inner.write().unwrap_or_else(PoisonError::into_inner).take();
        for filling in self.fillings.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            filling.close();
        }
        match phone.and_then(Arc::into_inner) {
            Some(phone) => Ok(phone.close()?),
            None => Ok(()),
        }
    }

    /// Opens the database again.
    pub fn reopen_store(&self) -> Result<(), PhoneError> {
        let mut slot = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let (phone, notices) = client::Phone::open(&self.dir, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
            *self.notices.write().unwrap_or_else(PoisonError::into_inner) =
                notices.iter().map(ToString::to_string).collect();
            *slot = Some(Arc::new(phone));
        }
        Ok(())
    }

    /// What the person should be told about the last opening, such as a damaged file that was set aside.
    pub fn notices(&self) -> Vec<String> {
        self.notices.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Enrols the phone with a one-time code; gives the person's name.
    pub fn enrol(&self, server_url: String, code: String) -> Result<String, PhoneError> {
        Ok(self.inner()?.enrol(&server_url, &code)?.user_name)
    }

    /// Enrols the phone with what a card's QR code says; gives the person's name. Another server than the card's is refused.
    pub fn enrol_by_link(&self, link: String) -> Result<String, PhoneError> {
        Ok(self.inner()?.enrol_by_link(&link)?.user_name)
    }

    /// The areas that the phone knows.
    pub fn areas(&self) -> Result<Vec<Area>, PhoneError> {
        Ok(self.inner()?.areas()?.into_iter().map(Into::into).collect())
    }

    /// Households of an area (or all) whose name or number contains `search` (or all); of those that are united, the one that
    /// stands for them.
    pub fn households(
        &self,
        area: Option<AreaId>,
        search: String,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<RecordRow>, PhoneError> {
        Ok(self.inner()?.households(area, &search, offset, limit)?.into_iter().map(Into::into).collect())
    }

    /// The households that the list shows as one with this one, each with a history of its own.
    pub fn united_with(&self, household: RecordId) -> Result<Vec<RecordRow>, PhoneError> {
        Ok(self.inner()?.united_with(household)?.into_iter().map(Into::into).collect())
    }

    /// A record's merged answers as canonical JSON.
    pub fn record_json(&self, record: RecordId) -> Result<String, PhoneError> {
        Ok(self.inner()?.view(record)?.json)
    }

    /// The answers of a record for which several values stand.
    pub fn differences(&self, record: RecordId) -> Result<Vec<AnswerDifference>, PhoneError> {
        Ok(self.inner()?.view(record)?.differences.into_iter().map(Into::into).collect())
    }

    /// Decides a difference.
    pub fn resolve(&self, record: RecordId, key: String, value: Answer) -> Result<(), PhoneError> {
        Ok(self.inner()?.resolve(record, &key, &value.into())?)
    }

    /// Starts a form (`household`, `visit`, `screening`) about a record or none; gives the draft.
    pub fn start(&self, form: String, subject: Option<RecordId>) -> Result<i64, PhoneError> {
        Ok(self.inner()?.start(&form, subject)?.0)
    }

    /// Opens a record with its form; gives the draft.
    pub fn edit(&self, record: RecordId) -> Result<i64, PhoneError> {
        Ok(self.inner()?.edit(record)?.0)
    }

    /// Starts a form about several records, as a meeting with some households; gives the draft.
    pub fn start_about(&self, form: String, subjects: Vec<RecordId>) -> Result<i64, PhoneError> {
        Ok(self.inner()?.start_about(&form, &subjects)?.0)
    }

    /// The forms for new records, with titles in a language (as `zh`) where they have some.
    pub fn forms(&self, language: String) -> Result<Vec<FormInfo>, PhoneError> {
        Ok(self.inner()?.forms()?.iter().map(|form| FormInfo::of(form, &language)).collect())
    }

    /// Forms that aren't finished, newest first.
    pub fn drafts(&self) -> Result<Vec<Draft>, PhoneError> {
        Ok(self.inner()?.drafts()?.into_iter().map(Into::into).collect())
    }

    /// Opens a draft's form, page by page. `offset_minutes`: the phone's zone, east of UTC. `language`: one of the form's, blank
    /// for its default. `last_round`: the record whose answers stand ready to be taken over.
    pub fn fill(
        self: Arc<Self>,
        draft: i64,
        offset_minutes: i32,
        language: String,
        last_round: Option<RecordId>,
    ) -> Result<Arc<Filling>, PhoneError> {
        let options = FillOptions { offset_minutes, language, last_round, ..FillOptions::default() };
        let filling = Filling::new(self.clone(), DraftId(draft), options);
        // known before it is opened, so that a closing that comes in between finds it
        let mut fillings = self.fillings.lock().unwrap_or_else(PoisonError::into_inner);
        fillings.retain(|known| known.strong_count() > 0);
        fillings.push(Arc::downgrade(&filling));
        drop(fillings);
        filling.open()?;
        Ok(filling)
    }

    /// The records that a record is about, the first being the one whose area it lies in.
    pub fn subjects(&self, record: RecordId) -> Result<Vec<RecordId>, PhoneError> {
        Ok(self.inner()?.subjects(record)?)
    }

    /// Saves an answer of a draft; durable when this returns.
    pub fn answer(&self, draft: i64, key: String, value: Answer) -> Result<(), PhoneError> {
        Ok(self.inner()?.answer(DraftId(draft), &key, &value.into())?)
    }

    /// Saves an answer given as text: ticks of a multiple choice with blanks between them, a date as `2026-03-01`.
    pub fn answer_text(&self, draft: i64, key: String, text: String) -> Result<(), PhoneError> {
        Ok(self.inner()?.answer_text(DraftId(draft), &key, &text)?)
    }

    /// Takes the last answer of a draft back; gives its key.
    pub fn undo(&self, draft: i64) -> Result<Option<String>, PhoneError> {
        Ok(self.inner()?.undo(DraftId(draft))?)
    }

    /// Throws a draft away.
    pub fn discard(&self, draft: i64) -> Result<(), PhoneError> {
        Ok(self.inner()?.discard(DraftId(draft))?)
    }

    /// Finishes a draft: its answers become part of a record, which waits to be sent. `area` places a new record
    /// without subject.
    pub fn finish(&self, draft: i64, area: Option<AreaId>) -> Result<RecordId, PhoneError> {
        Ok(self.inner()?.finish_as(DraftId(draft), &NewRecord { area, campaign: None })?)
    }

    /// Changes that the server refused.
    pub fn refused(&self) -> Result<Vec<RefusedChange>, PhoneError> {
        Ok(self.inner()?.refused()?.into_iter().map(Into::into).collect())
    }

    /// The upload that the server refused as a whole, until it takes what is in it.
    pub fn refused_upload(&self) -> Result<Option<RefusedUpload>, PhoneError> {
        Ok(self.inner()?.refused_upload()?.map(Into::into))
    }

    /// On a full disk: gives the phone's reserve of 8 MiB back, so that what is open can be finished and sent. True if there
    /// was something to give.
    pub fn free_space(&self) -> Result<bool, PhoneError> {
        Ok(self.inner()?.free_space() == FreedSpace::Freed)
    }

    /// What the next sync costs; `ask` asks the server for its part with a request of a few hundred bytes.
    pub fn cost(&self, ask: bool) -> Result<SyncCost, PhoneError> {
        Ok(self.inner()?.cost(ask)?.into())
    }

    /// Syncs until nothing is left to send or to read.
    pub fn sync(&self, progress: Arc<dyn SyncProgress>, cancel: Arc<SyncCancel>) -> Result<SyncReport, PhoneError> {
        Ok((&self.inner()?.sync(&Hears(progress), &cancel.inner)?).into())
    }
}

/// Like `Phone.free_space`, for a phone in a folder that can't even be opened.
#[uniffi::export]
pub fn free_space_in(dir: String) -> bool {
    client::Phone::free_space_in(dir.as_ref()) == FreedSpace::Freed
}

/// What the person does when the phone's storage is full, in Chinese (`zh`) or English.
#[uniffi::export]
pub fn storage_full_advice(language: String) -> String {
    client::storage_full_advice(&language).to_owned()
}

/// What a phone says that was reported lost and has erased itself, in Chinese (`zh`) or English.
#[uniffi::export]
pub fn wiped_advice(language: String) -> String {
    client::Phone::wiped_advice(&language).to_owned()
}
