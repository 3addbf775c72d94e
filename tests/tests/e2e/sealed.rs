//! What a phone keeps of records that left its scope: nothing that it can read, and all that a rewound server needs.

use doorstep_core::client::Phone;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::NewGrant;
use doorstep_server::storage::Grant;
use doorstep_tests::files;
use doorstep_tests::harness::{TestServer, add_household, edit, person, sync, visit};
use tempfile::TempDir;

use crate::erasure::{erase, family};
use crate::recovery::restored;

/// What the helper writes and nobody else.
const CANARY: &str = "金丝雀鸣";

/// A helper who is paired with one household, her phone, and the office's.
struct Paired {
    dirs: Vec<TempDir>,
    server: TestServer,
    office: Phone,
    helper: UserId,
    phone: Phone,
    household: RecordId,
}

fn paired(household_of: impl FnOnce(&Phone, AreaId) -> RecordId) -> Paired {
    let dirs: Vec<TempDir> = (0..6).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let office = server.phone(dirs[1].path(), "扶贫工作站");
    let household = household_of(&office, server.villages[0]);
    sync(&office);
    let helper = person(&server.service, "甲");
    let area = server.villages[0];
    let pairing = NewGrant {
        user: helper,
        role: "helper".into(),
        area,
        household: Some(household),
        until_ms: None,
        stand_in_for: None,
    };
    server.service.give(Actor::CommandLine, server.township, &pairing).unwrap();
    let phone = server.phone_of(dirs[2].path(), helper);
    sync(&phone);
    Paired { dirs, server, office, helper, phone, household }
}

impl Paired {
    fn end_pairing(&self) {
        let storage = &self.server.service.storage;
        let (_, log) = storage.grants(self.helper, 0).unwrap();
        let active = log.iter().filter(|(_, grant)| grant.entry.active);
        let ended: Vec<Grant> = active.map(|(_, grant)| grant.ended(self.server.service.clock.now_ms())).collect();
        storage.append_grants(self.helper, &ended).unwrap();
    }

