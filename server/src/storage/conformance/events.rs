//! Events that wait.

use doorstep_core::id::UserId;

use super::*;
use crate::storage::events::{NewlyFinished, UNTRIED, WaitingEvent};

claims!(
    events_are_filed_with_the_push_that_finishes_them_and_found_by_what_they_wait_for,
    an_event_that_is_filed_anew_is_not_ended_by_who_tried_it_before,
);

const AUTHOR: UserId = UserId([31; 16]);

fn finishing(device: &Device, record: &PreparedRecord) -> PreparedPush {
    let events = vec![NewlyFinished { event: record.id, author: AUTHOR }];
    PreparedPush { events, ..push(device, vec![record.clone()]) }
}

fn events_are_filed_with_the_push_that_finishes_them_and_found_by_what_they_wait_for(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let events: Vec<PreparedRecord> = (0..3).map(|_| record(&device, "death", VILLAGE, None)).collect();
    assert!(storage.waiting_events(TOWNSHIP, None, 10).unwrap().is_empty());
    for event in &events {
        done(&*storage, finishing(&device, event));
    }
    let mut filed = storage.waiting_events(TOWNSHIP, None, 10).unwrap();
    assert_eq!(filed.len(), 3);
    assert!(filed.iter().all(|w| (w.author, w.reason.as_str(), w.waits_for) == (AUTHOR, UNTRIED, None)));
    let after = storage.waiting_events(TOWNSHIP, Some(filed[0].event), 1).unwrap();
    assert_eq!(after, vec![filed[1].clone()], "by event, page by page");
    let awaited = RecordId([77; 16]);
    filed[0] = WaitingEvent { reason: "event_household".into(), waits_for: Some(awaited), ..filed[0].clone() };
    storage.keep_waiting(TOWNSHIP, &filed[0]).unwrap();
    assert_eq!(storage.events_waiting_for(TOWNSHIP, &[awaited]).unwrap(), vec![filed[0].clone()]);
    let both = storage.events_waiting_for(TOWNSHIP, &[awaited, filed[1].event, RecordId([78; 16])]).unwrap();
    assert_eq!(both.len(), 2);
    assert!(storage.events_waiting_for(TOWNSHIP, &[]).unwrap().is_empty());
    assert!(storage.events_waiting_for(OTHER_TOWNSHIP, &[awaited]).unwrap().is_empty());
    storage.end_waiting(TOWNSHIP, &filed[0]).unwrap();
    assert_eq!(storage.waiting_events(TOWNSHIP, None, 10).unwrap(), filed[1..]);
}

fn an_event_that_is_filed_anew_is_not_ended_by_who_tried_it_before(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let event = record(&device, "death", VILLAGE, None);
    done(&*storage, finishing(&device, &event));
    let read = |storage: &dyn Storage| storage.waiting_events(TOWNSHIP, None, 10).unwrap().pop();
    let first = read(&*storage).unwrap();
    let corrected = PreparedPush { received_ms: 2_000, ..finishing(&device, &next(&event, &device)) };
    done(&*storage, corrected);
    let again = read(&*storage).unwrap();
    assert!(again.filed > first.filed);
    assert_eq!(again.since_ms, first.since_ms);
    storage.end_waiting(TOWNSHIP, &first).unwrap();
    storage.keep_waiting(TOWNSHIP, &WaitingEvent { reason: "event_day".into(), ..first }).unwrap();
    assert_eq!(read(&*storage).unwrap(), again);
    storage.end_waiting(TOWNSHIP, &again).unwrap();
    assert_eq!(read(&*storage), None);
}
