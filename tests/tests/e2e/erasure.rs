//! Erasing a person: nothing of them is left in the server's files, nor in the phones' after their next sync.

use std::collections::BTreeMap;
use std::path::Path;

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::record::Value;
use doorstep_server::api::office::OfficeAccess;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::erasure::{Erase, EraseError, Erasure};
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::storage::{AuditFilter, READS_CLOSED, RecordFilter, sqlite};
use doorstep_tests::harness::{TestServer, edit, sync, visit};
use tempfile::TempDir;

/// What is only ever said of the person to be erased.
const CANARIES: [&str; 3] = ["金丝雀玄", "999999199001010016", "金丝雀旧名"];

fn scratch<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// A household of two, the second of whom is the person; gives the person's instance.
pub(super) fn family(phone: &Phone, village: AreaId) -> (RecordId, String) {
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    filling.add_at("/data/member").unwrap();
    for (path, text) in [
        ("basics/head_name", "李四"),
        ("basics/household_no", "0001"),
        ("basics/village", "青山村"),
        ("basics/status", "out"),
        ("member[1]/name", "李四"),
        ("member[1]/relation", "head"),
        ("member[2]/name", CANARIES[2]),
        ("member[2]/relation", "spouse"),
        ("member[2]/id_number", CANARIES[1]),
    ] {
        filling.answer_at(&format!("/data/{path}"), text).unwrap();
    }
    let household = phone.finish_filled(filling, &NewRecord { area: Some(village), campaign: None }).unwrap();
    let answers = phone.record(household).unwrap().answers();
    let key = answers.iter().find(|(k, v)| k.ends_with("/name") && **v == Value::from(CANARIES[2])).unwrap().0.clone();
    edit(phone, household, &[(&key, CANARIES[0])]);
    (household, key.strip_prefix("member#").unwrap().strip_suffix("/name").unwrap().to_owned())
}

/// Which canaries stand in the files of a folder.
fn canaries_in(folder: &Path) -> Vec<&'static str> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    let is_in = |canary: &&str| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
    CANARIES.into_iter().filter(is_in).collect()
}

pub(super) fn erase(server: &TestServer, household: RecordId, member: &str) -> Result<Erasure, EraseError> {
    let erase =
        Erase { household, member: member.to_owned(), also: Vec::new(), ground: "被采集人要求".to_owned() };
    server.service.erase(Actor::CommandLine, server.township, &erase)
}

fn others(phone: &Phone, household: RecordId, member: &str) -> BTreeMap<String, Value> {
    let mut answers = phone.instance_answers(household).unwrap();
    answers.retain(|key, _| !key.starts_with(&format!("member#{member}/")) && key != "persons");
    answers
}

fn said(phone: &Phone, record: RecordId) -> String {
    phone.view(record).unwrap().json
}

fn assert_figures_hold(server: &TestServer) {
    let found = server.service.verify_figures(server.township).unwrap();
    assert_eq!(found.differing, 0, "{:?}", found.differences);
}

