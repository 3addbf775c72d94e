//! The HTTP API: the exchange for phones, JSON for programs. Who asks is an extractor argument of every handler.

pub mod audit;
mod doubts;
pub mod enrol;
pub mod error;
mod figures;
pub mod forms;
pub mod office;
pub mod records;
mod refused_uploads;
pub mod register;
pub mod sync;

pub use error::ApiError;
