//! Own batches after their records left the scope: what they hold of such records stays only sealed to the server, until the
//! batch goes. A rewound server gets it back in batches and refills; the phone itself can't read it any more.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::connection::{Durability, UNSEALED, Work, clear_meta, number, set_meta};
use super::error::Result;
use super::outbox::{OLD_INCARNATION, batch_state};
use super::{Enrolment, Store};
use crate::clock::Millis;
use crate::id::{ChangeHash, Incarnation, RecordId, TenantKey};
use crate::protocol::sealed::{SealedChanges, count_changes};
use crate::protocol::{Batch, ManifestEntry, Outcome, SealedBatch, SealedBy, SealedPart, limits, stream};

/// True while the server opens sealed parts, as it said last.
const OPENS: &str = "opens_sealed";

/// How often the server is asked whether records were rooted anew of which something is sealed, in server time.
const ASK_EVERY_MS: Millis = 24 * 3600 * 1000;
/// When it was last asked about all of them.
const ASKED_MS: &str = "sealed_asked_ms";
/// The last part that it was asked about, while it hasn't been asked about all.
const ASKED: &str = "sealed_asked";

impl Store {
    /// Takes the server's word whether it opens sealed parts; an older program doesn't. Once it does, what batches hold of
    /// records that aren't here any more is sealed.
    pub fn note_opens_sealed(&self, opens: bool) -> Result<()> {
        if self.connections.read(|db| number(db, OPENS))? == u64::from(opens) {
            return Ok(());
        }
        self.in_transaction(Durability::Power, |work| {
            set_meta(work.db, OPENS, opens)?;
            if !opens {
                return Ok(());
            }
            // what went by while the server couldn't open it
            let sql = "UPDATE receipt SET bring_from = 0
                       WHERE EXISTS (SELECT 1 FROM sealed s WHERE instr(receipt.entries, s.record) > 0)";
            work.db.execute(sql, [])?;
            work.note_unsealed()
        })
    }
}

