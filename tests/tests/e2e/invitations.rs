//! Printed invitations: what a card's QR code says enrols a phone, once, and only on the server that made the card.

use std::path::Path;

use doorstep_core::client::PhoneError;
use doorstep_core::protocol::Invitation;
use doorstep_server::api::office::OfficeAccess;
use doorstep_tests::harness::{TestServer, open_phone};
use qrcode::{Color, EcLevel, QrCode};
use tempfile::TempDir;

use crate::cli::{refused, run};

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

/// The dark modules of a card's QR code, row by row, as they are drawn: `M{left} {top}h{width}v{height}H{left}V{top}` each.
fn modules(card: &str, width: usize) -> Vec<bool> {
    const QUIET_ZONE: usize = 4;
    let attribute = |name: &str| card.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    let size = attribute("width").parse::<usize>().unwrap() / (width + 2 * QUIET_ZONE);
    let mut dark = vec![false; width * width];
    for place in attribute("d").split('M').skip(1) {
        let numbers: Vec<usize> =
            place.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let module = |n: usize| n / size - QUIET_ZONE;
        for y in module(numbers[1])..module(numbers[1]) + numbers[3] / size {
            dark[y * width + module(numbers[0])..][..numbers[2] / size].fill(true);
        }
    }
    dark
}

#[test]
fn the_qr_code_of_a_printed_card_holds_the_https_address_with_this_server_s_identity_and_the_card_s_own_code() {
    let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
    let server = TestServer::start(dirs[0].path());
    let (data, people, cards) = (path(dirs[0].path()), dirs[1].path().join("p.csv"), dirs[1].path().join("cards.html"));
    std::fs::write(&people, "张三,教育局\n李四,\n").unwrap();
    let invite = |address: &str| {
        let files = ["--people", path(&people), "--cards", path(&cards), "--address", address];
        [["device", "invite", "--data", data].as_slice(), &files].concat().into_iter().map(str::to_owned).collect()
    };
    let users = || server.service.storage.users().unwrap().len();
    for address in ["http://survey.example.org", "survey.example.org", "ftp://survey.example.org", "https://"] {
        let args: Vec<String> = invite(address);
        let said = refused(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.contains("https://survey.example.org") && !cards.exists(), "{said}");
    }
    assert_eq!(users(), 0, "nobody is made for cards that can't be printed");
    let args: Vec<String> = invite("https://survey.example.org/");
    run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let html = std::fs::read_to_string(&cards).unwrap();
    let sections: Vec<&str> = html.split("<section").skip(1).collect();
    assert_eq!(sections.len(), 2);
    let mut codes = Vec::new();
    for (section, name) in sections.iter().zip(["张三", "李四"]) {
        assert!(section.contains(name));
        let code = section.split("class=\"code\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let server_url = "https://survey.example.org".to_owned();
        let invitation = Invitation { server_url, identity: server.service.identity(), code };
        let link = invitation.to_string();
        assert!(link.starts_with("https://survey.example.org/join#"), "any scanner opens the page that explains");
        let says = |link: &str| QrCode::with_error_correction_level(link, EcLevel::M).unwrap();
        let (drawn, expected) = (modules(section, says(&link).width()), says(&link).to_colors());
        assert_eq!(drawn, expected.iter().map(|color| *color == Color::Dark).collect::<Vec<_>>());
        let other = Invitation { identity: [7; 32], ..invitation.clone() }.to_string();
        assert_ne!(says(&other).to_colors(), expected, "another server's would be another picture");
        codes.push(invitation);
    }
    assert_ne!(codes[0].code, codes[1].code);
    let said = refused(&invite("https://survey.example.org").iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("already"), "no card is overwritten: {said}");
    // the code enrols its person's phone on this server
    let phone = open_phone(dirs[2].path());
    phone.enrol_by_link(&Invitation { server_url: server.url(), ..codes.remove(0) }.to_string()).unwrap();
    assert_eq!(phone.enrolment().unwrap().unwrap().user_name, "张三");
}

#[test]
fn whoever_scans_an_invitation_with_another_program_reads_what_it_is_without_signing_in() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start_with_office(dir.path(), OfficeAccess::key("SECRET"));
    let page = |language: &str| {
        let answer = crate::client().get(format!("{}/join?lang={language}", server.url())).send().unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().unwrap()
    };
    let (zh, en) = (page("zh"), page("en"));
    assert!(zh.contains("这是填报应用的邀请") && zh.contains("扫描邀请") && zh.contains("扶贫工作站"));
    assert!(en.contains("invites your phone") && en.contains("scan the card") && en.contains("township office"));
    assert!(!zh.contains("/households") && !en.contains("/households"), "no way into the office's pages");
    assert_eq!(crate::client().get(format!("{}/phones", server.url())).send().unwrap().status(), 303);
}
