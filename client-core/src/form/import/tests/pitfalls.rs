//! The pitfalls of real workbooks, in the order of the dialect's list.

use super::writer::Cell;
use super::*;

#[test]
fn p01_a_lying_extension_does_not_matter() {
    // import() never sees the name's ending; an old-format file that was called .xlsx reads as what it is
    let found = import(include_bytes!("../../../../../tests/workbooks/simple.xls"), "renamed");
    assert!(found.publishable());
}

#[test]
fn p02_sheets_end_after_twenty_empty_headers_or_sixty_empty_rows() {
    let sheet = |header_gap: u32, row_gap: u32| {
        Sheet::new("survey")
            .row(0, &["type", "name", "label"])
            .cell(0, 3 + header_gap, "hint".into())
            .row(1, &["text", "a", "A"])
            .cell(1, 3 + header_gap, "H".into())
            .row(2 + row_gap, &["text", "b", "B"])
    };
    let found = import(&Workbook::of([sheet(20, 60)]).to_xlsx(), "form");
    let def = accepted(&found);
    assert_eq!(def.question("a").unwrap().hints.get("default", "default"), Some("H"));
    assert!(def.question("b").is_some());
    let found = import(&Workbook::of([sheet(21, 61)]).to_xlsx(), "form");
    let def = accepted(&found);
    assert!(def.question("a").unwrap().hints.is_empty());
    assert!(def.question("b").is_none());
}

#[test]
fn p03_rows_are_numbered_as_the_spreadsheet_shows_them_and_the_header_is_row_1() {
    let sheet = Sheet::new("survey").row(0, &["", "type", "name", "label"]).row(4, &["", "nonsense", "a", "A"]);
    let found = import(&Workbook::of([sheet]).to_xlsx(), "form");
    assert_eq!(found.problems[0].place.to_string(), "survey!B5");
    let low = Sheet::new("survey").row(2, &["type", "name", "label"]).row(3, &["text", "a", "A"]);
    assert_eq!(errors(&import(&Workbook::of([low]).to_xlsx(), "form")), ["no_header"]);
    let blank_second = Sheet::new("survey").row(0, &["type", "name", "label"]).row(2, &["text", "a", "A"]);
    assert!(import(&Workbook::of([blank_second]).to_xlsx(), "form").publishable());
}

#[test]
fn p04_whole_numbers_have_no_point_and_big_ones_no_exponent() {
    let survey = Sheet::new("survey").row(0, &["type", "name", "label"]).row(1, &["select_one l", "q", "Q"]);
    let mut choices = Sheet::new("choices").row(0, &["list_name", "name", "label"]);
    let numbers = ["1.0", "2.5", "12345678901234567890", "1E3", "-0.0"];
    for (i, number) in numbers.into_iter().enumerate() {
        let row = i as u32 + 1;
        choices = choices.row(row, &["l"]).cell(row, 1, Cell::Number(number)).cell(row, 2, Cell::Number("2.00"));
    }
    let found = import(&Workbook::of([survey, choices]).to_xlsx(), "form");
    let list = &accepted(&found).choice_lists["l"].choices;
    let names: Vec<&str> = list.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["1", "2.5", "12345678901234567000", "1000", "0"]);
    assert_eq!(list[0].label("default", "default"), "2");
}

#[test]
fn p05_truth_cells_and_yes_become_true() {
    let sheet = Sheet::new("survey")
        .row(0, &["type", "name", "label", "required", "read_only"])
        .row(1, &["text", "a", "A"])
        .cell(1, 3, Cell::Boolean(true))
        .cell(1, 4, Cell::Boolean(false))
        .row(2, &["text", "b", "B", "Yes", "${a} = 'x'"]);
    let found = import(&Workbook::of([sheet]).to_xlsx(), "form");
    let def = accepted(&found);
    let (a, b) = (def.question("a").unwrap(), def.question("b").unwrap());
    assert_eq!((a.required.as_deref(), a.read_only.as_deref()), (Some("true()"), None));
    assert_eq!((b.required.as_deref(), b.read_only.as_deref()), (Some("true()"), Some("${a} = 'x'")));
}

