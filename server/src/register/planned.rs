//! What an import would do to each household and person.

use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::record::Value;

use super::fault::Fault;

/// What becomes of a household or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Comes into the register.
    New,
    /// Gets other answers.
    Changed,
    /// Stays as it is.
    Unchanged,
    /// Is held back.
    Faulty,
}

impl State {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Faulty => "faulty",
        }
    }
}

/// One answer that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it was.
    pub old: Value,
    /// What it becomes.
    pub new: Value,
}

/// A row with a person.
#[derive(Debug, Clone)]
pub struct Person {
    /// The row in the table, counted from 0.
    pub row: usize,
    /// The name.
    pub name: String,
    /// What becomes of them.
    pub state: State,
    /// The answers that change.
    pub changes: Vec<Change>,
}

/// A household of the table.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its number.
    pub number: String,
    /// Its rows.
    pub rows: Vec<u32>,
    /// What becomes of it.
    pub state: State,
    /// Its record; `None` where it is faulty and unknown.
    pub record: Option<RecordId>,
    /// True when the import makes the record.
    pub creates: bool,
    /// Where the record is.
    pub area: AreaId,
    /// The answers of the household that change.
    pub changes: Vec<Change>,
    /// Its persons.
    pub persons: Vec<Person>,
    /// What is wrong; not empty exactly when it is faulty.
    pub faults: Vec<Fault>,
}

impl Planned {
    /// A household that is held back.
    pub fn faulty(number: String, rows: Vec<u32>, persons: Vec<Person>, faults: Vec<Fault>) -> Self {
        let persons = persons.into_iter().map(|p| Person { state: State::Faulty, changes: Vec::new(), ..p }).collect();
        Self {
            number,
            rows,
            state: State::Faulty,
            record: None,
            creates: false,
            area: AreaId([0; 16]),
            changes: Vec::new(),
            persons,
            faults,
        }
    }

    /// All answers to write.
    pub fn edits(&self) -> Vec<(String, Value)> {
        let all = self.changes.iter().chain(self.persons.iter().flat_map(|p| &p.changes));
        all.map(|c| (c.key.clone(), c.new.clone())).collect()
    }
}
