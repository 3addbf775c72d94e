//! `doorstep figures`: show, verify, rebuild, freeze, compare.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::AreaId;
use serde_json::json;

use super::admin::the_township;
use super::serve::open_service;
use super::words::{self, Words};
use super::{DataOptions, Outcome};
use crate::calendar::{Period, parse_day};
use crate::say;
use crate::service::Service;
use crate::service::figures::Figures;
use crate::storage::TownshipId;
use crate::storage::figures::{FigureEntry, Kind, LATE_SETTING, Sums};
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
    #[command(flatten)]
    words: Words,
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
        Some(day) if parse_day(day).is_none() => Err(words::Fault("error.day").into()),
        Some(day) => Ok(day.to_owned()),
        None => Ok(service.as_of(period)),
    }
}

fn line(words: Words, name: &str, figures: &Figures) -> String {
    let mut text = format!("{name}  {}", stock(words, &figures.stock()));
    for (record_type, sums) in figures.by_type() {
        text.push_str(&format!("  {record_type} {}", records(words, &sums)));
    }
    let open = |kind| figures.sum(kind, None).records;
    let (differing, doubtful) = (open(Kind::Differing), open(Kind::Doubtful));
    if differing + doubtful > 0 {
        let counts = [("differing", &*differing.to_string()), ("doubtful", &*doubtful.to_string())];
        text.push_str(&words.fill("figures.open", &counts));
    }
    text
}

/// Households and persons of a sum, in words.
fn filled(words: Words, key: &str, sums: &Sums) -> String {
    words.fill(key, &[("n", &sums.households.to_string()), ("persons", &sums.persons.to_string())])
}

fn stock(words: Words, sums: &Sums) -> String {
    filled(words, "figures.stock", sums)
}

fn records(words: Words, sums: &Sums) -> String {
    let mut text = words.fill("figures.records", &[("n", &sums.records.to_string())]);
    if sums.households > 0 {
        text.push_str(&filled(words, "figures.reached", sums));
    }
    if sums.late > 0 {
        text.push_str(&words.fill("figures.late", &[("n", &sums.late.to_string())]));
    }
    text
}

fn show(at: &Where, area: Option<AreaId>, period: &Period, as_of: Option<&str>, as_json: bool) -> Outcome {
    let ((service, township), words) = (open(at)?, at.words);
    let as_of = day(&service, period, as_of)?;
    if area.is_some_and(|area| service.area_tree(township).is_ok_and(|tree| !tree.has(area))) {
        return Err(words::Fault("error.no_area").into());
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
        say!("{}", line(words, &name(*id), figures));
    }
    say!("{}", line(words, &name(report.area.unwrap_or(township)), &report.total));
    if let Some(opening) = &report.opening {
        words.say("figures.before", &[("stock", &stock(words, opening))]);
    }
    let (period, unheard) = (report.period.to_string(), report.unheard.to_string());
    words.say("figures.about", &[("period", &period), ("day", &as_of), ("n", &unheard)]);
    Ok(ExitCode::SUCCESS)
}

fn verify(at: &Where) -> Outcome {
    let (service, township) = open(at)?;
    let found = service.verify_figures(township)?;
    found.differences.iter().for_each(|difference| say!("{difference}"));
    if found.differing > 0 && found.moved {
        at.words.say("figures.moved", &[]);
    } else if found.differing > 0 {
        at.words.say("figures.rebuild", &[]);
    }
    match found.differing {
        0 => at.words.say("figures.equal", &[]),
        differing => at.words.say("figures.differ", &[("n", &differing.to_string())]),
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
        let (id, count) = (township.to_string(), records.to_string());
        at.words.say("figures.rebuilt", &[("township", &id), ("n", &count)]);
    }
    Ok(ExitCode::SUCCESS)
}

fn freeze(at: &Where, period: &Period, as_of: Option<&str>, (name, by): (&str, &str)) -> Outcome {
    if name.trim().is_empty() || by.trim().is_empty() {
        return Err(words::Fault("error.report_name").into());
    }
    let (service, township) = open(at)?;
    let as_of = day(&service, period, as_of)?;
    let no = service.freeze(township, (name, by), period, &as_of)?;
    let (no, period) = (no.to_string(), period.to_string());
    at.words.say("figures.frozen", &[("no", &no), ("period", &period), ("day", &as_of)]);
    Ok(ExitCode::SUCCESS)
}

fn frozen(at: &Where, no: Option<u64>) -> Outcome {
    let ((service, township), words) = (open(at)?, at.words);
    let Some(no) = no else {
        for r in service.storage.frozen_reports(township)? {
            let (no, made) = (r.no.to_string(), times::minute(r.made_ms).unwrap_or_default());
            let of = [("no", no.as_str()), ("name", &r.name), ("period", &r.period), ("day", &r.as_of)];
            words.say("figures.report", &[of.as_slice(), &[("by", &r.made_by), ("made", &made)]].concat());
        }
        return Ok(ExitCode::SUCCESS);
    };
    let report = service.frozen_report(township, no)?.ok_or(words::Fault("error.no_report"))?;
    let comparison = service.compare_frozen(township, &report)?;
    let part = |sums: &Sums| match sums.records {
        0 => stock(words, sums),
        _ => records(words, sums),
    };
    for ((kind, record_type), (then, now)) in comparison.by_type() {
        let same = || words.text("figures.same").to_owned();
        let verdict = if then == now { same() } else { words.fill("figures.now", &[("part", &part(&now))]) };
        let what = [("kind", kind.as_str()), ("form", record_type)];
        words.say("figures.compared", &[what.as_slice(), &[("part", &part(&then)), ("verdict", &verdict)]].concat());
    }
    let entry = |entry: &Option<FigureEntry>| {
        let Some(e) = entry else { return words.text("figures.not_counted").to_owned() };
        let (area, persons) = (e.area.to_string(), e.persons.to_string());
        let text = words.fill("figures.entry", &[("area", &area), ("day", &e.day), ("persons", &persons)]);
        format!("{text}{}", if e.late { words.text("figures.entry_late") } else { "" })
    };
    for changed in &comparison.records {
        say!("{} {}: {} -> {}", changed.kind.as_str(), changed.record, entry(&changed.then), entry(&changed.now));
    }
    words.say("figures.changed", &[("name", &report.name), ("n", &comparison.changed.to_string())]);
    Ok(ExitCode::SUCCESS)
}
