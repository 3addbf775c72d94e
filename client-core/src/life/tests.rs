#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use proptest::prelude::*;

use super::*;
use crate::form::Pack;
use crate::id::{ActorId, ChangeHash, UserId};
use crate::record::{Author, ChangeNote, Edit, Record};

const OWN: RecordId = RecordId([1; 16]);
const OTHER: RecordId = RecordId([2; 16]);
const MADE: RecordId = RecordId([3; 16]);
const EVENT: RecordId = RecordId([9; 16]);

fn form() -> &'static Form {
    Pack::built_in().form_of_type("household").unwrap()
}

/// Answers written as `key=value`; a value `true` is a tick.
fn answers(pairs: &[&str]) -> Answers {
    let pair = |pair: &&str| {
        let (key, value) = pair.rsplit_once('=').unwrap();
        let value = if value == "true" { Value::Bool(true) } else { Value::from(value) };
        (key.to_owned(), value)
    };
    pairs.iter().map(pair).collect()
}

/// A man, his wife and their son.
fn household() -> Answers {
    answers(&[
        "head_name=李四",
        "household_no=0001",
        "village=云坪",
        "group=一组",
        "status=out",
        "member#a/name=李四",
        "member#a/relation=head",
        "member#b/name=王五",
        "member#b/relation=spouse",
        "member#b/id_number=999999195001100013",
        "member#c/name=李小明",
        "member#c/relation=son",
        "member#c/birth=1990-05-01",
    ])
}

fn other() -> Answers {
    answers(&["head_name=赵六", "village=云坪", "member#x/name=赵六", "member#x/relation=head", "member#y/name=赵小"])
}

fn happened(kind: &str, said: &[&str]) -> (Answers, &'static FormDef) {
    let mut answers = answers(said);
    answers.entry("happened_on".to_owned()).or_insert_with(|| "2020-05-02".into());
    (answers, Pack::built_in().form(kind).unwrap())
}

fn apply(kind: &str, said: &[&str], own: &Answers, other: Option<&Answers>) -> Effects {
    let (answers, form_of_event) = happened(kind, said);
    let event = LifeEvent { id: EVENT, form: form_of_event, answers: &answers };
    let other = other.map(|answers| (OTHER, answers));
    effects(&event, &Households { form: form(), own: (OWN, own), other })
}

fn after(answers: &Answers, effects: &Effects, id: RecordId) -> Answers {
    let mut after = answers.clone();
    after.extend(effects.changed.get(&id).cloned().unwrap_or_default());
    after
}

fn said<'a>(answers: &'a Answers, key: &str) -> &'a str {
    text(answers, key).unwrap_or_default()
}

fn persons(answers: &Answers) -> u32 {
    crate::form::Summary::by(&form().list, answers).persons
}

#[test]
fn every_kind_of_event_has_one_form_in_the_pack() {
    let mut kinds: Vec<EventKind> = Pack::built_in().forms().iter().filter_map(|form| form.event()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, EventKind::ALL);
    for form in Pack::built_in().forms().iter().filter(|form| form.event().is_some()) {
        let carried: Vec<&str> = form.event_carries().collect();
        assert!(carried.iter().all(|name| self::form().question(name).is_some()), "{}: {carried:?}", form.name);
        assert!(form.question(asked::DAY).is_some() && form.question(asked::WITHDRAWN).is_some(), "{}", form.name);
    }
}

#[test]
fn a_child_that_is_born_is_a_person_with_its_day_of_birth() {
    let own = household();
    let born = apply("birth", &["name=李小红", "sex=female", "relation=granddaughter", "note=顺产"], &own, None);
    let now = after(&own, &born, OWN);
    let child = now.keys().find_map(|key| key.strip_suffix("/joined_on")).unwrap().to_owned();
    assert_eq!((persons(&own), persons(&now)), (3, 4));
    for (question, value) in [
        ("name", "李小红"),
        ("sex", "female"),
        ("birth", "2020-05-02"),
        ("joined_on", "2020-05-02"),
        ("joined_why", "birth"),
    ] {
        assert_eq!(said(&now, &format!("{child}/{question}")), value);
    }
    assert!(!now.contains_key("note") && !now.contains_key(&format!("{child}/note")));
    assert_eq!((form().list.persons_on(&now, "2020-05-01"), form().list.persons_on(&now, "2020-05-02")), (3, 4));
}

