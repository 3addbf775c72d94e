//! Who holds what, and who may write what: between real phones and a real server.

use std::path::Path;

use doorstep_core::client::Phone;
use doorstep_core::id::{AreaId, Identity, RecordId, UserId};
use doorstep_core::protocol::AreaEntry;
use doorstep_core::rights::Standing;
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::NewGrant;
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::storage::{Grant, Move, RecordFilter};
use doorstep_tests::harness::{TestServer, add_household, copy_folder, edit, open_phone, person, sync, visit};
use tempfile::TempDir;

struct Town {
    dirs: Vec<TempDir>,
    server: TestServer,
    /// The phone of the township's office.
    office: Phone,
    /// Two households of the first village and one of the second.
    households: [RecordId; 3],
}

impl Town {
    fn new() -> Self {
        let dirs: Vec<TempDir> = (0..6).map(|_| TempDir::new().unwrap()).collect();
        let server = TestServer::start(dirs[0].path());
        let office = server.phone(dirs[1].path(), "扶贫工作站");
        let names = [("0001", "canary-one"), ("0002", "canary-two"), ("0003", "canary-three")];
        let villages = [server.villages[0], server.villages[0], server.villages[1]];
        let households = std::array::from_fn(|n| add_household(&office, villages[n], names[n].0, names[n].1));
        for (n, household) in households.iter().enumerate() {
            edit(&office, *household, &[("income_wages", &format!("{}", 777_001 + n))]);
            visit(&office, *household, &format!("canary-visit-{n}"));
        }
        sync(&office);
        Self { dirs, server, office, households }
    }

    fn person(&self, name: &str) -> UserId {
        person(&self.server.service, name)
    }

    fn phone(&self, n: usize, user: UserId) -> Phone {
        self.server.phone_of(self.dirs[n].path(), user)
    }

    fn give(&self, user: UserId, role: &str, area: AreaId) {
        self.grant(NewGrant { user, role: role.into(), area, household: None, until_ms: None, stand_in_for: None });
    }

    fn pair(&self, user: UserId, household: usize) {
        self.grant(self.pairing(user, household));
    }

    fn pairing(&self, user: UserId, household: usize) -> NewGrant {
        let area = self.server.villages[household / 2];
        let household = Some(self.households[household]);
        NewGrant { user, role: "helper".into(), area, household, until_ms: None, stand_in_for: None }
    }

    fn grant(&self, new: NewGrant) {
        self.server.service.give(Actor::CommandLine, self.server.township, &new).unwrap();
    }

    /// Ends all that a user holds, at a time of the server's clock.
    fn end_all(&self, user: UserId, at_ms: u64) {
        let storage = &self.server.service.storage;
        let (_, log) = storage.grants(user, 0).unwrap();
        let ended: Vec<Grant> = log.iter().filter(|(_, g)| g.entry.active).map(|(_, g)| g.ended(at_ms)).collect();
        storage.append_grants(user, &ended).unwrap();
    }

    fn desk(&self) -> Office {
        Office::start(&self.server.service, self.person("办公室"), self.server.township).unwrap()
    }

    fn move_to(&self, household: usize, village: usize) {
        let area = self.server.villages[village];
        let moved = Move::by_office(self.households[household], area, "2026-11-01");
        self.desk().move_records(vec![moved]).unwrap();
    }

    fn now_ms(&self) -> u64 {
        self.server.service.clock.now_ms()
    }

    fn server_value(&self, household: usize, key: &str) -> Option<String> {
        sync(&self.office);
        value(&self.office, self.households[household], key)
    }
}

