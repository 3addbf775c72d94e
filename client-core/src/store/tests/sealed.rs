//! What stays of own acknowledged batches when their records leave the scope: nothing that this phone can read.

use super::scope::{ELSEWHERE, canaries, end_grant_elsewhere, with_two_villages};
use super::*;

use crate::protocol::sealed::count_changes;
use crate::protocol::{ManifestEntry, Refill, SealedBatch, SealedBy, UploadKind};

/// A phone that wrote one household here and one elsewhere, in one batch that the server has.
struct Wrote {
    phone: TestPhone,
    kept: RecordId,
    lost: RecordId,
    batch: Batch,
}

fn wrote_elsewhere(phone: TestPhone) -> Wrote {
    let phone = with_two_villages(phone);
    let kept = phone.household(&[("head_name", "张三")]);
    let lost = phone.store.new_record_id();
    for n in 0..3 {
        let document = phone.document(lost, &[("head_name", &format!("canary-{n}"))]);
        phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
    }
    let batch = phone.upload().unwrap();
    assert_eq!(batch.records.len(), 2);
    answer_at(&phone, &batch, 5);
    Wrote { phone, kept, lost, batch }
}

/// As a server answers: everything is stored, at this number of the feed.
fn answer_at(phone: &TestPhone, batch: &Batch, as_of: u64) -> StatusReport {
    let outcomes = vec![Outcome::of(State::Stored); batch.manifest().len()];
    let (branch, number) = (batch.header.branch, batch.header.number);
    phone.store.apply_statuses(branch, number, &outcomes, as_of, MacTag([as_of as u8; 16])).unwrap()
}

fn upload_of(phone: &TestPhone, kind: UploadKind) -> (PendingUpload, Vec<u8>) {
    let upload = phone.store.pending_upload(500).unwrap().unwrap();
    assert_eq!(upload.kind, kind);
    let bytes = stream::inflate(&upload.bytes, limits::UPLOAD_INFLATED_MAX).unwrap();
    (upload, bytes)
}

fn tenant_key() -> TenantKey {
    TenantKey([2; 32])
}

fn opened_refill(phone: &TestPhone) -> (PendingUpload, Refill) {
    let (upload, bytes) = upload_of(phone, UploadKind::Refill);
    let by = SealedBy { tenant: TenantId([1; 16]), device: DeviceId([phone.device; 16]) };
    let refill = Refill::decode(&bytes, &tenant_key()).unwrap();
    let (refill, closed) = refill.open(by, &server_identity(), &tenant_key()).unwrap();
    assert_eq!(closed, []);
    (upload, refill)
}

#[test]
fn an_own_acknowledged_answer_can_not_be_read_once_its_record_is_out_of_scope() {
    let Wrote { phone, kept, lost, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    assert_ne!(canaries(&phone), [""; 0], "it can be found while the record is here");
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(lost).unwrap().is_none());
    assert_eq!(canaries(&phone), [""; 0]);
    assert_eq!(phone.text(kept, "head_name"), "张三");
    phone.check_digest();
}

#[test]
fn nothing_is_sealed_to_a_server_that_could_not_open_it_and_everything_once_it_can() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(lost).unwrap().is_none());
    phone.store.rewind_batches(0, 0).unwrap();
    assert_eq!(phone.upload().unwrap(), batch, "an old server gets it as it was");
    phone.answer(&batch, &Outcome::of(State::Known));
    phone.store.note_opens_sealed(false).unwrap();
    assert_ne!(canaries(&phone), [""; 0]);
    phone.store.note_opens_sealed(true).unwrap();
    assert_eq!(canaries(&phone), [""; 0]);
}

#[test]
fn what_a_batch_on_its_way_holds_of_absent_records_is_sealed_once_it_waits_for_no_answer() {
    for answered in [true, false] {
        let Wrote { phone, batch, .. } = wrote_elsewhere(TestPhone::new(1));
        end_grant_elsewhere(&phone);
        phone.store.rewind_batches(0, 0).unwrap();
        phone.store.note_opens_sealed(true).unwrap();
        assert_eq!(phone.upload().unwrap(), batch, "the server gets it as it was");
        assert_ne!(canaries(&phone), [""; 0]);
        if answered {
            answer_at(&phone, &batch, 6);
        } else {
            phone.store.take_new_branch().unwrap();
        }
        assert!(parts(&phone) > 0);
        assert_eq!(canaries(&phone), [""; 0]);
    }
}

