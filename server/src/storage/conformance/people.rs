//! Secrets, settings, areas, users, grants, invitations, devices, uploads.

use super::*;
use crate::storage::{Grant, PlannedGrant, SYNC_GAP_MS, SyncNote, User};
use doorstep_core::protocol::{AreaEntry, GrantEntry};

claims!(
    secrets_are_made_once,
    a_setting_is_the_last_one_written,
    areas_change_by_id_and_raise_the_version,
    users_change_by_id,
    grants_are_numbered_chained_and_per_user,
    an_invitation_is_used_once_and_in_time,
    an_invitation_used_again_with_the_same_key_gives_the_same_device,
    devices_are_kept_per_township,
    what_is_planned_is_read_by_its_time_and_ends_once,
    a_sync_is_noted_once,
    an_upload_is_staged_by_digest,
    ping_answers,
);

fn secrets_are_made_once(storage: Arc<dyn Storage>) {
    let other = Secrets { tenant: TenantId([77; 16]), tenant_key: [78; 32], ..secrets() };
    let kept = storage.secrets(&other).unwrap();
    assert_eq!((kept.tenant, kept.tenant_key), (secrets().tenant, secrets().tenant_key));
    assert_eq!(
        (kept.chain_key, kept.receipt_key, kept.session_key, kept.identity_seed),
        ([2; 32], [3; 32], [4; 32], [5; 32])
    );
}

fn a_setting_is_the_last_one_written(storage: Arc<dyn Storage>) {
    assert_eq!(storage.setting("reads_closed").unwrap(), None);
    storage.set_setting("reads_closed", "1").unwrap();
    storage.set_setting("reads_closed", "0").unwrap();
    assert_eq!(storage.setting("reads_closed").unwrap().as_deref(), Some("0"));
}

fn entry(area: AreaId, parent: Option<AreaId>, code: &str) -> AreaEntry {
    AreaEntry {
        area,
        parent,
        level: "village".to_owned(),
        code: code.to_owned(),
        name_zh: "石桥村".to_owned(),
        name_en: "Shiqiao".to_owned(),
    }
}

fn areas_change_by_id_and_raise_the_version(storage: Arc<dyn Storage>) {
    assert_eq!(storage.areas(TOWNSHIP).unwrap(), (0, Vec::new()));
    let first = [entry(TOWNSHIP, None, "1"), entry(VILLAGE, Some(TOWNSHIP), "11")];
    assert_eq!(storage.put_areas(TOWNSHIP, &first).unwrap(), 1);
    let renamed = AreaEntry { name_en: "Stone Bridge".to_owned(), ..first[1].clone() };
    assert_eq!(storage.put_areas(TOWNSHIP, std::slice::from_ref(&renamed)).unwrap(), 2);
    assert_eq!(storage.areas(TOWNSHIP).unwrap(), (2, vec![first[0].clone(), renamed]));
    assert_eq!(storage.townships().unwrap(), vec![TOWNSHIP]);
    let later = AreaId([0; 16]);
    storage.put_areas(later, &[entry(later, None, "0")]).unwrap();
    assert_eq!(storage.townships().unwrap(), vec![TOWNSHIP, later], "in the order in which they were made");
    assert_eq!(storage.head(TOWNSHIP).unwrap(), Default::default());
}

fn users_change_by_id(storage: Arc<dyn Storage>) {
    let a = User { id: UserId([1; 16]), name: "A".to_owned(), unit: String::new() };
    let b = User { id: UserId([2; 16]), name: "B".to_owned(), unit: "Forestry".to_owned() };
    storage.put_users(&[b.clone(), a.clone()]).unwrap();
    let a = User { name: "A2".to_owned(), ..a };
    storage.put_users(std::slice::from_ref(&a)).unwrap();
    assert_eq!(storage.users().unwrap(), vec![a, b]);
}

