//! From records to lines, stays and figures: pure, alike in both backends and for the recomputation.
//!
//! The periods of figures, as they stand in the column `period`: `2026-03`, `2026-Q1`, `2026`, empty (from the beginning on)
//! and `round:ID` for records; `differing` and `doubtful`; and for households what changed in a year, a month and on a day:
//! `y2026`, `m2026-03`, `d2026-03-14` (`y` for what always was), so that a stock on any day is the sum of few rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use doorstep_core::id::{AreaId, RecordId};

use super::super::links::United;
use super::{Cell, Cells, Fact, LateDays, Line, Stay, Sums};
use crate::calendar::{Period, is_late, parse_day};

/// A record stands for its household in its month.
pub const MONTH: u8 = 1;
/// In its quarter.
pub const QUARTER: u8 = 2;
/// In its year.
pub const YEAR: u8 = 4;
/// Of all records of its type.
pub const WHOLE: u8 = 8;
/// In its round.
pub const ROUND: u8 = 16;
/// After all days.
pub const FOREVER: &str = "9999-99-99";
/// The most stays of a household that are kept apart; the oldest are taken together.
pub const STAYS_MAX: usize = 400;

/// The column's value for records with differing answers.
pub const DIFFERING: &str = "differing";
/// The column's value for records with doubtful answers.
pub const DOUBTFUL: &str = "doubtful";

/// True for a record that is part of another: its answers count with that one.
fn is_part(record_type: &str) -> bool {
    record_type.contains('.')
}

/// The column's value for records of a period.
pub fn column(period: &Period) -> String {
    match period {
        Period::Whole => String::new(),
        Period::Calendar(text) => text.clone(),
        Period::Round(round) => format!("round:{round}"),
    }
}

/// In which periods of that kind a record stands for its household.
pub fn bit(period: &Period) -> u8 {
    match period {
        Period::Whole => WHOLE,
        Period::Round(_) => ROUND,
        Period::Calendar(text) if text.contains('Q') => QUARTER,
        Period::Calendar(text) if text.len() == 4 => YEAR,
        Period::Calendar(_) => MONTH,
    }
}

/// The ranges of the column that add up to the stock on a day: from, to, both included.
pub fn stock_ranges(as_of: &str) -> [(String, String); 3] {
    let year = as_of.get(..4).unwrap_or("0000");
    let month = as_of.get(..7).unwrap_or("0000-00");
    // '-' is the character before '.', and all digits come after both
    [
        ("y".to_owned(), before(&format!("y{year}"))),
        (format!("m{year}-00"), before(&format!("m{month}"))),
        (format!("d{month}-00"), format!("d{as_of}")),
    ]
}

/// The largest text of the same length below this one, which ends in a digit above 0 or in digits.
fn before(text: &str) -> String {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (start, number) = text.split_at(text.len() - digits);
    match number.parse::<u32>().ok().and_then(|n| n.checked_sub(1)) {
        Some(n) => format!("{start}{n:0digits$}"),
        None => start.to_owned(),
    }
}

/// A record's steps: from which day on it stands for how many persons; `None` while it doesn't exist.
fn read_steps(steps: &str) -> Vec<(String, Option<u32>)> {
    let read = |step: &str| {
        let (day, persons) = step.split_once('=').unwrap_or(("", step));
        (day.to_owned(), persons.parse().ok())
    };
    steps.split_whitespace().map(read).collect()
}

