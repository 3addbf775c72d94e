//! The record at any past moment, and earlier values put back.

use doorstep_tests::harness::{edit, sync};
use serde_json::{Value, json};

use crate::differences::Differing;

fn changes_of(two: &Differing, key: &str) -> Vec<Value> {
    let history = two.get(&format!("/api/records/{}/history", two.household));
    history["history"].as_array().unwrap().iter().filter(|e| e["key"] == key).cloned().collect()
}

#[test]
fn a_record_is_read_as_it_was_at_a_number_of_the_feed_or_a_time_of_the_server() {
    let two = Differing::new();
    edit(&two.a, two.household, &[("address", "三组 3 号")]);
    two.settle();
    let changes = changes_of(&two, "address");
    assert_eq!(changes.len(), 3);
    let at = |as_of: &str| two.get(&format!("/api/records/{}?as_of={as_of}", two.household));
    let first = changes.iter().min_by_key(|c| c["seq"].as_u64()).unwrap();
    let seq = first["seq"].as_u64().unwrap();
    let before = at(&(seq - 1).to_string());
    assert_eq!(before["merged"]["answers"]["address"], Value::Null);
    assert_eq!(before["merged"]["answers"]["head_name"], "李四");
    let then = at(&seq.to_string());
    assert_eq!((&then["merged"]["answers"]["address"], &then["as_of"]["seq"]), (&first["value"], &first["seq"]));
    assert!(then["differences"].as_array().unwrap().is_empty(), "the other answer hadn't come");
    let differing = at(&(seq + 1).to_string());
    assert_eq!(differing["differences"][0]["values"].as_array().unwrap().len(), 2);
    assert_eq!(two.record()["differences"].as_array().unwrap().len(), 0, "now it is settled");
    assert_eq!(at("0")["merged"]["answers"], json!({}), "before its first change it was empty");
    assert_eq!(at("1990-01-01T00:00:00%2B08:00")["merged"]["answers"], json!({}));
    let later = at("2990-01-01T00:00:00Z");
    assert_eq!(later["merged"], two.record()["merged"]);
    let status = |as_of: &str| {
        let url = format!("{}/api/records/{}?as_of={as_of}", two.server.url(), two.household);
        crate::client().get(url).send().unwrap().status().as_u16()
    };
    assert_eq!(status("yesterday"), 400);
}

#[test]
fn the_page_shows_the_record_as_it_was_then_and_leads_back_to_now() {
    let two = Differing::new();
    let first = changes_of(&two, "head_name")[0].clone();
    edit(&two.a, two.household, &[("head_name", "李四四")]);
    sync(&two.a);
    let page = |query: &str| {
        let url = format!("{}/households/{}?lang=zh{query}", two.server.url(), two.household);
        crate::client().get(url).send().unwrap().text().unwrap()
    };
    let link = format!("/households/{}?as_of={}", two.household, first["seq"]);
    assert!(page("").contains(&link), "the history leads there");
    let then = page(&format!("&as_of={}", first["seq"]));
    assert!(then.contains("<dd>李四</dd>") && then.contains("回到现在"), "{then}");
    assert!(!then.contains("<section id=\"differences\""), "nothing differed then");
}

#[test]
fn an_earlier_value_put_back_is_an_ordinary_change_that_overwrites_nothing_unseen() {
    let two = Differing::new();
    let first = changes_of(&two, "head_name")[0]["change"].clone();
    edit(&two.a, two.household, &[("head_name", "李四四")]);
    sync(&two.a);
    let shown = two.record();
    let restore = |heads: &Value| {
        let body = json!({"key": "head_name", "change": first, "heads": heads, "reason": "录错"});
        two.post(&format!("/api/records/{}/restore", two.household), &body)
    };
    edit(&two.b, two.household, &[("head_name", "李五")]);
    sync(&two.b); // arrives while the page is open
    let (status, said) = restore(&shown["heads"]);
    assert_eq!((status, said), (200, json!({"written": true, "still_differs": true})));
    two.settle();
    let differing: Vec<String> = changes_of(&two, "head_name").iter().map(|c| c["value"].to_string()).collect();
    assert_eq!(differing.len(), 4, "history only grows: {differing:?}");
    let record = two.record();
    let differences = record["differences"].as_array().unwrap();
    let values = differences.iter().find(|d| d["key"] == "head_name").unwrap()["values"].clone();
    let values: Vec<&str> = values.as_array().unwrap().iter().filter_map(|v| v["value"].as_str()).collect();
    assert!(values.contains(&"李四") && values.contains(&"李五"), "{values:?}");
    assert_eq!(two.a.view(two.household).unwrap().json, two.b.view(two.household).unwrap().json);
    let entries = two.get("/api/audit?action=record_restored")["entries"].clone();
    assert!(entries.as_array().unwrap().len() == 1 && !entries.to_string().contains("李"), "{entries}");
    let again = json!({"key": "address", "change": first, "heads": shown["heads"]});
    assert_eq!(two.post(&format!("/api/records/{}/restore", two.household), &again).0, 422, "it never put that");
}
