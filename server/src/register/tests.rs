//! The traps of offices' spreadsheets, one by one: each is told with what to do, and nothing of the household is lost or guessed.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::sync::Arc;

use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::preview::{Page, Preview};
use super::*;
use crate::service::Committer;
use crate::storage::SqliteStorage;

pub(super) struct Office {
    pub(super) service: Arc<Service>,
    pub(super) township: TownshipId,
    _dir: tempfile::TempDir,
}

const TOWNSHIP: AreaId = AreaId([1; 16]);

impl Office {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(SqliteStorage::open(&dir.path().join("doorstep.db")).unwrap());
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let service = Service::open(storage, clock, Arc::new(SeededEntropy::new(1)), Committer::Inline).unwrap();
        let area = |id: u8, parent: Option<u8>, level: &str, name: &str| AreaEntry {
            area: AreaId([id; 16]),
            parent: parent.map(|p| AreaId([p; 16])),
            level: level.to_owned(),
            code: String::new(),
            name_zh: name.to_owned(),
            name_en: String::new(),
        };
        let areas = [
            area(1, None, "township", "示例镇"),
            area(2, Some(1), "village", "青山村"),
            area(3, Some(1), "village", "石桥村"),
            area(4, Some(3), "group", "1组"),
        ];
        service.storage.put_areas(TOWNSHIP, &areas).unwrap();
        Self { service, township: TOWNSHIP, _dir: dir }
    }

    fn table(&self, text: &str) -> Table {
        Table::read(&self.service, self.township, text.as_bytes(), &Options::default()).unwrap()
    }

    fn preview(&self, text: &str) -> Preview {
        self.table(text).preview(&self.service, Page { unchanged: true, ..Page::default() }).unwrap()
    }

    pub(super) fn import(&self, text: &str) -> apply::Imported {
        let user = office_user(&self.service).unwrap();
        self.table(text).import(&self.service, user, "a.csv", None, Actor::Office).unwrap()
    }

    fn answers(&self) -> serde_json::Value {
        let filter = crate::storage::RecordFilter {
            record_type: Some("household".into()),
            limit: 10,
            ..crate::storage::RecordFilter::default()
        };
        let rows = self.service.storage.list_records(self.township, &filter).unwrap();
        serde_json::from_str::<serde_json::Value>(&rows[0].projection.json).unwrap()["answers"].clone()
    }
}

const HEADER: &str = "户编号,行政村,村民小组,姓名,与户主关系,身份证号码,出生日期,医保参保,户类别";
const HEAD: &str = "01,青山村,1组,甲某,户主,,1960-01-01,未参保,脱贫户";

/// The codes of what is wrong with rows below the header, with each row's number.
fn faults(rows: &[&str]) -> Vec<(u32, &'static str)> {
    let office = Office::start();
    let preview = office.preview(&format!("{HEADER}\n{}\n", rows.join("\n")));
    let all = preview.rows.iter().flat_map(|r| r.faults.iter().map(|f| (r.row, f.code)));
    all.filter(|(_, code)| *code != "held_back").collect()
}

fn notes(preview: &Preview) -> Vec<(&'static str, u64)> {
    preview.notes.iter().map(|(code, count, _)| (code, count)).collect()
}

fn id(body: &str) -> String {
    let last = (b'0'..=b'9').map(char::from).chain(['X']).map(|last| format!("{body}{last}"));
    last.into_iter().find(|id| clean::id_number(id, false).is_ok()).unwrap()
}

#[test]
fn a_good_household_has_no_fault() {
    assert!(faults(&[HEAD]).is_empty());
}

#[test]
fn an_id_number_that_lost_its_digits_is_faulty() {
    assert_eq!(faults(&["01,青山村,,甲某,户主,3.7E+17,,,"]), [(2, "id_digits_lost")]);
}

#[test]
fn an_id_number_with_a_wrong_check_digit_or_of_fifteen_digits_is_faulty() {
    let right = id("99999919800229001");
    let wrong = format!("{}{}", &right[..17], if right.ends_with('1') { '2' } else { '1' });
    assert_eq!(faults(&[&format!("01,青山村,,甲某,户主,{wrong},,,")]), [(2, "id_check")]);
    assert_eq!(faults(&["01,青山村,,甲某,户主,999999800229001,,,"]), [(2, "id_old")]);
}

#[test]
fn one_id_number_twice_in_a_file_makes_both_rows_faulty() {
    let id = id("99999919800229001");
    let rows = [format!("01,青山村,,甲某,户主,{id},,,"), format!("02,青山村,,乙某,户主,{id},,,")];
    assert_eq!(faults(&[&rows[0], &rows[1]]), [(2, "id_twice"), (3, "id_twice")]);
}

#[test]
fn an_id_number_of_another_household_of_the_register_is_faulty() {
    let office = Office::start();
    let id = id("99999919800229001");
    office.import(&format!("{HEADER}\n01,青山村,,甲某,户主,{id},,,\n"));
    let preview = office.preview(&format!("{HEADER}\n02,青山村,,甲某,户主,{id},,,\n"));
    let fault = &preview.rows[0].faults[0];
    assert_eq!(fault.code, "id_elsewhere");
    assert!(fault.message(Language::Zh).contains("01"));
}

