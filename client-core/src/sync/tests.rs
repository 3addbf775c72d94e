//! The engine over a transport in memory that cuts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tempfile::TempDir;

use super::engine::{BATCH_CHANGES, BATCH_CHANGES_MIN};
use super::{Cancel, Engine, Reply, Silent, SyncError, SyncOptions, SyncReport, Transport, TransportError};
use crate::clock::{ManualClock, SeededEntropy};
use crate::id::{AreaId, Chain, DeviceId, Identity, MacTag, RecordId, TenantId, TenantKey, UserId};
use crate::protocol::enrol::EnrolAgainBody;
use crate::protocol::{
    Batch, Hello, Outcome, ReplyEncoder, ReplyFrame, ScopeDigest, State, Weight, Welcome, WipeOrder, limits, stream,
};
use crate::record::{ChangeNote, Edit, Section};
use crate::store::{Enrolment, OpenOptions, PlannedDocument, Store};

const TENANT_KEY: TenantKey = TenantKey([2; 32]);
const IDENTITY_SEED: [u8; 32] = [7; 32];
const NOW_MS: u64 = 1_770_000_000_000;

/// A way to a server that stores everything. It breaks as told, once for each upload that is sent whole.
#[derive(Default)]
struct CuttingWay {
    /// For each batch: how often its whole upload is cut before it arrives.
    cuts: Mutex<VecDeque<u32>>,
    /// Changes in each batch that arrived.
    sizes: Mutex<Vec<usize>>,
    /// What it says a phone must hold.
    scope: Mutex<Option<ScopeDigest>>,
    /// Signs an order to the phone to erase itself.
    orders: Option<SigningKey>,
    /// What it says to all changes of a batch; stored if it says nothing.
    states: Mutex<Option<Outcome>>,
    /// What it says became of each change that it is asked about.
    fate: Mutex<Option<Outcome>>,
    /// How many changes each request asked about.
    asked: Mutex<Vec<usize>>,
    /// Whether each request said that the digests differ.
    diverged: Mutex<Vec<bool>>,
}

struct OnePiece(Option<Vec<u8>>);

impl Reply for OnePiece {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(self.0.take())
    }
}

impl CuttingWay {
    fn is_cut(&self) -> bool {
        let mut cuts = self.cuts.lock().unwrap();
        match cuts.front_mut() {
            Some(0) => {
                cuts.pop_front();
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => false,
        }
    }

    fn take(&self, upload: &[u8]) -> ReplyFrame {
        let inflated = stream::inflate(upload, limits::UPLOAD_INFLATED_MAX).unwrap();
        let batch = Batch::decode(&inflated, &TENANT_KEY).unwrap();
        let changes = batch.manifest().len();
        self.sizes.lock().unwrap().push(changes);
        let state = self.states.lock().unwrap().clone().unwrap_or(Outcome::of(State::Stored));
        let outcomes = vec![state; changes];
        let (branch, number) = (batch.header.branch, batch.header.number);
        ReplyFrame::Statuses {
            branch,
            number,
            outcomes,
            as_of: number,
            receipt: MacTag([0; 16]),
            chain: Chain::default(),
        }
    }
}

impl Transport for CuttingWay {
    fn exchange(&self, request: Vec<u8>, _: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        let signed = Hello::decode(&request).unwrap().unwrap();
        self.diverged.lock().unwrap().push(signed.hello.diverged);
        let upload = &request[signed.length..];
        if !upload.is_empty() && self.is_cut() {
            return Err(TransportError::Cut);
        }
        let mut reply = ReplyEncoder::new(Weight::Light).unwrap();
        reply.push(&ReplyFrame::Welcome(Welcome { server_ms: NOW_MS, ..Welcome::default() })).unwrap();
        if !upload.is_empty() {
            reply.push(&self.take(upload)).unwrap();
        }
        let waiting = signed.hello.waiting.len();
        self.asked.lock().unwrap().push(waiting);
        if let Some(fate) = self.fate.lock().unwrap().clone().filter(|_| waiting > 0) {
            let (outcomes, receipt) = (vec![fate; waiting], MacTag([0; 16]));
            reply.push(&ReplyFrame::Fates { outcomes, as_of: 9, receipt, chain: Chain::default() }).unwrap();
        }
        if let Some(key) = &self.orders {
            let Hello { tenant, device, counter, .. } = signed.hello;
            reply.push(&ReplyFrame::Wipe(WipeOrder::sign(key, tenant, device, counter))).unwrap();
        }
        Ok(Box::new(OnePiece(Some(reply.finish(false, *self.scope.lock().unwrap()).unwrap()))))
    }

