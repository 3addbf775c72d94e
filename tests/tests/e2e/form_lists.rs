//! Lists attached to forms: they travel with the form, and phones choose from them.

use std::fmt::Write;

use doorstep_core::client::filling::{FillOptions, Filling};
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::form::FormDef;
use doorstep_core::form::expression::Spot;
use doorstep_core::form::import::import;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;
use doorstep_core::record::Value;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::forms::{AttachedFiles, FormError};
use doorstep_server::service::grants::NewGrant;
use doorstep_server::service::office::Office;
use doorstep_server::storage::Move;
use doorstep_tests::harness::{TestServer, add_household, person, sync};
use tempfile::TempDir;

fn scratch<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// A form in XLSForm's CSV layout.
const WELLS: &str = r#""survey",,,,,
,"type","name","label","choice_filter","parameters"
,"select_one_from_file hamlets.csv","hamlet","Which hamlet?",,
,"select_one_from_file wells.geojson","well","Which well?","hamlet = ${hamlet}",
,"select_multiple_from_file uses.xml","use","What for?",,"value=code label=words"
"settings",,,,,
,"form_id","form_title",,,
,"wells","Wells",,,
"#;

const HAMLETS: &str = "name,label\nupper,Upper hamlet\nlower,Lower hamlet\n";
const PLACES: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "id": "w1", "properties": {"title": "Spring", "hamlet": "upper"},
   "geometry": {"type": "Point", "coordinates": [100.5, 26.25]}},
  {"type": "Feature", "id": "w2", "properties": {"title": "Pump", "hamlet": "lower"},
   "geometry": {"type": "Point", "coordinates": [100.6, 26.5]}}]}"#;
const USES: &str = "<root><item><code>drink</code><words>Drinking</words></item>
  <item><code>field</code><words>Fields &amp; gardens</words></item></root>";

fn wells() -> FormDef {
    import(WELLS.as_bytes(), "wells").def.unwrap()
}

fn files(hamlets: &str) -> AttachedFiles {
    let files = [("hamlets.csv", hamlets), ("wells.geojson", PLACES), ("uses.xml", USES)];
    files.into_iter().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect()
}

fn at(filling: &Filling, question: &str) -> Spot {
    filling.session().spot(question).unwrap()
}

fn offered(filling: &Filling, question: &str) -> Vec<(String, String)> {
    let choices = filling.session().choices(at(filling, question));
    choices.into_iter().map(|c| (c.name.to_string(), c.label.to_string())).collect()
}

fn fill_new(phone: &Phone, form: &str) -> Filling {
    let draft = phone.start(form, None).unwrap();
    phone.fill(draft, FillOptions::default()).unwrap()
}

#[test]
fn lists_of_every_format_come_with_the_form_and_their_choices_are_kept_as_answers() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    server.service.publish_with(Actor::Office, wells(), &files(HAMLETS)).unwrap();
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let mut filling = fill_new(&phone, "wells");
    let pair = |name: &str, label: &str| (name.to_owned(), label.to_owned());
    assert_eq!(offered(&filling, "hamlet"), [pair("upper", "Upper hamlet"), pair("lower", "Lower hamlet")]);
    assert_eq!(offered(&filling, "use"), [pair("drink", "Drinking"), pair("field", "Fields & gardens")]);
    assert_eq!(offered(&filling, "well"), [], "no hamlet was chosen");
    let spot = at(&filling, "hamlet");
    filling.answer(spot, "lower").unwrap();
    assert_eq!(offered(&filling, "well"), [pair("w2", "Pump")]);
    let (well, uses) = (at(&filling, "well"), at(&filling, "use"));
    assert!(filling.answer(well, "w1").is_err(), "the well of another hamlet");
    filling.answer(well, "w2").unwrap();
    filling.answer(uses, "field").unwrap();
    let record = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    sync(&phone);
    let answers = phone.record(record).unwrap().answers();
    assert_eq!(answers.get("well"), Some(&Value::Text("w2".into())));
    assert_eq!(answers.get("use=field"), Some(&Value::Bool(true)));
    let row = server.service.storage.record_row(server.township, record).unwrap().unwrap();
    assert_eq!(row.projection.doubts, 0, "the server has the lists too");
}

