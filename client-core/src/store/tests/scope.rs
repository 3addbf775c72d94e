//! Losing scope: what goes, and what stays because it has no other copy.

use super::*;

use crate::protocol::{AreaEntry, GrantEntry};

pub(super) const ELSEWHERE: AreaId = AreaId([8; 16]);

pub(super) fn grant(grant: u64, area: AreaId, active: bool) -> GrantEntry {
    GrantEntry { grant, role: "helper".into(), area, subject: None, active }
}

/// The phone with a grant for its own village (1) and one for the other (2).
pub(super) fn with_two_villages(phone: TestPhone) -> TestPhone {
    let area = |area, parent| AreaEntry {
        area,
        parent,
        level: "village".into(),
        code: "1".into(),
        name_zh: "村".into(),
        name_en: "Village".into(),
    };
    let township = AreaId([3; 16]);
    let tree = [area(township, None), area(VILLAGE, Some(township)), area(ELSEWHERE, Some(township))];
    phone.store.apply_areas(1, &tree).unwrap();
    phone.store.apply_grants(point(1), &[grant(1, VILLAGE, true), grant(2, ELSEWHERE, true)], "").unwrap();
    phone
}

/// A phone that holds one household of the other village, and how its grant there ends.
fn with_household_elsewhere() -> (TestPhone, RecordId) {
    let (phone, office) = (with_two_villages(TestPhone::new(1)), TestPhone::new(2));
    let id = office.household(&[("head_name", "张三")]);
    let mut frames = office.push();
    frames[0].area = ELSEWHERE;
    phone.deliver(3, &frames);
    (phone, id)
}

pub(super) fn end_grant_elsewhere(phone: &TestPhone) {
    phone.store.apply_grants(point(3), &[grant(2, ELSEWHERE, false)], "").unwrap();
}

#[test]
fn lost_scope_removes_every_byte_once_own_changes_are_settled() {
    let (phone, office) = (TestPhone::new(1), TestPhone::new(2));
    let phone = with_two_villages(phone);
    let mine = office.household(&[("head_name", "张三")]);
    let lost = office.household(&[("head_name", "canary-one")]);
    let open = office.household(&[("head_name", "canary-two")]);
    let mut frames = office.push();
    for frame in &mut frames[1..] {
        frame.area = ELSEWHERE;
    }
    phone.deliver(3, &frames);
    phone.edit(open, &[("address", "canary-three")]);
    phone.store.apply_grants(point(2), &[grant(2, ELSEWHERE, false)], "").unwrap();
    assert!(phone.store.row(mine).unwrap().is_some());
    assert!(phone.store.row(lost).unwrap().is_none());
    assert!(phone.store.row(open).unwrap().is_some(), "an own change has no final state yet");
    phone.check_digest();
    phone.store.note_opens_sealed(true).unwrap();
    phone.push();
    assert!(phone.store.row(open).unwrap().is_none());
    phone.check_digest();
    assert_eq!(canaries(&phone), [""; 0]);
}

#[test]
fn others_content_goes_at_once_whatever_the_server_opens() {
    let (phone, office) = (with_two_villages(TestPhone::new(1)), TestPhone::new(2));
    office.household(&[("head_name", "canary-one")]);
    let mut frames = office.push();
    frames[0].area = ELSEWHERE;
    phone.deliver(3, &frames);
    assert_ne!(canaries(&phone), [""; 0]);
    end_grant_elsewhere(&phone);
    assert_eq!(canaries(&phone), [""; 0]);
}

/// The phone's files that hold a text, as it is or compressed.
fn files_with(phone: &TestPhone, text: &str) -> Vec<&'static str> {
    let found = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    let holds = |name: &&str| {
        let bytes = std::fs::read(phone.dir.path().join(name)).unwrap_or_default();
        let packed = |at: usize| bytes[at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) && found(&unpacked(&bytes[at..]));
        found(&bytes) || (0..bytes.len()).any(packed)
    };
    ["phone.db", "phone.db-wal"].into_iter().filter(holds).collect()
}

