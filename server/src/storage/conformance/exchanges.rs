//! What an exchange reads at once, and that news come alike however they are found.

use super::*;
use crate::storage::page::CHANGED_MAX;
use crate::storage::{HeldChange, Place, PullPage, PullQuery, PushQuery, ReplyQuery, Standing, StoredRecord};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use std::collections::HashMap;

claims!(
    a_push_is_told_its_branch_and_what_it_builds_on,
    a_reply_is_planned_from_one_snapshot,
    the_first_point_on_the_chain_is_common,
    the_first_page_is_the_page_of_its_query,
    areas_of_a_new_version_are_seen_at_once,
    news_are_the_feed_with_the_rest_left_out,
);

fn a_push_is_told_its_branch_and_what_it_builds_on(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = record(&device, "household", VILLAGE, None);
    let (row, unknown) = (batch(3, 1), RecordId(unique()));
    let held = HeldChange {
        record: house.id,
        identity: house.identity.clone(),
        incarnation: 0,
        area: VILLAGE,
        subject: None,
        hash: new_hash(),
        reason: String::new(),
        bytes: vec![1; 20],
    };
    let mut first = push(&device, vec![house.clone()]);
    (first.batch, first.waiting) = (Some(row.clone()), vec![held.clone()]);
    done(&*storage, first);
    let ask = |number| {
        let records = [unknown, house.id];
        let query = PushQuery {
            township: TOWNSHIP,
            device: device.id,
            branch: 3,
            number,
            records: &records,
            subjects: &[house.id, unknown],
            user: USER,
        };
        storage.push_base(&query).unwrap()
    };
    let next = ask(2);
    assert_eq!((next.branch.last, next.branch.last_hash, next.taken), (1, row.hash, None));
    assert_eq!(next.merge.records, storage.load_records(TOWNSHIP, &[unknown, house.id]).unwrap());
    assert_eq!(next.merge.waiting, vec![(device.id, held)]);
    let merge = storage.merge_base(TOWNSHIP, &[unknown, house.id]).unwrap();
    assert_eq!((&merge.records, &merge.waiting), (&next.merge.records, &next.merge.waiting));
    let place = Place { area: VILLAGE, subject: None, state: house.projection.state };
    assert_eq!(next.merge.places, HashMap::from([(house.id, place)]));
    assert_eq!(next.merge.claims, Some(storage.claims(TOWNSHIP, USER).unwrap()));
    let repeated = ask(1);
    assert_eq!((repeated.branch, repeated.taken), (next.branch.clone(), Some(row)));
    let gap = ask(3);
    assert_eq!((gap.branch, gap.taken, gap.merge), (next.branch, None, Default::default()));
}

/// Asks for a standing only.
fn standing(storage: &dyn Storage, query: &ReplyQuery<'_>) -> Standing {
    let mut found = None;
    let page = storage.begin_reply(query, &mut |standing| {
        found = Some(standing);
        None
    });
    assert!(page.unwrap().is_none(), "no page was planned");
    found.unwrap()
}

fn asked(points: &[Position]) -> ReplyQuery<'_> {
    ReplyQuery { township: TOWNSHIP, user: USER, branch: None, points, told: None }
}

fn area(id: AreaId, parent: Option<AreaId>, code: &str) -> AreaEntry {
    AreaEntry {
        area: id,
        parent,
        level: "village".to_owned(),
        code: code.to_owned(),
        name_zh: "石桥村".to_owned(),
        name_en: "Shiqiao".to_owned(),
    }
}

fn a_reply_is_planned_from_one_snapshot(storage: Arc<dyn Storage>) {
    let unknown = standing(&*storage, &asked(&[]));
    assert_eq!(
        (unknown.head, unknown.claims.areas.version(), unknown.claims.areas.all().len()),
        (Position::default(), 0, 0)
    );
    assert!(!unknown.reads_closed && unknown.claims.grants.is_empty() && unknown.told_on_chain);

    let device = enrol(&*storage, TOWNSHIP);
    let first =
        PreparedPush { batch: Some(batch(2, 1)), ..push(&device, vec![record(&device, "visit", VILLAGE, None)]) };
    let head = done(&*storage, first);
    storage.set_setting(crate::storage::READS_CLOSED, "1").unwrap();
    storage.put_areas(TOWNSHIP, &[area(TOWNSHIP, None, "1"), area(VILLAGE, Some(TOWNSHIP), "11")]).unwrap();
    let grant = GrantEntry { grant: 0, role: "helper".to_owned(), area: VILLAGE, subject: None, active: true };
    storage.append_grants(USER, &[grant.clone().into(), grant.into()]).unwrap();
    let found = standing(&*storage, &ReplyQuery { branch: Some((device.id, 2)), ..asked(&[]) });
    assert_eq!((found.head, found.last_batch, found.reads_closed), (head, 1, true));
    assert_eq!(found.claims.grants, storage.grants(USER, 0).unwrap().1);
    assert_eq!((found.claims.areas.version(), found.claims.areas.all().to_vec()), storage.areas(TOWNSHIP).unwrap());
    let other = ReplyQuery { branch: Some((device.id, 0)), user: UserId([88; 16]), ..asked(&[]) };
    let other = standing(&*storage, &other);
    assert_eq!((other.last_batch, other.claims.grants.len()), (0, 0));
}

