//! Many seeds, one process each; and the planted bugs, each of which must be found.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::outcome::{Counts, Failure, Outcome, count};

/// Seeds after which a planted bug that nothing found counts as not found.
const BUG_SEEDS: u64 = 600;
/// Seeds that found a bug which few find: they are tried first.
const FOUND_BY: &[(&str, u64)] = &[("keep_rival", 410)];
/// One seed in so many is run twice.
const TWICE_EVERY: u64 = 20;

/// Bugs that the checks must find.
pub const BUGS: &[&str] = &[
    "acknowledge_before_commit",
    "drop_dedupe",
    "trust_author",
    "trust_scope",
    "skip_signature",
    "trust_batch_number",
    "ignore_chain",
    "take_counter_twice",
    "trust_ok",
    "all_or_nothing",
    "cursor_skips",
    "early_cursor",
    "forget_fill",
    "reuse_actor",
    "skip_receipt",
    "forget_told",
    "keep_rival",
    "draft_not_journaled",
    "merge_on_merged_heads",
];

/// Faults and states that a sweep must have seen.
const WANTED_FAULTS: &[&str] = &[
    "unreachable",
    "busy",
    "late request",
    "late arrival",
    "cut request",
    "corrupt request",
    "lost reply",
    "cut reply",
    "replay",
    "server crash",
    "server restart",
    "server rewound",
    "phone crash",
    "phone killed",
    "phone restored",
    "phone cloned",
    "clock jump",
    "phone disk full",
    "server disk full",
    "hostile upload",
];
const WANTED_STATES: &[&str] = &[
    "stored",
    "known",
    "waiting",
    "quarantined",
    "equivocation",
    "made anew",
    "brought back",
    "rewound noticed",
    "resumable upload",
];

/// A seed that failed once, and why.
pub struct Regression {
    /// The seed.
    pub seed: u64,
    /// Why it is here.
    pub why: String,
}

/// Reads the seeds that failed before: a line each, the seed and why; `#` starts a comment.
pub fn regressions(text: &str) -> Vec<Regression> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .filter_map(|line| {
            let (seed, why) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            Some(Regression { seed: seed.parse().ok()?, why: why.trim().to_owned() })
        })
        .collect()
}

/// A run that is to be made.
#[derive(Debug, Clone)]
struct Job {
    seed: u64,
    bug: Option<&'static str>,
    again: bool,
}

/// Runs jobs in processes of their own, a few at a time; `done` gets each outcome and may end it all.
fn run_jobs(
    mut jobs: VecDeque<Job>,
    at_once: usize,
    mut done: impl FnMut(&Job, Outcome) -> bool,
) -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let mut running: VecDeque<(Job, Child)> = VecDeque::new();
    loop {
        while running.len() < at_once {
            let Some(job) = jobs.pop_front() else { break };
            let child = start(&program, &job)?;
            running.push_back((job, child));
        }
        let Some((job, child)) = running.pop_front() else { return Ok(()) };
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let outcome = text.lines().last().and_then(|line| Outcome::from_json(&serde_json::from_str(line).ok()?));
        let outcome = outcome.unwrap_or_else(|| {
            let mut outcome = Outcome::of(job.seed);
            outcome.failure = Some(Failure::broken("panic", format!("the process ended with {}", output.status)));
            outcome
        });
        if !done(&job, outcome) {
            // they end by themselves within a second, and take their files with them
            for (_, child) in running {
                child.wait_with_output()?;
            }
            return Ok(());
        }
    }
}

