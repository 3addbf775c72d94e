//! Differing answers: listed with who and when, decided by the office or by phones, never overwritten unseen.

use doorstep_core::client::Phone;
use doorstep_core::id::RecordId;
use doorstep_core::record::Value as Answer;
use doorstep_server::api::office::OfficeAccess;
use doorstep_tests::harness::{TestServer, add_household, edit, sync};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with one household that two phones answered differently.
pub struct Differing {
    pub server: TestServer,
    pub a: Phone,
    pub b: Phone,
    pub household: RecordId,
    _dirs: [TempDir; 3],
}

impl Differing {
    pub fn new() -> Self {
        let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
        let server = TestServer::start(dirs[0].path());
        let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
        let household = add_household(&a, server.villages[0], "0001", "李四");
        let this = Self { server, a, b, household, _dirs: dirs };
        this.settle();
        edit(&this.a, household, &[("address", "一组 1 号")]);
        edit(&this.b, household, &[("address", "一组 2 号")]);
        this.settle();
        this
    }

    pub fn settle(&self) {
        for phone in [&self.a, &self.b, &self.a] {
            sync(phone);
        }
    }

    pub fn get(&self, path: &str) -> Value {
        let response = crate::client().get(format!("{}{path}", self.server.url())).send().unwrap();
        serde_json::from_str(&response.text().unwrap()).unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = crate::client().post(format!("{}{path}", self.server.url())).json(body).send().unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
    }

    pub fn record(&self) -> Value {
        self.get(&format!("/api/records/{}", self.household))
    }

    pub fn decide(&self, body: &Value) -> (u16, Value) {
        self.post(&format!("/api/records/{}/decide", self.household), body)
    }

    fn address(&self, phone: &Phone) -> Answer {
        phone.record(self.household).unwrap().answers()["address"].clone()
    }
}

#[test]
fn differing_answers_are_listed_by_area_and_question_with_both_values_people_and_times() {
    let two = Differing::new();
    let list = two.get("/api/differences");
    let found = &list["records"][0];
    assert_eq!((found["id"].as_str(), &list["questions"]), (Some(&*two.household.to_string()), &json!(["address"])));
    let values = found["answers"][0]["values"].as_array().unwrap();
    let mut said: Vec<_> = values.iter().map(|v| (v["name"].as_str().unwrap(), v["value"].as_str().unwrap())).collect();
    said.sort_unstable();
    assert_eq!(said, [("乙", "一组 2 号"), ("甲", "一组 1 号")]);
    assert!(values.iter().all(|v| v["claimed_s"].as_i64() > Some(0) && v["received_ms"].as_u64() > Some(0)));
    let count = |query: &str| two.get(&format!("/api/differences?{query}"))["records"].as_array().unwrap().len();
    let [here, there] = two.server.villages;
    assert_eq!((count(&format!("area={here}")), count(&format!("area={there}"))), (1, 0));
    assert_eq!((count("question=address"), count("question=status")), (1, 0));
    let page = |query: &str| {
        let response = crate::client().get(format!("{}/differences?lang=en&{query}", two.server.url())).send().unwrap();
        response.text().unwrap()
    };
    for text in ["一组 1 号", "一组 2 号", "甲", "乙"] {
        assert!(page("question=address").contains(text), "{text}");
        assert!(!page("question=status").contains("一组 1 号"));
    }
}

#[test]
fn the_office_decides_at_the_heads_it_was_shown_and_the_phones_hear_of_it_with_their_next_sync() {
    let two = Differing::new();
    let record = two.record();
    let body = json!({"key": "address", "index": 1, "heads": record["heads"], "reason": "上门核实"});
    let wanted = record["differences"][0]["values"][1]["value"].clone();
    let (status, said) = two.decide(&body);
    assert_eq!((status, said), (200, json!({"written": true, "still_differs": false})));
    two.settle();
    for phone in [&two.a, &two.b] {
        assert!(phone.view(two.household).unwrap().differences.is_empty());
        assert_eq!(two.address(phone).to_json(), wanted);
    }
    let entries = two.get("/api/audit?action=difference_decided")["entries"].clone();
    let entry = &entries[0];
    assert_eq!((entries.as_array().unwrap().len(), entry["reason"].as_str()), (1, Some("上门核实")));
    assert!(entry.to_string().contains(&two.household.to_string()));
    assert!(!entries.to_string().contains("一组"), "no answer stands in the log");
    assert_eq!(two.decide(&body).0, 409, "what was decided can't be decided again by the old page");
}

