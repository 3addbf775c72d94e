#![no_main]
//! Any bytes as a request, a batch, a refill, a reply or one of its frames: an error, or what reads back the same after
//! it was written again. The first byte chooses.

use doorstep_core::protocol::{Hello, Refill, ReplyDecoder, ReplyFrame, SealedBatch};
use doorstep_fuzz::TENANT_KEY;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    match choice {
        0 => {
            if let Ok(Some(signed)) = Hello::decode(bytes) {
                assert!(signed.length <= bytes.len());
            }
        }
        1 => {
            if let Ok(batch) = SealedBatch::decode(bytes, &TENANT_KEY) {
                let written = batch.encode().expect("what was read can be written");
                assert_eq!(SealedBatch::decode(&written, &TENANT_KEY), Ok(batch));
            }
        }
        2 => {
            if let Ok(refill) = Refill::decode(bytes, &TENANT_KEY) {
                let written = refill.encode().expect("what was read can be written");
                assert_eq!(Refill::decode(&written, &TENANT_KEY), Ok(refill));
            }
        }
        3 => {
            let mut decoder = ReplyDecoder::new(TENANT_KEY).expect("a decoder");
            for part in bytes.chunks(7) {
                if decoder.push(part).is_err() {
                    return;
                }
            }
        }
        kind => {
            if let Ok(frame) = ReplyFrame::decode(u64::from(kind - 3), bytes, &TENANT_KEY) {
                let (kind, written) = frame.encode().expect("what was read can be written");
                assert_eq!(ReplyFrame::decode(kind, &written, &TENANT_KEY), Ok(frame));
            }
        }
    }
});
