#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

mod converge;
mod forged;
mod hostile;
mod snapshot;

use super::*;
use crate::id::{RecordId, UserId};

pub(super) fn author(n: u8) -> Author {
    let note =
        ChangeNote { form: Some(FormRef { name: "visit".into(), version: 3 }), ..ChangeNote::by(UserId([n; 16])) };
    Author { actor: ActorId([n; 16]), note, claimed_s: 1_790_000_000 + i64::from(n) }
}

pub(super) fn visit() -> Record {
    Record::new(Identity::of_type("visit"))
}

pub(super) fn put(record: &mut Record, n: u8, key: &str, value: impl Into<Value>) -> RawChange {
    let heads = record.heads();
    record.edit(&heads, &author(n), &[Edit::answer(key, value)]).unwrap().unwrap()
}

#[test]
fn the_first_change_is_frozen_byte_for_byte() {
    let keyed = Identity::keyed("screening", &[RecordId([0xab; 16]), RecordId([0x01; 16])]);
    for (identity, golden) in [(Identity::of_type("visit"), GOLDEN_VISIT), (keyed, GOLDEN_SCREENING)] {
        let record = Record::new(identity);
        let found = (record.genesis_hash().to_string(), data_encoding::HEXLOWER.encode(&record.genesis_bytes()));
        assert_eq!((found.0.as_str(), found.1.as_str()), golden);
        assert_eq!(record.heads(), [record.genesis_hash()]);
    }
}

#[test]
fn the_record_at_earlier_heads_is_the_record_that_had_only_what_came_until_then() {
    let (mut whole, mut parts) = (visit(), Vec::new());
    let mut other = whole.clone();
    let mut concurrent = Vec::new();
    for n in 0..12 {
        // every third change is made apart and merged two changes later
        let change = if n % 3 == 2 { put(&mut other, 2, "income", n) } else { put(&mut whole, 1, "income", n + 100) };
        concurrent.push(change);
        if n % 4 == 3 {
            for change in &concurrent {
                whole.accept(&change.bytes).unwrap();
                other.accept(&change.bytes).unwrap();
            }
        }
        parts.push(whole.clone());
    }
    for earlier in parts {
        assert_eq!(whole.view_at(&earlier.heads()), earlier.view());
        assert_eq!(whole.answers_at(&earlier.heads()), earlier.answers());
    }
    assert!(whole.answers_at(&[whole.genesis_hash()]).is_empty(), "before its first answer there was none");
}

const GOLDEN_VISIT: (&str, &str) = (
    "e054652d47a5ca16902b273d6f5d0d19315ef48cb0b0d074c575e5f976c0dc5c",
    "856f4a83e054652d016000108db7528af966f383025f373c84f4d1030101000000080104020415203401420456045705700200047f0000047f047b07616e7377657273066576656e74730566696c6573046d65746104747970650504007f0104007f5676697369740500",
);
const GOLDEN_SCREENING: (&str, &str) = (
    "d718c172d7c279a46ef711ddbe30e9c0728679c67d70846c976a06e04791c30c",
    "856f4a83d718c17201ae010010a4a8d98db9eeba825cabab85239565510101000000080104020415263401420456085749700200040300000403047907616e7377657273066576656e74730566696c6573046d6574610474797065026b30026b31070400030104007f960102860473637265656e696e67616261626162616261626162616261626162616261626162616261626162616230313031303130313031303130313031303130313031303130313031303130310700",
);

#[test]
fn two_helpers_editing_apart_give_a_difference_that_one_change_settles() {
    let (mut a, mut b) = (visit(), visit());
    let x = put(&mut a, 1, "income", 100);
    let y = put(&mut b, 2, "income", 200);
    a.accept(&y.bytes).unwrap();
    b.accept(&x.bytes).unwrap();
    assert_eq!(a.view(), b.view());
    let view = a.view();
    assert_eq!(
        view.differences[0].values.iter().map(|v| v.value.clone()).collect::<Vec<_>>(),
        [200.into(), 100.into()]
    );
    assert_eq!(a.value(Section::Answers, "income"), Some(200.into()));
    put(&mut a, 1, "income", 200);
    assert!(a.view().differences.is_empty());
    assert_eq!(a.history().last().unwrap().previous.len(), 2);
}

