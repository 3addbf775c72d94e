//! Events in the life of households, between real phones and a real server.

use std::collections::BTreeMap;
use std::path::Path;

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::clock::{SystemEntropy, random};
use doorstep_core::id::{AreaId, Identity, RecordId, UserId};
use doorstep_core::protocol::GrantEntry;
use doorstep_core::record::{ChangeNote, Edit, FormRef, Section, Value};
use doorstep_core::store::{ListFilter, PlannedDocument};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::life::NewEvent;
use doorstep_server::service::rights::current;
use doorstep_server::storage::User;
use doorstep_tests::harness::{TestServer, add_household, edit, open_phone, sync, visit};
use tempfile::TempDir;

pub(crate) fn scratch<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// A household with a head, a wife and a son, filled as on a screen; gives the instances of the three.
pub(crate) fn family(phone: &Phone, village: AreaId, number: &str, head: &str) -> (RecordId, [String; 3]) {
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let mut say = |path: &str, text: &str| filling.answer_at(&format!("/data/{path}"), text).unwrap();
    for (path, text) in [("head_name", head), ("household_no", number), ("village", "青山村"), ("status", "out")] {
        say(&format!("basics/{path}"), text);
    }
    say("member[1]/name", head);
    say("member[1]/relation", "head");
    for (index, name, relation) in [(2, "王五", "spouse"), (3, "李小明", "son")] {
        filling.add_at("/data/member").unwrap();
        filling.answer_at(&format!("/data/member[{index}]/name"), name).unwrap();
        filling.answer_at(&format!("/data/member[{index}]/relation"), relation).unwrap();
    }
    let area = Some(village);
    let household = phone.finish_filled(filling, &NewRecord { area, campaign: None }).unwrap();
    let answers = phone.record(household).unwrap().answers();
    let instance = |name: &str| {
        let key = answers.iter().find(|(k, v)| k.ends_with("/name") && **v == Value::from(name)).unwrap().0;
        key.strip_prefix("member#").unwrap().strip_suffix("/name").unwrap().to_owned()
    };
    (household, [instance(head), instance("王五"), instance("李小明")])
}

/// Fills the form of an event about a household and finishes it.
pub(crate) fn happens(phone: &Phone, event: &str, household: RecordId, answers: &[(&str, &str)]) -> RecordId {
    let draft = phone.start(event, Some(household)).unwrap();
    say(phone, draft, answers)
}

pub(crate) fn correct(phone: &Phone, event: RecordId, answers: &[(&str, &str)]) {
    let draft = phone.edit(event).unwrap();
    say(phone, draft, answers);
}

fn say(phone: &Phone, draft: doorstep_core::store::DraftId, answers: &[(&str, &str)]) -> RecordId {
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    for (question, text) in answers {
        let spot = filling.session().spot(question);
        let spot = spot.or_else(|| filling.session().at_path(&format!("/data/{question}"))).unwrap();
        filling.answer(spot, text).unwrap_or_else(|error| panic!("{question}={text}: {error}"));
    }
    let problems: Vec<String> = filling.session().problems().iter().map(|p| format!("{p:?}")).collect();
    phone.finish_filled(filling, &NewRecord::default()).unwrap_or_else(|error| panic!("{error}: {problems:?}"))
}

pub(crate) fn said(phone: &Phone, record: RecordId, key: &str) -> String {
    match phone.instance_answers(record).unwrap().remove(key) {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    }
}

/// Persons in the list of households on a phone, by household.
pub(crate) fn persons(phone: &Phone) -> Vec<(RecordId, u32)> {
    let filter = ListFilter { record_type: Some("household".into()), limit: 100, ..ListFilter::default() };
    phone.list(filter).unwrap().into_iter().map(|row| (row.id, phone_persons(phone, row.id))).collect()
}

fn phone_persons(phone: &Phone, household: RecordId) -> u32 {
    let form = phone.form("household").unwrap();
    doorstep_core::form::Summary::by(&form.list, &phone.record(household).unwrap().answers()).persons
}

pub(crate) fn on_server(server: &TestServer, household: RecordId) -> (u32, u32, u32) {
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap().projection;
    (row.persons, row.differences, row.doubts)
}

pub(crate) fn settled(phones: &[&Phone]) {
    for _ in 0..2 {
        phones.iter().for_each(|phone| drop(sync(phone)));
    }
}

