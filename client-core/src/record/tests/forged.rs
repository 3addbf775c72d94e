//! Well-formed forgeries: changes that decode and carry a right checksum, but don't fit the record.

use std::num::NonZeroU64;

use automerge::ExpandedChange;
use automerge::legacy::{ObjectId, OpId, OpType};

use super::*;

/// A change made again with parts of it altered, past every check of ours.
pub(super) fn altered(raw: &RawChange, alter: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut decoded = Change::try_from(&raw.bytes[..]).unwrap().decode();
    alter(&mut decoded);
    Change::from(decoded).raw_bytes().to_vec()
}

/// A record with a change by device 1 and one on top by device 2; and changes on top of those, not taken yet.
struct Scene {
    base: Record,
    first: RawChange,
    by_one: RawChange,
    by_three: RawChange,
}

impl Scene {
    fn new() -> Self {
        let mut base = visit();
        let first = put(&mut base, 1, "q", 1);
        put(&mut base, 2, "q", 2);
        let by_one = put(&mut base.clone(), 1, "q", 3);
        let by_three = put(&mut base.clone(), 3, "q", 3);
        Self { base, first, by_one, by_three }
    }

    /// Refused, and the record is as before.
    fn refuses(&self, raw: &[u8], refusal: Refusal) {
        let mut record = self.base.clone();
        assert_eq!(record.accept(raw), Err(refusal));
        assert_eq!(record.snapshot(), self.base.snapshot());
        assert_eq!(record.state.last_of(&ActorId([1; 16])).map(|c| c.hash), Some(self.first.hash));
        record.accept(&self.by_one.bytes).unwrap();
    }
}

#[test]
fn the_scene_itself_is_accepted() {
    let scene = Scene::new();
    for raw in [&scene.by_one, &scene.by_three] {
        assert_eq!(altered(raw, |_| {}), raw.bytes);
        assert!(!scene.base.clone().accept(&raw.bytes).unwrap().already_known);
    }
    assert!(scene.base.clone().accept(&scene.first.bytes).unwrap().already_known);
}

#[test]
fn predecessors_other_than_the_visible_values_are_refused() {
    let scene = Scene::new();
    let overwritten = Change::try_from(&scene.first.bytes[..]).unwrap();
    let overwritten = OpId(overwritten.start_op().get(), overwritten.actor_id().clone());
    let elsewhere = OpId(1, Record::new(Identity::of_type("household")).genesis.actor.clone());
    let unknown = OpId(77, overwritten.1.clone());
    for pred in [vec![], vec![overwritten], vec![elsewhere], vec![unknown]] {
        let raw = altered(&scene.by_three, |c| c.operations[0].pred = pred.into_iter().collect());
        scene.refuses(&raw, Refusal::Predecessors);
    }
    let fresh = put(&mut visit(), 3, "r", 1);
    let of_nothing = altered(&fresh, |c| c.operations[0].pred = [OpId(1, c.actor_id.clone())].into_iter().collect());
    assert_eq!(visit().accept(&of_nothing), Err(Refusal::Predecessors));
}

#[test]
fn a_start_counter_that_does_not_follow_from_the_dependencies_is_refused() {
    let scene = Scene::new();
    for start in [1, 6, 7, 9, 100, 1 << 30] {
        let raw = altered(&scene.by_three, |c| c.start_op = NonZeroU64::new(start).unwrap());
        scene.refuses(&raw, Refusal::StartOp);
    }
}

#[test]
fn a_gap_in_the_sequence_is_refused_even_when_all_dependencies_are_there() {
    let scene = Scene::new();
    for (raw, seq) in [(&scene.by_three, 2), (&scene.by_one, 3), (&scene.by_one, u64::MAX)] {
        scene.refuses(&altered(raw, |c| c.seq = seq), Refusal::Sequence);
    }
    scene.refuses(&altered(&scene.by_one, |c| c.seq = 1), Refusal::Equivocation);
}

#[test]
fn a_change_whose_author_forgot_the_own_previous_one_is_refused() {
    let scene = Scene::new();
    let raw = altered(&scene.first, |c| {
        c.seq = 2;
        c.operations[0].action = OpType::Put(9.into());
    });
    scene.refuses(&raw, Refusal::OwnChangeNotInPast);
}

#[test]
fn objects_of_another_document_and_the_key_fields_are_refused() {
    let scene = Scene::new();
    let foreign = Record::new(Identity::of_type("household")).genesis.actor.clone();
    let own = scene.base.genesis.actor.clone();
    for obj in [
        ObjectId::Root,
        ObjectId::Id(OpId(1, foreign)),
        ObjectId::Id(OpId(4, own.clone())),
        ObjectId::Id(OpId(5, own.clone())),
        ObjectId::Id(OpId(6, own)),
    ] {
        scene.refuses(&altered(&scene.by_three, |c| c.operations[0].obj = obj), Refusal::UnknownObject);
    }
}

#[test]
fn a_deflated_chunk_as_automerge_writes_it_is_refused() {
    let mut change = Change::try_from(&put(&mut visit(), 1, "q", "a".repeat(1000)).bytes[..]).unwrap();
    let deflated = change.bytes().into_owned();
    assert!(deflated.len() < 300 && change.raw_bytes().len() > 1000);
    assert_eq!(visit().accept(&deflated), Err(Refusal::NotAChange));
}

