//! A device that writes signed batches without a phone's database: seeds servers and feeds the merge pipeline.

use doorstep_core::clock::{Clock, SystemClock, SystemEntropy, random};
use doorstep_core::id::{ActorId, AreaId, DeviceId, Identity, RecordId, TenantId, UserId, branch_actor};
use doorstep_core::protocol::{Batch, BatchHeader, Hello, RecordBody, RecordFrame, WireChange};
use doorstep_core::record::{Author as ChangeAuthor, ChangeNote, Edit, FormRef, Record, Section};
use ed25519_dalek::SigningKey;

use super::Fault;
use super::workload::Document;
use crate::storage::{Device, Known, Storage, TownshipId};

/// A device with its key.
pub struct Author {
    /// As enrolled.
    pub device: Device,
    key: SigningKey,
    tenant: TenantId,
    last: (u64, [u8; 32]),
}

/// A device's row.
pub fn new_device(user: UserId, township: TownshipId, public_key: [u8; 32]) -> Device {
    Device {
        id: DeviceId(random(&SystemEntropy)),
        user,
        township,
        public_key,
        enrolled_ms: SystemClock.now_ms(),
        revoked: false,
        lost: None,
        counter: 0,
        last_sync_ms: 0,
        previous_sync_ms: 0,
        feed_seq: 0,
        known: Known::default(),
    }
}

impl Author {
    /// Enrols a device.
    pub fn enrol(storage: &dyn Storage, tenant: TenantId, user: UserId, township: TownshipId) -> Result<Self, Fault> {
        let key = SigningKey::from_bytes(&random(&SystemEntropy));
        let device = new_device(user, township, key.verifying_key().to_bytes());
        storage.put_device(&device)?;
        Ok(Self { device, key, tenant, last: (0, [0; 32]) })
    }

    /// A device that was enrolled before, with the number and hash of its last batch.
    pub fn resume(device: Device, key: SigningKey, tenant: TenantId, last: (u64, [u8; 32])) -> Self {
        Self { device, key, tenant, last }
    }

    /// A hello as the start of a request.
    pub fn hello(&self, hello: &Hello) -> Vec<u8> {
        hello.encode_signed(&self.key)
    }

    fn actor(&self) -> ActorId {
        branch_actor(&self.device.public_key, 0)
    }

    fn change(&self, record: &mut Record, edits: &[Edit]) -> Result<Vec<WireChange>, Fault> {
        let core = record.identity().record_type.split('.').next().unwrap_or_default();
        let form = FormRef { name: core.to_owned(), version: 1 };
        let author = ChangeAuthor {
            actor: self.actor(),
            note: ChangeNote { form: Some(form), ..ChangeNote::by(self.device.user) },
            claimed_s: (SystemClock.now_ms() / 1000) as i64,
        };
        let heads = record.heads();
        let change = record.edit(&heads, &author, edits)?.ok_or("an edit that changes nothing")?;
        Ok(vec![WireChange::new(change.hash, change.bytes)])
    }

    /// A document as a new record.
    pub fn first_change(
        &self,
        id: RecordId,
        document: &Document,
        area: AreaId,
    ) -> Result<(RecordFrame, Record), Fault> {
        let identity = Identity::of_type(document.record_type);
        let mut record = Record::new(identity.clone());
        let edit = |(key, value): &(String, _)| Edit {
            section: Section::Answers,
            key: key.clone(),
            value: Clone::clone(value),
        };
        let edits: Vec<Edit> = document.answers.iter().map(edit).collect();
        let body = RecordBody::Changes(self.change(&mut record, &edits)?);
        Ok((RecordFrame { id, identity, incarnation: 0, area, subject: document.subject, body }, record))
    }

    /// A new record with these answers.
    pub fn fill(&self, frame: RecordFrame, edits: &[Edit]) -> Result<(RecordFrame, Record), Fault> {
        let mut record = Record::new(frame.identity.clone());
        let body = RecordBody::Changes(self.change(&mut record, edits)?);
        Ok((RecordFrame { body, ..frame }, record))
    }

    /// One answer of a record changed.
    pub fn edit(&self, of: &RecordFrame, record: &mut Record, edit: Edit) -> Result<RecordFrame, Fault> {
        let body = RecordBody::Changes(self.change(record, &[edit])?);
        Ok(RecordFrame { body, ..of.clone() })
    }

    /// Signs the next batch.
    pub fn sign(&mut self, frames: Vec<RecordFrame>) -> Batch {
        let (number, previous) = (self.last.0 + 1, self.last.1);
        let header = BatchHeader { tenant: self.tenant, device: self.device.id, branch: 0, number, previous };
        let batch = Batch::sign(header, frames, &self.key);
        self.last = (number, batch.hash());
        batch
    }
}
