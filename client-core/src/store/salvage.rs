//! A damaged database is set aside, and every row that can still be read is saved into a new one.
//!
//! Order matters, since the phone may die at any moment: the new file is made whole beside the damaged one under a name
//! of its own, then the damaged one (its log first) gets out of the way, then the new one takes its name. A complete new
//! file that is found at opening means that only the renaming is left to do.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};

use super::connection::{self, Connections, Durability, Tools, meta, set_meta};
use super::content::{self, Held, held_from, key_bytes, state};
use super::error::{Notice, OpenError, Result};
use super::open::{FILE, prepare, set_aside_name, sibling};
use crate::files::make_private;
use crate::id::ChangeHash;
use crate::protocol::ScopeDigest;
use crate::protocol::records::{restore_change, strip_change};

const UNFINISHED: &str = "phone.db.salvage-unfinished";
const COMPLETE: &str = "phone.db.salvage";
const REPAIRED: &str = "phone.db.salvage-copy";
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of a page: SQLite's default, which every database of ours has.
const PAGE: u64 = 4096;
/// Unreadable single rows after which a table is given up.
const ERRORS_MAX: u32 = 20_000;
/// Numbers that are read in one piece.
const PIECE: i64 = 512;
/// Pieces that are tried without knowing that anything in them exists.
const BLIND_MAX: u32 = 512;

/// What was saved from a damaged database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Saved {
    /// The phone's identity and keys.
    pub enrolment: bool,
    /// Drafts.
    pub drafts: u64,
    /// Answers in drafts' journals.
    pub answers: u64,
    /// Changes that the server hasn't answered for.
    pub unsent: u64,
    /// Records.
    pub records: u64,
    /// Changes, all together.
    pub changes: u64,
    /// Rows that could not be read (an estimate: what is lost whole isn't counted).
    pub lost_rows: u64,
}

/// Tables with their columns; the first column of each is the row's number.
const TABLES: &[(&str, &[&str])] = &[
    ("draft", &["id", "form", "version", "subject", "record", "opened_ms"]),
    ("draft_subject", &["no", "draft", "subject"]),
    ("draft_answer", &["no", "draft", "key", "value", "at_ms"]),
    ("draft_heads", &["rowid", "draft", "record", "heads"]),
    ("meta", &["rowid", "name", "value"]),
    ("record", &["no", "id", "type", "key", "incarnation", "area", "subject"]),
    ("change", &["no", "record", "hash", "state", "branch", "received_ms", "reason", "origin", "bytes"]),
    ("area", &["rowid", "area", "parent", "level", "code", "name_zh", "name_en"]),
    ("batch", &["no", "branch", "number", "state", "closed_ms", "hash", "digest", "entries", "upload"]),
    ("sealed", &["no", "batch", "place", "record", "incarnation", "changes", "content"]),
    ("receipt", &["no", "as_of", "received_ms", "bring_from", "tag", "entries"]),
    ("grant_entry", &["grant_no", "role", "area", "subject", "active"]),
    ("form", &["no", "name", "version", "hash", "retired", "published_ms", "type", "list", "wanted", "definition"]),
];

/// Finishes a salvage whose renaming was interrupted.
pub(super) fn finish_interrupted(dir: &Path) -> std::io::Result<Option<Notice>> {
    if !dir.join(COMPLETE).exists() {
        return Ok(None);
    }
    let saved = Connection::open_with_flags(dir.join(COMPLETE), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .ok()
        .and_then(|db| count_saved(&db).ok())
        .unwrap_or_default();
    Ok(Some(Notice::Salvaged { set_aside: exchange(dir)?, saved }))
}

/// Saves what is readable and sets the damaged file aside.
pub(super) fn salvage(dir: &Path, tools: &Tools) -> std::result::Result<Notice, OpenError> {
    let unfinished = dir.join(UNFINISHED);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(sibling(&unfinished, suffix));
    }
    make_private(&unfinished)?;
    let mut target = connection::open(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&mut target)?;
    let mut lost = 0;
    if let Ok(source) = open_damaged(&dir.join(FILE)) {
        lost = copy(&source, &target)?;
    } else if let Ok(source) = repaired_copy(dir).and_then(|path| open_damaged(&path).map_err(std::io::Error::other)) {
        lost = copy(&source, &target)?;
    }
    remove_copy(dir);
    repair(&target)?;
    let connections = Connections::new(&unfinished, target)?;
    connections.write(Durability::Power, tools, |work| {
        if super::connection::enrolment(work.db)?.is_some() {
            // what the damaged file sent can't be known for sure: no number of the old branch is used again
            work.take_branch(&std::collections::HashSet::new(), &[])?;
        }
        Ok(())
    })?;
    let saved = connections.read(|db| Ok(Saved { lost_rows: lost, ..count_saved(db)? }))?;
    // one file, without a log beside it, so that one rename moves it
    connections.with_writer(|db| Ok(db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?))?;
    connections.close()?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, dir.join(COMPLETE))?;
    Ok(Notice::Salvaged { set_aside: exchange(dir)?, saved })
}

