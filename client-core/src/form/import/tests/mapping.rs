//! What of a workbook becomes which part of a definition.

use super::*;
use crate::form::{ChoiceSource, Form, Item, QuestionKind, Sensitivity, SubjectKind};

#[test]
fn every_column_with_a_field_is_in_it_and_every_other_is_kept() {
    let found = tables(
        "| survey | | | | | | | | | | | | | | | | |
         | | type | name | label::English (en) | label::中文 (zh) | hint | guidance_hint | constraint | constraint_message | required | required_message | appearance | parameters | read_only | body::kind | instance::odk:tag | notes |
         | | text | a | A | 甲 | H | G | . != 'x' | not x | yes | needed | multiline | rows=3 | ${b} = 1 | k | t | mine |
         | | integer | b | B | 乙 | | | | | | | | | | | | |",
    );
    let a = accepted(&found).question("a").unwrap();
    assert_eq!(a.labels.get("中文 (zh)", ""), Some("甲"));
    assert_eq!((a.hints.get("default", ""), a.guidance.get("default", "")), (Some("H"), Some("G")));
    assert_eq!(a.constraint.as_deref(), Some(". != 'x'"));
    assert_eq!(a.constraint_messages.get("default", ""), Some("not x"));
    assert_eq!(a.required_messages.get("default", ""), Some("needed"));
    assert_eq!(a.appearance.as_deref(), Some("multiline"));
    assert_eq!(a.parameters["rows"], "3");
    assert_eq!(a.read_only.as_deref(), Some("${b} = 1"));
    let extra: Vec<(&str, &str)> = a.extra.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
    assert_eq!(extra, [("body::kind", "k"), ("instance::odk:tag", "t"), ("notes", "mine")]);
}

#[test]
fn our_own_columns_set_class_flag_and_publicity() {
    let found = tables(
        "| survey | | | | | | |
         | | type | name | label | calculation | doorstep::class | doorstep::flag | doorstep::public |
         | | begin group | private | P | | sensitive | | |
         | | text | id_number | ID | | | | |
         | | end group | | | | | | |
         | | text | note_office | N | | office | | |
         | | calculate | risky | | if(${id_number} = '', 1, '') | | risk | yes |
         | settings | | | | | |
         | | form_id | doorstep::record_type | doorstep::subject | doorstep::list_title | doorstep::list_search | form_title | doorstep::title::zh |
         | | visit2 | visit | household | note_office | note_office id_number | Visit | 走访 |",
    );
    let def = accepted(&found);
    assert_eq!((def.name.as_str(), def.record_type.as_str()), ("visit2", "visit"));
    assert_eq!(def.subject, SubjectKind::Household);
    assert_eq!((def.titles.get("default", ""), def.titles.get("zh", "")), (Some("Visit"), Some("走访")));
    assert_eq!(def.list.title, "note_office");
    assert_eq!(def.list.search, ["note_office", "id_number"]);
    let risky = def.question("risky").unwrap();
    assert_eq!((risky.extra["flag"].as_str(), risky.declared_public), (Some("risk"), true));
    let form = Form::new(def.clone());
    assert_eq!(form.class_of("id_number"), Some(Sensitivity::Sensitive));
    assert_eq!(form.class_of("note_office"), Some(Sensitivity::Office));
    assert_eq!(form.class_of("risky"), Some(Sensitivity::Core));
    let typo = tables("| survey | | | | |\n| | type | name | label | doorstep::class |\n| | text | a | A | sensitiv |");
    assert_eq!(errors(&typo), ["unknown_class"]);
    assert_eq!(typo.problems[0].hint("en").as_deref(), Some("Is sensitive meant?"));
}

