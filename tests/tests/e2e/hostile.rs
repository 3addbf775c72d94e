//! Hostile and broken uploads through HTTP, against a server in a process of its own whose memory is watched.

use doorstep_core::client::Phone;
use doorstep_core::clock::{Entropy, SeededEntropy};
use doorstep_core::id::{AreaId, Identity, RecordId, branch_actor};
use doorstep_core::protocol::{
    Batch, BatchHeader, Hello, Outcome, RecordBody, RecordFrame, ReplyDecoder, ReplyFrame, State, Upload, UploadKind,
    WireChange, stream,
};
use doorstep_core::record::{Author, ChangeNote, Edit, Record};
use doorstep_core::store::Enrolment;
use doorstep_server::cli::DataOptions;
use doorstep_tests::harness::{ServerProcess, add_household, code_for, ensure_township, open_phone, sync};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The server's memory may grow by so much while it is attacked.
const GROWTH_KIB: u64 = 40 << 10;

pub(crate) struct Attack {
    pub process: ServerProcess,
    pub enrolment: Enrolment,
    pub client: reqwest::blocking::Client,
    counter: u64,
    pub area: AreaId,
    pub honest: Phone,
    pub household: RecordId,
    _dirs: [TempDir; 3],
}

impl Attack {
    /// A server, an honest phone with a household, and an enrolled device that turns hostile.
    pub fn new() -> Self {
        Self::with("error", ["甲", "乙"])
    }

    /// The same, with a log filter for the server and names for the two people.
    pub fn with(log: &str, names: [&str; 2]) -> Self {
        let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
        let options = DataOptions { data: dirs[0].path().to_owned(), database: None };
        let service = doorstep_server::cli::serve::open_service(&options).unwrap();
        let (township, villages) = ensure_township(&service);
        let codes = names.map(|name| code_for(&service, township, name));
        drop(service);
        let process = ServerProcess::start_with(crate::BINARY, dirs[0].path(), &[], log);
        let honest = open_phone(dirs[1].path());
        honest.enrol(&process.url, &codes[0]).unwrap();
        let household = add_household(&honest, villages[0], "0001", "李四");
        sync(&honest);
        let hostile = open_phone(dirs[2].path());
        let enrolment = hostile.enrol(&process.url, &codes[1]).unwrap();
        let client = crate::client();
        Self { process, enrolment, client, counter: 1_000, area: villages[0], honest, household, _dirs: dirs }
    }

    pub fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.enrolment.signing_seed)
    }

    pub fn post(&self, body: Vec<u8>) -> (u16, Vec<u8>) {
        let response = self.client.post(format!("{}/sync", self.process.url)).body(body).send().unwrap();
        (response.status().as_u16(), response.bytes().unwrap().to_vec())
    }

    pub fn hello(&mut self, upload: &[u8], number: u64) -> Vec<u8> {
        self.counter += 1;
        let hello = Hello {
            cost_only: true,
            upload: (number > 0).then(|| Upload {
                kind: UploadKind::Batch,
                number,
                digest: Sha256::digest(upload).into(),
                total: upload.len() as u32,
                offset: 0,
            }),
            ..Hello::first(self.enrolment.tenant, self.enrolment.device, self.counter)
        };
        hello.encode_signed(&self.key())
    }

    pub fn upload(&mut self, upload: &[u8], number: u64) -> (u16, Vec<u8>) {
        let mut body = self.hello(upload, number);
        body.extend_from_slice(upload);
        self.post(body)
    }

    /// Sends a well-signed batch and gives the states of its changes.
    fn batch(&mut self, number: u64, previous: [u8; 32], records: Vec<RecordFrame>) -> (Vec<Outcome>, [u8; 32]) {
        let header =
            BatchHeader { tenant: self.enrolment.tenant, device: self.enrolment.device, branch: 0, number, previous };
        let batch = Batch::sign(header, records, &self.key());
        let upload = stream::compress(&batch.encode().unwrap()).unwrap();
        let (status, reply) = self.upload(&upload, number);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&reply));
        let mut decoder = ReplyDecoder::new(doorstep_core::id::TenantKey(self.enrolment.tenant_key)).unwrap();
        let frames = decoder.push(&reply).unwrap();
        let outcomes = frames.into_iter().find_map(|f| match f {
            ReplyFrame::Statuses { outcomes, .. } => Some(outcomes),
            _ => None,
        });
        (outcomes.expect("states"), batch.hash())
    }

    pub fn assert_alive(&self) {
        sync(&self.honest);
        let growth_at = self.process.memory_kib("VmHWM:");
        assert!(growth_at < 100 << 10, "the server's peak memory is {growth_at} KiB");
    }
}

