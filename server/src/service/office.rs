//! The server as an author: every process start is an enrolled device with a key of its own, using the phones' pipeline.

use std::sync::{Arc, Mutex};

use doorstep_core::clock::random;
use doorstep_core::form::Form;
use doorstep_core::id::{ActorId, AreaId, ChangeHash, DeviceId, Identity, RecordId, TenantKey, UserId, branch_actor};
use doorstep_core::protocol::{Batch, BatchHeader, RecordBody, RecordFrame, State, WireChange};
use doorstep_core::record::{Author, ChangeNote, Edit, EditError, FormRef, HistoryEntry, Record, Section, Value};
use doorstep_core::rights::Standing;
use ed25519_dalek::SigningKey;

use super::life::Arrived;
use super::merge::{Sender, open_record};
use super::{Refused, Service};
use crate::register::office_user;
use crate::storage::{AuditEntry, Committed, Device, Known, Move, StoredRecord, TownshipId};

/// Changes in one batch of an import.
const BATCH_CHANGES: usize = 500;
/// Tries when phones move the records meanwhile.
const TRIES: usize = 20;

/// Why the office's write failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Answers that can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The pipeline refused the whole batch.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No such record.
    #[error("there is no such record")]
    UnknownRecord,
    /// Heads that the record doesn't have.
    #[error("the record never was as it is said to have been shown")]
    UnknownHeads,
    /// The office answered the question meanwhile.
    #[error("somebody at the office answered this question meanwhile")]
    Answered,
    /// The household went to another township.
    #[error("the household is at home in another township now")]
    Elsewhere,
    /// The pipeline refused a change.
    #[error("a change was refused: {0}")]
    Change(String),
}

/// On what a change builds.
#[derive(Clone, Copy)]
enum At<'a> {
    /// On all that is there.
    Now,
    /// On what was there at a number of the feed.
    Feed(u64),
    /// On these heads.
    Heads(&'a [ChangeHash]),
}

/// A form instance that the office writes: its answers may be of any class.
#[derive(Debug, Clone)]
pub struct FormInstance {
    /// The core record.
    pub id: RecordId,
    /// Its type and key.
    pub identity: Identity,
    /// Placement.
    pub area: AreaId,
    /// Subject.
    pub subject: Option<RecordId>,
    /// Answers by key.
    pub answers: Vec<(String, Value)>,
}

/// This process start as an author.
pub struct Office {
    service: Arc<Service>,
    device: Device,
    key: SigningKey,
    chain: Mutex<(u64, [u8; 32])>,
    /// Whether events that wait for what is written are tried after it.
    settles_events: bool,
}

impl Office {
    /// Enrols this process start.
    pub fn start(service: &Arc<Service>, user: UserId, township: TownshipId) -> Result<Self, Refused> {
        let key = SigningKey::from_bytes(&random(&*service.entropy));
        let device = Device {
            id: DeviceId(random(&*service.entropy)),
            user,
            township,
            public_key: key.verifying_key().to_bytes(),
            enrolled_ms: service.clock.now_ms(),
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: Known::default(),
        };
        service.storage.put_device(&device)?;
        let chain = Mutex::new((0, [0; 32]));
        Ok(Self { service: service.clone(), device, key, chain, settles_events: true })
    }

    /// Enrols this process to write what follows from an event: its caller looks for events that wait for that.
    pub(super) fn for_events(service: &Arc<Service>, township: TownshipId) -> Result<Self, Refused> {
        let office = Self::start(service, office_user(service)?, township)?;
        Ok(Self { settles_events: false, ..office })
    }

    /// The device that this process start is.
    pub fn device(&self) -> DeviceId {
        self.device.id
    }

    /// As a sender of what is merged.
    pub(super) fn sender(&self) -> &Device {
        &self.device
    }

    /// Whose device it is.
    pub(super) fn user(&self) -> UserId {
        self.device.user
    }

