//! Random histories, compared after every group with a computation from scratch, and with counts that know nothing of lines.

use std::collections::HashMap;

use doorstep_core::link::Verdict;

use super::super::links::linked;
use super::*;

claims!(figures_of_random_histories_with_links_are_what_counting_gives);

/// A small generator of its own: the same histories each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn day(&mut self) -> String {
        match self.roll(12) {
            0 => String::new(),
            1 => "2026-02-31".to_owned(),
            _ => {
                let (year, month, day) = (2025 + self.roll(2), 1 + self.roll(12), 1 + self.roll(28));
                format!("{year}-{month:02}-{day:02}")
            }
        }
    }

    fn steps(&mut self) -> String {
        let mut days: Vec<String> = (0..self.roll(4)).map(|_| self.day()).filter(|day| !day.ends_with("31")).collect();
        days.retain(|day| !day.is_empty());
        days.sort();
        days.dedup();
        let mut steps = if self.roll(6) == 0 { "-".to_owned() } else { self.roll(6).to_string() };
        for day in days {
            let value = if self.roll(5) == 0 { "-".to_owned() } else { self.roll(6).to_string() };
            steps.push_str(&format!(" {day}={value}"));
        }
        steps
    }

    fn area(&mut self) -> AreaId {
        [VILLAGE, OTHER_VILLAGE, AreaId([13; 16])][self.roll(3) as usize]
    }
}

/// What is true, by the rules as they are written down, of one record.
#[derive(Clone)]
struct Truth {
    record: PreparedRecord,
    received_ms: u64,
    born: u64,
    /// Where it lay from which day on, by day; the first place from the beginning.
    places: Vec<(String, AreaId)>,
}

impl Truth {
    /// Where it lay on a day: by the first of the moves after it.
    fn area_on(&self, day: &str) -> AreaId {
        let last = self.places.iter().rfind(|(from, _)| from.as_str() <= day);
        last.map_or(self.record.area, |(_, area)| *area)
    }
}

fn persons_on(steps: &str, day: &str) -> Option<i64> {
    let day = if day.is_empty() { "9999" } else { day };
    let step = steps.split(' ').rev().find(|step| step.split_once('=').is_none_or(|(from, _)| from <= day)).unwrap();
    step.rsplit('=').next().unwrap().parse().ok()
}

/// When the last visit of a household was, where it counts, for how many persons.
type Last = ((String, u64), (AreaId, String), i64);

/// Which household stands for which other, by links of two and of nothing else than what they say.
type Links = BTreeMap<(RecordId, RecordId), Option<RecordId>>;

/// The one that stands for a household: of all that can be reached by links the first that a link names, or the first.
fn lead(links: &Links, id: RecordId) -> RecordId {
    let mut all = vec![id];
    while let Some(more) = links.keys().find_map(|(a, b)| match (all.contains(a), all.contains(b)) {
        (true, false) => Some(*b),
        (false, true) => Some(*a),
        _ => None,
    }) {
        all.push(more);
    }
    let named = links.iter().filter(|((a, _), _)| all.contains(a)).filter_map(|(_, leads)| *leads);
    named.min().or_else(|| all.iter().min().copied()).unwrap()
}

