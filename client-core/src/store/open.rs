//! Opening: migrations, the check for damage, and the ballast that keeps a full disk from stopping work.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags};

use super::connection::{self, Connections, Tools};
use super::error::{Notice, OpenError};
use super::{OpenOptions, Opened, Store, salvage, wipe};
use crate::files::make_private;
use crate::id::RecordIdMaker;

/// The database's name in its folder.
pub(super) const FILE: &str = "phone.db";
pub(super) const BALLAST: &str = "ballast";
const BALLAST_BYTES: usize = 8 << 20;
/// Appended to the database's name: marks that a statement met damage.
const SUSPECT: &str = ".suspect";
/// Files up to this size are checked whole at each opening (about 4 ms a MB); larger ones when damage is suspected.
const CHECK_ALWAYS_BYTES: u64 = 16 << 20;

/// Schema steps; the database's `user_version` counts those that it has taken.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_form.sql"),
    include_str!("migrations/0003_subjects.sql"),
    include_str!("migrations/0004_rights.sql"),
    include_str!("migrations/0005_sealed.sql"),
];

impl Store {
    /// Opens the database in `dir`, or makes it.
    ///
    /// A damaged file is set aside as `phone.db.damaged-1` (2, 3 ...), never deleted, and what can be read of it is saved
    /// into a new one; a notice tells. A file of a newer program isn't touched.
    pub fn open(dir: &Path, options: OpenOptions) -> std::result::Result<Opened, OpenError> {
        fs::create_dir_all(dir)?;
        let tools = Tools { clock: options.clock, entropy: options.entropy };
        let mut notices: Vec<Notice> = wipe::finish_interrupted(dir)?.into_iter().collect();
        notices.extend(salvage::finish_interrupted(dir)?);
        let connection = match open_checked(dir) {
            Ok(connection) => connection,
            Err(OpenError::Database(error)) if is_damage(&error) => {
                notices.push(salvage::salvage(dir, &tools)?);
                let _ = fs::remove_file(sibling(&dir.join(FILE), SUSPECT));
                open_checked(dir)?
            }
            Err(error) => return Err(error),
        };
        let connections = Connections::new(&dir.join(FILE), connection)?;
        let ids = RecordIdMaker::new(&*tools.entropy);
        let store = Self { connections, tools, ids, dir: dir.to_owned(), forms: Mutex::default() };
        // a process that was killed may have left something to be sealed, or deleted bytes in the log; if this fails, the next
        // sync tries again
        let _ = store.connections.finish_deleting(&store.tools);
        if store.enrolment()?.is_some() {
            store.make_ballast();
        }
        Ok(Opened { store, notices })
    }

    /// Gives 8 MiB back to a full disk so that open work can be finished; true if there was something to give.
    ///
    /// On a full disk SQLite refuses deleting, too. The ballast is made anew at the next opening that finds room.
    pub fn free_ballast(&self) -> bool {
        Self::free_ballast_in(&self.dir)
    }

    /// Like [`Store::free_ballast`], for a database that a full disk keeps from being opened.
    pub fn free_ballast_in(dir: &Path) -> bool {
        fs::remove_file(dir.join(BALLAST)).is_ok()
    }

    /// Makes the ballast if there is room for twice as much, so that what was just given back isn't taken again; without it
    /// everything else works.
    pub(super) fn make_ballast(&self) {
        let path = self.dir.join(BALLAST);
        if fs::metadata(&path).is_ok_and(|m| m.len() == BALLAST_BYTES as u64) {
            return;
        }
        let written = fs::File::create(&path).and_then(|mut file| {
            // real bytes: a sparse file would give nothing back
            let block = vec![0xa5; 256 << 10];
            for _ in 0..2 * BALLAST_BYTES / block.len() {
                file.write_all(&block)?;
            }
            file.set_len(BALLAST_BYTES as u64)?;
            file.sync_all()
        });
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// True where the file itself is broken.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(error.sqlite_error_code(), Some(Code::DatabaseCorrupt | Code::NotADatabase))
}

/// Remembers that a statement met damage: the next opening checks the whole file.
pub(super) fn mark_suspect(database: &Path) {
    let _ = fs::write(sibling(database, SUSPECT), b"");
}

fn damage() -> OpenError {
    OpenError::Database(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None))
}

fn open_checked(dir: &Path) -> std::result::Result<Connection, OpenError> {
    let path = dir.join(FILE);
    if path.exists() {
        check(&path)?;
    } else {
        make_private(&path)?;
    }
    let mut connection = connection::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&mut connection)?;
    // the tables must answer, also where the whole file isn't checked
    connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
    connection.query_row("SELECT count(*) FROM change WHERE state <> 2", [], |_| Ok(()))?;
    Ok(connection)
}

/// Looks at an existing file without writing to it: version, damage.
fn check(path: &Path) -> std::result::Result<(), OpenError> {
    let reader = connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let version: u32 = reader.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if version > known {
        return Err(OpenError::Newer { found: version, known });
    }
    if version == 0 && has_tables(&reader)? {
        return Err(damage());
    }
    let suspect = sibling(path, SUSPECT);
    if fs::metadata(path)?.len() <= CHECK_ALWAYS_BYTES || suspect.exists() {
        let answer: String = reader.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
        if answer != "ok" {
            return Err(damage());
        }
        let _ = fs::remove_file(&suspect);
    }
    Ok(())
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |r| r.get(0))
}

/// WAL mode and all schema steps, in one transaction.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    migrate(connection, MIGRATIONS)
}

pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = tx.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    for (number, step) in (1..).zip(steps).skip(version as usize) {
        tx.execute_batch(step)?;
        tx.execute_batch(&format!("PRAGMA user_version = {number}"))?;
    }
    tx.commit()
}

/// The first free name for a damaged file.
pub(super) fn set_aside_name(dir: &Path) -> PathBuf {
    let mut n = 1u32;
    loop {
        let path = dir.join(format!("{FILE}.damaged-{n}"));
        if !path.exists() && !sibling(&path, "-wal").exists() {
            return path;
        }
        n += 1;
    }
}

/// `path` with something appended to its name.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
