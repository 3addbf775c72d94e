//! The HTTP API: the exchange for phones, JSON for programs. Who asks is an extractor argument of every handler.

pub mod audit;
mod decide;
mod devices;
mod doubts;
mod duplicates;
pub mod enrol;
pub mod erasures;
pub mod error;
pub mod events;
pub mod figures;
pub mod forms;
pub mod grants;
mod masked;
pub mod office;
mod quarantine;
pub mod records;
mod refused_uploads;
pub mod register;
pub mod sync;

pub use error::ApiError;
