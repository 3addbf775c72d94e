//! Copies of the database while it runs, and bringing one back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorstep_core::files::make_private;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::super::{READS_CLOSED, Result, StorageError};
use super::{migrate, settings};

/// Pages copied between two looks at other work.
const PAGES_PER_STEP: i32 = 256;

/// Why a backup could not be brought back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The copy can't be used; nothing was changed.
    #[error("the backup can't be used")]
    Backup(#[source] StorageError),
    /// The copy has no secrets: it isn't a backup of a server.
    #[error("the file isn't a backup of a server: it has no secrets")]
    NoSecrets,
    /// Files couldn't be moved or written.
    #[error("files could not be moved or written")]
    Files(#[source] std::io::Error),
}

/// Copies the open database to a new file and checks the copy.
pub(super) fn backup(from: &Connection, own: &Path, to: &Path) -> Result<()> {
    if to == own || to.exists() {
        return Err(StorageError::Other("the backup's file is there already".into()));
    }
    make_private(to).map_err(|e| StorageError::Other(Box::new(e)))?;
    let mut copy = Connection::open(to)?;
    Backup::new(from, &mut copy)?.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None)?;
    // a copy is one file: nothing beside it that could be forgotten
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    check(&copy)
}

fn check(connection: &Connection) -> Result<()> {
    let answer: String = connection.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
    if answer == "ok" { Ok(()) } else { Err(StorageError::Damaged("the integrity check failed".into())) }
}

/// Brings a backup back as a server's database, while no server runs on it. The copy is checked first; the old file is
/// set aside beside the new one, never deleted; reading stays closed until an administrator opens it. Gives the path of
/// the old file, if there was one.
pub fn restore(from: &Path, database: &Path) -> std::result::Result<Option<PathBuf>, RestoreError> {
    verify(from)?;
    let mut fresh = database.as_os_str().to_owned();
    fresh.push(".restoring");
    let fresh = PathBuf::from(fresh);
    copy_privately(from, &fresh).map_err(RestoreError::Files)?;
    close_reads(&fresh).map_err(RestoreError::Backup)?;
    std::fs::File::open(&fresh).and_then(|f| f.sync_all()).map_err(RestoreError::Files)?;
    let aside = set_aside(database)?;
    std::fs::rename(&fresh, database).map_err(RestoreError::Files)?;
    Ok(aside)
}

/// A copy that only its owner may read, whoever may read the original.
fn copy_privately(from: &Path, to: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_file(to);
    make_private(to)?;
    let (mut from, mut to) = (std::fs::File::open(from)?, std::fs::OpenOptions::new().write(true).open(to)?);
    std::io::copy(&mut from, &mut to).map(drop)
}

fn verify(from: &Path) -> std::result::Result<(), RestoreError> {
    let open = || -> Result<bool> {
        let copy = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        check(&copy)?;
        if migrate::refuse_newer(&copy)? == 0 {
            return Ok(false);
        }
        Ok(settings::secrets(&copy)?.is_some())
    };
    if open().map_err(RestoreError::Backup)? { Ok(()) } else { Err(RestoreError::NoSecrets) }
}

/// By how much the versions of areas jump with a restore: more than could have been given since the backup.
const AREAS_AHEAD: i64 = 1 << 20;

fn close_reads(path: &Path) -> Result<()> {
    let mut copy = Connection::open(path)?;
    migrate::migrate(&mut copy)?;
    // versions of areas that were given after the backup are never given again
    copy.execute("UPDATE township SET areas_version = areas_version + ?", [AREAS_AHEAD])?;
    settings::set_setting(&copy, READS_CLOSED, "1")
}

/// Renames the database and its log, so that both stay readable together.
fn set_aside(database: &Path) -> std::result::Result<Option<PathBuf>, RestoreError> {
    if !database.exists() {
        return Ok(None);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = with(database, &format!(".before-restore-{now}"));
    for end in ["", "-wal", "-shm"] {
        let old = with(database, end);
        if old.exists() {
            std::fs::rename(&old, with(&aside, end)).map_err(RestoreError::Files)?;
        }
    }
    Ok(Some(aside))
}
