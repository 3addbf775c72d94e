//! Phones are invited, shared by people, listed and shut out; what they hand over is released or discarded; what is masked is
//! looked at with a reason.

use std::path::Path;

use doorstep_core::client::{Phone, PhoneError};
use doorstep_core::clock::{SystemEntropy, random};
use doorstep_core::id::UserId;
use doorstep_core::protocol::GrantEntry;
use doorstep_core::store::ListFilter;
use doorstep_core::sync::TransportError;
use doorstep_server::service::audit::Actor;
use doorstep_server::storage::{Device, User, Write};
use doorstep_tests::harness::{ServerProcess, TestServer, add_household, edit, open_phone, sync, try_sync};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::run;
use crate::client;

fn dirs<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The code and the advice of an enrolment that is refused.
fn refused(phone: &Phone, url: &str, code: &str) -> (String, String, String) {
    let error = phone.enrol(url, code).unwrap_err();
    let PhoneError::Transport(TransportError::Refused { code, .. }) = &error else { panic!("{error:?}") };
    let advice = |language| error.advice(language).unwrap_or_default().to_owned();
    (code.clone(), advice("zh"), advice("en"))
}

fn post(server: &TestServer, path: &str, body: &Value) -> (u16, Value) {
    let answer = client().post(format!("{}{path}", server.url())).json(body).send().unwrap();
    (answer.status().as_u16(), answer.json().unwrap_or_default())
}

fn get(server: &TestServer, path: &str) -> Value {
    client().get(format!("{}{path}", server.url())).send().unwrap().json().unwrap()
}

fn actions(server: &TestServer) -> Vec<String> {
    server.service.storage.audit_after(0, 1_000).unwrap().into_iter().map(|row| row.entry.action).collect()
}

/// A phone of a new person with a role in the whole township.
fn phone_with_role(server: &TestServer, dir: &Path, role: &str) -> Phone {
    let user = UserId(random(&SystemEntropy));
    server.service.storage.put_users(&[User { id: user, name: role.into(), unit: String::new() }]).unwrap();
    let grant = GrantEntry { grant: 0, role: role.into(), area: server.township, subject: None, active: true };
    server.service.storage.append_grants(user, &[grant.into()]).unwrap();
    let phone = open_phone(dir);
    phone.enrol(&server.url(), &server.service.invite(Actor::CommandLine, user, server.township).unwrap()).unwrap();
    phone
}

#[test]
fn a_code_that_enrols_nobody_says_in_both_languages_why_and_what_to_do() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let used = server.code("甲");
    open_phone(dirs[1].path()).enrol(&server.url(), &used).unwrap();
    let phone = open_phone(dirs[2].path());
    let (code, zh, en) = refused(&phone, &server.url(), &used);
    assert!(code == "invitation_used" && zh.contains("新的绑定码") && en.contains("new code"), "{code} {zh} {en}");
    let (code, zh, en) = refused(&phone, &server.url(), "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A");
    assert!(code == "invitation_unknown" && zh.contains("绑定码不对") && en.contains("wrong"), "{code} {zh} {en}");
    let storage = &server.service.storage;
    let user = storage.users().unwrap()[0].id;
    let hash = {
        use sha2::Digest;
        let text = b"doorstep/invitation/1OVER".as_slice();
        <[u8; 32]>::from(sha2::Sha256::digest(text))
    };
    let over = Write::Invitation { secret_hash: hash, user, township: server.township, until_ms: 1_000 };
    assert!(storage.act(&[over], &[]).unwrap());
    let (code, zh, en) = refused(&phone, &server.url(), "over");
    assert!(code == "invitation_over" && zh.contains("过期") && en.contains("out of date"), "{code} {zh} {en}");
    assert!(phone.enrolment().unwrap().is_none());
    phone.enrol(&server.url(), &server.code("乙")).unwrap();
}

