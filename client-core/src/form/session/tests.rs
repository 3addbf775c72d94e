//! What sessions promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod collect;
mod incremental;
mod reopened;

use super::*;
use crate::clock::{ManualClock, SeededEntropy};
use crate::form::FormDef;
use crate::form::expression::Tree;
use crate::form::session::mapping::Edits;
use crate::record;

const NOW_MS: u64 = 1_780_333_200_000; // 2026-06-01T10:00-07:00

fn around() -> Surroundings {
    Surroundings::new(Arc::new(ManualClock::at(NOW_MS)), Arc::new(SeededEntropy::new(1)), -420)
}

fn model(items: &str, lists: &str) -> Arc<Model> {
    Arc::new(try_model(items, lists).unwrap())
}

fn try_model(items: &str, lists: &str) -> Result<Model, Vec<crate::form::model::ModelError>> {
    Model::new(def(items, lists))
}

fn def(items: &str, lists: &str) -> FormDef {
    let json = format!(
        r#"{{"name":"f","version":1,"titles":{{"en":"F"}},"record_type":"f","default_language":"en","languages":["en","zh"],
            "items":{items},"choice_lists":{lists}}}"#
    );
    FormDef::from_json(&json).unwrap()
}

fn q(kind: &str, name: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"item":"question","type":"{kind}","name":"{name}"{comma}{more}}}"#)
}

fn block(item: &str, name: &str, more: &str, inside: &[String]) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"item":"{item}","name":"{name}","items":[{}]{comma}{more}}}"#, inside.join(","))
}

fn items(all: &[String]) -> String {
    format!("[{}]", all.join(","))
}

fn set(session: &mut Session, path: &str, text: &str) -> Result<Changes, Refusal> {
    let spot = session.at_path(path).unwrap();
    session.answer(spot, text)
}

fn get(session: &Session, path: &str) -> String {
    session.value(session.at_path(path).unwrap()).to_string()
}

fn relevant(session: &Session, path: &str) -> bool {
    session.is_relevant(session.at_path(path).unwrap())
}

const YES_NO: &str = r#"{"yn":{"choices":[{"name":"yes","labels":{"en":"Yes","zh":"是"}},{"name":"no","labels":{"en":"No"}}]},
    "place":{"choices":[{"name":"x1","labels":{"en":"X1"},"of":"yes"},{"name":"x2","labels":{"en":"X2"},"of":"yes"},
    {"name":"y1","labels":{"en":"Y1"},"of":"no"}]}}"#;