/// Visits of a period, counted one by one: by area and status.
fn counted(truth: &HashMap<RecordId, Truth>, links: &Links, period: &Period) -> BTreeMap<(AreaId, String), Sums> {
    let mut sums: BTreeMap<(AreaId, String), Sums> = BTreeMap::new();
    let mut last: BTreeMap<RecordId, Last> = BTreeMap::new();
    for t in truth.values().filter(|t| t.record.identity.record_type == "visit") {
        let valid = crate::calendar::parse_day(&t.record.projection.day).is_some();
        let day = if valid { t.record.projection.day.clone() } else { String::new() };
        let inside = period.days().is_none_or(|(from, to)| from <= day && day <= to);
        if !inside {
            continue;
        }
        let subject = lead(links, t.record.subject.unwrap());
        let house = truth.get(&subject);
        let place = house.map_or_else(
            || (t.record.area, t.record.projection.status.clone()),
            |house| {
                let day = if day.is_empty() { "9999" } else { &day };
                (house.area_on(day), house.record.projection.status.clone())
            },
        );
        let sum = sums.entry(place.clone()).or_default();
        sum.records += 1;
        sum.late += i64::from(crate::calendar::is_late(&day, t.received_ms, 3));
        if let Some(persons) = house.and_then(|house| persons_on(&house.record.projection.steps, &day)) {
            let this = ((day, t.born), place, persons);
            match last.get(&subject) {
                Some(other) if other.0 > this.0 => {}
                _ => _ = last.insert(subject, this),
            }
        }
    }
    for (_, place, persons) in last.into_values() {
        let sum = sums.entry(place).or_default();
        sum.households += 1;
        sum.persons += persons;
    }
    sums
}

fn stock(truth: &HashMap<RecordId, Truth>, links: &Links, as_of: &str) -> BTreeMap<(AreaId, String), Sums> {
    let mut sums: BTreeMap<(AreaId, String), Sums> = BTreeMap::new();
    for t in truth.values().filter(|t| t.record.identity.record_type == "household") {
        let is_lead = lead(links, t.record.id) == t.record.id;
        if let Some(persons) = persons_on(&t.record.projection.steps, as_of).filter(|_| is_lead) {
            let sum = sums.entry((t.area_on(as_of), t.record.projection.status.clone())).or_default();
            sum.households += 1;
            sum.persons += persons;
        }
    }
    sums
}

fn kept(storage: &dyn Storage, query: &FigureQuery, kind: Kind, record_type: &str) -> BTreeMap<(AreaId, String), Sums> {
    let rows = storage.figures(TOWNSHIP, query).unwrap();
    let rows = rows.into_iter().filter(|row| row.kind == kind && row.record_type == record_type);
    rows.map(|row| ((row.area, row.status), row.sums)).collect()
}

