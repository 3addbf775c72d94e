//! What forms promise, on the built-in pack and on small definitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use super::definition::PlacedQuestion;
use super::*;
use crate::record::Value;

fn text(t: &str) -> Value {
    Value::Text(t.to_owned())
}

fn form(name: &str) -> &'static Form {
    Pack::built_in().form(name).unwrap()
}

fn small(items: &str) -> FormDef {
    let json = format!(
        r#"{{"name":"f","version":1,"titles":{{"en":"F"}},"record_type":"f","default_language":"en","items":{items}}}"#
    );
    FormDef::from_json(&json).unwrap()
}

#[test]
fn the_built_in_pack_has_no_faults() {
    assert_eq!(Pack::built_in().forms().len(), 22);
    for form in Pack::built_in().forms() {
        assert_eq!(form.validate(), [], "{}", form.name);
        assert_eq!(Pack::built_in().form_of_type(&form.record_type).unwrap().name, form.name);
    }
    assert!(form("screening").questions().len() >= 40);
}

#[test]
fn every_label_stands_in_both_languages() {
    let both = |texts: &LocalText, what: &str| {
        for language in ["zh", "en"] {
            assert!(texts.in_language(language).is_some(), "{what} lacks {language}");
        }
    };
    for form in Pack::built_in().forms() {
        both(&form.titles, &form.name);
        for PlacedQuestion { question, .. } in form.questions() {
            both(&question.labels, &question.name);
        }
        for (name, list) in &form.choice_lists {
            for choice in &list.choices {
                both(&choice.labels, &format!("{name}={}", choice.name));
            }
        }
    }
}

#[test]
fn compound_keys_have_the_class_of_their_question() {
    let household = form("household");
    let cases = [
        ("head_name", Some(Sensitivity::Core)),
        ("phone", Some(Sensitivity::Sensitive)),
        ("attributes=destitute", Some(Sensitivity::Core)),
        ("member#a1/name", Some(Sensitivity::Core)),
        ("member#a1/id_number", Some(Sensitivity::Sensitive)),
        ("member#a1/health", Some(Sensitivity::Sensitive)),
        ("member#a1/@order", Some(Sensitivity::Core)),
        ("member#a1/@deleted", Some(Sensitivity::Core)),
        ("income_wages", Some(Sensitivity::Sensitive)), // by its group
        ("name", None),                                 // only inside the repeat
        ("cow#a1/name", None),
        ("cow#a1/@order", None),
        ("@order", None),
        ("member#/name", None),
        ("", None),
    ];
    for (key, class) in cases {
        assert_eq!(household.class_of(key), class, "{key:?}");
    }
}

#[test]
fn a_calculation_has_the_highest_class_of_its_inputs() {
    let items = r#"[{"item":"question","name":"third","type":"calculate","calculation":"${second} + 1"},
        {"item":"question","name":"second","type":"calculate","calculation":"${first} + 1"},
        {"item":"question","name":"open","type":"calculate","calculation":"${first} > 5","declared_public":true},
        {"item":"question","name":"first","type":"integer","class":"office"}]"#;
    let form = Form::new(small(items));
    assert_eq!(form.class_of("third"), Some(Sensitivity::Office));
    assert_eq!(form.class_of("open"), Some(Sensitivity::Core));
}

#[test]
fn nested_repeats_have_keys_of_their_own() {
    let items = r#"[{"item":"repeat","name":"house","items":[{"item":"repeat","name":"room","class":"sensitive",
        "items":[{"item":"question","name":"size","type":"integer"}]}]}]"#;
    let form = Form::new(small(items));
    assert_eq!(form.class_of("house#1/room#2/size"), Some(Sensitivity::Sensitive));
    assert_eq!(form.class_of("house#1/room#2/@order"), Some(Sensitivity::Sensitive));
    assert_eq!(form.class_of("house#1/@order"), Some(Sensitivity::Core));
    assert_eq!(form.class_of("room#2/size"), None);
}

