//! Servers and phones that die, come back, are restored or cloned.

use std::path::Path;

use doorstep_core::id::AreaId;
use doorstep_core::protocol::enrol::EnrolAgainBody;
use doorstep_core::protocol::{GrantEntry, Hello, RecordBody, ReplyDecoder, ReplyFrame};
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_server::storage::{Grant, Known, READS_CLOSED, SqliteStorage, Storage, SyncNote, sqlite};
use doorstep_tests::harness::{
    ServerProcess, TestServer, add_household, code_for, copy_folder, edit, ensure_township, open_phone, sync, try_sync,
    visit,
};
use tempfile::TempDir;

#[test]
fn a_phone_restored_from_a_backup_beside_the_living_one_loses_nothing_on_either() {
    let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    visit(&phone, household, "备份前");
    phone.close().unwrap();
    copy_folder(dirs[1].path(), dirs[2].path());
    let (phone, clone) = (open_phone(dirs[1].path()), open_phone(dirs[2].path()));
    visit(&phone, household, "原手机");
    edit(&phone, household, &[("hamlet", "原手机")]);
    visit(&clone, household, "克隆手机");
    edit(&clone, household, &[("hamlet", "克隆手机")]);
    for phone in [&phone, &clone, &phone, &clone, &phone] {
        sync(phone);
    }
    let witness = server.phone(dirs[3].path(), "乙");
    sync(&witness);
    for phone in [&phone, &clone, &witness] {
        assert_eq!(phone.counts().unwrap().unsent, 0);
        let visits =
            phone.list(ListFilter { record_type: Some("visit".into()), limit: 50, ..Default::default() }).unwrap();
        let json: String = visits.iter().map(|v| phone.view(v.id).unwrap().json).collect();
        for remark in ["备份前", "原手机", "克隆手机"] {
            assert!(json.contains(remark), "{remark}");
        }
        let differences = phone.view(household).unwrap().differences;
        assert_eq!(differences.len(), 1, "both hamlets stand");
    }
}

#[test]
fn a_server_restored_from_an_older_backup_is_noticed_and_filled_up_again() {
    let dirs: Vec<TempDir> = (0..5).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    sync(&a);
    sync(&b);
    let backup = dirs[3].path().join("backup.db");
    server.service.storage.backup(&backup).unwrap();
    let lost_visit = visit(&a, household, "备份后甲");
    edit(&b, household, &[("hamlet", "备份后乙")]);
    for phone in [&a, &b, &a] {
        sync(phone);
    }
    drop(server);
    let file = dirs[4].path().join("doorstep.db");
    sqlite::restore(&backup, &file).unwrap();
    let storage = SqliteStorage::open(&file).unwrap();
    assert_eq!(storage.setting(READS_CLOSED).unwrap().as_deref(), Some("1"), "nobody reads before somebody looked");
    storage.set_setting(READS_CLOSED, "0").unwrap();
    drop(storage);
    let server = TestServer::start(dirs[4].path());
    for phone in [&a, &b] {
        let transport = doorstep_core::sync::HttpTransport::new(&server.url()).unwrap();
        phone.use_transport(std::sync::Arc::new(transport));
    }
    // b writes meanwhile: the new server gives its feed numbers to other changes than the old one did
    visit(&b, household, "恢复后乙");
    let report = sync(&b);
    assert!(report.rewound, "the chain shows it");
    assert!(report.brought_back > 0, "b brings back what it had from a");
    sync(&a);
    sync(&b);
    let stored = server.service.storage.full_record(server.township, lost_visit).unwrap();
    assert!(stored.is_some(), "a's visit is back");
    let json = |phone: &doorstep_core::client::Phone| phone.view(household).unwrap().json;
    assert!(json(&a).contains("备份后乙"));
    assert_eq!(json(&a), json(&b));
}

#[test]
fn nobody_reads_from_a_restored_server_before_it_is_reopened_but_pushes_arrive() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&a, server.villages[0], "0001", "李四");
    sync(&a);
    server.service.storage.set_setting(READS_CLOSED, "1").unwrap();
    visit(&a, household, "关闭时");
    let report = sync(&a);
    assert!(report.reads_closed && report.changes_acknowledged == 1);
    assert_eq!(sync(&b).records_received, 0);
    server.service.storage.set_setting(READS_CLOSED, "0").unwrap();
    assert_eq!(sync(&b).records_received, 2);
}

