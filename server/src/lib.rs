//! The server: sync, merge, storage, dashboards, command line.

pub mod api;
pub mod app;
pub mod health;
pub mod limits;
pub mod messages;
pub mod metrics;
pub mod service;
pub mod storage;
pub mod web;