#[test]
fn p06_dates_and_times_in_cells_become_what_the_question_holds() {
    let sheet = |serial: f64, kind: &str| {
        Sheet::new("survey").row(0, &["type", "name", "label", "default"]).row(1, &[kind, "a", "A"]).cell(
            1,
            3,
            Cell::Moment(serial),
        )
    };
    let default = |serial: f64, kind: &str, epoch_1904: bool| {
        let book = Workbook { sheets: vec![sheet(serial, kind)], epoch_1904 };
        let found = import(&book.to_xlsx(), "form");
        accepted(&found).question("a").unwrap().default.clone().unwrap()
    };
    assert_eq!(default(45_418.0, "date", false), "2024-05-06");
    assert_eq!(default(43_956.0, "date", true), "2024-05-06");
    assert_eq!(default(0.3125, "time", false), "07:30:00");
    assert_eq!(default(45_418.312_5, "dateTime", false), "2024-05-06T07:30:00");
    assert_eq!(default(45_418.0, "text", false), "2024-05-06");
    assert_eq!(default(1.0, "date", false), "1900-01-01");
    assert_eq!(default(61.0, "date", false), "1900-03-01");
}

#[test]
fn p07_error_cells_and_formulas_without_result_are_refused_with_their_address() {
    let sheet = Sheet::new("survey")
        .row(0, &["type", "name", "label"])
        .row(1, &["text", "a"])
        .cell(1, 2, Cell::Error("#REF!"))
        .row(2, &["text", "b"])
        .cell(2, 2, Cell::Formula(None));
    let found = import(&Workbook::of([sheet]).to_xlsx(), "form");
    let at = |code: &str| found.problems.iter().find(|p| p.code() == code).unwrap().place.to_string();
    assert_eq!(at("error_cell"), "survey!C2");
    assert_eq!(at("formula_without_value"), "survey!C3");
    assert!(!found.publishable());
}

#[test]
fn p08_curly_quotes_odd_spaces_and_full_width_references_are_put_right() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | relevant |
         | | text | a | \u{feff}A  “b” | |
         | | text | b | B | ${a}\u{a0}=\u{a0}‘x’ or\u{200b} ＄｛a｝ = “y” |",
    );
    let def = accepted(&found);
    assert_eq!(def.question("b").unwrap().relevant.as_deref(), Some("${a} = 'x' or ${a} = \"y\""));
    assert_eq!(def.question("a").unwrap().label("default", "default"), "A \"b\"");
    let kept = tables(
        "| survey | | | |
         | | type | name | label |
         | | text | a | A  b |
         | settings | |
         | | clean_text_values |
         | | no |",
    );
    assert_eq!(accepted(&kept).question("a").unwrap().label("default", "default"), "A  b");
}

#[test]
fn p09_spaces_around_headers_sheet_names_types_and_lists_do_not_matter() {
    let survey = Sheet::new(" survey ").row(0, &[" type", "name  ", "label "]).row(1, &["select_one  yn ", " q", "Q"]);
    let choices = Sheet::new("choices").row(0, &["list_name", "name", "label"]).row(1, &["yn ", " y ", "Yes"]);
    let found = import(&Workbook::of([survey, choices]).to_xlsx(), "form");
    assert_eq!(accepted(&found).choice_lists["yn"].choices[0].name, "y");
}