#[test]
fn a_server_killed_at_any_moment_has_kept_every_change_it_acknowledged() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let data = dirs[0].path();
    let code = {
        let service = doorstep_server::cli::serve::open_service(&doorstep_server::cli::DataOptions {
            data: data.to_owned(),
            database: None,
        })
        .unwrap();
        let (township, _) = ensure_township(&service);
        code_for(&service, township, "甲")
    };
    let mut process = ServerProcess::start(crate::BINARY, data);
    let phone = open_phone(dirs[1].path());
    phone.enrol(&process.url, &code).unwrap();
    sync(&phone);
    let area = phone.areas().unwrap().into_iter().find(|a| a.level == "village").unwrap().area;
    let household = add_household(&phone, area, "0001", "李四");
    for round in 0..6 {
        for n in 0..10 {
            visit(&phone, household, &format!("{round}-{n}"));
        }
        let before = phone.counts().unwrap().unsent;
        let report = sync(&phone);
        assert_eq!(report.changes_acknowledged, before);
        process.kill();
        process = ServerProcess::start(crate::BINARY, data);
        let transport = doorstep_core::sync::HttpTransport::new(&process.url).unwrap();
        phone.use_transport(std::sync::Arc::new(transport));
        let report = sync(&phone);
        assert!(!report.rewound, "an acknowledged change was lost in round {round}");
    }
    process.kill();
    let storage = SqliteStorage::open(&data.join("doorstep.db")).unwrap();
    let township = storage.townships().unwrap()[0];
    assert_eq!(storage.change_list(township, 0, 1_000).unwrap().len(), 61);
}

#[test]
fn an_answer_that_was_said_to_be_saved_is_there_after_the_phone_dies() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    let draft = phone.start("visit", Some(household)).unwrap();
    phone.answer_text(draft, "remark", "还没写完").unwrap();
    // the process dies: its files stay as they are, nothing is closed
    copy_folder(dirs[1].path(), dirs[2].path());
    let again = open_phone(dirs[2].path());
    let drafts = again.drafts().unwrap();
    assert_eq!(drafts.len(), 1);
    let answers = again.store().draft_answers(drafts[0].id).unwrap();
    assert!(format!("{answers:?}").contains("还没写完"));
    assert_eq!(again.counts().unwrap().unsent, phone.counts().unwrap().unsent);
}

#[test]
fn a_request_that_was_captured_can_not_be_replayed() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    // a phone restored to an older counter is told, goes on above it, and syncs
    let state = phone.store().sync_state().unwrap();
    let device = state.enrolment.unwrap().device;
    let note = SyncNote { device, counter: 5_000, now_ms: 1, feed_seq: 0, known: Known::default() };
    server.service.storage.note_sync(note).unwrap();
    drop(server);
    let server = TestServer::start(dirs[0].path());
    let transport = doorstep_core::sync::HttpTransport::new(&server.url()).unwrap();
    phone.use_transport(std::sync::Arc::new(transport));
    assert!(try_sync(&phone).is_ok());
}

#[test]
fn a_phone_enrolled_after_the_backup_shows_its_certificate_and_brings_its_work_back() {
    let dirs: Vec<TempDir> = (0..5).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let backup = dirs[1].path().join("backup.db");
    server.service.storage.backup(&backup).unwrap();
    let phone = server.phone(dirs[2].path(), "甲");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    drop(server);
    let file = dirs[3].path().join("doorstep.db");
    sqlite::restore(&backup, &file).unwrap();
    let server = TestServer::start(dirs[3].path());
    server.service.storage.set_setting(READS_CLOSED, "0").unwrap();
    phone.use_transport(std::sync::Arc::new(doorstep_core::sync::HttpTransport::new(&server.url()).unwrap()));
    let report = sync(&phone);
    assert!(report.reads_closed, "an enrolment that was forgotten closes reading until somebody looked");
    let back = server.service.storage.full_record(server.township, household).unwrap();
    assert!(back.is_some(), "the household is back: {report:?}");
    assert!(server.service.storage.users().unwrap().iter().any(|u| u.name == "甲"));
    // its grants are back too: once reading is open, it gets what others write
    let other = server.phone(dirs[4].path(), "乙");
    let theirs = add_household(&other, server.villages[1], "0002", "王五");
    sync(&other);
    server.service.storage.set_setting(READS_CLOSED, "0").unwrap();
    let report = sync(&phone);
    assert!(!report.no_grants);
    assert!(phone.record(theirs).is_ok(), "a phone that came back reads: {report:?}");
    assert!(phone.record(household).is_ok());
}

