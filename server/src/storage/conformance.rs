//! What every storage must do: one function per claim, each run on a fresh database of each backend.
//!
//! PostgreSQL is tested when DOORSTEP_TEST_POSTGRES names a server (a `postgres://` address of a user who may create
//! databases). Without it the tests say that they were skipped, and fail where CI is `true`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only compiled for tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorstep_core::id::{AreaId, Chain, ChangeHash, DeviceId, Identity, RecordId, TenantId, UserId};
use doorstep_core::protocol::{Outcome, Position, ScopeDigest, State};

use super::{
    AuditEntry, BatchRow, Committed, Device, DoubtCheck, Known, NewChange, PreparedPush, PreparedRecord, Projection,
    PulledRecord, Scope, Secrets, Storage, Write,
};

mod acts;
mod audit;
mod away;
mod commits;
mod databases;
mod devices;
mod doubts;
mod erasure;
mod events;
mod exchanges;
pub(super) mod figures;
mod forms;
mod links;
mod lists;
mod people;
mod pulls;
mod refused;
mod register;
mod relocations;
mod rights;

/// Runs claims on each backend.
macro_rules! claims {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() {
                let (_folder, storage) = super::super::fresh_sqlite();
                super::$name(storage);
            })*
        }
        mod postgres {
            $(#[test] fn $name() {
                super::super::databases::on_postgres(super::$name);
            })*
        }
    };
}
use claims;

const TOWNSHIP: AreaId = AreaId([1; 16]);
const OTHER_TOWNSHIP: AreaId = AreaId([2; 16]);
const VILLAGE: AreaId = AreaId([11; 16]);
const OTHER_VILLAGE: AreaId = AreaId([12; 16]);
const USER: UserId = UserId([21; 16]);

fn secrets() -> Secrets {
    Secrets {
        tenant: TenantId([9; 16]),
        tenant_key: [1; 32],
        chain_key: [2; 32],
        receipt_key: [3; 32],
        session_key: [4; 32],
        identity_seed: [5; 32],
    }
}

fn fresh_sqlite() -> (tempfile::TempDir, Arc<dyn Storage>) {
    let folder = tempfile::tempdir().unwrap();
    let storage = super::SqliteStorage::open(&folder.path().join("server.db")).unwrap();
    storage.secrets(&secrets()).unwrap();
    (folder, Arc::new(storage))
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// 16 bytes that no other call gives.
fn unique() -> [u8; 16] {
    let mut id = [7; 16];
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}

fn new_hash() -> ChangeHash {
    let mut hash = [0xee; 32];
    hash[..16].copy_from_slice(&unique());
    ChangeHash(hash)
}

fn enrol(storage: &dyn Storage, township: AreaId) -> Device {
    let device = Device {
        id: DeviceId(unique()),
        user: USER,
        township,
        public_key: [6; 32],
        enrolled_ms: 5,
        revoked: false,
        lost: None,
        counter: 0,
        last_sync_ms: 0,
        previous_sync_ms: 0,
        feed_seq: 0,
        known: Known::default(),
    };
    storage.put_device(&device).unwrap();
    device
}

/// An entry of the audit log about something.
fn audited(subjects: &str) -> AuditEntry {
    let text = |text: &str| text.to_owned();
    AuditEntry {
        at_ms: 1,
        actor: text("office"),
        action: text("sign_in"),
        subjects: text(subjects),
        ..AuditEntry::default()
    }
}

/// One thing that an act writes; false where its *if* isn't so.
fn act(storage: &dyn Storage, write: Write) -> bool {
    storage.act(&[write], &[]).unwrap()
}

fn invite(storage: &dyn Storage, user: UserId, until_ms: u64) {
    assert!(act(storage, Write::Invitation { secret_hash: [1; 32], user, township: TOWNSHIP, until_ms }));
}

fn redeem(storage: &dyn Storage, secret_hash: [u8; 32], device: &Device, now_ms: u64) -> Option<Device> {
    let entry = |device: &Device| audited(&format!("device/{}", device.id));
    storage.redeem_invitation(secret_hash, device, now_ms, &entry).unwrap()
}

fn change(device: &Device, size: usize) -> NewChange {
    NewChange { hash: new_hash(), device: Some(device.id), bytes: vec![0x5a; size] }
}

/// A record that nobody has seen, with one change.
fn record(device: &Device, record_type: &str, area: AreaId, subject: Option<RecordId>) -> PreparedRecord {
    let change = change(device, 100);
    PreparedRecord {
        id: RecordId(unique()),
        identity: Identity::of_type(record_type),
        incarnation: 0,
        area,
        subject,
        base_heads: None,
        heads: vec![change.hash],
        changes: vec![change],
        projection: Projection { json: "{}".to_owned(), title: "A".to_owned(), ..Projection::default() },
        check: DoubtCheck::default(),
    }
}

/// The same record with one more change on top.
fn next(record: &PreparedRecord, device: &Device) -> PreparedRecord {
    let change = change(device, 50);
    PreparedRecord {
        base_heads: Some(record.heads.clone()),
        heads: vec![change.hash],
        changes: vec![change],
        ..record.clone()
    }
}

fn push(device: &Device, records: Vec<PreparedRecord>) -> PreparedPush {
    PreparedPush {
        township: device.township,
        device: device.id,
        counter: 1,
        batch: None,
        received_ms: 1_000,
        records,
        beside: Vec::new(),
        waiting: Vec::new(),
        settled: Vec::new(),
        quarantined: Vec::new(),
        moves: Vec::new(),
        areas_version: None,
        grants: Vec::new(),
        writes: Vec::new(),
        entries: Vec::new(),
        events: Vec::new(),
    }
}

fn batch(branch: u32, number: u64) -> BatchRow {
    BatchRow {
        branch,
        number,
        hash: new_hash().0,
        digest: new_hash().0,
        signature: [3; 64],
        signed: vec![1, 2, 3],
        manifest: vec![4; 52],
        outcomes: vec![Outcome::of(State::Stored), Outcome::quarantined("start_op")],
    }
}

fn commit(storage: &dyn Storage, push: PreparedPush) -> Committed {
    storage.commit_group(&[push]).unwrap().pop().unwrap().unwrap()
}

fn done(storage: &dyn Storage, push: PreparedPush) -> Position {
    match commit(storage, push) {
        Committed::Done(position) => position,
        other => panic!("not stored: {other:?}"),
    }
}

fn whole() -> Scope {
    Scope { whole: true, ..Scope::default() }
}

fn areas(areas: &[AreaId]) -> Scope {
    Scope { areas: areas.to_vec(), ..Scope::default() }
}

fn subjects(subjects: &[RecordId]) -> Scope {
    Scope { subjects: subjects.to_vec(), ..Scope::default() }
}

fn ids(records: &[PulledRecord]) -> Vec<RecordId> {
    records.iter().map(|r| r.id).collect()
}
