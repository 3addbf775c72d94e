//! Grants by subject and end, areas with a past, units, moves, and what a role reads.

use std::collections::BTreeMap;

use super::*;
use crate::storage::rights::ROLES;
use crate::storage::{
    AreaChange, AreaEnd, Areas, Arrival, Grant, Move, Placement, PullQuery, PulledRecord, Reads, StoredChange, Unit,
};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::rights::Roles;

claims!(
    grants_are_found_by_subject_and_by_their_end,
    a_changed_area_keeps_its_past,
    areas_know_what_went_into_them_and_where_they_lay_before,
    a_push_that_was_judged_by_other_areas_is_merged_again,
    units_change_by_id,
    a_move_is_told_to_those_who_lose_and_to_those_who_get_the_record,
    a_move_takes_along_what_is_about_the_record,
    a_move_inside_a_scope_sends_no_changes,
    a_fill_that_passed_the_record_hears_of_its_move,
    a_role_reads_its_types_only,
    roles_of_the_township_stand_before_those_of_the_pack,
    whoever_makes_a_record_gets_its_grant_in_the_same_commit,
);

fn grant(area: AreaId, subject: Option<RecordId>) -> Grant {
    GrantEntry { grant: 0, role: "helper".to_owned(), area, subject, active: true }.into()
}

fn grants_are_found_by_subject_and_by_their_end(storage: Arc<dyn Storage>) {
    let (house, other) = (RecordId(unique()), UserId([89; 16]));
    let stand_in = Grant { until_ms: Some(5_000), stand_in_for: Some(USER), ..grant(VILLAGE, Some(house)) };
    storage.append_grants(USER, &[grant(VILLAGE, Some(house)), grant(VILLAGE, None)]).unwrap();
    storage.append_grants(other, std::slice::from_ref(&stand_in)).unwrap();
    let about = storage.grants_about(house).unwrap();
    let found: BTreeMap<UserId, Option<UserId>> = about.iter().map(|(user, g)| (*user, g.stand_in_for)).collect();
    assert_eq!(found, BTreeMap::from([(USER, None), (other, Some(USER))]));
    assert_eq!(storage.overdue_grants(4_999).unwrap(), Vec::new());
    let overdue = storage.overdue_grants(5_000).unwrap();
    assert_eq!(overdue.iter().map(|(user, g)| (*user, g.entry.grant)).collect::<Vec<_>>(), vec![(other, 1)]);
    let numbered = Grant { entry: GrantEntry { grant: 1, ..stand_in.entry.clone() }, ..stand_in };
    storage.append_grants(other, &[numbered.ended(5_001)]).unwrap();
    assert_eq!(storage.overdue_grants(9_000).unwrap(), Vec::new());
}

fn a_changed_area_keeps_its_past(storage: Arc<dyn Storage>) {
    let area = |name: &str| AreaEntry {
        area: VILLAGE,
        parent: Some(TOWNSHIP),
        level: "village".to_owned(),
        code: "1".to_owned(),
        name_zh: name.to_owned(),
        name_en: String::new(),
    };
    storage.put_areas(TOWNSHIP, &[area("甲村")]).unwrap();
    let change = AreaChange { entry: area("乙村"), from_day: "2026-03-01".to_owned(), merged_into: None, at_ms: 7 };
    assert!(act(&*storage, Write::ChangeArea(TOWNSHIP, change.clone())));
    assert_eq!(storage.areas(TOWNSHIP).unwrap().0, 2);
    assert_eq!(storage.areas(TOWNSHIP).unwrap().1, vec![area("乙村")]);
    let (past, ended) = storage.area_past(TOWNSHIP).unwrap();
    let past: Vec<_> = past.iter().map(|p| (p.entry.name_zh.as_str(), p.until_day.as_str())).collect();
    assert_eq!((past, ended), (vec![("甲村", "2026-03-01")], Vec::new()));
    let merged = AreaChange { from_day: "2026-05-01".to_owned(), merged_into: Some(OTHER_VILLAGE), ..change };
    assert!(act(&*storage, Write::ChangeArea(TOWNSHIP, merged)));
    let end = AreaEnd { area: VILLAGE, day: "2026-05-01".to_owned(), into: Some(OTHER_VILLAGE) };
    assert_eq!(storage.area_past(TOWNSHIP).unwrap().1, vec![end]);
}

