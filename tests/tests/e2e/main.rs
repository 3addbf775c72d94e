//! The end-to-end suite: real phones (the client core with its SQLite store) against real servers over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod api;
mod audit;
mod cli;
mod cuts;
mod devices;
mod differences;
mod doubts;
mod duplicates;
mod erasure;
mod fates;
mod figures;
mod form_api;
mod form_entities;
mod form_lists;
mod forms;
mod history;
mod hostile;
mod invitations;
mod life;
mod life_elsewhere;
mod life_moves;
mod life_office;
mod life_waiting;
mod lists;
mod lost_phone;
mod merging;
mod networks;
mod patience;
mod phone_commands;
mod planned_grants;
mod postgres;
mod privacy;
mod quarantine;
mod recovery;
mod refused_uploads;
mod register;
mod rights_by_command;
mod scale;
mod scope;
mod sealed;
mod stopping;
mod tls;

/// The command line, as a binary of this crate.
const BINARY: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

/// A plain HTTP client that follows no redirect.
fn client() -> reqwest::blocking::Client {
    // a second call finds the provider installed
    let _ = rustls::crypto::ring::default_provider().install_default();
    let none = reqwest::redirect::Policy::none();
    reqwest::blocking::Client::builder().no_proxy().redirect(none).build().expect("a client")
}
