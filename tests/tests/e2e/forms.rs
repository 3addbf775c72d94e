//! Published forms: phones get corrected versions by sync, and what was made with old ones stays.

use doorstep_core::client::Phone;
use doorstep_core::form::definition::QuestionKind;
use doorstep_core::form::{FormDef, Item, Pack, Question};
use doorstep_core::protocol::{FormBytes, FormEntry, FormsNews};
use doorstep_core::record::Value;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::forms::FormError;
use doorstep_tests::harness::{TestServer, add_household, edit, open_phone, sync, visit};
use tempfile::TempDir;

fn scratch<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// The visit form with one more question, as a township corrects it.
fn corrected(name: &str) -> FormDef {
    let mut def = Pack::built_in().form("visit").unwrap().def().clone();
    let remark = def.question("remark").unwrap().clone();
    def.items.push(Item::Question(Box::new(Question { name: name.to_owned(), ..remark })));
    def
}

fn made_with(phone: &Phone, record: doorstep_core::id::RecordId) -> Vec<u32> {
    let record = phone.record(record).unwrap();
    let mut versions: Vec<u32> =
        record.history().iter().filter_map(|h| record.author_of(&h.change)?.note.form.map(|f| f.version)).collect();
    versions.dedup();
    versions
}

#[test]
fn a_corrected_form_costs_a_phone_a_few_hundred_bytes_and_no_request_of_its_own() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let nothing = sync(&phone);
    let published = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap();
    assert!(published.is_new);
    assert_eq!(phone.form("visit").unwrap().version, 1, "not before the sync");
    let first = sync(&phone);
    assert_eq!((first.requests, first.forms_received, first.forms_unreadable), (1, 1, 0));
    assert_eq!(phone.form("visit").unwrap().version, published.version);
    assert!(phone.form("visit").unwrap().question("road_state").is_some());
    server.service.publish_form(Actor::Office, corrected("road_closed")).unwrap();
    let report = sync(&phone);
    let extra = report.bytes_down - nothing.bytes_down;
    assert_eq!((report.requests, report.forms_received), (1, 1));
    assert!(extra < 400, "{extra} bytes for a new question");
    let after = sync(&phone);
    assert_eq!((after.requests, after.forms_received), (1, 0), "and nothing again");
    assert!(after.bytes_up + after.bytes_down <= 500, "{} bytes", after.bytes_up + after.bytes_down);
}

#[test]
fn the_same_form_is_not_published_twice_and_one_that_breaks_records_is_refused() {
    let dirs = scratch::<1>();
    let server = TestServer::start(dirs[0].path());
    let first = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap();
    let again = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap();
    assert_eq!((again.version, again.is_new), (first.version, false));
    let mut breaking = corrected("road_state");
    for item in &mut breaking.items {
        if let Item::Question(question) = item
            && question.name == "road_state"
        {
            question.kind = QuestionKind::Integer;
        }
    }
    let refused = server.service.publish_form(Actor::Office, breaking).unwrap_err();
    assert!(matches!(&refused, FormError::Breaks(breaks) if breaks.len() == 1), "{refused}");
    assert!(refused.to_string().contains("road_state"), "{refused}");
    assert_eq!(server.service.storage.form_log().unwrap().len(), 1);
}

#[test]
fn a_record_of_an_old_version_merges_with_one_of_the_new_and_both_answers_show() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (old, new) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&old, server.villages[0], "0001", "李四");
    let record = visit(&old, household, "初次");
    sync(&old);
    sync(&new);
    let published = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap();
    sync(&new);
    edit(&new, record, &[("road_state", "塌方")]);
    sync(&new);
    // this phone hasn't synced since: it writes with the version that it has
    edit(&old, record, &[("remark", "再次")]);
    sync(&old);
    sync(&new);
    for phone in [&old, &new] {
        let answers = phone.record(record).unwrap().answers();
        assert_eq!(answers.get("road_state"), Some(&Value::Text("塌方".into())));
        assert_eq!(answers.get("remark"), Some(&Value::Text("再次".into())));
        assert!(phone.view(record).unwrap().differences.is_empty());
    }
    assert_eq!(old.view(record).unwrap().json, new.view(record).unwrap().json);
    let mut versions = made_with(&new, record);
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions, [1, published.version]);
    let row = server.service.storage.record_row(server.township, record).unwrap().unwrap();
    assert_eq!(row.projection.doubts, 0, "the new question is known to the server");
}

