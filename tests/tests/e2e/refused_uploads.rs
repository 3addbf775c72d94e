//! Uploads that are refused as a whole: a typed refusal, the bytes in quarantine with the reason, on the phone nothing
//! lost and no hot loop, and everything else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use doorstep_core::id::{DeviceId, RecordId, TenantId, TenantKey};
use doorstep_core::protocol::enrol::EnrolAgainBody;
use doorstep_core::protocol::{
    Batch, BatchHeader, Hello, ReplyDecoder, ReplyFrame, SealedBatch, SealedPart, State, stream,
};
use doorstep_core::sync::{Cancel, HttpTransport, Reply, Transport, TransportError};
use doorstep_tests::harness::{TestServer, add_household, sync, visit};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hostile::{Attack, frame, good_change};

/// What the API lists.
fn listed(client: &reqwest::blocking::Client, url: &str) -> Vec<Value> {
    let list: Value = client.get(format!("{url}/api/quarantine/uploads?limit=500")).send().unwrap().json().unwrap();
    list["uploads"].as_array().unwrap().clone()
}

/// The bytes that the API gives for a listed upload.
fn bytes_of(client: &reqwest::blocking::Client, url: &str, row: &Value) -> Vec<u8> {
    let response = client.get(format!("{url}/api/quarantine/uploads/{}", row["no"])).send().unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().unwrap().to_vec()
}

fn error_code(reply: &[u8]) -> String {
    let json: Value = serde_json::from_slice(reply).expect("an error body");
    for language in ["zh", "en"] {
        assert!(json["error"]["message"][language].as_str().is_some_and(|t| !t.is_empty()), "a message in {language}");
    }
    json["error"]["code"].as_str().unwrap().to_owned()
}

/// Batches of an enrolled device that turned hostile.
struct Batches(Attack);

impl Batches {
    fn header(&self, number: u64) -> BatchHeader {
        let enrolment = &self.0.enrolment;
        BatchHeader { tenant: enrolment.tenant, device: enrolment.device, branch: 0, number, previous: [0; 32] }
    }

    fn batch(&self, header: BatchHeader, record: u8, key: &SigningKey) -> Batch {
        let frames = vec![frame(RecordId([record; 16]), self.0.area, vec![good_change(&self.0, "好的")])];
        Batch::sign(header, frames, key)
    }

    fn good(&self, number: u64, record: u8) -> Vec<u8> {
        compressed(&self.batch(self.header(number), record, &self.0.key()))
    }

    fn frames(&self, reply: &[u8]) -> Vec<ReplyFrame> {
        ReplyDecoder::new(TenantKey(self.0.enrolment.tenant_key)).unwrap().push(reply).unwrap()
    }
}

fn compressed(batch: &Batch) -> Vec<u8> {
    stream::compress(&batch.encode().unwrap()).unwrap()
}

