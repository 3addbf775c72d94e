//! The README's two terminals: the command line as people type it.

use std::path::Path;
use std::process::Command;

use doorstep_tests::harness::ServerProcess;
use tempfile::TempDir;

/// Runs a command that must succeed; gives its output.
pub fn run(args: &[&str]) -> String {
    let output = Command::new(crate::BINARY).env("DOORSTEP_LANGUAGE", "en").args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "doorstep {}: {error}", args.join(" "));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

#[test]
fn the_readme_s_two_terminals_work() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let (data, one, two) = (path(dirs[0].path()), path(dirs[1].path()), path(dirs[2].path()));
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村", "--village", "石桥村"]);
    let codes =
        [run(&["invite", "--data", data, "--name", "张三"]), run(&["invite", "--data", data, "--name", "王五"])];
    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    for (phone, code) in [(one, &codes[0]), (two, &codes[1])] {
        run(&["phone", "--data", phone, "init", "--server", &server.url, "--code", code]);
    }
    let add = [
        "--set",
        "head_name=李四",
        "--set",
        "village=青山村",
        "--set",
        "status=out",
        "--set",
        "household_no=0001",
        "--set",
        "member/name=李四",
    ];
    run(&[&["phone", "--data", one, "add", "--village", "青山"], add.as_slice()].concat());
    let visit = ["--set", "result=met", "--set", "remark=屋面渗漏"];
    run(&[&["phone", "--data", one, "visit", "0001"], visit.as_slice()].concat());
    let cost = run(&["phone", "--data", one, "cost"]);
    assert!(cost.contains("2 changes"), "{cost}");
    assert!(run(&["phone", "--data", one, "sync"]).contains("2 changes acknowledged"));
    run(&["phone", "--data", two, "sync"]);
    assert!(run(&["phone", "--data", two, "households", "--village", "青山"]).contains("李四"));
    run(&["phone", "--data", one, "edit", "0001", "--set", "address=一组 1 号"]);
    run(&["phone", "--data", two, "edit", "0001", "--set", "address=一组 2 号"]);
    for phone in [one, two, one] {
        run(&["phone", "--data", phone, "sync"]);
    }
    let conflicts = run(&["phone", "--data", one, "conflicts"]);
    assert!(conflicts.contains("address") && conflicts.contains("一组 1 号") && conflicts.contains("一组 2 号"));
    run(&["phone", "--data", one, "resolve", "0001", "address", "一组 2 号"]);
    run(&["phone", "--data", one, "sync"]);
    run(&["phone", "--data", two, "sync"]);
    assert_eq!(run(&["phone", "--data", two, "conflicts"]), "");
    let shown = run(&["phone", "--data", two, "show", "0001"]);
    assert!(shown.contains("一组 2 号") && shown.contains("about it: visit"));
    drop(server);
    let backup = dirs[0].path().join("backup.db");
    run(&["backup", "--data", data, path(&backup)]);
    run(&["restore", "--data", data, path(&backup)]);
    run(&["reopen", "--data", data]);
    let again = Command::new(crate::BINARY).args(["backup", "--data", data, path(&backup)]).output().unwrap();
    assert!(!again.status.success(), "a backup never replaces a file");
}

/// Runs a command that must fail; gives what it says.
pub fn refused(args: &[&str]) -> String {
    let output = Command::new(crate::BINARY).env("DOORSTEP_LANGUAGE", "en").args(args).output().unwrap();
    assert!(!output.status.success(), "doorstep {}", args.join(" "));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_lost_phone_is_found_and_shut_out_and_a_grant_ended_beside_a_running_server() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let (data, one, two) = (path(dirs[0].path()), path(dirs[1].path()), path(dirs[2].path()));
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村"]);
    let codes =
        [run(&["invite", "--data", data, "--name", "张三"]), run(&["invite", "--data", data, "--name", "王五"])];
    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    for (phone, code) in [(one, &codes[0]), (two, &codes[1])] {
        run(&["phone", "--data", phone, "init", "--server", &server.url, "--code", code]);
    }
    let add = [
        "--set",
        "head_name=李四",
        "--set",
        "village=青山村",
        "--set",
        "status=out",
        "--set",
        "household_no=1",
        "--set",
        "member/name=李四",
    ];
    run(&[&["phone", "--data", one, "add", "--village", "青山"], add.as_slice()].concat());
    run(&["phone", "--data", one, "sync"]);
    run(&["phone", "--data", two, "sync"]);
    let line = |list: String, name: &str| list.lines().find(|l| l.contains(name)).map(str::to_owned);
    let phones = || run(&["phones", "--data", data]);
    let lost = line(phones(), "张三").expect("the phone's line");
    assert!(!lost.contains("revoked") && !lost.contains("never"), "{lost}");
    run(&["revoke", "--data", data, lost.split(' ').next().unwrap()]);
    assert!(line(phones(), "张三").unwrap().ends_with("revoked"));
    assert!(refused(&["phone", "--data", one, "sync"]).contains("revoked"));
    run(&["phone", "--data", two, "sync"]);
    assert!(refused(&["revoke", "--data", data, "00000000000000000000000000000001"]).contains("no phone"));
    assert!(run(&["phone", "--data", two, "households"]).contains("李四"));
    let grants = || run(&["grant", "--data", data, "list"]);
    let grant = line(grants(), "王五").expect("the grant's line");
    assert!(grant.contains("grant 1") && grant.contains("示例镇"), "{grant}");
    let user = grant.split(' ').next().unwrap().to_owned();
    run(&["grant", "--data", data, "end", &user, "1"]);
    assert_eq!(line(grants(), "王五"), None);
    assert!(refused(&["grant", "--data", data, "end", &user, "1"]).contains("no such grant"));
    run(&["phone", "--data", two, "sync"]);
    assert!(!run(&["phone", "--data", two, "households"]).contains("李四"), "the phone dropped what it may not read");
}