#[test]
fn a_household_without_head_or_with_two_is_faulty() {
    assert_eq!(faults(&["01,青山村,,甲某,儿子,,,,"]), [(2, "no_head")]);
    assert_eq!(faults(&[HEAD, "01,,,乙某,户主,,,,"]), [(3, "two_heads")]);
}

#[test]
fn a_second_head_beside_the_registers_is_told_with_the_event_that_changes_heads() {
    let office = Office::start();
    office.import(&format!("{HEADER}\n{HEAD}\n01,,,乙某,儿子,,1990-01-01,,\n"));
    let preview = office.preview(&format!("{HEADER}\n01,青山村,,乙某,户主,,1990-01-01,,\n"));
    assert_eq!(preview.rows[0].faults[0].code, "other_head");
    let both = office.import(&format!("{HEADER}\n01,青山村,,乙某,户主,,1990-01-01,,\n01,,,甲某,父亲,,1960-01-01,,\n"));
    assert_eq!(both.households.changed, 1, "both relations change together");
    assert_eq!(office.answers()["head_name"], "乙某");
}

#[test]
fn a_number_may_stand_on_the_first_row_only_but_a_head_needs_one() {
    let office = Office::start();
    let preview = office.preview(&format!("{HEADER}\n{HEAD}\n,,,乙某,儿子,,,,\n"));
    assert_eq!((preview.households.new, preview.persons.new), (1, 2));
    assert_eq!(faults(&[HEAD, ",青山村,,丙某,户主,,,,"]), [(3, "no_number")]);
    assert_eq!(faults(&[",青山村,,丙某,儿子,,,,"]), [(2, "no_number")], "the first row has none above");
    assert_eq!(faults(&[HEAD, ",石桥村,,丙某,儿子,,,,"]), [(3, "no_number")], "not of the village above");
    assert_eq!(faults(&["1.2E+12,青山村,,甲某,户主,,,,"]).first(), Some(&(2, "digits_lost")));
}

#[test]
fn one_number_in_two_villages_is_faulty_in_the_file_and_against_the_register() {
    assert_eq!(faults(&[HEAD, "01,石桥村,,乙某,儿子,,,,"]), [(3, "two_villages")]);
    let office = Office::start();
    office.import(&format!("{HEADER}\n{HEAD}\n"));
    let preview = office.preview(&format!("{HEADER}\n{}\n", HEAD.replace("青山村", "石桥村")));
    assert_eq!(preview.rows[0].faults[0].code, "other_village");
}

#[test]
fn unknown_villages_groups_and_choices_are_faulty_with_what_can_be_put() {
    assert_eq!(faults(&["01,河边村,,甲某,户主,,,,"]), [(2, "unknown_village")]);
    assert_eq!(faults(&["01,石桥村,9组,甲某,户主,,,,"]), [(2, "unknown_group")]);
    assert_eq!(faults(&["01,青山村,,甲某,户主,,,半参保,"]), [(2, "unknown_choice")]);
    assert_eq!(faults(&["01,,,甲某,户主,,,,"]), [(2, "no_village")]);
}

#[test]
fn a_household_is_placed_in_its_group_where_the_area_tree_has_groups() {
    let office = Office::start();
    office.import(&format!("{HEADER}\n01,石桥村,第一组,甲某,户主,,,,\n"));
    let filter = crate::storage::RecordFilter { limit: 10, ..crate::storage::RecordFilter::default() };
    let rows = office.service.storage.list_records(TOWNSHIP, &filter).unwrap();
    assert_eq!(rows[0].area, AreaId([4; 16]));
    assert_eq!(office.answers()["group"], "1组");
}

#[test]
fn dates_without_day_and_wrong_ones_are_faulty_and_others_are_put_right() {
    assert_eq!(faults(&["01,青山村,,甲某,户主,,1960.1,,"]), [(2, "date_without_day")]);
    assert_eq!(faults(&["01,青山村,,甲某,户主,,1960.2.30,,"]), [(2, "not_a_date")]);
    let office = Office::start();
    let preview = office.preview(&format!("{HEADER}\n01,青山村,,甲　某,户主,,1960年1月1日,,\n"));
    assert_eq!(notes(&preview), [("note_cleaned", 1), ("note_date", 1)]);
}

#[test]
fn names_with_lost_characters_and_rows_without_name_are_faulty() {
    assert_eq!(faults(&["01,青山村,,王?,户主,,,,"]).first(), Some(&(2, "lost_character")));
    assert_eq!(faults(&[HEAD, "01,,,,儿子,,,,"]), [(3, "no_name")]);
    assert_eq!(faults(&["01,青山村,,#N/A,户主,,,,"]).first(), Some(&(2, "error_cell")));
}

#[test]
fn rows_that_disagree_about_their_household_are_faulty() {
    assert_eq!(faults(&[HEAD, "01,,,乙某,儿子,,,,未脱贫户"]), [(3, "differs_in_household")]);
}

