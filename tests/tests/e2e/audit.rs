//! The audit log: who did what, in order; changed by nobody without it showing.

use std::path::Path;
use std::process::Command;

use doorstep_server::api::office::OfficeAccess;
use doorstep_tests::harness::{ServerProcess, TestServer};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run;
use crate::client;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command; its exit code and what it printed.
fn tried(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(crate::BINARY).env("DOORSTEP_LANGUAGE", "en").args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A township with a form version retired, a phone invited twice, a backup made.
fn office_with_a_history(data: &Path) {
    let data = path(data);
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村"]);
    run(&["invite", "--data", data, "--name", "张三"]);
    run(&["invite", "--data", data, "--name", "张三"]);
    run(&["form", "retire", "--data", data, "visit", "1"]);
    run(&["reopen", "--data", data]);
}

fn actions(data: &Path) -> Vec<String> {
    let listed = run(&["audit", "list", "--data", path(data)]);
    let mut actions: Vec<String> =
        listed.lines().map(|line| line.split("  ").nth(3).unwrap().trim().to_owned()).collect();
    actions.reverse();
    actions
}

#[test]
fn commands_are_listed_with_what_they_were_done_to_and_nobody_s_name() {
    let dir = TempDir::new().unwrap();
    office_with_a_history(dir.path());
    let wanted = ["area_changed", "grant_given", "device_invited", "device_invited", "form_retired", "reopened"];
    assert_eq!(actions(dir.path()), wanted);
    let listed = run(&["audit", "list", "--data", path(dir.path())]);
    assert!(listed.contains("form/visit@1") && listed.contains("command_line") && !listed.contains("张三"), "{listed}");
    let one = run(&["audit", "list", "--data", path(dir.path()), "--action", "form_retired"]);
    assert_eq!(one.lines().count(), 1);
    assert_eq!(run(&["audit", "list", "--data", path(dir.path()), "--about", "form/visit@1"]), one);
}

#[test]
fn a_row_changed_or_removed_behind_the_program_s_back_is_named() {
    let dir = TempDir::new().unwrap();
    office_with_a_history(dir.path());
    let data = path(dir.path());
    let verify = ["audit", "verify", "--data", data];
    let (code, whole) = tried(&verify);
    assert!(code == Some(0) && whole.contains("whole: 6 entries"), "{whole}");
    let noted = whole.trim().rsplit(' ').next().unwrap().to_owned();
    let database = || Connection::open(dir.path().join("doorstep.db")).unwrap();
    for change in
        ["UPDATE audit SET reason = 'x'", "DELETE FROM audit WHERE no = 6", "REPLACE INTO audit SELECT * FROM audit"]
    {
        assert!(database().execute(change, []).unwrap_err().to_string().contains("only appended"), "{change}");
    }
    assert_eq!(tried(&verify).0, Some(0));
    let tampered = |sql: &str, says: &str| {
        let copy = TempDir::new().unwrap();
        database().execute("VACUUM INTO ?", [path(&copy.path().join("doorstep.db"))]).unwrap();
        let connection = Connection::open(copy.path().join("doorstep.db")).unwrap();
        connection.execute_batch("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;").unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let (code, said) = tried(&["audit", "verify", "--data", path(copy.path()), "--noted", &noted]);
        assert!(code == Some(1) && said.contains(says), "{sql}: {said}");
    };
    tampered("UPDATE audit SET actor = 'office' WHERE no = 3", "entry 3 was changed");
    tampered("UPDATE audit SET at_ms = at_ms + 1 WHERE no = 6", "entry 6 was changed");
    tampered("DELETE FROM audit WHERE no = 4", "entry 4 is missing");
    tampered("DELETE FROM audit WHERE no > 4", "entry 5 is missing");
    // the end cut off with care: only the position that was written down shows it
    let carefully = "DELETE FROM audit WHERE no > 4;
        UPDATE audit_head SET no = 4, chain = (SELECT chain FROM audit WHERE no = 4)";
    tampered(carefully, "entry 6 is missing");
}

#[test]
fn an_export_is_an_entry_itself_and_holds_no_formula() {
    let dir = TempDir::new().unwrap();
    office_with_a_history(dir.path());
    let data = path(dir.path());
    let (csv, jsonl) = (dir.path().join("audit.csv"), dir.path().join("audit.jsonl"));
    run(&["audit", "export", "--data", data, path(&csv)]);
    let text = std::fs::read_to_string(&csv).unwrap();
    assert!(text.starts_with('\u{feff}') && text.lines().count() == 8, "{text}");
    assert!(text.lines().last().unwrap().contains("export"));
    let (code, _) = tried(&["audit", "export", "--data", data, path(&csv)]);
    assert_eq!(code, Some(1), "never over a file that is there");
    run(&["audit", "export", "--data", data, "--format", "jsonl", path(&jsonl)]);
    let lines = std::fs::read_to_string(&jsonl).unwrap();
    let rows: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(
        (rows.len(), rows[7]["action"].as_str(), rows[7]["details"]["format"].as_str()),
        (8, Some("export"), Some("jsonl"))
    );
}

#[test]
fn backups_and_workbooks_of_faulty_rows_are_entries_whoever_made_them() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    let data = path(dir.path());
    let (table, to) = (dir.path().join("people.csv"), dir.path().join("faulty.xlsx"));
    std::fs::write(&table, "姓名,角色\n甲,helper\n乙,没有的角色\n").unwrap();
    run(&["backup", "--data", data, path(&dir.path().join("backup.db"))]);
    let faulty = ["register", "faulty", "--data", data, "--kind", "people", path(&table), "--to", path(&to)];
    assert!(run(&faulty).contains("1 rows written"));
    let url = format!("{}/api/register/faulty?kind=people", server.url());
    let answer = client().post(url).body(std::fs::read(&table).unwrap()).send().unwrap();
    assert_eq!(answer.status(), 200);
    let list: Value = client().get(format!("{}/api/audit?action=export", server.url())).send().unwrap().json().unwrap();
    let entry = |entry: &Value| (entry["actor"].as_str().unwrap().to_owned(), entry["details"].clone());
    let entries: Vec<_> = list["entries"].as_array().unwrap().iter().map(entry).collect();
    let rows = serde_json::json!({"faulty_rows": 1});
    let backup = serde_json::json!({"what": "backup"});
    let wanted = [("office", &rows), ("command_line", &rows), ("command_line", &backup)];
    assert_eq!(entries, wanted.map(|(actor, details)| (actor.to_owned(), details.clone())));
    let page = client().get(format!("{}/audit?lang=en", server.url())).send().unwrap().text().unwrap();
    assert!(page.to_lowercase().contains("backup"), "the page says so in words");
}

