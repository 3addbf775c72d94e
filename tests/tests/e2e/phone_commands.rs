//! Two people's phones on the command line: events in a household's life, and a difference that both decide.

use doorstep_tests::harness::ServerProcess;
use tempfile::TempDir;

use crate::cli::{refused, run};

/// A server and two phones that have one household of three.
struct Two {
    dirs: [TempDir; 3],
    _server: ServerProcess,
}

impl Two {
    fn new() -> Self {
        let dirs: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
        let data = dirs[0].path().to_str().unwrap();
        run(&["township", "--data", data, "--name", "示例镇", "--village", "青山村", "--village", "石桥村"]);
        let codes = ["张三", "王五"].map(|name| run(&["device", "invite", "--data", data, "--name", name]));
        let server = ServerProcess::start(crate::BINARY, dirs[0].path());
        let two = Self { dirs, _server: server };
        for (n, code) in codes.iter().enumerate() {
            two.on(n, &["init", "--server", &two._server.url, "--code", code]);
        }
        let answers = ["head_name=李四", "household_no=0001", "village=青山村", "status=out", "member/name=李四"];
        let answers: Vec<&str> = answers.iter().flat_map(|answer| ["--set", *answer]).collect();
        two.on(0, &[["add", "--village", "青山"].as_slice(), &answers].concat());
        two.settle();
        two
    }

    fn args<'a>(&'a self, phone: usize, args: &[&'a str]) -> Vec<&'a str> {
        [&["phone", "--data", self.dirs[1 + phone].path().to_str().unwrap()], args].concat()
    }

    fn on(&self, phone: usize, args: &[&str]) -> String {
        run(&self.args(phone, args))
    }

    fn settle(&self) {
        for phone in [0, 1, 0, 1] {
            self.on(phone, &["sync"]);
        }
    }
}

#[test]
fn events_are_registered_by_command_with_persons_and_villages_by_name_and_seen_on_the_other_phone() {
    let two = Two::new();
    let event = |kind: &'static str, answers: &[&'static str]| {
        let answers: Vec<&str> = answers.iter().flat_map(|answer| ["--set", *answer]).collect();
        [["event", kind, "0001"].as_slice(), &answers].concat()
    };
    let birth = ["happened_on=2026-03-01", "name=李小红", "sex=女", "relation=daughter"];
    two.on(0, &event("birth", &birth));
    two.settle();
    two.on(1, &event("new_head", &["happened_on=2026-04-01", "new_head=李小红", "old_head_relation=父亲"]));
    two.settle();
    for phone in [0, 1] {
        let shown = two.on(phone, &["show", "0001"]);
        assert!(shown.contains("李小红") && shown.contains("\"2026-03-01\""), "{shown}");
        assert!(shown.lines().any(|line| line.contains("李小红") && line.ends_with("(head_name)")), "{shown}");
        assert!(shown.contains("about it: birth") && shown.contains("about it: new_head"), "{shown}");
        let listed = two.on(phone, &["households"]);
        assert!(listed.contains("0001\t李小红\tout\t2"), "{listed}");
    }
    two.on(0, &event("household_move", &["happened_on=2026-05-01", "to_village=石桥村", "group_name=三组"]));
    two.settle();
    assert!(two.on(1, &["households", "--village", "石桥"]).contains("0001"), "it lies in the other village now");
    assert!(!two.on(1, &["households", "--village", "青山"]).contains("0001"));
    // what can't be is refused with words, and nothing of it stays
    for (args, why) in [
        (event("wedding", &["happened_on=2026-05-02"]), "household_union"),
        (event("death", &["member=没有的人"]), "不在选项中"),
        (event("birth", &["happened_on=2999-01-01", "name=甲", "sex=女", "relation=daughter"]), "日期不能晚于今天"),
        (event("birth", &["name=甲"]), "性别"),
    ] {
        let said = refused(&two.args(0, &args));
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert!(two.on(0, &["cost"]).contains("(0 changes)"));
}

#[test]
fn both_values_are_shown_with_who_and_when_and_two_who_decide_differently_see_it_until_one_decides_again() {
    let two = Two::new();
    two.on(0, &["edit", "0001", "--set", "address=一组 1 号"]);
    two.on(1, &["edit", "0001", "--set", "address=一组 2 号"]);
    two.settle();
    let times = |text: &str| text.matches(":").count();
    for (phone, (own, value)) in [("张三", "一组 1 号"), ("王五", "一组 2 号")].into_iter().enumerate() {
        let shown = two.on(phone, &["conflicts"]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.len() == 3 && lines[0].ends_with("\taddress"), "{shown}");
        let mine = lines.iter().find(|line| line.contains(own)).unwrap();
        let other = lines[1..].iter().find(|line| !line.contains(own)).unwrap();
        assert!(mine.contains(value) && !other.contains(value), "{shown}");
        let person = other.split('\t').nth(2).unwrap();
        assert!(person.len() == 32 && person.chars().all(|c| c.is_ascii_hexdigit()), "somebody else's id: {shown}");
        for line in &lines[1..] {
            let time = line.split('\t').nth(3).unwrap();
            assert!(time.len() == "2026-11-25 08:00".len() && times(time) == 1, "{shown}");
        }
        let json: serde_json::Value = serde_json::from_str(&two.on(phone, &["conflicts", "--json"])).unwrap();
        assert!(json["values"].as_array().unwrap().iter().any(|v| v["name"] == own && v["value"] == value), "{json}");
        assert!(two.on(phone, &["show", "0001"]).contains(&format!("\t{own}\t")));
    }
    // each decides for the other's answer, without having heard of the other's decision
    two.on(0, &["resolve", "0001", "address", "一组 2 号"]);
    two.on(1, &["resolve", "0001", "address", "一组 1 号"]);
    assert_eq!([0, 1].map(|phone| two.on(phone, &["conflicts"])), [""; 2], "decided, as far as each knows");
    two.settle();
    for phone in [0, 1] {
        let shown = two.on(phone, &["conflicts"]);
        assert!(shown.contains("一组 1 号") && shown.contains("一组 2 号"), "two decisions differ: {shown}");
    }
    two.on(1, &["resolve", "0001", "address", "一组 2 号"]);
    two.settle();
    for phone in [0, 1] {
        assert_eq!(two.on(phone, &["conflicts"]), "");
        let shown = two.on(phone, &["show", "0001"]);
        assert!(shown.contains("一组 2 号") && !shown.contains("一组 1 号"), "{shown}");
    }
}
