//! The register from spreadsheets: previewed, imported, given back, undone; with real phones beside it.

use std::path::Path;

use doorstep_core::id::RecordId;
use doorstep_core::record::Value;
use doorstep_server::messages::Language;
use doorstep_server::register::preview::{Page, Preview};
use doorstep_server::register::{Counts, Options, RegisterError, Table, office_user, undo};
use doorstep_server::service::audit::Actor;
use doorstep_server::storage::RecordFilter;
use doorstep_tests::harness::{TestServer, edit, sync, visit};
use tempfile::TempDir;

const HEADER: &str = "户编号,行政村,村民小组,姓名,与户主关系,身份证号码,出生日期,医保参保,户类别,联系电话";

fn id(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, b| ((sum + u32::from(b - b'0')) * 2) % 11);
    let last = match (12 - sum) % 11 {
        10 => "X".to_owned(),
        n => n.to_string(),
    };
    format!("{body}{last}")
}

/// Two good households of five persons.
fn good() -> String {
    let ids = ["99999919600101001", "99999919620202002", "99999919900303003", "99999919550505005", "99999919570606006"]
        .map(id);
    format!(
        "云坪乡农户台账,,,,,,,,,\n{HEADER}\n\
         0001,青山村,1组,李　四,户主,{},1960.1.1,城乡居民医保(本县),脱贫户,10000000001\n\
         ,,,王五,妻子,{},1962年2月2日,城乡居民医保(本县),,\n\
         ,,,李小四,长子,{},19900303,外地参保,,\n\
         0002,石桥村,第二组,赵六,户主,{},1955/5/5,城乡居民医保(本县),一般户,\n\
         ,,,钱七,配偶,{},1957-06-06,城乡居民医保(本县),,\n\
         合计,,,5人,,,,,,\n",
        ids[0], ids[1], ids[2], ids[3], ids[4]
    )
}

struct Office {
    server: TestServer,
    _dir: TempDir,
}

impl Office {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        Self { server: TestServer::start(dir.path()), _dir: dir }
    }

    fn read_with(&self, bytes: &[u8], options: &Options) -> Result<Table, RegisterError> {
        Table::read(&self.server.service, self.server.township, bytes, options)
    }

    fn table(&self, text: &str) -> Table {
        self.read_with(text.as_bytes(), &Options::default()).unwrap()
    }

    fn preview(&self, table: &Table) -> Preview {
        table.preview(&self.server.service, Page::default()).unwrap()
    }

    fn import(&self, table: &Table, token: Option<&str>) -> doorstep_server::register::apply::Imported {
        let user = office_user(&self.server.service).unwrap();
        table.import(&self.server.service, user, "台账.csv", token, Actor::Office).unwrap()
    }

    fn households(&self) -> Vec<doorstep_server::storage::RecordRow> {
        let filter = RecordFilter { record_type: Some("household".into()), limit: 100, ..RecordFilter::default() };
        self.server.service.storage.list_records(self.server.township, &filter).unwrap()
    }

    fn household(&self, number: &str) -> RecordId {
        self.households().iter().find(|h| h.projection.label == number).unwrap().id
    }

    fn answers(&self, record: RecordId) -> serde_json::Value {
        let row = self.server.service.storage.record_row(self.server.township, record).unwrap().unwrap();
        serde_json::from_str::<serde_json::Value>(&row.projection.json).unwrap()["answers"].clone()
    }

    fn member(&self, record: RecordId, name: &str) -> String {
        let answers = self.answers(record);
        let found = answers.as_object().unwrap().iter().find(|(k, v)| k.ends_with("/name") && *v == name);
        found.unwrap().0.trim_end_matches("/name").to_owned()
    }

    fn undo(&self, no: u64) -> Result<undo::Undone, RegisterError> {
        let user = office_user(&self.server.service).unwrap();
        undo::undo(&self.server.service, self.server.township, no, user, Actor::Office)
    }

    fn head(&self) -> u64 {
        self.server.service.storage.head(self.server.township).unwrap().0.seq
    }
}

