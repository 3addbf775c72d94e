//! Households that move to another township of the server: one home, both feeds, and phones that follow.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use doorstep_core::client::Phone;
use doorstep_core::clock::{SystemEntropy, random};
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::erasure::{Erase, EraseError};
use doorstep_server::service::life::NewEvent;
use doorstep_server::service::rights::current;
use doorstep_server::storage::{PostgresStorage, SqliteStorage, Storage};
use doorstep_tests::harness::{TestServer, edit, open_phone, person, sync, visit};

use super::life::{correct, family, persons, phone_of, said, scratch, settled};

const THEN: &str = "2026-05-01";

/// Two townships on one server, the second with one village.
struct Two {
    server: TestServer,
    other: AreaId,
    village: AreaId,
}

impl Two {
    fn on(storage: Arc<dyn Storage>) -> Self {
        let server = TestServer::on(storage);
        let [other, village] = [(); 2].map(|()| AreaId(random(&SystemEntropy)));
        let entry = |area, parent, level: &str, name: &str| AreaEntry {
            area,
            parent,
            level: level.into(),
            code: String::new(),
            name_zh: name.into(),
            name_en: String::new(),
        };
        let areas = [entry(other, None, "township", "外乡"), entry(village, Some(other), "village", "石桥村")];
        server.service.storage.put_areas(other, &areas).unwrap();
        Self { server, other, village }
    }

    fn in_folder(dir: &Path) -> Self {
        Self::on(Arc::new(SqliteStorage::open(&dir.join("doorstep.db")).unwrap()))
    }

    /// A phone of somebody in the other township.
    fn phone_there(&self, dir: &Path, role: &str, area: AreaId) -> Phone {
        let service = &self.server.service;
        let user = person(service, "外乡干部");
        let grant = GrantEntry { grant: 0, role: role.into(), area, subject: None, active: true };
        service.storage.append_grants(user, &[grant.into()]).unwrap();
        let phone = open_phone(dir);
        phone.enrol(&self.server.url(), &service.invite(Actor::CommandLine, user, self.other).unwrap()).unwrap();
        phone
    }

    /// The office records that a household moved to the other township.
    fn moves(&self, household: RecordId) -> RecordId {
        let said = [("happened_on", THEN), ("to_village", "外乡 石桥村")];
        let answers: BTreeMap<String, String> = said.map(|(key, text)| (key.into(), text.into())).into();
        let event = NewEvent { form: "household_move".into(), household, answers };
        self.server.service.record_event(self.server.township, &event).unwrap()
    }

    fn area(&self, township: AreaId, record: RecordId) -> Option<AreaId> {
        self.server.service.storage.record_row(township, record).unwrap().map(|row| row.area)
    }

    /// Persons of the stock of a township's village on a day.
    fn stock(&self, (township, village): (AreaId, AreaId), day: &str) -> i64 {
        let (url, service) = (self.server.url(), &self.server.service);
        assert_eq!(service.verify_figures(township).unwrap().differences, Vec::<String>::new());
        let address = format!("{url}/api/figures?township={township}&as_of={day}&area={village}");
        let text = crate::client().get(address).send().unwrap().text().unwrap();
        let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
        figures["total"]["persons"].as_i64().unwrap_or_else(|| panic!("{text}"))
    }

    /// A phone that reads all of a township holds what the township's digest counts.
    fn holds_all(&self, phone: &Phone, township: AreaId) {
        let (_, digest) = self.server.service.storage.head(township).unwrap();
        assert_eq!(phone.store().scope_digest().unwrap(), digest);
    }
}

fn held(phone: &Phone) -> Vec<String> {
    let rows = phone.list(ListFilter { limit: 100, ..ListFilter::default() }).unwrap();
    let mut types: Vec<String> = rows.into_iter().map(|row| row.record_type).collect();
    types.sort_unstable();
    types
}

#[test]
fn a_household_moves_to_another_township_with_all_about_it_and_phones_figures_and_late_visits_follow() {
    let dir = scratch::<1>();
    moves_with_all(&Two::in_folder(dir[0].path()));
}