/// The damaged file gives its name to the new one. Its log goes first: a log beside another file would be played into it.
fn exchange(dir: &Path) -> std::io::Result<std::path::PathBuf> {
    let (damaged, aside) = (dir.join(FILE), set_aside_name(dir));
    for suffix in ["-wal", ""] {
        let from = sibling(&damaged, suffix);
        if from.exists() {
            fs::rename(&from, sibling(&aside, suffix))?;
        }
    }
    let _ = fs::remove_file(sibling(&damaged, "-shm"));
    fs::rename(dir.join(COMPLETE), &damaged)?;
    if let Ok(folder) = fs::File::open(dir) {
        let _ = folder.sync_all();
    }
    Ok(aside)
}

fn open_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.execute_batch("PRAGMA cache_size = -2500; PRAGMA cell_size_check = ON;")?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(db)
}

/// A copy of a file that SQLite doesn't open at all, with a fresh file header and as long as it once was.
///
/// SQLite refuses a whole file for a damaged header or a cut-off end; behind both, most pages may be sound.
fn repaired_copy(dir: &Path) -> std::io::Result<std::path::PathBuf> {
    remove_copy(dir);
    let (damaged, copy) = (dir.join(FILE), dir.join(REPAIRED));
    fs::copy(&damaged, &copy)?;
    if sibling(&damaged, "-wal").exists() {
        fs::copy(sibling(&damaged, "-wal"), sibling(&copy, "-wal"))?;
    }
    let mut file = fs::OpenOptions::new().read(true).write(true).open(&copy)?;
    let mut header = [0; 100];
    file.read_exact(&mut header)?;
    let length = file.metadata()?.len();
    let intact = header[..16] == *MAGIC;
    let once = if intact { u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]])) } else { 0 };
    let pages = length.div_ceil(PAGE).max(once.min(length.div_ceil(PAGE) * 8));
    file.set_len(pages * PAGE)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&fresh_header(pages as u32))?;
    Ok(copy)
}

fn remove_copy(dir: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(sibling(&dir.join(REPAIRED), suffix));
    }
}

/// The header of a WAL database with 4 KiB pages and UTF-8 texts, as SQLite's file format gives it.
fn fresh_header(pages: u32) -> [u8; 100] {
    let mut header = [0; 100];
    header[..16].copy_from_slice(MAGIC);
    header[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
    let mut put = |at: usize, n: u32| header[at..at + 4].copy_from_slice(&n.to_be_bytes());
    put(24, 1); // change counter
    put(28, pages);
    put(40, 1); // schema cookie
    put(44, 4); // schema format
    put(56, 1); // UTF-8
    put(92, 1); // the change counter at which the page count was written
    header
}

/// Copies table by table, row by row where a page is damaged; gives how many single rows failed.
fn copy(source: &Connection, target: &Connection) -> Result<u64> {
    let mut lost = 0;
    for (table, columns) in TABLES {
        target.execute_batch("BEGIN IMMEDIATE")?;
        let mut reader = TableReader { source, target, table, columns, errors: 0 };
        reader.all()?;
        lost += u64::from(reader.errors);
        target.execute_batch("COMMIT")?;
    }
    Ok(lost)
}

struct TableReader<'a> {
    source: &'a Connection,
    target: &'a Connection,
    table: &'static str,
    columns: &'static [&'static str],
    errors: u32,
}