#[test]
fn concurrent_equal_values_are_no_difference() {
    let (mut a, mut b) = (visit(), visit());
    put(&mut a, 1, "income", 100);
    let y = put(&mut b, 2, "income", 100);
    a.accept(&y.bytes).unwrap();
    assert!(a.view().differences.is_empty());
}

#[test]
fn an_edit_at_the_heads_that_were_shown_stays_concurrent_to_what_merged_since() {
    let (mut a, mut b) = (visit(), visit());
    let shown = a.heads();
    a.accept(&put(&mut b, 2, "roof", "tiles").bytes).unwrap();
    a.edit(&shown, &author(1), &[Edit::answer("roof", "straw")]).unwrap().unwrap();
    assert_eq!(a.view().differences.len(), 1);
}

#[test]
fn blank_differs_from_a_value_and_an_equal_value_is_no_change() {
    let (mut a, mut b) = (visit(), visit());
    let x = put(&mut a, 1, "phone", "1");
    b.accept(&x.bytes).unwrap();
    let y = put(&mut b, 2, "phone", Value::Blank);
    put(&mut a, 1, "phone", "2");
    a.accept(&y.bytes).unwrap();
    assert_eq!(a.view().differences.len(), 1);
    let heads = b.heads();
    assert_eq!(b.edit(&heads, &author(2), &[Edit::answer("phone", Value::Blank)]), Ok(None));
}

#[test]
fn ticks_and_repeat_instances_of_two_helpers_merge_without_a_difference() {
    let (mut a, mut b) = (visit(), visit());
    put(&mut a, 1, "attributes=disabled", true);
    put(&mut a, 1, "member#aa/name", "A");
    let x = put(&mut b, 2, "attributes=veteran", true);
    let y = put(&mut b, 2, "member#bb/@deleted", true);
    a.accept(&x.bytes).unwrap();
    a.accept(&y.bytes).unwrap();
    assert_eq!(a.answers().len(), 4);
    assert!(a.view().differences.is_empty());
}

#[test]
fn removing_a_repeat_instance_keeps_what_another_helper_wrote_into_it() {
    let (mut a, mut b) = (visit(), visit());
    let x = put(&mut a, 1, "member#aa/name", "A");
    b.accept(&x.bytes).unwrap();
    put(&mut a, 1, "member#aa/@deleted", true);
    let y = put(&mut b, 2, "member#aa/name", "B");
    a.accept(&y.bytes).unwrap();
    assert_eq!(a.value(Section::Answers, "member#aa/name"), Some("B".into()));
    assert_eq!(a.value(Section::Answers, "member#aa/@deleted"), Some(true.into()));
    assert!(a.view().differences.is_empty());
}