#[test]
fn a_birth_and_a_death_are_in_the_household_on_phone_and_server_and_the_past_stays() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, [head, wife, _]) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household), (3, 0, 0));
    happens(
        &a,
        "birth",
        household,
        &[("happened_on", "2026-03-01"), ("name", "李小红"), ("sex", "female"), ("relation", "granddaughter")],
    );
    happens(&b, "death", household, &[("happened_on", "2026-04-01"), ("member", &head), ("new_head", &wife)]);
    settled(&[&a, &b]);
    let (persons, differences, _) = on_server(&server, household);
    assert_eq!(persons, 3, "one more, one less");
    assert_eq!(differences, 1, "the number that each of the two computed");
    for phone in [&a, &b] {
        assert_eq!(said(phone, household, "head_name"), "王五");
        assert_eq!(phone_persons(phone, household), 3);
        let form = phone.form("household").unwrap();
        let answers = phone.record(household).unwrap().answers();
        let on = |day: &str| form.list.persons_on(&answers, day);
        assert_eq!((on("2026-02-28"), on("2026-03-01"), on("2026-04-01")), (3, 4, 3));
        let history = phone.record(household).unwrap().history();
        assert!(history.iter().any(|e| e.key == "head_name" && e.value == Value::from("李四")));
        assert!(
            history.iter().any(|e| e.section == Section::Answers && e.form.as_ref().is_some_and(|f| f.name == "birth"))
        );
    }
    // whoever opens the household's own form and finishes it computes anew
    let draft = a.edit(household).unwrap();
    let filling = a.fill(draft, FillOptions::default()).unwrap();
    a.finish_filled(filling, &NewRecord::default()).unwrap();
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household), (3, 0, 0));
}

#[test]
fn one_child_registered_by_two_phones_is_two_persons_that_look_alike_and_not_one_lost() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &b]);
    let child = [("happened_on", "2026-03-01"), ("name", "李小红"), ("sex", "female"), ("relation", "granddaughter")];
    let events = [&a, &b].map(|phone| happens(phone, "birth", household, &child));
    settled(&[&a, &b]);
    // both stand there with the same name and day: a possible duplicate, with a doubt about the number
    let (persons, differences, doubts) = on_server(&server, household);
    assert_eq!((persons, differences, doubts), (5, 0, 1));
    correct(&b, events[1], &[("withdrawn", "OK")]);
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household), (4, 0, 0));
    assert_eq!(phone_persons(&a, household), 4);
}

#[test]
fn a_household_splits_while_another_phone_edits_it_and_nobody_is_counted_twice() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, [_, wife, son]) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &b]);
    edit(&b, household, &[("address", "二组 3 号"), (&format!("member#{son}/education"), "senior")]);
    let both = format!("{wife} {son}");
    happens(
        &a,
        "household_split",
        household,
        &[
            ("happened_on", "2026-05-01"),
            ("members", &both),
            ("split_head", &son),
            ("household_no", "0002"),
            ("moved[1]/moved_relation", "mother"),
        ],
    );
    settled(&[&a, &b]);
    for phone in [&a, &b] {
        let mut counted = persons(phone);
        counted.sort_by_key(|(id, _)| *id != household);
        assert_eq!(counted.iter().map(|(_, persons)| *persons).collect::<Vec<_>>(), [1, 2]);
        let new = counted[1].0;
        assert_eq!((said(phone, new, "head_name"), said(phone, new, "household_no")), ("李小明".into(), "0002".into()));
        assert_eq!(said(phone, new, "village"), "青山村");
        assert_eq!(said(phone, new, &format!("member#{wife}/relation")), "mother");
        assert_eq!(
            (said(phone, household, "address"), said(phone, household, "head_name")),
            ("二组 3 号".into(), "李四".into())
        );
        assert_eq!(on_server(&server, new), (2, 0, 0));
    }
    assert_eq!(on_server(&server, household), (1, 0, 0));
}

