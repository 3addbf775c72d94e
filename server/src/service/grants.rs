//! Giving and ending grants: roles, pairings, stand-ins; changing the roles themselves; changing and merging areas.
//!
//! Every act stands in the audit log before it is done.

use std::collections::BTreeSet;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::rights::{Roles, RolesError};

use super::Service;
use super::audit::{Act, Action, Actor};
use super::office::{Office, WriteError};
use super::rights::current;
use crate::storage::rights::ROLES;
use crate::storage::{AreaChange, Grant, Move, RecordFilter, StorageError, TownshipId};

/// Households that are moved in one commit when an area goes into another.
const MOVED_AT_ONCE: u32 = 200;

/// Why a grant can't be given, or an area can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// No such role.
    #[error("there is no role `{0}`; `doorstep role list` lists them")]
    UnknownRole(String),
    /// No such area in the township.
    #[error("there is no such area in the township; `doorstep area list` lists them")]
    UnknownArea,
    /// No such household, or another record.
    #[error("there is no such household in the township")]
    UnknownHousehold,
    /// No such person.
    #[error("there is no such person; `doorstep grant list` lists them")]
    UnknownUser,
    /// The person has no such grant, or it ended.
    #[error("this person has no such grant (any more); `doorstep grant list` lists them")]
    UnknownGrant,
    /// An area can't go into itself or into one below it.
    #[error("an area can't go into itself or into an area below it")]
    Circle,
    /// A table of roles that can't be used.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Moving records failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is given to whom.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// To whom.
    pub user: UserId,
    /// Which role.
    pub role: String,
    /// For all in this area and below it ...
    pub area: AreaId,
    /// ... or only for this household.
    pub household: Option<RecordId>,
    /// Until when, by the server's clock.
    pub until_ms: Option<Millis>,
    /// For whom the person stands in.
    pub stand_in_for: Option<UserId>,
}

impl Service {
    /// Gives a role for an area, or pairs a person with a household. Nothing is written if the person has just that already.
    pub fn give(&self, actor: Actor, township: TownshipId, new: &NewGrant) -> Result<(), GrantError> {
        let claims = self.storage.claims(township, new.user)?;
        if !claims.roles.contains(&new.role) {
            return Err(GrantError::UnknownRole(new.role.clone()));
        }
        if new.area != township && !claims.areas.live().any(|a| a.area == new.area) {
            return Err(GrantError::UnknownArea);
        }
        if !self.storage.users()?.iter().any(|user| user.id == new.user) {
            return Err(GrantError::UnknownUser);
        }
        if let Some(household) = new.household {
            let row = self.storage.record_row(township, household)?;
            row.filter(|row| row.core == household).ok_or(GrantError::UnknownHousehold)?;
        }
        let entry =
            GrantEntry { grant: 0, role: new.role.clone(), area: new.area, subject: new.household, active: true };
        let same = |grant: &Grant| GrantEntry { grant: 0, ..grant.entry.clone() } == entry;
        let held = current(&claims.grants).into_iter().find(|(_, grant)| same(grant));
        if held.is_some_and(|(_, grant)| (grant.until_ms, grant.stand_in_for) == (new.until_ms, new.stand_in_for)) {
            return Ok(());
        }
        let action = if new.household.is_some() { Action::PairingChanged } else { Action::GrantGiven };
        let mut act = Act::new(action).in_township(township).user(new.user).area(new.area).with("role", &*new.role);
        if let Some(household) = new.household {
            act = act.record(household).with("given", true);
        }
        self.audit(actor, act)?;
        // one that is given again for another time is the same grant
        let entry = GrantEntry { grant: held.map_or(0, |(_, grant)| grant.entry.grant), ..entry };
        let (until_ms, stand_in_for) = (new.until_ms, new.stand_in_for);
        let grant = Grant { entry, until_ms, stand_in_for, at_ms: self.clock.now_ms() };
        self.storage.append_grants(new.user, &[grant])?;
        Ok(())
    }

