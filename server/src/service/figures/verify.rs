//! Are the figures what the records say? Everything is computed once more from the changes as they were received, subject by
//! subject, and compared with what is kept.

use std::collections::BTreeSet;

use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::link::{LINK_TYPE, Link, VERDICT, unite};

use super::super::Service;
use super::super::doubts::form_of;
use super::super::merge::open_record;
use super::super::projection::project;
use crate::storage::figures::plan::{Tally, from_scratch};
use crate::storage::figures::{Fact, FigureGroup, LATE_SETTING, LateDays};
use crate::storage::{RecordFilter, StorageError, TownshipId, United};

/// Records walked along at once.
const PAGE: u32 = 200;
/// The most differences that are told one by one.
const TOLD_MAX: usize = 50;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Areas with figures.
    pub areas: u64,
    /// Households: records with stays.
    pub households: u64,
    /// Records.
    pub records: u64,
    /// Sums.
    pub figures: u64,
    /// How many lines, stays and sums differ.
    pub differing: u64,
    /// The first of them, in words without any answer.
    pub differences: Vec<String>,
    /// Something was merged while it was compared: differences may come from that.
    pub moved: bool,
}

impl Verified {
    fn tell(&mut self, difference: impl FnOnce() -> String) {
        self.differing += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(difference());
        }
    }
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = |n: u64| {
            let digits = n.to_string();
            let groups: Vec<&str> =
                digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
            groups.join(",")
        };
        let verdict = match self.differing {
            0 => "equal".to_owned(),
            differing => format!("{} differ", n(differing)),
        };
        write!(
            f,
            "compared: {} areas, {} households, {} records, {} figures: {verdict}",
            n(self.areas),
            n(self.households),
            n(self.records),
            n(self.figures)
        )
    }
}

impl Service {
    /// Compares the figures of a township with a recomputation. Holds one subject's records at a time.
    pub fn verify_figures(&self, township: TownshipId) -> Result<Verified, StorageError> {
        let late_days = self.late_days()?;
        let (head, _) = self.storage.head(township)?;
        let (mut found, mut tally, mut after) = (Verified::default(), Tally::default(), 0);
        let (mut lines, mut done) = ((0, 0), BTreeSet::new());
        let united = self.recompute_united(township, &mut found)?;
        loop {
            let facts = self.storage.figure_facts(township, after, PAGE)?;
            let Some(last) = facts.last() else { break };
            after = last.born;
            for fact in &facts {
                found.records += 1;
                for subject in self.subjects_at(township, fact)? {
                    let all = united.all(subject);
                    if all.len() == 1 || done.insert(united.lead(subject)) {
                        let group = (united.lead(subject), &united);
                        lines += self.verify_subject(township, group, &late_days, &mut tally, &mut found)?;
                    }
                }
            }
        }
        let (stored, stored_lines, stored_stays) = self.storage.figure_cells(township)?;
        let expected: std::collections::BTreeMap<_, _> = tally.changes().collect();
        found.figures = expected.len() as u64;
        found.areas = expected.keys().map(|cell| cell.area).collect::<BTreeSet<AreaId>>().len() as u64;
        for cell in expected.keys().chain(stored.keys().filter(|cell| !expected.contains_key(cell))) {
            let (kept, right) = (stored.get(cell).copied(), expected.get(cell).copied());
            if kept != right {
                let (kept, right) = (kept.unwrap_or_default(), right.unwrap_or_default());
                found.tell(|| {
                    format!(
                        "figure {} {:?} {}: kept {kept:?}, computed {right:?}",
                        cell.area, cell.period, cell.record_type
                    )
                });
            }
        }
        if stored_lines != lines.0 || stored_stays != lines.1 {
            let (lines, stays) = lines;
            found.tell(|| {
                format!("{stored_lines} lines and {stored_stays} stays are kept, {lines} and {stays} computed")
            });
        }
        found.moved = self.storage.head(township)?.0 != head;
        Ok(found)
    }

    /// The days after a month's end until which its records aren't late.
    pub fn late_days(&self) -> Result<LateDays, StorageError> {
        Ok(LateDays::stored(self.storage.setting(LATE_SETTING)?.as_deref()))
    }

    /// The subjects that are compared when the walk comes to a record: itself; and what it is about, if that is no record of the
    /// township and this is the first about it.
    fn subjects_at(&self, township: TownshipId, fact: &Fact) -> Result<Vec<RecordId>, StorageError> {
        let mut subjects = vec![fact.id];
        if let Some(subject) = fact.subject.filter(|subject| *subject != fact.id) {
            let group = self.storage.figure_group(township, subject)?;
            let is_known = group.facts.iter().any(|f| f.id == subject);
            if !is_known && group.facts.first().is_some_and(|first| first.born == fact.born) {
                subjects.push(subject);
            }
        }
        Ok(subjects)
    }

