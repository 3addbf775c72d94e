//! The one place where changes enter: several pushes in one transaction, in few round trips.
//!
//! Rows are locked first (records by township and id, then feeds by township), the group is planned in memory, and the
//! writes go out together. A push that fails its checks is left out of the plan, so that no savepoint is needed; one that
//! the database itself refuses makes the caller commit each push alone.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{GenericClient, Transaction};
use doorstep_core::fault;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use doorstep_core::protocol::ScopeDigest;

use super::super::chain::KIND_CHANGE;
use super::super::columns::{from_heads, from_key, from_outcomes, to_heads};
use super::super::{BatchRow, Committed, HeldChange, PreparedPush, Result, StorageError, TownshipId};
use super::plan::{self, Feed, Known, RecordWrite, TownshipWrites};
use super::{
    Raced, Tenant, about, acts, array, doubts, events, figures, get, links, number, number32, other, people, rights,
    row, rows, run,
};

/// Commits a group; answers in order.
pub(super) async fn group(tx: &Transaction<'_>, tenant: &Tenant, pushes: &[PreparedPush]) -> Result<Vec<Committed>> {
    let id = tenant.id.as_slice();
    let mut known = Known::default();
    lock_records(tx, id, pushes, &mut known).await?;
    read_branches(tx, id, pushes, &mut known).await?;
    let before: BTreeSet<(TownshipId, RecordId)> = known.records.keys().copied().collect();
    let mut feeds = BTreeMap::new();
    for township in pushes.iter().map(|p| p.township).collect::<BTreeSet<_>>() {
        let feed = lock_feed(tx, id, township).await?;
        known.areas.insert(township, feed.areas_version);
        feeds.insert(township, feed);
    }
    let verdicts = plan::judge(&mut known, pushes);
    let taken: Vec<&PreparedPush> = pushes.iter().zip(&verdicts).filter(|(_, v)| v.is_none()).map(|(p, _)| p).collect();
    let (writes, mut answers) = plan::plan(&tenant.links, &known, pushes, verdicts, feeds);
    fault::point("storage.commit.feed");
    let mut touched: BTreeMap<TownshipId, BTreeSet<RecordId>> = BTreeMap::new();
    for (township, writes) in &writes {
        let (old, new): (Vec<&RecordWrite<'_>>, Vec<_>) =
            writes.records.iter().partition(|w| before.contains(&(*township, w.first.id)));
        tokio::try_join!(
            insert_records(tx, id, *township, &new),
            update_records(tx, id, *township, &old),
            insert_changes(tx, id, *township, writes),
            update_feed(tx, id, *township, &writes.feed),
        )?;
        for write in &writes.records {
            about::file(tx, id, *township, write.first.id, &write.latest.projection).await?;
        }
        let written = writes.records.iter().map(|w| (w.first.id, &w.first.identity, &w.latest.projection));
        let counts_otherwise = links::file(tx, id, *township, written).await?;
        for filed in &writes.filed {
            doubts::file(tx, id, *township, (filed.record, filed.check), (filed.change, filed.now_ms)).await?;
        }
        for (no, sender, push, held) in &writes.refused {
            quarantine(tx, id, *no, *sender, push, held).await?;
        }
        let written = writes.records.iter().map(|w| w.first.id).chain(writes.filed.iter().map(|f| f.record));
        touched.insert(*township, written.chain(counts_otherwise).collect());
    }
    for (township, writes) in &writes {
        // a subject may have moved since the records were merged
        let ids: Vec<&[u8]> = writes.records.iter().map(|w| w.first.id.0.as_slice()).collect();
        let sql =
            "UPDATE record r SET area = s.area FROM record s WHERE r.tenant = $1 AND r.township = $2 AND r.id = ANY($3)
            AND s.tenant = r.tenant AND s.township = r.township AND s.id = r.subject AND s.area <> r.area RETURNING r.id, s.area";
        let town = township.0.as_slice();
        for r in rows(tx, sql, &[&id, &town, &ids]).await? {
            let (record, to) = (RecordId(array(&r, 0)?), AreaId(array(&r, 1)?));
            let from = known.records.get(&(*township, record)).map_or(to, |state| state.area);
            let mut feed = lock_feed(tx, id, *township).await?;
            rights::recount(tx, (id, town), &mut feed, record, (from, to)).await?;
            update_feed(tx, id, *township, &feed).await?;
        }
    }
    for push in &taken {
        for (user, grant) in &push.grants {
            people::append_grants(tx, tenant, *user, std::slice::from_ref(grant)).await?;
        }
    }
    for (push, answer) in pushes.iter().zip(&mut answers) {
        let Committed::Done(head) = answer else { continue };
        if push.moves.is_empty() {
            continue;
        }
        // the rows were locked with the group's records
        let mut feed = lock_feed(tx, id, push.township).await?;
        let moved = rights::move_records(tx, tenant, &mut feed, push).await?;
        touched.entry(push.township).or_default().extend(moved);
        update_feed(tx, id, push.township, &feed).await?;
        *head = feed.position;
    }
    for (township, touched) in &touched {
        figures::settle(tx, id, *township, touched).await?;
    }
    let batches: Vec<(DeviceId, &BatchRow, u64)> =
        taken.iter().filter_map(|p| Some((p.device, p.batch.as_ref()?, p.received_ms))).collect();
    tokio::try_join!(insert_batches(tx, id, &batches), note_syncs(tx, id, &taken))?;
    for push in &taken {
        events::file(tx, id, push).await?;
        for (record, hash) in &push.settled {
            settle(tx, id, push.township, *record, hash).await?;
        }
        for held in &push.waiting {
            wait(tx, id, push, held).await?;
        }
    }
    for push in &taken {
        acts::apply(tx, tenant, &push.writes, &push.entries).await?;
    }
    fault::point("storage.commit.before");
    Ok(answers)
}

async fn lock_records(c: &impl GenericClient, tenant: &[u8], pushes: &[PreparedPush], known: &mut Known) -> Result<()> {
    let mut wanted: BTreeMap<TownshipId, (BTreeSet<RecordId>, Vec<&[u8]>)> = BTreeMap::new();
    for push in pushes {
        let touched = push.records.iter().map(|r| r.id).chain(push.beside.iter().map(|b| b.id));
        let (ids, moved) = wanted.entry(push.township).or_default();
        ids.extend(touched.chain(push.moves.iter().map(|m| m.record)));
        moved.extend(push.moves.iter().map(|m| m.record.0.as_slice()));
    }
    let sql = "SELECT id, heads, incarnation, doubts, area FROM record WHERE tenant = $1 AND township = $2
        AND (id = ANY($3) OR subject = ANY($4)) ORDER BY id FOR UPDATE";
    for (township, (ids, moved)) in wanted.iter().filter(|(_, (ids, _))| !ids.is_empty()) {
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        for r in rows(c, sql, &[&tenant, &township.0.as_slice(), &ids, moved]).await? {
            let state = plan::State {
                heads: to_heads(get(&r, 1)?),
                incarnation: number32(&r, 2)?,
                doubts: number32(&r, 3)?,
                area: AreaId(array(&r, 4)?),
            };
            known.records.insert((*township, RecordId(array(&r, 0)?)), state);
        }
    }
    Ok(())
}

async fn read_branches(
    c: &impl GenericClient,
    tenant: &[u8],
    pushes: &[PreparedPush],
    known: &mut Known,
) -> Result<()> {
    let wanted: BTreeSet<(DeviceId, u32)> =
        pushes.iter().filter_map(|p| Some((p.device, p.batch.as_ref()?.branch))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let devices: Vec<&[u8]> = wanted.iter().map(|(device, _)| device.0.as_slice()).collect();
    let branches: Vec<i64> = wanted.iter().map(|(_, branch)| i64::from(*branch)).collect();
    let sql = "SELECT q.device, q.branch, (SELECT coalesce(max(b.number), 0) FROM batch b
            WHERE b.tenant = $1 AND b.device = q.device AND b.branch = q.branch)
        FROM UNNEST($2::BYTEA[], $3::BIGINT[]) AS q (device, branch)";
    for r in rows(c, sql, &[&tenant, &devices, &branches]).await? {
        known.branches.insert((DeviceId(array(&r, 0)?), number32(&r, 1)?), number(&r, 2)?);
    }
    Ok(())
}

pub(super) async fn lock_feed(c: &impl GenericClient, tenant: &[u8], township: TownshipId) -> Result<Feed> {
    let sql =
        "SELECT seq, chain, changes, digest_sum, refused, areas_version FROM feed WHERE tenant = $1 AND township = $2
        FOR UPDATE";
    let id = township.0.as_slice();
    let found = match row(c, sql, &[&tenant, &id]).await? {
        Some(found) => found,
        None => {
            people::know_township(c, tenant, township).await?;
            row(c, sql, &[&tenant, &id]).await?.ok_or_else(|| other("the feed is gone"))?
        }
    };
    Ok(Feed {
        position: people::position(&found, 0)?,
        digest: ScopeDigest { count: number(&found, 2)?, sum: number(&found, 3)? },
        refused: number(&found, 4)?,
        areas_version: number(&found, 5)?,
    })
}

pub(super) async fn update_feed(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    feed: &Feed,
) -> Result<()> {
    let sql = "UPDATE feed SET seq = $3, chain = $4, changes = $5, digest_sum = $6, refused = $7
        WHERE tenant = $1 AND township = $2";
    let n = [feed.position.seq, feed.digest.count, feed.digest.sum, feed.refused].map(u64::cast_signed);
    let chain = feed.position.chain.0.as_slice();
    run(c, sql, &[&tenant, &township.0.as_slice(), &n[0], &chain, &n[1], &n[2], &n[3]]).await?;
    Ok(())
}

/// Rows that another server made meanwhile show as rows that weren't inserted.
fn all_inserted(inserted: u64, wanted: usize) -> Result<()> {
    if inserted == wanted as u64 { Ok(()) } else { Err(StorageError::Busy(Box::new(Raced))) }
}

/// Columns of records that change with each merge, as arrays.
struct RecordColumns<'a> {
    ids: Vec<&'a [u8]>,
    heads: Vec<Vec<u8>>,
    changes: Vec<i64>,
    bytes: Vec<i64>,
    updated_ms: Vec<i64>,
    titles: Vec<&'a str>,
    labels: Vec<&'a str>,
    statuses: Vec<&'a str>,
    persons: Vec<i64>,
    days: Vec<&'a str>,
    states: Vec<&'a str>,
    differences: Vec<i64>,
    jsons: Vec<&'a str>,
    searches: Vec<&'a str>,
    lasts: Vec<i64>,
    steps: Vec<&'a str>,
}

