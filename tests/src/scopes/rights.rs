//! Who may what: roles given and ended, for areas, for households, for a time, in somebody's stead; and roles that change.

use std::collections::BTreeSet;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::rights::Roles;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::NewGrant;
use doorstep_server::service::rights::current;
use doorstep_server::storage::Grant;
use serde_json::{Value, json};

use super::{DAY_MS, History, Known, Outcome, text};

/// Roles that a township's own table may hold: two of the pack's are replaced, two are new.
const OWN_ROLES: [&str; 4] = ["helper", "village_cadre", "archive_desk", "visits_desk"];
/// Types, classes and actions that are drawn for them.
const TYPES: [&str; 5] = ["*", "household", "visit", "household_split", "household_move"];
const CLASSES: [&str; 3] = ["core", "sensitive", "office"];
const ACTIONS: [&str; 3] = ["read", "create", "edit"];

/// A grant as it was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub role: String,
    pub area: AreaId,
    pub household: Option<RecordId>,
    /// Over from this time on; the phones hear of it when the server has ended it.
    pub until_ms: Option<Millis>,
    /// Households that it reached at some time.
    pub ever: BTreeSet<RecordId>,
}

impl Given {
    fn of(grant: &Grant) -> Self {
        let entry = &grant.entry;
        let (role, until_ms) = (entry.role.clone(), grant.until_ms);
        Self { role, area: entry.area, household: entry.subject, until_ms, ever: BTreeSet::new() }
    }

    pub fn holds_at(&self, now_ms: Millis) -> bool {
        self.until_ms.is_none_or(|until| until > now_ms)
    }
}

