//! What SQLite does for each statement, counted for benches and tests: its virtual machine's steps, and its plans.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, StatementStatus};

use super::super::{Result, StorageError};
use super::{READERS, SqliteStorage};

/// Steps by statement since they were last taken.
#[derive(Debug, Default)]
pub struct Steps(Mutex<BTreeMap<String, u64>>);

impl Steps {
    /// Gives the steps of each statement, and counts from nothing again.
    pub fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn count(connection: &mut Connection, steps: &Arc<Steps>) -> Result<()> {
    let (steps, mut last) = (steps.clone(), HashMap::<String, u64>::new());
    let on = move |event: TraceEvent<'_>| {
        let TraceEvent::Profile(statement, _) = event else { return };
        let sql = statement.sql().into_owned();
        let now = u64::from(statement.get_status(StatementStatus::VmStep).cast_unsigned());
        let before = last.insert(sql.clone(), now).unwrap_or_default();
        // a statement that was prepared again counts from nothing
        let news = now.checked_sub(before).unwrap_or(now);
        *steps.0.lock().unwrap_or_else(PoisonError::into_inner).entry(sql).or_default() += news;
    };
    Ok(connection.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(on))?)
}

impl SqliteStorage {
    /// Counts the steps of all statements from now on, until the storage is dropped; slows it down.
    ///
    /// # Errors
    /// [`StorageError::Busy`] while something reads.
    pub fn count_steps(&self) -> Result<Arc<Steps>> {
        let steps = Arc::new(Steps::default());
        let mut readers = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            return Err(StorageError::Busy("a reader is at work".into()));
        }
        readers.iter_mut().try_for_each(|reader| count(reader, &steps))?;
        count(&mut self.writer(), &steps)?;
        Ok(steps)
    }

    /// How many records all townships have.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn count_records(&self) -> Result<u64> {
        self.read(|c| Ok(c.query_row("SELECT count(*) FROM record", [], |r| r.get::<_, i64>(0))?.cast_unsigned()))
    }

    /// How SQLite would run a statement, one line for each table.
    ///
    /// # Errors
    /// The statement isn't one of this schema.
    pub fn plan(&self, sql: &str) -> Result<Vec<String>> {
        self.read(|c| {
            let mut explain = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let mut rows = explain.raw_query();
            let mut plan = Vec::new();
            while let Some(row) = rows.next()? {
                plan.push(row.get(3)?);
            }
            Ok(plan)
        })
    }
}
