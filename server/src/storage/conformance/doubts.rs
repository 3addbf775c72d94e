//! Doubtful answers.

use std::collections::BTreeSet;

use super::*;
use crate::storage::{Beside, DoubtFilter, NewDoubt, Refreshed};
use doorstep_core::form::Sensitivity;
use doorstep_core::form::session::Doubt;
use doorstep_core::record::FormRef;

claims!(
    a_doubt_is_opened_once_and_closed_when_a_later_merge_does_not_find_it,
    a_doubtful_date_stays_until_the_day_is_judged_again,
    a_merge_on_other_doubts_than_there_are_is_done_again,
    a_part_beside_a_push_is_filed_with_it_unless_it_moved,
    a_list_of_doubts_is_filtered_and_paged_newest_first,
    a_refreshed_record_shows_what_was_computed_unless_it_moved,
);

fn doubt(key: &str, kind: Doubt) -> NewDoubt {
    let form = FormRef { name: "visit".to_owned(), version: 2 };
    NewDoubt { key: key.to_owned(), kind, class: Sensitivity::Core, form }
}

fn check<const N: usize>(before: u32, found: [NewDoubt; N]) -> DoubtCheck {
    DoubtCheck { before, found: BTreeSet::from(found), date_judged: false }
}

fn all() -> DoubtFilter {
    DoubtFilter { limit: 100, ..DoubtFilter::default() }
}

fn closed() -> DoubtFilter {
    DoubtFilter { closed: true, ..all() }
}

fn keys(storage: &dyn Storage, filter: &DoubtFilter) -> Vec<String> {
    storage.doubts(TOWNSHIP, filter).unwrap().into_iter().map(|row| row.doubt.key).collect()
}

fn count(storage: &dyn Storage, id: RecordId) -> u32 {
    let row = storage.record_row(TOWNSHIP, id).unwrap().unwrap();
    assert_eq!(storage.load_records(TOWNSHIP, &[id]).unwrap()[0].as_ref().unwrap().doubts, row.projection.doubts);
    row.projection.doubts
}

fn a_doubt_is_opened_once_and_closed_when_a_later_merge_does_not_find_it(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let (age, sum) = (doubt("member#a1/age", Doubt::Constraint), doubt("sum", Doubt::Differs));
    let first = record(&device, "visit", VILLAGE, Some(RecordId([5; 16])));
    let first = PreparedRecord { check: check(0, [age.clone()]), ..first };
    done(&*storage, push(&device, vec![first.clone(), record(&device, "visit", VILLAGE, None)]));
    assert_eq!(count(&*storage, first.id), 1);
    // a later version of the form says the same: that is no news
    let again = NewDoubt { form: FormRef { version: 3, ..age.form.clone() }, ..age.clone() };
    let second = PreparedRecord { check: check(1, [again, sum.clone()]), ..next(&first, &device) };
    done(&*storage, PreparedPush { received_ms: 2_000, ..push(&device, vec![second.clone()]) });
    assert_eq!(count(&*storage, first.id), 2);
    let rows = storage.doubts(TOWNSHIP, &all()).unwrap();
    assert_eq!(rows.iter().map(|r| (r.no, r.doubt.clone())).collect::<Vec<_>>(), [(2, sum), (1, age.clone())]);
    let newest = &rows[0];
    assert_eq!((newest.record, newest.record_type.as_str(), newest.area), (first.id, "visit", VILLAGE));
    assert_eq!((newest.subject, newest.opened_ms, newest.closed_ms, newest.seq), (first.subject, 2_000, None, 3));
    assert_eq!(newest.change, Some((0, 2_000, Some(device.id))), "the change that opened it");
    let third = PreparedRecord { check: check(2, []), ..next(&second, &device) };
    done(&*storage, PreparedPush { received_ms: 3_000, ..push(&device, vec![third.clone()]) });
    assert_eq!((count(&*storage, first.id), keys(&*storage, &all())), (0, Vec::new()));
    let rows = storage.doubts(TOWNSHIP, &closed()).unwrap();
    assert!(rows.iter().all(|r| r.closed_ms == Some(3_000)) && rows.len() == 2);
    let fourth = PreparedRecord { check: check(0, [age]), ..next(&third, &device) };
    done(&*storage, push(&device, vec![fourth]));
    assert_eq!(storage.doubts(TOWNSHIP, &all()).unwrap()[0].no, 3, "broken again is another entry");
}