impl TableReader<'_> {
    /// Copies every row: from the first number up, and where damage ends that, from the last one down. Goes from number to
    /// number that exists, since a garbage one may be astronomically far away.
    fn all(&mut self) -> Result<()> {
        let (mut next, mut blind) = (1, 0);
        while blind < BLIND_MAX {
            let first = match self.number("min", ">=", next) {
                Ok(None) => return Ok(()),
                Ok(Some(first)) if first >= next => first,
                _ => {
                    // damage lies ahead: past it without knowing what exists
                    blind += 1;
                    next
                }
            };
            let last = first.saturating_add(PIECE - 1);
            self.range(first, last)?;
            match last.checked_add(1) {
                Some(after) => next = after,
                None => return Ok(()),
            }
        }
        let mut last = i64::MAX;
        // where that fails, the same damage was met from its other side
        while let Ok(Some(found)) = self.number("max", "<=", last) {
            if found < next || found > last {
                break;
            }
            self.range(found.saturating_sub(PIECE - 1).max(next), found)?;
            last = found.saturating_sub(PIECE);
        }
        Ok(())
    }

    /// The nearest number that exists on one side of `at`.
    fn number(&self, nearest: &str, side: &str, at: i64) -> rusqlite::Result<Option<i64>> {
        let (number, table) = (self.columns[0], self.table);
        let sql = format!("SELECT {nearest}({number}) FROM {table} WHERE {number} {side} ?");
        self.source.prepare_cached(&sql)?.query_row([at], |r| r.get(0))
    }

    /// Copies the rows with numbers in `first..=last`; where reading fails, each half on its own.
    fn range(&mut self, first: i64, last: i64) -> Result<()> {
        if first > last || self.errors > ERRORS_MAX {
            return Ok(());
        }
        match self.rows(first, last) {
            Ok(rows) => {
                for row in rows {
                    self.insert(row)?;
                }
                Ok(())
            }
            Err(_) if first == last => {
                self.errors += 1;
                Ok(())
            }
            Err(_) => {
                let middle = first + (last - first) / 2;
                self.range(first, middle)?;
                self.range(middle + 1, last)
            }
        }
    }

    fn rows(&self, first: i64, last: i64) -> rusqlite::Result<Vec<Vec<Value>>> {
        // bounded pieces keep memory small
        if last - first >= PIECE {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        let number = self.columns[0];
        let sql = format!("SELECT {} FROM {} WHERE {number} BETWEEN ? AND ?", self.columns.join(", "), self.table);
        let mut statement = self.source.prepare_cached(&sql)?;
        let rows = statement.query_map([first, last], |r| (0..self.columns.len()).map(|i| r.get(i)).collect())?;
        rows.collect()
    }

    fn insert(&self, row: Vec<Value>) -> Result<()> {
        let places = vec!["?"; self.columns.len()].join(", ");
        let sql = format!("INSERT OR IGNORE INTO {} ({}) VALUES ({places})", self.table, self.columns.join(", "));
        self.target.prepare_cached(&sql)?.execute(params_from_iter(row)).map(|_| ()).or_else(|error| {
            // a row whose values don't fit the table is as good as unreadable
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
                Ok(())
            } else {
                Err(error.into())
            }
        })
    }
}

/// Makes the saved rows agree: sound changes only, list columns and digest computed anew, the feed read from the start.
fn repair(target: &Connection) -> Result<()> {
    target.execute_batch("BEGIN IMMEDIATE")?;
    let mut digest = ScopeDigest::default();
    remake_lost_records(target)?;
    drop_unsound(target, &mut digest)?;
    if meta::<Value>(target, "enrolment")?.is_some() && super::connection::enrolment(target).is_err() {
        super::connection::clear_meta(target, "enrolment")?;
    }
    let positions =
        ["feed_seq", "feed_chain", "grants_seq", "grants_chain", "areas_version", "forms_seq", "forms_chain"];
    for name in positions.into_iter().chain(["diverged"]) {
        super::connection::clear_meta(target, name)?;
    }
    set_meta(target, "digest_count", digest.count.cast_signed())?;
    set_meta(target, "digest_sum", digest.sum.cast_signed())?;
    // a saved batch may lack changes; its changes are made anew in any case
    target.execute("UPDATE batch SET state = 2 WHERE state = 0", [])?;
    target.execute(
        "INSERT OR IGNORE INTO fill (grant_no, after, closed) SELECT grant_no, 0, 0 FROM grant_entry WHERE active = 1",
        [],
    )?;
    refresh_all(target)?;
    target.execute_batch("COMMIT")?;
    Ok(())
}