    fn enrol_again(&self, _: &EnrolAgainBody, _: &Cancel) -> Result<(), TransportError> {
        panic!("nobody has forgotten the phone");
    }
}

/// A phone on which so many changes wait.
fn phone(dir: &TempDir, changes: u32) -> Arc<Store> {
    let options = OpenOptions { clock: Arc::new(ManualClock::at(NOW_MS)), entropy: Arc::new(SeededEntropy::new(1)) };
    let store = Store::open(dir.path(), options).unwrap().store;
    let user = UserId([5; 16]);
    let enrolment = Enrolment {
        tenant: TenantId([1; 16]),
        tenant_key: TENANT_KEY.0,
        township: AreaId([3; 16]),
        device: DeviceId([4; 16]),
        user,
        user_name: "测试".into(),
        signing_seed: [6; 32],
        server_url: "http://localhost".into(),
        server_identity: SigningKey::from_bytes(&IDENTITY_SEED).verifying_key().to_bytes(),
        certificate: None,
    };
    store.enrol(&enrolment).unwrap();
    let document = |n: u32| PlannedDocument {
        identity: Identity::of_type("household"),
        id: RecordId(u128::from(n + 1).to_be_bytes()),
        area: AreaId([3; 16]),
        subject: None,
        edits: vec![Edit { section: Section::Answers, key: "household_no".into(), value: n.to_string().into() }],
    };
    let documents: Vec<PlannedDocument> = (0..changes).map(document).collect();
    store.write(&documents, &ChangeNote::by(user)).unwrap();
    Arc::new(store)
}

/// The sizes of the batches that a sync sends when their uploads are cut so often.
fn sizes(changes: u32, cuts: &[u32]) -> Vec<usize> {
    let dir = TempDir::new().unwrap();
    let way = Arc::new(CuttingWay { cuts: Mutex::new(cuts.iter().copied().collect()), ..CuttingWay::default() });
    let report: SyncReport = engine(&phone(&dir, changes), &way).sync(&Silent, &Cancel::default()).unwrap();
    assert_eq!(report.changes_acknowledged, u64::from(changes));
    let sizes = way.sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), changes as usize, "each change arrives once");
    sizes
}

#[test]
fn batches_halve_with_every_cut_and_double_with_every_one_that_arrives() {
    // the first batch stands since before the cuts; the next are made after them
    assert_eq!(sizes(1_200, &[2]), [500, 250, 450]);
    assert_eq!(sizes(1_200, &[3, 0, 1]), [500, 124, 248, 248, 80]);
}

#[test]
fn batches_keep_between_their_smallest_and_their_largest_size() {
    let smallest = BATCH_CHANGES_MIN * 2;
    let sizes = sizes(2_200, &[15]);
    assert_eq!(sizes[..4], [BATCH_CHANGES, smallest, smallest * 2, smallest * 4], "no smaller after many cuts");
    assert!(sizes.iter().all(|size| *size <= BATCH_CHANGES), "{sizes:?}");
    assert!(sizes[4..].contains(&BATCH_CHANGES), "as large as on a good link again: {sizes:?}");
}

/// An engine over `way` that never waits.
fn engine(store: &Arc<Store>, way: &Arc<CuttingWay>) -> Engine {
    let options = SyncOptions { tries: 20, wait_first: Duration::ZERO, wait_max: Duration::ZERO };
    Engine::new(store.clone(), way.clone(), Arc::new(ManualClock::at(NOW_MS)), Arc::new(SeededEntropy::new(2)), options)
}

#[test]
fn a_phone_that_can_not_take_something_fills_again_once_and_not_at_every_sync() {
    let dir = TempDir::new().unwrap();
    let (way, store) = (Arc::new(CuttingWay::default()), phone(&dir, 1));
    let engine = engine(&store, &way);
    // the requests of the next sync: whether each one fills again
    let sync = |count: u64, sum: u64| {
        let own = store.scope_digest().unwrap();
        let server = ScopeDigest { count: own.count + count, sum: own.sum.wrapping_add(sum) };
        *way.scope.lock().unwrap() = Some(server);
        way.diverged.lock().unwrap().clear();
        engine.sync(&Silent, &Cancel::default()).unwrap();
        way.diverged.lock().unwrap().clone()
    };
    engine.sync(&Silent, &Cancel::default()).unwrap();
    assert_eq!(sync(1, 9), [false, true], "all fills start again");
    assert_eq!(sync(1, 9), [false], "but not a second time for the same difference");
    assert_eq!(sync(2, 10), [false, true], "another one is looked for");
    assert_eq!(sync(0, 0), [false]);
    assert_eq!(sync(2, 10), [false, true], "what came and went again is another difference");
}

