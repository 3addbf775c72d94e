//! The JSON API, health, and who may look.

use std::sync::Arc;

use doorstep_core::client::Phone;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::record::{ChangeNote, Edit, Section, Value as Answer};
use doorstep_core::store::PlannedDocument;
use doorstep_server::api::office::OfficeAccess;
use doorstep_server::app::{self, App};
use doorstep_server::service::audit::Actor;
use doorstep_tests::harness::{TestServer, add_household, edit, open_phone, sync, visit};
use serde_json::Value;
use tempfile::TempDir;

fn get(url: &str) -> (u16, Value) {
    let client = crate::client();
    let response = client.get(url).send().unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
}

#[test]
fn the_api_lists_and_reads_merged_records_with_differences_and_history() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    visit(&a, household, "第一次");
    sync(&a);
    sync(&b);
    edit(&a, household, &[("address", "一组 1 号")]);
    edit(&b, household, &[("address", "一组 2 号")]);
    sync(&a);
    sync(&b);
    let url = server.url();
    let (_, list) = get(&format!("{url}/api/records?type=household"));
    assert_eq!(list["records"][0]["title"], "李四");
    let (_, record) = get(&format!("{url}/api/records/{household}"));
    let values = record["differences"][0]["values"].as_array().unwrap();
    let names: Vec<&str> = values.iter().filter_map(|v| v["name"].as_str()).collect();
    assert!(names.contains(&"甲") && names.contains(&"乙"), "{names:?}");
    assert!(values.iter().all(|v| v["received_ms"].as_u64() > Some(0) && v["claimed_s"].as_i64() > Some(0)));
    assert!(values.iter().all(|v| v["device"].as_str().is_some()));
    assert_eq!(record["merged"]["answers"]["head_name"], "李四");
    assert_eq!(record["masked"], false);
    edit(&a, household, &[("phone", "19900000000")]);
    sync(&a);
    let (_, record) = get(&format!("{url}/api/records/{household}"));
    let part = record["parts"][0]["id"].as_str().expect("a sensitive part").to_owned();
    for path in [format!("/api/records/{part}"), format!("/api/records/{part}/history"), format!("/households/{part}")]
    {
        let text = crate::client().get(format!("{url}{path}")).send().unwrap().text().unwrap();
        assert!(!text.contains("19900000000"), "{path}");
    }
    let (_, history) = get(&format!("{url}/api/records/{household}/history"));
    assert!(history["history"].as_array().unwrap().len() >= 6);
    let (_, differing) = get(&format!("{url}/api/differences"));
    assert_eq!(differing["records"].as_array().unwrap().len(), 1);
    let (_, figures) = get(&format!("{url}/api/figures"));
    assert_eq!(figures["total"]["records"]["visit"]["households"], 1);
    let (_, phones) = get(&format!("{url}/api/phones"));
    assert_eq!(phones["phones"].as_array().unwrap().len(), 2);
    let (status, body) = get(&format!("{url}/api/records/00000000000000000000000000000000"));
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("not_found")));
    let (status, body) = get(&format!("{url}/api/records/nonsense"));
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("bad_request")));
    let (status, body) = get(&format!("{url}/nowhere"));
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("not_found")));
}

#[test]
fn a_record_is_read_only_as_one_of_its_township() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let here = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    let (township, elsewhere) = (server.township, AreaId([5; 16]));
    let entry = AreaEntry {
        area: elsewhere,
        parent: None,
        level: "township".into(),
        code: String::new(),
        name_zh: "另一镇".into(),
        name_en: "Another".into(),
    };
    server.service.storage.put_areas(elsewhere, &[entry]).unwrap();
    let stranger = open_phone(dirs[2].path());
    let code = server.service.invite(Actor::CommandLine, UserId([7; 16]), elsewhere).unwrap();
    let grant = GrantEntry { grant: 0, role: "helper".into(), area: elsewhere, subject: None, active: true };
    server.service.storage.append_grants(UserId([7; 16]), &[grant.into()]).unwrap();
    stranger.enrol(&server.url(), &code).unwrap();
    let there = add_household(&stranger, elsewhere, "0002", "王五");
    sync(&stranger);
    let url = server.url();
    for path in ["/api/records".to_owned(), format!("/api/records/{here}"), format!("/api/records/{here}/history")] {
        let (status, body) = get(&format!("{url}{path}"));
        assert_eq!((status, body["error"]["details"]["parameter"].as_str()), (400, Some("township")), "{path}");
    }
    for (record, of) in [(here, township), (there, elsewhere)] {
        for asked in [township, elsewhere] {
            let expected = if asked == of { 200 } else { 404 };
            for tail in ["", "/history"] {
                let path = format!("/api/records/{record}{tail}?township={asked}");
                assert_eq!(get(&format!("{url}{path}")).0, expected, "{path}");
            }
        }
    }
    let page = |id| crate::client().get(format!("{url}/households/{id}")).send().unwrap().status().as_u16();
    assert_eq!((page(here), page(there)), (200, 404), "the pages show the older township");
}