#[test]
fn a_full_disk_puts_sealing_off_and_is_in_the_way_of_nothing_else() {
    for reopened in [true, false] {
        let Wrote { phone, lost, .. } = wrote_elsewhere(TestPhone::new(1));
        let noise: [u8; 15_000] = crate::clock::random(&SeededEntropy::new(3));
        let document = phone.document(lost, &[("remark", &data_encoding::BASE64.encode(&noise))]);
        phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
        answer_at(&phone, &phone.upload().unwrap(), 6);
        end_grant_elsewhere(&phone);
        let bound = |pages: i64| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            phone.store.connections.with_writer(|db| Ok(db.query_row(&sql, [], |_| Ok(()))?)).unwrap();
        };
        // no page is free
        let fill = "CREATE TABLE fill_up (bytes BLOB); INSERT INTO fill_up VALUES (zeroblob(1000000))";
        phone.store.connections.with_writer(|db| Ok(db.execute_batch(fill)?)).unwrap();
        bound(1);
        phone.store.note_opens_sealed(true).unwrap();
        assert_eq!(parts(&phone), 0);
        assert_ne!(canaries(&phone), [""; 0]);
        let phone = if reopened {
            phone.killed_and_reopened()
        } else {
            bound(1 << 30);
            phone.store.note_server_time(1).unwrap();
            phone
        };
        assert!(parts(&phone) > 0);
        assert_eq!(canaries(&phone), [""; 0]);
    }
}

#[test]
fn a_rewound_server_gets_sealed_changes_back_under_their_receipts_and_the_batch_as_it_was_signed() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    let phone = phone.killed_and_reopened();
    phone.store.rewound(None).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    assert_eq!(phone.store.sync_state().unwrap().branch, 0, "nothing is missing: the branch goes on");
    let (upload, refill) = opened_refill(&phone);
    assert_eq!(upload.changes, 4);
    let frame = refill.records.iter().find(|r| r.id == lost).unwrap();
    assert_eq!(frame, batch.records.iter().find(|r| r.id == lost).unwrap());
    assert!(refill.receipts.iter().any(|r| r.entries == batch.manifest()));
    phone.store.refill_done(upload.digest).unwrap();
    let (upload, bytes) = upload_of(&phone, UploadKind::Batch);
    let whole = SealedBatch::decode(&bytes, &tenant_key()).unwrap().open(&server_identity(), &tenant_key()).unwrap();
    assert_eq!(whole, batch);
    assert!(whole.is_signed_by(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key()));
    let refused = phone.store.note_refused_upload(upload.digest, "upload_unreadable").unwrap();
    assert_eq!(refused.unwrap().changes, 4, "the upload is known by the digest that was sent");
    answer_at(&phone, &whole, 6);
    assert!(!phone.store.has_pending().unwrap());
    assert_eq!(canaries(&phone), [""; 0]);
}

#[test]
fn records_that_leave_one_after_the_other_are_sealed_into_their_places() {
    let phone = with_two_villages(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    let ids: Vec<RecordId> = (0..5).map(|n| phone.household(&[("household_no", &n.to_string())])).collect();
    let batch = phone.upload().unwrap();
    answer_at(&phone, &batch, 5);
    for n in [3, 0, 4, 1, 2] {
        let frame = RecordFrame { area: ELSEWHERE, ..batch.records[n].with(Vec::new()) };
        phone.deliver(6, &[frame]);
        end_grant_elsewhere(&phone);
        assert!(phone.store.row(ids[n]).unwrap().is_none());
        phone.store.rewind_batches(0, 0).unwrap();
        let (_, bytes) = upload_of(&phone, UploadKind::Batch);
        let sealed = SealedBatch::decode(&bytes, &tenant_key()).unwrap();
        assert_eq!(sealed.open(&server_identity(), &tenant_key()).unwrap(), batch);
        answer_at(&phone, &batch, 6);
    }
}

#[test]
fn a_record_stays_while_a_batch_with_it_is_on_its_way_again() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(lost).unwrap().is_some());
    assert_eq!(phone.upload().unwrap(), batch);
    answer_at(&phone, &batch, 6);
    assert!(phone.store.row(lost).unwrap().is_none());
    assert_eq!(canaries(&phone), [""; 0]);
}

