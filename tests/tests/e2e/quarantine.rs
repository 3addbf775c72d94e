//! What wasn't accepted: looked at by command and page, released or discarded with a reason; what nobody may release; a full
//! shelf. And the page's button that puts an earlier answer back.

use std::collections::BTreeMap;

use doorstep_core::client::Phone;
use doorstep_core::id::{ChangeHash, RecordId, UserId};
use doorstep_core::record::{ChangeNote, Edit};
use doorstep_core::store::PlannedDocument;
use doorstep_server::storage::{HeldChange, PreparedPush};
use doorstep_tests::harness::{TestServer, add_household, edit, sync};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{refused, run};
use crate::life::phone_of;

/// A household of the office's phone, and an inspector whose edits of it aren't accepted.
struct Held {
    dirs: [TempDir; 3],
    server: TestServer,
    office: Phone,
    inspector: Phone,
    household: RecordId,
}

impl Held {
    fn new() -> Self {
        let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
        let server = TestServer::start(dirs[0].path());
        let office = server.phone(dirs[1].path(), "扶贫工作站");
        let household = add_household(&office, server.villages[0], "0001", "李四");
        sync(&office);
        let inspector = phone_of(&server, dirs[2].path(), "inspector", server.township, None);
        sync(&inspector);
        Self { dirs, server, office, inspector, household }
    }

    /// An edit of the inspector's that the server keeps aside.
    fn forbidden(&self, address: &str) {
        edit(&self.inspector, self.household, &[("address", address)]);
        sync(&self.inspector);
    }

    fn command<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&["quarantine", args[0], "--data", self.dirs[0].path().to_str().unwrap()], &args[1..]].concat()
    }

    fn listed(&self, state: &str) -> Vec<String> {
        run(&self.command(&["list", "--state", state])).lines().map(str::to_owned).collect()
    }

    fn numbers(&self) -> Vec<String> {
        self.listed("open").iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// The address as the office's phone has it after a sync.
    fn address(&self) -> String {
        sync(&self.office);
        let answers = self.office.record(self.household).unwrap().answers();
        answers.get("address").map(|value| value.to_json().as_str().unwrap().to_owned()).unwrap_or_default()
    }

    fn reasons(&self, action: &str) -> Vec<String> {
        let entries = self.server.service.storage.audit_after(0, 1_000).unwrap();
        entries.into_iter().filter(|row| row.entry.action == action).map(|row| row.entry.reason).collect()
    }

    fn press(&self, path: &str, form: &[(&str, &str)], origin: &str) -> (u16, String) {
        let request = crate::client().post(format!("{}{path}", self.server.url())).header("origin", origin);
        let answer = request.form(form).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }
}

#[test]
fn commands_release_and_discard_for_a_reason_and_what_was_discarded_can_still_be_released() {
    let held = Held::new();
    held.forbidden("五组9号");
    let numbers = held.numbers();
    assert_eq!(numbers.len(), 1);
    let no = numbers[0].as_str();
    for what in ["release", "discard"] {
        assert!(refused(&held.command(&[what, no])).contains("--reason"));
        assert!(refused(&held.command(&[what, no, "--reason", " "])).contains("reason"), "{what}");
    }
    assert_eq!(run(&held.command(&["discard", no, "--reason", "不属实"])), "1 discarded");
    assert_eq!(run(&held.command(&["discard", no, "--reason", "不属实"])), "0 discarded", "once");
    assert!(held.numbers().is_empty() && held.listed("discarded")[0].ends_with("discarded"));
    assert_eq!(held.address(), "");
    let released = run(&held.command(&["release", no, "--reason", "已上门核实"]));
    assert!(released.contains(&format!("{no}  released")) && released.ends_with("1 released, 0 not"), "{released}");
    assert!(held.listed("released")[0].ends_with("released") && held.listed("discarded").is_empty());
    assert_eq!(held.address(), "五组9号");
    assert_eq!(held.reasons("quarantine_discarded"), ["不属实"]);
    assert_eq!(held.reasons("quarantine_released"), ["已上门核实"]);
}

