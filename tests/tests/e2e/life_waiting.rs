//! Events that can't be applied when they come: they wait with a reason, and are tried again.

use doorstep_core::client::Phone;
use doorstep_core::id::RecordId;
use doorstep_core::record::{ChangeNote, Edit, Value};
use doorstep_core::store::PlannedDocument;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::NewGrant;
use doorstep_tests::harness::{TestServer, edit, sync};

use super::life::{family, on_server, persons, phone_of, said, scratch, settled, writes_alone};

/// What waits, by the API: event and reason; each with words in both languages.
fn waiting(server: &TestServer) -> Vec<(RecordId, String)> {
    let answer = crate::client()
        .get(format!("{}/api/events/waiting?township={}", server.url(), server.township))
        .send()
        .unwrap();
    let answer: serde_json::Value = answer.json().unwrap();
    let rows = answer["waiting"].as_array().unwrap().iter().map(|row| {
        for language in ["zh", "en"] {
            assert!(row["message"][language].as_str().is_some_and(|text| !text.is_empty()), "{row}");
        }
        (row["record"].as_str().unwrap().parse().unwrap(), row["reason"].as_str().unwrap().to_owned())
    });
    rows.collect()
}

/// Ticks an answer of a record that the phone has, and nothing that would follow.
fn tick(phone: &Phone, server: &TestServer, record: RecordId, subject: Option<RecordId>, key: &str) {
    let user = phone.enrolment().unwrap().unwrap().user;
    let document = PlannedDocument {
        identity: phone.record(record).unwrap().identity().clone(),
        id: record,
        area: server.villages[0],
        subject,
        edits: vec![Edit::answer(key, Value::Bool(true))],
    };
    let note = ChangeNote { is_complete: true, ..ChangeNote::by(user) };
    phone.store().write(&[document], &note).unwrap();
}

fn day() -> (&'static str, Value) {
    ("happened_on", Value::from("2026-05-01"))
}

#[test]
fn an_event_that_comes_before_its_household_or_member_is_applied_when_that_arrives() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, old) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, [head, ..]) = family(&a, server.villages[0], "0001", "李四");
    let death = writes_alone(&old, &server, household, "death", &[day(), ("member", head.as_str().into())]);
    sync(&old);
    assert_eq!(waiting(&server), [(death, "event_household".to_owned())]);
    sync(&a);
    assert_eq!(waiting(&server), []);
    assert_eq!(on_server(&server, household).0, 2);
    // somebody whom the household's record doesn't have yet
    let second = writes_alone(&old, &server, household, "death", &[day(), ("member", "later".into())]);
    sync(&old);
    assert_eq!(waiting(&server), [(second, "event_person".to_owned())]);
    assert_eq!(on_server(&server, household).0, 2, "nothing is written of what follows");
    sync(&a);
    edit(&a, household, &[("member#later/name", "李小花"), ("member#later/relation", "daughter")]);
    settled(&[&a]);
    assert_eq!(waiting(&server), []);
    assert_eq!(said(&a, household, "member#later/left_on"), "2026-05-01");
}

#[test]
fn a_union_whose_other_household_is_still_on_a_phone_waits_for_it_and_loses_nobody() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, old) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&old, server.villages[0], "0001", "李四");
    let (joins, _) = family(&a, server.villages[0], "0002", "赵六");
    let other = joins.to_string();
    // the phone's program marks its own household as done, though it hasn't the other one
    let union =
        writes_alone(&old, &server, household, "household_union", &[day(), ("other_household", other.as_str().into())]);
    tick(&old, &server, household, None, &format!("_events={union}"));
    sync(&old);
    assert_eq!(waiting(&server), [(union, "event_other_household".to_owned())]);
    assert_eq!(on_server(&server, household).0, 3);
    settled(&[&a, &old, &a]);
    assert_eq!(waiting(&server), []);
    assert_eq!((on_server(&server, household).0, on_server(&server, joins).0), (6, 0));
    assert_eq!(persons(&a).iter().map(|(_, persons)| persons).sum::<u32>(), 6);
}

#[test]
fn an_event_whose_author_may_not_edit_the_household_is_applied_on_command_once_they_may() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    let (hers, _) = family(&a, server.villages[0], "0002", "赵六");
    sync(&a);
    let helper = phone_of(&server, dirs[2].path(), "helper", server.villages[0], Some(hers));
    settled(&[&helper]);
    let user = helper.enrolment().unwrap().unwrap().user;
    let other = household.to_string();
    let union =
        writes_alone(&helper, &server, hers, "household_union", &[day(), ("other_household", other.as_str().into())]);
    sync(&helper);
    assert_eq!(waiting(&server), [(union, "event_rights".to_owned())]);
    assert_eq!(on_server(&server, household), (3, 0, 0), "nothing is written where the author has no right");
    let pairing = NewGrant {
        user,
        role: "helper".into(),
        area: server.villages[0],
        household: Some(household),
        until_ms: None,
        stand_in_for: None,
    };
    server.service.give(Actor::CommandLine, server.township, &pairing).unwrap();
    let answer = crate::client().post(format!("{}/api/events/retry", server.url())).send().unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap(), serde_json::json!({"done": 1, "waiting": 0}));
    assert_eq!((on_server(&server, hers).0, on_server(&server, household).0), (6, 0));
}

#[test]
fn an_event_that_waits_and_is_taken_back_waits_no_longer() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, old) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    let event = writes_alone(&old, &server, household, "death", &[day(), ("member", "nobody".into())]);
    settled(&[&a, &old]);
    assert_eq!(waiting(&server), [(event, "event_person".to_owned())]);
    tick(&old, &server, event, Some(household), "withdrawn");
    sync(&old);
    assert_eq!(waiting(&server), []);
    assert_eq!(on_server(&server, household).0, 3);
}

#[test]
fn a_move_that_comes_before_its_household_moves_it_when_it_arrives() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, old) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    let to = Value::from(server.villages[1].to_string().as_str());
    writes_alone(&old, &server, household, "household_move", &[day(), ("to_area", to)]);
    settled(&[&old, &a]);
    assert_eq!(waiting(&server), []);
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!(row.area, server.villages[1]);
    let placed = server.service.storage.placements(server.township, household).unwrap();
    assert_eq!(placed.iter().map(|p| p.until_day.as_str()).collect::<Vec<_>>(), ["2026-05-01"]);
}