#[test]
fn two_households_unite_and_a_union_that_was_wrong_is_taken_back() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    let (other, [other_head, ..]) = family(&a, server.villages[0], "0002", "赵六");
    settled(&[&a, &b]);
    let said_there = other.to_string();
    let union = happens(
        &b,
        "household_union",
        household,
        &[("happened_on", "2026-05-01"), ("other_household", &said_there), ("other_head_relation", "sibling")],
    );
    settled(&[&a, &b]);
    assert_eq!((on_server(&server, household), on_server(&server, other)), ((6, 0, 0), (0, 0, 0)));
    assert_eq!(said(&a, household, &format!("member#{other_head}/relation")), "sibling");
    assert_eq!((said(&a, other, "ended_on"), said(&a, other, "ended_why")), ("2026-05-01".into(), "united".into()));
    correct(&a, union, &[("withdrawn", "OK")]);
    settled(&[&a, &b]);
    assert_eq!((on_server(&server, household), on_server(&server, other)), ((3, 0, 0), (3, 0, 0)));
    assert_eq!(said(&b, other, "ended_on"), "");
}

#[test]
fn a_new_head_and_the_end_of_a_household() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, [head, _, son]) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &b]);
    happens(
        &a,
        "new_head",
        household,
        &[("happened_on", "2026-05-01"), ("new_head", &son), ("old_head_relation", "father")],
    );
    settled(&[&a, &b]);
    assert_eq!(said(&b, household, "head_name"), "李小明");
    assert_eq!(said(&b, household, &format!("member#{head}/relation")), "father");
    assert_eq!(on_server(&server, household), (3, 0, 0));
    happens(
        &b,
        "household_end",
        household,
        &[("happened_on", "2026-06-01"), ("ended_why", "moved_away"), ("went_to", "县城")],
    );
    settled(&[&a, &b]);
    assert_eq!(on_server(&server, household), (0, 0, 0));
    assert_eq!(phone_persons(&a, household), 0);
}

#[test]
fn who_has_left_is_not_offered_again_and_households_that_ended_are_not_offered_for_a_union() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (household, [_, wife, _]) = family(&a, server.villages[0], "0001", "李四");
    let ended = add_household(&a, server.villages[0], "0002", "赵六");
    happens(&a, "death", household, &[("happened_on", "2026-04-01"), ("member", &wife)]);
    happens(&a, "household_end", ended, &[("happened_on", "2026-06-01"), ("ended_why", "died_out")]);
    let offered = |event: &str, question: &str| -> Vec<String> {
        let draft = a.start(event, Some(household)).unwrap();
        let filling = a.fill(draft, FillOptions::default()).unwrap();
        let spot = filling.session().spot(question).unwrap();
        let labels = filling.session().choices(spot).iter().map(|choice| choice.label.to_string()).collect();
        filling.discard().unwrap();
        labels
    };
    assert_eq!(offered("death", "member"), ["李四", "李小明"]);
    assert!(offered("household_union", "other_household").is_empty());
    sync(&a);
    let villages = offered("household_move", "to_village");
    assert!(villages.contains(&"石桥村".to_owned()), "{villages:?}");
}

/// A phone of somebody with this role in this area, and for this household if one is named.
pub(crate) fn phone_of(server: &TestServer, dir: &Path, role: &str, area: AreaId, subject: Option<RecordId>) -> Phone {
    let user = UserId(random(&SystemEntropy));
    server.service.storage.put_users(&[User { id: user, name: role.into(), unit: String::new() }]).unwrap();
    let grant = GrantEntry { grant: 0, role: role.into(), area, subject, active: true };
    server.service.storage.append_grants(user, &[grant.into()]).unwrap();
    let phone = open_phone(dir);
    phone.enrol(&server.url(), &server.service.invite(Actor::CommandLine, user, server.township).unwrap()).unwrap();
    phone
}

