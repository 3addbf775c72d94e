//! Newcomers from phones, and the same events recorded by the office: a household says the same, whoever recorded them.

use std::collections::BTreeMap;

use doorstep_core::client::Phone;
use doorstep_core::form::index::EVENTS;
use doorstep_core::id::RecordId;
use doorstep_core::record::Value;
use doorstep_tests::harness::{TestServer, sync};
use serde_json::json;

use crate::life::{correct, family, happens, on_server, said, scratch, settled};

/// The member of a household with this name.
fn instance(phone: &Phone, household: RecordId, name: &str) -> Option<String> {
    let answers = phone.instance_answers(household).unwrap();
    let key = answers.iter().find(|(k, v)| k.ends_with("/name") && **v == Value::from(name))?.0;
    Some(key.strip_prefix("member#")?.strip_suffix("/name")?.to_owned())
}

#[test]
fn who_marries_or_moves_in_is_a_member_on_both_phones_and_the_server_from_that_day_and_taken_back_again() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &b]);
    let person = |day: &'static str, name: &'static str, relation: &'static str| {
        [("happened_on", day), ("name", name), ("sex", "female"), ("relation", relation), ("birth", "1990-01-01")]
    };
    let bride = person("2026-03-01", "赵梅", "daughter_in_law");
    let bride = [bride.as_slice(), &[("id_number", "999999199001010024")]].concat();
    happens(&a, "marriage_in", household, &bride);
    let moved_in = happens(&b, "member_in", household, &person("2026-04-01", "李奶奶", "mother"));
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household).0, 5);
    for phone in [&a, &b] {
        let of = |name: &str, question: &str| {
            let member = instance(phone, household, name).unwrap();
            said(phone, household, &format!("member#{member}/{question}"))
        };
        assert_eq!((of("赵梅", "joined_on"), of("赵梅", "joined_why")), ("2026-03-01".into(), "marriage".into()));
        assert_eq!((of("李奶奶", "joined_on"), of("李奶奶", "joined_why")), ("2026-04-01".into(), "moved_in".into()));
        assert_eq!((of("赵梅", "relation"), of("赵梅", "birth")), ("daughter_in_law".into(), "1990-01-01".into()));
        assert_eq!(of("赵梅", "id_number"), "999999199001010024");
        let core = phone.record(household).unwrap().answers();
        assert!(!core.values().any(|v| *v == Value::from("999999199001010024")), "only in the sensitive part");
        let list = phone.form("household").unwrap().list.clone();
        let on = |day: &str| list.persons_on(&core, day);
        assert_eq!(["2026-02-28", "2026-03-01", "2026-04-01"].map(on), [3, 4, 5], "the past stays");
    }
    correct(&a, moved_in, &[("withdrawn", "OK")]);
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household).0, 4);
}

/// A household's answers with its members by name, without what must differ: its number, and which events were applied.
fn normal(phone: &Phone, household: RecordId) -> BTreeMap<String, Value> {
    let answers = phone.instance_answers(household).unwrap();
    let names: BTreeMap<String, String> = answers
        .iter()
        .filter_map(|(key, value)| {
            let Value::Text(name) = value else { return None };
            Some((key.strip_prefix("member#")?.strip_suffix("/name")?.to_owned(), name.clone()))
        })
        .collect();
    let by_name = |key: String| match key.strip_prefix("member#").and_then(|rest| rest.split_once('/')) {
        Some((member, question)) => format!("member {}/{question}", names.get(member).map_or(member, String::as_str)),
        None => key,
    };
    let kept = answers.into_iter().filter(|(key, _)| key != "household_no" && !key.starts_with(EVENTS));
    kept.map(|(key, value)| (by_name(key), value)).collect()
}

/// An event: the answers, of which persons and areas are given by name.
type Happened = (&'static str, &'static [(&'static str, &'static str)]);

const YEAR: [Happened; 8] = [
    ("birth", &[("happened_on", "2026-01-05"), ("name", "李小红"), ("sex", "female"), ("relation", "granddaughter")]),
    (
        "marriage_in",
        &[("happened_on", "2026-02-05"), ("name", "赵梅"), ("sex", "female"), ("relation", "daughter_in_law")],
    ),
    ("member_in", &[("happened_on", "2026-03-05"), ("name", "李爷爷"), ("sex", "male"), ("relation", "father")]),
    ("member_out", &[("happened_on", "2026-04-05"), ("members", "李爷爷")]),
    ("new_head", &[("happened_on", "2026-05-05"), ("new_head", "王五"), ("old_head_relation", "spouse")]),
    ("death", &[("happened_on", "2026-06-05"), ("member", "王五"), ("new_head", "李小明")]),
    ("household_move", &[("happened_on", "2026-07-05"), ("to_village", "石桥村"), ("group_name", "三组")]),
    ("household_end", &[("happened_on", "2026-08-05"), ("ended_why", "moved_away"), ("went_to", "县城")]),
];

#[test]
fn an_event_recorded_by_the_office_leaves_the_household_as_the_same_event_from_a_phone_does() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let [by_phone, by_office] = ["0001", "0002"].map(|number| family(&phone, server.villages[0], number, "李四").0);
    settled(&[&phone]);
    assert_eq!(normal(&phone, by_phone), normal(&phone, by_office));
    let record = |event: &str, answers: &[(&str, &str)]| {
        let answers: BTreeMap<&str, &str> = answers.iter().copied().collect();
        let body = json!({"form": event, "household": by_office.to_string(), "answers": answers});
        let answer = crate::client().post(format!("{}/api/events", server.url())).json(&body).send().unwrap();
        assert_eq!(answer.status(), 200, "{event}: {}", answer.text().unwrap());
    };
    for (event, answers) in YEAR {
        let before = normal(&phone, by_phone);
        record(event, answers);
        // on the phone a person or village is chosen, not typed
        let chosen: Vec<(&str, String)> = answers
            .iter()
            .map(|(question, text)| match *question {
                "member" | "members" | "new_head" => (*question, instance(&phone, by_phone, text).unwrap()),
                "to_village" => (*question, server.villages[1].to_string()),
                _ => (*question, (*text).to_owned()),
            })
            .collect();
        let chosen: Vec<(&str, &str)> = chosen.iter().map(|(question, text)| (*question, text.as_str())).collect();
        happens(&phone, event, by_phone, &chosen);
        sync(&phone);
        settled(&[&phone]);
        assert_ne!(normal(&phone, by_phone), before, "{event} changes something");
        assert_eq!(normal(&phone, by_phone), normal(&phone, by_office), "{event}");
        assert_eq!(on_server(&server, by_phone), on_server(&server, by_office), "{event}");
        assert_eq!(on_server(&server, by_office).1, 0, "{event} leaves no difference");
    }
    let lies = |id: RecordId| server.service.storage.record_row(server.township, id).unwrap().unwrap().area;
    assert_eq!([by_phone, by_office].map(lies), [server.villages[1]; 2], "both went to the other village");
    let day = |day: &str| {
        let url = format!("{}/api/figures?as_of={day}", server.url());
        let figures: serde_json::Value = crate::client().get(url).send().unwrap().json().unwrap();
        figures["total"]["households"].as_i64()
    };
    assert_eq!((day("2026-08-04"), day("2026-08-05")), (Some(2), Some(0)));
    assert!(server.service.verify_figures(server.township).unwrap().differences.is_empty());
}
