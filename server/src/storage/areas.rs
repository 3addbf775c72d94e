//! The areas of a township: a tree, with those that went into others and what lay elsewhere before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::clock::Millis;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::{AreaEnd, TownshipId};

/// Townships whose areas are kept in memory.
const KEPT: usize = 64;

/// That an area lay below another one, or was an area of its own, before a version of the township's areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hung {
    /// Which area.
    pub area: AreaId,
    /// What it lay below.
    pub parent: Option<AreaId>,
    /// The version with which that ended.
    pub version: u64,
    /// When the server wrote it down.
    pub at_ms: Millis,
}

/// A township's areas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Areas {
    /// The version of the table.
    version: u64,
    all: Vec<AreaEntry>,
    ids: HashSet<AreaId>,
    /// The areas that went into others.
    ended: HashMap<AreaId, (AreaId, String)>,
    /// What lies below each; an area that went into another one lies below it.
    below: HashMap<AreaId, Vec<AreaId>>,
    hung: Vec<Hung>,
}

impl Areas {
    /// A version of the areas: all of them, those that ended, and where they lay before, oldest first.
    pub fn new(version: u64, all: Vec<AreaEntry>, ended: Vec<AreaEnd>, hung: Vec<Hung>) -> Self {
        let ended = ended.into_iter().filter_map(|e| Some((e.area, (e.into?, e.day)))).collect();
        let ids = all.iter().map(|entry| entry.area).collect();
        let mut areas = Self { version, all, ids, ended, below: HashMap::new(), hung };
        areas.below = areas.children(&HashMap::new());
        areas
    }

    fn children(&self, otherwise: &HashMap<AreaId, Option<AreaId>>) -> HashMap<AreaId, Vec<AreaId>> {
        let mut below: HashMap<AreaId, Vec<AreaId>> = HashMap::new();
        for entry in &self.all {
            let now = self.ended.get(&entry.area).map_or(entry.parent, |(into, _)| Some(*into));
            if let Some(parent) = otherwise.get(&entry.area).copied().unwrap_or(now) {
                below.entry(parent).or_default().push(entry.area);
            }
        }
        below
    }

    /// The version of the township's areas.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All areas, also those that ended.
    pub fn all(&self) -> &[AreaEntry] {
        &self.all
    }

    /// True for one of the areas, also one that ended.
    pub fn contains(&self, area: AreaId) -> bool {
        self.ids.contains(&area)
    }

    /// The areas that there are, as phones know them.
    pub fn live(&self) -> impl Iterator<Item = &AreaEntry> {
        self.all.iter().filter(|entry| !self.ended.contains_key(&entry.area))
    }

    /// The area that one has become by now, with the first day of that; `None` while it is itself.
    pub fn became(&self, area: AreaId) -> Option<(AreaId, &str)> {
        let (mut into, day) = self.ended.get(&area).map(|(into, day)| (*into, day.as_str()))?;
        // no more steps than areas, should they ever go in a circle
        for _ in 0..self.ended.len() {
            match self.ended.get(&into) {
                Some((next, _)) => into = *next,
                None => break,
            }
        }
        Some((into, day))
    }

    /// An area and all below it that there are: what a grant reads. What lay in an area that went into another one has moved
    /// there, and comes into sight by that.
    pub fn live_below(&self, area: AreaId) -> Vec<AreaId> {
        self.below(area).into_iter().filter(|below| *below == area || !self.ended.contains_key(below)).collect()
    }

    /// An area and all below it, with what went into them: where a grant writes.
    pub fn below(&self, area: AreaId) -> Vec<AreaId> {
        walk(&self.below, area)
    }

    /// The tree as a device knew it that has this version of the areas, as far as what changed since counts at all (`since_ms`);
    /// `None` if that is how it is.
    pub fn known_at(&self, version: u64, since_ms: Millis) -> Option<AreasBefore> {
        let mut before = HashMap::new();
        for hung in self.hung.iter().filter(|hung| hung.version > version && hung.at_ms > since_ms) {
            before.entry(hung.area).or_insert(hung.parent);
        }
        (!before.is_empty()).then(|| AreasBefore(self.children(&before)))
    }
}

