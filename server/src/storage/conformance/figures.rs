//! Figures: equal to a recomputation after every group of merges, traceable to their lists, frozen when told.

use std::collections::BTreeMap;

use super::*;
use crate::calendar::Period;
use crate::storage::figures::plan::{self, Tally};
use crate::storage::figures::{
    FigureEntry, FigureFilter, FigureQuery, FigureRow, FrozenReport, Kind, LATE_SETTING, LateDays, Sums,
};
use crate::storage::{DoubtCheck, Move, NewDoubt, Refreshed, United};

mod histories;

claims!(
    households_count_once_a_period_and_where_they_lay,
    persons_count_as_of_the_day,
    what_was_before_a_move_stays_where_it_was,
    a_visit_before_its_household_counts_with_it_once_it_is_known,
    late_is_counted_where_the_date_says,
    an_edited_day_moves_the_record_to_its_period,
    a_round_has_figures_of_its_own,
    a_list_has_exactly_what_its_figure_counts_in_pages,
    differing_and_doubtful_records_are_counted_until_decided,
    computing_anew_changes_figures_too,
    figures_made_anew_are_the_same,
    a_frozen_report_stays_as_it_was,
    a_push_that_is_not_taken_leaves_figures_as_they_were,
);

/// 2026-03-10 12:00 in China.
const MARCH_10: u64 = 1_773_115_200_000;
const DAY_MS: u64 = 24 * 3_600_000;

fn with(mut record: PreparedRecord, change: impl FnOnce(&mut Projection)) -> PreparedRecord {
    change(&mut record.projection);
    record
}

fn household(device: &Device, area: AreaId, steps: &str, status: &str) -> PreparedRecord {
    with(record(device, "household", area, None), |p| {
        (p.steps, p.status) = (steps.to_owned(), status.to_owned());
    })
}

fn visit(device: &Device, area: AreaId, subject: RecordId, day: &str) -> PreparedRecord {
    with(record(device, "visit", area, Some(subject)), |p| p.day = day.to_owned())
}

fn merge(storage: &dyn Storage, device: &Device, received_ms: u64, records: Vec<PreparedRecord>) {
    done(storage, PreparedPush { received_ms, ..push(device, records) });
    assert_as_computed(storage, TOWNSHIP);
}

/// What is kept is what a computation from scratch gives.
pub(super) fn assert_as_computed(storage: &dyn Storage, township: AreaId) {
    let mut tally = Tally::default();
    let (mut lines, mut stays) = (0, 0);
    let facts = storage.figure_facts(township, 0, 1000).unwrap();
    let known: Vec<RecordId> = facts.iter().map(|fact| fact.id).collect();
    let united = United(storage.united(township).unwrap());
    let late_days = LateDays::stored(storage.setting(LATE_SETTING).unwrap().as_deref());
    let subjects = facts.iter().filter_map(|fact| fact.subject).chain(known.clone());
    for subject in subjects.map(|id| united.lead(id)).collect::<std::collections::BTreeSet<_>>() {
        let mut group = storage.figure_group(township, subject).unwrap();
        for one in united.all(subject).into_iter().filter(|one| *one != subject) {
            let led = storage.figure_group(township, one).unwrap();
            assert!(led.stays.is_empty(), "another one stands for it");
            group.facts.extend(led.facts);
            group.lines.extend(led.lines);
        }
        let (right, right_stays) = plan::from_scratch(subject, &united, &group.facts, &late_days);
        assert_eq!(group.stays, right_stays);
        for line in &right {
            assert_eq!(group.lines.iter().find(|l| l.born == line.born), Some(line));
            tally.line(line, 1);
        }
        tally.stays(&right_stays, 1);
        lines += right.len() as u64;
        stays += right_stays.len() as u64;
    }
    let (cells, kept_lines, kept_stays) = storage.figure_cells(township).unwrap();
    assert_eq!((kept_lines, kept_stays), (lines, stays));
    assert_eq!(cells, tally.changes().collect());
}

fn query(period: &str, as_of: &str) -> FigureQuery {
    FigureQuery { areas: Vec::new(), period: period.parse().unwrap(), as_of: as_of.to_owned() }
}

/// Sums of a kind by area.
fn sums(storage: &dyn Storage, query: &FigureQuery, kind: Kind, record_type: &str) -> BTreeMap<AreaId, Sums> {
    let mut sums: BTreeMap<AreaId, Sums> = BTreeMap::new();
    for row in storage.figures(TOWNSHIP, query).unwrap() {
        if row.kind == kind && row.record_type == record_type {
            sums.entry(row.area).or_default().add(&row.sums, 1);
        }
    }
    sums
}

