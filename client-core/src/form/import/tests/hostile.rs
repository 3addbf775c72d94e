//! Workbooks of any bytes: a diagnostic, never a panic, a hang or much memory.

use proptest::prelude::*;

use super::writer::Cell;
use super::*;

#[test]
fn one_far_cell_costs_nothing() {
    let survey = Sheet::new("survey")
        .row(0, &["type", "name", "label"])
        .row(1, &["text", "a", "A"])
        .cell(0, 16_383, "far".into())
        .cell(1_048_575, 16_383, Cell::Number("1"));
    let found = import(&Workbook::of([survey.clone()]).to_xlsx(), "form");
    assert_eq!(tree(&found), ["/data/a string"]);
    assert_eq!(accepted(&found).questions().len(), 1);
    // the same in an OpenDocument file, as repeated rows and columns
    let ods = "<office:document-content><table:table table:name=\"survey\"><table:table-row>\
               <table:table-cell><text:p>type</text:p></table:table-cell><table:table-cell><text:p>name</text:p>\
               </table:table-cell></table:table-row><table:table-row table:number-rows-repeated=\"1048574\">\
               <table:table-cell table:number-columns-repeated=\"16384\"/></table:table-row><table:table-row>\
               <table:table-cell table:number-columns-repeated=\"16384\"><text:p>x</text:p></table:table-cell>\
               </table:table-row></table:table></office:document-content>";
    let bytes = writer::zipped(&[("content.xml".to_owned(), ods.to_owned())], zip::CompressionMethod::Deflated);
    assert_eq!(errors(&import(&bytes, "form")), ["no_questions"]);
}

#[test]
fn too_many_cells_choices_formats_or_entries_are_refused() {
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    let rows: String = (2..400_000).map(|r| format!("<row r=\"{r}\"><c><v>1</v></c><c><v>1</v></c></row>")).collect();
    parts[0].1 = parts[0].1.replace("</sheetData>", &format!("{rows}</sheetData>"));
    assert_eq!(errors(&import(&writer::zipped(&parts, zip::CompressionMethod::Deflated), "form")), ["too_much"]);
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    parts.last_mut().unwrap().1 = format!("<styleSheet><cellXfs>{}</cellXfs></styleSheet>", "<xf/>".repeat(100_001));
    assert_eq!(errors(&import(&writer::zipped(&parts, zip::CompressionMethod::Deflated), "form")), ["too_much"]);
    let parts: Vec<_> = (0..4_097).map(|i| (format!("x{i}"), String::new())).collect();
    assert_eq!(errors(&import(&writer::zipped(&parts, zip::CompressionMethod::Stored), "form")), ["zip_bomb"]);
}

#[test]
fn a_huge_single_tag_or_cell_is_refused_before_it_is_held() {
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    parts[0].1 = format!("<worksheet a=\"{}\"><sheetData/></worksheet>", "x".repeat(3 * 1024 * 1024));
    assert_eq!(errors(&import(&writer::zipped(&parts, zip::CompressionMethod::Deflated), "form")), ["zip_bomb"]);
    let long = "x".repeat(70_000);
    let sheet = Sheet::new("survey").row(0, &["type", "name", "label"]).row(1, &["text", "a", &long]);
    assert_eq!(errors(&import(&Workbook::of([sheet]).to_xlsx(), "form")), ["cell_too_long"]);
}

#[test]
fn deep_nesting_of_groups_and_expressions_is_bounded() {
    let depth = 200;
    let mut text = "| survey | | | |\n| | type | name | label |\n".to_owned();
    for i in 0..depth {
        text += &format!("| | begin group | g{i} | G |\n");
    }
    text += "| | text | a | A |\n";
    text += &"| | end group | | |\n".repeat(depth);
    assert!(errors(&tables(&text)).contains(&"too_deep"));
    let deep = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let found = tables(&format!("| survey | | | |\n| | type | name | calculation |\n| | calculate | c | {deep} |"));
    assert_eq!(errors(&found), ["expression.too_deep"]);
}

#[test]
fn many_faults_give_a_bounded_number_of_diagnostics() {
    let mut text = "| survey | | | |\n| | type | name | label |\n".to_owned();
    for i in 0..2_000 {
        text += &format!("| | nonsense | q{i} | Q |\n");
    }
    assert_eq!(tables(&text).problems.len(), 400);
}

#[test]
fn a_circle_of_sectors_in_an_xls_file_ends() {
    let bytes = include_bytes!("../../../../../tests/workbooks/simple.xls");
    for at in (512..bytes.len() - 4).step_by(4) {
        let mut spoilt = bytes.to_vec();
        spoilt[at..at + 4].copy_from_slice(&0u32.to_le_bytes());
        import(&spoilt, "form");
    }
}

fn samples() -> Vec<Vec<u8>> {
    let book = writer::from_tables(
        "| survey | | | | | |
         | | type | name | label | relevant | calculation |
         | | begin repeat | r | R | | |
         | | select_one yn or_other | q | Q ${q} | ${n} > 1 | |
         | | integer | n | N | | |
         | | end repeat | | | | |
         | | calculate | c | | | sum(${n}) + count(${r}) |
         | choices | | | |
         | | list_name | name | label |
         | | yn | y | Yes |
         | settings | | |
         | | form_id | default_language |
         | | f | en |",
    );
    vec![
        writer::zipped(&book.parts(), zip::CompressionMethod::Stored),
        book.to_xlsx(),
        book.to_ods(),
        book.to_csv(),
        include_bytes!("../../../../../tests/workbooks/simple.xls").to_vec(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_diagnostics_or_a_form(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let found = import(&bytes, "form");
        prop_assert!(found.publishable() || !found.problems.is_empty());
    }

    #[test]
    fn spoilt_workbooks_give_diagnostics_or_a_form(
        which in 0usize..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let found = import(&bytes, "form");
        prop_assert!(found.publishable() || !found.problems.is_empty());
        if let Some(def) = &found.def {
            prop_assert_eq!(def.validate(), Vec::new());
        }
    }

    #[test]
    fn any_texts_in_cells_give_diagnostics_or_a_form_that_stands(
        cells in prop::collection::vec("[a-c${}() .,'=<>#:_0-9]{0,12}", 40),
        kinds in prop::collection::vec(0usize..8, 8),
    ) {
        const KINDS: [&str; 8] = [
            "text", "integer", "begin group", "end group", "begin repeat", "end repeat", "select_one l", "calculate",
        ];
        let mut survey = Sheet::new("survey")
            .row(0, &["type", "name", "label", "relevant", "calculation", "default"]);
        for (i, kind) in kinds.iter().enumerate() {
            let row: Vec<&str> =
                std::iter::once(KINDS[*kind]).chain(cells[i * 5..i * 5 + 5].iter().map(String::as_str)).collect();
            survey = survey.row(i as u32 + 1, &row);
        }
        let choices = Sheet::new("choices").row(0, &["list_name", "name", "label"]).row(1, &["l", "a", "A"]);
        let found = import(&Workbook::of([survey, choices]).to_xlsx(), "form");
        if let Some(def) = &found.def {
            prop_assert_eq!(def.validate(), Vec::new());
        }
    }
}
