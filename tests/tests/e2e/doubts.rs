//! Merged isn't valid: what phones wrote apart, each by the form's rules, is looked through once more together.

use std::sync::Arc;

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::form::definition::Sensitivity;
use doorstep_core::form::session::Doubt;
use doorstep_core::form::{FormDef, Item};
use doorstep_core::id::{Identity, RecordId, TenantKey};
use doorstep_core::record::{ChangeNote, Edit};
use doorstep_core::store::PlannedDocument;
use doorstep_server::service::audit::Actor;
use doorstep_server::storage::{DoubtFilter, DoubtRow, Storage};
use doorstep_tests::harness::{TestServer, add_household, edit, open_phone_at, sync, visit};
use tempfile::TempDir;

/// Adults are among the persons, the sum is theirs with the guests, and what was spent doesn't exceed the income.
const SURVEY: &str = "\
\"survey\",,,,,\n\
,\"type\",\"name\",\"label\",\"constraint\",\"calculation\"\n\
,\"integer\",\"persons\",\"Persons\",,\n\
,\"integer\",\"adults\",\"Adults\",\". <= ${persons}\",\n\
,\"integer\",\"guests\",\"Guests\",,\n\
,\"calculate\",\"all\",,,\"${persons} + ${guests}\"\n\
,\"integer\",\"income\",\"Income\",,\n\
,\"integer\",\"spent\",\"Spent\",\". <= ${income}\",\n\
,\"date\",\"day\",\"Day\",\". = today()\",\n\
\"settings\",,\n,\"form_id\",\"form_title\"\n,\"meals\",\"Meals\"\n";

fn survey() -> FormDef {
    let mut def = doorstep_core::form::import::import(SURVEY.as_bytes(), "meals").def.unwrap();
    for item in &mut def.items {
        if let Item::Question(question) = item
            && question.name == "income"
        {
            question.class = Sensitivity::Sensitive;
        }
    }
    def
}

struct Two {
    server: TestServer,
    a: Phone,
    b: Phone,
    _dirs: [TempDir; 3],
}

/// Two phones with the survey.
fn two_phones() -> Two {
    let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    server.service.publish_form(Actor::Office, survey()).unwrap();
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    for phone in [&a, &b] {
        sync(phone);
    }
    Two { server, a, b, _dirs: dirs }
}

impl Two {
    fn settle(&self) {
        for phone in [&self.a, &self.b, &self.a] {
            sync(phone);
        }
    }

    fn doubts(&self, closed: bool) -> Vec<DoubtRow> {
        let filter = DoubtFilter { closed, limit: 100, ..DoubtFilter::default() };
        self.server.service.storage.doubts(self.server.township, &filter).unwrap()
    }

    fn open(&self) -> Vec<(String, Doubt)> {
        self.doubts(false).into_iter().map(|row| (row.doubt.key, row.doubt.kind)).collect()
    }

    fn count(&self, record: RecordId) -> u32 {
        let row = self.server.service.storage.record_row(self.server.township, record).unwrap();
        row.unwrap().projection.doubts
    }

    fn api(&self, query: &str) -> serde_json::Value {
        let address = format!("{}/api/doubts{query}", self.server.url());
        serde_json::from_str(&crate::client().get(address).send().unwrap().text().unwrap()).unwrap()
    }

    fn page(&self, query: &str) -> String {
        let address = format!("{}/doubts{query}", self.server.url());
        crate::client().get(address).send().unwrap().text().unwrap()
    }

    fn sensitive_part(&self, record: RecordId) -> RecordId {
        let key = TenantKey(self.server.service.secrets.tenant_key);
        Identity::part("meals", "sensitive", record).derived_id(&key).unwrap()
    }
}

/// Fills the survey as a screen does, new or on a record, and finishes it.
fn fill(phone: &Phone, record: Option<RecordId>, offset_minutes: i32, answers: &[(&str, &str)]) -> RecordId {
    let draft = match record {
        Some(record) => phone.edit(record).unwrap(),
        None => phone.start("meals", None).unwrap(),
    };
    let mut filling = phone.fill(draft, FillOptions { offset_minutes, ..FillOptions::default() }).unwrap();
    for (key, text) in answers {
        let spot = filling.session().spot(key).unwrap();
        filling.answer(spot, text).unwrap();
    }
    phone.finish_filled(filling, &NewRecord::default()).unwrap()
}

