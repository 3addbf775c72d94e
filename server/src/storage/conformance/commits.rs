//! Group commits, records, batches, changes kept aside, and writers side by side.

use super::*;
use crate::storage::{HeldChange, PullQuery};

claims!(
    a_new_record_is_stored_as_committed,
    moved_heads_store_nothing,
    two_pushes_cannot_make_the_same_record,
    a_batch_number_is_taken_once_and_in_order,
    one_bad_push_leaves_the_group_whole,
    the_feed_counts_chains_and_digests,
    townships_have_feeds_of_their_own,
    waiting_changes_stay_until_settled,
    refused_changes_are_kept_as_evidence,
    writers_side_by_side_leave_no_gap_and_a_reader_misses_nothing,
    two_writers_of_one_record_never_both_win,
);

fn a_new_record_is_stored_as_committed(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let subject = RecordId(unique());
    let mut visit = record(&device, "visit", VILLAGE, Some(subject));
    visit.identity = Identity::keyed("screening", &[RecordId([3; 16]), RecordId([4; 16])]);
    visit.changes.push(NewChange { device: None, ..change(&device, 30) });
    visit.heads = vec![visit.changes[1].hash];
    assert_eq!(done(&*storage, push(&device, vec![visit.clone()])).seq, 2);
    let unknown = RecordId(unique());
    let mut loaded = storage.load_records(TOWNSHIP, &[unknown, visit.id]).unwrap();
    let stored = loaded.pop().unwrap().unwrap();
    assert_eq!(loaded, vec![None]);
    assert_eq!((stored.id, &stored.identity, stored.incarnation), (visit.id, &visit.identity, 0));
    assert_eq!((stored.area, stored.subject), (VILLAGE, Some(subject)));
    assert_eq!(stored.heads, visit.heads);
    for (n, (stored, sent)) in stored.changes.iter().zip(&visit.changes).enumerate() {
        assert_eq!((stored.seq, stored.hash, stored.device), (n as u64 + 1, sent.hash, sent.device));
        assert_eq!((stored.received_ms, &stored.bytes), (1_000, &sent.bytes));
    }
    assert_eq!(stored.changes.len(), 2);
    assert_eq!(storage.full_record(TOWNSHIP, visit.id).unwrap(), Some(stored));
    assert_eq!(storage.full_record(TOWNSHIP, unknown).unwrap(), None);
}

fn moved_heads_store_nothing(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, None);
    done(&*storage, push(&device, vec![first.clone()]));
    let (left, right) = (next(&first, &device), next(&first, &device));
    done(&*storage, push(&device, vec![left]));
    let head = storage.head(TOWNSHIP).unwrap();
    let mut late = push(&device, vec![record(&device, "visit", VILLAGE, None), right]);
    late.batch = Some(batch(0, 1));
    let new_id = late.records[0].id;
    assert_eq!(commit(&*storage, late), Committed::Moved);
    assert_eq!(storage.head(TOWNSHIP).unwrap(), head);
    assert_eq!(storage.full_record(TOWNSHIP, new_id).unwrap(), None);
    assert_eq!(storage.branch(device.id, 0).unwrap().last, 0);
}

fn two_pushes_cannot_make_the_same_record(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, None);
    let again = PreparedRecord { base_heads: None, ..next(&first, &device) };
    let answers =
        storage.commit_group(&[push(&device, vec![first.clone()]), push(&device, vec![again.clone()])]).unwrap();
    assert!(matches!(answers[0], Ok(Committed::Done(_))));
    assert!(matches!(answers[1], Ok(Committed::Moved)));
    assert_eq!(commit(&*storage, push(&device, vec![again])), Committed::Moved);
    assert_eq!(storage.full_record(TOWNSHIP, first.id).unwrap().unwrap().changes.len(), 1);
}

fn a_batch_number_is_taken_once_and_in_order(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let with = |row: &BatchRow| PreparedPush { batch: Some(row.clone()), ..push(&device, Vec::new()) };
    let (first, second) = (batch(0, 1), batch(0, 2));
    assert_eq!(storage.branch(device.id, 0).unwrap(), Default::default());
    assert_eq!(commit(&*storage, with(&second)), Committed::BatchTaken, "a gap");
    done(&*storage, with(&first));
    assert_eq!(commit(&*storage, with(&batch(0, 1))), Committed::BatchTaken, "taken");
    done(&*storage, with(&second));
    done(&*storage, with(&batch(7, 1)));
    let state = storage.branch(device.id, 0).unwrap();
    assert_eq!((state.last, state.last_hash), (2, second.hash));
    assert_eq!(storage.batch(device.id, 0, 1).unwrap(), Some(first));
    assert_eq!(storage.batch(device.id, 0, 3).unwrap(), None);
}