#[test]
fn guessed_codes_are_slowed_while_a_right_code_from_the_same_address_still_enrols() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let code = server.code("甲");
    let phone = open_phone(dirs[1].path());
    let guess = |n: u32| refused(&phone, &server.url(), &format!("AAAAAAAAAAAAAAAAAAAAA{n:05}"));
    let slowed = (0..200).map(guess).find(|(code, ..)| code == "too_many_tries").expect("guessing is slowed");
    assert!(slowed.1.contains("稍等") && slowed.2.contains("Wait"), "{slowed:?}");
    // the township's own phone behind the same address comes again, as it is told to
    let enrolled = (0..10_000).find_map(|_| phone.enrol(&server.url(), &code).ok());
    assert!(enrolled.is_some(), "a right code isn't shut out");
}

#[test]
fn the_api_invites_many_lists_and_shuts_out() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let people = json!({"people": [{"name": "张三", "unit": "教育局"}, {"name": "李四"}], "address": "https://survey.example.org"});
    let (status, invited) = post(&server, "/api/devices/invitations", &people);
    assert_eq!((status, invited["invitations"].as_array().unwrap().len()), (200, 2));
    let first = &invited["invitations"][0];
    assert!(first["link"].as_str().unwrap().starts_with("https://survey.example.org/join#"));
    let again = post(&server, "/api/devices/invitations", &json!({"users": [first["user"]]})).1;
    assert_eq!(again["invitations"][0]["user"], first["user"], "a further phone of the same person");
    for bad in [json!({}), json!({"people": [{"name": " "}]}), json!({"users": ["00000000000000000000000000000001"]})] {
        assert_eq!(post(&server, "/api/devices/invitations", &bad).0, 400, "{bad}");
    }
    let phones: Vec<Phone> = [first, &again["invitations"][0]]
        .iter()
        .zip(&dirs[1..])
        .map(|(invitation, dir)| {
            let phone = open_phone(dir.path());
            phone.enrol(&server.url(), invitation["code"].as_str().unwrap()).unwrap();
            phone
        })
        .collect();
    phones.iter().for_each(|phone| drop(sync(phone)));
    let listed = get(&server, "/api/devices");
    assert_eq!(listed["devices"].as_array().unwrap().len(), 2);
    let id = |phone: &Phone| phone.enrolment().unwrap().unwrap().device.to_string();
    let (status, revoked) =
        post(&server, &format!("/api/devices/{}/revoke", id(&phones[0])), &json!({"reason": "调离"}));
    assert!(status == 200 && revoked["revoked"] == true, "{revoked}");
    let error = try_sync(&phones[0]).unwrap_err();
    let error = PhoneError::from(error);
    assert!(error.advice("zh").unwrap().contains("停用") && error.advice("en").unwrap().contains("revoked"));
    sync(&phones[1]);
    let (_, lost) = post(&server, &format!("/api/devices/{}/lost", id(&phones[1])), &json!({"reason": "丢失"}));
    assert!(lost["lost"]["reported_ms"].as_u64() > Some(0) && lost["lost"]["told_ms"].is_null(), "{lost}");
    assert_eq!(post(&server, "/api/devices/00000000000000000000000000000001/lost", &json!({})).0, 404);
    let said = actions(&server);
    for action in ["device_invited", "device_enrolled", "device_revoked", "device_lost", "grant_given"] {
        assert!(said.contains(&action.to_owned()), "{action} is missing: {said:?}");
    }
}