fn areas_know_what_went_into_them_and_where_they_lay_before(storage: Arc<dyn Storage>) {
    let area = |area, parent| AreaEntry {
        area,
        parent,
        level: "village".to_owned(),
        code: "1".to_owned(),
        name_zh: String::new(),
        name_en: String::new(),
    };
    assert_eq!(*storage.area_tree(TOWNSHIP).unwrap(), Areas::default());
    let (group, village) = (AreaId([77; 16]), area(VILLAGE, Some(TOWNSHIP)));
    storage.put_areas(TOWNSHIP, &[village.clone(), area(OTHER_VILLAGE, None), area(group, Some(VILLAGE))]).unwrap();
    let change = |entry, merged_into, at_ms| AreaChange { entry, from_day: "2026-03-01".into(), merged_into, at_ms };
    let changed = |change| {
        assert!(act(&*storage, Write::ChangeArea(TOWNSHIP, change)));
        storage.areas(TOWNSHIP).unwrap().0
    };
    let first = changed(change(area(group, Some(OTHER_VILLAGE)), None, 7));
    changed(change(area(group, Some(OTHER_VILLAGE)), None, 8));
    let tree = storage.area_tree(TOWNSHIP).unwrap();
    assert_eq!((tree.below(VILLAGE).len(), tree.below(OTHER_VILLAGE).len()), (1, 2));
    assert_eq!(tree.known_at(first - 1, 0).unwrap().below(VILLAGE), [VILLAGE, group]);
    assert!(tree.known_at(first, 0).is_none() && tree.known_at(first - 1, 7).is_none());
    let last = changed(change(village, Some(OTHER_VILLAGE), 9));
    let tree = storage.area_tree(TOWNSHIP).unwrap();
    assert_eq!(tree.became(VILLAGE), Some((OTHER_VILLAGE, "2026-03-01")));
    assert_eq!(tree.live().count(), 2);
    assert_eq!(tree.known_at(last - 1, 0).unwrap().below(TOWNSHIP), [TOWNSHIP, VILLAGE]);
    assert_eq!(*storage.area_tree(OTHER_TOWNSHIP).unwrap(), Areas::default());
}

fn units_change_by_id(storage: Arc<dyn Storage>) {
    let unit = |name: &str, sends| Unit { id: [4; 16], name: name.to_owned(), sends, is_responsible: true };
    assert!(act(&*storage, Write::Units(vec![unit("水保站", false)])));
    assert!(act(&*storage, Write::Units(vec![unit("水务站", true)])));
    assert_eq!(storage.units().unwrap(), vec![unit("水务站", true)]);
}

/// A household and a visit of it in the village, and one elsewhere.
fn settle(storage: &dyn Storage) -> (Device, [PreparedRecord; 3]) {
    let device = enrol(storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let visit = record(&device, "visit", VILLAGE, Some(house.id));
    let other = record(&device, "household", OTHER_VILLAGE, None);
    done(storage, push(&device, vec![house.clone(), visit.clone(), other.clone()]));
    (device, [house, visit, other])
}

fn moved(storage: &dyn Storage, device: &Device, record: RecordId, area: AreaId) -> Position {
    let moves = vec![Move::by_office(record, area, "2026-06-01")];
    done(storage, PreparedPush { moves, received_ms: 77, ..push(device, Vec::new()) })
}

fn news(storage: &dyn Storage, after: u64, complete: Scope) -> Vec<PulledRecord> {
    let fills = Vec::new();
    let query = PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills, bytes_max: 1 << 20 };
    storage.pull_page(&query).unwrap().feed
}

fn seen(records: &[PulledRecord]) -> Vec<(RecordId, Arrival, usize)> {
    records.iter().map(|r| (r.id, r.arrival, r.changes.len())).collect()
}