    /// Which records' changes her phone keeps sealed.
    fn sealed(&self) -> Vec<[u8; 16]> {
        let db = rusqlite::Connection::open(self.dirs[2].path().join("phone.db")).unwrap();
        let mut statement = db.prepare("SELECT DISTINCT record FROM sealed ORDER BY record").unwrap();
        let rows = statement.query_map([], |r| r.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn holds_canary(&self) -> bool {
        files::holds(self.dirs[2].path(), CANARY).unwrap()
    }
}

fn remark(phone: &Phone, record: RecordId) -> Option<String> {
    let answer = phone.record(record).ok()?.answers().get("remark")?.to_json();
    answer.as_str().map(str::to_owned)
}

#[test]
fn what_a_helper_wrote_can_not_be_read_on_her_phone_once_the_pairing_ends_and_still_fills_up_a_restored_server() {
    let mut town = paired(|office, village| add_household(office, village, "0001", "李四"));
    let backup = town.dirs[3].path().join("backup.db");
    town.server.service.storage.backup(&backup).unwrap();
    edit(&town.phone, town.household, &[("remark", CANARY)]);
    let written = visit(&town.phone, town.household, &format!("{CANARY}走访"));
    assert_eq!(sync(&town.phone).changes_acknowledged, 2);
    assert!(town.holds_canary());
    town.end_pairing();
    sync(&town.phone);
    let rows = town.phone.list(ListFilter { limit: 10, ..ListFilter::default() }).unwrap();
    assert_eq!(rows.len(), 0, "she holds nothing any more");
    assert!(!town.holds_canary());

    town.server = restored(&backup, town.dirs[4].path(), &[&town.office, &town.phone]);
    let township = town.server.township;
    let on_server = |server: &TestServer, record| server.service.storage.full_record(township, record).unwrap();
    assert!(on_server(&town.server, written).is_none(), "the backup is older than her write");
    let report = sync(&town.phone);
    assert!(report.rewound && report.brought_back == 2, "{report:?}");
    assert!(on_server(&town.server, written).is_some(), "her visit is on the server again");
    sync(&town.office);
    assert_eq!(remark(&town.office, town.household).as_deref(), Some(CANARY));
    assert!(town.office.record(written).is_ok());
    assert_eq!(town.phone.counts().unwrap().unsent, 0);
    assert_eq!(town.phone.store().refused_upload().unwrap(), None);
    assert!(!town.holds_canary());
    // the branch goes on where it was
    assert_eq!(town.phone.store().sync_state().unwrap().branch, 0);
    assert_eq!(sync(&town.phone).requests, 1, "all is done");
}

#[test]
fn what_builds_on_another_s_change_comes_back_to_a_restored_server_whichever_phone_is_first() {
    for helper_first in [true, false] {
        let mut town = paired(|office, village| add_household(office, village, "0001", "李四"));
        let backup = town.dirs[3].path().join("backup.db");
        town.server.service.storage.backup(&backup).unwrap();
        edit(&town.office, town.household, &[("address", "村东头")]);
        sync(&town.office);
        sync(&town.phone);
        edit(&town.phone, town.household, &[("remark", CANARY)]);
        sync(&town.phone);
        town.end_pairing();
        sync(&town.phone);
        assert!(!town.holds_canary());
        // nobody but her phone has it, and it has only her own part
        town.server = restored(&backup, town.dirs[4].path(), &[&town.office, &town.phone]);
        let mut order = [&town.phone, &town.office];
        if !helper_first {
            order.reverse();
        }
        order.into_iter().for_each(|phone| drop(sync(phone)));
        sync(&town.office);
        assert_eq!(remark(&town.office, town.household).as_deref(), Some(CANARY), "helper first: {helper_first}");
        assert!(town.server.service.storage.quarantine(town.server.township, None, 10).unwrap().is_empty());
    }
}

#[test]
fn erasing_a_person_removes_what_a_phone_keeps_sealed_of_a_family_that_it_no_longer_holds() {
    let mut member = String::new();
    let town = paired(|office, village| {
        let (household, person) = family(office, village);
        member = person;
        household
    });
    // more than one request asks about
    let mut kept: Vec<[u8; 16]> = (0..40).map(|_| visit(&town.phone, town.household, "一切正常").0).collect();
    edit(&town.phone, town.household, &[(&format!("member#{member}/name"), CANARY)]);
    sync(&town.phone);
    town.end_pairing();
    sync(&town.phone);
    kept.sort_unstable();
    let mut all = [kept.as_slice(), &[town.household.0]].concat();
    all.sort_unstable();
    assert_eq!(town.sealed(), all);
    erase(&town.server, town.household, &member).unwrap();
    sync(&town.phone);
    assert_eq!(town.sealed(), kept, "at the next sync");
}

#[test]
fn a_sealed_part_that_is_damaged_on_the_phone_is_in_the_way_of_nothing_else() {
    let mut town = paired(|office, village| add_household(office, village, "0001", "李四"));
    let backup = town.dirs[3].path().join("backup.db");
    town.server.service.storage.backup(&backup).unwrap();
    edit(&town.phone, town.household, &[("remark", CANARY)]);
    let written = visit(&town.phone, town.household, "走访");
    sync(&town.phone);
    town.end_pairing();
    sync(&town.phone);
    let db = rusqlite::Connection::open(town.dirs[2].path().join("phone.db")).unwrap();
    let damage = "UPDATE sealed SET content = CAST(x'01' || randomblob(length(content) - 1) AS BLOB) WHERE record = ?";
    assert_eq!(db.execute(damage, [town.household.0]).unwrap(), 1);
    drop(db);
    town.server = restored(&backup, town.dirs[4].path(), &[&town.office, &town.phone]);
    let report = sync(&town.phone);
    assert_eq!(report.brought_back, 1, "{report:?}");
    assert_eq!(report.upload_refused.as_deref(), Some("upload_sealed"));
    let township = town.server.township;
    assert!(town.server.service.storage.full_record(township, written).unwrap().is_some(), "the sound part is back");
    // the batch is given up after some syncs
    for _ in 0..3 {
        sync(&town.phone);
    }
    assert!(!town.phone.store().has_pending().unwrap());
    let report = sync(&town.phone);
    assert_eq!((report.requests, report.upload_refused), (1, None));
}
