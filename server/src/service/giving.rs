//! Giving and ending grants, several in one transaction with their entries of the audit log.

use std::collections::{BTreeMap, HashMap, HashSet};

use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::GrantEntry;

use super::Service;
use super::acts::Acts;
use super::audit::{Act, Action, Actor};
use super::grants::{GrantError, NewGrant};
use super::rights::current;
use crate::storage::{Claims, Grant, RecordRow, StorageError, TownshipId, User, Write};

/// What a grant that was given took the place of.
#[derive(Debug, Clone)]
pub struct Given {
    /// How it stands now.
    pub stands: Grant,
    /// False where the person had just that already.
    pub is_new: bool,
    /// What held before and doesn't any more: whose it was, and how it was.
    pub before: Vec<(UserId, Grant)>,
}

/// Grants that are given and ended together. A household or a person's role is touched once.
pub struct Giving<'a> {
    service: &'a Service,
    township: TownshipId,
    claims: HashMap<UserId, Claims>,
    users: Option<HashSet<UserId>>,
    acts: Acts,
}

impl<'a> Giving<'a> {
    /// In a township; nothing yet.
    pub fn new(service: &'a Service, township: TownshipId) -> Self {
        Self { service, township, claims: HashMap::new(), users: None, acts: Acts::new() }
    }

    fn claims(&mut self, user: UserId) -> Result<&Claims, StorageError> {
        if !self.claims.contains_key(&user) {
            let claims = self.service.storage.claims(self.township, user)?;
            self.claims.insert(user, claims);
        }
        Ok(&self.claims[&user])
    }

    fn users(&mut self) -> Result<&mut HashSet<UserId>, StorageError> {
        if self.users.is_none() {
            let known = self.service.storage.users()?.into_iter().map(|user| user.id).collect();
            self.users = Some(known);
        }
        Ok(self.users.get_or_insert_default())
    }

    /// A person who is made with what is given.
    pub fn make(&mut self, user: User) -> Result<(), StorageError> {
        self.users()?.insert(user.id);
        self.acts.also([Write::Users(vec![user])]);
        Ok(())
    }

    /// Adds another act that is done with it.
    pub fn add(&mut self, act: Act, writes: impl IntoIterator<Item = Write>) {
        self.acts.add(act, writes);
    }

    /// Adds what is written with it.
    pub fn also(&mut self, write: Write) {
        self.acts.also([write]);
    }

    /// Gives a role for an area, or pairs a person with a household; nothing if the person has just that already.
    pub fn give(&mut self, new: &NewGrant) -> Result<Given, GrantError> {
        let (service, township) = (self.service, self.township);
        let claims = self.claims(new.user)?;
        if !claims.roles.contains(&new.role) {
            return Err(GrantError::UnknownRole(new.role.clone()));
        }
        if new.area != township && !claims.areas.live().any(|a| a.area == new.area) {
            return Err(GrantError::UnknownArea);
        }
        let entry =
            GrantEntry { grant: 0, role: new.role.clone(), area: new.area, subject: new.household, active: true };
        let same = |grant: &Grant| GrantEntry { grant: 0, ..grant.entry.clone() } == entry;
        let held = current(&claims.grants).into_iter().find(|(_, grant)| same(grant)).map(|(_, grant)| grant.clone());
        if !self.users()?.contains(&new.user) {
            return Err(GrantError::UnknownUser);
        }
        if let Some(other) = new.stand_in_for
            && (other == new.user || !self.users()?.contains(&other))
        {
            return Err(GrantError::StandIn);
        }
        if let Some(household) = new.household {
            let row = service.storage.record_row(township, household)?;
            let is_here = |row: &RecordRow| row.core == household && row.area != AreaId::NOWHERE;
            row.filter(is_here).ok_or(GrantError::UnknownHousehold)?;
        }
        let as_asked = |held: &Grant| (held.until_ms, held.stand_in_for) == (new.until_ms, new.stand_in_for);
        if let Some(stands) = held.clone().filter(as_asked) {
            return Ok(Given { stands, is_new: false, before: Vec::new() });
        }
        let action = if new.household.is_some() { Action::PairingChanged } else { Action::GrantGiven };
        let mut act = Act::new(action).in_township(township).user(new.user).area(new.area).with("role", &*new.role);
        if let Some(household) = new.household {
            act = act.record(household).with("given", true);
        }
        // one that is given again for another time is the same grant
        let entry = GrantEntry { grant: held.as_ref().map_or(0, |grant| grant.entry.grant), ..entry };
        let (until_ms, stand_in_for) = (new.until_ms, new.stand_in_for);
        let grant = Grant { entry, until_ms, stand_in_for, at_ms: service.clock.now_ms() };
        self.acts.add(act, [Write::Grants(new.user, vec![grant.clone()])]);
        let before = held.into_iter().map(|held| (new.user, held)).collect();
        Ok(Given { stands: grant, is_new: true, before })
    }