impl<'a> RecordColumns<'a> {
    fn of(writes: &[&'a RecordWrite<'a>]) -> Result<Self> {
        let texts = |f: fn(&'a super::super::Projection) -> &'a str| -> Vec<&'a str> {
            writes.iter().map(|w| f(&w.latest.projection)).collect()
        };
        let numbers = |f: fn(&RecordWrite<'a>) -> i64| -> Vec<i64> { writes.iter().map(|w| f(w)).collect() };
        Ok(Self {
            ids: writes.iter().map(|w| w.first.id.0.as_slice()).collect(),
            heads: writes.iter().map(|w| from_heads(&w.latest.heads)).collect(),
            changes: numbers(|w| w.grown.0),
            bytes: numbers(|w| w.grown.1),
            updated_ms: numbers(|w| w.updated_ms.cast_signed()),
            titles: texts(|p| &p.title),
            labels: texts(|p| &p.label),
            statuses: texts(|p| &p.status),
            persons: numbers(|w| w.latest.projection.persons.into()),
            days: texts(|p| &p.day),
            states: texts(|p| &p.state),
            differences: numbers(|w| w.latest.projection.differences.into()),
            jsons: texts(|p| &p.json),
            searches: texts(|p| &p.search),
            lasts: numbers(|w| w.last.cast_signed()),
            steps: texts(|p| &p.steps),
        })
    }
}

/// The arrays of [`RecordColumns`] as rows, from parameter $3 on.
const RECORD_ROWS: &str =
    "UNNEST($3::BYTEA[], $4::BYTEA[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::TEXT[], $9::TEXT[],
    $10::TEXT[], $11::BIGINT[], $12::TEXT[], $13::BIGINT[], $14::TEXT[], $15::TEXT[], $16::BIGINT[], $17::TEXT[], $18::TEXT[]";
const RECORD_NAMES: &str =
    "id, heads, changes, bytes, updated_ms, title, label, status, persons, day, differences, json,
    search, last, state, steps";

async fn insert_records(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    writes: &[&RecordWrite<'_>],
) -> Result<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let v = RecordColumns::of(writes)?;
    let born: Vec<i64> = writes.iter().map(|w| w.born.cast_signed()).collect();
    let types: Vec<&str> = writes.iter().map(|w| w.first.identity.record_type.as_str()).collect();
    let keys: Vec<Vec<u8>> = writes.iter().map(|w| from_key(&w.first.identity)).collect();
    let incarnations: Vec<i64> = writes.iter().map(|w| w.first.incarnation.into()).collect();
    let areas: Vec<&[u8]> = writes.iter().map(|w| w.first.area.0.as_slice()).collect();
    let subjects: Vec<Option<&[u8]>> =
        writes.iter().map(|w| w.first.subject.as_ref().map(|s| s.0.as_slice())).collect();
    let sql = format!(
        "INSERT INTO record (doubts, tenant, township, {RECORD_NAMES}, born, type, key, incarnation, area, subject)
         SELECT 0, $1, $2, n.* FROM {RECORD_ROWS}, $19::BIGINT[], $20::TEXT[], $21::BYTEA[], $22::BIGINT[], $23::BYTEA[],
         $24::BYTEA[]) AS n ON CONFLICT DO NOTHING"
    );
    let inserted = run(
        c,
        &sql,
        &[
            &tenant,
            &township.0.as_slice(),
            &v.ids,
            &v.heads,
            &v.changes,
            &v.bytes,
            &v.updated_ms,
            &v.titles,
            &v.labels,
            &v.statuses,
            &v.persons,
            &v.days,
            &v.differences,
            &v.jsons,
            &v.searches,
            &v.lasts,
            &v.states,
            &v.steps,
            &born,
            &types,
            &keys,
            &incarnations,
            &areas,
            &subjects,
        ],
    )
    .await?;
    all_inserted(inserted, writes.len())
}

