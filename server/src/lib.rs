//! The server: sync, merge, storage, dashboards, command line.

pub mod api;
pub mod app;
#[cfg(feature = "tools")]
pub mod bench;
pub mod calendar;
pub mod cli;
mod connections;
#[cfg(feature = "tools")]
pub mod demo;
mod export;
pub mod health;
pub mod limits;
#[cfg(feature = "tools")]
pub mod link;
pub mod messages;
pub mod metrics;
pub mod register;
pub mod service;
pub mod storage;
pub mod web;
