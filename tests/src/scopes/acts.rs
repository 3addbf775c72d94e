//! What changes the township itself: areas that unite, households that are found, split and come into being.

use std::collections::BTreeMap;

use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::record::{ChangeNote, Edit};
use doorstep_core::store::PlannedDocument;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::life::NewEvent;
use doorstep_server::service::rights::current;
use doorstep_server::storage::RecordFilter;

use super::{AREA_ROLES, Given, History, Outcome, text};

/// The member that leaves a household when it splits.
pub(super) const SON: &str = "00000000000000000000000000000002";
/// The member that stays.
pub(super) const HEAD: &str = "00000000000000000000000000000001";

impl History {
    /// A phone makes a household in any of the areas that it knows, allowed or not.
    pub(super) fn found(&mut self) -> Outcome {
        let index = self.dice.below(self.people.len() as u64) as usize;
        let areas = self.people[index].phone.areas().map_err(text)?;
        let Some(at) = self.dice.index(areas.len()) else { return Ok(()) };
        let (id, area, canary) = (RecordId(self.dice.bytes()), areas[at].area, self.canary());
        let document = PlannedDocument {
            identity: Identity::of_type("household"),
            id,
            area,
            subject: None,
            edits: vec![
                Edit::answer("head_name", canary.as_str()),
                Edit::answer("household_no", format!("n{}", self.canaries).as_str()),
                Edit::answer("status", "out"),
            ],
        };
        let person = &self.people[index];
        person.phone.store().write(&[document], &ChangeNote::by(person.user)).map_err(text)?;
        self.note(id, "household", id, canary, index);
        self.homes.insert(id, self.became(area));
        Ok(())
    }

    /// What an area is by now.
    fn became(&self, mut area: AreaId) -> AreaId {
        while let Some(into) = self.united.get(&area) {
            area = *into;
        }
        area
    }

    /// An area goes into another one.
    pub(super) fn unite(&mut self) -> Outcome {
        let (from, into) = (self.any_area(), self.any_area());
        if self.parents.len() < 3 || self.lies_in(into, from) {
            return Ok(());
        }
        let both = (from, into);
        self.service.merge_area(&self.office, Actor::CommandLine, self.township, both, "2026-09-22").map_err(text)?;
        self.parents.remove(&from);
        let below = self.parents.values_mut().chain(self.homes.values_mut());
        below.filter(|area| **area == from).for_each(|area| *area = into);
        let held = self.people.iter_mut().flat_map(|person| person.grants.values_mut());
        held.filter(|given| given.area == from).for_each(|given| given.area = into);
        self.united.insert(from, into);
        Ok(())
    }

    /// The office registers that a household's son forms a household of his own.
    pub(super) fn split(&mut self) -> Outcome {
        let Some(at) = self.dice.index(self.whole.len()) else { return Ok(()) };
        let (household, note) = (self.whole.swap_remove(at), self.canary());
        let answers = [("members", SON), ("split_head", SON), ("note", note.as_str())];
        let answers: BTreeMap<String, String> = answers.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let event = NewEvent { form: "household_split".to_owned(), household, answers };
        let event = self.service.record_event(self.township, &event).map_err(text)?;
        self.note(event, "household_split", household, note, usize::MAX);
        let home = self.homes[&household];
        self.learn(home)
    }

    /// Takes note of households that came into being with what others did, and of the pairings that came with them.
    pub(super) fn learn(&mut self, home: AreaId) -> Outcome {
        let filter =
            RecordFilter { record_type: Some("household".to_owned()), limit: 1_000, ..RecordFilter::default() };
        for row in self.service.storage.list_records(self.township, &filter).map_err(text)? {
            if !self.households.contains(&row.id) {
                self.households.push(row.id);
                self.homes.entry(row.id).or_insert(home);
            }
        }
        for person in &mut self.people {
            let (_, log) = self.service.storage.grants(person.user, 0).map_err(text)?;
            for (_, grant) in current(&log).into_iter().filter(|(_, grant)| grant.entry.active) {
                let entry = &grant.entry;
                let role = AREA_ROLES.into_iter().find(|role| *role == entry.role).unwrap_or("helper");
                let given = Given { role, area: entry.area, household: entry.subject };
                person.grants.entry(entry.grant).or_insert(given);
            }
        }
        Ok(())
    }
}
