use super::*;

use rusqlite::Connection;

#[test]
fn a_database_of_a_newer_program_is_not_touched() {
    let phone = TestPhone::new(1);
    phone.household(&[("head_name", "张三")]);
    let TestPhone { dir, store, .. } = phone;
    store.close().unwrap();
    let path = dir.path().join("phone.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open_dir(dir.path(), 1), Err(OpenError::Newer { found: 99, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn climbing_from_the_first_schema_gives_the_same_as_a_fresh_one() {
    let schema = |db: &Connection| -> Vec<String> {
        let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        statement.query_map([], |r| r.get(0)).unwrap().map(|r| r.unwrap()).collect()
    };
    let mut fresh = Connection::open_in_memory().unwrap();
    super::super::open::migrate(&mut fresh, super::super::open::MIGRATIONS).unwrap();
    let mut climbed = Connection::open_in_memory().unwrap();
    for upto in 1..=super::super::open::MIGRATIONS.len() {
        super::super::open::migrate(&mut climbed, &super::super::open::MIGRATIONS[..upto]).unwrap();
    }
    assert_eq!(schema(&fresh), schema(&climbed));
    assert!(schema(&fresh).len() > 15);
}

#[test]
fn a_closed_store_opens_again_as_it_was() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    let TestPhone { dir, store, device } = phone;
    store.close().unwrap();
    assert!(!dir.path().join("phone.db-wal").exists());
    let phone = TestPhone { store: open_dir(dir.path(), 5).unwrap().store, dir, device };
    assert_eq!(phone.text(id, "head_name"), "张三");
    assert_eq!(phone.store.enrolment().unwrap(), Some(enrolment(1)));
}

#[test]
fn enrolling_as_another_device_is_refused() {
    let phone = TestPhone::new(1);
    phone.store.enrol(&enrolment(1)).unwrap();
    assert!(matches!(phone.store.enrol(&enrolment(2)), Err(StoreError::AlreadyEnrolled)));
}

#[test]
fn a_full_disk_loses_nothing_and_the_ballast_lets_work_go_on() {
    let phone = TestPhone::new(1);
    let ballast = phone.dir.path().join("ballast");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 8 << 20);
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    phone.store.save_answer(draft, "head_name", &"张三".into()).unwrap();
    let pages = |pages: u32| {
        phone.store.connections.with_writer(|db| {
            db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
    };
    pages(1).unwrap();
    let long = "长".repeat(8_000);
    let mut saved = 0;
    let full = loop {
        match phone.store.save_answer(draft, &format!("q{saved}"), &long.as_str().into()) {
            Ok(()) => saved += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full), "{full:?}");
    assert_eq!(phone.store.draft_answers(draft).unwrap().len(), 1 + saved);
    let refused =
        phone.store.write(&[phone.document(RecordId([1; 16]), &[("remark", &"字".repeat(9000))])], &phone.note());
    assert!(matches!(refused, Err(StoreError::Full)));
    assert!(phone.store.row(RecordId([1; 16])).unwrap().is_none());
    assert!(phone.store.free_ballast());
    assert!(!ballast.exists());
    pages(1 << 20).unwrap();
    phone.edit(RecordId([1; 16]), &[("head_name", "张三")]);
    let phone = phone.killed_and_reopened();
    assert_eq!(phone.text(RecordId([1; 16]), "head_name"), "张三");
    assert!(ballast.exists());
}
