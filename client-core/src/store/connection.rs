//! Connections: one writer, two readers, and how a piece of work runs on them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, TransactionBehavior, params};

use super::Enrolment;
use super::error::{Result, StoreError};
use crate::clock::{Clock, Entropy};
use crate::fault;
use crate::protocol::ScopeDigest;

/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// True while the log may still hold what was deleted.
const UNFLUSHED: &str = "unflushed";
/// True while kept batches may hold in clear what is to be sealed.
pub(super) const UNSEALED: &str = "unsealed";

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Survives the process being killed (synchronous=NORMAL): the draft journal.
    Process,
    /// Survives a power cut (synchronous=FULL): everything that leaves the phone or came to it.
    Power,
}

pub(super) struct Connections {
    path: PathBuf,
    /// The phone has erased itself.
    shut: AtomicBool,
    writer: Mutex<Writer>,
    readers: [Mutex<Connection>; 2],
}

struct Writer {
    connection: Connection,
    durability: Durability,
}

impl Writer {
    fn run<T>(
        &mut self,
        durability: Durability,
        tools: &Tools,
        f: impl FnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let spare = fault::spare_pages("phone");
        if spare.is_some() {
            self.bound(spare)?;
        }
        let done = self.run_unbounded(durability, tools, f);
        if spare.is_some() {
            self.bound(None)?;
        }
        done
    }

    /// Lets the file grow by so many pages, as on a disk that is nearly full; `None`: without bounds.
    fn bound(&self, spare: Option<u32>) -> Result<()> {
        let pages: u32 = self.connection.pragma_query_value(None, "page_count", |r| r.get(0))?;
        let max = spare.map_or(u32::MAX - 1, |spare| pages + spare);
        Ok(self.connection.query_row(&format!("PRAGMA max_page_count = {max}"), [], |_| Ok(()))?)
    }

    fn run_unbounded<T>(
        &mut self,
        durability: Durability,
        tools: &Tools,
        f: impl FnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.durability != durability {
            let level = if durability == Durability::Power { "FULL" } else { "NORMAL" };
            self.connection.execute_batch(&format!("PRAGMA synchronous = {level}"))?;
            self.durability = durability;
        }
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let digest = read_digest(&tx)?;
        let mut work = Work { db: &tx, tools, digest, deleted: false, unsealed: false };
        let value = f(&mut work)?;
        let (deleted, unsealed) = (work.deleted, work.unsealed);
        if work.digest != digest {
            let now = work.digest;
            set_meta(&tx, "digest_count", now.count.cast_signed())?;
            set_meta(&tx, "digest_sum", now.sum.cast_signed())?;
        }
        fault::point("store.commit.before");
        tx.commit()?;
        fault::point("store.commit.after");
        if unsealed {
            self.seal_absent(tools)?;
        }
        if deleted {
            self.flush_deleted()?;
        }
        Ok(value)
    }

    /// Seals what is due, in a transaction of its own: where a full disk has no room for it, what led to it stands, and the next
    /// sync tries again.
    fn seal_absent(&mut self, tools: &Tools) -> Result<()> {
        match self.run_unbounded(Durability::Power, tools, |work| work.seal_absent()) {
            Err(StoreError::Full) => Ok(()),
            done => done,
        }
    }

    /// Moves the log into the file, so that what was deleted (and overwritten there) isn't left in the log either. A reader
    /// that is in the way isn't waited for: the next sync tries again.
    fn flush_deleted(&self) -> Result<()> {
        let db = &self.connection;
        db.busy_timeout(Duration::ZERO)?;
        let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, bool>(0));
        db.busy_timeout(BUSY_TIMEOUT)?;
        match busy {
            Ok(false) => clear_meta(db, UNFLUSHED),
            Ok(true) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic rolled its transaction back: the connection behind the lock is sound
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a connection with the settings that every one has: waits for locks, small cache (8 MiB over all), overwrites
/// what is deleted.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // without this, statements whose bound values might choose another index are prepared again whenever they run
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA cache_size = -2500; PRAGMA secure_delete = ON; PRAGMA foreign_keys = OFF;")?;
    Ok(connection)
}

impl Connections {
    /// Around a writer whose database is open, migrated and in WAL mode.
    pub fn new(path: &Path, writer: Connection) -> rusqlite::Result<Self> {
        writer.execute_batch("PRAGMA synchronous = FULL")?;
        let reader = || -> rusqlite::Result<_> {
            let reader = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            reader.execute_batch("PRAGMA query_only = ON")?;
            Ok(Mutex::new(reader))
        };
        Ok(Self {
            path: path.to_owned(),
            shut: AtomicBool::new(false),
            writer: Mutex::new(Writer { connection: writer, durability: Durability::Power }),
            readers: [reader()?, reader()?],
        })
    }

