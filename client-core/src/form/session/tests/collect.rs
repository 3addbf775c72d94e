//! What replaying promises: as ODK Collect, found by comparing with JavaRosa (tests/conformance/javarosa/replay.py).

use super::*;

fn replay(session: &mut Session, path: &str, text: &str) -> Result<(), Refusal> {
    let spot = session.at_path(path).unwrap();
    session.replay(spot, text).map(|_| ())
}

fn count(session: &Session, repeat: &str, rows: &[u32]) -> usize {
    session.count(session.model().keyed(repeat).unwrap(), Rows::new(rows))
}

fn add(session: &mut Session, repeat: &str, rows: &[u32]) {
    session.add_instance(session.model().keyed(repeat).unwrap(), Rows::new(rows)).unwrap();
}

fn children() -> Arc<Model> {
    let inside = [q("text", "name", "")];
    let form = items(&[
        q("integer", "n", ""),
        block("repeat", "child", r#""count":"${n}""#, &inside),
        q("calculate", "names", r#""calculation":"join('+', ${name})""#),
    ]);
    model(&form, "{}")
}

#[test]
fn in_replay_too_a_counted_repeat_has_as_many_instances_as_its_count_says() {
    let mut session = Session::as_collect(children(), around());
    assert_eq!(count(&session, "child", &[]), 0);
    replay(&mut session, "/data/n", "3").unwrap();
    replay(&mut session, "/data/child[3]/name", "Li").unwrap();
    assert_eq!((count(&session, "child", &[]), get(&session, "/data/names")), (3, "++Li".into()));
    replay(&mut session, "/data/n", "1").unwrap();
    assert_eq!((count(&session, "child", &[]), get(&session, "/data/names")), (1, "".into()));
}

#[test]
fn in_javarosa_a_counted_repeat_begins_with_one_instance_and_never_shrinks() {
    let mut session = Session::as_javarosa(children(), around());
    assert_eq!(count(&session, "child", &[]), 1);
    replay(&mut session, "/data/n", "3").unwrap();
    replay(&mut session, "/data/child[3]/name", "Li").unwrap();
    replay(&mut session, "/data/n", "1").unwrap();
    assert_eq!((count(&session, "child", &[]), get(&session, "/data/names")), (3, "++Li".into()));
}

#[test]
fn on_a_phone_a_counted_repeat_shrinks_and_its_answers_come_back() {
    let mut session = Session::new(children(), around());
    assert_eq!(count(&session, "child", &[]), 0);
    set(&mut session, "/data/n", "2").unwrap();
    set(&mut session, "/data/child[2]/name", "Li").unwrap();
    set(&mut session, "/data/n", "1").unwrap();
    assert_eq!((count(&session, "child", &[]), get(&session, "/data/names")), (1, "".into()));
    set(&mut session, "/data/n", "2").unwrap();
    assert_eq!(get(&session, "/data/names"), "+Li");
}

#[test]
fn in_collect_a_counted_repeat_grows_once_it_applies() {
    let inside = [q("text", "name", "")];
    let form = items(&[
        q("text", "on", ""),
        block("group", "g", r#""relevant":"${on} = 'yes'""#, &[block("repeat", "child", r#""count":"2""#, &inside)]),
    ]);
    let mut session = Session::as_collect(model(&form, "{}"), around());
    assert_eq!(count(&session, "child", &[]), 0);
    replay(&mut session, "/data/on", "yes").unwrap();
    assert_eq!(count(&session, "child", &[]), 2);
}

#[test]
fn in_collect_a_change_in_one_instance_is_not_seen_by_the_others() {
    let inside = [
        q("integer", "price", ""),
        q("calculate", "before", r#""calculation":"indexed-repeat(${price}, ${item}, position(..) - 1)""#),
    ];
    let form = items(&[
        block("repeat", "item", "", &inside),
        q("calculate", "first", r#""calculation":"indexed-repeat(${price}, ${item}, 1)""#),
    ]);
    let model = model(&form, "{}");
    let mut session = Session::as_collect(Arc::clone(&model), around());
    add(&mut session, "item", &[]);
    replay(&mut session, "/data/item[1]/price", "5").unwrap();
    assert_eq!((get(&session, "/data/item[2]/before"), get(&session, "/data/first")), ("".into(), "5".into()));
    replay(&mut session, "/data/item[2]/price", "7").unwrap();
    assert_eq!(get(&session, "/data/item[2]/before"), "5", "its own change makes it look again");
    let mut session = Session::new(model, around());
    add(&mut session, "item", &[]);
    set(&mut session, "/data/item[1]/price", "5").unwrap();
    assert_eq!(get(&session, "/data/item[2]/before"), "5", "a phone sees all changes");
}

#[test]
fn in_collect_an_answer_not_offered_any_more_goes_when_choices_are_looked_at() {
    let form = items(&[
        q("select_one", "a", r#""choices":{"list":"yn"}"#),
        q("select_one", "b", r#""choices":{"list":"place"},"choice_filter":"of = ${a}","required":"true()""#),
        q("calculate", "seen", r#""calculation":"concat('b is ', ${b})""#),
    ]);
    let mut session = Session::as_collect(model(&form, YES_NO), around());
    replay(&mut session, "/data/a", "yes").unwrap();
    replay(&mut session, "/data/b", "x1").unwrap();
    replay(&mut session, "/data/a", "no").unwrap();
    assert_eq!(get(&session, "/data/b"), "x1");
    assert!(matches!(replay(&mut session, "/data/b", ""), Err(Refusal::Required { .. })));
    assert_eq!((get(&session, "/data/b"), get(&session, "/data/seen")), ("".into(), "b is x1".into()));
}

#[test]
fn in_collect_the_label_of_a_choice_looks_at_the_choices() {
    let form = items(&[
        q("select_one", "a", r#""choices":{"list":"yn"}"#),
        q("select_one", "b", r#""choices":{"list":"place"},"choice_filter":"of = ${a}""#),
        q("calculate", "label", r#""calculation":"jr:choice-name(${b}, '${b}')""#),
    ]);
    let model = model(&form, YES_NO);
    let mut session = Session::as_collect(Arc::clone(&model), around());
    replay(&mut session, "/data/b", "x1").unwrap();
    assert_eq!((get(&session, "/data/b"), get(&session, "/data/label")), ("".into(), "".into()));
    replay(&mut session, "/data/a", "yes").unwrap();
    replay(&mut session, "/data/b", "x1").unwrap();
    assert_eq!(get(&session, "/data/label"), "X1");
}

#[test]
fn in_collect_a_new_instance_has_instances_of_repeats_in_its_groups_only() {
    let leaf = |name: &str| [q("text", name, r#""default":"concat('d', 1)","dynamic_default":true"#)];
    let inside = [
        block("repeat", "direct", "", &leaf("x")),
        block("group", "g", "", &[block("repeat", "grouped", "", &leaf("y"))]),
    ];
    let form = items(&[block("repeat", "outer", "", &inside)]);
    let mut session = Session::as_collect(model(&form, "{}"), around());
    add(&mut session, "outer", &[]);
    let counts = |row: u32| (count(&session, "outer/direct", &[row]), count(&session, "outer/grouped", &[row]));
    assert_eq!((counts(0), counts(1)), ((1, 1), (0, 1)));
    let y = |row: &str| get(&session, &format!("/data/outer[{row}]/g/grouped[1]/y"));
    assert_eq!((y("1"), y("2")), ("d1".into(), "".into()), "its defaults come with its own instance only");
}

#[test]
fn in_collect_what_had_its_turn_does_not_see_the_defaults_of_a_new_instance() {
    let inside = [q("integer", "x", r#""default":"5""#)];
    let form = items(&[
        block("repeat", "r", "", &inside),
        q("calculate", "sum", r#""calculation":"sum(${x})""#),
        q("calculate", "seen", r#""calculation":"concat(${sum}, '/', count(${r}))""#),
    ]);
    let model = model(&form, "{}");
    let seen = |mut session: Session| {
        add(&mut session, "r", &[]);
        get(&session, "/data/sum") + " " + &get(&session, "/data/seen")
    };
    assert_eq!(seen(Session::as_collect(Arc::clone(&model), around())), "10 5/2");
    assert_eq!(seen(Session::new(model, around())), "10 10/2");
}

#[test]
fn in_collect_a_blank_is_refused_and_a_condition_judged_also_where_a_question_does_not_apply() {
    let form = items(&[
        q("text", "a", ""),
        q("integer", "b", r#""relevant":"${a} = 'x'","required":"true()","constraint":". > 3""#),
    ]);
    let mut session = Session::as_collect(model(&form, "{}"), around());
    assert!(matches!(replay(&mut session, "/data/b", ""), Err(Refusal::Required { .. })));
    assert!(matches!(replay(&mut session, "/data/b", "7"), Err(Refusal::Constraint { .. })), "it sees a blank");
    replay(&mut session, "/data/a", "x").unwrap();
    replay(&mut session, "/data/b", "7").unwrap();
    assert_eq!(get(&session, "/data/b"), "7");
}

#[test]
fn replay_writes_times_and_places_as_collect_does() {
    let form = items(&[q("time", "t", ""), q("geopoint", "p", "")]);
    let mut session = Session::as_collect(model(&form, "{}"), around());
    replay(&mut session, "/data/t", "08:30").unwrap();
    replay(&mut session, "/data/p", "30.5 104").unwrap();
    let export = |path: &str| session.value_for_export(session.at_path(path).unwrap()).to_string();
    assert_eq!((export("/data/t"), export("/data/p")), ("08:30:00.000-07:00".into(), "30.5 104.0 0.0 0.0".into()));
}

#[test]
fn computed_numbers_nearly_whole_are_whole_and_there_is_no_minus_nought() {
    let form = items(&[
        q("decimal", "x", ""),
        q("calculate", "sum", r#""calculation":"${x} + 0.2 - 0.3""#),
        q("calculate", "minus", r#""calculation":"0 * -${x}""#),
        q("calculate", "over", r#""calculation":"-3 div ${minus}""#),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    set(&mut session, "/data/x", "0.1").unwrap();
    assert_eq!((get(&session, "/data/sum"), get(&session, "/data/over")), ("0".into(), "-Infinity".into()));
}

#[test]
fn an_answer_sets_off_its_triggers_each_with_what_follows_before_the_next() {
    let form = items(&[
        q("text", "a", ""),
        q("text", "b", r#""calculation":"concat(${a}, '1')","trigger":"${a}""#),
        q("text", "c", r#""calculation":"concat(${b}, ${d}, '!')","trigger":"${b}""#),
        q("text", "d", r#""calculation":"concat(${a}, ${c})","trigger":"${a}""#),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    set(&mut session, "/data/a", "x").unwrap();
    assert_eq!((get(&session, "/data/c"), get(&session, "/data/d")), ("x1!".into(), "xx1!".into()));
}

#[test]
fn choices_from_earlier_answers_pass_the_filter_alone_and_phones_leave_out_blanks() {
    let inside = [q("text", "name", ""), q("integer", "age", "")];
    let form = items(&[
        block("repeat", "m", "", &inside),
        q("select_one", "chief", r#""choices":{"question":"name"},"choice_filter":"./age > 17""#),
    ]);
    let model = model(&form, "{}");
    let offered = |mut session: Session| {
        set(&mut session, "/data/m[1]/age", "20").unwrap();
        session.choices(session.at_path("/data/chief").unwrap()).len()
    };
    assert_eq!(offered(Session::as_collect(Arc::clone(&model), around())), 1);
    assert_eq!(offered(Session::new(model, around())), 0);
}
