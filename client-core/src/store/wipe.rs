//! A lost phone erases itself: first everything but what it still has to send, then that too, and the files.
//!
//! The order is remembered in the database before anything goes, and the note that stays is written before the first file
//! goes, so that a phone that dies under way goes on at its next opening.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Store;
use super::connection::{Durability, Work, number, set_meta};
use super::error::{Notice, Result};
use super::open::{BALLAST, FILE};
use crate::protocol::limits;

/// True once the server's order was taken.
const ORDERED: &str = "wipe_ordered";
/// The note while files still go.
const WIPING: &str = "wiping";
/// The note that stays until the phone is enrolled anew.
const WIPED: &str = "wiped";
/// Tables with what isn't needed to send what waits: all but those that say who the phone is, and its batches with their parts.
const CONTENT: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
    AND name NOT IN ('meta', 'batch', 'sealed')";
/// What meta keeps: who the phone is, where its batches stand, its counter.
const KEPT_META: &str =
    "'enrolment', 'counter', 'branch', 'batch_number', 'batch_hash', 'attempt', 'server_ms', 'feed_seq',
    'feed_chain', 'digest_count', 'digest_sum', 'unflushed', 'wipe_ordered', 'opens_sealed'";

impl Store {
    /// Takes the server's order: what waits to be sent becomes batches, everything else goes at once, drafts included.
    pub fn order_wipe(&self) -> Result<()> {
        if self.is_wipe_ordered()? {
            return Ok(());
        }
        self.in_transaction(Durability::Power, |work| work.leave_only_batches())?;
        *self.forms.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(())
    }

    /// True while the phone has an order to erase itself and still sends what it has.
    pub fn is_wipe_ordered(&self) -> Result<bool> {
        self.connections.read(|db| Ok(number(db, ORDERED)? != 0))
    }

    /// Erases the database, its keys and files for good. Every later call gives [`super::StoreError::Wiped`]; opening the
    /// folder again gives an empty phone and [`Notice::Wiped`].
    ///
    /// # Errors
    /// Those of the file system; the next opening goes on.
    pub fn wipe(&self) -> io::Result<()> {
        write_note(&self.dir)?;
        self.connections.shut();
        finish(&self.dir)
    }
}

impl Work<'_> {
    fn leave_only_batches(&mut self) -> Result<()> {
        let unsent = "SELECT EXISTS (SELECT 1 FROM change WHERE state = 0 AND state <> 2)";
        while self.db.query_row(unsent, [], |r| r.get(0))? {
            self.make_batch(limits::BATCH_CHANGES_MAX)?;
        }
        let tables: Vec<String> = {
            let mut statement = self.db.prepare(CONTENT)?;
            let rows = statement.query_map([], |r| r.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for table in tables {
            self.db.execute(&format!("DELETE FROM \"{table}\""), [])?;
        }
        self.db.execute("DELETE FROM batch WHERE state <> 0", [])?;
        self.drop_sealed_without_batch()?;
        self.db.execute(&format!("DELETE FROM meta WHERE name NOT IN ({KEPT_META})"), [])?;
        self.digest = crate::protocol::ScopeDigest::default();
        set_meta(self.db, ORDERED, 1)?;
        self.note_deleted()
    }

    /// True while only what waits to be sent is left.
    pub fn is_wiping(&self) -> Result<bool> {
        Ok(number(self.db, ORDERED)? != 0)
    }
}

fn write_note(dir: &Path) -> io::Result<()> {
    let mut note = File::create(dir.join(WIPING))?;
    note.write_all(b"{}\n")?;
    note.sync_all()
}

/// Goes on with an erasing that was interrupted; the notice while a wiped phone wasn't enrolled anew.
pub(super) fn finish_interrupted(dir: &Path) -> io::Result<Option<Notice>> {
    if dir.join(WIPING).exists() {
        finish(dir)?;
    }
    Ok(dir.join(WIPED).exists().then_some(Notice::Wiped))
}

/// The phone is enrolled anew: nothing is left to be told.
pub(super) fn forget(dir: &Path) {
    let _ = fs::remove_file(dir.join(WIPED));
}

fn finish(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with(FILE) || name == BALLAST) && entry.file_type()?.is_file() {
            overwrite(&entry.path())?;
            fs::remove_file(entry.path())?;
        }
    }
    fs::rename(dir.join(WIPING), dir.join(WIPED))
}

/// Writes zeros over a file. On flash this is the best that a program can do; the database's own pages were overwritten when
/// their rows went.
fn overwrite(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let mut file = OpenOptions::new().write(true).open(path)?;
    let zeros = vec![0; 64 << 10];
    let mut left = length;
    while left > 0 {
        let part = left.min(zeros.len() as u64) as usize;
        file.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    file.sync_all()
}
