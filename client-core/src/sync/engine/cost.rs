//! What a sync would cost, before it.

use super::super::{Cancel, SyncError};
use super::{Asking, BATCH_CHANGES, Engine, Memory};
use crate::protocol::{ReplyDecoder, ReplyFrame};
use crate::store::PendingUpload;

/// The cost of a sync, before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests that it takes to send everything, if none is cut.
    pub requests: u32,
    /// Bytes of their bodies. The uploads in them are exact; what goes before each upload may grow by up to 32 bytes while
    /// the sync moves on, by up to 1.7 KB where changes come to wait. Requests that only read more, HTTP's headers and repetitions after a cut come on top.
    pub bytes_up: u64,
    /// Changes in them; exact.
    pub changes_up: u64,
    /// Changes that wait on the server, if asked.
    pub changes_down: Option<u64>,
    /// Their bytes before compression (about a third travels), if asked.
    pub bytes_down: Option<u64>,
}

impl Engine {
    /// What the next sync would cost: all that waits to go up; and what waits on the server, asked with a small request if
    /// `ask`. Changes nothing on the phone and, unless it asks, uses no number of a request.
    pub fn cost(&self, ask: bool, cancel: &Cancel) -> Result<Cost, SyncError> {
        let (memory, counter) = (Memory::default(), self.store.sync_state()?.counter);
        let uploads: Vec<Option<PendingUpload>> = match self.store.upcoming_uploads(BATCH_CHANGES)? {
            uploads if uploads.is_empty() => vec![None],
            uploads => uploads.into_iter().map(Some).collect(),
        };
        let mut cost = Cost::default();
        for upload in &uploads {
            cost.requests += 1;
            let (request, ..) =
                self.request(&memory, upload.as_ref(), Asking::Sync, counter + u64::from(cost.requests))?;
            cost.bytes_up += request.len() as u64;
            cost.changes_up += upload.as_ref().map_or(0, |u| u.changes as u64);
        }
        if ask {
            let (request, tenant_key, _) = self.request(&memory, None, Asking::Cost, self.store.next_counter()?)?;
            let mut reply = self.transport.exchange(request, cancel)?;
            let mut decoder = ReplyDecoder::new(tenant_key)?;
            while let Some(chunk) = reply.next_chunk()? {
                for frame in decoder.push(&chunk)? {
                    if let ReplyFrame::Cost { changes, bytes } = frame {
                        (cost.changes_down, cost.bytes_down) = (Some(changes), Some(bytes));
                    }
                }
            }
        }
        Ok(cost)
    }
}
