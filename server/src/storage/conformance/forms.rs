//! The log of forms.

use super::*;
use crate::storage::{FormChange, ReplyQuery};
use doorstep_core::protocol::FormBytes;

claims!(
    the_log_of_forms_is_appended_in_order_and_read_back,
    an_entry_on_a_log_that_moved_is_not_appended,
    a_reply_sees_a_new_entry_at_once,
);

fn published(name: &str, version: u32) -> FormChange {
    FormChange {
        name: name.to_owned(),
        version,
        hash: [version as u8; 32],
        retired: false,
        at_ms: 1_000 + u64::from(version),
        definition: Some(vec![1, 2, 3]),
        difference: (version > 1).then(|| FormBytes { base: Some([version as u8 - 1; 32]), packed: vec![4, 5] }),
    }
}

/// Appends an entry where the log still ends there; gives where it ends then.
fn append(storage: &dyn Storage, on: Position, change: &FormChange) -> Option<Position> {
    let taken = act(storage, Write::Form(on, change.clone()));
    taken.then(|| storage.form_log().unwrap().last().unwrap().position)
}

fn the_log_of_forms_is_appended_in_order_and_read_back(storage: Arc<dyn Storage>) {
    assert!(storage.form_log().unwrap().is_empty());
    let retired = FormChange { retired: true, definition: None, difference: None, ..published("visit", 1) };
    let changes = [published("visit", 1), published("visit", 2), retired];
    let mut at = Position::default();
    for change in &changes {
        at = append(&*storage, at, change).unwrap();
    }
    let log = storage.form_log().unwrap();
    assert_eq!(log.iter().map(|e| e.change.clone()).collect::<Vec<_>>(), changes);
    assert_eq!(log.iter().map(|e| e.position.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(log[2].position, at);
    let chains: std::collections::BTreeSet<_> = log.iter().map(|e| e.position.chain.0).collect();
    assert_eq!(chains.len(), 3);
}

fn an_entry_on_a_log_that_moved_is_not_appended(storage: Arc<dyn Storage>) {
    let first = append(&*storage, Position::default(), &published("visit", 1)).unwrap();
    assert_eq!(append(&*storage, Position::default(), &published("survey", 1)), None);
    assert_eq!(storage.form_log().unwrap().len(), 1);
    assert_eq!(append(&*storage, first, &published("survey", 1)).unwrap().seq, 2);
}

fn a_reply_sees_a_new_entry_at_once(storage: Arc<dyn Storage>) {
    let query = ReplyQuery { township: TOWNSHIP, user: USER, branch: None, points: &[], told: None };
    let seen = || {
        let mut seen = None;
        let page = storage.begin_reply(&query, &mut |standing| {
            seen = Some(standing.forms.len());
            None
        });
        assert!(page.unwrap().is_none());
        seen.unwrap()
    };
    assert_eq!(seen(), 0);
    let first = append(&*storage, Position::default(), &published("visit", 1)).unwrap();
    assert_eq!(seen(), 1);
    append(&*storage, first, &published("visit", 2)).unwrap();
    assert_eq!(seen(), 2);
}