#[test]
fn who_died_is_no_person_any_more_and_the_new_head_heads_the_household() {
    let own = household();
    let died = apply("death", &["member=a", "new_head=b"], &own, None);
    let now = after(&own, &died, OWN);
    assert_eq!((persons(&now), said(&now, "head_name")), (2, "王五"));
    assert_eq!((said(&now, "member#a/left_on"), said(&now, "member#a/left_why")), ("2020-05-02", "death"));
    assert_eq!((said(&now, "member#a/relation"), said(&now, "member#b/relation")), ("head", "head"));
    assert_eq!(form().list.persons_on(&now, "2020-05-01"), 3);
}

#[test]
fn who_leaves_does_not_become_head_and_somebody_unknown_does_nothing() {
    let own = household();
    let now = after(&own, &apply("member_out", &["members=b=true", "members=c=true", "new_head=b"], &own, None), OWN);
    assert_eq!((persons(&now), said(&now, "head_name")), (1, "李四"));
    let unknown = apply("death", &["member=z", "new_head=y"], &own, None);
    assert_eq!(unknown.changed[&OWN].len(), 1, "the mark alone");
}

#[test]
fn a_new_head_is_named_and_the_former_head_gets_the_relation_that_was_said() {
    let own = household();
    let now = after(&own, &apply("new_head", &["new_head=c", "old_head_relation=father"], &own, None), OWN);
    assert_eq!((said(&now, "head_name"), said(&now, "member#c/relation")), ("李小明", "head"));
    assert_eq!((said(&now, "member#a/relation"), said(&now, "member#b/relation")), ("father", "spouse"));
}

#[test]
fn a_household_that_moves_has_another_place_from_that_day_on() {
    let own = household();
    let area = "0b".repeat(16);
    let to = format!("to_area={area}");
    let told = [to.as_str(), "village=新坪", "address=1号"];
    let moved = apply("household_move", &told, &own, None);
    let now = after(&own, &moved, OWN);
    assert_eq!((said(&now, "village"), said(&now, "address"), now.get("group")), ("新坪", "1号", Some(&Value::Blank)));
    let (answers, form_of_event) = happened("household_move", &told);
    let placement = placement(&LifeEvent { id: EVENT, form: form_of_event, answers: &answers }, OWN).unwrap();
    assert_eq!((placement.record, placement.area.to_string(), placement.from_day.as_str()), (OWN, area, "2020-05-02"));
    assert_eq!(persons(&now), 3);
}

#[test]
fn a_split_moves_persons_with_all_that_is_known_of_them_and_nobody_is_counted_twice() {
    let own = household();
    let split = apply(
        "household_split",
        &[
            "members=b=true",
            "members=c=true",
            "split_head=c",
            "household_no=0002",
            "moved#n1/moved_member=b",
            "moved#n1/moved_relation=mother",
        ],
        &own,
        None,
    );
    let (now, made) = (after(&own, &split, OWN), split.made.clone().unwrap());
    assert_eq!((persons(&now), persons(&made.answers)), (1, 2));
    assert_eq!(made.identity, Identity::keyed("household", &[EVENT]));
    let new = &made.answers;
    assert_eq!((said(new, "head_name"), said(new, "household_no"), said(new, "village")), ("李小明", "0002", "云坪"));
    assert_eq!((said(new, "member#c/relation"), said(new, "member#b/relation")), ("head", "mother"));
    assert_eq!((said(new, "member#b/id_number"), said(new, "member#b/joined_why")), ("999999195001100013", "split"));
    assert_eq!(said(&now, "member#b/left_why"), "split");
    let on = |answers: &Answers, day: &str| form().list.persons_on(answers, day);
    assert_eq!((on(&now, "2020-05-01"), on(new, "2020-05-01")), (3, 0));
    assert_eq!((on(&now, "2020-05-02"), on(new, "2020-05-02")), (1, 2));
}

#[test]
fn a_union_moves_all_persons_and_ends_the_household_that_joined() {
    let (own, other) = (household(), other());
    let said_there = format!("other_household={OTHER}");
    let united = apply("household_union", &[&said_there, "other_head_relation=sibling"], &own, Some(&other));
    let (now, gone) = (after(&own, &united, OWN), after(&other, &united, OTHER));
    assert_eq!((persons(&now), persons(&gone)), (5, 0));
    assert_eq!((said(&now, "member#x/relation"), said(&now, "member#y/joined_why")), ("sibling", "united"));
    assert_eq!((said(&gone, "ended_on"), said(&gone, "ended_why")), ("2020-05-02", "united"));
    let on = |answers: &Answers, day: &str| form().list.persons_on(answers, day);
    assert_eq!((on(&now, "2020-05-01"), on(&gone, "2020-05-01")), (3, 2));
    // without the other household's answers nobody is made up
    assert_eq!(apply("household_union", &[&said_there], &own, None).changed[&OWN].len(), 1);
}

