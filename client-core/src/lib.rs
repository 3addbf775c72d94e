//! Doorstep's shared core: what a phone and the server must do alike.
//!
//! Layers, each using only those before it: [`id`], [`clock`]; [`form`], [`record`] (documents and the guard before them);
//! [`protocol`] (the wire contract); then, behind features, `store` (the phone's SQLite), `sync` (transport and engine) and
//! `client` (the facade that apps use). Everything outside `store` and `sync` does no I/O and owns no clock and no
//! randomness: both are handed in.

#[cfg(feature = "sync")]
pub mod client;
pub mod clock;
pub mod fault;
pub mod files;
pub mod form;
pub mod id;
pub mod life;
pub mod link;
pub mod lists;
pub mod messages;
pub mod protocol;
pub mod record;
pub mod rights;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "sync")]
pub mod sync;
