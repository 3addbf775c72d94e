//! Frozen reports (定稿): figures that stay as they were, compared with today.

use std::collections::{BTreeMap, HashMap};

use doorstep_core::id::{AreaId, RecordId};
use serde_json::{Value, json};

use super::super::Service;
use crate::calendar::Period;
use crate::storage::figures::{FigureEntry, FigureFilter, FrozenReport, Kind, Sums};
use crate::storage::{StorageError, TownshipId};

/// The most changed records that a comparison tells one by one.
const CHANGED_MAX: usize = 1_000;
/// The longest name of a report or a person, in characters.
pub const NAME_MAX: usize = 80;

/// A figure's place in a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The area, not those below it.
    pub area: AreaId,
    /// What is counted.
    pub kind: Kind,
    /// Of which record type.
    pub record_type: String,
    /// With which status.
    pub status: String,
}

impl Place {
    fn of(kind: Kind, entry: &FigureEntry) -> Self {
        Self { area: entry.area, kind, record_type: entry.record_type.clone(), status: entry.status.clone() }
    }
}

/// What an entry adds to its figure.
fn sums(kind: Kind, entry: &FigureEntry) -> Sums {
    let households = i64::from(entry.household);
    Sums {
        records: i64::from(kind == Kind::Records),
        late: i64::from(entry.late),
        households,
        persons: households * i64::from(entry.persons),
    }
}

/// A record that adds something else than it did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChangedRecord {
    /// The record.
    pub record: RecordId,
    /// In figures of which kind.
    pub kind: Kind,
    /// As it counted; `None`: it didn't.
    pub then: Option<FigureEntry>,
    /// As it counts; `None`: it doesn't.
    pub now: Option<FigureEntry>,
}

/// A report beside today's figures.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// All figures, then and now.
    pub figures: BTreeMap<Place, (Sums, Sums)>,
    /// How many records add something else.
    pub changed: u64,
    /// The first of them.
    pub records: Vec<ChangedRecord>,
}

impl Service {
    /// Freezes the figures of a period; gives the report's number. Names are cut where they are too long.
    pub fn freeze(
        &self,
        township: TownshipId,
        (name, by): (&str, &str),
        period: &Period,
        as_of: &str,
    ) -> Result<u64, StorageError> {
        let areas: Vec<Value> = self
            .storage
            .areas(township)?
            .1
            .iter()
            .map(|a| json!({"id": a.area, "parent": a.parent, "zh": a.name_zh, "en": a.name_en}))
            .collect();
        let cut = |text: &str| text.trim().chars().take(NAME_MAX).collect::<String>();
        let report = FrozenReport {
            no: 0,
            name: cut(name),
            period: period.to_string(),
            as_of: as_of.to_owned(),
            made_ms: self.clock.now_ms(),
            made_by: cut(by),
            areas: Value::from(areas).to_string(),
        };
        self.storage.freeze(township, &report, period)
    }

    /// A frozen report.
    pub fn frozen_report(&self, township: TownshipId, no: u64) -> Result<Option<FrozenReport>, StorageError> {
        Ok(self.storage.frozen_reports(township)?.into_iter().find(|report| report.no == no))
    }

    /// A report's figures beside those of today, and the records that make the difference.
    pub fn compare_frozen(&self, township: TownshipId, report: &FrozenReport) -> Result<Comparison, StorageError> {
        let mut comparison = Comparison::default();
        let Ok(period) = report.period.parse::<Period>() else { return Ok(comparison) };
        for kind in [Kind::Stock, Kind::Records] {
            let mut then = Pages::new(|after| self.storage.frozen_entries(township, report.no, kind, after, 1000));
            let mut now = Pages::new(|after| {
                let filter = FigureFilter::whole(kind, period.clone(), report.as_of.clone());
                self.storage.figure_list(township, &FigureFilter { after, ..filter })
            });
            loop {
                let (a, b) = (then.peek()?.map(|e| e.born), now.peek()?.map(|e| e.born));
                let (then, now) = match (a, b) {
                    (None, None) => break,
                    (Some(a), Some(b)) if a == b => (then.take(), now.take()),
                    (Some(a), b) if b.is_none_or(|b| a < b) => (then.take(), None),
                    _ => (None, now.take()),
                };
                comparison.add(kind, then, now);
            }
        }
        Ok(comparison)
    }
}

impl Comparison {
    fn add(&mut self, kind: Kind, then: Option<FigureEntry>, now: Option<FigureEntry>) {
        if let Some(then) = &then {
            self.figures.entry(Place::of(kind, then)).or_default().0.add(&sums(kind, then), 1);
        }
        if let Some(now) = &now {
            self.figures.entry(Place::of(kind, now)).or_default().1.add(&sums(kind, now), 1);
        }
        if then == now {
            return;
        }
        self.changed += 1;
        if let (Some(entry), true) = (then.as_ref().or(now.as_ref()), self.records.len() < CHANGED_MAX) {
            self.records.push(ChangedRecord { record: entry.record, kind, then, now });
        }
    }

    /// The sums of a kind and record type over all areas, then and now.
    pub fn by_type(&self) -> BTreeMap<(Kind, &str), (Sums, Sums)> {
        let mut types: BTreeMap<(Kind, &str), (Sums, Sums)> = BTreeMap::new();
        for (place, (then, now)) in &self.figures {
            let sums = types.entry((place.kind, place.record_type.as_str())).or_default();
            sums.0.add(then, 1);
            sums.1.add(now, 1);
        }
        types
    }
}

/// A list read page by page.
struct Pages<F> {
    read: F,
    page: std::vec::IntoIter<FigureEntry>,
    after: u64,
    done: bool,
}

impl<F: FnMut(u64) -> Result<Vec<FigureEntry>, StorageError>> Pages<F> {
    fn new(read: F) -> Self {
        Self { read, page: Vec::new().into_iter(), after: 0, done: false }
    }

    fn peek(&mut self) -> Result<Option<&FigureEntry>, StorageError> {
        if self.page.as_slice().is_empty() && !self.done {
            let page = (self.read)(self.after)?;
            self.after = page.last().map_or(self.after, |last| last.born);
            self.done = page.is_empty();
            self.page = page.into_iter();
        }
        Ok(self.page.as_slice().first())
    }

    fn take(&mut self) -> Option<FigureEntry> {
        self.page.next()
    }
}

/// The names of the areas as a report has them, Chinese and English.
pub fn area_names(report: &FrozenReport) -> HashMap<AreaId, (String, String)> {
    let areas: Vec<Value> = serde_json::from_str(&report.areas).unwrap_or_default();
    let name = |area: &Value| {
        let id = area["id"].as_str()?.parse().ok()?;
        Some((id, (area["zh"].as_str()?.to_owned(), area["en"].as_str()?.to_owned())))
    };
    areas.iter().filter_map(name).collect()
}