#[test]
fn somebody_who_split_off_and_comes_back_keeps_the_days_of_before() {
    let own = household();
    let split = apply("household_split", &["members=c=true", "split_head=c"], &own, None);
    let (now, made) = (after(&own, &split, OWN), split.made.unwrap().answers);
    let (back, form_of_event) =
        happened("household_union", &[&format!("other_household={OTHER}"), "happened_on=2021-01-01"]);
    let event = LifeEvent { id: RecordId([8; 16]), form: form_of_event, answers: &back };
    let united = effects(&event, &Households { form: form(), own: (OWN, &now), other: Some((OTHER, &made)) });
    let (whole, gone) = (after(&now, &united, OWN), after(&made, &united, OTHER));
    let on = |day: &str| form().list.persons_on(&whole, day) + form().list.persons_on(&gone, day);
    assert_eq!((persons(&whole), persons(&gone)), (3, 0));
    for day in ["2020-05-01", "2020-05-02", "2020-12-31", "2021-01-01"] {
        // before the split the new household had nobody, after the union it has nobody again
        assert_eq!(on(day), 3, "{day}");
    }
}

#[test]
fn an_ended_household_has_no_persons_and_had_some_before() {
    let own = household();
    let now = after(&own, &apply("household_end", &["ended_why=moved_away"], &own, None), OWN);
    assert_eq!((persons(&now), said(&now, "ended_on"), said(&now, "ended_why")), (0, "2020-05-02", "moved_away"));
    assert_eq!(said(&now, "member#b/left_why"), "moved_out");
    assert_eq!(form().list.persons_on(&now, "2020-05-01"), 3);
}

#[test]
fn without_a_day_or_taken_back_an_event_writes_nothing() {
    let own = household();
    assert_eq!(apply("death", &["member=a", "happened_on=soon"], &own, None), Effects::default());
    assert_eq!(apply("death", &["member=a", "withdrawn=true"], &own, None), Effects::default());
}

/// A household as documents on one device.
struct Device {
    actor: u8,
    own: Record,
    other: Record,
    made: Record,
}

impl Device {
    fn new(actor: u8) -> Self {
        let made = Record::new(Identity::keyed("household", &[EVENT]));
        let fresh = |name: &str| Record::new(Identity::of_type(name));
        Self { actor, own: fresh("household"), other: fresh("household"), made }
    }

    fn author(&self, form: &str) -> Author {
        let form = Some(crate::record::FormRef { name: form.to_owned(), version: 1 });
        let note = ChangeNote { form, ..ChangeNote::by(UserId([self.actor; 16])) };
        Author { actor: ActorId([self.actor; 16]), note, claimed_s: i64::from(self.actor) }
    }

    fn record(&mut self, id: RecordId) -> &mut Record {
        match id {
            OWN => &mut self.own,
            OTHER => &mut self.other,
            _ => &mut self.made,
        }
    }

    fn write(&mut self, id: RecordId, form: &str, answers: &Answers) {
        let author = self.author(form);
        let record = self.record(id);
        let edits: Vec<Edit> = answers.iter().map(|(key, value)| Edit::answer(key.clone(), value.clone())).collect();
        let heads: Vec<ChangeHash> = record.heads();
        record.edit(&heads, &author, &edits).unwrap();
    }

    fn take(&mut self, from: &Self) {
        for (mine, theirs) in [(&mut self.own, &from.own), (&mut self.other, &from.other), (&mut self.made, &from.made)]
        {
            for change in theirs.changes() {
                mine.accept(&change.bytes).unwrap();
            }
        }
    }

    fn apply(&mut self, id: RecordId, kind: &str, pairs: &[&str]) {
        let (said, of) = happened(kind, pairs);
        let event = LifeEvent { id, form: of, answers: &said };
        let (own, other) = (self.own.answers(), self.other.answers());
        let effects = effects(&event, &Households { form: form(), own: (OWN, &own), other: Some((OTHER, &other)) });
        for (id, answers) in &effects.changed {
            self.write(*id, kind, answers);
        }
        if let Some(made) = &effects.made {
            self.write(MADE, kind, &made.answers);
        }
    }

    fn persons(&self) -> u32 {
        [&self.own, &self.other, &self.made].into_iter().map(|record| persons(&record.answers())).sum()
    }

