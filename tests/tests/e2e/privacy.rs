//! What a server says about its work: nothing of what people wrote.

use doorstep_core::id::{Identity, RecordId, branch_actor};
use doorstep_core::protocol::stream;
use doorstep_core::protocol::{Batch, BatchHeader};
use doorstep_core::record::{Author, ChangeNote, Edit, Record};
use doorstep_tests::harness::{edit, sync, visit};
use serde_json::json;

use crate::hostile::{Attack, frame, good_change};

const HELPER: &str = "司徒甲子";
const OTHER_HELPER: &str = "欧阳乙丑";
const HEAD: &str = "慕容丙寅";
const MEMBER: &str = "上官丁卯";
const ID_NUMBER: &str = "999999199001010016";
const PHONE: &str = "19900001234";
const ILLNESS: &str = "尿毒症透析";
const REFUSED: &str = "冒名戊辰";
const SEARCHED: &str = "夏侯己巳";
const SECRET: &str = "OFFICEKEY7";
const CANARIES: [&str; 10] = [HELPER, OTHER_HELPER, HEAD, MEMBER, ID_NUMBER, PHONE, ILLNESS, REFUSED, SEARCHED, SECRET];

/// Every way in which a text may be written in a line of a log.
fn spellings(text: &str) -> [String; 3] {
    let percent: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    [text.to_owned(), percent, escaped]
}

fn assert_free_of_canaries(place: &str, text: &str) {
    for canary in CANARIES {
        for spelling in spellings(canary) {
            assert!(!text.to_lowercase().contains(&spelling.to_lowercase()), "{canary} stands in {place}:\n{text}");
        }
    }
}

/// Puts canaries into records: a household with a member, a visit, and a change that is refused.
fn plant(attack: &mut Attack) -> RecordId {
    let member = [("member#0a0b0c0d/name", MEMBER), ("member#0a0b0c0d/id_number", ID_NUMBER)];
    edit(&attack.honest, attack.household, &[("head_name", HEAD), ("phone", PHONE), ("remark", ILLNESS)]);
    edit(&attack.honest, attack.household, &member);
    let visit = visit(&attack.honest, attack.household, ILLNESS);
    sync(&attack.honest);
    let mut record = Record::new(Identity::of_type("visit"));
    let note = ChangeNote::by(attack.enrolment.user);
    let foreign = Author { actor: branch_actor(&[5; 32], 0), note, claimed_s: 1 };
    let heads = record.heads();
    let foreign = record.edit(&heads, &foreign, &[Edit::answer("remark", REFUSED)]).unwrap().unwrap().bytes;
    let records = vec![
        frame(RecordId([6; 16]), attack.area, vec![foreign]),
        frame(RecordId([7; 16]), attack.area, vec![good_change(attack, ILLNESS)]),
    ];
    let header = BatchHeader {
        tenant: attack.enrolment.tenant,
        device: attack.enrolment.device,
        branch: 0,
        number: 1,
        previous: [0; 32],
    };
    let batch = Batch::sign(header, records, &attack.key());
    let upload = stream::compress(&batch.encode().unwrap()).unwrap();
    assert_eq!(attack.upload(&upload, 1).0, 200);
    visit
}

