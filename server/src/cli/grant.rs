//! Who holds which role where, and who is paired with whom.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::AreaEntry;

use super::admin::the_township;
use super::serve::open_service;
use super::words::{Fault, Words};
use super::{DataOptions, Outcome};
use crate::calendar::{day_end, day_start};
use crate::say;
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::grants::NewGrant;
use crate::service::rights::current;
use crate::storage::{RecordFilter, TownshipId, User};
use crate::web::times;

/// What can go wrong on the command line.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Options of `grant`.
#[derive(Args)]
pub struct GrantArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    #[command(subcommand)]
    command: GrantCommand,
}

/// From when, until when, and for whom.
#[derive(Args)]
struct Terms {
    /// From the start of this day, such as 2026-12-01; without it from now on.
    #[arg(long)]
    from: Option<String>,
    /// Up to the end of this day, such as 2026-12-31.
    #[arg(long)]
    until: Option<String>,
    /// The id of the person whom they stand in for.
    #[arg(long)]
    stands_in_for: Option<UserId>,
}

#[derive(Subcommand)]
enum GrantCommand {
    /// List grants that haven't ended: person, name, grant, role, area, household, until when.
    List,
    /// Give a person a role for an area and all below it.
    Give {
        /// The person's id, or their name if nobody else has it.
        person: String,
        /// The role, such as village_cadre.
        role: String,
        /// The area's id, code or name; without it the whole township.
        #[arg(long)]
        area: Option<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Pair a helper with a household.
    Pair {
        /// The helper's id, or their name if nobody else has it.
        person: String,
        /// The household's number.
        household: String,
        /// In place of whoever is paired with it.
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        terms: Terms,
    },
    /// List what is to be given later: number, from when, person, role, area, household.
    Planned,
    /// Don't give what was planned.
    Unplan {
        /// Its number, from `doorstep grant planned`.
        no: u64,
    },
    /// End a grant or pairing: the person's phones drop what no other grant covers.
    End {
        /// The person's id, or their name if nobody else has it.
        person: String,
        /// The grant's number.
        grant: u64,
    },
}

/// Lists, gives and ends grants.
pub fn grant(args: &GrantArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let (actor, words) = (Actor::CommandLine, args.words);
    match &args.command {
        GrantCommand::List => list(&service, township, words)?,
        GrantCommand::Give { person, role, area, terms } => {
            let area = area.as_ref().map_or(Ok(township), |name| area_by(&service, township, name))?;
            let new = terms.grant(named(&service, person)?, role, area, None)?;
            if terms.plan(&service, township, &new, false)? {
                return Ok(ExitCode::SUCCESS);
            }
            service.give(actor, township, &new)?;
            words.say("grant.given", &[]);
        }
        GrantCommand::Pair { person, household, anew, terms } => {
            let (household, area) = household_by(&service, township, household)?;
            let new = terms.grant(named(&service, person)?, "helper", area, Some(household))?;
            if terms.plan(&service, township, &new, *anew)? {
                return Ok(ExitCode::SUCCESS);
            }
            if *anew {
                service.pair_anew(actor, township, &new)?
            } else {
                service.give(actor, township, &new)?
            }
            words.say("grant.paired", &[]);
        }
        GrantCommand::Planned => {
            for p in service.storage.planned_grants(Millis::MAX)?.into_iter().filter(|p| p.township == township) {
                let from = times::minute(p.from_ms).unwrap_or_default();
                let subject = p.household.map(|s| format!("  only about {s}")).unwrap_or_default();
                say!("{}  from {from}  {}  {}  {}{subject}", p.no, p.user, p.role, p.area);
            }
        }
        GrantCommand::Unplan { no } => {
            if !service.unplan(actor, *no)? {
                return Err("there is no planned grant of this number; `doorstep grant planned` lists them".into());
            }
            say!("it won't be given");
        }
        GrantCommand::End { person, grant } => {
            service.end_grant(actor, named(&service, person)?, *grant)?;
            words.say("grant.ended", &[]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Terms {
    /// Plans a grant whose first day hasn't come; false for one that is to be given now.
    fn plan(&self, service: &Service, township: TownshipId, new: &NewGrant, anew: bool) -> Result<bool, Failure> {
        let Some(day) = &self.from else { return Ok(false) };
        let from_ms = day_start(day).ok_or("a day looks like 2026-12-31")?;
        if from_ms <= service.clock.now_ms() {
            return Ok(false);
        }
        if new.until_ms.is_some_and(|until| until <= from_ms) {
            return Err("it would end before it begins".into());
        }
        service.plan(Actor::CommandLine, township, new, (from_ms, anew))?;
        say!("planned: it is given on {day}, within ten minutes of its start, while the server runs");
        Ok(true)
    }

    fn grant(&self, user: UserId, role: &str, area: AreaId, household: Option<RecordId>) -> Result<NewGrant, Failure> {
        let until_ms = self.until.as_deref().map(end_of).transpose()?;
        Ok(NewGrant { user, role: role.to_owned(), area, household, until_ms, stand_in_for: self.stands_in_for })
    }
}

/// The end of a day in the zone of the pages.
pub(super) fn end_of(day: &str) -> Result<Millis, Failure> {
    day_end(day).ok_or_else(|| Fault("error.day").into())
}

fn list(service: &Service, township: TownshipId, words: Words) -> Result<(), Failure> {
    let (_, areas) = service.storage.areas(township)?;
    for user in service.storage.users()? {
        let (_, log) = service.storage.grants(user.id, 0)?;
        for (_, given) in current(&log).into_iter().filter(|(_, grant)| grant.entry.active) {
            let entry = &given.entry;
            let Some(area) = areas.iter().find(|a| a.area == entry.area) else { continue };
            let subject = entry.subject.map(|s| words.fill("grant.household", &[("household", &s.to_string())]));
            let until = given.until_ms.and_then(times::minute).map(|at| words.fill("grant.until", &[("at", &at)]));
            let stands = given.stand_in_for.map(|u| words.fill("grant.stands_in", &[("person", &u.to_string())]));
            let row = words.fill(
                "grant.row",
                &[
                    ("user", &user.id.to_string()),
                    ("name", &user.name),
                    ("grant", &entry.grant.to_string()),
                    ("role", &entry.role),
                    ("area", &area.name_zh),
                ],
            );
            say!("{row}{}{}{}", subject.unwrap_or_default(), until.unwrap_or_default(), stands.unwrap_or_default());
        }
    }
    Ok(())
}

/// A person by id or by name.
pub(super) fn named(service: &Service, person: &str) -> Result<UserId, Failure> {
    let users = service.storage.users()?;
    let found: Vec<&User> = users.iter().filter(|u| u.name == person || u.id.to_string() == person).collect();
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => Err(Fault("error.nobody").into()),
        _ => Err(Fault("error.several_people").into()),
    }
}

/// An area that there is, by name, code or id.
pub(super) fn area_by(service: &Service, township: TownshipId, name: &str) -> Result<AreaId, Failure> {
    area_among(service.storage.area_tree(township)?.live(), name)
}

pub(super) fn area_among<'a>(areas: impl Iterator<Item = &'a AreaEntry>, name: &str) -> Result<AreaId, Failure> {
    let is_meant = |a: &&AreaEntry| {
        a.area.to_string() == name || a.name_zh == name || a.name_en == name || (!a.code.is_empty() && a.code == name)
    };
    let found: Vec<&AreaEntry> = areas.filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok(one.area),
        [] => Err(Fault("error.no_area").into()),
        _ => Err(Fault("error.several_areas").into()),
    }
}

pub(super) fn household_by(
    service: &Service,
    township: TownshipId,
    number: &str,
) -> Result<(RecordId, AreaId), Failure> {
    let search = Some(number.to_lowercase());
    let filter =
        RecordFilter { record_type: Some("household".into()), search, limit: 1_000, ..RecordFilter::default() };
    let rows = service.storage.list_records(township, &filter)?;
    let found: Vec<_> = rows.into_iter().filter(|row| row.projection.label == number).collect();
    match found.as_slice() {
        [one] => Ok((one.id, one.area)),
        [] => Err(Fault("error.no_household").into()),
        _ => Err(Fault("error.several_households").into()),
    }
}