#[test]
fn p10_capitals_of_sheets_headers_and_types_do_not_matter_types_warn() {
    let found = tables(
        "| SURVEY | | | |
         | | Type | Name | Label |
         | | Integer | a | A |
         | | Select_One Yn | q | Q |
         | Choices | | | |
         | | List_Name | Name | Label |
         | | Yn | y | Yes |
         | Settings | |
         | | Form_ID |
         | | My_Form |",
    );
    let def = accepted(&found);
    assert_eq!(tree(&found), ["/data/a int", "/data/q select1"]);
    assert_eq!((def.name.as_str(), def.settings["form_id"].as_str()), ("My_Form", Some("My_Form")));
    assert_eq!(warnings(&found), ["type_case", "type_case"]);
}

#[test]
fn p11_every_spelling_of_a_column_means_the_same() {
    for header in ["relevant", "relevance", "Relevant", "bind::relevant", "bind:relevant", "body::appearance"] {
        let found = tables(&format!(
            "| survey | | | | |\n| | type | name | label | {header} |\n| | text | a | A | |\n| | text | b | B | true() |"
        ));
        let b = accepted(&found).question("b").unwrap();
        let text = if header == "body::appearance" { &b.appearance } else { &b.relevant };
        assert_eq!(text.as_deref(), Some("true()"), "{header}");
    }
    for header in ["count", "repeat_count", "jr:count", "Repeat Count"] {
        let found = tables(&format!(
            "| survey | | | | |\n| | type | name | label | {header} |\n| | begin repeat | r | R | 3 |\n\
             | | text | a | A | |\n| | end repeat | | | |"
        ));
        assert_eq!(tree(&found)[0], "/data/r_count string", "{header}");
    }
    for header in ["media::image", "image", "media:image", "Image"] {
        let found =
            tables(&format!("| survey | | | | |\n| | type | name | label | {header} |\n| | text | a | A | i.png |"));
        let a = accepted(&found).question("a").unwrap();
        assert_eq!(a.media["image"].get("default", "default"), Some("i.png"), "{header}");
    }
}

#[test]
fn p12_texts_fall_back_to_the_default_language_and_what_is_missing_is_said() {
    let found = tables(
        "| survey | | | | | |
         | | type | name | label | label::French (fr) | hint::French (fr) |
         | | text | a | Plain | Français | Aide |
         | | text | b | Only plain | - | |
         | settings | |
         | | default_language |
         | | Engilsh |",
    );
    let def = accepted(&found);
    let b = def.question("b").unwrap();
    assert_eq!(b.label("French (fr)", &def.default_language), "Only plain");
    assert_eq!(def.languages, ["Engilsh", "French (fr)"]);
    assert!(warnings(&found).contains(&"missing_translation"), "{:?}", warnings(&found));
    let other = tables(
        "| survey | | | | |
         | | type | name | label::English(en) | label::English (en) |
         | | text | a | A | B |
         | settings | |
         | | default_language |
         | | English |",
    );
    let def = accepted(&other);
    assert_eq!(def.languages, ["English(en)", "English (en)"], "a space makes another language");
    assert_eq!(warnings(&other), ["default_language_unknown"]);
    assert_eq!(def.default_language, "English(en)");
}

#[test]
fn p13_names_may_stand_again_in_another_group_until_they_are_referred_to() {
    let groups = |last: &str| {
        format!(
            "| survey | | | |\n| | type | name | label |\n| | begin group | g | G |\n| | text | a | A |\n| | end group | | |\n\
             | | begin group | h | H |\n| | text | a | A |\n| | end group | | |\n{last}"
        )
    };
    let found = tables(&groups(""));
    let def = accepted(&found);
    let keys: Vec<&str> = def.questions().iter().map(|p| p.question.key()).collect();
    assert_eq!(keys, ["a", "h.a"], "each answer has a key of its own");
    assert_eq!(errors(&tables(&groups("| | note | n | Hello ${a} |"))), ["ambiguous_reference"]);
    let refused = |rows: &str| errors(&tables(&format!("| survey | | | |\n| | type | name | label |\n{rows}")));
    assert_eq!(refused("| | text | a | A |\n| | text | a | A |"), ["name_twice"]);
    assert_eq!(refused("| | text | meta | A |"), ["reserved_name"]);
    assert_eq!(
        refused("| | begin repeat | data | A |\n| | text | a | A |\n| | end repeat | | |"),
        ["repeat_named_as_root"]
    );
    assert_eq!(
        warnings(&tables("| survey | | | |\n| | type | name | label |\n| | text | a | A |\n| | text | A | A |")),
        ["name_differs_in_case"]
    );
}

