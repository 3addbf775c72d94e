//! Phones and a server on a simulated network: one seed, one process, everything drawn from the seed.
//!
//! The real client core (SQLite store, engine) talks to the real service (SQLite storage) through memory. The world draws
//! a workload and faults, keeps its own account of what helpers were told ([`truth`]), lets the faults stop, and compares
//! everything that phones and server hold with that account ([`check`]).

pub mod check;
pub mod device;
pub mod dice;
pub mod events;
pub mod hostile;
pub mod network;
pub mod outcome;
pub mod server;
pub mod sweep;
pub mod truth;
pub mod work;
pub mod world;

pub use outcome::{Failure, Outcome};
pub use world::World;

use doorstep_core::fault;

/// Runs one seed, with planted bugs if any are named.
pub fn run(seed: u64, bugs: &[String], verbose: bool) -> Outcome {
    for bug in bugs {
        fault::plant(bug);
    }
    outcome::quiet_panics();
    let mut outcome = Outcome::of(seed);
    let run = std::panic::AssertUnwindSafe(|| World::play(seed, verbose, &mut outcome));
    let result = std::panic::catch_unwind(run);
    outcome.failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(_) => Some(Failure::broken("panic", outcome::last_panic())),
    };
    fault::arm(None);
    outcome.points = fault::hits().into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    outcome
}