#[test]
fn a_household_that_moves_goes_to_the_phones_of_its_new_village_with_all_about_it() {
    let dirs = scratch::<4>();
    let server = TestServer::start(dirs[0].path());
    let office = server.phone(dirs[1].path(), "站");
    let (household, _) = family(&office, server.villages[0], "0001", "李四");
    visit(&office, household, "记事");
    sync(&office);
    let [from, to] = [0, 1].map(|n| phone_of(&server, dirs[2 + n].path(), "village_cadre", server.villages[n], None));
    settled(&[&from, &to]);
    let held = |phone: &Phone| {
        let filter = ListFilter { limit: 100, ..ListFilter::default() };
        phone.list(filter).unwrap().into_iter().map(|row| row.record_type).collect::<Vec<_>>()
    };
    assert_eq!((held(&from).len(), held(&to).len()), (2, 0));
    let village = server.villages[1].to_string();
    let moved = happens(
        &from,
        "household_move",
        household,
        &[("happened_on", "2026-05-01"), ("to_village", &village), ("group_name", "三组"), ("address", "3 号")],
    );
    settled(&[&from, &to]);
    assert_eq!(held(&from), Vec::<String>::new(), "it is no longer theirs");
    let mut there = held(&to);
    there.sort_unstable();
    assert_eq!(there, ["household", "household_move", "visit"]);
    assert_eq!((said(&to, household, "village"), said(&to, household, "group")), ("石桥村".into(), "三组".into()));
    assert_eq!(said(&to, household, "address"), "3 号");
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!((row.area, row.projection.persons), (server.villages[1], 3));
    let placed = server.service.storage.placements(server.township, household).unwrap();
    let past: Vec<_> = placed.iter().map(|p| (p.area, p.until_day.as_str())).collect();
    assert_eq!(past, [(server.villages[0], "2026-05-01")], "the past stays where it was");
    // a note added later moves nothing again
    settled(&[&office]);
    let back = server.villages[0].to_string();
    happens(&office, "household_move", household, &[("happened_on", "2026-06-01"), ("to_village", &back)]);
    settled(&[&office, &to]);
    correct(&office, moved, &[("note", "搬了两次")]);
    settled(&[&office]);
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!(row.area, server.villages[0]);
}

/// A family on the office's phone and on that of the helper who is paired with it; the instances of its wife and son.
fn paired_family(dirs: &[TempDir; 3], server: &TestServer) -> ([Phone; 2], RecordId, [String; 2]) {
    let office = server.phone(dirs[1].path(), "站");
    let (household, [_, wife, son]) = family(&office, server.villages[0], "0001", "李四");
    sync(&office);
    let helper = phone_of(server, dirs[2].path(), "helper", server.villages[0], Some(household));
    settled(&[&helper]);
    ([office, helper], household, [wife, son])
}

#[test]
fn a_helper_who_registers_a_split_has_both_households() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let ([office, helper], household, [wife, son]) = paired_family(&dirs, &server);
    let both = format!("{wife} {son}");
    happens(&helper, "household_split", household, &[("members", &both), ("split_head", &son)]);
    settled(&[&helper, &office]);
    assert!(helper.refused().unwrap().is_empty());
    let mut counted: Vec<u32> = persons(&helper).into_iter().map(|(_, persons)| persons).collect();
    counted.sort_unstable();
    assert_eq!(counted, [1, 2]);
    assert_eq!(persons(&office).len(), 2);
}

#[test]
fn a_household_that_a_split_makes_is_paired_as_the_one_that_it_came_from() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let ([office, helper], household, [wife, son]) = paired_family(&dirs, &server);
    // with its day: today at the office may be tomorrow where the phone is
    let split = |member: &str| {
        let answers = [("happened_on", "2026-05-01"), ("members", member), ("split_head", member)];
        BTreeMap::from(answers.map(|(question, text)| (question.into(), text.into())))
    };
    // one that the office records on the server, one that another phone brings
    let event = NewEvent { form: "household_split".into(), household, answers: split(&son) };
    let at_office = server.service.record_event(server.township, &event).unwrap();
    settled(&[&helper, &office]);
    let mut counted: Vec<u32> = persons(&helper).into_iter().map(|(_, persons)| persons).collect();
    counted.sort_unstable();
    assert_eq!(counted, [1, 2]);
    let on_phone = happens(&office, "household_split", household, &[("members", &wife), ("split_head", &wife)]);
    settled(&[&office, &helper]);
    let held = persons(&helper);
    assert_eq!(held.iter().map(|(_, persons)| *persons).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(helper.refused().unwrap().is_empty());
    let user = helper.enrolment().unwrap().unwrap().user;
    let paired = || {
        let (_, log) = server.service.storage.grants(user, 0).unwrap();
        let now = current(&log).into_iter().map(|(_, grant)| grant.entry.clone());
        now.filter(|entry| entry.active && entry.role == "helper")
            .filter_map(|e| Some((e.grant, e.subject?)))
            .collect::<Vec<_>>()
    };
    assert_eq!(paired().len(), 3);
    // a pairing that ended later stays ended, whatever is corrected in the event
    let (grant, ended) = *paired().last().unwrap();
    server.service.end_grant(Actor::CommandLine, user, grant).unwrap();
    for event in [at_office, on_phone] {
        correct(&office, event, &[("note", "核对过")]);
    }
    settled(&[&office, &helper]);
    assert_eq!(paired().len(), 2);
    assert!(persons(&helper).iter().all(|(id, _)| *id != ended));
}

