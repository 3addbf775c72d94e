//! What moves records, in whatever order it is heard of.

use std::collections::BTreeMap;

use super::*;
use crate::storage::relocation::{Move, MovedBy, past};

claims!(
    where_a_record_lies_follows_from_its_moves_in_whatever_order_they_come,
    an_area_that_goes_into_another_takes_along_what_lies_there_by_then
);

const AREAS: [AreaId; 3] = [VILLAGE, OTHER_VILLAGE, AreaId([13; 16])];
const DAYS: [&str; 4] = ["2026-01-05", "2026-02-10", "2026-02-11", "2026-04-01"];

/// A small generator of its own: the same histories each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// What an event says by and by: where and when, or that it was a mistake.
    fn tellings(&mut self) -> Vec<(Option<AreaId>, &'static str)> {
        let mut tell = || (Some(AREAS[self.roll(3)]).filter(|_| self.roll(4) > 0), DAYS[self.roll(4)]);
        let mut told = vec![tell(), tell(), tell()];
        told.truncate(1 + self.roll(3));
        told
    }
}

/// Where a record lies on a day by what its events say last.
fn by_rule(last: &BTreeMap<RecordId, (Option<AreaId>, &str)>, day: &str) -> AreaId {
    let moves = last.iter().filter_map(|(event, (area, from))| Some((*from, *event, (*area)?)));
    moves.filter(|(from, ..)| *from <= day).max().map_or(VILLAGE, |(.., area)| area)
}

fn by_rows(storage: &dyn Storage, record: RecordId, day: &str) -> AreaId {
    let (earlier, now) = past(&storage.relocations(TOWNSHIP, record).unwrap());
    let before = earlier.iter().find(|(until, _)| until.as_str() > day).map(|(_, area)| *area);
    before.or(now).unwrap_or(VILLAGE)
}

fn where_a_record_lies_follows_from_its_moves_in_whatever_order_they_come(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let mut dice = Dice(0x5eed_0000_0000_0025);
    for round in 0..30 {
        let events: BTreeMap<RecordId, _> = (0..=dice.roll(4)).map(|_| (RecordId(unique()), dice.tellings())).collect();
        let last = events.iter().map(|(event, told)| (*event, *told.last().unwrap())).collect();
        // one history, heard of in two orders by two households
        for _ in 0..2 {
            let mut household = record(&device, "household", VILLAGE, None);
            household.projection.steps = "3".to_owned();
            let visit = record(&device, "visit", VILLAGE, Some(household.id));
            let (house, about) = (household.id, visit.id);
            done(&*storage, push(&device, vec![household, visit]));
            let mut left: Vec<(RecordId, Vec<_>)> = events.iter().map(|(e, told)| (*e, told.clone())).collect();
            while !left.is_empty() {
                let which = dice.roll(left.len());
                let (event, told) = &mut left[which];
                let (area, from_day) = told.remove(0);
                let moved =
                    Move { record: house, event: Some(*event), only_from: None, area, from_day: from_day.to_owned() };
                if told.is_empty() {
                    left.remove(which);
                }
                done(&*storage, PreparedPush { moves: vec![moved], ..push(&device, Vec::new()) });
            }
            for day in ["2026-01-01", "2026-01-05", "2026-02-10", "2026-03-01", "2026-12-31"] {
                assert_eq!(by_rows(&*storage, house, day), by_rule(&last, day), "round {round}, {day}");
            }
            for id in [house, about] {
                let area = storage.record_row(TOWNSHIP, id).unwrap().unwrap().area;
                assert_eq!(area, by_rule(&last, "9999"), "round {round}");
            }
        }
    }
    figures::assert_as_computed(&*storage, TOWNSHIP);
}

fn an_area_that_goes_into_another_takes_along_what_lies_there_by_then(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    done(&*storage, push(&device, vec![house.clone()]));
    let event = RecordId([61; 16]);
    let told = |area, from_day: &str| {
        let moved = Move { event: Some(event), ..Move::by_office(house.id, OTHER_VILLAGE, from_day) };
        let moves = vec![Move { area, ..moved }];
        done(&*storage, PreparedPush { moves, ..push(&device, Vec::new()) });
    };
    told(Some(OTHER_VILLAGE), "2026-01-05");
    let merged = Move { only_from: Some(OTHER_VILLAGE), ..Move::by_office(house.id, AREAS[2], "2026-03-01") };
    done(&*storage, PreparedPush { moves: vec![merged], ..push(&device, Vec::new()) });
    let lies = |day| by_rows(&*storage, house.id, day);
    assert_eq!((lies("2026-01-04"), lies("2026-02-01"), lies("2026-03-01")), (VILLAGE, OTHER_VILLAGE, AREAS[2]));
    // it never lay in the area that went into the other one
    told(None, "2026-01-05");
    assert_eq!((lies("2026-02-01"), lies("2026-03-01")), (VILLAGE, VILLAGE));
    let rows = storage.relocations(TOWNSHIP, house.id).unwrap();
    assert!(rows.iter().any(|row| row.by == MovedBy::Start && row.area == VILLAGE));
    assert!(storage.relocations(OTHER_TOWNSHIP, house.id).unwrap().is_empty());
}