#[test]
fn nothing_of_an_erased_person_is_left_in_the_files_of_server_and_phones_and_all_else_stays() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, member) = family(&a, server.villages[0]);
    let remark = visit(&a, household, "只与户主有关");
    let named = visit(&a, household, CANARIES[0]);
    sync(&a);
    sync(&b);
    let mentioned = visit(&b, household, "走访");
    edit(&b, mentioned, &[("remark", &format!("见到{}和户主", CANARIES[0]))]);
    sync(&b);
    sync(&a);
    let kept = others(&a, household, &member);
    for dir in &dirs {
        assert_eq!(canaries_in(dir.path()), CANARIES, "the search finds what is there");
    }

    // a dry run writes nothing and names a remark that would stay
    let mut plan =
        Erase { household, member: CANARIES[0].to_owned(), also: Vec::new(), ground: "被采集人要求".into() };
    let planned = server.service.plan_erasure(server.township, &plan).unwrap();
    assert!(!planned.erased && planned.member == member);
    assert_eq!(planned.mentions, vec![(mentioned, "remark".to_owned())]);
    let shown = serde_json::to_string(&planned).unwrap();
    assert!(CANARIES.iter().all(|canary| !shown.contains(canary)), "keys, no values");
    assert_eq!(canaries_in(dirs[0].path()), CANARIES);

    plan.also = planned.mentions;
    let done = server.service.erase(Actor::CommandLine, server.township, &plan).unwrap();
    assert!(done.erased);
    let records: Vec<RecordId> = done.documents.iter().map(|d| d.record).collect();
    assert!(records.contains(&household) && records.contains(&named) && records.contains(&mentioned));
    assert!(!records.contains(&remark), "a record without the person isn't touched");
    assert_eq!(done.phones.len(), 2);
    assert_eq!(canaries_in(dirs[0].path()), Vec::<&str>::new());
    assert_figures_hold(&server);
    assert_eq!(server.service.storage.record_row(server.township, household).unwrap().unwrap().projection.persons, 1);

    for (phone, dir) in [(&a, &dirs[1]), (&b, &dirs[2])] {
        sync(phone);
        assert_eq!(canaries_in(dir.path()), Vec::<&str>::new());
        assert_eq!(others(phone, household, &member), kept);
        assert!(said(phone, remark).contains("只与户主有关"));
        let report = sync(phone);
        assert!(!report.rewound);
    }
    assert_eq!(said(&a, household), said(&b, household));
    let late = server.phone(scratch::<1>()[0].path(), "丙");
    sync(&late);
    assert_eq!(said(&late, household), said(&a, household), "a new phone gets what is left");

    let log = server.service.storage.audit(&AuditFilter { limit: 100, ..AuditFilter::default() });
    let log = log.unwrap().into_iter().find(|row| row.entry.action == "erased").unwrap();
    assert_eq!(log.entry.reason, "被采集人要求");
    assert!(log.entry.subjects.contains(&household.to_string()) && log.entry.subjects.contains(&member));
}

#[test]
fn a_phone_with_unsent_edits_loses_none_of_the_rest_and_brings_nobody_back() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    sync(&b);
    // b wrote on the old root, of the household and of the person, and sent nothing
    edit(&b, household, &[("phone", "13800000000")]);
    edit(&b, household, &[(&format!("member#{member}/relation"), "daughter")]);
    erase(&server, household, &member).unwrap();
    let reports = [sync(&b), sync(&b)];
    assert!(reports.iter().all(|report| report.refused.is_empty()), "{reports:?}");
    assert_eq!(sync(&b).changes_sent, 0, "nothing is left to send");
    sync(&a);
    for phone in [&a, &b] {
        let answers = phone.instance_answers(household).unwrap();
        assert_eq!(answers.get("phone"), Some(&Value::from("13800000000")));
    }
    assert_eq!(said(&a, household), said(&b, household));
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!(row.projection.persons, 1, "the person stays removed");
    for dir in &dirs {
        assert_eq!(canaries_in(dir.path()), Vec::<&str>::new());
    }
    assert_figures_hold(&server);
}

#[test]
fn a_phone_that_loses_a_household_while_a_person_is_erased_keeps_nothing_of_it_and_its_unsent_edit_isn_t_lost() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    sync(&b);
    edit(&b, household, &[("phone", "13800000000"), ("remark", "未上传的备注")]);
    erase(&server, household, &member).unwrap();
    let user = b.enrolment().unwrap().unwrap().user;
    for (_, grant) in server.service.storage.grants(user, 0).unwrap().1 {
        server.service.end_grant(Actor::CommandLine, user, grant.entry.grant).unwrap();
    }
    sync(&b);
    assert_eq!(canaries_in(dirs[2].path()), Vec::<&str>::new());
    assert_eq!(b.counts().unwrap().records, 0);
    assert_eq!(sync(&b).changes_sent, 0, "nothing is left to send");
    let kept = server.service.storage.quarantine(server.township, None, 10).unwrap();
    let has = |text: &str| kept.iter().any(|row| row.change.bytes.windows(text.len()).any(|w| w == text.as_bytes()));
    assert!(has("13800000000") && has("未上传的备注"), "the office can take it");
    assert_eq!(canaries_in(dirs[0].path()), Vec::<&str>::new());
    assert_figures_hold(&server);
}

