//! The county in one file that `doorstep bench scale` makes and measures.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::SqliteStorage;
use serde_json::Value;
use tempfile::TempDir;

/// Statements of which a scan is no walk along a table that grows: a one-row answer, or the newest entry by number.
const SHORT: [&str; 2] = ["SELECT EXISTS (SELECT 1 FROM waiting)", "ORDER BY no DESC LIMIT 1"];

fn bench(file: &Path) -> Vec<Value> {
    let mut command = Command::new(crate::BINARY);
    command.args(["bench", "scale", "--small", "--statements", "--json", "--file"]).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_file_of_bench_scale_is_as_service_makes_it_and_nothing_walks_along_its_tables() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("doorstep.db");
    let lines = bench(&file);
    let cases: Vec<&str> = lines.iter().filter_map(|line| line["case"].as_str()).collect();
    let expected = [
        "file",
        "a helper's sync with ten new visits",
        "a helper's sync with ten visits changed",
        "backfill of one household",
        "figures of a village with its groups",
        "figures of a township",
        "figures verify, one township",
        "work for the figures of a village",
        "work for a merge of one visit",
    ];
    assert_eq!(cases, expected);
    assert_eq!(lines[0]["records"], 5_000);
    assert_eq!(lines[1]["changes"], lines[1]["requests"].as_u64().unwrap() * 10);
    assert_eq!(lines[6]["differing"], 0);
    for work in &lines[7..9] {
        assert_eq!(work["targets"][0]["met"], true, "{work}");
    }
    let statements: Vec<&Value> = lines.iter().filter(|line| line["statement"].is_string()).collect();
    assert!(statements.iter().any(|line| line["statement"].as_str().unwrap().starts_with("INSERT INTO figure ")));
    for line in statements {
        let (sql, plan) = (line["statement"].as_str().unwrap(), line["plan"].as_array().unwrap());
        let walks = |step: &str| step.starts_with("SCAN ") && step != "SCAN CONSTANT ROW";
        let scans = plan.iter().any(|step| walks(step.as_str().unwrap()));
        assert!(!scans || SHORT.iter().any(|short| sql.contains(short)), "{sql}: {plan:?}");
    }
    let storage = Arc::new(SqliteStorage::open(&file).unwrap());
    let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), Committer::Inline).unwrap();
    for township in service.storage.townships().unwrap() {
        let found = service.verify_figures(township).unwrap();
        assert_eq!((found.differing, found.differences.len()), (0, 0), "{found}");
        assert!(found.records > 5_000 && found.figures > 0);
    }
}

#[test]
fn a_file_that_is_not_of_bench_scale_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("doorstep.db");
    drop(SqliteStorage::open(&file).unwrap());
    let mut command = Command::new(crate::BINARY);
    let output = command.args(["bench", "scale", "--small", "--file"]).arg(&file).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--file"), "{said}");
}
