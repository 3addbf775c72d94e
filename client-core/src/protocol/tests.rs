#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may stop at the first surprise")]

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::sealed::SealedChanges;
use super::*;
use crate::clock::SeededEntropy;
use crate::id::*;
use crate::record::{Author, ChangeNote, Edit, Record, Section, Value};

const TENANT_KEY: [u8; 32] = [7; 32];

fn key() -> TenantKey {
    TenantKey(TENANT_KEY)
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A visit with one change, the same each time.
fn visit(n: u8) -> RecordFrame {
    let mut record = Record::new(Identity::of_type("visit"));
    let author = Author {
        actor: branch_actor(&signing_key().verifying_key().to_bytes(), 0),
        note: ChangeNote::by(UserId([3; 16])),
        claimed_s: 1_700_000_000 + i64::from(n),
    };
    let edit = |key: &str, value| Edit { section: Section::Answers, key: key.to_owned(), value };
    let edits = [edit("remark", Value::Text("屋面渗漏".repeat(4))), edit("persons", Value::Int(i64::from(n)))];
    let heads = record.heads();
    let change = record.edit(&heads, &author, &edits).unwrap().unwrap();
    RecordFrame {
        id: RecordId([n; 16]),
        identity: Identity::of_type("visit"),
        incarnation: 0,
        area: AreaId([n % 3; 16]),
        subject: Some(RecordId([100 + n % 2; 16])),
        body: RecordBody::Changes(vec![WireChange::new(change.hash, change.bytes)]),
    }
}

fn batch() -> Batch {
    let header =
        BatchHeader { tenant: TenantId([1; 16]), device: DeviceId([2; 16]), branch: 0, number: 5, previous: [4; 32] };
    Batch::sign(header, (0..20).map(visit).collect(), &signing_key())
}

fn hello() -> Hello {
    Hello {
        tenant: TenantId([1; 16]),
        device: DeviceId([2; 16]),
        counter: 77,
        branch: 3,
        grants: Position { seq: 4, chain: Chain([5; 16]) },
        feed: Some(Position { seq: 300, chain: Chain([6; 16]) }),
        fills: vec![FillPosition { grant: 1, after: 200 }],
        areas: 2,
        older: vec![Position { seq: 100, chain: Chain([7; 16]) }],
        told: None,
        forms: None,
        waiting: Vec::new(),
        cost_only: false,
        diverged: true,
        wiping: false,
        upload: Some(Upload { kind: UploadKind::Batch, number: 5, digest: [8; 32], total: 1000, offset: 10 }),
    }
}

fn hash(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))[..16].to_owned()
}

#[test]
fn the_bytes_of_hello_and_batch_are_frozen() {
    let batch = batch().encode().unwrap();
    let hello = hello().encode_signed(&signing_key());
    assert_eq!((hello.len(), hash(&hello).as_str()), (GOLDEN_HELLO_LEN, GOLDEN_HELLO));
    assert_eq!((batch.len(), hash(&batch).as_str()), (GOLDEN_BATCH_LEN, GOLDEN_BATCH));
}

const GOLDEN_HELLO: &str = "117190308c88d4f5";
const GOLDEN_HELLO_LEN: usize = 203;
const GOLDEN_BATCH: &str = "84c4957473ef2995";
const GOLDEN_BATCH_LEN: usize = 5109;

/// What a phone that takes forms says.
fn hello_with_forms() -> Hello {
    let position = Position { seq: 12, chain: Chain([9; 16]) };
    let wanted = vec![("visit".to_owned(), 3)];
    Hello { forms: Some(FormsKnown { position, wanted }), ..hello() }
}

fn forms_news() -> ReplyFrame {
    let entry = |version: u32, definition| FormEntry {
        name: "visit".to_owned(),
        version,
        hash: [version as u8; 32],
        retired: version == 1,
        at_ms: 1_700_000_000_000,
        definition,
    };
    let bytes = |base| Some(FormBytes { base, packed: vec![1, 2, 3] });
    let entries = vec![entry(1, None), entry(2, bytes(None)), entry(3, bytes(Some([2; 32])))];
    ReplyFrame::Forms(FormsNews { position: Position { seq: 4, chain: Chain([5; 16]) }, entries })
}

