//! What holds from the first answer to the last, over leaving and coming back.

use super::*;

#[test]
fn the_time_of_finishing_is_written_at_finishing() {
    let form = items(&[q("start", "from", ""), q("end", "to", ""), q("text", "name", "")]);
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let around = Surroundings::new(clock.clone(), Arc::new(SeededEntropy::new(1)), -420);
    let mut session = Session::new(model(&form, "{}"), around);
    set(&mut session, "/data/name", "Li").unwrap();
    clock.advance(600_000);
    let held = [crate::form::Sensitivity::Core].into();
    let edits = session.finished(&Edits::new(), &held);
    assert_eq!(edits["from"], "2026-06-01T10:00:00.000-07:00".into());
    assert_eq!(edits["to"], "2026-06-01T10:10:00.000-07:00".into());
}

#[test]
fn each_of_several_triggers_sets_a_calculation_off() {
    let form = items(&[
        q("integer", "a", ""),
        q("integer", "b", ""),
        q("integer", "c", ""),
        q("text", "seen", r#""calculation":"concat(${a}, '-', ${b}, '-', ${c})","trigger":"a,b""#),
    ]);
    let mut session = Session::new(model(&form, "{}"), around());
    set(&mut session, "/data/a", "1").unwrap();
    assert_eq!(get(&session, "/data/seen"), "1--");
    set(&mut session, "/data/c", "3").unwrap();
    assert_eq!(get(&session, "/data/seen"), "1--");
    set(&mut session, "/data/b", "2").unwrap();
    assert_eq!(get(&session, "/data/seen"), "1-2-3");
}

#[cfg(feature = "import")]
#[test]
fn several_triggers_of_a_workbook_all_count() {
    let workbook = "survey,type,name,label,calculation,trigger\n,integer,a,A,,\n,integer,b,B,,\n\
                    ,text,seen,Seen,\"concat(${a}, '-', ${b})\",\"${a}, ${b}\"\n";
    let found = crate::form::import::import(workbook.as_bytes(), "f");
    let mut session = Session::new(Arc::new(Model::new(found.def.unwrap()).unwrap()), around());
    set(&mut session, "/data/a", "1").unwrap();
    assert_eq!(get(&session, "/data/seen"), "1-");
    set(&mut session, "/data/b", "2").unwrap();
    assert_eq!(get(&session, "/data/seen"), "1-2");
}

#[test]
fn choices_in_random_order_stay_in_it_when_a_form_is_opened_again() {
    let names: Vec<String> = (0..30).map(|i| format!(r#"{{"name":"c{i}"}}"#)).collect();
    let lists = format!(r#"{{"many":{{"choices":[{}]}}}}"#, names.join(","));
    let more = r#""choices":{"list":"many"},"parameters":{"randomize":"true"}"#;
    let model = model(&items(&[q("select_one", "s", more)]), &lists);
    let order = |shuffle: Option<i64>, chance: u64| -> Vec<Arc<str>> {
        let mut around = Surroundings::new(Arc::new(ManualClock::at(NOW_MS)), Arc::new(SeededEntropy::new(chance)), 0);
        around.shuffle = shuffle;
        let session = Session::open(Arc::clone(&model), around, &Edits::new());
        session.choices(session.at_path("/data/s").unwrap()).into_iter().map(|c| c.name).collect()
    };
    assert_eq!(order(Some(7), 1), order(Some(7), 2), "one form instance, opened twice");
    assert_ne!(order(Some(7), 1), order(Some(8), 1), "two form instances");
    assert_ne!(order(None, 1), order(None, 2), "by chance when nobody says which instance it is");
}