#[test]
fn an_answer_that_its_list_does_not_have_is_doubtful_on_the_server() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    server.service.publish_with(Actor::Office, wells(), &files(HAMLETS)).unwrap();
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let mut filling = fill_new(&phone, "wells");
    let spot = at(&filling, "hamlet");
    filling.answer(spot, "upper").unwrap();
    let record = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    // what a program writes that doesn't look at lists
    phone.resolve(record, "hamlet", &Value::Text("nowhere".into())).unwrap();
    sync(&phone);
    let row = server.service.storage.record_row(server.township, record).unwrap().unwrap();
    assert_eq!(row.projection.doubts, 1);
}

#[test]
fn a_corrected_list_of_500_rows_travels_as_a_small_difference() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let list = |corrected: &str| {
        let mut text = String::from("name,label\n");
        for n in 0..500u32 {
            let label =
                if n == 250 { corrected.to_owned() } else { format!("Hamlet {:x}", n.wrapping_mul(2_654_435_761)) };
            writeln!(text, "h{n},{label}").unwrap();
        }
        text
    };
    let whole = server.service.publish_with(Actor::Office, wells(), &files(&list("Wrong name"))).unwrap().whole;
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let nothing = sync(&phone);
    let published = server.service.publish_with(Actor::Office, wells(), &files(&list("Right name"))).unwrap();
    assert!(published.is_new && published.difference.is_some_and(|bytes| bytes < 150), "{published:?}");
    let report = sync(&phone);
    let extra = report.bytes_down - nothing.bytes_down;
    assert_eq!((report.requests, report.forms_received), (1, 1));
    assert!(extra < 300 && whole > 2_000, "{extra} bytes, {whole} for the whole form");
    let filling = fill_new(&phone, "wells");
    assert_eq!(offered(&filling, "hamlet")[250].1, "Right name");
    let again = server.service.publish_with(Actor::Office, wells(), &files(&list("Right name"))).unwrap();
    assert!(!again.is_new, "the same lists are no new version");
}

#[test]
fn a_list_of_thirty_thousand_rows_arrives_and_one_that_no_phone_could_fetch_is_refused() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    // rows that hardly compress
    let list = |rows: u64| {
        let mut text = String::from("name,label\n");
        for n in 0..rows {
            let noise = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let noise = (noise ^ noise >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            writeln!(text, "h{n},{:016x}", noise ^ noise >> 27).unwrap();
        }
        text
    };
    let published = server.service.publish_with(Actor::Office, wells(), &files(&list(30_000))).unwrap();
    assert!(published.whole > 200_000, "{published:?}");
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let filling = fill_new(&phone, "wells");
    assert_eq!(filling.session().choices(at(&filling, "hamlet")).len(), 30_000);
    let refused = server.service.publish_with(Actor::Office, wells(), &files(&list(200_000))).unwrap_err();
    assert!(refused.to_string().contains("hamlets.csv is too large"), "{refused}");
}

#[test]
fn a_form_without_a_list_that_it_needs_or_with_one_that_does_not_fit_is_refused_by_name() {
    let dirs = scratch::<1>();
    let server = TestServer::start(dirs[0].path());
    let publish = |change: &dyn Fn(&mut AttachedFiles)| {
        let mut files = files(HAMLETS);
        change(&mut files);
        server.service.publish_with(Actor::Office, wells(), &files).unwrap_err()
    };
    let refused = publish(&|files| drop(files.remove("uses.xml")));
    assert!(matches!(&refused, FormError::MissingFiles(names) if *names == ["uses.xml"]), "{refused}");
    let refused = publish(&|files| drop(files.insert("hamlets.csv".into(), b"id,label\n1,x\n".to_vec())));
    assert!(matches!(&refused, FormError::MissingColumn { column, .. } if column == "name"), "{refused}");
    let refused =
        publish(&|files| drop(files.insert("uses.xml".into(), b"<root><item><code>a b</code></item></root>".to_vec())));
    assert!(matches!(&refused, FormError::BadChoice { name, .. } if name == "a b"), "{refused}");
    let refused = publish(&|files| drop(files.insert("wells.geojson".into(), b"[]".to_vec())));
    assert!(refused.to_string().contains("wells.geojson"), "{refused}");
    assert!(server.service.storage.form_log().unwrap().is_empty());
}