#[test]
fn two_people_use_one_phone_with_a_store_each_and_neither_sees_the_other_s_records() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let phone_of = |name: &str, village: usize| {
        let dir = dirs[1].path().join(name);
        let user = UserId(random(&SystemEntropy));
        server.service.storage.put_users(&[User { id: user, name: name.into(), unit: String::new() }]).unwrap();
        let area = server.villages[village];
        let grant = GrantEntry { grant: 0, role: "helper".into(), area, subject: None, active: true };
        server.service.storage.append_grants(user, &[grant.into()]).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let phone = open_phone(&dir);
        phone.enrol(&server.url(), &server.service.invite(Actor::CommandLine, user, server.township).unwrap()).unwrap();
        phone
    };
    let (first, second) = (phone_of("first", 0), phone_of("second", 1));
    sync(&first);
    sync(&second);
    add_household(&first, server.villages[0], "0001", "甲村的户主");
    add_household(&second, server.villages[1], "0002", "乙村的户主");
    for phone in [&first, &second, &first] {
        sync(phone);
    }
    let heads = |phone: &Phone| -> Vec<String> {
        phone.households(None, "", 0, 10).unwrap().into_iter().map(|row| row.title).collect()
    };
    assert_eq!((heads(&first), heads(&second)), (vec!["甲村的户主".to_owned()], vec!["乙村的户主".to_owned()]));
    let ids = [&first, &second].map(|phone| phone.enrolment().unwrap().unwrap());
    assert!(ids[0].device != ids[1].device && ids[0].signing_seed != ids[1].signing_seed);
    for (folder, name) in [("first", "乙村的户主"), ("second", "甲村的户主")] {
        for file in std::fs::read_dir(dirs[1].path().join(folder)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(name.len()).any(|w| w == name.as_bytes()), "{folder} holds {name}");
        }
    }
}

#[test]
fn what_the_server_refused_is_released_by_the_office_and_its_author_sees_it_stored() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let other = server.phone(dirs[1].path(), "乙");
    let household = add_household(&other, server.villages[0], "0001", "李四");
    sync(&other);
    let inspector = phone_with_role(&server, dirs[2].path(), "inspector");
    sync(&inspector);
    edit(&inspector, household, &[("address", "五组9号")]);
    sync(&inspector);
    assert_eq!(inspector.refused().unwrap().len(), 1, "an inspector doesn't change a household");
    let held = get(&server, "/api/quarantine");
    let row = &held["quarantine"][0];
    assert!(row["state"] == "open" && row["message"]["zh"].is_string() && row["message"]["en"].is_string(), "{row}");
    let decide = json!({"numbers": [row["no"]], "reason": "已核实"});
    assert_eq!(post(&server, "/api/quarantine/release", &json!({"numbers": [row["no"]], "reason": " "})).0, 400);
    let (_, discarded) = post(&server, "/api/quarantine/discard", &decide);
    assert_eq!(discarded["discarded"], 1);
    assert!(get(&server, "/api/quarantine")["quarantine"].as_array().unwrap().is_empty());
    assert_eq!(
        get(&server, "/api/quarantine?state=discarded")["quarantine"].as_array().unwrap().len(),
        1,
        "it is kept"
    );
    let (_, released) = post(&server, "/api/quarantine/release", &decide);
    assert_eq!(released["changes"][0]["released"], true, "{released}");
    sync(&other);
    assert!(other.view(household).unwrap().json.contains("五组9号"));
    sync(&inspector);
    assert!(inspector.refused().unwrap().is_empty(), "it is stored for its author too");
    assert!(inspector.view(household).unwrap().json.contains("五组9号"));
    let said = actions(&server);
    assert!(said.contains(&"quarantine_released".to_owned()) && said.contains(&"quarantine_discarded".to_owned()));
}

