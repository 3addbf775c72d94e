//! Grants that are to be given from a time on: nobody holds them, and phones don't hear of them, before that.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};

use super::{Result, TownshipId};

/// A grant that is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedGrant {
    /// Its number; given when it is written.
    pub no: u64,
    /// In which township.
    pub township: TownshipId,
    /// From when on, by the server's clock.
    pub from_ms: Millis,
    /// To whom.
    pub user: UserId,
    /// Which role.
    pub role: String,
    /// For which area.
    pub area: AreaId,
    /// Only for this household.
    pub household: Option<RecordId>,
    /// Until when.
    pub until_ms: Option<Millis>,
    /// For whom the person stands in.
    pub stand_in_for: Option<UserId>,
    /// In place of whoever is paired with the household by then.
    pub anew: bool,
}

/// The planned grants' part of a storage; they are written by [`super::Write::Plan`] and [`super::Write::Unplan`].
pub trait PlannedStorage {
    /// Those that are to be given up to a time, the first ones first; at most 1,000.
    fn planned_grants(&self, upto_ms: Millis) -> Result<Vec<PlannedGrant>>;
}