fn doorstep(args: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(crate::BINARY).args(args).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_command_line_takes_lists_from_the_workbooks_folder_and_from_where_it_is_told() {
    let dirs = scratch::<3>();
    let data = dirs[0].path().to_str().unwrap();
    let workbook = dirs[1].path().join("wells.csv");
    let elsewhere = dirs[2].path().join("uses.xml");
    std::fs::write(&workbook, WELLS).unwrap();
    std::fs::write(dirs[1].path().join("hamlets.csv"), HAMLETS).unwrap();
    std::fs::write(dirs[1].path().join("wells.geojson"), PLACES).unwrap();
    let publish = ["form", "publish", "--data", data, workbook.to_str().unwrap()];
    let (done, said) = doorstep(&publish);
    assert!(!done && said.contains("uses.xml") && !said.contains("hamlets.csv"), "{said}");
    std::fs::write(&elsewhere, USES).unwrap();
    let (done, said) = doorstep(&[&publish[..], &["--attach", elsewhere.to_str().unwrap()]].concat());
    assert!(done && said.contains("published wells 1"), "{said}");
}

/// A form that chooses among what its phone holds.
const PLACED: &str = r#""survey",,,,,
,"type","name","label","choice_filter","parameters"
,"select_one_from_file area.csv","here","Which of your areas?",,
,"select_one_from_file area_all.csv","anywhere","Which area?",,
,"select_one_from_file household.csv","house","Which household?",,
"settings",,,,,
,"form_id","form_title",,,
,"placed","Placed",,,
"#;

#[test]
fn areas_and_households_to_choose_from_end_where_the_user_s_scope_ends() {
    let dirs = scratch::<4>();
    let server = TestServer::start(dirs[0].path());
    server
        .service
        .publish_with(Actor::Office, import(PLACED.as_bytes(), "placed").def.unwrap(), &AttachedFiles::new())
        .unwrap();
    let (villages, office) = (server.villages, server.phone(dirs[1].path(), "甲"));
    let groups = [AreaId([0x71; 16]), AreaId([0x72; 16])];
    let group = |n: usize| AreaEntry {
        area: groups[n],
        parent: Some(villages[n]),
        level: "group".into(),
        code: n.to_string(),
        name_zh: format!("组{n}"),
        name_en: format!("Group {n}"),
    };
    server.service.storage.put_areas(server.township, &[group(0), group(1)]).unwrap();
    sync(&office);
    let houses = [0, 1].map(|n| add_household(&office, groups[n], &format!("000{n}"), &format!("house {n}")));
    sync(&office);
    let people = ["乙", "丙"].map(|name| person(&server.service, name));
    let grant = |user, role: &str, area, household| {
        let new = NewGrant { user, role: role.into(), area, household, until_ms: None, stand_in_for: None };
        server.service.give(Actor::CommandLine, server.township, &new).unwrap();
    };
    grant(people[0], "helper", groups[0], Some(houses[0]));
    grant(people[1], "village_cadre", villages[1], None);
    let phones = [0, 1].map(|n| server.phone_of(dirs[2 + n].path(), people[n]));
    for (n, phone) in phones.iter().enumerate() {
        sync(phone);
        let filling = fill_new(phone, "placed");
        let mut areas: Vec<String> = offered(&filling, "here").into_iter().map(|(name, _)| name).collect();
        areas.sort();
        let mut own = [server.township, villages[n], groups[n]].map(|area| area.to_string());
        own.sort();
        assert_eq!(areas, own, "phone {n}");
        assert_eq!(offered(&filling, "anywhere").len(), 5);
        assert_eq!(
            offered(&filling, "house").into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            [houses[n].to_string()]
        );
    }
    // the household comes to lie elsewhere: so do the choices
    let desk = Office::start(&server.service, person(&server.service, "办公室"), server.township).unwrap();
    desk.move_records(vec![Move::by_office(houses[0], groups[1], "2026-11-01")]).unwrap();
    sync(&phones[0]);
    assert!(offered(&fill_new(&phones[0], "placed"), "here").iter().any(|(name, _)| *name == groups[1].to_string()));
}
