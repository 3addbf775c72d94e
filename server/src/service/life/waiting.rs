//! Events from which something doesn't follow yet: tried when they arrive, when what they wait for arrives, at the server's
//! start, with the housekeeping, and on command.

use std::sync::Arc;

use doorstep_core::id::RecordId;
use doorstep_core::life::{EventKind, LifeEvent, placement};

use super::{Arrived, AuthorRights, Rights, Tried, WriteError};
use crate::register::office_user_id;
use crate::service::{Refused, Service};
use crate::storage::events::WaitingEvent;
use crate::storage::{Known, StorageError, TownshipId};

/// The household isn't here.
pub const HOUSEHOLD: &str = "event_household";
/// The household that joins isn't here, or isn't named.
pub const OTHER_HOUSEHOLD: &str = "event_other_household";
/// Somebody whom the event names isn't a person of the household.
pub const PERSON: &str = "event_person";
/// The day isn't answered.
pub const DAY: &str = "event_day";
/// The event's author may not edit the household.
pub const RIGHTS: &str = "event_rights";
/// The township has no such area.
pub const AREA: &str = "event_area";
/// The household is to move to another township, and is united with another one here.
pub const UNITED: &str = "event_united";
/// Writing failed; it is tried again.
pub const FAILED: &str = "event_failed";

/// Events that are tried at once.
const PAGE: u32 = 500;
/// What one event changes may be what another one waits for: so many after each other.
const ROUNDS: usize = 50;

impl Service {
    /// Tries the events among records that arrived, and those that wait for one of these records.
    ///
    /// # Errors
    /// The database. That an event can't be applied is written down with the event.
    pub fn settle_events(self: &Arc<Self>, township: TownshipId, arrived: &[RecordId]) -> Result<(), Refused> {
        let mut arrived = arrived.to_vec();
        for _ in 0..ROUNDS {
            let due = self.storage.events_waiting_for(township, &arrived)?;
            arrived.clear();
            for waiting in &due {
                arrived.extend(self.try_event(township, waiting)?.unwrap_or_default());
            }
            if arrived.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// [`Service::settle_events`] after a commit, which stands whatever happens here: events that it brought are filed, and tried again later.
    pub(in crate::service) fn settle_arrived(self: &Arc<Self>, township: TownshipId, arrived: &Arrived) {
        if let Err(error) = self.settle_events(township, &arrived.records) {
            tracing::warn!(error = &error as &dyn std::error::Error, "events could not be tried");
        }
        for household in &arrived.elsewhere {
            if let Err(error) = self.settle_elsewhere(township, *household) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a household of another township waits");
            }
        }
    }

    /// Tries all events of a township that wait; gives how many are done with, and how many still wait.
    pub fn retry_events(self: &Arc<Self>, township: TownshipId) -> Result<(usize, usize), Refused> {
        let (mut done, mut left, mut after) = (0, 0, None);
        loop {
            let page = self.storage.waiting_events(township, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.event);
            for waiting in &page {
                match self.try_event(township, waiting)? {
                    Some(changed) => {
                        self.settle_events(township, &changed)?;
                        done += 1;
                    }
                    None => left += 1,
                }
            }
        }
        Ok((done, left))
    }

    /// The same for every township.
    pub fn retry_all_events(self: &Arc<Self>) -> Result<(), Refused> {
        for township in self.storage.townships()? {
            self.retry_events(township)?;
            if let Err(error) = self.settle_all_elsewhere(township) {
                tracing::warn!(error = &error as &dyn std::error::Error, "households of other townships wait");
            }
        }
        Ok(())
    }

    /// Tries one event and writes down what came of it; gives the households that it changed; `None` if it goes on
    /// waiting.
    fn try_event(
        self: &Arc<Self>,
        township: TownshipId,
        waiting: &WaitingEvent,
    ) -> Result<Option<Vec<RecordId>>, Refused> {
        let (reason, waits_for) = match self.apply_waiting(township, waiting) {
            Ok(Tried::Done(changed)) => {
                self.storage.end_waiting(township, waiting)?;
                return Ok(Some(changed));
            }
            Ok(Tried::Waits(reason, waits_for)) => (reason, waits_for),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an event could not be applied");
                (FAILED, None)
            }
        };
        if (waiting.reason.as_str(), waiting.waits_for) != (reason, waits_for) {
            let reason = reason.to_owned();
            self.storage.keep_waiting(township, &WaitingEvent { reason, waits_for, ..waiting.clone() })?;
        }
        Ok(None)
    }

    fn apply_waiting(self: &Arc<Self>, township: TownshipId, waiting: &WaitingEvent) -> Result<Tried, WriteError> {
        let forms = self.forms().map_err(Refused::from)?;
        let done = || Ok(Tried::Done(Vec::new()));
        let Some(stored) = self.stored(township, &forms, waiting.event)? else { return done() };
        let Some(form) = forms.of_type(&stored.core.identity.record_type) else { return done() };
        let event = LifeEvent { id: waiting.event, form: &form, answers: &stored.answers };
        let Some(household) = stored.core.subject else { return done() };
        if self.storage.away(township, household).map_err(Refused::from)?.is_some() {
            // what follows from it is decided where the household is at home
            self.settle_elsewhere(township, household)?;
            return done();
        }
        // one that was taken back, or isn't whole yet: the change that says otherwise files it anew
        let tried = if event.kind().is_none() || !stored.record.is_complete() {
            Tried::Done(Vec::new())
        } else {
            let rights = self.author_rights(township, waiting).map_err(Refused::from)?;
            self.apply_event(township, (&forms, &rights), &event, household, None)?
        };
        if matches!(tried, Tried::Done(_)) && form.event() == Some(EventKind::HouseholdMove) {
            if event.kind().is_some() {
                self.move_waited(township, &event, household)?;
            }
            // whatever it says by now, the other townships that had the household are to know
            self.settle_elsewhere(township, household)?;
        }
        Ok(tried)
    }

    /// What the author may edit; `None`: the office, which may everything.
    fn author_rights(&self, township: TownshipId, waiting: &WaitingEvent) -> Result<AuthorRights, StorageError> {
        if waiting.author == office_user_id(self) {
            return Ok(None);
        }
        let claims = self.storage.claims(township, waiting.author)?;
        let rights = Rights::of(&claims, township, Known::nothing_new(), self.clock.now_ms());
        Ok(Some((rights, waiting.since_ms)))
    }

    /// The township to which an event moves a household; `None` if it has no such area, nor has another one of this server.
    pub(super) fn moves_to(
        &self,
        event: &LifeEvent<'_>,
        household: RecordId,
    ) -> Result<Option<TownshipId>, StorageError> {
        placement(event, household).map_or(Ok(None), |placement| self.township_of(placement.area))
    }
}
