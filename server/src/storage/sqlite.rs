//! The default storage: one SQLite file, one writer, a few readers, write-ahead log, every commit on disk before it counts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use doorstep_core::clock::Millis;
use doorstep_core::fault;
use doorstep_core::files::make_private;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, Incarnation, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Position, ScopeDigest};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::areas::AreasCache;
use super::chain::Links;
use super::forms::FormsCache;
use super::rights::RolesCache;
use super::standing::Caches;
use super::{
    BatchRow, BranchState, Committed, Device, DoubtFilter, DoubtRow, DoubtTotal, EntryOf, FormLogEntry, Grant,
    HeldChange, MergeBase, PlanPull, PreparedPush, PullPage, PullQuery, PushBase, PushQuery, RecordFilter, RecordRow,
    Refreshed, RefusedLimits, RefusedUpload, RefusedUploadRow, ReplyQuery, Result, Secrets, Storage, StorageError,
    StoredRecord, SyncNote, TownshipId, User,
};

mod about;
mod acts;
mod audit;
mod away;
mod backup;
mod commit;
mod devices;
mod doubts;
mod erasure;
mod events;
mod feed;
mod figures;
mod forms;
mod held;
mod links;
mod lists;
mod migrate;
mod news;
mod people;
mod planned;
mod records;
mod refused;
mod register;
mod rights;
mod settings;
mod standing;
mod uploads;
#[cfg(feature = "tools")]
mod watch;

pub use backup::{RestoreError, restore};
#[cfg(feature = "tools")]
pub use watch::Steps;

/// Connections that read.
const READERS: usize = 4;
/// Bits of a packed number that hold the sequence; the township's number stands above them.
const SEQ_BITS: u32 = 40;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A server's SQLite file.
pub struct SqliteStorage {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
    links: OnceLock<Links>,
    areas: AreasCache,
    forms: FormsCache,
    roles: RolesCache,
}

impl std::fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStorage { .. }")
    }
}

/// Idle connections that read; whoever finds none waits.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

/// A reader on loan.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    fn lend(&self) -> Lent<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = idle.pop() {
                return Lent { readers: self, connection: Some(connection) };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            self.readers.returned.notify_one();
        }
    }
}

/// The writer while its commits needn't survive a power cut; set back however the work ends, also when it unwinds.
struct Relaxed<'a>(MutexGuard<'a, Connection>);

impl Drop for Relaxed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.pragma_update(None, "synchronous", "FULL") {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the writer could not be set back to durable commits"
            );
        }
    }
}

impl SqliteStorage {
    /// Opens the file, or makes it, and brings its schema up to date. A file of a newer program isn't touched.
    pub fn open(path: &Path) -> Result<Self> {
        make_private(path).map_err(|e| StorageError::Other(Box::new(e)))?;
        let mut writer = Connection::open(path)?;
        migrate::refuse_newer(&writer)?;
        configure(&writer, 8 << 10)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "wal_autocheckpoint", 4096)?;
        writer.pragma_update(None, "journal_size_limit", 16 << 20)?;
        migrate::migrate(&mut writer)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..READERS)
            .map(|_| {
                let reader = Connection::open_with_flags(path, flags)?;
                configure(&reader, 2 << 10)?;
                Ok(reader)
            })
            .collect::<Result<Vec<_>>>()?;
        let links = OnceLock::new();
        if let Some(secrets) = settings::secrets(&writer)? {
            links.get_or_init(|| Links::new(&secrets.chain_key));
        }
        let readers = Readers { idle: Mutex::new(readers), returned: Condvar::new() };
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers,
            links,
            areas: AreasCache::default(),
            forms: FormsCache::default(),
            roles: RolesCache::default(),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // a transaction that unwound has been rolled back when it was dropped
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads in one snapshot.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let lent = self.readers.lend();
        let Some(connection) = &lent.connection else { return Err(StorageError::Busy("no reader".into())) };
        let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
        let value = work(&snapshot)?;
        snapshot.commit()?;
        Ok(value)
    }

    /// Writes in one durable transaction.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        write_on(&mut self.writer(), work)
    }

    /// Writes in one transaction that a power cut may undo (never the order of what was written).
    fn write_lazily<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut writer = Relaxed(self.writer());
        writer.0.pragma_update(None, "synchronous", "NORMAL")?;
        write_on(&mut writer.0, work)
    }

    /// Lets the file grow to so many pages only, as a full disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: Option<u32>) -> Result<()> {
        Ok(self.writer().pragma_update(None, "max_page_count", pages.unwrap_or(u32::MAX - 1))?)
    }

    fn caches(&self) -> Caches<'_> {
        Caches { areas: &self.areas, forms: &self.forms, roles: &self.roles }
    }

    fn links(&self) -> Result<&Links> {
        self.links.get().ok_or_else(|| StorageError::Other("the tenant's secrets were never made".into()))
    }
}

