//! The store against real files: every promise of the module, named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod damage;
mod deliveries;
mod drafts;
mod forms;
mod open;
mod outbox;
mod remake;
mod rewind;
mod scope;
mod sealed;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, SeededEntropy};
use crate::id::{Chain, ChangeHash, Identity, MacTag, TenantKey};
use crate::protocol::{Batch, Delivery, Outcome, Position, RecordBody, RecordFrame, Source, State, limits, stream};
use crate::record::{ChangeNote, Edit, Section, Value};

pub(super) const NOW_MS: u64 = 1_770_000_000_000;
pub(super) const VILLAGE: AreaId = AreaId([7; 16]);

pub(super) fn open_dir(dir: &Path, seed: u64) -> std::result::Result<Opened, OpenError> {
    let clock = Arc::new(ManualClock::at(NOW_MS));
    Store::open(dir, OpenOptions { clock, entropy: Arc::new(SeededEntropy::new(seed)) })
}

pub(super) fn server_identity() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[4; 32])
}

pub(super) fn enrolment(device: u8) -> Enrolment {
    Enrolment {
        tenant: TenantId([1; 16]),
        tenant_key: [2; 32],
        township: AreaId([3; 16]),
        device: DeviceId([device; 16]),
        user: UserId([device; 16]),
        user_name: "测试".into(),
        signing_seed: [device; 32],
        server_url: "http://localhost".into(),
        server_identity: server_identity().verifying_key().to_bytes(),
        certificate: None,
    }
}

/// A phone in a folder of its own.
pub(super) struct TestPhone {
    pub dir: TempDir,
    pub store: Store,
    pub device: u8,
}

impl TestPhone {
    pub fn new(device: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let opened = open_dir(dir.path(), device.into()).unwrap();
        assert!(opened.notices.is_empty());
        opened.store.enrol(&enrolment(device)).unwrap();
        Self { dir, store: opened.store, device }
    }

    /// As after the process was killed: dropped without closing, opened again.
    pub fn killed_and_reopened(self) -> Self {
        let Self { dir, store, device } = self;
        drop(store);
        let opened = open_dir(dir.path(), u64::from(device) + 1000).unwrap();
        assert!(opened.notices.is_empty(), "{:?}", opened.notices);
        Self { dir, store: opened.store, device }
    }

    pub fn note(&self) -> ChangeNote {
        ChangeNote::by(UserId([self.device; 16]))
    }

    pub fn document(&self, id: RecordId, answers: &[(&str, &str)]) -> PlannedDocument {
        PlannedDocument {
            identity: Identity::of_type("household"),
            id,
            area: VILLAGE,
            subject: None,
            edits: answers.iter().map(|(k, v)| Edit::answer(*k, *v)).collect(),
        }
    }

    pub fn household(&self, answers: &[(&str, &str)]) -> RecordId {
        let id = self.store.new_record_id();
        self.edit(id, answers);
        id
    }

    pub fn edit(&self, id: RecordId, answers: &[(&str, &str)]) {
        self.store.write(&[self.document(id, answers)], &self.note()).unwrap();
    }

    pub fn text(&self, id: RecordId, key: &str) -> String {
        match self.store.record(id).unwrap().unwrap().value(Section::Answers, key) {
            Some(Value::Text(text)) => text,
            other => format!("{other:?}"),
        }
    }

    pub fn upload(&self) -> Option<Batch> {
        let upload = self.store.pending_upload(500).unwrap()?;
        let bytes = stream::inflate(&upload.bytes, limits::UPLOAD_INFLATED_MAX).unwrap();
        Some(Batch::decode(&bytes, &TenantKey([2; 32])).unwrap())
    }

    /// The server answers for the batch with one state for all its changes.
    pub fn answer(&self, batch: &Batch, outcome: &Outcome) -> StatusReport {
        let outcomes = vec![outcome.clone(); batch.manifest().len()];
        self.store.apply_statuses(batch.header.branch, batch.header.number, &outcomes, 1, MacTag([0; 16])).unwrap()
    }

    /// Sends everything; gives what the server stored.
    pub fn push(&self) -> Vec<RecordFrame> {
        let mut frames = Vec::new();
        while let Some(batch) = self.upload() {
            self.answer(&batch, &Outcome::of(State::Stored));
            frames.extend(batch.records);
        }
        frames
    }

    pub fn deliver(&self, seq: u64, records: &[RecordFrame]) -> DeliveryReport {
        self.store.apply_delivery(&delivery(seq, records)).unwrap()
    }

    /// The kept digest is that of a count from scratch.
    pub fn check_digest(&self) {
        let mut digest = crate::protocol::ScopeDigest::default();
        self.store
            .connections
            .read(|db| {
                let mut statement = db.prepare("SELECT hash FROM change WHERE state = 2")?;
                let rows = statement.query_map([], |r| Ok(ChangeHash(r.get(0)?)))?;
                rows.for_each(|hash| digest.add(&hash.unwrap()));
                Ok(())
            })
            .unwrap();
        assert_eq!(self.store.scope_digest().unwrap(), digest);
    }
}

pub(super) fn delivery(seq: u64, records: &[RecordFrame]) -> Delivery {
    Delivery {
        source: Source::Feed(point(seq)),
        records: records.to_vec(),
        as_of: seq,
        receipt: MacTag([seq as u8; 16]),
    }
}

pub(super) fn point(seq: u64) -> Position {
    Position { seq, chain: Chain([seq as u8; 16]) }
}

pub(super) fn hashes(frames: &[RecordFrame]) -> Vec<ChangeHash> {
    let mut hashes = Vec::new();
    for frame in frames {
        if let RecordBody::Changes(changes) = &frame.body {
            hashes.extend(changes.iter().map(|c| c.hash));
        }
    }
    hashes
}