fn a_doubtful_date_stays_until_the_day_is_judged_again(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let (day, sum) = (doubt("day", Doubt::Date), doubt("sum", Doubt::Differs));
    let first = PreparedRecord { check: check(0, [day, sum]), ..record(&device, "visit", VILLAGE, None) };
    done(&*storage, push(&device, vec![first.clone()]));
    let second = PreparedRecord { check: check(2, []), ..next(&first, &device) };
    done(&*storage, push(&device, vec![second.clone()]));
    assert_eq!((count(&*storage, first.id), keys(&*storage, &all())), (1, vec!["day".to_owned()]));
    let judged = DoubtCheck { date_judged: true, ..check(1, []) };
    done(&*storage, push(&device, vec![PreparedRecord { check: judged, ..next(&second, &device) }]));
    assert_eq!((count(&*storage, first.id), keys(&*storage, &all())), (0, Vec::new()));
}

fn a_merge_on_other_doubts_than_there_are_is_done_again(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, None);
    done(&*storage, push(&device, vec![first.clone()]));
    // a look through all records opened one meanwhile
    let refreshed = Refreshed {
        id: first.id,
        heads: first.heads.clone(),
        beside: Vec::new(),
        projection: first.projection.clone(),
        check: check(0, [doubt("sum", Doubt::Differs)]),
    };
    assert_eq!(storage.refresh(TOWNSHIP, &[refreshed], 1_500).unwrap(), 1);
    let late = PreparedRecord { check: check(0, []), ..next(&first, &device) };
    assert_eq!(commit(&*storage, push(&device, vec![late])), Committed::Moved);
    let anew = PreparedRecord { check: check(1, []), ..next(&first, &device) };
    done(&*storage, push(&device, vec![anew]));
    assert_eq!(count(&*storage, first.id), 0);
}

fn a_part_beside_a_push_is_filed_with_it_unless_it_moved(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let core = record(&device, "household", VILLAGE, None);
    let part = record(&device, "household.sensitive", VILLAGE, Some(core.id));
    done(&*storage, push(&device, vec![core.clone(), part.clone()]));
    let with = |heads: Option<Vec<ChangeHash>>, before| {
        let check = check(before, [doubt("income", Doubt::Constraint)]);
        let beside = Beside { id: part.id, heads, check };
        PreparedPush { beside: vec![beside], ..push(&device, vec![next(&core, &device)]) }
    };
    for wrong in [with(None, 0), with(Some(core.heads.clone()), 0), with(Some(part.heads.clone()), 1)] {
        assert_eq!(commit(&*storage, wrong), Committed::Moved);
    }
    done(&*storage, with(Some(part.heads.clone()), 0));
    assert_eq!((count(&*storage, core.id), count(&*storage, part.id)), (0, 1));
    let row = storage.doubts(TOWNSHIP, &all()).unwrap().remove(0);
    assert_eq!((row.record, row.seq), (part.id, 3), "the change of the other part opened it");
    let fresh = record(&device, "household", VILLAGE, None);
    let missing = Beside { id: RecordId(unique()), heads: None, check: check(0, []) };
    done(&*storage, PreparedPush { beside: vec![missing], ..push(&device, vec![fresh]) });
}

