//! Records rooted anew.

use super::*;
use crate::storage::{HeldChange, PullQuery, RefusedLimits, RefusedUpload};

claims!(
    a_record_rooted_anew_has_only_its_new_changes_and_the_feed_has_no_gap,
    what_was_held_aside_for_it_goes_and_for_others_stays,
    a_record_that_moved_is_not_rooted_anew_and_nothing_is_stored,
);

/// The record's next incarnation, with one change.
fn anew(record: &PreparedRecord, device: &Device) -> PreparedRecord {
    let projection = Projection { json: "{\"new\":1}".to_owned(), title: "B".to_owned(), ..Projection::default() };
    PreparedRecord { incarnation: record.incarnation + 1, projection, ..next(record, device) }
}

fn reroot(storage: &dyn Storage, records: &[PreparedRecord]) -> Committed {
    storage.reroot(TOWNSHIP, records, &[audited("record/erased")], 9_000).unwrap()
}

fn a_record_rooted_anew_has_only_its_new_changes_and_the_feed_has_no_gap(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let (house, other) = (record(&device, "household", VILLAGE, None), record(&device, "household", VILLAGE, None));
    let before = done(&*storage, push(&device, vec![house.clone(), other.clone()]));
    let newer = next(&house, &device);
    let old = done(&*storage, push(&device, vec![newer.clone()]));
    let fresh = anew(&newer, &device);
    let Committed::Done(head) = reroot(&*storage, std::slice::from_ref(&fresh)) else { panic!("not stored") };
    assert_eq!(head.seq, old.seq + 1);
    for position in [before, old, head] {
        assert!(storage.is_on_chain(TOWNSHIP, position).unwrap(), "the chain goes on");
    }
    let stored = storage.full_record(TOWNSHIP, house.id).unwrap().unwrap();
    assert_eq!((stored.incarnation, &stored.heads), (1, &fresh.heads));
    assert_eq!(stored.changes.iter().map(|c| c.hash).collect::<Vec<_>>(), fresh.heads);
    let row = storage.record_row(TOWNSHIP, house.id).unwrap().unwrap();
    assert_eq!((row.projection.json, row.projection.title), (fresh.projection.json.clone(), "B".to_owned()));
    let mut digest = ScopeDigest::default();
    [other.heads[0], fresh.heads[0]].iter().for_each(|hash| digest.add(hash));
    assert_eq!(storage.head(TOWNSHIP).unwrap(), (head, digest));
    // walked and gathered, by feed and by fill
    for (after, complete) in [(0, whole()), (old.seq, whole()), (0, areas(&[VILLAGE])), (0, subjects(&[house.id]))] {
        let query =
            PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills: Vec::new(), bytes_max: 1 << 20 };
        let page = storage.pull_page(&query).unwrap();
        let found = page.feed.iter().find(|r| r.id == house.id).unwrap();
        assert_eq!((found.incarnation, found.changes.len()), (1, 1));
        assert_eq!(page.feed_upto, head);
    }
    let fill = PullQuery {
        township: TOWNSHIP,
        after: head.seq,
        complete: Vec::new(),
        fills: vec![(1, whole(), 0)],
        bytes_max: 1 << 20,
    };
    let filled = storage.pull_page(&fill).unwrap().fill;
    assert_eq!(filled.iter().map(|r| (r.id, r.changes.len())).collect::<Vec<_>>(), vec![(house.id, 1), (other.id, 1)]);
    let listed = storage.change_list(TOWNSHIP, 0, 100).unwrap();
    assert_eq!(listed.iter().map(|c| c.3).collect::<Vec<_>>(), vec![other.heads[0], fresh.heads[0]]);
    storage.purge().unwrap();
    assert_eq!(storage.full_record(TOWNSHIP, house.id).unwrap().unwrap(), stored);
    assert_eq!(storage.head(TOWNSHIP).unwrap(), (head, digest));
    // and it goes on like any other
    let after = next(&fresh, &device);
    assert_eq!(done(&*storage, push(&device, vec![after])).seq, head.seq + 1);
}

fn what_was_held_aside_for_it_goes_and_for_others_stays(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    done(&*storage, push(&device, vec![house.clone()]));
    let held = |record: RecordId, subject: Option<RecordId>| HeldChange {
        record,
        identity: Identity::of_type("visit"),
        incarnation: 0,
        area: VILLAGE,
        subject,
        hash: new_hash(),
        reason: "rights".to_owned(),
        bytes: vec![1; 20],
    };
    let (own, about) = (held(house.id, None), held(RecordId(unique()), Some(house.id)));
    let other = held(RecordId(unique()), None);
    let all = [own.clone(), about.clone(), other.clone()];
    let quarantined = all.iter().map(|change| (device.id, change.clone())).collect();
    done(&*storage, PreparedPush { quarantined, waiting: all.to_vec(), ..push(&device, Vec::new()) });
    let (limits, bytes) =
        (RefusedLimits { bytes_each: 100, bytes_device: 250, kept_device: 4, rows_device: 6 }, [7; 50]);
    let upload = RefusedUpload {
        township: TOWNSHIP,
        device: device.id,
        received_ms: 5,
        branch: 1,
        number: 1,
        reason: "upload_unreadable",
        digest: [7; 32],
        bytes: &bytes,
    };
    storage.keep_refused_upload(&upload, &limits).unwrap();
    storage.stage_upload(device.id, [8; 32], &bytes, 5).unwrap();
    assert!(matches!(reroot(&*storage, &[anew(&house, &device)]), Committed::Done(_)));
    let left: Vec<HeldChange> =
        storage.quarantine(TOWNSHIP, None, 100).unwrap().into_iter().map(|row| row.change).collect();
    assert_eq!(left, vec![other.clone()]);
    let waiting = storage.waiting(TOWNSHIP, &[house.id, about.record, other.record]).unwrap();
    assert_eq!(waiting.iter().map(|(_, change)| change.record).collect::<Vec<_>>(), vec![other.record]);
    let row = storage.refused_uploads(TOWNSHIP, None, 10).unwrap().remove(0);
    assert_eq!((row.kept, storage.refused_upload_bytes(TOWNSHIP, row.no).unwrap()), (0, None));
    assert_eq!(storage.staged_upload(device.id, [8; 32]).unwrap(), None);
}

fn a_record_that_moved_is_not_rooted_anew_and_nothing_is_stored(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let (house, other) = (record(&device, "household", VILLAGE, None), record(&device, "household", VILLAGE, None));
    done(&*storage, push(&device, vec![house.clone(), other.clone()]));
    let newer = next(&house, &device);
    done(&*storage, push(&device, vec![newer.clone()]));
    let before = storage.head(TOWNSHIP).unwrap();
    let stale = [anew(&other, &device), anew(&house, &device)];
    assert_eq!(reroot(&*storage, &stale), Committed::Moved);
    let skipped = PreparedRecord { incarnation: 2, ..anew(&newer, &device) };
    assert_eq!(reroot(&*storage, &[skipped]), Committed::Moved);
    assert_eq!(storage.head(TOWNSHIP).unwrap(), before);
    assert_eq!(storage.full_record(TOWNSHIP, other.id).unwrap().unwrap().incarnation, 0);
}