/// Makes the rows of lost records again from what own changes say about them: an own change has no second copy.
fn remake_lost_records(target: &Connection) -> Result<()> {
    let orphans: Vec<(i64, Vec<u8>)> = {
        let mut statement = target.prepare(
            "SELECT record, origin FROM change c WHERE origin IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM record r WHERE r.no = c.record)",
        )?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (no, origin) in orphans {
        let Some(held) = Held::from_origin(no, &origin) else { continue };
        target
            .prepare_cached(
                "INSERT OR IGNORE INTO record (no, id, type, key, incarnation, area, subject) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(rusqlite::params![
                no,
                held.id.0,
                held.identity.record_type,
                key_bytes(&held.identity),
                held.incarnation,
                held.area.0,
                held.subject.map(|s| s.0)
            ])?;
    }
    Ok(())
}

/// Removes changes whose bytes aren't those of their hash, and those of records that were lost.
fn drop_unsound(target: &Connection, digest: &mut ScopeDigest) -> Result<()> {
    let mut unsound = Vec::new();
    let mut statement = target
        .prepare("SELECT c.no, c.hash, c.state, c.bytes, r.no FROM change c LEFT JOIN record r ON r.no = c.record")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        let sound = (|| -> Option<()> {
            let (hash, bytes): (Vec<u8>, Vec<u8>) = (row.get(1).ok()?, row.get(3).ok()?);
            let (found, chunk) = restore_change(strip_change(&bytes)?);
            row.get::<_, Option<i64>>(4).ok()??;
            let at: u8 = row.get(2).ok()?;
            if found.0.as_slice() != hash || chunk != bytes || at > state::DENIED {
                return None;
            }
            if at == state::ACKNOWLEDGED {
                digest.add(&ChangeHash::from_slice(&hash)?);
            }
            Some(())
        })();
        if sound.is_none() {
            unsound.push(no);
        }
    }
    drop(rows);
    drop(statement);
    for no in unsound {
        target.execute("DELETE FROM change WHERE no = ?", [no])?;
    }
    Ok(())
}

fn refresh_all(target: &Connection) -> Result<()> {
    let numbers: Vec<i64> = {
        let mut statement = target.prepare("SELECT no FROM record ORDER BY no")?;
        let rows = statement.query_map([], |r| r.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for no in numbers {
        let held = target
            .prepare_cached(&format!("SELECT {} FROM record WHERE no = ?", content::HELD))?
            .query_row([no], held_from)
            .optional();
        match held {
            Ok(Some(held)) if held.identity.is_valid() => {
                let record = content::load(target, &held)?;
                content::refresh(target, no, &record)?;
            }
            _ => {
                // not a record any more: its values are garbage
                target.execute("DELETE FROM change WHERE record = ?", [no])?;
                target.execute("DELETE FROM record WHERE no = ?", [no])?;
            }
        }
    }
    Ok(())
}

fn count_saved(db: &Connection) -> Result<Saved> {
    let count = |sql: &str| -> Result<u64> { Ok(db.query_row(sql, [], |r| r.get::<_, i64>(0))?.cast_unsigned()) };
    Ok(Saved {
        enrolment: super::connection::enrolment(db)?.is_some(),
        drafts: count("SELECT count(*) FROM draft")?,
        answers: count("SELECT count(*) FROM draft_answer")?,
        unsent: count("SELECT count(*) FROM change WHERE state IN (0, 1, 3) AND branch IS NOT NULL")?,
        records: count("SELECT count(*) FROM record")?,
        changes: count("SELECT count(*) FROM change")?,
        lost_rows: 0,
    })
}