#[test]
fn a_record_that_comes_back_into_scope_is_no_clone_s_and_leaves_nothing_readable_when_it_goes_again() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    let sealed = parts(&phone);
    phone.store.apply_grants(point(4), &[scope::grant(3, ELSEWHERE, true)], "").unwrap();
    let report =
        phone.deliver(7, batch.records.iter().filter(|r| r.id == lost).cloned().collect::<Vec<_>>().as_slice());
    assert_eq!((report.changes, report.own_actor_clash), (3, false));
    assert_eq!(phone.text(lost, "head_name"), "canary-2");
    phone.store.apply_grants(point(5), &[scope::grant(3, ELSEWHERE, false)], "").unwrap();
    assert!(phone.store.row(lost).unwrap().is_none());
    assert_eq!(canaries(&phone), [""; 0]);
    assert_eq!(parts(&phone), sealed, "nothing is kept twice");
}

#[test]
fn sealed_contents_of_an_incarnation_that_an_erasure_replaced_go() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    assert!(parts(&phone) > 0);
    // the record comes back into scope, re-rooted meanwhile
    phone.store.apply_grants(point(4), &[scope::grant(3, ELSEWHERE, true)], "").unwrap();
    let old = batch.records.iter().find(|r| r.id == lost).unwrap();
    phone.deliver(7, &[RecordFrame { incarnation: 1, ..old.with(Vec::new()) }]);
    phone.deliver(8, &[RecordFrame { incarnation: 1, ..old.clone() }]);
    assert_eq!(parts(&phone), 0);
    phone.store.rewound(None).unwrap();
    let (_, refill) = opened_refill(&phone);
    assert!(
        refill.records.iter().all(|r| r.id != lost || r.incarnation == 1),
        "the old incarnation isn't brought back"
    );
}

#[test]
fn an_erasure_takes_its_own_record_out_of_a_kept_batch_and_leaves_the_others_to_be_sealed() {
    let Wrote { phone, kept, lost, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    phone.edit(kept, &[("address", "canary-erased")]);
    let document = phone.document(lost, &[("head_name", "canary-3")]);
    phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
    answer_at(&phone, &phone.upload().unwrap(), 6);
    let office = TestPhone::new(2);
    office.edit(kept, &[("head_name", "张三")]);
    let rooted: Vec<RecordFrame> =
        office.push().into_iter().map(|frame| RecordFrame { incarnation: 1, ..frame }).collect();
    phone.deliver(7, &rooted);
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(lost).unwrap().is_none());
    assert_eq!(canaries(&phone), [""; 0]);
    phone.store.rewound(None).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    assert_ne!(phone.store.sync_state().unwrap().branch, 0, "neither batch is whole any more");
    let (_, refill) = opened_refill(&phone);
    let brought = refill.records.iter().find(|r| r.id == lost).unwrap();
    assert_eq!(hashes(std::slice::from_ref(brought)).len(), 4);
    assert!(refill.records.iter().all(|r| r.id != kept || r.incarnation == 1));
}

#[test]
fn clear_contents_of_an_incarnation_that_an_erasure_replaced_go_too() {
    let Wrote { phone, lost, .. } = wrote_elsewhere(TestPhone::new(1));
    // nothing could be sealed yet
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(lost).unwrap().is_none());
    phone.store.apply_grants(point(4), &[scope::grant(3, ELSEWHERE, true)], "").unwrap();
    let office = TestPhone::new(2);
    office.edit(lost, &[("head_name", "张三")]);
    let mut rooted = office.push();
    (rooted[0].incarnation, rooted[0].area) = (1, ELSEWHERE);
    phone.deliver(7, &rooted);
    assert!(phone.store.row(lost).unwrap().is_some());
    assert_eq!(canaries(&phone), [""; 0]);
}