impl History {
    /// Somebody gets a role for an area, or is paired with a household; now and then for some days, in somebody's stead.
    pub(super) fn give(&mut self) -> Outcome {
        let person = self.dice.below(self.people.len() as u64) as usize;
        let names: Vec<String> = self.roles.iter().map(|role| role.name.clone()).collect();
        let often = ["helper", "village_cadre", "township_office"][self.dice.below(3) as usize];
        let drawn = names[self.dice.below(names.len() as u64) as usize].clone();
        let role = if self.dice.chance(60) { often.to_owned() } else { drawn };
        let household = self.dice.index(self.stored.len()).filter(|_| self.dice.chance(50));
        let household = household.map(|at| self.stored[at]);
        let area = match household {
            Some(household) => self.lies(household),
            None if self.dice.chance(20) => self.township,
            None => self.any_area(),
        };
        let stands_in = self.dice.chance(25);
        let until_ms = (stands_in || self.dice.chance(15)).then(|| self.now_ms() + self.dice.between(1, 40) * DAY_MS);
        let other = self.people[self.dice.below(self.people.len() as u64) as usize].user;
        let user = self.people[person].user;
        let stand_in_for = Some(other).filter(|other| stands_in && *other != user);
        self.say(format!("person {person} gets {role} for {area:?} {household:?} until {until_ms:?}"));
        let given = Given { role: role.clone(), area, household, until_ms, ever: BTreeSet::new() };
        let new = NewGrant { user, role, area, household, until_ms, stand_in_for };
        let before = self.service.storage.grants(user, 0).map_err(text)?.0;
        self.service.give(Actor::CommandLine, self.township, &new).map_err(text)?;
        let (_, log) = self.service.storage.grants(user, before.seq).map_err(text)?;
        if let Some((_, grant)) = log.last() {
            let before = self.people[person].grants.remove(&grant.entry.grant);
            let ever = before.map(|before| before.ever).unwrap_or_default();
            self.people[person].grants.insert(grant.entry.grant, Given { ever, ..given });
            self.done.stand_ins += u64::from(stand_in_for.is_some());
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Outcome {
        let person = self.dice.below(self.people.len() as u64) as usize;
        let held: Vec<u64> = self.people[person].grants.keys().copied().collect();
        let Some(at) = self.dice.index(held.len()) else { return Ok(()) };
        self.say(format!("person {person} loses {:?}", self.people[person].grants[&held[at]]));
        self.service.end_grant(Actor::CommandLine, self.people[person].user, held[at]).map_err(text)?;
        self.people[person].grants.remove(&held[at]);
        Ok(())
    }

    /// The server's housekeeping ends what is over.
    pub(super) fn tidy(&mut self) -> Outcome {
        self.say("tidies".to_owned());
        let ended = self.service.end_overdue_grants().map_err(text)?;
        let (now_ms, mut over) = (self.now_ms(), 0);
        for person in &mut self.people {
            let before = person.grants.len();
            person.grants.retain(|_, given| given.holds_at(now_ms));
            over += before - person.grants.len();
        }
        if ended == over { Ok(()) } else { Err(format!("{ended} grants were ended, and {over} are over")) }
    }

    /// The township gets other roles of its own in place of those it had.
    pub(super) fn change_roles(&mut self) -> Outcome {
        let names: Vec<&str> = OWN_ROLES.into_iter().filter(|_| self.dice.chance(60)).collect();
        let rights = || -> Vec<Value> { (0..self.dice.between(1, 3)).map(|_| self.right()).collect() };
        let role = |name: &str| json!({"name": name, "label": {"zh": "角色", "en": "Role"}, "rights": rights()});
        let table = Value::from(names.into_iter().map(role).collect::<Vec<_>>()).to_string();
        self.say(format!("roles are {table}"));
        self.service.set_roles(Actor::CommandLine, &table).map_err(text)?;
        self.roles = Roles::from_json(&table).map_err(text)?.over(Roles::builtin());
        self.done.roles += 1;
        Ok(())
    }

    fn right(&self) -> Value {
        let some = |list: &[&str], percent| -> Vec<String> {
            let first = self.dice.below(list.len() as u64) as usize;
            let drawn = list.iter().enumerate().filter(|(at, _)| *at == first || self.dice.chance(percent));
            drawn.map(|(_, name)| (*name).to_owned()).collect()
        };
        json!({"types": some(&TYPES, 25), "classes": some(&CLASSES, 50), "actions": some(&ACTIONS, 60)})
    }

    /// Pairings that came with what phones did: of households that they made.
    pub(super) fn learn_grants(&mut self) -> Outcome {
        for person in &mut self.people {
            let (_, log) = self.service.storage.grants(person.user, 0).map_err(text)?;
            for (_, grant) in current(&log).into_iter().filter(|(_, grant)| grant.entry.active) {
                person.grants.entry(grant.entry.grant).or_insert_with(|| Given::of(grant));
            }
        }
        Ok(())
    }

    /// Whether a grant reaches what is about a household, whatever its role.
    fn reaches(&self, given: &Given, about: RecordId) -> bool {
        match given.household {
            Some(household) => household == about,
            None => self.lies_in(self.lies(about), given.area),
        }
    }

    /// What a person may hold now, as far as this test knows.
    pub(super) fn in_scope(&self, person: usize, known: &Known) -> bool {
        let now_ms = self.now_ms();
        let mut holding = self.people[person].grants.values().filter(|given| given.holds_at(now_ms));
        holding.any(|given| self.reaches(given, known.about) && self.roles.get(&given.role).reads(&known.record_type))
    }

    /// What a phone may have kept, as it was, of a grant whose time is over: until the server's housekeeping has ended it.
    pub(super) fn may_have_kept(&self, person: usize, known: &Known) -> bool {
        let now_ms = self.now_ms();
        let mut over = self.people[person].grants.values().filter(|given| !given.holds_at(now_ms));
        over.any(|given| given.ever.contains(&known.about) && self.roles.get(&given.role).reads(&known.record_type))
    }

    /// Notes what grants reach by now: what is written later counts for a time.
    pub(super) fn remember(&mut self) {
        let now_ms = self.now_ms();
        let (mut reached, mut below) = (std::mem::take(&mut self.reached), std::mem::take(&mut self.reached_areas));
        let areas: Vec<AreaId> = self.parents.keys().copied().chain([self.township]).collect();
        let mut people = std::mem::take(&mut self.people);
        for (person, held) in people.iter_mut().enumerate() {
            for given in held.grants.values_mut() {
                let until = given.until_ms.map_or(now_ms, |until| until.min(now_ms));
                let now: Vec<RecordId> = self.houses.keys().copied().filter(|h| self.reaches(given, *h)).collect();
                given.ever.extend(&now);
                for household in now {
                    let last = reached.entry((person, household)).or_insert(until);
                    *last = until.max(*last);
                }
                for area in areas.iter().filter(|area| given.household.is_none() && self.lies_in(**area, given.area)) {
                    let last = below.entry((person, *area)).or_insert(until);
                    *last = until.max(*last);
                }
            }
        }
        (self.people, self.reached, self.reached_areas) = (people, reached, below);
    }

    /// When a grant last reached a household where it lay, or the area in which it was made.
    pub(super) fn last_reached(&self, person: usize, about: RecordId) -> Option<Millis> {
        let made_in = self.houses.get(&about).map(|house| house.base);
        let area = made_in.and_then(|area| self.reached_areas.get(&(person, area)));
        self.reached.get(&(person, about)).max(area).copied()
    }
}