fn the_first_point_on_the_chain_is_common(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let put = || done(&*storage, push(&device, vec![record(&device, "visit", VILLAGE, None)]));
    let real = [put(), put(), put()];
    let (beyond, forged) = (Position { seq: 4, ..real[2] }, Position { seq: 2, ..real[2] });
    let no_start = Position { seq: 0, chain: Chain([1; 16]) };
    let common = |points: &[Position]| standing(&*storage, &asked(points)).common;
    assert_eq!(common(&[real[2], real[0]]), Some(real[2]));
    assert_eq!(common(&[beyond, forged, no_start, real[1], real[0]]), Some(real[1]));
    assert_eq!(common(&[beyond, forged, no_start]), None);
    assert_eq!(common(&[beyond, Position::default(), real[1]]), Some(Position::default()));
    let told = |point| standing(&*storage, &ReplyQuery { told: Some(point), ..asked(&[]) }).told_on_chain;
    assert_eq!([told(real[1]), told(real[2]), told(Position::default())], [true; 3]);
    assert_eq!([told(beyond), told(forged), told(no_start)], [false; 3]);
}

fn the_first_page_is_the_page_of_its_query(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let records: Vec<_> = (0..6).map(|_| record(&device, "visit", VILLAGE, None)).collect();
    let head = done(&*storage, push(&device, records));
    for (after, fills) in [(0, vec![]), (2, vec![]), (head.seq, vec![]), (head.seq, vec![(7, areas(&[VILLAGE]), 3)])] {
        let complete = if fills.is_empty() { areas(&[VILLAGE]) } else { Scope::default() };
        let query = PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills, bytes_max: 250 };
        let first = storage.begin_reply(&asked(&[]), &mut |_| Some(query.clone())).unwrap().unwrap();
        assert_eq!(format!("{first:?}"), format!("{:?}", storage.pull_page(&query).unwrap()));
    }
}

fn areas_of_a_new_version_are_seen_at_once(storage: Arc<dyn Storage>) {
    storage.put_areas(TOWNSHIP, &[area(VILLAGE, None, "1")]).unwrap();
    assert_eq!(standing(&*storage, &asked(&[])).claims.areas.all().len(), 1);
    let renamed = AreaEntry { name_en: "Stone Bridge".to_owned(), ..area(VILLAGE, None, "1") };
    storage.put_areas(TOWNSHIP, &[renamed.clone(), area(OTHER_VILLAGE, None, "2")]).unwrap();
    storage.put_areas(OTHER_TOWNSHIP, &[area(OTHER_VILLAGE, None, "3")]).unwrap();
    let now = standing(&*storage, &asked(&[]));
    assert_eq!(
        (now.claims.areas.version(), &now.claims.areas.all()[0], now.claims.areas.all().len()),
        (2, &renamed, 2)
    );
    let there = standing(&*storage, &ReplyQuery { township: OTHER_TOWNSHIP, ..asked(&[]) });
    assert_eq!(there.claims.areas.all().to_vec(), vec![area(OTHER_VILLAGE, None, "3")]);
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn scope(&mut self, villages: &[AreaId], records: &[StoredRecord]) -> Scope {
        let mut scope = Scope::default();
        for village in villages {
            if self.below(3) == 0 {
                scope.areas.push(*village);
            }
        }
        for _ in 0..self.below(4) {
            scope.subjects.push(records[self.below(records.len() as u64) as usize].id);
        }
        scope
    }
}

