use super::*;
use crate::protocol::NOT_KEPT;

fn actors(frames: &[RecordFrame]) -> Vec<crate::id::ActorId> {
    let mut actors = Vec::new();
    for frame in frames {
        if let RecordBody::Changes(changes) = &frame.body {
            actors.extend(changes.iter().map(|c| crate::protocol::ChangeHead::read(&c.bytes).unwrap().actor));
        }
    }
    actors
}

#[test]
fn a_new_branch_keeps_answers_times_and_origin() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    phone.edit(id, &[("head_name", "张三丰"), ("address", "一号")]);
    let old = phone.upload().unwrap();
    let report = phone.store.take_new_branch().unwrap();
    assert_eq!(report.changes, 2);
    assert_ne!(report.branch, 0);
    let batch = phone.upload().unwrap();
    assert_eq!((batch.header.branch, batch.header.number, batch.header.previous), (report.branch, 1, [0; 32]));
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let actor = crate::id::branch_actor(key.verifying_key().as_bytes(), report.branch);
    assert_eq!(actors(&batch.records), [actor, actor]);
    let record = phone.store.record(id).unwrap().unwrap();
    let origins: Vec<_> =
        hashes(&batch.records).iter().map(|h| record.author_of(h).unwrap().note.remade_from.unwrap()).collect();
    assert_eq!(origins, hashes(&old.records));
    assert_eq!(record.author_of(&hashes(&batch.records)[0]).unwrap().claimed_s, (NOW_MS / 1000) as i64);
    assert_eq!(phone.text(id, "head_name"), "张三丰");
    assert_eq!(phone.text(id, "address"), "一号");
    assert_eq!(record.view().differences, []);
}

#[test]
fn taking_a_branch_twice_in_a_row_remakes_once() {
    let phone = TestPhone::new(1);
    phone.household(&[("head_name", "张三")]);
    phone.upload().unwrap();
    let first = phone.store.take_new_branch().unwrap();
    assert_eq!(phone.store.take_new_branch().unwrap(), first);
    assert_eq!(phone.store.counts().unwrap().unsent, 1);
    phone.upload().unwrap();
    assert_ne!(phone.store.take_new_branch().unwrap().branch, first.branch);
}

#[test]
fn a_refused_change_waits_while_the_allowed_rest_is_made_anew() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    phone.push();
    phone.edit(id, &[("status", "x")]);
    phone.edit(id, &[("address", "一号")]);
    let batch = phone.upload().unwrap();
    let outcomes = [Outcome::quarantined("state_not_allowed"), Outcome::quarantined("depends_on_refused")];
    let report = phone.store.apply_statuses(0, batch.header.number, &outcomes, 1, MacTag([0; 16])).unwrap();
    assert!(report.needs_remake);
    assert_eq!(phone.store.take_new_branch().unwrap().changes, 1);
    assert_eq!(phone.text(id, "status"), "None");
    assert_eq!(phone.text(id, "address"), "一号");
    let refused = phone.store.refused().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason, "state_not_allowed");
    assert_eq!(refused[0].edits, [Edit::answer("status", "x")]);
    let again = phone.upload().unwrap();
    assert_eq!(hashes(&again.records).len(), 1);
    assert_eq!(
        phone
            .store
            .apply_statuses(again.header.branch, 1, &[Outcome::of(State::Stored)], 2, MacTag([0; 16]))
            .unwrap()
            .stored,
        1
    );
    assert_eq!(phone.store.row(id).unwrap().unwrap().unsent, 0);
    phone.check_digest();
}

#[test]
fn unsent_changes_on_a_refused_one_are_made_anew_without_it() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    let batch = phone.upload().unwrap();
    phone.edit(id, &[("address", "一号")]);
    assert!(phone.answer(&batch, &Outcome::quarantined("start_op")).needs_remake);
    assert_eq!(phone.text(id, "head_name"), "None");
    assert_eq!(phone.text(id, "address"), "一号");
    let next = phone.upload().unwrap();
    assert_eq!(hashes(&next.records).len(), 1);
}

#[test]
fn equivocated_changes_are_made_anew() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "张三")]);
    let batch = phone.upload().unwrap();
    phone.answer(&batch, &Outcome { state: State::Equivocation, reason: "equivocation".into() });
    assert_eq!(phone.store.take_new_branch().unwrap().changes, 1);
    assert_eq!(phone.text(id, "head_name"), "张三");
    assert!(phone.store.refused().unwrap().is_empty());
    assert_ne!(hashes(&phone.upload().unwrap().records), hashes(&batch.records));
}

