#![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use super::*;
use crate::register::office_user;
use crate::register::tests::Office;
use crate::service::rights::current;

fn list(office: &Office, kind: Kind, text: &str) -> List {
    List::read(&office.service, kind, office.township, text.as_bytes(), &Options::default()).unwrap()
}

fn plan(office: &Office, kind: Kind, text: &str) -> Vec<Item> {
    list(office, kind, text).plan(&office.service).unwrap()
}

fn import(office: &Office, kind: Kind, text: &str) -> Listed {
    let user = office_user(&office.service).unwrap();
    list(office, kind, text).import(&office.service, user, "a.csv", Actor::Office).unwrap()
}

fn codes(items: &[Item]) -> Vec<(u32, &'static str)> {
    items.iter().flat_map(|i| i.faults.iter().map(|f| (i.row, f.code))).collect()
}

fn counts_of(new: u64, changed: u64, unchanged: u64, faulty: u64) -> Counts {
    Counts { new, changed, unchanged, faulty }
}

/// Names of those who hold a role in an area or about a household.
fn holders(office: &Office, role: &str, about_household: bool) -> Vec<String> {
    let storage = &office.service.storage;
    let now_ms = office.service.clock.now_ms();
    let mut names = Vec::new();
    for user in storage.users().unwrap() {
        let (_, log) = storage.grants(user.id, 0).unwrap();
        let holds = current(&log)
            .iter()
            .any(|(_, g)| g.holds_at(now_ms) && g.entry.role == role && g.entry.subject.is_some() == about_household);
        if holds {
            names.push(user.name);
        }
    }
    names.sort_unstable();
    names
}

const AREAS: &str =
    "区划表,,,\n层级,代码,名称,上级名称\n村,999999001205,河边村,\n组,,一组,河边村\n组,,二组,河边村\n村,,青山村,\n";

#[test]
fn areas_are_made_below_their_village_and_the_same_table_changes_nothing() {
    let office = Office::start();
    assert_eq!(counts(&plan(&office, Kind::Areas, AREAS)), counts_of(3, 0, 1, 0));
    assert_eq!(office.service.storage.areas(office.township).unwrap().1.len(), 4, "a plan writes nothing");
    let done = import(&office, Kind::Areas, AREAS);
    assert_eq!((done.no, done.rows), (Some(1), counts_of(3, 0, 1, 0)));
    let (_, areas) = office.service.storage.areas(office.township).unwrap();
    let village = areas.iter().find(|a| a.name_zh == "河边村").unwrap();
    let group = areas.iter().find(|a| a.name_zh == "二组").unwrap();
    assert_eq!((village.parent, group.parent), (Some(office.township), Some(village.area)));
    assert_eq!((village.level.as_str(), group.level.as_str()), ("village", "group"));
    assert_eq!(import(&office, Kind::Areas, AREAS), Listed { no: None, rows: counts_of(0, 0, 4, 0) });
}

#[test]
fn an_area_renamed_under_its_code_keeps_its_past() {
    let office = Office::start();
    import(&office, Kind::Areas, AREAS);
    let renamed = AREAS.replace("河边村", "河畔村");
    let items = plan(&office, Kind::Areas, &renamed);
    assert_eq!(items[0].change.as_ref().unwrap().0, "河边村 999999001205");
    assert_eq!(import(&office, Kind::Areas, &renamed).rows, counts_of(0, 1, 3, 0));
    let (past, _) = office.service.storage.area_past(office.township).unwrap();
    assert_eq!(past[0].entry.name_zh, "河边村");
}

#[test]
fn areas_without_name_level_or_parent_are_faulty() {
    let office = Office::start();
    let text = "层级,名称,上级名称\n村,,\n市,某市,\n组,一组,没有村\n组,二组,\n村,新村,\n村,新村,\n";
    let faults = codes(&plan(&office, Kind::Areas, text));
    assert_eq!(
        faults,
        [(2, "no_area_name"), (3, "unknown_level"), (4, "unknown_parent"), (5, "unknown_parent"), (7, "area_twice")]
    );
}

