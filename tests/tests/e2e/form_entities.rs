//! Forms that make and change other records, and records about several subjects, between phones and server.

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::form::import::import;
use doorstep_core::id::RecordId;
use doorstep_core::record::Value;
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_tests::harness::{TestServer, add_household, sync};
use tempfile::TempDir;

fn scratch<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// Changes the household that it is about, as ODK's entity forms do.
const CORRECT: &str = r#""survey",,,,,
,"type","name","label","save_to","default"
,"csv-external","household",,,
,"hidden","which","","","property('subject')"
,"text","road","Address","address",""
,"text","tel","Telephone","phone",""
,"text","note","Remark","remark",""
"entities",,,,,
,"list_name","entity_id","update_if",,
,"household","${which}","${road} != '' or ${note} != ''",,
"settings",,,,,
,"form_id","form_title","doorstep::subject",,
,"correct","Correct","household",,
"#;

/// Registers a household.
const REGISTER: &str = r#""survey",,,,,
,"type","name","label","save_to","doorstep::class"
,"text","head","Head","head_name",""
,"text","tel","Telephone","phone","sensitive"
"entities",,,,,
,"list_name","label",,,
,"household","${head}",,,
"settings",,,,,
,"form_id","form_title",,,
,"register","Register",,,
"#;

/// Makes trees, records of a type that no form reads; and a form that chooses among them.
const TREES: &str = r#""survey",,,
,"type","name","label","save_to"
,"text","kind","Kind","species"
"entities",,,,
,"list_name","label",,
,"Trees","${kind}",,
"settings",,,,
,"form_id","form_title",,
,"plant","Plant",,
"#;
const PRUNE: &str = r#""survey",,,
,"type","name","label"
,"select_one_from_file trees.csv","which","Which tree?"
"settings",,,
,"form_id","form_title",
,"prune","Prune",
"#;

/// A meeting with several households.
const MEETING: &str = r#""survey",,,
,"type","name","label"
,"text","topic","Topic"
"settings",,,
,"form_id","form_title","doorstep::subject"
,"meeting","Meeting","several"
"#;

fn publish(server: &TestServer, workbook: &str) {
    let found = import(workbook.as_bytes(), "form");
    server.service.publish_form(Actor::Office, found.def.expect("a form")).unwrap();
}

fn fill(phone: &Phone, form: &str, subjects: &[RecordId], answers: &[(&str, &str)]) -> RecordId {
    let draft = phone.start_about(form, subjects).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    for (question, text) in answers {
        let spot = filling.session().spot(question).unwrap();
        filling.answer(spot, text).unwrap();
    }
    phone.finish_filled(filling, &NewRecord::default()).unwrap()
}

fn about(phone: &Phone, record_type: &str, subject: RecordId) -> Vec<RecordId> {
    let record_type = Some(record_type.to_owned());
    let filter = ListFilter { record_type, subject: Some(subject), limit: 10, ..ListFilter::default() };
    phone.list(filter).unwrap().into_iter().map(|row| row.id).collect()
}

#[test]
fn two_phones_that_change_one_household_by_forms_merge_and_the_same_answer_shows_as_a_difference() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    publish(&server, CORRECT);
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    sync(&a);
    sync(&b);
    fill(&a, "correct", &[household], &[("road", "二组 3 号"), ("tel", "1"), ("note", "x")]);
    fill(&b, "correct", &[household], &[("road", "二组 4 号"), ("tel", "1"), ("note", "x")]);
    for phone in [&a, &b, &a] {
        sync(phone);
    }
    for phone in [&a, &b] {
        let view = phone.view(household).unwrap();
        let differing: Vec<&str> = view.differences.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(differing, ["address"], "what both say alike is no difference");
        assert_eq!(phone.instance_answers(household).unwrap().get("phone"), Some(&Value::Text("1".into())));
    }
    // seen by both, decided by the next form
    fill(&a, "correct", &[household], &[("road", "二组 5 号"), ("tel", "1"), ("note", "x")]);
    sync(&a);
    sync(&b);
    assert!(b.view(household).unwrap().differences.is_empty());
    assert_eq!(a.view(household).unwrap().json, b.view(household).unwrap().json);
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!((row.projection.title.as_str(), row.projection.doubts), ("李四", 0));
}