fn counts(new: u64, changed: u64, unchanged: u64, faulty: u64) -> Counts {
    Counts { new, changed, unchanged, faulty }
}

#[test]
fn a_preview_writes_nothing_an_import_writes_it_and_the_same_file_again_changes_nothing() {
    let office = Office::start();
    let table = office.table(&good());
    let before = office.head();
    let preview = office.preview(&table);
    assert_eq!((preview.households, preview.persons), (counts(2, 0, 0, 0), counts(5, 0, 0, 0)));
    assert_eq!(office.head(), before);
    assert!(office.server.service.storage.imports(office.server.township, None, 10).unwrap().is_empty());
    let done = office.import(&table, Some(&preview.token));
    assert_eq!((done.no, done.households, done.changes), (Some(1), counts(2, 0, 0, 0), 4));
    let rows = office.households();
    let seen: Vec<_> = rows.iter().map(|r| (r.projection.title.as_str(), r.projection.persons, r.area)).collect();
    assert_eq!(seen, [("李四", 3, office.server.villages[0]), ("赵六", 2, office.server.villages[1])]);
    let answers = office.answers(rows[1].id);
    assert_eq!((&answers["group"], &answers["status"]), (&"第二组".into(), &"other".into()));
    let son = office.member(rows[0].id, "李小四");
    let answers = office.answers(rows[0].id);
    assert_eq!(answers[format!("{son}/birth")], "1990-03-03");
    assert_eq!((&answers[format!("{son}/relation")], &answers[format!("{son}/sex")]), (&"son".into(), &"male".into()));
    let head = office.head();
    let again = office.import(&office.table(&good()), None);
    assert_eq!(
        (again.no, again.households, again.persons, again.changes),
        (None, counts(0, 0, 2, 0), counts(0, 0, 5, 0), 0)
    );
    assert_eq!(office.head(), head);
    assert_eq!(office.households().len(), 2);
}

#[test]
fn a_gbk_file_with_the_same_rows_changes_nothing_either() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let gbk = gbk(&good());
    assert!(std::str::from_utf8(&gbk).is_err());
    let table = office.read_with(&gbk, &Options::default()).unwrap();
    assert_eq!(office.import(&table, None).changes, 0);
}

/// GBK by the demo's own writer.
fn gbk(text: &str) -> Vec<u8> {
    encoding_rs::GBK.encode(text).0.into_owned()
}

#[test]
fn a_changed_row_shows_old_and_new_and_sensitive_values_only_when_asked() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let text = good().replace("外地参保", "职工医保").replace("10000000001", "10000000009");
    let table = office.table(&text);
    let preview = office.preview(&table);
    assert_eq!((preview.households, preview.persons), (counts(0, 1, 1, 0), counts(0, 1, 4, 0)));
    let json = table.preview_json(&preview, false).to_string();
    assert!(json.contains("外地参保") && json.contains("职工医保"), "{json}");
    assert!(!json.contains("10000000009") && !json.contains("10000000001") && json.contains("***"));
    assert!(table.preview_json(&preview, true).to_string().contains("10000000009"));
    assert_eq!(office.import(&table, Some(&preview.token)).changes, 2);
    assert_eq!(office.preview(&office.table(&text)).households, counts(0, 0, 2, 0));
}

#[test]
fn a_blank_cell_leaves_an_answer_and_the_mark_clears_it() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let household = office.household("0001");
    let son = office.member(household, "李小四");
    office.import(&office.table(&good().replace("外地参保", "")), None);
    assert_eq!(office.answers(household)[format!("{son}/insured")], "elsewhere");
    office.import(&office.table(&good().replace("外地参保", "-清空-")), None);
    assert!(office.answers(household)[format!("{son}/insured")].is_null());
}