#[test]
fn p14_choice_lists_hold_what_their_questions_need() {
    let with = |kind: &str, choices: &str, settings: &str| {
        tables(&format!(
            "| survey | | | |\n| | type | name | label |\n| | {kind} | q | Q |\n| choices | | | |\n\
             | | list_name | name | label |\n{choices}\n{settings}"
        ))
    };
    let twice = "| | l | a | A |\n| | l | a | B |";
    assert_eq!(errors(&with("select_one l", twice, "")), ["choice_twice"]);
    assert!(with("select_one l", twice, "| settings | |\n| | allow_choice_duplicates |\n| | yes |").publishable());
    assert_eq!(errors(&with("select_multiple l", "| | l | a b | A |", "")), ["choice_name_with_space"]);
    assert!(with("select_one l", "| | l | a b | A |", "").publishable());
    let second = with("select_one l", "| | l | a | A |\n| | l | b | |", "");
    assert!(second.publishable());
    assert_eq!(warnings(&second), ["choice_without_label"]);
    assert_eq!(errors(&with("select_one l", "| | l | a | |", "")), ["first_choice_unlabelled"]);
    let absent = with("select_one lst", "| | list | a | A |", "");
    assert_eq!(errors(&absent), ["unknown_list"]);
    assert_eq!(absent.problems[0].hint("en").as_deref(), Some("Is list meant?"));
    let external = "| external_choices | | | |\n| | list_name | name | label |\n| | far | a | A |";
    assert_eq!(errors(&with("select_one far", "| | l | a | A |", external)), ["list_only_external"]);
}

#[test]
fn p15_names_are_xml_names_of_any_script() {
    let with = |name: &str| tables(&format!("| survey | | | |\n| | type | name | label |\n| | text | {name} | A |"));
    for name in ["_a", "a-b", "a.b", "姓名", "é1"] {
        let found = with(name);
        let question = accepted(&found).questions()[0].question.clone();
        assert_eq!(question.name, name);
        assert!(crate::record::key::is_name(question.key()), "{}", question.key());
    }
    for (name, hint) in [("a b", "a_b"), ("1a", "_1a"), ("a/b", "a_b"), ("a:b", "a_b")] {
        let found = with(name);
        assert_eq!(found.problems[0].code(), "bad_name");
        assert_eq!(found.problems[0].hint("en"), Some(format!("It could be {hint}.")), "{name}");
    }
}

#[test]
fn p16_unmatched_groups_are_told_with_both_rows_and_rows_without_meaning_are_skipped() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | disabled |
         | | begin group | g | G | |
         | | text | a | A | |
         | | end repeat | | | |
         | | begin repeat | r | R | |
         | | nonsense | z | Z | yes |
         | | text | b | B | |",
    );
    assert_eq!(errors(&found), ["closes_another", "never_closed"]);
    let crossed = &found.problems[0];
    assert_eq!(crossed.place.row, Some(4));
    assert!(crossed.message("en").contains("row 2"), "{}", crossed.message("en"));
    let notes = tables(
        "| survey | | | | |
         | | type | name | label | hint |
         | | note | | N | |
         | | | | | only a comment |
         | | text | a | A | |",
    );
    assert!(notes.publishable());
    assert_eq!(tree(&notes), ["/data/generated_note_name_2 string", "/data/a string"]);
    assert_eq!(warnings(&notes), ["comment_row"]);
}