#[test]
fn a_repeat_count_that_is_an_expression_is_computed_by_a_node_of_its_own() {
    let with = |count: &str| {
        tables(&format!(
            "| survey | | | | |\n| | type | name | label | repeat_count |\n| | integer | n | N | |\n\
             | | begin repeat | r | R | {count} |\n| | text | a | A | |\n| | end repeat | | | |"
        ))
    };
    let plain = with("${n}");
    assert_eq!(tree(&plain), ["/data/n int", "/data/r repeat", "/data/r/a string"]);
    let computed = with("${n} + 1");
    assert_eq!(tree(&computed)[1..3], ["/data/r_count string", "/data/r repeat"]);
    let def = accepted(&computed);
    let Some(Item::Repeat(repeat)) = def.items.last() else { panic!("no repeat") };
    assert_eq!(repeat.count.as_deref(), Some("${r_count}"));
    assert_eq!(def.question("r_count").unwrap().calculation.as_deref(), Some("${n} + 1"));
}

#[test]
fn or_other_adds_a_choice_and_a_question_for_it() {
    let found = tables(
        "| survey | | | |
         | | type | name | label |
         | | select_multiple work or_other | w | W |
         | choices | | | | |
         | | list_name | name | label::English (en) | label::中文 (zh) |
         | | work | farm | Farm | 种地 |",
    );
    let def = accepted(&found);
    let other = &def.choice_lists["work"].choices[1];
    assert_eq!(
        (other.name.as_str(), other.label("中文 (zh)", ""), other.label("English (en)", "")),
        ("other", "其他", "Other")
    );
    let question = def.question("w_other").unwrap();
    assert_eq!(question.relevant.as_deref(), Some("selected(../w, 'other')"));
    assert_eq!(question.kind, QuestionKind::Text);
}

#[test]
fn a_table_list_becomes_a_field_list_with_a_row_of_labels() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | appearance |
         | | begin group | g | G | table-list w2 |
         | | select_one yn | a | A | minimal |
         | | select_one yn | b | B | |
         | | end group | | | |
         | choices | | | |
         | | list_name | name | label |
         | | yn | y | Yes |",
    );
    let def = accepted(&found);
    assert_eq!(
        tree(&found),
        [
            "/data/g group",
            "/data/g/generated_table_list_label_2 string",
            "/data/g/reserved_name_for_field_list_labels_3 select1",
            "/data/g/a select1",
            "/data/g/b select1"
        ]
    );
    let Item::Group(group) = &def.items[0] else { panic!("no group") };
    assert_eq!((group.appearance.as_deref(), group.labels.is_empty()), (Some("field-list w2"), true));
    let appearance = |name: &str| def.question(name).unwrap().appearance.clone();
    assert_eq!(appearance("reserved_name_for_field_list_labels_3").as_deref(), Some("label"));
    assert_eq!(appearance("a").as_deref(), Some("list-nolabel"));
}

#[test]
fn choices_come_from_lists_files_earlier_answers_and_external_lists() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | choice_filter |
         | | begin repeat | r | R | |
         | | text | who | Who | |
         | | end repeat | | | |
         | | select_one l | a | A | kind = ${b} |
         | | select_one_from_file f.csv | b | B | |
         | | select_one ${who} | c | C | |
         | | select_one_external far | d | D | kind = ${b} |
         | choices | | | | |
         | | list_name | name | label | kind |
         | | l | x | X | 1 |
         | external_choices | | | | |
         | | list_name | name | label | kind |
         | | far | y | Y | 2 |",
    );
    let def = accepted(&found);
    let source = |name: &str| def.question(name).unwrap().choices.clone().unwrap();
    assert_eq!(source("a"), ChoiceSource::List("l".into()));
    assert_eq!(source("b"), ChoiceSource::File("f.csv".into()));
    assert_eq!(source("c"), ChoiceSource::Question("who".into()));
    assert_eq!(source("d"), ChoiceSource::External("far".into()));
    assert_eq!(def.choice_lists["l"].choices[0].extra["kind"], "1");
    assert_eq!(def.choice_lists["external_choices/far"].choices[0].name, "y");
}

