//! Figures of what real phones sent: by area and period, with their lists, frozen, and as a recomputation has them.

use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::id::{RecordId, UserId};
use doorstep_server::service::office::Office;
use doorstep_server::storage::Move;
use doorstep_tests::harness::{TestServer, add_household, edit, sync};
use serde_json::{Value, json};
use tempfile::TempDir;

fn get(server: &TestServer, path: &str) -> Value {
    let text = crate::client().get(format!("{}{path}", server.url())).send().unwrap().text().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn status(server: &TestServer, path: &str) -> u16 {
    crate::client().get(format!("{}{path}", server.url())).send().unwrap().status().as_u16()
}

fn visit_on(phone: &Phone, household: RecordId, day: &str) -> RecordId {
    let draft = phone.start("visit", Some(household)).unwrap();
    for (key, value) in [("visit_date", day), ("result", "met")] {
        phone.answer_text(draft, key, value).unwrap();
    }
    phone.finish_as(draft, &NewRecord::default()).unwrap()
}

/// A household with these members.
fn family(phone: &Phone, server: &TestServer, number: &str, members: &[&str]) -> RecordId {
    let household = add_household(phone, server.villages[0], number, members[0]);
    let names: Vec<(String, &str)> =
        members.iter().enumerate().map(|(n, name)| (format!("member#m{n}/name"), *name)).collect();
    let answers: Vec<(&str, &str)> = names.iter().map(|(key, name)| (key.as_str(), *name)).collect();
    edit(phone, household, &answers);
    household
}

fn assert_verified(server: &TestServer) {
    let found = server.service.verify_figures(server.township).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    assert!(found.to_string().ends_with(": equal"), "{found}");
    assert!(found.records > 0 && found.figures > 0);
}

fn move_to(server: &TestServer, household: RecordId, village: usize, from_day: &str) {
    let office = Office::start(&server.service, UserId([9; 16]), server.township).unwrap();
    let moved = Move::by_office(household, server.villages[village], from_day);
    office.move_records(vec![moved]).unwrap();
}

#[test]
fn figures_of_the_past_stay_where_they_were_and_a_backdated_visit_counts_where_its_date_says() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
    let household = family(&a, &server, "0001", &["李四", "王五", "李小明"]);
    let alone = family(&a, &server, "0002", &["赵六"]);
    sync(&a);
    sync(&b);
    visit_on(&b, household, "2026-11-20");
    visit_on(&b, household, "2026-11-21");
    // told months later
    let late = visit_on(&a, alone, "2026-03-02");
    sync(&a);
    sync(&b);
    assert_verified(&server);
    let of = |period: &str, village: usize| {
        let figures = get(&server, &format!("/api/figures?period={period}&area={}", server.villages[village]));
        figures["total"].clone()
    };
    let november = of("2026-11", 0);
    assert_eq!((&november["households"], &november["persons"]), (&json!(2), &json!(4)));
    let visits = json!({"records": 2, "late": 0, "households": 1, "persons": 3});
    assert_eq!(november["records"]["visit"], visits);
    let march = json!({"records": 1, "late": 1, "households": 1, "persons": 1});
    assert_eq!(of("2026-03", 0)["records"]["visit"], march);
    let year = json!({"records": 3, "late": 1, "households": 2, "persons": 4});
    assert_eq!(of("2026", 0)["records"]["visit"], year);
    let list = get(&server, "/api/figures/list?period=2026&form=visit&late=1");
    assert_eq!(list["records"][0]["id"], json!(late));
    assert_eq!(list["records"].as_array().unwrap().len(), 1);

    // the household moves, and a member died before the visits: known only now
    move_to(&server, household, 1, "2026-11-21");
    edit(&a, household, &[("member#m2/left_on", "2026-11-21"), ("member#m2/left_why", "death")]);
    sync(&a);
    assert_verified(&server);
    assert_eq!(of("2026-11", 0)["records"]["visit"], json!({"records": 1, "late": 0, "households": 0, "persons": 0}));
    assert_eq!(of("2026-11", 1)["records"]["visit"], json!({"records": 1, "late": 0, "households": 1, "persons": 2}));
    assert_eq!(of("2026-03", 0)["records"]["visit"], march);
    let stock = |day: &str, village: usize| {
        let path = format!("/api/figures?as_of={day}&area={}", server.villages[village]);
        let total = get(&server, &path)["total"].clone();
        (total["households"].as_i64().unwrap(), total["persons"].as_i64().unwrap())
    };
    assert_eq!((stock("2026-11-20", 0), stock("2026-11-20", 1)), ((2, 4), (0, 0)));
    assert_eq!((stock("2026-11-21", 0), stock("2026-11-21", 1)), ((1, 1), (1, 2)));
    // an ended household counts until the day before
    edit(&a, alone, &[("ended_on", "2026-11-22"), ("ended_why", "died_out")]);
    sync(&a);
    assert_eq!((stock("2026-11-21", 0), stock("2026-11-22", 0)), ((1, 1), (0, 0)));
    assert_verified(&server);
}

