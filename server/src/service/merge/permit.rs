//! Where a push's records belong, and whether its author may write them.

use std::collections::HashMap;

use doorstep_core::form::SubjectKind;
use doorstep_core::id::{DeviceId, Identity, RecordId, UserId};
use doorstep_core::link::LINK_TYPE;
use doorstep_core::protocol::{GrantEntry, RecordBody, RecordFrame};
use doorstep_core::record::{Candidate, Record};
use doorstep_core::rights::OPEN;

use super::{Merge, open_record};
use crate::service::rights::{Forbidden, Rights, Target};
use crate::storage::page::Placed;
use crate::storage::{Grant, Known, Place, StorageError, StoredRecord};

/// The record that holds the core answers of the form instance that a part belongs to.
pub fn core_of(identity: &Identity) -> Option<RecordId> {
    identity.key.first().copied().filter(|_| identity.record_type.contains('.'))
}

/// The records that a record names: what it is about, its core, the parts of its key.
pub(super) fn named(identity: &Identity, subject: Option<RecordId>) -> impl Iterator<Item = RecordId> {
    subject.into_iter().chain(identity.key.iter().copied())
}

/// What a push asks about the places of: the records that its records name.
pub fn subjects(frames: &[RecordFrame]) -> Vec<RecordId> {
    let mut ids: Vec<RecordId> = frames.iter().flat_map(|f| named(&f.identity, f.subject)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Merge<'_> {
    /// Where a frame's record lies. One that is stored lies where the server says; a new one with what it is about, and a part
    /// with its instance; else where the frame says.
    pub(super) fn placed(&mut self, frame: &RecordFrame, stored: Option<&StoredRecord>) -> RecordFrame {
        let mut at = RecordFrame { body: RecordBody::Changes(Vec::new()), ..frame.clone() };
        if let Some(stored) = stored {
            (at.area, at.subject) = (stored.area, stored.subject);
        } else if let Some(core) = core_of(&frame.identity) {
            at.subject = Some(core);
            if let Some(place) = self.places.get(&core) {
                (at.area, at.subject) = (place.area, Some(place.subject.unwrap_or(core)));
            }
        } else {
            at.subject = self.keyed_subject(&frame.identity).or(at.subject);
            if let Some(place) = at.subject.and_then(|subject| self.places.get(&subject)) {
                at.area = place.area;
            }
        }
        let state = self.places.get(&frame.id).map_or_else(|| OPEN.to_owned(), |place| place.state.clone());
        self.places.entry(frame.id).or_insert(Place { area: at.area, subject: at.subject, state });
        at
    }

    /// What a record with a natural key is about, where its type is about something: a record that its key names, whatever the
    /// sender says.
    fn keyed_subject(&self, identity: &Identity) -> Option<RecordId> {
        let form = self.forms.of_type(&identity.record_type);
        let about = form.is_some_and(|f| !matches!(f.def().subject, SubjectKind::None | SubjectKind::Several));
        let mut known = identity.key.iter().filter(|id| self.places.contains_key(id));
        known.next().copied().filter(|_| about || identity.record_type == LINK_TYPE)
    }

    /// Whether the author may write a change that passed the guard, into a record whose first change is stored as `born`.
    pub(super) fn permit(
        &mut self,
        at: &RecordFrame,
        (record, born): (&Record, Option<u64>),
        user: UserId,
        change: &Candidate,
    ) -> Result<Result<(), Forbidden>, StorageError> {
        let Some(seen) = self.rights.as_ref().map(|(rights, _)| rights.seen()) else { return Ok(Ok(())) };
        let record_type = at.identity.record_type.as_str();
        let mut place = Placed { id: at.id, area: at.area, subject: at.subject, record_type };
        let state = match core_of(&at.identity) {
            Some(core) => self.state_seen(core, seen)?,
            None => record.standing_at(change.deps()),
        };
        let saw_nothing = change.deps().iter().all(|dep| *dep == record.genesis_hash());
        // a record with a random id was made once, and one with a natural key by each who hadn't heard of it: whoever builds on
        // nothing of it all the same edits it. As long as nobody else has written in it, its maker is still making it
        let unheard = born.is_none_or(|born| !at.identity.key.is_empty() && born > seen);
        let is_new = state == OPEN && (saw_nothing && unheard || record.is_only_by(user));
        let is_stored = born.is_some();
        if at.identity.record_type == LINK_TYPE && !self.covers_all(&at.identity) {
            return Ok(Err(Forbidden::OutOfScope));
        }
        let Some((rights, claims)) = &self.rights else { return Ok(Ok(())) };
        let made = [Some(at.id), at.subject].into_iter().flatten().find_map(|id| self.made.get(&id));
        let target = |place| Target { at: place, state: &state, is_new };
        if made.is_some() || rights.covers(&place) {
            return Ok(rights.allow(&target(place), made.map(|role| &**role), change));
        }
        // what is new lay where its subject lay
        let moved = if is_stored { Some(at.id) } else { core_of(&at.identity).or(at.subject) };
        if let Some(moved) = moved {
            let moves = self.storage.placements(self.push.township, moved)?;
            place = rights.place_before(&place, &moves).unwrap_or(place);
            return Ok(rights.allow(&target(place), None, change));
        }
        let maker = rights.maker(&place, claims).filter(|_| at.subject.is_none());
        let Some(grant) = maker else { return Ok(rights.allow(&target(place), None, change)) };
        let role = claims.roles.get(&grant.entry.role);
        let allowed = rights.allow(&target(place), Some(&role), change);
        if allowed.is_ok() {
            let area = claims.areas.became(at.area).map_or(at.area, |(area, _)| area);
            let entry = GrantEntry { grant: 0, subject: Some(at.id), area, ..grant.entry.clone() };
            self.push.grants.push((user, Grant { entry, at_ms: self.push.received_ms, ..grant.clone() }));
            self.made.insert(at.id, role);
        }
        Ok(allowed)
    }

    /// True when the author's grants reach every record that a key names.
    fn covers_all(&self, identity: &Identity) -> bool {
        let Some((rights, _)) = &self.rights else { return true };
        let reaches = |id: &RecordId| {
            let place = self.places.get(id);
            place.is_none_or(|p| {
                let at = Placed { id: *id, area: p.area, subject: p.subject, record_type: &identity.record_type };
                self.made.contains_key(id) || rights.covers(&at)
            })
        };
        identity.key.iter().take(2).all(reaches)
    }

    /// The state of a part's instance, as the device had heard of it: what locks the core record locks its parts.
    fn state_seen(&mut self, core: RecordId, seen: u64) -> Result<String, StorageError> {
        let now = self.places.get(&core).map_or(OPEN, |place| place.state.as_str());
        if now == OPEN {
            return Ok(OPEN.to_owned());
        }
        if let Some(known) = self.states_seen.get(&(core, seen)) {
            return Ok(known.clone());
        }
        let now = now.to_owned();
        let stored = self.storage.load_records(self.push.township, &[core])?;
        let Some(mut stored) = stored.into_iter().next().flatten() else { return Ok(OPEN.to_owned()) };
        stored.changes.retain(|change| change.seq <= seen);
        let state = open_record(&stored).map_or(now, |record| record.standing());
        self.states_seen.insert((core, seen), state.clone());
        Ok(state)
    }

    /// The same for a change that waited: under the rights that its sender has by now.
    pub(super) fn permit_waiting(
        &mut self,
        sender: DeviceId,
        at: &RecordFrame,
        record: (&Record, Option<u64>),
        change: &Candidate,
    ) -> Result<Result<(), Forbidden>, StorageError> {
        let own = self.sender.device();
        if sender == own.id && self.rights.is_some() {
            return self.permit(at, record, own.user, change);
        }
        let Some(device) = self.storage.device(sender)? else { return Ok(Err(Forbidden::OutOfScope)) };
        let claims = self.storage.claims(self.push.township, device.user)?;
        let rights = Rights::of(&claims, self.push.township, Known::nothing_new(), self.push.received_ms);
        let made = std::mem::take(&mut self.made);
        let before = self.rights.replace((rights, claims));
        let allowed = self.permit(at, record, device.user, change);
        (self.rights, self.made) = (before, made);
        allowed
    }
}

/// Places by record.
pub(super) type Places = HashMap<RecordId, Place>;
