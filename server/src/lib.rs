//! The server.
pub mod storage;
