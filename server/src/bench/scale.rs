//! `doorstep bench scale`: a county in one SQLite file, and what a helper's sync, an area's figures, a merge and a backfill cost
//! in it.
//!
//! The file is kept and used again. Beside it lies a smaller one, a hundredth of it with villages of the same size: the work at
//! both, in SQLite's steps, must be nearly the same.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use doorstep_core::clock::{SystemClock, SystemEntropy};
use serde::{Deserialize, Serialize};

use super::Fault;
use super::report::Line;
use crate::cli::Outcome;
use crate::cli::serve::database_file;
use crate::service::{Committer, Service};
use crate::storage::{SqliteStorage, Storage};

mod make;
mod measure;
mod phone;

/// The setting that says what a file was made as.
const MADE_AS: &str = "bench_scale";
/// Raised when the files are made otherwise.
const VERSION: u32 = 1;
/// Households of a village.
const VILLAGE_HOUSEHOLDS: usize = 333;
/// Villages of a township.
const TOWNSHIP_VILLAGES: usize = 15;
/// Phones of a township.
const TOWNSHIP_DEVICES: usize = 150;
/// Records about a household, its own ones included.
const HOUSEHOLD_RECORDS: usize = 10;
/// Villages of the smaller file.
const FEW_VILLAGES: usize = 3;

/// Options of `bench scale`.
#[derive(Args)]
pub struct ScaleArgs {
    /// The database: made if it isn't there, used again if it is. Without it, a folder where the system keeps scratch files.
    #[arg(long)]
    file: Option<PathBuf>,
    /// About so many records, ten for each household.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// One township with 500 households and 20 phones, for trying.
    #[arg(long, conflicts_with = "records")]
    small: bool,
    /// Lists the statements of a sync, a merge and figures with their steps and plans.
    #[arg(long)]
    statements: bool,
    /// One JSON line a case.
    #[arg(long)]
    json: bool,
}

/// How much there is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    version: u32,
    townships: usize,
    villages: usize,
    households: usize,
    devices: usize,
}

impl Shape {
    fn of(records: usize) -> Self {
        let households = (records / HOUSEHOLD_RECORDS).max(1);
        let villages = (households / VILLAGE_HOUSEHOLDS).max(1);
        let townships = villages.div_ceil(TOWNSHIP_VILLAGES);
        Self { version: VERSION, townships, villages, households, devices: townships * TOWNSHIP_DEVICES }
    }

    fn small() -> Self {
        Self { version: VERSION, townships: 1, villages: TOWNSHIP_VILLAGES, households: 500, devices: 20 }
    }

    /// One township with a few villages like the others.
    fn few(&self) -> Self {
        let villages = FEW_VILLAGES.min(self.villages);
        Self {
            version: VERSION,
            townships: 1,
            villages,
            households: self.households * villages / self.villages,
            devices: self.devices / self.townships,
        }
    }
}

/// An opened file.
struct County {
    service: Arc<Service>,
    sqlite: Arc<SqliteStorage>,
}

impl County {
    /// Opens the file; makes it if it isn't there. A file that was made as something else isn't touched.
    fn open(path: &Path, shape: &Shape) -> Result<Self, Fault> {
        let is_new = !path.exists();
        let sqlite = Arc::new(SqliteStorage::open(path)?);
        let storage: Arc<dyn Storage> = sqlite.clone();
        let made_as = storage.setting(MADE_AS)?;
        let wanted = serde_json::to_string(shape)?;
        if !is_new && made_as.as_ref() != Some(&wanted) {
            let what = if made_as.is_some() { "of another size" } else { "not one of this bench, or unfinished" };
            return Err(format!("{} is {what}: remove it, or name another with --file", path.display()).into());
        }
        let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), Committer::Inline)?;
        if is_new {
            eprintln!("making {}", path.display());
            make::make(&service, shape)?;
            service.storage.set_setting(MADE_AS, &wanted)?;
        }
        Ok(Self { service, sqlite })
    }
}

/// Runs the bench.
pub fn scale(args: &ScaleArgs) -> Outcome {
    let shape = if args.small { Shape::small() } else { Shape::of(args.records) };
    let path = match &args.file {
        Some(path) => path.clone(),
        None => database_file(&std::env::temp_dir().join("doorstep-scale"))?,
    };
    let beside = path.with_extension("few.db");
    let many = County::open(&path, &shape)?;
    let few = County::open(&beside, &shape.few())?;
    let repeats = if args.small { measure::Repeats::FEW } else { measure::Repeats::MANY };
    for line in measure::times(&many, &shape, &repeats)? {
        line.print(args.json);
    }
    measure::verify(&many)?.print(args.json);
    let (at_few, at_many) = (measure::work(&few, &repeats)?, measure::work(&many, &repeats)?);
    for (case, few, many) in at_few.pairs(&at_many) {
        let line = Line::new(case)
            .with_tenths("steps_of_few", few)
            .with_tenths("steps_of_many", many)
            .with("ratio", (many / few.max(1.0) * 1000.0).round() / 1000.0);
        line.at_most(&["ratio"], 1.5).print(args.json);
    }
    if args.statements {
        many.statements(args.json)?;
    }
    Ok(ExitCode::SUCCESS)
}
