//! Inviting people's phones: one code for each phone, for people that are known or new.

use std::collections::BTreeMap;

use doorstep_core::clock::random;
use doorstep_core::id::{AreaId, UserId};

use super::Service;
use super::acts::Acts;
use super::audit::{Act, Action, Actor};
use super::giving::Giving;
use super::grants::{GrantError, NewGrant};
use crate::storage::{StorageError, TownshipId, User};

/// Most people that are invited at once.
pub const INVITED_AT_ONCE: usize = 2_000;
/// Longest name or unit, in characters.
const NAME_CHARS: usize = 64;

/// A person as written on a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Name.
    pub name: String,
    /// Sending unit; may be empty.
    pub unit: String,
}

impl Named {
    /// A name of 1 to 64 characters and a unit of at most 64, without what stands around them.
    pub fn new(name: &str, unit: &str) -> Option<Self> {
        let (name, unit) = (name.trim(), unit.trim());
        let fits = |text: &str| text.chars().count() <= NAME_CHARS && !text.contains('\0');
        (!name.is_empty() && fits(name) && fits(unit)).then(|| Self { name: name.to_owned(), unit: unit.to_owned() })
    }
}

/// A person's invitation.
#[derive(Debug, Clone)]
pub struct Invited {
    /// Who.
    pub user: User,
    /// The one-time code.
    pub code: String,
}

impl Service {
    /// The people of these names and units; new ones are made, with a role for an area.
    pub fn people_named(
        &self,
        actor: Actor,
        township: TownshipId,
        people: &[Named],
        (role, area): (&str, AreaId),
    ) -> Result<Vec<User>, GrantError> {
        let mut known: BTreeMap<Named, User> = BTreeMap::new();
        for user in self.storage.users()? {
            known.entry(Named { name: user.name.clone(), unit: user.unit.clone() }).or_insert(user);
        }
        let mut users = Vec::new();
        let mut giving = Giving::new(self, township);
        for person in people {
            if let Some(user) = known.get(person) {
                users.push(user.clone());
                continue;
            }
            let user =
                User { id: UserId(random(&*self.entropy)), name: person.name.clone(), unit: person.unit.clone() };
            giving.make(user.clone())?;
            let role = role.to_owned();
            let new = NewGrant { user: user.id, role, area, household: None, until_ms: None, stand_in_for: None };
            giving.give(&new)?;
            known.insert(person.clone(), user.clone());
            users.push(user);
        }
        giving.done(actor)?;
        Ok(users)
    }

    /// One invitation for a further phone of each of these people.
    pub fn invite_all(
        &self,
        actor: Actor,
        township: TownshipId,
        users: Vec<User>,
    ) -> Result<Vec<Invited>, StorageError> {
        let (mut acts, mut all) = (Acts::new(), Vec::new());
        for user in users {
            let (code, invitation) = self.invitation_for(user.id, township);
            acts.add(Act::new(Action::DeviceInvited).in_township(township).user(user.id), [invitation]);
            all.push(Invited { user, code });
        }
        self.act_all(actor, acts)?;
        Ok(all)
    }
}