    fn verify_subject(
        &self,
        township: TownshipId,
        (subject, united): (RecordId, &United),
        late_days: &LateDays,
        tally: &mut Tally,
        found: &mut Verified,
    ) -> Result<Counted, StorageError> {
        let mut group = self.storage.figure_group(township, subject)?;
        for one in united.all(subject).into_iter().filter(|one| *one != subject) {
            let led = self.storage.figure_group(township, one)?;
            group.facts.extend(led.facts);
            group.lines.extend(led.lines);
            if !led.stays.is_empty() {
                found.tell(|| format!("record {one}: stays are kept of what another one stands for"));
            }
        }
        let counts_here = |fact: &Fact| united.lead(fact.subject.unwrap_or(fact.id)) == subject;
        if !group.facts.iter().any(counts_here) {
            return Ok(Counted::default());
        }
        self.recompute(township, &mut group, found)?;
        let (lines, stays) = from_scratch(subject, united, &group.facts, late_days);
        let here: BTreeSet<u64> = group.facts.iter().filter(|f| counts_here(f)).map(|fact| fact.born).collect();
        group.lines.retain(|line| here.contains(&line.born));
        if group.stays != stays {
            found.tell(|| format!("record {subject}: {} stays are kept, others computed", group.stays.len()));
        }
        for born in here {
            let (kept, right) = (group.lines.iter().find(|l| l.born == born), lines.iter().find(|l| l.born == born));
            if kept != right {
                found.tell(|| format!("the line of the record born at {born} differs"));
            }
        }
        found.households += u64::from(!stays.is_empty());
        lines.iter().for_each(|line| tally.line(line, 1));
        tally.stays(&stays, 1);
        Ok(Counted(lines.len() as u64, stays.len() as u64))
    }

    /// What is united, by the links read once more from their changes.
    fn recompute_united(&self, township: TownshipId, found: &mut Verified) -> Result<United, StorageError> {
        let (mut links, mut after) = (Vec::new(), 0);
        loop {
            let record_type = Some(LINK_TYPE.to_owned());
            let filter = RecordFilter { record_type, elsewhere: true, after, limit: PAGE, ..RecordFilter::default() };
            let rows = self.storage.list_records(township, &filter)?;
            let Some(last) = rows.last() else { break };
            after = last.born;
            let ids: Vec<RecordId> = rows.iter().map(|row| row.id).collect();
            for (id, stored) in ids.iter().zip(self.storage.load_records(township, &ids)?) {
                let Some(record) = stored.as_ref().and_then(|stored| open_record(stored).ok()) else {
                    found.tell(|| format!("record {id} can't be opened"));
                    continue;
                };
                let differs = record.view().differences.iter().any(|difference| difference.key == VERDICT);
                links.extend(Link::read(record.identity(), &record.answers(), differs));
            }
        }
        let united = United(unite(&links));
        if self.storage.united(township)? != united.0 {
            found.tell(|| format!("{} households are united into others, otherwise than is kept", united.0.len()));
        }
        Ok(united)
    }

    /// Reads once more from the changes what figures need of records.
    fn recompute(
        &self,
        township: TownshipId,
        group: &mut FigureGroup,
        found: &mut Verified,
    ) -> Result<(), StorageError> {
        let forms = self.forms()?;
        let ids: Vec<RecordId> = group.facts.iter().map(|fact| fact.id).collect();
        for (fact, stored) in group.facts.iter_mut().zip(self.storage.load_records(township, &ids)?) {
            let Some(record) = stored.as_ref().and_then(|stored| open_record(stored).ok()) else {
                found.tell(|| format!("record {} can't be opened", fact.id));
                continue;
            };
            let form = form_of(&forms, &fact.record_type);
            let (projection, _) = project(&record, form.as_deref());
            let computed = Fact {
                status: projection.status,
                day: projection.day,
                steps: projection.steps,
                differences: projection.differences,
                ..fact.clone()
            };
            if computed != *fact {
                found.tell(|| format!("record {}: what lists and figures need of it differs", fact.id));
                *fact = computed;
            }
        }
        Ok(())
    }
}

/// Lines and stays that were computed.
#[derive(Debug, Clone, Copy, Default)]
struct Counted(u64, u64);

impl std::ops::AddAssign<Counted> for (u64, u64) {
    fn add_assign(&mut self, other: Counted) {
        self.0 += other.0;
        self.1 += other.1;
    }
}
