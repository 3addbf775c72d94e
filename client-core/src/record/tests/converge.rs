//! The same changes in any order give the same record.

use proptest::prelude::*;

use super::*;

/// One step: who edits which key with which value, and whether the editor first takes what everybody has.
fn step() -> impl Strategy<Value = (usize, usize, i64, bool)> {
    (0usize..3, 0usize..EDITS, 0i64..3, any::<bool>())
}

const KEYS: [&str; 5] = ["a", "b", "m#x1/name", "m#x1/@order", "m#x2/name"];
const EDITS: usize = KEYS.len() + 4;

/// An answer, a tick, the removal of a repeat instance, an event or a file, each of few so that helpers meet.
fn edit(which: usize, value: i64) -> Edit {
    let object = || Value::Text(format!("{{\"n\":{value}}}"));
    match which.checked_sub(KEYS.len()) {
        None => Edit::answer(KEYS[which], value),
        Some(0) => Edit::answer("t=x", value > 0),
        Some(1) => Edit::answer("m#x1/@deleted", value > 0),
        Some(2) => Edit { section: Section::Events, key: format!("{value:016x}"), value: object() },
        Some(_) => Edit { section: Section::Files, key: format!("{:064x}", value % 2), value: object() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_delivery_gives_the_same_view_and_history(
        steps in proptest::collection::vec(step(), 1..20),
        seed in any::<u64>(),
    ) {
        let mut devices = [visit(), visit(), visit()];
        let mut all: Vec<RawChange> = Vec::new();
        for (who, key, value, pull) in steps {
            if pull {
                for change in &all {
                    devices[who].accept_checked(&change.bytes).unwrap();
                }
            }
            let heads = devices[who].heads();
            match devices[who].edit(&heads, &author(who as u8 + 1), &[edit(key, value)]) {
                Ok(change) => all.extend(change),
                Err(EditError::EventExists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let mut together = visit();
        for change in &all {
            together.accept(&change.bytes).unwrap();
        }
        let mut shuffled = visit();
        let random = crate::clock::SeededEntropy::new(seed);
        let mut waiting = all.clone();
        while !waiting.is_empty() {
            let change = waiting.swap_remove(random.below(waiting.len() as u64) as usize);
            match shuffled.accept(&change.bytes) {
                Ok(_) => {}
                Err(Refusal::MissingDependencies(_) | Refusal::Sequence) => waiting.push(change),
                Err(other) => panic!("{other}"),
            }
        }
        prop_assert_eq!(together.heads(), shuffled.heads());
        prop_assert_eq!(together.view(), shuffled.view());
        prop_assert_eq!(together.history(), shuffled.history());
        prop_assert_eq!(together.events(), shuffled.events());
    }
}
