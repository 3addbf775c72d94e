//! How fast forms run: one answer with 200 dependents in a form of 1,000 questions, 10,000 choices filtered by equality, opening,
//! and the memory of an open session. Run with `cargo run --release -p doorstep-core --example form_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measuring program")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::form::model::{Files, Model};
use doorstep_core::form::session::{RecheckOptions, Rules, Session, Surroundings, recheck};
use doorstep_core::form::{Form, FormDef, Pack};

/// 1,000 questions: one that 100 calculations, 60 conditions and 40 calculations of calculations depend on, and others.
fn definition() -> FormDef {
    let mut items = String::from(r#"{"item":"question","type":"integer","name":"source","labels":{"en":"Source"}}"#);
    for i in 0..100 {
        let calculation = format!("${{source}} * {i} + if(${{source}} > {i}, 1, 2)");
        write!(items, r#",{{"item":"question","type":"calculate","name":"c{i}","calculation":"{calculation}"}}"#)
            .unwrap();
    }
    for i in 0..40 {
        let calculation = format!("round(${{c{i}}} div 7, 2) + ${{c{}}}", i + 40);
        write!(items, r#",{{"item":"question","type":"calculate","name":"d{i}","calculation":"{calculation}"}}"#)
            .unwrap();
    }
    for i in 0..60 {
        let more = format!(r#""labels":{{"en":"T {i}"}},"relevant":"${{source}} > {i} and ${{source}} mod 2 = 0""#);
        write!(items, r#",{{"item":"question","type":"text","name":"t{i}",{more}}}"#).unwrap();
    }
    for i in 0..797 {
        let more = format!(r#""labels":{{"en":"Question {i}"}},"constraint":". != 'x{i}'""#);
        write!(items, r#",{{"item":"question","type":"text","name":"p{i}",{more}}}"#).unwrap();
    }
    items.push_str(r#",{"item":"question","type":"text","name":"county","labels":{"en":"County"}}"#);
    items.push_str(
        r#",{"item":"question","type":"select_one","name":"village","choices":{"list":"village"},
           "choice_filter":"county = ${county}","labels":{"en":"Village"}}"#,
    );
    let mut choices = String::new();
    for i in 0..10_000 {
        let comma = if i == 0 { "" } else { "," };
        write!(
            choices,
            r#"{comma}{{"name":"v{i}","labels":{{"en":"Village {i}","zh":"第{i}村"}},"county":"k{}"}}"#,
            i % 300
        )
        .unwrap();
    }
    let json = format!(
        r#"{{"name":"big","version":1,"titles":{{"en":"Big"}},"record_type":"big","default_language":"en",
            "languages":["en","zh"],"items":[{items}],"choice_lists":{{"village":{{"choices":[{choices}]}}}}}}"#
    );
    FormDef::from_json(&json).unwrap()
}

fn median(name: &str, times: usize, mut work: impl FnMut(usize)) {
    let mut spent: Vec<f64> = (0..times)
        .map(|i| {
            let start = Instant::now();
            work(i);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    spent.sort_by(f64::total_cmp);
    println!(
        "{:10.1} us median, {:10.1} us at the slowest twentieth: {name}",
        spent[times / 2],
        spent[times * 19 / 20]
    );
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0 / 1_048_576.0
}

fn main() {
    let around =
        || Surroundings::new(Arc::new(ManualClock::at(1_790_000_000_000)), Arc::new(SeededEntropy::new(1)), 480);
    let before = resident_mib();
    let form = Arc::new(Form::new(definition()));
    println!("{:10.1} MiB: the form itself, which all its sessions share", resident_mib() - before);
    let before = resident_mib();
    let model = Arc::new(Model::with_files(Arc::clone(&form), &Files::new()).unwrap());
    let mut session = Session::new(Arc::clone(&model), around());
    let source = session.at_path("/data/source").unwrap();
    let county = session.at_path("/data/county").unwrap();
    let village = session.at_path("/data/village").unwrap();
    session.answer(county, "k7").unwrap();
    assert_eq!(session.choices(village).len(), 34);
    println!("{:10.1} MiB: the model with its choices, and an open session", resident_mib() - before);
    median("an answer that 200 nodes depend on, of 1,000", 2_000, |i| {
        black_box(session.answer(source, if i % 2 == 0 { "1000" } else { "7" }).unwrap());
    });
    median("10,000 choices filtered by equality", 2_000, |i| {
        session.answer(county, &format!("k{}", i % 300)).unwrap();
        black_box(session.choices(village));
    });
    median("the pages that apply", 500, |_| drop(black_box(session.pages())));
    median("all problems", 500, |_| drop(black_box(session.problems())));
    let mut answers = session.take_edits();
    answers.extend(session.answers());
    median("a session opened on its answers", 200, |_| {
        black_box(Session::open(Arc::clone(&model), around(), &answers));
    });
    let rules = Rules::of(Arc::clone(&model));
    median("a recheck of the record", 200, |_| {
        drop(black_box(recheck(&rules, &answers, around(), &RecheckOptions::default())))
    });
    median("a model compiled", 20, |_| {
        drop(black_box(Model::with_files(Arc::clone(&form), &Files::new()).unwrap()));
    });
    for form in Pack::built_in().forms() {
        let model = Arc::new(Model::with_files(form.clone(), &Files::new()).unwrap());
        let answers = Session::new(Arc::clone(&model), around()).answers();
        let rules = Rules::of(model);
        println!("{}: mixed {}, more than bounds {}", form.def().name, rules.are_mixed(), rules.say_more(false));
        median(&format!("a recheck of {}", form.def().name), 500, |_| {
            drop(black_box(recheck(&rules, &answers, around(), &RecheckOptions::default())));
        });
    }
}