async fn update_records(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    writes: &[&RecordWrite<'_>],
) -> Result<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let v = RecordColumns::of(writes)?;
    let sql = format!(
        "UPDATE record r SET heads = n.heads, changes = r.changes + n.changes, bytes = r.bytes + n.bytes,
         updated_ms = greatest(r.updated_ms, n.updated_ms), title = n.title, label = n.label, status = n.status,
         persons = n.persons, day = n.day, differences = n.differences, json = n.json,
         search = n.search, last = n.last, state = n.state, steps = n.steps
         FROM {RECORD_ROWS}) AS n ({RECORD_NAMES}) WHERE r.tenant = $1 AND r.township = $2 AND r.id = n.id"
    );
    let updated = run(
        c,
        &sql,
        &[
            &tenant,
            &township.0.as_slice(),
            &v.ids,
            &v.heads,
            &v.changes,
            &v.bytes,
            &v.updated_ms,
            &v.titles,
            &v.labels,
            &v.statuses,
            &v.persons,
            &v.days,
            &v.differences,
            &v.jsons,
            &v.searches,
            &v.lasts,
            &v.states,
            &v.steps,
        ],
    )
    .await?;
    all_inserted(updated, writes.len())
}

async fn insert_changes(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    writes: &TownshipWrites<'_>,
) -> Result<()> {
    if writes.changes.is_empty() {
        return Ok(());
    }
    let w = &writes.changes;
    let seqs: Vec<i64> = w.iter().map(|w| w.seq.cast_signed()).collect();
    let records: Vec<&[u8]> = w.iter().map(|w| w.record.0.as_slice()).collect();
    let chains: Vec<&[u8]> = w.iter().map(|w| w.chain.0.as_slice()).collect();
    let hashes: Vec<&[u8]> = w.iter().map(|w| w.change.hash.0.as_slice()).collect();
    let devices: Vec<Option<&[u8]>> = w.iter().map(|w| w.change.device.as_ref().map(|d| d.0.as_slice())).collect();
    let received: Vec<i64> = w.iter().map(|w| w.received_ms.cast_signed()).collect();
    let bytes: Vec<&[u8]> = w.iter().map(|w| w.change.bytes.as_slice()).collect();
    let sql = "INSERT INTO change (tenant, township, kind, seq, record, chain, hash, device, received_ms, bytes)
        SELECT $1, $2, $3, n.* FROM UNNEST($4::BIGINT[], $5::BYTEA[], $6::BYTEA[], $7::BYTEA[], $8::BYTEA[], $9::BIGINT[],
        $10::BYTEA[]) AS n";
    let kind = i64::from(KIND_CHANGE);
    let (township, params) = (township.0.as_slice(), (&seqs, &records, &chains, &hashes, &devices, &received, &bytes));
    let (seqs, records, chains, hashes, devices, received, bytes) = params;
    run(c, sql, &[&tenant, &township, &kind, seqs, records, chains, hashes, devices, received, bytes]).await?;
    Ok(())
}

