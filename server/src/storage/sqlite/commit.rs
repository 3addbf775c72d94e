//! The one place where changes enter: several pushes in one transaction, each in a savepoint.

use std::collections::HashMap;

use doorstep_core::fault;
use doorstep_core::id::{AreaId, ChangeHash};
use doorstep_core::protocol::{Position, ScopeDigest};
use rusqlite::{CachedStatement, OptionalExtension, Transaction, params};

use super::super::acts::NotTaken;
use super::super::chain::{KIND_CHANGE, Links};
use super::super::columns::{from_heads, from_key};
use super::super::{Committed, PreparedPush, PreparedRecord, Result, StorageError, SyncNote, TownshipId};
use super::figures::{self, Touched};
use super::held::{self, Shelf};
use super::{about, acts, doubts, events, links, pack, people, rights, uploads};

/// A township's feed while a group is written.
#[derive(Clone, Copy)]
pub(super) struct Feed {
    pub no: i64,
    pub position: Position,
    pub digest: ScopeDigest,
    pub areas_version: u64,
}

impl Feed {
    /// Counts a change of a record that lies there.
    pub fn count(&mut self, area: AreaId, change: &ChangeHash) {
        if area != AreaId::NOWHERE {
            self.digest.add(change);
        }
    }

    /// A change of a record that lies there goes.
    pub fn discount(&mut self, area: AreaId, change: &ChangeHash) {
        if area != AreaId::NOWHERE {
            self.digest.remove(change);
        }
    }
}

/// Commits a group of pushes that are all taken, as nearly always; otherwise it is undone with an error of its own, and
/// [`group`] tells which they were. Without savepoints no page is copied for each push.
pub(super) fn all(tx: &Transaction<'_>, links: &Links, pushes: &[PreparedPush]) -> Result<Vec<Result<Committed>>> {
    let mut feeds: HashMap<TownshipId, Feed> = HashMap::new();
    let mut touched = Touched::new();
    let mut answers = Vec::with_capacity(pushes.len());
    for pushed in pushes {
        let feed = match feeds.get(&pushed.township) {
            Some(feed) => *feed,
            None => load_feed(tx, pushed.township)?,
        };
        let (feed, committed) = push(tx, links, feed, pushed, &mut touched)?;
        NotTaken::unless(matches!(committed, Committed::Done(_)))?;
        feeds.insert(pushed.township, feed);
        answers.push(Ok(committed));
    }
    figures::settle(tx, &touched)?;
    fault::point("storage.commit.before");
    Ok(answers)
}

/// Commits a group; answers in order. An error of the whole group undoes all of it.
pub(super) fn group(tx: &Transaction<'_>, links: &Links, pushes: &[PreparedPush]) -> Result<Vec<Result<Committed>>> {
    let mut feeds: HashMap<TownshipId, Feed> = HashMap::new();
    let mut touched = Touched::new();
    let mut answers = Vec::with_capacity(pushes.len());
    for pushed in pushes {
        tx.prepare_cached("SAVEPOINT push")?.execute([])?;
        let feed = match feeds.get(&pushed.township) {
            Some(feed) => *feed,
            None => load_feed(tx, pushed.township)?,
        };
        let answer = push(tx, links, feed, pushed, &mut touched);
        match &answer {
            Ok((feed, Committed::Done(_))) => {
                feeds.insert(pushed.township, *feed);
            }
            Ok(_) | Err(StorageError::Other(_)) if !tx.is_autocommit() => {
                tx.prepare_cached("ROLLBACK TO push")?.execute([])?;
            }
            // a full or damaged disk is everybody's
            _ => return Err(answer.err().unwrap_or_else(|| StorageError::Busy("the transaction is gone".into()))),
        }
        tx.prepare_cached("RELEASE push")?.execute([])?;
        answers.push(answer.map(|(_, committed)| committed));
    }
    figures::settle(tx, &touched)?;
    fault::point("storage.commit.before");
    Ok(answers)
}

/// Writes down syncs.
pub(super) fn notes(tx: &Transaction<'_>, notes: &[SyncNote]) -> Result<()> {
    notes.iter().try_for_each(|n| people::note_sync(tx, n.device, n.counter, n.now_ms, Some((n.feed_seq, n.known))))
}

