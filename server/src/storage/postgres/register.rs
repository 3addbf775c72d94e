//! Imports of the register.

use deadpool_postgres::GenericClient;
use doorstep_core::clock::Millis;
use doorstep_core::id::{DeviceId, RecordId, UserId};
use tokio_postgres::Row;

use super::super::register::{ImportDevice, ImportRow, ImportState, NewImport, RegisterStorage};
use super::super::{EntryOf, Result, TownshipId};
use super::{PostgresStorage, array, audit, get, number, people, row, rows, run};

const COLUMNS: &str =
    "no, kind, file_name, file_hash, user_id, started_ms, state, changed_ms, summary FROM register_import";

fn import(r: &Row) -> Result<ImportRow> {
    Ok(ImportRow {
        no: number(r, 0)?,
        import: NewImport {
            kind: get(r, 1)?,
            file_name: get(r, 2)?,
            file_hash: array(r, 3)?,
            user: UserId(array(r, 4)?),
            started_ms: number(r, 5)?,
        },
        state: ImportState::parse(get(r, 6)?).unwrap_or(ImportState::Running),
        changed_ms: number(r, 7)?,
        summary: get(r, 8)?,
    })
}

async fn begin(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    new: &NewImport,
) -> Result<(ImportRow, bool)> {
    // the feed's row keeps two beginnings apart
    people::know_township(c, tenant, township).await?;
    let township = township.0.as_slice();
    row(c, "SELECT no FROM feed WHERE tenant = $1 AND township = $2 FOR UPDATE", &[&tenant, &township]).await?;
    let hash = new.file_hash.as_slice();
    let sql = format!(
        "SELECT {COLUMNS} WHERE tenant = $1 AND township = $2 AND state = 'running' AND file_hash = $3 LIMIT 1"
    );
    if let Some(running) = row(c, &sql, &[&tenant, &township, &hash]).await? {
        return Ok((import(&running)?, false));
    }
    let sql =
        "INSERT INTO register_import (tenant, township, no, kind, file_name, file_hash, user_id, started_ms, state,
            changed_ms, summary)
        VALUES ($1, $2, (SELECT coalesce(max(no), 0) + 1 FROM register_import WHERE tenant = $1 AND township = $2),
            $3, $4, $5, $6, $7, 'running', $7, '{}') RETURNING no";
    let (user, started_ms) = (new.user.0.as_slice(), new.started_ms.cast_signed());
    let values: &[super::Param<'_>] = &[&tenant, &township, &new.kind, &new.file_name, &hash, &user, &started_ms];
    let made = row(c, sql, values).await?.ok_or_else(|| super::other("no import"))?;
    let row = ImportRow {
        no: number(&made, 0)?,
        import: new.clone(),
        state: ImportState::Running,
        changed_ms: new.started_ms,
        summary: "{}".to_owned(),
    };
    Ok((row, true))
}

pub(super) async fn set_state(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    no: u64,
    state: ImportState,
    now_ms: Millis,
    summary: Option<&str>,
) -> Result<()> {
    let sql = "UPDATE register_import SET state = $4, changed_ms = $5, summary = coalesce($6, summary)
        WHERE tenant = $1 AND township = $2 AND no = $3";
    let (township, no) = (township.0.as_slice(), no.cast_signed());
    run(c, sql, &[&tenant, &township, &no, &state.as_str(), &now_ms.cast_signed(), &summary]).await?;
    Ok(())
}

impl RegisterStorage for PostgresStorage {
    fn begin_import(&self, township: TownshipId, new: &NewImport, begun: EntryOf<'_, ImportRow>) -> Result<ImportRow> {
        self.write(async |tx, t| {
            let (row, is_new) = begin(tx, &t.id, township, new).await?;
            if is_new {
                audit::append(tx, t, &[begun(&row)]).await?;
            }
            Ok(row)
        })
    }

    fn note_import_device(&self, township: TownshipId, device: ImportDevice) -> Result<()> {
        let sql = "INSERT INTO register_device (tenant, township, device, no, undoes) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, township, device) DO UPDATE SET no = excluded.no, undoes = excluded.undoes";
        self.write(async |tx, t| {
            let (id, township, no) = (t.id.as_slice(), township.0.as_slice(), device.no.cast_signed());
            run(tx, sql, &[&id, &township, &device.device.0.as_slice(), &no, &device.undoes]).await?;
            Ok(())
        })
    }

    fn note_import_records(&self, township: TownshipId, no: u64, records: &[(RecordId, bool)]) -> Result<()> {
        let sql = "INSERT INTO register_record (tenant, township, no, record, created)
            SELECT $1, $2, $3, * FROM unnest($4::BYTEA[], $5::BOOLEAN[]) ON CONFLICT DO NOTHING";
        let ids: Vec<&[u8]> = records.iter().map(|(id, _)| id.0.as_slice()).collect();
        let created: Vec<bool> = records.iter().map(|(_, created)| *created).collect();
        self.write(async |tx, t| {
            let (id, township, no) = (t.id.as_slice(), township.0.as_slice(), no.cast_signed());
            run(tx, sql, &[&id, &township, &no, &ids, &created]).await?;
            Ok(())
        })
    }

    fn imports(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<ImportRow>> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant = $1 AND township = $2 AND no < $3 ORDER BY no DESC LIMIT $4");
        let before = before.map_or(i64::MAX, u64::cast_signed);
        let limit = i64::from(limit.clamp(1, 500));
        self.ask(async |c, t| {
            rows(c, &sql, &[&t, &township.0.as_slice(), &before, &limit]).await?.iter().map(import).collect()
        })
    }

    fn import_records(
        &self,
        township: TownshipId,
        no: u64,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<(RecordId, bool)>> {
        let sql = "SELECT record, created FROM register_record
            WHERE tenant = $1 AND township = $2 AND no = $3 AND record > $4 ORDER BY record LIMIT $5";
        let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
        self.ask(async |c, t| {
            let (township, no, limit) = (township.0.as_slice(), no.cast_signed(), i64::from(limit));
            let found = rows(c, sql, &[&t, &township, &no, &after, &limit]).await?;
            found.iter().map(|r| Ok((RecordId(array(r, 0)?), get(r, 1)?))).collect()
        })
    }

    fn import_devices(&self, township: TownshipId) -> Result<Vec<ImportDevice>> {
        let sql =
            "SELECT no, device, undoes FROM register_device WHERE tenant = $1 AND township = $2 ORDER BY no, device";
        self.ask(async |c, t| {
            let found = rows(c, sql, &[&t, &township.0.as_slice()]).await?;
            let read =
                |r: &Row| Ok(ImportDevice { no: number(r, 0)?, device: DeviceId(array(r, 1)?), undoes: get(r, 2)? });
            found.iter().map(read).collect()
        })
    }

    fn column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32]) -> Result<Option<String>> {
        let sql = "SELECT mapping FROM register_columns
            WHERE tenant = $1 AND township = $2 AND kind = $3 AND headers = $4";
        self.ask(async |c, t| {
            let found = row(c, sql, &[&t, &township.0.as_slice(), &kind, &headers.as_slice()]).await?;
            found.map(|r| get(&r, 0)).transpose()
        })
    }

    fn put_column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32], mapping: &str) -> Result<()> {
        let sql = "INSERT INTO register_columns (tenant, township, kind, headers, mapping) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, township, kind, headers) DO UPDATE SET mapping = excluded.mapping";
        self.write(async |tx, t| {
            let (id, township) = (t.id.as_slice(), township.0.as_slice());
            run(tx, sql, &[&id, &township, &kind, &headers.as_slice(), &mapping]).await?;
            Ok(())
        })
    }
}
