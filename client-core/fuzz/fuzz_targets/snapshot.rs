#![no_main]
//! Any bytes as a document, with the right checksum and announced with any heads: refused, or a record like any other,
//! whose changes stand one by one. The first byte says how many heads the input starts with.

use doorstep_core::id::ChangeHash;
use doorstep_core::record::Record;
use doorstep_fuzz::{DOCUMENT, examine, frame, identity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&n, rest)) = data.split_first() else { return };
    let n = usize::from(n % 4) * 32;
    if rest.len() < n {
        return;
    }
    let (heads, body) = rest.split_at(n);
    let heads: Vec<ChangeHash> = heads.chunks(32).filter_map(ChangeHash::from_slice).collect();
    let Ok(mut record) = Record::from_snapshot(identity(), &frame(DOCUMENT, body), &heads) else { return };
    let mut replayed = Record::new(identity());
    for change in record.changes() {
        replayed.accept(&change.bytes).expect("what a snapshot holds is allowed");
    }
    assert_eq!(replayed.view(), record.view());
    examine(&mut record, Some(&heads));
});
