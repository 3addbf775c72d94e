//! Nobody gets a byte from outside their scope, and everything inside it: random histories.
//!
//! `DOORSTEP_SCOPE_HISTORIES` says how many (5 without it), `DOORSTEP_SCOPE_SEED` where to begin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use doorstep_tests::scopes::{Done, History};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

#[test]
#[expect(clippy::print_stdout, reason = "says how much was tried")]
fn no_phone_gets_or_keeps_a_byte_from_outside_its_scope_and_each_gets_all_inside() {
    let (count, first) = (number("DOORSTEP_SCOPE_HISTORIES", 5), number("DOORSTEP_SCOPE_SEED", 1));
    let mut all = Done::default();
    for seed in first..first + count {
        let mut history = History::new(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        history.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let done = history.done;
        all = Done {
            looks: all.looks + done.looks,
            delivered: all.delivered + done.delivered,
            accepted: all.accepted + done.accepted,
            refused: all.refused + done.refused,
            moves: all.moves + done.moves,
        };
    }
    println!("{count} histories: {all:?}");
    assert!(
        all.delivered > 0 && all.accepted > 0 && all.refused > 0 && all.moves > 0,
        "the histories do it all: {all:?}"
    );
}
