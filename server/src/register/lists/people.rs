//! People with their units, roles and areas.

use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::AreaEntry;
use doorstep_core::rights::Roles;

use super::{Item, List, Write, derived};
use crate::calendar::day_end;
use crate::register::fault::Fault;
use crate::register::planned::State;
use crate::register::{RegisterError, clean};
use crate::service::Service;
use crate::service::grants::NewGrant;
use crate::service::rights::current;
use crate::storage::{Unit, User};

/// The role whose rights come from pairings with single households.
pub(super) const HELPER: &str = "helper";

impl List {
    /// People are known by name and unit. A role in an area is given once; roles that the table doesn't name stay.
    pub(super) fn plan_people(&self, service: &Service) -> Result<Vec<Item>, RegisterError> {
        let areas: Vec<AreaEntry> = service.storage.area_tree(self.township)?.live().cloned().collect();
        let roles = service.storage.claims(self.township, UserId([0; 16]))?.roles;
        let mut people = People::read(service)?;
        let mut given: Vec<(UserId, String, AreaId)> = Vec::new();
        let mut items = Vec::new();
        for row in self.rows() {
            let name = clean::name(&self.text(row, "name"));
            let item = Item::new(self.sheet.number(row), &name);
            items.push(match self.person(service, row, &name, &areas, &roles, &mut people, &mut given) {
                Ok((state, writes)) => Item { state, writes, ..item },
                Err(RowError::Fault(fault)) => item.fail(fault),
                Err(RowError::Other(error)) => return Err(error),
            });
        }
        Ok(items)
    }

    #[expect(clippy::too_many_arguments, reason = "all that a row is compared with")]
    fn person(
        &self,
        service: &Service,
        row: usize,
        name: &str,
        areas: &[AreaEntry],
        roles: &Roles,
        people: &mut People,
        given: &mut Vec<(UserId, String, AreaId)>,
    ) -> Result<(State, Vec<Write>), RowError> {
        if name.is_empty() {
            return Err(self.fault("no_name", row, "name").into());
        }
        let role = role_of(roles, &self.text(row, "role")).ok_or_else(|| {
            let names: Vec<&str> = roles.iter().map(|r| r.label.get("zh", "zh").unwrap_or(&r.name)).collect();
            self.fault("unknown_role", row, "role").with("choices", names.join("、"))
        })?;
        let now_ms = service.clock.now_ms();
        let until_ms = self.day(row, "until")?.and_then(|day| day_end(&day));
        if until_ms.is_some_and(|until| until <= now_ms) {
            return Err(self.fault("period_over", row, "until").into());
        }
        let places = self.areas_of(row, areas)?;
        let unit = self.text(row, "unit");
        let mut writes = Vec::new();
        let (user, is_new) = match people.find(name, &unit) {
            Found::One(user) => (user, false),
            Found::Several => return Err(self.fault("several_people", row, "name").into()),
            Found::None => {
                let parts = [name.as_bytes(), unit.as_bytes()];
                let id = UserId(derived(service, "doorstep/register-user/1", &parts));
                let user = User { id, name: name.to_owned(), unit: unit.clone() };
                people.users.push(user.clone());
                writes.push(Write::User(user));
                (id, true)
            }
        };
        if let Some(unit) = people.new_unit(service, &unit, role == HELPER) {
            writes.push(Write::Unit(unit));
        }
        for area in places.into_iter().filter(|_| role != HELPER || !self.text(row, "area").is_empty()) {
            let key = (user, role.clone(), area);
            if given.contains(&key) || (!is_new && holds(service, user, &role, area)?) {
                continue;
            }
            given.push(key);
            let role = role.clone();
            let new = NewGrant { user, role, area, household: None, until_ms, stand_in_for: None };
            writes.push(Write::Give(Box::new(new)));
        }
        let state = match (is_new, writes.is_empty()) {
            (true, _) => State::New,
            (false, false) => State::Changed,
            (false, true) => State::Unchanged,
        };
        Ok((state, writes))
    }

    /// The areas of a row; the township where none is named.
    fn areas_of(&self, row: usize, areas: &[AreaEntry]) -> Result<Vec<AreaId>, Fault> {
        let text = self.text(row, "area");
        if text.is_empty() {
            return Ok(vec![self.township]);
        }
        let find = |name: &str| {
            let compared = clean::compared(name);
            let core = compared.trim_end_matches('村');
            let known = |a: &&AreaEntry| {
                let own = clean::compared(&a.name_zh);
                own == compared || own.trim_end_matches('村') == core || (!a.code.is_empty() && a.code == compared)
            };
            areas.iter().find(known).map(|a| a.area).ok_or_else(|| self.fault("unknown_area", row, "area"))
        };
        text.split(['、', ',', '，', ';', '；', '/']).filter(|n| !n.trim().is_empty()).map(find).collect()
    }
}

/// Why a row isn't planned.
enum RowError {
    Fault(Fault),
    Other(RegisterError),
}

impl From<Fault> for RowError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<crate::storage::StorageError> for RowError {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Other(error.into())
    }
}

fn role_of(roles: &Roles, text: &str) -> Option<String> {
    let compared = clean::compared(text);
    let named = |r: &&doorstep_core::rights::Role| {
        r.name == compared || r.label.0.iter().any(|(_, label)| clean::compared(label) == compared)
    };
    roles.iter().find(named).map(|r| r.name.clone())
}

fn holds(service: &Service, user: UserId, role: &str, area: AreaId) -> Result<bool, crate::storage::StorageError> {
    let (_, log) = service.storage.grants(user, 0)?;
    let now_ms = service.clock.now_ms();
    Ok(current(&log).iter().any(|(_, grant)| {
        let entry = &grant.entry;
        grant.holds_at(now_ms) && entry.role == role && entry.area == area && entry.subject.is_none()
    }))
}

/// How many people a name stands for.
pub(super) enum Found {
    One(UserId),
    Several,
    None,
}

/// The people and units that there are.
pub(super) struct People {
    pub(super) users: Vec<User>,
    units: Vec<Unit>,
}

impl People {
    pub(super) fn read(service: &Service) -> Result<Self, crate::storage::StorageError> {
        Ok(Self { users: service.storage.users()?, units: service.storage.units()? })
    }

    /// Whoever has this name in this unit; without unit the only one of the name.
    pub(super) fn find(&self, name: &str, unit: &str) -> Found {
        let named = self.users.iter().filter(|u| clean::name(&u.name) == name);
        let mut found = named.filter(|u| unit.is_empty() || clean::compared(&u.unit) == clean::compared(unit));
        match (found.next(), found.next()) {
            (None, _) => Found::None,
            (Some(user), None) => Found::One(user.id),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    fn new_unit(&mut self, service: &Service, name: &str, sends: bool) -> Option<Unit> {
        if name.is_empty() || self.units.iter().any(|u| clean::compared(&u.name) == clean::compared(name)) {
            return None;
        }
        let id = derived(service, "doorstep/register-unit/1", &[name.as_bytes()]);
        let unit = Unit { id, name: name.to_owned(), sends, is_responsible: !sends };
        self.units.push(unit.clone());
        Some(unit)
    }
}