#[test]
fn the_page_releases_and_discards_what_was_ticked_for_a_reason_and_only_from_this_server_s_pages() {
    let held = Held::new();
    held.forbidden("五组9号");
    held.forbidden("五组10号");
    let page = crate::client().get(format!("{}/quarantine", held.server.url())).send().unwrap().text().unwrap();
    let boxes: Vec<String> =
        page.split("name=\"no-").skip(1).map(|rest| format!("no-{}", rest.split('"').next().unwrap())).collect();
    assert_eq!(boxes.len(), 2, "newest first");
    let own = held.server.url();
    let ticked = [(boxes[0].as_str(), "on"), ("why", "不属实"), ("more", "户主来电")];
    assert_eq!(held.press("/quarantine/discard", &ticked, "http://elsewhere.invalid").0, 403);
    let (status, said) = held.press("/quarantine/discard?lang=zh", &[(boxes[0].as_str(), "on"), ("why", " ")], &own);
    assert!(status == 400 && said.contains("请写明原因"));
    assert_eq!(held.numbers().len(), 2, "nothing was decided");
    let (status, said) = held.press("/quarantine/discard?lang=en", &ticked, &own);
    assert!(status == 200 && !said.contains(&boxes[0]) && said.contains(&boxes[1]), "{said}");
    let (status, _) = held.press("/quarantine/release", &[(boxes[1].as_str(), "on"), ("why", "已核实")], &own);
    assert_eq!(status, 200);
    assert!(held.numbers().is_empty());
    assert_eq!(held.address(), "五组9号", "the first one, and not the one that was discarded");
    assert_eq!(held.reasons("quarantine_discarded"), ["不属实：户主来电"]);
    assert_eq!(held.reasons("quarantine_released"), ["已核实"]);
}

#[test]
fn an_earlier_answer_that_the_page_s_button_puts_back_is_an_ordinary_change_with_its_reason() {
    let held = Held::new();
    for address in ["一组1号", "一组2号"] {
        edit(&held.office, held.household, &[("address", address)]);
        sync(&held.office);
    }
    let (id, own) = (held.household, held.server.url());
    let shown = crate::client().get(format!("{own}/households/{id}?lang=en")).send().unwrap().text().unwrap();
    let history = &shown[shown.find("id=\"history\"").unwrap()..];
    let value_after = |text: &str| text.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let heads = value_after(history);
    let earlier = &history[history.find("<dd>一组1号").unwrap()..];
    let choose = value_after(earlier);
    assert!(choose.ends_with(" address"), "{choose}");
    let entries = || held.server.service.storage.load_records(held.server.township, &[id]).unwrap();
    let changes = || entries()[0].as_ref().unwrap().changes.len();
    let (before, form) = (changes(), [("choose", choose.as_str()), ("heads", heads.as_str()), ("reason", "填错了")]);
    let path = format!("/households/{id}/restore");
    assert_eq!(held.press(&path, &form, "http://elsewhere.invalid").0, 403);
    let bad = [("choose", "nonsense"), ("heads", heads.as_str())];
    assert_eq!(held.press(&path, &bad, &own).0, 400);
    assert_eq!(changes(), before);
    assert_eq!(held.press(&path, &form, &own).0, 303);
    assert_eq!(changes(), before + 1, "one change more, nothing taken away");
    assert_eq!(held.address(), "一组1号");
    sync(&held.inspector);
    let record = held.inspector.record(id).unwrap();
    assert!(record.view().differences.is_empty(), "it follows what stood there");
    let said: Vec<_> = record.history().iter().filter(|e| e.key == "address").map(|e| e.value.to_json()).collect();
    assert_eq!(said.len(), 3, "both values and the one put back: {said:?}");
    assert_eq!(held.reasons("record_restored"), ["填错了"]);
}