fn grants_are_numbered_chained_and_per_user(storage: Arc<dyn Storage>) {
    let entry = GrantEntry { grant: 0, role: "helper".to_owned(), area: VILLAGE, subject: None, active: true };
    let grant = Grant { until_ms: Some(9_000), stand_in_for: Some(UserId([3; 16])), at_ms: 7, ..Grant::from(entry) };
    let about = Grant::from(GrantEntry { subject: Some(RecordId([4; 16])), ..grant.entry.clone() });
    assert_eq!(storage.grants(USER, 0).unwrap(), (Position::default(), Vec::new()));
    let first = storage.append_grants(USER, &[grant.clone(), about.clone()]).unwrap();
    let numbered = |n, g: &Grant| Grant { entry: GrantEntry { grant: n, ..g.entry.clone() }, ..g.clone() };
    let ended = numbered(1, &grant).ended(8);
    let second = storage.append_grants(USER, &[ended.clone(), grant.clone()]).unwrap();
    assert_eq!((first.seq, second.seq), (2, 4));
    let (head, log) = storage.grants(USER, 0).unwrap();
    assert_eq!(head, second);
    assert_eq!(log.iter().map(|(at, _)| at.seq).collect::<Vec<_>>(), vec![1, 2, 3, 4]);
    assert_eq!(log[1].0, first);
    let entries: Vec<_> = log.into_iter().map(|(_, e)| e).collect();
    assert_eq!(entries, vec![numbered(1, &grant), numbered(2, &about), ended, numbered(3, &grant)]);
    assert_eq!(storage.grants(USER, 3).unwrap().1.len(), 1);
    let other = storage.append_grants(UserId([88; 16]), &[grant, about]).unwrap();
    assert_ne!(other.chain, first.chain, "the chain names the user");
}

fn an_invitation_is_used_once_and_in_time(storage: Arc<dyn Storage>) {
    let blank = Device { user: UserId([0; 16]), township: AreaId([0; 16]), ..enrol(&*storage, OTHER_TOWNSHIP) };
    let fresh = || Device { id: DeviceId(unique()), ..blank.clone() };
    invite(&*storage, USER, 1_000);
    assert_eq!(redeem(&*storage, [2; 32], &fresh(), 10), None, "unknown");
    assert_eq!(redeem(&*storage, [1; 32], &fresh(), 1_001), None, "over");
    let device = fresh();
    let enrolled = redeem(&*storage, [1; 32], &device, 999).unwrap();
    assert_eq!(enrolled, Device { user: USER, township: TOWNSHIP, ..device.clone() });
    assert_eq!(storage.device(device.id).unwrap(), Some(enrolled));
    let other = Device { public_key: [7; 32], ..fresh() };
    assert_eq!(redeem(&*storage, [1; 32], &other, 999), None, "used");
}

fn an_invitation_used_again_with_the_same_key_gives_the_same_device(storage: Arc<dyn Storage>) {
    let blank = Device { user: UserId([0; 16]), township: AreaId([0; 16]), ..enrol(&*storage, OTHER_TOWNSHIP) };
    let fresh = || Device { id: DeviceId(unique()), ..blank.clone() };
    invite(&*storage, USER, 1_000);
    let first = redeem(&*storage, [1; 32], &fresh(), 999).unwrap();
    assert_eq!(redeem(&*storage, [1; 32], &fresh(), 2_000), Some(first.clone()));
    assert_eq!(storage.devices(TOWNSHIP).unwrap(), vec![first.clone()]);
    storage.put_device(&Device { revoked: true, ..first }).unwrap();
    assert_eq!(redeem(&*storage, [1; 32], &fresh(), 999), None, "revoked since");
}

fn devices_are_kept_per_township(storage: Arc<dyn Storage>) {
    let here = enrol(&*storage, TOWNSHIP);
    let there = enrol(&*storage, OTHER_TOWNSHIP);
    assert_eq!(storage.device(DeviceId([99; 16])).unwrap(), None);
    assert_eq!(storage.devices(TOWNSHIP).unwrap(), vec![here.clone()]);
    storage.note_sync(note(here.id, 4, 100, 7)).unwrap();
    let noted = storage.device(here.id).unwrap().unwrap();
    assert!(act(&*storage, Write::Revoke(here.id)));
    assert!(!act(&*storage, Write::Revoke(DeviceId([99; 16]))), "unknown");
    let revoked = Device { revoked: true, ..noted };
    assert_eq!(storage.device(revoked.id).unwrap(), Some(revoked));
    assert_eq!(storage.devices(OTHER_TOWNSHIP).unwrap(), vec![there]);
}

fn note(device: DeviceId, counter: u64, now_ms: u64, feed_seq: u64) -> SyncNote {
    SyncNote { device, counter, now_ms, feed_seq, known: Known::default() }
}