fn reached(records: i64, late: i64, households: i64, persons: i64) -> Sums {
    Sums { records, late, households, persons }
}

fn filter(kind: Kind, period: &str, as_of: &str) -> FigureFilter {
    FigureFilter::whole(kind, period.parse().unwrap(), as_of.to_owned())
}

fn listed(entries: &[FigureEntry]) -> Vec<RecordId> {
    entries.iter().map(|entry| entry.record).collect()
}

fn households_count_once_a_period_and_where_they_lay(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let (a, b) = (household(&device, VILLAGE, "3", "out"), household(&device, OTHER_VILLAGE, "2", "not_out"));
    // made in another village than the household's: the household's counts
    let visits = vec![
        visit(&device, OTHER_VILLAGE, a.id, "2026-02-03"),
        visit(&device, OTHER_VILLAGE, a.id, "2026-03-01"),
        visit(&device, OTHER_VILLAGE, a.id, "2026-03-09"),
        visit(&device, OTHER_VILLAGE, b.id, "2025-12-31"),
        record(&device, "visit.sensitive", OTHER_VILLAGE, Some(a.id)),
    ];
    merge(&*storage, &device, MARCH_10, vec![a.clone(), b.clone()]);
    merge(&*storage, &device, MARCH_10, visits);
    let visited = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "visit");
    assert_eq!(visited("2026-03"), BTreeMap::from([(VILLAGE, reached(2, 0, 1, 3))]));
    assert_eq!(visited("2026-02"), BTreeMap::from([(VILLAGE, reached(1, 1, 1, 3))]));
    assert_eq!(visited("2026-Q1"), BTreeMap::from([(VILLAGE, reached(3, 1, 1, 3))]));
    assert_eq!(visited("2025"), BTreeMap::from([(OTHER_VILLAGE, reached(1, 1, 1, 2))]));
    let whole = BTreeMap::from([(VILLAGE, reached(3, 1, 1, 3)), (OTHER_VILLAGE, reached(1, 1, 1, 2))]);
    assert_eq!(visited("all"), whole);
    let one = FigureQuery { areas: vec![OTHER_VILLAGE], ..query("all", "2026-03-10") };
    assert!(storage.figures(TOWNSHIP, &one).unwrap().iter().all(|row| row.area == OTHER_VILLAGE));
    assert_eq!(storage.figures(OTHER_TOWNSHIP, &query("all", "2026-03-10")).unwrap(), Vec::new());
}

fn persons_count_as_of_the_day(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3 2026-01-15=4 2026-03-01=-", "out");
    let new = household(&device, VILLAGE, "- 2026-02-01=2", "other");
    let visits = vec![visit(&device, VILLAGE, a.id, "2026-01-14"), visit(&device, VILLAGE, a.id, "2026-02-20")];
    merge(&*storage, &device, MARCH_10, visits);
    merge(&*storage, &device, MARCH_10, vec![a.clone(), new.clone()]);
    let stock = |as_of: &str| sums(&*storage, &query("all", as_of), Kind::Stock, "household").remove(&VILLAGE);
    assert_eq!(stock("1990-05-05"), Some(reached(0, 0, 1, 3)));
    assert_eq!(stock("2026-01-14"), Some(reached(0, 0, 1, 3)));
    assert_eq!(stock("2026-01-15"), Some(reached(0, 0, 1, 4)));
    assert_eq!(stock("2026-02-01"), Some(reached(0, 0, 2, 6)));
    assert_eq!(stock("2026-03-01"), Some(reached(0, 0, 1, 2)));
    assert_eq!(stock("2031-12-31"), Some(reached(0, 0, 1, 2)));
    let visited = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "visit")[&VILLAGE];
    assert_eq!((visited("2026-01").persons, visited("2026-02").persons, visited("2026").persons), (3, 4, 4));
    // a visit after the end is a record, but reaches no household
    merge(&*storage, &device, MARCH_10, vec![visit(&device, VILLAGE, a.id, "2026-03-02")]);
    assert_eq!(visited("2026-03"), reached(1, 0, 0, 0));
    assert_eq!(visited("2026"), reached(3, 2, 1, 4));
    // a death of January that is told in March changes January
    let told = with(next(&a, &device), |p| p.steps = "3 2026-01-10=2 2026-03-01=-".to_owned());
    merge(&*storage, &device, MARCH_10, vec![told]);
    assert_eq!((visited("2026-01").persons, stock("2026-01-10")), (2, Some(reached(0, 0, 1, 2))));
}

