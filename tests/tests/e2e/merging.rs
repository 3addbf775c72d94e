//! Two and more phones on the same households.

use std::collections::BTreeSet;

use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::id::RecordId;
use doorstep_core::record::Value;
use doorstep_core::store::ListFilter;
use doorstep_tests::harness::{TestServer, add_household, edit, sync, visit};
use tempfile::TempDir;

struct Two {
    server: TestServer,
    a: Phone,
    b: Phone,
    household: RecordId,
    _dirs: [TempDir; 3],
}

/// Two phones that both hold one household.
fn two_phones() -> Two {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    sync(&a);
    sync(&b);
    Two { server, a, b, household, _dirs: dirs }
}

impl Two {
    fn settle(&self) {
        for phone in [&self.a, &self.b, &self.a] {
            sync(phone);
        }
    }

    fn server_json(&self, record: RecordId) -> String {
        let stored =
            self.server.service.storage.full_record(self.server.township, record).unwrap().expect("on the server");
        doorstep_server::service::merge::open_record(&stored).unwrap().view().json
    }

    fn assert_equal(&self, record: RecordId) {
        let a = self.a.view(record).unwrap().json;
        assert_eq!(a, self.b.view(record).unwrap().json, "both phones read the same");
        assert_eq!(a, self.server_json(record), "and so does the server");
    }
}

fn text(phone: &Phone, record: RecordId, key: &str) -> String {
    match phone.record(record).unwrap().answers().get(key) {
        Some(Value::Text(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn different_fields_of_one_household_are_both_kept_without_a_difference() {
    let two = two_phones();
    edit(&two.a, two.household, &[("handbook_no", "H-1")]);
    edit(&two.b, two.household, &[("hamlet", "上寨")]);
    two.settle();
    for phone in [&two.a, &two.b] {
        assert_eq!(text(phone, two.household, "handbook_no"), "H-1");
        assert_eq!(text(phone, two.household, "hamlet"), "上寨");
        assert!(phone.view(two.household).unwrap().differences.is_empty());
    }
    two.assert_equal(two.household);
}

#[test]
fn the_same_field_keeps_both_values_with_who_and_when_until_one_decides() {
    let two = two_phones();
    edit(&two.a, two.household, &[("address", "一组 1 号")]);
    edit(&two.b, two.household, &[("address", "一组 2 号")]);
    two.settle();
    two.assert_equal(two.household);
    let differences = two.a.view(two.household).unwrap().differences;
    assert_eq!(differences.len(), 1);
    let users: BTreeSet<_> = differences[0].values.iter().map(|v| v.user).collect();
    let values: BTreeSet<_> = differences[0].values.iter().map(|v| v.value.to_json().to_string()).collect();
    assert_eq!((users.len(), values.len()), (2, 2), "two people, two values");
    two.b.resolve(two.household, "address", &Value::Text("一组 2 号".into())).unwrap();
    two.settle();
    two.assert_equal(two.household);
    assert!(two.a.view(two.household).unwrap().differences.is_empty(), "decided");
    assert_eq!(text(&two.a, two.household, "address"), "一组 2 号");
}

#[test]
fn an_answer_is_written_against_what_the_helper_was_shown() {
    let two = two_phones();
    let draft = two.a.edit(two.household).unwrap();
    two.a.answer_text(draft, "address", "二组 1 号").unwrap();
    edit(&two.b, two.household, &[("address", "二组 9 号")]);
    sync(&two.b);
    sync(&two.a); // the other answer merges while the form is open
    two.a.finish(draft).unwrap();
    two.settle();
    let differences = two.b.view(two.household).unwrap().differences;
    assert_eq!(differences.len(), 1, "nobody was silently overwritten");
    two.assert_equal(two.household);
}

#[test]
fn members_added_and_removed_at_once_all_show() {
    let two = two_phones();
    edit(&two.a, two.household, &[("member#a1/name", "李小一"), ("member#a1/@order", "1")]);
    two.settle();
    edit(&two.a, two.household, &[("member#a1/@deleted", "true")]);
    edit(&two.b, two.household, &[("member#a1/education", "primary"), ("member#b1/name", "李小二")]);
    two.settle();
    two.assert_equal(two.household);
    let answers = two.a.record(two.household).unwrap().answers();
    assert_eq!(answers.get("member#a1/@deleted"), Some(&Value::Bool(true)));
    assert!(answers.contains_key("member#a1/education"), "the edit of the removed member is still there");
    assert!(answers.contains_key("member#b1/name"));
    assert_eq!(two.a.store().row(two.household).unwrap().unwrap().persons, 1);
}

#[test]
fn a_screening_started_on_two_phones_that_never_met_is_one_record() {
    let two = two_phones();
    let campaign = NewRecord { campaign: Some(RecordId([5; 16])), area: None };
    let mut ids = Vec::new();
    for (phone, key) in [(&two.a, "house_grade"), (&two.b, "water_source")] {
        let draft = phone.start("screening", Some(two.household)).unwrap();
        phone.answer_text(draft, "screening_date", "2026-11-20").unwrap();
        let choice = doorstep_core::form::Pack::built_in().form("screening").unwrap();
        let question = choice.question_of(key).unwrap();
        let name = choice.choices_of(question).unwrap().choices[0].name.clone();
        phone.answer_text(draft, key, &name).unwrap();
        ids.push(phone.finish_as(draft, &campaign).unwrap());
    }
    assert_eq!(ids[0], ids[1]);
    two.settle();
    two.assert_equal(ids[0]);
    let answers = two.a.record(ids[0]).unwrap().answers();
    assert!(answers.contains_key("house_grade") && answers.contains_key("water_source"));
}

#[test]
fn sensitive_answers_live_in_a_document_of_their_own() {
    let two = two_phones();
    edit(&two.a, two.household, &[("phone", "19900000000")]);
    two.settle();
    assert!(!two.a.view(two.household).unwrap().json.contains("19900000000"));
    let parts = two.b.list(ListFilter { subject: Some(two.household), limit: 10, ..ListFilter::default() }).unwrap();
    let part = parts.iter().find(|r| r.record_type == "household.sensitive").expect("a sensitive part");
    assert!(two.b.view(part.id).unwrap().json.contains("19900000000"));
}

#[test]
fn when_nothing_changed_a_sync_is_one_small_request() {
    let two = two_phones();
    two.settle();
    let report = sync(&two.b);
    assert_eq!(report.requests, 1);
    assert_eq!((report.changes_received, report.changes_sent), (0, 0));
    assert!(report.bytes_up + report.bytes_down < 450, "{report:?}");
}

#[test]
fn what_a_phone_sent_does_not_come_back_to_it() {
    let two = two_phones();
    for n in 0..30 {
        visit(&two.a, two.household, &format!("第{n}次"));
    }
    let report = sync(&two.a);
    assert_eq!((report.requests, report.changes_acknowledged, report.changes_received), (1, 30, 0));
    assert_eq!(sync(&two.b).changes_received, 30);
}

#[test]
fn the_cost_of_an_upload_is_known_before_it_is_sent() {
    let two = two_phones();
    for n in 0..10 {
        visit(&two.a, two.household, &format!("第{n}次"));
    }
    let cost = two.a.cost(true).unwrap();
    let report = sync(&two.a);
    let off = cost.bytes_up.abs_diff(report.bytes_up);
    assert!(off <= 2, "only the request's counter may take a byte more: {} and {}", cost.bytes_up, report.bytes_up);
    assert_eq!(cost.changes_up, 10);
}