#[test]
fn what_a_hello_and_a_reply_say_of_forms_is_frozen_and_reads_back() {
    let bytes = hello_with_forms().encode_signed(&signing_key());
    assert_eq!(Hello::decode(&bytes).unwrap().unwrap().hello, hello_with_forms());
    let (kind, content) = forms_news().encode().unwrap();
    assert_eq!(ReplyFrame::decode(kind, &content, &key()).unwrap(), forms_news());
    assert_eq!((kind, bytes.len(), content.len()), (12, GOLDEN_HELLO_LEN + 17 + 17 + 8, GOLDEN_FORMS_LEN));
    assert_eq!((hash(&bytes).as_str(), hash(&content).as_str()), (GOLDEN_HELLO_FORMS, GOLDEN_FORMS));
    let none = Hello { forms: Some(FormsKnown::default()), ..hello() };
    let bytes = none.encode_signed(&signing_key());
    assert_eq!(Hello::decode(&bytes).unwrap().unwrap().hello, none, "a phone without any published form");
    assert_eq!(bytes.len(), GOLDEN_HELLO_LEN + 17 + 2);
}

#[test]
fn what_a_hello_and_a_reply_say_of_waiting_changes_is_frozen_and_reads_back() {
    let waiting = |n: u8| ManifestEntry { record: RecordId([n; 16]), incarnation: 1, change: ChangeHash([n; 32]) };
    let asking = Hello { waiting: vec![waiting(3), waiting(4)], ..hello_with_forms() };
    let bytes = asking.encode_signed(&signing_key());
    assert_eq!(Hello::decode(&bytes).unwrap().unwrap().hello, asking);
    let fates = ReplyFrame::Fates {
        outcomes: vec![Outcome::of(State::Stored), Outcome::quarantined("locked")],
        as_of: 300,
        receipt: MacTag([7; 16]),
        chain: Chain([8; 16]),
    };
    let (kind, content) = fates.encode().unwrap();
    assert_eq!(ReplyFrame::decode(kind, &content, &key()).unwrap(), fates);
    assert_eq!((kind, bytes.len(), content.len()), (15, GOLDEN_HELLO_LEN + 42 + 1 + 2 * 52, 47));
    assert_eq!((hash(&bytes).as_str(), hash(&content).as_str()), (GOLDEN_HELLO_WAITING, GOLDEN_FATES));
    let many = Hello { waiting: (0..33).map(waiting).collect(), ..hello_with_forms() };
    assert!(Hello::decode(&many.encode_signed(&signing_key())).is_err(), "more than one hello may ask about");
}

const GOLDEN_HELLO_WAITING: &str = "25e331ef5b73d2f2";
const GOLDEN_FATES: &str = "aaf4d762817ab127";

#[test]
fn a_frame_of_forms_that_can_not_be_read_is_skipped_like_an_unknown_one() {
    let (kind, content) = forms_news().encode().unwrap();
    for cut in 0..content.len() {
        let frame = ReplyFrame::decode(kind, &content[..cut], &key()).unwrap();
        assert_eq!(frame, ReplyFrame::Unknown { kind }, "cut at {cut}");
    }
}

const GOLDEN_HELLO_FORMS: &str = "6133578f13ae3f43";
const GOLDEN_FORMS: &str = "5571992ec39a7e55";
const GOLDEN_FORMS_LEN: usize = 196;

#[test]
fn a_hello_reads_back_and_every_cut_of_it_asks_for_more() {
    let bytes = hello().encode_signed(&signing_key());
    for cut in 0..bytes.len() {
        assert!(Hello::decode(&bytes[..cut]).unwrap().is_none());
    }
    let signed = Hello::decode(&[bytes.as_slice(), b"rest"].concat()).unwrap().unwrap();
    assert_eq!(signed.hello, hello());
    assert_eq!(signed.length, bytes.len());
    assert!(signed.is_signed_by(&signing_key().verifying_key()));
    assert!(!signed.is_signed_by(&SigningKey::from_bytes(&[1; 32]).verifying_key()));
}

