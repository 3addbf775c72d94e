//! Makes the file: through guard, merge and group commit, as if phones had sent it, so that everything that service keeps
//! beside records is there.
//!
//! One thread invents and signs, the other merges and commits. A township's records come in rounds, households first, then a
//! screening of each, then their visits: what is about one household lies apart, as it does in service.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use doorstep_core::clock::{Clock, SeededEntropy, SystemClock, SystemEntropy, random};
use doorstep_core::form::Catalog;
use doorstep_core::id::{AreaId, DeviceId, Identity, RecordId, RecordIdMaker, TenantKey, UserId};
use doorstep_core::protocol::{AreaEntry, Batch, GrantEntry, RecordFrame};
use doorstep_core::record::{Record, Value};

use super::super::Fault;
use super::super::author::{Author, new_device};
use super::super::merge::check;
use super::phone::key_of;
use super::{HOUSEHOLD_RECORDS, Shape};
use crate::calendar::{parse_day, text_of};
use crate::demo::answers::{screening_answers, visit_answers};
use crate::demo::township::{HouseholdSeed, Township};
use crate::service::Service;
use crate::service::merge::Sender;
use crate::service::office::{FormInstance, split};
use crate::storage::{Committed, Device, Grant, PreparedPush, TownshipId, User};

/// Groups of a village.
const GROUPS: usize = 5;
/// Changes in a batch, about.
const BATCH_CHANGES: usize = 500;
/// Batches in a commit.
const COMMIT_BATCHES: usize = 8;
/// The first day of visits and screenings, and how many days there are.
const FIRST_DAY: &str = "2025-01-01";
const DAYS: u64 = 690;
/// Records after which the progress is told.
const TOLD_EVERY: usize = 50_000;

/// A township before it has records.
struct Plan {
    township: TownshipId,
    author: Author,
    villages: Vec<Village>,
    helpers: Vec<UserId>,
}

struct Village {
    area: AreaId,
    groups: Vec<AreaId>,
    households: usize,
}

/// What the inventing thread hands over.
enum Work {
    Records(usize, Vec<Batch>),
    Grants(usize, Vec<(UserId, Grant)>),
}

/// Fills an empty database.
pub(super) fn make(service: &Service, shape: &Shape) -> Result<(), Fault> {
    let plans = (0..shape.townships).map(|n| plan(service, shape, n)).collect::<Result<Vec<_>, _>>()?;
    let devices: Vec<Device> = plans.iter().map(|plan| plan.author.device.clone()).collect();
    let (forms, tenant_key) = (service.forms()?, service.tenant_key());
    let (sender, receiver) = sync_channel::<Work>(2);
    std::thread::scope(|scope| {
        let inventing = scope.spawn(move || Inventor { forms: &forms, tenant_key, out: sender }.invent(plans));
        let (begin, mut told, mut records) = (Instant::now(), 0, 0);
        // a failure here drops the receiver, which ends the other thread
        for work in receiver {
            records += store(service, &devices, work)?;
            if records / TOLD_EVERY > told {
                told = records / TOLD_EVERY;
                let seconds = begin.elapsed().as_secs_f64();
                eprintln!("{records} records, {seconds:.0} s, {:.0} a second", records as f64 / seconds);
            }
        }
        inventing.join().map_err(|_| "the inventing thread panicked")??;
        eprintln!("{records} records in {:.0} s", begin.elapsed().as_secs_f64());
        Ok(())
    })
}

/// A part of a whole, as evenly as it goes.
fn share(whole: usize, parts: usize, part: usize) -> usize {
    whole * (part + 1) / parts - whole * part / parts
}