#[test]
fn a_household_that_a_form_made_is_a_household_on_the_server_and_on_other_phones() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    publish(&server, REGISTER);
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    sync(&a);
    let draft = a.start("register", None).unwrap();
    let mut filling = a.fill(draft, FillOptions::default()).unwrap();
    for (question, text) in [("head", "李四"), ("tel", "19900000000")] {
        let spot = filling.session().spot(question).unwrap();
        filling.answer(spot, text).unwrap();
    }
    let area = Some(server.villages[1]);
    let record = a.finish_filled(filling, &NewRecord { area, campaign: None }).unwrap();
    let report = sync(&a);
    assert_eq!(report.changes_acknowledged, 4, "the form and the household, each in two classes");
    sync(&b);
    let households = b.households(area, "", 0, 10).unwrap();
    assert_eq!(households.iter().map(|h| h.title.as_str()).collect::<Vec<_>>(), ["李四"]);
    let household = households[0].id;
    assert_eq!(about(&b, "register", household), [record]);
    assert!(!b.record(household).unwrap().answers().contains_key("phone"));
    assert!(b.instance_answers(household).unwrap().contains_key("phone"));
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!((row.area, row.projection.title.as_str()), (server.villages[1], "李四"));
    assert_eq!(row.projection.doubts, 0, "another form was finished, not the household's own: nothing is missing yet");
}

#[test]
fn entities_of_a_list_that_no_form_reads_are_choices_on_every_phone() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let prune = import(PRUNE.as_bytes(), "form").def.unwrap();
    let refused = server.service.publish_form(Actor::Office, prune).unwrap_err();
    assert!(refused.to_string().contains("trees.csv"), "nothing makes trees yet: {refused}");
    publish(&server, TREES);
    publish(&server, PRUNE);
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    sync(&a);
    fill(&a, "plant", &[], &[("kind", "walnut")]);
    let report = sync(&a);
    assert_eq!((report.changes_acknowledged, report.refused.len()), (2, 0));
    sync(&b);
    let draft = b.start("prune", None).unwrap();
    let filling = b.fill(draft, FillOptions::default()).unwrap();
    let choices = filling.session().choices(filling.session().spot("which").unwrap());
    assert_eq!(choices.iter().map(|c| &*c.label).collect::<Vec<_>>(), ["walnut"]);
}

#[test]
fn a_record_about_several_households_is_listed_about_each_on_phones_and_server() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    publish(&server, MEETING);
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    sync(&a);
    let households: Vec<RecordId> =
        ["李四", "王五", "张三"].iter().map(|head| add_household(&a, server.villages[0], "1", head)).collect();
    let both = fill(&a, "meeting", &households[..2], &[("topic", "water")]);
    let none = fill(&a, "meeting", &[], &[("topic", "roads")]);
    sync(&a);
    sync(&b);
    let counts = |phone: &Phone| households.iter().map(|h| about(phone, "meeting", *h).len()).collect::<Vec<_>>();
    assert_eq!((counts(&a), counts(&b)), (vec![1, 1, 0], vec![1, 1, 0]));
    assert_eq!(b.subjects(both).unwrap(), households[..2]);
    assert_eq!(b.subjects(none).unwrap(), []);
    let api = |path: String| -> serde_json::Value {
        let text = crate::client().get(format!("{}{path}", server.url())).send().unwrap().text().unwrap();
        serde_json::from_str(&text).unwrap()
    };
    for (household, expected) in households.iter().zip([1, 1, 0]) {
        let listed = api(format!("/api/records?type=meeting&subject={household}"));
        assert_eq!(listed["records"].as_array().unwrap().len(), expected);
    }
    for (record, area) in [(both, server.villages[0]), (none, server.township)] {
        let row = server.service.storage.record_row(server.township, record).unwrap().unwrap();
        assert_eq!((row.area, row.projection.doubts), (area, 0));
    }
    // edited on the other phone, it stays about both
    let draft = b.edit(both).unwrap();
    let mut filling = b.fill(draft, FillOptions::default()).unwrap();
    filling.answer_at("/data/topic", "water and roads").unwrap();
    b.finish_filled(filling, &NewRecord::default()).unwrap();
    sync(&b);
    sync(&a);
    assert_eq!(counts(&a), [1, 1, 0]);
}