/// What can be read of the compressed bytes that begin here.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(mut reader) = zstd::stream::read::Decoder::new(bytes) {
        // damage further on takes nothing from what came before
        let _ = std::io::Read::read_to_end(&mut reader, &mut text);
    }
    text
}

/// The phone's files that hold what these tests wrote.
pub(super) fn canaries(phone: &TestPhone) -> Vec<&'static str> {
    files_with(phone, "canary-")
}

#[test]
fn a_reader_in_the_way_leaves_deleted_bytes_in_the_log_only_until_the_next_sync() {
    let (phone, office) = (with_two_villages(TestPhone::new(1)), TestPhone::new(2));
    office.household(&[("head_name", "canary-one")]);
    let mut frames = office.push();
    frames[0].area = ELSEWHERE;
    phone.deliver(3, &frames);
    let reader = rusqlite::Connection::open(phone.dir.path().join("phone.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    end_grant_elsewhere(&phone);
    assert_eq!(files_with(&phone, "canary-"), ["phone.db-wal"]);
    reader.execute_batch("COMMIT").unwrap();
    phone.store.note_server_time(NOW_MS).unwrap();
    assert_eq!(files_with(&phone, "canary-"), [""; 0]);
}

#[test]
fn deleted_bytes_that_a_killed_process_left_in_the_log_go_at_the_next_opening() {
    let (phone, office) = (with_two_villages(TestPhone::new(1)), TestPhone::new(2));
    office.household(&[("head_name", "canary-one")]);
    let mut frames = office.push();
    frames[0].area = ELSEWHERE;
    phone.deliver(3, &frames);
    let reader = rusqlite::Connection::open(phone.dir.path().join("phone.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    end_grant_elsewhere(&phone);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(files_with(&phone, "canary-"), ["phone.db-wal"]);
    // with another connection open, closing moves nothing, as if the process had been killed
    let phone = phone.killed_and_reopened();
    assert_eq!(files_with(&phone, "canary-"), [""; 0]);
    drop(reader);
}

#[test]
fn a_denied_change_stays_when_its_record_is_out_of_scope() {
    let (phone, id) = with_household_elsewhere();
    phone.edit(id, &[("address", "一号")]);
    end_grant_elsewhere(&phone);
    let batch = phone.upload().unwrap();
    phone.answer(&batch, &Outcome { state: State::Denied, reason: "quarantine_full".into() });
    let refused = phone.store.refused().unwrap();
    assert_eq!(refused.len(), 1, "the server keeps no copy of it");
    assert_eq!(refused[0].edits, [Edit::answer("address", "一号")]);
    assert!(phone.store.row(id).unwrap().is_some());
}

#[test]
fn what_a_draft_is_about_stays_until_the_draft_is_sent_or_thrown_away() {
    let (phone, id) = with_household_elsewhere();
    let edited = phone.store.start_draft("household", 1, None, Some(id)).unwrap();
    phone.store.save_answer(edited, "address", &"一号".into()).unwrap();
    let visit = phone.store.start_draft("visit", 1, Some(id), None).unwrap();
    end_grant_elsewhere(&phone);
    assert!(phone.store.row(id).unwrap().is_some(), "two drafts are about it");
    phone.store.discard_draft(visit).unwrap();
    assert!(phone.store.row(id).unwrap().is_some(), "one draft is about it");
    let plan = FinishPlan {
        documents: vec![phone.document(id, &[("address", "一号")])],
        further: Vec::new(),
        note: phone.note(),
    };
    phone.store.finish_draft(edited, &plan).unwrap();
    let sent = phone.push();
    assert_eq!(hashes(&sent).len(), 1, "the answers arrive");
    assert!(phone.store.row(id).unwrap().is_none());
    phone.check_digest();
}

#[test]
fn a_draft_thrown_away_lets_what_is_out_of_scope_go() {
    let (phone, id) = with_household_elsewhere();
    let draft = phone.store.start_draft("visit", 1, Some(id), None).unwrap();
    end_grant_elsewhere(&phone);
    phone.store.discard_draft(draft).unwrap();
    assert!(phone.store.row(id).unwrap().is_none());
}
