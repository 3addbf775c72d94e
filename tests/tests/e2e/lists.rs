//! Areas, people and pairings from spreadsheets, with real phones beside them.

use doorstep_core::client::Phone;
use doorstep_server::register::lists::{Kind, List, Listed};
use doorstep_server::register::{Options, office_user, undo};
use doorstep_server::service::audit::Actor;
use doorstep_tests::harness::{TestServer, add_household, person, sync, visit};
use tempfile::TempDir;

fn import(server: &TestServer, kind: Kind, text: &str) -> Listed {
    let list = List::read(&server.service, kind, server.township, text.as_bytes(), &Options::default()).unwrap();
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

#[test]
fn an_undone_import_of_pairings_empties_the_phone_again_unless_the_helper_has_worked() {
    let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    let office = server.phone(dirs[1].path(), "丙");
    add_household(&office, server.villages[0], "0001", "李四");
    sync(&office);
    let helper = server.phone_of(dirs[2].path(), person(&server.service, "甲"));
    let undo = |no: u64| {
        let user = office_user(&server.service).unwrap();
        undo::undo(&server.service, server.township, no, user, Actor::Office)
    };
    let table = "帮扶责任人,户编号\n甲,0001\n";
    let first = import(&server, Kind::Pairings, table).no.unwrap();
    sync(&helper);
    assert_eq!(households(&helper), 1);
    undo(first).unwrap();
    sync(&helper);
    assert_eq!(households(&helper), 0);
    let second = import(&server, Kind::Pairings, table).no.unwrap();
    sync(&helper);
    let household = helper.households(None, "", 0, 10).unwrap()[0].id;
    visit(&helper, household, "走访过了");
    sync(&helper);
    assert_eq!(undo(second).unwrap_err().code(), "used_since");
    sync(&helper);
    assert_eq!(households(&helper), 1);
}

#[test]
fn the_api_gives_faulty_rows_of_a_list_back_and_undoes_its_import() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    let client = crate::client();
    let url = |path: &str| format!("{}/api/register/{path}", server.url());
    let table = "姓名,角色\n甲,helper\n乙,没有的角色\n";
    let back = client.post(url("faulty?kind=people")).body(table).send().unwrap();
    assert_eq!(back.status(), 200);
    let workbook = back.bytes().unwrap();
    let preview = client.post(url("preview?kind=people")).body(workbook).send().unwrap();
    let preview: serde_json::Value = preview.json().unwrap();
    assert_eq!((&preview["counts"]["faulty"], &preview["columns"][2]["what"]), (&1.into(), &"name".into()));
    let done: serde_json::Value = client.post(url("import?kind=people")).body(table).send().unwrap().json().unwrap();
    let no = &done["no"];
    assert_eq!(client.post(url(&format!("imports/{no}/undo"))).send().unwrap().status(), 200);
    let code = server.service.storage.users().unwrap().iter().find(|u| u.name == "甲").map(|u| u.id);
    assert_eq!(code, None);
    client.post(url("import?kind=people")).body(table).send().unwrap();
    let user = server.service.storage.users().unwrap().into_iter().find(|u| u.name == "甲").unwrap();
    server.service.invite(Actor::Office, user.id, server.township).unwrap();
    let refused = client.post(url("imports/2/undo")).send().unwrap();
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.json::<serde_json::Value>().unwrap()["error"], "used_since");
}
