//! The same phones against a server on PostgreSQL, where the test run has one (`DOORSTEP_TEST_POSTGRES`).

use std::sync::Arc;

use doorstep_server::storage::{PostgresStorage, Storage};
pub(crate) use doorstep_tests::database::fresh_database;
use doorstep_tests::harness::{TestServer, add_household, edit, sync, visit};
use tempfile::TempDir;

#[test]
fn two_phones_and_two_server_nodes_share_one_postgresql_database() {
    let Some(url) = fresh_database("doorstep_e2e") else { return };
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let storage = || -> Arc<dyn Storage> { Arc::new(PostgresStorage::connect(&url).unwrap()) };
    let (first, second) = (TestServer::on(storage()), TestServer::on(storage()));
    assert_eq!(first.township, second.township, "one database");
    let (a, b) = (first.phone(dirs[0].path(), "甲"), second.phone(dirs[1].path(), "乙"));
    let household = add_household(&a, first.villages[0], "0001", "李四");
    sync(&a);
    sync(&b);
    edit(&a, household, &[("address", "一组 1 号"), ("hamlet", "上寨")]);
    edit(&b, household, &[("address", "一组 2 号"), ("handbook_no", "H-1")]);
    for n in 0..20 {
        visit(&a, household, &format!("甲{n}"));
        visit(&b, household, &format!("乙{n}"));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| sync(&a));
        scope.spawn(|| sync(&b));
    });
    for phone in [&a, &b, &a] {
        sync(phone);
    }
    assert_eq!(a.view(household).unwrap().json, b.view(household).unwrap().json);
    assert_eq!(a.view(household).unwrap().differences.len(), 1);
    assert_eq!(a.counts().unwrap().records, 41);
    assert_eq!(b.counts().unwrap().records, 41);
    let report = sync(&a);
    assert_eq!((report.requests, report.changes_received), (1, 0));
}
