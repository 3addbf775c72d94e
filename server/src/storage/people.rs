//! People and their devices.

use doorstep_core::clock::Millis;
use doorstep_core::id::{DeviceId, UserId};

use super::{Lost, TownshipId};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Name as shown.
    pub name: String,
    /// Sending unit, may be empty.
    pub unit: String,
}

/// An enrolled device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Id.
    pub id: DeviceId,
    /// Whose phone.
    pub user: UserId,
    /// Which township's feed it reads.
    pub township: TownshipId,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// When it was enrolled.
    pub enrolled_ms: Millis,
    /// No longer allowed.
    pub revoked: bool,
    /// Reported lost.
    pub lost: Option<Lost>,
    /// The largest hello counter that is durable (a lower bound of what was seen).
    pub counter: u64,
    /// When it last synced; 0 for never.
    pub last_sync_ms: Millis,
    /// Server time of the sync before, for plausibility of form dates.
    pub previous_sync_ms: Millis,
    /// How far into the feed it was sent what it may read.
    pub feed_seq: u64,
    /// What it has shown to know.
    pub known: Known,
}

/// What a device has shown to know in the requests that were answered: it can't know less later, whatever a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The feed up to here.
    pub feed: u64,
    /// Its user's grants up to here.
    pub grants: u64,
    /// The township's areas as of this version.
    pub areas: u64,
}

impl Known {
    /// For what isn't judged by what a device knows: only what holds now counts.
    pub fn nothing_new() -> Self {
        Self { feed: u64::MAX, grants: 0, areas: u64::MAX }
    }

    /// With more that it has shown.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self { feed: self.feed.max(more.feed), grants: self.grants.max(more.grants), areas: self.areas.max(more.areas) }
    }
}

/// Syncs that follow each other so closely are one, as when a phone sends what it has in several parts.
pub const SYNC_GAP_MS: Millis = 10 * 60 * 1000;

impl Device {
    /// True for a phone that has said that it erases itself.
    pub fn is_wiped(&self) -> bool {
        self.lost.is_some_and(|lost| lost.wiped_ms > 0)
    }

    /// True for a phone. The server's own process starts are devices too: they push without saying hello, so their counter
    /// stays 0.
    pub fn is_phone(&self) -> bool {
        self.counter > 0 || self.last_sync_ms == 0
    }

    /// Server time of its last sync before one that arrives now; 0 for none.
    pub fn synced_before(&self, now_ms: Millis) -> Millis {
        let apart = now_ms.saturating_sub(self.last_sync_ms) >= SYNC_GAP_MS;
        if apart { self.last_sync_ms } else { self.previous_sync_ms }
    }
}