fn a_move_is_told_to_those_who_lose_and_to_those_who_get_the_record(storage: Arc<dyn Storage>) {
    let (device, [house, visit, _]) = settle(&*storage);
    let head = moved(&*storage, &device, house.id, OTHER_VILLAGE);
    assert_eq!(head.seq, 5, "an entry each for the household and its visit");
    assert!(storage.is_on_chain(TOWNSHIP, head).unwrap());
    let left = news(&*storage, 3, areas(&[VILLAGE]));
    assert_eq!(seen(&left), vec![(house.id, Arrival::Left, 0), (visit.id, Arrival::Left, 0)]);
    let entered = news(&*storage, 3, areas(&[OTHER_VILLAGE]));
    assert_eq!(seen(&entered), vec![(house.id, Arrival::Entered, 1), (visit.id, Arrival::Entered, 1)]);
    assert!(entered.iter().all(|r| r.area == OTHER_VILLAGE));
    assert_eq!(seen(&news(&*storage, 3, areas(&[AreaId([99; 16])]))), Vec::new());
    // from the start there is nothing of it for the village, and all of it elsewhere
    let first: Vec<_> = news(&*storage, 0, areas(&[VILLAGE])).into_iter().flat_map(|r| r.changes).collect();
    assert_eq!(first, Vec::<StoredChange>::new());
    assert_eq!(news(&*storage, 0, areas(&[OTHER_VILLAGE])).iter().map(|r| r.changes.len()).sum::<usize>(), 3);
    // what is new of it afterwards goes to the new place only
    done(&*storage, push(&device, vec![next(&house, &device)]));
    assert_eq!(seen(&news(&*storage, 5, areas(&[VILLAGE]))), Vec::new());
    assert_eq!(seen(&news(&*storage, 5, areas(&[OTHER_VILLAGE]))), vec![(house.id, Arrival::Known, 1)]);
}

fn a_move_takes_along_what_is_about_the_record(storage: Arc<dyn Storage>) {
    let (device, [house, visit, other]) = settle(&*storage);
    moved(&*storage, &device, house.id, OTHER_VILLAGE);
    let before = |id| storage.placements(TOWNSHIP, id).unwrap();
    let place = |seq| Placement { seq, area: VILLAGE, until_day: "2026-06-01".to_owned(), at_ms: 77 };
    assert_eq!((before(house.id), before(visit.id), before(other.id)), (vec![place(4)], vec![place(5)], Vec::new()));
    let rows = storage.load_records(TOWNSHIP, &[house.id, visit.id]).unwrap();
    assert!(rows.iter().flatten().all(|r| r.area == OTHER_VILLAGE && r.changes.len() == 1));
    let count = storage.head(TOWNSHIP).unwrap().1.count;
    assert_eq!(count, 3, "moves are no changes");
    assert_eq!(storage.change_list(TOWNSHIP, 0, 100).unwrap().len(), 3);
    let again = moved(&*storage, &device, house.id, OTHER_VILLAGE);
    assert_eq!(again.seq, 5, "it lies there already");
}

fn a_move_inside_a_scope_sends_no_changes(storage: Arc<dyn Storage>) {
    let (device, [house, visit, _]) = settle(&*storage);
    moved(&*storage, &device, house.id, OTHER_VILLAGE);
    let placed = vec![(house.id, Arrival::Placed, 0), (visit.id, Arrival::Placed, 0)];
    assert_eq!(seen(&news(&*storage, 3, areas(&[VILLAGE, OTHER_VILLAGE]))), placed);
    assert_eq!(seen(&news(&*storage, 3, subjects(&[house.id]))), placed);
    assert_eq!(seen(&news(&*storage, 3, whole())), placed);
}

fn a_fill_that_passed_the_record_hears_of_its_move(storage: Arc<dyn Storage>) {
    let (device, [house, visit, _]) = settle(&*storage);
    moved(&*storage, &device, house.id, OTHER_VILLAGE);
    let page = |after| {
        let fills = vec![(1, areas(&[OTHER_VILLAGE]), after)];
        let query = PullQuery { township: TOWNSHIP, after: 3, complete: Vec::new(), fills, bytes_max: 1 << 20 };
        let page = storage.pull_page(&query).unwrap();
        (seen(&page.feed), page.fill.iter().map(|r| r.id).collect::<Vec<_>>())
    };
    let (feed, fill) = page(2);
    assert_eq!(feed, vec![(house.id, Arrival::Entered, 1), (visit.id, Arrival::Entered, 1)]);
    assert!(!fill.contains(&house.id));
    let (feed, fill) = page(0);
    assert_eq!(feed, Vec::new(), "the fill brings what it hasn't passed");
    assert_eq!(fill[..2], [house.id, visit.id]);
}

