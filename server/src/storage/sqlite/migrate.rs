//! Schema versions: numbered files, append-only, run in one transaction.

use rusqlite::{Connection, TransactionBehavior};

use super::super::{Result, StorageError};

/// The files; a database's `user_version` says how many of them it has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_start.sql"),
    include_str!("../migrations/sqlite/0002_refused_upload.sql"),
    include_str!("../migrations/sqlite/0003_record_last.sql"),
    include_str!("../migrations/sqlite/0004_no_snapshot.sql"),
    include_str!("../migrations/sqlite/0005_form.sql"),
    include_str!("../migrations/sqlite/0006_doubt.sql"),
    include_str!("../migrations/sqlite/0007_about.sql"),
    include_str!("../migrations/sqlite/0008_audit.sql"),
    include_str!("../migrations/sqlite/0009_rights.sql"),
    include_str!("../migrations/sqlite/0010_devices.sql"),
    include_str!("../migrations/sqlite/0011_register.sql"),
    include_str!("../migrations/sqlite/0012_figures.sql"),
    include_str!("../migrations/sqlite/0013_links.sql"),
    include_str!("../migrations/sqlite/0014_device_township.sql"),
    include_str!("../migrations/sqlite/0015_known.sql"),
    include_str!("../migrations/sqlite/0016_withdrawn.sql"),
    include_str!("../migrations/sqlite/0017_waiting_event.sql"),
    include_str!("../migrations/sqlite/0018_relocation.sql"),
    include_str!("../migrations/sqlite/0019_items.sql"),
    include_str!("../migrations/sqlite/0020_united_leads.sql"),
    include_str!("../migrations/sqlite/0021_away.sql"),
    include_str!("../migrations/sqlite/0022_planned.sql"),
];

/// The newest schema.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

fn version(connection: &Connection) -> Result<u32> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Refuses a database of a newer program before anything is written.
pub(super) fn refuse_newer(connection: &Connection) -> Result<u32> {
    let found = version(connection)?;
    if found > KNOWN { Err(StorageError::Newer { found, known: KNOWN }) } else { Ok(found) }
}

/// Runs what the database hasn't seen.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    if refuse_newer(connection)? == KNOWN {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = refuse_newer(&tx)?;
    for migration in &MIGRATIONS[found as usize..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "user_version", KNOWN)?;
    Ok(tx.commit()?)
}