fn value(phone: &Phone, record: RecordId, key: &str) -> Option<String> {
    let value = phone.record(record).ok()?.answers().get(key)?.to_json();
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn types(phone: &Phone) -> Vec<String> {
    let rows = phone.list(ListFilter { limit: 100, ..ListFilter::default() }).unwrap();
    let mut types: Vec<String> = rows.into_iter().map(|row| row.record_type).collect();
    types.sort();
    types
}

fn reasons(phone: &Phone) -> Vec<String> {
    phone.refused().unwrap().into_iter().map(|row| row.reason).collect()
}

/// The files of a phone in which a text stands.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && std::fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_helper_s_phone_holds_her_households_with_all_about_them_and_no_byte_of_others() {
    let town = Town::new();
    let helper = town.person("甲");
    town.pair(helper, 0);
    let phone = town.phone(2, helper);
    assert_eq!(sync(&phone).requests, 1);
    let held = ["household", "household.sensitive", "visit"];
    assert_eq!(types(&phone), held);
    assert_eq!(value(&phone, town.households[0], "head_name").as_deref(), Some("canary-one"));
    for other in ["canary-two", "canary-three", "canary-visit-1"] {
        assert_eq!(files_with(town.dirs[2].path(), other), [""; 0]);
    }
    // a new pairing brings its household with the next sync, an ended one takes it away
    town.pair(helper, 1);
    assert_eq!(sync(&phone).requests, 1);
    assert_eq!(types(&phone).len(), 6);
    let desk = town.person("乙");
    let new = NewGrant { user: desk, ..town.pairing(desk, 0) };
    town.server.service.pair_anew(Actor::CommandLine, town.server.township, &new).unwrap();
    assert_eq!(sync(&phone).requests, 1);
    assert_eq!(types(&phone), held);
    assert!(phone.record(town.households[0]).is_err());
    assert_eq!(files_with(town.dirs[2].path(), "canary-one"), [""; 0], "securely deleted");
}

#[test]
fn a_role_that_reads_core_answers_gets_no_byte_of_sensitive_ones() {
    let town = Town::new();
    let (county, cadre) = (town.person("县"), town.person("村"));
    town.give(county, "county", town.server.township);
    town.give(cadre, "village_cadre", town.server.villages[0]);
    let (above, below) = (town.phone(2, county), town.phone(3, cadre));
    sync(&above);
    sync(&below);
    assert_eq!(types(&above), ["household", "household", "household", "visit", "visit", "visit"]);
    let in_village = ["household", "household", "household.sensitive", "household.sensitive", "visit", "visit"];
    assert_eq!(types(&below), in_village);
    assert_eq!(files_with(town.dirs[2].path(), "income_wages"), [""; 0]);
    assert_ne!(files_with(town.dirs[3].path(), "income_wages"), [""; 0]);
}

#[test]
fn a_household_that_moves_goes_from_one_village_s_phones_to_the_other_s_with_its_id() {
    let town = Town::new();
    let users = [town.person("甲"), town.person("乙"), town.person("丙")];
    town.give(users[0], "village_cadre", town.server.villages[0]);
    town.give(users[1], "village_cadre", town.server.villages[1]);
    town.pair(users[2], 0);
    let phones = [2, 3, 4].map(|n| town.phone(n, users[n - 2]));
    phones.iter().for_each(|phone| {
        sync(phone);
    });
    // the cadre of the old village is out of reach and writes on
    edit(&phones[0], town.households[0], &[("remark", "written before the move was heard of")]);
    town.move_to(0, 1);
    for phone in &phones {
        assert_eq!(sync(phone).requests, 1, "a move takes no extra round trip");
    }
    assert!(phones[0].record(town.households[0]).is_err(), "the old village drops it");
    assert_eq!(reasons(&phones[0]), [""; 0]);
    assert_eq!(types(&phones[0]), ["household", "household.sensitive", "visit"]);
    sync(&phones[1]);
    for phone in &phones[1..] {
        sync(phone);
        let remark = value(phone, town.households[0], "remark");
        assert_eq!(remark.as_deref(), Some("written before the move was heard of"), "no answer is lost");
    }
    assert_eq!(types(&phones[1]).len(), 6, "the new village has it with all about it");
    assert_eq!(phones[1].store().row(town.households[0]).unwrap().unwrap().area, town.server.villages[1]);
    assert_eq!(files_with(town.dirs[2].path(), "canary-one"), [""; 0]);
    // and back
    town.move_to(0, 0);
    phones.iter().for_each(|phone| {
        sync(phone);
    });
    assert!(phones[0].record(town.households[0]).is_ok() && phones[1].record(town.households[0]).is_err());
}

