//! What is measured: times at a million records, and the work at few and at many.

use std::collections::BTreeMap;
use std::time::Instant;

use doorstep_core::clock::{Clock, SeededEntropy, SystemClock};
use doorstep_core::id::AreaId;
use doorstep_core::protocol::Position;

use super::super::Fault;
use super::super::merge::check;
use super::super::process::thread_cpu;
use super::super::report::{Line, percentile};
use super::phone::{Helper, Request, answer, counters};
use super::{County, Shape};
use crate::calendar::Period;
use crate::demo::township::{HouseholdSeed, Township};
use crate::say;
use crate::service::merge::Sender;
use crate::storage::{Committed, Steps, TownshipId};

/// Changes of a sync.
const CHANGES: usize = 10;
/// Syncs whose processor time is read together: the kernel's own count moves in steps of some milliseconds.
const TOGETHER: usize = 20;
/// Periods that figures are asked for.
const PERIODS: [&str; 9] = ["all", "2025", "2026", "2025-Q1", "2025-Q4", "2026-Q2", "2025-03", "2026-02", "2026-09"];

/// How often things are repeated.
pub(super) struct Repeats {
    syncs: usize,
    figures: usize,
    /// Villages, syncs and merges whose steps are counted.
    work: usize,
}

impl Repeats {
    pub const MANY: Self = Self { syncs: 540, figures: 1_000, work: 60 };
    pub const FEW: Self = Self { syncs: 18, figures: 50, work: 12 };
}

/// Milliseconds of each request: on the clock, and of the processor.
#[derive(Default)]
struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    /// Answers requests, all made before.
    fn answer(&mut self, county: &County, requests: &[Request]) -> Result<(), Fault> {
        let begin = thread_cpu()?;
        for request in requests {
            let begin = Instant::now();
            answer(&county.service, request)?;
            self.wall.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        let cpu = thread_cpu()?.saturating_sub(begin);
        self.cpu.push(cpu.as_secs_f64() * 1000.0 / requests.len().max(1) as f64);
        Ok(())
    }

    fn line(&self, case: &str) -> Line {
        Line::new(case)
            .with("requests", self.wall.len())
            .with("cpu_ms", thousandths(percentile(&self.cpu, 50)))
            .with("wall_ms", thousandths(percentile(&self.wall, 50)))
            .with("wall_p99_ms", thousandths(percentile(&self.wall, 99)))
    }
}