#[test]
fn what_a_phone_changed_after_the_preview_shows_as_a_difference() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let dir = TempDir::new().unwrap();
    let phone = office.server.phone(dir.path(), "甲");
    sync(&phone);
    let household = office.household("0001");
    let son = office.member(household, "李小四");
    let table = office.table(&good().replace("外地参保", "职工医保"));
    let preview = office.preview(&table);
    edit(&phone, household, &[(&format!("{son}/insured"), "not_insured")]);
    sync(&phone);
    assert_eq!(office.import(&table, Some(&preview.token)).changes, 1);
    sync(&phone);
    let view = phone.view(household).unwrap();
    let values: Vec<_> = view.differences.iter().flat_map(|d| d.values.iter().map(|v| v.value.clone())).collect();
    assert_eq!(view.differences.len(), 1, "{:?}", view.differences);
    for value in ["employer", "not_insured"] {
        assert!(values.contains(&Value::Text(value.into())), "{values:?}");
    }
    // the file again: what stands differently is left for somebody to decide
    assert_eq!(office.import(&office.table(&good().replace("外地参保", "职工医保")), None).changes, 0);
    // and a token of another file isn't taken
    let user = office_user(&office.server.service).unwrap();
    let error = office
        .table(&good())
        .import(&office.server.service, user, "f", Some(&preview.token), Actor::Office)
        .unwrap_err();
    assert_eq!(error.code(), "other_file");
}

#[test]
fn faulty_households_come_back_as_a_workbook_which_imports_once_it_is_mended() {
    let office = Office::start();
    let bad = good().replace("钱七,配偶", "钱七,邻居").replace("李　四", "=李四");
    let table = office.table(&bad);
    let preview = office.preview(&table);
    assert_eq!((preview.households, preview.persons), (counts(1, 0, 0, 1), counts(3, 0, 0, 2)));
    let faulty: Vec<_> = preview.rows.iter().filter(|r| !r.faults.is_empty()).collect();
    assert_eq!(
        faulty.iter().map(|r| (r.row, r.faults[0].code)).collect::<Vec<_>>(),
        [(6, "held_back"), (7, "unknown_choice")]
    );
    assert!(faulty[1].faults[0].message(Language::Zh).contains("配偶"));
    assert_eq!(office.import(&table, None).households, counts(1, 0, 0, 1));
    let back = office.table(&bad).faulty(&office.server.service, Language::Zh).unwrap();
    assert_eq!((back.households, back.rows), (1, 2));
    let workbook = back.workbook.unwrap();
    let again = office.read_with(&workbook, &Options::default()).unwrap();
    assert_eq!(office.preview(&again).households, counts(0, 0, 0, 1), "still faulty");
    let mended = mend(&workbook, "邻居", "配偶");
    let table = office.read_with(&mended, &Options::default()).unwrap();
    let preview = office.preview(&table);
    assert_eq!(preview.households, counts(1, 0, 0, 0), "{:?}", preview.rows);
    office.import(&table, None);
    assert_eq!(office.answers(office.household("0002"))["head_name"], "赵六");
    assert_eq!(office.households().len(), 2);
}

