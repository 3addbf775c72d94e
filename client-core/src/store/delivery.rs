//! What comes down: one frame of records, one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::params;

use super::Store;
use super::connection::{Durability, Work, number};
use super::content::{self, Held, Stored, changes, held, state};
use super::error::Result;
use super::remake::ReRooted;
use crate::fault;
use crate::id::{ActorId, AreaId, ChangeHash, Incarnation, RecordId};
use crate::protocol::{ChangeHead, Delivery, RecordBody, RecordFrame, Source, WireChange};
use crate::record::Record;

/// What a frame of records did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryReport {
    /// Records that changed.
    pub records: u64,
    /// Changes that are new here.
    pub changes: u64,
    /// Records of which something could not be taken, with the reason's code; they are marked as stuck, others went on.
    pub refused: Vec<(RecordId, String)>,
    /// A change by this device's own actor came that this phone didn't make (a clone, a restored backup). What came holds;
    /// a new branch was taken and own open changes were made anew (see [`Store::take_new_branch`], which reports it).
    pub own_actor_clash: bool,
    /// Changes made anew, because of a clash or a re-rooted record.
    pub remade: u64,
}

/// What one frame leads to beyond its own record.
#[derive(Default)]
struct Aftermath {
    clash: bool,
    rerooted: Vec<ReRooted>,
    /// Records whose incarnations below this one must leave no trace here.
    forgotten: Vec<(RecordId, Incarnation)>,
}

impl Store {
    /// Takes one frame: records, receipt and position in one transaction. Taking it twice changes nothing more.
    pub fn apply_delivery(&self, delivery: &Delivery) -> Result<DeliveryReport> {
        if let (Source::Feed(position), true) = (delivery.source, fault::bug("early_cursor")) {
            self.in_transaction(Durability::Power, |work| work.set_feed(position))?;
        }
        self.in_transaction(Durability::Power, |work| {
            let (mut report, mut after) = (DeliveryReport::default(), Aftermath::default());
            let (own, _) = work.own_actor()?;
            for frame in &delivery.records {
                work.deliver(frame, own, &mut report, &mut after)?;
            }
            work.keep_receipt(delivery.as_of, delivery.receipt, &delivery.entries())?;
            match delivery.source {
                Source::Feed(position) => work.set_feed(position)?,
                Source::Fill { grant, after } => {
                    work.db
                        .prepare_cached("UPDATE fill SET after = max(after, ?) WHERE grant_no = ?")?
                        .execute(params![after.cast_signed(), grant.cast_signed()])?;
                }
            }
            if after.clash || !after.rerooted.is_empty() {
                report.own_actor_clash = after.clash;
                report.remade = work.take_branch(&HashSet::new(), &after.rerooted)?.changes;
            }
            work.forget_uploads(&after.forgotten)?;
            work.drop_lost()?;
            Ok(report)
        })
    }
}