#[test]
fn one_person_twice_is_faulty() {
    let office = Office::start();
    let id = id("99999919900101001");
    office.import(&format!("{HEADER}\n{HEAD}\n01,,,乙某,儿子,{id},1990-01-01,,\n"));
    let again = format!("{HEADER}\n{HEAD}\n01,,,乙某,儿子,,1990-01-01,,\n01,,,乙某,儿子,{id},1990-01-01,,\n");
    assert_eq!(office.preview(&again).rows[2].faults[0].code, "person_twice");
}

#[test]
fn footers_repeated_headers_and_blank_rows_are_no_persons() {
    let office = Office::start();
    let text = format!(
        "示例镇台账,,,,,,,,\n{HEADER}\n{HEAD}\n,,,,,,,,\n{HEADER}\n02,青山村,,乙某,户主,,,,\n合计,,,2人,,,,,\n填表人：丙某,,,,,,,,\n"
    );
    let preview = office.preview(&text);
    assert_eq!((preview.households.new, preview.persons.new), (2, 2));
    assert_eq!(notes(&preview), [("note_blank_rows", 1), ("note_footer", 2), ("note_header_again", 1)]);
}

#[test]
fn a_header_of_two_rows_is_understood() {
    let office = Office::start();
    let text = "户编号,行政村,成员情况,,\n,,姓名,与户主关系,出生日期\n01,青山村,甲某,户主,1960-01-01\n";
    assert_eq!((office.preview(text).households.new, office.preview(text).persons.new), (1, 1));
}

#[test]
fn unknown_columns_are_named_and_left() {
    let office = Office::start();
    let table = office.table("序号,户编号,行政村,姓名,与户主关系,星座\n1,01,青山村,甲某,户主,白羊\n");
    let meanings: Vec<_> = table.columns().list.iter().map(|c| table.meaning(c.target).0).collect();
    assert_eq!(meanings, ["left", "question", "question", "question", "question", "unknown"]);
}

#[test]
fn a_list_of_households_has_the_head_alone() {
    let office = Office::start();
    let text = "户编号,行政村,户主姓名,户类别\n01,青山村,甲某,脱贫户\n";
    assert_eq!(office.import(text).persons.new, 1);
    assert_eq!(office.answers()["head_name"], "甲某");
    assert_eq!(office.import(text).changes, 0);
}

#[test]
fn the_same_file_makes_the_same_records_in_another_process() {
    let text = format!("{HEADER}\n{HEAD}\n01,,,乙某,儿子,,,,\n01,,,乙某,女儿,,,,\n");
    let keys = || {
        let office = Office::start();
        office.import(&text);
        office.answers().as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(), keys());
}

#[test]
fn an_interrupted_import_goes_on_under_its_number() {
    let office = Office::start();
    let text = format!("{HEADER}\n{HEAD}\n02,青山村,,乙某,户主,,,,\n");
    let table = office.table(&text);
    let user = office_user(&office.service).unwrap();
    // what an import notes first, before its process ends
    let import = crate::storage::register::NewImport {
        kind: HOUSEHOLDS.to_owned(),
        file_name: "a.csv".to_owned(),
        file_hash: table.fingerprint,
        user,
        started_ms: 1,
    };
    let no = begin_import(&office.service, TOWNSHIP, &import, Actor::Office).unwrap();
    let done = office.import(&text);
    assert_eq!((done.no, done.households.new), (Some(no), 2));
    let all = office.service.storage.imports(TOWNSHIP, None, 10).unwrap();
    assert_eq!((all.len(), all[0].state.as_str()), (1, "done"));
}

#[test]
fn what_would_be_a_formula_goes_back_as_a_text() {
    assert_eq!(faulty::harmless("=1+1"), "'=1+1");
    assert_eq!(faulty::harmless("@x"), "'@x");
    assert_eq!((faulty::harmless("-"), faulty::harmless("张三")), ("-".to_owned(), "张三".to_owned()));
}

#[test]
fn a_whole_file_without_header_or_number_is_refused_with_advice() {
    let office = Office::start();
    let read = |text: &str| Table::read(&office.service, TOWNSHIP, text.as_bytes(), &Options::default());
    assert_eq!(read("a,b\n1,2\n").map(drop).unwrap_err().code(), "no_header");
    assert_eq!(read("姓名,性别\n甲某,男\n").map(drop).unwrap_err().code(), "no_number_column");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]
    #[test]
    fn no_content_of_cells_panics_or_is_written_unseen(
        cells in proptest::collection::vec("(\\PC{0,6}|[0-9.E+年月/-]{0,9}|户主|0[12]|青山村)", 0..60),
    ) {
        let office = Office::start();
        let rows: Vec<String> = cells.chunks(9).map(|row| {
            row.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect::<Vec<_>>().join(",")
        }).collect();
        let text = format!("{HEADER}\n{}\n", rows.join("\n"));
        let table = office.table(&text);
        let before = table.preview(&office.service, Page::default()).unwrap();
        let done = office.import(&text);
        proptest::prop_assert_eq!((before.households, before.persons), (done.households, done.persons));
        proptest::prop_assert_eq!(office.import(&text).changes, 0);
        table.faulty(&office.service, Language::Zh).unwrap();
    }
}
