//! The invented township and what the demo does with it.

pub mod answers;
pub mod campaign;
pub mod family;
pub mod happenings;
pub mod names;
pub mod register;
pub mod report;
pub mod run;
pub mod spreadsheet;
pub mod township;
