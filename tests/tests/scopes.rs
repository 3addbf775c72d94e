//! Nobody gets a byte from outside their scope, and everything inside it: random histories.
//!
//! `DOORSTEP_SCOPE_HISTORIES` says how many (4 without it), `DOORSTEP_SCOPE_SEED` where to begin,
//! `DOORSTEP_SCOPE_POSTGRES` how many of them run on PostgreSQL too (1 without it). With `DOORSTEP_SCOPE_TELL` one that fails
//! is told step by step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use doorstep_tests::scopes::{Backend, Done, History};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// What a history did; `None` where the test run lacks its backend.
fn run(seed: u64, backend: Backend) -> Result<Option<Done>, String> {
    let failed = |error| format!("seed {seed} on {backend:?}: {error}");
    let Some(mut history) = History::new(seed, backend).map_err(failed)? else { return Ok(None) };
    history.run().map_err(|error| {
        let told = std::env::var("DOORSTEP_SCOPE_TELL").map_or(String::new(), |_| history.told.join("\n") + "\n");
        told + &failed(error)
    })?;
    Ok(Some(history.done))
}

/// The same on both backends, where the test run has both; says whether it had.
fn run_on_postgres_too(seed: u64, done: Done) -> Result<bool, String> {
    match run(seed, Backend::Postgres)? {
        Some(there) if there != done => Err(format!("seed {seed}: {there:?} on PostgreSQL, {done:?} in a file")),
        there => Ok(there.is_some()),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "says how much was tried")]
fn no_phone_gets_or_keeps_a_byte_from_outside_its_scope_and_each_gets_all_inside() {
    let (count, first) = (number("DOORSTEP_SCOPE_HISTORIES", 4), number("DOORSTEP_SCOPE_SEED", 1));
    let on_both = number("DOORSTEP_SCOPE_POSTGRES", 1);
    let (mut all, mut on_postgres, mut failures) = (Done::default(), 0, 0);
    for seed in first..first + count {
        let again = |done| if seed < first + on_both { run_on_postgres_too(seed, done) } else { Ok(false) };
        let run = run(seed, Backend::Sqlite).and_then(|done| {
            let done = done.expect("a file can always be had");
            all += done;
            again(done)
        });
        match run {
            Ok(both) => on_postgres += u64::from(both),
            Err(failure) => {
                println!("{failure}");
                failures += 1;
            }
        }
    }
    println!("{count} histories, {on_postgres} of them on PostgreSQL too: {all:?}");
    assert_eq!(failures, 0, "histories failed, as said above");
    let did = [all.delivered, all.accepted, all.refused, all.moves, all.phone_events];
    assert!(did.iter().all(|n| *n > 0), "the histories do it all: {all:?}");
}
