//! What the office decides about quarantined changes: release (merge as it is) or discard, both with a reason.

use std::sync::Arc;

use doorstep_core::id::{ChangeHash, DeviceId, RecordId};
use doorstep_core::protocol::{ChangeHead, Outcome, RecordBody, RecordFrame, State, WireChange};
use doorstep_core::record::ChangeNote;

use super::audit::{Act, Action, Actor};
use super::life::Arrived;
use super::merge::Sender;
use super::{Refused, Service};
use crate::storage::{Committed, Decision, QuarantineRow, StorageError, TownshipId, Write};

/// Changes that are decided about at once.
pub const DECIDED_AT_ONCE: usize = 500;
/// Reasons that say that nobody knows who wrote a change: it can't be released.
const FORGED: [&str; 3] = ["foreign_author", "foreign_user", "message"];
/// Tries when phones move the records meanwhile.
const TRIES: usize = 20;

/// What came of a change's release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Its number in quarantine.
    pub no: u64,
    /// Why it can't be released, a code of the guard or `made_anew`, `missing_dependencies`, `unknown_device`; `None`: it is
    /// in its record.
    pub refused: Option<String>,
}

impl Service {
    /// Merges quarantined changes as they are, as if they had just come. Each that passes the guard, that wasn't made anew on
    /// its phone, and whose earlier changes are there, is in its record then, and phones get it with their next sync.
    pub fn release(
        self: &Arc<Self>,
        actor: Actor,
        township: TownshipId,
        nos: &[u64],
        reason: &str,
    ) -> Result<Vec<Released>, Refused> {
        let rows = self.undecided(township, nos)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        // one device after the other, each with its changes in the order in which they came
        let mut devices: Vec<DeviceId> = rows.iter().map(|row| row.device).collect();
        devices.dedup();
        while let Some(device) = devices.first().copied() {
            devices.retain(|other| *other != device);
            let own: Vec<&QuarantineRow> = rows.iter().filter(|row| row.device == device).collect();
            all.extend(self.release_of(township, device, &own, (actor, reason))?);
        }
        all.sort_by_key(|released| released.no);
        Ok(all)
    }

    /// Notes that quarantined changes aren't wanted; gives how many. They are still kept, and can be released after all.
    pub fn discard(
        &self,
        actor: Actor,
        township: TownshipId,
        nos: &[u64],
        reason: &str,
    ) -> Result<usize, StorageError> {
        let rows: Vec<QuarantineRow> =
            self.undecided(township, nos)?.into_iter().filter(|row| row.decision == Decision::Open).collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let nos: Vec<u64> = rows.iter().map(|row| row.no).collect();
        let act = decided(Action::QuarantineDiscarded, township, &rows.iter().collect::<Vec<_>>()).because(reason);
        self.act(actor, act, [Write::Decided(township, nos, Decision::Discarded, self.clock.now_ms())])?;
        Ok(rows.len())
    }

    fn undecided(&self, township: TownshipId, nos: &[u64]) -> Result<Vec<QuarantineRow>, StorageError> {
        let mut rows = self.storage.quarantine_rows(township, &nos[..nos.len().min(DECIDED_AT_ONCE)])?;
        rows.retain(|row| row.decision != Decision::Released);
        Ok(rows)
    }