#[test]
fn what_was_written_under_a_grant_that_ended_counts_until_the_loss_is_heard_of_and_for_thirty_days() {
    let town = Town::new();
    let (recent, old) = (town.person("甲"), town.person("乙"));
    for user in [recent, old] {
        town.pair(user, 0);
        town.pair(user, 1);
    }
    let phones = [town.phone(2, recent), town.phone(3, old)];
    for (phone, text) in phones.iter().zip(["recent", "old"]) {
        sync(phone);
        edit(phone, town.households[0], &[("remark", text)]);
    }
    town.end_all(recent, town.now_ms());
    town.end_all(old, town.now_ms() - 31 * 24 * 3600 * 1000);
    let reports = phones.each_ref().map(sync);
    assert_eq!((reports[0].refused.len(), reports[1].refused.len()), (0, 1));
    assert_eq!(town.server_value(0, "remark").as_deref(), Some("recent"));
    let kept = town.server.service.storage.quarantine(town.server.township, None, 10).unwrap();
    assert_eq!(kept.iter().map(|row| row.change.reason.as_str()).collect::<Vec<_>>(), ["out_of_scope"]);
    assert!(phones.iter().all(|phone| types(phone).is_empty()), "both hold nothing any more");
}

#[test]
fn a_phone_that_has_shown_to_know_of_a_loss_does_not_write_as_if_it_had_not_heard() {
    let town = Town::new();
    let helper = town.person("甲");
    town.pair(helper, 0);
    let phone = town.phone(2, helper);
    sync(&phone);
    phone.close().unwrap();
    copy_folder(town.dirs[2].path(), town.dirs[3].path());
    let (phone, before) = (open_phone(town.dirs[2].path()), open_phone(town.dirs[3].path()));
    town.end_all(helper, town.now_ms());
    sync(&phone);
    sync(&phone);
    assert!(types(&phone).is_empty());
    // the same phone as it was before says that it doesn't know
    edit(&before, town.households[0], &[("remark", "backdated")]);
    assert_eq!(sync(&before).refused.len(), 1);
    assert_eq!(town.server_value(0, "remark"), None);
    let kept = town.server.service.storage.quarantine(town.server.township, None, 10).unwrap();
    assert_eq!(kept.iter().map(|row| row.change.reason.as_str()).collect::<Vec<_>>(), ["out_of_scope"]);
}

#[test]
fn answers_that_are_not_the_role_s_to_write_wait_while_the_others_are_taken_in_the_same_sync() {
    let town = Town::new();
    let helper = town.person("甲");
    town.pair(helper, 0);
    let phone = town.phone(2, helper);
    sync(&phone);
    edit(&phone, town.households[0], &[("status", "monitored"), ("remark", "屋面渗漏")]);
    let report = sync(&phone);
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert_eq!(town.server_value(0, "remark").as_deref(), Some("屋面渗漏"), "in the same sync");
    assert_eq!(town.server_value(0, "status").as_deref(), Some("out"));
    let refused = phone.refused().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason, "forbidden_answer status");
    assert_eq!(refused[0].edits.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["status"]);
    assert!(refused[0].what("zh").contains("不能改") && refused[0].advice("en").contains("township office"));
    assert_eq!(value(&phone, town.households[0], "status").as_deref(), Some("out"), "the phone shows what holds");
    // the role is changed; one action sends it anew
    let json = r#"[{"name": "helper", "label": {"zh": "帮扶责任人", "en": "Helper"}, "rights": [
        {"types": ["*"], "classes": ["core", "sensitive"], "actions": ["read", "create", "edit"]}]}]"#;
    town.server.service.set_roles(Actor::CommandLine, json).unwrap();
    assert!(phone.redo_refused(refused[0].hash).unwrap());
    assert!(!phone.redo_refused(refused[0].hash).unwrap());
    sync(&phone);
    assert_eq!(reasons(&phone), [""; 0]);
    assert_eq!(town.server_value(0, "status").as_deref(), Some("monitored"));
}

