//! The sync engine: drives a [`Transport`] with what the store wants to send, and the store with what comes back.
//!
//! Everything here blocks; apps call it on a worker thread, get progress by a callback and stop it with [`Cancel`].

pub mod backoff;
pub mod engine;
pub mod http;
#[cfg(test)]
mod tests;
pub mod transport;

pub use backoff::Backoff;
pub use engine::{Cost, Engine, Progress, Silent, SyncError, SyncOptions, SyncReport};
pub use http::HttpTransport;
pub use transport::{Cancel, Reply, Transport, TransportError};
