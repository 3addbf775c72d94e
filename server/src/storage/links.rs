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