/// A page of news as it follows from the whole feed, one change after the other; and where it may end: a full page that
/// has all of the news may say so or not.
fn expected(records: &[StoredRecord], query: &PullQuery, head: u64) -> (Vec<(RecordId, Vec<u64>)>, [u64; 2]) {
    let covers = |scope: &Scope, r: &StoredRecord| {
        let subjects = [Some(r.id), r.subject];
        scope.areas.contains(&r.area) || subjects.iter().flatten().any(|s| scope.subjects.contains(s))
    };
    let in_scope = |r: &StoredRecord| {
        let born = r.changes[0].seq;
        query.complete.iter().any(|scope| covers(scope, r))
            || query.fills.iter().any(|(_, scope, after)| born <= *after && covers(scope, r))
    };
    let mut news: Vec<(u64, RecordId, usize)> = records
        .iter()
        .filter(|r| in_scope(r))
        .flat_map(|r| r.changes.iter().map(|c| (c.seq, r.id, c.bytes.len())))
        .filter(|(seq, ..)| *seq > query.after)
        .collect();
    news.sort_unstable();
    let (mut page, mut bytes): (Vec<(RecordId, Vec<u64>)>, usize) = (Vec::new(), 0);
    let newest = news.last().map_or(0, |(seq, ..)| *seq);
    for (seq, id, size) in news {
        bytes += size;
        match page.iter_mut().find(|(known, _)| *known == id) {
            Some((_, seqs)) => seqs.push(seq),
            None => page.push((id, vec![seq])),
        }
        if bytes >= query.bytes_max {
            return (page, [seq, if seq == newest { head } else { seq }]);
        }
    }
    (page, [head; 2])
}

fn outline(page: &PullPage) -> Vec<(RecordId, Vec<u64>)> {
    let seqs = |r: &PulledRecord| (r.id, r.changes.iter().map(|c| c.seq).collect());
    page.feed.iter().map(seqs).collect()
}

/// One village has more records than are looked up, so that both ways of finding news are taken.
fn news_are_the_feed_with_the_rest_left_out(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let elsewhere = enrol(&*storage, OTHER_TOWNSHIP);
    let villages: Vec<AreaId> = (0..6).map(|n| AreaId([40 + n; 16])).collect();
    let mut numbers = Numbers(20);
    let mut made: Vec<PreparedRecord> = Vec::new();
    while made.len() < CHANGED_MAX + 200 {
        let village = villages[if numbers.below(5) < 3 { 0 } else { numbers.below(6) as usize }];
        let subject = made.get(numbers.below(made.len() as u64 * 2 + 1) as usize).map(|r| r.id);
        made.push(record(&device, "visit", village, subject));
    }
    for part in made.chunks(40) {
        done(&*storage, push(&device, part.to_vec()));
        // the same areas in another township's feed
        done(&*storage, push(&elsewhere, vec![record(&elsewhere, "visit", villages[0], Some(part[0].id))]));
        let mut edits: Vec<PreparedRecord> = Vec::new();
        for _ in 0..12 {
            let known = &part[numbers.below(part.len() as u64) as usize];
            if edits.iter().all(|e| e.id != known.id) {
                edits.push(next(known, &device));
            }
        }
        done(&*storage, push(&device, edits));
    }
    let ids: Vec<RecordId> = made.iter().map(|r| r.id).collect();
    let records: Vec<StoredRecord> =
        storage.load_records(TOWNSHIP, &ids).unwrap().into_iter().map(Option::unwrap).collect();
    let head = storage.head(TOWNSHIP).unwrap().0.seq;
    for round in 0..120 {
        let after = [0, head, numbers.below(head + 1), head - numbers.below(20)][round % 4];
        let bytes_max = [1, 120, 1_000, 10_000][numbers.below(4) as usize];
        let complete = numbers.scope(&villages, &records);
        let fills = (0..numbers.below(3)).map(|n| (n, numbers.scope(&villages, &records), numbers.below(head + 1)));
        let fills = fills.collect();
        let mut query = PullQuery { township: TOWNSHIP, after, complete: vec![complete], fills, bytes_max };
        for _ in 0..5 {
            let page = storage.pull_page(&query).unwrap();
            let (news, ends) = expected(&records, &query, head);
            assert_eq!(outline(&page), news, "{query:?}");
            assert!(ends.contains(&page.feed_upto.seq), "{} isn't of {ends:?}: {query:?}", page.feed_upto.seq);
            for pulled in &page.feed {
                let stored = records.iter().find(|r| r.id == pulled.id).unwrap();
                assert_eq!((pulled.area, pulled.subject, &pulled.heads), (stored.area, stored.subject, &stored.heads));
                assert!(pulled.changes.iter().all(|c| stored.changes.contains(c)));
            }
            assert!(storage.is_on_chain(TOWNSHIP, page.feed_upto).unwrap());
            query.after = page.feed_upto.seq;
        }
    }
}