#[test]
fn an_approved_record_is_locked_visibly_until_it_is_returned() {
    let town = Town::new();
    let (helper, other) = (town.person("甲"), town.person("乙"));
    town.pair(helper, 0);
    town.pair(other, 0);
    let phones = [town.phone(2, helper), town.phone(3, other)];
    phones.iter().for_each(|phone| {
        sync(phone);
    });
    edit(&phones[1], town.households[0], &[("address", "before the approval was heard of")]);
    let desk = town.desk();
    let state = |state: &str| Standing { state: state.into(), reason: String::new() };
    desk.set_state(town.households[0], &state("approved")).unwrap();
    sync(&phones[0]);
    assert_eq!(phones[0].record(town.households[0]).unwrap().standing(), "approved", "the phone sees it");
    edit(&phones[0], town.households[0], &[("remark", "late"), ("income_wages", "5")]);
    sync(&phones[0]);
    assert_eq!(reasons(&phones[0]), ["locked", "locked"], "its sensitive part is locked with it");
    sync(&phones[1]);
    assert_eq!(reasons(&phones[1]), [""; 0], "it was open when this was written");
    let address = town.server_value(0, "address");
    assert_eq!(address.as_deref(), Some("before the approval was heard of"));
    desk.set_state(town.households[0], &state("returned")).unwrap();
    sync(&phones[0]);
    for row in phones[0].refused().unwrap() {
        assert!(phones[0].redo_refused(row.hash).unwrap());
    }
    sync(&phones[0]);
    assert_eq!(reasons(&phones[0]), ["locked"; 0]);
    assert_eq!(town.server_value(0, "remark").as_deref(), Some("late"));
}

#[test]
fn a_helper_who_finds_a_household_keeps_it_and_writes_only_where_she_is_paired() {
    let town = Town::new();
    let helper = town.person("甲");
    town.pair(helper, 0);
    let phone = town.phone(2, helper);
    sync(&phone);
    let found = add_household(&phone, town.server.villages[0], "0009", "赵六");
    visit(&phone, found, "found in the field");
    let elsewhere = add_household(&phone, town.server.villages[1], "0010", "钱七");
    let report = sync(&phone);
    assert_eq!(report.refused.keys().collect::<Vec<_>>(), ["out_of_scope"]);
    assert!(phone.record(found).is_ok());
    sync(&town.office);
    assert!(town.office.record(found).is_ok() && town.office.record(elsewhere).is_err());
    let second = town.phone(3, helper);
    sync(&second);
    assert!(second.record(found).is_ok(), "her other phone gets it too");
    edit(&second, found, &[("remark", "again")]);
    assert!(sync(&second).refused.is_empty());
}

#[test]
fn who_stands_in_for_a_time_reads_and_writes_until_then() {
    let town = Town::new();
    let (helper, stand_in) = (town.person("甲"), town.person("乙"));
    town.pair(helper, 0);
    let until = |until_ms| NewGrant { until_ms, stand_in_for: Some(helper), ..town.pairing(stand_in, 0) };
    town.grant(until(Some(town.now_ms() + 3_600_000)));
    let phone = town.phone(2, stand_in);
    sync(&phone);
    visit(&phone, town.households[0], "代访");
    assert!(sync(&phone).refused.is_empty());
    let (other, service) = (town.phone(3, stand_in), &town.server.service);
    let held = service.storage.grants(stand_in, 0).unwrap().1.pop().unwrap().1;
    let over = Grant { until_ms: Some(town.now_ms() - 1), ..held };
    service.storage.append_grants(stand_in, &[over]).unwrap();
    sync(&other);
    assert_eq!(types(&other), [""; 0], "nothing is read after the end");
    assert_eq!(service.end_overdue_grants().unwrap(), 1);
    assert_eq!(service.end_overdue_grants().unwrap(), 0);
    sync(&phone);
    assert_eq!(types(&phone), [""; 0], "and the phone drops it");
    let history = service.storage.grants_about(town.households[0]).unwrap();
    assert!(history.iter().any(|(user, g)| *user == stand_in && g.stand_in_for == Some(helper) && !g.entry.active));
}