impl Work<'_> {
    fn deliver(
        &mut self,
        frame: &RecordFrame,
        own: ActorId,
        report: &mut DeliveryReport,
        after: &mut Aftermath,
    ) -> Result<()> {
        let found = held(self.db, frame.id)?;
        if found.is_none() && matches!(&frame.body, RecordBody::Changes(changes) if changes.is_empty()) {
            // it moved, and never was here
            return Ok(());
        }
        let held = match found {
            Some(held) if held.identity != frame.identity => {
                report.refused.push((frame.id, "identity".to_owned()));
                return Ok(());
            }
            Some(held) if frame.incarnation < held.incarnation => return Ok(()),
            Some(held) if frame.incarnation > held.incarnation => self.reroot(held, frame, after)?,
            Some(held) => self.place(held, frame)?,
            None => {
                // it may have been here before, in an incarnation of which own batches still hold something
                self.forget_sealed(frame.id, frame.incarnation)?;
                if frame.incarnation > 0 {
                    self.forget_clear(frame.id, frame.incarnation)?;
                }
                self.insert_record(Held {
                    no: 0,
                    id: frame.id,
                    identity: frame.identity.clone(),
                    incarnation: frame.incarnation,
                    area: frame.area,
                    subject: frame.subject,
                })?
            }
        };
        let snapshot;
        let incoming: &[WireChange] = match &frame.body {
            RecordBody::Changes(changes) => changes,
            RecordBody::Snapshot { heads, bytes, received_ms } => {
                match Record::from_snapshot(frame.identity.clone(), bytes, heads) {
                    Ok(record) => {
                        let received_ms = *received_ms;
                        let wire =
                            |c: crate::record::RawChange| WireChange { hash: c.hash, bytes: c.bytes, received_ms };
                        snapshot = record.changes().into_iter().map(wire).collect::<Vec<_>>();
                        &snapshot
                    }
                    Err(refusal) => {
                        self.stick(held.no, true)?;
                        report.refused.push((frame.id, refusal.code().to_owned()));
                        return Ok(());
                    }
                }
            }
        };
        self.take(&held, incoming, own, report, after)
    }

    /// Takes a record's changes: each through the guard, a bad one never in the way of others.
    fn take(
        &mut self,
        held: &Held,
        incoming: &[WireChange],
        own: ActorId,
        report: &mut DeliveryReport,
        after: &mut Aftermath,
    ) -> Result<()> {
        let mut rows = changes(self.db, held.no)?;
        if self.yield_to_server(&rows, incoming, after)? {
            rows = changes(self.db, held.no)?;
        }
        let known: HashMap<ChangeHash, &Stored> = rows.iter().map(|c| (c.hash, c)).collect();
        let mut record = content::build(&held.identity, rows.iter().filter(|c| state::is_live(c.state)));
        let mut accepted: Vec<&WireChange> = Vec::new();
        let (mut new, mut refused) = (0, None);
        for change in incoming {
            match known.get(&change.hash) {
                Some(row) if row.state == state::ACKNOWLEDGED => continue,
                Some(row) if state::is_open(row.state) => {
                    self.acknowledge(row, change.received_ms)?;
                    accepted.push(change);
                    continue;
                }
                Some(_) => {}
                None => {
                    let by_own_actor = ChangeHead::read(&change.bytes).is_some_and(|h| h.actor == own);
                    after.clash |= by_own_actor && !self.is_in_a_batch(&change.hash)?;
                }
            }
            if let Err(refusal) = record.accept(&change.bytes) {
                // perhaps only an own change without a final state is in the way: what the server has holds
                let mut authoritative = acknowledged(&rows, &accepted, &held.identity);
                if authoritative.accept(&change.bytes).is_err() {
                    refused = refused.or(Some(refusal));
                    continue;
                }
                record = authoritative;
                after.clash = true;
            }
            match known.get(&change.hash) {
                Some(row) => self.acknowledge(row, change.received_ms)?,
                None => {
                    self.insert_change(
                        held.no,
                        change.hash,
                        &change.bytes,
                        state::ACKNOWLEDGED,
                        None,
                        change.received_ms,
                    )?;
                }
            }
            accepted.push(change);
            new += 1;
        }
        if let Some(refusal) = &refused {
            report.refused.push((held.id, refusal.code().to_owned()));
        }
        self.stick(held.no, refused.is_some())?;
        if new > 0 {
            self.refresh(held.no, &record)?;
        } else {
            self.recount(held.no)?;
        }
        report.records += u64::from(new > 0);
        report.changes += new;
        Ok(())
    }

    /// A server that went back in time may since have taken another change with an author and number that this phone
    /// knows (a cloned phone's): what it has now holds. The rival and all that builds on it go aside; own ones are open
    /// again, to be made anew. True if there was one.
    fn yield_to_server(&mut self, rows: &[Stored], incoming: &[WireChange], after: &mut Aftermath) -> Result<bool> {
        let live: HashSet<ChangeHash> = rows.iter().filter(|c| state::is_live(c.state)).map(|c| c.hash).collect();
        if live.is_empty() || fault::bug("keep_rival") {
            return Ok(false);
        }
        let fresh = incoming.iter().filter(|c| !live.contains(&c.hash));
        let taken: HashSet<(ActorId, u64)> =
            fresh.filter_map(|c| ChangeHead::read(&c.bytes)).map(|h| (h.actor, h.seq)).collect();
        let mut gone: HashSet<ChangeHash> = HashSet::new();
        for row in rows.iter().filter(|c| c.state == state::ACKNOWLEDGED) {
            let Some(head) = ChangeHead::read(&row.bytes) else { continue };
            if taken.contains(&(head.actor, head.seq)) || head.dependencies.iter().any(|d| gone.contains(d)) {
                gone.insert(row.hash);
                match row.branch {
                    Some(_) => self.set_state(row, state::BATCHED, "")?,
                    None => self.set_state(row, state::SUPERSEDED, "equivocation")?,
                }
            }
        }
        let own = |c: &Stored| c.is_own_open() || c.branch.is_some() && gone.contains(&c.hash);
        after.clash |= !gone.is_empty() && rows.iter().any(own);
        Ok(!gone.is_empty())
    }

    /// True for a change that this phone made and sent; its record may have left the scope since and come back.
    fn is_in_a_batch(&self, hash: &ChangeHash) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE instr(entries, ?) > 0)";
        Ok(self.db.prepare_cached(sql)?.query_row([hash.0], |r| r.get(0))?)
    }

    fn stick(&self, no: i64, stuck: bool) -> Result<()> {
        self.db
            .prepare_cached("UPDATE record SET stuck = ?1 WHERE no = ?2 AND stuck <> ?1")?
            .execute(params![stuck, no])?;
        Ok(())
    }

    /// The server says where a record is.
    fn place(&self, mut held: Held, frame: &RecordFrame) -> Result<Held> {
        let left = frame.area == AreaId::NOWHERE;
        let subject = if left { held.subject } else { frame.subject };
        if held.area != frame.area || held.subject != subject {
            (held.area, held.subject) = (frame.area, subject);
            self.db.prepare_cached("UPDATE record SET area = ?, subject = ? WHERE no = ?")?.execute(params![
                held.area.0,
                held.subject.map(|s| s.0),
                held.no
            ])?;
        }
        if left {
            // what this phone made about it, of which the server says nothing more, goes with it
            self.db
                .prepare_cached("UPDATE record SET area = ?1 WHERE subject = ?2 AND area <> ?1")?
                .execute(params![AreaId::NOWHERE.0, held.id.0])?;
            self.note_loss()?;
        }
        Ok(held)
    }

    /// The server re-rooted the record.
    fn reroot(&mut self, held: Held, frame: &RecordFrame, after: &mut Aftermath) -> Result<Held> {
        let held = self.place(held, frame)?;
        after.forgotten.push((held.id, frame.incarnation));
        let (held, rerooted) = self.root_anew(held, frame.incarnation)?;
        after.rerooted.extend(rerooted);
        Ok(held)
    }

    /// Kept batches lose what they hold of these records. None of them is sent whole again: pending ones were set aside where a
    /// change of such a record was open.
    pub(super) fn forget_uploads(&mut self, records: &[(RecordId, Incarnation)]) -> Result<()> {
        for (record, below) in records {
            self.forget_sealed(*record, *below)?;
            self.forget_clear(*record, *below)?;
        }
        if !records.is_empty() {
            // it is made anew of what is here now
            self.db.prepare_cached("DELETE FROM refill")?.execute([])?;
        }
        Ok(())
    }

    /// Where the feed stands, with the point before kept.
    pub fn set_feed(&self, position: crate::protocol::Position) -> Result<()> {
        if number(self.db, "feed_seq")? == position.seq
            && super::connection::meta::<i64>(self.db, "feed_seq")?.is_some()
        {
            return Ok(());
        }
        self.store_feed(Some(position))
    }
}

/// The record without own changes that have no final state.
fn acknowledged(rows: &[Stored], accepted: &[&WireChange], identity: &crate::id::Identity) -> Record {
    let mut record = content::build(identity, rows.iter().filter(|c| c.state == state::ACKNOWLEDGED));
    for change in accepted {
        // taken before in this frame
        let _ = record.accept(&change.bytes);
    }
    record
}