fn write_on<T>(writer: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let spare = fault::spare_pages("server");
    if let Some(spare) = spare {
        bound(writer, Some(spare))?;
    }
    let done = write_in_transaction(writer, work);
    if spare.is_some() {
        bound(writer, None)?;
    }
    done
}

fn write_in_transaction<T>(writer: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    fault::point("sqlite.commit.before");
    transaction.commit()?;
    fault::point("sqlite.commit.after");
    Ok(value)
}

/// Lets the file grow by so many pages, as on a disk that is nearly full; `None`: without bounds.
fn bound(connection: &Connection, spare: Option<u32>) -> Result<()> {
    let pages: u32 = connection.pragma_query_value(None, "page_count", |r| r.get(0))?;
    let max = spare.map_or(u32::MAX - 1, |spare| pages + spare);
    Ok(connection.query_row(&format!("PRAGMA max_page_count = {max}"), [], |_| Ok(()))?)
}

/// What every connection is set to; `cache_kib` bounds its page cache.
fn configure(connection: &Connection, cache_kib: i64) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(96);
    // plans don't depend on bound values: without this, statements are prepared again at each binding
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(())
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(Box::new(error)),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(Box::new(error)),
            _ => Self::Other(Box::new(error)),
        }
    }
}

/// The packed number of a sequence in a township.
fn pack(township_no: i64, seq: u64) -> i64 {
    township_no << SEQ_BITS | seq.min((1 << SEQ_BITS) - 1) as i64
}

/// The sequence in a packed number.
fn seq_of(packed: i64) -> u64 {
    packed.cast_unsigned() & ((1 << SEQ_BITS) - 1)
}

impl Storage for SqliteStorage {
    fn secrets(&self, fresh: &Secrets) -> Result<Secrets> {
        let secrets = self.write(|tx| settings::secrets_or(tx, fresh))?;
        self.links.get_or_init(|| Links::new(&secrets.chain_key));
        Ok(secrets)
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        self.read(|c| settings::setting(c, name))
    }

    fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        self.write(|tx| settings::set_setting(tx, name, value))
    }

    fn put_areas(&self, township: TownshipId, areas: &[AreaEntry]) -> Result<u64> {
        self.write(|tx| people::put_areas(tx, township, areas))
    }

    fn townships(&self) -> Result<Vec<TownshipId>> {
        self.read(people::townships)
    }

    fn form_log(&self) -> Result<Arc<[FormLogEntry]>> {
        self.read(|c| forms::log(c, &self.forms))
    }

    fn put_users(&self, users: &[User]) -> Result<()> {
        self.write(|tx| people::put_users(tx, users))
    }

    fn users(&self) -> Result<Vec<User>> {
        self.read(people::users)
    }

    fn append_grants(&self, user: UserId, entries: &[Grant]) -> Result<Position> {
        let links = self.links()?;
        self.write(|tx| people::append_grants(tx, links, user, entries))
    }

    fn grants(&self, user: UserId, after: u64) -> Result<(Position, Vec<(Position, Grant)>)> {
        self.read(|c| people::grants(c, user, after))
    }

    fn redeem_invitation(
        &self,
        secret_hash: [u8; 32],
        device: &Device,
        now_ms: Millis,
        enrolled: EntryOf<'_, Device>,
    ) -> Result<Option<Device>> {
        let links = self.links()?;
        self.write(|tx| {
            let found = people::redeem_invitation(tx, secret_hash, device, now_ms)?;
            if let Some(made) = found.as_ref().filter(|found| found.id == device.id) {
                audit::append(tx, links, &[enrolled(made)])?;
            }
            Ok(found)
        })
    }

    fn put_device(&self, device: &Device) -> Result<()> {
        self.write(|tx| people::put_device(tx, device))
    }

    fn device(&self, device: DeviceId) -> Result<Option<Device>> {
        self.read(|c| people::device(c, device))
    }

    fn devices(&self, township: TownshipId) -> Result<Vec<Device>> {
        self.read(|c| people::devices(c, township))
    }

    fn stage_upload(&self, device: DeviceId, digest: [u8; 32], bytes: &[u8], now_ms: Millis) -> Result<()> {
        self.write_lazily(|tx| uploads::stage(tx, device, digest, bytes, now_ms))
    }

    fn staged_upload(&self, device: DeviceId, digest: [u8; 32]) -> Result<Option<Vec<u8>>> {
        self.read(|c| uploads::staged(c, device, digest))
    }

    fn drop_upload(&self, device: DeviceId) -> Result<()> {
        self.write_lazily(|tx| uploads::drop_one(tx, device))
    }

    fn drop_uploads_before(&self, before_ms: Millis) -> Result<u64> {
        self.write_lazily(|tx| uploads::drop_before(tx, before_ms))
    }

    fn keep_refused_upload(&self, upload: &RefusedUpload<'_>, limits: &RefusedLimits) -> Result<()> {
        self.write_lazily(|tx| refused::keep(tx, upload, limits))
    }

    fn refused_uploads(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<RefusedUploadRow>> {
        self.read(|c| refused::list(c, township, before, limit))
    }

    fn refused_upload_bytes(&self, township: TownshipId, no: u64) -> Result<Option<Vec<u8>>> {
        self.read(|c| refused::bytes(c, township, no))
    }

    fn branch(&self, device: DeviceId, branch: u32) -> Result<BranchState> {
        self.read(|c| uploads::branch(c, device, branch))
    }

    fn batch(&self, device: DeviceId, branch: u32, number: u64) -> Result<Option<BatchRow>> {
        self.read(|c| uploads::batch(c, device, branch, number))
    }

    fn push_base(&self, query: &PushQuery<'_>) -> Result<PushBase> {
        self.read(|c| standing::push_base(c, &self.caches(), query))
    }

    fn merge_base(&self, township: TownshipId, ids: &[RecordId]) -> Result<MergeBase> {
        self.read(|c| standing::merge_base(c, township, ids))
    }

    fn load_records(&self, township: TownshipId, ids: &[RecordId]) -> Result<Vec<Option<StoredRecord>>> {
        self.read(|c| records::load(c, township, ids))
    }

    fn waiting(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<(DeviceId, HeldChange)>> {
        self.read(|c| held::waiting(c, township, records))
    }

    fn waiting_of(&self, device: DeviceId) -> Result<(u64, u64)> {
        self.read(|c| held::held_of(c, &held::Shelf::Waiting, device))
    }

    fn quarantined_of(&self, device: DeviceId) -> Result<(u64, u64)> {
        self.read(|c| held::held_of(c, &held::Shelf::Quarantine, device))
    }

    fn quarantined(&self, township: TownshipId, record: RecordId, hashes: &[ChangeHash]) -> Result<Vec<ChangeHash>> {
        self.read(|c| held::quarantined(c, township, record, hashes))
    }

    fn commit(&self, pushes: &[PreparedPush], notes: &[SyncNote]) -> Result<Vec<Result<Committed>>> {
        if pushes.is_empty() {
            return self.write_lazily(|tx| commit::notes(tx, notes)).map(|()| Vec::new());
        }
        let links = self.links()?;
        let all = self.write(|tx| {
            commit::notes(tx, notes)?;
            commit::all(tx, links, pushes)
        });
        match all {
            // a push isn't taken, or the database refuses it
            Err(StorageError::Other(_)) => self.write(|tx| {
                commit::notes(tx, notes)?;
                commit::group(tx, links, pushes)
            }),
            done => done,
        }
    }

    fn head(&self, township: TownshipId) -> Result<(Position, ScopeDigest)> {
        self.read(|c| feed::head(c, township))
    }

    fn is_on_chain(&self, township: TownshipId, position: Position) -> Result<bool> {
        self.read(|c| feed::is_on_chain(c, township, position))
    }

    fn begin_reply(&self, query: &ReplyQuery<'_>, plan: PlanPull<'_>) -> Result<Option<PullPage>> {
        self.read(|c| standing::begin_reply(c, &self.caches(), query, plan))
    }

    fn pull_page(&self, query: &PullQuery) -> Result<PullPage> {
        self.read(|c| feed::pull_page(c, query))
    }

    fn pull_cost(&self, query: &PullQuery) -> Result<(u64, u64)> {
        self.read(|c| feed::pull_cost(c, query))
    }

    fn list_records(&self, township: TownshipId, filter: &RecordFilter) -> Result<Vec<RecordRow>> {
        self.read(|c| records::list(c, township, filter))
    }

    fn record_row(&self, township: TownshipId, record: RecordId) -> Result<Option<RecordRow>> {
        self.read(|c| records::row(c, township, record))
    }

    fn full_record(&self, township: TownshipId, record: RecordId) -> Result<Option<StoredRecord>> {
        self.read(|c| records::full(c, township, record))
    }

    fn refresh(&self, township: TownshipId, records: &[Refreshed], now_ms: Millis) -> Result<usize> {
        self.write_lazily(|tx| doubts::refresh(tx, township, records, now_ms))
    }

    fn doubts(&self, township: TownshipId, filter: &DoubtFilter) -> Result<Vec<DoubtRow>> {
        self.read(|c| doubts::list(c, township, filter))
    }

    fn doubt_totals(&self, township: TownshipId, area: Option<AreaId>) -> Result<Vec<DoubtTotal>> {
        self.read(|c| doubts::totals(c, township, area))
    }

    fn change_list(
        &self,
        township: TownshipId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, RecordId, Incarnation, ChangeHash)>> {
        self.read(|c| feed::change_list(c, township, after, limit))
    }

    fn backup(&self, to: &Path) -> Result<()> {
        let lent = self.readers.lend();
        let Some(connection) = &lent.connection else { return Err(StorageError::Busy("no reader".into())) };
        backup::backup(connection, &self.path, to)
    }

    fn ping(&self) -> Result<()> {
        self.write_lazily(|tx| {
            // another value each time: SQLite doesn't write what is there already
            let last: u64 = settings::setting(tx, "ping")?.and_then(|n| n.parse().ok()).unwrap_or(0);
            settings::set_setting(tx, "ping", &last.wrapping_add(1).to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn commits_are_durable_again_after_a_lazy_one_panicked() {
        let dir = tempfile::TempDir::new().unwrap();
        let storage = SqliteStorage::open(&dir.path().join("doorstep.db")).unwrap();
        let level = || storage.writer().pragma_query_value(None, "synchronous", |r| r.get::<_, i64>(0)).unwrap();
        let full = level();
        let lazy = storage.write_lazily(|tx| Ok(tx.pragma_query_value(None, "synchronous", |r| r.get::<_, i64>(0))?));
        assert_ne!(lazy.unwrap(), full);
        assert_eq!(level(), full);
        let done = catch_unwind(AssertUnwindSafe(|| storage.write_lazily(|_| -> Result<()> { panic!("in the work") })));
        assert!(done.is_err());
        assert_eq!(level(), full);
    }
}
