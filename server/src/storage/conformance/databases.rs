//! What belongs to one backend: files, backups, schemas; and where PostgreSQL's tests get their databases.

use super::*;
use crate::storage::sqlite::{RestoreError, restore};
use crate::storage::{READS_CLOSED, SqliteStorage, StorageError};

/// Runs a claim on a fresh PostgreSQL database, if there is a server.
pub(super) fn on_postgres(_claim: fn(Arc<dyn Storage>)) {}

#[test]
fn a_database_of_a_newer_program_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 900; CREATE TABLE of_the_future (a)").unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStorage::open(&path), Err(StorageError::Newer { found: 900, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no log was made beside it");
}

#[test]
fn a_file_that_is_no_database_is_damaged_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    std::fs::write(&path, vec![b'x'; 4096]).unwrap();
    assert!(matches!(SqliteStorage::open(&path), Err(StorageError::Damaged(_))));
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 4096]);
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let storage = SqliteStorage::open(&path).unwrap();
    storage.secrets(&secrets()).unwrap();
    let device = enrol(&storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let head = done(&storage, push(&device, vec![house.clone()]));
    drop(storage);
    let storage = SqliteStorage::open(&path).unwrap();
    assert_eq!(storage.head(TOWNSHIP).unwrap().0, head);
    assert_eq!(done(&storage, push(&device, vec![next(&house, &device)])).seq, 2, "the secrets are known again");
}

#[test]
fn a_backup_comes_back_with_reading_closed_and_the_old_file_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("server.db"), folder.path().join("backup.db"));
    let storage = SqliteStorage::open(&path).unwrap();
    storage.secrets(&secrets()).unwrap();
    let device = enrol(&storage, TOWNSHIP);
    let head = done(&storage, push(&device, vec![record(&device, "household", VILLAGE, None)]));
    storage.backup(&copy).unwrap();
    assert!(storage.backup(&copy).is_err(), "a backup never replaces a file");
    done(&storage, push(&device, vec![record(&device, "household", VILLAGE, None)]));
    drop(storage);

    let aside = restore(&copy, &path).unwrap().unwrap();
    let restored = SqliteStorage::open(&path).unwrap();
    assert_eq!(restored.head(TOWNSHIP).unwrap().0, head);
    assert_eq!(restored.setting(READS_CLOSED).unwrap().as_deref(), Some("1"));
    let old = SqliteStorage::open(&aside).unwrap();
    assert_eq!(old.head(TOWNSHIP).unwrap().0.seq, 2, "the newer data is still there");
    assert_eq!(SqliteStorage::open(&copy).unwrap().setting(READS_CLOSED).unwrap(), None, "the backup is as it was");
}

#[test]
fn what_is_no_backup_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("server.db"), folder.path().join("other.db"));
    std::fs::write(&path, b"the data of today").unwrap();
    std::fs::write(&other, vec![b'x'; 4096]).unwrap();
    assert!(matches!(restore(&other, &path), Err(RestoreError::Backup(StorageError::Damaged(_)))));
    std::fs::remove_file(&other).unwrap();
    drop(SqliteStorage::open(&other).unwrap());
    assert!(matches!(restore(&other, &path), Err(RestoreError::NoSecrets)));
    rusqlite::Connection::open(&other).unwrap().execute_batch("PRAGMA user_version = 900").unwrap();
    assert!(matches!(restore(&other, &path), Err(RestoreError::Backup(StorageError::Newer { .. }))));
    assert_eq!(std::fs::read(&path).unwrap(), b"the data of today");
}

#[test]
fn a_full_disk_stores_nothing_of_the_group_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&folder.path().join("server.db")).unwrap();
    storage.secrets(&secrets()).unwrap();
    let device = enrol(&storage, TOWNSHIP);
    let small = || push(&device, vec![record(&device, "visit", VILLAGE, None)]);
    done(&storage, small());
    let head = storage.head(TOWNSHIP).unwrap();
    storage.limit_pages(Some(200)).unwrap();
    let mut large = small();
    large.records[0].changes[0].bytes = vec![1; 2 << 20];
    assert!(matches!(storage.commit_group(&[small(), large, small()]), Err(StorageError::Full)));
    assert_eq!(storage.head(TOWNSHIP).unwrap(), head);
    storage.limit_pages(None).unwrap();
    assert_eq!(done(&storage, small()).seq, 2, "with room again it goes on");
}