#[test]
fn an_event_is_written_once() {
    let mut a = visit();
    let event = |json: &str| Edit { section: Section::Events, key: "ab".repeat(8), value: json.into() };
    let heads = a.heads();
    a.edit(&heads, &author(1), &[event(r#"{"kind":"opened"}"#)]).unwrap().unwrap();
    let heads = a.heads();
    let again = a.edit(&heads, &author(2), &[event(r#"{"kind":"closed"}"#)]);
    assert_eq!(again, Err(EditError::EventExists { index: 0 }));
    assert_eq!(a.events().len(), 1);
    assert!(
        serde_json::from_str::<serde_json::Value>(&a.view().json).unwrap()["events"]["abababababababab"].is_object()
    );
}

#[test]
fn a_snapshot_gives_the_same_record_and_only_under_its_identity_and_heads() {
    let mut a = visit();
    put(&mut a, 1, "member#aa/@order", 1);
    let bytes = a.snapshot().unwrap();
    let loaded = Record::from_snapshot(Identity::of_type("visit"), &bytes, &a.heads()).unwrap();
    assert_eq!(loaded.view(), a.view());
    assert!(Record::from_snapshot(Identity::of_type("visit"), &bytes, &[a.genesis_hash()]).is_err());
    assert!(Record::from_snapshot(Identity::of_type("household"), &bytes, &a.heads()).is_err());
    assert!(Record::from_snapshot(Identity::of_type("visit"), &[], &a.heads()).is_err());
}

#[test]
fn keys_and_notes_read_back_as_they_were_written() {
    for good in ["a", "a.b-c_1", "q=选项", "m#a1/q", "m#a1/q=x=y", "m#a1/@order", "m#a/n#b/@deleted"] {
        assert_eq!(key::AnswerKey::parse(good).unwrap().to_string(), good);
    }
    for bad in
        ["", "1a", "@order", "q=", "q=a/b", "m#/q", "m#A/q", "m/q", "m#a/", "m#a/@other", "q=a\u{7}", &"a".repeat(257)]
    {
        assert_eq!(key::AnswerKey::parse(bad), None);
    }
    let note = author(1).note;
    assert_eq!(note.to_string().parse(), Ok(note.clone()));
    let full =
        ChangeNote { zone_minutes: -420, is_complete: true, remade_from: Some(visit().genesis_hash()), ..note.clone() };
    assert_eq!(full.to_string().parse(), Ok(full.clone()));
    assert!(full.to_string().contains(" z=-420 c r="), "{full}");
    assert!(!note.to_string().contains("z="), "the usual zone costs nothing");
    let with = |more: &str| format!("{note} {more}");
    for bad in ["z=480", "z=+60", "z=060", "z=841", "z=-841", "z=", "c c", "c z=0", "z=0 z=0"] {
        assert!(with(bad).parse::<ChangeNote>().is_err(), "{bad}");
    }
    assert_eq!((ChangeNote::zone_of(345), ChangeNote::zone_of(-9_999)), (345, -840));
    for bad in ["", "u=1", &format!("{note} "), &format!("{note} x=1"), &note.to_string().replace("@3", "@03")] {
        assert!(bad.parse::<ChangeNote>().is_err());
    }
}

#[test]
fn a_record_takes_no_more_than_travels_in_one_frame_and_one_change_can_merge() {
    let mut long = visit();
    let text = |n: usize| format!("{n:06}").repeat(5_000);
    let full = (0..).find_map(|n| {
        let heads = long.heads();
        long.edit(&heads, &author(1), &[Edit::answer("remark", text(n))]).err()
    });
    assert_eq!(full, Some(EditError::Refused(Refusal::RecordFull)));
    assert!((limits::RECORD_BYTES / 2..=limits::RECORD_BYTES).contains(&long.snapshot().unwrap().len()));

    let mut wide = visit();
    let genesis = wide.genesis_hash();
    for n in 0..limits::RECORD_HEADS {
        let mut other = visit();
        let actor = ActorId((n as u128 + 1).to_be_bytes());
        let change = other.edit(&[], &Author { actor, ..author(1) }, &[Edit::answer("q", n as i64)]).unwrap().unwrap();
        assert!(wide.has_room(change.bytes.len(), &[genesis]));
        wide.accept_by_guard(&change.bytes).unwrap();
    }
    assert!(!wide.has_room(100, &[genesis]), "another head is too much");
    assert!(wide.has_room(100, &wide.heads()), "a change that merges them all is not");
    put(&mut wide, 9, "q", 1_000);
    assert_eq!(wide.heads().len(), 1);
}

#[test]
fn a_text_with_the_sign_zero_is_refused() {
    assert_eq!(
        visit().edit(&[], &author(1), &[Edit::answer("q", "a\0b")]),
        Err(EditError::Value { index: 0 }),
        "PostgreSQL takes no such text"
    );
}
