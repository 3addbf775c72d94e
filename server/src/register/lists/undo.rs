//! Undoing an import of areas, people or pairings, as long as nobody has changed or used what it wrote: new things go, changed ones
//! get back what they were, pairings and roles end and come back as by hand, so that phones follow.

use std::collections::{HashMap, HashSet};

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, DeviceId, RecordId, UserId};
use doorstep_core::protocol::AreaEntry;

use super::items::{AreaLine, GrantLine, Written};
use crate::register::RegisterError;
use crate::register::undo::{NAMED_MAX, Undone};
use crate::service::Service;
use crate::service::audit::{Act, Action, Actor};
use crate::service::giving::{Giving, paired};
use crate::service::rights::current;
use crate::storage::register::{ImportRow, ImportState};
use crate::storage::{Grant, RecordFilter, StorageError, TownshipId, User, Write};

/// Rows that are read or undone at once.
const ROWS_AT_ONCE: usize = 200;
/// Records about a household that are looked through for its helper's work.
const ABOUT_MAX: u32 = 1_000;

/// A row of the table with what was written for it.
type Item = (u64, Vec<Written>);

/// Undoes an import.
pub(crate) fn undo(
    service: &Service,
    township: TownshipId,
    row: &ImportRow,
    actor: Actor,
) -> Result<Undone, RegisterError> {
    let no = row.no;
    let items = items(service, township, no)?;
    if items.is_empty() && row.state != ImportState::Undoing {
        return Err(RegisterError::Table("nothing_kept"));
    }
    let present = Present::read(service, township, &items)?;
    let mut used = Vec::new();
    for (row, written) in &items {
        for one in written {
            if present.is_used(one)? {
                used.push(row.to_string());
                break;
            }
        }
    }
    if !used.is_empty() {
        let count = used.len();
        used.truncate(NAMED_MAX);
        return Err(RegisterError::EditedSince { code: "used_since", count, numbers: used });
    }
    let act = Act::new(Action::ImportUndone).in_township(township).about("import", no);
    let state = |state| Write::Import(township, no, state, service.clock.now_ms(), None);
    service.act(actor, act.clone().with("begun", true), [state(ImportState::Undoing)])?;
    let mut done = Undone::default();
    for rows in items.rchunks(ROWS_AT_ONCE) {
        let mut giving = Giving::new(service, township);
        let mut areas = 0_u64;
        for (row, written) in rows.iter().rev() {
            for one in written.iter().rev() {
                areas += u64::from(matches!(one, Written::Area(_) | Written::AreaChanged { .. }));
                present.take_back(&mut giving, one, &mut done)?;
            }
            giving.also(Write::ItemUndone(township, no, *row));
        }
        if areas > 0 {
            let act = Act::new(Action::AreaChanged).in_township(township).about("import", no);
            giving.add(act.with("areas", areas), []);
        }
        if !giving.done(actor)? {
            // somebody was invited since this was looked at
            return Err(RegisterError::EditedSince { code: "used_since", count: 1, numbers: Vec::new() });
        }
    }
    service.act(actor, act.with("changes", done.changes), [state(ImportState::Undone)])?;
    Ok(done)
}

fn items(service: &Service, township: TownshipId, no: u64) -> Result<Vec<Item>, RegisterError> {
    let (mut items, mut after): (Vec<Item>, _) = (Vec::new(), None);
    loop {
        let page = service.storage.import_items(township, no, after, ROWS_AT_ONCE as u32)?;
        let Some((last, _)) = page.last() else { return Ok(items) };
        after = Some(*last);
        for (row, json) in page {
            let written = serde_json::from_str(&json).map_err(|e| StorageError::Damaged(Box::new(e)))?;
            items.push((row, written));
        }
    }
}

/// What there is now, and what of it the import made.
struct Present<'a> {
    service: &'a Service,
    township: TownshipId,
    areas: Vec<AreaEntry>,
    ended: HashSet<AreaId>,
    users: HashMap<UserId, User>,
    in_use: HashSet<UserId>,
    grants: HashMap<UserId, Vec<Grant>>,
    devices: HashMap<DeviceId, UserId>,
    made_areas: HashSet<AreaId>,
    made_people: HashSet<UserId>,
    given: Vec<(UserId, GrantLine)>,
}

impl<'a> Present<'a> {
    fn read(service: &'a Service, township: TownshipId, items: &[Item]) -> Result<Self, StorageError> {
        let storage = &*service.storage;
        let (mut made_areas, mut made_people, mut given) = (HashSet::new(), HashSet::new(), Vec::new());
        for one in items.iter().flat_map(|(_, written)| written) {
            match one {
                Written::Area(line) => drop(made_areas.insert(line.area)),
                Written::Person { id, .. } => drop(made_people.insert(*id)),
                Written::Given { user, given: line, .. } => given.push((*user, line.clone())),
                Written::AreaChanged { .. } | Written::Unit { .. } => {}
            }
        }
        let users: HashMap<UserId, User> = storage.users()?.into_iter().map(|user| (user.id, user)).collect();
        let mut grants = HashMap::new();
        for user in users.keys() {
            let (_, log) = storage.grants(*user, 0)?;
            let held = current(&log).into_iter().map(|(_, grant)| grant).filter(|grant| grant.entry.active);
            grants.insert(*user, held.cloned().collect());
        }
        let asked: Vec<UserId> = made_people.iter().copied().collect();
        let ended = storage.area_past(township)?.1;
        Ok(Self {
            service,
            township,
            areas: storage.areas(township)?.1,
            ended: ended.iter().flat_map(|end| [Some(end.area), end.into]).flatten().collect(),
            users,
            in_use: storage.people_in_use(&asked)?.into_iter().collect(),
            grants,
            devices: storage.devices(township)?.into_iter().map(|device| (device.id, device.user)).collect(),
            made_areas,
            made_people,
            given,
        })
    }

