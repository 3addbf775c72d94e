//! Lost phones, used invitations, decisions about quarantined changes.

use super::*;
use doorstep_core::protocol::{ManifestEntry, NOT_KEPT};

use crate::storage::{Decision, HeldChange, InvitationState, Lost, QuarantineFilter, WipeStep};

claims!(
    a_lost_phone_is_reported_told_and_wiped_each_once,
    a_lost_phone_s_invitation_does_not_enrol_it_again,
    an_invitation_says_whether_it_was_used_and_until_when_it_holds,
    quarantined_changes_are_found_by_phone_reason_and_decision,
    a_released_change_stays_released_and_a_discarded_one_can_be_released,
    a_change_s_fate_is_what_became_of_it_by_now,
);

fn a_lost_phone_is_reported_told_and_wiped_each_once(storage: Arc<dyn Storage>) {
    let (device, other) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, TOWNSHIP));
    let lost = || storage.device(device.id).unwrap().unwrap().lost;
    assert_eq!(lost(), None);
    assert!(!storage.note_wipe(device.id, WipeStep::Told, 5).unwrap(), "it isn't lost");
    let lose = |device, now_ms| act(&*storage, Write::Lost(device, now_ms));
    assert!(lose(device.id, 10) && !lose(device.id, 20));
    assert!(!lose(DeviceId([99; 16]), 10), "unknown");
    assert_eq!(lost(), Some(Lost { reported_ms: 10, told_ms: 0, wiped_ms: 0 }), "the first report stays");
    assert!(storage.note_wipe(device.id, WipeStep::Told, 30).unwrap());
    assert!(!storage.note_wipe(device.id, WipeStep::Told, 31).unwrap());
    assert!(storage.note_wipe(device.id, WipeStep::Wiped, 40).unwrap());
    assert_eq!(lost(), Some(Lost { reported_ms: 10, told_ms: 30, wiped_ms: 40 }));
    storage.put_device(&device).unwrap();
    assert!(lost().is_some(), "writing the device doesn't find it again");
    let listed = storage.devices(TOWNSHIP).unwrap();
    assert_eq!(listed.iter().filter(|d| d.lost.is_some()).map(|d| d.id).collect::<Vec<_>>(), [device.id]);
    assert_eq!(storage.device(other.id).unwrap().unwrap().lost, None);
}

fn a_lost_phone_s_invitation_does_not_enrol_it_again(storage: Arc<dyn Storage>) {
    let device = Device { id: DeviceId(unique()), ..enrol(&*storage, OTHER_TOWNSHIP) };
    invite(&*storage, USER, 1_000);
    let first = redeem(&*storage, [1; 32], &device, 999).unwrap();
    assert!(act(&*storage, Write::Lost(first.id, 999)));
    assert_eq!(redeem(&*storage, [1; 32], &device, 999), None);
}

fn an_invitation_says_whether_it_was_used_and_until_when_it_holds(storage: Arc<dyn Storage>) {
    assert_eq!(storage.invitation([1; 32]).unwrap(), None);
    invite(&*storage, USER, 1_000);
    assert_eq!(storage.invitation([1; 32]).unwrap(), Some(InvitationState { used: false, until_ms: 1_000 }));
    let device = Device { id: DeviceId(unique()), ..enrol(&*storage, TOWNSHIP) };
    redeem(&*storage, [1; 32], &device, 999).unwrap();
    assert!(storage.invitation([1; 32]).unwrap().unwrap().used);
}

fn refused(reason: &str) -> HeldChange {
    HeldChange {
        record: RecordId(unique()),
        identity: Identity::of_type("visit"),
        incarnation: 0,
        area: VILLAGE,
        subject: None,
        hash: new_hash(),
        reason: reason.to_owned(),
        bytes: vec![1, 2, 3],
    }
}

/// Three refused changes of two phones, oldest first.
fn quarantine(storage: &dyn Storage) -> ([Device; 2], Vec<u64>) {
    let devices = [enrol(storage, TOWNSHIP), enrol(storage, TOWNSHIP)];
    for (device, reason) in [(&devices[0], "lost_device"), (&devices[1], "start_op"), (&devices[0], "lost_device")] {
        done(storage, PreparedPush { quarantined: vec![(device.id, refused(reason))], ..push(device, Vec::new()) });
    }
    let all = QuarantineFilter { limit: 10, ..QuarantineFilter::default() };
    let mut nos: Vec<u64> = storage.quarantine_list(TOWNSHIP, &all).unwrap().iter().map(|row| row.no).collect();
    nos.reverse();
    (devices, nos)
}