#[test]
fn what_a_newer_version_wrote_survives_a_round_trip() {
    let json = r#"{"name":"f","version":7,"titles":{"fr":"Formulaire"},"record_type":"f","subject":"herd",
        "default_language":"fr","items":[
        {"item":"question","name":"a","type":"hologram","depth":3,"bind::odk:length":"9","choices":{"file":"a.csv"}},
        {"item":"group","name":"g","ink":"red","items":[]},
        {"item":"repeat","name":"r","count":"${n}","rows":2,"items":[]}],
        "choice_lists":{"l":{"choices":[{"name":"1","labels":{"fr":"un"},"district":"nord"}],"sorted":true}},
        "settings":{"form_id":"f","version":"2021-b"},"theme":{"dark":true}}"#;
    let read = FormDef::from_json(json).unwrap();
    let before: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), before);
}

#[test]
fn a_label_falls_back_and_never_shows_blank() {
    let texts = LocalText::from([("zh", "户主"), ("en", "-"), ("fr", "")]);
    assert_eq!(texts.get("en", "zh"), Some("户主"));
    assert_eq!(texts.get("fr", "en"), Some("户主"));
    assert_eq!(LocalText::default().get("en", "zh"), None);
    assert_eq!(form("visit").question("result").unwrap().label("zh", "zh"), "走访结果");
}

#[test]
fn answers_are_checked_by_kind_choice_and_range() {
    let (household, visit, screening) = (form("household"), form("visit"), form("screening"));
    let fits: [(&Form, &str, Value); 14] = [
        (household, "head_name", text("王·明")),
        (household, "head_name", Value::Blank),
        (household, "status", text("marginal")),
        (household, "status_year", Value::Int(2018)),
        (household, "attributes=destitute", Value::Bool(true)),
        (household, "gps", text("26.51 108.32 610.5 4")),
        (household, "member#x/birth", text("2000-02-29")),
        (household, "member#x/@order", Value::Int(3)),
        (household, "member#x/@deleted", Value::Bool(true)),
        (household, "income_wages", Value::Number(1200.5)),
        (household, "income_wages", Value::Int(1200)),
        (visit, "start_time", text("08:30")),
        (visit, "start_time", text("08:30:00.000+08:00")),
        (screening, "income_per_person", Value::Number(4321.0)),
    ];
    for (form, key, value) in fits {
        assert_eq!(form.check_answer(key, &value), Ok(()), "{key} {value:?}");
    }
    let out = |min, max| AnswerError::OutOfRange { min: Some(min), max: Some(max) };
    let faults: [(&Form, &str, Value, AnswerError); 16] = [
        (household, "nothing", text("x"), AnswerError::UnknownQuestion),
        (household, "member#x", text("x"), AnswerError::MalformedKey),
        (household, "head_name", Value::Int(1), AnswerError::WrongKind),
        (household, "head_name", text(&"x".repeat(40_000)), AnswerError::TooLong),
        (household, "status", text("rich"), AnswerError::UnknownChoice),
        (household, "status_year", Value::Int(1), out(2000.0, 2100.0)),
        (household, "status_year", Value::Number(2018.0), AnswerError::WrongKind),
        (household, "income_wages", Value::Number(f64::NAN), out(0.0, 10_000_000.0)),
        (household, "attributes", text("destitute"), AnswerError::NotMultipleChoice),
        (household, "status=out", Value::Bool(true), AnswerError::NotMultipleChoice),
        (household, "attributes=gold", Value::Bool(true), AnswerError::UnknownChoice),
        (household, "attributes=destitute", text("yes"), AnswerError::WrongKind),
        (household, "member#x/birth", text("1900-02-29"), AnswerError::NotADate),
        (household, "gps", text("126.5 108.3"), AnswerError::NotAPlace),
        (visit, "start_time", text("24:00"), AnswerError::NotADate),
        (visit, "start_time", text("08:3é"), AnswerError::NotADate),
    ];
    for (form, key, value, error) in faults {
        assert_eq!(form.check_answer(key, &value), Err(error), "{key}");
    }
}

