//! A lost phone: reported, shut out, erased at its next contact; what it still had is looked at by the office.

use std::path::Path;

use doorstep_core::client::{Phone, PhoneError};
use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_core::id::DeviceId;
use doorstep_core::store::{ListFilter, Notice, StoreError};
use doorstep_core::sync::SyncError;
use doorstep_server::link::{Link, LinkOptions};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::lost::Withdrawal;
use doorstep_server::storage::{Decision, QuarantineFilter, QuarantineRow};
use doorstep_tests::harness::{TestServer, add_household, copy_folder, edit, open_phone, sync, try_sync, visit};
use std::sync::Arc;
use tempfile::TempDir;

use crate::cli::{refused, run};

fn dirs<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| TempDir::new().unwrap())
}

/// All bytes of all files in a folder.
fn bytes_in(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn holds(dir: &Path, text: &str) -> bool {
    bytes_in(dir).windows(text.len()).any(|window| window == text.as_bytes())
}

fn held(server: &TestServer, decision: Decision) -> Vec<QuarantineRow> {
    let filter = QuarantineFilter { decision: Some(decision), limit: 1_000, ..QuarantineFilter::default() };
    server.service.storage.quarantine_list(server.township, &filter).unwrap()
}

fn report_lost(server: &TestServer, phone: &Phone) {
    let device = phone.enrolment().unwrap().unwrap().device;
    server.service.report_lost(Actor::Office, device, "在集市丢失").unwrap().unwrap();
}

fn visits(phone: &Phone) -> usize {
    phone.list(ListFilter { record_type: Some("visit".into()), limit: 100, ..Default::default() }).unwrap().len()
}

fn actions(server: &TestServer) -> Vec<String> {
    server.service.storage.audit_after(0, 100).unwrap().into_iter().map(|row| row.entry.action).collect()
}

#[test]
fn a_lost_phone_hands_over_what_it_had_reads_nothing_more_and_erases_itself() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let (lost, other) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&lost, server.villages[0], "0001", "李四甲乙丙");
    sync(&lost);
    sync(&other);
    visit(&lost, household, "没有上报的走访");
    edit(&lost, household, &[("address", "一组7号")]);
    let draft = lost.start("visit", Some(household)).unwrap();
    lost.answer_text(draft, "remark", "没有做完的走访").unwrap();
    add_household(&other, server.villages[0], "0002", "丢失之后才有的人");
    sync(&other);
    report_lost(&server, &lost);

    let refused = try_sync(&lost).unwrap_err();
    assert!(matches!(refused, SyncError::Wiped), "{refused:?}");
    for text in ["李四甲乙丙", "没有上报的走访", "没有做完的走访", "丢失之后才有的人", "user_name"]
    {
        assert!(!holds(dirs[1].path(), text), "{text} is still on the phone");
    }
    let names: Vec<_> = std::fs::read_dir(dirs[1].path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["wiped"], "nothing but the note is left");
    assert!(matches!(lost.counts(), Err(PhoneError::Store(StoreError::Wiped))));
    let error = PhoneError::from(refused);
    assert!(error.advice("zh").unwrap().contains("挂失") && error.advice("en").unwrap().contains("lost"));

    // the office sees what came, and nobody else does
    let rows = held(&server, Decision::Open);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.change.reason == "lost_device"));
    sync(&other);
    assert_eq!(visits(&other), 0);
    let said = actions(&server);
    assert!(said.contains(&"device_lost".to_owned()) && said.contains(&"device_wiped".to_owned()), "{said:?}");

    // and accepts it
    let device = rows[0].device;
    let released = server.service.accept_unsent(Actor::Office, device, "已核对").unwrap().unwrap();
    assert!(released.len() == 2 && released.iter().all(|r| r.refused.is_none()), "{released:?}");
    sync(&other);
    assert_eq!(visits(&other), 1);
    assert!(other.view(household).unwrap().json.contains("一组7号"));
    assert!(held(&server, Decision::Open).is_empty() && held(&server, Decision::Released).len() == 2);
    assert!(server.service.accept_unsent(Actor::Office, device, "").unwrap().unwrap().is_empty(), "once");
}

#[test]
fn a_found_phone_says_what_happened_and_is_enrolled_anew() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let lost = server.phone(dirs[1].path(), "甲");
    add_household(&lost, server.villages[0], "0001", "李四");
    sync(&lost);
    report_lost(&server, &lost);
    assert!(matches!(try_sync(&lost), Err(SyncError::Wiped)));
    drop(lost);
    let open = || Phone::open(dirs[1].path(), Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
    let (found, notices) = open();
    assert_eq!(notices, [Notice::Wiped]);
    assert!(notices[0].to_string().contains("已挂失") && notices[0].to_string().contains("lost"));
    assert!(found.enrolment().unwrap().is_none());
    found.enrol(&server.url(), &server.code("甲")).unwrap();
    sync(&found);
    assert_eq!(found.households(None, "", 0, 10).unwrap().len(), 1);
    drop(found);
    assert!(open().1.is_empty(), "said until it is enrolled anew");
}

