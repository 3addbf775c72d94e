//! Areas, their past, and merging them.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::clock::random;
use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::AreaEntry;

use super::admin::the_township;
use super::grant::{area_among, area_by, end_of};
use super::serve::open_service;
use super::words::{Fault, Words};
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::office::Office;
use crate::storage::{AreaEnd, TownshipId};

/// Options of `area`.
#[derive(Args)]
pub struct AreaArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    #[command(subcommand)]
    command: AreaCommand,
}

#[derive(Subcommand)]
enum AreaCommand {
    /// List areas with what they were before, and those that ended.
    List,
    /// Add an area.
    Add {
        /// Its level, such as village or group.
        level: String,
        /// Its Chinese name.
        name: String,
        /// The id, code or name of the area above it; without it the township.
        #[arg(long)]
        below: Option<String>,
        /// Its code.
        #[arg(long, default_value = "")]
        code: String,
        /// Its English name.
        #[arg(long, default_value = "")]
        name_en: String,
    },
    /// Change an area's name, code or the area above it from a day on; what it was is kept.
    Change {
        /// Its id, code or name.
        area: String,
        /// The first day, such as 2026-12-01.
        #[arg(long)]
        from: String,
        /// The new Chinese name.
        #[arg(long)]
        name: Option<String>,
        /// The new English name.
        #[arg(long)]
        name_en: Option<String>,
        /// The new code.
        #[arg(long)]
        code: Option<String>,
        /// The id, code or name of the area above it.
        #[arg(long)]
        below: Option<String>,
    },
    /// Let an area go into another from a day on, with its records, people and the areas below it.
    Merge {
        /// Its id, code or name.
        area: String,
        /// Into which.
        into: String,
        /// The first day, such as 2026-12-01.
        #[arg(long)]
        from: String,
    },
}

/// Lists and changes areas.
pub fn area(args: &AreaArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let (actor, by) = (Actor::CommandLine, |name: &str| area_by(&service, township, name));
    match &args.command {
        AreaCommand::List => list_areas(&service, township, args.words)?,
        AreaCommand::Add { level, name, below, code, name_en } => {
            let parent = below.as_deref().map_or(Ok(township), by)?;
            let entry = AreaEntry {
                area: AreaId(random(&*service.entropy)),
                parent: Some(parent),
                level: level.clone(),
                code: code.clone(),
                name_zh: name.clone(),
                name_en: if name_en.is_empty() { name.clone() } else { name_en.clone() },
            };
            let area = entry.area;
            service.add_area(actor, township, entry)?;
            say!("{area}");
        }
        AreaCommand::Change { area, from, name, name_en, code, below } => {
            end_of(from)?;
            let id = by(area)?;
            let (_, areas) = service.storage.areas(township)?;
            let Some(now) = areas.into_iter().find(|a| a.area == id) else { return Err(Fault("error.no_area").into()) };
            let entry = AreaEntry {
                parent: below.as_deref().map_or(Ok(now.parent), |name| by(name).map(Some))?,
                code: code.clone().unwrap_or(now.code),
                name_zh: name.clone().unwrap_or(now.name_zh),
                name_en: name_en.clone().unwrap_or(now.name_en),
                ..now
            };
            service.change_area(actor, township, entry, from)?;
            args.words.say("area.changed", &[("day", from)]);
        }
        AreaCommand::Merge { area, into, from } => {
            end_of(from)?;
            let user = UserId(random(&*service.entropy));
            let office = Office::start(&service, user, township)?;
            // one whose merging was cut has ended already
            let areas = service.storage.area_tree(township)?;
            let gone = area_among(areas.all().iter(), area)?;
            let moved = service.merge_area(&office, actor, township, (gone, by(into)?), from)?;
            args.words.say("area.merged", &[("day", from), ("n", &moved.to_string())]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list_areas(
    service: &Service,
    township: TownshipId,
    words: Words,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (_, areas) = service.storage.areas(township)?;
    let names: BTreeMap<AreaId, &str> = areas.iter().map(|a| (a.area, a.name_zh.as_str())).collect();
    let (past, ended) = service.storage.area_past(township)?;
    for area in &areas {
        let above = area.parent.and_then(|p| names.get(&p)).map(|name| words.fill("area.in", &[("name", name)]));
        let into = |e: &AreaEnd| e.into.and_then(|into| names.get(&into)).copied().unwrap_or("?");
        let end = ended.iter().find(|e| e.area == area.area);
        let end = end.map(|e| words.fill("area.ended", &[("day", &e.day), ("into", into(e))])).unwrap_or_default();
        let above = above.unwrap_or_default();
        say!("{}  {}  {}  {}{above}{end}", area.area, area.level, area.code, area.name_zh);
        for before in past.iter().filter(|p| p.entry.area == area.area) {
            let entry = &before.entry;
            words.say("area.before", &[("day", &before.until_day), ("code", &entry.code), ("name", &entry.name_zh)]);
        }
    }
    Ok(())
}