/// Makes a township's areas, people and phones.
fn plan(service: &Service, shape: &Shape, number: usize) -> Result<Plan, Fault> {
    let new_area = || AreaId(random(&SystemEntropy));
    let township = new_area();
    let mut areas = vec![area(township, None, "township", number + 1)];
    let mut villages = Vec::new();
    for v in 0..share(shape.villages, shape.townships, number) {
        let before: usize = (0..number).map(|n| share(shape.villages, shape.townships, n)).sum();
        let village = new_area();
        areas.push(area(village, Some(township), "village", v + 1));
        let groups: Vec<AreaId> = (0..GROUPS).map(|_| new_area()).collect();
        areas.extend(groups.iter().enumerate().map(|(g, id)| area(*id, Some(village), "group", g + 1)));
        let households = share(shape.households, shape.villages, before + v);
        villages.push(Village { area: village, groups, households });
    }
    service.storage.put_areas(township, &areas)?;
    let count = shape.devices / shape.townships;
    let new_user = |n| User { id: UserId(random(&SystemEntropy)), name: format!("测量{n}"), unit: "测量".into() };
    let users: Vec<User> = (0..=count).map(new_user).collect();
    service.storage.put_users(&users)?;
    let (office, people) = users.split_first().ok_or("no users")?;
    for user in people {
        let id = DeviceId(random(&SystemEntropy));
        let public_key = key_of(id).verifying_key().to_bytes();
        service.storage.put_device(&Device { id, ..new_device(user.id, township, public_key) })?;
    }
    // a cadre for every tenth phone: in a whole township one for each village
    let (cadres, helpers) = people.split_at(count / 10);
    for (cadre, village) in cadres.iter().zip(villages.iter().cycle()) {
        service.storage.append_grants(cadre.id, &[grant("village_cadre", village.area, None)])?;
    }
    Ok(Plan {
        township,
        author: Author::enrol(&*service.storage, service.secrets.tenant, office.id, township)?,
        villages,
        helpers: helpers.iter().map(|user| user.id).collect(),
    })
}

fn area(area: AreaId, parent: Option<AreaId>, level: &str, number: usize) -> AreaEntry {
    AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: format!("999999{number:06}"),
        name_zh: format!("测量{number}"),
        name_en: format!("Bench {level} {number}"),
    }
}

fn grant(role: &str, area: AreaId, subject: Option<RecordId>) -> Grant {
    GrantEntry { grant: 0, role: role.to_owned(), area, subject, active: true }.into()
}

/// Merges and commits; gives how many records.
fn store(service: &Service, devices: &[Device], work: Work) -> Result<usize, Fault> {
    let now_ms = SystemClock.now_ms();
    let merge = |township: usize| {
        let sender = Sender::Author { device: &devices[township], branch: 0 };
        service.merge(sender, 0, now_ms)
    };
    let mut pushes: Vec<PreparedPush> = Vec::new();
    match work {
        Work::Records(township, batches) => {
            for batch in &batches {
                let push = merge(township)?.batch(batch, batch.hash())?;
                check(&push)?;
                pushes.push(push);
            }
        }
        Work::Grants(township, grants) => {
            let push = merge(township)?.moving(Vec::new())?;
            pushes.push(PreparedPush { grants, ..push });
        }
    }
    for answer in service.storage.commit_group(&pushes)? {
        if !matches!(answer?, Committed::Done(_)) {
            return Err("a push of the bench wasn't committed".into());
        }
    }
    Ok(pushes.iter().map(|push| push.records.len()).sum())
}

/// A household in the making.
struct Household {
    seed: HouseholdSeed,
    area: AreaId,
    /// Records about it that are still to come.
    left: usize,
}

struct Inventor<'a> {
    forms: &'a Catalog,
    tenant_key: TenantKey,
    out: SyncSender<Work>,
}