#[test]
fn triggers_defaults_and_built_in_constraints_are_kept() {
    let found = tables(
        "| survey | | | | | | |
         | | type | name | label | trigger | calculation | default |
         | | text | a | A | | | |
         | | dateTime | when | W | ${a} | now() | |
         | | text | b | B | | | concat(${a}, 'x') |
         | | percentage | p | P | | | 50 |
         | | phone number | t | T | | | |",
    );
    let def = accepted(&found);
    let of = |name: &str| def.question(name).unwrap();
    assert_eq!((of("when").trigger.as_deref(), of("when").calculation.as_deref()), (Some("a"), Some("now()")));
    assert!(of("b").dynamic_default && !of("p").dynamic_default);
    assert_eq!(of("p").constraint.as_deref(), Some("0 <= . and . <= 100"));
    assert_eq!(of("p").kind, QuestionKind::Integer);
    assert_eq!(of("t").constraint.as_deref(), Some("regex(., '^\\d*$')"));
    assert_eq!(of("t").hints.get("default", ""), Some("Enter numbers only."));
}

#[test]
fn what_odk_allows_and_we_do_not_run_is_kept_with_a_warning() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | parameters |
         | | audit | audit | | location-priority=balanced location-min-interval=1 location-max-age=2 |
         | | background-audio | sound | | quality=low |
         | | start-geopoint | place | | |
         | | text | a | A | |
         | settings | | |
         | | submission_url | style |
         | | somewhere | pages |",
    );
    let def = accepted(&found);
    assert_eq!(def.question("sound").unwrap().kind, QuestionKind::Unknown("background-audio".into()));
    assert_eq!(def.settings["audit"]["location-max-age"], "2");
    assert_eq!(def.settings["style"], "pages");
    assert_eq!(warnings(&found), ["not_run", "type_not_run", "type_not_run", "type_not_run"]);
}

#[test]
fn an_entity_form_keeps_its_declarations_and_what_it_saves() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | save_to |
         | | text | a | A | height |
         | entities | | | |
         | | list_name | label | create_if |
         | | trees | ${a} | ${a} != '' |",
    );
    let def = accepted(&found);
    assert_eq!(def.question("a").unwrap().extra["save_to"], "height");
    assert_eq!(def.extra["entities"][0]["list_name"], "trees");
    assert_eq!(def.extra["entities"][0]["create_if"], "${a} != ''");
}

#[test]
fn a_definition_survives_json() {
    for name in ["household", "visit", "screening", "income_ledger"] {
        let path = format!("{}/forms/pack/{name}.xlsx", env!("CARGO_MANIFEST_DIR"));
        let found = import(&std::fs::read(path).unwrap(), name);
        let def = accepted(&found);
        let json = serde_json::to_string(def).unwrap();
        assert_eq!(&serde_json::from_str::<crate::form::FormDef>(&json).unwrap(), def, "{name}");
    }
}

#[test]
fn an_entity_list_that_no_form_makes_and_a_property_that_its_form_lacks_are_told_with_the_nearest_name() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | save_to |
         | | text | a | A | adress |
         | | text | b | B | phone |
         | entities | | |
         | | list_name | label |
         | | household | ${a} |",
    );
    assert_eq!(warnings(&found), ["unknown_property"]);
    assert!(found.problems[0].hint("en").unwrap().contains("address"));
    let found = tables(
        "| survey | | | |
         | | type | name | label |
         | | text | a | A |
         | entities | | |
         | | list_name | label |
         | | housholds | ${a} |",
    );
    assert_eq!(warnings(&found), ["entity_without_form"]);
    assert!(found.problems[0].hint("en").unwrap().contains("household"));
}

#[test]
fn a_list_of_features_is_chosen_by_id_and_title_unless_parameters_say_otherwise() {
    let found = tables(
        "| survey | | | | |
         | | type | name | label | parameters |
         | | select_one_from_file w.geojson | a | A | |
         | | select_one_from_file v.geojson | b | B | value=Code |",
    );
    let parameters = |name: &str| accepted(&found).question(name).unwrap().parameters.clone();
    assert_eq!(parameters("a")["value"], "id");
    assert_eq!(parameters("a")["label"], "title");
    assert_eq!((parameters("b")["value"].as_str(), parameters("b")["label"].as_str()), ("Code", "title"));
}
