//! Imports of the register.

use doorstep_core::clock::Millis;
use doorstep_core::id::{DeviceId, RecordId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::register::{ImportDevice, ImportRow, ImportState, NewImport, RegisterStorage};
use super::super::{EntryOf, Result, TownshipId};
use super::{SqliteStorage, audit, people};

const COLUMNS: &str =
    "no, kind, file_name, file_hash, user, started_ms, state, changed_ms, summary FROM register_import";

fn import(r: &Row<'_>) -> rusqlite::Result<ImportRow> {
    Ok(ImportRow {
        no: r.get::<_, i64>(0)?.cast_unsigned(),
        import: NewImport {
            kind: r.get(1)?,
            file_name: r.get(2)?,
            file_hash: r.get(3)?,
            user: UserId(r.get(4)?),
            started_ms: r.get::<_, i64>(5)?.cast_unsigned(),
        },
        state: ImportState::parse(r.get_ref(6)?.as_str()?).unwrap_or(ImportState::Running),
        changed_ms: r.get::<_, i64>(7)?.cast_unsigned(),
        summary: r.get(8)?,
    })
}

fn begin(c: &Connection, township: TownshipId, new: &NewImport) -> Result<(ImportRow, bool)> {
    let township_no = people::township_no_or_new(c, township)?;
    let sql = format!("SELECT {COLUMNS} WHERE township_no = ? AND state = 'running' AND file_hash = ?");
    let running = c.prepare_cached(&sql)?.query_row(params![township_no, new.file_hash], import).optional()?;
    if let Some(running) = running {
        return Ok((running, false));
    }
    let last: i64 = c
        .prepare_cached("SELECT coalesce(max(no), 0) FROM register_import WHERE township_no = ?")?
        .query_row([township_no], |r| r.get(0))?;
    let row = ImportRow {
        no: last.cast_unsigned() + 1,
        import: new.clone(),
        state: ImportState::Running,
        changed_ms: new.started_ms,
        summary: "{}".to_owned(),
    };
    c.prepare_cached(
        "INSERT INTO register_import (township_no, no, kind, file_name, file_hash, user, started_ms, state, changed_ms, summary)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, '{}')",
    )?
    .execute(params![
        township_no,
        row.no.cast_signed(),
        new.kind,
        new.file_name,
        new.file_hash,
        new.user.0,
        new.started_ms.cast_signed(),
        new.started_ms.cast_signed(),
    ])?;
    Ok((row, true))
}

pub(super) fn set_state(
    c: &Connection,
    township: TownshipId,
    no: u64,
    state: ImportState,
    now_ms: Millis,
    summary: Option<&str>,
) -> Result<()> {
    let township_no = people::township_no_or_new(c, township)?;
    let sql = "UPDATE register_import SET state = ?, changed_ms = ?, summary = coalesce(?, summary)
         WHERE township_no = ? AND no = ?";
    let values = params![state.as_str(), now_ms.cast_signed(), summary, township_no, no.cast_signed()];
    c.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

impl RegisterStorage for SqliteStorage {
    fn begin_import(&self, township: TownshipId, new: &NewImport, begun: EntryOf<'_, ImportRow>) -> Result<ImportRow> {
        let links = self.links()?;
        self.write(|tx| {
            let (row, is_new) = begin(tx, township, new)?;
            if is_new {
                audit::append(tx, links, &[begun(&row)])?;
            }
            Ok(row)
        })
    }

    fn note_import_device(&self, township: TownshipId, device: ImportDevice) -> Result<()> {
        self.write(|tx| {
            let township_no = people::township_no_or_new(tx, township)?;
            tx.prepare_cached(
                "INSERT OR REPLACE INTO register_device (township_no, device, no, undoes) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![township_no, device.device.0, device.no.cast_signed(), device.undoes])?;
            Ok(())
        })
    }

    fn note_import_records(&self, township: TownshipId, no: u64, records: &[(RecordId, bool)]) -> Result<()> {
        self.write(|tx| {
            let township_no = people::township_no_or_new(tx, township)?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO register_record (township_no, no, record, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?;
            for (record, created) in records {
                insert.execute(params![township_no, no.cast_signed(), record.0, created])?;
            }
            Ok(())
        })
    }

    fn imports(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<ImportRow>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let before = before.map_or(i64::MAX, u64::cast_signed);
            let sql = format!("SELECT {COLUMNS} WHERE township_no = ? AND no < ? ORDER BY no DESC LIMIT ?");
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params![township_no, before, limit.clamp(1, 500)], import)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn import_records(
        &self,
        township: TownshipId,
        no: u64,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<(RecordId, bool)>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
            let mut statement = c.prepare_cached(
                "SELECT record, created FROM register_record WHERE township_no = ? AND no = ? AND record > ?
                 ORDER BY record LIMIT ?",
            )?;
            let rows = statement.query_map(params![township_no, no.cast_signed(), after, limit], |r| {
                Ok((RecordId(r.get(0)?), r.get(1)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn import_devices(&self, township: TownshipId) -> Result<Vec<ImportDevice>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
            let mut statement = c.prepare_cached(
                "SELECT no, device, undoes FROM register_device WHERE township_no = ? ORDER BY no, device",
            )?;
            let rows = statement.query_map([township_no], |r| {
                Ok(ImportDevice {
                    no: r.get::<_, i64>(0)?.cast_unsigned(),
                    device: DeviceId(r.get(1)?),
                    undoes: r.get(2)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32]) -> Result<Option<String>> {
        self.read(|c| {
            let Some(township_no) = people::township_no(c, township)? else { return Ok(None) };
            let sql = "SELECT mapping FROM register_columns WHERE township_no = ? AND kind = ? AND headers = ?";
            let mut statement = c.prepare_cached(sql)?;
            Ok(statement.query_row(params![township_no, kind, headers], |r| r.get(0)).optional()?)
        })
    }

    fn put_column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32], mapping: &str) -> Result<()> {
        self.write(|tx| {
            let township_no = people::township_no_or_new(tx, township)?;
            let sql =
                "INSERT OR REPLACE INTO register_columns (township_no, kind, headers, mapping) VALUES (?, ?, ?, ?)";
            tx.prepare_cached(sql)?.execute(params![township_no, kind, headers, mapping])?;
            Ok(())
        })
    }
}
