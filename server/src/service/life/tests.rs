#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;

use doorstep_core::clock::{Clock, Entropy};
use doorstep_core::protocol::{AreaEntry, ScopeDigest};
use proptest::prelude::*;

use super::*;
use crate::register::office_user;
use crate::service::Committer;
use crate::storage::events::UNTRIED;
use crate::storage::relocation::past;
use crate::storage::{SqliteStorage, Storage};

const TOWNSHIP: AreaId = AreaId([1; 16]);
const OTHER_TOWNSHIP: AreaId = AreaId([2; 16]);
const HOUSEHOLD: RecordId = RecordId([50; 16]);
/// Three villages of the township, and one of another.
const VILLAGES: [AreaId; 4] = [AreaId([11; 16]), AreaId([12; 16]), AreaId([13; 16]), AreaId([21; 16])];
const DAYS: [&str; 4] = ["2026-01-05", "2026-02-10", "2026-02-11", "2026-04-01"];

/// What a move's record says at one time: village, day, taken back.
type Telling = (usize, usize, bool);

fn entry(area: AreaId, parent: Option<AreaId>) -> AreaEntry {
    let (code, name_zh, name_en) = Default::default();
    AreaEntry { area, parent, level: "village".to_owned(), code, name_zh, name_en }
}

/// A server's process; each start has keys of its own, by its seed.
fn service(dir: &std::path::Path, seed: u64) -> Arc<Service> {
    let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&dir.join("doorstep.db")).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(seed));
    let service = Service::open(storage, clock, entropy, Committer::Inline).unwrap();
    for (township, villages) in [(TOWNSHIP, &VILLAGES[..3]), (OTHER_TOWNSHIP, &VILLAGES[3..])] {
        let below = villages.iter().map(|village| entry(*village, Some(township)));
        let areas: Vec<AreaEntry> = std::iter::once(entry(township, None)).chain(below).collect();
        service.storage.put_areas(township, &areas).unwrap();
    }
    service
}

fn tell(office: &Office, event: RecordId, (village, day, withdrawn): Telling) {
    let answers = vec![
        ("to_area".to_owned(), Value::from(VILLAGES[village].to_string().as_str())),
        ("happened_on".to_owned(), Value::from(DAYS[day])),
        ("withdrawn".to_owned(), Value::Bool(withdrawn)),
    ];
    let identity = Identity::of_type("household_move");
    let (area, subject) = (VILLAGES[0], Some(HOUSEHOLD));
    office.write(&[FormInstance { id: event, identity, area, subject, answers }]).unwrap();
}

fn register(office: &Office) {
    let name = |key: &str| (key.to_owned(), Value::from("李四"));
    let answers = vec![name("head_name"), name("member#a/name")];
    let identity = Identity::of_type("household");
    let instance = FormInstance { id: HOUSEHOLD, identity, area: VILLAGES[0], subject: None, answers };
    office.write(&[instance]).unwrap();
}