#[test]
fn a_server_that_says_old_incarnation_ends_what_is_sealed_of_it() {
    let Wrote { phone, lost, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    phone.store.rewind_batches(0, 0).unwrap();
    let outcome = |record| match record == lost {
        true => Outcome { state: State::Equivocation, reason: "old_incarnation".into() },
        false => Outcome::of(State::Known),
    };
    let outcomes: Vec<Outcome> = batch.manifest().iter().map(|entry| outcome(entry.record)).collect();
    phone.store.apply_statuses(0, 1, &outcomes, 6, MacTag([6; 16])).unwrap();
    assert_eq!(parts(&phone), 0);
}

#[test]
fn a_server_is_asked_once_a_day_whether_records_were_rooted_anew_of_which_something_is_sealed() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let phone = with_two_villages(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    phone.store.note_server_time(NOW_MS).unwrap();
    for n in 0..40 {
        let document = phone.document(phone.store.new_record_id(), &[("household_no", &n.to_string())]);
        phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
    }
    let batch = phone.upload().unwrap();
    answer_at(&phone, &batch, 5);
    end_grant_elsewhere(&phone);
    let answer = |asked: &[ManifestEntry], replaced: &[RecordId], more_to_ask: bool| {
        let fate = |entry: &ManifestEntry| match replaced.contains(&entry.record) {
            true => Outcome { state: State::Equivocation, reason: "old_incarnation".into() },
            false => Outcome::of(State::Stored),
        };
        let fates: Vec<Outcome> = asked.iter().map(fate).collect();
        let report = phone.store.apply_fates(asked, &fates, 9, MacTag([9; 16])).unwrap();
        assert_eq!(report, StatusReport { more_to_ask, ..StatusReport::default() });
    };
    let mut asked = phone.store.waiting_to_ask(1, false).unwrap();
    assert_eq!(asked.len(), limits::WAITING_ASKED_MAX);
    assert_eq!(phone.store.waiting_to_ask(2, false).unwrap(), asked, "until it is answered");
    let replaced = [asked[0].record, asked[31].record];
    answer(&asked, &replaced, true);
    assert_eq!(parts(&phone), 38);
    let rest = phone.store.waiting_to_ask(3, false).unwrap();
    answer(&rest, &[], false);
    asked.extend(rest);
    assert_eq!(asked, batch.manifest(), "each once");
    assert_eq!(phone.store.waiting_to_ask(4, false).unwrap(), []);
    phone.store.note_server_time(NOW_MS + DAY_MS).unwrap();
    assert_eq!(phone.store.waiting_to_ask(5, false).unwrap().len(), limits::WAITING_ASKED_MAX);
    // the batch isn't whole any more; what isn't erased comes back all the same
    phone.store.rewound(None).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    assert_ne!(phone.store.sync_state().unwrap().branch, 0);
    let (_, refill) = opened_refill(&phone);
    assert_eq!(refill.records.len(), 38);
    assert!(refill.records.iter().all(|record| !replaced.contains(&record.id)));
}

#[test]
fn each_sealed_incarnation_is_asked_about_once_also_while_an_own_change_waits() {
    let phone = TestPhone::new(1);
    phone.store.note_server_time(NOW_MS).unwrap();
    let Wrote { phone, kept, lost, .. } = wrote_elsewhere(phone);
    phone.store.note_opens_sealed(true).unwrap();
    let document = phone.document(lost, &[("head_name", "canary-3")]);
    phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
    answer_at(&phone, &phone.upload().unwrap(), 6);
    end_grant_elsewhere(&phone);
    assert_eq!(parts(&phone), 2);
    phone.edit(kept, &[("address", "一号")]);
    phone.answer(&phone.upload().unwrap(), &Outcome::of(State::Waiting));
    let asked = |sealed_first| phone.store.waiting_to_ask(1, sealed_first).unwrap();
    let records = |asked: &[ManifestEntry]| asked.iter().map(|entry| entry.record).collect::<Vec<_>>();
    assert_eq!(records(&asked(false)), [kept]);
    let sealed = asked(true);
    assert_eq!(records(&sealed), [lost]);
    phone.store.apply_fates(&sealed, &[Outcome::of(State::Stored)], 9, MacTag([9; 16])).unwrap();
    assert_eq!(records(&asked(true)), [kept], "the day's question is answered");
}

#[test]
fn sealed_contents_go_with_their_batch_after_thirty_days() {
    let Wrote { phone, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    assert!(parts(&phone) > 0);
    phone.store.prune(u64::MAX >> 1).unwrap();
    assert_eq!(parts(&phone), 0);
}

#[test]
fn a_lost_phone_still_sends_a_batch_with_sealed_parts_whole() {
    let Wrote { phone, batch, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    phone.store.rewind_batches(0, 0).unwrap();
    phone.store.order_wipe().unwrap();
    let (_, bytes) = upload_of(&phone, UploadKind::Batch);
    let whole = SealedBatch::decode(&bytes, &tenant_key()).unwrap().open(&server_identity(), &tenant_key()).unwrap();
    assert_eq!(whole, batch);
}

#[test]
fn a_batch_of_which_a_sealed_part_is_gone_is_not_sent_and_the_rest_comes_back_by_receipts() {
    let Wrote { phone, kept, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    phone.store.connections.with_writer(|db| Ok(db.execute("DELETE FROM sealed", [])?)).unwrap();
    phone.store.rewound(None).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    assert_ne!(phone.store.sync_state().unwrap().branch, 0);
    let (upload, refill) = opened_refill(&phone);
    assert_eq!((refill.records.len(), refill.records[0].id), (1, kept));
    phone.store.refill_done(upload.digest).unwrap();
    assert!(!phone.store.has_pending().unwrap());
}

#[test]
fn many_sealed_changes_come_back_in_refills_within_their_limits() {
    let phone = with_two_villages(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    let entropy = SeededEntropy::new(3);
    for _ in 0..80 {
        let noise: [u8; 15_000] = crate::clock::random(&entropy);
        let document =
            phone.document(phone.store.new_record_id(), &[("remark", &data_encoding::BASE64.encode(&noise))]);
        phone.store.write(&[PlannedDocument { area: ELSEWHERE, ..document }], &phone.note()).unwrap();
    }
    let mut as_of = 5;
    while let Some(batch) = phone.upload() {
        answer_at(&phone, &batch, as_of);
        as_of += 1;
    }
    end_grant_elsewhere(&phone);
    phone.store.rewound(None).unwrap();
    let (mut brought, mut refills) = (0, 0);
    while phone.store.has_pending().unwrap() {
        let (upload, refill) = opened_refill(&phone);
        assert!(upload.bytes.len() <= limits::UPLOAD_MAX);
        brought += count_changes(&refill.records);
        phone.store.refill_done(upload.digest).unwrap();
        refills += 1;
    }
    assert_eq!(brought, 80);
    assert!(refills > 1);
}

#[test]
fn what_a_server_could_not_open_for_a_while_is_brought_once_it_can() {
    let Wrote { phone, lost, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    // restored under an older program
    phone.store.note_opens_sealed(false).unwrap();
    phone.store.rewound(None).unwrap();
    phone.store.rewind_batches(0, 0).unwrap();
    while phone.store.has_pending().unwrap() {
        let (upload, bytes) = upload_of(&phone, UploadKind::Refill);
        assert_eq!(Refill::decode(&bytes, &tenant_key()).unwrap().sealed, Vec::<Vec<u8>>::new());
        phone.store.refill_done(upload.digest).unwrap();
    }
    phone.store.note_opens_sealed(true).unwrap();
    let (_, refill) = opened_refill(&phone);
    assert!(refill.records.iter().any(|r| r.id == lost));
}

#[test]
fn sealed_contents_are_saved_from_a_damaged_database() {
    let Wrote { phone, lost, .. } = wrote_elsewhere(TestPhone::new(1));
    phone.store.note_opens_sealed(true).unwrap();
    end_grant_elsewhere(&phone);
    let TestPhone { dir, store, device } = phone;
    store.close().unwrap();
    let page = damage::root_page(dir.path(), "record_list");
    damage::overwrite(&dir.path().join("phone.db"), (page - 1) * 4096, &[0xee; 4096]);
    let opened = open_dir(dir.path(), 2).unwrap();
    assert!(matches!(opened.notices.as_slice(), [Notice::Salvaged { .. }]));
    let phone = TestPhone { dir, store: opened.store, device };
    phone.store.rewound(None).unwrap();
    let (_, refill) = opened_refill(&phone);
    let frame = refill.records.iter().find(|r| r.id == lost).unwrap();
    assert_eq!(hashes(std::slice::from_ref(frame)).len(), 3);
}

/// How many sealed parts the phone keeps.
fn parts(phone: &TestPhone) -> u64 {
    let count = "SELECT count(*) FROM sealed";
    phone.store.connections.read(|db| Ok(db.query_row(count, [], |r| r.get::<_, i64>(0))?.cast_unsigned())).unwrap()
}
