//! Figures: households, persons, records and late ones by area, status and period, kept while records merge.
//!
//! Three tables, all of them caches that can be made again from the records. A *line* is what one record adds: where and for
//! how many persons it stands on its day, and for which periods it stands for its household. A *stay* is a stretch of days on
//! which a household lay in one area with so many persons. A *figure* is a sum of either in an area, a period, a record type and
//! a status. A merge loads the lines and stays about the subjects that it touched, makes them anew from the records
//! ([`plan`]), and writes the differences; so its cost depends on one household, never on how much there is.

use std::collections::BTreeMap;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId};

use super::{Result, TownshipId};
use crate::calendar::Period;

pub mod late;
pub mod plan;

pub use late::LateDays;

/// The setting with [`LateDays`].
pub const LATE_SETTING: &str = "figures_late_days";
/// Days after the end of a month until which its records aren't late, where nothing is set.
pub const LATE_DAYS: u32 = 3;
/// The most that can be set.
pub const LATE_DAYS_MAX: u32 = 3_660;
/// The most record types with days of their own.
const LATE_TYPES_MAX: usize = 200;
/// The setting that says by which rules the figures of all townships were made.
pub const RULES_SETTING: &str = "figures_rules";
/// The rules of this program: to be raised when lines, stays or figures come out otherwise.
pub const RULES: &str = "2";

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Households and their persons on a day, where they lay on it.
    Stock,
    /// Records of a period, and the households and persons that they reached.
    Records,
    /// Records with differing answers, where they lie now.
    Differing,
    /// Records with doubtful answers, where they lie now.
    Doubtful,
}

impl Kind {
    /// As text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Records => "records",
            Self::Differing => "differing",
            Self::Doubtful => "doubtful",
        }
    }
}

/// Four numbers side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Sums {
    /// Records.
    pub records: i64,
    /// Of those, late.
    pub late: i64,
    /// Households.
    pub households: i64,
    /// Their persons.
    pub persons: i64,
}

impl Sums {
    /// Adds another row, `times` over.
    pub fn add(&mut self, other: &Self, times: i64) {
        self.records += other.records * times;
        self.late += other.late * times;
        self.households += other.households * times;
        self.persons += other.persons * times;
    }

    /// True when there is nothing in it.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Which figures are asked for.
#[derive(Debug, Clone)]
pub struct FigureQuery {
    /// Of these areas; of all of the township if there are none.
    pub areas: Vec<AreaId>,
    /// Records of this period.
    pub period: Period,
    /// Households as of this day, `YYYY-MM-DD`.
    pub as_of: String,
}

/// Figures of one area, not of the areas below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigureRow {
    /// The area.
    pub area: AreaId,
    /// What is counted.
    pub kind: Kind,
    /// Of which record type.
    pub record_type: String,
    /// Status of the household, or of the record where it is about none; empty for kinds without.
    pub status: String,
    /// The numbers.
    pub sums: Sums,
}

/// Which list behind a figure is asked for: exactly the records or households that the figure counts.
#[derive(Debug, Clone)]
pub struct FigureFilter {
    /// In these areas; in all of the township if there are none.
    pub areas: Vec<AreaId>,
    /// What is counted.
    pub kind: Kind,
    /// Records of this period.
    pub period: Period,
    /// Households as of this day.
    pub as_of: String,
    /// Only this type.
    pub record_type: Option<String>,
    /// Only with this status.
    pub status: Option<String>,
    /// Only late records.
    pub late: bool,
    /// Of each household only the record that stands for it in the period.
    pub households: bool,
    /// Born after this feed number.
    pub after: u64,
    /// At most so many (1 to 1,000).
    pub limit: u32,
}

impl FigureFilter {
    /// All of a kind, from the beginning on, in pages of 1,000.
    pub fn whole(kind: Kind, period: Period, as_of: String) -> Self {
        Self {
            areas: Vec::new(),
            kind,
            period,
            as_of,
            record_type: None,
            status: None,
            late: false,
            households: false,
            after: 0,
            limit: 1000,
        }
    }
}

/// A record or household that a figure counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct FigureEntry {
    /// Feed number of the record's first change: the list's order and cursor.
    pub born: u64,
    /// The record.
    pub record: RecordId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// Its type.
    pub record_type: String,
    /// Where it counts.
    pub area: AreaId,
    /// With which status.
    pub status: String,
    /// Its day; empty for none, and for households.
    pub day: String,
    /// Persons of the household on that day.
    pub persons: u32,
    /// It is late.
    pub late: bool,
    /// It stands for its household in the period.
    pub household: bool,
}

