//! `doorstep bench phone`: a phone's database with a township in it, filled by a sync, measured in a fresh process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use doorstep_core::client::Phone;
use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_core::id::AreaId;
use doorstep_core::store::ListFilter;

use super::Fault;
use super::process::{Scratch, Server, Worker, memory_mb};
use super::report::{Line, percentile};
use super::town::Town;
use super::worker::Ask;
use super::workload::Workload;
use crate::cli::Outcome;

/// Households of the township; the other records are visits.
const HOUSEHOLDS: usize = 1_914;
/// Visits made while measuring.
const VISITS: usize = 60;
/// Times that each village is listed.
const LISTS: usize = 20;
/// Times that the database is opened.
const OPENS: usize = 5;
/// Rows of a list: more than a village has.
const ROWS: u32 = 1_000;

/// Options of `bench phone`.
#[derive(Args)]
pub struct PhoneArgs {
    /// Records on the phone.
    #[arg(long, default_value_t = 25_000)]
    records: usize,
    /// One JSON line a case.
    #[arg(long)]
    json: bool,
    /// Where the scratch folder goes.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Measures this phone's folder.
    #[arg(long, hide = true)]
    measure: Option<PathBuf>,
}

/// Runs the bench.
pub fn phone(args: &PhoneArgs) -> Outcome {
    if let Some(dir) = &args.measure {
        return measure(dir, args.json);
    }
    let scratch = Scratch::new(args.dir.as_deref())?;
    let (data, dir) = (scratch.path().join("server"), scratch.path().join("phone"));
    let households = HOUSEHOLDS.min(args.records / 2);
    let workload = Workload::invent(households, args.records - households);
    let town = Town::make(&data, workload.villages, 0)?;
    town.enrol(&dir, town.township)?;
    town.seed(&workload.households)?;
    town.seed(&workload.visits)?;
    drop((town, workload));
    fill(&data, &dir)?.print(args.json);
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["bench", "phone", "--measure"]).arg(&dir);
    if args.json {
        child.arg("--json");
    }
    let status = child.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fills the phone by a sync.
fn fill(data: &Path, dir: &Path) -> Result<Line, Fault> {
    let (server, mut worker) = (Server::start(data)?, Worker::start()?);
    worker.ask(&Ask::Open { phone: "phone".into(), dir: dir.to_owned() })?;
    let server_url = format!("http://{}", server.address);
    let answer = worker.ask(&Ask::Sync { phones: vec!["phone".into()], server: server_url })?;
    let (phone_peak, _) = memory_mb(worker.pid())?;
    let (server_peak, _) = memory_mb(server.pid())?;
    Ok(Line::new("fill a phone")
        .with_tenths("wall_ms", answer["wall_ms"].as_f64().unwrap_or_default())
        .with("records", answer["records_received"].as_u64().unwrap_or_default())
        .with_tenths("phone_peak_mb", phone_peak)
        .with_tenths("server_peak_mb", server_peak))
}

fn open(dir: &Path) -> Result<Phone, Fault> {
    Ok(Phone::open(dir, Arc::new(SystemClock), Arc::new(SystemEntropy))?.0)
}

fn timed<T>(times: &mut Vec<f64>, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let begin = Instant::now();
    let value = work()?;
    times.push(begin.elapsed().as_secs_f64() * 1000.0);
    Ok(value)
}

/// Median and 99th percentile in milliseconds.
fn line(case: &str, times: &[f64], limit_ms: f64) -> Line {
    let micros = |ms: f64| (ms * 1000.0).round() / 1000.0;
    Line::new(case)
        .with("times", times.len())
        .with("median_ms", micros(percentile(times, 50)))
        .with("p99_ms", micros(percentile(times, 99)))
        .at_most(&["median_ms"], limit_ms)
}

fn measure(dir: &Path, json: bool) -> Outcome {
    let mut times = Vec::new();
    for _ in 1..OPENS {
        timed(&mut times, || open(dir))?.close()?;
    }
    let phone = timed(&mut times, || open(dir))?;
    line("open", &times, 100.0).print(json);
    let villages: Vec<AreaId> = phone.areas()?.into_iter().filter(|a| a.level == "village").map(|a| a.area).collect();
    let (mut times, mut rows) = (Vec::new(), 0);
    for _ in 0..LISTS {
        for village in &villages {
            rows += timed(&mut times, || Ok(phone.households(Some(*village), "", 0, ROWS)?))?.len();
        }
    }
    let mean = rows as f64 / times.len().max(1) as f64;
    line("list a village", &times, 2.0).with_tenths("households", mean).print(json);
    let mut times = Vec::new();
    for village in villages.iter().cycle().take(LISTS) {
        timed(&mut times, || Ok(phone.households(Some(*village), "王", 0, 50)?))?;
    }
    line("search a village", &times, 20.0).print(json);
    visits(&phone, &villages, json)?;
    let (peak, now) = memory_mb(std::process::id())?;
    Line::new("memory").with_tenths("peak_mb", peak).with_tenths("rss_mb", now).at_most(&["peak_mb"], 64.0).print(json);
    phone.close()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes visits as the app does: a draft, its answers one by one, finish.
fn visits(phone: &Phone, villages: &[AreaId], json: bool) -> Result<(), Fault> {
    let filter = ListFilter { record_type: Some("visit".into()), limit: VISITS as u32, ..ListFilter::default() };
    let (mut saves, mut finishes) = (Vec::new(), Vec::new());
    let mut households = Vec::new();
    for village in villages {
        households.extend(phone.households(Some(*village), "", 0, VISITS as u32 / villages.len() as u32 + 1)?);
    }
    for (old, household) in phone.list(filter)?.iter().zip(households) {
        let answers = phone.record(old.id)?.answers();
        let draft = phone.start("visit", Some(household.id))?;
        for (key, value) in &answers {
            timed(&mut saves, || Ok(phone.answer(draft, key, value)?))?;
        }
        timed(&mut finishes, || Ok(phone.finish(draft)?))?;
    }
    line("save an answer", &saves, 2.0).print(json);
    line("finish a visit", &finishes, 10.0).print(json);
    Ok(())
}
