//! Households that went to another township, and records that lie nowhere.

use super::*;
use crate::storage::{Arrival, Away, Move, PullPage, PullQuery, Write};

claims!(
    what_lies_nowhere_is_in_no_scope_and_is_taken_from_those_who_had_it,
    the_digest_counts_what_lies_somewhere,
    pushes_of_two_townships_are_committed_together_or_not_at_all,
    a_household_that_went_away_is_known_with_what_is_still_to_be_given_on,
);

fn settled(storage: &dyn Storage, township: AreaId) -> (Device, [PreparedRecord; 2]) {
    let device = enrol(storage, township);
    let house = record(&device, "household", VILLAGE, None);
    let visit = record(&device, "visit", VILLAGE, Some(house.id));
    done(storage, push(&device, vec![house.clone(), visit.clone()]));
    (device, [house, visit])
}

fn moving(device: &Device, record: RecordId, area: AreaId, day: &str) -> PreparedPush {
    PreparedPush { moves: vec![Move::by_office(record, area, day)], ..push(device, Vec::new()) }
}

fn page(storage: &dyn Storage, after: u64, complete: Vec<Scope>, fills: Vec<(u64, Scope, u64)>) -> PullPage {
    storage.pull_page(&PullQuery { township: TOWNSHIP, after, complete, fills, bytes_max: 1 << 20 }).unwrap()
}

fn what_lies_nowhere_is_in_no_scope_and_is_taken_from_those_who_had_it(storage: Arc<dyn Storage>) {
    let (device, [house, visit]) = settled(&*storage, TOWNSHIP);
    done(&*storage, moving(&device, house.id, AreaId::NOWHERE, "2026-06-01"));
    let areas = Scope { areas: vec![VILLAGE], ..Scope::default() };
    let subjects = Scope { subjects: vec![house.id], ..Scope::default() };
    for scope in [areas, subjects, whole()] {
        let news = page(&*storage, 2, vec![scope.clone()], Vec::new()).feed;
        let left = news.iter().map(|r| (r.id, r.arrival, r.changes.len())).collect::<Vec<_>>();
        assert_eq!(left, [(house.id, Arrival::Left, 0), (visit.id, Arrival::Left, 0)], "{scope:?}");
        assert_eq!(page(&*storage, 4, Vec::new(), vec![(1, scope.clone(), 0)]).fill, Vec::new(), "{scope:?}");
        let changes = page(&*storage, 0, vec![scope.clone()], Vec::new()).feed.into_iter().flat_map(|r| r.changes);
        assert_eq!(changes.count(), 0, "{scope:?}");
        let query = PullQuery {
            township: TOWNSHIP,
            after: 4,
            complete: Vec::new(),
            fills: vec![(1, scope, 0)],
            bytes_max: 1 << 20,
        };
        assert_eq!(storage.pull_cost(&query).unwrap(), (0, 0));
    }
    // what comes to it later is nobody's either, and coming back it comes whole
    done(&*storage, push(&device, vec![next(&house, &device)]));
    assert_eq!(page(&*storage, 4, vec![whole()], Vec::new()).feed, Vec::new());
    done(&*storage, moving(&device, house.id, OTHER_VILLAGE, "2026-07-01"));
    let back = page(&*storage, 5, vec![whole()], Vec::new()).feed;
    let back = back.iter().map(|r| (r.id, r.arrival, r.changes.len())).collect::<Vec<_>>();
    assert_eq!(back, [(house.id, Arrival::Entered, 2), (visit.id, Arrival::Entered, 1)]);
}

fn the_digest_counts_what_lies_somewhere(storage: Arc<dyn Storage>) {
    let (device, [house, visit]) = settled(&*storage, TOWNSHIP);
    let digest = || storage.head(TOWNSHIP).unwrap().1;
    let all = digest();
    done(&*storage, moving(&device, house.id, AreaId::NOWHERE, "2026-06-01"));
    assert_eq!(digest(), ScopeDigest::default());
    let newer = next(&house, &device);
    let about = record(&device, "visit", VILLAGE, Some(house.id));
    done(&*storage, push(&device, vec![newer.clone(), about.clone()]));
    assert_eq!(digest(), ScopeDigest::default(), "what is about it lies where it does, whatever the push says");
    done(&*storage, moving(&device, house.id, VILLAGE, "2026-07-01"));
    let mut counted = all;
    newer.changes.iter().chain(&about.changes).for_each(|change| counted.add(&change.hash));
    assert_eq!(digest(), counted);
    assert_eq!(counted.count, 4);
    assert_eq!(storage.record_row(TOWNSHIP, visit.id).unwrap().unwrap().area, VILLAGE);
}