#[test]
fn cloned_phones_lose_nothing() {
    let original = TestPhone::new(1);
    let id = original.household(&[("head_name", "张三"), ("address", "旧")]);
    let stored = original.push();
    let TestPhone { dir, store, device } = original;
    store.close().unwrap();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("phone.db"), copy.path().join("phone.db")).unwrap();
    let open = |dir: TempDir, seed| TestPhone { store: open_dir(dir.path(), seed).unwrap().store, dir, device };
    let (original, clone) = (open(dir, 21), open(copy, 22));
    original.edit(id, &[("address", "一号")]);
    clone.edit(id, &[("phone", "13800000000")]);
    clone.edit(id, &[("remark", "乙")]);
    let theirs = original.push();
    let report = clone.deliver(9, &theirs);
    assert!(report.own_actor_clash);
    assert_eq!(report.remade, 2);
    assert_eq!(clone.store.take_new_branch().unwrap().changes, 2);
    assert_eq!((clone.text(id, "address"), clone.text(id, "phone")), ("一号".into(), "13800000000".into()));
    assert_eq!(clone.text(id, "remark"), "乙");
    let report = original.deliver(10, &clone.push());
    assert_eq!((report.refused, report.own_actor_clash), (vec![], false));
    let json = |phone: &TestPhone| phone.store.record(id).unwrap().unwrap().view().json;
    assert_eq!(json(&original), json(&clone));
    assert_eq!(original.store.scope_digest().unwrap(), clone.store.scope_digest().unwrap());
    assert_eq!(stored.len(), 1);
    original.check_digest();
    clone.check_digest();
}

#[test]
fn a_draft_opened_before_a_new_branch_finishes_on_it_without_a_difference() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("address", "旧")]);
    let draft = phone.store.start_draft("household", 1, None, Some(id)).unwrap();
    phone.upload().unwrap();
    phone.store.take_new_branch().unwrap();
    let plan = FinishPlan {
        documents: vec![phone.document(id, &[("address", "新")])],
        further: Vec::new(),
        note: phone.note(),
    };
    phone.store.finish_draft(draft, &plan).unwrap();
    assert_eq!(phone.text(id, "address"), "新");
    assert_eq!(phone.store.row(id).unwrap().unwrap().differences, 0);
}

#[test]
fn a_superseded_change_that_the_server_had_after_all_is_taken() {
    let (phone, other) = (TestPhone::new(1), TestPhone::new(2));
    let id = phone.household(&[("head_name", "张三")]);
    let batch = phone.upload().unwrap();
    phone.store.take_new_branch().unwrap();
    let report = phone.deliver(3, &batch.records);
    assert_eq!((report.changes, report.own_actor_clash), (1, false));
    other.deliver(3, &batch.records);
    other.deliver(4, &phone.push());
    let json = |phone: &TestPhone| phone.store.record(id).unwrap().unwrap().view().json;
    assert_eq!(json(&phone), json(&other));
    assert_eq!(phone.store.row(id).unwrap().unwrap().differences, 0);
    phone.check_digest();
}

#[test]
fn a_change_that_waited_on_a_server_that_has_nothing_of_it_any_more_is_made_anew() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("head_name", "A")]);
    phone.push();
    phone.edit(id, &[("address", "1")]);
    let batch = phone.upload().unwrap();
    let waits = [Outcome::of(State::Waiting)];
    phone.store.apply_statuses(batch.header.branch, batch.header.number, &waits, 1, MacTag([0; 16])).unwrap();
    let asked = phone.store.waiting_to_ask(1, true).unwrap();
    assert_eq!(asked.len(), 1);
    let gone = [Outcome { state: State::Denied, reason: NOT_KEPT.to_owned() }];
    let report = phone.store.apply_fates(&asked, &gone, 2, MacTag([0; 16])).unwrap();
    assert!(report.needs_remake && report.refused.is_empty());
    assert_eq!(phone.store.take_new_branch().unwrap().changes, 1);
    assert_eq!(phone.text(id, "address"), "1");
    assert!(phone.store.refused().unwrap().is_empty());
    assert_eq!(hashes(&phone.upload().unwrap().records).len(), 1, "and is sent again");
}
