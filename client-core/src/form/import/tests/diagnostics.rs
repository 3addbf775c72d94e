//! What people read about a workbook.

use super::super::diagnostic::TEXTS;
use super::*;

#[test]
fn all_problems_are_told_at_once_with_sheet_row_column_sentence_and_hint() {
    let found = tables(
        "| survey | | | | | |
         | | type | name | label | relevant | required |
         | | text | first name | A | | |
         | | integr | age | B | | |
         | | select_one yesno | ok | C | ${agee} > 1 | |
         | | text | d | D | | ${age} == 1 |
         | choices | | | |
         | | list_name | name | label |
         | | yes_no | y | Yes |",
    );
    let told: Vec<(String, &str, Option<String>)> =
        found.problems.iter().map(|p| (p.place.to_string(), p.code(), p.hint("en"))).collect();
    let expected = [
        ("survey!B2", "bad_name", Some("It could be first_name.")),
        ("survey!A3", "unknown_type", Some("Is integer meant?")),
        ("survey!A4", "unknown_list", Some("Is yes_no meant?")),
        ("survey!D4", "unknown_reference", Some("Is ${age} meant?")),
    ];
    for (place, code, hint) in expected {
        let hint = hint.map(str::to_owned);
        assert!(told.contains(&(place.to_owned(), code, hint)), "{place} {code}: {told:?}");
    }
    assert!(told.iter().any(|(place, code, _)| place == "survey!E5" && *code == "expression.foreign_operator"));
    assert!(found.def.is_none());
}

#[test]
fn every_code_has_a_sentence_in_both_languages_and_no_sentence_is_left_over() {
    for code in Code::ALL {
        let text = TEXTS.get(code.as_str()).unwrap_or_else(|| panic!("{}", code.as_str()));
        for both in std::iter::once(&text.what).chain(&text.hints) {
            assert!(both.zh.ends_with(['。', '？']) && both.en.ends_with(['.', '?']), "{}", both.en);
            let names = |text: &str| text.matches("[[").count();
            assert_eq!(names(&both.zh), names(&both.en), "{}", both.en);
        }
    }
    assert_eq!(TEXTS.len(), Code::ALL.len());
}

#[test]
fn sentences_are_filled_in_the_language_that_is_asked_for() {
    let found = tables("| survey | | | |\n| | type | name | label |\n| | text | a b | A |");
    let problem = &found.problems[0];
    assert!(problem.message("zh-CN").starts_with("“a b”不能作名称"));
    assert!(problem.message("en").starts_with("a b can't be a name"));
    assert_eq!(problem.hint("zh").as_deref(), Some("可以写成“a_b”。"));
    assert_eq!(problem.code.severity(), Severity::Error);
}

#[test]
fn columns_are_named_as_spreadsheets_do() {
    let name = |column| super::super::Place { column: Some(column), ..Default::default() }.letters().unwrap();
    assert_eq!([0, 25, 26, 51, 52, 701, 702].map(name), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
}

#[test]
fn misspelt_sheets_columns_and_settings_are_pointed_out() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | relevent |
         | | text | a | A | |
         | setting | |
         | | form_title |
         | | T |",
    );
    assert_eq!(warnings(&found), ["sheet_misspelled", "unknown_column"]);
    let hints: Vec<_> = found.problems.iter().filter_map(|p| p.hint("en")).collect();
    assert!(hints[0].starts_with("Is settings meant?") && hints[1] == "Is relevant meant?", "{hints:?}");
    let found = tables("| surveys | | | |\n| | type | name | label |\n| other | |\n| | x |");
    assert_eq!(errors(&found), ["no_survey_sheet"]);
    assert!(found.problems[0].hint("en").unwrap().contains("surveys"));
}

#[test]
fn two_spellings_of_one_column_are_refused_together() {
    let found =
        tables("| survey | | | | | |\n| | type | name | label | relevant | relevance |\n| | text | a | A | | |");
    assert_eq!(errors(&found), ["header_same_meaning"]);
    assert_eq!(found.problems[0].place.to_string(), "survey!E1");
}

#[test]
fn a_circle_is_told_with_its_path() {
    let found = tables(
        "| survey | | | | | |
         | | type | name | label | relevant | calculation |
         | | text | a | A | ${c} = 1 | |
         | | begin group | g | G | ${a} = 1 | |
         | | text | b | B | | |
         | | end group | | | | |
         | | calculate | c | | | ${b} |",
    );
    assert_eq!(errors(&found), ["circle"]);
    let path = found.problems[0].message("en");
    for name in ["a", "g", "b", "c"] {
        assert!(path.contains(&format!("{name} →")) || path.contains(&format!("→ {name}")), "{path}");
    }
}
