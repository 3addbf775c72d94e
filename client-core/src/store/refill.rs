//! A server that went back in time gets its changes back: receipts, and what lies under them.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::Store;
use super::connection::{Durability, Work};
use super::content::{Held, Stored, changes, held, state};
use super::error::Result;
use super::outbox::PendingUpload;
use crate::id::{ChangeHash, MacTag, RecordId};
use crate::protocol::{
    ManifestEntry, Receipt, RecordBody, RecordFrame, Refill, UploadKind, WireChange, limits, stream,
};

/// Bytes of receipts and changes in a refill.
const REFILL_BYTES_MAX: usize = limits::UPLOAD_MAX - (128 << 10);

/// A receipt that is to be brought.
struct Owed {
    no: i64,
    from: usize,
    receipt: Receipt,
}

impl Store {
    /// The server has answered a refill: what it carried is done with.
    pub fn refill_done(&self, digest: [u8; 32]) -> Result<()> {
        self.in_transaction(Durability::Power, |work| work.refill_done(digest))
    }
}

impl Work<'_> {
    pub fn refill_done(&mut self, digest: [u8; 32]) -> Result<()> {
        let done: Option<Vec<u8>> = self
            .db
            .prepare_cached("DELETE FROM refill WHERE digest = ? RETURNING done")?
            .query_row([digest], |r| r.get(0))
            .optional()?;
        self.upload_taken()?;
        for line in done.unwrap_or_default().as_chunks::<16>().0 {
            let (no, upto) = line.split_at(8);
            let int = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default();
            self.db
                .prepare_cached(
                    "UPDATE receipt SET bring_from = CASE WHEN ?2 * 52 >= length(entries) THEN NULL ELSE ?2 END
                     WHERE no = ?1 AND bring_from IS NOT NULL",
                )?
                .execute(params![int(no), int(upto)])?;
        }
        self.drop_lost()
    }

    /// Keeps the server's word; an empty list says nothing.
    pub fn keep_receipt(&self, as_of: u64, tag: MacTag, entries: &[ManifestEntry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let lines: Vec<u8> = entries.iter().flat_map(ManifestEntry::to_bytes).collect();
        let server_ms = super::connection::number(self.db, "server_ms")?;
        self.db
            .prepare_cached("INSERT INTO receipt (as_of, received_ms, tag, entries) VALUES (?, ?, ?, ?)")?
            .execute(params![as_of.cast_signed(), server_ms.cast_signed(), tag.0, lines])?;
        Ok(())
    }

    /// True while a rewound server lacks something that it had vouched for.
    pub fn has_receipts_to_bring(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM receipt WHERE bring_from IS NOT NULL)";
        Ok(self.db.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
    }

    /// The refill under way, or a new one.
    pub fn pending_refill(&mut self) -> Result<Option<PendingUpload>> {
        if let Some(refill) = self.refill_under_way()? {
            return Ok(Some(refill));
        }
        loop {
            let owed = self.owed_receipts()?;
            if owed.is_empty() {
                return Ok(None);
            }
            self.make_refill(owed)?;
            // receipts whose records are all gone make an empty refill: they are done with
            if let Some(refill) = self.refill_under_way()? {
                return Ok(Some(refill));
            }
        }
    }

    fn refill_under_way(&self) -> Result<Option<PendingUpload>> {
        let mut statement = self.db.prepare_cached("SELECT digest, upload, changes FROM refill LIMIT 1")?;
        let found = statement.query_row([], |r| {
            Ok(PendingUpload {
                kind: UploadKind::Refill,
                digest: r.get(0)?,
                bytes: r.get(1)?,
                changes: r.get::<_, i64>(2)? as usize,
                branch: 0,
                number: 0,
            })
        });
        Ok(found.optional()?)
    }

    fn owed_receipts(&self) -> Result<Vec<Owed>> {
        let mut statement = self.db.prepare_cached(
            "SELECT no, bring_from, as_of, tag, entries FROM receipt WHERE bring_from IS NOT NULL ORDER BY no LIMIT ?",
        )?;
        let rows = statement.query_map([limits::REFILL_RECEIPTS_MAX as i64], |r| {
            let lines: Vec<u8> = r.get(4)?;
            let entries = lines.as_chunks().0.iter().filter_map(ManifestEntry::from_bytes).collect();
            let receipt = Receipt { as_of: r.get::<_, i64>(2)?.cast_unsigned(), tag: MacTag(r.get(3)?), entries };
            Ok(Owed { no: r.get(0)?, from: r.get::<_, i64>(1)? as usize, receipt })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn make_refill(&mut self, owed: Vec<Owed>) -> Result<()> {
        let mut gathered = Gathered::default();
        let (mut receipts, mut done) = (Vec::new(), Vec::new());
        for Owed { no, from, receipt } in owed {
            let upto = gathered.take(self, &receipt, from)?;
            if upto == from && from < receipt.entries.len() {
                break;
            }
            let whole = upto == receipt.entries.len();
            done.push((no, upto));
            receipts.push(receipt);
            if !whole {
                break;
            }
        }
        let lines: Vec<u8> =
            done.iter().flat_map(|(no, upto)| [no.to_be_bytes(), (*upto as i64).to_be_bytes()].concat()).collect();
        let changes = gathered.changes;
        if changes == 0 {
            for (no, _) in done {
                self.db.prepare_cached("UPDATE receipt SET bring_from = NULL WHERE no = ?")?.execute([no])?;
            }
            return Ok(());
        }
        let sealed = std::mem::take(&mut gathered.sealed).into_values().collect();
        let refill = Refill { receipts, records: gathered.frames(), sealed };
        let upload = stream::compress(&refill.encode()?)?;
        let digest: [u8; 32] = Sha256::digest(&upload).into();
        self.db
            .prepare_cached("INSERT INTO refill (digest, changes, upload, done) VALUES (?, ?, ?, ?)")?
            .execute(params![digest, changes as i64, upload, lines])?;
        Ok(())
    }
}

/// Records gathered for a refill.
#[derive(Default)]
struct Gathered {
    records: BTreeMap<i64, (Held, Vec<Stored>, HashSet<ChangeHash>)>,
    known: HashMap<RecordId, Option<i64>>,
    /// Parts that only the server can read, by row number.
    sealed: BTreeMap<i64, Vec<u8>>,
    changes: usize,
    bytes: usize,
}

impl Gathered {
    /// Adds what lies under a receipt's entries, as far as there is room; gives up to which entry. The first entry always
    /// finds room.
    fn take(&mut self, work: &Work<'_>, receipt: &Receipt, from: usize) -> Result<usize> {
        self.bytes += receipt.entries.len() * (ManifestEntry::LEN + 1) + 32;
        for (at, entry) in receipt.entries.iter().enumerate().skip(from) {
            let full = self.changes >= limits::REFILL_CHANGES_MAX / 2
                || self.bytes >= REFILL_BYTES_MAX
                || self.sealed.len() >= limits::REFILL_SEALED_MAX;
            if full && self.changes > 0 {
                return Ok(at);
            }
            if !self.add(work, entry)? {
                self.add_sealed(work, entry)?;
            }
        }
        Ok(receipt.entries.len())
    }

    /// Adds a change that is here, and what it builds on; false if it isn't.
    fn add(&mut self, work: &Work<'_>, entry: &ManifestEntry) -> Result<bool> {
        let no = match self.known.get(&entry.record) {
            Some(no) => *no,
            None => {
                let held = held(work.db, entry.record)?;
                let no = held.as_ref().map(|h| h.no);
                if let Some(held) = held {
                    let rows = changes(work.db, held.no)?;
                    self.records.insert(held.no, (held, rows, HashSet::new()));
                }
                self.known.insert(entry.record, no);
                no
            }
        };
        let Some((held, rows, wanted)) = no.and_then(|no| self.records.get_mut(&no)) else { return Ok(false) };
        if held.incarnation != entry.incarnation {
            return Ok(false);
        }
        let here = rows.iter().any(|c| c.hash == entry.change && c.state == state::ACKNOWLEDGED);
        let mut next = vec![entry.change];
        while let Some(hash) = next.pop() {
            let row = rows.iter().find(|c| c.hash == hash && c.state == state::ACKNOWLEDGED);
            let Some(row) = row else { continue };
            if wanted.insert(hash) {
                self.changes += 1;
                self.bytes += row.bytes.len() + 16;
                next.extend(row.dependencies());
            }
        }
        Ok(here)
    }

    /// Adds the sealed part with a change, if there is one.
    fn add_sealed(&mut self, work: &Work<'_>, entry: &ManifestEntry) -> Result<()> {
        let Some(no) = work.sealed_with(entry)?.filter(|no| !self.sealed.contains_key(no)) else { return Ok(()) };
        let (changes, content) = work.sealed_part(no)?;
        self.changes += changes;
        self.bytes += content.len() + 16;
        self.sealed.insert(no, content);
        Ok(())
    }

    fn frames(self) -> Vec<RecordFrame> {
        let mut frames = Vec::new();
        for (held, rows, wanted) in self.records.into_values().filter(|(_, _, wanted)| !wanted.is_empty()) {
            let changes = rows
                .into_iter()
                .filter(|c| wanted.contains(&c.hash))
                .map(|c| WireChange::new(c.hash, c.bytes))
                .collect();
            frames.push(RecordFrame {
                id: held.id,
                identity: held.identity,
                incarnation: held.incarnation,
                area: held.area,
                subject: held.subject,
                body: RecordBody::Changes(changes),
            });
        }
        frames
    }
}