#[test]
fn a_household_moves_to_another_township_on_postgresql_too() {
    let Some(url) = super::postgres::fresh_database("doorstep_elsewhere") else { return };
    moves_with_all(&Two::on(Arc::new(PostgresStorage::connect(&url).unwrap())));
}

fn moves_with_all(two: &Two) {
    let (server, dirs) = (&two.server, scratch::<4>());
    let station = server.phone(dirs[0].path(), "站");
    let (household, _) = family(&station, server.villages[0], "0001", "李四");
    visit(&station, household, "来访记事");
    sync(&station);
    let helper = phone_of(server, dirs[1].path(), "helper", server.villages[0], Some(household));
    let cadre = two.phone_there(dirs[2].path(), "village_cadre", two.village);
    let office = two.phone_there(dirs[3].path(), "township_office", two.other);
    settled(&[&helper, &cadre, &office]);
    assert_eq!((held(&helper).len(), held(&cadre).len()), (2, 0));
    let (here, there) = ((server.township, server.villages[0]), (two.other, two.village));
    assert_eq!((two.stock(here, "2026-12-01"), two.stock(there, "2026-12-01")), (3, 0));
    // she writes down one more visit before she hears of it, and so does the station, which reads the whole township
    visit(&station, household, "站里的走访");
    let late = visit(&helper, household, "迁走前后的走访");
    let event = two.moves(household);
    let nowhere = Some(AreaId::NOWHERE);
    assert_eq!((two.area(server.township, household), two.area(two.other, household)), (nowhere, Some(two.village)));
    assert_eq!(two.area(two.other, event), Some(two.village));
    let all = |visits: usize| {
        let types = ["household", "household_move"].into_iter().chain(std::iter::repeat_n("visit", visits));
        types.map(str::to_owned).collect::<Vec<_>>()
    };
    for phone in [&cadre, &office] {
        sync(phone);
        assert_eq!(held(phone), all(1));
        assert_eq!(
            (persons(phone), said(phone, household, "village")),
            (vec![(household, 3)], "外乡 石桥村".to_owned())
        );
    }
    // what she wrote counts where the household is now, and her phone keeps nothing of it
    let report = sync(&helper);
    assert_eq!((report.changes_acknowledged, report.refused.len()), (1, 0));
    assert_eq!((held(&helper), helper.refused().unwrap().len()), (Vec::new(), 0));
    assert_eq!((two.area(server.township, late), two.area(two.other, late)), (nowhere, Some(two.village)));
    settled(&[&cadre, &office, &station]);
    assert_eq!((held(&cadre), held(&office)), (all(3), all(3)));
    assert_eq!(held(&station), Vec::<String>::new());
    two.holds_all(&station, server.township);
    two.holds_all(&office, two.other);
    // what is written there from now on is that township's alone
    let before = server.service.storage.load_records(server.township, &[household]).unwrap();
    edit(&cadre, household, &[("address", "新址")]);
    sync(&cadre);
    assert_eq!(server.service.storage.load_records(server.township, &[household]).unwrap(), before);
    let days = |(township, village)| ["2026-04-30", THEN].map(|day| two.stock((township, village), day));
    assert_eq!((days(here), days(there)), ([3, 0], [0, 3]));
    // the old township's office has it in no list, and can't change it; what its figures count is still to be seen
    let get = |path: &str| {
        let address =
            format!("{}{path}{}township={}", server.url(), if path.contains('?') { '&' } else { '?' }, server.township);
        crate::client().get(address).send().unwrap().text().unwrap()
    };
    let listed: serde_json::Value = serde_json::from_str(&get("/api/records?type=household")).unwrap();
    assert_eq!(listed["records"], serde_json::json!([]));
    let page = get(&format!("/households/{household}"));
    assert!(page.contains("已迁往其他乡镇") && page.contains("李四"), "{page}");
    let body = serde_json::json!({"form": "birth", "household": household, "answers": {"happened_on": THEN, "name": "李小红"}});
    let address = format!("{}/api/events?township={}", server.url(), server.township);
    let refused = crate::client().post(address).json(&body).send().unwrap();
    assert_eq!(refused.status(), 409);
    let refused: serde_json::Value = refused.json().unwrap();
    assert_eq!(refused["error"]["code"], "elsewhere");
    let address = format!("{}/api/records/{late}/state?township={}", server.url(), server.township);
    let body = serde_json::json!({"state": "approved", "reason": ""});
    assert_eq!(crate::client().post(address).json(&body).send().unwrap().status(), 409);
    // who was paired isn't any more, and the log says what happened
    let user = helper.enrolment().unwrap().unwrap().user;
    let (_, log) = server.service.storage.grants(user, 0).unwrap();
    assert!(current(&log).iter().all(|(_, grant)| !grant.entry.active));
    let address = format!("{}/api/audit?action=household_handed_over&township={}", server.url(), server.township);
    let entries: serde_json::Value = crate::client().get(address).send().unwrap().json().unwrap();
    let about = entries["entries"][0]["about"].to_string();
    assert!(about.contains(&household.to_string()) && about.contains(&two.other.to_string()), "{entries}");
}

