use super::*;

use std::fs;

/// A phone with drafts, sent and unsent work, closed.
fn busy_phone() -> (TempDir, DraftId, Vec<RecordId>) {
    let phone = TestPhone::new(1);
    let mut records = Vec::new();
    for half in 0..2 {
        let documents: Vec<PlannedDocument> = (half * 100..half * 100 + 100)
            .map(|n| {
                let label = format!("{n:04}");
                phone.document(phone.store.new_record_id(), &[("household_no", &label), ("remark", &"字".repeat(300))])
            })
            .collect();
        phone.store.write(&documents, &phone.note()).unwrap();
        records.extend(documents.iter().map(|d| d.id));
        if half == 0 {
            phone.push();
        }
    }
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    for n in 0..50 {
        phone.store.save_answer(draft, &format!("q{n}"), &"答案".into()).unwrap();
    }
    let TestPhone { dir, store, .. } = phone;
    store.close().unwrap();
    (dir, draft, records)
}

fn saved(notices: &[Notice]) -> (std::path::PathBuf, Saved) {
    let [Notice::Salvaged { set_aside, saved }] = notices else { panic!("{notices:?}") };
    (set_aside.clone(), *saved)
}

pub(super) fn root_page(dir: &Path, table: &str) -> u64 {
    let db = rusqlite::Connection::open(dir.join("phone.db")).unwrap();
    db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table], |r| r.get::<_, i64>(0)).unwrap() as u64
}

pub(super) fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_damaged_index_costs_nothing() {
    let (dir, draft, records) = busy_phone();
    let page = root_page(dir.path(), "record_list");
    overwrite(&dir.path().join("phone.db"), (page - 1) * 4096, &[0xee; 4096]);
    let opened = open_dir(dir.path(), 2).unwrap();
    let (aside, saved) = saved(&opened.notices);
    assert!(aside.ends_with("phone.db.damaged-1") && aside.exists());
    assert_eq!((saved.drafts, saved.answers, saved.unsent, saved.records, saved.enrolment), (1, 50, 100, 200, true));
    let phone = TestPhone { dir, store: opened.store, device: 1 };
    assert_eq!(phone.store.draft_answers(draft).unwrap().len(), 50);
    assert_eq!(phone.text(records[0], "household_no"), "0000");
    // no number of the old branch is used again
    assert_ne!(phone.upload().unwrap().header.branch, 0);
    phone.check_digest();
    let phone = phone.killed_and_reopened();
    assert_eq!(phone.store.counts().unwrap().records, 200);
}

#[test]
fn damaged_pages_cost_only_the_rows_on_them() {
    let (dir, _, _) = busy_phone();
    let path = dir.path().join("phone.db");
    let size = fs::metadata(&path).unwrap().len();
    for page in (20..size / 4096).step_by(9) {
        overwrite(&path, page * 4096, &[0x55; 600]);
    }
    let original = fs::read(&path).unwrap();
    let opened = open_dir(dir.path(), 2).unwrap();
    let (aside, saved) = saved(&opened.notices);
    assert_eq!(fs::read(&aside).unwrap(), original, "the damaged file stays as it was");
    assert!(saved.enrolment);
    assert!(saved.records > 100, "{saved:?}");
    assert!(saved.unsent > 30, "{saved:?}");
    for row in opened.store.list(&ListFilter { limit: 500, ..ListFilter::default() }).unwrap() {
        opened.store.record(row.id).unwrap().unwrap();
    }
    let phone = TestPhone { dir, store: opened.store, device: 1 };
    phone.check_digest();
    assert!(hashes(&phone.push()).len() > 30);
}

#[test]
fn own_changes_survive_the_loss_of_their_records_rows() {
    let (dir, _, records) = busy_phone();
    let page = root_page(dir.path(), "record");
    overwrite(&dir.path().join("phone.db"), (page - 1) * 4096, &[0xee; 4096]);
    let opened = open_dir(dir.path(), 2).unwrap();
    let (_, saved) = saved(&opened.notices);
    assert_eq!((saved.unsent, saved.records), (100, 200));
    let row = opened.store.row(records[150]).unwrap().unwrap();
    assert_eq!((row.label.as_str(), row.area), ("0150", VILLAGE));
}