#[test]
fn every_figure_of_the_api_has_a_list_of_exactly_that_length_and_pages_lead_to_it() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    for n in 0..5 {
        let household = family(&phone, &server, &format!("{n:04}"), &["李四", "王五"][..=n % 2]);
        (0..n).for_each(|v| _ = visit_on(&phone, household, &format!("2026-1{}-0{}", v % 2, v + 1)));
    }
    sync(&phone);
    let length = |query: &str| {
        let (mut after, mut total) = (0, 0);
        loop {
            let page = get(&server, &format!("/api/figures/list?{query}&limit=2&after={after}"));
            total += page["records"].as_array().unwrap().len() as i64;
            let Some(next) = page["next"].as_i64() else { return total };
            after = next;
        }
    };
    for period in ["2026-10", "2026-11", "2026-Q4", "all"] {
        let figures = get(&server, &format!("/api/figures?period={period}"));
        let (total, as_of) = (&figures["total"], figures["as_of"].as_str().unwrap());
        let households = length(&format!("period={period}&as_of={as_of}&kind=stock"));
        assert_eq!(total["households"], json!(households), "{period}");
        let visits = &total["records"]["visit"];
        assert_eq!(visits["records"], json!(length(&format!("period={period}&form=visit"))), "{period}");
        let reached = length(&format!("period={period}&form=visit&households=1"));
        assert_eq!(visits["households"], json!(reached), "{period}");
        assert_eq!(visits["late"], json!(length(&format!("period={period}&form=visit&late=1"))), "{period}");
    }
    let page = crate::client().get(format!("{}/figures?period=2026-11", server.url())).send().unwrap().text().unwrap();
    let links = page.split("href=\"/figures").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links: Vec<String> = links.map(|rest| format!("/figures{}", rest.replace("&#38;", "&"))).collect();
    assert!(links.len() > 6, "{page}");
    for link in links {
        assert_eq!(status(&server, &link), 200, "{link}");
    }
    for bad in ["period=2026-13", "as_of=2026-02-30", "area=x", "kind=x", "after=x", "limit=x"] {
        assert_eq!(status(&server, &format!("/api/figures/list?{bad}")), 400, "{bad}");
    }
}

