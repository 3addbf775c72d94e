//! What else happens in the week: a household moves, one splits, a phone is lost, a helper is paired anew, and two people
//! decide one difference differently.

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, PhoneError};
use doorstep_core::clock::Clock;
use doorstep_core::id::RecordId;
use doorstep_core::sync::{Cancel, Silent, SyncError};

use super::answers::ZONE_MINUTES;
use super::campaign::{Campaign, DemoPhone};
use super::township::HouseholdSeed;
use crate::say;
use crate::service::audit::Actor;
use crate::service::grants::NewGrant;
use crate::service::view;

/// The village where a household splits and one is paired anew, that with the lost phone, and those of the move.
const SPLITTING: usize = 0;
const LOSING: usize = 3;
const MOVING: [usize; 2] = [2, 4];
/// The village whose people decide.
const DECIDING: usize = 1;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What happened, for the report.
#[derive(Default)]
pub struct Happenings {
    /// The household that moved, with the village where it is now.
    moved: Option<(RecordId, usize)>,
    /// The household that split, and how many persons it had.
    split: Option<(RecordId, u32)>,
    /// The household that was paired anew.
    paired: Option<RecordId>,
    /// Phones lost.
    pub phones_lost: u64,
    /// Changes of lost phones that the office accepted.
    pub changes_accepted: u64,
    /// Households that are in another village, by the server.
    pub households_moved: u64,
    /// Households that became two.
    pub households_split: u64,
    /// Households that went from one helper's phone to another's.
    pub households_paired_anew: u64,
    /// Differences decided.
    pub differences_decided: u64,
}

impl DemoPhone {
    /// Fills the form of an event about a household and finishes it.
    fn happens(&self, event: &str, household: RecordId, answers: &[(&str, &str)]) -> Result<RecordId, Fault> {
        let draft = self.phone.start(event, Some(household))?;
        let mut filling =
            self.phone.fill(draft, FillOptions { offset_minutes: ZONE_MINUTES, ..FillOptions::default() })?;
        for (question, text) in answers {
            let spot = filling.session().spot(question).ok_or_else(|| format!("{event} has no {question}"))?;
            filling.answer(spot, text).map_err(|error| format!("{event}, {question}: {error}"))?;
        }
        Ok(self.phone.finish_filled(filling, &NewRecord::default())?)
    }
}