fn quarantined_changes_are_found_by_phone_reason_and_decision(storage: Arc<dyn Storage>) {
    let (devices, nos) = quarantine(&*storage);
    let found = |filter: QuarantineFilter| -> Vec<u64> {
        let rows = storage.quarantine_list(TOWNSHIP, &QuarantineFilter { limit: 10, ..filter }).unwrap();
        rows.iter().map(|row| row.no).collect()
    };
    let none = QuarantineFilter::default;
    assert_eq!(found(none()), [nos[2], nos[1], nos[0]]);
    assert_eq!(found(QuarantineFilter { device: Some(devices[0].id), ..none() }), [nos[2], nos[0]]);
    assert_eq!(found(QuarantineFilter { reason: Some("start_op".into()), ..none() }), [nos[1]]);
    assert_eq!(found(QuarantineFilter { before: Some(nos[1]), ..none() }), [nos[0]]);
    assert_eq!(found(QuarantineFilter { decision: Some(Decision::Discarded), ..none() }), [0; 0]);
    assert!(storage.quarantine_list(OTHER_TOWNSHIP, &QuarantineFilter { limit: 10, ..none() }).unwrap().is_empty());
    let rows = storage.quarantine_rows(TOWNSHIP, &[nos[2], nos[0], nos[2], 999]).unwrap();
    assert_eq!(rows.iter().map(|row| row.no).collect::<Vec<_>>(), [nos[0], nos[2]], "each once, as they came");
    assert!(storage.quarantine_rows(OTHER_TOWNSHIP, &nos).unwrap().is_empty());
}

fn a_released_change_stays_released_and_a_discarded_one_can_be_released(storage: Arc<dyn Storage>) {
    let (devices, nos) = quarantine(&*storage);
    let decide = |township, nos: &[u64], decision, now_ms| {
        assert!(act(&*storage, Write::Decided(township, nos.to_vec(), decision, now_ms)));
    };
    decide(TOWNSHIP, &[nos[0]], Decision::Released, 50);
    decide(TOWNSHIP, &nos, Decision::Discarded, 60);
    decide(OTHER_TOWNSHIP, &nos, Decision::Open, 70);
    let decisions = || -> Vec<_> {
        let rows = storage.quarantine_rows(TOWNSHIP, &nos).unwrap();
        rows.iter().map(|row| (row.decision, row.decided_ms)).collect()
    };
    assert_eq!(decisions(), [(Decision::Released, 50), (Decision::Discarded, 60), (Decision::Discarded, 60)]);
    assert!(storage.quarantine(TOWNSHIP, None, 10).unwrap().is_empty(), "nobody has to decide any more");
    assert_eq!(storage.quarantined_of(devices[0].id).unwrap().0, 0, "and the phone has its room back");
    decide(TOWNSHIP, &[nos[1]], Decision::Released, 80);
    assert_eq!(decisions()[1], (Decision::Released, 80));
}

fn a_change_s_fate_is_what_became_of_it_by_now(storage: Arc<dyn Storage>) {
    let (device, other) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, TOWNSHIP));
    let stored = record(&device, "visit", VILLAGE, None);
    let entry = |held: &HeldChange| ManifestEntry { record: held.record, incarnation: 0, change: held.hash };
    let there = ManifestEntry { record: stored.id, incarnation: 0, change: stored.heads[0] };
    let (waits, quarantined, twice) = (refused("missing"), refused("locked"), refused("equivocation"));
    let asked = [there, entry(&waits), entry(&quarantined), entry(&twice), ManifestEntry { incarnation: 1, ..there }];
    let head = done(
        &*storage,
        PreparedPush {
            waiting: vec![waits.clone()],
            quarantined: vec![(device.id, quarantined), (device.id, twice)],
            ..push(&device, vec![stored])
        },
    );
    let denied = || Outcome { state: State::Denied, reason: NOT_KEPT.to_owned() };
    let equivocation = Outcome { state: State::Equivocation, reason: "equivocation".to_owned() };
    let rest = [Outcome::quarantined("locked"), equivocation, denied()];
    let fates = |device: &Device| storage.fates(device.township, device.id, &asked).unwrap();
    assert_eq!(
        fates(&device),
        ([vec![Outcome::of(State::Stored), Outcome::of(State::Waiting)], rest.to_vec()].concat(), head)
    );
    assert_eq!(fates(&other).0[2..], [denied(), denied(), denied()], "another's are nobody else's business");
    let elsewhere = enrol(&*storage, OTHER_TOWNSHIP);
    assert_eq!(fates(&elsewhere).0, vec![denied(); 5]);
    // whose it is doesn't change with who brings it once more
    done(&*storage, PreparedPush { waiting: vec![waits.clone()], ..push(&other, Vec::new()) });
    let kept = storage.waiting(TOWNSHIP, &[waits.record]).unwrap();
    assert_eq!(kept.iter().map(|(by, _)| *by).collect::<Vec<_>>(), [device.id]);
    let settled = vec![(waits.record, waits.hash)];
    let refused = HeldChange { reason: "out_of_scope".to_owned(), ..waits };
    done(&*storage, PreparedPush { settled, quarantined: vec![(device.id, refused)], ..push(&other, Vec::new()) });
    assert_eq!(fates(&device).0[1], Outcome::quarantined("out_of_scope"));
    // a record that was rooted anew
    let anew = PreparedRecord { incarnation: 2, ..record(&device, "visit", VILLAGE, None) };
    let before = ManifestEntry { record: anew.id, incarnation: 1, change: anew.heads[0] };
    done(&*storage, push(&device, vec![anew]));
    let (fates, _) = storage.fates(TOWNSHIP, device.id, &[before]).unwrap();
    assert_eq!((fates[0].state, fates[0].reason.as_str()), (State::Equivocation, "old_incarnation"));
}
