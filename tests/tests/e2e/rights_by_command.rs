//! Areas, roles, pairings and stand-ins by the office's commands and the API, with the phones that follow them.

use doorstep_core::client::Phone;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::store::ListFilter;
use doorstep_server::storage::Grant;
use doorstep_tests::harness::{TestServer, add_household, edit, person, sync};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{refused, run};

/// A server, the office's phone with a household in each of the two villages, and commands on the same database.
struct Town {
    dirs: [TempDir; 4],
    server: TestServer,
    households: [RecordId; 2],
}

impl Town {
    fn new() -> Self {
        let dirs: [TempDir; 4] = std::array::from_fn(|_| TempDir::new().unwrap());
        let server = TestServer::start(dirs[0].path());
        let office = server.phone(dirs[1].path(), "扶贫工作站");
        let households = [("0001", "李四"), ("0002", "王五")];
        let households = std::array::from_fn(|n| {
            let (number, head) = households[n];
            let household = add_household(&office, server.villages[n], number, head);
            edit(&office, household, &[("income_wages", "777001")]);
            household
        });
        sync(&office);
        Self { dirs, server, households }
    }

    fn command<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&[args[0], "--data", self.dirs[0].path().to_str().unwrap()], &args[1..]].concat()
    }

    fn run(&self, args: &[&str]) -> String {
        run(&self.command(args))
    }

    fn refused(&self, args: &[&str]) -> String {
        refused(&self.command(args))
    }

    fn phone(&self, n: usize, user: UserId) -> Phone {
        self.server.phone_of(self.dirs[n].path(), user)
    }

    fn entries(&self, action: &str) -> usize {
        let entries = self.server.service.storage.audit_after(0, 1_000).unwrap();
        entries.iter().filter(|row| row.entry.action == action).count()
    }

    /// What is active about the first household.
    fn paired(&self) -> Vec<(UserId, Grant)> {
        let mut about = self.server.service.storage.grants_about(self.households[0]).unwrap();
        about.retain(|(_, grant)| grant.entry.active);
        about
    }
}

fn households(phone: &Phone) -> Vec<RecordId> {
    sync(phone);
    phone.households(None, "", 0, 10).unwrap().iter().map(|row| row.id).collect()
}

#[test]
fn areas_that_commands_add_change_and_merge_are_what_the_phones_have_and_their_past_is_kept() {
    let town = Town::new();
    let cadre = person(&town.server.service, "甲");
    town.run(&["grant", "give", "甲", "village_cadre", "--area", "青山村"]);
    let phone = town.phone(2, cadre);
    assert_eq!(households(&phone), [town.households[0]]);
    let add = ["area", "add", "group", "一组", "--below", "青山村", "--code", "G1", "--name-en", "Group one"];
    let group: AreaId = town.run(&add).parse().unwrap();
    let on_phone = || {
        sync(&phone);
        let areas = phone.areas().unwrap();
        areas.into_iter().find(|a| a.area == group).map(|a| (a.parent, a.level, a.code, a.name_zh, a.name_en))
    };
    let expected = |code: &str, zh: &str| {
        Some((Some(town.server.villages[0]), "group".into(), code.into(), zh.into(), "Group one".into()))
    };
    assert_eq!(on_phone(), expected("G1", "一组"));
    town.run(&["area", "change", "一组", "--from", "2026-12-01", "--name", "新一组", "--code", "G2"]);
    assert_eq!(on_phone(), expected("G2", "新一组"));
    let listed = town.run(&["area", "list"]);
    assert!(listed.contains("G2  新一组  in 青山村") && listed.contains("before 2026-12-01: G1  一组"), "{listed}");

    for (args, why) in [
        (["area", "change", "青山村", "--from", "2026-12-01", "--below", "新一组"].as_slice(), "below it"),
        (&["area", "change", "新一组", "--from", "December", "--name", "二组"], "2026-12-31"),
        (&["area", "merge", "青山村", "新一组", "--from", "2026-12-01"], "below it"),
        (&["area", "merge", "青山村", "石桥村", "--from", "soon"], "2026-12-31"),
        (&["area", "add", "group", "二组", "--below", "没有的村"], "area list"),
        (&["area", "add", "group", " ", "--below", "青山村"], "name"),
    ] {
        let said = town.refused(args);
        assert!(said.contains(why), "{args:?}: {said}");
    }
    let merged = town.run(&["area", "merge", "石桥村", "青山村", "--from", "2026-12-01"]);
    assert_eq!(merged, "merged from 2026-12-01 on: 1 records moved", "with its sensitive part");
    let mut both = town.households.to_vec();
    both.sort_unstable();
    let mut has = households(&phone);
    has.sort_unstable();
    assert_eq!(has, both, "the phone of the village that took the other in");
    assert!(town.run(&["area", "list"]).contains("ended 2026-12-01, went into 青山村"));
    assert!(phone.areas().unwrap().iter().all(|a| a.name_zh != "石桥村"), "no choice any more");
    assert_eq!(town.entries("area_changed"), 3);
}