    /// Closes the file for good, with what still uses it: later calls give [`StoreError::Wiped`].
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        let close = |connection: &mut Connection| {
            // without a file behind it; if even that fails, the old one stays open on a file that is gone
            if let Ok(empty) = Connection::open_in_memory() {
                *connection = empty;
            }
        };
        close(&mut lock(&self.writer).connection);
        self.readers.iter().for_each(|reader| close(&mut lock(reader)));
    }

    fn refuse_shut(&self) -> Result<()> {
        if self.shut.load(Ordering::SeqCst) { Err(StoreError::Wiped) } else { Ok(()) }
    }

    /// Reads; everything within one call is one moment.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.refuse_shut()?;
        let free = self.readers.iter().find_map(|r| r.try_lock().ok());
        let mut reader = free.unwrap_or_else(|| lock(&self.readers[0]));
        self.watched((|| f(&*reader.transaction()?))())
    }

    /// Remembers damage that a statement met, so that the next opening checks the whole file.
    fn watched<T>(&self, done: Result<T>) -> Result<T> {
        if matches!(done, Err(StoreError::Damaged(_))) {
            super::open::mark_suspect(&self.path);
        }
        done
    }

    /// Writes in one transaction; an error rolls everything back.
    pub fn write<T>(
        &self,
        durability: Durability,
        tools: &Tools,
        f: impl FnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut writer = lock(&self.writer);
        self.refuse_shut()?;
        self.watched(writer.run(durability, tools, f))
    }

    /// Does a piece of work to see what comes of it, and takes everything back.
    pub fn rehearse<T>(&self, tools: &Tools, f: impl FnOnce(&mut Work<'_>) -> Result<T>) -> Result<T> {
        let mut writer = lock(&self.writer);
        self.refuse_shut()?;
        let done = (|| {
            let tx = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let digest = read_digest(&tx)?;
            f(&mut Work { db: &tx, tools, digest, deleted: false, unsealed: false })
        })();
        self.watched(done)
    }

    /// Seals and flushes what is still due, because the disk was full, a reader was in the way or the process was killed.
    pub fn finish_deleting(&self, tools: &Tools) -> Result<()> {
        let mut writer = lock(&self.writer);
        self.refuse_shut()?;
        let is_due = |writer: &Writer, name| Ok::<_, StoreError>(number(&writer.connection, name)? != 0);
        if is_due(&writer, UNSEALED)? {
            self.watched(writer.seal_absent(tools))?;
        }
        if is_due(&writer, UNFLUSHED)? { writer.flush_deleted() } else { Ok(()) }
    }

    /// Runs on the writer outside a transaction.
    pub fn with_writer<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        f(&lock(&self.writer).connection)
    }

    /// Moves the log into the file and closes.
    pub fn close(self) -> Result<()> {
        drop(self.readers);
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        writer.connection.close().map_err(|(_, error)| StoreError::from(error))
    }
}

/// What the store was given.
pub(super) struct Tools {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// One write transaction under way.
pub(super) struct Work<'a> {
    pub db: &'a Connection,
    pub tools: &'a Tools,
    /// Over all acknowledged changes; stored when the work commits.
    pub digest: ScopeDigest,
    deleted: bool,
    unsealed: bool,
}

impl Work<'_> {
    /// Something that was read from a server goes for good: once this is committed, the log is moved into the file.
    pub fn note_deleted(&mut self) -> Result<()> {
        self.deleted = true;
        set_meta(self.db, UNFLUSHED, 1)
    }

    /// Kept batches may hold something of records that aren't here any more: once this is committed, it is sealed.
    pub fn note_unsealed(&mut self) -> Result<()> {
        self.unsealed = true;
        set_meta(self.db, UNSEALED, 1)
    }

    pub fn enrolment(&self) -> Result<Enrolment> {
        enrolment(self.db)?.ok_or(StoreError::NotEnrolled)
    }
}

pub(super) fn read_digest(db: &Connection) -> Result<ScopeDigest> {
    Ok(ScopeDigest { count: number(db, "digest_count")?, sum: number(db, "digest_sum")? })
}

pub(super) fn meta<T: FromSql>(db: &Connection, name: &str) -> Result<Option<T>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
    Ok(statement.query_row([name], |r| r.get(0)).optional()?)
}

/// An unsigned number; 0 where there is none.
pub(super) fn number(db: &Connection, name: &str) -> Result<u64> {
    Ok(meta::<i64>(db, name)?.unwrap_or(0).cast_unsigned())
}

pub(super) fn set_meta(db: &Connection, name: &str, value: impl ToSql) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)")?.execute(params![name, value])?;
    Ok(())
}

pub(super) fn clear_meta(db: &Connection, name: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM meta WHERE name = ?")?.execute([name])?;
    Ok(())
}

pub(super) fn enrolment(db: &Connection) -> Result<Option<Enrolment>> {
    match meta::<String>(db, "enrolment")? {
        None => Ok(None),
        Some(json) => serde_json::from_str(&json).map(Some).map_err(|_| StoreError::Stored("enrolment")),
    }
}
