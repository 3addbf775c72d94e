//! Figures by area, with the lists behind them; and whether they are what the records say.

pub mod frozen;
pub mod verify;

use std::collections::{BTreeMap, HashMap, HashSet};

use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::Service;
use crate::calendar::{Period, day_before, day_of};
use crate::storage::figures::{FigureQuery, FigureRow, Kind, RULES, RULES_SETTING, Sums};
use crate::storage::{StorageError, TownshipId};

/// How far up an area's parents are followed: a circle in a damaged table ends.
const DEPTH_MAX: usize = 16;

/// The areas of a township, as a tree.
#[derive(Debug, Clone)]
pub struct AreaTree {
    root: AreaId,
    parents: HashMap<AreaId, Option<AreaId>>,
    /// In the order of lists: by code and name.
    order: Vec<AreaId>,
}

impl AreaTree {
    /// From a township's areas.
    pub fn new(root: TownshipId, areas: &[AreaEntry]) -> Self {
        let mut order: Vec<&AreaEntry> = areas.iter().collect();
        order.sort_by(|a, b| (&a.code, &a.name_zh, a.area).cmp(&(&b.code, &b.name_zh, b.area)));
        let parents = areas.iter().map(|area| (area.area, area.parent)).collect();
        Self { root, parents, order: order.into_iter().map(|area| area.area).collect() }
    }

    /// The way from an area up to the township, both included; only itself if it is unknown.
    fn way(&self, area: AreaId) -> Vec<AreaId> {
        let mut way = vec![area];
        while let (Some(Some(parent)), true) = (self.parents.get(way.last().unwrap_or(&area)), way.len() < DEPTH_MAX) {
            way.push(*parent);
        }
        way
    }

    /// True if the township has such an area.
    pub fn has(&self, area: AreaId) -> bool {
        area == self.root || self.parents.contains_key(&area)
    }

    /// An area and all below it; none for the whole township, which also has records in areas that nobody knows.
    pub fn below(&self, area: Option<AreaId>) -> Vec<AreaId> {
        match area.filter(|area| *area != self.root) {
            None => Vec::new(),
            Some(area) => {
                let mut below: Vec<AreaId> =
                    self.order.iter().copied().filter(|other| self.way(*other).contains(&area)).collect();
                if below.is_empty() {
                    below.push(area);
                }
                below
            }
        }
    }

    /// The areas directly below one.
    pub fn children(&self, area: Option<AreaId>) -> Vec<AreaId> {
        let area = area.unwrap_or(self.root);
        let is_child = |other: &&AreaId| **other != area && self.parents.get(*other) == Some(&Some(area));
        self.order.iter().filter(is_child).copied().collect()
    }

    /// In which child of an area another one lies: itself, if in none.
    fn child_of(&self, area: Option<AreaId>, other: AreaId) -> AreaId {
        let top = area.unwrap_or(self.root);
        let way = self.way(other);
        match way.iter().position(|step| *step == top) {
            Some(0) | None => other,
            Some(place) => way[place - 1],
        }
    }
}

/// Figures of an area and all areas below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// By kind, record type and status.
    pub rows: BTreeMap<(Kind, String, String), Sums>,
}

impl Figures {
    fn add(&mut self, row: &FigureRow) {
        let key = (row.kind, row.record_type.clone(), row.status.clone());
        self.rows.entry(key).or_default().add(&row.sums, 1);
    }

    /// The sum of a kind, of one type if one is named.
    pub fn sum(&self, kind: Kind, record_type: Option<&str>) -> Sums {
        self.sum_of(kind, record_type, None)
    }

    /// The sum of a kind, of one type and of one status if they are named.
    pub fn sum_of(&self, kind: Kind, record_type: Option<&str>, status: Option<&str>) -> Sums {
        let mut sum = Sums::default();
        let fits = |asked: Option<&str>, found: &str| asked.is_none_or(|asked| asked == found);
        let is_asked =
            |key: &(Kind, String, String)| key.0 == kind && fits(record_type, &key.1) && fits(status, &key.2);
        self.rows.iter().filter(|(key, _)| is_asked(key)).for_each(|(_, sums)| sum.add(sums, 1));
        sum
    }

    /// For tests of pages.
    #[cfg(test)]
    pub fn sample() -> Self {
        let sums = |records, late, households, persons| Sums { records, late, households, persons };
        let key = |kind, record_type: &str, status: &str| (kind, record_type.to_owned(), status.to_owned());
        let rows = [
            (key(Kind::Stock, "household", "out"), sums(0, 0, 475, 1402)),
            (key(Kind::Stock, "household", "not_out"), sums(0, 0, 26, 72)),
            (key(Kind::Records, "visit", "out"), sums(131, 4, 120, 380)),
            (key(Kind::Records, "screening", "out"), sums(475, 0, 475, 1402)),
            (key(Kind::Differing, "visit", ""), sums(3, 0, 0, 0)),
            (key(Kind::Doubtful, "household", ""), sums(2, 0, 0, 0)),
        ];
        Self { rows: rows.into_iter().collect() }
    }

    /// Households and persons on the day.
    pub fn stock(&self) -> Sums {
        self.sum(Kind::Stock, None)
    }

    /// The record types with records, each with its sum.
    pub fn by_type(&self) -> BTreeMap<&str, Sums> {
        let mut types: BTreeMap<&str, Sums> = BTreeMap::new();
        for ((kind, record_type, _), sums) in &self.rows {
            if *kind == Kind::Records {
                types.entry(record_type).or_default().add(sums, 1);
            }
        }
        types
    }
}

