use super::*;

use crate::protocol::{AreaEntry, FillPosition, GrantEntry, ScopeDigest, Source};
use crate::record::Record;

#[test]
fn the_same_frame_twice_changes_nothing_more() {
    let (first, second) = (TestPhone::new(1), TestPhone::new(2));
    let id = first.household(&[("head_name", "张三")]);
    first.edit(id, &[("address", "一号")]);
    let frames = first.push();
    let report = second.deliver(2, &frames);
    assert_eq!((report.records, report.changes, report.refused), (1, 2, vec![]));
    let digest = second.store.scope_digest().unwrap();
    let again = second.deliver(2, &frames);
    assert_eq!((again.records, again.changes), (0, 0));
    assert_eq!(second.store.scope_digest().unwrap(), digest);
    assert_eq!(digest, first.store.scope_digest().unwrap());
    assert_eq!(second.store.sync_state().unwrap().feed, Some(point(2)));
    let second = second.killed_and_reopened();
    assert_eq!(second.text(id, "address"), "一号");
    second.check_digest();
}

#[test]
fn an_own_change_that_comes_back_is_acknowledged() {
    let phone = TestPhone::new(1);
    phone.household(&[("head_name", "张三")]);
    let batch = phone.upload().unwrap();
    phone.answer(&batch, &Outcome::of(State::Waiting));
    assert_eq!(phone.store.counts().unwrap().waiting, 1);
    let report = phone.deliver(1, &batch.records);
    assert!(!report.own_actor_clash);
    assert_eq!(phone.store.counts().unwrap().waiting, 0);
    phone.check_digest();
}

#[test]
fn a_bad_record_never_blocks_the_others() {
    let (first, second) = (TestPhone::new(1), TestPhone::new(2));
    let bad = first.household(&[("head_name", "张三")]);
    let good = first.household(&[("head_name", "李四")]);
    let mut frames = first.push();
    let sound = frames.clone();
    if let RecordBody::Changes(changes) = &mut frames[0].body {
        let last = changes[0].bytes.len() - 1;
        changes[0].bytes[last] ^= 0xff;
    }
    let report = second.deliver(1, &frames);
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].0, bad);
    assert_eq!(second.text(good, "head_name"), "李四");
    assert!(second.store.row(bad).unwrap().unwrap().stuck);
    second.deliver(1, &sound);
    assert!(!second.store.row(bad).unwrap().unwrap().stuck);
    assert_eq!(second.text(bad, "head_name"), "张三");
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let (first, second) = (TestPhone::new(1), TestPhone::new(2));
    first.household(&[("head_name", "张三")]);
    let mut frames = first.push();
    second.deliver(1, &frames);
    frames[0].identity = Identity::of_type("visit");
    assert_eq!(second.deliver(2, &frames).refused[0].1, "identity");
}

#[test]
fn a_snapshot_gives_the_same_record_as_its_changes() {
    let (first, second, third) = (TestPhone::new(1), TestPhone::new(2), TestPhone::new(3));
    let id = first.household(&[("head_name", "张三")]);
    for n in 0..20 {
        first.edit(id, &[("remark", &n.to_string())]);
    }
    let frames = first.push();
    let record = first.store.record(id).unwrap().unwrap();
    let mut snapshot = frames[0].clone();
    snapshot.body = RecordBody::Snapshot { heads: record.heads(), bytes: record.snapshot().unwrap(), received_ms: 7 };
    // the third has an open change of its own on the first one
    third.deliver(1, &[RecordFrame { body: first_change(&frames[0]), ..frames[0].clone() }]);
    third.edit(id, &[("address", "三号")]);
    for phone in [&second, &third] {
        let report = phone.deliver(5, std::slice::from_ref(&snapshot));
        assert_eq!(report.refused, []);
        assert_eq!(phone.store.scope_digest().unwrap(), first.store.scope_digest().unwrap());
        phone.check_digest();
    }
    assert_eq!(second.store.record(id).unwrap().unwrap().view(), record.view());
    assert_eq!((third.text(id, "address"), third.text(id, "remark")), ("三号".into(), "19".into()));
    let mut wrong = snapshot.clone();
    if let RecordBody::Snapshot { heads, .. } = &mut wrong.body {
        heads[0] = ChangeHash([9; 32]);
    }
    assert_eq!(second.deliver(6, &[wrong]).refused[0].1, "snapshot");
}