#[test]
fn an_area_that_goes_into_another_takes_its_records_and_its_people_along() {
    let town = Town::new();
    let cadre = town.person("甲");
    town.give(cadre, "village_cadre", town.server.villages[0]);
    let (phone, other) = (town.phone(2, cadre), town.person("乙"));
    town.give(other, "village_cadre", town.server.villages[1]);
    let others = town.phone(3, other);
    sync(&phone);
    sync(&others);
    let (service, villages) = (&town.server.service, town.server.villages);
    let merged = (villages[0], villages[1]);
    let moved = service.merge_area(&town.desk(), Actor::CommandLine, town.server.township, merged, "2026-11-20");
    assert!(moved.unwrap() >= 2);
    sync(&phone);
    assert_eq!(types(&phone).len(), 9, "the cadre has the united village");
    sync(&others);
    assert_eq!(types(&others).len(), 9, "and the other one's cadre too");
    let (_, ended) = service.storage.area_past(town.server.township).unwrap();
    assert_eq!(ended.iter().map(|e| (e.area, e.into)).collect::<Vec<_>>(), [(villages[0], Some(villages[1]))]);
    let circle =
        service.merge_area(&town.desk(), Actor::CommandLine, town.server.township, (villages[1], villages[1]), "x");
    assert!(circle.is_err());
}

#[test]
fn an_area_goes_into_another_with_what_came_there_on_a_later_day_and_what_the_office_makes_there_afterwards() {
    let town = Town::new();
    let (service, villages) = (&town.server.service, town.server.villages);
    // it came there after the day from which on the area isn't there
    town.move_to(2, 0);
    let merged = (villages[0], villages[1]);
    let merge = || service.merge_area(&town.desk(), Actor::CommandLine, town.server.township, merged, "2026-10-01");
    merge().unwrap();
    let lies = |id| service.storage.record_row(town.server.township, id).unwrap().unwrap().area;
    for household in town.households {
        assert_eq!(lies(household), villages[1]);
    }
    let left = RecordFilter { area: Some(villages[0]), limit: 10, ..RecordFilter::default() };
    assert!(service.storage.list_records(town.server.township, &left).unwrap().is_empty());
    assert_eq!(merge().unwrap(), 0, "once more");
    let back = (villages[1], villages[0]);
    let back = service.merge_area(&town.desk(), Actor::CommandLine, town.server.township, back, "2026-11-02");
    assert!(back.is_err(), "an area that ended takes nothing in");
    // the office's program hasn't heard either
    let made = RecordId([0x44; 16]);
    let answers = vec![("head_name".to_owned(), "made later".into()), ("household_no".to_owned(), "0044".into())];
    let identity = Identity::of_type("household");
    town.desk().write(&[FormInstance { id: made, identity, area: villages[0], subject: None, answers }]).unwrap();
    assert_eq!(lies(made), villages[1]);
    assert_eq!(service.verify_figures(town.server.township).unwrap().differing, 0);
}

#[test]
fn what_was_made_in_an_area_before_one_heard_of_its_end_goes_where_the_area_went() {
    let town = Town::new();
    let (cadre, helper) = (town.person("甲"), town.person("乙"));
    town.give(cadre, "village_cadre", town.server.villages[0]);
    town.pair(helper, 0);
    let phones = [town.phone(2, cadre), town.phone(3, helper)];
    let (service, villages) = (&town.server.service, town.server.villages);
    let made = phones.each_ref().map(|phone| {
        sync(phone);
        let made = add_household(phone, villages[0], "0009", "made offline");
        visit(phone, made, "visited offline");
        made
    });
    let merged = (villages[0], villages[1]);
    service.merge_area(&town.desk(), Actor::CommandLine, town.server.township, merged, "2026-11-20").unwrap();
    for (phone, household) in phones.iter().zip(made) {
        assert!(sync(phone).refused.is_empty());
        sync(phone);
        let row = service.storage.record_row(town.server.township, household).unwrap().unwrap();
        assert_eq!(row.area, villages[1]);
        assert_eq!(phone.areas().unwrap().iter().filter(|a| a.area == villages[0]).count(), 0, "no choice any more");
        let rows = phone.list(ListFilter { area: Some(villages[1]), limit: 100, ..ListFilter::default() }).unwrap();
        assert!(rows.iter().any(|row| row.id == household), "the phone knows where it lies");
        edit(phone, household, &[("remark", "later")]);
        assert!(sync(phone).refused.is_empty());
    }
    assert_eq!(service.verify_figures(town.server.township).unwrap().differing, 0);
}