fn one_bad_push_leaves_the_group_whole(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let known = record(&device, "visit", VILLAGE, None);
    done(&*storage, push(&device, vec![known.clone()]));
    let good = || push(&device, vec![record(&device, "visit", VILLAGE, None)]);
    // the same change once more under right heads: no program does it, the database refuses it
    let twice = PreparedRecord { base_heads: Some(known.heads.clone()), ..known };
    let answers = storage.commit_group(&[good(), push(&device, vec![twice]), good()]).unwrap();
    assert!(matches!(answers[0], Ok(Committed::Done(p)) if p.seq == 2), "{answers:?}");
    assert!(answers[1].is_err(), "{answers:?}");
    assert!(matches!(answers[2], Ok(Committed::Done(p)) if p.seq == 3), "{answers:?}");
    assert_eq!(storage.change_list(TOWNSHIP, 0, 100).unwrap().len(), 3);
}

fn the_feed_counts_chains_and_digests(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let records: Vec<_> = (0..3).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    let mut digest = ScopeDigest::default();
    let mut positions = Vec::new();
    for record in &records {
        digest.add(&record.heads[0]);
        positions.push(done(&*storage, push(&device, vec![record.clone()])));
    }
    assert_eq!(storage.head(TOWNSHIP).unwrap(), (positions[2], digest));
    for position in &positions {
        assert!(storage.is_on_chain(TOWNSHIP, *position).unwrap());
    }
    assert!(storage.is_on_chain(TOWNSHIP, Position::default()).unwrap());
    assert!(!storage.is_on_chain(TOWNSHIP, Position { seq: 2, chain: positions[2].chain }).unwrap());
    assert!(!storage.is_on_chain(TOWNSHIP, Position { seq: 4, chain: positions[2].chain }).unwrap());
    assert!(!storage.is_on_chain(TOWNSHIP, Position { seq: 0, chain: Chain([1; 16]) }).unwrap());
    let expected = crate::storage::chain::Links::new(&secrets().chain_key);
    let first = expected.change(Chain::default(), records[0].id, 0, &records[0].heads[0]);
    assert_eq!(positions[0].chain, first);
    let list = storage.change_list(TOWNSHIP, 1, 1).unwrap();
    assert_eq!(list, vec![(2, records[1].id, 0, records[1].heads[0])]);
}

fn townships_have_feeds_of_their_own(storage: Arc<dyn Storage>) {
    let (here, there) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, OTHER_TOWNSHIP));
    let (a, b) = (record(&here, "visit", VILLAGE, None), record(&there, "visit", OTHER_VILLAGE, None));
    let answers = storage.commit_group(&[push(&there, vec![b.clone()]), push(&here, vec![a.clone()])]).unwrap();
    for answer in answers {
        assert!(matches!(answer, Ok(Committed::Done(p)) if p.seq == 1));
    }
    assert_eq!(
        storage.load_records(TOWNSHIP, &[a.id, b.id]).unwrap().iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(storage.change_list(OTHER_TOWNSHIP, 0, 9).unwrap(), vec![(1, b.id, 0, b.heads[0])]);
}

fn held(record: RecordId, reason: &str) -> HeldChange {
    HeldChange {
        record,
        identity: Identity::of_type("visit"),
        incarnation: 0,
        area: VILLAGE,
        subject: None,
        hash: new_hash(),
        reason: reason.to_owned(),
        bytes: vec![1; 20],
    }
}

fn waiting_changes_stay_until_settled(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let id = RecordId(unique());
    let (a, b) = (held(id, ""), held(id, ""));
    done(&*storage, PreparedPush { waiting: vec![a.clone(), b.clone()], ..push(&device, Vec::new()) });
    done(&*storage, PreparedPush { waiting: vec![a.clone()], ..push(&device, Vec::new()) });
    assert_eq!(storage.waiting_of(device.id).unwrap(), (2, 40));
    let mut waiting = storage.waiting(TOWNSHIP, &[id, RecordId(unique())]).unwrap();
    waiting.sort_by_key(|(_, held)| held.hash);
    assert_eq!(waiting, vec![(device.id, a.clone()), (device.id, b.clone())]);
    assert_eq!(storage.waiting(OTHER_TOWNSHIP, &[id]).unwrap(), Vec::new());
    done(&*storage, PreparedPush { settled: vec![(id, a.hash)], ..push(&device, Vec::new()) });
    assert_eq!(storage.waiting(TOWNSHIP, &[id]).unwrap(), vec![(device.id, b)]);
}