fn first_change(frame: &RecordFrame) -> RecordBody {
    match &frame.body {
        RecordBody::Changes(changes) => RecordBody::Changes(changes[..1].to_vec()),
        other => other.clone(),
    }
}

#[test]
fn a_re_rooted_record_drops_its_old_content_and_keeps_open_edits() {
    let (phone, office) = (TestPhone::new(1), TestPhone::new(2));
    let id = phone.household(&[("head_name", "张三"), ("address", "secret-canary")]);
    let old = phone.push();
    phone.edit(id, &[("phone", "13800000000")]);
    office.edit(id, &[("head_name", "张三")]);
    let mut root = office.push();
    root[0].incarnation = 1;
    let report = phone.deliver(5, &root);
    assert_eq!((report.remade, report.refused), (1, vec![]));
    assert_eq!(phone.text(id, "address"), "None");
    assert_eq!((phone.text(id, "head_name"), phone.text(id, "phone")), ("张三".into(), "13800000000".into()));
    let batch = phone.upload().unwrap();
    assert_eq!(batch.records[0].incarnation, 1);
    assert_eq!(phone.deliver(6, &old).changes, 0);
    phone.check_digest();
}

#[test]
fn the_server_says_where_a_record_is() {
    let (first, second) = (TestPhone::new(1), TestPhone::new(2));
    let id = first.household(&[("head_name", "张三")]);
    let mut frames = first.push();
    second.deliver(1, &frames);
    frames[0].area = AreaId([8; 16]);
    second.deliver(2, &frames);
    assert_eq!(second.store.row(id).unwrap().unwrap().area, AreaId([8; 16]));
}

#[test]
fn fills_go_on_where_they_were_cut_and_end_only_when_closed() {
    let phone = TestPhone::new(1);
    let entry = GrantEntry { grant: 4, role: "helper".into(), area: VILLAGE, subject: None, active: true };
    phone.store.apply_grants(point(1), std::slice::from_ref(&entry), "").unwrap();
    let fills = |phone: &TestPhone| phone.store.sync_state().unwrap().fills;
    assert_eq!(fills(&phone), [FillPosition { grant: 4, after: 0 }]);
    let fill = Delivery { source: Source::Fill { grant: 4, after: 30 }, ..delivery(9, &[]) };
    phone.store.apply_delivery(&fill).unwrap();
    let phone = phone.killed_and_reopened();
    assert_eq!(fills(&phone), [FillPosition { grant: 4, after: 30 }]);
    assert_eq!(phone.store.sync_state().unwrap().feed, None);
    phone.store.close_fill(4).unwrap();
    assert!(fills(&phone).is_empty());
    let more = ScopeDigest { count: 1, sum: 9 };
    assert!(phone.store.compare_scope(more).unwrap(), "the server has more");
    assert_eq!(fills(&phone), [FillPosition { grant: 4, after: 0 }]);
    assert!(phone.store.sync_state().unwrap().diverged);
    phone.store.apply_grants(point(2), &[GrantEntry { active: false, ..entry }], "").unwrap();
    assert!(fills(&phone).is_empty());
    assert_eq!(phone.store.sync_state().unwrap().grants, point(2));
}

