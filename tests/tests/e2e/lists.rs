//! Areas, people and pairings from spreadsheets, with real phones beside them.

use doorstep_core::client::Phone;
use doorstep_server::register::lists::{Kind, List, Listed};
use doorstep_server::register::{Options, office_user};
use doorstep_server::service::audit::Actor;
use doorstep_tests::harness::{TestServer, add_household, person, sync};
use tempfile::TempDir;

fn import(server: &TestServer, kind: Kind, text: &str) -> Listed {
    let list = List::read(kind, server.township, text.as_bytes(), &Options::default()).unwrap();
    let user = office_user(&server.service).unwrap();
    list.import(&server.service, user, "a.csv", Actor::Office).unwrap()
}

fn households(phone: &Phone) -> usize {
    phone.households(None, "", 0, 10).unwrap().len()
}

#[test]
fn a_pairing_of_a_table_fills_one_helper_s_phone_and_empties_the_other_s_as_by_hand() {
    let dirs: [TempDir; 4] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    let office = server.phone(dirs[1].path(), "丙");
    let household = add_household(&office, server.villages[0], "0001", "李四");
    add_household(&office, server.villages[0], "0002", "王五");
    sync(&office);
    let (first, second) = (person(&server.service, "甲"), person(&server.service, "乙"));
    let (a, b) = (server.phone_of(dirs[2].path(), first), server.phone_of(dirs[3].path(), second));
    sync(&a);
    sync(&b);
    assert_eq!((households(&a), households(&b)), (0, 0));

    import(&server, Kind::Pairings, "帮扶责任人,户编号\n甲,0001\n");
    sync(&a);
    sync(&b);
    assert_eq!((households(&a), households(&b)), (1, 0));
    import(&server, Kind::Pairings, "帮扶责任人,户编号\n乙,0001\n");
    sync(&a);
    sync(&b);
    assert_eq!((households(&a), households(&b)), (0, 1));

    // each pairing that was given or ended stands in the audit log
    let about = format!("record/{household}");
    let entries = server.service.storage.audit_after(0, 100).unwrap();
    let pairings: Vec<_> = entries.iter().filter(|r| r.entry.action == "pairing_changed").collect();
    assert_eq!(pairings.len(), 3);
    assert!(pairings.iter().all(|row| row.entry.subjects.contains(&about)), "{pairings:?}");
}