#[test]
fn a_change_in_another_person_s_name_is_refused_with_what_to_do_and_nobody_can_release_it() {
    let held = Held::new();
    let row = held.office.store().row(held.household).unwrap().unwrap();
    let document = PlannedDocument {
        identity: row.identity,
        id: held.household,
        area: row.area,
        subject: row.subject,
        edits: vec![Edit::answer("address", "三组3号")],
    };
    held.office.store().write(&[document], &ChangeNote::by(UserId([7; 16]))).unwrap();
    let report = sync(&held.office);
    assert_eq!(report.refused, BTreeMap::from([("foreign_user".to_owned(), 1)]));
    let kept = held.office.refused().unwrap();
    assert!(kept[0].what("zh").contains("没有绑定给您") && kept[0].what("en").contains("isn't enrolled for you"));
    assert!(kept[0].advice("zh").contains("绑定码") && kept[0].advice("en").contains("code"));
    let record: Value = {
        let url = format!("{}/api/records/{}", held.server.url(), held.household);
        crate::client().get(url).send().unwrap().json().unwrap()
    };
    assert!(!record.to_string().contains("三组3号"));
    let list: Value = {
        let url = format!("{}/api/quarantine?reason=foreign_user", held.server.url());
        crate::client().get(url).send().unwrap().json().unwrap()
    };
    let message = &list["quarantine"][0]["message"];
    assert!(message["zh"].as_str().unwrap().contains("绑定码") && message["en"].as_str().unwrap().contains("new code"));
    let no = held.numbers().remove(0);
    let said = std::process::Command::new(crate::BINARY)
        .env("DOORSTEP_LANGUAGE", "en")
        .args(held.command(&["release", &no, "--reason", "x"]))
        .output()
        .unwrap();
    assert!(!said.status.success());
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("foreign_user") && said.ends_with("0 released, 1 not\n"), "{said}");
    assert!(held.reasons("quarantine_released").is_empty());
    assert_eq!(run(&held.command(&["discard", &no, "--reason", "他人的手机"])), "1 discarded");
}

/// As many refused changes of a phone as the server keeps of it.
fn fill_shelf(held: &Held) {
    let device = held.inspector.enrolment().unwrap().unwrap().device;
    let row = held.inspector.store().row(held.household).unwrap().unwrap();
    let refused = |n: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        HeldChange {
            record: held.household,
            identity: row.identity.clone(),
            incarnation: 0,
            area: row.area,
            subject: None,
            hash: ChangeHash(hash),
            reason: "start_op".to_owned(),
            bytes: vec![1],
        }
    };
    let push = PreparedPush {
        township: held.server.township,
        device,
        counter: 0,
        batch: None,
        received_ms: 1_000,
        records: Vec::new(),
        beside: Vec::new(),
        waiting: Vec::new(),
        settled: Vec::new(),
        quarantined: (0..10_000).map(|n| (device, refused(n))).collect(),
        moves: Vec::new(),
        areas_version: None,
        grants: Vec::new(),
        writes: Vec::new(),
        entries: Vec::new(),
        events: Vec::new(),
    };
    held.server.service.storage.commit_group(&[push]).unwrap();
}

#[test]
fn a_phone_whose_shelf_of_refused_changes_is_full_keeps_the_next_one_itself_until_the_office_made_room() {
    let held = Held::new();
    fill_shelf(&held);
    held.forbidden("五组9号");
    let kept = held.inspector.refused().unwrap();
    assert_eq!(kept.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>(), ["quarantine_full"]);
    assert!(kept[0].what("zh").contains("未接收的填写太多") && kept[0].advice("zh").contains("不要删除程序"));
    assert!(kept[0].what("en").contains("no more of them") && kept[0].advice("en").contains("don't delete the app"));
    assert_eq!(kept[0].edits, [Edit::answer("address", "五组9号")], "nothing of it is lost");
    // others go on
    edit(&held.office, held.household, &[("remark", "照常")]);
    assert!(sync(&held.office).refused.is_empty());
    let numbers = run(&held.command(&["list", "--limit", "3"]));
    let numbers: Vec<&str> = numbers.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(!numbers.is_empty());
    run(&held.command(&[["discard"].as_slice(), &numbers, &["--reason", "腾出空间"]].concat()));
    assert!(held.inspector.redo_refused(kept[0].hash).unwrap());
    sync(&held.inspector);
    let now = held.inspector.refused().unwrap();
    assert_eq!(now.len(), 1);
    assert_ne!(now[0].reason, "quarantine_full", "the server keeps it now");
    let listed = run(&held.command(&["list", "--limit", "1"]));
    assert!(listed.contains(&now[0].reason), "{listed}");
}