/// The stays of a household; none of a record that isn't one.
pub fn stays(fact: &Fact) -> Vec<Stay> {
    let steps = read_steps(&fact.steps);
    if steps.is_empty() || fact.subject.is_some() || is_part(&fact.record_type) {
        return Vec::new();
    }
    let days = steps.iter().map(|(day, _)| day.as_str()).chain(fact.earlier.iter().map(|(day, _)| day.as_str()));
    let mut starts: BTreeSet<&str> = days.collect();
    starts.insert("");
    while starts.len() > STAYS_MAX {
        let oldest = starts.iter().nth(1).copied().unwrap_or_default();
        starts.remove(oldest);
    }
    let mut stays: Vec<Stay> = Vec::new();
    for from in starts {
        let persons = steps.iter().rev().find(|(day, _)| day.as_str() <= from).and_then(|(_, persons)| *persons);
        let area = place_on(fact, from);
        let counts = persons.is_some() && area != AreaId::NOWHERE;
        if let Some(last) = stays.last_mut() {
            if last.area == area && last.counts == counts && last.persons == persons.unwrap_or(0) {
                continue;
            }
            from.clone_into(&mut last.until);
        }
        stays.push(Stay {
            from: from.to_owned(),
            until: FOREVER.to_owned(),
            area,
            counts,
            persons: persons.unwrap_or(0),
            status: fact.status.clone(),
            record_type: fact.record_type.clone(),
        });
    }
    stays
}

/// Where a record lay on a day.
fn place_on(fact: &Fact, day: &str) -> AreaId {
    fact.earlier.iter().find(|(until, _)| until.as_str() > day).map_or(fact.area, |(_, area)| *area)
}

/// The stay on a day; for a record without day the last one.
fn stay_on<'a>(stays: &'a [Stay], day: &str) -> Option<&'a Stay> {
    let day = if day.is_empty() { FOREVER } else { day };
    stays.iter().rev().find(|stay| stay.from.as_str() <= day)
}

/// What a record adds, where it stands for nothing yet; `None` for a part without anything open, and for what lay in no area of
/// the township.
fn line(fact: &Fact, stays: &[Stay], late_days: &LateDays) -> Option<Line> {
    let lies = fact.area != AreaId::NOWHERE;
    let (differing, doubtful) = (fact.differences > 0 && lies, fact.doubts > 0 && lies);
    let part = is_part(&fact.record_type);
    if part && !differing && !doubtful {
        return None;
    }
    let day = if part || parse_day(&fact.day).is_none() { String::new() } else { fact.day.clone() };
    let stay = stay_on(stays, &day).filter(|_| !part);
    let area = stay.map_or_else(|| place_on(fact, if day.is_empty() { FOREVER } else { &day }), |stay| stay.area);
    if area == AreaId::NOWHERE && !differing && !doubtful {
        return None;
    }
    let round = fact.key.iter().find(|part| Some(**part) != fact.subject).filter(|_| fact.key.len() > 1 && !part);
    Some(Line {
        born: fact.born,
        record_type: fact.record_type.clone(),
        late: is_late(&day, fact.received_ms, late_days.of(&fact.record_type)),
        round: round.map(RecordId::to_string).unwrap_or_default(),
        area,
        status: stay.map_or(&fact.status, |stay| &stay.status).clone(),
        persons: stay.map_or(0, |stay| stay.persons),
        counts: stay.is_some_and(|stay| stay.counts),
        stands: 0,
        open_area: (differing || doubtful).then_some(fact.area),
        day,
        differing,
        doubtful,
    })
}

/// Decides which of a subject's records stand for it in which period: the last one, by day and birth.
fn choose(lines: &mut [Line]) {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| (&lines[*a].day, lines[*a].born).cmp(&(&lines[*b].day, lines[*b].born)));
    let mut last: BTreeMap<(u8, String, String), usize> = BTreeMap::new();
    for place in order {
        let line = &mut lines[place];
        line.stands = 0;
        if line.counts {
            for (bit, period) in periods(line) {
                last.insert((bit, period, line.record_type.clone()), place);
            }
        }
    }
    for ((bit, ..), place) in last {
        lines[place].stands |= bit;
    }
}

