//! What the end-to-end suite shares: the simulation of phones, network and server.

pub mod database;
pub mod files;
pub mod harness;
pub mod scopes;
pub mod sim;
pub mod tap;