#[test]
fn another_protocol_or_version_is_named_at_once() {
    assert!(matches!(Hello::decode(b"GET / HTTP"), Err(DecodeError::Version)));
    assert!(matches!(Hello::decode(b"DOOR\x02"), Err(DecodeError::Version)));
}

#[test]
fn a_batch_reads_back_and_a_change_of_any_byte_breaks_its_signature() {
    let batch = batch();
    let bytes = batch.encode().unwrap();
    let read = Batch::decode(&bytes, &key()).unwrap();
    assert_eq!(read, batch);
    assert!(read.is_signed_by(&signing_key().verifying_key()));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        if let Ok(read) = Batch::decode(&bad, &key()) {
            assert!(read == batch || !read.is_signed_by(&signing_key().verifying_key()), "byte {at}");
        }
    }
}

#[test]
fn a_hundred_visits_of_one_run_cost_few_bytes_beyond_their_content() {
    let batch = batch();
    let bytes = stream::compress(&batch.encode().unwrap()).unwrap();
    let one = match &batch.records[0].body {
        RecordBody::Changes(changes) => strip(changes),
        RecordBody::Snapshot { .. } => 0,
    };
    assert!(
        bytes.len() < one * 20,
        "compression and shared parts must pay: {} bytes for 20 visits of {one}",
        bytes.len()
    );
}

fn strip(changes: &[WireChange]) -> usize {
    changes.iter().map(|c| records::strip_change(&c.bytes).unwrap().len()).sum()
}

#[test]
fn a_bomb_inflates_to_its_limit_and_no_further() {
    let bomb = stream::compress(&vec![0; 64 << 20]).unwrap();
    assert!(bomb.len() < 10_000);
    assert_eq!(stream::inflate(&bomb, limits::UPLOAD_INFLATED_MAX), Err(DecodeError::Limit("inflated upload")));
    assert_eq!(stream::inflate(&bomb[..bomb.len() - 3], 65 << 20), Err(DecodeError::Truncated));
    let two = [stream::compress(b"a").unwrap(), stream::compress(b"b").unwrap()].concat();
    assert!(stream::inflate(&two, 100).is_err(), "nothing may follow an upload");
}

fn reply() -> Vec<Vec<u8>> {
    let mut encoder = ReplyEncoder::new(Weight::Light).unwrap();
    encoder.push(&ReplyFrame::Welcome(Welcome { server_ms: 123, ..Welcome::default() })).unwrap();
    encoder.push(&ReplyFrame::Unknown { kind: 99 }).unwrap();
    let mut chunks = vec![encoder.take_flushed().unwrap()];
    for n in 0..3 {
        let records = vec![visit(n), visit(n + 50)];
        let source = Source::Fill { grant: 1, after: u64::from(n) };
        encoder.push(&ReplyFrame::Delivery(Delivery { source, records, as_of: 9, receipt: MacTag([1; 16]) })).unwrap();
        chunks.push(encoder.take_flushed().unwrap());
    }
    let scope = Some(ScopeDigest { count: 6, sum: u64::MAX });
    chunks.push(encoder.finish(false, scope).unwrap());
    chunks
}

#[test]
fn a_reply_gives_each_frame_as_soon_as_it_arrived_and_skips_unknown_ones() {
    let mut decoder = ReplyDecoder::new(key()).unwrap();
    let counts: Vec<usize> = reply().iter().map(|chunk| decoder.push(chunk).unwrap().len()).collect();
    assert_eq!(counts, [2, 1, 1, 1, 1]);
    assert!(decoder.is_done());
}