#[test]
fn the_cost_of_a_sync_is_that_of_everything_that_waits_and_asking_for_it_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let (way, store) = (Arc::new(CuttingWay::default()), phone(&dir, 1_200));
    let engine = engine(&store, &way);
    let (state, pending) = (format!("{:?}", store.sync_state().unwrap()), store.counts().unwrap());
    let cost = engine.cost(false, &Cancel::default()).unwrap();
    assert_eq!(engine.cost(false, &Cancel::default()).unwrap(), cost);
    assert_eq!(format!("{:?}", store.sync_state().unwrap()), state, "no number of a request is used");
    assert_eq!(store.counts().unwrap(), pending);
    assert!(way.sizes.lock().unwrap().is_empty(), "nothing was sent");
    let report = engine.sync(&Silent, &Cancel::default()).unwrap();
    assert_eq!((cost.requests, cost.changes_up), (report.requests, 1_200));
    assert_eq!(report.requests, 3);
    let more = report.bytes_up.abs_diff(cost.bytes_up);
    assert!(more <= 32 * u64::from(report.requests), "{cost:?} and {report:?}");
}

#[test]
fn a_phone_erases_itself_on_the_pinned_server_s_order_only_and_after_it_has_sent_everything() {
    let dir = TempDir::new().unwrap();
    let store = phone(&dir, 1_200);
    let ordering = |seed| {
        let orders = Some(SigningKey::from_bytes(&seed));
        Arc::new(CuttingWay { orders, cuts: Mutex::new([1, 1].into()), ..CuttingWay::default() })
    };
    let other = ordering([8; 32]);
    engine(&phone(&TempDir::new().unwrap(), 3), &other).sync(&Silent, &Cancel::default()).unwrap();
    assert_eq!(other.sizes.lock().unwrap().iter().sum::<usize>(), 3, "an order of somebody else is nothing");

    let way = ordering(IDENTITY_SEED);
    let done = engine(&store, &way).sync(&Silent, &Cancel::default());
    assert!(matches!(done, Err(SyncError::Wiped)), "{done:?}");
    assert_eq!(way.sizes.lock().unwrap().iter().sum::<usize>(), 1_200, "each change was sent once");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["wiped"]);
    assert!(matches!(store.counts(), Err(crate::store::StoreError::Wiped)));
}

#[test]
fn a_phone_asks_what_became_of_changes_that_waited_until_it_is_told() {
    let dir = TempDir::new().unwrap();
    let (way, store) = (Arc::new(CuttingWay::default()), phone(&dir, 40));
    let engine = engine(&store, &way);
    let sync = |fate: Option<Outcome>| {
        way.asked.lock().unwrap().clear();
        *way.fate.lock().unwrap() = fate;
        let report = engine.sync(&Silent, &Cancel::default()).unwrap();
        (report, way.asked.lock().unwrap().clone())
    };
    *way.states.lock().unwrap() = Some(Outcome::of(State::Waiting));
    let (report, asked) = sync(None);
    assert_eq!((report.changes_waiting, asked), (40, vec![0]));
    assert_eq!(store.counts().unwrap().waiting, 40, "none has a final state");
    // more than one request asks about: each has its turn
    let asked = [sync(Some(Outcome::of(State::Waiting))).1, sync(Some(Outcome::of(State::Waiting))).1].concat();
    assert_eq!(asked.iter().sum::<usize>(), 40);
    *way.states.lock().unwrap() = None;
    let (first, asked) = sync(Some(Outcome::of(State::Stored)));
    assert_eq!(first.changes_acknowledged, asked[0] as u64);
    let (second, asked) = sync(Some(Outcome::quarantined("locked")));
    assert_eq!(second.refused.values().sum::<u64>(), asked[0] as u64);
    assert_eq!(second.refused.keys().collect::<Vec<_>>(), ["locked"]);
    assert_eq!(first.changes_acknowledged + second.refused.values().sum::<u64>(), 40);
    assert_eq!(store.counts().unwrap().waiting, 0);
    assert_eq!(store.refused().unwrap().len() as u64, 40 - first.changes_acknowledged);
    assert_eq!(sync(Some(Outcome::of(State::Stored))).1, [0], "nothing is asked any more");
}