/// Replaces a text in a workbook's shared texts.
fn mend(workbook: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(workbook)).unwrap();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).unwrap();
        let name = part.name().unwrap().into_owned();
        let mut text = Vec::new();
        std::io::copy(&mut part, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap().replace(&format!(">{from}<"), &format!(">{to}<"));
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn an_import_is_undone_and_comes_back_with_the_same_records() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let first = office.household("0001");
    let grown = good().replace("外地参保", "职工医保").replace("合计", "0001,青山村,1组,李五,女,,1999-09-09,,,\n合计");
    let done = office.import(&office.table(&grown), None);
    assert_eq!((done.no, done.persons), (Some(2), counts(1, 1, 4, 0)));
    let son = office.member(first, "李小四");
    let undone = office.undo(2).unwrap();
    assert_eq!((undone.ended, undone.restored), (0, 1));
    assert_eq!(office.answers(first)[format!("{son}/insured")], "elsewhere");
    assert_eq!(office.households()[0].projection.persons, 3, "the added member counts no more");
    assert_eq!(office.undo(2).unwrap_err().code(), "undone_before");
    assert_eq!(office.undo(1).unwrap().ended, 2);
    let ended = office.answers(first);
    assert_eq!(ended["ended_why"], "error");
    assert!(ended["ended_on"].is_string());
    let states: Vec<_> = office.server.service.storage.imports(office.server.township, None, 10).unwrap();
    assert!(states.iter().all(|i| i.state.as_str() == "undone"));
    let back = office.import(&office.table(&grown), None);
    assert_eq!((back.households, back.persons), (counts(0, 2, 0, 0), counts(0, 2, 4, 0)));
    assert!(office.answers(first)["ended_on"].is_null());
    assert_eq!(office.household("0001"), first);
    assert_eq!(office.households()[0].projection.persons, 4);
    assert_eq!(office.import(&office.table(&grown), None).changes, 0);
}

#[test]
fn an_import_on_which_a_phone_has_built_is_not_undone() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let dir = TempDir::new().unwrap();
    let phone = office.server.phone(dir.path(), "甲");
    sync(&phone);
    edit(&phone, office.household("0002"), &[("remark", "屋面渗漏")]);
    sync(&phone);
    let head = office.head();
    let RegisterError::EditedSince { count, numbers, .. } = office.undo(1).unwrap_err() else { panic!("undone") };
    assert_eq!((count, numbers), (1, vec!["0002".to_owned()]));
    assert_eq!(office.head(), head, "nothing was undone");
    visit(&phone, office.household("0001"), "初次");
    sync(&phone);
    assert!(matches!(office.undo(1), Err(RegisterError::EditedSince { count: 2, .. })), "a visit builds on it, too");
}

#[test]
fn chosen_columns_are_updated_for_those_who_are_in_the_register_and_for_nobody_else() {
    let office = Office::start();
    office.import(&office.table(&good()), None);
    let known = id("99999919900303003");
    let unknown = id("99999919910303003");
    let text = format!(
        "身份证号,姓名,参保情况,参保地,文化程度\n{known},李小四,职工医保,深圳,本科及以上\n{unknown},某人,未参保,,\n,,,,\n"
    );
    let options = Options { only: vec!["insured".into(), "参保地".into()], ..Options::default() };
    let table = office.read_with(text.as_bytes(), &options).unwrap();
    let preview = office.preview(&table);
    assert_eq!((preview.households, preview.persons), (counts(0, 1, 0, 1), counts(0, 1, 0, 1)));
    assert_eq!(preview.rows[1].faults[0].code, "not_in_register");
    office.import(&table, Some(&preview.token));
    let household = office.household("0001");
    let (son, answers) = (office.member(household, "李小四"), office.answers(household));
    assert_eq!(
        (&answers[format!("{son}/insured")], &answers[format!("{son}/insured_where")]),
        (&"employer".into(), &"深圳".into())
    );
    assert!(answers.get(format!("{son}/education")).is_none(), "not a chosen column");
    assert_eq!(office.households().len(), 2);
    assert_eq!(office.import(&office.read_with(text.as_bytes(), &options).unwrap(), None).changes, 0);
    let missing = Options { only: vec!["health".into()], ..Options::default() };
    assert_eq!(office.read_with(text.as_bytes(), &missing).map(drop).unwrap_err().code(), "unknown_only");
}

