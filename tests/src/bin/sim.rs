//! `sim`: phones and a server on a simulated network. See `doorstep_tests::sim`.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use doorstep_tests::sim::{self, sweep};

#[derive(Parser)]
#[command(about = "Phones and a server on a simulated network")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// A bug to plant.
        #[arg(long)]
        bug: Vec<String>,
        /// Tell every step.
        #[arg(long)]
        verbose: bool,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs many seeds, those that failed before first.
    Sweep {
        /// How many.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Plants each known bug, or the named ones, and runs seeds until one fails.
    Bugs {
        /// Only these.
        names: Vec<String>,
        /// How many at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run { seed, bug, verbose, json } => {
            let outcome = sim::run(seed, &bug, verbose);
            if json {
                println!("{}", outcome.to_json());
            } else {
                println!("{}", outcome.line());
            }
            if outcome.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Command::Sweep { seeds, from, jobs } => ended(run_sweep(seeds, from, jobs)),
        Command::Bugs { names, jobs } => ended(run_bugs(&names, jobs)),
    }
}

fn ended(result: std::io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn regressions() -> std::io::Result<Vec<sweep::Regression>> {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/regressions.txt");
    Ok(sweep::regressions(&std::fs::read_to_string(file)?))
}

fn run_sweep(seeds: u64, from: u64, jobs: usize) -> std::io::Result<bool> {
    let sweep = sweep::Sweep::run(from, seeds, jobs, &regressions()?)?;
    print!("{}", sweep.table());
    for failure in &sweep.failures {
        println!("{failure}");
    }
    println!("{}", if sweep.failures.is_empty() { "simulation passed" } else { "simulation FAILED" });
    Ok(sweep.failures.is_empty())
}

fn run_bugs(names: &[String], jobs: usize) -> std::io::Result<bool> {
    let chosen: Vec<&'static str> =
        sweep::BUGS.iter().copied().filter(|b| names.is_empty() || names.iter().any(|n| n == b)).collect();
    sweep::hunt(&chosen, jobs, |(bug, found)| match found {
        Some((seed, how)) => println!("{bug}: found by seed {seed}: {how}"),
        None => println!("{bug}: NOT FOUND"),
    })
}