    /// Ends a grant.
    pub fn end_grant(&self, actor: Actor, user: UserId, grant: u64) -> Result<(), GrantError> {
        let (_, log) = self.storage.grants(user, 0)?;
        let held = current(&log).into_iter().find(|(_, g)| g.entry.grant == grant && g.entry.active);
        let (_, held) = held.ok_or(GrantError::UnknownGrant)?;
        let action = if held.entry.subject.is_some() { Action::PairingChanged } else { Action::GrantEnded };
        let mut act = Act::new(action).user(user).area(held.entry.area).with("role", held.entry.role.as_str());
        if let Some(household) = held.entry.subject {
            act = act.record(household).with("given", false);
        }
        self.audit(actor, act)?;
        self.storage.append_grants(user, &[held.ended(self.clock.now_ms())])?;
        Ok(())
    }

    /// Pairs a household with another helper in place of all that it is paired with as such; stand-ins stay.
    pub fn pair_anew(&self, actor: Actor, township: TownshipId, new: &NewGrant) -> Result<(), GrantError> {
        let household = new.household.ok_or(GrantError::UnknownHousehold)?;
        self.give(actor, township, new)?;
        let about = self.storage.grants_about(household)?;
        let others: BTreeSet<UserId> = about.iter().map(|(user, _)| *user).filter(|user| *user != new.user).collect();
        for user in others {
            let (_, log) = self.storage.grants(user, 0)?;
            let now = current(&log).into_iter().map(|(_, grant)| grant.clone());
            let paired = now.filter(|g| {
                g.entry.active
                    && g.entry.subject == Some(household)
                    && g.entry.role == new.role
                    && g.stand_in_for.is_none()
            });
            for grant in paired.collect::<Vec<_>>() {
                self.end_grant(actor, user, grant.entry.grant)?;
            }
        }
        Ok(())
    }

    /// Ends grants whose time is over. Nobody reads or writes by them from that time on; with the entry the phones drop what
    /// no other grant covers.
    pub fn end_overdue_grants(&self) -> Result<usize, StorageError> {
        let now_ms = self.clock.now_ms();
        let overdue = self.storage.overdue_grants(now_ms)?;
        for (user, grant) in &overdue {
            let (area, role) = (grant.entry.area, grant.entry.role.as_str());
            let act = Act::new(Action::GrantEnded).user(*user).area(area).with("role", role);
            self.audit(Actor::Server, act.with("over", true))?;
            self.storage.append_grants(*user, &[grant.ended(now_ms)])?;
        }
        Ok(overdue.len())
    }

    /// Replaces the tenant's own roles. Whoever holds a role that changed gets its grants anew, so that phones fetch what it
    /// reads more and drop what it reads less.
    pub fn set_roles(&self, actor: Actor, json: &str) -> Result<(), GrantError> {
        let before = self.roles()?;
        let own = Roles::from_json(json)?;
        self.audit(actor, Act::new(Action::GrantGiven).with("roles", own.iter().count()))?;
        self.storage.set_setting(ROLES, &own.to_json())?;
        let after = self.roles()?;
        let changed = |role: &str| before.get(role) != after.get(role);
        self.give_again(|grant| changed(&grant.entry.role))
    }

    /// The roles: those of the pack with the tenant's own ones in place of theirs.
    pub fn roles(&self) -> Result<Roles, StorageError> {
        let own = self.storage.setting(ROLES)?.and_then(|json| Roles::from_json(&json).ok());
        Ok(own.unwrap_or_default().over(Roles::builtin()))
    }

    /// Changes an area's name, code, level or parent from a day on.
    pub fn change_area(
        &self,
        actor: Actor,
        township: TownshipId,
        entry: AreaEntry,
        from_day: &str,
    ) -> Result<(), GrantError> {
        let (_, areas) = self.storage.areas(township)?;
        if !areas.iter().any(|a| a.area == entry.area) {
            return Err(GrantError::UnknownArea);
        }
        if entry.parent.is_some_and(|parent| is_below(&areas, parent, entry.area)) {
            return Err(GrantError::Circle);
        }
        self.audit(actor, Act::new(Action::AreaChanged).in_township(township).area(entry.area).with("day", from_day))?;
        self.put_below(township, &areas, entry, from_day)
    }