#[test]
fn a_cut_off_file_is_salvaged() {
    let (dir, _, _) = busy_phone();
    let path = dir.path().join("phone.db");
    let size = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size * 3 / 4).unwrap();
    let opened = open_dir(dir.path(), 2).unwrap();
    let (aside, saved) = saved(&opened.notices);
    assert_eq!(fs::metadata(aside).unwrap().len(), size * 3 / 4);
    assert!(saved.records > 50, "{saved:?}");
    assert_eq!(opened.store.enrolment().unwrap(), Some(enrolment(1)));
}

#[test]
fn a_damaged_file_header_costs_nothing() {
    let (dir, draft, _) = busy_phone();
    overwrite(&dir.path().join("phone.db"), 0, &[0x77; 100]);
    let opened = open_dir(dir.path(), 2).unwrap();
    let (_, saved) = saved(&opened.notices);
    assert_eq!((saved.drafts, saved.unsent, saved.records), (1, 100, 200));
    assert_eq!(opened.store.draft_answers(draft).unwrap().len(), 50);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("salvage")), "{left:?}");
}

#[test]
fn what_is_no_database_is_kept_aside_each_time_under_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=2 {
        fs::write(dir.path().join("phone.db"), vec![n; 10_000]).unwrap();
        let opened = open_dir(dir.path(), 2).unwrap();
        let (aside, saved) = saved(&opened.notices);
        assert!(aside.ends_with(format!("phone.db.damaged-{n}")));
        assert_eq!(saved, Saved::default());
        assert_eq!(fs::read(aside).unwrap(), vec![n; 10_000]);
        opened.store.close().unwrap();
    }
}

#[test]
fn work_in_the_log_of_a_damaged_database_is_salvaged() {
    let phone = TestPhone::new(1);
    phone.household(&[("head_name", "张三")]);
    let TestPhone { dir, store, .. } = phone;
    store.close().unwrap();
    let opened = open_dir(dir.path(), 2).unwrap();
    let draft = opened.store.start_draft("household", 1, None, None).unwrap();
    opened.store.save_answer(draft, "head_name", &"李四".into()).unwrap();
    let page = root_page(dir.path(), "record_list");
    // as after a kill: the log stays beside the file
    let copy = tempfile::tempdir().unwrap();
    for name in ["phone.db", "phone.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    overwrite(&copy.path().join("phone.db"), (page - 1) * 4096, &[0xee; 4096]);
    let salvaged = open_dir(copy.path(), 3).unwrap();
    let (aside, saved) = saved(&salvaged.notices);
    assert_eq!((saved.drafts, saved.answers, saved.unsent), (1, 1, 1));
    assert!(super::super::open::sibling(&aside, "-wal").exists());
}

#[test]
fn a_salvage_that_was_interrupted_before_its_renaming_is_finished() {
    let (dir, draft, _) = busy_phone();
    fs::rename(dir.path().join("phone.db"), dir.path().join("phone.db.salvage")).unwrap();
    fs::write(dir.path().join("phone.db"), b"damaged").unwrap();
    let opened = open_dir(dir.path(), 2).unwrap();
    assert_eq!(saved(&opened.notices).1.drafts, 1);
    assert_eq!(opened.store.draft_answers(draft).unwrap().len(), 50);
    assert_eq!(fs::read(dir.path().join("phone.db.damaged-1")).unwrap(), b"damaged");
}

#[test]
fn a_row_whose_number_is_garbage_does_not_keep_a_salvage_from_ending() {
    let (dir, draft, _) = busy_phone();
    let page = root_page(dir.path(), "record_list");
    let db = rusqlite::Connection::open(dir.path().join("phone.db")).unwrap();
    let sql = "UPDATE draft_answer SET no = 1 << 60 WHERE no = (SELECT max(no) FROM draft_answer)";
    assert_eq!(db.execute(sql, []).unwrap(), 1);
    db.close().unwrap();
    overwrite(&dir.path().join("phone.db"), (page - 1) * 4096, &[0xee; 4096]);
    let opened = open_dir(dir.path(), 2).unwrap();
    let (_, saved) = saved(&opened.notices);
    assert_eq!((saved.drafts, saved.answers, saved.unsent, saved.records, saved.lost_rows), (1, 50, 100, 200, 0));
    assert_eq!(opened.store.draft_answers(draft).unwrap().len(), 50);
}
