//! Households and members that stand twice: found with reasons, linked by office and phones, united once in lists.

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::link::{Side, Verdict};
use doorstep_server::calendar::Period;
use doorstep_tests::harness::{TestServer, sync};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::run;

/// An invented number of region 999999 with the right check digit.
const ID_NUMBER: &str = "999999199001010024";

struct Township {
    server: TestServer,
    a: Phone,
    b: Phone,
    dirs: [TempDir; 3],
}

impl Township {
    fn new() -> Self {
        let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
        let server = TestServer::start(dirs[0].path());
        let (a, b) = (server.phone(dirs[1].path(), "甲"), server.phone(dirs[2].path(), "乙"));
        Self { server, a, b, dirs }
    }

    fn household(&self, village: AreaId, number: &str, answers: &[(&str, &str)]) -> RecordId {
        let draft = self.a.start("household", None).unwrap();
        for (key, value) in [("household_no", number), ("village", "青山村"), ("status", "out")].iter().chain(answers)
        {
            self.a.answer_text(draft, key, value).unwrap();
        }
        self.a.finish_as(draft, &NewRecord { area: Some(village), campaign: None }).unwrap()
    }

    /// One household entered twice.
    fn twice(&self) -> [RecordId; 2] {
        let answers = [
            ("head_name", "李四"),
            ("address", "一组1号"),
            ("member#m1/name", "李四"),
            ("member#m1/birth", "1960-05-01"),
        ];
        let [here, _] = self.server.villages;
        let both = [self.household(here, "0001", &answers), self.household(here, "0002", &answers)];
        self.household(here, "0003", &[("head_name", "王五"), ("address", "一组3号")]);
        self.settle();
        both
    }

    fn settle(&self) {
        for phone in [&self.a, &self.b, &self.a] {
            sync(phone);
        }
    }

    fn get(&self, path: &str) -> Value {
        let response = crate::client().get(format!("{}{path}", self.server.url())).send().unwrap();
        serde_json::from_str(&response.text().unwrap()).unwrap()
    }

    fn text(&self, path: &str) -> String {
        crate::client().get(format!("{}{path}", self.server.url())).send().unwrap().text().unwrap()
    }

    fn link(&self, body: &Value) -> (u16, Value) {
        let response = crate::client().post(format!("{}/api/links", self.server.url())).json(body).send().unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
    }

    /// Households of today's figures, which are what the records say.
    fn counted(&self) -> i64 {
        let verified = self.server.service.verify_figures(self.server.township).unwrap();
        assert!(verified.differing == 0 && verified.records > 0, "{verified} {:?}", verified.differences);
        let service = &self.server.service;
        service.figures(self.server.township, None, &Period::Whole, &service.today()).unwrap().total.stock().households
    }