fn what_was_before_a_move_stays_where_it_was(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let early = with(visit(&device, VILLAGE, a.id, "2026-01-05"), |p| p.differences = 1);
    merge(&*storage, &device, MARCH_10, vec![a.clone(), early.clone()]);
    let moved = Move::by_office(a.id, OTHER_VILLAGE, "2026-02-01");
    done(&*storage, PreparedPush { moves: vec![moved], received_ms: MARCH_10, ..push(&device, Vec::new()) });
    assert_as_computed(&*storage, TOWNSHIP);
    let visits = ["2026-01-31", "2026-02-01"].map(|day| visit(&device, OTHER_VILLAGE, a.id, day));
    merge(&*storage, &device, MARCH_10, visits.to_vec());
    let stock = |as_of: &str| sums(&*storage, &query("all", as_of), Kind::Stock, "household");
    assert_eq!(stock("2026-01-31"), BTreeMap::from([(VILLAGE, reached(0, 0, 1, 3))]));
    assert_eq!(stock("2026-02-01"), BTreeMap::from([(OTHER_VILLAGE, reached(0, 0, 1, 3))]));
    let visited = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "visit");
    assert_eq!(visited("2026-01"), BTreeMap::from([(VILLAGE, reached(2, 2, 1, 3))]));
    assert_eq!(visited("2026-02"), BTreeMap::from([(OTHER_VILLAGE, reached(1, 1, 1, 3))]));
    let quarter = BTreeMap::from([(VILLAGE, reached(2, 2, 0, 0)), (OTHER_VILLAGE, reached(1, 1, 1, 3))]);
    assert_eq!(visited("2026-Q1"), quarter);
    // but what is still to be decided is decided where the record lies now
    let differing = sums(&*storage, &query("all", "2026-03-10"), Kind::Differing, "visit");
    assert_eq!(differing, BTreeMap::from([(OTHER_VILLAGE, reached(1, 0, 0, 0))]));
    let before = storage.figure_cells(TOWNSHIP).unwrap();
    storage.rebuild_figures(TOWNSHIP).unwrap();
    assert_eq!(storage.figure_cells(TOWNSHIP).unwrap(), before);
}

fn a_visit_before_its_household_counts_with_it_once_it_is_known(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    merge(&*storage, &device, MARCH_10, vec![visit(&device, OTHER_VILLAGE, a.id, "2026-03-01")]);
    let visited = || sums(&*storage, &query("2026-03", "2026-03-10"), Kind::Records, "visit");
    assert_eq!(visited(), BTreeMap::from([(OTHER_VILLAGE, reached(1, 0, 0, 0))]));
    merge(&*storage, &device, MARCH_10, vec![a]);
    assert_eq!(visited(), BTreeMap::from([(VILLAGE, reached(1, 0, 1, 3))]));
}

fn late_is_counted_where_the_date_says(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let (in_time, late) = (visit(&device, VILLAGE, a.id, "2026-02-27"), visit(&device, VILLAGE, a.id, "2026-02-28"));
    // the third and the fourth of March
    merge(&*storage, &device, MARCH_10 - 7 * DAY_MS, vec![a.clone(), in_time]);
    merge(&*storage, &device, MARCH_10 - 6 * DAY_MS, vec![late.clone()]);
    let visited = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "visit").remove(&VILLAGE);
    assert_eq!(visited("2026-02"), Some(reached(2, 1, 1, 3)));
    assert_eq!(visited("2026-03"), None);
    let late_ones = FigureFilter { late: true, ..filter(Kind::Records, "2026-02", "") };
    assert_eq!(listed(&storage.figure_list(TOWNSHIP, &late_ones).unwrap()), [late.id]);
    // an edit doesn't make it later
    merge(&*storage, &device, MARCH_10 + 90 * DAY_MS, vec![next(&late, &device)]);
    assert_eq!(visited("2026-02"), Some(reached(2, 1, 1, 3)));
}

