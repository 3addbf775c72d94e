//! Links between households and members, and which households are united by them; kept in the transaction that stores them.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::{Identity, RecordId};
use doorstep_core::link::{LINK_TYPE, Link, VERDICT};
use doorstep_core::record::Value;

use super::{Projection, Result, TownshipId};

/// A link as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLink {
    /// Its record.
    pub record: RecordId,
    /// Type and natural key.
    pub identity: Identity,
    /// What it says.
    pub link: Link,
}

/// Households that are united into others, each with the one that stands for it: of a whole township, or only of those that
/// a transaction is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct United(pub BTreeMap<RecordId, RecordId>);

impl United {
    /// The household that stands for one: itself, if it isn't united into another.
    pub fn lead(&self, id: RecordId) -> RecordId {
        self.0.get(&id).copied().unwrap_or(id)
    }

    /// True if another one stands for it.
    pub fn is_led(&self, id: RecordId) -> bool {
        self.0.contains_key(&id)
    }

    /// All that are one with it, it itself included.
    pub fn all(&self, id: RecordId) -> BTreeSet<RecordId> {
        let lead = self.lead(id);
        let led = self.0.iter().filter(|(_, other)| **other == lead).map(|(id, _)| *id);
        led.chain([lead]).collect()
    }

    /// The households that count otherwise by `now`: those that are united or set apart, and those that stand for them.
    pub fn changed(&self, now: &Self) -> BTreeSet<RecordId> {
        let known = self.0.keys().chain(now.0.keys()).copied();
        let moved = known.filter(|id| self.0.get(id) != now.0.get(id));
        moved.flat_map(|id| [id, self.lead(id), now.lead(id)]).collect()
    }
}

/// What is kept of links.
pub trait LinkStorage {
    /// All links of a township, by record.
    fn links(&self, township: TownshipId) -> Result<Vec<StoredLink>>;
    /// The households that are united into others, each with the one that stands for it.
    fn united(&self, township: TownshipId) -> Result<BTreeMap<RecordId, RecordId>>;
}

/// The link that a merged record is; `None` for other records.
pub(super) fn link_of(record: RecordId, identity: &Identity, projection: &Projection) -> Option<StoredLink> {
    if identity.record_type != LINK_TYPE {
        return None;
    }
    let merged: serde_json::Value = serde_json::from_str(&projection.json).ok()?;
    let answers: BTreeMap<String, Value> = serde_json::from_value(merged.get("answers")?.clone()).ok()?;
    let differing: BTreeSet<&str> =
        merged["differences"].as_array()?.iter().filter_map(|difference| difference["key"].as_str()).collect();
    let link = Link::read(identity, &answers, differing.contains(VERDICT))?;
    Some(StoredLink { record, identity: identity.clone(), link })
}
