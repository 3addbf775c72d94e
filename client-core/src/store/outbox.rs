//! What goes up: batches made once and kept, and the server's states for their changes.

use std::collections::HashSet;

use ed25519_dalek::SigningKey;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::connection::{Durability, Work, meta, number, set_meta};
use super::content::{Stored, held_by_no, state};
use super::error::{Result, StoreError};
use super::{Store, sealed};
use crate::id::{ChangeHash, Incarnation, MacTag, RecordId};
use crate::protocol::records::{restore_change, strip_change};
use crate::protocol::{
    Batch, BatchHeader, LOST_DEVICE, ManifestEntry, NOT_KEPT, Outcome, RecordBody, RecordFrame, State, UploadKind,
    WireChange, forbidden_keys, limits, stream,
};

/// Where a batch stands; numbers are stored.
pub(super) mod batch_state {
    pub const PENDING: u8 = 0;
    pub const ACKNOWLEDGED: u8 = 1;
    pub const SET_ASIDE: u8 = 2;
}

/// Bytes of changes in a batch: well under both limits of an upload, also where nothing compresses.
const BATCH_BYTES_MAX: usize = limits::UPLOAD_MAX - (128 << 10);

/// An upload that is ready, and stays the same until it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// What it is.
    pub kind: UploadKind,
    /// SHA-256 of `bytes`.
    pub digest: [u8; 32],
    /// The compressed upload.
    pub bytes: Vec<u8>,
    /// Changes in it.
    pub changes: usize,
    /// A batch's branch; 0 for a refill.
    pub branch: u32,
    /// A batch's number; 0 for a refill.
    pub number: u64,
}

/// What a list of states did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusReport {
    /// Changes durable on the server now.
    pub stored: u64,
    /// Changes that the server had.
    pub known: u64,
    /// Changes that wait on the server.
    pub waiting: u64,
    /// Reasons of refused changes.
    pub refused: Vec<String>,
    /// Something was refused: a new branch was taken and what could be made anew was (see [`Store::take_new_branch`],
    /// which reports it).
    pub needs_remake: bool,
    /// There is more to ask about what is sealed (see [`Store::waiting_to_ask`]).
    pub more_to_ask: bool,
}