/// A township's tree of areas as it was.
#[derive(Debug)]
pub struct AreasBefore(HashMap<AreaId, Vec<AreaId>>);

impl AreasBefore {
    /// An area and all that was below it.
    pub fn below(&self, area: AreaId) -> Vec<AreaId> {
        walk(&self.0, area)
    }
}

fn walk(below: &HashMap<AreaId, Vec<AreaId>>, area: AreaId) -> Vec<AreaId> {
    let (mut inside, mut next) = (vec![area], 0);
    let mut seen = HashSet::from([area]);
    while next < inside.len() {
        let fresh = below.get(&inside[next]).into_iter().flatten().filter(|a| seen.insert(**a));
        inside.extend(fresh.copied().collect::<Vec<_>>());
        next += 1;
    }
    inside
}

/// Areas of townships by version. The version is read with everything else, so that another server's change is seen at once.
#[derive(Debug, Default)]
pub(super) struct AreasCache(Mutex<HashMap<TownshipId, Arc<Areas>>>);

impl AreasCache {
    /// The areas, if this version of them is known.
    pub fn get(&self, township: TownshipId, version: u64) -> Option<Arc<Areas>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&township).filter(|areas| areas.version == version).cloned()
    }

    /// Keeps a version; when there are too many townships, all others are forgotten.
    pub fn put(&self, township: TownshipId, areas: Areas) -> Arc<Areas> {
        let areas = Arc::new(areas);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT && !known.contains_key(&township) {
            known.clear();
        }
        known.insert(township, areas.clone());
        areas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> AreaId {
        AreaId([n; 16])
    }

    /// 1 over 2 and 3, 2 over 4; 5 went into 4, and 6 into 5.
    fn areas() -> Areas {
        let entry = |n: u8, parent: Option<u8>| AreaEntry {
            area: id(n),
            parent: parent.map(id),
            level: "village".to_owned(),
            code: n.to_string(),
            name_zh: String::new(),
            name_en: String::new(),
        };
        let all = vec![
            entry(1, None),
            entry(2, Some(1)),
            entry(3, Some(1)),
            entry(4, Some(2)),
            entry(5, Some(3)),
            entry(6, Some(3)),
        ];
        let end = |n, into, day: &str| AreaEnd { area: id(n), day: day.to_owned(), into: Some(id(into)) };
        let hung = |n, parent: Option<u8>, version| Hung { area: id(n), parent: parent.map(id), version, at_ms: 100 };
        let hung = vec![hung(4, Some(3), 5), hung(5, Some(3), 7), hung(4, Some(1), 8), hung(6, Some(3), 9)];
        Areas::new(9, all, vec![end(5, 4, "2026-02-01"), end(6, 5, "2026-03-01")], hung)
    }

    #[test]
    fn what_went_into_an_area_lies_below_it() {
        let areas = areas();
        assert_eq!(areas.below(id(2)), [2, 4, 5, 6].map(id));
        assert_eq!(areas.live_below(id(2)), [2, 4].map(id));
        assert_eq!(areas.live().map(|a| a.area).collect::<Vec<_>>(), [1, 2, 3, 4].map(id));
        assert_eq!(areas.became(id(6)), Some((id(4), "2026-03-01")));
        assert_eq!(areas.became(id(4)), None);
    }

    #[test]
    fn the_tree_is_known_as_it_was_at_a_version_while_that_counts() {
        let areas = areas();
        let at = |version| areas.known_at(version, 99).map(|tree| tree.below(id(3)));
        assert_eq!(at(4), Some([3, 4, 5, 6].map(id).to_vec()));
        assert_eq!(at(6), Some([3, 5, 6].map(id).to_vec()));
        assert_eq!(areas.known_at(7, 99).map(|tree| tree.below(id(1))), Some([1, 2, 3, 4, 6, 5].map(id).to_vec()));
        assert_eq!(at(9), None);
        assert!(areas.known_at(4, 100).is_none(), "too long ago");
    }
}