fn an_edited_day_moves_the_record_to_its_period(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let made = visit(&device, VILLAGE, a.id, "2026-03-05");
    merge(&*storage, &device, MARCH_10, vec![a, made.clone()]);
    let moved = with(next(&made, &device), |p| p.day = "2026-01-31".to_owned());
    merge(&*storage, &device, MARCH_10, vec![moved.clone()]);
    let visited = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "visit").remove(&VILLAGE);
    assert_eq!((visited("2026-03"), visited("2026-01")), (None, Some(reached(1, 1, 1, 3))));
    let blank = with(next(&moved, &device), |p| p.day = "unknown".to_owned());
    merge(&*storage, &device, MARCH_10, vec![blank]);
    assert_eq!((visited("2026"), visited("all")), (None, Some(reached(1, 0, 1, 3))));
}

fn a_round_has_figures_of_its_own(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let rounds = [RecordId(unique()), RecordId(unique())];
    let screening = |round: RecordId, day: &str| {
        let identity = Identity::keyed("screening", &[round, a.id]);
        let made = with(record(&device, "screening", VILLAGE, Some(a.id)), |p| p.day = day.to_owned());
        PreparedRecord { identity, ..made }
    };
    let made = vec![a.clone(), screening(rounds[0], "2026-03-01"), screening(rounds[1], "2026-03-02")];
    merge(&*storage, &device, MARCH_10, made.clone());
    let screened = |period: &str| sums(&*storage, &query(period, "2026-03-10"), Kind::Records, "screening")[&VILLAGE];
    for (round, record) in rounds.iter().zip(&made[1..]) {
        let period = format!("round:{round}");
        assert_eq!(screened(&period), reached(1, 0, 1, 3));
        assert_eq!(listed(&storage.figure_list(TOWNSHIP, &filter(Kind::Records, &period, "")).unwrap()), [record.id]);
    }
    assert_eq!(screened("2026-03"), reached(2, 0, 1, 3));
}

fn a_list_has_exactly_what_its_figure_counts_in_pages(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let mut records = Vec::new();
    for n in 0..12 {
        let area = if n % 3 == 0 { VILLAGE } else { OTHER_VILLAGE };
        let a = household(&device, area, if n % 4 == 0 { "2 2026-02-10=-" } else { "2" }, ["out", "other"][n % 2]);
        records.extend((0..n % 3).map(|v| visit(&device, VILLAGE, a.id, &format!("2026-0{}-05", 1 + v * 2))));
        records.push(a);
    }
    merge(&*storage, &device, MARCH_10, records);
    for (period, as_of) in [("2026-03", "2026-03-10"), ("2026-Q1", "2026-01-31"), ("all", "2026-02-10")] {
        assert_lists_agree(&*storage, period, as_of);
    }
}

/// Each figure is the sum of its list.
fn assert_lists_agree(storage: &dyn Storage, period: &str, as_of: &str) {
    for row in storage.figures(TOWNSHIP, &query(period, as_of)).unwrap() {
        let counts = matches!(row.kind, Kind::Stock | Kind::Records);
        let of_row = FigureFilter {
            areas: vec![row.area],
            record_type: Some(row.record_type.clone()),
            status: counts.then(|| row.status.clone()),
            limit: 2,
            ..filter(row.kind, period, as_of)
        };
        let all = pages(storage, of_row.clone());
        if !counts {
            assert_eq!(row.sums, reached(all.len() as i64, 0, 0, 0), "{period} {row:?}");
            continue;
        }
        let stands: Vec<&FigureEntry> = all.iter().filter(|e| e.household).collect();
        let persons: i64 = stands.iter().map(|e| i64::from(e.persons)).sum();
        let records = if row.kind == Kind::Stock { 0 } else { all.len() as i64 };
        let late = all.iter().filter(|e| e.late).count() as i64;
        assert_eq!(row.sums, reached(records, late, stands.len() as i64, persons), "{period} {row:?}");
        let households = pages(storage, FigureFilter { households: true, ..of_row });
        assert_eq!(households.len(), stands.len(), "{period} {row:?}");
    }
}

fn pages(storage: &dyn Storage, mut filter: FigureFilter) -> Vec<FigureEntry> {
    let mut all: Vec<FigureEntry> = Vec::new();
    loop {
        let page = storage.figure_list(TOWNSHIP, &filter).unwrap();
        assert!(page.len() <= filter.limit as usize);
        let Some(last) = page.last() else { return all };
        assert!(page[0].born > filter.after);
        filter.after = last.born;
        all.extend(page);
    }
}

