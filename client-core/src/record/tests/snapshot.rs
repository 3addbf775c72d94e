//! Hostile snapshots: refused, or a record like any other.

use automerge::legacy::{ObjectId, OpId, OpType};

use super::forged::altered;
use super::hostile::{body, branched, frame, mutate};
use super::*;
use crate::clock::SeededEntropy;

fn identity() -> Identity {
    Identity::of_type("visit")
}

fn heads_of(doc: &Automerge) -> Vec<ChangeHash> {
    doc.get_heads().iter().map(|head| ChangeHash(head.0)).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let (mut a, _) = branched();
    let branched = a.snapshot().unwrap();
    put(&mut a, 3, "q", 4.5);
    let heads = a.heads();
    let event = Edit { section: Section::Events, key: "ab".repeat(8), value: "{\"n\":1}".into() };
    a.edit(&heads, &author(2), &[event, Edit::answer("m#a/name", "甲")]).unwrap();
    vec![branched, a.snapshot().unwrap()]
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
    let loaded = Record::from_snapshot(identity(), &record.snapshot().unwrap(), &record.heads()).unwrap();
    assert_eq!(loaded.view(), record.view());
}

#[test]
fn mutated_snapshots_are_refused_or_give_a_record_like_any_other() {
    let random = SeededEntropy::new(11);
    let seeds = seeds();
    let mut loaded = 0;
    for _ in 0..5_000 {
        let seed = &seeds[random.below(seeds.len() as u64) as usize];
        let bytes = frame(0, &mutate(&random, body(seed)));
        // the scan comes first here too: what it stops may hold the processor for long
        if prescan::document(&bytes).is_err() {
            continue;
        }
        // heads as hostile as the rest: those that the content has, or claims to have
        let heads = contain::contain(|| Automerge::load_unverified_heads(&bytes).map_err(|_| Refusal::Snapshot));
        let Ok(heads) = heads.map(|doc| heads_of(&doc)) else { continue };
        loaded += 1;
        if let Ok(record) = Record::from_snapshot(identity(), &bytes, &heads) {
            examine(record, &heads);
        }
    }
    assert!(loaded > 500, "the mutations reach what lies behind the scan");
}

/// A snapshot that automerge wrote of a record and one more change, whatever the guard thinks of that.
fn with_change(base: &Record, raw: &[u8]) -> Option<(Vec<u8>, Vec<ChangeHash>)> {
    contain::contain(|| {
        let mut doc = base.document()?;
        let change = Change::try_from(raw).map_err(|_| Refusal::Malformed)?;
        doc.apply_changes([change]).map_err(|_| Refusal::Refused)?;
        Ok((doc.save_nocompress(), heads_of(&doc)))
    })
    .ok()
}

#[test]
fn a_snapshot_brings_in_nothing_that_a_change_could_not() {
    let (base, seeds) = branched();
    let random = SeededEntropy::new(5);
    let own = base.genesis.actor.clone();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..400 {
        let seed = &seeds[random.below(seeds.len() as u64) as usize];
        let raw = altered(seed, |c| {
            let op = &mut c.operations[0];
            match random.below(9) {
                0 => op.action = OpType::Put(random.below(9).cast_signed().into()),
                1 => op.action = OpType::Put(automerge::ScalarValue::counter(1)),
                2 => op.action = OpType::Make(automerge::ObjType::List),
                3 => op.obj = ObjectId::Id(OpId(random.below(6), own.clone())),
                4 => op.key = automerge::legacy::Key::Map(["r", "no key", "@order"][random.below(3) as usize].into()),
                5 => op.pred = std::iter::empty().collect(),
                6 => c.message = None,
                7 => c.time = random.next_u64().cast_signed(),
                _ => c.start_op = (random.below(12) + 1).try_into().unwrap(),
            }
        });
        let Some((bytes, heads)) = with_change(&base, &raw) else { continue };
        let (by_change, by_snapshot) = (base.clone().accept(&raw), Record::from_snapshot(identity(), &bytes, &heads));
        assert_eq!(by_change.is_ok(), by_snapshot.is_ok(), "{by_change:?}");
        match by_snapshot {
            Ok(record) => {
                taken += 1;
                examine(record, &heads);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 20 && refused > 20, "both happen: {taken}, {refused}");
}

#[test]
fn a_snapshot_with_deflated_columns_is_refused_before_anything_is_inflated() {
    let mut a = visit();
    put(&mut a, 1, "q", "a".repeat(limits::TEXT_BYTES));
    let deflated = a.document().unwrap().save();
    assert!(deflated.len() < 1_000, "{} bytes", deflated.len());
    assert_eq!(prescan::document(&deflated), Err(Refusal::Malformed));
    assert_eq!(Record::from_snapshot(identity(), &deflated, &a.heads()).unwrap_err(), Refusal::Malformed);
    assert!(Record::from_snapshot(identity(), &a.snapshot().unwrap(), &a.heads()).is_ok());
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
    let mut twice = a.snapshot().unwrap();
    twice.extend(&change.bytes);
    for bytes in [twice, change.bytes] {
        assert!(Record::from_snapshot(identity(), &bytes, &a.heads()).is_err());
    }
}