/// What one record adds to figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Feed number of the record's first change.
    pub born: u64,
    /// Its type.
    pub record_type: String,
    /// Its day, empty for none.
    pub day: String,
    /// The round that its key names, 32 hex digits; empty for none.
    pub round: String,
    /// Where its household lay on the day; where the record lies if it is about none.
    pub area: AreaId,
    /// Status of the household, or its own.
    pub status: String,
    /// Persons of the household on the day.
    pub persons: u32,
    /// The household existed on the day.
    pub counts: bool,
    /// It was received late.
    pub late: bool,
    /// In which periods it stands for its household: [`plan::MONTH`] and so on.
    pub stands: u8,
    /// Where it lies now, if answers differ or are doubtful.
    pub open_area: Option<AreaId>,
    /// Answers differ.
    pub differing: bool,
    /// Answers are doubtful.
    pub doubtful: bool,
}

/// Days on which a household lay in one area, with so many persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// First day; empty: always.
    pub from: String,
    /// The day after the last; [`plan::FOREVER`] if it goes on.
    pub until: String,
    /// Where.
    pub area: AreaId,
    /// It exists on these days.
    pub counts: bool,
    /// Persons.
    pub persons: u32,
    /// The household's status.
    pub status: String,
    /// The record's type.
    pub record_type: String,
}

/// What figures need of a record as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Feed number of its first change.
    pub born: u64,
    /// The record.
    pub id: RecordId,
    /// Its type.
    pub record_type: String,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// The parts of its natural key.
    pub key: Vec<RecordId>,
    /// Where it lies now.
    pub area: AreaId,
    /// Its status.
    pub status: String,
    /// Its day as answered.
    pub day: String,
    /// How many persons it stands for, and from which days on; see `Projection::steps`.
    pub steps: String,
    /// Answers that stand differently.
    pub differences: u32,
    /// Doubtful answers that are open.
    pub doubts: u32,
    /// When its first change was received.
    pub received_ms: Millis,
    /// Where it lay before: each area with the day from which on it lay elsewhere, by day. Only of records about nothing.
    pub earlier: Vec<(String, AreaId)>,
}

/// A figure's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The area.
    pub area: AreaId,
    /// See [`plan`].
    pub period: String,
    /// Record type.
    pub record_type: String,
    /// Status.
    pub status: String,
}

/// Sums by place.
pub type Cells = BTreeMap<Cell, Sums>;

/// All records about one subject, and it itself, with the lines and stays that are stored of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FigureGroup {
    /// The records, by birth.
    pub facts: Vec<Fact>,
    /// Their lines, by birth.
    pub lines: Vec<Line>,
    /// The subject's stays, by day.
    pub stays: Vec<Stay>,
}

/// A report whose figures stay as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenReport {
    /// Its number in the township.
    pub no: u64,
    /// Its name.
    pub name: String,
    /// Records of this period.
    pub period: String,
    /// Households as of this day.
    pub as_of: String,
    /// When it was frozen.
    pub made_ms: Millis,
    /// By whom.
    pub made_by: String,
    /// The areas as they were called, as JSON.
    pub areas: String,
}

/// What a storage does for figures. All methods read one snapshot, or write one transaction.
pub trait FigureStorage {
    /// The figures of areas; rows without numbers are left out. In no order.
    fn figures(&self, township: TownshipId, query: &FigureQuery) -> Result<Vec<FigureRow>>;
    /// The list behind a figure, by birth.
    fn figure_list(&self, township: TownshipId, filter: &FigureFilter) -> Result<Vec<FigureEntry>>;
    /// Records after a feed number, by birth, at most `limit`: what a recomputation walks along.
    fn figure_facts(&self, township: TownshipId, after: u64, limit: u32) -> Result<Vec<Fact>>;
    /// What is stored about a subject: it itself, if it is a record of the township, and all records about it.
    fn figure_group(&self, township: TownshipId, subject: RecordId) -> Result<FigureGroup>;
    /// All figures of a township that aren't zero, and how many lines and stays there are.
    fn figure_cells(&self, township: TownshipId) -> Result<(Cells, u64, u64)>;
    /// Throws away a township's lines, stays and figures and makes them anew; gives of how many records.
    fn rebuild_figures(&self, township: TownshipId) -> Result<u64>;

    /// Keeps a report with the lists behind all its figures; gives its number. `report.no` is ignored.
    fn freeze(&self, township: TownshipId, report: &FrozenReport, period: &Period) -> Result<u64>;
    /// The frozen reports, newest first.
    fn frozen_reports(&self, township: TownshipId) -> Result<Vec<FrozenReport>>;
    /// The list behind a report's figures of a kind, by birth, after a feed number.
    fn frozen_entries(
        &self,
        township: TownshipId,
        report: u64,
        kind: Kind,
        after: u64,
        limit: u32,
    ) -> Result<Vec<FigureEntry>>;
}