fn a_sync_is_noted_once(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let at = |n: u64| n * SYNC_GAP_MS;
    let noted = || storage.device(device.id).unwrap().unwrap();
    done(&*storage, PreparedPush { counter: 4, received_ms: at(1), ..push(&device, Vec::new()) });
    let first = note(device.id, 4, at(1), 7);
    let known = Known { feed: 6, grants: 2, areas: 5 };
    storage.note_sync(SyncNote { known, ..first }).unwrap();
    // the next part of the same upload
    storage.note_sync(SyncNote { now_ms: at(1) + 1_000, ..first }).unwrap();
    let now = noted();
    assert_eq!((now.counter, now.last_sync_ms, now.previous_sync_ms, now.feed_seq), (4, at(1) + 1_000, 0, 7));
    assert_eq!((now.synced_before(at(1) + 2_000), now.synced_before(at(3))), (0, at(1) + 1_000));
    storage
        .note_sync(SyncNote { known: Known { feed: 5, grants: 3, areas: 4 }, ..note(device.id, 3, at(3), 8) })
        .unwrap();
    let now = noted();
    assert_eq!(now.known, Known { feed: 6, grants: 3, areas: 5 }, "a device can't know less later");
    assert_eq!((now.counter, now.last_sync_ms, now.previous_sync_ms), (4, at(3), at(1) + 1_000));
    let note = note(device.id, 5, at(4), 9);
    let later = PreparedPush { counter: 6, received_ms: at(5), ..push(&device, Vec::new()) };
    assert!(matches!(storage.commit(&[later], &[note]).unwrap()[..], [Ok(Committed::Done(_))]));
    let now = noted();
    assert_eq!((now.counter, now.last_sync_ms, now.previous_sync_ms, now.feed_seq), (6, at(5), at(4), 9));
}

fn an_upload_is_staged_by_digest(storage: Arc<dyn Storage>) {
    let (a, b) = (DeviceId([1; 16]), DeviceId([2; 16]));
    storage.stage_upload(a, [1; 32], b"part", 10).unwrap();
    storage.stage_upload(a, [2; 32], b"longer part", 20).unwrap();
    storage.stage_upload(b, [3; 32], b"other", 30).unwrap();
    assert_eq!(storage.staged_upload(a, [1; 32]).unwrap(), None, "replaced");
    assert_eq!(storage.staged_upload(a, [2; 32]).unwrap().as_deref(), Some(b"longer part".as_slice()));
    assert_eq!(storage.drop_uploads_before(25).unwrap(), 1);
    assert_eq!(storage.staged_upload(a, [2; 32]).unwrap(), None);
    storage.drop_upload(b).unwrap();
    assert_eq!(storage.staged_upload(b, [3; 32]).unwrap(), None);
}

fn ping_answers(storage: Arc<dyn Storage>) {
    storage.ping().unwrap();
}

fn what_is_planned_is_read_by_its_time_and_ends_once(storage: Arc<dyn Storage>) {
    let planned = |from_ms, household| PlannedGrant {
        no: 0,
        township: TOWNSHIP,
        from_ms,
        user: USER,
        role: "helper".to_owned(),
        area: VILLAGE,
        household,
        until_ms: household.map(|_| 99),
        stand_in_for: household.map(|_| UserId([88; 16])),
        anew: household.is_some(),
    };
    let (later, sooner) = (planned(70, None), planned(50, Some(RecordId([7; 16]))));
    assert!(storage.act(&[Write::Plan(later.clone()), Write::Plan(sooner.clone())], &[]).unwrap());
    let numbered = |no, planned: &PlannedGrant| PlannedGrant { no, ..planned.clone() };
    assert_eq!(storage.planned_grants(49).unwrap(), []);
    assert_eq!(storage.planned_grants(50).unwrap(), [numbered(2, &sooner)]);
    assert_eq!(storage.planned_grants(u64::MAX).unwrap(), [numbered(2, &sooner), numbered(1, &later)]);
    assert_eq!([act(&*storage, Write::Unplan(2)), act(&*storage, Write::Unplan(2))], [true, false]);
    assert_eq!(storage.planned_grants(u64::MAX).unwrap(), [numbered(1, &later)]);
}
