//! Events corrected after they were finished.

use super::*;
use crate::life::{Touched, Written, corrected};

/// Says on a device what an event says now, which said something else before.
fn correct(device: &mut Device, kind: &str, pairs: &[&str]) {
    let (said, of) = happened(kind, pairs);
    let event = LifeEvent { id: EVENT, form: of, answers: &said };
    let touched = |record: &Record| Touched { answers: record.answers(), written: Written::by(&event, &[record]) };
    let mut at_hand = BTreeMap::from([(OWN, touched(&device.own)), (OTHER, touched(&device.other))]);
    at_hand.insert(MADE, touched(&device.made));
    let effects = corrected(&event, form(), OWN, Some(MADE), &at_hand);
    for (id, answers) in &effects.changed {
        device.write(*id, kind, answers);
    }
    if let Some(made) = &effects.made {
        device.write(MADE, kind, &made.answers);
    }
}

#[test]
fn another_person_died_than_was_said_first() {
    let [mut a, _] = two_devices();
    let before = a.own.answers();
    a.apply(EVENT, "death", &["member=a", "new_head=b"]);
    correct(&mut a, "death", &["member=c"]);
    let now = a.own.answers();
    assert_eq!((said(&now, "member#a/left_on"), said(&now, "member#c/left_on")), ("", "2020-05-02"));
    assert_eq!(said(&now, "head_name"), said(&before, "head_name"));
    assert_eq!((said(&now, "member#a/relation"), said(&now, "member#b/relation")), ("head", "spouse"));
    // and once more
    correct(&mut a, "death", &["member=b", "happened_on=2020-06-01"]);
    let now = a.own.answers();
    assert_eq!((said(&now, "member#b/left_on"), said(&now, "member#c/left_on")), ("2020-06-01", ""));
    assert_eq!(persons(&now), 2);
}

#[test]
fn a_birth_that_is_corrected_stays_one_child_and_one_that_is_taken_back_is_none() {
    let [mut a, _] = two_devices();
    a.apply(EVENT, "birth", &["name=李小红", "sex=female"]);
    correct(&mut a, "birth", &["name=李小虹", "sex=female", "happened_on=2020-05-01"]);
    let now = a.own.answers();
    let child = now.iter().find(|(_, v)| **v == Value::from("李小虹")).unwrap().0.strip_suffix("/name").unwrap();
    assert_eq!((persons(&now), said(&now, &format!("{child}/joined_on"))), (4, "2020-05-01"));
    assert_eq!(said(&now, &format!("{child}/birth")), "2020-05-01");
    correct(&mut a, "birth", &["name=李小虹", "withdrawn=true"]);
    assert_eq!(persons(&a.own.answers()), 3);
    // it was right after all
    correct(&mut a, "birth", &["name=李小虹", "sex=female"]);
    assert_eq!(persons(&a.own.answers()), 4);
}

#[test]
fn what_somebody_changed_since_stays_as_it_is() {
    let [mut a, _] = two_devices();
    a.apply(EVENT, "death", &["member=a", "new_head=b"]);
    a.write(OWN, "household", &answers(&["head_name=王五(改)", "member#a/left_on=2020-05-03"]));
    correct(&mut a, "death", &["member=c"]);
    let now = a.own.answers();
    assert_eq!((said(&now, "head_name"), said(&now, "member#a/left_on")), ("王五(改)", "2020-05-03"));
    assert_eq!(said(&now, "member#c/left_on"), "2020-05-02");
}

#[test]
fn a_split_that_is_taken_back_ends_the_new_household_and_gives_its_persons_back() {
    let [mut a, _] = two_devices();
    a.apply(EVENT, "household_split", &["members=c=true", "split_head=c"]);
    assert_eq!(a.persons(), 5);
    correct(&mut a, "household_split", &["members=b=true", "members=c=true", "split_head=c"]);
    assert_eq!([&a.own, &a.made].map(|r| persons(&r.answers())), [1, 2]);
    correct(&mut a, "household_split", &["members=b=true", "split_head=b"]);
    assert_eq!([&a.own, &a.made].map(|r| persons(&r.answers())), [2, 1]);
    assert_eq!(said(&a.made.answers(), "head_name"), "王五");
    correct(&mut a, "household_split", &["members=b=true", "split_head=b", "withdrawn=true"]);
    assert_eq!([&a.own, &a.made].map(|r| persons(&r.answers())), [3, 0]);
    assert_eq!(said(&a.made.answers(), "ended_why"), "error");
}

#[test]
fn a_union_with_the_wrong_household_gives_it_its_persons_back() {
    let [mut a, _] = two_devices();
    a.apply(EVENT, "household_union", &[&format!("other_household={OTHER}")]);
    assert_eq!([&a.own, &a.other].map(|r| persons(&r.answers())), [5, 0]);
    correct(&mut a, "household_union", &[&format!("other_household={OTHER}"), "withdrawn=true"]);
    assert_eq!([&a.own, &a.other].map(|r| persons(&r.answers())), [3, 2]);
    assert_eq!(said(&a.other.answers(), "ended_on"), "");
}

#[test]
fn correcting_nothing_writes_nothing() {
    for (kind, said) in EVENTS {
        let [mut fresh, _] = two_devices();
        fresh.apply(EVENT, kind, said);
        let before = fresh.views();
        correct(&mut fresh, kind, said);
        assert_eq!(fresh.views(), before, "{kind}");
    }
}