#[test]
fn a_cut_while_a_lost_phone_hands_over_loses_nothing_and_leaves_nobody_s_records() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let link = server.runtime().block_on(Link::start(server.address, LinkOptions::default())).unwrap();
    let witness = server.phone(dirs[1].path(), "乙");
    let household = add_household(&witness, server.villages[0], "0001", "李四甲乙丙");
    sync(&witness);
    let mut handed_over = 0;
    for cut in (300..3_000).step_by(450) {
        let dir = TempDir::new().unwrap();
        let lost = server.phone_at(dir.path(), "甲", &format!("http://{}", link.address));
        sync(&lost);
        visit(&lost, household, &format!("断点{cut}"));
        handed_over += 1;
        report_lost(&server, &lost);
        link.counts.cut_after(cut);
        let first = try_sync(&lost);
        link.counts.cut_after(u32::MAX);
        if !matches!(first, Err(SyncError::Wiped)) {
            // nobody knows whether the order arrived; if it did, only the phone's own unsent work is still there
            drop(lost);
            let lost = open_phone(dir.path());
            assert!(matches!(try_sync(&lost), Err(SyncError::Wiped)), "cut at {cut}");
        }
        assert!(!holds(dir.path(), "李四甲乙丙"), "cut at {cut}");
        assert_eq!(held(&server, Decision::Open).len(), handed_over, "cut at {cut}");
    }
}

#[test]
fn a_copy_of_a_wiped_phone_is_refused_its_batch_kept_as_evidence_and_the_copy_erased() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let lost = server.phone(dirs[1].path(), "甲");
    let household = add_household(&lost, server.villages[0], "0001", "李四甲乙丙");
    sync(&lost);
    visit(&lost, household, "没有上报的走访");
    let enrolled = lost.enrolment().unwrap().unwrap();
    lost.close().unwrap();
    copy_folder(dirs[1].path(), dirs[2].path());
    let lost = open_phone(dirs[1].path());
    report_lost(&server, &lost);
    assert!(matches!(try_sync(&lost), Err(SyncError::Wiped)));
    assert_eq!(held(&server, Decision::Open).len(), 1);

    let copy = open_phone(dirs[2].path());
    visit(&copy, household, "别人写的走访");
    assert!(matches!(try_sync(&copy), Err(SyncError::Wiped)));
    assert!(!holds(dirs[2].path(), "李四甲乙丙"));
    assert_eq!(held(&server, Decision::Open).len(), 1, "what the copy wrote isn't among what the phone handed over");
    let kept = server.service.storage.refused_uploads(server.township, None, 10).unwrap();
    let wiped: Vec<_> = kept.iter().filter(|row| row.reason == "upload_wiped").collect();
    assert!(!wiped.is_empty() && wiped.iter().all(|row| row.device == enrolled.device && row.kept > 0), "{kept:?}");
    let records = server.service.storage.list_records(server.township, &Default::default());
    assert!(records.unwrap().iter().all(|row| row.record_type != "visit"));
}

#[test]
fn a_lost_phone_whose_numbers_a_copy_has_used_hands_over_what_it_had_and_erases_itself() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let lost = server.phone(dirs[1].path(), "甲");
    let household = add_household(&lost, server.villages[0], "0001", "李四甲乙丙");
    sync(&lost);
    lost.close().unwrap();
    copy_folder(dirs[1].path(), dirs[2].path());
    let (lost, copy) = (open_phone(dirs[1].path()), open_phone(dirs[2].path()));
    visit(&copy, household, "副本上的走访");
    sync(&copy);
    visit(&lost, household, "没有上报的走访");
    report_lost(&server, &lost);
    assert!(matches!(try_sync(&lost), Err(SyncError::Wiped)));
    assert!(!holds(dirs[1].path(), "李四甲乙丙"));
    let reasons: Vec<String> = held(&server, Decision::Open).into_iter().map(|row| row.change.reason).collect();
    assert_eq!(reasons, ["lost_device"]);
}