const PEOPLE: &str = "姓名,单位,角色,负责区域\n张　三,县林业局,helper,\n李四,,village_cadre,青山村、石桥村\n王五,,没有的角色,\n赵六,,village_cadre,没有的村\n";

#[test]
fn people_get_their_units_and_roles_once() {
    let office = Office::start();
    assert_eq!(codes(&plan(&office, Kind::People, PEOPLE)), [(4, "unknown_role"), (5, "unknown_area")]);
    assert_eq!(import(&office, Kind::People, PEOPLE).rows, counts_of(2, 0, 0, 2));
    assert_eq!(holders(&office, "village_cadre", false), ["李四"]);
    assert!(holders(&office, "helper", false).is_empty(), "a helper's rights come with pairings");
    assert!(office.service.storage.units().unwrap().iter().any(|u| u.name == "县林业局" && u.sends));
    assert_eq!(import(&office, Kind::People, PEOPLE).rows, counts_of(0, 0, 2, 2));
    let leader = "姓名,角色\n李四,township_leader\n";
    assert_eq!(import(&office, Kind::People, leader).rows, counts_of(0, 1, 0, 0));
    let again = "姓名,单位,角色\n张三,县水利局,helper\n张三,,helper\n";
    assert_eq!(codes(&plan(&office, Kind::People, again)), [(3, "several_people")]);
}

#[test]
fn a_role_can_be_given_until_a_day_that_is_not_over() {
    let office = Office::start();
    let text = "姓名,角色,截止日期\n外人,inspector,2099.12.31\n旧人,inspector,2001-01-01\n";
    assert_eq!(codes(&plan(&office, Kind::People, text)), [(3, "period_over")]);
    import(&office, Kind::People, text);
    assert_eq!(holders(&office, "inspector", false), ["外人"]);
}

const HOUSEHOLD: &str = "户编号,行政村,户主姓名\n01,青山村,甲某\n02,青山村,乙某\n";

#[test]
fn a_pairing_replaces_the_helper_before_and_the_same_table_changes_nothing() {
    let office = Office::start();
    office.import(HOUSEHOLD);
    import(&office, Kind::People, "姓名,单位,角色\n张三,甲局,helper\n李四,乙局,helper\n");
    let text = "帮扶责任人,帮扶单位,户编号,结对日期\n张三,甲局,01,2020-01-01\n张三,,02,\n";
    assert_eq!(import(&office, Kind::Pairings, text).rows, counts_of(2, 0, 0, 0));
    assert_eq!(holders(&office, "helper", true), ["张三"]);
    assert_eq!(import(&office, Kind::Pairings, text).rows, counts_of(0, 0, 2, 0));
    let other = "帮扶责任人,户编号\n李四,01\n";
    let items = plan(&office, Kind::Pairings, other);
    assert_eq!(items[0].change, Some(("张三".to_owned(), "李四".to_owned())));
    assert_eq!(import(&office, Kind::Pairings, other).rows, counts_of(0, 1, 0, 0));
    assert_eq!(holders(&office, "helper", true), ["张三", "李四"], "the other household stays with the first");
}

#[test]
fn pairings_of_unknown_people_and_households_are_faulty() {
    let office = Office::start();
    office.import(HOUSEHOLD);
    import(&office, Kind::People, "姓名,单位,角色\n张三,甲局,helper\n张三,乙局,helper\n李四,乙局,helper\n");
    let text = "帮扶责任人,户编号,开始日期,截止日期\n张三,01,,\n无人,01,,\n李四,99,,\n李四,01,2099-01-01,\n李四,01,,2001-01-01\n李四,02,,\n李四,02,,\n";
    let faults = codes(&plan(&office, Kind::Pairings, text));
    assert_eq!(
        faults,
        [
            (2, "several_people"),
            (3, "unknown_helper"),
            (4, "unknown_household"),
            (5, "period_later"),
            (6, "period_over"),
            (8, "pairing_twice")
        ]
    );
}

#[test]
fn a_table_without_its_columns_is_refused_with_advice() {
    let office = Office::start();
    let read = List::read(
        &office.service,
        Kind::Pairings,
        office.township,
        "姓名,年龄\n甲,3\n".as_bytes(),
        &Options::default(),
    );
    assert_eq!(read.map(drop).unwrap_err().code(), "list_columns");
}