pub(super) fn load_feed(tx: &Transaction<'_>, township: TownshipId) -> Result<Feed> {
    let no = people::township_no_or_new(tx, township)?;
    let mut statement =
        tx.prepare_cached("SELECT seq, chain, changes, digest_sum, areas_version FROM township WHERE no = ?")?;
    Ok(statement.query_row([no], |r| {
        let position = people::position(r, 0)?;
        let digest =
            ScopeDigest { count: r.get::<_, i64>(2)?.cast_unsigned(), sum: r.get::<_, i64>(3)?.cast_unsigned() };
        Ok(Feed { no, position, digest, areas_version: r.get::<_, i64>(4)?.cast_unsigned() })
    })?)
}

pub(super) fn store_feed(tx: &Transaction<'_>, feed: &Feed) -> Result<()> {
    tx.prepare_cached("UPDATE township SET seq = ?, chain = ?, changes = ?, digest_sum = ? WHERE no = ?")?.execute(
        params![
            feed.position.seq.cast_signed(),
            feed.position.chain.0,
            feed.digest.count.cast_signed(),
            feed.digest.sum.cast_signed(),
            feed.no
        ],
    )?;
    Ok(())
}

fn push(
    tx: &Transaction<'_>,
    links: &Links,
    mut feed: Feed,
    pushed: &PreparedPush,
    touched: &mut Touched,
) -> Result<(Feed, Committed)> {
    if pushed.areas_version.is_some_and(|version| version != feed.areas_version) {
        return Ok((feed, Committed::Moved));
    }
    if let Some(batch) = &pushed.batch
        && !uploads::insert_batch(tx, pushed.device, batch, pushed.received_ms)?
    {
        return Ok((feed, Committed::BatchTaken));
    }
    let mut statements = Statements::new(tx)?;
    for record in &pushed.records {
        match statements.record(links, &mut feed, record, pushed.received_ms)? {
            Some(no) => touched.insert(no),
            None => return Ok((feed, Committed::Moved)),
        };
    }
    links::file(tx, feed.no, &pushed.records, touched)?;
    let newest = (pack(feed.no, feed.position.seq), pushed.received_ms);
    for beside in &pushed.beside {
        if !doubts::file_beside(tx, feed.no, beside, newest, touched)? {
            return Ok((feed, Committed::Moved));
        }
    }
    for moved in &pushed.moves {
        rights::move_records(tx, links, &mut feed, moved, pushed.received_ms, touched)?;
    }
    for (user, grant) in &pushed.grants {
        people::append_grants(tx, links, *user, std::slice::from_ref(grant))?;
    }
    events::file(tx, feed.no, &pushed.events, (feed.position.seq, pushed.received_ms))?;
    let from = (feed.no, pushed.device, pushed.received_ms);
    for (record, hash) in &pushed.settled {
        held::settle(tx, feed.no, *record, hash)?;
    }
    for change in &pushed.waiting {
        held::insert(tx, &Shelf::Waiting, from, change)?;
    }
    for (sender, change) in &pushed.quarantined {
        held::insert(tx, &Shelf::Quarantine, (feed.no, *sender, pushed.received_ms), change)?;
    }
    people::note_sync(tx, pushed.device, pushed.counter, pushed.received_ms, None)?;
    acts::apply(tx, links, &pushed.writes, &pushed.entries)?;
    fault::point("storage.commit.feed");
    if !pushed.records.is_empty() || !pushed.moves.is_empty() {
        store_feed(tx, &feed)?;
    }
    Ok((feed, Committed::Done(feed.position)))
}