#[test]
fn edits_that_are_valid_apart_and_not_together_open_one_entry_that_a_correction_closes() {
    let two = two_phones();
    let record = fill(&two.a, None, 480, &[("persons", "5"), ("adults", "3"), ("guests", "1")]);
    two.settle();
    assert_eq!((two.open(), two.count(record)), (Vec::new(), 0));
    fill(&two.a, Some(record), 480, &[("persons", "3")]);
    fill(&two.b, Some(record), 480, &[("adults", "5")]);
    two.settle();
    assert_eq!(two.open(), [("adults".to_owned(), Doubt::Constraint)]);
    assert_eq!(two.count(record), 1);
    let opened = &two.doubts(false)[0];
    assert_eq!(
        (opened.record, opened.doubt.form.name.as_str(), opened.doubt.class),
        (record, "meals", Sensitivity::Core)
    );
    let listed = two.api("?form=meals&question=adults&kind=constraint");
    let entry = &listed["doubts"][0];
    assert_eq!((entry["key"].as_str(), entry["masked"].as_bool()), (Some("adults"), Some(false)));
    assert_eq!(entry["change"]["by"].as_str(), Some("乙"), "the edit that came last opened it");
    assert_eq!(two.api("?question=persons")["doubts"].as_array().unwrap().len(), 0);
    assert_eq!(two.api("?kind=nothing")["error"]["code"], "bad_request");
    assert!(two.page("?lang=en").contains("Breaks a condition of the form"));
    // an ordinary change on what the phone shows by now
    fill(&two.b, Some(record), 480, &[("adults", "2")]);
    two.settle();
    assert_eq!((two.open(), two.count(record)), (Vec::new(), 0));
    let closed = two.doubts(true);
    assert_eq!(closed.len(), 1);
    assert!(closed[0].closed_ms.is_some());
    assert_eq!(two.api("?state=closed")["doubts"][0]["closed_ms"].as_u64(), closed[0].closed_ms);
}

#[test]
fn sums_computed_apart_differ_from_what_the_merged_answers_give() {
    let two = two_phones();
    let record = fill(&two.a, None, 480, &[("persons", "5"), ("guests", "1")]);
    two.settle();
    fill(&two.a, Some(record), 480, &[("persons", "6")]);
    fill(&two.b, Some(record), 480, &[("guests", "2")]);
    two.settle();
    assert_eq!(two.open(), [("all".to_owned(), Doubt::Differs)]);
    // opening the form computes it anew
    fill(&two.b, Some(record), 480, &[("adults", "1")]);
    two.settle();
    assert_eq!(two.open(), []);
}

#[test]
fn a_rule_over_two_classes_is_checked_and_only_who_may_read_the_higher_one_learns_of_it() {
    let two = two_phones();
    let record = fill(&two.a, None, 480, &[("persons", "5"), ("income", "100"), ("spent", "50")]);
    let part = two.sensitive_part(record);
    two.settle();
    assert_eq!(two.open(), []);
    // one changes the sensitive document alone, the other the core document alone
    fill(&two.a, Some(record), 480, &[("income", "60")]);
    fill(&two.b, Some(record), 480, &[("spent", "90")]);
    two.settle();
    let open = two.doubts(false);
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].doubt.key.as_str(), open[0].doubt.class), ("spent", Sensitivity::Sensitive));
    assert_eq!((open[0].record, two.count(record), two.count(part)), (part, 0, 1));
    let entry = &two.api("")["doubts"][0];
    assert_eq!((entry["masked"].as_bool(), &entry["key"]), (Some(true), &serde_json::Value::Null));
    assert_eq!(two.api("?question=spent")["doubts"].as_array().unwrap().len(), 0, "not by asking for it either");
    let page = two.page("?lang=en");
    assert!(page.contains(&record.to_string()) && !page.contains("Spent"), "{page}");
    // the other document alone closes it
    fill(&two.a, Some(record), 480, &[("income", "95")]);
    two.settle();
    assert_eq!((two.open(), two.count(part)), (Vec::new(), 0));
    // and the first one opens and closes it likewise
    fill(&two.b, Some(record), 480, &[("spent", "95")]);
    fill(&two.a, Some(record), 480, &[("income", "94")]);
    assert_eq!(two.a.record(part).unwrap().answers().len(), 1);
    two.settle();
    assert_eq!(two.count(part), 1);
    fill(&two.b, Some(record), 480, &[("spent", "1")]);
    two.settle();
    assert_eq!((two.open(), two.count(part)), (Vec::new(), 0));
}

