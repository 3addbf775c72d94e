use super::*;

fn plan(phone: &TestPhone, id: RecordId, answers: &[(&str, &str)]) -> FinishPlan {
    FinishPlan { documents: vec![phone.document(id, answers)], further: Vec::new(), note: phone.note() }
}

#[test]
fn saved_answers_survive_a_kill() {
    let phone = TestPhone::new(1);
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    phone.store.save_answer(draft, "head_name", &"张三".into()).unwrap();
    phone.store.save_answer(draft, "status_year", &Value::Int(2024)).unwrap();
    phone.store.save_answer(draft, "income", &Value::Number(2.0)).unwrap();
    phone.store.save_answer(draft, "gps", &Value::Blank).unwrap();
    let before = phone.store.draft_answers(draft).unwrap();
    let phone = phone.killed_and_reopened();
    assert_eq!(phone.store.draft_answers(draft).unwrap(), before);
    assert_eq!(before["income"], Value::Number(2.0));
    assert_eq!(before["status_year"], Value::Int(2024));
}

#[test]
fn undo_brings_the_answer_before_back() {
    let phone = TestPhone::new(1);
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    phone.store.save_answer(draft, "head_name", &"甲".into()).unwrap();
    phone.store.save_answer(draft, "head_name", &"乙".into()).unwrap();
    assert_eq!(phone.store.undo(draft).unwrap().as_deref(), Some("head_name"));
    assert_eq!(phone.store.draft_answers(draft).unwrap()["head_name"], "甲".into());
    phone.store.undo(draft).unwrap();
    assert_eq!(phone.store.undo(draft).unwrap(), None);
    assert!(phone.store.draft_answers(draft).unwrap().is_empty());
}

#[test]
fn answers_of_unknown_drafts_are_refused() {
    let phone = TestPhone::new(1);
    let refused = phone.store.save_answer(DraftId(9), "head_name", &"甲".into());
    assert!(matches!(refused, Err(StoreError::NoDraft)));
    assert!(matches!(phone.store.discard_draft(DraftId(9)), Err(StoreError::NoDraft)));
}

#[test]
fn finishing_makes_one_durable_change_a_document_and_ends_the_draft() {
    let phone = TestPhone::new(1);
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    phone.store.save_answer(draft, "head_name", &"张三".into()).unwrap();
    let id = phone.store.new_record_id();
    let mut plan = plan(&phone, id, &[("head_name", "张三"), ("household_no", "0001")]);
    let part = Identity::part("household", "sensitive", id);
    let part_id = part.derived_id(&TenantKey([2; 32])).unwrap();
    plan.documents.push(PlannedDocument {
        identity: part,
        id: part_id,
        area: VILLAGE,
        subject: Some(id),
        edits: vec![Edit::answer("phone", "13800000000")],
    });
    let finished = phone.store.finish_draft(draft, &plan).unwrap();
    assert_eq!(finished.record, id);
    assert_eq!(finished.changes.len(), 2);
    let phone = phone.killed_and_reopened();
    assert!(phone.store.drafts().unwrap().is_empty());
    let row = phone.store.row(id).unwrap().unwrap();
    assert_eq!((row.title.as_str(), row.label.as_str(), row.unsent), ("张三", "0001", 1));
    assert_eq!(phone.text(part_id, "phone"), "13800000000");
    assert_eq!(phone.store.counts().unwrap(), Counts { records: 2, unsent: 2, ..Counts::default() });
}

#[test]
fn what_merged_while_a_draft_was_open_shows_as_a_difference() {
    let (first, second) = (TestPhone::new(1), TestPhone::new(2));
    let id = first.household(&[("head_name", "张三"), ("address", "旧")]);
    second.deliver(1, &first.push());
    let draft = second.store.start_draft("household", 1, None, Some(id)).unwrap();
    first.edit(id, &[("address", "一号")]);
    second.deliver(2, &first.push());
    second.store.finish_draft(draft, &plan(&second, id, &[("address", "二号")])).unwrap();
    let view = second.store.record(id).unwrap().unwrap().view();
    assert_eq!(view.differences.len(), 1);
    assert_eq!(view.differences[0].values.len(), 2);
    assert_eq!(second.store.row(id).unwrap().unwrap().differences, 1);
    let differing = ListFilter { with_differences: true, limit: 5, ..ListFilter::default() };
    assert_eq!(second.store.list(&differing).unwrap().len(), 1);
    second.edit(id, &[("address", "三号")]);
    assert!(second.store.list(&differing).unwrap().is_empty());
}