fn undo_import(office: &Office, no: u64) -> Result<crate::register::undo::Undone, RegisterError> {
    let user = office_user(&office.service).unwrap();
    crate::register::undo::undo(&office.service, office.township, no, user, Actor::Office)
}

/// Codes and rows of what an undoing was refused for.
fn refused(office: &Office, no: u64) -> (usize, Vec<String>) {
    match undo_import(office, no) {
        Err(error @ RegisterError::EditedSince { code: "used_since", .. }) => {
            assert!(error.text().unwrap().zh.contains("行号") && error.text().unwrap().en.contains("Rows"));
            let RegisterError::EditedSince { count, numbers, .. } = error else { unreachable!() };
            (count, numbers)
        }
        other => panic!("{other:?}"),
    }
}

fn areas(office: &Office) -> Vec<String> {
    let (_, areas) = office.service.storage.areas(office.township).unwrap();
    let mut names: Vec<String> = areas.into_iter().map(|area| area.name_zh).collect();
    names.sort();
    names
}

#[test]
fn an_undone_import_of_areas_leaves_the_tree_and_its_past_as_they_were() {
    let office = Office::start();
    let before = areas(&office);
    let first = import(&office, Kind::Areas, AREAS).no.unwrap();
    let between = areas(&office);
    let renamed = AREAS.replace("河边村", "河畔村").replace("二组", "三组");
    let second = import(&office, Kind::Areas, &renamed).no.unwrap();
    assert_eq!(refused(&office, first), (1, vec!["3".into()]), "later imports are undone first");
    let done = undo_import(&office, second).unwrap();
    assert_eq!((done.ended, done.restored), (1, 1));
    assert_eq!(areas(&office), between);
    assert!(office.service.storage.area_past(office.township).unwrap().0.is_empty());
    assert_eq!(undo_import(&office, first).unwrap().ended, 3);
    assert_eq!(areas(&office), before);
    assert_eq!(undo_import(&office, first).unwrap_err().code(), "undone_before");
    assert_eq!(import(&office, Kind::Areas, AREAS).rows, counts_of(3, 0, 1, 0), "the same table brings them back");
}

#[test]
fn areas_that_are_used_since_keep_an_import_from_being_undone() {
    let office = Office::start();
    let no = import(&office, Kind::Areas, AREAS).no.unwrap();
    office.import("户编号,行政村,户主姓名\n01,河边村,甲某\n");
    import(&office, Kind::People, "姓名,角色,负责区域\n李四,village_cadre,一组\n");
    assert_eq!(refused(&office, no), (2, vec!["3".into(), "4".into()]));
    assert_eq!(office.service.storage.imports(office.township, None, 9).unwrap()[2].state.as_str(), "done");
}

#[test]
fn an_undone_import_of_people_takes_back_people_units_and_roles() {
    let office = Office::start();
    office.import(HOUSEHOLD);
    import(&office, Kind::People, "姓名,角色\n李四,township_leader\n");
    let text = "姓名,单位,角色,负责区域\n张三,县林业局,helper,\n李四,,village_cadre,青山村\n";
    let no = import(&office, Kind::People, text).no.unwrap();
    let pairings = import(&office, Kind::Pairings, "帮扶责任人,户编号\n张三,01\n").no.unwrap();
    assert_eq!(refused(&office, no).0, 1, "the helper is paired");
    undo_import(&office, pairings).unwrap();
    undo_import(&office, no).unwrap();
    assert!(holders(&office, "village_cadre", false).is_empty() && holders(&office, "helper", true).is_empty());
    assert_eq!(holders(&office, "township_leader", false), ["李四"], "what was there before stays");
    assert!(office.service.storage.users().unwrap().iter().all(|user| user.name != "张三"));
    assert!(office.service.storage.units().unwrap().is_empty());
    let again = import(&office, Kind::People, text);
    let user = office.service.storage.users().unwrap().into_iter().find(|user| user.name == "张三").unwrap();
    office.service.invite(Actor::Office, user.id, office.township).unwrap();
    assert_eq!(refused(&office, again.no.unwrap()), (1, vec!["2".into()]), "somebody was invited");
}