fn thousandths(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

impl County {
    /// Helpers' phones of one township after the other.
    fn helpers(&self, count: usize) -> Result<Vec<Helper>, Fault> {
        let mut helpers = Vec::new();
        for township in self.service.storage.townships()? {
            for device in self.service.storage.devices(township)? {
                if helpers.len() < count {
                    helpers.extend(Helper::load(&self.service, &device)?);
                }
            }
        }
        Ok(helpers)
    }

    /// Where the feeds stand.
    fn heads(&self) -> Result<BTreeMap<TownshipId, Position>, Fault> {
        let townships = self.service.storage.townships()?;
        townships.into_iter().map(|t| Ok((t, self.service.storage.head(t)?.0))).collect()
    }

    fn villages(&self) -> Result<Vec<(TownshipId, AreaId)>, Fault> {
        let mut villages = Vec::new();
        for township in self.service.storage.townships()? {
            let (_, areas) = self.service.storage.areas(township)?;
            villages.extend(areas.iter().filter(|a| a.level == "village").map(|a| (township, a.area)));
        }
        Ok(villages)
    }

    /// The figures of an area, as pages and the API have them computed.
    fn figures(&self, township: TownshipId, area: Option<AreaId>, period: &str) -> Result<(), Fault> {
        let period: Period = period.parse()?;
        let report = self.service.figures(township, area, &period, &self.service.as_of(&period))?;
        if report.total.stock().households == 0 {
            return Err("an area without households".into());
        }
        Ok(())
    }

    /// Prints each statement of some syncs, merges and figures with its steps and its plan.
    pub fn statements(&self, json: bool) -> Result<(), Fault> {
        let steps = self.sqlite.count_steps()?;
        self.some_syncs(&steps, 1)?;
        for (sql, count) in self.some_figures(&steps, 1)?.into_iter().chain(self.some_syncs(&steps, TOGETHER)?) {
            let statement = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            // what begins and ends transactions has no plan
            let plan = self.sqlite.plan(&sql).unwrap_or_default();
            if json {
                say!("{}", serde_json::json!({"statement": statement, "steps": count, "plan": plan}));
            } else {
                say!("{count:>8}  {statement}");
                plan.iter().for_each(|line| say!("          {line}"));
            }
        }
        Ok(())
    }

    fn some_figures(&self, steps: &Steps, count: usize) -> Result<BTreeMap<String, u64>, Fault> {
        let villages = self.villages()?;
        let step = (villages.len() / count).max(1);
        let some: Vec<_> = villages.iter().step_by(step).cycle().take(count).collect();
        // once without counting: what is cached by then stays out
        self.figures(some[0].0, Some(some[0].1), "all")?;
        steps.take();
        for (township, village) in some {
            for period in PERIODS {
                self.figures(*township, Some(*village), period)?;
            }
        }
        Ok(steps.take())
    }

    fn some_syncs(&self, steps: &Steps, count: usize) -> Result<BTreeMap<String, u64>, Fault> {
        let (mut helpers, heads, seeds) = (self.helpers(count)?, self.heads()?, seeds());
        let requests = requests(self, &mut helpers, &heads, |helper| {
            helper.visit(&self.service, &*self.service.forms()?, &seeds, CHANGES)
        })?;
        steps.take();
        requests.iter().try_for_each(|request| answer(&self.service, request).map(|_| ()))?;
        Ok(steps.take())
    }

    /// Merges and commits of one visit each.
    fn some_merges(&self, steps: &Steps, count: usize) -> Result<BTreeMap<String, u64>, Fault> {
        let (service, seeds, forms) = (&self.service, seeds(), self.service.forms()?);
        let mut all = BTreeMap::new();
        for (n, helper) in self.helpers(count)?.iter_mut().enumerate() {
            let frames = helper.visit(service, &forms, &seeds, 1)?;
            let batch = helper.author.sign(frames);
            steps.take();
            let sender = Sender::Author { device: &helper.author.device, branch: 0 };
            let push = service.merge(sender, 0, SystemClock.now_ms())?.batch(&batch, batch.hash())?;
            check(&push)?;
            let committed = service.storage.commit_group(&[push])?.pop().ok_or("no answer")??;
            if !matches!(committed, Committed::Done(_)) {
                return Err("a push of the bench wasn't committed".into());
            }
            // the first one fills caches
            for (sql, count) in steps.take().into_iter().filter(|_| n > 0) {
                *all.entry(sql).or_default() += count;
            }
        }
        Ok(all)
    }
}

/// Families whose answers visits take.
fn seeds() -> Vec<HouseholdSeed> {
    Township::invent(0).households
}

fn requests(
    county: &County,
    helpers: &mut [Helper],
    heads: &BTreeMap<TownshipId, Position>,
    mut changes: impl FnMut(&mut Helper) -> Result<Vec<doorstep_core::protocol::RecordFrame>, Fault>,
) -> Result<Vec<Request>, Fault> {
    let one = |helper: &mut Helper| {
        let frames = changes(helper)?;
        let head = heads.get(&helper.township).copied().unwrap_or_default();
        helper.push(&county.service, head, frames)
    };
    helpers.iter_mut().map(one).collect()
}

/// Measures times.
pub(super) fn times(county: &County, shape: &Shape, repeats: &Repeats) -> Result<Vec<Line>, Fault> {
    let mut helpers = county.helpers(repeats.syncs)?;
    let mut lines = vec![
        Line::new("file")
            .with("townships", shape.townships)
            .with("villages", shape.villages)
            .with("households", shape.households)
            .with("records", county.sqlite.count_records()?)
            .with("phones", shape.devices),
    ];
    let (seeds, forms) = (seeds(), county.service.forms()?);
    for is_new in [true, false] {
        // in each round every phone has read what there was before it: the more of the others came first, the more is new
        let (heads, mut times, before) = (county.heads()?, Times::default(), counters(&county.service).0);
        for some in helpers.chunks_mut(TOGETHER) {
            let made = requests(county, some, &heads, |helper| match is_new {
                true => helper.visit(&county.service, &forms, &seeds, CHANGES),
                false => helper.edit(),
            })?;
            times.answer(county, &made)?;
        }
        let stored = counters(&county.service).0 - before;
        if stored < (helpers.len() * CHANGES) as u64 {
            return Err("a change of the bench wasn't stored".into());
        }
        let case =
            if is_new { "a helper's sync with ten new visits" } else { "a helper's sync with ten visits changed" };
        lines.push(times.line(case).with("changes", stored).at_most(&["cpu_ms"], 5.0));
    }
    lines.push(backfill(county, &mut helpers)?);
    lines.extend(figure_times(county, repeats.figures)?);
    Ok(lines)
}

/// The fill of one household that a phone has just been paired with.
fn backfill(county: &County, helpers: &mut [Helper]) -> Result<Line, Fault> {
    let (heads, mut times, before) = (county.heads()?, Times::default(), counters(&county.service).1);
    for some in helpers.chunks_mut(TOGETHER) {
        let ask = |helper: &mut Helper| {
            helper.newly_paired(&county.service, heads.get(&helper.township).copied().unwrap_or_default())
        };
        let made: Vec<Request> = some.iter_mut().map(ask).collect();
        times.answer(county, &made)?;
    }
    let sent = (counters(&county.service).1 - before) as f64 / helpers.len().max(1) as f64;
    if sent < 2.0 {
        return Err("a phone didn't get its household".into());
    }
    let line = times.line("backfill of one household").with_tenths("records", sent);
    Ok(line.at_most(&["wall_ms"], 2.0))
}

fn figure_times(county: &County, count: usize) -> Result<Vec<Line>, Fault> {
    let (villages, townships) = (county.villages()?, county.service.storage.townships()?);
    let entropy = SeededEntropy::new(1);
    let below = |length: usize| entropy.below(length as u64) as usize;
    let mut lines = Vec::new();
    for case in ["figures of a village with its groups", "figures of a township"] {
        let mut times = Vec::new();
        for _ in 0..count {
            let (township, area) = match case {
                "figures of a township" => (townships[below(townships.len())], None),
                _ => villages.get(below(villages.len())).map(|(t, v)| (*t, Some(*v))).ok_or("no village")?,
            };
            let period = PERIODS[below(PERIODS.len())];
            let begin = Instant::now();
            county.figures(township, area, period)?;
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        let line = Line::new(case)
            .with("times", times.len())
            .with("median_ms", thousandths(percentile(&times, 50)))
            .with("p99_ms", thousandths(percentile(&times, 99)));
        lines.push(line.at_most(&["p99_ms"], 10.0));
    }
    Ok(lines)
}

/// Compares the figures of the first township with a recomputation.
pub(super) fn verify(county: &County) -> Result<Line, Fault> {
    let township = county.service.storage.townships()?.first().copied().ok_or("no township")?;
    let begin = Instant::now();
    let found = county.service.verify_figures(township)?;
    if found.differing > 0 {
        return Err(format!("the figures of the file differ from a recomputation: {found}").into());
    }
    Ok(Line::new("figures verify, one township")
        .with("records", found.records)
        .with("figures", found.figures)
        .with("differing", found.differing)
        .with_tenths("wall_ms", begin.elapsed().as_secs_f64() * 1000.0))
}

/// SQLite's steps, each the mean of several.
pub(super) struct Work {
    figures: f64,
    merge: f64,
}

impl Work {
    /// Each kind of work, at few and at many records.
    pub fn pairs(&self, many: &Self) -> [(&'static str, f64, f64); 2] {
        [
            ("work for the figures of a village", self.figures, many.figures),
            ("work for a merge of one visit", self.merge, many.merge),
        ]
    }
}

/// Counts the steps of figures and merges.
pub(super) fn work(county: &County, repeats: &Repeats) -> Result<Work, Fault> {
    let steps = county.sqlite.count_steps()?;
    let figures: u64 = county.some_figures(&steps, repeats.work)?.values().sum();
    let merges: u64 = county.some_merges(&steps, repeats.work + 1)?.values().sum();
    let merged = county.helpers(repeats.work + 1)?.len().saturating_sub(1).max(1);
    Ok(Work { figures: figures as f64 / (repeats.work * PERIODS.len()) as f64, merge: merges as f64 / merged as f64 })
}
