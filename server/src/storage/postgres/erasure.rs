//! Records rooted anew, and tables without remains.

use std::collections::BTreeSet;

use deadpool_postgres::{GenericClient, Transaction};
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash};
use doorstep_core::protocol::Position;

use super::super::chain::{KIND_CHANGE, KIND_ERASED};
use super::super::columns::from_heads;
use super::super::erasure::ErasureStorage;
use super::super::{AuditEntry, Committed, DoubtCheck, PreparedRecord, Result, StorageError, TownshipId};
use super::commit::{lock_feed, update_feed};
use super::plan::Feed;
use super::{PostgresStorage, Tenant, about, acts, array, doubts, figures, row, rows, run};

/// A record isn't as it was read: undoes the transaction.
#[derive(Debug, thiserror::Error)]
#[error("a record moved")]
struct Moved;

/// The tables that hold answers.
const WITH_ANSWERS: [&str; 6] = ["change", "record", "waiting", "quarantine", "refused_upload", "upload"];

impl ErasureStorage for PostgresStorage {
    fn reroot(
        &self,
        township: TownshipId,
        records: &[PreparedRecord],
        entries: &[AuditEntry],
        now_ms: Millis,
    ) -> Result<Committed> {
        let done = self.write(async |tx, t| {
            let done = reroot(tx, t, township, records, now_ms).await?;
            acts::apply(tx, t, &[], entries).await?;
            Ok(done)
        });
        match done {
            Err(StorageError::Other(error)) if error.is::<Moved>() => Ok(Committed::Moved),
            done => done,
        }
    }

    fn purge(&self) -> Result<()> {
        self.ask(async |c, _| {
            for table in WITH_ANSWERS {
                c.batch_execute(&format!("VACUUM (FULL) {table}")).await?;
            }
            Ok(())
        })
    }
}

async fn reroot(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    township: TownshipId,
    records: &[PreparedRecord],
    now_ms: Millis,
) -> Result<Committed> {
    let (id, town) = (tenant.id.as_slice(), township.0.as_slice());
    let mut ids: Vec<&[u8]> = records.iter().map(|r| r.id.0.as_slice()).collect();
    ids.sort_unstable();
    let sql = "SELECT id FROM record WHERE tenant = $1 AND township = $2 AND id = ANY($3) ORDER BY id FOR UPDATE";
    rows(tx, sql, &[&id, &town, &ids]).await?;
    let mut feed = lock_feed(tx, id, township).await?;
    for record in records {
        let area = erase_old(tx, (id, town), &mut feed, record).await?;
        let area = area.ok_or_else(|| StorageError::Other(Box::new(Moved)))?;
        write_new(tx, tenant, (township, area), &mut feed, record, now_ms).await?;
    }
    let sql = "UPDATE refused_upload SET kept = 0, bytes = NULL WHERE tenant = $1 AND township = $2";
    run(tx, sql, &[&id, &town]).await?;
    let sql = "DELETE FROM upload WHERE tenant = $1 AND device IN
        (SELECT id FROM device WHERE tenant = $1 AND township = $2)";
    run(tx, sql, &[&id, &town]).await?;
    update_feed(tx, id, township, &feed).await?;
    for record in records {
        let check = DoubtCheck { before: 0, ..record.check.clone() };
        doubts::file(tx, id, township, (record.id, &check), (feed.position.seq, now_ms)).await?;
    }
    let touched: BTreeSet<_> = records.iter().map(|r| r.id).collect();
    figures::settle(tx, id, township, &touched).await?;
    Ok(Committed::Done(feed.position))
}

/// Removes a record's old content; gives where it lies, `None` when it isn't as it was read.
async fn erase_old(
    c: &impl GenericClient,
    (id, town): (&[u8], &[u8]),
    feed: &mut Feed,
    record: &PreparedRecord,
) -> Result<Option<AreaId>> {
    let (key, old) = (record.id.0.as_slice(), i64::from(record.incarnation) - 1);
    let heads = from_heads(record.base_heads.as_deref().unwrap_or_default());
    let sql =
        "SELECT area FROM record WHERE tenant = $1 AND township = $2 AND id = $3 AND heads = $4 AND incarnation = $5";
    let Some(found) = row(c, sql, &[&id, &town, &key, &heads, &old]).await? else { return Ok(None) };
    let area = AreaId(array(&found, 0)?);
    let sql =
        "UPDATE change SET kind = $4, device = NULL, bytes = '' WHERE tenant = $1 AND township = $2 AND record = $3
        AND kind = $5 RETURNING hash";
    let (erased, change) = (i64::from(KIND_ERASED), i64::from(KIND_CHANGE));
    for r in rows(c, sql, &[&id, &town, &key, &erased, &change]).await? {
        feed.discount(area, &ChangeHash(array(&r, 0)?));
    }
    for table in ["waiting", "quarantine"] {
        let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND township = $2 AND (record = $3 OR subject = $3)");
        run(c, &sql, &[&id, &town, &key]).await?;
    }
    for table in ["doubt", "about"] {
        let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND township = $2 AND record = $3");
        run(c, &sql, &[&id, &town, &key]).await?;
    }
    Ok(Some(area))
}

async fn write_new(
    c: &impl GenericClient,
    tenant: &Tenant,
    (township, area): (TownshipId, AreaId),
    feed: &mut Feed,
    record: &PreparedRecord,
    now_ms: Millis,
) -> Result<()> {
    let (id, town, key) = (tenant.id.as_slice(), township.0.as_slice(), record.id.0.as_slice());
    let (kind, at_ms) = (i64::from(KIND_CHANGE), now_ms.cast_signed());
    for change in &record.changes {
        let chain = tenant.links.change(feed.position.chain, record.id, record.incarnation, &change.hash);
        feed.position = Position { seq: feed.position.seq + 1, chain };
        feed.count(area, &change.hash);
        let sql = "INSERT INTO change (tenant, township, kind, seq, record, chain, hash, device, received_ms, bytes)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let (seq, chain, hash) = (feed.position.seq.cast_signed(), chain.0.as_slice(), change.hash.0.as_slice());
        let device = change.device.as_ref().map(|d| d.0.as_slice());
        run(c, sql, &[&id, &town, &kind, &seq, &key, &chain, &hash, &device, &at_ms, &change.bytes]).await?;
    }
    let p = &record.projection;
    let bytes: usize = record.changes.iter().map(|change| change.bytes.len()).sum();
    let n = [
        i64::from(record.incarnation),
        record.changes.len() as i64,
        bytes as i64,
        i64::from(p.persons),
        i64::from(p.differences),
        feed.position.seq.cast_signed(),
    ];
    let sql = "UPDATE record SET incarnation = $4, changes = $5, bytes = $6, persons = $7, differences = $8, last = $9,
        heads = $10, updated_ms = $11, title = $12, label = $13, status = $14, day = $15, state = $16, steps = $17,
        json = $18, search = $19, doubts = 0 WHERE tenant = $1 AND township = $2 AND id = $3";
    let heads = from_heads(&record.heads);
    let texts = [&p.title, &p.label, &p.status, &p.day, &p.state, &p.steps, &p.json, &p.search];
    let [title, label, status, day, state, steps, json, search] = texts;
    run(
        c,
        sql,
        &[
            &id, &town, &key, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &heads, &at_ms, title, label, status, day,
            state, steps, json, search,
        ],
    )
    .await?;
    about::file(c, id, township, record.id, p).await
}
