//! Moves that are corrected and taken back: where the household lies, its figures and what phones hold follow.

use std::sync::Arc;

use doorstep_core::client::Phone;
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::store::ListFilter;
use doorstep_server::storage::relocation::past;
use doorstep_server::storage::{PostgresStorage, SqliteStorage, Storage};
use doorstep_tests::harness::{TestServer, sync, visit};

use super::life::{correct, family, happens, persons, phone_of, scratch, settled};

fn held(phone: &Phone) -> Vec<String> {
    let filter = ListFilter { limit: 100, ..ListFilter::default() };
    let mut types: Vec<String> = phone.list(filter).unwrap().into_iter().map(|row| row.record_type).collect();
    types.sort_unstable();
    types
}

/// Persons of the stock of a village on a day.
fn stock(server: &TestServer, village: usize, day: &str) -> i64 {
    let address = format!("{}/api/figures?as_of={day}&area={}", server.url(), server.villages[village]);
    let text = crate::client().get(address).send().unwrap().text().unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    figures["total"]["persons"].as_i64().unwrap_or_else(|| panic!("{text}"))
}

fn verified(server: &TestServer) {
    let found = server.service.verify_figures(server.township).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
}

/// Where a household lay before, with the day from which on it didn't; and where it lies.
fn places(server: &TestServer, household: RecordId) -> (Vec<(String, AreaId)>, AreaId) {
    let storage = &server.service.storage;
    let lies = storage.record_row(server.township, household).unwrap().unwrap().area;
    (past(&storage.relocations(server.township, household).unwrap()).0, lies)
}

fn a_move_is_corrected_and_taken_back(storage: Arc<dyn Storage>) {
    let dirs = scratch::<3>();
    let server = TestServer::on(storage);
    let office = server.phone(dirs[0].path(), "站");
    let (household, _) = family(&office, server.villages[0], "0001", "李四");
    visit(&office, household, "记事");
    sync(&office);
    let [from, to] = [0, 1].map(|n| phone_of(&server, dirs[1 + n].path(), "village_cadre", server.villages[n], None));
    settled(&[&from, &to]);
    let village = server.villages[1].to_string();
    let moved = happens(&from, "household_move", household, &[("happened_on", "2026-05-01"), ("to_village", &village)]);
    settled(&[&from, &to]);
    assert_eq!((held(&from).len(), held(&to)), (0, vec!["household".into(), "household_move".into(), "visit".into()]));
    let on = |day: &str| [0, 1].map(|village| stock(&server, village, day));
    assert_eq!((on("2026-04-30"), on("2026-05-01")), ([3, 0], [0, 3]));
    // the day was another one: the past follows, nothing else
    correct(&to, moved, &[("happened_on", "2026-07-01")]);
    settled(&[&to, &from]);
    assert_eq!(places(&server, household), (vec![("2026-07-01".into(), server.villages[0])], server.villages[1]));
    assert_eq!((on("2026-06-30"), on("2026-07-01")), ([3, 0], [0, 3]));
    verified(&server);
    // it was a mistake: the household is where it always was, and on the phones there
    correct(&to, moved, &[("withdrawn", "OK")]);
    settled(&[&to, &from]);
    assert_eq!(places(&server, household), (Vec::new(), server.villages[0]));
    assert_eq!(on("2026-12-31"), [3, 0]);
    assert_eq!((held(&from).len(), held(&to)), (3, Vec::new()));
    assert_eq!(persons(&from), [(household, 3)]);
    verified(&server);
    // and after all it wasn't: the same event once more
    correct(&from, moved, &[("withdrawn", "")]);
    settled(&[&from, &to]);
    assert_eq!(places(&server, household), (vec![("2026-07-01".into(), server.villages[0])], server.villages[1]));
    assert_eq!((held(&from).len(), held(&to).len()), (0, 3));
    verified(&server);
}

#[test]
fn a_move_that_is_corrected_or_taken_back_takes_places_figures_and_phones_along() {
    let dirs = scratch::<1>();
    a_move_is_corrected_and_taken_back(Arc::new(SqliteStorage::open(&dirs[0].path().join("doorstep.db")).unwrap()));
}

#[test]
fn a_move_that_is_corrected_or_taken_back_takes_places_figures_and_phones_along_on_postgresql() {
    let Some(url) = super::postgres::fresh_database("doorstep_moves") else { return };
    a_move_is_corrected_and_taken_back(Arc::new(PostgresStorage::connect(&url).unwrap()));
}

#[test]
fn an_earlier_move_that_arrives_later_changes_the_past_and_not_where_the_household_is() {
    let dirs = scratch::<2>();
    let server = TestServer::start(dirs[0].path());
    let office = server.phone(dirs[1].path(), "站");
    let (household, _) = family(&office, server.villages[0], "0001", "李四");
    sync(&office);
    let [here, there] = [0, 1].map(|n: usize| server.villages[n].to_string());
    for (day, village) in [("2026-08-01", &here), ("2026-05-01", &there)] {
        happens(&office, "household_move", household, &[("happened_on", day), ("to_village", village)]);
        settled(&[&office]);
    }
    let [here, there] = server.villages;
    let past = vec![("2026-05-01".to_owned(), here), ("2026-08-01".to_owned(), there)];
    assert_eq!(places(&server, household), (past, here));
    assert_eq!(["2026-04-30", "2026-06-01", "2026-09-01"].map(|day| stock(&server, 1, day)), [0, 3, 0]);
    verified(&server);
}