#[test]
fn a_move_to_another_township_that_is_taken_back_there_brings_the_household_home() {
    let dirs = scratch::<4>();
    let two = Two::in_folder(dirs[0].path());
    let server = &two.server;
    let station = server.phone(dirs[1].path(), "站");
    let (household, _) = family(&station, server.villages[0], "0001", "李四");
    sync(&station);
    let cadre = two.phone_there(dirs[2].path(), "village_cadre", two.village);
    let event = two.moves(household);
    settled(&[&station, &cadre]);
    visit(&cadre, household, "在外乡的走访");
    correct(&cadre, event, &[("withdrawn", "OK")]);
    settled(&[&cadre, &station]);
    let home = Some(server.villages[0]);
    assert_eq!((two.area(server.township, household), two.area(two.other, household)), (home, Some(AreaId::NOWHERE)));
    assert_eq!(held(&cadre), Vec::<String>::new());
    assert_eq!(held(&station), ["household", "household_move", "visit"]);
    two.holds_all(&station, server.township);
    for day in ["2026-04-30", THEN, "2026-12-01"] {
        let stocks = [(server.township, server.villages[0]), (two.other, two.village)].map(|at| two.stock(at, day));
        assert_eq!(stocks, [3, 0]);
    }
    // and it can move again
    two.moves(household);
    settled(&[&station, &cadre]);
    assert_eq!((held(&station).len(), held(&cadre).len()), (0, 4));
}

#[test]
fn a_server_that_is_restored_to_before_the_move_lets_the_household_go_when_the_phones_bring_it_back() {
    let dirs = scratch::<5>();
    let two = Two::in_folder(dirs[0].path());
    let station = two.server.phone(dirs[1].path(), "站");
    let (household, _) = family(&station, two.server.villages[0], "0001", "李四");
    visit(&station, household, "来访记事");
    sync(&station);
    let cadre = two.phone_there(dirs[2].path(), "village_cadre", two.village);
    settled(&[&station, &cadre]);
    let backup = dirs[3].path().join("backup.db");
    two.server.service.storage.backup(&backup).unwrap();
    two.moves(household);
    settled(&[&cadre, &station]);
    visit(&cadre, household, "迁来后的走访");
    sync(&cadre);
    let (home, from, other, village) = (two.server.township, two.server.villages[0], two.other, two.village);
    let server = super::recovery::restored(&backup, dirs[4].path(), &[&station, &cadre]);
    let two = Two { server, other, village };
    assert_eq!((two.area(home, household), two.area(other, household)), (Some(from), None));
    settled(&[&cadre, &station]);
    assert_eq!(two.area(home, household), Some(AreaId::NOWHERE));
    assert_eq!(two.area(other, household), Some(village));
    settled(&[&cadre, &station]);
    assert_eq!(held(&station), Vec::<String>::new());
    assert_eq!(held(&cadre), ["household", "household_move", "visit", "visit"]);
}

