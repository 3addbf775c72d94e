//! Lost phones: reported, ordered to erase themselves, and what they still had to send.
//!
//! A lost phone reads nothing. Its changes go to quarantine whole, where the office looks at them; it erases itself once it
//! has nothing more to send. What comes under its key after it said so comes from a copy: it is refused, and kept.

use std::sync::Arc;

use doorstep_core::id::DeviceId;
use doorstep_core::protocol::{LOST_DEVICE, ReplyFrame, Upload, UploadRefusal, WipeOrder};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::audit::{Act, Action, Actor};
use super::quarantine::Released;
use super::{Exchange, Refused, Service};
use crate::storage::{Decision, Device, QuarantineFilter, StorageError, WipeStep};

/// Changes of a lost phone that are accepted at once.
const ACCEPTED_AT_ONCE: u32 = 500;

impl Exchange {
    /// The order that goes with every answer to a lost phone; notes how far the erasing has come.
    pub(super) fn wipe_order(&self) -> Result<Option<ReplyFrame>, StorageError> {
        let Some(lost) = self.device.lost else { return Ok(None) };
        let (service, device) = (&self.service, &self.device);
        if lost.told_ms == 0 {
            service.storage.note_wipe(device.id, WipeStep::Told, self.received_ms)?;
        }
        if self.hello.wiping && service.storage.note_wipe(device.id, WipeStep::Wiped, self.received_ms)? {
            let act = Act::new(Action::DeviceWiped).in_township(device.township).device(device.id).user(device.user);
            service.audit(Actor::Device(device.id), act)?;
        }
        let identity = SigningKey::from_bytes(&service.secrets.identity_seed);
        let order = WipeOrder::sign(&identity, service.secrets.tenant, device.id, self.hello.counter);
        Ok(Some(ReplyFrame::Wipe(order)))
    }

    /// Whoever uploads under the key of a phone that erased itself has a copy of it: the bytes are evidence.
    pub(super) fn refuse_wiped(&self, upload: &Upload, rest: &[u8]) -> Refused {
        self.keep_refused(Some(upload), Sha256::digest(rest).into(), rest, UploadRefusal::Wiped);
        UploadRefusal::Wiped.into()
    }
}

impl Service {
    /// Shuts a phone out at once and for good; what is on it stays there. `None` if it is unknown.
    pub fn revoke(&self, actor: Actor, device: DeviceId, reason: &str) -> Result<Option<Device>, StorageError> {
        let Some(known) = self.storage.device(device)? else { return Ok(None) };
        let act = Act::new(Action::DeviceRevoked).in_township(known.township).device(device).user(known.user);
        self.audit(actor, act.because(reason))?;
        self.storage.revoke_device(device)?;
        self.storage.device(device)
    }

    /// Notes that a phone is lost: it reads nothing from now on, and erases itself at its next contact. `None` if it is
    /// unknown.
    pub fn report_lost(&self, actor: Actor, device: DeviceId, reason: &str) -> Result<Option<Device>, StorageError> {
        let Some(known) = self.storage.device(device)? else { return Ok(None) };
        if known.lost.is_none() {
            let act = Act::new(Action::DeviceLost).in_township(known.township).device(device).user(known.user);
            self.audit(actor, act.because(reason))?;
            self.storage.report_lost(device, self.clock.now_ms())?;
        }
        self.storage.device(device)
    }

    /// Releases what a lost phone sent after it was reported, in the order in which it came; at most 500 changes at once.
    /// `None` if the phone is unknown.
    pub fn accept_unsent(
        self: &Arc<Self>,
        actor: Actor,
        device: DeviceId,
        reason: &str,
    ) -> Result<Option<Vec<Released>>, Refused> {
        let Some(known) = self.storage.device(device)? else { return Ok(None) };
        let filter = QuarantineFilter {
            decision: Some(Decision::Open),
            device: Some(device),
            reason: Some(LOST_DEVICE.to_owned()),
            before: None,
            limit: u32::MAX,
        };
        let mut nos: Vec<u64> =
            self.storage.quarantine_list(known.township, &filter)?.into_iter().map(|row| row.no).collect();
        nos.sort_unstable();
        nos.truncate(ACCEPTED_AT_ONCE as usize);
        self.release(actor, known.township, &nos, reason).map(Some)
    }
}
