use super::*;

fn fault(expression: &str) -> ExpressionError {
    let answers = answers(&household());
    evaluate(&answers, expression).expect_err(expression)
}

#[test]
fn known_mistakes_get_a_hint() {
    let cases = [
        ("${age} == 1", 7, "Perhaps = is meant."),
        ("${age} && 1", 7, "Perhaps and is meant."),
        ("${age} || 1", 7, "Perhaps or is meant."),
        ("${age} <> 1", 7, "Perhaps != is meant."),
        ("${age} AND 1", 7, "Perhaps and is meant."),
        ("If(1, 2, 3)", 0, "Perhaps if() is meant."),
        ("if(1, 2)", 0, "Write if(condition, value, other value); the last may be ''."),
        ("'abc", 0, "A text begins and ends with the same quote, ' or \"."),
        ("1 + ${ age }", 4, "Perhaps ${age} is meant."),
        ("$age + 1", 0, "Perhaps ${age} is meant."),
        ("${agge} + 1", 0, "Perhaps ${age} is meant."),
        ("count_selected(${age})", 0, "Perhaps count-selected() is meant."),
        ("len(${age})", 0, "Perhaps string-length() is meant."),
        ("instance('vilages')/root/item/name", 0, "Perhaps villages is meant."),
    ];
    for (expression, offset, hint) in cases {
        let error = fault(expression);
        assert_eq!((error.offset, error.hint("en").as_deref()), (offset, Some(hint)), "{expression}");
        assert_ne!(error.hint("zh"), error.hint("en"), "{expression}");
    }
}

#[test]
fn functions_of_other_systems_are_refused_by_name() {
    for name in ["difference-in-months", "to-bikram-sambat", "cht:difference-in-weeks", "z-score"] {
        let error = fault(&format!("{name}('2020-01-01', '2020-02-01')"));
        assert_eq!(error.fault, Fault::ForeignFunction(name.to_owned()));
        assert!(error.message("zh").contains(name) && error.message("en").contains(name));
    }
}

#[test]
fn every_fault_is_said_in_both_languages() {
    let expressions = [
        "",
        "(",
        "1 2",
        "'a",
        "${ a }",
        "$a",
        "1 == 1",
        "1e5",
        "//a",
        "nosuch()",
        "z-score(1)",
        "if(1)",
        "${nosuch}",
        "instance('x')/root/item",
        "count(1)",
        "jr:choice-name('a', ${age})",
        "indexed-repeat(${age}, ${village}, 1)",
        "regex('a', '(')",
        "format-date('2020-01-01', '%Q')",
        "date('2024-02-30')",
        "date(true())",
        "area('somewhere')",
        "digest('a', 'MD4')",
    ];
    let mut ids = std::collections::BTreeSet::new();
    for expression in expressions {
        let error = fault(expression);
        let (zh, en) = (error.message("zh-CN"), error.message("en"));
        assert!(zh != en && !zh.is_empty() && !en.is_empty(), "{expression}: {zh} {en}");
        ids.insert(error.message_id());
    }
    assert!(ids.len() >= 20, "{ids:?}");
}

#[test]
fn a_name_that_stands_twice_is_only_refused_where_it_is_used() {
    let twice = answers(&json!({"a": {"x": "1"}, "b": {"x": "2"}, "y": "3"}));
    assert_eq!(evaluate(&twice, "${y}").unwrap(), Value::text("3"));
    assert_eq!(evaluate(&twice, "/data/b/x").unwrap(), Value::text("2"));
    let error = evaluate(&twice, "1 + ${x}").unwrap_err();
    assert_eq!((error.offset, error.fault), (4, Fault::AmbiguousName("x".to_owned())));
}

#[test]
fn a_pattern_that_cannot_run_in_linear_time_is_refused_when_the_form_is_read() {
    let tree = Tree::new("data");
    for pattern in [r"(a)\1", "(?=a)a", "(?<!b)a", "a++", "("] {
        let parsed = Parsed::new(&format!("regex('a', '{pattern}')")).unwrap();
        let error = parsed.resolve(&tree, Tree::ROOT).unwrap_err();
        assert!(matches!(error.fault, Fault::BadPattern(_)), "{pattern}");
    }
}