async fn insert_batches(c: &impl GenericClient, tenant: &[u8], batches: &[(DeviceId, &BatchRow, u64)]) -> Result<()> {
    if batches.is_empty() {
        return Ok(());
    }
    let bytes = |f: fn(&BatchRow) -> &[u8]| -> Vec<&[u8]> { batches.iter().map(|(_, b, _)| f(b)).collect() };
    let devices: Vec<&[u8]> = batches.iter().map(|(device, ..)| device.0.as_slice()).collect();
    let branches: Vec<i64> = batches.iter().map(|(_, b, _)| b.branch.into()).collect();
    let numbers: Vec<i64> = batches.iter().map(|(_, b, _)| b.number.cast_signed()).collect();
    let outcomes: Vec<Vec<u8>> = batches.iter().map(|(_, b, _)| from_outcomes(&b.outcomes)).collect();
    let received: Vec<i64> = batches.iter().map(|(_, _, at)| at.cast_signed()).collect();
    let sql = "INSERT INTO batch (tenant, device, branch, number, hash, digest, signature, signed, manifest, outcomes,
        received_ms) SELECT $1, n.* FROM UNNEST($2::BYTEA[], $3::BIGINT[], $4::BIGINT[], $5::BYTEA[], $6::BYTEA[], $7::BYTEA[],
        $8::BYTEA[], $9::BYTEA[], $10::BYTEA[], $11::BIGINT[]) AS n ON CONFLICT DO NOTHING";
    let inserted = run(
        c,
        sql,
        &[
            &tenant,
            &devices,
            &branches,
            &numbers,
            &bytes(|b| &b.hash),
            &bytes(|b| &b.digest),
            &bytes(|b| &b.signature),
            &bytes(|b| &b.signed),
            &bytes(|b| &b.manifest),
            &outcomes,
            &received,
        ],
    )
    .await?;
    all_inserted(inserted, batches.len())
}