#[test]
fn a_household_that_leaves_with_an_ended_pairing_and_comes_back_by_a_move_in_one_sync_comes_whole() {
    let town = Town::new();
    let user = town.person("甲");
    town.pair(user, 0);
    town.give(user, "village_cadre", town.server.villages[1]);
    let phone = town.phone(2, user);
    sync(&phone);
    edit(&phone, town.households[0], &[("remark", "pushed with the sync that tells of both")]);
    visit(&phone, town.households[0], "new with that sync");
    let (_, log) = town.server.service.storage.grants(user, 0).unwrap();
    let pairing = log.iter().find(|(_, grant)| grant.entry.subject.is_some()).unwrap().1.entry.grant;
    town.server.service.end_grant(Actor::CommandLine, user, pairing).unwrap();
    town.move_to(0, 1);
    assert!(sync(&phone).refused.is_empty());
    sync(&phone);
    assert!(value(&phone, town.households[0], "remark").is_some_and(|text| text.starts_with("pushed")));
    let about = ListFilter { record_type: Some("visit".into()), limit: 10, ..ListFilter::default() };
    assert_eq!(phone.list(about).unwrap().len(), 3, "with its visits, beside the other household's");
}

#[test]
fn a_group_that_comes_below_another_village_goes_from_one_cadre_s_phone_to_the_other_s() {
    let town = Town::new();
    let (service, villages) = (&town.server.service, town.server.villages);
    let group = AreaId([0x77; 16]);
    let entry = |parent| AreaEntry { parent: Some(parent), ..group_entry(group) };
    service.storage.put_areas(town.server.township, &[entry(villages[0])]).unwrap();
    sync(&town.office);
    let household = add_household(&town.office, group, "0008", "in the group");
    sync(&town.office);
    let phones = [0, 1].map(|n| {
        let cadre = town.person("村干部");
        town.give(cadre, "village_cadre", villages[n]);
        town.phone(2 + n, cadre)
    });
    let holds = || {
        phones.each_ref().map(|phone| {
            sync(phone);
            phone.record(household).is_ok()
        })
    };
    assert_eq!(holds(), [true, false]);
    service.change_area(Actor::CommandLine, town.server.township, entry(villages[1]), "2026-11-20").unwrap();
    assert_eq!(holds(), [false, true]);
}

fn group_entry(area: AreaId) -> AreaEntry {
    AreaEntry {
        area,
        parent: None,
        level: "group".into(),
        code: "0177".into(),
        name_zh: "七组".into(),
        name_en: "Group 7".into(),
    }
}

#[test]
fn what_was_made_in_a_group_that_lay_in_one_s_village_counts_until_one_hears_that_it_lies_elsewhere() {
    let town = Town::new();
    let (service, villages) = (&town.server.service, town.server.villages);
    let group = AreaId([0x77; 16]);
    let entry = |parent| AreaEntry { parent: Some(parent), ..group_entry(group) };
    service.storage.put_areas(town.server.township, &[entry(villages[0])]).unwrap();
    let cadre = town.person("甲");
    town.give(cadre, "village_cadre", villages[0]);
    let phone = town.phone(2, cadre);
    sync(&phone);
    add_household(&phone, group, "0008", "made before the group went");
    service.change_area(Actor::CommandLine, town.server.township, entry(villages[1]), "2026-11-20").unwrap();
    assert!(sync(&phone).refused.is_empty(), "the phone hadn't heard");
    sync(&phone);
    add_household(&phone, group, "0009", "made after");
    let refused = sync(&phone).refused;
    assert_eq!(refused.len(), 1, "the phone had heard");
}

