//! Hostile snapshots: refused, or a record like any other.

use super::hostile::{body, branched, frame, mutate};
use super::*;
use crate::clock::SeededEntropy;

fn identity() -> Identity {
    Identity::of_type("visit")
}

fn seeds() -> Vec<Vec<u8>> {
    let (mut a, _) = branched();
    let branched = a.snapshot();
    put(&mut a, 3, "q", 4.5);
    let heads = a.heads();
    let event = Edit { section: Section::Events, key: "ab".repeat(8), value: "{\"n\":1}".into() };
    a.edit(&heads, &author(2), &[event, Edit::answer("m#a/name", "甲")]).unwrap();
    vec![branched, a.snapshot()]
}

/// What was taken holds allowed content only, can be saved, loaded and edited, and its changes stand one by one.
fn examine(mut record: Record, heads: &[ChangeHash]) {
    assert_eq!(record.heads(), heads);
    let mut replayed = visit();
    for change in record.changes() {
        replayed.accept(&change.bytes).unwrap();
    }
    assert_eq!(replayed.view(), record.view());
    put(&mut record, 9, "after", 1);
    let loaded = Record::from_snapshot(identity(), &record.snapshot(), &record.heads()).unwrap();
    assert_eq!(loaded.view(), record.view());
}

/// The mutated document written again by automerge, with the heads that its content gives: past the comparison of heads.
fn with_right_heads(bytes: &[u8]) -> Option<(Vec<u8>, Vec<ChangeHash>)> {
    contain::contain(|| {
        let doc = Automerge::load_unverified_heads(bytes).map_err(|_| Refusal::Snapshot)?;
        Ok((doc.save_nocompress(), hashes_of(&doc.get_heads())))
    })
    .ok()
}

#[test]
fn mutated_snapshots_are_refused_or_give_a_record_like_any_other() {
    let random = SeededEntropy::new(11);
    let seeds = seeds();
    let (mut rewritten, mut taken) = (0, 0);
    for _ in 0..5_000 {
        let seed = &seeds[random.below(seeds.len() as u64) as usize];
        let bytes = frame(0, &mutate(&random, body(seed)));
        let announced = contain::contain(|| Automerge::load(&bytes).map_err(|_| Refusal::Snapshot));
        let announced = announced.map(|doc| hashes_of(&doc.get_heads())).unwrap_or_default();
        if let Ok(record) = Record::from_snapshot(identity(), &bytes, &announced) {
            examine(record, &announced);
        }
        // the scan comes first here too: what it stops may hold the processor for long
        if prescan::document(&bytes).is_err() {
            continue;
        }
        if let Some((bytes, heads)) = with_right_heads(&bytes) {
            rewritten += 1;
            if let Ok(record) = Record::from_snapshot(identity(), &bytes, &heads) {
                taken += 1;
                examine(record, &heads);
            }
        }
    }
    assert!(rewritten > 0 && taken > 0, "the mutations reach what lies behind the scan: {rewritten}, {taken}");
}

#[test]
fn a_snapshot_with_deflated_columns_is_refused_before_anything_is_inflated() {
    let mut a = visit();
    put(&mut a, 1, "q", "a".repeat(limits::TEXT_BYTES));
    let deflated = a.doc().save();
    assert!(deflated.len() < 1_000, "{} bytes", deflated.len());
    assert_eq!(prescan::document(&deflated), Err(Refusal::Malformed));
    assert_eq!(Record::from_snapshot(identity(), &deflated, &a.heads()).unwrap_err(), Refusal::Malformed);
    assert!(Record::from_snapshot(identity(), &a.snapshot(), &a.heads()).is_ok());
}

#[test]
fn a_few_bytes_of_run_lengths_in_a_snapshot_are_refused_before_decoding() {
    // no actors, no heads, one column of changes and none of operations: a run of 100,000 equal rows
    let bomb = frame(0, &[0, 0, 1, 0x03, 4, 0, 0xa0, 0x8d, 0x06, 1]);
    assert_eq!(prescan::document(&bomb), Err(Refusal::TooManyOperations));
}

#[test]
fn a_snapshot_with_more_after_it_or_of_another_kind_is_refused() {
    let mut a = visit();
    let change = put(&mut a, 1, "q", 1);
    let mut twice = a.snapshot();
    twice.extend(&change.bytes);
    for bytes in [twice, change.bytes] {
        assert!(Record::from_snapshot(identity(), &bytes, &a.heads()).is_err());
    }
}