#[test]
fn what_was_written_on_top_of_another_s_refused_change_comes_with_it_and_nothing_forged_comes() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let lost = server.phone(dirs[1].path(), "甲");
    let household = add_household(&lost, server.villages[0], "0001", "李四");
    sync(&lost);
    edit(&lost, household, &[("address", "一组1号")]);
    edit(&lost, household, &[("address", "一组2号")]);
    let device = lost.enrolment().unwrap().unwrap().device;
    server.service.report_lost(Actor::Office, device, "").unwrap();
    try_sync(&lost).unwrap_err();
    let rows = get(&server, "/api/quarantine?reason=lost_device");
    let numbers: Vec<u64> = rows["quarantine"].as_array().unwrap().iter().map(|r| r["no"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 2);
    let newest = json!({"numbers": [numbers[0]], "reason": "已核实"});
    let (_, alone) = post(&server, "/api/quarantine/release", &newest);
    assert_eq!(alone["changes"][0]["reason"], "missing_dependencies", "{alone}");
    let all = json!({"numbers": numbers, "reason": "已核实"});
    let (_, both) = post(&server, "/api/quarantine/release", &all);
    assert!(both["changes"].as_array().unwrap().iter().all(|c| c["released"] == true), "{both}");
    let record = get(&server, &format!("/api/records/{household}"));
    assert!(
        record["merged"].to_string().contains("一组2号")
            && record["merged"]["differences"].as_array().is_none_or(Vec::is_empty)
    );
}

#[test]
fn masked_answers_are_shown_once_for_a_reason_that_is_in_the_log_first() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    edit(&phone, household, &[("phone", "13800000000")]);
    sync(&phone);
    let (client, url) = (client(), server.url());
    let page = || client.get(format!("{url}/households/{household}")).send().unwrap().text().unwrap();
    let look = |form: &[(&str, &str)]| {
        client.post(format!("{url}/households/{household}/masked?lang=zh")).form(form).send().unwrap()
    };
    assert!(!page().contains("13800000000") && page().contains(&format!("/households/{household}/masked")));
    let refused = look(&[("why", ""), ("more", " ")]);
    assert_eq!(refused.status(), 400);
    assert!(refused.text().unwrap().contains("请写明原因"));
    assert!(!actions(&server).contains(&"masked_look".to_owned()));
    let shown = look(&[("why", "核实身份"), ("more", "户主来电")]).text().unwrap();
    assert!(shown.contains("13800000000") && shown.contains("核实身份：户主来电"));
    assert!(!page().contains("13800000000"), "once");
    let entry = &get(&server, "/api/audit?action=masked_look")["entries"][0];
    assert_eq!((entry["actor"].as_str(), entry["reason"].as_str()), (Some("office"), Some("核实身份：户主来电")));
    assert!(entry["about"].to_string().contains(&household.to_string()));
    let path = format!("/api/records/{household}/masked");
    assert_eq!(post(&server, &path, &json!({})).0, 400);
    let (_, parts) = post(&server, &path, &json!({"reason": "数据比对"}));
    assert!(parts["parts"].to_string().contains("13800000000"), "{parts}");
    assert_eq!(get(&server, "/api/audit?action=masked_look")["entries"].as_array().unwrap().len(), 2);
    let foreign =
        client.post(format!("{url}/households/{household}/masked")).header("origin", "http://elsewhere.invalid");
    assert_eq!(foreign.form(&[("why", "核实身份")]).send().unwrap().status(), 403);
}

