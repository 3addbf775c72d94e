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
use crate::storage::{Decision, Device, QuarantineFilter, StorageError, WipeStep, Write};

/// Changes of a lost phone that are accepted at once.
const ACCEPTED_AT_ONCE: u32 = 500;

/// What came of withdrawing a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// The phone goes on as if nothing had been.
    Done,
    /// It goes on too, unless the order to erase itself has reached it: then it erases itself, and is enrolled anew.
    MayBeWiped,
    /// It has erased itself: it is enrolled anew.
    Wiped,
    /// It isn't reported lost.
    NotLost,
    /// There is no such phone.
    UnknownPhone,
}

impl Withdrawal {
    /// True where the report was withdrawn.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::MayBeWiped)
    }

    /// Its code, which is also its message's key.
    pub fn code(self) -> &'static str {
        match self {
            Self::Done => "lost_withdrawn",
            Self::MayBeWiped => "lost_withdrawn_told",
            Self::Wiped => "lost_wiped",
            Self::NotLost => "not_lost",
            Self::UnknownPhone => "unknown_phone",
        }
    }
}

impl Exchange {
    /// The order that goes with every answer to a lost phone; notes how far the erasing has come.
    pub(super) fn wipe_order(&self) -> Result<Option<ReplyFrame>, StorageError> {
        let (service, device) = (&self.service, &self.device);
        // also one whose report was withdrawn too late
        if self.hello.wiping && !device.is_wiped() {
            let act = Act::new(Action::DeviceWiped).in_township(device.township).device(device.id).user(device.user);
            let step = Write::Wipe(device.id, WipeStep::Wiped, self.received_ms);
            service.act(Actor::Device(device.id), act, [step])?;
        }
        let Some(lost) = device.lost else { return Ok(None) };
        if lost.told_ms == 0 {
            service.storage.note_wipe(device.id, WipeStep::Told, self.received_ms)?;
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
        self.act(actor, act.because(reason), [Write::Revoke(device)])?;
        self.storage.device(device)
    }

    /// Notes that a phone is lost: it reads nothing from now on, and erases itself at its next contact. `None` if it is
    /// unknown.
    pub fn report_lost(&self, actor: Actor, device: DeviceId, reason: &str) -> Result<Option<Device>, StorageError> {
        let Some(known) = self.storage.device(device)? else { return Ok(None) };
        if known.lost.is_none() {
            let act = Act::new(Action::DeviceLost).in_township(known.township).device(device).user(known.user);
            self.act(actor, act.because(reason), [Write::Lost(device, self.clock.now_ms())])?;
        }
        self.storage.device(device)
    }

    /// Withdraws a report that a phone is lost. A phone that hasn't taken the order goes on as if nothing had been, with all that
    /// it has; one that has taken it erases itself all the same. What it sent while it counted as lost is merged, and what it
    /// still sends counts at once.
    pub fn withdraw_lost(
        self: &Arc<Self>,
        actor: Actor,
        device: DeviceId,
        reason: &str,
    ) -> Result<Withdrawal, Refused> {
        let Some(known) = self.storage.device(device)? else { return Ok(Withdrawal::UnknownPhone) };
        let Some(lost) = known.lost else { return Ok(Withdrawal::NotLost) };
        let told = lost.told_ms > 0;
        let act = Act::new(Action::LostWithdrawn).in_township(known.township).device(device).user(known.user);
        let withdrawn = Write::Withdrawn(device, self.clock.now_ms());
        if !self.act(actor, act.because(reason).with("told", told), [withdrawn])? {
            return Ok(Withdrawal::Wiped);
        }
        loop {
            let released = self.accept_unsent(actor, device, reason)?.unwrap_or_default();
            if released.iter().all(|released| released.refused.is_some()) {
                return Ok(if told { Withdrawal::MayBeWiped } else { Withdrawal::Done });
            }
        }
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