#[test]
fn the_same_change_stands_in_two_records_without_touching_the_other() {
    let (mut a, mut b) = (visit(), visit());
    let raw = put(&mut a, 1, "q", 1);
    b.accept(&raw.bytes).unwrap();
    put(&mut a, 1, "q", 2);
    assert_eq!(b.value(Section::Answers, "q"), Some(1.into()));
    let keyed = Identity::keyed("visit", &[crate::id::RecordId([1; 16])]);
    assert_eq!(Record::new(keyed).accept(&raw.bytes), Err(Refusal::MissingDependencies(vec![a.genesis_hash()])));
}

#[test]
fn a_change_holds_at_most_5000_operations_each_on_its_own_key() {
    let edits = |n: usize| -> Vec<Edit> { (0..n).map(|i| Edit::answer(format!("q{i}"), Value::Blank)).collect() };
    let mut full = visit();
    full.edit(&[], &author(1), &edits(5_000)).unwrap().unwrap();
    assert_eq!(full.answers().len(), 5_000);
    let more = visit().edit(&[], &author(1), &edits(5_001));
    assert_eq!(more, Err(EditError::Refused(Refusal::TooManyOperations)));
    let scene = Scene::new();
    let twice = altered(&scene.by_three, |c| c.operations.push(c.operations[0].clone()));
    scene.refuses(&twice, Refusal::ForbiddenKey);
    scene.refuses(&altered(&scene.by_three, |c| c.operations.clear()), Refusal::TooManyOperations);
}

#[test]
fn keys_and_texts_beyond_their_limits_are_refused_in_edits_and_in_changes() {
    let long_key = "k".repeat(limits::KEY_BYTES + 1);
    let text = |n: usize| Value::Text("字".repeat(n / 3 + 1)[..n / 3 * 3].to_owned() + &"x".repeat(n % 3));
    assert!(visit().edit(&[], &author(1), &[Edit::answer(&long_key[1..], text(limits::TEXT_BYTES))]).is_ok());
    let edit = |edit: Edit| visit().edit(&[], &author(1), &[edit]);
    assert_eq!(edit(Edit::answer(long_key.clone(), 1)), Err(EditError::Key { index: 0 }));
    assert_eq!(edit(Edit::answer("q", text(limits::TEXT_BYTES + 1))), Err(EditError::Value { index: 0 }));
    let scene = Scene::new();
    let key = altered(&scene.by_three, |c| c.operations[0].key = automerge::legacy::Key::Map(long_key.into()));
    scene.refuses(&key, Refusal::ForbiddenKey);
    let long =
        altered(&scene.by_three, |c| c.operations[0].action = OpType::Put(text(limits::TEXT_BYTES + 1).to_scalar()));
    scene.refuses(&long, Refusal::ForbiddenValue);
    let huge =
        altered(&scene.by_three, |c| c.operations[0].action = OpType::Put(text(limits::CHANGE_BYTES).to_scalar()));
    scene.refuses(&huge, Refusal::TooLarge);
}

#[test]
fn values_that_their_key_does_not_take_are_refused() {
    let scene = Scene::new();
    let refused = [f64::NAN, f64::INFINITY, -0.0].map(automerge::ScalarValue::F64);
    for value in refused.into_iter().chain([automerge::ScalarValue::Uint(1), automerge::ScalarValue::Timestamp(1)]) {
        scene.refuses(
            &altered(&scene.by_three, |c| c.operations[0].action = OpType::Put(value)),
            Refusal::ForbiddenValue,
        );
    }
    let fresh = put(&mut visit(), 3, "needs=a", true);
    let tick = altered(&fresh, |c| c.operations[0].action = OpType::Put(1.into()));
    assert_eq!(visit().accept(&tick), Err(Refusal::ForbiddenValue));
}

#[test]
fn an_event_cannot_be_written_over_but_two_helpers_may_write_it_at_once() {
    let event = |n: u8| Edit { section: Section::Events, key: "ab".repeat(8), value: format!("{{\"n\":{n}}}").into() };
    let (mut a, mut b) = (visit(), visit());
    a.edit(&[], &author(1), &[event(1)]).unwrap();
    let concurrent = b.edit(&[], &author(2), &[event(2)]).unwrap().unwrap();
    let over = put(&mut a.clone(), 3, "q", 1);
    let written: Vec<_> =
        a.state.visible(Section::Events, &event(1).key, None).iter().map(|put| a.state.id(put)).collect();
    let over = altered(&over, |c| {
        let op = &mut c.operations[0];
        op.obj = ObjectId::Id(OpId(Genesis::counter(Section::Events), a.genesis.actor.clone()));
        op.key = automerge::legacy::Key::Map(event(1).key.into());
        op.action = OpType::Put("{}".into());
        op.pred = written.iter().map(|(n, actor)| OpId(*n, automerge::ActorId::from(&actor.0[..]))).collect();
    });
    assert_eq!(a.clone().accept(&over), Err(Refusal::ForbiddenKey));
    a.accept(&concurrent.bytes).unwrap();
    assert_eq!(a.events().len(), 2);
}
