#![no_main]
//! Any bytes as a change, with the right checksum: refused, or the record can be edited, saved and loaded again.

use std::sync::LazyLock;

use doorstep_core::record::Record;
use doorstep_fuzz::{CHANGE, branched, examine, frame};
use libfuzzer_sys::fuzz_target;

static BASE: LazyLock<Record> = LazyLock::new(|| branched().0);

fuzz_target!(|data: &[u8]| {
    let mut record = BASE.clone();
    match record.accept(&frame(CHANGE, data)) {
        Ok(_) => examine(&mut record, None),
        Err(_) => assert_eq!(record.heads(), BASE.heads()),
    }
});