    fn views(&self) -> [String; 3] {
        [&self.own, &self.other, &self.made].map(|record| record.view().json)
    }
}

/// Two devices that hold the same two households.
fn two_devices() -> [Device; 2] {
    let mut first = Device::new(1);
    first.write(OWN, "household", &household());
    first.write(OTHER, "household", &other());
    let mut second = Device::new(2);
    second.take(&first);
    [first, second]
}

fn meet(a: &mut Device, b: &mut Device) {
    a.take(b);
    b.take(a);
    assert_eq!(a.views(), b.views());
}

/// What may happen to the two households.
const EVENTS: [(&str, &[&str]); 8] = [
    ("birth", &["name=李小红", "sex=female"]),
    ("death", &["member=a", "new_head=b"]),
    ("marriage_out", &["member=c"]),
    ("member_out", &["members=b=true", "members=c=true"]),
    ("household_split", &["members=c=true", "split_head=c"]),
    ("household_union", &["other_household=02020202020202020202020202020202", "other_head_relation=sibling"]),
    ("new_head", &["new_head=b", "old_head_relation=spouse"]),
    ("household_end", &["ended_why=died_out"]),
];

proptest! {
    #[test]
    fn the_same_event_applied_twice_is_one_event(which in 0..EVENTS.len()) {
        let (kind, said) = EVENTS[which];
        let [mut a, mut b] = two_devices();
        a.apply(EVENT, kind, said);
        let alone = a.persons();
        b.apply(EVENT, kind, said);
        meet(&mut a, &mut b);
        prop_assert_eq!(a.persons(), alone, "nobody is counted twice");
        let differing = [&a.own, &a.other, &a.made].map(|record| record.view().differences);
        prop_assert!(differing.iter().all(Vec::is_empty), "{:?}", differing);
        // and once more by somebody who has it already
        b.apply(EVENT, kind, said);
        meet(&mut a, &mut b);
        prop_assert_eq!(a.persons(), alone);
    }

    #[test]
    fn events_of_two_people_converge_in_any_order_and_nobody_is_in_two_households(
        steps in proptest::collection::vec((0..EVENTS.len(), any::<bool>(), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let [mut a, mut b] = two_devices();
        for (at, (which, by_a, by_b, they_meet)) in steps.into_iter().enumerate() {
            let (kind, said) = EVENTS[which];
            // a split's household follows from its event: here there is one
            let id = if kind == "household_split" { EVENT } else { RecordId([10 + at as u8; 16]) };
            if by_a {
                a.apply(id, kind, said);
            }
            if by_b {
                b.apply(id, kind, said);
            }
            if they_meet {
                meet(&mut a, &mut b);
            }
        }
        meet(&mut a, &mut b);
        let [own, other, made] = [&a.own, &a.other, &a.made].map(Record::answers);
        for person in ["a", "b", "c", "x", "y"] {
            let columns = &form().list;
            let homes = [&own, &other, &made].into_iter().filter(|answers| Persons { columns, answers }.is_present(person));
            prop_assert!(homes.count() <= 1, "{} belongs to two households", person);
        }
    }
}

mod correcting;

#[test]
fn an_event_lacks_its_day_its_other_household_or_a_person_until_they_are_there() {
    let lacks = |kind: &str, said: &[&str], other: Option<&Answers>| {
        let (answers, form_of_event) = happened(kind, said);
        let event = LifeEvent { id: EVENT, form: form_of_event, answers: &answers };
        let own = household();
        let other = other.map(|answers| (OTHER, answers));
        lacking(&event, &Households { form: form(), own: (OWN, &own), other })
    };
    assert_eq!(lacks("death", &["member=a"], None), None);
    assert_eq!(lacks("death", &["member=z"], None), Some(Lack::Person));
    assert_eq!(lacks("death", &["member=a", "new_head=z"], None), Some(Lack::Person));
    assert_eq!(lacks("household_split", &["members=b=true", "members=z=true"], None), Some(Lack::Person));
    assert_eq!(lacks("birth", &["name=李小虹", "happened_on="], None), Some(Lack::Day));
    assert_eq!(lacks("death", &["member=z", "withdrawn=true"], None), None, "nothing to be done");
    let other_household = format!("other_household={OTHER}");
    assert_eq!(lacks("household_union", &[&other_household], None), Some(Lack::OtherHousehold));
    assert_eq!(lacks("household_union", &[&other_household], Some(&other())), None);
}