/// The periods that a line counts in, each with its bit.
fn periods(line: &Line) -> impl Iterator<Item = (u8, String)> {
    let whole = (!is_part(&line.record_type)).then(|| (WHOLE, String::new()));
    let round = (!line.round.is_empty()).then(|| (ROUND, format!("round:{}", line.round)));
    let calendar = Period::of_day(&line.day);
    let calendar = calendar.into_iter().flatten().zip([MONTH, QUARTER, YEAR]).map(|(period, bit)| (bit, period));
    calendar.chain(whole).chain(round)
}

/// Sums that change, and what they change by.
#[derive(Debug, Default)]
pub struct Tally(pub Cells);

impl Tally {
    fn add(&mut self, area: AreaId, period: String, (record_type, status): (&str, &str), sums: Sums) {
        let cell = Cell { area, period, record_type: record_type.to_owned(), status: status.to_owned() };
        self.0.entry(cell).or_default().add(&sums, 1);
    }

    /// Adds what a record adds, or takes it away.
    pub fn line(&mut self, line: &Line, sign: i64) {
        // what lay in no area of the township is nobody's figure, though its open answers are
        for (bit, period) in periods(line).filter(|_| line.area != AreaId::NOWHERE) {
            let stands = line.stands & bit != 0;
            let sums = Sums {
                records: sign,
                late: if line.late { sign } else { 0 },
                households: if stands { sign } else { 0 },
                persons: if stands { sign * i64::from(line.persons) } else { 0 },
            };
            self.add(line.area, period, (&line.record_type, &line.status), sums);
        }
        let one = Sums { records: sign, ..Sums::default() };
        let area = line.open_area.unwrap_or(line.area);
        for (open, period) in [(line.differing, DIFFERING), (line.doubtful, DOUBTFUL)] {
            if open {
                self.add(area, period.to_owned(), (&line.record_type, ""), one);
            }
        }
    }

    /// Adds a household's stays, or takes them away: what each day changes.
    pub fn stays(&mut self, stays: &[Stay], sign: i64) {
        for stay in stays.iter().filter(|stay| stay.counts) {
            let sums =
                |sign: i64| Sums { households: sign, persons: sign * i64::from(stay.persons), ..Sums::default() };
            self.change(stay, &stay.from, sums(sign));
            if stay.until != FOREVER {
                self.change(stay, &stay.until, sums(-sign));
            }
        }
    }

    fn change(&mut self, stay: &Stay, day: &str, sums: Sums) {
        let periods = match (day.get(..4), day.get(..7)) {
            (Some(year), Some(month)) => vec![format!("y{year}"), format!("m{month}"), format!("d{day}")],
            _ => vec!["y".to_owned()],
        };
        for period in periods {
            self.add(stay.area, period, (&stay.record_type, &stay.status), sums);
        }
    }

    /// The sums that really change.
    pub fn changes(self) -> impl Iterator<Item = (Cell, Sums)> {
        self.0.into_iter().filter(|(_, sums)| !sums.is_zero())
    }
}

/// The lines about one subject, and about what is united into it, that become others, where `facts` are those of its records
/// that changed and `lines` what is stored, at least of the same types. The subject's own line isn't among them.
pub fn regroup(lines: &[Line], facts: &[&Fact], stays: &[Stay], late_days: &LateDays) -> Vec<LineChange> {
    let mut before: BTreeMap<u64, &Line> = lines.iter().map(|line| (line.born, line)).collect();
    let mut now: BTreeMap<u64, Line> = before.iter().map(|(born, line)| (*born, (*line).clone())).collect();
    for fact in facts {
        match line(fact, stays, late_days) {
            Some(line) => now.insert(fact.born, line),
            None => now.remove(&fact.born),
        };
    }
    let mut now: Vec<Line> = now.into_values().collect();
    choose(&mut now);
    let mut changes = Vec::new();
    for line in now {
        let old = before.remove(&line.born);
        if old != Some(&line) {
            changes.push(LineChange { born: line.born, old: old.cloned(), new: Some(line) });
        }
    }
    changes.extend(before.into_values().map(|old| LineChange { born: old.born, old: Some(old.clone()), new: None }));
    changes
}