/// What a page or an answer of the API shows.
#[derive(Debug, Clone)]
pub struct FigureReport {
    /// The area; `None` for the township.
    pub area: Option<AreaId>,
    /// Records of this period.
    pub period: Period,
    /// Households as of this day.
    pub as_of: String,
    /// Of the whole area.
    pub total: Figures,
    /// Of the areas directly below; then of what lies in none of them, by the area that it names.
    pub areas: Vec<(AreaId, Figures)>,
    /// Households on the day before the period; `None` if it has no first day.
    pub opening: Option<Sums>,
    /// Phones that haven't been heard of on the day of the stock or later.
    pub unheard: u64,
}

impl Service {
    /// The areas of a township, as a tree.
    pub fn area_tree(&self, township: TownshipId) -> Result<AreaTree, StorageError> {
        Ok(AreaTree::new(township, &self.storage.areas(township)?.1))
    }

    /// Today, where the office is.
    pub fn today(&self) -> String {
        day_of(self.clock.now_ms())
    }

    /// The day of a period's stock: its last day, or today while it goes on.
    pub fn as_of(&self, period: &Period) -> String {
        let today = self.today();
        period.days().map_or(today.clone(), |(_, last)| last.min(today))
    }

    /// The figures of an area, and of the areas below it.
    pub fn figures(
        &self,
        township: TownshipId,
        area: Option<AreaId>,
        period: &Period,
        as_of: &str,
    ) -> Result<FigureReport, StorageError> {
        let tree = self.area_tree(township)?;
        let area = area.filter(|area| *area != township);
        let query = FigureQuery { areas: tree.below(area), period: period.clone(), as_of: as_of.to_owned() };
        let mut total = Figures::default();
        let mut by_child: BTreeMap<AreaId, Figures> = BTreeMap::new();
        for row in self.storage.figures(township, &query)? {
            total.add(&row);
            by_child.entry(tree.child_of(area, row.area)).or_default().add(&row);
        }
        let children = tree.children(area);
        let mut areas: Vec<(AreaId, Figures)> =
            children.into_iter().map(|child| (child, by_child.remove(&child).unwrap_or_default())).collect();
        areas.extend(by_child);
        let opening = match period.days() {
            Some((first, _)) => {
                let query = FigureQuery { as_of: day_before(&first), ..query };
                let mut opening = Figures::default();
                self.storage.figures(township, &query)?.iter().for_each(|row| opening.add(row));
                Some(opening.stock())
            }
            None => None,
        };
        let unheard = self.unheard_since(township, as_of)?;
        Ok(FigureReport { area, period: period.clone(), as_of: as_of.to_owned(), total, areas, opening, unheard })
    }

    /// How many phones haven't been heard of on a day or later: what they still hold is in no figure.
    fn unheard_since(&self, township: TownshipId, day: &str) -> Result<u64, StorageError> {
        let devices = self.storage.devices(township)?;
        let unheard = devices.iter().filter(|d| d.is_phone() && !d.revoked && day_of(d.last_sync_ms).as_str() < day);
        Ok(unheard.count() as u64)
    }

    /// Makes the figures of all townships anew, if this program makes them by other rules than those that are stored.
    pub(super) fn keep_figures(&self) -> Result<(), StorageError> {
        if self.storage.setting(RULES_SETTING)?.as_deref() == Some(RULES) {
            return Ok(());
        }
        for township in self.storage.townships()? {
            let records = self.storage.rebuild_figures(township)?;
            tracing::info!(%township, records, "figures were made anew");
        }
        self.storage.set_setting(RULES_SETTING, RULES)
    }
}

/// The ids of areas, for looking whether a row lies in one of them.
pub fn is_within(areas: &[AreaId]) -> impl Fn(AreaId) -> bool + use<> {
    let set: HashSet<AreaId> = areas.iter().copied().collect();
    move |area| set.is_empty() || set.contains(&area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(area: u8, parent: Option<u8>) -> AreaEntry {
        AreaEntry {
            area: AreaId([area; 16]),
            parent: parent.map(|p| AreaId([p; 16])),
            level: String::new(),
            code: area.to_string(),
            name_zh: String::new(),
            name_en: String::new(),
        }
    }

    #[test]
    fn an_area_has_those_below_it_and_a_circle_of_areas_ends() {
        let id = |n: u8| AreaId([n; 16]);
        let areas = [
            entry(1, None),
            entry(2, Some(1)),
            entry(3, Some(1)),
            entry(4, Some(2)),
            entry(8, Some(9)),
            entry(9, Some(8)),
        ];
        let tree = AreaTree::new(id(1), &areas);
        assert_eq!(tree.below(Some(id(2))), [id(2), id(4)]);
        assert_eq!(tree.below(Some(id(1))), []);
        assert_eq!(tree.below(Some(id(7))), [id(7)]);
        assert_eq!(tree.children(None), [id(2), id(3)]);
        assert_eq!((tree.child_of(None, id(4)), tree.child_of(Some(id(2)), id(4))), (id(2), id(4)));
        assert_eq!((tree.child_of(Some(id(2)), id(2)), tree.child_of(None, id(7))), (id(2), id(7)));
        assert_eq!(tree.below(Some(id(8))), [id(8), id(9)]);
    }
}
