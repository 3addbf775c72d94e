//! Changes that wait for what they build on: when they are put there, and what becomes of them.

use std::collections::HashMap;

use doorstep_core::id::{ChangeHash, DeviceId, RecordId};
use doorstep_core::protocol::{Outcome, RecordBody, RecordFrame, State};
use doorstep_core::record::Refusal;

use super::{Merge, Merging, Room, Sender, check, held, new_change, permit, take};
use crate::storage::{HeldChange, PreparedPush, StorageError};

/// What stands as the reason of a waiting change that a receipt covers: the server has taken it before.
const RECEIPTED: &str = "receipted";
/// Changes of one device that may wait for others.
const WAITING_MAX: Room = Room { changes: 1_000, bytes: 4 << 20 };

impl Merge<'_> {
    /// Merges what waits for these records and fits by now; `None` if nothing does. A change can be put on waiting while
    /// another push commits what it builds on, so every push looks once more after its commit.
    pub fn waiting_for(mut self, ids: &[RecordId]) -> Result<Option<PreparedPush>, StorageError> {
        if self.storage.waiting(self.push.township, ids)?.is_empty() {
            return Ok(None);
        }
        let base = self.storage.merge_base(self.push.township, ids)?;
        let stored = base.records.iter().flatten();
        let about: Vec<RecordId> = stored.flat_map(|s| permit::named(&s.identity, s.subject)).collect();
        self.places = self.storage.places(self.push.township, &about)?;
        let mut waiting = by_record(base.waiting);
        for stored in base.records.into_iter().flatten() {
            let Some(waiting) = waiting.remove(&stored.id) else { continue };
            let frame = RecordFrame {
                id: stored.id,
                identity: stored.identity.clone(),
                incarnation: stored.incarnation,
                area: stored.area,
                subject: stored.subject,
                body: RecordBody::Changes(Vec::new()),
            };
            self.record(&frame, Some(stored), waiting)?;
        }
        self.check_instances()?;
        self.check_moves()?;
        let found = !self.push.records.is_empty() || !self.push.settled.is_empty();
        Ok(found.then_some(self.push))
    }

    /// A change whose dependencies aren't here: it waits, unless it builds on something refused or too much waits.
    pub(super) fn missing(
        &mut self,
        frame: &RecordFrame,
        merging: &mut Merging,
        hash: ChangeHash,
        bytes: &[u8],
        missing: &[ChangeHash],
    ) -> Result<(), StorageError> {
        let refused = missing.iter().any(|m| merging.refused.contains(m))
            || !self.storage.quarantined(self.push.township, frame.id, missing)?.is_empty();
        if refused {
            merging.refused.insert(hash);
            self.hold(frame, hash, bytes, State::Quarantined, "depends_on_refused")?;
            return Ok(());
        }
        let room = match &mut self.waiting_room {
            Some(room) => room,
            None => self.waiting_room.insert(WAITING_MAX.without(self.storage.waiting_of(self.push.device)?)),
        };
        if !room.takes(bytes.len()) {
            merging.refused.insert(hash);
            self.hold(frame, hash, bytes, State::Quarantined, "too_many_waiting")?;
            return Ok(());
        }
        let reason = if matches!(self.sender, Sender::Carrier { .. }) { RECEIPTED } else { "" };
        self.push.waiting.push(held(frame, hash, bytes, reason));
        self.outcomes.push(Outcome::of(State::Waiting));
        Ok(())
    }

    /// A change that waited is refused. Beyond the bound of what is kept of its sender it is let go: its phone, which asks what
    /// became of it, makes it anew.
    fn refuse_waiting(
        &mut self,
        merging: &mut Merging,
        device: DeviceId,
        change: HeldChange,
        reason: &str,
    ) -> Result<(), StorageError> {
        merging.refused.insert(change.hash);
        self.push.settled.push((change.record, change.hash));
        if self.takes_quarantine(device, change.bytes.len())? {
            self.push.quarantined.push((device, HeldChange { reason: reason.to_owned(), ..change }));
        }
        Ok(())
    }

    /// Tries what waited for this record, until nothing more fits.
    pub(super) fn settle(
        &mut self,
        frame: &RecordFrame,
        merging: &mut Merging,
        mut waiting: Vec<(DeviceId, HeldChange)>,
    ) -> Result<(), StorageError> {
        loop {
            let before = waiting.len();
            let mut still = Vec::new();
            for (device, change) in waiting {
                if merging.record.contains(&change.hash) {
                    self.push.settled.push((change.record, change.hash));
                    continue;
                }
                let checked = check(&merging.record, change.hash, &change.bytes);
                // what the server had taken is not judged again by the rights of today
                if let Ok(candidate) = &checked
                    && change.reason != RECEIPTED
                    && let Err(forbidden) =
                        self.permit_waiting(device, frame, (&merging.record, merging.born), candidate)?
                {
                    self.refuse_waiting(merging, device, change, &forbidden.reason())?;
                    continue;
                }
                match checked.and_then(|candidate| take(&mut merging.record, change.hash, candidate)) {
                    Ok(()) => {
                        self.push.settled.push((change.record, change.hash));
                        merging.new.push(new_change(change.hash, &change.bytes, Some(device)));
                    }
                    // what a phone brings back without a receipt is dropped; it says nothing about what builds on it
                    Err(Refusal::MissingDependencies(missing))
                        if !matches!(self.sender, Sender::Carrier { .. })
                            && missing.iter().any(|m| merging.refused.contains(m)) =>
                    {
                        self.refuse_waiting(merging, device, change, "depends_on_refused")?;
                    }
                    Err(Refusal::MissingDependencies(_)) => still.push((device, change)),
                    Err(refusal) => self.refuse_waiting(merging, device, change, refusal.code())?,
                }
            }
            if still.is_empty() || still.len() == before {
                return Ok(());
            }
            waiting = still;
        }
    }
}

pub(super) fn by_record(waiting: Vec<(DeviceId, HeldChange)>) -> HashMap<RecordId, Vec<(DeviceId, HeldChange)>> {
    let mut by_record: HashMap<_, Vec<_>> = HashMap::new();
    for (device, held) in waiting {
        by_record.entry(held.record).or_default().push((device, held));
    }
    by_record
}
