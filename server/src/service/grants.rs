//! Giving and ending grants: roles, pairings, stand-ins; changing the roles themselves; changing and merging areas.
//!
//! Every act stands in the audit log: both are written together.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::rights::{Roles, RolesError};

use super::Service;
use super::acts::Acts;
use super::audit::{Act, Action, Actor};
use super::giving::Giving;
use super::office::{Office, WriteError};
use super::rights::current;
use crate::storage::rights::ROLES;
use crate::storage::{
    AreaChange, Areas, Grant, Move, PlannedGrant, RecordFilter, StorageError, TownshipId, Write, relocation,
};

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
    /// Somebody stands in for themselves, or for nobody who is known.
    #[error("one stands in for another person who is known; `doorstep grant list` lists them")]
    StandIn,
    /// A time that is over.
    #[error("the day until when it is given is over")]
    Over,
    /// An area without a name.
    #[error("an area needs a name")]
    NoName,
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
        self.not_over(new)?;
        let mut giving = Giving::new(self, township);
        giving.give(new)?;
        giving.done(actor)?;
        Ok(())
    }

    /// Ends a grant.
    pub fn end_grant(&self, actor: Actor, user: UserId, grant: u64) -> Result<(), GrantError> {
        let (act, ended) = self.ends(user, &self.held(user, grant)?)?;
        self.act(actor, act, [ended])?;
        Ok(())
    }

    /// Pairs a household with another helper in place of all that it is paired with as such; stand-ins stay.
    pub fn pair_anew(&self, actor: Actor, township: TownshipId, new: &NewGrant) -> Result<(), GrantError> {
        self.not_over(new)?;
        let mut giving = Giving::new(self, township);
        giving.pair_anew(new)?;
        giving.done(actor)?;
        Ok(())
    }

    fn not_over(&self, new: &NewGrant) -> Result<(), GrantError> {
        let is_over = new.until_ms.is_some_and(|until| until <= self.clock.now_ms());
        if is_over { Err(GrantError::Over) } else { Ok(()) }
    }

    /// Gives a grant from a time on, by the server's clock; with `anew` in place of whoever is paired with the household by then.
    /// What can't be given today isn't planned either.
    pub fn plan(
        &self,
        actor: Actor,
        township: TownshipId,
        new: &NewGrant,
        (from_ms, anew): (Millis, bool),
    ) -> Result<(), GrantError> {
        self.not_over(new)?;
        Giving::new(self, township).give(new)?;
        let act = Act::new(Action::GrantPlanned).in_township(township).user(new.user).area(new.area);
        let mut act = act.with("role", &*new.role).with("from_ms", from_ms);
        if let Some(household) = new.household {
            act = act.record(household);
        }
        let planned = PlannedGrant {
            no: 0,
            township,
            from_ms,
            user: new.user,
            role: new.role.clone(),
            area: new.area,
            household: new.household,
            until_ms: new.until_ms,
            stand_in_for: new.stand_in_for,
            anew,
        };
        self.act(actor, act, [Write::Plan(planned)])?;
        Ok(())
    }

    /// Takes a planned grant back; false if there is none of this number.
    pub fn unplan(&self, actor: Actor, no: u64) -> Result<bool, StorageError> {
        let act = Act::new(Action::GrantPlanned).with("planned", no).with("given", false);
        self.act(actor, act, [Write::Unplan(no)])
    }

    /// Gives what was planned and is due; gives how many. What can't be given by now (the household went away, the area or the role
    /// isn't there any more) is dropped, with an entry that says so.
    pub fn give_due_grants(&self) -> Result<usize, StorageError> {
        let mut given = 0;
        for due in self.storage.planned_grants(self.clock.now_ms())? {
            let new = NewGrant {
                user: due.user,
                role: due.role,
                area: due.area,
                household: due.household,
                until_ms: due.until_ms,
                stand_in_for: due.stand_in_for,
            };
            let mut giving = Giving::new(self, due.township);
            let done = if due.anew { giving.pair_anew(&new) } else { giving.give(&new) };
            match done {
                Ok(_) => {
                    giving.also(Write::Unplan(due.no));
                    given += usize::from(giving.done(Actor::Server)?);
                }
                Err(GrantError::Storage(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a planned grant can't be given");
                    let act = Act::new(Action::GrantPlanned).in_township(due.township).user(due.user).area(due.area);
                    self.act(Actor::Server, act.with("given", false), [Write::Unplan(due.no)])?;
                }
            }
        }
        Ok(given)
    }

    /// Ends grants whose time is over. Nobody reads or writes by them from that time on; with the entry the phones drop what
    /// no other grant covers.
    pub fn end_overdue_grants(&self) -> Result<usize, StorageError> {
        let overdue = self.storage.overdue_grants(self.clock.now_ms())?;
        let mut acts = Acts::new();
        for (user, grant) in &overdue {
            let (act, ended) = self.ends(*user, grant)?;
            acts.add(act.with("over", true), [ended]);
        }
        self.act_all(Actor::Server, acts)?;
        Ok(overdue.len())
    }

    /// Replaces the tenant's own roles. Whoever holds a role that changed gets its grants anew, so that phones fetch what it
    /// reads more and drop what it reads less.
    pub fn set_roles(&self, actor: Actor, json: &str) -> Result<(), GrantError> {
        let before = self.roles()?;
        let own = Roles::from_json(json)?;
        let after = own.clone().over(Roles::builtin());
        let changed = |role: &str| before.get(role) != after.get(role);
        let mut writes = vec![Write::Setting(ROLES.to_owned(), own.to_json())];
        writes.extend(self.given_again(|grant| changed(&grant.entry.role))?);
        self.act(actor, Act::new(Action::GrantGiven).with("roles", own.iter().count()), writes)?;
        Ok(())
    }

    /// The roles: those of the pack with the tenant's own ones in place of theirs.
    pub fn roles(&self) -> Result<Roles, StorageError> {
        let own = self.storage.setting(ROLES)?.and_then(|json| Roles::from_json(&json).ok());
        Ok(own.unwrap_or_default().over(Roles::builtin()))
    }

    /// Adds an area.
    pub fn add_area(&self, actor: Actor, township: TownshipId, entry: AreaEntry) -> Result<(), GrantError> {
        if entry.name_zh.trim().is_empty() {
            return Err(GrantError::NoName);
        }
        let act = Act::new(Action::AreaChanged).in_township(township).area(entry.area);
        self.act(actor, act, [Write::Areas(township, vec![entry])])?;
        Ok(())
    }

    /// Changes an area's name, code, level or parent from a day on.
    pub fn change_area(
        &self,
        actor: Actor,
        township: TownshipId,
        entry: AreaEntry,
        from_day: &str,
    ) -> Result<(), GrantError> {
        let tree = self.storage.area_tree(township)?;
        if !tree.contains(entry.area) {
            return Err(GrantError::UnknownArea);
        }
        if entry.parent.is_some_and(|parent| tree.below(entry.area).contains(&parent)) {
            return Err(GrantError::Circle);
        }
        if entry.name_zh.trim().is_empty() {
            return Err(GrantError::NoName);
        }
        let act = Act::new(Action::AreaChanged).in_township(township).area(entry.area).with("day", from_day);
        let writes = self.put_below(township, &tree, vec![entry], from_day)?;
        self.act(actor, act, writes)?;
        Ok(())
    }

    /// What writes areas as they are from a day on. Where one comes below another one, the grants that reach it by that are given
    /// anew, so that phones fetch what lies in it.
    fn put_below(
        &self,
        township: TownshipId,
        tree: &Areas,
        entries: Vec<AreaEntry>,
        from_day: &str,
    ) -> Result<Vec<Write>, StorageError> {
        let before = |area: AreaId| tree.all().iter().find(|a| a.area == area).and_then(|a| a.parent);
        let parents: Vec<(Option<AreaId>, Option<AreaId>)> =
            entries.iter().map(|entry| (before(entry.area), entry.parent)).collect();
        let reaches = |area: AreaId| {
            let below = tree.below(area);
            let lies = |parent: &Option<AreaId>| parent.is_some_and(|parent| below.contains(&parent));
            area != township && parents.iter().any(|(before, parent)| lies(parent) && !lies(before))
        };
        let (from_day, at_ms) = (from_day.to_owned(), self.clock.now_ms());
        let change = |entry| AreaChange { entry, from_day: from_day.clone(), merged_into: None, at_ms };
        let mut writes: Vec<Write> =
            entries.into_iter().map(|entry| Write::ChangeArea(township, change(entry))).collect();
        writes.extend(self.given_again(|grant| grant.entry.subject.is_none() && reaches(grant.entry.area))?);
        Ok(writes)
    }

    /// The active grants that are asked for, once more: the phones fill them from the start.
    fn given_again(&self, is_asked: impl Fn(&Grant) -> bool) -> Result<Vec<Write>, StorageError> {
        let at_ms = self.clock.now_ms();
        self.held_grants(is_asked, |grant| Grant { at_ms, ..grant.clone() })
    }

    /// Entries that are made of the active grants that are asked for.
    fn held_grants(
        &self,
        is_asked: impl Fn(&Grant) -> bool,
        entry: impl Fn(&Grant) -> Grant,
    ) -> Result<Vec<Write>, StorageError> {
        let mut writes = Vec::new();
        for user in self.storage.users()? {
            let (_, log) = self.storage.grants(user.id, 0)?;
            let held = current(&log).into_iter().map(|(_, grant)| grant);
            let entries: Vec<Grant> = held.filter(|g| g.entry.active && is_asked(g)).map(&entry).collect();
            if !entries.is_empty() {
                writes.push(Write::Grants(user.id, entries));
            }
        }
        Ok(writes)
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
        let tree = self.storage.area_tree(township)?;
        let areas = tree.all();
        let entry = areas.iter().find(|a| a.area == from).cloned().ok_or(GrantError::UnknownArea)?;
        if !tree.live().any(|a| a.area == into) {
            return Err(GrantError::UnknownArea);
        }
        match tree.became(from) {
            // it was cut while the records moved
            Some((now, _)) if now == into => return self.empty_area(office, township, (from, into), day),
            Some(_) => return Err(GrantError::UnknownArea),
            None if tree.below(from).contains(&into) => return Err(GrantError::Circle),
            None => {}
        }
        let act = Act::new(Action::AreaChanged).in_township(township).area(from).area(into).with("day", day);
        let at_ms = self.clock.now_ms();
        // in one act with the area's end: what is made in it from now on goes on to the other, and whoever had it has that
        let other = |g: &Grant| Grant { entry: GrantEntry { area: into, ..g.entry.clone() }, at_ms, ..g.clone() };
        let mut writes = self.held_grants(|grant| grant.entry.area == from, other)?;
        let below = areas.iter().filter(|a| a.parent == Some(from));
        let below = below.map(|area| AreaEntry { parent: Some(into), ..area.clone() }).collect();
        writes.extend(self.put_below(township, &tree, below, day)?);
        let change = AreaChange { entry, from_day: day.to_owned(), merged_into: Some(into), at_ms };
        writes.push(Write::ChangeArea(township, change));
        self.act(actor, act.with("merged", true), writes)?;
        self.empty_area(office, township, (from, into), day)
    }

    /// Moves what lies in an area that went into another one: records about nothing first, what is about them goes with them.
    fn empty_area(
        &self,
        office: &Office,
        township: TownshipId,
        (from, into): (AreaId, AreaId),
        day: &str,
    ) -> Result<usize, GrantError> {
        let mut moved = 0;
        for about in [false, true] {
            let mut after = 0;
            loop {
                let filter = RecordFilter { area: Some(from), after, limit: MOVED_AT_ONCE, ..RecordFilter::default() };
                let rows = self.storage.list_records(township, &filter)?;
                let Some(last) = rows.last() else { break };
                after = last.born;
                let mut moves = Vec::new();
                for row in rows.iter().filter(|row| row.subject.is_some() == about) {
                    // it may have come there on a later day
                    let came = relocation::past(&self.storage.relocations(township, row.id)?).0.pop();
                    let from_day = came.map_or(day.to_owned(), |(came, _)| came.max(day.to_owned()));
                    moves.push(Move { only_from: Some(from), ..Move::by_office(row.id, into, from_day) });
                }
                moved += moves.len();
                if !moves.is_empty() {
                    office.move_records(moves)?;
                }
            }
        }
        Ok(moved)
    }
}
