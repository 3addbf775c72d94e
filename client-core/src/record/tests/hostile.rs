//! Hostile bytes: nothing is accepted that can't be saved, loaded and edited again.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ObjId, ObjType, ROOT, ReadDoc};
use sha2::{Digest, Sha256};

use super::*;
use crate::clock::SeededEntropy;

/// A chunk with the right checksum.
pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind];
    let mut n = body.len();
    while n > 0x7f {
        chunk.push(n as u8 & 0x7f | 0x80);
        n >>= 7;
    }
    chunk.push(n as u8);
    chunk.extend(body);
    let mut raw = vec![0x85, 0x6f, 0x4a, 0x83];
    raw.extend(&Sha256::digest(&chunk)[..4]);
    raw.extend(chunk);
    raw
}

/// What follows a chunk's kind and length.
pub(super) fn body(raw: &[u8]) -> &[u8] {
    let length = raw[9..].iter().position(|b| b & 0x80 == 0).unwrap();
    &raw[10 + length..]
}

/// A record with two concurrent heads, and changes on top of one, the other and both.
pub(super) fn branched() -> (Record, Vec<RawChange>) {
    let (mut a, mut b) = (visit(), visit());
    put(&mut a, 1, "q", 1);
    let y = put(&mut b, 2, "q", "two");
    let on_b = put(&mut b.clone(), 2, "r", true);
    let on_a = put(&mut a.clone(), 1, "q", 3);
    a.accept(&y.bytes).unwrap();
    let on_both = put(&mut a.clone(), 3, "q", 4.5);
    (a, vec![on_a, on_b, on_both])
}

/// One to three random bytes or bits changed, removed or put in.
pub(super) fn mutate(random: &SeededEntropy, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next_u64() as u8,
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.next_u64() as u8),
        }
    }
    bytes
}

#[test]
fn mutated_changes_are_refused_or_leave_a_record_that_saves_loads_and_takes_edits() {
    let random = SeededEntropy::new(7);
    let (base, seeds) = branched();
    let mut accepted = 0;
    for _ in 0..20_000 {
        let seed = &seeds[random.below(seeds.len() as u64) as usize];
        let bytes = mutate(&random, body(&seed.bytes));
        let mut record = base.clone();
        if record.accept_by_guard(&frame(1, &bytes)).is_ok() {
            accepted += 1;
            record.check_with_automerge().unwrap();
            put(&mut record, 9, "after", 1);
            let snapshot = record.snapshot().unwrap();
            let loaded = Record::from_snapshot(record.identity.clone(), &snapshot, &record.heads()).unwrap();
            assert_eq!(loaded.view(), record.view());
        }
    }
    assert!(accepted > 0, "the mutations reach what lies behind the guard");
}

/// A change made with automerge itself, past every check of ours.
fn forged(
    record: &Record,
    actor: &[u8],
    write: impl FnOnce(&mut automerge::transaction::Transaction<'_>, &ObjId),
) -> Vec<u8> {
    let mut doc = record.document().unwrap().with_actor(automerge::ActorId::from(actor));
    let (_, answers) = doc.get(ROOT, "answers").unwrap().unwrap();
    let mut tx = doc.transaction();
    write(&mut tx, &answers);
    let (hash, _) = tx.commit_with(CommitOptions::default().with_message(author(1).note.to_string()).with_time(1));
    doc.get_change_by_hash(&hash.unwrap()).unwrap().raw_bytes().to_vec()
}

#[test]
fn operations_other_than_puts_into_the_three_maps_are_refused() {
    let mut base = visit();
    put(&mut base, 1, "q", 1);
    let check = |raw: Vec<u8>, refusal: Refusal| assert_eq!(base.clone().accept(&raw), Err(refusal));
    let record = visit();
    let made = forged(&record, &[5; 16], |tx, answers| drop(tx.put_object(answers, "o", ObjType::Map).unwrap()));
    check(made, Refusal::ForbiddenOperation);
    let root = forged(&record, &[5; 16], |tx, _| tx.put(ROOT, "x", 1).unwrap());
    check(root, Refusal::UnknownObject);
    let counter =
        forged(&record, &[5; 16], |tx, answers| tx.put(answers, "c", automerge::ScalarValue::counter(1)).unwrap());
    check(counter, Refusal::ForbiddenValue);
    let genesis = record.genesis.actor.to_bytes().to_vec();
    check(forged(&record, &genesis, |tx, answers| tx.put(answers, "x", 1).unwrap()), Refusal::GenesisActor);
    let long = forged(&record, &[5; 20], |tx, answers| tx.put(answers, "x", 1).unwrap());
    check(long, Refusal::ActorLength);
    let key = forged(&record, &[5; 16], |tx, answers| tx.put(answers, "no key", 1).unwrap());
    check(key, Refusal::ForbiddenKey);
    let foreign = Record::new(Identity::of_type("household"));
    let raw = forged(&foreign, &[5; 16], |tx, answers| tx.put(answers, "x", 1).unwrap());
    check(raw, Refusal::MissingDependencies(vec![foreign.genesis_hash()]));
    let deleted = forged(&base.clone(), &[5; 16], |tx, answers| tx.delete(answers, "q").unwrap());
    check(deleted, Refusal::ForbiddenOperation);
}

#[test]
fn the_same_actor_and_number_with_other_content_is_equivocation_and_a_gap_is_refused() {
    let (mut a, mut b) = (visit(), visit());
    put(&mut a, 1, "q", 1);
    let twin = put(&mut b, 1, "q", 2);
    assert_eq!(a.accept(&twin.bytes), Err(Refusal::Equivocation));
    let later = put(&mut b, 1, "q", 3);
    assert_eq!(visit().accept(&later.bytes), Err(Refusal::MissingDependencies(vec![twin.hash])));
}

#[test]
fn a_few_bytes_of_run_lengths_and_a_start_counter_near_the_end_are_refused_before_decoding() {
    // one dependency, actor, sequence 1, start counter, time 0, a message of one byte, no other actor
    let head = |start: &[u8]| {
        let mut bytes = vec![1];
        bytes.extend([7; 32]);
        bytes.push(16);
        bytes.extend([5; 16]);
        bytes.push(1);
        bytes.extend(start);
        bytes.extend([0, 1, b'u', 0]);
        bytes
    };
    let mut bomb = head(&[2]);
    // one column of actions: a run of 2^35 puts
    bomb.extend([1, 0x42, 7, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1]);
    assert_eq!(visit().accept(&frame(1, &bomb)), Err(Refusal::TooManyOperations));
    let overflow = head(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(visit().accept(&frame(1, &overflow)), Err(Refusal::StartOp));
    let mut deflated = put(&mut visit(), 1, "q", 1).bytes;
    deflated[8] = 2;
    assert_eq!(visit().accept(&deflated), Err(Refusal::NotAChange));
    let mut wrong = put(&mut visit(), 1, "q", 1).bytes;
    wrong[4] ^= 1;
    assert_eq!(visit().accept(&wrong), Err(Refusal::Checksum));
}