#[test]
fn a_helper_s_forbidden_answer_is_shown_with_advice_and_left_or_made_anew_under_another_grant() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let (data, phone, other) = (path(dirs[0].path()), path(dirs[1].path()), path(dirs[2].path()));
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村"]);
    let codes = ["张三", "王五"].map(|name| run(&["invite", "--data", data, "--name", name]));
    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    let on_phone = |args: &[&str]| run(&[&["phone", "--data", phone], args].concat());
    let on_other = |args: &[&str]| run(&[&["phone", "--data", other], args].concat());
    on_phone(&["init", "--server", &server.url, "--code", &codes[0]]);
    on_other(&["init", "--server", &server.url, "--code", &codes[1]]);
    let add = ["--set", "head_name=李四", "--set", "village=青山村", "--set", "household_no=0001", "--set"];
    on_other(&[&["add", "--village", "青山"], add.as_slice(), &["member/name=李四", "--set", "status=out"]].concat());
    on_other(&["sync"]);
    on_phone(&["sync"]);
    let change = |status: &str| {
        on_phone(&["edit", "0001", "--set", status]);
        assert!(on_phone(&["sync"]).contains("see `doorstep phone refused`"));
        let shown = on_phone(&["refused"]);
        assert!(shown.contains("forbidden_answer") && shown.contains("status = "), "{shown}");
        assert!(shown.contains("不能改"), "{shown}");
        assert!(on_phone(&["--language", "en", "refused"]).contains("township office"));
        shown.lines().next().unwrap().rsplit('\t').next().unwrap().to_owned()
    };
    let first = change("status=monitored");
    on_phone(&["leave", &first]);
    assert_eq!(on_phone(&["refused"]), "");
    assert!(refused(&["phone", "--data", phone, "redo", &first]).contains("no such change"));
    let second = change("status=not_out");
    run(&["grant", "--data", data, "give", "张三", "township_office"]);
    on_phone(&["redo", &second]);
    on_phone(&["sync"]);
    assert_eq!(on_phone(&["refused"]), "");
    assert!(on_phone(&["show", "0001"]).contains("not_out"));
}

#[cfg(unix)]
#[test]
fn databases_and_backups_are_for_their_owner_s_eyes_only() {
    use std::os::unix::fs::PermissionsExt;
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let folder = dirs[0].path().join("data");
    let (data, phone) = (path(&folder), path(dirs[1].path()));
    run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村"]);
    let code = run(&["invite", "--data", data, "--name", "张三"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let server = ServerProcess::start(crate::BINARY, &folder);
    run(&["phone", "--data", phone, "init", "--server", &server.url, "--code", &code]);
    for log in ["doorstep.db", "doorstep.db-wal"] {
        assert_eq!(mode(&folder.join(log)), 0o600, "{log}");
    }
    drop(server);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&dirs[1].path().join("phone.db")), 0o600);
    let backup = folder.join("backup.db");
    run(&["backup", "--data", data, path(&backup)]);
    assert_eq!(mode(&backup), 0o600);
    std::fs::set_permissions(&backup, PermissionsExt::from_mode(0o644)).unwrap();
    run(&["restore", "--data", data, path(&backup)]);
    assert_eq!(mode(&folder.join("doorstep.db")), 0o600);
}