#[test]
fn an_irrelevant_answer_reads_as_blank_and_returns() {
    let form = items(&[
        q("integer", "age", ""),
        block("group", "g", r#""relevant":"${age} >= 18""#, &[q("text", "job", "")]),
        q("calculate", "known", r#""calculation":"string-length(${job})""#),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    assert_eq!(set(&mut session, "/data/g/job", "smith"), Err(Refusal::NotRelevant));
    set(&mut session, "/data/age", "30").unwrap();
    set(&mut session, "/data/g/job", "smith").unwrap();
    assert_eq!(get(&session, "/data/known"), "5");
    set(&mut session, "/data/age", "7").unwrap();
    assert!(!relevant(&session, "/data/g/job"));
    assert_eq!((get(&session, "/data/known"), get(&session, "/data/g/job")), ("0".into(), "smith".into()));
    set(&mut session, "/data/age", "18").unwrap();
    assert_eq!(get(&session, "/data/known"), "5");
}

#[test]
fn an_answer_that_breaks_a_rule_is_refused_and_the_old_one_stays() {
    let form = items(&[
        q("integer", "age", r#""constraint":". < ${most}","constraint_messages":{"en":"Below ${most}"}"#),
        q("calculate", "most", r#""calculation":"100 + 20""#),
        q("text", "name", r#""required":"${age} > 5","required_messages":{"en":"Who?"}"#),
        q("select_one", "yn", r#""choices":{"list":"yn"}"#),
        q("range", "r", r#""parameters":{"start":"1","end":"5"}"#),
        q("note", "n", r#""labels":{"en":"Hello ${name}"}"#),
    ]);
    let mut session = Session::new(model(&form, YES_NO), around());
    set(&mut session, "/data/age", "7").unwrap();
    let refused = Refusal::Constraint { message: "Below 120".into() };
    assert_eq!(set(&mut session, "/data/age", "120"), Err(refused));
    assert!(matches!(set(&mut session, "/data/age", "seven"), Err(Refusal::Answer(_))));
    assert!(matches!(set(&mut session, "/data/age", "7.5"), Err(Refusal::Answer(_))));
    assert_eq!(get(&session, "/data/age"), "7");
    set(&mut session, "/data/name", "Li").unwrap();
    assert_eq!(set(&mut session, "/data/name", ""), Err(Refusal::Required { message: "Who?".into() }));
    assert!(matches!(set(&mut session, "/data/yn", "maybe"), Err(Refusal::Answer(_))));
    assert!(matches!(set(&mut session, "/data/r", "6"), Err(Refusal::Answer(_))));
    assert_eq!(set(&mut session, "/data/most", "5"), Err(Refusal::ReadOnly));
    assert_eq!(&*session.label(session.at_path("/data/n").unwrap()), "Hello Li");
}

#[test]
fn choices_follow_their_filter_and_the_language() {
    let form = items(&[
        q("select_one", "a", r#""choices":{"list":"yn"}"#),
        q("select_one", "b", r#""choices":{"list":"place"},"choice_filter":"of = ${a}""#),
        q("calculate", "label", r#""calculation":"jr:choice-name(${a}, '${a}')""#),
    ]);
    let mut session = Session::new(model(&form, YES_NO), around());
    let b = session.at_path("/data/b").unwrap();
    let names = |session: &Session| session.choices(b).iter().map(|c| c.label.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&session), Vec::<String>::new());
    set(&mut session, "/data/a", "yes").unwrap();
    assert_eq!(names(&session), ["X1", "X2"]);
    set(&mut session, "/data/b", "x2").unwrap();
    set(&mut session, "/data/a", "no").unwrap();
    assert_eq!(names(&session), ["Y1"]);
    assert_eq!(session.problems().len(), 1, "x2 isn't offered any more");
    set(&mut session, "/data/a", "yes").unwrap();
    session.set_language("zh");
    assert_eq!(get(&session, "/data/label"), "是");
}

#[test]
fn repeats_grow_shrink_and_can_be_removed() {
    let form = items(&[
        q("integer", "n", ""),
        block("repeat", "c", r#""count":"${n}""#, &[q("integer", "x", r#""default":"2""#)]),
        block("repeat", "m", "", &[q("text", "who", ""), q("calculate", "at", r#""calculation":"position(..)""#)]),
        q("calculate", "sum", r#""calculation":"sum(${x})""#),
        q("calculate", "all", r#""calculation":"join(',', ${who})""#),
        q("select_one", "head", r#""choices":{"question":"who"}"#),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    set(&mut session, "/data/n", "3").unwrap();
    set(&mut session, "/data/c[3]/x", "5").unwrap();
    assert_eq!(get(&session, "/data/sum"), "9");
    set(&mut session, "/data/n", "1").unwrap();
    assert_eq!(get(&session, "/data/sum"), "2");
    set(&mut session, "/data/n", "3").unwrap();
    assert_eq!(get(&session, "/data/sum"), "9");
    let m = session.at_path("/data/m").unwrap();
    session.add_instance(m.node, Rows::NONE).unwrap();
    session.add_instance(m.node, Rows::NONE).unwrap();
    for (row, name) in [(1, "a"), (2, "b"), (3, "c")] {
        set(&mut session, &format!("/data/m[{row}]/who"), name).unwrap();
    }
    assert_eq!(get(&session, "/data/all"), "a,b,c");
    set(&mut session, "/data/head", "c").unwrap();
    session.remove_instance(session.at_path("/data/m[2]").unwrap()).unwrap();
    assert_eq!((get(&session, "/data/all"), get(&session, "/data/m[2]/at")), ("a,c".into(), "2".into()));
    let c = session.at_path("/data/c").unwrap();
    assert_eq!(session.add_instance(c.node, Rows::NONE).unwrap_err(), Refusal::Counted);
}

#[test]
fn defaults_come_once_and_triggers_follow_their_question() {
    let form = items(&[
        q("text", "a", r#""default":"x""#),
        q("date", "day", r#""default":"today()","dynamic_default":true"#),
        q("integer", "n", ""),
        q("integer", "twice", r#""calculation":"${n} * 2","trigger":"n""#),
        q("text", "more", r#""calculation":"concat('t', ${twice})","trigger":"${twice}""#),
        q("calculate", "stays", r#""calculation":"once(random())""#),
    ]);
    let model = model(&form, "{}");
    let mut session = Session::new(Arc::clone(&model), around());
    assert_eq!((get(&session, "/data/a"), get(&session, "/data/day")), ("x".into(), "2026-06-01".into()));
    set(&mut session, "/data/n", "4").unwrap();
    assert_eq!((get(&session, "/data/twice"), get(&session, "/data/more")), ("8".into(), "t8".into()));
    set(&mut session, "/data/twice", "9").unwrap();
    assert_eq!(get(&session, "/data/more"), "t9");
    set(&mut session, "/data/day", "").unwrap();
    let journal = session.take_edits();
    let again = Session::open(model, around(), &journal);
    for path in ["/data/a", "/data/day", "/data/n", "/data/twice", "/data/more", "/data/stays"] {
        assert_eq!(get(&again, path), get(&session, path), "{path}");
    }
}

#[test]
fn circles_and_unknown_names_are_refused_with_their_path() {
    let form = items(&[
        q("calculate", "a", r#""calculation":"${b} + 1""#),
        block("group", "g", "", &[q("calculate", "b", r#""calculation":"${c} + 1""#)]),
        q("calculate", "c", r#""calculation":"${a} + 1""#),
        q("calculate", "d", r#""calculation":"${nobody}""#),
    ]);
    let errors: Vec<String> = try_model(&form, "{}").unwrap_err().iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|e| e.contains("/data/a") && e.contains("/data/g/b") && e.contains("->")), "{errors:?}");
    assert!(errors.iter().any(|e| e.contains("/data/d, calculation")), "{errors:?}");
    let own = items(&[block("group", "g", r#""relevant":"${x} = 1""#, &[q("integer", "x", "")])]);
    assert!(matches!(try_model(&own, "{}").unwrap_err()[..], [crate::form::model::ModelError::Cycle(_)]));
}

#[test]
fn pages_show_what_applies_and_field_lists_as_one() {
    let form = items(&[
        q("integer", "age", r#""labels":{"en":"Age"}"#),
        q("text", "job", r#""labels":{"en":"Job"},"relevant":"${age} > 17""#),
        block(
            "group",
            "g",
            r#""appearance":"field-list","labels":{"en":"Two"}"#,
            &[
                q("text", "x", r#""labels":{"en":"X"}"#),
                q("text", "y", r#""labels":{"en":"Y"},"relevant":"${x} != ''""#),
            ],
        ),
        q("calculate", "c", r#""calculation":"1""#),
        block("repeat", "m", r#""labels":{"en":"Member"}"#, &[q("text", "who", r#""labels":{"en":"Who"}"#)]),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    let first = session.first_page().unwrap();
    let PageId::FieldList(_) = session.next_page(first).unwrap() else { panic!("the job doesn't apply") };
    set(&mut session, "/data/age", "20").unwrap();
    let mut page = first;
    let mut seen = 1;
    while let Some(next) = session.next_page(page) {
        assert_eq!(session.previous_page(next), Some(page));
        page = next;
        seen += 1;
    }
    assert!(matches!(page, PageId::AddInstance(_)));
    assert_eq!(seen, 5, "age, job, the list, who, one more?");
    let list = session.page(session.page_of(session.at_path("/data/g/y").unwrap()).unwrap());
    assert_eq!(list.entries.len(), 1);
    set(&mut session, "/data/g/x", "1").unwrap();
    assert_eq!(session.page(list.id).entries.len(), 2);
    assert_eq!(session.progress(), Progress { answered: 2, questions: 5, required_missing: 0 });
}

#[test]
fn answers_survive_a_corrected_version_and_what_no_longer_fits_is_kept() {
    let old = items(&[
        q("integer", "age", ""),
        q("text", "gone", ""),
        q("text", "day", ""),
        q("select_multiple", "needs", r#""choices":{"list":"yn"}"#),
    ]);
    let mut session = Session::new(model(&old, YES_NO), around());
    for (path, text) in [("/data/age", "7"), ("/data/gone", "kept"), ("/data/day", "soon"), ("/data/needs", "no yes")] {
        set(&mut session, path, text).unwrap();
    }
    let journal = session.take_edits();
    let new = items(&[
        block("group", "moved", "", &[q("decimal", "age", "")]),
        q("date", "day", ""),
        q("select_multiple", "needs", r#""choices":{"list":"yn"}"#),
    ]);
    let again = Session::open(model(&new, YES_NO), around(), &journal);
    assert_eq!((get(&again, "/data/moved/age"), get(&again, "/data/needs")), ("7".into(), "yes no".into()));
    let misfits: Vec<&str> = again.misfits().iter().map(|m| m.key.as_str()).collect();
    assert_eq!(misfits, ["day", "gone"]);
}

#[test]
fn finishing_writes_what_differs_and_clears_what_does_not_apply() {
    let form = items(&[
        q("integer", "age", ""),
        q("text", "job", r#""relevant":"${age} > 17""#),
        q("decimal", "income", r#""class":"sensitive""#),
        q("calculate", "grown", r#""calculation":"${age} > 17""#),
        q("calculate", "poor", r#""calculation":"${income} < 100","declared_public":true"#),
    ]);
    let model = model(&form, "{}");
    let base: Edits = [("age", record::Value::Int(20)), ("job", "smith".into()), ("grown", true.into())]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    let mut session = Session::open(model, around(), &base);
    let all: BTreeSet<crate::form::Sensitivity> =
        [crate::form::Sensitivity::Core, crate::form::Sensitivity::Sensitive].into();
    assert_eq!(session.finished(&base, &all), [("poor".to_owned(), record::Value::Bool(false))].into());
    set(&mut session, "/data/age", "9").unwrap();
    let core = [crate::form::Sensitivity::Core].into();
    let expected: Edits = [("age", record::Value::Int(9)), ("job", record::Value::Blank), ("grown", false.into())]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    assert_eq!(session.finished(&base, &core), expected, "without the income nothing is said about it");
}

#[test]
fn a_recheck_finds_computed_answers_that_differ_and_broken_rules() {
    let form = items(&[
        q("integer", "age", r#""constraint":". < 120""#),
        q("text", "job", r#""relevant":"${age} > 17""#),
        q("calculate", "half", r#""calculation":"${age} div 2""#),
        block("repeat", "m", "", &[q("integer", "x", r#""constraint":". < ${age}""#)]),
    ]);
    let model = model(&form, "{}");
    let answers: Edits = [
        ("age", record::Value::Int(8)),
        ("job", "smith".into()),
        ("half", record::Value::Int(5)),
        ("m#a/x", record::Value::Int(9)),
        ("m#b/x", record::Value::Int(7)),
        ("other", "?".into()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    let options = RecheckOptions { complete: true, ..RecheckOptions::default() };
    let found = recheck(&Rules::of(model), &answers, around(), &options);
    let core = crate::form::Sensitivity::Core;
    let of = |key: &str, doubt, expected| Found { key: key.to_owned(), doubt, class: core, expected };
    assert_eq!(
        found,
        [
            of("job", Doubt::NotRelevant, None),
            of("half", Doubt::Differs, Some(record::Value::Int(4))),
            of("m#a/x", Doubt::Constraint, None),
        ]
    );
}

#[test]
fn a_section_that_does_not_apply_is_doubtful_once_and_missing_answers_only_in_a_finished_form() {
    let form = items(&[
        q("integer", "age", ""),
        block("group", "work", r#""relevant":"${age} > 17""#, &[q("text", "job", ""), q("text", "place", "")]),
        q("text", "name", r#""required":"true()""#),
        q("select_multiple", "marks", r#""relevant":"${age} > 17","choices":{"list":"marks"}"#),
    ]);
    let lists = r#"{"marks":{"choices":[{"name":"a","labels":{"en":"A"}}]}}"#;
    let model = model(&form, lists);
    let answers: Edits =
        [("age", record::Value::Int(8)), ("job", "smith".into()), ("place", "forge".into()), ("marks=a", true.into())]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect();
    let rules = Rules::of(model);
    let keys = |complete| -> Vec<(String, Doubt)> {
        let options = RecheckOptions { complete, ..RecheckOptions::default() };
        recheck(&rules, &answers, around(), &options).into_iter().map(|f| (f.key, f.doubt)).collect()
    };
    let left_out = [("job".to_owned(), Doubt::NotRelevant), ("marks".to_owned(), Doubt::NotRelevant)];
    assert_eq!(keys(false), left_out);
    assert_eq!(keys(true)[1], ("name".to_owned(), Doubt::Missing));
    assert_eq!(question_key("m#a/marks=a"), "m#a/marks", "what was ticked isn't told");
}

#[test]
fn a_recheck_of_one_class_leaves_alone_what_reads_others() {
    let form = items(&[
        q("decimal", "income", r#""class":"sensitive""#),
        q("integer", "persons", r#""constraint":". < ${income}""#),
        q("calculate", "poor", r#""calculation":"${income} < 100","declared_public":true"#),
        q("integer", "rooms", r#""constraint":". <= ${persons}""#),
    ]);
    let model = model(&form, "{}");
    let answers: Edits = [("persons", record::Value::Int(3)), ("poor", true.into()), ("rooms", record::Value::Int(9))]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    let rules = Rules::of(model);
    assert!(rules.are_mixed());
    let free: Vec<&str> = ["income", "persons", "poor", "rooms"].into_iter().filter(|k| rules.leave_free(k)).collect();
    assert_eq!(free, Vec::<&str>::new());
    let (core, sensitive) = (crate::form::Sensitivity::Core, crate::form::Sensitivity::Sensitive);
    let found = |held| -> Vec<(String, Doubt, crate::form::Sensitivity)> {
        let options = RecheckOptions { held, complete: false };
        recheck(&rules, &answers, around(), &options).into_iter().map(|f| (f.key, f.doubt, f.class)).collect()
    };
    assert_eq!(found(Classes::one(core)), [("rooms".to_owned(), Doubt::Constraint, core)]);
    let all = found(Classes::ALL);
    assert!(all.contains(&("poor".to_owned(), Doubt::Differs, sensitive)), "only who may read the income learns of it");
}

#[test]
fn an_answer_that_no_rule_reads_or_judges_is_left_free() {
    let form = items(&[
        q("text", "remark", ""),
        q("integer", "age", ""),
        q("text", "job", r#""relevant":"${age} > 17""#),
        block("group", "work", r#""relevant":"${age} > 17""#, &[q("text", "place", "")]),
        q("text", "name", r#""required":"true()""#),
        block("repeat", "m", "", &[q("text", "note", ""), q("integer", "x", r#""constraint":". > 1""#)]),
    ]);
    let rules = Rules::of(model(&form, "{}"));
    let keys = ["remark", "remark=a", "age", "job", "place", "name", "m#a/note", "m#a/x", "m#a/@order", "unknown"];
    let free: Vec<&str> = keys.into_iter().filter(|key| rules.leave_free(key)).collect();
    assert_eq!(free, ["remark", "remark=a", "m#a/note"]);
}

#[test]
fn a_recheck_leaves_alone_what_only_the_phone_could_compute() {
    let form = items(&[
        q("text", "hamlet", ""),
        q("calculate", "who", r#""calculation":"property('username')""#),
        q("calculate", "code", r#""calculation":"pulldata('hamlets', 'code', 'name', ${hamlet})""#),
        q("integer", "wells", r#""relevant":"${code} != ''","constraint":". < 10""#),
        q("calculate", "twice", r#""calculation":"${wells} * 2""#),
        q("integer", "roofs", r#""constraint":". < 10""#),
    ]);
    let mut def = def(&form, "{}");
    def.extra.insert("files".to_owned(), serde_json::json!(["hamlets.csv"]));
    let model = Arc::new(Model::new(def).unwrap());
    let given = [("hamlet", "Upper".into()), ("who", "Li".into()), ("code", "07".into())];
    let numbers = [("wells", 3), ("twice", 6), ("roofs", 12)].map(|(key, n)| (key, record::Value::Int(n)));
    let answers: Edits = given.into_iter().chain(numbers).map(|(k, v)| (k.to_owned(), v)).collect();
    let found = recheck(&Rules::of(model), &answers, around(), &RecheckOptions::default());
    let keys: Vec<(&str, Doubt)> = found.iter().map(|f| (f.key.as_str(), f.doubt)).collect();
    assert_eq!(keys, [("roofs", Doubt::Constraint)], "the list isn't here, and nobody is asked for a name");
}

#[test]
fn a_count_beyond_the_limit_stops_there() {
    let form = items(&[q("integer", "n", ""), block("repeat", "c", r#""count":"${n}""#, &[q("integer", "x", "")])]);
    let mut session = Session::new(model(&form, "{}"), around());
    set(&mut session, "/data/n", "900000000").unwrap();
    let c = session.model().keyed("c").unwrap();
    assert_eq!(session.count(c, Rows::NONE), INSTANCES_MAX - 1);
    assert!(matches!(session.faults(), [Fault::TooManyInstances { .. }]));
    let _ = Tree::ROOT;
}
