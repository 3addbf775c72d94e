//! Pages of a pull: news, fills, limits, scopes.

use super::*;
use crate::storage::PullQuery;

claims!(
    news_are_grouped_by_record_and_filtered_by_scope,
    a_page_stops_near_its_bytes_and_the_next_goes_on,
    a_fill_brings_all_changes_by_birth_once_the_feed_is_read,
    records_ahead_in_a_fill_stay_out_of_the_feed,
    a_fill_about_a_subject_brings_the_subject_and_what_is_about_it,
    an_empty_scope_reads_nothing,
    the_cost_is_what_the_pages_bring,
    an_unknown_township_is_empty,
);

fn query(after: u64, complete: Scope) -> PullQuery {
    PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills: Vec::new(), bytes_max: 1 << 20 }
}

fn news_are_grouped_by_record_and_filtered_by_scope(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let elsewhere = record(&device, "household", OTHER_VILLAGE, None);
    let about = record(&device, "visit", OTHER_VILLAGE, Some(house.id));
    done(&*storage, push(&device, vec![house.clone(), elsewhere.clone(), about.clone()]));
    let newer = next(&house, &device);
    let head = done(&*storage, push(&device, vec![newer.clone()]));

    let page = storage.pull_page(&query(0, whole())).unwrap();
    assert_eq!(ids(&page.feed), vec![house.id, elsewhere.id, about.id]);
    assert_eq!((page.head, page.feed_upto), (head, head));
    let first = &page.feed[0];
    assert_eq!(first.changes.iter().map(|c| c.hash).collect::<Vec<_>>(), [house.heads[0], newer.heads[0]]);
    assert_eq!((&first.identity, first.born, &first.heads), (&house.identity, 1, &newer.heads));
    assert_eq!((first.area, first.subject, page.feed[2].subject), (VILLAGE, None, Some(house.id)));
    assert!(page.fill.is_empty() && page.fill_grant.is_none() && !page.fill_complete);

    // what is about a record lies where that lies when it is stored, also if it was merged for another place
    assert_eq!(ids(&storage.pull_page(&query(0, areas(&[VILLAGE]))).unwrap().feed), vec![house.id, about.id]);
    assert_eq!(ids(&storage.pull_page(&query(0, subjects(&[house.id]))).unwrap().feed), vec![house.id, about.id]);
    let late = storage.pull_page(&query(3, whole())).unwrap();
    assert_eq!(late.feed[0].changes.len(), 1);
    assert!(storage.pull_page(&query(head.seq, whole())).unwrap().feed.is_empty());
}

fn a_page_stops_near_its_bytes_and_the_next_goes_on(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let records: Vec<_> = (0..10).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    done(&*storage, push(&device, records.clone()));
    let mut query = PullQuery { bytes_max: 250, ..query(0, areas(&[VILLAGE])) };
    let (mut found, mut pages) = (Vec::new(), 0);
    while query.after < 10 {
        let page = storage.pull_page(&query).unwrap();
        assert!(page.feed.len() <= 3 && !page.feed.is_empty());
        assert!(storage.is_on_chain(TOWNSHIP, page.feed_upto).unwrap());
        found.extend(ids(&page.feed));
        query.after = page.feed_upto.seq;
        pages += 1;
    }
    assert_eq!((found, pages), (records.iter().map(|r| r.id).collect(), 4));
    let tiny = PullQuery { bytes_max: 1, ..query.clone() };
    assert_eq!(storage.pull_page(&PullQuery { after: 0, ..tiny }).unwrap().feed.len(), 1);
}

fn a_fill_brings_all_changes_by_birth_once_the_feed_is_read(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let records: Vec<_> = (0..5).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    done(&*storage, push(&device, records.clone()));
    done(&*storage, push(&device, vec![next(&records[1], &device), record(&device, "visit", OTHER_VILLAGE, None)]));
    let mut query = PullQuery { bytes_max: 250, ..query(0, Scope::default()) };
    query.fills = vec![(4, areas(&[VILLAGE]), 0), (9, whole(), 0)];
    let mut found = Vec::new();
    let last = loop {
        let page = storage.pull_page(&query).unwrap();
        assert_eq!((page.feed_upto, page.fill_grant), (page.head, Some(4)));
        let born: Vec<u64> = page.fill.iter().map(|r| r.born).collect();
        assert!(born.is_sorted());
        found.extend(page.fill.clone());
        query.fills[0].2 = born.last().copied().unwrap_or(query.fills[0].2);
        query.after = page.feed_upto.seq;
        if page.fill_complete {
            break page;
        }
    };
    assert_eq!(ids(&found), records.iter().map(|r| r.id).collect::<Vec<_>>());
    assert_eq!(found.iter().map(|r| r.changes.len()).collect::<Vec<_>>(), [1, 2, 1, 1, 1]);
    assert!(last.fill_complete);
}

