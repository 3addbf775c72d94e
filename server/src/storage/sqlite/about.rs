//! Records about several subjects.

use rusqlite::{Connection, params};

use super::super::about::subjects;
use super::super::{Projection, Result};

/// Brings a record's entries up to date with its projection.
pub(super) fn file(c: &Connection, record_no: i64, projection: &Projection) -> Result<()> {
    let Some(subjects) = subjects(projection) else { return Ok(()) };
    c.prepare_cached("DELETE FROM about WHERE record_no = ?")?.execute([record_no])?;
    let mut insert = c.prepare_cached("INSERT OR IGNORE INTO about (subject, record_no) VALUES (?, ?)")?;
    for subject in subjects {
        insert.execute(params![subject.0, record_no])?;
    }
    Ok(())
}