/// What is stored about what a group of merges touched.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The records that changed. With a household whose stays changed, all records about it.
    pub facts: BTreeMap<u64, Fact>,
    /// The stays of all their subjects, as they are now.
    pub stays: HashMap<RecordId, Vec<Stay>>,
    /// Their own lines and those of the same subjects, at least of the same types, each with the record's subject.
    pub lines: Vec<(Option<RecordId>, Line)>,
    /// What is united with them and with their subjects.
    pub united: United,
}

impl Loaded {
    /// The records about nothing, and the subjects of the others: what may be united with something.
    pub fn concerned(&self) -> BTreeSet<RecordId> {
        self.facts.values().map(|fact| fact.subject.unwrap_or(fact.id)).collect()
    }

    /// The subjects of the records, with what is united with them, each with a type of which there are records.
    pub fn subjects(&self) -> BTreeSet<(RecordId, &str)> {
        let about = self.facts.values().filter_map(|fact| Some((fact.subject?, fact.record_type.as_str())));
        let about: BTreeSet<(RecordId, &str)> = about.collect();
        let all = |(id, record_type)| self.united.all(id).into_iter().map(move |id| (id, record_type));
        about.into_iter().flat_map(all).collect()
    }

    /// The stays of a household as they are now: none of one that another stands for.
    pub fn stays_now(&self, household: &Fact) -> Vec<Stay> {
        if self.united.is_led(household.id) { Vec::new() } else { stays(household) }
    }

    /// The lines that become others.
    pub fn changes(&self, late_days: &LateDays) -> Vec<LineChange> {
        let mut groups: BTreeMap<Option<RecordId>, (Vec<Line>, Vec<&Fact>)> = BTreeMap::new();
        for fact in self.facts.values() {
            groups.entry(fact.subject.map(|id| self.united.lead(id))).or_default().1.push(fact);
        }
        for (subject, line) in &self.lines {
            groups.entry(subject.map(|id| self.united.lead(id))).or_default().0.push(line.clone());
        }
        let mut changes = Vec::new();
        for (subject, (lines, facts)) in &groups {
            let stays = subject.and_then(|s| self.stays.get(&s)).map(Vec::as_slice).unwrap_or_default();
            changes.extend(regroup(lines, facts, stays, late_days));
        }
        changes
    }
}

/// A line that becomes another, comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineChange {
    /// Of which record.
    pub born: u64,
    /// As it is stored.
    pub old: Option<Line>,
    /// As it will be.
    pub new: Option<Line>,
}

impl LineChange {
    /// Enters the change into sums.
    pub fn tally(&self, tally: &mut Tally) {
        if let Some(old) = &self.old {
            tally.line(old, -1);
        }
        if let Some(new) = &self.new {
            tally.line(new, 1);
        }
    }
}

/// Everything of one subject, and of what is united into it, from scratch: the lines by birth, and the stays. `facts` are
/// those of all of them.
pub fn from_scratch(
    subject: RecordId,
    united: &United,
    facts: &[Fact],
    late_days: &LateDays,
) -> (Vec<Line>, Vec<Stay>) {
    let own = facts.iter().find(|fact| fact.id == subject);
    let stays = own.map(stays).unwrap_or_default();
    let is_about = |fact: &&Fact| fact.subject.is_some_and(|id| united.lead(id) == subject);
    let about: Vec<&Fact> = facts.iter().filter(is_about).collect();
    let mut changes = regroup(&[], &about, &stays, late_days);
    for own in facts.iter().filter(|fact| fact.subject.is_none() && united.lead(fact.id) == subject) {
        changes.extend(regroup(&[], &[own], &[], late_days));
    }
    let mut lines: Vec<Line> = changes.into_iter().filter_map(|change| change.new).collect();
    lines.sort_by_key(|line| line.born);
    (lines, stays)
}
