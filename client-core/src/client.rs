//! The facade that apps use: one object for one phone. Bindings wrap it; the command line and the demo drive it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use data_encoding::HEXLOWER;
use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::clock::{Clock, Entropy};
use crate::form::session::Refusal;
use crate::form::{AnswerError, Catalog, Form, Sensitivity, SubjectKind};
use crate::id::{AreaId, ChangeHash, Identity, RecordId, TenantKey};
use crate::protocol::invitation::ParseInvitationError;
use crate::protocol::{AreaEntry, Invitation};
use crate::record::{ChangeNote, Edit, FormRef, Record, Section, Value, View};
use crate::store::{
    Counts, DraftId, DraftRow, Enrolment, FinishPlan, ListFilter, Notice, OpenError, OpenOptions, PlannedDocument,
    RefusedRow, RefusedUpload, Row, Store, StoreError,
};
use crate::sync::{
    Cancel, Cost, Engine, HttpTransport, Progress, SyncError, SyncOptions, SyncReport, Transport, TransportError,
};

mod advice;
pub mod answer;
mod entities;
pub mod filling;
mod life;
mod links;
mod models;
mod room;
pub mod screen;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]
mod test_phone;
#[cfg(all(test, feature = "import"))]
mod tests;

pub use room::{FreedSpace, storage_full_advice};

/// How many records one record can be about.
pub const SUBJECTS_MAX: usize = 200;