fn records_ahead_in_a_fill_stay_out_of_the_feed(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let records: Vec<_> = (0..3).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    done(&*storage, push(&device, records.clone()));
    done(&*storage, push(&device, records.iter().map(|r| next(r, &device)).collect()));
    let mut query = query(3, Scope::default());
    query.fills = vec![(1, areas(&[VILLAGE]), 2)];
    let page = storage.pull_page(&query).unwrap();
    assert_eq!(ids(&page.feed), vec![records[0].id, records[1].id]);
    assert_eq!(ids(&page.fill), vec![records[2].id]);
    assert_eq!(page.fill[0].changes.len(), 2);
    assert!(page.fill_complete);
    query.complete = vec![areas(&[VILLAGE])];
    assert_eq!(storage.pull_page(&query).unwrap().feed.len(), 3, "another grant has it already");
}

fn a_fill_about_a_subject_brings_the_subject_and_what_is_about_it(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let visit = record(&device, "visit", VILLAGE, Some(house.id));
    let other = record(&device, "household", VILLAGE, None);
    let later = record(&device, "visit", OTHER_VILLAGE, Some(house.id));
    done(&*storage, push(&device, vec![house.clone(), visit.clone(), other, later.clone()]));
    let mut query = query(4, Scope::default());
    query.fills = vec![(1, subjects(&[house.id]), 0)];
    let page = storage.pull_page(&query).unwrap();
    assert_eq!(ids(&page.fill), vec![house.id, visit.id, later.id]);
    query.fills[0].2 = page.fill[1].born;
    let page = storage.pull_page(&query).unwrap();
    assert_eq!((ids(&page.fill), page.fill_complete), (vec![later.id], true));
}

fn an_empty_scope_reads_nothing(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let head = done(&*storage, push(&device, vec![record(&device, "visit", VILLAGE, None)]));
    let mut query = query(0, Scope::default());
    query.fills = vec![(1, Scope::default(), 0)];
    let page = storage.pull_page(&query).unwrap();
    assert!(page.feed.is_empty() && page.fill.is_empty() && page.fill_complete);
    assert_eq!(page.feed_upto, head, "what isn't for the device is passed over");
    assert_eq!(storage.pull_cost(&query).unwrap(), (0, 0));
}

fn the_cost_is_what_the_pages_bring(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let elsewhere = record(&device, "household", OTHER_VILLAGE, None);
    done(&*storage, push(&device, vec![house.clone(), elsewhere.clone()]));
    done(&*storage, push(&device, vec![next(&house, &device)]));
    assert_eq!(storage.pull_cost(&query(0, areas(&[VILLAGE]))).unwrap(), (2, 150));
    assert_eq!(storage.pull_cost(&query(1, whole())).unwrap(), (2, 150));
    let mut filling = query(3, areas(&[OTHER_VILLAGE]));
    filling.fills = vec![(1, areas(&[VILLAGE]), 0)];
    assert_eq!(storage.pull_cost(&filling).unwrap(), (2, 150));
    filling.fills = vec![(1, subjects(&[house.id]), 0)];
    assert_eq!(storage.pull_cost(&filling).unwrap(), (2, 150));
}

fn an_unknown_township_is_empty(storage: Arc<dyn Storage>) {
    let page = storage.pull_page(&query(0, whole())).unwrap();
    assert!(page.feed.is_empty() && page.feed_upto == Position::default());
    assert_eq!(storage.pull_cost(&query(0, whole())).unwrap(), (0, 0));
    assert_eq!(storage.load_records(TOWNSHIP, &[RecordId([1; 16])]).unwrap(), vec![None]);
}
