//! Helpers and their households. A household has one helper; a table that names another one ends the pairing before. Stand-ins
//! stay.

use std::collections::HashMap;

use doorstep_core::id::{RecordId, UserId};

use super::people::{Found, HELPER, People};
use super::{Item, List, Write};
use crate::calendar::{day_end, day_of};
use crate::register::content::{self, Content, Standing};
use crate::register::fault::Fault;
use crate::register::planned::State;
use crate::register::{RegisterError, clean};
use crate::service::Service;
use crate::service::giving::paired;
use crate::service::grants::NewGrant;
use crate::storage::StorageError;

/// What pairings are compared with.
struct Present<'a> {
    service: &'a Service,
    people: People,
    content: Content,
    seen: HashMap<RecordId, u32>,
}

impl List {
    pub(super) fn plan_pairings(&self, service: &Service) -> Result<Vec<Item>, RegisterError> {
        let form = service.forms()?.of_type("household").ok_or(RegisterError::Table("no_form"))?;
        let storage = &*service.storage;
        let content = Content::read(storage, self.township, &form.record_type, &form.list.persons)?;
        let mut present = Present { service, people: People::read(service)?, content, seen: HashMap::new() };
        let mut items = Vec::new();
        for row in self.rows() {
            let name = format!("{} {}", self.text(row, "household_no"), clean::name(&self.text(row, "helper")));
            let item = Item::new(self.sheet.number(row), &name);
            items.push(match self.pairing(row, item.row, &mut present) {
                Ok(new) => present.planned(item, new)?,
                Err(fault) => item.fail(fault),
            });
        }
        Ok(items)
    }

    /// Who is to be paired with which household, until when.
    fn pairing(&self, row: usize, number: u32, present: &mut Present<'_>) -> Result<NewGrant, Fault> {
        let name = clean::name(&self.text(row, "helper"));
        let user = match present.people.find(&name, &self.text(row, "unit")) {
            Found::One(user) if !name.is_empty() => user,
            Found::Several => return Err(self.fault("several_people", row, "helper")),
            _ => return Err(self.fault("unknown_helper", row, "helper")),
        };
        let household = match present.content.by_number(&clean::code(&self.text(row, "household_no"))) {
            content::Found::One(at) if present.content.household(at).standing == Standing::Present => {
                present.content.household(at).clone()
            }
            content::Found::Several => return Err(self.fault("number_twice", row, "household_no")),
            _ => return Err(self.fault("unknown_household", row, "household_no")),
        };
        let now_ms = present.service.clock.now_ms();
        if self.day(row, "from")?.is_some_and(|from| from > day_of(now_ms)) {
            return Err(self.fault("period_later", row, "from"));
        }
        let until_ms = self.day(row, "until")?.and_then(|day| day_end(&day));
        if until_ms.is_some_and(|until| until <= now_ms) {
            return Err(self.fault("period_over", row, "until"));
        }
        if let Some(other) = present.seen.insert(household.record, number) {
            return Err(self.fault("pairing_twice", row, "household_no").with("other", other));
        }
        let (area, household, role) = (household.area, Some(household.record), HELPER.to_owned());
        Ok(NewGrant { user, role, area, household, until_ms, stand_in_for: None })
    }
}

impl Present<'_> {
    fn planned(&self, mut item: Item, new: NewGrant) -> Result<Item, StorageError> {
        let Some(household) = new.household else { return Ok(item) };
        let now_ms = self.service.clock.now_ms();
        let mut active = paired(self.service, household, HELPER)?;
        active.retain(|(_, grant)| grant.holds_at(now_ms));
        let (own, others): (Vec<_>, Vec<_>) = active.into_iter().partition(|(of, _)| *of == new.user);
        if others.is_empty() && own.iter().any(|(_, grant)| grant.until_ms == new.until_ms) {
            return Ok(item);
        }
        let name = |id: UserId| self.people.users.iter().find(|u| u.id == id).map_or("", |u| u.name.as_str());
        let before: Vec<&str> = others.iter().map(|(of, _)| name(*of)).collect();
        item.state = if others.is_empty() && own.is_empty() { State::New } else { State::Changed };
        item.change = (item.state == State::Changed).then(|| (before.join("、"), name(new.user).to_owned()));
        item.writes.push(Write::Give(Box::new(new)));
        Ok(item)
    }
}