#[test]
fn a_draft_that_nothing_overtook_makes_no_difference() {
    let phone = TestPhone::new(1);
    let id = phone.household(&[("address", "旧")]);
    let draft = phone.store.start_draft("household", 1, None, Some(id)).unwrap();
    phone.edit(id, &[("address", "新")]);
    phone.store.finish_draft(draft, &plan(&phone, id, &[("address", "最新")])).unwrap();
    assert_eq!(phone.text(id, "address"), "最新");
    assert_eq!(phone.store.row(id).unwrap().unwrap().differences, 0);
}

#[test]
fn a_plan_that_cannot_be_written_leaves_the_draft() {
    let phone = TestPhone::new(1);
    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
    phone.store.save_answer(draft, "head_name", &"张三".into()).unwrap();
    let id = phone.store.new_record_id();
    let refused = phone.store.finish_draft(draft, &plan(&phone, id, &[("head_name", "张三"), ("no such key!", "x")]));
    assert!(matches!(refused, Err(StoreError::Edit(_))));
    assert_eq!(phone.store.draft_answers(draft).unwrap().len(), 1);
    assert_eq!(phone.store.counts().unwrap().records, 0);
}

#[test]
fn four_threads_write_and_read_without_losing_anything() {
    let phone = TestPhone::new(1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let phone = &phone;
            scope.spawn(move || {
                for n in 0..25 {
                    let label = format!("{thread}-{n}");
                    let id = phone.household(&[("household_no", &label)]);
                    assert_eq!(phone.store.row(id).unwrap().unwrap().label, label);
                    let draft = phone.store.start_draft("household", 1, None, None).unwrap();
                    phone.store.save_answer(draft, "head_name", &label.as_str().into()).unwrap();
                }
            });
        }
    });
    let counts = phone.store.counts().unwrap();
    assert_eq!((counts.records, counts.unsent, counts.drafts), (100, 100, 100));
}

#[test]
fn answers_that_one_change_does_not_hold_are_finished_as_several() {
    let (phone, other) = (TestPhone::new(1), TestPhone::new(2));
    let id = phone.household(&[("head_name", "张三")]);
    phone.push();
    let draft = phone.store.start_draft("household", 1, None, Some(id)).unwrap();
    let texts: Vec<String> = (0..5).map(|n| n.to_string().repeat(32_000)).collect();
    let keys = ["remark", "address", "hamlet", "phone", "household_no"];
    let answers: Vec<(&str, &str)> = keys.into_iter().zip(texts.iter().map(String::as_str)).collect();
    let finished = phone.store.finish_draft(draft, &plan(&phone, id, &answers)).unwrap();
    assert_eq!(finished.changes.len(), 5, "two of these texts are more than a change holds");
    assert!(phone.store.drafts().unwrap().is_empty());
    let whole = phone.store.record(id).unwrap().unwrap().changes();
    let wire = whole.iter().map(|c| crate::protocol::WireChange::new(c.hash, c.bytes.clone())).collect();
    phone.push();
    let frame = RecordFrame {
        id,
        identity: Identity::of_type("household"),
        incarnation: 0,
        area: VILLAGE,
        subject: None,
        body: RecordBody::Changes(wire),
    };
    assert_eq!(other.deliver(1, &[frame]).refused, []);
    for phone in [&phone, &other] {
        for (key, text) in &answers {
            assert_eq!(phone.text(id, key), *text);
        }
        assert_eq!(phone.store.row(id).unwrap().unwrap().differences, 0);
    }
}
