use super::*;
use crate::form::version::DefinitionBytes;
use crate::form::{FormDef, Pack};
use crate::protocol::{FormBytes, FormEntry, FormsNews};

fn version(version: u32) -> FormDef {
    FormDef { version, ..Pack::built_in().form("visit").unwrap().def().clone() }
}

fn bytes(n: u32) -> DefinitionBytes {
    DefinitionBytes::of(&version(n)).unwrap()
}

/// News of one version, as a difference against `base`.
fn news(n: u32, base: Option<u32>) -> FormsNews {
    let base = base.map(bytes);
    let packed = bytes(n).pack(base.as_ref()).unwrap();
    let definition = Some(FormBytes { base: base.map(|b| b.hash()), packed });
    let hash = bytes(n).hash();
    let entry = FormEntry { name: "visit".to_owned(), version: n, hash, retired: false, at_ms: 1, definition };
    FormsNews { position: Position { seq: u64::from(n), chain: Chain([n as u8; 16]) }, entries: vec![entry] }
}

#[test]
fn a_difference_without_its_base_is_asked_for_a_bounded_number_of_times() {
    let phone = TestPhone::new(1);
    let taken = phone.store.apply_forms(&news(4, Some(3))).unwrap();
    assert_eq!((taken.received, taken.unreadable), (0, 1));
    let known = phone.store.forms_known().unwrap();
    assert_eq!((known.position.seq, known.wanted), (4, vec![("visit".to_owned(), 4)]));
    let mut asked = 0;
    while !phone.store.forms_known().unwrap().wanted.is_empty() && asked < 100 {
        phone.store.forms_asked().unwrap();
        asked += 1;
    }
    assert_eq!(asked, 8);
    assert_eq!(phone.store.forms().unwrap().newest("visit").unwrap().version, 1, "the built-in one meanwhile");
    assert_eq!(phone.store.apply_forms(&news(4, None)).unwrap().received, 1);
    assert_eq!(phone.store.forms().unwrap().newest("visit").unwrap().version, 4);
}

#[test]
fn what_is_here_stays_when_the_same_version_comes_damaged() {
    let phone = TestPhone::new(1);
    phone.store.apply_forms(&news(2, Some(1))).unwrap();
    let mut damaged = news(2, None);
    damaged.entries[0].definition.as_mut().unwrap().packed.truncate(20);
    assert_eq!(phone.store.apply_forms(&damaged).unwrap().unreadable, 1);
    assert_eq!(phone.store.forms().unwrap().newest("visit").unwrap().version, 2);
    assert!(phone.store.forms_known().unwrap().wanted.is_empty());
}

#[test]
fn a_form_of_a_newer_program_is_kept_for_it_and_not_asked_for_again() {
    let phone = TestPhone::new(1);
    let json =
        serde_json::to_vec(&serde_json::json!({"name": "visit", "version": 2, "items": "in a way of later"})).unwrap();
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&json).into();
    let packed = zstd::bulk::compress(&json, 3).unwrap();
    let definition = Some(FormBytes { base: None, packed });
    let entry = FormEntry { name: "visit".to_owned(), version: 2, hash, retired: false, at_ms: 1, definition };
    let taken = phone.store.apply_forms(&FormsNews { position: Position::default(), entries: vec![entry] }).unwrap();
    assert_eq!((taken.received, taken.unreadable), (1, 0));
    assert!(phone.store.forms_known().unwrap().wanted.is_empty());
    let forms = phone.store.forms().unwrap();
    assert_eq!(forms.newest("visit").unwrap().version, 1);
    assert_eq!(forms.unreadable().len(), 1);
}

#[test]
fn a_database_from_before_forms_gets_the_table_and_a_salvaged_one_keeps_its_forms() {
    let phone = TestPhone::new(1);
    phone.store.apply_forms(&news(2, Some(1))).unwrap();
    let TestPhone { dir, store, .. } = phone;
    store.close().unwrap();
    // the file's header is damaged
    let file = dir.path().join("phone.db");
    let mut content = std::fs::read(&file).unwrap();
    content[..16].fill(0xff);
    std::fs::write(&file, content).unwrap();
    let opened = open_dir(dir.path(), 2).unwrap();
    assert_eq!(opened.notices.len(), 1);
    assert_eq!(opened.store.forms().unwrap().newest("visit").unwrap().version, 2);
    assert_eq!(opened.store.forms_known().unwrap().position, Position::default(), "the log is read anew");

    let old = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(old.path().join("phone.db")).unwrap();
    db.execute_batch(include_str!("../migrations/0001_start.sql")).unwrap();
    db.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(db);
    let store = open_dir(old.path(), 3).unwrap().store;
    assert_eq!(store.apply_forms(&news(2, Some(1))).unwrap().received, 1);
}
