//! Schema versions: numbered files, append-only, run in one transaction under a lock.

use deadpool_postgres::Client;

use super::super::{Result, StorageError};

/// The files; `schema_version` says how many of them a database has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/0001_start.sql"),
    include_str!("../migrations/postgres/0002_refused_upload.sql"),
    include_str!("../migrations/postgres/0003_record_last.sql"),
    include_str!("../migrations/postgres/0004_township_order.sql"),
    include_str!("../migrations/postgres/0005_no_snapshot.sql"),
    include_str!("../migrations/postgres/0006_form.sql"),
    include_str!("../migrations/postgres/0007_doubt.sql"),
    include_str!("../migrations/postgres/0008_about.sql"),
    include_str!("../migrations/postgres/0009_audit.sql"),
    include_str!("../migrations/postgres/0010_rights.sql"),
    include_str!("../migrations/postgres/0011_devices.sql"),
    include_str!("../migrations/postgres/0012_register.sql"),
    include_str!("../migrations/postgres/0013_figures.sql"),
    include_str!("../migrations/postgres/0014_links.sql"),
    include_str!("../migrations/postgres/0015_known.sql"),
    include_str!("../migrations/postgres/0016_withdrawn.sql"),
    include_str!("../migrations/postgres/0017_waiting_event.sql"),
    include_str!("../migrations/postgres/0018_relocation.sql"),
    include_str!("../migrations/postgres/0019_items.sql"),
    include_str!("../migrations/postgres/0020_united_leads.sql"),
    include_str!("../migrations/postgres/0021_away.sql"),
    include_str!("../migrations/postgres/0022_planned.sql"),
];

/// The lock that several starting servers queue at.
const LOCK: i64 = 0x646f_6f72_7374_6570;

/// Brings the schema up to date; a database of a newer program isn't touched.
pub(super) async fn migrate(client: &mut Client) -> Result<()> {
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let there: bool = tx.query_one("SELECT to_regclass('schema_version') IS NOT NULL", &[]).await?.try_get(0)?;
    let found: i64 = if there {
        tx.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[]).await?.try_get(0)?
    } else {
        0
    };
    let known = MIGRATIONS.len();
    if found > known as i64 {
        return Err(StorageError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX), known: known as u32 });
    }
    if found == known as i64 {
        return Ok(());
    }
    if !there {
        tx.batch_execute("CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY)").await?;
    }
    for migration in &MIGRATIONS[found as usize..] {
        tx.batch_execute(migration).await?;
    }
    tx.execute("INSERT INTO schema_version (version) VALUES ($1)", &[&(known as i64)]).await?;
    Ok(tx.commit().await?)
}