fn a_role_reads_its_types_only(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let types = ["household", "household.sensitive", "household.office", "problem", "inspection", "note.secret"];
    let records: Vec<_> = types.iter().map(|t| record(&device, t, VILLAGE, None)).collect();
    done(&*storage, push(&device, records.clone()));
    let names: BTreeMap<RecordId, &str> = records.iter().map(|r| r.id).zip(types).collect();
    for role in Roles::builtin().iter() {
        let reads = Reads::By(Roles::builtin().get(&role.name));
        let wanted: Vec<&str> = types.iter().copied().filter(|t| role.reads(t)).collect();
        for scope in [areas(&[VILLAGE]), whole()] {
            let scope = Scope { reads: reads.clone(), ..scope };
            let by_feed = news(&*storage, 0, scope.clone());
            let fills = vec![(1, scope, 0)];
            let query = PullQuery { township: TOWNSHIP, after: 6, complete: Vec::new(), fills, bytes_max: 1 << 20 };
            let by_fill = storage.pull_page(&query).unwrap().fill;
            for found in [by_feed, by_fill] {
                let found: Vec<&str> = found.iter().map(|r| names[&r.id]).collect();
                assert_eq!(found, wanted, "{}", role.name);
            }
        }
    }
}

fn roles_of_the_township_stand_before_those_of_the_pack(storage: Arc<dyn Storage>) {
    assert_eq!(storage.claims(TOWNSHIP, USER).unwrap().roles, *Roles::builtin());
    let own = r#"[{"name":"helper","label":{"zh":"志愿者"},"rights":[]}]"#;
    storage.set_setting(ROLES, own).unwrap();
    let roles = storage.claims(TOWNSHIP, USER).unwrap().roles;
    assert!(!roles.get("helper").reads("household") && roles.get("county").reads("household"));
}

fn whoever_makes_a_record_gets_its_grant_in_the_same_commit(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let given = grant(VILLAGE, Some(house.id));
    let made = PreparedPush { grants: vec![(USER, given.clone())], ..push(&device, vec![house.clone()]) };
    let stale = PreparedPush { grants: vec![(USER, given)], ..push(&device, vec![house.clone()]) };
    done(&*storage, made);
    assert_eq!(storage.commit_group(&[stale]).unwrap().pop().unwrap().unwrap(), Committed::Moved);
    let (_, log) = storage.grants(USER, 0).unwrap();
    assert_eq!(log.iter().map(|(_, g)| g.entry.subject).collect::<Vec<_>>(), vec![Some(house.id)]);
}

fn a_push_that_was_judged_by_other_areas_is_merged_again(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let entry = |area, code: &str| AreaEntry {
        area,
        parent: None,
        level: "village".to_owned(),
        code: code.to_owned(),
        name_zh: String::new(),
        name_en: String::new(),
    };
    storage.put_areas(TOWNSHIP, &[entry(VILLAGE, "1")]).unwrap();
    let judged = storage.area_tree(TOWNSHIP).unwrap().version();
    let made = || push(&device, vec![record(&device, "visit", VILLAGE, None)]);
    let by = |areas_version| PreparedPush { areas_version, ..made() };
    assert!(matches!(commit(&*storage, by(Some(judged))), Committed::Done(_)));
    storage.put_areas(TOWNSHIP, &[entry(VILLAGE, "2")]).unwrap();
    assert_eq!(commit(&*storage, by(Some(judged))), Committed::Moved);
    assert!(matches!(commit(&*storage, by(None)), Committed::Done(_)), "one that needn't be judged by them");
    assert!(matches!(commit(&*storage, by(Some(judged + 1))), Committed::Done(_)));
}