#[test]
fn an_undone_import_of_pairings_gives_households_back_to_their_helpers() {
    let office = Office::start();
    office.import(HOUSEHOLD);
    import(&office, Kind::People, "姓名,单位,角色\n张三,甲局,helper\n李四,乙局,helper\n");
    import(&office, Kind::Pairings, "帮扶责任人,户编号\n张三,01\n");
    let no = import(&office, Kind::Pairings, "帮扶责任人,户编号\n李四,01\n李四,02\n").no.unwrap();
    assert_eq!(holders(&office, "helper", true), ["李四"]);
    let done = undo_import(&office, no).unwrap();
    assert_eq!((done.ended, done.restored), (1, 1));
    assert_eq!(holders(&office, "helper", true), ["张三"]);
    // another time for the same helper comes back as it was
    let longer = import(&office, Kind::Pairings, "帮扶责任人,户编号,截止日期\n张三,01,2099-01-01\n").no.unwrap();
    undo_import(&office, longer).unwrap();
    assert_eq!(import(&office, Kind::Pairings, "帮扶责任人,户编号\n张三,01\n").rows, counts_of(0, 0, 1, 0));
    // paired by hand since
    let last = import(&office, Kind::Pairings, "帮扶责任人,户编号\n李四,02\n").no.unwrap();
    import(&office, Kind::Pairings, "帮扶责任人,户编号\n张三,02\n");
    assert_eq!(refused(&office, last), (1, vec!["2".into()]));
}

#[test]
fn faulty_rows_of_a_list_come_back_with_reasons_and_import_once_mended() {
    let office = Office::start();
    let found = list(&office, Kind::People, PEOPLE).faulty(&office.service, Language::Zh).unwrap();
    assert_eq!((found.rows, found.left_out), (2, 0));
    let workbook = found.workbook.unwrap();
    let options = Options::default();
    let read = |bytes: &[u8]| List::read(&office.service, Kind::People, office.township, bytes, &options).unwrap();
    let back = read(&workbook);
    assert_eq!(codes(&back.plan(&office.service).unwrap()), [(2, "unknown_role"), (3, "unknown_area")]);
    let (reasons, row) = (back.sheet.cell(1, 0).unwrap().text, back.sheet.cell(1, 1).unwrap().text);
    assert!(reasons.contains("角色") && row == "4", "{reasons} {row}");
    let again = back.faulty(&office.service, Language::En).unwrap().workbook.unwrap();
    assert_eq!(read(&again).sheet.cells(0).count(), 6, "the columns of reasons and numbers stand once");
    let good = "姓名,角色\n张三,helper\n";
    assert!(list(&office, Kind::People, good).faulty(&office.service, Language::Zh).unwrap().workbook.is_none());
}

#[test]
fn the_columns_of_a_list_are_remembered_with_the_import() {
    let office = Office::start();
    let text = "何人,干什么,备注\n张三,helper,x\n";
    let read = |text: &str, mapping: &[(&str, &str)]| {
        let mapping = mapping.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let options = Options { mapping, ..Options::default() };
        List::read(&office.service, Kind::People, office.township, text.as_bytes(), &options)
    };
    assert_eq!(read(text, &[]).map(drop).unwrap_err().code(), "list_columns");
    assert_eq!(read(text, &[("何人", "who")]).map(drop).unwrap_err().code(), "unknown_target");
    let user = office_user(&office.service).unwrap();
    let mapped = read(text, &[("何人", "name"), ("干什么", "role"), ("备注", "-")]).unwrap();
    mapped.import(&office.service, user, "a.csv", Actor::Office).unwrap();
    let later = read("名单,,\n备注,何人,干什么\ny,李四,helper\n", &[]).unwrap();
    assert_eq!(counts(&later.plan(&office.service).unwrap()), counts_of(1, 0, 0, 0));
    assert_eq!(later.preview_json(&[], 0, 0)["columns"][1], serde_json::json!({"header": "何人", "what": "name"}));
}