/// A server restored from `backup` in `dir`, open for reading; the phones talk to it.
pub(super) fn restored(backup: &Path, dir: &Path, phones: &[&doorstep_core::client::Phone]) -> TestServer {
    sqlite::restore(backup, &dir.join("doorstep.db")).unwrap();
    let server = TestServer::start(dir);
    server.service.storage.set_setting(READS_CLOSED, "0").unwrap();
    for phone in phones {
        phone.use_transport(std::sync::Arc::new(doorstep_core::sync::HttpTransport::new(&server.url()).unwrap()));
    }
    server
}

fn grant_of(area: AreaId) -> Grant {
    Grant::from(GrantEntry { grant: 0, role: "township_office".into(), area, subject: None, active: true })
}

/// Ends all grants of a phone's user, and gives this one in their place.
fn regrant(server: &TestServer, phone: &doorstep_core::client::Phone, area: AreaId) {
    let (storage, user) = (&server.service.storage, phone.enrolment().unwrap().unwrap().user);
    let (_, log) = storage.grants(user, 0).unwrap();
    let ended = log.into_iter().map(|(_, grant)| grant.ended(1));
    storage.append_grants(user, &ended.chain([grant_of(area)]).collect::<Vec<_>>()).unwrap();
}

#[test]
fn grants_given_after_the_backup_come_back_with_the_phone_that_was_told_them() {
    let dirs: Vec<TempDir> = (0..5).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let villages = server.villages;
    let (phone, other) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    regrant(&server, &phone, villages[0]);
    sync(&phone);
    let backup = dirs[3].path().join("backup.db");
    server.service.storage.backup(&backup).unwrap();
    regrant(&server, &phone, villages[1]);
    sync(&phone);
    drop(server);
    let server = restored(&backup, dirs[4].path(), &[&phone, &other]);
    let households = [0, 1].map(|n| add_household(&other, villages[n], &format!("000{n}"), "王五"));
    sync(&other);
    sync(&phone);
    let user = phone.enrolment().unwrap().unwrap().user;
    let (_, log) = server.service.storage.grants(user, 0).unwrap();
    assert_eq!(log.last().map(|(_, grant)| (grant.entry.area, grant.entry.active)), Some((villages[1], true)));
    assert!(phone.record(households[0]).is_err(), "the grant of this village has ended");
    assert!(phone.record(households[1]).is_ok(), "the grant of this one is back, and what lies under it came");
    let again = sync(&phone);
    assert_eq!((again.requests, again.no_grants), (1, false), "it is settled");
}

#[test]
fn grants_decided_after_a_restore_stand_against_what_a_phone_brings() {
    let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let backup = dirs[2].path().join("backup.db");
    server.service.storage.backup(&backup).unwrap();
    for village in [0, 1, 0] {
        regrant(&server, &phone, server.villages[village]);
    }
    sync(&phone);
    drop(server);
    let server = restored(&backup, dirs[3].path(), &[&phone]);
    let user = phone.enrolment().unwrap().unwrap().user;
    server.service.storage.append_grants(user, &[grant_of(server.villages[1])]).unwrap();
    let (_, log) = server.service.storage.grants(user, 0).unwrap();
    let ended: Vec<_> = log.into_iter().map(|(_, grant)| grant.ended(1)).collect();
    let stands = server.service.storage.append_grants(user, &ended).unwrap();
    let report = sync(&phone);
    assert_eq!(server.service.storage.grants(user, 0).unwrap().0, stands);
    assert!(report.no_grants, "and the phone says that it may read nothing: {report:?}");
    assert_eq!(phone.store().sync_state().unwrap().grants, stands);
}

#[test]
fn a_log_of_grants_that_the_server_did_not_write_grants_nothing() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    let enrolment = phone.enrolment().unwrap().unwrap();
    let before = server.service.storage.grants(enrolment.user, 0).unwrap();
    let mut log = phone.store().grant_log().unwrap().unwrap();
    log.entries.push(GrantEntry { grant: 2, ..grant_of(server.villages[0]).entry });
    let shown = EnrolAgainBody { certificate: enrolment.certificate.unwrap(), grants: Some(log.to_text()) };
    assert!(server.service.enrol_again(&shown).is_err());
    assert_eq!(server.service.storage.grants(enrolment.user, 0).unwrap(), before);
}

#[test]
fn a_phone_of_a_user_without_grants_says_that_it_may_read_nothing() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let user = doorstep_core::id::UserId([7; 16]);
    let code = server.service.invite(Actor::CommandLine, user, server.township).unwrap();
    let phone = open_phone(dirs[1].path());
    phone.enrol(&server.url(), &code).unwrap();
    assert!(sync(&phone).no_grants);
    server.service.storage.append_grants(user, &[grant_of(server.township)]).unwrap();
    assert!(!sync(&phone).no_grants);
}