/// Why the facade refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The way to the server.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A sync.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// No form of this name.
    #[error("there is no such form on this phone")]
    UnknownForm,
    /// No record of this id.
    #[error("there is no such record on this phone")]
    UnknownRecord,
    /// No question of this name.
    #[error("the form has no question {0}")]
    UnknownQuestion(String),
    /// The answer doesn't fit the question.
    #[error("the answer doesn't fit the question: {0}")]
    Answer(#[from] AnswerError),
    /// The form refuses an answer or action, with the reason; what was before stays.
    #[error("the form refuses this: {0}")]
    Refused(#[from] Refusal),
    /// The form can't be finished: so many answers are missing or can't stand.
    #[error("{problems} answers are missing or can't stand")]
    Unfinished {
        /// How many.
        problems: usize,
    },
    /// The form's logic can't be run.
    #[error("the form's logic can't be run")]
    FormLogic,
    /// The answers can't become a record.
    #[error("the answers can't become a record: {0}")]
    Record(#[from] crate::record::EditError),
    /// A scanned text that isn't an invitation.
    #[error(transparent)]
    Invitation(#[from] ParseInvitationError),
    /// Another server than that of the invitation answered, or one that doesn't hold its own key.
    #[error("another server than that of the invitation answered")]
    OtherServer,
    /// The server's answer to an enrolment can't be used.
    #[error("the server's answer can't be used")]
    Enrolment,
    /// The form's records are about so many others at most.
    #[error("a record of this form is about {max} others at most")]
    TooManySubjects {
        /// How many: [`SUBJECTS_MAX`] of a form about several, else one.
        max: usize,
    },
    /// Not enrolled yet.
    #[error("the phone isn't enrolled yet")]
    NotEnrolled,
}

/// What a new record needs to know beside its answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord {
    /// Where a record without subject is placed; the township if nothing is said.
    pub area: Option<AreaId>,
    /// The campaign that it belongs to: the record then has the natural key (campaign, subject), so that two phones that
    /// never met write the same record.
    pub campaign: Option<RecordId>,
}

/// A phone.
pub struct Phone {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    transport: Mutex<Option<Arc<dyn Transport>>>,
}

/// Which record is written, and where it is.
struct Placed {
    id: RecordId,
    identity: Identity,
    area: AreaId,
    subject: Option<RecordId>,
}

/// Answers as edits, each with its class; `unknown` for those that the form has no question for.
fn classed(
    form: &Form,
    answers: BTreeMap<String, Value>,
    unknown: Option<Sensitivity>,
) -> Result<Vec<(Sensitivity, Edit)>, PhoneError> {
    let class_of = |key: &str| form.class_of(key).or(unknown);
    let edit = |(key, value): (String, Value)| match class_of(&key) {
        Some(class) => Ok((class, Edit { section: Section::Answers, key, value })),
        None => Err(PhoneError::UnknownQuestion(key)),
    };
    answers.into_iter().map(edit).collect()
}

impl Phone {
    /// Opens (or makes) the phone's database in a folder. Notices tell what was set aside and salvaged.
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Vec<Notice>), OpenError> {
        let opened = Store::open(dir, OpenOptions { clock: clock.clone(), entropy: entropy.clone() })?;
        let phone = Self { store: Arc::new(opened.store), clock, entropy, transport: Mutex::new(None) };
        Ok((phone, opened.notices))
    }

    /// The store below, for those who need more than the facade.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Uses another way to the server than HTTP to the address of the enrolment.
    pub fn use_transport(&self, transport: Arc<dyn Transport>) {
        *self.transport.lock().unwrap_or_else(|e| e.into_inner()) = Some(transport);
    }

    /// Enrols the phone on a server with a one-time code. When the answer was lost, the same code can be tried again. An
    /// enrolled phone refuses before it spends a code.
    pub fn enrol(&self, server_url: &str, code: &str) -> Result<Enrolment, PhoneError> {
        self.enrol_with(server_url, code, None)
    }

    /// Enrols the phone with a scanned invitation ([`Invitation`]'s link), and only on the server that it names.
    ///
    /// # Errors
    /// [`PhoneError::Invitation`] for any other text, [`PhoneError::OtherServer`] where another server answers.
    pub fn enrol_by_link(&self, link: &str) -> Result<Enrolment, PhoneError> {
        let invitation: Invitation = link.parse()?;
        self.enrol_with(&invitation.server_url, &invitation.code, Some(invitation.identity))
    }

    fn enrol_with(&self, server_url: &str, code: &str, identity: Option<[u8; 32]>) -> Result<Enrolment, PhoneError> {
        if self.store.enrolment()?.is_some() {
            return Err(StoreError::AlreadyEnrolled.into());
        }
        let transport = HttpTransport::new(server_url)?;
        let seed = self.store.seed_for_code(code)?;
        let answer = transport.enrol(code, &SigningKey::from_bytes(&seed))?;
        let bytes = |hex: &str| -> Result<[u8; 32], PhoneError> {
            let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| PhoneError::Enrolment)?;
            bytes.try_into().map_err(|_| PhoneError::Enrolment)
        };
        let server_identity = bytes(&answer.server_identity)?;
        let public_key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let vouched = VerifyingKey::from_bytes(&identity.unwrap_or(server_identity))
            .ok()
            .and_then(|identity| answer.certificate.verified(&identity))
            .is_some_and(|certificate| certificate.public_key == HEXLOWER.encode(&public_key));
        if identity.is_some_and(|wanted| wanted != server_identity) || !vouched {
            return Err(PhoneError::OtherServer);
        }
        let enrolment = Enrolment {
            tenant: answer.tenant,
            tenant_key: bytes(&answer.tenant_key)?,
            township: answer.township,
            device: answer.device,
            user: answer.user,
            user_name: answer.user_name,
            signing_seed: seed,
            server_url: server_url.to_owned(),
            server_identity,
            certificate: Some(answer.certificate),
        };
        self.store.enrol(&enrolment)?;
        self.use_transport(Arc::new(transport));
        Ok(enrolment)
    }

    /// Who this phone is; `None` before enrolment.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, PhoneError> {
        Ok(self.store.enrolment()?)
    }

    fn enrolled(&self) -> Result<Enrolment, PhoneError> {
        self.store.enrolment()?.ok_or(PhoneError::NotEnrolled)
    }

    /// The areas that the phone knows.
    pub fn areas(&self) -> Result<Vec<AreaEntry>, PhoneError> {
        Ok(self.store.areas()?)
    }

    /// Households, by village and search text. Where several are united, the one that stands for them all, also if the text
    /// is in one of the others; see [`Phone::united_with`].
    pub fn households(
        &self,
        area: Option<AreaId>,
        search: &str,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<Row>, PhoneError> {
        self.list(ListFilter {
            record_type: Some("household".into()),
            area,
            search: (!search.is_empty()).then(|| search.to_lowercase()),
            united: self.united_here()?,
            offset,
            limit,
            ..ListFilter::default()
        })
    }

    /// Any list of records.
    pub fn list(&self, filter: ListFilter) -> Result<Vec<Row>, PhoneError> {
        Ok(self.store.list(&filter)?)
    }

    /// How much of everything there is.
    pub fn counts(&self) -> Result<Counts, PhoneError> {
        Ok(self.store.counts()?)
    }

    /// A record as merged here.
    pub fn record(&self, id: RecordId) -> Result<Record, PhoneError> {
        self.store.record(id)?.ok_or(PhoneError::UnknownRecord)
    }

    /// A record's canonical JSON and differences.
    pub fn view(&self, id: RecordId) -> Result<View, PhoneError> {
        Ok(self.record(id)?.view())
    }

    /// A record as it was at these heads, as the history names them.
    pub fn view_at(&self, id: RecordId, heads: &[ChangeHash]) -> Result<View, PhoneError> {
        Ok(self.record(id)?.view_at(heads))
    }

    /// The forms for new records, by name: the newest version of each that isn't retired.
    pub fn forms(&self) -> Result<Vec<Arc<Form>>, PhoneError> {
        Ok(self.store.forms()?.current())
    }

    /// The published versions of all forms, and which of them can't be used on this phone, with the reason. An unreadable one is
    /// asked for again by the next sync; the version before it is used meanwhile.
    pub fn form_versions(&self) -> Result<Arc<Catalog>, PhoneError> {
        Ok(self.store.forms()?)
    }

    /// The form of this name for new records.
    pub fn form(&self, name: &str) -> Result<Arc<Form>, PhoneError> {
        self.store.forms()?.newest(name).ok_or(PhoneError::UnknownForm)
    }

    /// A version of a form, retired or not: what a draft or a record was made with.
    pub fn form_version(&self, name: &str, version: u32) -> Result<Arc<Form>, PhoneError> {
        self.store.forms()?.named(name, version).ok_or(PhoneError::UnknownForm)
    }

    /// The form of a draft, in the version that it was opened with; where that is gone, the newest one, onto which answers map
    /// by name.
    fn form_of(&self, draft: &DraftRow) -> Result<Arc<Form>, PhoneError> {
        self.form_version(&draft.form, draft.version).or_else(|_| self.form(&draft.form))
    }

    /// The form that edits records of this type.
    fn form_of_type(&self, record_type: &str) -> Result<Option<Arc<Form>>, PhoneError> {
        Ok(self.store.forms()?.of_type(record_type.split('.').next().unwrap_or_default()))
    }

    /// Starts a form about a subject (or none), as a draft.
    pub fn start(&self, form: &str, subject: Option<RecordId>) -> Result<DraftId, PhoneError> {
        self.start_about(form, subject.as_slice())
    }

    /// Starts a form about any number of subjects, as a draft. The record lies in the area of the first, and lists about each
    /// of them show it; without subjects it stands for itself.
    ///
    /// # Errors
    /// When there is no such form, a subject isn't on this phone, or there are more than the form's records are about.
    pub fn start_about(&self, form: &str, subjects: &[RecordId]) -> Result<DraftId, PhoneError> {
        let definition = self.form(form)?;
        let max = if definition.subject == SubjectKind::Several { SUBJECTS_MAX } else { 1 };
        if subjects.len() > max {
            return Err(PhoneError::TooManySubjects { max });
        }
        for subject in subjects {
            self.store.row(*subject)?.ok_or(PhoneError::UnknownRecord)?;
        }
        Ok(self.store.start_draft_about(form, definition.version, subjects)?)
    }

    /// Opens a record with its form, as a draft.
    pub fn edit(&self, record: RecordId) -> Result<DraftId, PhoneError> {
        let row = self.store.row(record)?.ok_or(PhoneError::UnknownRecord)?;
        let form = self.form_of_type(&row.record_type)?.ok_or(PhoneError::UnknownForm)?;
        Ok(self.store.start_draft(&form.def().name, form.def().version, row.subject, Some(record))?)
    }

    /// Saves an answer in the draft's journal: durable against the process being killed when this returns.
    pub fn answer(&self, draft: DraftId, key: &str, value: &Value) -> Result<(), PhoneError> {
        let form = self.form_of(&self.draft(draft)?)?;
        form.check_answer(key, value)?;
        Ok(self.store.save_answer(draft, key, value)?)
    }

    /// Saves an answer given as text, as people and scripts write it: see [`answer::parse`].
    pub fn answer_text(&self, draft: DraftId, key: &str, text: &str) -> Result<(), PhoneError> {
        let form = self.form_of(&self.draft(draft)?)?;
        for (key, value) in answer::parse(&form, key, text)? {
            form.check_answer(&key, &value)?;
            self.store.save_answer(draft, &key, &value)?;
        }
        Ok(())
    }

    /// Takes the last answer back; gives its key.
    pub fn undo(&self, draft: DraftId) -> Result<Option<String>, PhoneError> {
        Ok(self.store.undo(draft)?)
    }

    /// Drafts, newest first.
    pub fn drafts(&self) -> Result<Vec<DraftRow>, PhoneError> {
        Ok(self.store.drafts()?)
    }

    fn draft(&self, id: DraftId) -> Result<DraftRow, PhoneError> {
        self.store.drafts()?.into_iter().find(|d| d.id == id).ok_or(PhoneError::UnknownRecord)
    }

    /// Throws a draft away.
    pub fn discard(&self, draft: DraftId) -> Result<(), PhoneError> {
        Ok(self.store.discard_draft(draft)?)
    }

    /// Finishes a draft: its answers become one change for each sensitivity class, in one durable transaction.
    pub fn finish(&self, draft: DraftId) -> Result<RecordId, PhoneError> {
        self.finish_as(draft, &NewRecord::default())
    }

    /// Like [`Phone::finish`], with what a new record needs to know beside its answers.
    pub fn finish_as(&self, draft: DraftId, new: &NewRecord) -> Result<RecordId, PhoneError> {
        let row = self.draft(draft)?;
        let form = self.form_of(&row)?;
        let answers = self.store.draft_answers(draft)?;
        let documents = self.documents(&row, &form, answers, new, None)?;
        let plan = FinishPlan { documents, further: Vec::new(), note: self.note(Some(&form))? };
        Ok(self.store.finish_draft(draft, &plan)?.record)
    }

    /// The note of a change in the usual zone.
    fn note(&self, form: Option<&Form>) -> Result<ChangeNote, PhoneError> {
        let form = form.map(|f| FormRef { name: f.def().name.clone(), version: f.def().version });
        Ok(ChangeNote { form, ..ChangeNote::by(self.enrolled()?.user) })
    }

    /// The documents of a draft's record. Answers that the form has no question for are of the class `unknown`.
    fn documents(
        &self,
        draft: &DraftRow,
        form: &Form,
        answers: BTreeMap<String, Value>,
        new: &NewRecord,
        unknown: Option<Sensitivity>,
    ) -> Result<Vec<PlannedDocument>, PhoneError> {
        let placed = self.place(draft, form, new)?;
        let edits = classed(form, answers, unknown)?;
        self.split(placed, edits, &TenantKey(self.enrolled()?.tenant_key))
    }

    /// Which record a draft becomes, and where it is.
    fn place(&self, draft: &DraftRow, form: &Form, new: &NewRecord) -> Result<Placed, PhoneError> {
        let enrolment = self.enrolled()?;
        let record_type = form.def().record_type.as_str();
        let subject = draft.subject;
        if let Some(record) = draft.record {
            let row = self.store.row(record)?.ok_or(PhoneError::UnknownRecord)?;
            return Ok(Placed { id: row.id, identity: row.identity, area: row.area, subject });
        }
        let identity = match (subject, new.campaign) {
            (Some(subject), Some(campaign)) => Identity::keyed(record_type, &[campaign, subject]),
            _ => Identity::of_type(record_type),
        };
        let derived = identity.derived_id(&TenantKey(enrolment.tenant_key));
        let id = derived.unwrap_or_else(|| self.store.new_record_id());
        let area = match subject {
            Some(subject) => self.store.row(subject)?.ok_or(PhoneError::UnknownRecord)?.area,
            None => new.area.unwrap_or(enrolment.township),
        };
        Ok(Placed { id, identity, area, subject })
    }

    /// Splits edits by sensitivity class into documents. The core document comes first, also when it has no edit.
    fn split(
        &self,
        placed: Placed,
        edits: Vec<(Sensitivity, Edit)>,
        tenant_key: &TenantKey,
    ) -> Result<Vec<PlannedDocument>, PhoneError> {
        let Placed { id, identity, area, subject } = placed;
        let record_type = identity.record_type.clone();
        let mut by_class: BTreeMap<Sensitivity, Vec<Edit>> = BTreeMap::new();
        for (class, edit) in edits {
            by_class.entry(class).or_default().push(edit);
        }
        let core = by_class.remove(&Sensitivity::Core).unwrap_or_default();
        let mut documents = vec![PlannedDocument { identity, id, area, subject, edits: core }];
        for (class, edits) in by_class {
            let identity = Identity::part(&record_type, class.as_str(), id);
            let part = identity.derived_id(tenant_key).ok_or(PhoneError::UnknownRecord)?;
            documents.push(PlannedDocument { identity, id: part, area, subject: Some(subject.unwrap_or(id)), edits });
        }
        Ok(documents)
    }

    /// Decides a difference: one ordinary change on what this phone shows.
    pub fn resolve(&self, record: RecordId, key: &str, value: &Value) -> Result<(), PhoneError> {
        let row = self.store.row(record)?.ok_or(PhoneError::UnknownRecord)?;
        let note = self.note(self.form_of_type(&row.record_type)?.as_deref())?;
        let edit = Edit { section: Section::Answers, key: key.to_owned(), value: value.clone() };
        let document = PlannedDocument {
            identity: row.identity,
            id: record,
            area: row.area,
            subject: row.subject,
            edits: vec![edit],
        };
        self.store.write(&[document], &note)?;
        Ok(())
    }

    /// Changes that the server refused, with reasons.
    pub fn refused(&self) -> Result<Vec<RefusedRow>, PhoneError> {
        Ok(self.store.refused()?)
    }

    /// Makes the edit of a refused change anew, on what the phone shows now. False if no such change is refused (any more).
    pub fn redo_refused(&self, change: ChangeHash) -> Result<bool, PhoneError> {
        let refused = self.store.refused()?.into_iter().find(|row| row.hash == change);
        let Some(row) = refused.map(|row| self.store.row(row.record)).transpose()?.flatten() else { return Ok(false) };
        let core_type = row.record_type.split('.').next().unwrap_or_default();
        let note = self.note(self.form_of_type(core_type)?.as_deref())?;
        Ok(self.store.redo_refused(change, &note)?)
    }

    /// Leaves a refused change: it isn't shown any more. False if no such change is refused (any more).
    pub fn leave_refused(&self, change: ChangeHash) -> Result<bool, PhoneError> {
        Ok(self.store.leave_refused(change)?)
    }

    /// The upload that the server refused as a whole, with the reason and what to do; `None` once it took what is in it.
    /// Nothing of it is lost: each sync sends it once more.
    pub fn refused_upload(&self) -> Result<Option<RefusedUpload>, PhoneError> {
        Ok(self.store.refused_upload()?)
    }

    /// An engine with the phone's transport.
    pub fn engine(&self, options: SyncOptions) -> Result<Engine, PhoneError> {
        let mut slot = self.transport.lock().unwrap_or_else(|e| e.into_inner());
        let transport = match &*slot {
            Some(transport) => transport.clone(),
            None => {
                let made: Arc<dyn Transport> = Arc::new(HttpTransport::new(&self.enrolled()?.server_url)?);
                slot.insert(made).clone()
            }
        };
        Ok(Engine::new(self.store.clone(), transport, self.clock.clone(), self.entropy.clone(), options))
    }

    /// Syncs.
    pub fn sync(&self, progress: &dyn Progress, cancel: &Cancel) -> Result<SyncReport, PhoneError> {
        Ok(self.engine(SyncOptions::default())?.sync(progress, cancel)?)
    }

    /// What the next sync would cost; asks the server for its part if `ask`.
    pub fn cost(&self, ask: bool) -> Result<Cost, PhoneError> {
        Ok(self.engine(SyncOptions::default())?.cost(ask, &Cancel::default())?)
    }

    /// Closes the database cleanly; the phone can be opened again.
    pub fn close(self) -> Result<(), PhoneError> {
        match Arc::try_unwrap(self.store) {
            Ok(store) => Ok(store.close()?),
            // a sync still runs on another thread: it closes with the last holder
            Err(_) => Ok(()),
        }
    }
}