    /// Writes an area as it is from a day on. Where it comes below another one, the grants that reach it by that are given
    /// anew, so that phones fetch what lies in it.
    fn put_below(
        &self,
        township: TownshipId,
        areas: &[AreaEntry],
        entry: AreaEntry,
        from_day: &str,
    ) -> Result<(), GrantError> {
        let before = areas.iter().find(|a| a.area == entry.area).and_then(|a| a.parent);
        let parent = entry.parent;
        let change = AreaChange { entry, from_day: from_day.to_owned(), merged_into: None, at_ms: self.clock.now_ms() };
        self.storage.change_area(township, &change)?;
        let above = |parent: Option<AreaId>, area: AreaId| parent.is_some_and(|parent| is_below(areas, parent, area));
        let reaches = |area: AreaId| area != township && above(parent, area) && !above(before, area);
        self.give_again(|grant| grant.entry.subject.is_none() && reaches(grant.entry.area))
    }

    /// Appends the active grants that are asked for once more: the phones fill them from the start.
    fn give_again(&self, is_asked: impl Fn(&Grant) -> bool) -> Result<(), GrantError> {
        let at_ms = self.clock.now_ms();
        for user in self.storage.users()? {
            let (_, log) = self.storage.grants(user.id, 0)?;
            let held = current(&log).into_iter().map(|(_, grant)| grant);
            let again = held.filter(|grant| grant.entry.active && is_asked(grant));
            let again: Vec<Grant> = again.map(|grant| Grant { at_ms, ..grant.clone() }).collect();
            if !again.is_empty() {
                self.storage.append_grants(user.id, &again)?;
            }
        }
        Ok(())
    }

    /// Lets an area go into another from a day on: its records move there, grants for it are given for the other one, areas
    /// below it stand below the other one. Gives how many records moved.
    pub fn merge_area(
        &self,
        office: &Office,
        actor: Actor,
        township: TownshipId,
        (from, into): (AreaId, AreaId),
        day: &str,
    ) -> Result<usize, GrantError> {
        let (_, areas) = self.storage.areas(township)?;
        let entry = areas.iter().find(|a| a.area == from).cloned().ok_or(GrantError::UnknownArea)?;
        if !areas.iter().any(|a| a.area == into) {
            return Err(GrantError::UnknownArea);
        }
        if is_below(&areas, into, from) {
            return Err(GrantError::Circle);
        }
        let act = Act::new(Action::AreaChanged).in_township(township).area(from).area(into).with("day", day);
        self.audit(actor, act.with("merged", true))?;
        // the grants first: whoever had the area must not lose it between two syncs
        for user in self.storage.users()? {
            let (_, log) = self.storage.grants(user.id, 0)?;
            let held = current(&log).into_iter().map(|(_, grant)| grant);
            let moved: Vec<Grant> = held
                .filter(|grant| grant.entry.active && grant.entry.area == from)
                .map(|grant| Grant {
                    entry: GrantEntry { area: into, ..grant.entry.clone() },
                    at_ms: self.clock.now_ms(),
                    ..grant.clone()
                })
                .collect();
            if !moved.is_empty() {
                self.storage.append_grants(user.id, &moved)?;
            }
        }
        for below in areas.iter().filter(|a| a.parent == Some(from)) {
            let entry = AreaEntry { parent: Some(into), ..below.clone() };
            self.put_below(township, &areas, entry, day)?;
        }
        let moved = self.empty_area(office, township, (from, into), day)?;
        let change =
            AreaChange { entry, from_day: day.to_owned(), merged_into: Some(into), at_ms: self.clock.now_ms() };
        self.storage.change_area(township, &change)?;
        Ok(moved)
    }

    fn empty_area(
        &self,
        office: &Office,
        township: TownshipId,
        (from, into): (AreaId, AreaId),
        day: &str,
    ) -> Result<usize, GrantError> {
        let mut moved = 0;
        loop {
            // what moved isn't in the area any more: the first page is always the next one
            let filter = RecordFilter { area: Some(from), limit: MOVED_AT_ONCE, ..RecordFilter::default() };
            let rows = self.storage.list_records(township, &filter)?;
            if rows.is_empty() {
                return Ok(moved);
            }
            let moves = rows.iter().map(|row| Move { record: row.id, area: into, from_day: day.to_owned() });
            office.move_records(moves.collect())?;
            moved += rows.len();
        }
    }
}

/// True when an area is another one or lies below it.
fn is_below(areas: &[AreaEntry], mut area: AreaId, above: AreaId) -> bool {
    // a tree has no more steps than areas
    for _ in 0..=areas.len() {
        if area == above {
            return true;
        }
        match areas.iter().find(|a| a.area == area).and_then(|a| a.parent) {
            Some(parent) => area = parent,
            None => return false,
        }
    }
    true
}
