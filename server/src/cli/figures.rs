//! `doorstep figures`: show, verify, rebuild, freeze, compare.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::AreaId;
use serde_json::json;

use super::admin::the_township;
use super::serve::open_service;
use super::{DataOptions, Outcome};
use crate::calendar::{Period, parse_day};
use crate::say;
use crate::service::Service;
use crate::service::figures::Figures;
use crate::storage::TownshipId;
use crate::storage::figures::{Kind, LATE_SETTING, Sums};
use crate::web::times;

/// Options of `figures`.
#[derive(Args)]
pub struct FiguresArgs {
    #[command(subcommand)]
    command: Command,
}

/// Which data.
#[derive(Args)]
struct Where {
    #[command(flatten)]
    data: DataOptions,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

#[derive(Subcommand)]
enum Command {
    /// Show the figures of an area and of the areas below it.
    Show {
        #[command(flatten)]
        at: Where,
        /// The area's id; the township if none is named.
        #[arg(long)]
        area: Option<AreaId>,
        /// 2026, 2026-Q1, 2026-03, round:ID or all.
        #[arg(long, default_value = "all")]
        period: Period,
        /// Households as of this day (2026-03-31); the period's last day, or today, if none is named.
        #[arg(long)]
        as_of: Option<String>,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compute all figures once more from the records and compare; fails if something differs.
    Verify {
        #[command(flatten)]
        at: Where,
    },
    /// Throw the figures away and make them anew from the records.
    Rebuild {
        #[command(flatten)]
        at: Where,
        /// From now on records are late when they arrive more than so many days after the end of their month: 3; or visit=5
        /// for records of one type, once for each.
        #[arg(long, value_name = "DAYS")]
        late_days: Vec<String>,
    },
    /// Keep the figures of a period as they are now, with the lists behind them.
    Freeze {
        #[command(flatten)]
        at: Where,
        /// The period.
        #[arg(long)]
        period: Period,
        /// Households as of this day; the period's last day, or today, if none is named.
        #[arg(long)]
        as_of: Option<String>,
        /// What the report is called.
        #[arg(long)]
        name: String,
        /// Who freezes it.
        #[arg(long)]
        by: String,
    },
    /// List the frozen reports; or compare one of them with today.
    Frozen {
        #[command(flatten)]
        at: Where,
        /// The report's number.
        no: Option<u64>,
    },
}

/// Runs `figures`.
pub fn figures(args: &FiguresArgs) -> Outcome {
    match &args.command {
        Command::Show { at, area, period, as_of, json } => show(at, *area, period, as_of.as_deref(), *json),
        Command::Verify { at } => verify(at),
        Command::Rebuild { at, late_days } => rebuild(at, late_days),
        Command::Freeze { at, period, as_of, name, by } => freeze(at, period, as_of.as_deref(), (name, by)),
        Command::Frozen { at, no } => frozen(at, *no),
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn open(at: &Where) -> Result<(std::sync::Arc<Service>, TownshipId), Fault> {
    let service = open_service(&at.data)?;
    let township = the_township(&*service.storage, at.township)?;
    Ok((service, township))
}

fn day(service: &Service, period: &Period, as_of: Option<&str>) -> Result<String, Fault> {
    match as_of {
        Some(day) if parse_day(day).is_none() => Err("a day is written as 2026-03-31".into()),
        Some(day) => Ok(day.to_owned()),
        None => Ok(service.as_of(period)),
    }
}

fn line(name: &str, figures: &Figures) -> String {
    let stock = figures.stock();
    let mut text = format!("{name}  {} households ({} persons)", stock.households, stock.persons);
    for (record_type, sums) in figures.by_type() {
        text.push_str(&format!("  {record_type} {}", records(&sums)));
    }
    let (differing, doubtful) = (figures.sum(Kind::Differing, None).records, figures.sum(Kind::Doubtful, None).records);
    if differing + doubtful > 0 {
        text.push_str(&format!("  {differing} with differing answers, {doubtful} doubtful"));
    }
    text
}

fn records(sums: &Sums) -> String {
    let mut text = sums.records.to_string();
    if sums.households > 0 {
        text.push_str(&format!(" at {} households ({} persons)", sums.households, sums.persons));
    }
    if sums.late > 0 {
        text.push_str(&format!(", {} late", sums.late));
    }
    text
}

fn show(at: &Where, area: Option<AreaId>, period: &Period, as_of: Option<&str>, as_json: bool) -> Outcome {
    let (service, township) = open(at)?;
    let as_of = day(&service, period, as_of)?;
    if area.is_some_and(|area| service.area_tree(township).is_ok_and(|tree| !tree.has(area))) {
        return Err("the township has no such area; `doorstep figures show --json` lists them".into());
    }
    let report = service.figures(township, area, period, &as_of)?;
    let (_, areas) = service.storage.areas(township)?;
    let name = |id: AreaId| areas.iter().find(|a| a.area == id).map_or_else(|| id.to_string(), |a| a.name_zh.clone());
    if as_json {
        let rows = |figures: &Figures| {
            let row = |((kind, form, status), sums): (&(Kind, String, String), &Sums)| json!({"kind": kind, "form": form, "status": status, "sums": sums});
            figures.rows.iter().map(row).collect::<Vec<_>>()
        };
        let areas: Vec<_> = report
            .areas
            .iter()
            .map(|(id, figures)| json!({"area": id, "name": name(*id), "figures": rows(figures)}))
            .collect();
        say!(
            "{}",
            json!({
                "period": report.period.to_string(), "as_of": report.as_of, "opening": report.opening,
                "phones_unheard": report.unheard, "total": rows(&report.total), "areas": areas,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    for (id, figures) in &report.areas {
        say!("{}", line(&name(*id), figures));
    }
    say!("{}", line(&name(report.area.unwrap_or(township)), &report.total));
    if let Some(opening) = report.opening {
        say!("before the period: {} households ({} persons)", opening.households, opening.persons);
    }
    say!("period {}, households as of {as_of}, {} phones not heard of since", report.period, report.unheard);
    Ok(ExitCode::SUCCESS)
}

fn verify(at: &Where) -> Outcome {
    let (service, township) = open(at)?;
    let found = service.verify_figures(township)?;
    found.differences.iter().for_each(|difference| say!("{difference}"));
    if found.differing > 0 && found.moved {
        say!("records were merged meanwhile: verify again while nothing is received");
    } else if found.differing > 0 {
        say!("`doorstep figures rebuild` makes them anew");
    }
    say!("{found}");
    Ok(if found.differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rebuild(at: &Where, late_days: &[String]) -> Outcome {
    let (service, township) = open(at)?;
    let mut late = service.late_days()?;
    late_days.iter().try_for_each(|rule| late.set(rule))?;
    let townships = if late_days.is_empty() {
        vec![township]
    } else {
        // the setting is every township's
        service.storage.set_setting(LATE_SETTING, &late.to_string())?;
        service.storage.townships()?
    };
    for township in townships {
        let records = service.storage.rebuild_figures(township)?;
        say!("township {township}: figures of {records} records made anew");
    }
    Ok(ExitCode::SUCCESS)
}

fn freeze(at: &Where, period: &Period, as_of: Option<&str>, (name, by): (&str, &str)) -> Outcome {
    if name.trim().is_empty() || by.trim().is_empty() {
        return Err("a report has a name, and somebody who freezes it".into());
    }
    let (service, township) = open(at)?;
    let as_of = day(&service, period, as_of)?;
    let no = service.freeze(township, (name, by), period, &as_of)?;
    say!("frozen: report {no}, period {period}, households as of {as_of}");
    Ok(ExitCode::SUCCESS)
}

fn frozen(at: &Where, no: Option<u64>) -> Outcome {
    let (service, township) = open(at)?;
    let Some(no) = no else {
        for r in service.storage.frozen_reports(township)? {
            let made = times::minute(r.made_ms).unwrap_or_default();
            say!("{}  {}  period {}  as of {}  frozen {made} by {}", r.no, r.name, r.period, r.as_of, r.made_by);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let report =
        service.frozen_report(township, no)?.ok_or("there is no such report; `doorstep figures frozen` lists them")?;
    let comparison = service.compare_frozen(township, &report)?;
    let part = |sums: &Sums| match sums.records {
        0 => format!("{} households ({} persons)", sums.households, sums.persons),
        _ => records(sums),
    };
    for ((kind, record_type), (then, now)) in comparison.by_type() {
        let verdict = if then == now { "as it was".to_owned() } else { format!("now {}", part(&now)) };
        say!("{} {record_type}: {}; {verdict}", kind.as_str(), part(&then));
    }
    for changed in &comparison.records {
        let part = |entry: &Option<crate::storage::figures::FigureEntry>| match entry {
            Some(e) => format!("{} {} {} persons{}", e.area, e.day, e.persons, if e.late { " late" } else { "" }),
            None => "not counted".to_owned(),
        };
        say!("{} {}: {} -> {}", changed.kind.as_str(), changed.record, part(&changed.then), part(&changed.now));
    }
    say!("{}: {} records count otherwise than when it was frozen", report.name, comparison.changed);
    Ok(ExitCode::SUCCESS)
}