fn refused_changes_are_kept_as_evidence(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let id = RecordId(unique());
    let (a, b) = (held(id, "start_op"), held(id, "scope"));
    done(&*storage, PreparedPush { quarantined: vec![(device.id, a.clone())], ..push(&device, Vec::new()) });
    assert_eq!(
        storage.quarantined_of(device.id).unwrap().0,
        storage.quarantine(TOWNSHIP, None, 100).unwrap().iter().filter(|r| r.device == device.id).count() as u64
    );
    done(
        &*storage,
        PreparedPush { quarantined: vec![(device.id, a.clone()), (device.id, b.clone())], ..push(&device, Vec::new()) },
    );
    assert_eq!(storage.quarantined(TOWNSHIP, id, &[a.hash, new_hash(), b.hash]).unwrap(), vec![a.hash, b.hash]);
    let rows = storage.quarantine(TOWNSHIP, None, 10).unwrap();
    assert_eq!(rows.iter().map(|r| &r.change).collect::<Vec<_>>(), vec![&b, &a]);
    assert_eq!((rows[0].device, rows[0].received_ms), (device.id, 1_000));
    let older = storage.quarantine(TOWNSHIP, Some(rows[0].no), 10).unwrap();
    assert_eq!(older.iter().map(|r| &r.change).collect::<Vec<_>>(), vec![&a]);
    assert_eq!(storage.quarantine(OTHER_TOWNSHIP, None, 10).unwrap(), Vec::new());
}

fn writers_side_by_side_leave_no_gap_and_a_reader_misses_nothing(storage: Arc<dyn Storage>) {
    const WRITERS: usize = 4;
    const PUSHES: usize = 25;
    let device = enrol(&*storage, TOWNSHIP);
    let total = (WRITERS * PUSHES * 2) as u64;
    let mut seen: Vec<(u64, ChangeHash)> = Vec::new();
    let mut digest = ScopeDigest::default();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..PUSHES {
                    let records = (0..2).map(|_| record(&device, "visit", VILLAGE, None)).collect();
                    done(&*storage, push(&device, records));
                }
            });
        }
        let mut query =
            PullQuery { township: TOWNSHIP, after: 0, complete: vec![whole()], fills: Vec::new(), bytes_max: 500 };
        while (seen.len() as u64) < total {
            let page = storage.pull_page(&query).unwrap();
            let mut changes: Vec<_> = page.feed.iter().flat_map(|r| &r.changes).map(|c| (c.seq, c.hash)).collect();
            changes.sort_unstable();
            assert_eq!(page.feed_upto.seq, query.after + changes.len() as u64);
            changes.iter().for_each(|(_, hash)| digest.add(hash));
            seen.extend(changes);
            if page.feed_upto == page.head {
                assert_eq!(digest, page.digest, "head, digest and rows are of one snapshot");
            }
            query.after = page.feed_upto.seq;
        }
    });
    assert_eq!(seen.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=total).collect::<Vec<_>>());
    // the chain links each entry to the one before it
    let links = crate::storage::chain::Links::new(&secrets().chain_key);
    let mut position = Position::default();
    for (seq, id, incarnation, hash) in storage.change_list(TOWNSHIP, 0, 1_000).unwrap() {
        position = Position { seq, chain: links.change(position.chain, id, incarnation, &hash) };
    }
    assert_eq!(storage.head(TOWNSHIP).unwrap(), (position, digest));
}

fn two_writers_of_one_record_never_both_win(storage: Arc<dyn Storage>) {
    const WRITERS: usize = 4;
    const WINS: usize = 10;
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, None);
    done(&*storage, push(&device, vec![first.clone()]));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut wins = 0;
                while wins < WINS {
                    let stored = storage.load_records(TOWNSHIP, &[first.id]).unwrap().pop().unwrap().unwrap();
                    let base = PreparedRecord { heads: stored.heads, ..first.clone() };
                    let mut mine = push(&device, vec![next(&base, &device)]);
                    // and one that is new, so that a loser has something to undo
                    mine.records.insert(0, record(&device, "visit", VILLAGE, None));
                    match commit(&*storage, mine) {
                        Committed::Done(_) => wins += 1,
                        Committed::Moved => {}
                        Committed::BatchTaken => panic!("there was no batch"),
                    }
                }
            });
        }
    });
    assert_eq!(storage.full_record(TOWNSHIP, first.id).unwrap().unwrap().changes.len(), 1 + WRITERS * WINS);
    assert_eq!(storage.head(TOWNSHIP).unwrap().0.seq, (1 + 2 * WRITERS * WINS) as u64);
}