/// Broken requests with canaries in them; gives the answers.
fn broken_requests(attack: &mut Attack) -> Vec<(u16, String)> {
    let url = attack.process.url.clone();
    let all = CANARIES.join(" ");
    let upload = stream::compress(all.as_bytes()).unwrap();
    let mut answers =
        vec![attack.upload(&upload, 2), attack.upload(all.as_bytes(), 2), attack.post(all.clone().into())];
    let mut cut = attack.hello(&upload, 2);
    cut.extend(&upload[..upload.len() / 2]);
    answers.push(attack.post(cut));
    let mut answers: Vec<(u16, String)> =
        answers.into_iter().map(|(status, body)| (status, String::from_utf8_lossy(&body).into_owned())).collect();
    let client = attack.client.clone();
    let mut send = |request: reqwest::blocking::RequestBuilder| {
        let response = request.send().unwrap();
        answers.push((response.status().as_u16(), response.text().unwrap()));
    };
    let body = json!({"code": all, "public_key": "00".repeat(32), "proof": "00".repeat(64), "name": HELPER});
    send(client.post(format!("{url}/enrol")).json(&body));
    send(client.post(format!("{url}/enrol")).json(&json!({"code": SECRET, "public_key": PHONE, "proof": HEAD})));
    send(client.post(format!("{url}/enrol")).header("content-type", "application/json").body(all.clone()));
    send(client.post(format!("{url}/enrol/again")).json(&json!({"user_name": HELPER, "signature": ID_NUMBER})));
    send(client.post(format!("{url}/sign-in")).form(&[("key", SECRET)]));
    send(client.post(format!("{url}/sign-in")).header("origin", "http://elsewhere.invalid").form(&[("key", SECRET)]));
    send(client.post(format!("{url}/sign-in")).form(&[("name", HELPER)]));
    send(
        client.post(format!("{url}/households")).header("origin", "http://elsewhere.invalid").form(&[("q", SEARCHED)]),
    );
    send(client.get(format!("{url}/nowhere/{HEAD}?q={SEARCHED}")));
    for path in ["/api/records", "/api/differences", "/api/quarantine", "/api/figures", "/api/phones"] {
        for parameter in ["township", "area", "subject", "after", "limit"] {
            send(client.get(format!("{url}{path}?{parameter}={SEARCHED}")));
        }
    }
    for path in ["/households", "/visits", "/differences", "/quarantine", "/phones"] {
        for parameter in ["area", "after", "limit", "status"] {
            send(client.get(format!("{url}{path}?{parameter}={ID_NUMBER}")));
        }
    }
    send(client.get(format!("{url}/households/{HEAD}")));
    send(client.get(format!("{url}/api/records/{ID_NUMBER}")));
    send(client.get(format!("{url}/api/records/{HEAD}/history")));
    answers
}

#[test]
fn nothing_that_people_wrote_stands_in_logs_metrics_or_errors() {
    let mut attack = Attack::with("trace", [HELPER, OTHER_HELPER]);
    let visit = plant(&mut attack);
    let (client, url, household) = (attack.client.clone(), attack.process.url.clone(), attack.household);
    let mut shown = String::new();
    for path in [
        "/",
        "/households",
        "/visits",
        "/differences",
        "/phones",
        "/quarantine",
        "/sign-in",
        "/static/pages.css",
        "/healthz",
        "/readyz",
        "/api/townships",
        "/api/records",
        "/api/differences",
        "/api/quarantine",
        "/api/quarantine/uploads",
        "/api/figures",
        "/api/phones",
        "/api/quarantine/uploads/1",
    ] {
        shown += &client.get(format!("{url}{path}")).send().unwrap().text().unwrap();
    }
    for id in [household, visit] {
        for path in [format!("/households/{id}"), format!("/api/records/{id}"), format!("/api/records/{id}/history")] {
            shown += &client.get(format!("{url}{path}")).send().unwrap().text().unwrap();
        }
    }
    for text in [HEAD, ILLNESS, HELPER] {
        assert!(shown.contains(text), "{text} is there for those who may see it");
    }
    for search in [SEARCHED, HEAD, ID_NUMBER, PHONE] {
        for request in [
            client.get(format!("{url}/households?q={search}")),
            client.post(format!("{url}/households")).form(&[("q", search)]),
            client.post(format!("{url}/api/records/search")).json(&serde_json::json!({"search": search})),
        ] {
            assert_eq!(request.send().unwrap().status(), 200);
        }
    }
    let answers = broken_requests(&mut attack);
    let errors = answers.iter().filter(|(status, _)| *status >= 400);
    assert!(errors.clone().count() > 15, "requests that are refused: {answers:?}");
    for (status, body) in errors {
        // a page's link to the other language repeats the asker's own address
        let body: String = body.lines().filter(|line| !line.contains("class=\"tool\"")).collect();
        assert_free_of_canaries(&format!("an error {status}"), &body);
    }
    sync(&attack.honest);
    let metrics = client.get(format!("{url}/metrics")).send().unwrap().text().unwrap();
    assert_free_of_canaries("the metrics", &metrics);
    attack.process.terminate();
    attack.process.exit_code();
    let said = attack.process.everything_said();
    assert!(said.contains("stopping"), "the log was read to its end: {said}");
    assert_free_of_canaries("the log", &said);
}