fn a_list_of_doubts_is_filtered_and_paged_newest_first(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let here = PreparedRecord {
        check: check(0, [doubt("a", Doubt::Unfit), doubt("m#a1/b", Doubt::Constraint)]),
        ..record(&device, "visit", VILLAGE, None)
    };
    let household = FormRef { name: "household".to_owned(), version: 1 };
    let secret = NewDoubt { class: Sensitivity::Sensitive, form: household, ..doubt("m#b2/b", Doubt::Constraint) };
    let there = PreparedRecord { check: check(0, [secret]), ..record(&device, "household", OTHER_VILLAGE, None) };
    done(&*storage, push(&device, vec![here.clone(), there.clone()]));
    assert_eq!(keys(&*storage, &all()), ["m#b2/b", "m#a1/b", "a"]);
    assert_eq!(keys(&*storage, &DoubtFilter { limit: 1, before: Some(3), ..all() }), ["m#a1/b"]);
    assert_eq!(keys(&*storage, &DoubtFilter { area: Some(OTHER_VILLAGE), ..all() }), ["m#b2/b"]);
    assert_eq!(keys(&*storage, &DoubtFilter { form: Some("visit".to_owned()), ..all() }), ["m#a1/b", "a"]);
    assert_eq!(keys(&*storage, &DoubtFilter { question: Some("m/b".to_owned()), ..all() }), ["m#b2/b", "m#a1/b"]);
    assert_eq!(keys(&*storage, &DoubtFilter { kind: Some(Doubt::Unfit), ..all() }), ["a"]);
    assert_eq!(keys(&*storage, &DoubtFilter { record: Some(there.id), ..all() }), ["m#b2/b"]);
    assert_eq!(keys(&*storage, &closed()), Vec::<String>::new());
    assert_eq!(storage.doubts(OTHER_TOWNSHIP, &all()).unwrap(), Vec::new());
    let totals = |area| -> Vec<(String, String, u64, Sensitivity)> {
        let found = storage.doubt_totals(TOWNSHIP, area).unwrap();
        found.into_iter().map(|t| (t.form, t.question, t.open, t.class)).collect()
    };
    let of = |form: &str, question: &str, class| (form.to_owned(), question.to_owned(), 1, class);
    let visit = [of("visit", "a", Sensitivity::Core), of("visit", "m/b", Sensitivity::Core)];
    assert_eq!(totals(Some(VILLAGE)), visit);
    assert_eq!(totals(None)[0], of("household", "m/b", Sensitivity::Sensitive));
    assert_eq!(totals(None).len(), 3);
}

fn a_refreshed_record_shows_what_was_computed_unless_it_moved(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, None);
    let part = record(&device, "visit.sensitive", VILLAGE, Some(first.id));
    done(&*storage, push(&device, vec![first.clone(), part.clone()]));
    let head = storage.head(TOWNSHIP).unwrap();
    let beside = [(part.id, Some(part.heads.clone())), (RecordId(unique()), None)];
    let projection = Projection { title: "B".to_owned(), search: "b".to_owned(), ..first.projection.clone() };
    let refreshed = |heads: &[ChangeHash], before| Refreshed {
        id: first.id,
        heads: heads.to_vec(),
        beside: beside.to_vec(),
        projection: projection.clone(),
        check: check(before, [doubt("sum", Doubt::Differs)]),
    };
    for stale in [refreshed(&[new_hash()], 0), refreshed(&first.heads, 1)] {
        assert_eq!(storage.refresh(TOWNSHIP, &[stale], 2_000).unwrap(), 0);
    }
    for other in [(part.id, None), (part.id, Some(vec![new_hash()])), (RecordId(unique()), Some(Vec::new()))] {
        let moved = Refreshed { beside: vec![other], ..refreshed(&first.heads, 0) };
        assert_eq!(storage.refresh(TOWNSHIP, &[moved], 2_000).unwrap(), 0, "another document moved");
    }
    assert_eq!(storage.refresh(TOWNSHIP, &[refreshed(&first.heads, 0)], 2_000).unwrap(), 1);
    let row = storage.record_row(TOWNSHIP, first.id).unwrap().unwrap();
    assert_eq!(row.projection, Projection { doubts: 1, ..projection });
    assert_eq!((row.updated_ms, storage.head(TOWNSHIP).unwrap()), (1_000, head), "phones are told nothing");
    let opened = storage.doubts(TOWNSHIP, &all()).unwrap().remove(0);
    assert_eq!((opened.opened_ms, opened.seq), (2_000, 1));
}