fn doubts(keys: &[&str], before: u32) -> DoubtCheck {
    let found = keys.iter().map(|key| NewDoubt {
        key: (*key).to_owned(),
        kind: doorstep_core::form::session::Doubt::Constraint,
        class: doorstep_core::form::Sensitivity::Core,
        form: doorstep_core::record::FormRef { name: "visit".to_owned(), version: 1 },
    });
    DoubtCheck { before, found: found.collect(), date_judged: true }
}

fn differing_and_doubtful_records_are_counted_until_decided(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let part = with(record(&device, "household.sensitive", VILLAGE, Some(a.id)), |p| p.differences = 2);
    let open = PreparedRecord { check: doubts(&["x", "y"], 0), ..visit(&device, VILLAGE, a.id, "2026-03-05") };
    merge(&*storage, &device, MARCH_10, vec![a.clone(), part.clone(), open.clone()]);
    let count = |kind: Kind| -> Vec<(String, i64)> {
        let rows = storage.figures(TOWNSHIP, &query("2026-03", "2026-03-10")).unwrap();
        let rows = rows.into_iter().filter(|row| row.kind == kind);
        rows.map(|row: FigureRow| (row.record_type, row.sums.records)).collect()
    };
    let one = |record_type: &str| vec![(record_type.to_owned(), 1)];
    assert_eq!(count(Kind::Differing), one("household.sensitive"));
    assert_eq!(count(Kind::Doubtful), one("visit"));
    let list = |kind| listed(&storage.figure_list(TOWNSHIP, &filter(kind, "all", "")).unwrap());
    assert_eq!((list(Kind::Differing), list(Kind::Doubtful)), (vec![part.id], vec![open.id]));
    let whole = listed(&storage.figure_list(TOWNSHIP, &filter(Kind::Records, "all", "")).unwrap());
    assert!(!whole.contains(&part.id), "a part counts with the record that it belongs to");
    let decided = with(next(&part, &device), |p| p.differences = 0);
    let mended = PreparedRecord { check: doubts(&[], 2), ..next(&open, &device) };
    merge(&*storage, &device, MARCH_10, vec![decided, mended]);
    assert_eq!((count(Kind::Differing), count(Kind::Doubtful)), (Vec::new(), Vec::new()));
}

fn computing_anew_changes_figures_too(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    merge(&*storage, &device, MARCH_10, vec![a.clone(), visit(&device, VILLAGE, a.id, "2026-03-05")]);
    let projection = Projection { steps: "5".to_owned(), status: "other".to_owned(), ..a.projection.clone() };
    let anew =
        Refreshed { id: a.id, heads: a.heads.clone(), beside: Vec::new(), projection, check: DoubtCheck::default() };
    assert_eq!(storage.refresh(TOWNSHIP, &[anew], MARCH_10).unwrap(), 1);
    assert_as_computed(&*storage, TOWNSHIP);
    let rows = storage.figures(TOWNSHIP, &query("2026-03", "2026-03-10")).unwrap();
    let (stock, visited): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.kind == Kind::Stock);
    assert_eq!((stock[0].status.as_str(), stock[0].sums), ("other", reached(0, 0, 1, 5)));
    assert_eq!((visited[0].status.as_str(), visited[0].sums), ("other", reached(1, 0, 1, 5)));
    assert_eq!((stock.len(), visited.len()), (1, 1));
}

fn figures_made_anew_are_the_same(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3 2026-01-01=4", "out");
    let visits = ["2025-12-31", "2026-01-01", "2026-03-09"].map(|day| visit(&device, VILLAGE, a.id, day));
    merge(&*storage, &device, MARCH_10, visits.into_iter().chain([a]).collect());
    let before = storage.figure_cells(TOWNSHIP).unwrap();
    assert_eq!(storage.rebuild_figures(TOWNSHIP).unwrap(), 4);
    assert_eq!(storage.figure_cells(TOWNSHIP).unwrap(), before);
    // other rules, other figures
    for (rule, late) in [("300", 0), ("300 visit=40", 1), ("0 visit=300", 0)] {
        storage.set_setting(LATE_SETTING, rule).unwrap();
        storage.rebuild_figures(TOWNSHIP).unwrap();
        assert_as_computed(&*storage, TOWNSHIP);
        let visited = sums(&*storage, &query("all", ""), Kind::Records, "visit");
        assert_eq!(visited, BTreeMap::from([(VILLAGE, reached(3, late, 1, 4))]), "{rule}");
    }
    assert_eq!(storage.rebuild_figures(OTHER_TOWNSHIP).unwrap(), 0);
}

