//! Acts and their entries of the audit log: both, or neither.

use super::databases::refusing_entries;
use super::*;
use crate::storage::register::NewImport;
use crate::storage::{AreaChange, Grant, Storage, Unit, User, WipeStep, Write};
use doorstep_core::protocol::{AreaEntry, GrantEntry};

claims!(
    an_act_and_its_entries_are_written_together,
    an_act_that_fails_half_way_leaves_neither_writes_nor_entries,
    an_act_whose_if_is_not_so_leaves_nothing,
    a_push_and_its_entries_are_written_together,
    rows_of_an_import_are_kept_until_they_are_undone,
    what_an_import_made_goes_unless_it_is_in_use,
    a_withdrawn_report_is_none_until_the_phone_says_that_it_erased_itself,
);

fn setting(name: &str) -> Write {
    Write::Setting(name.to_owned(), "1".to_owned())
}

fn invitation(secret: u8) -> Write {
    Write::Invitation { secret_hash: [secret; 32], user: USER, township: TOWNSHIP, until_ms: 9 }
}

fn entries(storage: &dyn Storage) -> Vec<String> {
    storage.audit_after(0, 100).unwrap().into_iter().map(|row| row.entry.subjects).collect()
}

fn grant() -> Grant {
    GrantEntry { grant: 0, role: "helper".to_owned(), area: VILLAGE, subject: None, active: true }.into()
}

fn an_act_and_its_entries_are_written_together(storage: Arc<dyn Storage>) {
    let user = User { id: USER, name: "张三".to_owned(), unit: String::new() };
    let writes = [setting("a"), Write::Users(vec![user.clone()]), Write::Grants(USER, vec![grant()]), invitation(1)];
    assert!(storage.act(&writes, &[audited("user/a"), audited("user/b")]).unwrap());
    assert_eq!(storage.setting("a").unwrap().as_deref(), Some("1"));
    assert_eq!((storage.users().unwrap(), storage.grants(USER, 0).unwrap().1.len()), (vec![user], 1));
    assert!(storage.invitation([1; 32]).unwrap().is_some());
    assert_eq!(entries(&*storage), ["user/a", "user/b"]);
}

fn an_act_that_fails_half_way_leaves_neither_writes_nor_entries(storage: Arc<dyn Storage>) {
    // the database refuses the same secret a second time
    let writes = [setting("a"), Write::Grants(USER, vec![grant()]), invitation(1), invitation(1)];
    assert!(storage.act(&writes, &[audited("user/a")]).is_err());
    assert_eq!((storage.setting("a").unwrap(), storage.invitation([1; 32]).unwrap()), (None, None));
    assert!(storage.grants(USER, 0).unwrap().1.is_empty() && entries(&*storage).is_empty());
    assert_eq!(storage.audit_head().unwrap(), Position::default());
}

fn an_act_whose_if_is_not_so_leaves_nothing(storage: Arc<dyn Storage>) {
    let (device, unknown) = (enrol(&*storage, TOWNSHIP), DeviceId([99; 16]));
    assert!(storage.act(&[Write::Lost(device.id, 5)], &[audited("device/lost")]).unwrap());
    let ifs = [
        Write::Revoke(unknown),
        Write::Lost(unknown, 5),
        Write::Lost(device.id, 6),
        Write::Withdrawn(unknown, 5),
        Write::Wipe(unknown, WipeStep::Wiped, 5),
    ];
    for write in ifs {
        assert!(!storage.act(&[setting("a"), write.clone()], &[audited("none")]).unwrap(), "{write:?}");
    }
    assert_eq!((storage.setting("a").unwrap(), entries(&*storage)), (None, vec!["device/lost".to_owned()]));
}

fn a_push_and_its_entries_are_written_together(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let with = |records, subject: &str, name: &str| PreparedPush {
        writes: vec![setting(name)],
        entries: vec![audited(subject)],
        ..push(&device, records)
    };
    done(&*storage, with(vec![house.clone()], "record/a", "a"));
    // one that finds its record moved, beside one that is taken
    let group = [with(vec![house], "record/b", "b"), with(vec![], "record/c", "c")];
    let answers = storage.commit_group(&group).unwrap();
    assert!(matches!(answers[..], [Ok(Committed::Moved), Ok(Committed::Done(_))]), "{answers:?}");
    assert_eq!(entries(&*storage), ["record/a", "record/c"]);
    assert_eq!((storage.setting("b").unwrap(), storage.setting("c").unwrap().is_some()), (None, true));
}

fn a_withdrawn_report_is_none_until_the_phone_says_that_it_erased_itself(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let lost = || storage.device(device.id).unwrap().unwrap().lost.map(|l| (l.reported_ms, l.told_ms, l.wiped_ms));
    let act = |write| storage.act(&[write], &[audited("device/a")]).unwrap();
    assert!(act(Write::Lost(device.id, 5)) && act(Write::Wipe(device.id, WipeStep::Told, 6)));
    assert_eq!(lost(), Some((5, 6, 0)));
    assert!(act(Write::Withdrawn(device.id, 7)) && !act(Write::Withdrawn(device.id, 8)));
    assert_eq!((lost(), storage.devices(TOWNSHIP).unwrap()[0].lost), (None, None));
    assert!(act(Write::Lost(device.id, 9)), "it can be reported again");
    assert_eq!(lost(), Some((9, 0, 0)));
    assert!(act(Write::Withdrawn(device.id, 10)) && act(Write::Wipe(device.id, WipeStep::Wiped, 11)));
    assert_eq!(lost(), Some((9, 0, 11)));
    assert!(!act(Write::Withdrawn(device.id, 12)) && !act(Write::Lost(device.id, 13)));
}