#[test]
fn a_frozen_report_stays_and_tells_which_records_count_otherwise_today() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = family(&phone, &server, "0001", &["李四", "王五"]);
    visit_on(&phone, household, "2026-10-05");
    sync(&phone);
    let post = |body: Value| {
        let request = crate::client().post(format!("{}/api/figures/frozen", server.url()));
        let response = request.header("content-type", "application/json").body(body.to_string()).send().unwrap();
        (response.status().as_u16(), serde_json::from_str::<Value>(&response.text().unwrap()).unwrap())
    };
    let (code, made) = post(json!({"name": "十月报表", "by": "张三", "period": "2026-10"}));
    assert_eq!((code, &made["no"]), (200, &json!(1)));
    assert_eq!(post(json!({"name": "", "by": "张三", "period": "2026-10"})).0, 400);
    assert_eq!(post(json!({"name": "x", "by": "张三", "period": "October"})).0, 400);
    let compared = || get(&server, "/api/figures/frozen/1");
    assert_eq!(compared()["changed"], json!(0));
    let backdated = visit_on(&phone, household, "2026-10-06");
    sync(&phone);
    let now = compared();
    assert_eq!(now["report"]["name"], json!("十月报表"));
    // the new one counts, and stands for the household in place of the old one
    assert_eq!(now["changed"], json!(2));
    let added = now["records"].as_array().unwrap().iter().find(|r| r["record"] == json!(backdated)).unwrap();
    assert_eq!((&added["then"], &added["now"]["late"]), (&Value::Null, &json!(true)));
    let visits = now["figures"].as_array().unwrap().iter().find(|f| f["form"] == json!("visit")).unwrap();
    assert_eq!(visits["then"], json!({"records": 1, "late": 1, "households": 1, "persons": 2}));
    assert_eq!(visits["now"], json!({"records": 2, "late": 2, "households": 1, "persons": 2}));
    assert_eq!(status(&server, "/figures/frozen/1"), 200);
    assert_eq!(status(&server, "/api/figures/frozen/2"), 404);
    assert_verified(&server);
}

#[test]
fn verify_says_what_it_compared_and_ends_with_failure_when_a_figure_is_wrong() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let household = family(&phone, &server, "0001", &["李四"]);
    visit_on(&phone, household, "2026-11-20");
    sync(&phone);
    drop(server);
    let verify = || {
        let args = ["figures", "verify", "--data", dirs[0].path().to_str().unwrap()];
        let output = std::process::Command::new(crate::BINARY).args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text.lines().last().unwrap().to_owned())
    };
    let (status, last) = verify();
    assert_eq!(status, Some(0));
    assert!(last.contains("compared") && last.ends_with(": equal"), "{last}");
    let database = rusqlite::Connection::open(dirs[0].path().join("doorstep.db")).unwrap();
    let changed = database.execute("UPDATE figure SET households = households + 1 WHERE households > 0", []).unwrap();
    assert!(changed > 0);
    let (status, last) = verify();
    assert_eq!(status, Some(1));
    assert!(last.contains("differ"), "{last}");
}