fn start(program: &PathBuf, job: &Job) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["run", "--json", "--seed", &job.seed.to_string()]);
    if let Some(bug) = job.bug {
        command.args(["--bug", bug]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// What a sweep found.
#[derive(Default)]
pub struct Sweep {
    /// Failed seeds.
    pub failures: Vec<String>,
    faults: Counts,
    states: Counts,
    crashes: Counts,
    points: Counts,
    work: Counts,
    seeds: u64,
}

impl Sweep {
    /// Sweeps over seeds, the regressions first.
    pub fn run(from: u64, seeds: u64, at_once: usize, old: &[Regression]) -> std::io::Result<Self> {
        let mut sweep = Self::default();
        let mut jobs: VecDeque<Job> = old.iter().map(|r| Job { seed: r.seed, bug: None, again: false }).collect();
        for seed in from..from + seeds {
            jobs.push_back(Job { seed, bug: None, again: false });
            if seed % TWICE_EVERY == 0 {
                jobs.push_back(Job { seed, bug: None, again: true });
            }
        }
        let mut digests: BTreeMap<u64, String> = BTreeMap::new();
        run_jobs(jobs, at_once, |job, outcome| {
            sweep.seeds += 1;
            if outcome.failure.is_some() {
                sweep.failures.push(outcome.line());
            }
            let before = digests.insert(job.seed, outcome.digest.clone());
            if job.again && before.is_some_and(|before| before != outcome.digest) {
                sweep.failures.push(format!("seed {} FAILED: determinism: two runs differ", job.seed));
            }
            sweep.add(&outcome);
            true
        })?;
        sweep.look_for_gaps();
        Ok(sweep)
    }

    fn add(&mut self, outcome: &Outcome) {
        let all = [
            (&mut self.faults, &outcome.faults),
            (&mut self.states, &outcome.states),
            (&mut self.crashes, &outcome.crashes),
            (&mut self.points, &outcome.points),
            (&mut self.work, &outcome.work),
        ];
        for (sum, part) in all {
            part.iter().for_each(|(name, n)| count(sum, name, *n));
        }
    }

    /// What was never hit makes the sweep red: it proves nothing about it.
    fn look_for_gaps(&mut self) {
        let mut gaps = Vec::new();
        for (kind, wanted, seen) in [("fault", WANTED_FAULTS, &self.faults), ("state", WANTED_STATES, &self.states)] {
            let missing = wanted.iter().filter(|name| seen.get(**name).copied().unwrap_or(0) == 0);
            gaps.extend(missing.map(|name| format!("the {kind} \"{name}\" never came")));
        }
        let missing = self.points.keys().filter(|point| !self.crashes.contains_key(*point));
        gaps.extend(missing.map(|point| format!("nothing ever died at {point}")));
        self.failures.extend(gaps);
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = format!("{} runs\n", self.seeds);
        for (title, counts) in [("work", &self.work), ("faults", &self.faults), ("states", &self.states)] {
            text.push_str(&format!("{title}:\n"));
            counts.iter().for_each(|(name, n)| text.push_str(&format!("  {n:>8}  {name}\n")));
        }
        text.push_str("crash points (died / reached):\n");
        for (point, reached) in &self.points {
            let died = self.crashes.get(point).copied().unwrap_or(0);
            text.push_str(&format!("  {died:>8} / {reached:<8}  {point}\n"));
        }
        text
    }
}

/// What hunting one bug gave: the seed that found it and how.
pub type Hunt = (&'static str, Option<(u64, String)>);

/// Plants each bug and runs seeds until one fails.
pub fn hunt(bugs: &[&'static str], at_once: usize, mut report: impl FnMut(&Hunt)) -> std::io::Result<bool> {
    let mut all = true;
    for bug in bugs {
        let first = FOUND_BY.iter().filter(|(of, _)| of == bug).map(|(_, seed)| *seed);
        let jobs = first.chain(1..=BUG_SEEDS).map(|seed| Job { seed, bug: Some(bug), again: false }).collect();
        let mut found = None;
        run_jobs(jobs, at_once, |job, outcome| {
            if let Some(failure) = outcome.failure {
                found = Some((job.seed, failure.to_string()));
            }
            found.is_none()
        })?;
        all &= found.is_some();
        report(&(*bug, found));
    }
    Ok(all)
}