#[test]
fn a_list_of_an_area_holds_what_is_below_it() {
    let phone = TestPhone::new(1);
    let area = |area, parent| AreaEntry {
        area,
        parent,
        level: "village".into(),
        code: "1".into(),
        name_zh: "村".into(),
        name_en: "Village".into(),
    };
    let township = AreaId([3; 16]);
    phone.store.apply_areas(2, &[area(township, None), area(VILLAGE, Some(township))]).unwrap();
    assert_eq!(phone.store.areas().unwrap().len(), 2);
    let id = phone.household(&[("household_no", "0001"), ("head_name", "LI Lei"), ("member#a1/name", "Han Meimei")]);
    phone.household(&[("household_no", "0002")]);
    let list = |filter: ListFilter| phone.store.list(&ListFilter { limit: 10, ..filter }).unwrap();
    let all = |area| ListFilter { record_type: Some("household".into()), area: Some(area), ..ListFilter::default() };
    assert_eq!(list(all(township)).len(), 2);
    assert_eq!(list(all(VILLAGE)).iter().map(|r| r.label.as_str()).collect::<Vec<_>>(), ["0001", "0002"]);
    assert_eq!(list(all(AreaId([9; 16]))), []);
    let found = list(ListFilter { search: Some("meimei".into()), ..all(VILLAGE) });
    assert_eq!((found.len(), found[0].id, found[0].persons), (1, id, 1));
}

/// A village's list costs the same with many villages: it reads an index, in the order of the list.
#[test]
fn a_village_among_25_000_records_is_listed_by_an_index() {
    let phone = TestPhone::new(1);
    let record = Record::new(Identity::of_type("household"));
    phone
        .store
        .in_transaction(connection::Durability::Process, |work| {
            for n in 0..25_000u32 {
                let mut id = [0; 16];
                id[..4].copy_from_slice(&n.to_be_bytes());
                let held = work.insert_record(content::Held {
                    no: 0,
                    id: RecordId(id),
                    identity: record.identity().clone(),
                    incarnation: 0,
                    area: AreaId([(n % 100) as u8; 16]),
                    subject: None,
                })?;
                work.db.execute("UPDATE record SET label = ? WHERE no = ?", (format!("{n:05}"), held.no))?;
            }
            Ok(())
        })
        .unwrap();
    let filter =
        ListFilter { record_type: Some("household".into()), area: Some(VILLAGE), limit: 300, ..ListFilter::default() };
    let plan = phone
        .store
        .connections
        .read(|db| {
            let (sql, values) = read::list_statement(db, &filter)?;
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), |r| r.get::<_, String>(3))?;
            Ok(rows.map(|r| r.unwrap()).collect::<Vec<_>>())
        })
        .unwrap();
    assert_eq!(plan, ["SEARCH record USING INDEX record_list (type=? AND area=?)"]);
    let started = std::time::Instant::now();
    let rows = phone.store.list(&filter).unwrap();
    eprintln!("list of {} among 25,000: {:?}", rows.len(), started.elapsed());
    assert_eq!(rows.len(), 250);
    assert!(rows.is_sorted_by_key(|r| r.label.clone()));
}

#[test]
fn a_list_about_a_record_looks_only_at_what_names_it() {
    let phone = TestPhone::new(1);
    let record_type = Some("visit".to_owned());
    let filter = ListFilter { record_type, subject: Some(RecordId([7; 16])), limit: 10, ..ListFilter::default() };
    let plan: Vec<String> = phone
        .store
        .connections
        .read(|db| {
            let (sql, values) = read::list_statement(db, &filter)?;
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), |r| r.get::<_, String>(3))?;
            Ok(rows.map(|r| r.unwrap()).collect::<Vec<_>>())
        })
        .unwrap();
    let reads: Vec<&String> = plan.iter().filter(|step| step.contains("record")).collect();
    assert!(reads.iter().all(|step| step.contains("PRIMARY KEY") || step.contains("record_subject")), "{plan:?}");
}

#[test]
fn a_frame_of_nothing_moves_the_position_only() {
    let phone = TestPhone::new(1);
    let report = phone.deliver(8, &[]);
    assert_eq!(report, DeliveryReport::default());
    assert_eq!(phone.store.sync_state().unwrap().feed, Some(point(8)));
}