#[test]
fn p17_of_merged_cells_the_first_counts_and_hidden_rows_are_read() {
    let mut parts = Workbook::of([Sheet::new("survey")
        .row(0, &["type", "name", "label"])
        .row(1, &["text", "a", "A"])
        .row(2, &["text", "b", "B"])])
    .parts();
    parts[0].1 = parts[0].1.replace("<row r=\"3\">", "<row r=\"3\" hidden=\"1\">");
    parts[0].1 = parts[0].1.replace("</sheetData>", "</sheetData><mergeCells><mergeCell ref=\"C2:C3\"/></mergeCells>");
    let found = import(&writer::zipped(&parts, zip::CompressionMethod::Deflated), "form");
    assert!(accepted(&found).question("b").is_some());
}

#[test]
fn p18_a_calculate_needs_a_calculation_or_a_dynamic_default() {
    let with = |calculation: &str, default: &str| {
        tables(&format!(
            "| survey | | | | |\n| | type | name | calculation | default |\n| | calculate | c | {calculation} | {default} |"
        ))
    };
    assert_eq!(errors(&with("", "")), ["no_calculation"]);
    assert_eq!(errors(&with("", "abc")), ["no_calculation"]);
    assert!(with("1 + 1", "").publishable());
    let dynamic = with("", "today()");
    assert!(accepted(&dynamic).question("c").unwrap().dynamic_default);
}

#[test]
fn p19_quotes_in_choice_names_are_data() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | calculation |
         | | select_one l | q | Q | |
         | | calculate | c | | pulldata('villages', 'name', 'key', ${q}) |
         | choices | | | |
         | | list_name | name | label |
         | | l | it's | It's |",
    );
    assert_eq!(accepted(&found).choice_lists["l"].choices[0].name, "it's");
    assert_eq!(found.files, ["villages.csv"]);
}

#[test]
fn p20_references_that_are_none_are_refused_with_their_position() {
    let with = |relevant: &str| {
        tables(&format!(
            "| survey | | | | |\n| | type | name | label | relevant |\n| | text | a | A | |\n| | begin group | g | G | |\n\
             | | text | b | B | |\n| | end group | | | |\n| | text | c | C | {relevant} |"
        ))
    };
    for (relevant, code, offset) in [
        ("1 = ${ a }", "bad_reference", 4),
        ("1 = ${a", "reference_not_closed", 4),
        ("1 = $a", "expression.bare_dollar", 4),
        ("1 = {a}", "expression.unexpected", 4),
        ("${a} ${b}", "expression.unexpected", 5),
        ("选${aa} = 1", "unknown_reference", 1),
    ] {
        let found = with(relevant);
        let problem = &found.problems[0];
        assert_eq!((problem.code(), problem.place.offset), (code, Some(offset)), "{relevant}");
        assert_eq!(problem.place.to_string(), "survey!D6");
    }
    assert_eq!(with("1 = ${ a }").problems[0].hint("en").as_deref(), Some("Write ${a}."));
    assert_eq!(warnings(&with("${g} = 1")), ["block_as_value"]);
}

#[test]
fn p21_expressions_of_other_languages_are_refused_and_texts_stay_constants() {
    let with = |default: &str, relevant: &str| {
        tables(&format!(
            "| survey | | | | | |\n| | type | name | label | relevant | default |\n| | text | a | A | | |\n\
             | | text | b | B | {relevant} | {default} |"
        ))
    };
    for wrong in
        ["${a} == 1", "${a} && ${a}", "${a} <> 1", "${a} = 1 AND ${a} = 2", "If(${a}, 1, 2)", "if(${a}, 1)", "'a"]
    {
        let found = with("", wrong);
        assert!(errors(&found)[0].starts_with("expression."), "{wrong}: {:?}", errors(&found));
    }
    for constant in ["n/a", "a-b", "07:30-08:30", "(x)", "http://a.example/b"] {
        let found = with(constant, "");
        let b = accepted(&found).question("b").unwrap();
        assert_eq!((b.default.as_deref(), b.dynamic_default), (Some(constant), false), "{constant}");
    }
    for expression in ["5 - 3", "a - b"] {
        let found = with(expression, "");
        assert!(accepted(&found).question("b").unwrap().dynamic_default, "{expression}");
        assert!(warnings(&found).contains(&"default_is_expression"), "{expression}");
    }
}

