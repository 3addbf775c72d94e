//! Links and what they unite.

use doorstep_core::link::{self, Side, Verdict};

use super::*;
use crate::storage::RecordFilter;

claims!(links_unite_households_in_the_transaction_that_stores_them_and_lists_leave_out_the_united_ones);

pub(super) fn linked(
    device: &Device,
    (a, b): (RecordId, RecordId),
    verdict: Verdict,
    leads: Option<RecordId>,
) -> PreparedRecord {
    let identity = link::identity(&Side::of(a), &Side::of(b)).unwrap();
    let mut record = record(device, "link", VILLAGE, Some(a.min(b)));
    let leads = leads.map_or("null".to_owned(), |id| format!("\"{id}\""));
    let verdict = verdict.as_str();
    record.projection.json =
        format!("{{\"answers\":{{\"verdict\":\"{verdict}\",\"leads\":{leads}}},\"differences\":[]}}");
    PreparedRecord { identity, ..record }
}

fn links_unite_households_in_the_transaction_that_stores_them_and_lists_leave_out_the_united_ones(
    storage: Arc<dyn Storage>,
) {
    let device = enrol(&*storage, TOWNSHIP);
    let households: Vec<PreparedRecord> = (0..3).map(|_| record(&device, "household", VILLAGE, None)).collect();
    let [a, b, c] = [0, 1, 2].map(|n| households[n].id);
    done(&*storage, push(&device, households));
    let listed = |without_united| {
        let filter = RecordFilter {
            record_type: Some("household".into()),
            without_united,
            limit: 10,
            ..RecordFilter::default()
        };
        storage.list_records(TOWNSHIP, &filter).unwrap().iter().map(|r| r.id).collect::<Vec<_>>()
    };
    let first = linked(&device, (a, b), Verdict::Same, Some(b));
    let second = linked(&device, (b, c), Verdict::Same, None);
    done(&*storage, push(&device, vec![first.clone(), second]));
    assert_eq!(storage.united(TOWNSHIP).unwrap(), [(a, b), (c, b)].into());
    assert_eq!((listed(true), listed(false)), (vec![b], vec![a, b, c]));
    assert!(storage.united(OTHER_TOWNSHIP).unwrap().is_empty());
    let links = storage.links(TOWNSHIP).unwrap();
    assert!(links.len() == 2 && links.iter().all(|l| l.link.is_same && l.identity.key.len() == 2));
    let undone = PreparedRecord {
        projection: linked(&device, (a, b), Verdict::NotSame, None).projection,
        ..next(&first, &device)
    };
    done(&*storage, push(&device, vec![undone]));
    assert_eq!(storage.united(TOWNSHIP).unwrap(), [(b.max(c), b.min(c))].into());
    assert_eq!(listed(true).len(), 2);
    assert!(storage.links(TOWNSHIP).unwrap().iter().any(|l| l.link.is_not_same));
}