    /// True where something was built on it, or it isn't as it was written.
    fn is_used(&self, one: &Written) -> Result<bool, StorageError> {
        Ok(match one {
            Written::Area(line) => !self.is_as(line) || self.holds_something(line.area)?,
            Written::AreaChanged { now, .. } => !self.is_as(now),
            Written::Person { id, name, unit } => {
                let same = self.users.get(id).is_some_and(|user| (&user.name, &user.unit) == (name, unit));
                let stands_in = |grant: &Grant| grant.stand_in_for == Some(*id);
                let others = self.grants.values().flatten().any(stands_in);
                !same || others || self.in_use.contains(id) || self.grants_of(*id).any(|g| !self.is_given(*id, g))
            }
            Written::Unit { .. } => false,
            Written::Given { user, given, .. } if self.is_over(given) => self.has_worked(*user, given)?,
            Written::Given { user, given, .. } => {
                let stands = self.grants_of(*user).any(|grant| GrantLine::from(grant) == *given);
                !stands || self.is_paired_otherwise(*user, given)? || self.has_worked(*user, given)?
            }
        })
    }

    fn is_as(&self, line: &AreaLine) -> bool {
        let stands = self.areas.iter().any(|area| AreaLine::from(area) == *line);
        stands && !self.ended.contains(&line.area)
    }

    /// True when areas, records or rights that the import didn't make lie in an area.
    fn holds_something(&self, area: AreaId) -> Result<bool, StorageError> {
        let below = self.areas.iter().any(|a| a.parent == Some(area) && !self.made_areas.contains(&a.area));
        let mut grants = self.grants.iter().flat_map(|(user, held)| held.iter().map(move |grant| (*user, grant)));
        if below || grants.any(|(user, grant)| grant.entry.area == area && !self.is_given(user, grant)) {
            return Ok(true);
        }
        let filter = RecordFilter { area: Some(area), limit: 1, ..RecordFilter::default() };
        Ok(!self.service.storage.list_records(self.township, &filter)?.is_empty())
    }

    fn grants_of(&self, user: UserId) -> impl Iterator<Item = &Grant> {
        self.grants.get(&user).into_iter().flatten()
    }

    /// True for a grant that the import gave.
    fn is_given(&self, user: UserId, grant: &Grant) -> bool {
        let line = GrantLine::from(grant);
        self.given.iter().any(|(of, given)| *of == user && *given == line)
    }

    fn is_over(&self, given: &GrantLine) -> bool {
        given.until_ms.is_some_and(|until| until <= self.now_ms())
    }

    fn now_ms(&self) -> Millis {
        self.service.clock.now_ms()
    }

    /// True when somebody else was paired with the household, too.
    fn is_paired_otherwise(&self, user: UserId, given: &GrantLine) -> Result<bool, StorageError> {
        let Some(household) = given.subject else { return Ok(false) };
        Ok(paired(self.service, household, given.role())?.iter().any(|(of, _)| *of != user))
    }

    /// True when the helper has sent something about the household since.
    fn has_worked(&self, user: UserId, given: &GrantLine) -> Result<bool, StorageError> {
        let Some(household) = given.subject else { return Ok(false) };
        let storage = &*self.service.storage;
        let filter = RecordFilter { subject: Some(household), limit: ABOUT_MAX, ..RecordFilter::default() };
        let about = storage.list_records(self.township, &filter)?;
        let ids: Vec<RecordId> = about.iter().map(|row| row.id).chain([household]).collect();
        let wrote = |device: Option<DeviceId>| device.and_then(|d| self.devices.get(&d)) == Some(&user);
        let stored = storage.load_records(self.township, &ids)?;
        let mut changes = stored.iter().flatten().flat_map(|record| &record.changes);
        Ok(changes.any(|change| change.received_ms >= given.at_ms && wrote(change.device)))
    }

    /// Writes what takes one thing back.
    fn take_back(&self, giving: &mut Giving<'_>, one: &Written, done: &mut Undone) -> Result<(), RegisterError> {
        match one {
            Written::Area(line) => giving.also(Write::RemoveArea(self.township, line.area)),
            Written::AreaChanged { before, past, .. } => {
                giving.also(Write::RestoreArea(self.township, before.clone().into(), past.clone()));
            }
            Written::Person { id, .. } => giving.also(Write::RemovePerson(*id)),
            Written::Unit { id, name } => {
                let others = |user: &&User| user.unit == *name && !self.made_people.contains(&user.id);
                if self.users.values().any(|user| others(&user)) {
                    return Ok(());
                }
                giving.also(Write::RemoveUnit(*id));
            }
            Written::Given { user, given, is_new, before } => {
                let stays = !is_new || before.iter().any(|(of, _)| of == user);
                let held = self.grants_of(*user).find(|grant| GrantLine::from(*grant) == *given);
                if let Some(held) = held.filter(|_| !stays) {
                    giving.end(*user, held.entry.grant)?;
                }
                for (of, line) in before.iter().filter(|(_, line)| !self.is_over(line)) {
                    giving.give(&line.anew(*of))?;
                }
            }
        }
        let restores = match one {
            Written::AreaChanged { .. } => true,
            Written::Given { before, .. } => !before.is_empty(),
            _ => false,
        };
        done.restored += u64::from(restores);
        done.ended += u64::from(!restores);
        done.changes += 1;
        Ok(())
    }
}
