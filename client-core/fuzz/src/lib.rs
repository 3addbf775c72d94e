//! What the fuzz targets share: a record with concurrent heads, chunks with right checksums, and the promise of every
//! record that was taken.

use doorstep_core::id::{ActorId, ChangeHash, Identity, TenantKey, UserId};
use doorstep_core::record::{Author, ChangeNote, Edit, FormRef, RawChange, Record, Section};
use sha2::{Digest, Sha256};

/// The kind of a document chunk.
pub const DOCUMENT: u8 = 0;
/// The kind of a change chunk.
pub const CHANGE: u8 = 1;
/// The key from which natural record ids follow.
pub const TENANT_KEY: TenantKey = TenantKey([7; 32]);

/// The records' identity.
pub fn identity() -> Identity {
    Identity::of_type("visit")
}

fn author(n: u8) -> Author {
    let note =
        ChangeNote { form: Some(FormRef { name: "visit".into(), version: 3 }), ..ChangeNote::by(UserId([n; 16])) };
    Author { actor: ActorId([n; 16]), note, claimed_s: 1_790_000_000 }
}

/// Puts an answer at the record's heads.
pub fn put(record: &mut Record, n: u8, key: &str, value: i64) -> RawChange {
    let heads = record.heads();
    record.edit(&heads, &author(n), &[Edit::answer(key, value)]).expect("an allowed edit").expect("a new value")
}

/// A record with two concurrent heads, and changes on top of one, of the other and of both.
pub fn branched() -> (Record, Vec<RawChange>) {
    let (mut a, mut b) = (Record::new(identity()), Record::new(identity()));
    put(&mut a, 1, "q", 1);
    let y = put(&mut b, 2, "q", 2);
    let on_b = put(&mut b.clone(), 2, "m#a/r", 7);
    let on_a = put(&mut a.clone(), 1, "q", 3);
    a.accept(&y.bytes).expect("a change of the same record");
    let on_both = put(&mut a.clone(), 3, "q", 4);
    let heads = a.heads();
    let event = Edit { section: Section::Events, key: "ab".repeat(8), value: "{\"n\":1}".into() };
    let event = a.clone().edit(&heads, &author(4), &[event, Edit::answer("t=x", true)]).expect("an allowed edit");
    (a, [on_a, on_b, on_both].into_iter().chain(event).collect())
}

/// A chunk with the right length and checksum.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind];
    let mut n = body.len();
    while n > 0x7f {
        chunk.push(n as u8 & 0x7f | 0x80);
        n >>= 7;
    }
    chunk.push(n as u8);
    chunk.extend_from_slice(body);
    let mut raw = vec![0x85, 0x6f, 0x4a, 0x83];
    raw.extend_from_slice(&Sha256::digest(&chunk)[..4]);
    raw.extend(chunk);
    raw
}

/// What follows a chunk's kind and length.
pub fn body(raw: &[u8]) -> &[u8] {
    let length = raw[9..].iter().position(|b| b & 0x80 == 0).expect("a length");
    &raw[10 + length..]
}

/// Panics unless the record can be edited, saved and loaded again.
pub fn examine(record: &mut Record, heads: Option<&[ChangeHash]>) {
    if let Some(heads) = heads {
        assert_eq!(record.heads(), heads);
    }
    put(record, 9, "after", 1);
    let snapshot = record.snapshot().expect("what was taken stands in automerge");
    let loaded = Record::from_snapshot(identity(), &snapshot, &record.heads()).expect("a snapshot of our own");
    assert_eq!(loaded.view(), record.view());
    assert_eq!(loaded.history(), record.history());
}