#[test]
fn one_of_a_person_s_two_phones_is_lost_and_the_other_goes_on() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let first = server.phone(dirs[1].path(), "甲");
    let user = first.enrolment().unwrap().unwrap().user;
    let second = open_phone(dirs[2].path());
    second.enrol(&server.url(), &server.service.invite(Actor::CommandLine, user, server.township).unwrap()).unwrap();
    let household = add_household(&first, server.villages[0], "0001", "李四");
    sync(&first);
    sync(&second);
    assert_eq!(second.households(None, "", 0, 10).unwrap().len(), 1, "both read what the person may read");
    report_lost(&server, &first);
    assert!(matches!(try_sync(&first), Err(SyncError::Wiped)));
    visit(&second, household, "照常走访");
    assert_eq!(sync(&second).changes_acknowledged, 1);
}

fn withdraw(server: &TestServer, device: DeviceId) -> Withdrawal {
    server.service.withdraw_lost(Actor::Office, device, "手机找到了").unwrap()
}

#[test]
fn a_report_that_is_withdrawn_before_the_phone_heard_of_it_leaves_no_trace_on_it() {
    let dirs: [TempDir; 3] = dirs();
    let server = TestServer::start(dirs[0].path());
    let (phone, other) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = add_household(&phone, server.villages[0], "0001", "李四甲乙丙");
    sync(&phone);
    visit(&phone, household, "没有上报的走访");
    let draft = phone.start("visit", Some(household)).unwrap();
    phone.answer_text(draft, "remark", "没有做完的走访").unwrap();
    let device = phone.enrolment().unwrap().unwrap().device;
    assert_eq!(withdraw(&server, device), Withdrawal::NotLost);
    report_lost(&server, &phone);
    assert_eq!(withdraw(&server, device), Withdrawal::Done);
    sync(&phone);
    sync(&other);
    assert_eq!((visits(&phone), visits(&other)), (1, 1));
    assert_eq!(phone.drafts().unwrap().len(), 1);
    assert!(held(&server, Decision::Open).is_empty());
    assert!(actions(&server).contains(&"lost_withdrawn".to_owned()));
    report_lost(&server, &phone);
    assert!(matches!(try_sync(&phone), Err(SyncError::Wiped)), "it can be reported again");
}

#[test]
fn what_a_phone_sent_while_it_counted_as_lost_counts_once_the_report_is_withdrawn() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let link = server.runtime().block_on(Link::start(server.address, LinkOptions::default())).unwrap();
    let other = server.phone(dirs[1].path(), "乙");
    let household = add_household(&other, server.villages[0], "0001", "李四甲乙丙");
    sync(&other);
    let mut sent_but_not_told = 0;
    for (n, cut) in (300..3_000).step_by(300).enumerate() {
        let dir = TempDir::new().unwrap();
        let phone = server.phone_at(dir.path(), "甲", &format!("http://{}", link.address));
        sync(&phone);
        visit(&phone, household, &format!("断点{cut}"));
        let device = phone.enrolment().unwrap().unwrap().device;
        report_lost(&server, &phone);
        link.counts.cut_after(cut);
        // one try: the answer with the order may not arrive
        let first = try_sync(&phone);
        link.counts.cut_after(u32::MAX);
        let (sent, wiped) = (!held(&server, Decision::Open).is_empty(), matches!(first, Err(SyncError::Wiped)));
        let said = withdraw(&server, device);
        // that it erased itself may not have been heard either
        assert!(said != Withdrawal::Wiped || wiped, "cut at {cut}");
        assert!(!sent || wiped || said == Withdrawal::MayBeWiped, "cut at {cut}");
        sent_but_not_told += usize::from(sent && !wiped);
        if wiped {
            server.service.accept_unsent(Actor::Office, device, "").unwrap();
        } else {
            // it goes on, or erases itself with its work sent
            drop(try_sync(&phone));
        }
        assert!(held(&server, Decision::Open).is_empty(), "cut at {cut}");
        sync(&other);
        assert_eq!(visits(&other), n + 1, "cut at {cut}");
    }
    assert!(sent_but_not_told > 0);
}