pub(crate) fn frame(id: RecordId, area: AreaId, changes: Vec<Vec<u8>>) -> RecordFrame {
    let changes = changes
        .into_iter()
        .map(|bytes| {
            let stripped = doorstep_core::protocol::records::strip_change(&bytes).expect("a chunk").to_vec();
            let (hash, bytes) = doorstep_core::protocol::records::restore_change(&stripped);
            WireChange::new(hash, bytes)
        })
        .collect();
    RecordFrame {
        id,
        identity: Identity::of_type("visit"),
        incarnation: 0,
        area,
        subject: None,
        body: RecordBody::Changes(changes),
    }
}

/// A chunk around any content, with a right checksum.
fn chunk(content: &[u8]) -> Vec<u8> {
    doorstep_core::protocol::records::restore_change(content).1
}

pub(crate) fn good_change(attack: &Attack, remark: &str) -> Vec<u8> {
    let mut record = Record::new(Identity::of_type("visit"));
    let author = Author {
        actor: branch_actor(&attack.key().verifying_key().to_bytes(), 0),
        note: ChangeNote::by(attack.enrolment.user),
        claimed_s: 1_700_000_000,
    };
    let heads = record.heads();
    record.edit(&heads, &author, &[Edit::answer("remark", remark)]).unwrap().unwrap().bytes
}

/// 69 bytes whose run lengths claim billions of operations.
fn run_length_bomb(good: &[u8]) -> Vec<u8> {
    let content = doorstep_core::protocol::records::strip_change(good).unwrap();
    let mut bomb = content[..content.len() / 2].to_vec();
    bomb.extend([0xff, 0xff, 0xff, 0xff, 0x07].repeat(10));
    chunk(&bomb)
}

#[test]
fn bombs_and_broken_bytes_get_typed_refusals_and_bounded_memory() {
    let mut attack = Attack::new();
    let before = attack.process.memory_kib("VmRSS:");
    let zeros = stream::compress(&vec![0; 512 << 20]).unwrap();
    assert!(zeros.len() < 64 << 10);
    for (body, refused) in [
        (zeros, (413, Some("upload_too_large"))),
        (stream::compress(&vec![1; 3 << 20]).unwrap(), (413, Some("upload_too_large"))),
        (vec![0; 300], (400, Some("upload_unreadable"))),
        (b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), (400, Some("upload_unreadable"))),
        (stream::compress(b"\x01\x01").unwrap(), (400, Some("upload_unreadable"))),
    ] {
        let (status, reply) = attack.upload(&body, 1);
        let json: serde_json::Value = serde_json::from_slice(&reply).expect("an error body");
        assert_eq!((status, json["error"]["code"].as_str()), refused);
        assert!(json["error"]["message"]["zh"].as_str().is_some_and(|t| !t.is_empty()));
    }
    for (body, code) in [
        (b"GET / HTTP/1.1".to_vec(), "unreadable"),
        (b"DOOR\x09".to_vec(), "unreadable"),
        (b"DOOR\x01\xff\xff\xff\xff\x0f".to_vec(), "unreadable"),
        (b"DO".to_vec(), "cut"),
        (Vec::new(), "cut"),
    ] {
        let (status, reply) = attack.post(body);
        let json: serde_json::Value = serde_json::from_slice(&reply).expect("an error body");
        assert_eq!((status, json["error"]["code"].as_str()), (400, Some(code)));
    }
    let mut too_long = attack.hello(&[7; 500], 1);
    too_long.extend(vec![0; 3 << 20]);
    let response = attack.client.post(format!("{}/sync", attack.process.url)).body(too_long).send();
    assert!(response.is_err() || response.is_ok_and(|r| r.status() == 413));
    attack.assert_alive();
    let growth = attack.process.memory_kib("VmHWM:").saturating_sub(before);
    assert!(growth < GROWTH_KIB, "peak memory grew by {growth} KiB");
}

