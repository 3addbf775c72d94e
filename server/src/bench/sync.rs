//! `doorstep bench sync`: the peers' cases with a server process, a process with the phones, and a counting link between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use doorstep_core::id::AreaId;
use serde_json::Value as Json;

use super::Fault;
use super::process::{Scratch, Server, Worker, cpu_ms, memory_mb};
use super::report::Line;
use super::town::Town;
use super::worker::{Ask, Written};
use super::workload::{Document, Workload};
use crate::cli::Outcome;
use crate::cli::serve::runtime;
use crate::link::{Link, LinkOptions};

mod cases;

/// Households when none are given.
const HOUSEHOLDS: usize = 1_000;
/// Visits when none are given.
const VISITS: usize = 2_000;
/// Devices that push at once.
pub const FLEET: usize = 50;

/// Options of `bench sync`.
#[derive(Args)]
pub struct SyncArgs {
    /// JSON lines, households and visits, as the peers' workload.js prints them; the invented township if not given.
    #[arg(long)]
    workload: Option<PathBuf>,
    /// Round trip time of the link in milliseconds.
    #[arg(long, default_value_t = 0)]
    rtt_ms: u64,
    /// The link's kilobits a second each way; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    kbit: u64,
    /// One JSON line a case.
    #[arg(long)]
    json: bool,
    /// Rounds of the fifty devices.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Which cases, by name, separated by commas; all but the fifty devices on a slow link, all on a fast one if not given.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Where the scratch folder goes; the system's place for such folders if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Everything that a case needs.
pub struct Bench {
    workload: Workload,
    villages: Vec<AreaId>,
    groups: Vec<AreaId>,
    campaign: doorstep_core::id::RecordId,
    server: Server,
    worker: Worker,
    link: Link,
    slow: bool,
    rounds: usize,
    // fields drop in order: processes end before their folder and their runtime
    _runtime: tokio::runtime::Runtime,
    _scratch: Scratch,
}

/// What a measured sync took.
pub struct Measure {
    wall_ms: f64,
    bytes_up: u64,
    bytes_down: u64,
    http_requests: u64,
    server_cpu_ms: u64,
    client_cpu_ms: u64,
    server_rss_mb: f64,
    /// The worker's answer.
    answer: Json,
}

/// Runs the cases.
pub fn sync(args: &SyncArgs) -> Outcome {
    let slow = args.rtt_ms > 0 || args.kbit > 0;
    let names: HashSet<&str> = args.cases.iter().map(|c| c.trim()).collect();
    if let Some(unknown) = names.iter().find(|name| cases::ALL.iter().all(|(known, _)| known != *name)) {
        return Err(format!("there is no case {unknown:?}").into());
    }
    let mut bench = Bench::start(args, slow)?;
    for (name, case) in cases::ALL {
        let wanted = if names.is_empty() { !(slow && name.starts_with(cases::FIFTY)) } else { names.contains(name) };
        if wanted {
            case(&mut bench, Line::new(name))?.print(args.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn start(args: &SyncArgs, slow: bool) -> Result<Self, Fault> {
        let workload = match &args.workload {
            Some(path) => Workload::read(path)?,
            None => Workload::invent(HOUSEHOLDS, VISITS),
        };
        let scratch = Scratch::new(args.dir.as_deref())?;
        let data = scratch.path().join("server");
        let phones = scratch.path().join("phones");
        let town = Town::make(&data, workload.villages, FLEET)?;
        for name in ["pull", "edit", "push", "screen", "first", "second"] {
            town.enrol(&phones.join(name), town.township)?;
        }
        for index in 0..FLEET {
            town.enrol(&phones.join(own_group(index)), town.groups[index])?;
            town.enrol(&phones.join(shared_village(index)), town.villages[index % workload.villages])?;
        }
        town.seed(&workload.households)?;
        town.seed(&workload.visits)?;
        let (villages, groups) = (town.villages.clone(), town.groups.clone());
        drop(town);
        let (server, mut worker, runtime) = (Server::start(&data)?, Worker::start()?, runtime()?);
        for entry in std::fs::read_dir(&phones)? {
            let entry = entry?;
            let phone = entry.file_name().to_string_lossy().into_owned();
            worker.ask(&Ask::Open { phone, dir: entry.path() })?;
        }
        let options =
            LinkOptions { rtt: Duration::from_millis(args.rtt_ms), bits_per_s: args.kbit.saturating_mul(1000) };
        let link = runtime.block_on(Link::start(server.address, options))?;
        let campaign = doorstep_core::id::RecordId([7; 16]);
        let rounds = args.rounds.max(1);
        let (_runtime, _scratch) = (runtime, scratch);
        Ok(Self { workload, villages, groups, campaign, server, worker, link, slow, rounds, _runtime, _scratch })
    }

    /// A sync that isn't measured: past the link, so that it costs no time.
    fn prepare(&mut self, phones: &[String]) -> Result<(), Fault> {
        let server = format!("http://{}", self.server.address);
        self.worker.ask(&Ask::Sync { phones: phones.to_vec(), server })?;
        Ok(())
    }

    fn write(&mut self, phone: &str, documents: Vec<Written>) -> Result<(), Fault> {
        self.worker.ask(&Ask::Write { phone: phone.to_owned(), documents })?;
        Ok(())
    }

    /// Makes and signs what the phones will send.
    fn sign(&mut self, phones: &[String]) -> Result<(), Fault> {
        self.worker.ask(&Ask::Prepare { phones: phones.to_vec() })?;
        Ok(())
    }

    /// Syncs over the link and counts.
    fn measure(&mut self, phones: &[String]) -> Result<Measure, Fault> {
        let (server_pid, worker_pid) = (self.server.pid(), self.worker.pid());
        let cpu = || -> Result<(u64, u64), Fault> { Ok((cpu_ms(server_pid)?, cpu_ms(worker_pid)?)) };
        let server = format!("http://{}", self.link.address);
        self.link.counts.take();
        let before = cpu()?;
        let answer = self.worker.ask(&Ask::Sync { phones: phones.to_vec(), server })?;
        let after = cpu()?;
        let (bytes_up, bytes_down, http_requests) = self.link.counts.take();
        Ok(Measure {
            wall_ms: answer["wall_ms"].as_f64().ok_or("no time")?,
            bytes_up,
            bytes_down,
            http_requests,
            server_cpu_ms: after.0 - before.0,
            client_cpu_ms: after.1 - before.1,
            server_rss_mb: memory_mb(server_pid)?.1,
            answer,
        })
    }

    /// A document as a new record for a phone to write.
    fn as_new(&self, document: &Document) -> Written {
        let key = match (document.record_type, document.subject) {
            ("screening", Some(household)) => vec![self.campaign, household],
            _ => Vec::new(),
        };
        Written {
            record_type: document.record_type.to_owned(),
            record: None,
            key,
            area: self.villages[document.village],
            subject: document.subject,
            answers: document.answers.clone(),
        }
    }

    /// New answers of a record that a phone holds.
    fn as_edit(&self, document: &Document, answers: Vec<(String, doorstep_core::record::Value)>) -> Written {
        Written { record: Some(document.id), answers, ..self.as_new(document) }
    }
}

impl Measure {
    /// The common figures of a case's line.
    fn line(&self, line: Line) -> Line {
        line.with_tenths("wall_ms", self.wall_ms)
            .with("bytes_up", self.bytes_up)
            .with("bytes_down", self.bytes_down)
            .with("http_requests", self.http_requests)
            .with("server_cpu_ms", self.server_cpu_ms)
            .with("client_cpu_ms", self.client_cpu_ms)
            .with_tenths("server_rss_mb", self.server_rss_mb)
    }

    fn counted(&self, what: &str) -> u64 {
        self.answer[what].as_u64().unwrap_or_default()
    }

    fn plus(self, other: Self) -> Self {
        Self {
            wall_ms: self.wall_ms + other.wall_ms,
            bytes_up: self.bytes_up + other.bytes_up,
            bytes_down: self.bytes_down + other.bytes_down,
            http_requests: self.http_requests + other.http_requests,
            server_cpu_ms: self.server_cpu_ms + other.server_cpu_ms,
            client_cpu_ms: self.client_cpu_ms + other.client_cpu_ms,
            server_rss_mb: other.server_rss_mb,
            answer: other.answer,
        }
    }
}

/// A device that reads a group in which nobody else writes.
fn own_group(index: usize) -> String {
    format!("group-{index:02}")
}

/// A device that reads a village in which others write too.
fn shared_village(index: usize) -> String {
    format!("village-{index:02}")
}
