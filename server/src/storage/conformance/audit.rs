//! The audit log.

use super::*;
use crate::storage::audit::{AuditFault, AuditVerified, verify};
use crate::storage::chain::Links;
use crate::storage::{AuditEntry, AuditFilter};

claims!(
    entries_of_the_audit_log_are_appended_in_order_and_found_again,
    a_whole_audit_log_verifies_and_so_does_a_position_written_down,
);

fn entry(at_ms: u64, action: &str, subjects: &str) -> AuditEntry {
    AuditEntry {
        at_ms,
        actor: "office".into(),
        action: action.into(),
        township: None,
        subjects: subjects.into(),
        reason: "因\"核查\"".into(),
        details: "{\"n\":1}".into(),
    }
}

fn entries_of_the_audit_log_are_appended_in_order_and_found_again(storage: Arc<dyn Storage>) {
    assert_eq!(storage.audit_head().unwrap(), Position::default());
    let theirs = AuditEntry { township: Some(OTHER_TOWNSHIP), ..entry(3, "masked_look", "record/aa") };
    let entries =
        [entry(1, "sign_in", ""), entry(2, "masked_look", "record/aa user/bb"), theirs, entry(4, "export", "")];
    storage.append_audit(&entries[..1]).unwrap();
    let head = storage.append_audit(&entries[1..]).unwrap();
    assert_eq!(storage.audit_head().unwrap(), head);
    let all = storage.audit_after(0, 10).unwrap();
    assert_eq!(all.iter().map(|r| r.entry.clone()).collect::<Vec<_>>(), entries);
    assert_eq!(all.iter().map(|r| r.position.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(storage.audit_after(1, 2).unwrap(), all[1..3]);
    let found = |filter: AuditFilter| -> Vec<u64> {
        let rows = storage.audit(&AuditFilter { limit: 10, ..filter }).unwrap();
        rows.iter().map(|r| r.position.seq).collect()
    };
    assert_eq!(found(AuditFilter::default()), [4, 3, 2, 1]);
    assert_eq!(found(AuditFilter { before: Some(3), ..AuditFilter::default() }), [2, 1]);
    assert_eq!(found(AuditFilter { action: Some("masked_look".into()), ..AuditFilter::default() }), [3, 2]);
    assert_eq!(found(AuditFilter { subject: Some("user/bb".into()), ..AuditFilter::default() }), [2]);
    assert_eq!(found(AuditFilter { subject: Some("record/a".into()), ..AuditFilter::default() }), [0; 0]);
    let of = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(found(AuditFilter { of: of(&["user/bb", "record/xx"]), ..AuditFilter::default() }), [2]);
    assert_eq!(found(AuditFilter { of: of(&["office"]), ..AuditFilter::default() }), [4, 3, 2, 1]);
    assert_eq!(found(AuditFilter { of: of(&["offic", "user/b"]), ..AuditFilter::default() }), [0; 0]);
    assert_eq!(found(AuditFilter { at_ms: Some((2, 3)), ..AuditFilter::default() }), [3, 2]);
    assert_eq!(found(AuditFilter { township: Some(TOWNSHIP), ..AuditFilter::default() }), [4, 2, 1]);
}

fn a_whole_audit_log_verifies_and_so_does_a_position_written_down(storage: Arc<dyn Storage>) {
    let links = Links::new(&secrets().chain_key);
    let check = |noted| verify(&*storage, &links, noted).unwrap();
    assert_eq!(check(None), Ok(AuditVerified { entries: 0, head: Position::default() }));
    let noted = storage.append_audit(&[entry(1, "sign_in", ""), entry(2, "export", "")]).unwrap();
    let head = storage.append_audit(&[entry(3, "sign_in", "")]).unwrap();
    assert_eq!(check(Some(noted)), Ok(AuditVerified { entries: 3, head }));
    assert_eq!(check(Some(Position { chain: head.chain, ..noted })), Err(AuditFault::OtherEntry(2)));
    assert_eq!(check(Some(Position { seq: 9, ..noted })), Err(AuditFault::Missing(9)));
    let other_key = Links::new(&[9; 32]);
    assert_eq!(verify(&*storage, &other_key, None).unwrap(), Err(AuditFault::Changed(1)));
}