#[test]
fn rules_see_a_records_own_day_wherever_it_was_written() {
    let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    server.service.publish_form(Actor::Office, survey()).unwrap();
    // 2026-06-02T05:00Z: the evening before in -07:00, the afternoon in +08:00
    const NOW_MS: u64 = 1_780_376_400_000;
    let [west, east] = [1, 2].map(|n| {
        let phone = open_phone_at(dirs[n].path(), NOW_MS);
        phone.enrol(&server.url(), &server.code("甲")).unwrap();
        sync(&phone);
        phone
    });
    let note = |phone: &Phone, record: RecordId| -> ChangeNote {
        let opened = phone.record(record).unwrap();
        let last = opened.changes().pop().unwrap().hash;
        opened.author_of(&last).unwrap().note
    };
    let here = fill(&west, None, -420, &[("persons", "1"), ("day", "2026-06-01")]);
    assert_eq!(note(&west, here).zone_minutes, -420);
    let there = fill(&east, None, 480, &[("persons", "1"), ("day", "2026-06-02")]);
    assert!(!note(&east, there).to_string().contains("z="), "the usual zone costs nothing");
    for phone in [&west, &east] {
        sync(phone);
    }
    let filter = DoubtFilter { limit: 10, ..DoubtFilter::default() };
    assert_eq!(server.service.storage.doubts(server.township, &filter).unwrap(), []);
    // a later change elsewhere says nothing about a day that was right when it was given
    edit(&west, here, &[("guests", "1")]);
    sync(&west);
    assert_eq!(server.service.storage.doubts(server.township, &filter).unwrap(), []);
    // without its zone the same day is the one before
    let draft = west.start("meals", None).unwrap();
    west.answer_text(draft, "day", "2026-06-01").unwrap();
    let elsewhere = west.finish(draft).unwrap();
    sync(&west);
    let found = server.service.storage.doubts(server.township, &filter).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].record, found[0].doubt.key.as_str(), found[0].doubt.kind),
        (elsewhere, "day", Doubt::Constraint)
    );
}

