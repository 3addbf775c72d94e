use super::*;

#[test]
fn a_batch_is_made_once_and_is_the_same_after_a_kill() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    phone.edit(id, &[("address", "一号")]);
    phone.household(&[("head_name", "李四")]);
    let first = phone.store.pending_upload(500).unwrap().unwrap();
    assert_eq!((first.changes, first.number), (3, 1));
    phone.household(&[("head_name", "王五")]);
    let phone = phone.killed_and_reopened();
    assert_eq!(phone.store.pending_upload(500).unwrap().unwrap(), first);
    let batch = phone.upload().unwrap();
    assert_eq!(batch.records.len(), 2);
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    assert!(batch.is_signed_by(&key.verifying_key()));
    phone.answer(&batch, &Outcome::of(State::Stored));
    let next = phone.upload().unwrap();
    assert_eq!((next.header.number, next.header.previous), (2, batch.hash()));
}

#[test]
fn acknowledged_changes_are_counted_and_sent_no_more() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    phone.store.note_server_time(5_000).unwrap();
    let batch = phone.upload().unwrap();
    let report = phone.answer(&batch, &Outcome::of(State::Stored));
    assert_eq!((report.stored, report.needs_remake), (1, false));
    assert!(!phone.store.has_pending().unwrap());
    assert_eq!(phone.store.counts().unwrap().unsent, 0);
    assert_eq!(phone.store.received_ms(id, hashes(&batch.records)[0]).unwrap(), Some(5_000));
    assert_eq!(phone.store.scope_digest().unwrap().count, 1);
    phone.check_digest();
    let again = phone.answer(&batch, &Outcome::of(State::Known));
    assert_eq!(again.known, 1);
    phone.check_digest();
}

#[test]
fn states_that_do_not_fit_the_batch_are_refused_whole() {
    let phone = TestPhone::new(1);
    phone.household(&[("head_name", "张三")]);
    let batch = phone.upload().unwrap();
    let wrong = phone.store.apply_statuses(0, batch.header.number, &[], 1, MacTag([0; 16]));
    assert!(matches!(wrong, Err(StoreError::StatusCount)));
    assert_eq!(phone.store.counts().unwrap().unsent, 1);
}

#[test]
fn batches_keep_to_the_asked_size() {
    let phone = TestPhone::new(1);
    for n in 0..7 {
        phone.household(&[("household_no", &n.to_string())]);
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| {
        let upload = phone.store.pending_upload(3).unwrap()?;
        let batch = phone.upload().unwrap();
        phone.answer(&batch, &Outcome::of(State::Stored));
        Some(upload.changes)
    })
    .collect();
    assert_eq!(sizes, [3, 3, 1]);
}

#[test]
fn uploads_of_incompressible_answers_stay_below_the_limit() {
    let phone = TestPhone::new(1);
    let entropy = SeededEntropy::new(7);
    for _ in 0..50 {
        let noise: [u8; 12_000] = crate::clock::random(&entropy);
        phone.household(&[("remark", &data_encoding::BASE64.encode(&noise))]);
        phone.edit(phone.store.new_record_id(), &[("remark", &data_encoding::BASE64.encode(&noise))]);
    }
    let mut changes = 0;
    while let Some(upload) = phone.store.pending_upload(2_000).unwrap() {
        assert!(upload.bytes.len() <= limits::UPLOAD_MAX);
        changes += upload.changes;
        phone.answer(&phone.upload().unwrap(), &Outcome::of(State::Stored));
    }
    assert_eq!(changes, 100);
}

#[test]
fn a_damaged_change_is_put_aside_and_the_others_go_up() {
    let phone = TestPhone::new(1);
    let bad = phone.household(&[("head_name", "张三")]);
    let good = phone.household(&[("head_name", "李四")]);
    phone
        .store
        .connections
        .with_writer(|db| {
            db.execute("UPDATE change SET bytes = zeroblob(40) WHERE no = 1", [])?;
            Ok(())
        })
        .unwrap();
    let batch = phone.upload().unwrap();
    assert_eq!(batch.records.iter().map(|r| r.id).collect::<Vec<_>>(), [good]);
    let refused = phone.store.refused().unwrap();
    assert_eq!((refused[0].record, refused[0].reason.as_str()), (bad, "damaged_on_phone"));
    assert!(phone.store.record(bad).unwrap().is_some());
}

#[test]
fn request_numbers_are_never_given_twice() {
    let phone = TestPhone::new(1);
    assert_eq!(phone.store.next_counter().unwrap(), 1);
    let phone = phone.killed_and_reopened();
    assert_eq!(phone.store.next_counter().unwrap(), 2);
    phone.store.raise_counter(10).unwrap();
    phone.store.raise_counter(4).unwrap();
    assert_eq!(phone.store.next_counter().unwrap(), 11);
}

#[test]
fn batches_and_receipts_go_after_thirty_days_of_server_time() {
    const DAY: u64 = 24 * 3600 * 1000;
    let phone = TestPhone::new(1);
    let kept = |phone: &TestPhone| -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM receipt)";
        phone.store.connections.read(|db| Ok(db.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)))?)).unwrap()
    };
    phone.store.note_server_time(NOW_MS).unwrap();
    phone.household(&[("head_name", "张三")]);
    phone.push();
    phone.store.note_server_time(NOW_MS + 29 * DAY).unwrap();
    assert_eq!(kept(&phone), (1, 1));
    phone.store.note_server_time(NOW_MS + 31 * DAY).unwrap();
    assert_eq!(kept(&phone), (0, 0));
}
