//! Doorstep's client core for Kotlin, Swift and Python.
//!
//! No logic lives here: an object holds `inner: Arc<_>` of the core's facade and has one-line methods; values cross
//! as records made with `From`; errors are few, by what the app can do. To export something new, add it to the
//! facade first, then one line here, then a line in each language's smoke test.

uniffi::setup_scaffolding!();

/// The version of the core, as in its crate: an app shows it beside its own.
#[uniffi::export]
pub fn core_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