    /// The author in its changes.
    pub(super) fn actor(&self) -> ActorId {
        branch_actor(&self.device.public_key, 0)
    }

    /// Writes form instances, splitting their answers by sensitivity class, in bounded batches. Gives how many changes.
    pub fn write(&self, instances: &[FormInstance]) -> Result<usize, WriteError> {
        self.write_as_of(instances, None)
    }

    /// Like [`Office::write`], editing records as they were at a number of the feed: what others changed since stays beside it
    /// as a difference.
    pub fn write_as_of(&self, instances: &[FormInstance], upto: Option<u64>) -> Result<usize, WriteError> {
        let tenant_key = self.service.tenant_key();
        let forms = self.service.forms().map_err(Refused::from)?;
        let at = upto.map_or(At::Now, At::Feed);
        let mut written = 0;
        let mut planned = Vec::new();
        for instance in instances {
            let form = forms.of_type(&instance.identity.record_type);
            planned.extend(split(instance, form.as_deref(), &tenant_key));
            if planned.len() >= BATCH_CHANGES {
                written += self.push(std::mem::take(&mut planned), at, &[])?;
            }
        }
        if !planned.is_empty() {
            written += self.push(planned, at, &[])?;
        }
        Ok(written)
    }

    /// Makes one change of a record at the heads that somebody was shown: what others changed since stays beside it as a
    /// difference. Gives how many changes it took: none where the values stand already. The entry of the audit log is written with
    /// it, or not at all.
    ///
    /// # Errors
    /// [`WriteError::UnknownRecord`], [`WriteError::UnknownHeads`], and [`WriteError::Answered`] where the office itself
    /// answered one of the questions after those heads: its next change would replace that unseen.
    pub fn edit_at(
        &self,
        record: RecordId,
        heads: &[ChangeHash],
        edits: Vec<Edit>,
        entry: AuditEntry,
    ) -> Result<usize, WriteError> {
        let stored = self.service.storage.load_records(self.device.township, &[record]).map_err(Refused::from)?;
        let stored = stored.into_iter().next().flatten().ok_or(WriteError::UnknownRecord)?;
        check_here(stored.area)?;
        let opened = open_record(&stored).map_err(|r| WriteError::Change(r.code().to_owned()))?;
        self.check_seen(&opened, heads, &edits)?;
        let frame = RecordFrame {
            id: record,
            identity: stored.identity,
            incarnation: stored.incarnation,
            area: stored.area,
            subject: stored.subject,
            body: RecordBody::Changes(Vec::new()),
        };
        self.push(vec![(frame, edits)], At::Heads(heads), &[entry])
    }

    /// Writes answers into a record with a natural key, which is made if nobody has made it: like [`Office::edit_at`], where
    /// no heads say that nothing of it was shown.
    pub fn edit_keyed(
        &self,
        frame: RecordFrame,
        heads: &[ChangeHash],
        edits: Vec<Edit>,
        entry: AuditEntry,
    ) -> Result<usize, WriteError> {
        let stored = self.service.storage.load_records(self.device.township, &[frame.id]).map_err(Refused::from)?;
        let Some(stored) = stored.into_iter().next().flatten() else {
            return self.push(vec![(frame, edits)], At::Now, &[entry]);
        };
        let opened = open_record(&stored).map_err(|r| WriteError::Change(r.code().to_owned()))?;
        let heads = if heads.is_empty() { vec![opened.genesis_hash()] } else { heads.to_vec() };
        self.check_seen(&opened, &heads, &edits)?;
        let frame =
            RecordFrame { incarnation: stored.incarnation, area: stored.area, subject: stored.subject, ..frame };
        self.push(vec![(frame, edits)], At::Heads(&heads), &[entry])
    }

