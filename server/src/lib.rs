//! The server: sync, merge, storage, dashboards, command line.

pub mod metrics;
pub mod service;
pub mod storage;