#[test]
fn a_certificate_that_the_server_did_not_sign_enrols_nobody() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let certificate = phone.enrolment().unwrap().unwrap().certificate.unwrap();
    let mut shown = EnrolAgainBody { certificate, grants: None };
    server.service.enrol_again(&shown).expect("its own signature");
    let other = doorstep_core::id::DeviceId([9; 16]).to_string();
    let device = phone.enrolment().unwrap().unwrap().device.to_string();
    shown.certificate.content = shown.certificate.content.replace(&device, &other);
    assert!(server.service.enrol_again(&shown).is_err());
    assert_eq!(server.service.storage.devices(server.township).unwrap().len(), 1);
}

#[test]
fn a_phone_whose_clock_is_ten_years_off_syncs_and_is_told() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let ten_years = 10 * 365 * 24 * 3600 * 1000u64;
    let now = doorstep_core::clock::Clock::now_ms(&doorstep_core::clock::SystemClock);
    let phone = doorstep_tests::harness::open_phone_at(dirs[1].path(), now - ten_years);
    phone.enrol(&server.url(), &server.code("甲")).unwrap();
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    let report = sync(&phone);
    assert_eq!(report.changes_acknowledged, 1);
    let off = report.clock_off_ms.unsigned_abs();
    assert!(off.abs_diff(ten_years) < 3_600_000, "{off}");
    let page =
        doorstep_server::service::view::record_page(&server.service, server.township, household).unwrap().unwrap();
    let entry = &page.history[0];
    assert!(entry.received_ms >= now && entry.claimed_s < (now / 1000) as i64 - 300_000_000, "both times are kept");
}

#[test]
fn an_enrolment_whose_answer_was_lost_is_repeated_with_the_same_code() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (phone, code) = (open_phone(dirs[1].path()), server.code("甲"));
    let key = |phone: &doorstep_core::client::Phone| {
        ed25519_dalek::SigningKey::from_bytes(&phone.store().seed_for_code(&code).unwrap())
    };
    let transport = doorstep_core::sync::HttpTransport::new(&server.url()).unwrap();
    let lost = transport.enrol(&code, &key(&phone)).unwrap();
    phone.close().unwrap();
    let phone = open_phone(dirs[1].path());
    let enrolment = phone.enrol(&server.url(), &code).expect("the code still holds for this phone");
    assert_eq!(enrolment.device, lost.device);
    assert!(!sync(&phone).no_grants);
    assert!(open_phone(dirs[2].path()).enrol(&server.url(), &code).is_err(), "and for no other");
    assert_eq!(server.service.storage.devices(server.township).unwrap().len(), 1);
}

#[test]
fn an_enrolled_phone_does_not_burn_another_code() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (phone, code) = (server.phone(dirs[1].path(), "甲"), server.code("乙"));
    assert!(phone.enrol(&server.url(), &code).is_err());
    open_phone(dirs[2].path()).enrol(&server.url(), &code).expect("the code wasn't used");
}

/// The bodies of records in the reply to a phone that fills from the start.
fn filled(server: &TestServer, phone: &doorstep_core::client::Phone, diverged: bool) -> Vec<RecordBody> {
    let enrolment = phone.enrolment().unwrap().unwrap();
    let counter = phone.store().next_counter().unwrap();
    let hello = Hello { diverged, ..Hello::first(enrolment.tenant, enrolment.device, counter) };
    let body = hello.encode_signed(&ed25519_dalek::SigningKey::from_bytes(&enrolment.signing_seed));
    let response = crate::client().post(format!("{}/sync", server.url())).body(body).send().unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let mut decoder = ReplyDecoder::new(doorstep_core::id::TenantKey(enrolment.tenant_key)).unwrap();
    let frames = decoder.push(&response.bytes().unwrap()).unwrap();
    let records =
        frames.into_iter().filter_map(|f| if let ReplyFrame::Delivery(d) = f { Some(d.records) } else { None });
    records.flatten().map(|r| r.body).collect()
}

#[test]
fn a_phone_whose_digest_differs_gets_changes_instead_of_snapshots() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (phone, other) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    for n in 0..30 {
        edit(&phone, household, &[("hamlet", &format!("{n} 组"))]);
    }
    sync(&phone);
    assert!(matches!(filled(&server, &other, false)[..], [RecordBody::Snapshot { .. }]));
    let as_changes = filled(&server, &other, true);
    assert!(matches!(&as_changes[..], [RecordBody::Changes(changes)] if changes.len() == 31), "{as_changes:?}");
}