async fn note_syncs(c: &impl GenericClient, tenant: &[u8], taken: &[&PreparedPush]) -> Result<()> {
    let mut notes: BTreeMap<DeviceId, (u64, u64)> = BTreeMap::new();
    for push in taken {
        let note = notes.entry(push.device).or_default();
        *note = (note.0.max(push.counter), note.1.max(push.received_ms));
    }
    if notes.is_empty() {
        return Ok(());
    }
    let devices: Vec<&[u8]> = notes.keys().map(|d| d.0.as_slice()).collect();
    let counters: Vec<i64> = notes.values().map(|n| n.0.cast_signed()).collect();
    let times: Vec<i64> = notes.values().map(|n| n.1.cast_signed()).collect();
    let sql = format!(
        "UPDATE device d SET {} FROM UNNEST($2::BYTEA[], $3::BIGINT[], $4::BIGINT[]) AS n (id, counter, at_ms)
         WHERE d.tenant = $1 AND d.id = n.id",
        people::NOTE
    );
    run(c, &sql, &[&tenant, &devices, &counters, &times]).await?;
    Ok(())
}

async fn settle(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    record: RecordId,
    hash: &ChangeHash,
) -> Result<()> {
    let sql = "DELETE FROM waiting WHERE tenant = $1 AND township = $2 AND record = $3 AND hash = $4";
    run(c, sql, &[&tenant, &township.0.as_slice(), &record.0.as_slice(), &hash.0.as_slice()]).await?;
    Ok(())
}

/// Values of a held change, in the order of [`HELD_NAMES`].
macro_rules! held_values {
    ($tenant:expr, $push:expr, $sender:expr, $held:expr; $($more:expr),*) => {
        &[
            &$tenant,
            &$push.township.0.as_slice(),
            &$sender.0.as_slice(),
            &$push.received_ms.cast_signed(),
            &$held.record.0.as_slice(),
            &$held.hash.0.as_slice(),
            &$held.identity.record_type,
            &from_key(&$held.identity),
            &i64::from($held.incarnation),
            &$held.area.0.as_slice(),
            &$held.subject.as_ref().map(|s| s.0.as_slice()),
            &$held.reason,
            &$held.bytes,
            $($more),*
        ]
    };
}

const HELD_NAMES: &str =
    "tenant, township, device, received_ms, record, hash, type, key, incarnation, area, subject, reason, bytes";

async fn wait(c: &impl GenericClient, tenant: &[u8], push: &PreparedPush, held: &HeldChange) -> Result<()> {
    let sql = format!(
        "INSERT INTO waiting ({HELD_NAMES}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT DO NOTHING"
    );
    run(c, &sql, held_values!(tenant, push, push.device, held;)).await?;
    Ok(())
}

async fn quarantine(
    c: &impl GenericClient,
    tenant: &[u8],
    no: u64,
    sender: DeviceId,
    push: &PreparedPush,
    held: &HeldChange,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO quarantine ({HELD_NAMES}, no) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT DO NOTHING"
    );
    run(c, &sql, held_values!(tenant, push, sender, held; &no.cast_signed())).await?;
    Ok(())
}