#[test]
fn roles_set_by_command_or_api_are_what_phones_read_by_with_their_next_sync() {
    let town = Town::new();
    let cadre = person(&town.server.service, "甲");
    town.run(&["grant", "give", "甲", "village_cadre", "--area", "青山村"]);
    let phone = town.phone(2, cadre);
    let types = || {
        sync(&phone);
        let all = phone.list(ListFilter { limit: 50, ..ListFilter::default() }).unwrap();
        let mut types: Vec<String> = all.into_iter().map(|row| row.record_type).collect();
        types.sort_unstable();
        types
    };
    let all = types();
    assert!(all.contains(&"household".to_owned()) && all.len() == 2, "with its sensitive part: {all:?}");

    // as `role show` prints them, without the sensitive documents of one role
    let mut roles: Value = serde_json::from_str(&town.run(&["role", "show"])).unwrap();
    let cadres = roles.as_array_mut().unwrap().iter_mut().find(|role| role["name"] == "village_cadre").unwrap();
    for right in cadres["rights"].as_array_mut().unwrap() {
        right["classes"] = json!(["core"]);
    }
    let (file, faulty) = (town.dirs[3].path().join("roles.json"), town.dirs[3].path().join("faulty.json"));
    std::fs::write(&file, roles.to_string()).unwrap();
    std::fs::write(&faulty, r#"[{"name": "village_cadre", "rights": [{"types": ["*"], "actions": ["fly"]}]}]"#)
        .unwrap();
    let before = town.run(&["role", "show"]);
    town.refused(&["role", "set", faulty.to_str().unwrap()]);
    assert_eq!(town.run(&["role", "show"]), before, "nothing of a faulty file is taken");
    assert_eq!(types(), all);
    town.run(&["role", "set", file.to_str().unwrap()]);
    assert_eq!(types(), ["household"], "the phone dropped what the role doesn't read any more");
    let table = town.run(&["role", "table"]);
    assert!(table.contains("| village_cadre | household | core | read, create |"), "{table}");

    // the API shows what the command set, and takes it back
    let (client, url) = (crate::client(), format!("{}/api/roles", town.server.url()));
    let shown: Value = client.get(&url).send().unwrap().json().unwrap();
    assert_eq!(shown["roles"].as_array().unwrap().len(), roles.as_array().unwrap().len());
    let put = |body: String, origin: &str| {
        let request = client.put(&url).header("origin", origin).body(body);
        request.send().unwrap().status().as_u16()
    };
    let own = town.server.url();
    assert_eq!(put("[]".into(), "http://elsewhere.invalid"), 403);
    assert_eq!(put(std::fs::read_to_string(&faulty).unwrap(), &own), 400);
    assert_eq!(types(), ["household"]);
    assert_eq!(put("[]".into(), &own), 204);
    assert_eq!(types(), all, "and it is filled again");
}

#[test]
fn a_household_paired_anew_leaves_the_helper_before_and_stays_with_who_stands_in() {
    let town = Town::new();
    let service = &town.server.service;
    let (first, second, other) = (person(service, "甲"), person(service, "乙"), person(service, "丙"));
    let phones = [(1, first), (2, second), (3, other)].map(|(n, user)| {
        let dir = town.dirs[n].path().join("phone");
        std::fs::create_dir_all(&dir).unwrap();
        town.server.phone_of(&dir, user)
    });
    let have = || [0, 1, 2].map(|n: usize| households(&phones[n]).len());
    town.run(&["grant", "pair", "甲", "0001"]);
    town.run(&["grant", "pair", "丙", "0001", "--stands-in-for", &first.to_string(), "--until", "2099-12-31"]);
    assert_eq!(have(), [1, 0, 1]);
    let listed = town.run(&["grant", "list"]);
    let line = listed.lines().find(|line| line.contains("丙")).unwrap();
    assert!(line.contains(&format!("stands in for {first}")) && line.contains("until 2099-12-31 23:59"), "{line}");
    town.run(&["grant", "pair", "乙", "0001", "--anew"]);
    assert_eq!(have(), [0, 1, 1], "who stands in stays");
    let stand_in = town.paired().into_iter().find(|(user, _)| *user == other).unwrap().1;
    assert!(stand_in.stand_in_for == Some(first) && stand_in.until_ms > Some(0));

    // the API pairs the first one again, and lets somebody stand in until a time
    let post = |body: Value| {
        let url = format!("{}/api/grants", town.server.url());
        crate::client().post(url).json(&body).send().unwrap().status().as_u16()
    };
    let pairing = |user: UserId| json!({"user": user, "role": "helper", "household": town.households[0]});
    let with = |user: UserId, more: Value| {
        let mut body = pairing(user);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(post(with(first, json!({"anew": true}))), 204);
    assert_eq!(have(), [1, 0, 1]);
    let until_ms = 4_000_000_000_000_u64;
    assert_eq!(post(with(second, json!({"stand_in_for": first, "until_ms": until_ms}))), 204);
    assert_eq!(have(), [1, 1, 1]);
    let standing = town.paired().into_iter().filter(|(_, grant)| grant.until_ms == Some(until_ms)).count();
    assert_eq!(standing, 1);

    // what makes no sense is refused, and nothing is written
    let before = town.paired().len();
    assert_eq!(post(with(second, json!({"stand_in_for": UserId([7; 16])}))), 400, "nobody stands in for a stranger");
    assert_eq!(post(with(second, json!({"stand_in_for": second}))), 400, "nobody stands in for themselves");
    for (args, why) in [
        (["grant", "pair", "乙", "0009"].as_slice(), "no household"),
        (&["grant", "pair", "丁", "0001"], "grant list"),
        (&["grant", "pair", "乙", "0001", "--until", "tomorrow"], "2026-12-31"),
        (&["grant", "pair", "乙", "0001", "--until", "2020-12-31"], "over"),
        (&["grant", "give", "乙", "mayor"], "role list"),
    ] {
        let said = town.refused(args);
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(town.paired().len(), before);
    assert_eq!(town.entries("pairing_changed"), 7, "甲, 丙, 乙 given; 甲 ended; 甲 given; 乙 ended, 乙 given");
}

#[test]
fn commands_answer_in_chinese_unless_english_is_asked_for_and_errors_are_said_in_both() {
    let town = Town::new();
    let data = town.dirs[0].path().to_str().unwrap();
    person(&town.server.service, "甲");
    let answer = |args: &[&str], language: Option<&str>| {
        let mut command = std::process::Command::new(crate::BINARY);
        command.env_remove("DOORSTEP_LANGUAGE").args(args);
        if let Some(language) = language {
            command.env("DOORSTEP_LANGUAGE", language);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let pair = ["grant", "--data", data, "pair", "甲", "0001"];
    assert!(answer(&pair, None).0.starts_with("已结对"));
    assert!(answer(&[&pair[..], &["--language", "en"]].concat(), None).0.starts_with("paired"));
    assert!(answer(&pair, Some("en")).0.starts_with("paired"));
    let asked: [(&[&str], &str, &str); 6] = [
        (&["grant", "list", "--data", data], "权限 1  helper", "grant 1  helper"),
        (&["area", "list", "--data", data], "属于示例镇", "in 示例镇"),
        (&["device", "list", "--data", data], "上次同步", "last sync"),
        (&["figures", "show", "--data", data], "示例镇  2户0人", "示例镇  2 households (0 persons)"),
        (&["figures", "verify", "--data", data], "全部一致", "all equal"),
        (&["duplicates", "list", "--data", data], "疑似重复0对", "0 candidates"),
    ];
    for (args, zh, en) in asked {
        // where the data is stands before the subcommand in some and after it in others
        let args = match args[0] {
            "grant" | "area" => vec![args[0], args[2], args[3], args[1]],
            _ => args.to_vec(),
        };
        let (chinese, english) = (answer(&args, None).0, answer(&args, Some("en")).0);
        assert!(chinese.contains(zh) && english.contains(en), "{args:?}: {chinese}{english}");
    }
    let verified = answer(&["figures", "verify", "--data", data], None).0;
    assert!(verified.lines().last().unwrap().ends_with(": equal"), "the last line says what was compared");
    let (_, error) = answer(&["grant", "--data", data, "give", "甲", "mayor"], None);
    assert!(error.contains("没有角色“mayor”") && error.contains("there is no role `mayor`"), "{error}");
    let (_, error) = answer(&["area", "--data", data, "merge", "青山村", "没有的村", "--from", "2026-12-01"], None);
    assert!(error.contains("没有这个名称、代码或编号的辖区") && error.contains("no area has this name"), "{error}");
    assert!(answer(&[&pair[..], &["--language", "fr"]].concat(), None).1.contains("zh or en"));
}