#[test]
fn every_kind_of_bad_upload_gets_its_refusal_and_is_kept_with_the_reason_while_others_go_on() {
    let mut batches = Batches(Attack::new());
    let (client, url) = (batches.0.client.clone(), batches.0.process.url.clone());
    let good = batches.good(1, 1);
    let foreign_tenant = BatchHeader { tenant: TenantId([3; 16]), ..batches.header(1) };
    let foreign_device = BatchHeader { device: DeviceId([4; 16]), ..batches.header(1) };
    let mut future = batches.batch(batches.header(1), 1, &batches.0.key()).encode().unwrap();
    future[0] = 9;
    let mut corrupt = good.clone();
    corrupt[1] ^= 0x55;
    let own = batches.0.key();
    let part = SealedPart { place: 0, content: vec![1; 80] };
    let rest = Batch { records: Vec::new(), ..batches.batch(batches.header(1), 1, &own) };
    let closed = SealedBatch { clear: rest, sealed: vec![part] }.encode().unwrap();
    let kinds = [
        ("truncated", good[..good.len() / 2].to_vec(), 400, "upload_unreadable"),
        ("corrupt", corrupt, 400, "upload_unreadable"),
        ("no batch", stream::compress(&[1, 1, 7, 7]).unwrap(), 400, "upload_unreadable"),
        ("oversized", stream::compress(&vec![1; 3 << 20]).unwrap(), 413, "upload_too_large"),
        ("sealed to nobody", stream::compress(&closed).unwrap(), 400, "upload_sealed"),
        ("unknown version", stream::compress(&future).unwrap(), 400, "upload_version"),
        (
            "wrong signature",
            compressed(&batches.batch(batches.header(1), 1, &SigningKey::from_bytes(&[1; 32]))),
            401,
            "upload_signature",
        ),
        ("another tenant's", compressed(&batches.batch(foreign_tenant, 1, &own)), 403, "upload_foreign"),
        ("another device's", compressed(&batches.batch(foreign_device, 1, &own)), 403, "upload_foreign"),
    ];
    let device = batches.0.enrolment.device.to_string();
    for (count, (kind, bytes, status, code)) in kinds.into_iter().enumerate() {
        let (found, reply) = batches.0.upload(&bytes, 1);
        assert_eq!((found, error_code(&reply).as_str()), (status, code), "{kind}");
        let rows = listed(&client, &url);
        assert_eq!(rows.len(), count + 1, "{kind} is kept");
        let row = &rows[0];
        assert_eq!((row["reason"].as_str(), row["device"].as_str()), (Some(code), Some(device.as_str())), "{kind}");
        assert_eq!((row["by"].as_str(), row["number"].as_u64(), row["times"].as_u64()), (Some("乙"), Some(1), Some(1)));
        assert!(row["message"]["zh"].as_str().is_some_and(|t| !t.is_empty()));
        assert_eq!(bytes_of(&client, &url, row), bytes, "{kind}: the bytes as they came");
        batches.0.assert_alive();
    }
    // the digest differs: told in the reply, which goes on
    let mut request = batches.0.hello(&good, 1);
    let mut spoiled = good.clone();
    spoiled[20] ^= 1;
    request.extend_from_slice(&spoiled);
    let (status, reply) = batches.0.post(request);
    let welcome = batches.frames(&reply).into_iter().find_map(|f| match f {
        ReplyFrame::Welcome(welcome) => Some(welcome),
        _ => None,
    });
    assert!(status == 200 && welcome.unwrap().upload_refused);
    let row = &listed(&client, &url)[0];
    assert_eq!((row["reason"].as_str(), bytes_of(&client, &url, row)), (Some("upload_digest"), spoiled));
    // the same device's good batch is stored all the same; then one out of order, and another one under a taken number
    let (_, reply) = batches.0.upload(&good, 1);
    let stored =
        |f: &ReplyFrame| matches!(f, ReplyFrame::Statuses { outcomes, .. } if outcomes[0].state == State::Stored);
    assert!(batches.frames(&reply).iter().any(stored), "the device isn't shut out");
    let early = batches.good(5, 2);
    let (_, reply) = batches.0.upload(&early, 5);
    assert!(batches.frames(&reply).iter().any(|f| matches!(f, ReplyFrame::BatchGap { last: 1, .. })));
    let row = &listed(&client, &url)[0];
    assert_eq!((row["reason"].as_str(), bytes_of(&client, &url, row)), (Some("upload_batch_gap"), early));
    let rival = batches.good(1, 3);
    let (_, reply) = batches.0.upload(&rival, 1);
    assert!(batches.frames(&reply).iter().any(|f| matches!(f, ReplyFrame::BranchTaken { .. })));
    let row = &listed(&client, &url)[0];
    assert_eq!((row["reason"].as_str(), bytes_of(&client, &url, row)), (Some("upload_branch_taken"), rival));
    // a replayed batch is no news and nothing to keep
    let before = listed(&client, &url).len();
    let (_, reply) = batches.0.upload(&good, 1);
    let known =
        |f: &ReplyFrame| matches!(f, ReplyFrame::Statuses { outcomes, .. } if outcomes[0].state == State::Known);
    assert!(batches.frames(&reply).iter().any(known));
    assert_eq!(listed(&client, &url).len(), before);
    // each look at bytes is an entry of the audit log, with the upload's number
    let exports: Value = client.get(format!("{url}/api/audit?action=export")).send().unwrap().json().unwrap();
    let numbers = listed(&client, &url).iter().map(|row| format!("upload/{}", row["no"])).collect::<Vec<_>>();
    let about: Vec<_> = exports["entries"].as_array().unwrap().iter().map(|e| e["about"][0].clone()).collect();
    assert_eq!(about, numbers, "newest first, as they are listed");
    batches.0.assert_alive();
}