    fn release_of(
        self: &Arc<Self>,
        township: TownshipId,
        device: DeviceId,
        rows: &[&QuarantineRow],
        (actor, reason): (Actor, &str),
    ) -> Result<Vec<Released>, Refused> {
        let refused = |row: &QuarantineRow, why: &str| Released { no: row.no, refused: Some(why.to_owned()) };
        let Some(sender) = self.storage.device(device)?.filter(|d| d.township == township) else {
            return Ok(rows.iter().map(|row| refused(row, "unknown_device")).collect());
        };
        let mut released: Vec<Released> = Vec::new();
        let rest = {
            let mut rest: Vec<&QuarantineRow> = Vec::new();
            for row in rows {
                if FORGED.contains(&row.change.reason.as_str()) {
                    released.push(refused(row, &row.change.reason));
                } else if self.was_made_anew(township, row)? {
                    released.push(refused(row, "made_anew"));
                } else {
                    rest.push(*row);
                }
            }
            rest
        };
        if rest.is_empty() {
            return Ok(released);
        }
        let (frames, nos) = frames(&rest);
        for _ in 0..TRIES {
            let merge = self.merge(Sender::Releaser { device: &sender }, 0, self.clock.now_ms())?;
            let (mut push, outcomes) = merge.release(&frames)?;
            let touched: Vec<RecordId> = push.records.iter().map(|record| record.id).collect();
            let arrived = Arrived::of(&push);
            let done: Vec<u64> =
                nos.iter().zip(&outcomes).filter(|(_, outcome)| why(outcome).is_none()).map(|(no, _)| *no).collect();
            if !done.is_empty() {
                let own: Vec<&QuarantineRow> = rest.iter().copied().filter(|row| done.contains(&row.no)).collect();
                let act = decided(Action::QuarantineReleased, township, &own).because(reason);
                push.entries.push(self.entry(actor, act));
                push.writes.push(Write::Decided(township, done, Decision::Released, self.clock.now_ms()));
                if !matches!(self.committer.commit(&*self.storage, push)?, Committed::Done(_)) {
                    continue;
                }
            }
            self.settle_released(&sender, &touched)?;
            self.settle_arrived(township, &arrived);
            released.extend(nos.iter().zip(&outcomes).map(|(no, outcome)| Released { no: *no, refused: why(outcome) }));
            return Ok(released);
        }
        Err(Refused::Busy)
    }

    /// Merges what waited for the released changes.
    fn settle_released(&self, device: &crate::storage::Device, records: &[RecordId]) -> Result<(), Refused> {
        for _ in 0..TRIES {
            let merge = self.merge(Sender::Releaser { device }, 0, self.clock.now_ms())?;
            let Some(push) = merge.waiting_for(records)? else { return Ok(()) };
            if let Committed::Done(_) = self.committer.commit(&*self.storage, push)? {
                return Ok(());
            }
        }
        Err(Refused::Busy)
    }

    /// True when the change's author has made its edits anew since: released too, they would stand twice.
    fn was_made_anew(&self, township: TownshipId, row: &QuarantineRow) -> Result<bool, StorageError> {
        let Some(Some(stored)) = self.storage.load_records(township, &[row.change.record])?.into_iter().next() else {
            return Ok(false);
        };
        Ok(stored.changes.iter().any(|change| remade_from(&change.bytes) == Some(row.change.hash)))
    }
}

/// From which change a change says that it was made anew.
fn remade_from(bytes: &[u8]) -> Option<ChangeHash> {
    ChangeHead::read(bytes)?.message.parse::<ChangeNote>().ok()?.remade_from
}

/// The changes by record, each record once, with their numbers in the order of the frames.
fn frames(rows: &[&QuarantineRow]) -> (Vec<RecordFrame>, Vec<u64>) {
    let mut order: Vec<(RecordId, u32)> = Vec::new();
    for row in rows {
        let named = (row.change.record, row.change.incarnation);
        if !order.contains(&named) {
            order.push(named);
        }
    }
    let (mut frames, mut nos) = (Vec::new(), Vec::new());
    for (record, incarnation) in order {
        let mut own =
            rows.iter().filter(|r| (r.change.record, r.change.incarnation) == (record, incarnation)).peekable();
        let Some(first) = own.peek() else { continue };
        let mut frame = RecordFrame {
            id: record,
            identity: first.change.identity.clone(),
            incarnation,
            area: first.change.area,
            subject: first.change.subject,
            body: RecordBody::Changes(Vec::new()),
        };
        let mut changes = Vec::new();
        for row in own {
            nos.push(row.no);
            changes.push(WireChange::new(row.change.hash, row.change.bytes.clone()));
        }
        frame.body = RecordBody::Changes(changes);
        frames.push(frame);
    }
    (frames, nos)
}

fn why(outcome: &Outcome) -> Option<String> {
    match outcome.state {
        State::Stored | State::Known => None,
        State::Waiting => Some("missing_dependencies".to_owned()),
        _ if outcome.reason == "depends_on_refused" => Some("missing_dependencies".to_owned()),
        _ => Some(outcome.reason.clone()),
    }
}

fn decided(action: Action, township: TownshipId, rows: &[&QuarantineRow]) -> Act {
    let numbers: Vec<u64> = rows.iter().map(|row| row.no).collect();
    let mut devices: Vec<DeviceId> = rows.iter().map(|row| row.device).collect();
    devices.sort_unstable();
    devices.dedup();
    let act = Act::new(action).in_township(township).with("numbers", numbers);
    devices.into_iter().take(20).fold(act, Act::device)
}