#[test]
fn a_mapping_is_remembered_for_tables_with_the_same_headers() {
    let office = Office::start();
    let text = good().replace("医保参保", "保险甲");
    let mapping = [("保险甲".to_owned(), "insured".to_owned())].into();
    let options = Options { mapping, ..Options::default() };
    assert_eq!(
        office.import(&office.read_with(text.as_bytes(), &options).unwrap(), None).households,
        counts(2, 0, 0, 0)
    );
    let table = office.table(&text.replace("外地参保", "职工医保"));
    assert_eq!(office.preview(&table).persons, counts(0, 1, 4, 0), "the column counts without being mapped again");
    let wrong = Options { mapping: [("保险甲".to_owned(), "nothing".to_owned())].into(), ..Options::default() };
    assert_eq!(office.read_with(text.as_bytes(), &wrong).map(drop).unwrap_err().code(), "unknown_target");
}

#[test]
fn the_command_line_previews_imports_lists_and_undoes() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(crate::BINARY);
        let output = command.args(args).env("DOORSTEP_DATA", &data).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(run(&["township", "--name", "示例镇", "--village", "青山村", "--village", "石桥村"]).0);
    let file = dir.path().join("台账.csv");
    std::fs::write(&file, gbk(&good().replace("钱七,配偶", "钱七,邻居"))).unwrap();
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let (ok, text) = run(&["register", "preview", &path(&file)]);
    assert!(ok && text.contains("户：新增 1，变更 0，不变 0，有误 1"), "{text}");
    assert!(!text.contains("999999"), "no ID number is printed: {text}");
    let (ok, text) = run(&["register", "preview", &path(&file), "--language", "en"]);
    assert!(ok && text.contains("persons: 3 new"), "{text}");
    let (ok, text) = run(&["register", "import", &path(&file)]);
    assert!(ok && text.contains("导入编号 1: 2"), "{text}");
    let out = dir.path().join("faulty.xlsx");
    assert!(run(&["register", "faulty", &path(&file), "--to", &path(&out)]).0 && out.exists());
    assert!(run(&["register", "imports"]).1.contains("1\thouseholds\t台账.csv\tdone"));
    assert!(run(&["register", "undo", "1"]).0);
    let (ok, text) = run(&["register", "undo", "1"]);
    assert!(!ok && text.contains("已经撤销"), "{text}");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let (ok, text) = run(&["register", "preview", &path(&file)]);
    assert!(!ok && text.contains("表头"), "{text}");
}

#[test]
fn the_api_previews_imports_lists_and_undoes() {
    let office = Office::start();
    let client = crate::client();
    let url = |path: &str| format!("{}/api/register/{path}", office.server.url());
    let preview = client.post(url("preview?rows=1")).body(good()).send().unwrap();
    assert_eq!(preview.headers()["x-content-type-options"], "nosniff");
    let preview: serde_json::Value = preview.json().unwrap();
    assert_eq!((&preview["households"]["new"], &preview["listed"]), (&2.into(), &5.into()));
    assert_eq!(preview["rows"].as_array().unwrap().len(), 1);
    let token = preview["token"].as_str().unwrap();
    let done: serde_json::Value =
        client.post(url(&format!("import?token={token}&file=a.csv"))).body(good()).send().unwrap().json().unwrap();
    assert_eq!((&done["no"], &done["persons"]["new"]), (&1.into(), &5.into()));
    let refused = client.post(url(&format!("import?token={token}"))).body(good().replace("李", "黎")).send().unwrap();
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.json::<serde_json::Value>().unwrap()["error"], "other_file");
    let list: serde_json::Value = client.get(url("imports")).send().unwrap().json().unwrap();
    assert_eq!((&list["imports"][0]["no"], &list["imports"][0]["state"]), (&1.into(), &"done".into()));
    assert_eq!(client.post(url("faulty")).body(good()).send().unwrap().status(), 204);
    assert_eq!(client.post(url("imports/1/undo")).send().unwrap().status(), 200);
    assert_eq!(client.post(url("imports/7/undo")).send().unwrap().status(), 404);
    assert_eq!(client.post(url("preview?kind=cats")).body(good()).send().unwrap().status(), 400);
    let foreign = client.post(url("import")).header("origin", "https://elsewhere.example").body(good()).send().unwrap();
    assert_eq!(foreign.status(), 403);
}