#[test]
fn the_office_writes_on_into_a_household_a_member_of_which_was_erased() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    erase(&server, household, &member).unwrap();
    let user = a.enrolment().unwrap().unwrap().user;
    let office = Office::start(&server.service, user, server.township).unwrap();
    let answers = [("remark", "站里补记"), ("phone", "13800000000")];
    let answers = answers.map(|(key, text)| (key.to_owned(), Value::from(text))).into();
    let (identity, area) = (Identity::of_type("household"), server.villages[0]);
    assert_eq!(office.write(&[FormInstance { id: household, identity, area, subject: None, answers }]).unwrap(), 2);
    sync(&a);
    let answers = a.instance_answers(household).unwrap();
    assert_eq!(answers.get("remark"), Some(&Value::from("站里补记")));
    assert_eq!(answers.get("phone"), Some(&Value::from("13800000000")));
}

#[test]
fn phones_that_fill_up_a_restored_server_bring_nothing_back_to_records_that_were_erased_again() {
    let dirs = scratch::<5>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    sync(&b);
    let backup = dirs[3].path().join("backup.db");
    server.service.storage.backup(&backup).unwrap();
    edit(&b, household, &[(&format!("member#{member}/name"), "金丝雀玄")]);
    edit(&b, household, &[(&format!("member#{member}/name"), "金丝雀旧名")]);
    let other = visit(&b, household, "备份后的走访");
    sync(&b);
    sync(&a);
    drop(server);
    let file = dirs[4].path().join("doorstep.db");
    sqlite::restore(&backup, &file).unwrap();
    let server = TestServer::start(dirs[4].path());
    erase(&server, household, &member).unwrap();
    server.service.storage.set_setting(READS_CLOSED, "0").unwrap();
    for phone in [&b, &a] {
        let transport = doorstep_core::sync::HttpTransport::new(&server.url()).unwrap();
        phone.use_transport(std::sync::Arc::new(transport));
    }
    assert!(sync(&b).rewound, "the chain shows it");
    for phone in [&a, &b, &a, &b] {
        sync(phone);
    }
    let storage = &server.service.storage;
    let stored = storage.full_record(server.township, household).unwrap().unwrap();
    assert_eq!((stored.incarnation, stored.changes.len()), (1, 1));
    assert!(storage.record_row(server.township, other).unwrap().is_some(), "what else was lost is back");
    let refused = storage.quarantine(server.township, None, 10).unwrap();
    assert!(refused.iter().all(|row| row.change.reason == "old_incarnation" && row.change.bytes.is_empty()));
    assert_eq!(said(&a, household), said(&b, household));
    for dir in [&dirs[1], &dirs[2], &dirs[4]] {
        assert_eq!(canaries_in(dir.path()), Vec::<&str>::new());
    }
    assert_figures_hold(&server);
}