/// The statements of the hot path, prepared once a push.
struct Statements<'a> {
    tx: &'a Transaction<'a>,
    insert_record: CachedStatement<'a>,
    insert_text: CachedStatement<'a>,
    insert_change: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn new(tx: &'a Transaction<'_>) -> Result<Self> {
        Ok(Self {
            tx,
            insert_record: tx.prepare_cached(
                "INSERT INTO record (no, id, township_no, type, key, incarnation, area, subject, heads, changes, bytes,
                 updated_ms, title, label, status, persons, day, state, differences, doubts, last, steps)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 coalesce((SELECT s.area FROM record s WHERE s.id = ?8 AND s.township_no = ?3), ?7), ?8, ?9, ?10, ?11, ?12, ?13,
                 ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) ON CONFLICT DO NOTHING RETURNING area",
            )?,
            insert_text: tx
                .prepare_cached("INSERT OR REPLACE INTO record_text (record_no, json, search) VALUES (?, ?, ?)")?,
            insert_change: tx.prepare_cached(
                "INSERT INTO change (no, kind, record_no, chain, hash, device, received_ms, bytes)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
        })
    }

    /// Stores a record's new changes, gives its number; `None` when it isn't as it was when they were merged.
    fn record(
        &mut self,
        links: &Links,
        feed: &mut Feed,
        record: &PreparedRecord,
        received_ms: u64,
    ) -> Result<Option<i64>> {
        let bytes: usize = record.changes.iter().map(|c| c.bytes.len()).sum();
        let last = pack(feed.no, feed.position.seq + record.changes.len() as u64);
        let placed = match &record.base_heads {
            None => {
                let no = pack(feed.no, feed.position.seq + 1);
                let p = &record.projection;
                let values = params![
                    no,
                    record.id.0,
                    feed.no,
                    record.identity.record_type,
                    from_key(&record.identity),
                    record.incarnation,
                    record.area.0,
                    record.subject.map(|s| s.0),
                    from_heads(&record.heads),
                    record.changes.len() as i64,
                    bytes as i64,
                    received_ms as i64,
                    p.title,
                    p.label,
                    p.status,
                    p.persons,
                    p.day,
                    p.state,
                    p.differences,
                    record.check.found.len() as i64,
                    last,
                    p.steps,
                ];
                let area = self.insert_record.query_row(values, |r| r.get(0)).optional()?;
                area.map(|area| (no, AreaId(area)))
            }
            Some(base) => update_record(self.tx, (feed.no, last), record, base, bytes as i64, received_ms)?,
        };
        let Some((record_no, area)) = placed else { return Ok(None) };
        self.insert_text.execute(params![record_no, record.projection.json, record.projection.search])?;
        about::file(self.tx, record_no, &record.projection)?;
        for change in &record.changes {
            let chain = links.change(feed.position.chain, record.id, record.incarnation, &change.hash);
            feed.position = Position { seq: feed.position.seq + 1, chain };
            feed.count(area, &change.hash);
            self.insert_change.execute(params![
                pack(feed.no, feed.position.seq),
                KIND_CHANGE,
                record_no,
                feed.position.chain.0,
                change.hash.0,
                change.device.map(|d| d.0),
                received_ms as i64,
                change.bytes,
            ])?;
        }
        doubts::file(self.tx, feed.no, record_no, &record.check, (last, received_ms))?;
        Ok(Some(record_no))
    }
}

/// Changes a record that was known, gives its number and where it lies; `None` when its heads, incarnation or doubts moved.
fn update_record(
    tx: &Transaction<'_>,
    (township_no, last): (i64, i64),
    record: &PreparedRecord,
    base: &[ChangeHash],
    bytes: i64,
    received_ms: u64,
) -> Result<Option<(i64, AreaId)>> {
    let p = &record.projection;
    let mut update = tx.prepare_cached(
        "UPDATE record SET heads = ?, changes = changes + ?, bytes = bytes + ?, updated_ms = max(updated_ms, ?), title = ?,
         label = ?, status = ?, persons = ?, day = ?, state = ?, differences = ?, last = ?, steps = ?
         WHERE id = ? AND township_no = ? AND heads = ? AND incarnation = ? AND doubts = ? RETURNING no, area",
    )?;
    let values = params![
        from_heads(&record.heads),
        record.changes.len() as i64,
        bytes,
        received_ms as i64,
        p.title,
        p.label,
        p.status,
        p.persons,
        p.day,
        p.state,
        p.differences,
        last,
        p.steps,
        record.id.0,
        township_no,
        from_heads(base),
        record.incarnation,
        record.check.before,
    ];
    Ok(update.query_row(values, |r| Ok((r.get(0)?, AreaId(r.get(1)?)))).optional()?)
}
