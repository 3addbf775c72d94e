//! The same changes in any order give the same record.

use proptest::prelude::*;

use super::*;

/// One step: who edits which key with which value, and whether the editor first takes what everybody has.
fn step() -> impl Strategy<Value = (usize, usize, i64, bool)> {
    (0usize..3, 0usize..6, 0i64..3, any::<bool>())
}

const KEYS: [&str; 6] = ["a", "b", "m#x1/name", "m#x1/@order", "c", "m#x2/name"];

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
            let edit = Edit::answer(KEYS[key], value);
            all.extend(devices[who].edit(&heads, &author(who as u8 + 1), &[edit]).unwrap());
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
    }
}