fn figures_of_random_histories_with_links_are_what_counting_gives(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let mut dice = Dice(0x5eed_0000_0000_0007);
    let mut truth: HashMap<RecordId, Truth> = HashMap::new();
    // households are visited before anybody knows them, too
    let houses: Vec<RecordId> = (0..6).map(|_| RecordId(unique())).collect();
    let mut known: Vec<RecordId> = Vec::new();
    let mut links = Links::new();
    let mut link_ids: HashMap<(RecordId, RecordId), RecordId> = HashMap::new();
    let mut seq = 0;
    for round in 0..60 {
        let mut records: Vec<PreparedRecord> = Vec::new();
        let received_ms = MARCH_10 + dice.roll(400) * DAY_MS;
        for _ in 0..=dice.roll(5) {
            let taken: Vec<RecordId> = records.iter().map(|r| r.id).collect();
            let made = match dice.roll(10) {
                0..=2 => {
                    let id = houses[dice.roll(6) as usize];
                    let made = match truth.get(&id) {
                        Some(old) => next(&old.record, &device),
                        None => PreparedRecord { id, ..record(&device, "household", dice.area(), None) },
                    };
                    with(made, |p| {
                        p.steps = dice.steps();
                        p.status = ["out", "not_out"][dice.roll(2) as usize].to_owned();
                        p.differences = dice.roll(2) as u32;
                    })
                }
                3..=4 if !known.is_empty() => {
                    let old = &truth[&known[dice.roll(known.len() as u64) as usize]];
                    with(next(&old.record, &device), |p| {
                        p.day = dice.day();
                        p.differences = dice.roll(2) as u32;
                    })
                }
                _ => {
                    let made = visit(&device, dice.area(), houses[dice.roll(6) as usize], &dice.day());
                    with(made, |p| p.status = "own".to_owned())
                }
            };
            if !taken.contains(&made.id) {
                records.push(made);
            }
        }
        // linked, otherwise, or set apart again, among whatever else comes
        for _ in 0..dice.roll(3) {
            let (a, b) = (houses[dice.roll(6) as usize], houses[dice.roll(6) as usize]);
            let pair = (a.min(b), a.max(b));
            let id = *link_ids.entry(pair).or_insert_with(|| RecordId(unique()));
            if a == b || records.iter().any(|r| r.id == id) {
                continue;
            }
            let verdict = [Verdict::Same, Verdict::Same, Verdict::NotSame, Verdict::Open][dice.roll(4) as usize];
            let leads = [None, Some(a), Some(b)][dice.roll(3) as usize];
            match verdict {
                Verdict::Same => links.insert(pair, leads),
                _ => links.remove(&pair),
            };
            let said = linked(&device, pair, verdict, leads);
            let made = match truth.get(&id) {
                Some(old) => PreparedRecord { projection: said.projection, ..next(&old.record, &device) },
                None => PreparedRecord { id, ..said },
            };
            records.insert(dice.roll(records.len() as u64 + 1) as usize, made);
        }
        for made in &records {
            let before = truth.get(&made.id);
            let (born, received_ms) = before.map_or((seq + 1, received_ms), |b| (b.born, b.received_ms));
            if before.is_none() && made.identity.record_type == "visit" {
                known.push(made.id);
            }
            seq += 1;
            let places = before.map(|b| b.places.clone()).unwrap_or_default();
            let record = PreparedRecord { area: before.map_or(made.area, |b| b.record.area), ..made.clone() };
            truth.insert(made.id, Truth { record, received_ms, born, places });
        }
        // as two pushes of one group
        let second = records.split_off(records.len() / 2);
        let pushes: Vec<PreparedPush> = [records, second]
            .into_iter()
            .map(|records| PreparedPush { received_ms, ..push(&device, records) })
            .collect();
        let head = |answer: Committed| match answer {
            Committed::Done(position) => position.seq,
            other => panic!("not stored: {other:?}"),
        };
        for answer in storage.commit_group(&pushes).unwrap() {
            seq = head(answer.unwrap());
        }
        let moving = houses[dice.roll(6) as usize];
        let from_day = dice.day();
        if dice.roll(3) == 0 && truth.contains_key(&moving) && crate::calendar::parse_day(&from_day).is_some() {
            let to = dice.area();
            let house = truth.get_mut(&moving).unwrap();
            if house.record.area != to {
                if house.places.is_empty() {
                    house.places.push((String::new(), house.record.area));
                }
                house.places.push((from_day.clone(), to));
                // of several moves on one day the last one counts: the order stays as it is
                house.places.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let now = house.places.last().map_or(house.record.area, |(_, area)| *area);
            let about = |t: &&mut Truth| t.record.id == moving || t.record.subject == Some(moving);
            truth.values_mut().filter(about).for_each(|t| t.record.area = now);
            let moves = vec![Move::by_office(moving, to, from_day)];
            seq = head(commit(&*storage, PreparedPush { moves, received_ms, ..push(&device, Vec::new()) }));
        }
        assert_as_computed(&*storage, TOWNSHIP);
        for period in ["all", "2025", "2026-Q1", "2026-03", "2025-11"] {
            let as_of = dice.day();
            let as_of = if as_of.len() == 10 { as_of } else { "2026-02-28".to_owned() };
            let query = query(period, &as_of);
            let visits = kept(&*storage, &query, Kind::Records, "visit");
            assert_eq!(visits, counted(&truth, &links, &query.period), "round {round}, {period}");
            let households = kept(&*storage, &query, Kind::Stock, "household");
            assert_eq!(households, stock(&truth, &links, &as_of), "round {round}, as of {as_of}");
            if round % 10 == 9 {
                assert_lists_agree(&*storage, period, &as_of);
            }
        }
    }
    let kept = storage.figure_cells(TOWNSHIP).unwrap();
    storage.rebuild_figures(TOWNSHIP).unwrap();
    assert_eq!(storage.figure_cells(TOWNSHIP).unwrap(), kept, "made anew");
}
