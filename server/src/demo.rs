//! The invented township and what the demo does with it.

pub mod answers;
pub mod family;
pub mod names;
pub mod township;