#[test]
fn a_reply_cut_at_any_byte_is_never_taken_for_whole() {
    let bytes = reply().concat();
    for cut in 0..bytes.len() {
        let mut decoder = ReplyDecoder::new(key()).unwrap();
        let frames = decoder.push(&bytes[..cut]).unwrap();
        let whole = frames.iter().any(|f| matches!(f, ReplyFrame::Done(_)));
        assert_eq!(decoder.is_done(), whole, "cut at {cut}");
        assert!(frames.len() <= 6);
    }
}

#[test]
fn a_reply_read_byte_by_byte_is_the_same() {
    let bytes = reply().concat();
    let mut decoder = ReplyDecoder::new(key()).unwrap();
    let frames: Vec<ReplyFrame> = bytes.iter().flat_map(|b| decoder.push(std::slice::from_ref(b)).unwrap()).collect();
    let mut whole = ReplyDecoder::new(key()).unwrap();
    assert_eq!(frames, whole.push(&bytes).unwrap());
}

#[test]
fn a_receipt_holds_only_for_its_device_and_list() {
    let entries = batch().manifest();
    let tag = Receipt::tag(&[1; 32], TenantId([1; 16]), DeviceId([2; 16]), 5, &entries);
    let receipt = Receipt { as_of: 5, tag, entries };
    assert!(receipt.is_genuine(&[1; 32], TenantId([1; 16]), DeviceId([2; 16])));
    assert!(!receipt.is_genuine(&[1; 32], TenantId([1; 16]), DeviceId([3; 16])));
    assert!(!receipt.is_genuine(&[2; 32], TenantId([1; 16]), DeviceId([2; 16])));
    let shorter = Receipt { entries: receipt.entries[1..].to_vec(), ..receipt.clone() };
    assert!(!shorter.is_genuine(&[1; 32], TenantId([1; 16]), DeviceId([2; 16])));
    let refill = Refill { receipts: vec![receipt], records: batch().records, sealed: Vec::new() };
    assert_eq!(Refill::decode(&refill.encode().unwrap(), &key()).unwrap(), refill);
}

/// The server of these tests, to which phones seal.
fn server() -> SigningKey {
    SigningKey::from_bytes(&[11; 32])
}

/// The batch as a phone keeps it when the records at these places have left its scope.
fn sealed(batch: &Batch, places: &[usize], server_identity: &[u8; 32]) -> SealedBatch {
    let by = SealedBy { tenant: batch.header.tenant, device: batch.header.device };
    let (mut clear, mut parts) = (batch.clone(), Vec::new());
    clear.records.clear();
    for (place, frame) in batch.records.iter().enumerate() {
        if !places.contains(&place) {
            clear.records.push(frame.clone());
            continue;
        }
        for SealedChanges { content, .. } in by.seal(frame, server_identity, &SeededEntropy::new(place as u64)).unwrap()
        {
            parts.push(SealedPart { place: place as u32, content });
        }
    }
    SealedBatch { clear, sealed: parts }
}

#[test]
fn a_batch_with_sealed_records_opens_only_for_its_server_as_it_was_signed() {
    let batch = batch();
    let identity = server().verifying_key().to_bytes();
    for places in [vec![], vec![0], vec![19], vec![0, 1, 7, 19], (0..20).collect()] {
        let sealed = sealed(&batch, &places, &identity);
        let bytes = sealed.encode().unwrap();
        let read = SealedBatch::decode(&bytes, &key()).unwrap();
        assert_eq!(read, sealed);
        assert_eq!(read.clone().open(&server(), &key()).unwrap(), batch);
        if places.is_empty() {
            assert_eq!(bytes, batch.encode().unwrap());
            continue;
        }
        assert_eq!(Batch::decode(&bytes, &key()), Err(DecodeError::Version), "an old server says so");
        assert_eq!(read.open(&signing_key(), &key()), Err(SealError::Closed));
    }
}

