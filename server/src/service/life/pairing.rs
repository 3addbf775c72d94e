//! A household that a split made is paired as the one that it came from.

use std::collections::BTreeSet;

use doorstep_core::id::{RecordId, UserId};

use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::grants::{GrantError, NewGrant};
use crate::service::rights::current;
use crate::storage::{StorageError, TownshipId};

impl Service {
    /// Gives everybody who is paired with a household the same for one that came out of it, with the same end and for the same
    /// person stood in for. Whoever was ever paired with the new one has been thought of already, and who was paired with
    /// the old one later than the split arrived isn't meant: so nothing is given a second time after an end.
    pub(super) fn pair_like(
        &self,
        township: TownshipId,
        (old, new): (RecordId, RecordId),
    ) -> Result<usize, StorageError> {
        let thought_of: BTreeSet<UserId> = self.storage.grants_about(new)?.into_iter().map(|(user, _)| user).collect();
        let about_old = self.storage.grants_about(old)?;
        let users: BTreeSet<UserId> = about_old.into_iter().map(|(user, _)| user).collect();
        let users: Vec<UserId> = users.difference(&thought_of).copied().collect();
        if users.is_empty() {
            return Ok(0);
        }
        let stored = self.storage.load_records(township, &[new])?;
        let Some(made_ms) = stored.iter().flatten().flat_map(|s| &s.changes).map(|c| c.received_ms).min() else {
            return Ok(0);
        };
        let areas = self.storage.area_tree(township)?;
        let mut given = 0;
        for user in users {
            let (_, log) = self.storage.grants(user, 0)?;
            for (_, grant) in current(&log) {
                let paired = grant.holds_at(self.clock.now_ms()) && grant.entry.subject == Some(old);
                if !paired || grant.at_ms > made_ms {
                    continue;
                }
                let like = NewGrant {
                    user,
                    role: grant.entry.role.clone(),
                    area: areas.became(grant.entry.area).map_or(grant.entry.area, |(area, _)| area),
                    household: Some(new),
                    until_ms: grant.until_ms,
                    stand_in_for: grant.stand_in_for,
                };
                match self.give(Actor::Server, township, &like) {
                    Ok(()) => given += 1,
                    Err(GrantError::Storage(error)) => return Err(error),
                    // a role or an area that isn't there any more: the pairing reached nothing either
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a pairing can't be carried over");
                    }
                }
            }
        }
        Ok(given)
    }
}
