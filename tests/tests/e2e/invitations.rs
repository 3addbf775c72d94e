//! Printed invitations: what a card's QR code says enrols a phone, once, and only on the server that made the card.

use std::path::Path;

use doorstep_core::client::PhoneError;
use doorstep_core::protocol::Invitation;
use doorstep_tests::harness::{TestServer, open_phone};
use tempfile::TempDir;

use crate::cli::run;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_link_enrols_on_its_own_server_only_and_once() {
    let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new().unwrap()).collect();
    let (server, other) = (TestServer::start(dirs[2].path()), TestServer::start(dirs[3].path()));
    let code = server.code("张三");
    let link =
        |url: &str, identity| Invitation { server_url: url.to_owned(), identity, code: code.clone() }.to_string();
    let (ours, theirs) = (server.service.identity(), other.service.identity());
    let phone = open_phone(dirs[0].path());
    assert!(matches!(phone.enrol_by_link("https://example.org"), Err(PhoneError::Invitation(_))));
    let elsewhere = phone.enrol_by_link(&link(&other.url(), ours));
    assert!(elsewhere.is_err() && phone.enrolment().unwrap().is_none(), "another server doesn't know the code");
    let imitated = phone.enrol_by_link(&link(&server.url(), theirs));
    assert!(matches!(imitated, Err(PhoneError::OtherServer)), "{imitated:?}");
    assert!(phone.enrolment().unwrap().is_none());
    phone.enrol_by_link(&link(&server.url(), ours)).unwrap();
    let second = open_phone(dirs[1].path()).enrol_by_link(&link(&server.url(), ours));
    assert!(second.is_err(), "the code is spent");
}

#[test]
fn cards_for_many_people_hold_a_code_each_and_are_for_their_owner_s_eyes_only() {
    let dir = TempDir::new().unwrap();
    let (data, people, cards) = (dir.path().join("data"), dir.path().join("people.csv"), dir.path().join("cards.html"));
    run(&["township", "--data", path(&data), "--name", "示例镇", "--village", "青山村"]);
    std::fs::write(&people, "姓名,单位\n张三,教育局\n李四<b>,\n张三,教育局\n").unwrap();
    let invite = ["invite", "--data", path(&data), "--people", path(&people), "--cards", path(&cards)];
    run(&[invite.as_slice(), &["--address", "https://survey.example.org/"]].concat());
    let html = std::fs::read_to_string(&cards).unwrap();
    assert_eq!(html.matches("<svg").count(), 2);
    assert!(html.contains("张三") && html.contains("教育局") && html.contains("示例镇") && !html.contains("<b>"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&cards).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(run(&["grant", "--data", path(&data), "list"]).lines().count(), 2);
    run(&["invite", "--data", path(&data), "--name", "张三", "--unit", "教育局"]);
    assert_eq!(run(&["grant", "--data", path(&data), "list"]).lines().count(), 2, "a further phone of the same person");
}
