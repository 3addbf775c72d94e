//! Linking households and members on the phone, offline too.

use std::collections::BTreeMap;

use super::{Phone, PhoneError};
use crate::id::{RecordId, TenantKey};
use crate::link::{self, LINK_TYPE, Link, Side, VERDICT, Verdict};
use crate::store::{ListFilter, PlannedDocument, Row};

/// Links that are looked at, at most.
const LINKS_MAX: u32 = 10_000;

impl Phone {
    /// Says that two households, or two members, are the same, that they aren't, or takes that back. `leads` is the household
    /// that stands for both. Gives the link's record.
    ///
    /// # Errors
    /// When a household isn't on this phone, or both sides are one and the same.
    pub fn link(
        &self,
        one: &Side,
        other: &Side,
        verdict: Verdict,
        leads: Option<RecordId>,
    ) -> Result<RecordId, PhoneError> {
        let identity = link::identity(one, other).ok_or(PhoneError::UnknownRecord)?;
        let id = identity.derived_id(&TenantKey(self.enrolled()?.tenant_key)).ok_or(PhoneError::UnknownRecord)?;
        let subject = one.household.min(other.household);
        self.store.row(one.household.max(other.household))?.ok_or(PhoneError::UnknownRecord)?;
        let row = self.store.row(subject)?.ok_or(PhoneError::UnknownRecord)?;
        let edits = link::edits(verdict, leads);
        let document = PlannedDocument { identity, id, area: row.area, subject: Some(subject), edits };
        self.store.write(&[document], &self.note(None)?)?;
        Ok(id)
    }

    /// Links two households as one; `leads` stands for both.
    ///
    /// # Errors
    /// As [`Phone::link`].
    pub fn link_households(&self, leads: RecordId, other: RecordId) -> Result<RecordId, PhoneError> {
        self.link(&Side::of(leads), &Side::of(other), Verdict::Same, Some(leads))
    }

    /// The households on this phone that are united into others, each with the one that stands for it.
    pub fn united(&self) -> Result<BTreeMap<RecordId, RecordId>, PhoneError> {
        let filter = ListFilter { record_type: Some(LINK_TYPE.into()), limit: LINKS_MAX, ..ListFilter::default() };
        let mut links = Vec::new();
        for row in self.store.list(&filter)? {
            let record = self.record(row.id)?;
            let differs = record.view().differences.iter().any(|d| d.key == VERDICT);
            links.extend(Link::read(&row.identity, &record.answers(), differs));
        }
        Ok(link::unite(&links))
    }

    /// Those of [`Phone::united`] whose other household is on this phone too: nobody loses a household from view.
    pub(super) fn united_here(&self) -> Result<BTreeMap<RecordId, RecordId>, PhoneError> {
        let mut here = BTreeMap::new();
        for (household, leads) in self.united()? {
            if self.store.row(leads)?.is_some() {
                here.insert(household, leads);
            }
        }
        Ok(here)
    }

    /// The households that lists show as one with this one, each with a record and a history of its own.
    pub fn united_with(&self, household: RecordId) -> Result<Vec<Row>, PhoneError> {
        let united = self.united()?;
        let led = united.iter().filter(|(_, leads)| **leads == household).map(|(id, _)| *id);
        let rows = led.map(|id| self.store.row(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().flatten().collect())
    }
}