    /// That the record has these heads, and that the office answered none of the questions after them.
    fn check_seen(&self, record: &Record, heads: &[ChangeHash], edits: &[Edit]) -> Result<(), WriteError> {
        if heads.is_empty() || !heads.iter().all(|head| record.contains(head)) {
            return Err(WriteError::UnknownHeads);
        }
        let actor = branch_actor(&self.device.public_key, 0);
        let unseen = |h: &HistoryEntry| h.actor == actor && !record.is_at(heads, &h.change);
        let answers = |h: &HistoryEntry| edits.iter().any(|e| (e.section, e.key.as_str()) == (h.section, &h.key));
        let answered = record.history().iter().any(|h| answers(h) && unseen(h));
        if answered { Err(WriteError::Answered) } else { Ok(()) }
    }

    /// Moves records, each with everything about it.
    pub fn move_records(&self, moves: Vec<Move>) -> Result<(), WriteError> {
        let (service, sender) = (&self.service, Sender::Author { device: &self.device, branch: 0 });
        for _ in 0..TRIES {
            let merge = service.merge(sender, 0, service.clock.now_ms()).map_err(Refused::from)?;
            let push = merge.moving(moves.clone()).map_err(Refused::from)?;
            if let Committed::Done(_) = service.committer.commit(&*service.storage, push)? {
                return Ok(());
            }
        }
        Err(Refused::Busy.into())
    }

    /// Puts a record into a state, such as approved.
    pub fn set_state(&self, record: RecordId, standing: &Standing) -> Result<(), WriteError> {
        let township = self.device.township;
        let stored = self.service.storage.load_records(township, &[record]).map_err(Refused::from)?;
        let stored = stored.into_iter().next().flatten().ok_or_else(|| WriteError::Change("unknown_record".into()))?;
        check_here(stored.area)?;
        let frame = RecordFrame {
            id: record,
            identity: stored.identity,
            incarnation: stored.incarnation,
            area: stored.area,
            subject: stored.subject,
            body: RecordBody::Changes(Vec::new()),
        };
        let id = data_encoding::HEXLOWER.encode(&random::<16>(&*self.service.entropy));
        let edit = Edit { section: Section::Events, key: id, value: Value::Text(standing.to_json()) };
        self.push(vec![(frame, vec![edit])], At::Now, &[])?;
        Ok(())
    }

    fn push(
        &self,
        planned: Vec<(RecordFrame, Vec<Edit>)>,
        at: At<'_>,
        entries: &[AuditEntry],
    ) -> Result<usize, WriteError> {
        let storage = &*self.service.storage;
        let ids: Vec<RecordId> = planned.iter().map(|(frame, _)| frame.id).collect();
        let stored = storage.load_records(self.device.township, &ids).map_err(Refused::from)?;
        let forms = self.service.forms().map_err(Refused::from)?;
        let mut frames = Vec::new();
        for ((mut frame, edits), stored) in planned.into_iter().zip(stored) {
            let mut record = match &stored {
                Some(stored) => open_record(stored).map_err(|r| WriteError::Change(r.code().to_owned()))?,
                None => Record::new(frame.identity.clone()),
            };
            let heads = match (&stored, at) {
                (Some(stored), At::Feed(upto)) => heads_as_of(stored, upto)?,
                (_, At::Heads(heads)) => heads.to_vec(),
                _ => record.heads(),
            };
            let core_type = frame.identity.record_type.split('.').next().unwrap_or_default();
            let form = forms.of_type(core_type);
            let author = Author {
                actor: self.actor(),
                note: ChangeNote {
                    // an event is written when it is told whole
                    is_complete: form.as_ref().is_some_and(|form| form.event().is_some()),
                    form: form.map(|f| FormRef { name: f.name.clone(), version: f.version }),
                    ..ChangeNote::by(self.device.user)
                },
                claimed_s: (self.service.clock.now_ms() / 1000) as i64,
            };
            if let Some(change) = record.edit(&heads, &author, &edits)? {
                // it may have been rooted anew
                frame.incarnation = stored.as_ref().map_or(frame.incarnation, |stored| stored.incarnation);
                frame.body = RecordBody::Changes(vec![WireChange::new(change.hash, change.bytes)]);
                frames.push(frame);
            }
        }
        if frames.is_empty() { Ok(0) } else { self.send(frames, entries) }
    }