fn a_frozen_report_stays_as_it_was(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    let first = visit(&device, VILLAGE, a.id, "2026-02-05");
    merge(&*storage, &device, MARCH_10, vec![a.clone(), first.clone()]);
    let period: Period = "2026-02".parse().unwrap();
    let report = FrozenReport {
        no: 0,
        name: "二月".to_owned(),
        period: period.to_string(),
        as_of: "2026-02-28".to_owned(),
        made_ms: MARCH_10,
        made_by: "甲".to_owned(),
        areas: "[]".to_owned(),
    };
    assert_eq!(storage.freeze(TOWNSHIP, &report, &period).unwrap(), 1);
    assert_eq!(storage.freeze(TOWNSHIP, &report, &period).unwrap(), 2);
    let entries = |kind| storage.frozen_entries(TOWNSHIP, 1, kind, 0, 100).unwrap();
    let then = (entries(Kind::Stock), entries(Kind::Records));
    assert_eq!((listed(&then.0), listed(&then.1)), (vec![a.id], vec![first.id]));
    let moved = with(next(&first, &device), |p| p.day = "2026-01-05".to_owned());
    let grown = with(next(&a, &device), |p| p.steps = "3 2026-02-20=4".to_owned());
    merge(&*storage, &device, MARCH_10, vec![moved, grown, visit(&device, VILLAGE, a.id, "2026-02-06")]);
    assert_eq!((entries(Kind::Stock), entries(Kind::Records)), then);
    let now = storage.figure_list(TOWNSHIP, &filter(Kind::Stock, "2026-02", "2026-02-28")).unwrap();
    assert_eq!((now[0].persons, then.0[0].persons), (4, 3));
    let reports = storage.frozen_reports(TOWNSHIP).unwrap();
    assert_eq!(reports[1], FrozenReport { no: 1, ..report });
    assert_eq!(storage.frozen_entries(TOWNSHIP, 1, Kind::Records, then.1[0].born, 100).unwrap(), Vec::new());
    assert_eq!(storage.frozen_reports(OTHER_TOWNSHIP).unwrap(), Vec::new());
}

fn a_push_that_is_not_taken_leaves_figures_as_they_were(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let a = household(&device, VILLAGE, "3", "out");
    merge(&*storage, &device, MARCH_10, vec![a.clone()]);
    let stale = PreparedRecord { base_heads: Some(vec![new_hash()]), ..next(&a, &device) };
    let half = push(&device, vec![visit(&device, VILLAGE, a.id, "2026-03-05"), stale]);
    let other = push(&device, vec![visit(&device, VILLAGE, a.id, "2026-03-06")]);
    let answers = storage.commit_group(&[half, other]).unwrap();
    assert!(matches!(answers[0], Ok(Committed::Moved)) && matches!(answers[1], Ok(Committed::Done(_))));
    assert_as_computed(&*storage, TOWNSHIP);
    let visited = sums(&*storage, &query("2026-03", ""), Kind::Records, "visit");
    assert_eq!(visited, BTreeMap::from([(VILLAGE, reached(1, 0, 1, 3))]));
}

/// A township with one village, one household in ten records, the others visits of a year and more.
pub(in crate::storage) fn village_with(
    records: usize,
) -> (tempfile::TempDir, crate::storage::SqliteStorage, AreaId, AreaId) {
    let folder = tempfile::tempdir().unwrap();
    let storage = crate::storage::SqliteStorage::open(&folder.path().join("server.db")).unwrap();
    storage.secrets(&secrets()).unwrap();
    let device = enrol(&storage, TOWNSHIP);
    let houses: Vec<PreparedRecord> = (0..records / 10).map(|_| household(&device, VILLAGE, "3", "out")).collect();
    let visits = (0..records - houses.len()).map(|n| {
        let day = format!("202{}-{:02}-{:02}", 5 + n % 2, 1 + n / 2 % 12, 1 + n / 24 % 28);
        visit(&device, VILLAGE, houses[n % houses.len()].id, &day)
    });
    let visits: Vec<PreparedRecord> = visits.collect();
    for part in houses.chunks(500).chain(visits.chunks(500)) {
        done(&storage, PreparedPush { received_ms: MARCH_10, ..push(&device, part.to_vec()) });
    }
    (folder, storage, TOWNSHIP, VILLAGE)
}
