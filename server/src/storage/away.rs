//! Households that went to another township of the server. Their records stay in the old township's tables as they were, lying
//! nowhere: its figures of the past stand on them. What still arrives there is given on.

use doorstep_core::id::RecordId;

use super::{PreparedPush, Result, TownshipId};

/// That a household is at home in another township now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Which household.
    pub household: RecordId,
    /// The township that it went to; it may have gone on from there.
    pub to: TownshipId,
    /// How far of the old township's feed the other one was given.
    pub upto: u64,
}

/// What is kept of households that went away. They go and come by [`super::Write::Away`] and [`super::Write::Home`].
pub trait AwayStorage {
    /// Where a household went from a township; `None` of one that didn't.
    fn away(&self, township: TownshipId, household: RecordId) -> Result<Option<Away>>;
    /// The townships from which a household came to this one.
    fn came_from(&self, township: TownshipId, household: RecordId) -> Result<Vec<TownshipId>>;
    /// Those that have newer records than the other township was given.
    fn away_behind(&self, township: TownshipId, limit: u32) -> Result<Vec<Away>>;
    /// Households that lie nowhere and went nowhere: what had moved them here was taken back.
    fn stranded(&self, township: TownshipId, limit: u32) -> Result<Vec<RecordId>>;
    /// Writes down how far the other township was given the feed.
    fn note_given(&self, township: TownshipId, household: RecordId, upto: u64) -> Result<()>;
    /// Commits pushes, of different townships too, in one transaction; false, and nothing is written, if one isn't taken.
    fn commit_together(&self, pushes: &[PreparedPush]) -> Result<bool>;
}