#[test]
fn a_sealed_part_that_is_damaged_foreign_or_misplaced_is_refused_with_its_reason() {
    let (batch, identity) = (batch(), server().verifying_key().to_bytes());
    let good = sealed(&batch, &[3, 4], &identity);
    for at in 0..good.sealed[0].content.len() {
        let mut bad = good.clone();
        bad.sealed[0].content[at] ^= 1;
        let expected = if at == 0 { SealError::Version } else { SealError::Closed };
        assert_eq!(bad.open(&server(), &key()), Err(expected), "byte {at}");
    }
    let mut other_device = good.clone();
    other_device.clear.header.device = DeviceId([77; 16]);
    assert_eq!(other_device.open(&server(), &key()), Err(SealError::Closed));
    for (first, second) in [(3, 3), (4, 3), (3, 90), (u32::MAX, u32::MAX)] {
        let mut misplaced = good.clone();
        (misplaced.sealed[0].place, misplaced.sealed[1].place) = (first, second);
        assert_eq!(misplaced.open(&server(), &key()), Err(SealError::Misplaced), "{first} {second}");
    }
    let by = SealedBy { tenant: batch.header.tenant, device: batch.header.device };
    assert_eq!(by.open(&[], &server(), &key()), Err(SealError::Closed));
    assert_eq!(by.open(&[1; 40], &server(), &key()), Err(SealError::Closed));
    assert_eq!(by.open(&[1; limits::SEALED_MAX + 1], &server(), &key()), Err(SealError::TooLarge));
    let no_key = [2; 32];
    assert_eq!(by.seal(&batch.records[0], &no_key, &SeededEntropy::new(1)), Err(SealError::Identity));
}

#[test]
fn a_refill_opens_what_it_can_and_joins_the_parts_of_a_record() {
    let by = SealedBy { tenant: TenantId([1; 16]), device: DeviceId([2; 16]) };
    let identity = server().verifying_key().to_bytes();
    let frames: Vec<RecordFrame> = (0..3).map(visit).collect();
    let part = |n: usize| by.seal(&frames[n], &identity, &SeededEntropy::new(n as u64)).unwrap().remove(0).content;
    let mut bad = part(1);
    bad[50] ^= 1;
    let refill = Refill { records: frames[..1].to_vec(), sealed: vec![part(0), bad, part(2)], ..Refill::default() };
    let read = Refill::decode(&refill.encode().unwrap(), &key()).unwrap();
    assert_eq!(read, refill);
    let (opened, closed) = read.open(by, &server(), &key()).unwrap();
    assert_eq!(closed, [SealError::Closed]);
    let ids: Vec<RecordId> = opened.records.iter().map(|r| r.id).collect();
    assert_eq!(ids, [frames[0].id, frames[2].id]);
    let RecordBody::Changes(changes) = &opened.records[0].body else { panic!("changes") };
    assert_eq!(changes.len(), 2, "the sealed one and the clear one");
}

#[test]
fn a_refill_gives_only_the_highest_incarnation_of_a_record_wherever_it_comes() {
    let by = SealedBy { tenant: TenantId([1; 16]), device: DeviceId([2; 16]) };
    let identity = server().verifying_key().to_bytes();
    let of = |incarnation| RecordFrame { incarnation, ..visit(0) };
    for (sealed, clear) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        let part = by.seal(&of(sealed), &identity, &SeededEntropy::new(1)).unwrap().remove(0).content;
        let refill = Refill { records: vec![of(clear), visit(1)], sealed: vec![part], ..Refill::default() };
        let (opened, _) = refill.open(by, &server(), &key()).unwrap();
        let found: Vec<(RecordId, u32)> = opened.records.iter().map(|r| (r.id, r.incarnation)).collect();
        assert_eq!(found, [(visit(0).id, sealed.max(clear)), (visit(1).id, 0)]);
    }
}