impl Store {
    /// True when there is something to send.
    pub fn has_pending(&self) -> Result<bool> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM batch WHERE state = 0) OR EXISTS (SELECT 1 FROM refill)
                 OR EXISTS (SELECT 1 FROM receipt WHERE bring_from IS NOT NULL)
                 OR EXISTS (SELECT 1 FROM change WHERE state = 0 AND state <> 2)",
            )?;
            Ok(statement.query_row([], |r| r.get(0))?)
        })
    }

    /// The next upload: what a rewound server lacks, else the oldest unanswered batch, else a new batch of at most
    /// `changes_max` changes. It is durable before this returns, so that no byte leaves the phone that it could forget.
    pub fn pending_upload(&self, changes_max: usize) -> Result<Option<PendingUpload>> {
        if !self.has_pending()? {
            return Ok(None);
        }
        self.in_transaction(Durability::Power, |work| work.next_upload(changes_max))
    }

    /// Every upload that a sync would send now, in its order, if each is answered. Made in a transaction that is taken back.
    pub fn upcoming_uploads(&self, changes_max: usize) -> Result<Vec<PendingUpload>> {
        if !self.has_pending()? {
            return Ok(Vec::new());
        }
        self.connections.rehearse(&self.tools, |work| {
            let mut uploads = Vec::new();
            while let Some(upload) = work.next_upload(changes_max)? {
                match upload.kind {
                    UploadKind::Refill => work.refill_done(upload.digest)?,
                    UploadKind::Batch => {
                        let sql = "UPDATE batch SET state = 1 WHERE state = 0 AND branch = ? AND number = ?";
                        work.db.prepare_cached(sql)?.execute(params![upload.branch, upload.number.cast_signed()])?;
                    }
                }
                uploads.push(upload);
            }
            Ok(uploads)
        })
    }

    /// Notes that an upload's bytes are about to leave: until it is answered, the server may have any part of it.
    pub fn mark_attempt(&self, digest: [u8; 32]) -> Result<()> {
        self.in_transaction(Durability::Process, |work| set_meta(work.db, "attempt", digest))
    }

    /// The upload that was tried last; what the server has of it is unknown while it is pending.
    pub fn attempted(&self) -> Result<Option<[u8; 32]>> {
        self.connections.read(|db| meta(db, "attempt"))
    }

    /// Takes the states of a batch's changes, in its order; gives up nothing: what was refused stays with its reason.
    pub fn apply_statuses(
        &self,
        branch: u32,
        number: u64,
        outcomes: &[Outcome],
        as_of: u64,
        receipt: MacTag,
    ) -> Result<StatusReport> {
        self.in_transaction(Durability::Power, |work| work.apply_statuses(branch, number, outcomes, as_of, receipt))
    }

    /// Own changes that waited on the server when it was last asked, at most so many as a hello asks about; with more of them
    /// which ones depends on `turn`, so that each has its turn. Once a day, sealed ones: where `sealed_first` says so, or without
    /// any that wait. A caller that alternates lets neither be in the way of the other.
    pub fn waiting_to_ask(&self, turn: u64, sealed_first: bool) -> Result<Vec<ManifestEntry>> {
        self.connections.read(|db| {
            let sealed = sealed::to_ask(db)?;
            if sealed_first && !sealed.is_empty() {
                return Ok(sealed);
            }
            let waiting =
                "FROM change c JOIN record r ON r.no = c.record WHERE c.state = 3 AND c.state <> 2 AND c.reason <> ?1";
            let count = format!("SELECT count(*) {waiting}");
            let count: i64 = db.prepare_cached(&count)?.query_row([OLD_INCARNATION], |r| r.get(0))?;
            if count == 0 {
                return Ok(sealed);
            }
            let most = limits::WAITING_ASKED_MAX as u64;
            let rounds = count.cast_unsigned().div_ceil(most);
            let sql = format!("SELECT r.id, r.incarnation, c.hash {waiting} ORDER BY c.no LIMIT ?2 OFFSET ?3");
            let mut statement = db.prepare_cached(&sql)?;
            let from = (turn % rounds * most).cast_signed();
            let rows = statement.query_map(params![OLD_INCARNATION, most.cast_signed(), from], |r| {
                let (record, change) = (RecordId(r.get(0)?), ChangeHash(r.get(2)?));
                Ok(ManifestEntry { record, incarnation: r.get(1)?, change })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Takes what became of changes that waited or are sealed, in the order in which they were asked about.
    pub fn apply_fates(
        &self,
        asked: &[ManifestEntry],
        outcomes: &[Outcome],
        as_of: u64,
        receipt: MacTag,
    ) -> Result<StatusReport> {
        if asked.len() != outcomes.len() {
            return Err(StoreError::StatusCount);
        }
        self.in_transaction(Durability::Power, |work| {
            if let Some(more_to_ask) = work.take_sealed_fates(asked, outcomes)? {
                return Ok(StatusReport { more_to_ask, ..StatusReport::default() });
            }
            if outcomes.iter().all(|outcome| outcome.state == State::Waiting) {
                return Ok(StatusReport { waiting: outcomes.len() as u64, ..StatusReport::default() });
            }
            let report = work.take_outcomes(asked, outcomes, as_of, receipt)?;
            work.drop_lost()?;
            Ok(report)
        })
    }

    /// The server lacks the batches of `branch` after number `last`: they become pending again, oldest first. If one of
    /// them isn't kept any more, a new branch is taken; what an older branch had acknowledged comes back by receipts.
    pub fn rewind_batches(&self, branch: u32, last: u64) -> Result<()> {
        self.in_transaction(Durability::Power, |work| work.rewind_batches(branch, last))
    }
}

impl Work<'_> {
    fn next_upload(&mut self, changes_max: usize) -> Result<Option<PendingUpload>> {
        if let Some(refill) = self.pending_refill()? {
            return Ok(Some(refill));
        }
        if let Some(batch) = self.pending_batch()? {
            return Ok(Some(batch));
        }
        self.make_batch(changes_max.clamp(1, limits::BATCH_CHANGES_MAX))?;
        self.pending_batch()
    }

    fn rewind_batches(&mut self, branch: u32, last: u64) -> Result<()> {
        let current = number(self.db, "branch")? as u32 == branch;
        let after = last.cast_signed();
        // one of which something was let go can't be sent again
        let kept: Vec<(i64, i64)> = {
            let sql = "SELECT no, number FROM batch WHERE branch = ? AND number > ? AND state <> 2 ORDER BY number";
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![branch, after], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut whole = 0;
        for (no, _) in &kept {
            whole += i64::from(self.whole_upload(*no)?.is_some());
        }
        let newest = kept.last().map_or(after, |(_, number)| *number);
        let made = if current { number(self.db, "batch_number")?.cast_signed() } else { newest };
        let unbroken = whole >= made - after;
        if !unbroken && current {
            self.take_branch(&HashSet::new(), &[])?;
            return Ok(());
        }
        let to = if unbroken { batch_state::PENDING } else { batch_state::SET_ASIDE };
        self.db
            .prepare_cached("UPDATE batch SET state = ? WHERE branch = ? AND number > ? AND state <> 2")?
            .execute(params![to, branch, after])?;
        if unbroken { Ok(()) } else { self.note_unsealed() }
    }

    fn pending_batch(&mut self) -> Result<Option<PendingUpload>> {
        loop {
            let mut statement = self.db.prepare_cached(
                "SELECT no, branch, number, length(entries) FROM batch WHERE state = 0 ORDER BY no LIMIT 1",
            )?;
            let found = statement.query_row([], |r| {
                let changes = r.get::<_, i64>(3)? as usize / ManifestEntry::LEN;
                Ok((r.get(0)?, r.get(1)?, r.get::<_, i64>(2)?.cast_unsigned(), changes))
            });
            let Some((no, branch, number, changes)) = found.optional()? else { return Ok(None) };
            if let Some(bytes) = self.whole_upload(no)? {
                let digest: [u8; 32] = Sha256::digest(&bytes).into();
                self.db
                    .prepare_cached("UPDATE batch SET digest = ?1 WHERE no = ?2 AND digest <> ?1")?
                    .execute(params![digest, no])?;
                return Ok(Some(PendingUpload { kind: UploadKind::Batch, digest, bytes, changes, branch, number }));
            }
            // what it lacks was let go: the server finds the gap, and a new branch is taken
            self.db
                .prepare_cached("UPDATE batch SET state = ? WHERE no = ?")?
                .execute(params![batch_state::SET_ASIDE, no])?;
            self.note_unsealed()?;
        }
    }

    /// Unsent changes, oldest first, within the limits of a batch; damaged ones are put aside.
    fn sendable(&mut self, changes_max: usize) -> Result<Vec<(i64, Stored)>> {
        let unsent: Vec<(i64, Stored)> = {
            let mut statement = self.db.prepare_cached(
                "SELECT record, no, hash, state, branch, bytes FROM change
                 WHERE state = 0 AND state <> 2 ORDER BY no LIMIT ?",
            )?;
            let rows = statement.query_map([changes_max as i64], |r| {
                let change = Stored {
                    no: r.get(1)?,
                    hash: ChangeHash(r.get(2)?),
                    state: r.get(3)?,
                    branch: r.get(4)?,
                    bytes: r.get(5)?,
                };
                Ok((r.get(0)?, change))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let (mut sendable, mut size) = (Vec::with_capacity(unsent.len()), 0);
        for (record, change) in unsent {
            if !is_sound(&change) {
                self.set_state(&change, state::QUARANTINED, "damaged_on_phone")?;
                self.recount(record)?;
                continue;
            }
            size += change.bytes.len() + 64;
            if size > BATCH_BYTES_MAX && !sendable.is_empty() {
                break;
            }
            sendable.push((record, change));
        }
        Ok(sendable)
    }

    pub(super) fn make_batch(&mut self, changes_max: usize) -> Result<()> {
        let enrolment = self.enrolment()?;
        let branch = number(self.db, "branch")? as u32;
        let mut changes = self.sendable(changes_max)?;
        if changes.is_empty() {
            return Ok(());
        }
        // record by record, in the order in which each record was first written; within a record the order stays causal
        let mut order: Vec<i64> = Vec::new();
        for (record, _) in &changes {
            if !order.contains(record) {
                order.push(*record);
            }
        }
        changes.sort_by_key(|(record, change)| (order.iter().position(|r| r == record), change.no));
        let mut frames = Vec::new();
        for group in changes.chunk_by(|a, b| a.0 == b.0) {
            let held = held_by_no(self.db, group[0].0)?;
            let body = group.iter().map(|(_, c)| WireChange::new(c.hash, c.bytes.clone())).collect();
            frames.push(RecordFrame {
                id: held.id,
                identity: held.identity,
                incarnation: held.incarnation,
                area: held.area,
                subject: held.subject,
                body: RecordBody::Changes(body),
            });
        }
        let last = number(self.db, "batch_number")?;
        let header = BatchHeader {
            tenant: enrolment.tenant,
            device: enrolment.device,
            branch,
            number: last + 1,
            previous: meta(self.db, "batch_hash")?.unwrap_or([0; 32]),
        };
        let batch = Batch::sign(header, frames, &SigningKey::from_bytes(&enrolment.signing_seed));
        let upload = stream::compress(&batch.encode()?)?;
        let digest: [u8; 32] = Sha256::digest(&upload).into();
        let entries: Vec<u8> = batch.manifest().iter().flat_map(ManifestEntry::to_bytes).collect();
        self.db
            .prepare_cached(
                "INSERT INTO batch (branch, number, state, hash, digest, entries, upload) VALUES (?, ?, 0, ?, ?, ?, ?)",
            )?
            .execute(params![branch, (last + 1).cast_signed(), batch.hash(), digest, entries, upload])?;
        set_meta(self.db, "batch_number", (last + 1).cast_signed())?;
        set_meta(self.db, "batch_hash", batch.hash())?;
        for (_, change) in &changes {
            self.set_state(change, state::BATCHED, "")?;
        }
        Ok(())
    }

    fn apply_statuses(
        &mut self,
        branch: u32,
        number: u64,
        outcomes: &[Outcome],
        as_of: u64,
        receipt: MacTag,
    ) -> Result<StatusReport> {
        let found: Option<(i64, Vec<u8>)> = self
            .db
            .prepare_cached("SELECT no, entries FROM batch WHERE branch = ? AND number = ?")?
            .query_row(params![branch, number.cast_signed()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let Some((batch, named)) = found else { return Ok(StatusReport::default()) };
        let entries: Vec<ManifestEntry> = named.as_chunks().0.iter().filter_map(ManifestEntry::from_bytes).collect();
        if entries.len() != outcomes.len() {
            return Err(StoreError::StatusCount);
        }
        let server_ms = super::connection::number(self.db, "server_ms")?;
        self.db.prepare_cached("UPDATE batch SET state = ?, closed_ms = ? WHERE no = ?")?.execute(params![
            batch_state::ACKNOWLEDGED,
            server_ms.cast_signed(),
            batch
        ])?;
        self.upload_taken()?;
        let report = self.take_outcomes(&entries, outcomes, as_of, receipt)?;
        self.seal_closed(batch, &named)?;
        self.drop_lost()?;
        Ok(report)
    }

    /// Takes the states of changes; where something was refused a new branch is taken.
    fn take_outcomes(
        &mut self,
        entries: &[ManifestEntry],
        outcomes: &[Outcome],
        as_of: u64,
        receipt: MacTag,
    ) -> Result<StatusReport> {
        let mut report = StatusReport::default();
        let server_ms = super::connection::number(self.db, "server_ms")?;
        let (mut touched, mut remake, mut acknowledged) = (Vec::new(), HashSet::new(), Vec::new());
        for (entry, outcome) in entries.iter().zip(outcomes) {
            if outcome.state.is_acknowledged() {
                acknowledged.push(*entry);
            }
            match outcome.state {
                State::Stored => report.stored += 1,
                State::Known => report.known += 1,
                State::Waiting => report.waiting += 1,
                _ if outcome.reason == OLD_INCARNATION => report.waiting += 1,
                // it is made anew
                _ if outcome.reason == NOT_KEPT => {}
                _ => report.refused.push(outcome.reason.clone()),
            }
            let Some((record, change)) = self.change_of(entry)? else { continue };
            if touched.last() != Some(&record) {
                touched.push(record);
            }
            self.settle(&change, outcome, server_ms, &mut remake)?;
        }
        self.keep_receipt(as_of, receipt, &acknowledged)?;
        let replaced = |(entry, outcome): (&ManifestEntry, &Outcome)| {
            (outcome.reason == OLD_INCARNATION).then_some((entry.record, entry.incarnation.saturating_add(1)))
        };
        let replaced: Vec<(RecordId, Incarnation)> = entries.iter().zip(outcomes).filter_map(replaced).collect();
        if !replaced.is_empty() {
            // what was sent of them holds what an erasure took out
            self.forget_uploads(&replaced)?;
            self.note_deleted()?;
        }
        // what a lost phone sends is kept as it is, until the office has looked at it
        let refused = report.refused.iter().any(|reason| reason != LOST_DEVICE) || !remake.is_empty();
        report.needs_remake = refused && !self.is_wiping()?;
        for record in touched {
            if report.needs_remake {
                let held = held_by_no(self.db, record)?;
                self.refresh(record, &super::content::load(self.db, &held)?)?;
            } else {
                self.recount(record)?;
            }
        }
        if report.needs_remake {
            self.take_branch(&remake, &[])?;
        }
        Ok(report)
    }

    fn settle(&mut self, change: &Stored, outcome: &Outcome, server_ms: u64, remake: &mut HashSet<i64>) -> Result<()> {
        // what was made anew meanwhile stays evidence, unless the server took it after all
        let superseded = change.state == state::SUPERSEDED;
        match outcome.state {
            State::Stored | State::Known => {
                if change.state != state::ACKNOWLEDGED {
                    self.acknowledge(change, server_ms)?;
                }
            }
            _ if superseded => {}
            State::Waiting => self.set_state(change, state::WAITING, "")?,
            // the new incarnation is on its way down; the edits are made anew on it
            State::Equivocation if outcome.reason == OLD_INCARNATION => {
                self.set_state(change, state::WAITING, OLD_INCARNATION)?;
            }
            State::Equivocation => {
                remake.insert(change.no);
                self.set_state(change, state::QUARANTINED, "equivocation")?;
            }
            State::Quarantined => {
                // the allowed rest is made anew once, also if the server tells its state again
                let partly = change.state != state::QUARANTINED && !forbidden_keys(&outcome.reason).is_empty();
                if outcome.reason == DEPENDS_ON_REFUSED || partly {
                    remake.insert(change.no);
                }
                self.set_state(change, state::QUARANTINED, &outcome.reason)?;
            }
            State::Denied if outcome.reason == NOT_KEPT => {
                remake.insert(change.no);
                self.set_state(change, state::QUARANTINED, NOT_KEPT)?;
            }
            State::Denied => self.set_state(change, state::DENIED, &outcome.reason)?,
        }
        Ok(())
    }

    /// The stored change of an entry, if the record still has that incarnation.
    fn change_of(&self, entry: &ManifestEntry) -> Result<Option<(i64, Stored)>> {
        let mut statement = self.db.prepare_cached(
            "SELECT c.record, c.no, c.hash, c.state, c.branch FROM change c JOIN record r ON r.no = c.record
             WHERE r.id = ? AND r.incarnation = ? AND c.hash = ?",
        )?;
        let found = statement.query_row(params![entry.record.0, entry.incarnation, entry.change.0], |r| {
            let change = Stored {
                no: r.get(1)?,
                hash: ChangeHash(r.get(2)?),
                state: r.get(3)?,
                branch: r.get(4)?,
                bytes: Vec::new(),
            };
            Ok((r.get(0)?, change))
        });
        Ok(found.optional()?)
    }
}

/// The server's reason for changes to an incarnation that it has replaced.
pub(super) const OLD_INCARNATION: &str = "old_incarnation";
/// The server's reason for changes that build on a refused one.
const DEPENDS_ON_REFUSED: &str = "depends_on_refused";

/// True when the stored bytes are those of the stored hash.
fn is_sound(change: &Stored) -> bool {
    strip_change(&change.bytes).is_some_and(|body| {
        let (hash, bytes) = restore_change(body);
        hash == change.hash && bytes == change.bytes
    })
}
