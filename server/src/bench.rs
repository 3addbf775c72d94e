//! `doorstep bench`: measures syncs, the merge pipeline and a phone's database, each beside its target.

pub mod author;
pub mod merge;
pub mod phone;
pub mod process;
pub mod register;
pub mod report;
pub mod scale;
pub mod sync;
pub mod town;
pub mod worker;
pub mod workload;

use clap::{Args, Subcommand};

use crate::cli::Outcome;

/// What goes wrong in a bench is told and ends it.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Options of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Measured,
}

#[derive(Subcommand)]
enum Measured {
    /// Syncs between a server process and phones in another one, over a counting link that can be slow.
    Sync(sync::SyncArgs),
    /// The server's merge pipeline on one core, beside plain SQLite inserts of the same JSON.
    Merge(merge::MergeArgs),
    /// A phone's database.
    Phone(phone::PhoneArgs),
    /// The import of a register: an invented messy spreadsheet previewed, imported, and imported again.
    Register(register::RegisterArgs),
    /// A county in one SQLite file: what a sync, an area's figures and a backfill cost at a million records.
    Scale(scale::ScaleArgs),
    /// The phones of `bench sync`: takes JSON lines.
    #[command(hide = true)]
    Worker,
}

/// Runs a bench.
pub fn bench(args: &BenchArgs) -> Outcome {
    crate::cli::serve::start_log(false, "error");
    match &args.what {
        Measured::Sync(args) => sync::sync(args),
        Measured::Merge(args) => merge::merge(args),
        Measured::Phone(args) => phone::phone(args),
        Measured::Register(args) => register::register(args),
        Measured::Scale(args) => scale::scale(args),
        Measured::Worker => worker::work(),
    }
}
