//! Microseconds per operation of the record layer. Run with
//! `cargo run --release -p doorstep-core --example record_speed [times] [word in the name]`. Of many short batches the one at the fastest
//! twentieth is shown, so that a busy machine does little harm.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measuring program")]

use std::hint::black_box;
use std::time::Instant;

use doorstep_core::id::{ActorId, Identity, UserId};
use doorstep_core::record::{Author, ChangeNote, Edit, FormRef, RawChange, Record, Value};

const BATCH: usize = 5;

/// Prints microseconds per operation.
fn measure<T>(name: &str, mut work: impl FnMut(usize) -> T) {
    if std::env::args().nth(2).is_some_and(|word| !name.contains(&word)) {
        return;
    }
    let batches = std::env::args().nth(1).and_then(|times| times.parse().ok()).unwrap_or(4_000) / BATCH;
    let mut times: Vec<f64> = (0..batches)
        .map(|batch| {
            let start = Instant::now();
            (0..BATCH).for_each(|i| drop(black_box(work(batch * BATCH + i))));
            start.elapsed().as_secs_f64() * 1e6 / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{:8.1} us  {name}", times[batches / 20]);
}

fn author(n: u8) -> Author {
    let note =
        ChangeNote { form: Some(FormRef { name: "visit".into(), version: 3 }), ..ChangeNote::by(UserId([n; 16])) };
    Author { actor: ActorId([n; 16]), note, claimed_s: 1_790_000_000 }
}

fn visit_edits() -> Vec<Edit> {
    let mut edits: Vec<Edit> = (0..14).map(|i| Edit::answer(format!("question_{i}"), "一般情况")).collect();
    edits.extend((0..4).map(|i| Edit::answer(format!("amount_{i}"), i * 1000)));
    edits.extend((0..3).map(|i| Edit::answer(format!("needs={i}"), i % 2 == 0)));
    edits.push(Edit::answer("remark", Value::Blank));
    edits
}

fn household_edits() -> Vec<Edit> {
    let mut edits: Vec<Edit> = (0..13).map(|i| Edit::answer(format!("question_{i}"), "甘家村三组")).collect();
    for member in ["m1", "m2", "m3", "m4"] {
        edits.push(Edit::answer(format!("member#{member}/name"), "张三"));
        edits.push(Edit::answer(format!("member#{member}/birth"), "1970-01-02"));
        edits.push(Edit::answer(format!("member#{member}/@order"), 1));
    }
    edits
}

fn made(identity: &Identity, edits: &[Edit]) -> (Record, RawChange) {
    let mut record = Record::new(identity.clone());
    let raw = record.edit(&[], &author(1), edits).unwrap().unwrap();
    (record, raw)
}

fn main() {
    let visit = Identity::of_type("visit");
    let household = Identity::of_type("household");
    let (visit_record, new_visit) = made(&visit, &visit_edits());
    let (household_record, new_household) = made(&household, &household_edits());
    let later = {
        let mut record = household_record.clone();
        let heads = record.heads();
        record.edit(&heads, &author(2), &[Edit::answer("question_3", "新村")]).unwrap().unwrap()
    };
    println!(
        "a visit of {} bytes, a household of {}, an edit of {}",
        new_visit.bytes.len(),
        new_household.bytes.len(),
        later.bytes.len()
    );
    measure("new visit: Record::new", |_| Record::new(visit.clone()));
    measure("new visit: new, accept", |_| {
        let mut record = Record::new(visit.clone());
        record.accept(&new_visit.bytes).unwrap();
        record
    });
    measure("new visit: new, accept, view  (target 60)", |_| {
        let mut record = Record::new(visit.clone());
        record.accept(&new_visit.bytes).unwrap();
        record.view()
    });
    measure("visit: view alone", |_| visit_record.view());
    measure("visit: answers alone", |_| visit_record.answers());
    measure("visit: clone", |_| visit_record.clone());
    measure("household: load from 1 change", |_| {
        let mut record = Record::new(household.clone());
        record.apply_trusted([&new_household.bytes]).unwrap();
        record
    });
    measure("household: load, accept edit", |_| {
        let mut record = Record::new(household.clone());
        record.apply_trusted([&new_household.bytes]).unwrap();
        record.accept(&later.bytes).unwrap();
        record
    });
    measure("household: load, accept edit, view  (target 100)", |_| {
        let mut record = Record::new(household.clone());
        record.apply_trusted([&new_household.bytes]).unwrap();
        record.accept(&later.bytes).unwrap();
        record.view()
    });
    measure("household: clone, accept edit", |_| {
        let mut record = household_record.clone();
        record.accept(&later.bytes).unwrap();
        record
    });
    measure("household: view alone", |_| household_record.view());
    measure("keyed: Record::new", |i| {
        let key = doorstep_core::id::RecordId((i as u128).to_be_bytes());
        Record::new(Identity::keyed("screening", &[key]))
    });
    measure("visit: edit of a new record", |_| made(&visit, &visit_edits()));
    measure("visit: accept_checked of a new visit", |_| {
        let mut record = Record::new(visit.clone());
        record.accept_checked(&new_visit.bytes).unwrap();
        record
    });
    long_history(&household, &new_household);
}

/// Two hundred edits by twenty devices.
fn long_history(household: &Identity, first: &RawChange) {
    let mut record = Record::new(household.clone());
    record.accept(&first.bytes).unwrap();
    let mut changes = vec![first.bytes.clone()];
    for i in 0..200u8 {
        let heads = record.heads();
        let edit = Edit::answer(format!("question_{}", i % 13), i64::from(i));
        changes.push(record.edit(&heads, &author(2 + i % 20), &[edit]).unwrap().unwrap().bytes);
    }
    let last = changes.pop().unwrap();
    let mut before = Record::new(household.clone());
    before.apply_trusted(&changes).unwrap();
    let (snapshot, heads) = (before.snapshot().unwrap(), before.heads());
    measure("200 edits: load from snapshot", |_| Record::from_snapshot(household.clone(), &snapshot, &heads).unwrap());
    measure("200 edits: load from changes", |_| {
        let mut record = Record::new(household.clone());
        record.apply_trusted(&changes).unwrap();
        record
    });
    measure("200 edits: clone, accept the last", |_| {
        let mut record = before.clone();
        record.accept(&last).unwrap();
        record
    });
    measure("200 edits: clone", |_| before.clone());
    measure("200 edits: view", |_| record.view());
}