#[test]
fn households_are_counted_by_status_and_a_report_frozen_on_the_page_or_by_command_is_compared_with_today() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let [first, second, third] =
        ["0001", "0002", "0003"].map(|number| family(&phone, &server, number, &["李四", "王五"]));
    edit(&phone, second, &[("status", "monitored")]);
    edit(&phone, third, &[("status", "not_out")]);
    visit_on(&phone, first, "2026-10-05");
    sync(&phone);
    let by_status = || {
        let figures = get(&server, "/api/figures")["total"].clone();
        let rows = figures["by_status"].as_array().unwrap().clone();
        let mut rows: Vec<_> = rows
            .iter()
            .map(|row| (row["status"].as_str().unwrap().to_owned(), row["households"].clone(), row["persons"].clone()))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let sum = |n: usize| rows.iter().map(|row| [&row.1, &row.2][n].as_i64().unwrap()).sum::<i64>();
        assert_eq!((json!(sum(0)), json!(sum(1))), (figures["households"].clone(), figures["persons"].clone()));
        rows
    };
    let row = |status: &str, households: i64| (status.to_owned(), json!(households), json!(2 * households));
    assert_eq!(by_status(), [row("monitored", 1), row("not_out", 1), row("out", 1)]);
    let listed = |status: &str| {
        let list = get(&server, &format!("/api/figures/list?kind=stock&status={status}"));
        list["records"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((listed("monitored"), listed("not_out")), (vec![json!(second)], vec![json!(third)]));

    // frozen on the page, by a form of this server's own
    let freeze = |name: &str, origin: &str| {
        let form = [("name", name), ("by", "张三"), ("period", "2026-10")];
        let request = crate::client().post(format!("{}/figures/freeze", server.url())).header("origin", origin);
        let answer = request.form(&form).send().unwrap();
        (answer.status().as_u16(), answer.headers().get("location").map(|at| at.to_str().unwrap().to_owned()))
    };
    let own = server.url();
    assert_eq!(freeze("十月报表", "http://elsewhere.invalid").0, 403);
    assert_eq!(freeze(" ", &own).0, 400);
    assert_eq!(freeze("十月报表", &own), (303, Some("/figures/frozen/1".to_owned())));
    let command = |args: &[&str]| {
        let data = ["--data", dirs[0].path().to_str().unwrap()];
        crate::cli::run(&[["figures", args[0]].as_slice(), &data, &args[1..]].concat())
    };
    let said = command(&["freeze", "--period", "2026-10", "--name", "十月报表二", "--by", "李四"]);
    assert_eq!(said, "frozen: report 2, period 2026-10, households as of 2026-10-31");
    let reports = get(&server, "/api/figures/frozen")["reports"].clone();
    let names: Vec<_> = reports.as_array().unwrap().iter().map(|r| (r["no"].clone(), r["made_by"].clone())).collect();
    assert!(names.contains(&(json!(1), json!("张三"))) && names.contains(&(json!(2), json!("李四"))), "{names:?}");
    assert_eq!(command(&["frozen"]).lines().count(), 2);
    assert!(command(&["frozen", "1"]).ends_with("0 records count otherwise than when it was frozen"));

    // what changes afterwards shows as a difference, in all three places
    edit(&phone, second, &[("status", "out")]);
    visit_on(&phone, second, "2026-10-06");
    sync(&phone);
    assert_eq!(by_status(), [row("not_out", 1), row("out", 2)]);
    let compared = get(&server, "/api/figures/frozen/1");
    let stock = |status: &str| {
        let figures = compared["figures"].as_array().unwrap();
        let row = figures.iter().find(|f| f["kind"] == "stock" && f["status"] == status).unwrap();
        (row["then"]["households"].clone(), row["now"]["households"].clone())
    };
    assert_eq!((stock("monitored"), stock("out")), ((json!(1), json!(0)), (json!(1), json!(2))));
    let changed = compared["changed"].as_i64().unwrap();
    assert!(changed >= 2);
    for no in ["1", "2"] {
        let said = command(&["frozen", no]);
        assert!(said.ends_with(&format!("{changed} records count otherwise than when it was frozen")), "{said}");
        assert!(said.contains("records visit: 1 at 1 households (2 persons)") && said.contains("; now 2 at"), "{said}");
    }
    let page = crate::client().get(format!("{own}/figures/frozen/1?lang=en")).send().unwrap().text().unwrap();
    assert!(page.contains("十月报表") && page.contains(&format!("/households/{second}")), "{page}");

    // the command shows what the API shows, and makes the same figures anew
    let shown: Value = serde_json::from_str(&command(&["show", "--period", "2026-10", "--json"])).unwrap();
    let of = |status: &str| {
        let rows = shown["total"].as_array().unwrap();
        rows.iter().find(|r| r["kind"] == "stock" && r["status"] == status).unwrap()["sums"]["persons"].clone()
    };
    assert_eq!((of("out"), of("not_out")), (json!(4), json!(2)));
    assert!(command(&["show", "--period", "2026-10"]).contains("示例镇  3 households (6 persons)  visit 2 at"));
    let before = command(&["show", "--json"]);
    let late = |text: &str| serde_json::from_str::<Value>(text).unwrap()["total"].to_string();
    assert!(command(&["rebuild"]).contains("made anew"));
    assert_eq!(late(&command(&["show", "--json"])), late(&before));
    assert!(before.contains("\"late\":2"), "{before}");
    command(&["rebuild", "--late-days", "visit=400"]);
    assert!(!late(&command(&["show", "--json"])).contains("\"late\":2"), "within 400 days nothing is late");
    assert_verified(&server);
}
