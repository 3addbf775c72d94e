//! Records as stored: their row, their changes, loading them, and the states of changes.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::Work;
use super::error::{Result, StoreError};
use super::forms;
use crate::clock::Millis;
use crate::form::index::subjects;
use crate::id::{AreaId, ChangeHash, Identity, Incarnation, RecordId};
use crate::protocol::{ChangeHead, Reader, Writer};
use crate::record::Record;

/// Where a change stands; numbers are stored.
pub(super) mod state {
    pub const LOCAL: u8 = 0;
    pub const BATCHED: u8 = 1;
    pub const ACKNOWLEDGED: u8 = 2;
    pub const WAITING: u8 = 3;
    pub const QUARANTINED: u8 = 4;
    pub const SUPERSEDED: u8 = 5;
    pub const DENIED: u8 = 6;

    /// Part of what the phone shows.
    pub fn is_live(state: u8) -> bool {
        state <= WAITING
    }

    /// An own change without a final state.
    pub fn is_open(state: u8) -> bool {
        matches!(state, LOCAL | BATCHED | WAITING)
    }
}

/// A record's row.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub no: i64,
    pub id: RecordId,
    pub identity: Identity,
    pub incarnation: Incarnation,
    pub area: AreaId,
    pub subject: Option<RecordId>,
}

impl Held {
    /// The row's own content, to be kept with an own change.
    pub fn to_origin(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.id.0);
        w.raw(&self.area.0);
        w.optional(self.subject, |w, s| w.raw(&s.0));
        w.number(u64::from(self.incarnation));
        w.text(&self.identity.record_type);
        w.raw(&key_bytes(&self.identity));
        w.0
    }

    /// The row again.
    pub fn from_origin(no: i64, origin: &[u8]) -> Option<Self> {
        let r = &mut Reader::new(origin);
        let (id, area) = (RecordId(r.array().ok()?), AreaId(r.array().ok()?));
        let subject = r.optional(|r| r.array().map(RecordId)).ok()?;
        let incarnation = r.number32().ok()?;
        let identity = identity_from(r.text(64, "record type").ok()?.to_owned(), r.0);
        identity.is_valid().then_some(Self { no, id, identity, incarnation, area, subject })
    }
}

/// A change's row.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub no: i64,
    pub hash: ChangeHash,
    pub state: u8,
    /// The branch, of this device's own changes.
    pub branch: Option<u32>,
    pub bytes: Vec<u8>,
}

impl Stored {
    pub fn is_own_open(&self) -> bool {
        self.branch.is_some() && state::is_open(self.state)
    }

    pub fn dependencies(&self) -> Vec<ChangeHash> {
        ChangeHead::read(&self.bytes).map(|h| h.dependencies).unwrap_or_default()
    }
}

pub(super) const HELD: &str = "no, id, type, key, incarnation, area, subject";

pub(super) fn key_bytes(identity: &Identity) -> Vec<u8> {
    identity.key.iter().flat_map(|k| k.0).collect()
}

pub(super) fn identity_from(record_type: String, key: &[u8]) -> Identity {
    Identity { record_type, key: key.as_chunks::<16>().0.iter().map(|k| RecordId(*k)).collect() }
}

pub(super) fn held_from(r: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        no: r.get(0)?,
        id: RecordId(r.get(1)?),
        identity: identity_from(r.get(2)?, &r.get::<_, Vec<u8>>(3)?),
        incarnation: r.get(4)?,
        area: AreaId(r.get(5)?),
        subject: r.get::<_, Option<[u8; 16]>>(6)?.map(RecordId),
    })
}

pub(super) fn held(db: &Connection, id: RecordId) -> Result<Option<Held>> {
    let mut statement = db.prepare_cached(&format!("SELECT {HELD} FROM record WHERE id = ?"))?;
    Ok(statement.query_row([id.0], held_from).optional()?)
}

pub(super) fn held_by_no(db: &Connection, no: i64) -> Result<Held> {
    let mut statement = db.prepare_cached(&format!("SELECT {HELD} FROM record WHERE no = ?"))?;
    Ok(statement.query_row([no], held_from)?)
}