#[test]
fn the_office_s_route_only_says_what_would_go_until_it_is_told_to_erase() {
    let dirs = scratch::<2>();
    let server = TestServer::start_with_office(dirs[0].path(), OfficeAccess::key("SECRET"));
    let a = server.phone(dirs[1].path(), "甲");
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    let url = format!("{}/api/erasures", server.url());
    let mut body = serde_json::json!({"household": household, "member": member, "ground": "被采集人要求"});
    assert_eq!(crate::client().post(&url).json(&body).send().unwrap().status(), 401);
    let mut ask = |erase: bool| -> serde_json::Value {
        body["erase"] = erase.into();
        let answer = crate::client().post(&url).bearer_auth("SECRET").json(&body).send().unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().unwrap()
    };
    let planned = ask(false);
    assert_eq!((&planned["erased"], canaries_in(dirs[0].path())), (&false.into(), CANARIES.to_vec()));
    let done = ask(true);
    assert_eq!((&done["erased"], canaries_in(dirs[0].path())), (&true.into(), Vec::new()));
    assert_eq!(planned["documents"], done["documents"]);
    let uncovered = |said: &serde_json::Value| {
        let all = said["not_covered"].as_array().unwrap().clone();
        assert!(
            all.iter().all(|one| one["message"]["zh"].as_str().is_some() && one["message"]["en"].as_str().is_some())
        );
        all.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let codes = ["backups", "phones_that_lost_it", "logs_of_the_database", "other_households", "exports"];
    assert_eq!(uncovered(&done), codes);
    assert_eq!((&done["backups"]["count"], &done["backups"]["last_ms"]), (&0.into(), &serde_json::Value::Null));
    assert!(done["not_covered"][0]["message"]["en"].as_str().unwrap().contains("knows of no backup"));
}

#[test]
fn the_command_erases_only_with_yes() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (_, member) = family(&a, server.villages[0]);
    sync(&a);
    let data = dirs[0].path().to_str().unwrap();
    let command = ["erase", "--data", data, "--household", "0001", "--member", &member, "--ground", "被采集人要求"];
    crate::cli::run(&["backup", "--data", data, dirs[0].path().join("backup.db").to_str().unwrap()]);
    std::fs::rename(dirs[0].path().join("backup.db"), dirs[1].path().join("backup.db")).unwrap();
    let said = crate::cli::run(&command);
    // until when, as far as the program knows: until the files that it knows of are destroyed
    assert!(
        said.contains("1次用本程序做的备份，最近一次在2") && said.contains("1 backups made with this program"),
        "{said}"
    );
    assert!(said.contains("直到这些文件被销毁") && said.contains("until these files are destroyed"), "{said}");
    assert!(said.contains(&format!("member#{member}/name")) && said.contains("backups"), "{said}");
    assert!(CANARIES.iter().all(|canary| !said.contains(canary)), "keys, no values");
    assert_eq!(canaries_in(dirs[0].path()), CANARIES);
    let said = crate::cli::run(&[&command[..], &["--yes"]].concat());
    assert!(said.ends_with("erased"), "{said}");
    assert_eq!(canaries_in(dirs[0].path()), Vec::<&str>::new());
}

#[test]
fn nobody_is_erased_without_ground_or_when_the_member_is_unknown() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (household, member) = family(&a, server.villages[0]);
    sync(&a);
    let groundless = Erase { household, member, also: Vec::new(), ground: " ".to_owned() };
    let refused = server.service.erase(Actor::CommandLine, server.township, &groundless);
    assert!(matches!(refused, Err(EraseError::Ground)));
    assert!(matches!(erase(&server, household, "无此人"), Err(EraseError::Member)));
    assert!(matches!(erase(&server, RecordId([9; 16]), "无此人"), Err(EraseError::Household)));
    assert_eq!(canaries_in(dirs[0].path()), CANARIES);
}

#[test]
fn where_the_files_are_in_use_the_command_says_that_remains_stay_until_they_are_cleaned() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (_, member) = family(&a, server.villages[0]);
    sync(&a);
    let reader = rusqlite::Connection::open(dirs[0].path().join("doorstep.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    let data = dirs[0].path().to_str().unwrap();
    let command = ["erase", "--data", data, "--household", "0001", "--member", &member, "--ground", "x", "--yes"];
    let done = std::process::Command::new(crate::BINARY).env("DOORSTEP_LANGUAGE", "en").args(command).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(!done.status.success() && said.ends_with("erased\n"), "{said}");
    assert!(said.contains("数据库文件里还有残留") && said.contains("still hold remains"), "{said}");
    assert!(!canaries_in(dirs[0].path()).is_empty());
    let row = server.service.storage.list_records(server.township, &RecordFilter { limit: 9, ..Default::default() });
    assert!(row.unwrap().iter().all(|row| !CANARIES.iter().any(|canary| row.projection.search.contains(canary))));
    reader.execute_batch("COMMIT").unwrap();
    assert!(crate::cli::run(&["erase", "--data", data, "--clean"]).contains("no remains"));
    assert_eq!(canaries_in(dirs[0].path()), Vec::<&str>::new());
}