impl Inventor<'_> {
    fn invent(&self, plans: Vec<Plan>) -> Result<(), Fault> {
        let mut seeds = (0..).flat_map(|seed| Township::invent(seed).households);
        for (number, mut plan) in plans.into_iter().enumerate() {
            let mut households = Vec::new();
            for village in &plan.villages {
                let groups = village.groups.iter().cycle();
                for (seed, area) in seeds.by_ref().take(village.households).zip(groups) {
                    households.push(Household { seed, area: *area, left: HOUSEHOLD_RECORDS });
                }
            }
            self.grants(number, &plan, &households)?;
            self.records(number, &mut plan, &mut households)?;
        }
        Ok(())
    }

    /// Pairs the helpers with the households.
    fn grants(&self, number: usize, plan: &Plan, households: &[Household]) -> Result<(), Fault> {
        let (mut grants, count) = (Vec::new(), plan.helpers.len());
        for (n, household) in households.iter().enumerate() {
            let helper = plan.helpers.get(n * count / households.len()).ok_or("no helper")?;
            grants.push((*helper, grant("helper", household.area, Some(household.seed.id))));
        }
        Ok(self.out.send(Work::Grants(number, grants))?)
    }

    fn records(&self, number: usize, plan: &mut Plan, households: &mut [Household]) -> Result<(), Fault> {
        let entropy = SeededEntropy::new(number as u64);
        let (ids, campaign) = (RecordIdMaker::new(&SystemEntropy), RecordId(plan.township.0));
        let (mut frames, mut batches) = (Vec::new(), Vec::new());
        for round in 0.. {
            let mut some = false;
            for household in households.iter_mut().filter(|household| household.left > 0) {
                some = true;
                let instance = self.instance(&entropy, household, round, (&ids, campaign))?;
                let made = documents(&plan.author, self.forms, &self.tenant_key, &instance)?;
                household.left = household.left.saturating_sub(made.len());
                frames.extend(made.into_iter().map(|(frame, _)| frame));
                if frames.len() >= BATCH_CHANGES {
                    batches.push(plan.author.sign(std::mem::take(&mut frames)));
                }
                if batches.len() >= COMMIT_BATCHES {
                    self.out.send(Work::Records(number, std::mem::take(&mut batches)))?;
                }
            }
            if !some {
                break;
            }
        }
        if !frames.is_empty() {
            batches.push(plan.author.sign(frames));
        }
        Ok(self.out.send(Work::Records(number, batches))?)
    }

    fn instance(
        &self,
        entropy: &SeededEntropy,
        household: &Household,
        round: usize,
        (ids, campaign): (&RecordIdMaker, RecordId),
    ) -> Result<FormInstance, Fault> {
        let (seed, area) = (&household.seed, household.area);
        let day = day_after(FIRST_DAY, entropy.below(DAYS));
        Ok(match round {
            0 => {
                let identity = Identity::of_type("household");
                FormInstance { id: seed.id, identity, area, subject: None, answers: seed.answers.clone() }
            }
            1 => {
                let (identity, subject) = (seed.screening(campaign), Some(seed.id));
                let id = identity.derived_id(&self.tenant_key).ok_or("a screening without a natural id")?;
                FormInstance { id, identity, area, subject, answers: screening_answers(entropy, seed, &day) }
            }
            _ => visit(ids.next_id(), seed.id, area, visit_answers(entropy, seed, &day)),
        })
    }
}

fn day_after(day: &str, days: u64) -> String {
    let later = parse_day(day).and_then(|day| day.checked_add(time::Duration::days(days.cast_signed())));
    later.map_or_else(|| day.to_owned(), text_of)
}

/// A visit of a household.
pub(super) fn visit(id: RecordId, household: RecordId, area: AreaId, answers: Vec<(String, Value)>) -> FormInstance {
    FormInstance { id, identity: Identity::of_type("visit"), area, subject: Some(household), answers }
}

/// The documents of a form instance, one for each class, as new records.
pub(super) fn documents(
    author: &Author,
    forms: &Catalog,
    tenant_key: &TenantKey,
    instance: &FormInstance,
) -> Result<Vec<(RecordFrame, Record)>, Fault> {
    let form = forms.of_type(&instance.identity.record_type);
    let planned = split(instance, form.as_deref(), tenant_key);
    planned.into_iter().map(|(frame, edits)| author.fill(frame, &edits)).collect()
}
