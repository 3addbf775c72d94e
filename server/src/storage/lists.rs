//! What imports of areas, people and pairings wrote, row by row, so that they can be undone.

use doorstep_core::id::UserId;

use super::{Result, TownshipId};

/// What the register's lists keep.
pub trait ListStorage {
    /// What an import wrote and nobody has undone: row and JSON, by row, after one; at most `limit`.
    fn import_items(&self, township: TownshipId, no: u64, after: Option<u64>, limit: u32)
    -> Result<Vec<(u64, String)>>;
    /// Those of these people who have a device, or an invitation for one.
    fn people_in_use(&self, people: &[UserId]) -> Result<Vec<UserId>>;
}
