//! Doorstep's client core for Kotlin, Swift and Python.
//!
//! No logic lives here: [`Phone`] holds the core's facade and has one-line methods; values cross as records made with
//! `From` ([`value`]); errors are few, by what the app can do ([`error`]). To export something new, add it to the
//! facade (`doorstep_core::client`) first, then one line here, then a line in each language's smoke test.
//!
//! Calls block: an app makes them on a worker thread. Ids are hexadecimal texts.

pub mod error;
pub mod form;
pub mod phone;
pub mod value;

pub use error::PhoneError;
pub use form::Filling;
pub use phone::{Phone, SyncCancel, SyncProgress};

uniffi::setup_scaffolding!();

/// The version of the core, as in its crate: an app shows it beside its own.
#[uniffi::export]
pub fn core_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