#[test]
fn p22_a_choice_name_of_an_indexed_repeat_is_accepted() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | calculation |
         | | begin repeat | r | R | |
         | | select_one l | q | Q | |
         | | end repeat | | | |
         | | calculate | c | | jr:choice-name(indexed-repeat(${q}, ${r}, 1), '${q}') |
         | choices | | | |
         | | list_name | name | label |
         | | l | a | A |",
    );
    accepted(&found);
}

#[test]
fn p23_files_that_must_be_attached_are_listed() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | calculation |
         | | select_one_from_file wards.csv | w | W | |
         | | csv-external | prices | | |
         | | xml-external | places | | |
         | | calculate | p | | pulldata( \"rates\", 'rate', 'key', ${w}) |",
    );
    assert!(found.publishable());
    assert_eq!(found.files, ["places.xml", "prices.csv", "rates.csv", "wards.csv"]);
    assert_eq!(warnings(&found), ["missing_file"; 4]);
}

#[test]
fn p24_what_only_odk_validate_refuses_is_refused_too() {
    let with =
        |rows: &str| errors(&tables(&format!("| survey | | | | |\n| | type | name | label | calculation |\n{rows}")));
    assert_eq!(with("| | text | a | A | |\n| | begin group | g | G | |\n| | end group | | | |"), ["empty_block"]);
    assert_eq!(with("| | begin group | g | G | |\n| | calculate | c | | 1 |\n| | end group | | | |"), ["empty_block"]);
    assert_eq!(with("| | calculate | c | | nonsense(1) |"), ["expression.unknown_function"]);
    assert_eq!(with("| | calculate | a | | ${b} |\n| | calculate | b | | ${a} |"), ["circle"]);
    assert_eq!(with("| | calculate | a | | date('2024-02-30') |"), ["expression.impossible_date"]);
}

#[test]
fn p25_a_list_of_ten_thousand_choices_is_read_whole() {
    let survey = Sheet::new("survey")
        .row(0, &["type", "name", "label", "choice_filter"])
        .row(1, &["text", "county", "County"])
        .row(2, &["select_one ward", "w", "W", "county = ${county}"]);
    let mut choices = Sheet::new("choices").row(0, &["list_name", "name", "label", "county"]);
    for i in 0..10_000u32 {
        choices = choices.row(i + 1, &["ward", &format!("w{i}"), &format!("Ward {i}"), &format!("c{}", i % 100)]);
    }
    let found = import(&Workbook::of([survey, choices]).to_xlsx(), "form");
    let list = &accepted(&found).choice_lists["ward"].choices;
    assert_eq!(list.len(), 10_000);
    assert_eq!(list[9_999].extra["county"], "c99");
}

#[test]
fn p26_a_zip_bomb_and_foreign_entities_give_a_diagnostic() {
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    parts[0].1 = parts[0].1.replace("</sheetData>", &" ".repeat(200 * 1024 * 1024));
    let bomb = writer::zipped(&parts, zip::CompressionMethod::Deflated);
    assert!(bomb.len() < 300_000);
    assert_eq!(errors(&import(&bomb, "form")), ["zip_bomb"]);
    let mut parts = Workbook::of([Sheet::new("survey").row(0, &["type", "name", "label"])]).parts();
    let entity = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/hostname\">]><worksheet>";
    parts[0].1 = parts[0].1.replace("<worksheet>", entity).replace(">label<", ">lab&e;el<");
    let found = import(&writer::zipped(&parts, zip::CompressionMethod::Deflated), "form");
    assert_eq!(errors(&found), ["no_questions"], "the entity stands for nothing");
}