impl Work<'_> {
    /// Seals what kept batches hold of records that aren't here any more, and overwrites the clear copy. While the server
    /// doesn't open sealed parts, it stays as it is: until then nothing else could bring it back.
    pub fn seal_absent(&mut self) -> Result<()> {
        clear_meta(self.db, UNSEALED)?;
        if number(self.db, OPENS)? == 0 {
            return Ok(());
        }
        let kept: Vec<(i64, Vec<u8>)> = {
            let sql = "SELECT no, entries FROM batch WHERE state <> 0 AND length(upload) > 0 ORDER BY no";
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (batch, entries) in kept {
            let absent = self.absent(batch, &entries)?;
            if !absent.is_empty() {
                self.seal_in(batch, &absent)?;
            }
        }
        Ok(())
    }

    /// A batch waits for no answer any more: what it holds of records that aren't here is sealed.
    pub fn seal_closed(&mut self, batch: i64, entries: &[u8]) -> Result<()> {
        if self.absent(batch, entries)?.is_empty() { Ok(()) } else { self.note_unsealed() }
    }

    /// The records of a batch that aren't here and aren't sealed yet.
    fn absent(&self, batch: i64, entries: &[u8]) -> Result<BTreeSet<RecordId>> {
        let named: BTreeSet<RecordId> =
            entries.as_chunks().0.iter().filter_map(ManifestEntry::from_bytes).map(|e| e.record).collect();
        let mut statement = self.db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM record WHERE id = ?1)
             OR EXISTS (SELECT 1 FROM sealed WHERE record = ?1 AND batch = ?2)",
        )?;
        let mut absent = BTreeSet::new();
        for record in named {
            if !statement.query_row(params![record.0, batch], |r| r.get::<_, bool>(0))? {
                absent.insert(record);
            }
        }
        Ok(absent)
    }

    fn seal_in(&mut self, no: i64, records: &BTreeSet<RecordId>) -> Result<()> {
        let enrolment = self.enrolment()?;
        let by = SealedBy { tenant: enrolment.tenant, device: enrolment.device };
        let upload: Vec<u8> =
            self.db.prepare_cached("SELECT upload FROM batch WHERE no = ?")?.query_row([no], |r| r.get(0))?;
        let Some(mut batch) = clear_part(&upload, &enrolment) else {
            // nobody can read it: neither is it sent again
            return self.replace_upload(no, &[]);
        };
        let mut sealed = false;
        let taken: BTreeSet<u32> = {
            let mut statement = self.db.prepare_cached("SELECT place FROM sealed WHERE batch = ?")?;
            let rows = statement.query_map([no], |r| r.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut places = (0..).filter(|place| !taken.contains(place));
        let mut clear = Vec::new();
        for frame in std::mem::take(&mut batch.records) {
            let place = places.next().unwrap_or_default();
            let parts =
                records.contains(&frame.id).then(|| by.seal(&frame, &enrolment.server_identity, &*self.tools.entropy));
            // what can't be sealed stays as it is until its batch goes: it has no other copy here
            let Some(Ok(parts)) = parts else {
                clear.push(frame);
                continue;
            };
            sealed = true;
            for SealedChanges { changes, content } in parts {
                let hashes: Vec<u8> = changes.iter().flat_map(|h| h.0).collect();
                self.db
                    .prepare_cached(
                        "INSERT INTO sealed (batch, place, record, incarnation, changes, content)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![no, place, frame.id.0, frame.incarnation, hashes, content])?;
            }
        }
        if !sealed {
            return Ok(());
        }
        batch.records = clear;
        self.replace_upload(no, &stream::compress(&SealedBatch::encode_rest(batch)?)?)
    }

    fn replace_upload(&mut self, no: i64, upload: &[u8]) -> Result<()> {
        let digest: [u8; 32] = Sha256::digest(upload).into();
        self.db
            .prepare_cached("UPDATE batch SET upload = ?, digest = ? WHERE no = ?")?
            .execute(params![upload, digest, no])?;
        self.note_deleted()
    }

    /// A batch as it is sent: as it was made, or with sealed parts in the place of what isn't here any more. `None` if
    /// something of it was let go, or if the server doesn't open sealed parts.
    pub fn whole_upload(&self, no: i64) -> Result<Option<Vec<u8>>> {
        let (upload, named): (Vec<u8>, i64) = self
            .db
            .prepare_cached("SELECT upload, length(entries) FROM batch WHERE no = ?")?
            .query_row([no], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let inflated = stream::inflate(&upload, limits::UPLOAD_INFLATED_MAX).unwrap_or_default();
        if !SealedBatch::is_sealed(&inflated) {
            return Ok(Some(upload).filter(|upload| !upload.is_empty()));
        }
        if number(self.db, OPENS)? == 0 {
            return Ok(None);
        }
        let Some(clear) = clear_part(&upload, &self.enrolment()?) else { return Ok(None) };
        let parts: Vec<(SealedPart, usize)> = {
            let sql = "SELECT place, content, length(changes) FROM sealed WHERE batch = ? ORDER BY place, no";
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map([no], |r| {
                let part = SealedPart { place: r.get(0)?, content: r.get(1)? };
                Ok((part, r.get::<_, i64>(2)? as usize / 32))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let changes = count_changes(&clear.records) + parts.iter().map(|(_, changes)| changes).sum::<usize>();
        if changes != named as usize / ManifestEntry::LEN {
            return Ok(None);
        }
        let whole = SealedBatch { clear, sealed: parts.into_iter().map(|(part, _)| part).collect() }.encode()?;
        let upload = stream::compress(&whole)?;
        let fits = whole.len() <= limits::UPLOAD_INFLATED_MAX && upload.len() <= limits::UPLOAD_MAX;
        Ok(fits.then_some(upload))
    }

    /// The sealed part with a change, by number; none while the server doesn't open them.
    pub fn sealed_with(&self, entry: &ManifestEntry) -> Result<Option<i64>> {
        if number(self.db, OPENS)? == 0 {
            return Ok(None);
        }
        let sql =
            "SELECT no FROM sealed WHERE record = ? AND incarnation = ? AND instr(changes, ?) > 0 ORDER BY no LIMIT 1";
        let values = params![entry.record.0, entry.incarnation, entry.change.0];
        Ok(self.db.prepare_cached(sql)?.query_row(values, |r| r.get(0)).optional()?)
    }

    /// How many changes a sealed part holds, and its content.
    pub fn sealed_part(&self, no: i64) -> Result<(usize, Vec<u8>)> {
        let sql = "SELECT length(changes), content FROM sealed WHERE no = ?";
        let part = |r: &Row<'_>| Ok((r.get::<_, i64>(0)? as usize / 32, r.get(1)?));
        Ok(self.db.prepare_cached(sql)?.query_row([no], part)?)
    }

    /// Lets go of sealed parts of incarnations below this one: they hold what an erasure took out. Those of a batch that waits
    /// for its answer go with the answer.
    pub fn forget_sealed(&mut self, record: RecordId, below: Incarnation) -> Result<usize> {
        let sql = "DELETE FROM sealed WHERE record = ? AND incarnation < ?
                   AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.no = sealed.batch AND b.state = ?)";
        let gone = self.db.prepare_cached(sql)?.execute(params![record.0, below, batch_state::PENDING])?;
        if gone > 0 {
            // it is made anew of what is here now
            self.db.prepare_cached("DELETE FROM refill")?.execute([])?;
            self.note_deleted()?;
        }
        Ok(gone)
    }

    /// Lets go of what kept batches hold in clear of incarnations below this one. The rest of such a batch stays, to be sealed
    /// when it leaves the scope; those that wait for an answer are left as they are.
    pub fn forget_clear(&mut self, record: RecordId, below: Incarnation) -> Result<()> {
        let enrolment = self.enrolment()?;
        let kept: Vec<(i64, Vec<u8>)> = {
            let sql = "SELECT no, upload FROM batch WHERE state <> ? AND instr(entries, ?) > 0 AND length(upload) > 0";
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![batch_state::PENDING, record.0], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (no, upload) in kept {
            let Some(mut batch) = clear_part(&upload, &enrolment) else {
                self.replace_upload(no, &[])?;
                continue;
            };
            let before = batch.records.len();
            batch.records.retain(|frame| frame.id != record || frame.incarnation >= below);
            if batch.records.len() < before {
                self.replace_upload(no, &stream::compress(&SealedBatch::encode_rest(batch)?)?)?;
            }
        }
        Ok(())
    }

    /// Takes what became of sealed changes, if that was asked: those of replaced incarnations go. Gives whether there are more to
    /// ask about.
    pub fn take_sealed_fates(&mut self, asked: &[ManifestEntry], outcomes: &[Outcome]) -> Result<Option<bool>> {
        let Some(last) = asked.last() else { return Ok(None) };
        let newest = "SELECT min(no) FROM sealed WHERE record = ? AND incarnation = ? AND substr(changes, 1, 32) = ?";
        let newest: Option<i64> = self
            .db
            .prepare_cached(newest)?
            .query_row(params![last.record.0, last.incarnation, last.change.0], |r| r.get(0))?;
        let Some(newest) = newest else { return Ok(None) };
        for (entry, outcome) in asked.iter().zip(outcomes) {
            if outcome.reason == OLD_INCARNATION {
                self.forget_sealed(entry.record, entry.incarnation.saturating_add(1))?;
            }
        }
        let more = !asked_after(self.db, newest, 1)?.is_empty();
        set_meta(self.db, ASKED, if more { newest } else { 0 })?;
        if !more {
            set_meta(self.db, ASKED_MS, number(self.db, "server_ms")?.cast_signed())?;
        }
        Ok(Some(more))
    }

    /// Sealed parts go with their batch.
    pub fn drop_sealed_without_batch(&self) -> Result<()> {
        self.db.execute("DELETE FROM sealed WHERE batch NOT IN (SELECT no FROM batch)", [])?;
        Ok(())
    }
}

/// A change of each incarnation of which something is sealed, as far as it is time to ask: an erasure out of the phone's sight
/// may have rooted their records anew.
pub(super) fn to_ask(db: &Connection) -> Result<Vec<ManifestEntry>> {
    let last = number(db, ASKED)?;
    if last == 0 && number(db, "server_ms")? < number(db, ASKED_MS)?.saturating_add(ASK_EVERY_MS) {
        return Ok(Vec::new());
    }
    asked_after(db, last.cast_signed(), limits::WAITING_ASKED_MAX)
}

/// The first part of each incarnation, after this one: at most so many.
fn asked_after(db: &Connection, last: i64, most: usize) -> Result<Vec<ManifestEntry>> {
    let sql = "SELECT record, incarnation, substr(changes, 1, 32) FROM sealed s
               WHERE no > ? AND NOT EXISTS (SELECT 1 FROM sealed f WHERE f.record = s.record
                                            AND f.incarnation = s.incarnation AND f.no < s.no)
               ORDER BY no LIMIT ?";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![last, most as i64], |r| {
        let (record, change) = (RecordId(r.get(0)?), ChangeHash(r.get(2)?));
        Ok(ManifestEntry { record, incarnation: r.get(1)?, change })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What a kept upload holds in clear; `None` if that can't be read.
fn clear_part(upload: &[u8], enrolment: &Enrolment) -> Option<Batch> {
    let bytes = stream::inflate(upload, limits::UPLOAD_INFLATED_MAX).ok()?;
    SealedBatch::decode(&bytes, &TenantKey(enrolment.tenant_key)).ok().map(|batch| batch.clear)
}