#[test]
fn a_draft_on_a_retired_version_is_finished_with_it() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let second = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap().version;
    let phone = server.phone(dirs[1].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    let draft = phone.start("visit", Some(household)).unwrap();
    phone.answer_text(draft, "road_state", "塌方").unwrap();
    let third = server.service.publish_form(Actor::Office, corrected("road_closed")).unwrap().version;
    assert!(server.service.retire_form(Actor::Office, "visit", second).unwrap());
    assert!(!server.service.retire_form(Actor::Office, "visit", second).unwrap(), "retired once");
    sync(&phone);
    assert_eq!(phone.form("visit").unwrap().version, third);
    phone.close().unwrap();
    let phone = open_phone(dirs[1].path());
    phone.answer_text(draft, "road_state", "已通").unwrap();
    let record = phone.finish(draft).unwrap();
    assert_eq!(made_with(&phone, record), [second]);
    assert_eq!(sync(&phone).changes_acknowledged, 1);
    assert!(phone.form_version("visit", second).is_ok());
    // with the third retired too, new visits are made with the built-in form again
    assert!(server.service.retire_form(Actor::Office, "visit", third).unwrap());
    sync(&phone);
    assert_eq!(phone.form("visit").unwrap().version, 1);
}

#[test]
fn a_damaged_definition_stops_nothing_and_is_asked_for_again() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let version = server.service.publish_form(Actor::Office, corrected("road_state")).unwrap().version;
    let phone = server.phone(dirs[1].path(), "甲");
    // what a network or a disk made of it
    let log = server.service.storage.form_log().unwrap();
    let change = &log[0].change;
    let entry = FormEntry {
        name: change.name.clone(),
        version,
        hash: change.hash,
        retired: false,
        at_ms: change.at_ms,
        definition: Some(FormBytes { base: None, packed: vec![0xff; 40] }),
    };
    let news = FormsNews { position: log[0].position, entries: vec![entry] };
    let taken = phone.store().apply_forms(&news).unwrap();
    assert_eq!((taken.received, taken.unreadable), (0, 1));
    assert_eq!(phone.form("visit").unwrap().version, 1, "the one before is used meanwhile");
    assert_eq!(phone.form_versions().unwrap().unreadable().len(), 1, "and it shows");
    add_household(&phone, server.villages[0], "0001", "李四");
    let report = sync(&phone);
    assert_eq!((report.changes_acknowledged, report.forms_received), (1, 1));
    assert_eq!(phone.form("visit").unwrap().version, version);
    assert!(phone.form_versions().unwrap().unreadable().is_empty());
    assert_eq!(sync(&phone).forms_received, 0);
}

#[test]
fn a_server_restored_from_an_older_backup_tells_its_log_anew_and_the_phone_goes_on() {
    let dirs = scratch::<3>();
    let first = TestServer::start(dirs[0].path());
    let phone = first.phone(dirs[1].path(), "甲");
    first.service.publish_form(Actor::Office, corrected("road_state")).unwrap();
    let backup = dirs[2].path().join("doorstep.db");
    first.service.storage.backup(&backup).unwrap();
    first.service.publish_form(Actor::Office, corrected("road_closed")).unwrap();
    sync(&phone);
    assert_eq!(phone.form("visit").unwrap().version, 3);
    let known = phone.store().forms_known().unwrap();
    drop(first);
    let restored = TestServer::start(dirs[2].path());
    restored.service.publish_form(Actor::Office, corrected("bridge_state")).unwrap();
    phone.use_transport(std::sync::Arc::new(doorstep_core::sync::HttpTransport::new(&restored.url()).unwrap()));
    sync(&phone);
    let form = phone.form("visit").unwrap();
    assert_eq!(form.version, 3);
    assert!(form.question("bridge_state").is_some(), "what the server says now counts");
    assert_ne!(phone.store().forms_known().unwrap().position, known.position);
}

/// A survey as a township writes it: the second version asks one question more.
const SURVEY: &str = "\
\"survey\",,,\n\
,\"type\",\"name\",\"label\"\n\
,\"text\",\"hamlet\",\"Which hamlet?\"\n\
,\"integer\",\"wells\",\"How many wells?\"\n";
const SETTINGS: &str = "\"settings\",,\n,\"form_id\",\"form_title\"\n,\"wells\",\"Wells\"\n";