    fn send(&self, frames: Vec<RecordFrame>, entries: &[AuditEntry]) -> Result<usize, WriteError> {
        let mut chain = self.chain.lock().unwrap_or_else(|e| e.into_inner());
        let header = BatchHeader {
            tenant: self.service.secrets.tenant,
            device: self.device.id,
            branch: 0,
            number: chain.0 + 1,
            previous: chain.1,
        };
        let batch = Batch::sign(header, frames, &self.key);
        for _ in 0..TRIES {
            let sender = Sender::Author { device: &self.device, branch: 0 };
            let merge = self.service.merge(sender, 0, self.service.clock.now_ms()).map_err(Refused::from)?;
            let mut push = merge.batch(&batch, batch.hash()).map_err(Refused::from)?;
            let outcomes = push.batch.as_ref().map(|row| row.outcomes.clone()).unwrap_or_default();
            if let Some(bad) = outcomes.iter().find(|o| !matches!(o.state, State::Stored | State::Known)) {
                return Err(WriteError::Change(bad.reason.clone()));
            }
            push.entries.extend_from_slice(entries);
            let arrived = Arrived::of(&push);
            if let Committed::Done(_) = self.service.committer.commit(&*self.service.storage, push)? {
                *chain = (batch.header.number, batch.hash());
                drop(chain);
                if self.settles_events {
                    self.service.settle_arrived(self.device.township, &arrived);
                }
                return Ok(outcomes.len());
            }
        }
        Err(Refused::Busy.into())
    }
}

/// That what lies there is the township's: what went to another one is decided there.
pub(super) fn check_here(area: AreaId) -> Result<(), WriteError> {
    if area == AreaId::NOWHERE { Err(WriteError::Elsewhere) } else { Ok(()) }
}

/// The heads that a record had at a number of the feed.
fn heads_as_of(stored: &StoredRecord, upto: u64) -> Result<Vec<ChangeHash>, WriteError> {
    let changes = stored.changes.iter().filter(|c| c.seq <= upto).cloned().collect();
    let earlier = StoredRecord { changes, ..stored.clone() };
    let record = open_record(&earlier).map_err(|r| WriteError::Change(r.code().to_owned()))?;
    Ok(record.heads())
}

/// One document for each class; the core one first.
pub(crate) fn split(
    instance: &FormInstance,
    form: Option<&Form>,
    tenant_key: &TenantKey,
) -> Vec<(RecordFrame, Vec<Edit>)> {
    let record_type = instance.identity.record_type.as_str();
    let mut by_class: std::collections::BTreeMap<&str, Vec<Edit>> = Default::default();
    by_class.insert("core", Vec::new());
    for (key, value) in &instance.answers {
        let class = form.and_then(|f| f.class_of(key)).map_or("core", |c| c.as_str());
        let edit = Edit { section: Section::Answers, key: key.clone(), value: value.clone() };
        by_class.entry(class).or_default().push(edit);
    }
    let frame = |id, identity, subject| RecordFrame {
        id,
        identity,
        incarnation: 0,
        area: instance.area,
        subject,
        body: RecordBody::Changes(Vec::new()),
    };
    let core = by_class.remove("core").unwrap_or_default();
    let mut documents = vec![(frame(instance.id, instance.identity.clone(), instance.subject), core)];
    for (class, edits) in by_class {
        let identity = Identity::part(record_type, class, instance.id);
        if let Some(id) = identity.derived_id(tenant_key) {
            documents.push((frame(id, identity, Some(instance.subject.unwrap_or(instance.id))), edits));
        }
    }
    documents
}