#[test]
fn the_office_gives_pairs_approves_and_changes_areas_over_the_api() {
    let town = Town::new();
    let helper = town.person("甲");
    let (client, url) = (crate::client(), town.server.url());
    let post = |path: &str, body: serde_json::Value| {
        client.post(format!("{url}{path}")).json(&body).send().unwrap().status().as_u16()
    };
    let household = town.households[0];
    let pair = |role: &str| serde_json::json!({"user": helper, "role": role, "household": household});
    assert_eq!(post("/api/grants", pair("mayor")), 400);
    assert_eq!(post("/api/grants", pair("helper")), 204);
    let phone = town.phone(2, helper);
    sync(&phone);
    assert_eq!(types(&phone).len(), 3);
    let state = |state: &str| serde_json::json!({"state": state, "reason": "核对完毕"});
    assert_eq!(post(&format!("/api/records/{household}/state"), state("lost")), 400);
    assert_eq!(post(&format!("/api/records/{household}/state"), state("approved")), 204);
    sync(&phone);
    assert_eq!(phone.record(household).unwrap().standing(), "approved");
    let villages = town.server.villages;
    let renamed = serde_json::json!({"from": "2026-12-01", "name_zh": "新青山村"});
    assert_eq!(post(&format!("/api/areas/{}", villages[0]), renamed), 204);
    let merged = |from: &str| serde_json::json!({"into": villages[1], "from": from});
    assert_eq!(post(&format!("/api/areas/{}/merge", villages[0]), merged("soon")), 400);
    assert_eq!(post(&format!("/api/areas/{}/merge", villages[0]), merged("2026-12-31")), 200);
    sync(&phone);
    assert_eq!(phone.store().row(household).unwrap().unwrap().area, villages[1]);
    let people: serde_json::Value = client.get(format!("{url}/api/people")).send().unwrap().json().unwrap();
    let mine = people["people"].as_array().unwrap().iter().find(|p| p["user"] == helper.to_string()).unwrap();
    assert_eq!(mine["grants"][0]["household"], household.to_string());
    assert_eq!(post(&format!("/api/grants/{helper}/1/end"), serde_json::json!({})), 204);
    assert_eq!(post(&format!("/api/grants/{helper}/1/end"), serde_json::json!({})), 404);
    sync(&phone);
    assert_eq!(types(&phone), [""; 0]);
    let roles = client.put(format!("{url}/api/roles")).body("[{}]").send().unwrap().status().as_u16();
    assert_eq!(roles, 400);
}

#[test]
fn a_sensitive_part_that_only_its_helper_wrote_is_locked_with_its_household_too() {
    let town = Town::new();
    let helper = town.person("甲");
    town.give(helper, "village_cadre", town.server.villages[0]);
    let phone = town.phone(2, helper);
    sync(&phone);
    let own = add_household(&phone, town.server.villages[0], "0011", "孙八");
    edit(&phone, own, &[("phone", "12345678")]);
    sync(&phone);
    let approved = Standing { state: "approved".into(), reason: String::new() };
    town.desk().set_state(own, &approved).unwrap();
    sync(&phone);
    edit(&phone, own, &[("phone", "87654321")]);
    sync(&phone);
    assert_eq!(reasons(&phone), ["locked"]);
}

#[test]
fn a_union_that_names_a_household_outside_the_helper_s_scope_reads_and_changes_nothing_of_it() {
    let town = Town::new();
    let helper = town.person("甲");
    town.pair(helper, 0);
    let phone = town.phone(2, helper);
    sync(&phone);
    // only another program names a household that the phone doesn't hold
    let answers = [("other_household", town.households[2].to_string()), ("event_date", "2026-11-20".to_owned())];
    let edits = answers.iter().map(|(k, v)| doorstep_core::record::Edit::answer(*k, v.as_str())).collect();
    let document = doorstep_core::store::PlannedDocument {
        identity: doorstep_core::id::Identity::of_type("household_union"),
        id: phone.store().new_record_id(),
        area: town.server.villages[0],
        subject: Some(town.households[0]),
        edits,
    };
    let user = phone.enrolment().unwrap().unwrap().user;
    let note = doorstep_core::record::ChangeNote { is_complete: true, ..doorstep_core::record::ChangeNote::by(user) };
    phone.store().write(&[document], &note).unwrap();
    assert!(sync(&phone).refused.is_empty());
    sync(&phone);
    assert_eq!(town.server_value(2, "ended_why"), None);
    assert_eq!(files_with(town.dirs[2].path(), "canary-three"), [""; 0]);
}