#[test]
fn an_event_that_a_server_stored_and_stopped_before_trying_is_applied_by_the_next_one_that_starts() {
    let dir = tempfile::TempDir::new().unwrap();
    let day = ("happened_on".to_owned(), Value::from(DAYS[0]));
    let event = RecordId([100; 16]);
    {
        let service = service(dir.path(), 1);
        let office = Office::for_events(&service, TOWNSHIP).unwrap();
        register(&office);
        let answers = vec![day, ("member".to_owned(), Value::from("a"))];
        let (identity, area, subject) = (Identity::of_type("death"), VILLAGES[0], Some(HOUSEHOLD));
        office.write(&[FormInstance { id: event, identity, area, subject, answers }]).unwrap();
        let filed = service.storage.waiting_events(TOWNSHIP, None, 10).unwrap();
        assert_eq!(filed.iter().map(|w| (w.event, w.reason.as_str())).collect::<Vec<_>>(), [(event, UNTRIED)]);
    }
    let service = service(dir.path(), 2);
    // as the housekeeping of a server that starts does first
    service.retry_all_events().unwrap();
    assert!(service.storage.waiting_events(TOWNSHIP, None, 10).unwrap().is_empty());
    let stored = service.storage.load_records(TOWNSHIP, &[HOUSEHOLD]).unwrap().pop().flatten().unwrap();
    let answers = open_record(&stored).unwrap().answers();
    assert_eq!(answers.get("member#a/left_on"), Some(&Value::from(DAYS[0])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_household_lies_where_its_moves_say_in_its_township_or_another_in_whatever_order_they_and_the_household_arrive(
        told in prop::collection::vec(prop::collection::vec((0..4_usize, 0..4_usize, prop::bool::weighted(0.3)), 1..4), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let dir = tempfile::TempDir::new().unwrap();
        let service = service(dir.path(), 1);
        let office = Office::start(&service, office_user(&service).unwrap(), TOWNSHIP).unwrap();
        let events: BTreeMap<RecordId, &Vec<Telling>> =
            told.iter().enumerate().map(|(n, told)| (RecordId([100 + n as u8; 16]), told)).collect();
        let mut left: Vec<(Option<RecordId>, Vec<Telling>)> =
            events.iter().map(|(event, told)| (Some(*event), (*told).clone())).collect();
        left.push((None, vec![(0, 0, false)]));
        for next in &order {
            if left.is_empty() {
                break;
            }
            let which = next.index(left.len());
            let (event, told) = &mut left[which];
            let now = told.remove(0);
            match event {
                Some(event) => tell(&office, *event, now),
                None => register(&office),
            }
            if told.is_empty() {
                left.remove(which);
            }
        }
        let last = || events.iter().map(|(event, told)| (*event, *told.last().unwrap())).filter(|(_, (.., back))| !back);
        let moves: Vec<(&str, RecordId, AreaId)> =
            last().map(|(event, (village, day, _))| (DAYS[day], event, VILLAGES[village])).collect();
        let by_rule = |day: &str| moves.iter().filter(|(from, ..)| *from <= day).max().map_or(VILLAGES[0], |m| m.2);
        for (township, villages) in [(TOWNSHIP, &VILLAGES[..3]), (OTHER_TOWNSHIP, &VILLAGES[3..])] {
            let row = service.storage.record_row(township, HOUSEHOLD).unwrap();
            let (earlier, now) = past(&service.storage.relocations(township, HOUSEHOLD).unwrap());
            for day in ["2026-01-01", "2026-01-05", "2026-02-10", "2026-03-01", "2026-12-31"] {
                let before = earlier.iter().find(|(until, _)| until.as_str() > day).map(|(_, area)| *area);
                let here = before.or(now).or(row.as_ref().map(|row| row.area)).filter(|area| *area != AreaId::NOWHERE);
                prop_assert_eq!(here, Some(by_rule(day)).filter(|area| villages.contains(area)), "{}", day);
            }
            let is_home = villages.contains(&by_rule("9999"));
            prop_assert_eq!(service.storage.away(township, HOUSEHOLD).unwrap().is_some(), row.is_some() && !is_home);
            for id in events.keys().chain([&HOUSEHOLD]).filter(|_| row.is_some()) {
                let area = if is_home { by_rule("9999") } else { AreaId::NOWHERE };
                let lies = service.storage.record_row(township, *id).unwrap().map(|row| row.area);
                // where it isn't at home an event that was taken back needn't be
                prop_assert!(lies == Some(area) || !is_home && lies.is_none(), "{:?}", lies);
            }
            prop_assert_eq!(service.storage.waiting_events(township, None, 100).unwrap(), []);
            prop_assert_eq!(service.verify_figures(township).unwrap().differences, Vec::<String>::new());
            let (mut counted, mut after) = (ScopeDigest::default(), 0);
            while let Some(last) = service.storage.change_list(township, after, 100).unwrap().last() {
                for (_, record, _, hash) in service.storage.change_list(township, after, 100).unwrap() {
                    let row = service.storage.record_row(township, record).unwrap().unwrap();
                    if row.area != AreaId::NOWHERE {
                        counted.add(&hash);
                    }
                }
                after = last.0;
            }
            prop_assert_eq!(service.storage.head(township).unwrap().1, counted);
        }
    }
}