    /// Ends a grant; gives what it was.
    pub fn end(&mut self, user: UserId, grant: u64) -> Result<Grant, GrantError> {
        let held = self.service.held(user, grant)?;
        let (act, ended) = self.service.ends(user, &held)?;
        self.acts.add(act, [ended]);
        Ok(held)
    }

    /// Pairs a household with another helper in place of all that it is paired with as such; stand-ins stay.
    pub fn pair_anew(&mut self, new: &NewGrant) -> Result<Given, GrantError> {
        let household = new.household.ok_or(GrantError::UnknownHousehold)?;
        let mut given = self.give(new)?;
        for (user, grant) in paired(self.service, household, &new.role)? {
            if user != new.user {
                given.before.push((user, self.end(user, grant.entry.grant)?));
            }
        }
        Ok(given)
    }

    /// Does it all in one transaction, with the entries; nothing where nothing changes. False as of [`Service::act`].
    pub fn done(self, actor: Actor) -> Result<bool, StorageError> {
        self.service.act_all(actor, self.acts)
    }
}

impl Service {
    /// An active grant of a person.
    pub(super) fn held(&self, user: UserId, grant: u64) -> Result<Grant, GrantError> {
        let (_, log) = self.storage.grants(user, 0)?;
        let held = current(&log).into_iter().find(|(_, g)| g.entry.grant == grant && g.entry.active);
        held.map(|(_, grant)| grant.clone()).ok_or(GrantError::UnknownGrant)
    }

    /// What ends a person's grant, with its entry of the audit log.
    pub(super) fn ends(&self, user: UserId, held: &Grant) -> Result<(Act, Write), StorageError> {
        let action = if held.entry.subject.is_some() { Action::PairingChanged } else { Action::GrantEnded };
        let mut act = Act::new(action).user(user).area(held.entry.area).with("role", held.entry.role.as_str());
        if let Some(household) = held.entry.subject {
            act = act.record(household).with("given", false);
        }
        for township in self.storage.townships()? {
            if township == held.entry.area || self.storage.area_tree(township)?.contains(held.entry.area) {
                act = act.in_township(township);
                break;
            }
        }
        Ok((act, Write::Grants(user, vec![held.ended(self.clock.now_ms())])))
    }
}

/// The grants about a household: active ones, the last entry of each.
pub(super) fn active_about(service: &Service, household: RecordId) -> Result<Vec<(UserId, Grant)>, StorageError> {
    let about = service.storage.grants_about(household)?;
    let last: BTreeMap<(UserId, u64), Grant> =
        about.into_iter().map(|(user, grant)| ((user, grant.entry.grant), grant)).collect();
    Ok(last.into_iter().filter(|(_, grant)| grant.entry.active).map(|((user, _), grant)| (user, grant)).collect())
}

/// Who is paired with a household as such.
pub(crate) fn paired(service: &Service, household: RecordId, role: &str) -> Result<Vec<(UserId, Grant)>, StorageError> {
    let mut paired = active_about(service, household)?;
    paired.retain(|(_, grant)| grant.entry.role == role && grant.stand_in_for.is_none());
    Ok(paired)
}
