use super::*;

fn resolve(answers: &JsonAnswers, expression: &str) -> Resolved {
    Parsed::new(expression).unwrap().resolve(answers.tree(), answers.asker().node).unwrap()
}

/// Dependencies as `path shared`.
fn dependencies(expression: &str) -> Vec<String> {
    let answers = answers(&household());
    let resolved = resolve(&answers, expression);
    let mut all: Vec<String> =
        resolved.dependencies().iter().map(|d| format!("{} {}", answers.tree().path(d.node), d.shared)).collect();
    all.sort();
    all
}

#[test]
fn an_expression_knows_what_it_depends_on_and_how_much_of_the_repeats_it_shares() {
    let cases: [(&str, &[&str]); 12] = [
        ("1 + 1", &[]),
        ("${village}", &["/data/village 0"]),
        ("${age} + 1", &["/data/member/age 1"]),
        ("../age", &["/data/member/age 1"]),
        ("/data/member/age", &["/data/member 0", "/data/member/age 0"]),
        ("count(${member})", &["/data/member 0"]),
        ("count(${visit})", &["/data/member/visit 1"]),
        ("${day}", &["/data/member/visit 1", "/data/member/visit/day 1"]),
        ("position(..)", &["/data/member 0"]),
        ("indexed-repeat(${age}, ${member}, ${income})", &["/data/income 0", "/data/member 0", "/data/member/age 0"]),
        ("sum(/data/member[name = 'x']/age)", &["/data/member 0", "/data/member/age 0", "/data/member/name 0"]),
        ("instance('villages')/root/item[name = ${village}]/label", &["/data/village 0"]),
    ];
    for (expression, wanted) in cases {
        assert_eq!(dependencies(expression), wanted, "{expression}");
    }
}

#[test]
fn an_expression_says_what_it_reads_beside_answers() {
    let answers = answers(&household());
    let purity = |expression| resolve(&answers, expression).purity();
    assert!(purity("${age} + 1").is_pure());
    assert!(purity("position(..) + 1").is_pure() && purity("position(..)").position);
    assert!(purity("today() - 1").clock && purity("now()").clock);
    assert!(purity("random()").random && purity("uuid()").random);
    assert!(purity("count(randomize(${member}))").random && purity("count(randomize(${member}, 1))").is_pure());
    assert!(purity("once(1)").own_answer && !purity("once(1)").is_pure());
}

#[test]
fn what_an_author_should_know_is_noted() {
    let answers = answers(&household());
    let node = |name: &str| match answers.tree().named(name) {
        Named::One(node) => node,
        other => panic!("{name} is {other:?}"),
    };
    let notices = |expression| resolve(&answers, expression).notices().to_vec();
    assert_eq!(notices("sum(/data/member/age) + ${age}"), []);
    assert_eq!(notices("1 + /data/member/age"), [Notice::FirstOfMany { offset: 4, node: node("age") }]);
    assert_eq!(notices("/data/nosuch = ''"), [Notice::NoSuchPath { offset: 6, name: "nosuch".to_owned() }]);
    assert_eq!(notices("${member} = ''"), [Notice::GroupAsValue { offset: 0, node: node("member") }]);
}

#[test]
fn in_a_constraint_the_candidate_stands_in_for_the_answer() {
    let answers = answers(&json!({"age": "5", "@types": {"age": "int"}, "@self": "/data/age"}));
    let candidate = Value::Number(200.0);
    for expression in [". > 150", "${age} > 150", "/data/age > 150", "current() > 150", "current()/. > 150"] {
        let resolved = resolve(&answers, expression);
        let judge = |candidate| {
            with_env("en", |env| {
                let (tree, at) = (answers.tree(), answers.asker());
                resolved.test(&Context { tree, data: &answers, env: *env, at, candidate }).unwrap()
            })
        };
        assert!(judge(Some(&candidate)) && !judge(None), "{expression}");
    }
}

#[test]
fn nodes_of_a_path_are_given_in_order_for_choices_from_earlier_answers() {
    let answers = answers(&household());
    let resolved = resolve(&answers, "${member}[./name != '']");
    let spots = with_env("en", |env| {
        let (tree, at) = (answers.tree(), answers.asker());
        resolved.nodes(&Context { tree, data: &answers, env: *env, at, candidate: None }).unwrap()
    });
    let rows: Vec<&[u32]> = spots.iter().map(|s| s.rows.as_slice()).collect();
    assert_eq!(rows, [[0], [1]]);
}

#[test]
fn a_computed_value_is_kept_with_its_time_and_nan_is_kept_as_blank() {
    let answers = answers(&household());
    let kept = |expression: &str| with_env("en", |env| answers.evaluate(expression, env).unwrap().to_answer(env));
    assert_eq!(&*kept("now()"), "2026-06-01T10:00:00.000-07:00");
    assert_eq!(&*kept("today()"), "2026-06-01");
    assert_eq!(&*kept("number('x')"), "");
    assert_eq!(&*kept("1 + 1"), "2");
}

#[test]
fn month_and_day_names_follow_the_language() {
    let answers = answers(&Json::Null);
    let in_language =
        |language: &str| with_env(language, |env| answers.evaluate("format-date('2024-03-05', '%b %a')", env).unwrap());
    assert_eq!(in_language("English (en)"), Value::text("Mar Tue"));
    assert_eq!(in_language("中文 (zh)"), Value::text("3月 周二"));
}
