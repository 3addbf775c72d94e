//! Lost phones, used invitations, and what becomes of quarantined changes.

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;
use doorstep_core::protocol::{ManifestEntry, NOT_KEPT, Outcome, Position, State};

use super::{HeldChange, Result, TownshipId};

/// A phone that was reported lost: it reads nothing, what it sends goes to quarantine, and each answer orders it to erase
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// When it was reported.
    pub reported_ms: Millis,
    /// When it was first told to erase itself; 0 for not yet.
    pub told_ms: Millis,
    /// When it said that it erases itself now; 0 for not yet. What comes after this is refused.
    pub wiped_ms: Millis,
}

/// How far the erasing of a lost phone has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WipeStep {
    /// The order went out.
    Told,
    /// The phone said that it obeys.
    Wiped,
}

/// What an invitation's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvitationState {
    /// A phone was enrolled with it.
    pub used: bool,
    /// Until when it holds.
    pub until_ms: Millis,
}

/// What became of a quarantined change; stored by these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// Nobody has decided.
    #[default]
    Open = 0,
    /// It was released: it is in its record now.
    Released = 1,
    /// It was discarded, with a reason in the audit log; it is still kept.
    Discarded = 2,
}

impl Decision {
    /// From its number.
    pub(super) fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Released,
            2 => Self::Discarded,
            _ => Self::Open,
        }
    }

    /// Its name in the API and on the command line.
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Discarded => "discarded",
        }
    }

    /// From its name.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Open, Self::Released, Self::Discarded].into_iter().find(|d| d.code() == code)
    }
}

/// A refused change as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Number, the list's cursor.
    pub no: u64,
    /// Sender.
    pub device: DeviceId,
    /// When.
    pub received_ms: Millis,
    /// What.
    pub change: HeldChange,
    /// What became of it.
    pub decision: Decision,
    /// When that was decided; 0 for not yet.
    pub decided_ms: Millis,
}

/// Which quarantined changes are asked.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Only these.
    pub decision: Option<Decision>,
    /// Only of this phone.
    pub device: Option<DeviceId>,
    /// Only with this reason.
    pub reason: Option<String>,
    /// Only before this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// What became of a change to an incarnation that was replaced: its author makes it anew.
pub(super) fn anew() -> Outcome {
    Outcome { state: State::Equivocation, reason: "old_incarnation".to_owned() }
}

/// What became of a change that isn't stored: it waits (no reason), was refused, or isn't there.
pub(super) fn fate(kept: Option<Option<String>>) -> Outcome {
    match kept {
        Some(None) => Outcome::of(State::Waiting),
        Some(Some(reason)) if reason == "equivocation" => Outcome { state: State::Equivocation, reason },
        Some(Some(reason)) => Outcome { state: State::Quarantined, reason },
        None => Outcome { state: State::Denied, reason: NOT_KEPT.to_owned() },
    }
}

/// The part of a storage that knows lost phones and decides about what is kept aside.
pub trait DeviceStorage {
    /// Notes a step of a lost phone's erasing; false if it was noted before, or the phone was never lost.
    fn note_wipe(&self, device: DeviceId, step: WipeStep, now_ms: Millis) -> Result<bool>;
    /// What is known of an invitation, by the SHA-256 of its secret.
    fn invitation(&self, secret_hash: [u8; 32]) -> Result<Option<InvitationState>>;
    /// What became of changes that a device sent, in order, with the head of the feed when that was read: stored, waiting, refused;
    /// denied as [`NOT_KEPT`] where there is nothing of them.
    fn fates(
        &self,
        township: TownshipId,
        device: DeviceId,
        asked: &[ManifestEntry],
    ) -> Result<(Vec<Outcome>, Position)>;
    /// Quarantined changes, newest first.
    fn quarantine_list(&self, township: TownshipId, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>>;
    /// Quarantined changes by number, in the order in which they came; unknown numbers are left out.
    fn quarantine_rows(&self, township: TownshipId, nos: &[u64]) -> Result<Vec<QuarantineRow>>;
}