#[test]
fn more_bytes_than_the_hello_said_are_refused_and_the_beginning_is_kept() {
    let mut attack = Attack::new();
    let mut request = attack.hello(&[7; 500], 1);
    request.extend(vec![7; 700]);
    let (status, reply) = attack.post(request);
    assert_eq!((status, error_code(&reply).as_str()), (413, "upload_too_large"));
    let rows = listed(&attack.client, &attack.process.url);
    assert_eq!((rows[0]["reason"].as_str(), rows[0]["bytes"].as_u64()), (Some("upload_too_large"), Some(700)));
    attack.assert_alive();
}

#[test]
fn the_same_bytes_are_counted_and_who_is_not_authenticated_fills_nothing() {
    let mut attack = Attack::new();
    let (client, url) = (attack.client.clone(), attack.process.url.clone());
    for number in [1, 1, 2] {
        assert_eq!(attack.upload(&[0; 300], number).0, 400);
    }
    let row = &listed(&client, &url)[0];
    assert_eq!((row["times"].as_u64(), row["kept"].as_u64(), row["number"].as_u64()), (Some(3), Some(300), Some(2)));
    // the same hello signed by another key, and one of a device that nobody knows
    let genuine = std::mem::replace(&mut attack.enrolment.signing_seed, [9; 32]);
    let (status, reply) = attack.upload(&[1; 300], 1);
    assert_eq!((status, error_code(&reply).as_str()), (401, "signature"));
    attack.enrolment.signing_seed = genuine;
    attack.enrolment.device = DeviceId([8; 16]);
    let (status, reply) = attack.upload(&[2; 300], 1);
    assert_eq!((status, error_code(&reply).as_str()), (401, "unknown_device"));
    assert_eq!(listed(&client, &url).len(), 1);
    for (language, words) in [("zh", "服务器看不懂这一批填写"), ("en", "couldn&#39;t read this batch")] {
        let page = client.get(format!("{url}/quarantine?lang={language}")).send().unwrap().text().unwrap();
        assert!(page.contains(words) && page.contains("upload_unreadable"), "the page shows it in {language}");
    }
}

/// The way to the server, on which uploads are spoiled.
struct Spoiling {
    inner: HttpTransport,
    key: SigningKey,
    how: How,
    requests: AtomicU32,
}

#[derive(Clone, Copy)]
enum How {
    /// Other bytes under a right digest: what a phone with a broken program would send.
    Garbage,
    /// A byte differs: what a bad proxy does.
    Flipped,
}

impl Transport for Spoiling {
    fn exchange(&self, request: Vec<u8>, cancel: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let signed = Hello::decode(&request).unwrap().expect("a hello");
        let (mut hello, mut rest) = (signed.hello, request[signed.length..].to_vec());
        let mut head = request[..signed.length].to_vec();
        match (&mut hello.upload, self.how) {
            (Some(upload), How::Garbage) if !rest.is_empty() => {
                rest = vec![0; rest.len()];
                (upload.digest, upload.offset) = (Sha256::digest(&rest).into(), 0);
                head = hello.encode_signed(&self.key);
            }
            (Some(_), How::Flipped) if !rest.is_empty() => *rest.last_mut().unwrap() ^= 1,
            _ => {}
        }
        head.extend(rest);
        self.inner.exchange(head, cancel)
    }

