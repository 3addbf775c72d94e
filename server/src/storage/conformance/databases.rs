//! What belongs to one backend: files, backups, schemas; and where PostgreSQL's tests get their databases.

use super::*;
use crate::storage::sqlite::{RestoreError, restore};
use crate::storage::{DoubtFilter, PostgresStorage, PullQuery, READS_CLOSED, SqliteStorage, StorageError};

/// The address of a PostgreSQL server to test with.
fn postgres_server() -> Option<String> {
    let address = std::env::var("DOORSTEP_TEST_POSTGRES").ok();
    if address.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "DOORSTEP_TEST_POSTGRES must name a server");
        eprintln!("skipped: DOORSTEP_TEST_POSTGRES names no PostgreSQL server");
    }
    address
}

/// A database of its own on the server, dropped at the end.
struct FreshDatabase {
    server: String,
    name: String,
    address: String,
}

impl FreshDatabase {
    fn new(server: String) -> Self {
        let name = format!("doorstep_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(&server, &format!("CREATE DATABASE {name}"));
        let (before, parameters) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = before.rsplit_once('/').unwrap();
        let address = format!("{host}/{name}?{parameters}");
        Self { server, name, address }
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs a statement on a connection of its own.
fn execute(address: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

/// Runs a claim on a fresh PostgreSQL database, if there is a server.
pub(super) fn on_postgres(claim: fn(Arc<dyn Storage>)) {
    let Some(server) = postgres_server() else { return };
    let database = FreshDatabase::new(server);
    let storage = PostgresStorage::connect(&database.address).unwrap();
    storage.secrets(&secrets()).unwrap();
    claim(Arc::new(storage));
}

/// Runs a claim on databases that refuse entries of the audit log about `refused`.
pub(super) fn refusing_entries(claim: fn(Arc<dyn Storage>)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let storage = SqliteStorage::open(&path).unwrap();
    storage.secrets(&secrets()).unwrap();
    let trigger = "CREATE TRIGGER refusing BEFORE INSERT ON audit WHEN NEW.subjects = 'refused'
        BEGIN SELECT RAISE(ABORT, 'refused'); END";
    rusqlite::Connection::open(&path).unwrap().execute_batch(trigger).unwrap();
    claim(Arc::new(storage));
    let Some(server) = postgres_server() else { return };
    let database = FreshDatabase::new(server);
    let storage = PostgresStorage::connect(&database.address).unwrap();
    storage.secrets(&secrets()).unwrap();
    execute(&database.address, "ALTER TABLE audit ADD CONSTRAINT refusing CHECK (subjects <> 'refused')");
    claim(Arc::new(storage));
}

#[test]
fn a_postgres_database_of_a_newer_program_is_not_touched() {
    let Some(server) = postgres_server() else { return };
    let database = FreshDatabase::new(server);
    execute(&database.address, "CREATE TABLE schema_version (version BIGINT); INSERT INTO schema_version VALUES (900)");
    assert!(matches!(PostgresStorage::connect(&database.address), Err(StorageError::Newer { found: 900, .. })));
    // the table that a migration would have made first can still be made
    execute(&database.address, "CREATE TABLE secret (a BIGINT)");
}

#[test]
fn several_servers_on_one_postgres_database_write_one_feed() {
    let Some(server) = postgres_server() else { return };
    let database = FreshDatabase::new(server);
    let servers: Vec<PostgresStorage> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let storage = PostgresStorage::connect(&database.address).unwrap();
                    storage.secrets(&secrets()).unwrap();
                    storage
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let device = enrol(&servers[0], TOWNSHIP);
    // all of them make the same records at once: each exists once, whoever came late merges again
    let wanted: Vec<PreparedRecord> = (0..20).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    std::thread::scope(|scope| {
        for storage in &servers {
            scope.spawn(|| {
                for record in &wanted {
                    let mine = PreparedRecord { base_heads: None, ..next(record, &device) };
                    match commit(storage, push(&device, vec![mine])) {
                        Committed::Done(_) | Committed::Moved => {}
                        Committed::BatchTaken => panic!("there was no batch"),
                    }
                }
            });
        }
    });
    let list = servers[1].change_list(TOWNSHIP, 0, 100).unwrap();
    assert_eq!(list.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    let made: std::collections::BTreeSet<RecordId> = list.iter().map(|(_, id, ..)| *id).collect();
    assert_eq!(made, wanted.iter().map(|r| r.id).collect());
}

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

/// Two records of a village, the first of them edited last, and one elsewhere.
fn fill_a_village(storage: &dyn Storage) -> [RecordId; 2] {
    let device = enrol(storage, TOWNSHIP);
    let [old, new, other] =
        [VILLAGE, VILLAGE, OTHER_VILLAGE].map(|area| record(&device, "visit", area, Some(RecordId([5; 16]))));
    done(storage, push(&device, vec![old.clone(), new.clone(), other]));
    done(storage, push(&device, vec![next(&old, &device)]));
    [old.id, new.id]
}

/// The newest change of each record is known after the migration that brought it; doubts are counted anew.
fn assert_news_are_found(storage: &dyn Storage, [old, new]: [RecordId; 2]) {
    let page = |after, complete| {
        let query =
            PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills: Vec::new(), bytes_max: 1 << 20 };
        ids(&storage.pull_page(&query).unwrap().feed)
    };
    assert_eq!(page(0, areas(&[VILLAGE])), vec![old, new]);
    assert_eq!(page(1, areas(&[VILLAGE])), vec![new, old]);
    assert_eq!(page(2, areas(&[VILLAGE])), vec![old]);
    assert_eq!(page(0, subjects(&[RecordId([5; 16])])).len(), 3);
    assert_eq!(storage.record_row(TOWNSHIP, old).unwrap().unwrap().projection.doubts, 0);
    assert_eq!(storage.doubts(TOWNSHIP, &DoubtFilter::default()).unwrap(), Vec::new());
}

const BEFORE_NEWEST_CHANGE: &str =
    "DROP TABLE planned_grant; DROP TABLE away; DROP TABLE relocation; DROP TABLE waiting_event;
    DROP TABLE link; DROP TABLE united; DROP TABLE figure; DROP TABLE figure_line; DROP TABLE figure_stay; DROP TABLE frozen_report; DROP TABLE frozen_entry;
    ALTER TABLE record DROP COLUMN steps; UPDATE record SET doubts = 3; DROP TABLE doubt; DROP TABLE about; DROP TABLE form_log;
    DROP TABLE audit; DROP TABLE audit_head; DROP TABLE lost_device; DROP TABLE register_item; DROP TABLE register_import; DROP TABLE register_device;
    DROP TABLE register_record; DROP TABLE register_columns;
    ALTER TABLE quarantine DROP COLUMN decision; ALTER TABLE quarantine DROP COLUMN decided_ms;
    DROP INDEX record_area_last; DROP INDEX record_subject_last; ALTER TABLE record DROP COLUMN last;
    DROP INDEX grant_subject; DROP INDEX grant_until; ALTER TABLE grant_entry DROP COLUMN until_ms;
    ALTER TABLE grant_entry DROP COLUMN stand_in_for; ALTER TABLE grant_entry DROP COLUMN at_ms; DROP TABLE area_past;
    ALTER TABLE area DROP COLUMN ended_day; ALTER TABLE area DROP COLUMN merged_into; DROP TABLE unit;
    ALTER TABLE record DROP COLUMN state; ALTER TABLE device DROP COLUMN known_feed; ALTER TABLE device DROP COLUMN known_grants;
    ALTER TABLE device DROP COLUMN known_areas; DROP TABLE area_hung;";

#[test]
fn a_file_of_an_older_program_learns_the_newest_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let storage = SqliteStorage::open(&path).unwrap();
    storage.secrets(&secrets()).unwrap();
    let records = fill_a_village(&storage);
    drop(storage);
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute_batch(BEFORE_NEWEST_CHANGE).unwrap();
    older
        .execute_batch(
            "DROP INDEX device_township; CREATE INDEX record_area ON record (area);
             CREATE INDEX record_subject ON record (subject);
             CREATE TABLE snapshot (record_no INTEGER PRIMARY KEY, upto INTEGER NOT NULL, bytes BLOB NOT NULL);
             PRAGMA user_version = 2",
        )
        .unwrap();
    drop(older);
    assert_news_are_found(&SqliteStorage::open(&path).unwrap(), records);
}

#[test]
fn a_postgres_database_of_an_older_program_learns_the_newest_changes() {
    let Some(server) = postgres_server() else { return };
    let database = FreshDatabase::new(server);
    let storage = PostgresStorage::connect(&database.address).unwrap();
    storage.secrets(&secrets()).unwrap();
    let records = fill_a_village(&storage);
    drop(storage);
    execute(&database.address, BEFORE_NEWEST_CHANGE);
    let before = "CREATE INDEX record_area ON record (tenant, township, area, born);
        CREATE INDEX record_subject ON record (tenant, township, subject) WHERE subject IS NOT NULL;
        ALTER TABLE record ADD COLUMN snapshot_upto BIGINT NOT NULL DEFAULT 0, ADD COLUMN snapshot BYTEA;
        ALTER TABLE feed DROP COLUMN no; ALTER TABLE feed DROP COLUMN doubts;
        DROP FUNCTION audit_only_appended; DELETE FROM schema_version; INSERT INTO schema_version VALUES (2)";
    execute(&database.address, before);
    assert_news_are_found(&PostgresStorage::connect(&database.address).unwrap(), records);
}