#[test]
fn hostile_changes_are_quarantined_with_a_reason_while_good_ones_beside_them_are_stored() {
    let mut attack = Attack::new();
    let good = good_change(&attack, "好的");
    let entropy = SeededEntropy::new(3);
    let mut records = vec![frame(RecordId([1; 16]), attack.area, vec![good.clone()])];
    for n in 0..200u8 {
        let mut content = doorstep_core::protocol::records::strip_change(&good).unwrap().to_vec();
        for _ in 0..1 + entropy.below(4) {
            let at = entropy.below(content.len() as u64) as usize;
            let mut byte = [0];
            entropy.fill(&mut byte);
            content[at] = byte[0];
        }
        let mut id = [9; 16];
        id[0] = n;
        records.push(frame(RecordId(id), attack.area, vec![chunk(&content)]));
    }
    records.push(frame(RecordId([8; 16]), attack.area, vec![run_length_bomb(&good)]));
    records.push(frame(RecordId([7; 16]), attack.area, vec![good_change(&attack, "也是好的")]));
    let last = records.len() - 1;
    let (outcomes, hash) = attack.batch(1, [0; 32], records);
    assert_eq!(outcomes.len(), last + 1);
    assert_eq!((outcomes[0].state, outcomes[last].state), (State::Stored, State::Stored));
    let refused = outcomes.iter().filter(|o| o.state == State::Quarantined).count();
    assert!(refused > 150, "{refused} refused");
    assert!(outcomes.iter().filter(|o| o.state == State::Quarantined).all(|o| !o.reason.is_empty()));
    let listed: serde_json::Value =
        attack.client.get(format!("{}/api/quarantine?limit=500", attack.process.url)).send().unwrap().json().unwrap();
    assert_eq!(listed["quarantine"].as_array().map(Vec::len), Some(refused), "the API shows each");
    // a change by somebody else's actor, and one on somebody else's record, in the device's next batch
    let foreign = {
        let mut record = Record::new(Identity::of_type("visit"));
        let author =
            Author { actor: branch_actor(&[5; 32], 0), note: ChangeNote::by(attack.enrolment.user), claimed_s: 1 };
        let heads = record.heads();
        record.edit(&heads, &author, &[Edit::answer("remark", "冒名")]).unwrap().unwrap().bytes
    };
    let mut wrong_type = frame(attack.household, attack.area, vec![good.clone()]);
    wrong_type.identity = Identity::of_type("visit");
    let records = vec![frame(RecordId([6; 16]), attack.area, vec![foreign]), wrong_type];
    let (outcomes, _) = attack.batch(2, hash, records);
    let reasons: Vec<&str> = outcomes.iter().map(|o| o.reason.as_str()).collect();
    assert_eq!(reasons, ["foreign_author", "identity"]);
    attack.assert_alive();
}

#[test]
fn a_batch_with_a_wrong_signature_or_for_another_tenant_is_refused_whole() {
    let mut attack = Attack::new();
    let records = vec![frame(RecordId([1; 16]), attack.area, vec![good_change(&attack, "好的")])];
    let header = |tenant, device| BatchHeader { tenant, device, branch: 0, number: 1, previous: [0; 32] };
    let other_key = SigningKey::from_bytes(&[1; 32]);
    let (tenant, device) = (attack.enrolment.tenant, attack.enrolment.device);
    let other_tenant = doorstep_core::id::TenantId([3; 16]);
    let foreign = (403, Some("upload_foreign"));
    for (batch, refused) in [
        (Batch::sign(header(tenant, device), records.clone(), &other_key), (401, Some("upload_signature"))),
        (Batch::sign(header(other_tenant, device), records.clone(), &attack.key()), foreign),
        (Batch::sign(header(tenant, doorstep_core::id::DeviceId([4; 16])), records.clone(), &attack.key()), foreign),
    ] {
        let upload = stream::compress(&batch.encode().unwrap()).unwrap();
        let (status, reply) = attack.upload(&upload, 1);
        let json: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!((status, json["error"]["code"].as_str()), refused);
    }
    let body = attack.hello(&[], 0);
    assert_eq!(attack.post(body.clone()).0, 200);
    let (status, reply) = attack.post(body);
    let json: serde_json::Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!((status, json["error"]["code"].as_str()), (409, Some("stale_counter")), "a replay");
}