fn pushes_of_two_townships_are_committed_together_or_not_at_all(storage: Arc<dyn Storage>) {
    let (here, [house, _]) = settled(&*storage, TOWNSHIP);
    let there = enrol(&*storage, OTHER_TOWNSHIP);
    let copy = PreparedRecord { area: AreaId::NOWHERE, ..house.clone() };
    let arriving = || PreparedPush {
        moves: vec![Move::by_office(house.id, OTHER_VILLAGE, "2026-06-01")],
        writes: vec![Write::Home(OTHER_TOWNSHIP, house.id)],
        ..push(&there, vec![copy.clone()])
    };
    let leaving = |upto| PreparedPush {
        writes: vec![Write::Leave(TOWNSHIP, Away { household: house.id, to: OTHER_TOWNSHIP, upto })],
        ..moving(&here, house.id, AreaId::NOWHERE, "2026-06-01")
    };
    // merged on what isn't there any more
    let stale = PreparedPush { records: vec![PreparedRecord { base_heads: None, ..house.clone() }], ..leaving(2) };
    assert!(!storage.commit_together(&[arriving(), stale]).unwrap());
    assert_eq!(
        (storage.record_row(OTHER_TOWNSHIP, house.id).unwrap(), storage.head(TOWNSHIP).unwrap().0.seq),
        (None, 2)
    );
    assert!(storage.commit_together(&[arriving(), leaving(2)]).unwrap());
    let again = PreparedPush { writes: leaving(2).writes, ..push(&here, Vec::new()) };
    assert!(!storage.commit_together(&[again]).unwrap(), "it leaves once");
    let area = |township| storage.record_row(township, house.id).unwrap().unwrap().area;
    assert_eq!((area(TOWNSHIP), area(OTHER_TOWNSHIP)), (AreaId::NOWHERE, OTHER_VILLAGE));
    let head = |township| storage.head(township).unwrap().0;
    assert_eq!((head(TOWNSHIP).seq, head(OTHER_TOWNSHIP).seq), (4, 2));
    assert!(storage.is_on_chain(TOWNSHIP, head(TOWNSHIP)).unwrap());
    assert!(storage.is_on_chain(OTHER_TOWNSHIP, head(OTHER_TOWNSHIP)).unwrap());
}

fn a_household_that_went_away_is_known_with_what_is_still_to_be_given_on(storage: Arc<dyn Storage>) {
    let (device, [house, visit]) = settled(&*storage, TOWNSHIP);
    let away = |upto| Away { household: house.id, to: OTHER_TOWNSHIP, upto };
    let go = |upto| PreparedPush {
        writes: vec![Write::Away(TOWNSHIP, away(upto))],
        ..moving(&device, house.id, AreaId::NOWHERE, "2026-06-01")
    };
    assert_eq!(storage.away(TOWNSHIP, house.id).unwrap(), None);
    done(&*storage, PreparedPush { writes: Vec::new(), ..go(0) });
    assert_eq!(storage.stranded(TOWNSHIP, 10).unwrap(), [house.id]);
    done(&*storage, go(2));
    assert_eq!(storage.stranded(TOWNSHIP, 10).unwrap(), []);
    assert_eq!(storage.away(TOWNSHIP, house.id).unwrap(), Some(away(2)));
    assert_eq!(storage.came_from(OTHER_TOWNSHIP, house.id).unwrap(), [TOWNSHIP]);
    assert_eq!(storage.came_from(TOWNSHIP, house.id).unwrap(), []);
    assert_eq!(storage.away_behind(TOWNSHIP, 10).unwrap(), [away(2)]);
    storage.note_given(TOWNSHIP, house.id, 4).unwrap();
    assert_eq!(storage.away_behind(TOWNSHIP, 10).unwrap(), []);
    done(&*storage, push(&device, vec![next(&visit, &device)]));
    assert_eq!(storage.away_behind(TOWNSHIP, 10).unwrap(), [away(4)]);
    done(&*storage, PreparedPush { writes: vec![Write::Home(TOWNSHIP, house.id)], ..push(&device, Vec::new()) });
    assert_eq!(storage.away(TOWNSHIP, house.id).unwrap(), None);
}