/// What a program writes that knows the event's form and not what follows from it.
pub(crate) fn writes_alone(
    phone: &Phone,
    server: &TestServer,
    household: RecordId,
    form: &str,
    answers: &[(&str, Value)],
) -> RecordId {
    let id = RecordId(random(&SystemEntropy));
    let user = phone.enrolment().unwrap().unwrap().user;
    let edits = answers.iter().map(|(key, value)| Edit::answer(*key, value.clone())).collect();
    let document = PlannedDocument {
        identity: Identity::of_type(form),
        id,
        area: server.villages[0],
        subject: Some(household),
        edits,
    };
    let form = Some(FormRef { name: form.into(), version: 1 });
    let note = ChangeNote { form, is_complete: true, ..ChangeNote::by(user) };
    phone.store().write(&[document], &note).unwrap();
    id
}

#[test]
fn an_event_whose_effects_were_not_written_is_applied_by_the_office_and_overwrites_nothing() {
    let dirs = scratch::<3>();
    let server = TestServer::start(dirs[0].path());
    let (a, old) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let (household, [head, wife, son]) = family(&a, server.villages[0], "0001", "李四");
    settled(&[&a, &old]);
    let day = ("happened_on", Value::from("2026-05-01"));
    let dead = [day.clone(), ("member", head.as_str().into()), ("new_head", wife.as_str().into())];
    writes_alone(&old, &server, household, "death", &dead);
    settled(&[&old, &a]);
    assert_eq!(on_server(&server, household).0, 2);
    assert_eq!(said(&a, household, &format!("member#{head}/left_on")), "2026-05-01");
    // the head's name was there: both stand beside each other until somebody decides
    let view = a.view(household).unwrap();
    let differing: Vec<&str> = view.differences.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(differing, ["head_name", format!("member#{wife}/relation").as_str()]);
    for name in ["李四", "王五"] {
        assert!(view.differences[0].values.iter().any(|v| v.value == Value::from(name)), "{name}");
    }
    // a split makes the other household, once
    let members = format!("members={son}");
    let split = [day, (members.as_str(), Value::Bool(true)), ("split_head", son.as_str().into())];
    writes_alone(&old, &server, household, "household_split", &split);
    settled(&[&old, &a, &old]);
    let mut counted: Vec<u32> = persons(&a).into_iter().map(|(_, persons)| persons).collect();
    counted.sort_unstable();
    assert_eq!(counted, [1, 1]);
}

#[test]
fn the_office_records_an_event_by_the_forms_rules() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let a = server.phone(dirs[1].path(), "甲");
    let (household, _) = family(&a, server.villages[0], "0001", "李四");
    sync(&a);
    let post = |form: &str, answers: serde_json::Value| {
        let body = serde_json::json!({"form": form, "household": household.to_string(), "answers": answers});
        let answer = crate::client().post(format!("{}/api/events", server.url())).json(&body).send().unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().unwrap())
    };
    let (status, said_back) = post("death", serde_json::json!({"member": "谁"}));
    assert_eq!((status, said_back["error"]["code"].as_str()), (422, Some("answers_refused")));
    assert_eq!(post("birth", serde_json::json!({"name": "李小红"})).0, 422, "relation and sex are missing");
    assert_eq!(post("visit", serde_json::json!({})).0, 400, "not an event");
    let (status, _) =
        post("death", serde_json::json!({"happened_on": "2026-05-01", "member": "李四", "new_head": "王五"}));
    assert_eq!(status, 200);
    let moved = serde_json::json!({"happened_on": "2026-06-01", "to_village": "石桥村", "group_name": "三组"});
    let (status, event) = post("household_move", moved);
    assert_eq!(status, 200);
    settled(&[&a]);
    assert_eq!(on_server(&server, household), (2, 0, 0));
    assert_eq!((said(&a, household, "head_name"), said(&a, household, "village")), ("王五".into(), "石桥村".into()));
    let row = server.service.storage.record_row(server.township, household).unwrap().unwrap();
    assert_eq!(row.area, server.villages[1]);
    // what the office recorded can be corrected on a phone
    let event: RecordId = event["record"].as_str().unwrap().parse().unwrap();
    correct(&a, event, &[("group_name", "四组")]);
    settled(&[&a]);
    assert_eq!(said(&a, household, "group"), "四组");
}