/// A sealed part of `visit(3)`, as the first version made it.
const GOLDEN_PART: &str = "\
    010d8237a9cce4d4f733b74f8c5b58e45750da87fc4d28106b717f4eb684119c7d08c674787d115d8abf64b1aa4ddeac9a5350390e1a\
    d761a62c685957a457a6469708729c4f3fc99b77b1e75e1d5ca4f2457a5bcfc75696c9d651b8ab610ae9e80f46df24b26933510919bb\
    77d6be81f4b4d63b3119e0538c1ecc2e92bcd8681e2d2d16335671a0cc33b06c4afe26ca8160ffb9b8795871726bafbd9d28ad8c8a10\
    208d4ff141c98a27ca2c0b00acffa2c573bcade84e36149987b7b2af6a58046265d72c093653f5019f1a6fb26bcaeb7e707cd6859500\
    16fe8c64eb621a1950fed91341680262d0fa827ca42ecc2f3beab3e90fe9d85fb8e114634789b62415bb836024904452b60fc2ccde90\
    f750311c8a815b1554d59eb067e2c6920a735c061fd70da39291b09440cd1be40875359adc2858ec1830e18e9fe428ea491b";

#[test]
fn a_part_that_an_earlier_version_sealed_opens() {
    let by = SealedBy { tenant: TenantId([1; 16]), device: DeviceId([2; 16]) };
    let part = data_encoding::HEXLOWER.decode(GOLDEN_PART.as_bytes()).unwrap();
    assert_eq!(by.open(&part, &server(), &key()).unwrap(), visit(3));
}

#[test]
fn a_long_record_is_sealed_in_parts_within_their_limit() {
    let frame = visit(1);
    let RecordBody::Changes(changes) = &frame.body else { panic!("changes") };
    let frame = frame.with(vec![changes[0].clone(); 900]);
    let by = SealedBy { tenant: TenantId([1; 16]), device: DeviceId([2; 16]) };
    let parts = by.seal(&frame, &server().verifying_key().to_bytes(), &SeededEntropy::new(1)).unwrap();
    assert!(parts.len() > 1);
    assert_eq!(parts.iter().map(|part| part.changes.len()).sum::<usize>(), 900);
    for SealedChanges { changes, content } in parts {
        assert!(content.len() < limits::SEALED_MAX * 2 / 3);
        let opened = by.open(&content, &server(), &key()).unwrap();
        assert_eq!(sealed::count_changes(&[opened]), changes.len());
    }
}

#[test]
fn a_head_reads_what_the_change_says() {
    let RecordBody::Changes(changes) = &visit(4).body else { panic!("changes") };
    let head = ChangeHead::read(&changes[0].bytes).unwrap();
    assert_eq!(head.actor, branch_actor(&signing_key().verifying_key().to_bytes(), 0));
    assert_eq!((head.seq, head.claimed_s), (1, 1_700_000_004));
    assert_eq!(head.dependencies, vec![Record::new(Identity::of_type("visit")).genesis_hash()]);
    assert!(head.message.starts_with("u=0303"));
}

proptest! {
    #[test]
    fn numbers_read_back(n: u64, s: i64) {
        let mut w = Writer::new();
        w.number(n);
        w.signed(s);
        let mut r = Reader::new(&w.0);
        prop_assert_eq!((r.number().unwrap(), r.signed().unwrap(), r.is_empty()), (n, s, true));
    }

    #[test]
    fn any_bytes_give_an_answer_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Hello::decode(&bytes);
        let _ = Hello::decode(&[b"DOOR\x01".as_slice(), &bytes].concat());
        let _ = Batch::decode(&bytes, &key());
        let _ = Batch::decode(&[&[1, 1], bytes.as_slice()].concat(), &key());
        let _ = Refill::decode(&bytes, &key()).map(|refill| {
            refill.open(SealedBy { tenant: TenantId([1; 16]), device: DeviceId([2; 16]) }, &server(), &key())
        });
        let _ = SealedBatch::decode(&[&[2, 1], bytes.as_slice()].concat(), &key());
        let _ = ChangeHead::read(&bytes);
        let _ = stream::inflate(&bytes, 1 << 20);
        for kind in 0..16 {
            let _ = ReplyFrame::decode(kind, &bytes, &key());
        }
        let mut decoder = ReplyDecoder::new(key()).unwrap();
        let _ = decoder.push(&[b"DOOR\x01".as_slice(), &bytes].concat());
    }
}