fn doorstep(args: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(crate::BINARY).args(args).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_workbook_is_published_listed_and_retired_from_the_command_line() {
    let dirs = scratch::<2>();
    let (data, file) = (dirs[0].path().to_str().unwrap().to_owned(), dirs[1].path().join("wells.csv"));
    let name = file.to_str().unwrap();
    let publish = |survey: &str| {
        std::fs::write(&file, format!("{survey}{SETTINGS}")).unwrap();
        doorstep(&["form", "publish", "--data", &data, name])
    };
    let (done, said) = publish(SURVEY);
    assert!(done && said.contains("published wells 1"), "{said}");
    let (done, said) = publish(SURVEY);
    assert!(done && said.contains("nothing published"), "{said}");
    let (done, said) = publish(&SURVEY.replace("How many wells?", "How many wells are there?"));
    assert!(done && said.contains("published wells 2"), "{said}");
    let (done, said) = publish(&SURVEY.replace("\"integer\"", "\"text\""));
    assert!(!done && said.contains("wells") && said.contains("another name"), "{said}");
    let (done, said) = publish(&SURVEY.replace("\"integer\"", "\"integre\""));
    assert!(!done && said.contains("integre"), "diagnostics as of form check: {said}");
    let (done, said) = doorstep(&["form", "retire", "--data", &data, "wells", "2"]);
    assert!(done && said.contains("made with version 1"), "{said}");
    assert!(!doorstep(&["form", "retire", "--data", &data, "wells", "9"]).0);
    let (_, listed) = doorstep(&["form", "list", "--data", &data]);
    for line in ["wells\t1\tcurrent", "wells\t2\tretired", "visit\t1\tcurrent\tbuilt-in"] {
        assert!(listed.contains(line), "{listed}");
    }
}

#[test]
fn a_form_that_no_program_ships_is_filled_sent_and_listed() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let phones = [server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙")];
    let csv = format!("{SURVEY}{SETTINGS}");
    let mut def = doorstep_core::form::import::import(csv.as_bytes(), "wells").def.unwrap();
    def.list.title = "hamlet".to_owned();
    server.service.publish_form(Actor::Office, def).unwrap();
    phones.iter().for_each(|phone| drop(sync(phone)));
    let draft = phones[0].start("wells", None).unwrap();
    phones[0].answer_text(draft, "hamlet", "上寨").unwrap();
    phones[0].answer_text(draft, "wells", "3").unwrap();
    let record = phones[0].finish(draft).unwrap();
    sync(&phones[0]);
    sync(&phones[1]);
    let row = phones[1].store().row(record).unwrap().unwrap();
    assert_eq!(row.title, "上寨", "by the list columns of the published form");
    let row = server.service.storage.record_row(server.township, record).unwrap().unwrap();
    assert_eq!((row.projection.title.as_str(), row.projection.doubts), ("上寨", 0));
    let api = |path: &str| -> serde_json::Value {
        serde_json::from_str(&crate::client().get(format!("{}{path}", server.url())).send().unwrap().text().unwrap())
            .unwrap()
    };
    let listed = api("/api/forms");
    let wells = listed["forms"].as_array().unwrap().iter().find(|f| f["name"] == "wells").unwrap().clone();
    assert_eq!((wells["version"].as_u64(), wells["current"].as_bool()), (Some(1), Some(true)));
    assert_eq!(api("/api/forms/wells/1")["items"].as_array().unwrap().len(), 2);
    assert_eq!(api("/api/forms/wells/2")["error"]["code"], "not_found");
}

#[test]
fn a_cut_at_any_place_loses_at_most_the_forms_under_way() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    for n in 0..12 {
        let mut def = corrected("road_state");
        def.name = format!("visit_{n}");
        // what doesn't compress, so that the forms take several frames
        let words: String = (0..6_000)
            .map(|i: u32| char::from(b'a' + (i.wrapping_mul(2_654_435_761 + n * 77) >> 27) as u8 % 26))
            .collect();
        def.titles.0.insert("zz".to_owned(), words);
        server.service.publish_form(Actor::Office, def).unwrap();
    }
    let link =
        server.runtime().block_on(doorstep_server::link::Link::start(server.address, Default::default())).unwrap();
    let phone = server.phone_at(dirs[1].path(), "甲", &format!("http://{}", link.address));
    let mut seen = Vec::new();
    for _ in 0..40 {
        link.counts.cut_after(12_000);
        let done = doorstep_tests::harness::try_sync(&phone).is_ok();
        seen.push(phone.form_versions().unwrap().versions().count());
        if done {
            break;
        }
    }
    assert!(seen.windows(2).all(|w| w[0] <= w[1]), "nothing that came is lost: {seen:?}");
    assert!(seen.len() > 2, "the link was cut: {seen:?}");
    assert_eq!(seen.last(), Some(&12), "{seen:?}");
    assert!(phone.form_versions().unwrap().unreadable().is_empty());
}