#[test]
fn a_lost_phone_is_handled_on_the_command_line_and_on_the_pages() {
    let dirs: [TempDir; 3] = dirs();
    let (data, one) = (path(dirs[0].path()), path(dirs[1].path()));
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村"]);
    let code = run(&["device", "invite", "--data", data, "--name", "张三"]);
    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    run(&["phone", "--data", one, "init", "--server", &server.url, "--code", &code]);
    let add = ["--set", "head_name=李四", "--set", "village=青山村", "--set", "status=out", "--set", "household_no=1"];
    let member = ["--set", "member/name=李四"];
    run(&[&["phone", "--data", one, "add", "--village", "青山"], add.as_slice(), member.as_slice()].concat());
    let listed = run(&["device", "list", "--data", data]);
    let id = listed.split(' ').next().unwrap().to_owned();
    run(&["device", "lost", "--data", data, &id, "--reason", "在集市丢失"]);
    let sync = std::process::Command::new(crate::BINARY).args(["phone", "--data", one, "sync"]).output().unwrap();
    let said = String::from_utf8(sync.stderr).unwrap();
    assert!(!sync.status.success() && said.contains("已挂失") && said.contains("reported lost"), "{said}");
    assert!(run(&["device", "list", "--data", data]).contains("lost, erased"));
    let state = run(&["device", "wipe-state", "--data", data, &id]);
    assert!(state.contains("1 to look at") && !state.contains("never"), "{state}");
    let listed = run(&["quarantine", "list", "--data", data, "--reason", "lost_device"]);
    assert!(listed.contains("household") && listed.contains("open"), "{listed}");

    let client = client();
    let phones = client.get(format!("{}/phones", server.url)).send().unwrap().text().unwrap();
    assert!(phones.contains(&format!("/quarantine?device={id}")) && phones.contains("已挂失，已清除"));
    let page = client.get(format!("{}/quarantine?device={id}", server.url)).send().unwrap().text().unwrap();
    let no = listed.split(' ').next().unwrap();
    assert!(page.contains(&format!("name=\"no-{no}\"")));
    let box_name = format!("no-{no}");
    let decide = |reason: &str| {
        let form = [(box_name.as_str(), "on"), ("why", reason), ("more", "")];
        client.post(format!("{}/quarantine/release", server.url)).form(&form).send().unwrap()
    };
    assert_eq!(decide("").status(), 400, "a reason is needed");
    assert!(decide("已向填写人核实").text().unwrap().contains("已接收1条"));
    let households = client.get(format!("{}/households", server.url)).send().unwrap().text().unwrap();
    assert!(households.contains("李四"));
    drop(server);
    assert!(run(&["device", "wipe-state", "--data", data, &id]).contains("1 accepted"));
}

#[test]
fn a_clock_wrong_by_years_leaves_server_and_sync_alone_and_marks_the_day_as_doubtful() {
    use doorstep_core::client::NewRecord;
    use doorstep_tests::harness::open_phone_at;
    const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let now_ms = server.service.clock.now_ms();
    for (dir, at_ms, day) in
        [(&dirs[1], now_ms - 4 * YEAR_MS, "2022-11-20"), (&dirs[2], now_ms + 5 * YEAR_MS, "2031-11-20")]
    {
        let phone = open_phone_at(dir.path(), at_ms);
        phone.enrol(&server.url(), &server.code("甲")).unwrap();
        let household = add_household(&phone, server.villages[0], day, "李四");
        let first = sync(&phone);
        assert_eq!(first.changes_acknowledged, 1);
        assert!(first.clock_off_ms.unsigned_abs() > 3 * YEAR_MS);
        let told = ["zh", "en"].map(|language| first.clock_advice(language).unwrap());
        assert!(told[0].contains("自动确定日期和时间") && told[1].contains("automatic date and time"));
        // an hour ago, so that the next sync is another one
        let storage = &server.service.storage;
        let device = storage.device(phone.enrolment().unwrap().unwrap().device).unwrap().unwrap();
        storage.put_device(&Device { last_sync_ms: now_ms - 3_600_000, ..device }).unwrap();
        let draft = phone.start("visit", Some(household)).unwrap();
        for (key, value) in [("visit_date", day), ("result", "met"), ("remark", "走访")] {
            phone.answer_text(draft, key, value).unwrap();
        }
        phone.finish_as(draft, &NewRecord::default()).unwrap();
        assert_eq!(sync(&phone).changes_acknowledged, 1, "nothing is refused for a clock");
        let visits = phone.list(ListFilter { record_type: Some("visit".into()), limit: 9, ..Default::default() });
        assert!(visits.unwrap().iter().any(|row| row.subject == Some(household)));
    }
    let doubts = get(&server, "/api/doubts?kind=date");
    assert_eq!(doubts["doubts"].as_array().map(Vec::len), Some(2), "{doubts}");
    let devices = server.service.storage.devices(server.township).unwrap();
    assert!(devices.iter().all(|d| d.last_sync_ms.abs_diff(now_ms) < YEAR_MS), "the server keeps its own time");
}