    fn listed(&self) -> Vec<String> {
        let list = self.get("/api/records?type=household");
        list["records"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    }

    fn candidates(&self) -> Vec<Value> {
        self.get("/api/duplicates")["candidates"].as_array().unwrap().clone()
    }
}

#[test]
fn a_household_entered_twice_is_found_and_a_person_in_two_households_without_showing_the_id_number() {
    let town = Township::new();
    let both = town.twice();
    let [here, there] = town.server.villages;
    let person = [("member#p/name", "赵梅"), ("member#p/birth", "1990-01-01"), ("member#p/id_number", ID_NUMBER)];
    for (village, number, head) in [(here, "0011", "赵一"), (there, "0012", "孙二")] {
        town.household(village, number, &[&[("head_name", head)][..], &person].concat());
    }
    town.settle();
    let found = town.candidates();
    assert_eq!(found.len(), 2, "{found:?}");
    let by_members = |members: bool| found.iter().find(|c| c["sides"][0]["member"].is_string() == members).unwrap();
    let sides: Vec<&str> =
        by_members(false)["sides"].as_array().unwrap().iter().filter_map(|s| s["household"].as_str()).collect();
    assert!(both.iter().all(|id| sides.contains(&&*id.to_string())), "{sides:?}");
    assert_eq!(by_members(false)["reasons"], json!(["person", "head", "address", "village"]));
    assert_eq!(by_members(true)["reasons"][0], "id_number");
    assert!(by_members(true)["score"].as_u64() > by_members(false)["score"].as_u64());
    let page = town.text("/duplicates?lang=zh");
    assert!(page.contains("疑似重复") && page.contains("身份证号码相同") && page.contains("户主姓名相同"));
    let listed = run(&["duplicates", "list", "--data", town.dirs[0].path().to_str().unwrap()]);
    assert!(listed.contains("id_number") && listed.contains(&both[0].to_string()), "{listed}");
    for shown in [&page, &listed, &town.text("/api/duplicates")] {
        assert!(!shown.contains(ID_NUMBER));
    }
}

#[test]
fn linked_households_stand_once_in_lists_with_both_histories_and_apart_again_when_it_is_undone() {
    let town = Township::new();
    let [one, other] = town.twice();
    assert_eq!((town.listed().len(), town.counted()), (3, 3));
    let sides = json!([{"household": one}, {"household": other}]);
    let (status, said) = town.link(&json!({"sides": sides, "verdict": "same", "leads": other, "reason": "登记了两次"}));
    assert_eq!(status, 200, "{said}");
    assert!(town.candidates().is_empty(), "decided");
    assert_eq!(town.counted(), 2, "figures count what is listed");
    assert!(!town.listed().contains(&one.to_string()) && town.listed().contains(&other.to_string()));
    assert_eq!(town.get("/api/records?type=household&united=all")["records"].as_array().unwrap().len(), 3);
    let page = town.text("/households?lang=zh");
    assert!(page.contains("含合并的1户") && !page.contains(&one.to_string()), "{page}");
    for id in [one, other] {
        let history = town.get(&format!("/api/records/{id}/history"));
        assert!(history["history"].as_array().unwrap().len() >= 6, "its history stays");
    }
    town.settle();
    assert_eq!(town.b.united().unwrap(), [(one, other)].into(), "the phones follow");
    let links = town.get("/api/links");
    assert_eq!(links["united_into"][one.to_string()], json!(other));
    let heads = &links["links"][0]["heads"];
    let (status, _) = town.link(&json!({"sides": sides, "verdict": "open", "heads": heads}));
    assert_eq!((status, town.listed().len(), town.candidates().len(), town.counted()), (200, 3, 1, 3));
    let entries = town.get("/api/audit?action=records_linked")["entries"].clone();
    assert!(entries.as_array().unwrap().len() == 2 && !entries.to_string().contains("李四"), "{entries}");
}

/// The fields of the form in a page that takes a decision back.
fn undo_form(page: &str) -> Vec<(String, String)> {
    let form = page.split("<form").find(|form| form.contains("value=\"open\"")).unwrap();
    let field = |tag: &str| {
        let of = |name: &str| Some(tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.to_owned());
        Some((of("name")?, of("value")?))
    };
    form.split('<').filter_map(field).collect()
}

#[test]
fn that_two_members_are_one_person_can_be_taken_back_on_the_page() {
    let town = Township::new();
    let [here, there] = town.server.villages;
    let person = [("member#p/name", "赵梅"), ("member#p/birth", "1990-01-01"), ("member#p/id_number", ID_NUMBER)];
    for (village, number, head) in [(here, "0011", "赵一"), (there, "0012", "孙二")] {
        town.household(village, number, &[&[("head_name", head)][..], &person].concat());
    }
    town.settle();
    let sides = town.candidates()[0]["sides"].clone();
    assert_eq!(town.link(&json!({"sides": sides, "verdict": "same"})).0, 200);
    let page = town.text("/duplicates?lang=zh");
    assert!(town.candidates().is_empty() && page.contains("同一人") && page.contains(">赵梅</a>"), "{page}");
    let form = undo_form(&page);
    let members = |name: &str| form.iter().find(|(field, _)| field == name).unwrap().1.clone();
    assert_eq!((members("member_a").len(), members("member_b").len()), (1, 1), "{form:?}");
    let answer = crate::client().post(format!("{}/duplicates", town.server.url())).form(&form).send().unwrap();
    assert!(answer.status().is_redirection() || answer.status().is_success(), "{}", answer.status());
    assert_eq!(town.candidates().len(), 1, "open again");
    assert!(town.get("/api/links")["links"].as_array().unwrap().is_empty());
}

#[test]
fn a_phone_lists_united_households_as_one_and_finds_it_by_what_stands_in_the_other() {
    let town = Township::new();
    let [one, other] = town.twice();
    town.a.link_households(other, one).unwrap();
    let listed = |phone: &Phone, search: &str| {
        let rows = phone.households(None, search, 0, 10).unwrap();
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!((listed(&town.a, "").len(), listed(&town.b, "").len()), (2, 3), "offline");
    town.settle();
    for phone in [&town.a, &town.b] {
        assert!(listed(phone, "").len() == 2 && !listed(phone, "").contains(&one));
        assert_eq!(listed(phone, "0001"), [other], "0001 is the number of the one that isn't listed");
        let with: Vec<RecordId> = phone.united_with(other).unwrap().iter().map(|row| row.id).collect();
        assert_eq!(with, [one]);
        assert!(!phone.record(one).unwrap().history().is_empty(), "its history stays");
        let draft = phone.start("household_union", Some(other)).unwrap();
        let filling = phone.fill(draft, FillOptions::default()).unwrap();
        let spot = filling.session().spot("other_household").unwrap();
        let offered: Vec<String> = filling.session().choices(spot).iter().map(|c| c.name.to_string()).collect();
        assert!(offered.len() == 1 && !offered.contains(&one.to_string()), "choices neither: {offered:?}");
    }
    town.b.link(&Side::of(one), &Side::of(other), Verdict::Open, None).unwrap();
    town.settle();
    assert_eq!((listed(&town.a, "").len(), town.a.united_with(other).unwrap().len()), (3, 0));
}

#[test]
fn not_a_duplicate_hides_the_candidate_and_an_old_page_does_not_overwrite_what_was_decided_since() {
    let town = Township::new();
    let [one, other] = town.twice();
    let body = |verdict: &str| json!({"sides": [{"household": other}, {"household": one}], "verdict": verdict});
    assert_eq!(town.link(&body("not_same")).0, 200);
    assert!(town.candidates().is_empty());
    assert_eq!(town.listed().len(), 3);
    let (status, said) = town.link(&body("same"));
    assert_eq!((status, said["error"]["code"].as_str()), (409, Some("answered_meanwhile")));
}

#[test]
fn two_phones_that_link_differently_offline_converge_and_nothing_is_united_until_it_is_decided() {
    let town = Township::new();
    let [one, other] = town.twice();
    town.a.link_households(one, other).unwrap();
    town.b.link(&Side::of(other), &Side::of(one), Verdict::NotSame, None).unwrap();
    assert_eq!(town.a.united().unwrap(), [(other, one)].into(), "offline");
    town.settle();
    assert_eq!(town.a.united().unwrap(), town.b.united().unwrap());
    assert!(town.a.united().unwrap().is_empty() && town.listed().len() == 3 && town.counted() == 3);
    let open = town.candidates();
    assert_eq!((open.len(), &open[0]["disputed"]), (1, &json!(true)), "the office sees that they don't agree");
    town.b.link(&Side::of(one), &Side::of(other), Verdict::Same, Some(one)).unwrap();
    town.settle();
    assert_eq!(town.a.united().unwrap(), [(other, one)].into());
    assert_eq!(town.get("/api/links")["united_into"][other.to_string()], json!(one));
    assert_eq!((town.listed().len(), town.counted()), (2, 2));
}

#[test]
fn what_can_not_be_linked_is_refused() {
    let town = Township::new();
    let [one, other] = town.twice();
    let unknown = RecordId([9; 16]);
    for (sides, status) in [
        (json!([{"household": one}, {"household": one}]), 422),
        (json!([{"household": one}, {"household": unknown}]), 404),
        (json!([{"household": one, "member": "m1"}, {"household": other}]), 422),
        (json!([{"household": one, "member": "<x>"}, {"household": other, "member": "m1"}]), 422),
    ] {
        let (found, said) = town.link(&json!({"sides": sides, "verdict": "same"}));
        assert_eq!(found, status, "{sides} {said}");
    }
    let sides = json!([{"household": one}, {"household": other}]);
    assert_eq!(town.link(&json!({"sides": sides, "verdict": "same", "leads": unknown})).0, 422);
    assert_eq!(town.link(&json!({"sides": sides, "verdict": "perhaps"})).0, 400);
    assert!(town.get("/api/links")["links"].as_array().unwrap().is_empty());
    let form = [("a", one.to_string()), ("b", other.to_string()), ("verdict", format!("same {one}"))];
    let post = |origin: Option<&str>| {
        let mut request = crate::client().post(format!("{}/duplicates", town.server.url())).form(&form);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().unwrap().status().as_u16()
    };
    assert_eq!((post(Some("https://elsewhere.example")), post(None)), (403, 303));
    assert_eq!(town.listed().len(), 2);
}