#[test]
fn erasing_somebody_where_the_household_is_now_erases_them_where_it_was_too() {
    let dirs = scratch::<3>();
    let two = Two::in_folder(dirs[0].path());
    let server = &two.server;
    let station = server.phone(dirs[1].path(), "站");
    let cadre = two.phone_there(dirs[2].path(), "village_cadre", two.village);
    let (household, [_, wife, _]) = family(&station, server.villages[0], "0001", "李四");
    edit(&station, household, &[("address", "旧址")]);
    sync(&station);
    let event = two.moves(household);
    settled(&[&station, &cadre]);
    edit(&cadre, household, &[("address", "新址")]);
    sync(&cadre);
    let erase = Erase { household, member: wife, also: Vec::new(), ground: "本人申请".into() };
    let erased = |township| server.service.erase(Actor::CommandLine, township, &erase);
    assert!(matches!(erased(server.township), Err(EraseError::Elsewhere)));
    let planned = server.service.plan_erasure(two.other, &erase).unwrap();
    let done = erased(two.other).unwrap();
    assert_eq!(serde_json::to_value(&done.documents).unwrap(), serde_json::to_value(&planned.documents).unwrap());
    server.service.retry_all_events().unwrap();
    for township in [server.township, two.other] {
        let stored = server.service.storage.full_record(township, household).unwrap().unwrap();
        assert_eq!(stored.incarnation, 1);
        let named = |bytes: &[u8]| bytes.windows("王五".len()).any(|window| window == "王五".as_bytes());
        assert!(!stored.changes.iter().any(|change| named(&change.bytes)));
        assert_eq!(two.stock((two.other, two.village), "2026-12-01"), 2);
    }
    // after that it can go back, and what it was holds together
    sync(&cadre);
    correct(&cadre, event, &[("withdrawn", "OK")]);
    settled(&[&cadre, &station]);
    assert_eq!(two.area(server.township, household), Some(server.villages[0]));
    assert_eq!((persons(&station), said(&station, household, "address")), (vec![(household, 2)], "新址".to_owned()));
    assert!(station.record(household).unwrap().view().differences.is_empty());
}

#[test]
fn a_household_that_is_linked_with_another_one_waits_with_its_move_until_the_link_is_undone() {
    let dirs = scratch::<2>();
    let two = Two::in_folder(dirs[0].path());
    let server = &two.server;
    let station = server.phone(dirs[1].path(), "站");
    let [(household, _), (twice, _)] =
        ["0001", "0002"].map(|number| family(&station, server.villages[0], number, "李四"));
    sync(&station);
    let links = format!("{}/api/links?township={}", server.url(), server.township);
    let link = |verdict: &str, heads: serde_json::Value| {
        let sides = serde_json::json!([{"household": household}, {"household": twice}]);
        let mut body =
            serde_json::json!({"sides": sides, "verdict": verdict, "leads": household, "reason": "登记了两次"});
        if heads.is_array() {
            body["heads"] = heads;
        }
        let answer = crate::client().post(&links).json(&body).send().unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().unwrap());
    };
    link("same", serde_json::Value::Null);
    let event = two.moves(household);
    let township = server.township.to_string();
    let data = dirs[0].path().to_str().unwrap().to_owned();
    let run = |command| crate::cli::run(&["event", command, "--data", &data, "--township", &township]);
    let listed = run("waiting");
    assert!(listed.contains("请先撤销合并") && listed.contains("undo the link first"), "{listed}");
    assert_eq!(two.area(server.township, household), Some(server.villages[0]));
    let linked: serde_json::Value = crate::client().get(&links).send().unwrap().json().unwrap();
    link("open", linked["links"][0]["heads"].clone());
    let tried = run("retry");
    assert!(tried.contains("1 done, 0 still waiting"), "{tried}");
    assert_eq!(two.area(two.other, event), Some(two.village));
}
