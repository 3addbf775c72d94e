//! Every format gives the same form, whatever the file is called.

use super::writer::Cell;
use super::*;

fn sample() -> Workbook {
    writer::from_tables(
        "| survey | | | | |
         | | type | name | label | relevant |
         | | text | who | Name | |
         | | begin repeat | member | Member | |
         | | integer | age | Age of ${who} | |
         | | select_multiple work | does | Work | ${age} >= 16 |
         | | end repeat | | | |
         | choices | | | |
         | | list_name | name | label |
         | | work | farm | Farming |
         | | work | away | Away |",
    )
}

#[test]
fn xlsx_ods_and_csv_give_the_same_form() {
    let xlsx = import(&sample().to_xlsx(), "form");
    let def = accepted(&xlsx);
    for bytes in [sample().to_ods(), sample().to_csv(), [b"\xEF\xBB\xBF", &sample().to_csv()[..]].concat()] {
        assert_eq!(accepted(&import(&bytes, "form")), def);
    }
    assert_eq!(
        tree(&xlsx),
        ["/data/who string", "/data/member repeat", "/data/member/age int", "/data/member/does select"]
    );
}

#[test]
fn an_xls_workbook_of_a_field_project_is_read_with_its_list_of_buildings() {
    let bytes = include_bytes!("../../../../../tests/workbooks/simple.xls");
    let found = import(bytes, "simple");
    let def = accepted(&found);
    assert_eq!(def.choice_lists["yn"].choices.len(), 2);
    assert_eq!(tree(&found), ["/data/q1 select1", "/data/age int", "/data/day date"]);
    assert_eq!(def.question("age").unwrap().default.as_deref(), Some("18"));
    assert_eq!(def.question("day").unwrap().default.as_deref(), Some("2024-05-06"));
    assert_eq!(def.question("day").unwrap().required.as_deref(), Some("true()"));
}

#[test]
fn an_xls_file_keeps_the_text_of_long_cells_cut_over_several_records() {
    let found = import(include_bytes!("../../../../../tests/workbooks/long_texts.xls"), "long");
    let def = accepted(&found);
    let label = def.question("q40").unwrap().label("default", "default");
    assert_eq!(label.chars().count(), 400);
    assert!(label.starts_with("第40问") && label.ends_with('完'), "{label}");
}

#[test]
fn shared_texts_rich_texts_and_phonetic_readings_are_read() {
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    let shared = "<sst count=\"4\" uniqueCount=\"4000000000\"><si><t>text</t></si><si><r><t>a</t></r><r><t>b</t></r></si>\
                  <si><t xml:space=\"preserve\"> L&amp;a&#98;_x000A_el </t><rPh sb=\"0\" eb=\"1\"><t>XX</t></rPh></si></sst>";
    parts.push(("xl/sharedStrings.xml".to_owned(), shared.to_owned()));
    let row =
        "<row r=\"2\"><c r=\"A2\" t=\"s\"><v>0</v></c><c t=\"s\"><v>1</v></c><c t=\"s\"><v>2</v></c></row></sheetData>";
    parts[0].1 = parts[0].1.replace("</sheetData>", row);
    let found = import(&writer::zipped(&parts, zip::CompressionMethod::Stored), "form");
    let def = accepted(&found);
    assert_eq!(def.question("ab").unwrap().label("default", "default"), "L&ab\nel");
}

#[test]
fn a_formula_counts_by_its_stored_result() {
    let sheet = Sheet::new("survey").row(0, &["type", "name", "label"]).row(1, &["text", "a"]).cell(
        1,
        2,
        Cell::Formula(Some("Label")),
    );
    let found = import(&Workbook::of([sheet]).to_xlsx(), "form");
    assert_eq!(accepted(&found).question("a").unwrap().label("default", "default"), "Label");
}

#[test]
fn what_is_no_workbook_is_said_to_be_none() {
    for bytes in [&b""[..], b"hello", b"\x89PNG\r\n", b"a,b,c\n1,2,3", b"{\"name\": 1}"] {
        assert_eq!(errors(&import(bytes, "form")), ["not_a_workbook"], "{bytes:?}");
    }
    for bytes in [&b"PK\x03\x04broken"[..], b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"PK\x05\x06"] {
        assert_eq!(errors(&import(bytes, "form")), ["file_damaged"], "{bytes:?}");
    }
}