fn rows_of_an_import_are_kept_until_they_are_undone(storage: Arc<dyn Storage>) {
    let item = |row| Write::ImportItem(TOWNSHIP, 3, row, format!("[{row}]"));
    assert!(
        storage.act(&[item(2), item(7), item(5), Write::ImportItem(TOWNSHIP, 4, 1, "[]".to_owned())], &[]).unwrap()
    );
    let items = |after, limit| storage.import_items(TOWNSHIP, 3, after, limit).unwrap();
    assert_eq!(items(None, 2), [(2, "[2]".to_owned()), (5, "[5]".to_owned())]);
    assert_eq!(items(Some(5), 9), [(7, "[7]".to_owned())]);
    assert!(storage.act(&[Write::ItemUndone(TOWNSHIP, 3, 5)], &[]).unwrap());
    assert_eq!(items(None, 9).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 7]);
    assert!(storage.import_items(OTHER_TOWNSHIP, 3, None, 9).unwrap().is_empty());
}

fn what_an_import_made_goes_unless_it_is_in_use(storage: Arc<dyn Storage>) {
    let area = |name: &str| AreaEntry {
        area: VILLAGE,
        parent: Some(TOWNSHIP),
        level: "village".to_owned(),
        code: String::new(),
        name_zh: name.to_owned(),
        name_en: String::new(),
    };
    storage.put_areas(TOWNSHIP, &[area("甲村")]).unwrap();
    let day = "2026-03-01".to_owned();
    let change = AreaChange { entry: area("乙村"), from_day: day.clone(), merged_into: None, at_ms: 1 };
    assert!(storage.act(&[Write::ChangeArea(TOWNSHIP, change)], &[]).unwrap());
    assert!(storage.act(&[Write::RestoreArea(TOWNSHIP, area("甲村"), Some(day))], &[]).unwrap());
    assert_eq!(storage.areas(TOWNSHIP).unwrap(), (3, vec![area("甲村")]));
    assert!(storage.area_past(TOWNSHIP).unwrap().0.is_empty());
    assert!(storage.act(&[Write::RemoveArea(TOWNSHIP, VILLAGE)], &[]).unwrap());
    assert_eq!(storage.areas(TOWNSHIP).unwrap(), (4, Vec::new()));

    let ids = [1, 2, 3].map(|n| UserId([n; 16]));
    let user = |id| User { id, name: "张三".to_owned(), unit: String::new() };
    storage.put_users(&ids.map(user)).unwrap();
    invite(&*storage, ids[0], 9);
    let device = enrol(&*storage, TOWNSHIP);
    storage.put_device(&Device { user: ids[1], ..device }).unwrap();
    let mut used = storage.people_in_use(&ids).unwrap();
    used.sort_unstable();
    assert_eq!(used, ids[..2]);
    let removed = ids.map(|id| storage.act(&[Write::RemovePerson(id)], &[]).unwrap());
    assert_eq!(removed, [false, false, true]);
    let unit = Unit { id: [1; 16], name: "水保站".to_owned(), sends: false, is_responsible: true };
    assert!(storage.act(&[Write::Units(vec![unit]), Write::RemoveUnit([1; 16])], &[]).unwrap());
    assert!(storage.units().unwrap().is_empty() && storage.users().unwrap().len() == 2);
}

/// Whatever writes an entry: where the database refuses that, nothing of the rest is written.
fn nothing_is_written_without_its_entry(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let head = done(&*storage, push(&device, vec![house.clone()]));
    let refused = audited("refused");
    assert!(storage.act(&[setting("a"), Write::Grants(USER, vec![grant()])], std::slice::from_ref(&refused)).is_err());
    let pushed = PreparedPush { entries: vec![refused.clone()], ..push(&device, vec![next(&house, &device)]) };
    assert!(storage.commit_group(&[pushed]).map_or(true, |answers| answers[0].is_err()));
    let anew = PreparedRecord { incarnation: 1, ..next(&house, &device) };
    assert!(storage.reroot(TOWNSHIP, &[anew], std::slice::from_ref(&refused), 9).is_err());
    invite(&*storage, USER, 1_000);
    let fresh = Device { id: DeviceId(unique()), ..device };
    assert!(storage.redeem_invitation([1; 32], &fresh, 9, &|_| refused.clone()).is_err());
    let import =
        NewImport { kind: "areas".to_owned(), file_name: String::new(), file_hash: [1; 32], user: USER, started_ms: 1 };
    assert!(storage.begin_import(TOWNSHIP, &import, &|_| refused.clone()).is_err());

    assert_eq!((storage.setting("a").unwrap(), storage.grants(USER, 0).unwrap().1.len()), (None, 0));
    assert_eq!(storage.head(TOWNSHIP).unwrap().0, head);
    assert_eq!(storage.record_row(TOWNSHIP, house.id).unwrap().unwrap().projection.title, "A");
    assert!(!storage.invitation([1; 32]).unwrap().unwrap().used && storage.device(fresh.id).unwrap().is_none());
    assert!(storage.imports(TOWNSHIP, None, 10).unwrap().is_empty() && entries(&*storage).is_empty());
}

#[test]
fn nothing_is_written_without_its_entry_on_either_backend() {
    refusing_entries(nothing_is_written_without_its_entry);
}