#[test]
fn what_must_be_answered_is_missed_only_in_a_finished_form() {
    let dirs: [TempDir; 2] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    let mut def = survey();
    def.list.title.clear();
    for item in &mut def.items {
        if let Item::Question(question) = item
            && question.name == "guests"
        {
            question.required = Some("${persons} > 4".to_owned());
        }
    }
    server.service.publish_form(Actor::Office, def).unwrap();
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let count = |record| {
        sync(&phone);
        server.service.storage.record_row(server.township, record).unwrap().unwrap().projection.doubts
    };
    let draft = phone.start("meals", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let persons = filling.session().spot("persons").unwrap();
    filling.answer(persons, "5").unwrap();
    let mut filling = phone.share_filled(filling, &NewRecord::default()).unwrap();
    let record = filling.session().spot("persons").and_then(|_| phone.drafts().unwrap()[0].record).unwrap();
    assert_eq!(count(record), 0, "shared, not finished");
    let guests = filling.session().spot("guests").unwrap();
    filling.answer(guests, "2").unwrap();
    phone.finish_filled(filling, &NewRecord::default()).unwrap();
    assert_eq!(count(record), 0);
    edit(&phone, record, &[("guests", "")]);
    assert_eq!(count(record), 2);
    let filter = DoubtFilter { kind: Some(Doubt::Missing), limit: 10, ..DoubtFilter::default() };
    let missed = server.service.storage.doubts(server.township, &filter).unwrap();
    assert_eq!(missed[0].doubt.key, "guests", "finished, and blank again; the sum doesn't fit any more either");
}

#[test]
fn a_day_that_does_not_fit_the_devices_syncs_is_doubtful_until_it_is_written_again() {
    let dirs: [TempDir; 2] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    let storage: &Arc<dyn Storage> = &server.service.storage;
    let record = visit(&phone, household, "路上泥泞");
    let doubts = |closed| -> Vec<(String, Doubt)> {
        sync(&phone);
        let filter = DoubtFilter { record: Some(record), closed, limit: 10, ..DoubtFilter::default() };
        let found = storage.doubts(server.township, &filter).unwrap();
        let dates = found.into_iter().filter(|row| row.doubt.kind == Doubt::Date);
        dates.map(|row| (row.doubt.key, row.doubt.kind)).collect()
    };
    assert_eq!(doubts(false), []);
    let future = [("visit_date".to_owned(), Doubt::Date)];
    edit(&phone, record, &[("visit_date", "2099-01-01")]);
    assert_eq!(doubts(false), future);
    edit(&phone, record, &[("remark", "再次")]);
    assert_eq!(doubts(false), future, "it stands as it was");
    edit(&phone, record, &[("visit_date", "2026-11-20")]);
    assert_eq!((doubts(false), doubts(true)), (Vec::new(), future.to_vec()));
    // two days ago the phone had nothing of this visit of last year
    let device = storage.devices(server.township).unwrap().remove(0);
    let before_ms = device.last_sync_ms - 2 * 24 * 3600 * 1000;
    storage.put_device(&doorstep_server::storage::Device { last_sync_ms: before_ms, ..device }).unwrap();
    edit(&phone, record, &[("visit_date", "2025-11-20")]);
    assert_eq!(doubts(false), future);
}

#[test]
fn records_show_what_a_newer_version_of_their_form_lists_and_forbids() {
    let two = two_phones();
    let record = fill(&two.a, None, 480, &[("persons", "5"), ("adults", "3")]);
    two.settle();
    let title =
        || two.server.service.storage.record_row(two.server.township, record).unwrap().unwrap().projection.title;
    assert_eq!(two.server.service.refresh_records().unwrap(), 0);
    let head = two.server.service.storage.head(two.server.township).unwrap();
    let mut def = survey();
    def.list.title = "persons".to_owned();
    for item in &mut def.items {
        if let Item::Question(question) = item
            && question.name == "adults"
        {
            question.constraint = Some(". < 3 and . <= ${persons}".to_owned());
        }
    }
    let version = two.server.service.publish_form(Actor::Office, def).unwrap().version;
    assert_eq!((title().as_str(), two.open()), ("", Vec::new()));
    assert_eq!(two.server.service.refresh_records().unwrap(), 1);
    assert_eq!((title().as_str(), two.open()), ("5", vec![("adults".to_owned(), Doubt::Constraint)]));
    assert_eq!(two.doubts(false)[0].doubt.form.version, version);
    assert_eq!(two.server.service.storage.head(two.server.township).unwrap(), head, "phones needn't hear of it");
    assert_eq!(two.server.service.refresh_records().unwrap(), 0, "done once");
}

#[test]
fn a_part_that_names_another_forms_record_leaves_its_doubts_alone() {
    let two = two_phones();
    let household = add_household(&two.a, two.server.villages[0], "0001", "李四");
    let enrolment = two.a.store().enrolment().unwrap().unwrap();
    let area = two.server.villages[0];
    let write = |identity: Identity, id, subject, edit| {
        let document = PlannedDocument { identity, id, area, subject, edits: vec![edit] };
        two.a.store().write(&[document], &ChangeNote::by(enrolment.user)).unwrap();
    };
    write(Identity::of_type("household"), household, None, Edit::answer("status_year", 1800));
    two.settle();
    assert_eq!(two.open(), [("status_year".to_owned(), Doubt::Constraint)]);
    let part = two.sensitive_part(household);
    write(Identity::part("meals", "sensitive", household), part, Some(household), Edit::answer("income", 100));
    two.settle();
    assert!(two.server.service.storage.record_row(two.server.township, part).unwrap().is_some());
    assert_eq!((two.open().len(), two.count(household)), (1, 1));
}