#[test]
fn what_a_phone_answered_while_the_office_decided_stays_a_difference() {
    let two = Differing::new();
    let shown = two.record();
    edit(&two.a, two.household, &[("address", "三组 3 号")]);
    sync(&two.a);
    let (status, said) = two.decide(&json!({"key": "address", "value": "一组 2 号", "heads": shown["heads"]}));
    assert_eq!((status, said), (200, json!({"written": true, "still_differs": true})));
    two.settle();
    let view = two.b.view(two.household).unwrap();
    assert_eq!(view.json, two.a.view(two.household).unwrap().json);
    let values: Vec<_> = view.differences[0].values.iter().map(|v| v.value.to_json()).collect();
    assert!(values.contains(&json!("三组 3 号")) && values.contains(&json!("一组 2 号")), "{values:?}");
}

#[test]
fn two_at_the_office_who_decide_by_the_same_page_do_not_overwrite_each_other_unseen() {
    let two = Differing::new();
    let shown = two.record();
    let body = |value: &str| json!({"key": "address", "value": value, "heads": shown["heads"]});
    assert_eq!(two.decide(&body("一组 2 号")).0, 200);
    let (status, said) = two.decide(&body("一组 1 号"));
    assert_eq!((status, said["error"]["code"].as_str()), (409, Some("answered_meanwhile")));
    assert_eq!(two.record()["merged"]["answers"]["address"], "一组 2 号");
}

#[test]
fn two_people_who_decide_differently_offline_converge_to_a_difference_again_and_alike_to_none() {
    for (first, second, left) in [("一组 1 号", "一组 2 号", 1), ("一组 2 号", "一组 2 号", 0)] {
        let two = Differing::new();
        two.a.resolve(two.household, "address", &first.into()).unwrap();
        two.b.resolve(two.household, "address", &second.into()).unwrap();
        for phone in [&two.a, &two.b] {
            assert!(phone.view(two.household).unwrap().differences.is_empty(), "decided, offline");
        }
        two.settle();
        let view = two.a.view(two.household).unwrap();
        assert_eq!(view.json, two.b.view(two.household).unwrap().json, "both phones read the same");
        assert_eq!(view.differences.len(), left);
        assert_eq!(two.record()["differences"].as_array().unwrap().len(), left, "and so does the server");
    }
}

#[test]
fn a_decision_that_can_not_be_meant_is_refused_in_plain_words_and_writes_nothing() {
    let two = Differing::new();
    let before = two.record();
    let heads = &before["heads"];
    let foreign = json!(["00".repeat(32)]);
    for (body, status, code) in [
        (json!({"key": "address", "index": 0, "heads": foreign}), 409, "unknown_heads"),
        (json!({"key": "address", "index": 0, "heads": []}), 409, "unknown_heads"),
        (json!({"key": "address", "index": 9, "heads": heads}), 422, "unknown_value"),
        (json!({"key": "address", "value": 7, "heads": heads}), 422, "answer_unfit"),
        (json!({"key": "status", "value": "out", "heads": heads}), 409, "no_difference"),
        (json!({"key": "address", "heads": heads}), 400, "bad_request"),
        (json!({"key": "address", "index": 0, "value": "x", "heads": heads}), 400, "bad_request"),
    ] {
        let (found, said) = two.decide(&body);
        assert_eq!((found, said["error"]["code"].as_str()), (status, Some(code)), "{body}");
        assert_ne!(said["error"]["message"]["zh"], said["error"]["code"], "{code} has words");
    }
    assert_eq!(two.record(), before);
    let unknown = format!("/api/records/{}/decide", RecordId([1; 16]));
    assert_eq!(two.post(&unknown, &json!({"key": "address", "index": 0, "heads": heads})).0, 404);
}

#[test]
fn deciding_needs_the_office_and_a_form_of_its_own_page() {
    let two = Differing::new();
    let url = format!("{}/households/{}/decide", two.server.url(), two.household);
    let heads: Vec<String> =
        two.record()["heads"].as_array().unwrap().iter().map(|h| h.as_str().unwrap().to_owned()).collect();
    let change = two.record()["differences"][0]["values"][1]["change"].as_str().unwrap().to_owned();
    let form = [("choose", format!("{change} address")), ("heads", heads.join(",")), ("reason", String::new())];
    let foreign = crate::client().post(&url).header("origin", "https://elsewhere.example").form(&form).send().unwrap();
    assert_eq!(foreign.status(), 403);
    let own = crate::client().post(&url).form(&form).send().unwrap();
    assert_eq!(own.status(), 303, "{}", own.text().unwrap());
    assert!(two.record()["differences"].as_array().unwrap().is_empty());
    let dir = TempDir::new().unwrap();
    let guarded = TestServer::start_with_office(dir.path(), OfficeAccess::key("SECRET"));
    let stranger =
        crate::client().post(format!("{}/api/records/{}/decide", guarded.url(), two.household)).json(&json!({}));
    assert_eq!(stranger.send().unwrap().status(), 401);
}
