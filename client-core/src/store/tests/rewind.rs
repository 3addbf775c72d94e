use super::*;

use crate::protocol::{Refill, UploadKind};

fn refill(phone: &TestPhone) -> (PendingUpload, Refill) {
    let upload = phone.store.pending_upload(500).unwrap().unwrap();
    assert_eq!(upload.kind, UploadKind::Refill);
    let bytes = stream::inflate(&upload.bytes, limits::UPLOAD_INFLATED_MAX).unwrap();
    (upload, Refill::decode(&bytes, &TenantKey([2; 32])).unwrap())
}

#[test]
fn a_rewound_server_gets_back_what_lies_under_receipts_since() {
    let (author, carrier) = (TestPhone::new(1), TestPhone::new(2));
    let old = author.household(&[("head_name", "张三")]);
    carrier.deliver(1, &author.push());
    let new = author.household(&[("head_name", "李四")]);
    author.edit(new, &[("address", "一号")]);
    author.edit(old, &[("address", "二号")]);
    carrier.deliver(4, &author.push());
    carrier.store.rewound(Some(point(1))).unwrap();
    assert_eq!(carrier.store.sync_state().unwrap().feed, Some(point(1)));
    let (upload, brought) = refill(&carrier);
    assert_eq!(brought.receipts.len(), 1);
    assert_eq!(brought.receipts[0].tag, MacTag([4; 16]));
    assert_eq!(brought.receipts[0].entries.len(), 3);
    // the changes under the receipt, and what they build on
    assert_eq!(hashes(&brought.records).len(), 4);
    let carrier = carrier.killed_and_reopened();
    assert_eq!(refill(&carrier).0, upload);
    carrier.store.refill_done(upload.digest).unwrap();
    assert!(!carrier.store.has_pending().unwrap());
}

#[test]
fn a_refill_larger_than_an_upload_comes_in_parts() {
    let (author, carrier) = (TestPhone::new(1), TestPhone::new(2));
    let entropy = SeededEntropy::new(3);
    for _ in 0..80 {
        let noise: [u8; 15_000] = crate::clock::random(&entropy);
        author.household(&[("remark", &data_encoding::BASE64.encode(&noise))]);
    }
    carrier.deliver(80, &author.push());
    carrier.store.rewound(None).unwrap();
    let mut brought = std::collections::BTreeSet::new();
    let mut parts = 0;
    while carrier.store.has_pending().unwrap() {
        let (upload, part) = refill(&carrier);
        assert!(upload.bytes.len() <= limits::UPLOAD_MAX);
        brought.extend(hashes(&part.records));
        carrier.store.refill_done(upload.digest).unwrap();
        parts += 1;
    }
    assert_eq!(brought.len(), 80);
    assert!(parts > 1);
    assert_eq!(carrier.store.sync_state().unwrap().feed, None);
}

#[test]
fn batches_that_the_server_lacks_are_sent_again_in_their_order() {
    let phone = TestPhone::new(1);
    let mut sent = Vec::new();
    for n in 0..3 {
        phone.household(&[("household_no", &n.to_string())]);
        let batch = phone.upload().unwrap();
        phone.answer(&batch, &Outcome::of(State::Stored));
        sent.push(batch);
    }
    phone.store.rewind_batches(0, 1).unwrap();
    let again = phone.upload().unwrap();
    assert_eq!(again, sent[1]);
    phone.answer(&again, &Outcome::of(State::Stored));
    assert_eq!(phone.upload().unwrap(), sent[2]);
    phone.check_digest();
}

#[test]
fn where_batches_are_kept_no_more_a_new_branch_is_taken() {
    let phone = TestPhone::new(1);
    phone.household(&[("household_no", "1")]);
    phone.push();
    phone.store.prune(u64::MAX >> 1).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    assert_ne!(phone.store.sync_state().unwrap().branch, 0);
}

#[test]
fn a_gap_in_an_older_branch_is_not_asked_for_again_and_again() {
    let phone = TestPhone::new(1);
    for n in 0..3 {
        phone.household(&[("household_no", &n.to_string())]);
        phone.push();
    }
    phone.household(&[("household_no", "4")]);
    phone.upload().unwrap();
    phone.store.take_new_branch().unwrap();
    phone.store.connections.with_writer(|db| Ok(db.execute("DELETE FROM batch WHERE number = 2", [])?)).unwrap();
    phone.store.rewind_batches(0, 1).unwrap();
    let next = phone.upload().unwrap();
    assert_ne!(next.header.branch, 0);
    phone.answer(&next, &Outcome::of(State::Stored));
    assert!(!phone.store.has_pending().unwrap());
}

#[test]
fn older_points_reach_back_exponentially() {
    let phone = TestPhone::new(1);
    for seq in 1..=1000 {
        phone.store.apply_delivery(&delivery(seq, &[])).unwrap();
    }
    let points: Vec<u64> = phone.store.older_points().unwrap().iter().map(|p| p.seq).collect();
    assert!(points.len() <= 12, "{points:?}");
    assert_eq!(points[0], 1000);
    assert!(points.is_sorted_by(|a, b| a > b));
    // a rewind by d leaves a common point at most about 4 d back
    for back in [1u64, 3, 10, 100, 400] {
        let common = points.iter().find(|p| **p <= 1000 - back).copied().unwrap_or(0);
        assert!(1000 - common <= 4 * back + 1, "{back}: {points:?}");
    }
}