#[test]
fn a_search_by_name_stands_in_the_body_and_never_in_an_address() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let wanted = add_household(&phone, server.villages[0], "0001", "李四");
    add_household(&phone, server.villages[0], "0002", "王五");
    sync(&phone);
    let url = server.url();
    let search = |text: &str| {
        let body = serde_json::json!({"type": "household", "search": text});
        let response = crate::client().post(format!("{url}/api/records/search")).json(&body).send().unwrap();
        (response.status().as_u16(), response.json::<Value>().unwrap())
    };
    let (status, found) = search("李四");
    let rows = found["records"].as_array().unwrap();
    assert_eq!((status, rows.len(), rows[0]["id"].as_str()), (200, 1, Some(wanted.to_string().as_str())));
    assert_eq!(search("a\0b").0, 400, "no database is asked for what no text may contain");
    for list in ["records", "differences"] {
        let (status, body) = get(&format!("{url}/api/{list}?search=x"));
        assert_eq!((status, body["error"]["details"]["parameter"].as_str()), (400, Some("search")), "{list}");
    }
}

/// An older or hostile phone: writes these answers into the household's core document.
fn write_into_core(phone: &Phone, household: RecordId, answers: &[(&str, &str)]) {
    let row = phone.store().row(household).unwrap().unwrap();
    let edit = |(key, value): &(&str, &str)| Edit {
        section: Section::Answers,
        key: (*key).to_owned(),
        value: Answer::Text((*value).to_owned()),
    };
    let document = PlannedDocument {
        identity: row.identity,
        id: household,
        area: row.area,
        subject: row.subject,
        edits: answers.iter().map(edit).collect(),
    };
    let user = phone.enrolment().unwrap().unwrap().user;
    phone.store().write(&[document], &ChangeNote::by(user)).unwrap();
}

#[test]
fn sensitive_answers_in_the_core_document_are_masked_in_every_answer_of_the_api() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    sync(&a);
    sync(&b);
    write_into_core(&a, household, &[("phone", "19900000001"), ("address", "一组 1 号")]);
    write_into_core(&b, household, &[("phone", "19900000002"), ("member#m1/id_number", "999999199001010017")]);
    for phone in [&a, &b] {
        assert_eq!(sync(phone).refused.len(), 0);
    }
    for tail in ["", "/history"] {
        let path = format!("{}/api/records/{household}{tail}", server.url());
        let text = crate::client().get(&path).send().unwrap().text().unwrap();
        assert!(text.contains("一组 1 号"), "{tail}: {text}");
        for secret in ["19900000001", "19900000002", "999999199001010017"] {
            assert!(!text.contains(secret), "{tail}");
        }
    }
}

#[test]
fn health_and_metrics_answer() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    assert_eq!(get(&format!("{}/healthz", server.url())).0, 200);
    assert_eq!(get(&format!("{}/readyz", server.url())).0, 200);
    let client = crate::client();
    let text = client.get(format!("{}/metrics", server.url())).send().unwrap().text().unwrap();
    assert!(text.contains("doorstep_changes_stored_total 0"));
}

#[test]
fn without_the_office_key_nobody_sees_a_byte_of_a_record() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    let app = App::new(server.service.clone(), OfficeAccess::key("SECRET"));
    let listener = server.runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    server.runtime().spawn(app::run(Arc::clone(&app), listener, std::future::pending()));
    let client = crate::client();
    for path in ["/api/records", "/api/differences", "/api/quarantine", "/api/figures", "/api/phones", "/api/townships"]
    {
        let response = client.get(format!("{url}{path}")).send().unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let wrong = client.get(format!("{url}{path}")).bearer_auth("WRONG").send().unwrap();
        assert_eq!(wrong.status(), 401, "{path}");
        let right = client.get(format!("{url}{path}")).bearer_auth("SECRET").send().unwrap();
        assert_eq!(right.status(), 200, "{path}");
    }
    for page in ["/", "/households", "/differences", "/phones", "/quarantine"] {
        let response = client.get(format!("{url}{page}")).send().unwrap();
        assert_eq!(response.status(), 303, "{page}");
        assert_eq!(response.headers()["location"], "/sign-in");
    }
    let signed = client.post(format!("{url}/sign-in")).form(&[("key", "SECRET")]).send().unwrap();
    let cookie = signed.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = client.get(format!("{url}/")).header("cookie", &cookie).send().unwrap();
    assert_eq!(page.status(), 200);
    assert!(!signed.headers()["set-cookie"].to_str().unwrap().contains("Secure"), "plain HTTP on this machine");
    let behind_tls = client.post(format!("{url}/sign-in")).header("x-forwarded-proto", "https");
    let behind_tls = behind_tls.form(&[("key", "SECRET")]).send().unwrap();
    assert!(
        behind_tls.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"),
        "behind a proxy that speaks TLS"
    );
    let forged = cookie.replace('.', ".00");
    assert_eq!(client.get(format!("{url}/")).header("cookie", forged).send().unwrap().status(), 303);
    let foreign = client.post(format!("{url}/sign-in")).header("origin", "http://elsewhere.invalid");
    assert_eq!(foreign.form(&[("key", "SECRET")]).send().unwrap().status(), 403);
}