    fn enrol_again(&self, shown: &EnrolAgainBody, cancel: &Cancel) -> Result<(), TransportError> {
        self.inner.enrol_again(shown, cancel)
    }
}

fn a_refused_upload_stays_on_the_phone(how: How, reason: &str) {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let (phone, other) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&other, server.villages[0], "0001", "李四");
    sync(&other);
    sync(&phone);
    let enrolment = phone.enrolment().unwrap().unwrap();
    let spoiling = Arc::new(Spoiling {
        inner: HttpTransport::new(&server.url()).unwrap(),
        key: SigningKey::from_bytes(&enrolment.signing_seed),
        how,
        requests: AtomicU32::new(0),
    });
    phone.use_transport(spoiling.clone());
    let mine = visit(&phone, household, "我的走访");
    let sealed = phone.store().pending_upload(500).unwrap().unwrap();
    let theirs = visit(&other, household, "对方的走访");
    sync(&other);

    let report = sync(&phone);
    assert_eq!(report.upload_refused.as_deref(), Some(reason));
    assert!(spoiling.requests.load(Ordering::Relaxed) <= 4, "no hot loop");
    assert!(phone.record(theirs).is_ok(), "news came all the same");
    assert_eq!(phone.counts().unwrap().unsent, 1, "nothing is lost");
    assert_eq!(phone.store().pending_upload(500).unwrap().unwrap(), sealed, "the batch is kept as it was signed");
    let refused = phone.refused_upload().unwrap().expect("shown");
    assert_eq!((refused.reason.as_str(), refused.times, refused.changes), (reason, 1, 1));
    assert_eq!((refused.number, refused.bytes), (sealed.number, sealed.bytes.len() as u64));
    assert!(refused.what("zh").contains("没有接收") && refused.advice("en").contains("still on the phone"));
    let rows = listed(&crate::client(), &server.url());
    assert_eq!((rows[0]["reason"].as_str(), rows[0]["by"].as_str()), (Some(reason), Some("甲")));

    sync(&phone);
    let again = phone.refused_upload().unwrap().unwrap();
    assert_eq!((again.times, again.first_ms), (2, refused.first_ms), "each sync tries once more and says so");
    assert!(spoiling.requests.load(Ordering::Relaxed) <= 8, "no hot loop");

    phone.use_transport(Arc::new(HttpTransport::new(&server.url()).unwrap()));
    let report = sync(&phone);
    assert_eq!((report.upload_refused, report.changes_acknowledged), (None, 1));
    assert_eq!(phone.refused_upload().unwrap(), None);
    sync(&other);
    assert!(other.record(mine).is_ok());
}

#[test]
fn an_unreadable_upload_stays_on_the_phone_is_shown_and_is_sent_again_by_the_next_sync() {
    a_refused_upload_stays_on_the_phone(How::Garbage, "upload_unreadable");
}

#[test]
fn an_upload_spoiled_under_way_stays_on_the_phone_is_shown_and_is_sent_again_by_the_next_sync() {
    a_refused_upload_stays_on_the_phone(How::Flipped, "upload_digest");
}

#[test]
fn a_batch_that_is_damaged_on_the_phone_is_made_anew_after_some_syncs() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    phone.store().pending_upload(500).unwrap().unwrap();
    let database = rusqlite::Connection::open(dirs[1].path().join("phone.db")).unwrap();
    database.execute("UPDATE batch SET upload = zeroblob(length(upload))", []).unwrap();
    drop(database);
    let mut syncs = 0;
    while phone.counts().unwrap().unsent > 0 {
        syncs += 1;
        assert!(syncs <= 6, "{:?}", phone.refused_upload());
        sync(&phone);
    }
    assert_eq!(phone.refused_upload().unwrap(), None);
    assert!(server.service.storage.record_row(server.township, household).unwrap().is_some());
}
