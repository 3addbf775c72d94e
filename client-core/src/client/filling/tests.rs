//! What filling a form on a phone promises, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use super::*;
use crate::client::test_phone::{open, phone};

fn state(filling: &Filling) -> Vec<(String, String, bool)> {
    let session = filling.session();
    let one = |spot| (session.path(spot), session.value(spot).to_string(), session.is_relevant(spot));
    session.leaf_spots().into_iter().map(one).collect()
}

fn at(filling: &Filling, name: &str) -> Spot {
    let found =
        filling.session().leaf_spots().into_iter().find(|s| filling.session().model().tree().name(s.node) == name);
    found.unwrap()
}

/// Answers every question that is required and blank with something that can stand.
fn complete(filling: &mut Filling) {
    for _ in 0..50 {
        let Some(problem) = filling.session().problems().into_iter().next() else { return };
        let offered = filling.session().choices(problem.spot);
        let tries = ["2026-01-02", "1", "08:30", "text", "13800000000"].map(str::to_owned);
        let tries = offered.iter().map(|c| c.name.to_string()).chain(tries);
        let taken = tries.into_iter().any(|text| filling.answer(problem.spot, &text).is_ok());
        assert!(taken, "{}", problem.path);
    }
}

#[test]
fn a_kill_between_answers_keeps_all_of_them_and_the_form_opens_where_it_was() {
    let (dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    complete(&mut filling);
    let before = state(&filling);
    drop((filling, phone));
    let phone = open(dir.path(), 99);
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert_eq!(state(&filling), before);
    let spot = at(&filling, "head_name");
    filling.answer(spot, "张三").unwrap();
    drop((filling, phone));
    let phone = open(dir.path(), 100);
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert_eq!(&*filling.session().value(at(&filling, "head_name")), "张三");
}

#[test]
fn each_action_is_undone_as_a_whole_and_the_start_stays() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let start = state(&filling);
    let name = at(&filling, "head_name");
    filling.answer(name, "甲").unwrap();
    let one = state(&filling);
    let attributes = at(&filling, "attributes");
    let offered = filling.session().choices(attributes);
    filling.answer(attributes, &format!("{} {}", offered[0].name, offered[offered.len() - 1].name)).unwrap();
    let member = filling.session().model().keyed("member").unwrap();
    filling.add_instance(member, Rows::NONE).unwrap();
    assert!(filling.undo().unwrap(), "the member");
    assert!(filling.undo().unwrap(), "all ticks at once");
    assert_eq!(state(&filling), one);
    assert!(filling.undo().unwrap());
    assert_eq!(state(&filling), start);
    assert!(!filling.undo().unwrap());
    assert_eq!(state(&filling), start);
}

#[test]
fn a_form_with_missing_answers_is_not_finished_but_can_be_shared_or_thrown_away() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert!(!filling.session().problems().is_empty(), "the household form requires something");
    let spot = at(&filling, "head_name");
    filling.answer(spot, "张三").unwrap();
    let missing = filling.session().problems().len();
    let filling = if missing > 0 {
        let refused = phone.finish_filled(filling, &NewRecord::default());
        assert!(matches!(refused, Err(PhoneError::Unfinished { problems }) if problems == missing));
        phone.fill(draft, FillOptions::default()).unwrap()
    } else {
        filling
    };
    let shared = phone.share_filled(filling, &NewRecord::default()).unwrap();
    assert_eq!(&*shared.session().value(at(&shared, "head_name")), "张三");
    assert_eq!(phone.drafts().unwrap().len(), 1);
    shared.discard().unwrap();
    assert!(phone.drafts().unwrap().is_empty());
    assert_eq!(phone.households(None, "", 0, 10).unwrap().len(), 1);
}

#[test]
fn a_finished_form_opens_again_with_its_answers_and_no_change_writes_nothing() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    complete(&mut filling);
    let before = state(&filling);
    let record = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    let draft = phone.edit(record).unwrap();
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    let answered =
        |all: Vec<(String, String, bool)>| all.into_iter().filter(|(_, v, r)| *r && !v.is_empty()).collect::<Vec<_>>();
    assert_eq!(answered(state(&filling)), answered(before));
    assert_eq!(filling.edits(), Edits::new());
}

#[test]
fn what_merged_meanwhile_shows_when_the_draft_opens_again() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    complete(&mut filling);
    let record = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    let draft = phone.edit(record).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let name = at(&filling, "head_name");
    filling.answer(name, "李四").unwrap();
    drop(filling);
    phone.resolve(record, "household_no", &"0042".into()).unwrap();
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert_eq!(&*filling.session().value(at(&filling, "household_no")), "0042");
    assert_eq!(filling.edits().keys().collect::<Vec<_>>(), ["head_name"]);
}

#[test]
fn answers_of_the_last_round_are_taken_over_by_section_and_recorded_as_such() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    complete(&mut filling);
    let spot = at(&filling, "head_name");
    filling.answer(spot, "王五").unwrap();
    let last = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    let draft = phone.start("household", None).unwrap();
    let options = FillOptions { last_round: Some(last), ..FillOptions::default() };
    let mut filling = phone.fill(draft, options.clone()).unwrap();
    let name = at(&filling, "head_name");
    assert_eq!(filling.last_answer(name).as_deref(), Some("王五"));
    let group = filling.session().model().tree().parent(name.node).unwrap();
    let taken = filling.no_change(Spot { node: group, rows: Rows::NONE }).unwrap();
    assert!(taken >= 1);
    assert_eq!(&*filling.session().value(name), "王五");
    let section = filling.session().model().tree().name(group).to_owned();
    assert_eq!(filling.edits().get(&format!("_no_change={section}")), Some(&Value::Bool(true)));
    assert!(filling.undo().unwrap());
    assert_eq!(&*filling.session().value(name), "");
}

#[test]
fn sharing_a_draft_that_is_gone_writes_nothing() {
    let (_dir, phone) = phone();
    let draft = phone.start("household", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let spot = at(&filling, "head_name");
    filling.answer(spot, "张三").unwrap();
    // somebody else's hand threw the draft away: nothing is written either
    phone.discard(draft).unwrap();
    assert!(phone.share_filled(filling, &NewRecord::default()).is_err());
    assert!(phone.drafts().unwrap().is_empty());
    assert!(phone.households(None, "", 0, 10).unwrap().is_empty());
}

#[test]
fn a_form_is_compiled_once_for_all_its_fillings() {
    let (_dir, phone) = phone();
    let models: Vec<_> = (0..2)
        .map(|_| {
            let draft = phone.start("household", None).unwrap();
            phone.fill(draft, FillOptions::default()).unwrap().session().model().clone()
        })
        .collect();
    assert!(Arc::ptr_eq(&models[0], &models[1]));
}