#[test]
fn neither_database_lets_an_entry_be_changed_removed_or_all_of_them_cut_away() {
    let refuse = "the audit log is only appended";
    let dir = TempDir::new().unwrap();
    office_with_a_history(dir.path());
    let database = Connection::open(dir.path().join("doorstep.db")).unwrap();
    let before = actions(dir.path());
    for sql in ["UPDATE audit SET reason = 'x' WHERE no = 1", "DELETE FROM audit WHERE no = 1", "DELETE FROM audit"] {
        assert!(database.execute_batch(sql).unwrap_err().to_string().contains(refuse), "{sql}");
    }
    assert_eq!(actions(dir.path()), before);

    let Some(url) = crate::postgres::fresh_database("doorstep_audit") else { return };
    run(&["township", "--database", &url, "--name", "示例镇", "--village", "青山村"]);
    run(&["reopen", "--database", &url]);
    let listed = || run(&["audit", "list", "--database", &url]);
    let before = listed();
    assert_eq!(before.lines().count(), 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        for sql in [
            "UPDATE audit SET reason = 'x' WHERE no = 1",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "TRUNCATE audit CASCADE",
        ] {
            let refused = client.batch_execute(sql).await.unwrap_err();
            assert!(refused.as_db_error().unwrap().message().contains(refuse), "{sql}: {refused:?}");
        }
        drop(client);
        connection.await.unwrap().unwrap();
    });
    assert_eq!(listed(), before);
    assert_eq!(tried(&["audit", "verify", "--database", &url]).0, Some(0));
}

#[test]
fn sign_ins_good_and_bad_are_in_the_log_and_the_api_gives_it_page_by_page() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start_with_office(dir.path(), OfficeAccess::key("SECRET"));
    let (client, url) = (client(), server.url());
    let sign_in = |key: &str| client.post(format!("{url}/sign-in")).form(&[("key", key)]).send().unwrap();
    for _ in 0..30 {
        sign_in("wrong");
    }
    sign_in("SECRET");
    let get = |query: &str| -> Value {
        let asked = client.get(format!("{url}/api/audit{query}")).bearer_auth("SECRET").send().unwrap();
        asked.json().unwrap()
    };
    let entries = get("?limit=500")["entries"].as_array().unwrap().clone();
    assert_eq!(entries[0]["action"], "sign_in");
    let refused = entries.iter().filter(|e| e["action"] == "sign_in_refused").count();
    assert_eq!(refused, 20, "what anybody can cause is bounded");
    let page = get("?limit=2&action=sign_in_refused");
    let last = page["entries"][1]["no"].as_u64().unwrap();
    assert_eq!(get(&format!("?limit=1&after={last}"))["entries"][0]["no"], last - 1);
    assert_eq!(client.get(format!("{url}/api/audit")).send().unwrap().status(), 401);
    let export = client.post(format!("{url}/api/audit/export?format=jsonl")).bearer_auth("SECRET").send().unwrap();
    let text = export.text().unwrap();
    assert!(text.lines().last().unwrap().contains("\"export\"") && text.lines().count() == entries.len() + 1);
}

#[test]
fn an_enrolment_is_in_the_log_with_person_and_phone() {
    let dirs: [TempDir; 2] = std::array::from_fn(|_| TempDir::new().unwrap());
    run(&["township", "--data", path(dirs[0].path()), "--name", "示例镇", "--village", "青山村"]);
    let code = run(&["invite", "--data", path(dirs[0].path()), "--name", "张三"]);
    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    run(&["phone", "--data", path(dirs[1].path()), "init", "--server", &server.url, "--code", &code]);
    drop(server);
    let enrolled = run(&["audit", "list", "--data", path(dirs[0].path()), "--action", "device_enrolled"]);
    assert!(enrolled.lines().count() == 1 && enrolled.contains("user/"), "{enrolled}");
}
