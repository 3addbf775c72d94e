//! Uploads that are refused as a whole: kept as evidence, bounded by device, while everything else goes on.
//!
//! Only an admitted exchange gets here: whoever isn't authenticated can't fill the quarantine.

use doorstep_core::protocol::{ReplyFrame, Upload, UploadRefusal};
use sha2::{Digest, Sha256};

use super::{Exchange, Refused};
use crate::limits;
use crate::metrics::add;
use crate::storage::RefusedUpload;

impl Exchange {
    /// More bytes came than the hello said: keeps the beginning and gives the refusal.
    pub fn oversized(&self, bytes: &[u8]) -> Refused {
        let digest = Sha256::digest(bytes).into();
        self.keep_refused(self.hello.upload.as_ref(), digest, bytes, UploadRefusal::TooLarge);
        UploadRefusal::TooLarge.into()
    }

    /// Keeps an upload that isn't taken. That it can't be kept must not hide from the phone why it was refused.
    pub(super) fn keep_refused(&self, upload: Option<&Upload>, digest: [u8; 32], bytes: &[u8], why: UploadRefusal) {
        add(&self.service.metrics.uploads_refused, 1);
        let refused = RefusedUpload {
            township: self.device.township,
            device: self.device.id,
            received_ms: self.received_ms,
            branch: self.hello.branch,
            number: upload.map_or(0, |u| u.number),
            reason: why.code(),
            digest,
            bytes,
        };
        let device = self.device.id;
        match self.service.storage.keep_refused_upload(&refused, &limits::REFUSED_UPLOADS) {
            Ok(()) => {
                tracing::warn!(%device, reason = why.code(), bytes = bytes.len(), "an upload was refused and kept")
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%device, reason = why.code(), error, "a refused upload could not be kept");
            }
        }
    }
}

/// Why an upload wasn't taken, if it wasn't: an error that refuses it, or a frame that says so.
pub(super) fn refusal_of(taken: &Result<(), Refused>, frames: &[ReplyFrame]) -> Option<UploadRefusal> {
    match taken {
        Err(Refused::Upload(why)) => Some(*why),
        Err(_) => None,
        Ok(()) => frames.iter().find_map(|frame| match frame {
            ReplyFrame::BranchTaken { .. } => Some(UploadRefusal::BranchTaken),
            ReplyFrame::BatchGap { .. } => Some(UploadRefusal::BatchGap),
            _ => None,
        }),
    }
}