#[test]
fn what_a_record_refuses_is_refused_before_it_gets_there() {
    let household = form("household");
    let long = format!("member#{}/name", "a".repeat(33));
    for key in ["member#A/name", "member#x/@other", "head name", "attributes=a/b", &long] {
        let error = household.check_answer(key, &text("x"));
        assert_eq!(error, Err(AnswerError::MalformedKey), "{key}");
    }
    let wrong = [
        ("attributes=destitute", Value::Blank),
        ("member#x/@order", Value::Number(1.5)),
        ("member#x/@deleted", Value::Blank),
    ];
    for (key, value) in wrong {
        let error = household.check_answer(key, &value);
        assert_eq!(error, Err(AnswerError::WrongKind), "{key}");
    }
}

#[test]
fn ranges_ranks_notes_and_outlines_are_checked() {
    let mut def = small(
        r#"[{"item":"question","name":"r","type":"range","parameters":{"start":"5","end":"-5"}},
        {"item":"question","name":"k","type":"rank","choices":{"list":"l"}},
        {"item":"question","name":"n","type":"note"},
        {"item":"question","name":"s","type":"geoshape"},
        {"item":"question","name":"new","type":"hologram"}]"#,
    );
    def.choice_lists = serde_json::from_str(r#"{"l":{"choices":[{"name":"a"},{"name":"b"}]}}"#).unwrap();
    let form = Form::new(def);
    assert_eq!(form.check_answer("r", &Value::Int(-5)), Ok(()));
    assert!(matches!(form.check_answer("r", &Value::Int(6)), Err(AnswerError::OutOfRange { .. })));
    assert_eq!(form.check_answer("k", &text("b a")), Ok(()));
    assert_eq!(form.check_answer("k", &text("b b")), Err(AnswerError::ChoiceTwice));
    assert_eq!(form.check_answer("k", &text("b c")), Err(AnswerError::UnknownChoice));
    assert_eq!(form.check_answer("n", &text("b")), Err(AnswerError::NotAnswerable));
    assert_eq!(form.check_answer("s", &text("1 1; 1 2; 2 2; 1 1")), Ok(()));
    assert_eq!(form.check_answer("s", &text("1 1; 1 2; 2 2")), Err(AnswerError::NotAPlace));
    assert_eq!(form.check_answer("new", &Value::Bool(true)), Ok(()));
}

#[test]
fn every_fault_has_a_message_in_both_languages() {
    let range = AnswerError::OutOfRange { min: Some(0.0), max: Some(150.0) };
    assert_eq!(range.message("zh-CN"), "数字应在 0 到 150 之间");
    assert_eq!(range.message("en"), "The number must be between 0 and 150.");
    let faults = [
        AnswerError::MalformedKey,
        AnswerError::UnknownQuestion,
        AnswerError::NotAnswerable,
        AnswerError::NotMultipleChoice,
        AnswerError::WrongKind,
        AnswerError::UnknownChoice,
        AnswerError::ChoiceTwice,
        AnswerError::NotADate,
        AnswerError::NotAPlace,
        AnswerError::TooLong,
    ];
    for fault in faults {
        assert_ne!(fault.message("zh"), "填写有误", "{fault:?} has no text of its own");
        assert_ne!(fault.message("zh"), fault.message("en"));
    }
}

#[test]
fn faults_of_a_definition_are_named() {
    let items = r#"[{"item":"question","name":"a","type":"select_one","choices":{"list":"gone"}},
        {"item":"group","name":"g","items":[{"item":"question","name":"a","type":"text"}]},
        {"item":"question","name":"b/c","type":"text","relevant":"${missing} = 1"},
        {"item":"question","name":"d","type":"select_multiple"},
        {"item":"repeat","name":"r","items":[]}]"#;
    let problems = small(items).validate();
    let expected = [
        Problem::DuplicateName("a".into()),
        Problem::BadName("b/c".into()),
        Problem::EmptyBlock("r".into()),
        Problem::UnknownList { question: "a".into(), list: "gone".into() },
        Problem::UnknownReference { question: "b/c".into(), name: "missing".into() },
        Problem::NoChoices("d".into()),
    ];
    assert_eq!(problems, expected);
    assert_eq!(small("[]").validate(), [Problem::Empty]);
}
