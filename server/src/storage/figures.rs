//! Coverage, added up from rows of records; alike in both backends.

use std::collections::{BTreeMap, HashMap, HashSet};

use doorstep_core::id::{AreaId, RecordId};

use super::Coverage;

/// What figures need of a record.
#[derive(Debug, Clone)]
pub struct FigureRow {
    /// The record.
    pub id: RecordId,
    /// Its type.
    pub record_type: String,
    /// Where it is placed.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// Persons that it stands for.
    pub persons: u32,
    /// Its day.
    pub day: String,
    /// Answers that stand differently.
    pub differences: u32,
}

/// Adds up rows. A visit or screening counts where its household is placed, and where it was made if the household is
/// unknown.
#[derive(Debug, Default)]
pub struct Figures {
    areas: BTreeMap<AreaId, Coverage>,
    households: HashMap<RecordId, (AreaId, u32)>,
    visits: Vec<(AreaId, Option<RecordId>)>,
    screenings: Vec<(AreaId, Option<RecordId>)>,
}

impl Figures {
    /// Adds a record; visits before `since_day` (`YYYY-MM-DD`) don't count.
    pub fn add(&mut self, row: &FigureRow, since_day: &str) {
        if row.differences > 0 {
            self.areas.entry(row.area).or_default().differing += 1;
        }
        match row.record_type.as_str() {
            "household" => {
                let figures = self.areas.entry(row.area).or_default();
                figures.households += 1;
                figures.persons += u64::from(row.persons);
                self.households.insert(row.id, (row.area, row.persons));
            }
            "visit" if row.day.as_str() >= since_day => self.visits.push((row.area, row.subject)),
            "screening" => self.screenings.push((row.area, row.subject)),
            _ => {}
        }
    }

    /// The figures by area.
    pub fn finish(mut self) -> Vec<(AreaId, Coverage)> {
        let mut visited = HashSet::new();
        for (area, subject) in &self.visits {
            let household = subject.and_then(|s| self.households.get(&s));
            let figures = self.areas.entry(household.map_or(*area, |(area, _)| *area)).or_default();
            figures.visits += 1;
            if let (Some((_, persons)), true) = (household, visited.insert(*subject)) {
                figures.visited += 1;
                figures.visited_persons += u64::from(*persons);
            }
        }
        let mut screened = HashSet::new();
        for (_, subject) in &self.screenings {
            let Some((area, persons)) = subject.and_then(|s| self.households.get(&s)) else { continue };
            if screened.insert(*subject) {
                let figures = self.areas.entry(*area).or_default();
                figures.screened += 1;
                figures.screened_persons += u64::from(*persons);
            }
        }
        self.areas.into_iter().collect()
    }
}