/// Every change of a record in the order in which they came, which is causal.
pub(super) fn changes(db: &Connection, record: i64) -> Result<Vec<Stored>> {
    let mut statement =
        db.prepare_cached("SELECT no, hash, state, branch, bytes FROM change WHERE record = ? ORDER BY no")?;
    let rows = statement.query_map([record], |r| {
        Ok(Stored { no: r.get(0)?, hash: ChangeHash(r.get(1)?), state: r.get(2)?, branch: r.get(3)?, bytes: r.get(4)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Builds a record of stored changes. One that doesn't fit (a damaged row) is left out; it never blocks the others.
pub(super) fn build<'a>(identity: &Identity, rows: impl Iterator<Item = &'a Stored> + Clone) -> Record {
    let mut record = Record::new(identity.clone());
    if record.apply_trusted(rows.clone().map(|c| c.bytes.as_slice())).is_err() {
        record = Record::new(identity.clone());
        for row in rows {
            // the guard's own checks decide, change by change
            let _ = record.accept(&row.bytes);
        }
    }
    record
}

/// The record as the phone shows it.
pub(super) fn load(db: &Connection, held: &Held) -> Result<Record> {
    let rows = changes(db, held.no)?;
    Ok(build(&held.identity, rows.iter().filter(|c| state::is_live(c.state))))
}

/// A record of the given changes and all that they build on, whatever their state: what their author saw.
pub(super) fn as_written(identity: &Identity, rows: &[Stored], wanted: &HashSet<ChangeHash>) -> Record {
    let by_hash: HashMap<ChangeHash, &Stored> = rows.iter().map(|c| (c.hash, c)).collect();
    let mut needed = wanted.clone();
    let mut next: Vec<ChangeHash> = wanted.iter().copied().collect();
    while let Some(hash) = next.pop() {
        let dependencies = by_hash.get(&hash).map(|c| c.dependencies()).unwrap_or_default();
        next.extend(dependencies.into_iter().filter(|d| needed.insert(*d)));
    }
    build(identity, rows.iter().filter(|c| needed.contains(&c.hash)))
}

impl Work<'_> {
    pub fn insert_record(&self, mut held: Held) -> Result<Held> {
        self.db
            .prepare_cached("INSERT INTO record (id, type, key, incarnation, area, subject) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![
                held.id.0,
                held.identity.record_type,
                key_bytes(&held.identity),
                held.incarnation,
                held.area.0,
                held.subject.map(|s| s.0)
            ])?;
        held.no = self.db.last_insert_rowid();
        Ok(held)
    }

    pub fn insert_change(
        &mut self,
        record: i64,
        hash: ChangeHash,
        bytes: &[u8],
        state: u8,
        branch: Option<u32>,
        received_ms: Millis,
    ) -> Result<()> {
        let origin = branch.map(|_| held_by_no(self.db, record)).transpose()?.map(|held| held.to_origin());
        self.db
            .prepare_cached(
                "INSERT INTO change (record, hash, state, branch, received_ms, bytes, origin) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![record, hash.0, state, branch, received_ms.cast_signed(), bytes, origin])?;
        if state == state::ACKNOWLEDGED {
            self.digest.add(&hash);
        }
        Ok(())
    }

    /// Moves a change to another state; keeps the digest right.
    pub fn set_state(&mut self, change: &Stored, to: u8, reason: &str) -> Result<()> {
        self.note_move(&change.hash, change.state, to);
        let changed = self
            .db
            .prepare_cached("UPDATE change SET state = ?, reason = ? WHERE no = ?")?
            .execute(params![to, reason, change.no])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Stored("change")) }
    }

    /// Marks a change as acknowledged at a server time.
    pub fn acknowledge(&mut self, change: &Stored, received_ms: Millis) -> Result<()> {
        self.set_state(change, state::ACKNOWLEDGED, "")?;
        self.db
            .prepare_cached("UPDATE change SET received_ms = ? WHERE no = ?")?
            .execute(params![received_ms.cast_signed(), change.no])?;
        Ok(())
    }

    fn note_move(&mut self, hash: &ChangeHash, from: u8, to: u8) {
        match (from == state::ACKNOWLEDGED, to == state::ACKNOWLEDGED) {
            (false, true) => self.digest.add(hash),
            (true, false) => self.digest.remove(hash),
            _ => {}
        }
    }

    /// Removes all changes of a record.
    pub fn delete_changes(&mut self, record: i64, rows: &[Stored]) -> Result<()> {
        for change in rows.iter().filter(|c| c.state == state::ACKNOWLEDGED) {
            self.digest.remove(&change.hash);
        }
        self.db.prepare_cached("DELETE FROM change WHERE record = ?")?.execute([record])?;
        self.note_deleted()
    }

    /// Brings a record's list columns up to date.
    pub fn refresh(&self, no: i64, record: &Record) -> Result<()> {
        refresh(self.db, no, record)
    }

    /// Counts a record's open changes again.
    pub fn recount(&self, no: i64) -> Result<()> {
        recount(self.db, no)
    }
}

/// Brings a record's list columns up to date.
pub(super) fn refresh(db: &Connection, no: i64, record: &Record) -> Result<()> {
    let (view, answers) = record.view_and_answers();
    let p = forms::summary(db, &record.identity().record_type, &answers)?;
    let differences = u32::try_from(view.differences.len()).unwrap_or(u32::MAX);
    db.prepare_cached(
        "UPDATE record SET differences = ?, persons = ?, status = ?, day = ?, title = ?, label = ?, search = ? WHERE no = ?",
    )?
    .execute(params![differences, p.persons, p.status, p.day, p.title, p.label, p.search, no])?;
    db.prepare_cached("DELETE FROM about WHERE record = ?")?.execute([no])?;
    for subject in subjects(&answers) {
        db.prepare_cached("INSERT OR IGNORE INTO about (subject, record) VALUES (?, ?)")?
            .execute(params![subject.0, no])?;
    }
    recount(db, no)
}

fn recount(db: &Connection, no: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE record SET unsent = (SELECT count(*) FROM change
         WHERE record = ?1 AND branch IS NOT NULL AND state IN (0, 1, 3)) WHERE no = ?1",
    )?
    .execute([no])?;
    Ok(())
}