#[test]
fn a_phone_that_took_the_order_erases_itself_although_the_report_is_withdrawn_and_says_what_to_do() {
    let dirs: [TempDir; 2] = dirs();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    add_household(&phone, server.villages[0], "0001", "李四甲乙丙");
    sync(&phone);
    report_lost(&server, &phone);
    let refused = PhoneError::from(try_sync(&phone).unwrap_err());
    assert!(refused.advice("zh").unwrap().contains("新的绑定码") && refused.advice("en").unwrap().contains("new code"));
    let device =
        server.service.storage.devices(server.township).unwrap().into_iter().find(|d| d.lost.is_some()).unwrap();
    assert_eq!(withdraw(&server, device.id), Withdrawal::Wiped);
    drop(phone);
    let (phone, _) = Phone::open(dirs[1].path(), Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
    phone.enrol(&server.url(), &server.code("甲")).unwrap();
    sync(&phone);
    assert_eq!(phone.households(None, "", 0, 10).unwrap().len(), 1);
}

/// A phone of `name` with a visit that it hasn't sent, reported lost by command.
fn lost_with_a_visit(
    server: &TestServer,
    data: &str,
    dir: &Path,
    household: doorstep_core::id::RecordId,
) -> (Phone, String) {
    let phone = server.phone(dir, "甲");
    sync(&phone);
    visit(&phone, household, "没有上报的走访");
    let id = phone.enrolment().unwrap().unwrap().device.to_string();
    assert!(run(&["device", "lost", "--data", data, &id, "--reason", "在集市丢失"]).contains("reported lost"));
    (phone, id)
}

#[test]
fn what_lost_phones_handed_over_is_accepted_and_wrong_reports_are_withdrawn_by_api_and_by_command() {
    let dirs: [TempDir; 6] = dirs();
    let server = TestServer::start(dirs[0].path());
    let data = dirs[0].path().to_str().unwrap();
    let other = server.phone(dirs[1].path(), "乙");
    let household = add_household(&other, server.villages[0], "0001", "李四甲乙丙");
    sync(&other);
    let post = |id: &str, what: &str, reason: &str, origin: &str| {
        let request = crate::client().post(format!("{}/api/devices/{id}/{what}", server.url()));
        let answer = request.header("origin", origin).json(&serde_json::json!({"reason": reason})).send().unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().unwrap_or_default())
    };
    let (own, nobody) = (server.url(), "00000000000000000000000000000001");
    let seen = || {
        sync(&other);
        visits(&other)
    };

    // one is accepted over the API
    let (phone, id) = lost_with_a_visit(&server, data, dirs[2].path(), household);
    assert!(matches!(try_sync(&phone), Err(SyncError::Wiped)));
    assert_eq!(post(&id, "accept-unsent", "已核对", "http://elsewhere.invalid").0, 403);
    let (status, said) = post(&id, "accept-unsent", " ", &own);
    assert_eq!((status, said["error"]["code"].as_str()), (400, Some("reason_needed")), "{said}");
    assert_eq!(seen(), 0);
    let (status, said) = post(&id, "accept-unsent", "已核对", &own);
    assert!(status == 200 && said["changes"][0]["released"] == true, "{said}");
    assert_eq!(seen(), 1);
    assert_eq!(post(&id, "accept-unsent", "已核对", &own).1["changes"], serde_json::json!([]), "once");
    assert_eq!(post(nobody, "accept-unsent", "已核对", &own).0, 404);
    // too late to withdraw: both languages say what to do
    let (status, said) = post(&id, "withdraw-lost", "找到了", &own);
    assert_eq!((status, said["error"]["code"].as_str()), (409, Some("lost_wiped")));
    let message = &said["error"]["message"];
    assert!(
        message["zh"].as_str().unwrap().contains("绑定码") && message["en"].as_str().unwrap().contains("Invite"),
        "{said}"
    );

    // one by command
    let (phone, id) = lost_with_a_visit(&server, data, dirs[3].path(), household);
    assert!(matches!(try_sync(&phone), Err(SyncError::Wiped)));
    assert!(refused(&["device", "accept", "--data", data, &id, "--reason", ""]).contains("reason"));
    assert!(run(&["device", "accept", "--data", data, &id, "--reason", "已核对"]).ends_with("1 released, 0 not"));
    assert_eq!(seen(), 2);
    assert!(run(&["device", "wipe-state", "--data", data, &id]).contains("0 to look at, 1 accepted"));
    assert!(refused(&["device", "accept", "--data", data, nobody, "--reason", "x"]).contains("device list"));

    // a phone that was found before it heard of anything goes on
    let withdraw_by_command = |id: &str| run(&["device", "withdraw", "--data", data, id, "--reason", "找到了"]);
    for (n, by_command) in [(4, false), (5, true)] {
        let (phone, id) = lost_with_a_visit(&server, data, dirs[n].path(), household);
        if by_command {
            let said = withdraw_by_command(&id);
            assert!(said.contains("挂失") && said.contains("report"), "both languages: {said}");
        } else {
            let (status, said) = post(&id, "withdraw-lost", "找到了", &own);
            assert!(status == 200 && said["result"] == "lost_withdrawn" && said["device"]["lost"].is_null(), "{said}");
            assert_eq!(post(&id, "withdraw-lost", "找到了", &own).1["error"]["code"], "not_lost");
        }
        assert_eq!(sync(&phone).changes_acknowledged, 1);
        assert_eq!(seen(), n - 1);
    }
    let withdrawn = actions(&server).into_iter().filter(|action| action == "lost_withdrawn").count();
    assert_eq!(withdrawn, 2);
}