impl<'a> Campaign<'a> {
    /// A household of a phone's helper that nobody else edits.
    fn quiet(&self, phone: usize, village: usize, members: usize) -> Result<&'a HouseholdSeed, Fault> {
        let shared: Vec<RecordId> = self.shared(village).iter().map(|h| h.id).collect();
        let paired = self.township.helpers[self.phones[phone].helper].households.iter();
        let mut fit = paired.map(|h| &self.township.households[*h]);
        let found = fit.find(|h| h.members.len() >= members && !shared.contains(&h.id));
        Ok(found.ok_or("no household of a helper's is free for an event")?)
    }

    /// A household moves to another village and one splits, as their helpers fill it on their phones.
    pub(super) fn events(&mut self) -> Result<(), Fault> {
        let [from, to] = MOVING;
        let helper = self.teams[from][0];
        let household = self.quiet(helper, from, 1)?;
        let (date, village) = (self.date(helper), self.township.villages[to].area.to_string());
        let answers = [("happened_on", date.as_str()), ("to_village", &village), ("group_name", "一组")];
        self.phones[helper].happens("household_move", household.id, &answers)?;
        self.happenings.moved = Some((household.id, to));
        let helper = self.teams[SPLITTING][2];
        let household = self.quiet(helper, SPLITTING, 2)?;
        let (date, number) = (self.date(helper), format!("{}-2", self.township.villages[SPLITTING].code));
        let leaving = household.members.last().map_or("", |m| m.instance.as_str());
        let answers =
            [("happened_on", date.as_str()), ("members", leaving), ("split_head", leaving), ("household_no", &number)];
        self.happenings.split = Some((household.id, self.persons(household.id)?));
        self.phones[helper].happens("household_split", household.id, &answers)?;
        Ok(())
    }

    fn persons(&self, household: RecordId) -> Result<u32, Fault> {
        let row = self.service.storage.record_row(self.township.area, household)?;
        Ok(row.ok_or("a household is missing")?.projection.persons)
    }

    /// A helper's phone is lost with a day's work on it, and reported; at its next contact it hands that over and erases itself.
    /// The office accepts it, and the helper goes on with a new phone.
    pub(super) fn lose_phone(&mut self) -> Result<(), Fault> {
        let place = self.teams[LOSING][0];
        let lost = &self.phones[place];
        let device = lost.phone.enrolment()?.ok_or("a phone lost its enrolment")?.device;
        let unsent = lost.phone.counts()?.unsent;
        let clerk = Actor::CommandLine;
        self.service.report_lost(clerk, device, "lost at the market")?;
        match lost.phone.sync(&Silent, &Cancel::default()) {
            Err(PhoneError::Sync(SyncError::Wiped)) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("a lost phone synced as if nothing had happened".into()),
        }
        let accepted = self.service.accept_unsent(clerk, device, "looked through with the helper")?.unwrap_or_default();
        let refused = accepted.iter().filter(|released| released.refused.is_some()).count();
        say!(
            "a phone was lost with {unsent} changes that it hadn't sent; reported, it handed them over and erased itself; the \
             office looked through them and accepted {}",
            accepted.len() - refused
        );
        self.happenings.phones_lost += 1;
        self.happenings.changes_accepted += (accepted.len() - refused) as u64;
        let mut new = self.enrol(lost.helper, self.phones.len() + 1)?;
        new.clock.set(lost.clock.now_ms());
        new.syncs.extend(lost.syncs.iter().copied());
        new.remade = lost.remade;
        self.phones[place] = new;
        Ok(())
    }

    /// The office pairs a household with another helper.
    pub(super) fn pair_anew(&mut self) -> Result<(), Fault> {
        let team = &self.teams[SPLITTING];
        let household = self.quiet(team[0], SPLITTING, 1)?;
        let grant = NewGrant {
            user: self.township.helpers[self.phones[team[2]].helper].user,
            role: "helper".to_owned(),
            area: self.township.villages[SPLITTING].area,
            household: Some(household.id),
            until_ms: None,
            stand_in_for: None,
        };
        self.service.pair_anew(Actor::CommandLine, self.township.area, &grant)?;
        self.happenings.paired = Some(household.id);
        Ok(())
    }

    /// Two people decide one difference differently while both are offline; then one of them decides again.
    pub(super) fn decide(&mut self) -> Result<(), Fault> {
        let team = self.teams[DECIDING].clone();
        let households = self.shared(DECIDING);
        let mut differing = None;
        for household in households {
            let view = self.phones[team[0]].phone.view(household.id)?;
            differing =
                differing.or(view.differences.into_iter().find(|d| d.key == "address").map(|d| (household.id, d)));
        }
        let (household, difference) = differing.ok_or("no address of the deciding village differs")?;
        let values: Vec<_> = difference.values.iter().map(|v| v.value.clone()).collect();
        let texts: Vec<String> = values.iter().map(|v| v.to_json().to_string()).collect();
        say!("{} people answered {} differently: {}", values.len(), difference.key, texts.join(" | "));
        for (phone, value) in team.iter().zip(&values).take(2) {
            self.phones[*phone].phone.resolve(household, &difference.key, value)?;
        }
        let deciders = [team[0], team[1]];
        for _ in 0..2 {
            self.sync_all(|index| deciders.contains(&index), &[])?;
        }
        say!("two of them decided offline, each otherwise; what holds then:");
        self.show(household, &difference.key)?;
        self.phones[team[1]].phone.resolve(household, &difference.key, &values[1])?;
        self.sync_all(|index| index == deciders[1], &[])?;
        say!("one of them has heard of the other and decided again:");
        if self.show(household, &difference.key)? == 0 {
            self.happenings.differences_decided += 1;
        }
        Ok(())
    }

    /// Prints what holds of an answer, and how many values it has beside; gives their number.
    fn show(&self, household: RecordId, key: &str) -> Result<usize, Fault> {
        let page = view::record_page(self.service, self.township.area, household)?.ok_or("a household is missing")?;
        let Some(difference) = page.differences.iter().find(|d| d.key == key) else {
            say!("    one answer, no difference");
            return Ok(0);
        };
        for value in &difference.values {
            say!("    {}   decided by {}", value.value, value.name);
        }
        Ok(difference.values.len())
    }

    /// Looks whether everything is where it belongs, on the server and on the phones.
    pub(super) fn look(&mut self) -> Result<(), Fault> {
        let storage = &self.service.storage;
        if let Some((household, to)) = self.happenings.moved {
            let (here, there) = (self.teams[MOVING[0]][1], self.teams[to][1]);
            let area = storage.record_row(self.township.area, household)?.map(|row| row.area);
            let is_there = area == Some(self.township.villages[to].area)
                && !self.phones[here].holds(household)?
                && self.phones[there].holds(household)?;
            self.happenings.households_moved += u64::from(is_there);
            let [from, to] = [MOVING[0], to].map(|v| self.township.villages[v].name_en);
            say!("a household moved from {from} to {to}: the cadre there has it, the one here dropped it: {is_there}");
        }
        if let Some((household, before)) = self.happenings.split {
            let persons = self.persons(household)?;
            let is_split = persons + 1 == before;
            self.happenings.households_split += u64::from(is_split);
            say!("a household of {before} persons split: {persons} stay, 1 in a household of its own: {is_split}");
        }
        if let Some(household) = self.happenings.paired {
            let team = &self.teams[SPLITTING];
            let is_paired = !self.phones[team[0]].holds(household)? && self.phones[team[2]].holds(household)?;
            self.happenings.households_paired_anew += u64::from(is_paired);
            say!("a household was paired anew: its helper's phone dropped it, the other's has it: {is_paired}");
        }
        Ok(())
    }
}
