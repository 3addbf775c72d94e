//! The feed: head, chain, pages of a pull.

use doorstep_core::id::{AreaId, Chain, ChangeHash, Incarnation, RecordId};
use doorstep_core::protocol::{Position, ScopeDigest};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::columns::{BadColumn, to_heads, to_identity};
use super::super::page::{Placed, PullFilter, ScopeFilter};
use super::super::{Arrival, PullPage, PullQuery, PulledRecord, Result, Scope, StoredChange, TownshipId};
use super::{news, pack, people, records, seq_of};

/// A township's feed.
pub(super) struct Head {
    pub township_no: i64,
    pub position: Position,
    pub areas_version: u64,
    digest: ScopeDigest,
}

pub(super) fn read_head(c: &Connection, township: TownshipId) -> Result<Option<Head>> {
    let mut statement =
        c.prepare_cached("SELECT seq, chain, changes, digest_sum, no, areas_version FROM township WHERE id = ?")?;
    let head = statement.query_row([township.0], |r| {
        let digest =
            ScopeDigest { count: r.get::<_, i64>(2)?.cast_unsigned(), sum: r.get::<_, i64>(3)?.cast_unsigned() };
        let areas_version = r.get::<_, i64>(5)?.cast_unsigned();
        Ok(Head { township_no: r.get(4)?, position: people::position(r, 0)?, areas_version, digest })
    });
    Ok(head.optional()?)
}

pub(super) fn head(c: &Connection, township: TownshipId) -> Result<(Position, ScopeDigest)> {
    Ok(read_head(c, township)?.map(|h| (h.position, h.digest)).unwrap_or_default())
}

pub(super) fn is_on_chain(c: &Connection, township: TownshipId, position: Position) -> Result<bool> {
    on_chain(c, read_head(c, township)?.as_ref(), position)
}

/// The same in the snapshot that the head was read in.
pub(super) fn on_chain(c: &Connection, head: Option<&Head>, position: Position) -> Result<bool> {
    if position == Position::default() {
        return Ok(true);
    }
    let Some(head) = head.filter(|h| position.seq >= 1 && position.seq <= h.position.seq) else { return Ok(false) };
    if position.seq == head.position.seq {
        return Ok(position == head.position);
    }
    let mut statement = c.prepare_cached("SELECT chain FROM change WHERE no = ?")?;
    let chain = statement.query_row([pack(head.township_no, position.seq)], |r| Ok(Chain(r.get(0)?))).optional()?;
    Ok(chain == Some(position.chain))
}

/// What a scope is asked about: id, area, subject, type, from column `first` on.
pub(super) fn place<'a>(r: &'a Row<'_>, first: usize) -> Result<Placed<'a>> {
    Ok(Placed {
        id: RecordId(r.get(first)?),
        area: AreaId(r.get(first + 1)?),
        subject: r.get::<_, Option<_>>(first + 2)?.map(RecordId),
        record_type: r.get_ref(first + 3)?.as_str().map_err(|_| BadColumn("type"))?,
    })
}

pub(super) const PULLED_COLUMNS: &str = "r.no, r.id, r.area, r.subject, r.type, r.key, r.incarnation, r.heads";

/// A record without its changes, from column `first` on.
pub(super) fn pulled(r: &Row<'_>, first: usize) -> rusqlite::Result<PulledRecord> {
    Ok(PulledRecord {
        arrival: Arrival::Known,
        id: RecordId(r.get(first + 1)?),
        area: AreaId(r.get(first + 2)?),
        subject: r.get::<_, Option<_>>(first + 3)?.map(RecordId),
        born: seq_of(r.get(first)?),
        identity: to_identity(r.get(first + 4)?, r.get_ref(first + 5)?.as_blob()?),
        incarnation: r.get(first + 6)?,
        heads: to_heads(r.get_ref(first + 7)?.as_blob()?),
        changes: Vec::new(),
    })
}

pub(super) fn pull_page(c: &Connection, query: &PullQuery) -> Result<PullPage> {
    page(c, read_head(c, query.township)?.as_ref(), query)
}

/// A page in the snapshot that the head was read in.
pub(super) fn page(c: &Connection, head: Option<&Head>, query: &PullQuery) -> Result<PullPage> {
    let Some(head) = head else {
        return Ok(PullPage {
            head: Position::default(),
            digest: ScopeDigest::default(),
            feed: Vec::new(),
            feed_upto: Position::default(),
            fill: Vec::new(),
            fill_grant: query.fills.first().map(|(grant, ..)| *grant),
            fill_complete: !query.fills.is_empty(),
        });
    };
    let (feed, feed_upto, bytes) = news::read(c, head, query)?;
    let mut page = PullPage {
        head: head.position,
        digest: head.digest,
        feed,
        feed_upto,
        fill: Vec::new(),
        fill_grant: None,
        fill_complete: false,
    };
    // a page that news filled leaves the fill to the next one
    if let (Some((grant, scope, after)), true) = (query.fills.first(), page.feed_upto == page.head) {
        let room = query.bytes_max.saturating_sub(bytes);
        if room > 0 || page.feed.is_empty() {
            (page.fill, page.fill_complete) = read_fill(c, head.township_no, scope, *after, room)?;
            page.fill_grant = Some(*grant);
        }
    }
    Ok(page)
}

/// Visits the records of a scope that were born after a number, by birth, until `visit` says stop. With a few subjects
/// only, they are looked up; otherwise the township is walked by birth, which costs each page only what lies before it.
fn walk(
    c: &Connection,
    township_no: i64,
    scope: &Scope,
    after: u64,
    mut visit: impl FnMut(&Row<'_>) -> Result<bool>,
) -> Result<()> {
    let (first, last) = (pack(township_no, after), pack(township_no + 1, 0));
    let filter = ScopeFilter::new(scope);
    if scope.whole || !scope.areas.is_empty() {
        let mut statement = c.prepare_cached(&format!(
            "SELECT {PULLED_COLUMNS}, r.changes, r.bytes FROM record r WHERE r.no > ? AND r.no < ? ORDER BY r.no"
        ))?;
        let mut rows = statement.query([first, last])?;
        while let Some(r) = rows.next()? {
            if filter.covers(&place(r, 1)?) && !visit(r)? {
                return Ok(());
            }
        }
        return Ok(());
    }
    let mut numbers: Vec<i64> = Vec::new();
    for column in ["id", "subject"] {
        let mut find = c.prepare_cached(&format!("SELECT no FROM record WHERE {column} = ? AND no > ? AND no < ?"))?;
        for subject in &scope.subjects {
            for no in find.query_map(params![subject.0, first, last], |r| r.get(0))? {
                numbers.push(no?);
            }
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    let mut statement =
        c.prepare_cached(&format!("SELECT {PULLED_COLUMNS}, r.changes, r.bytes FROM record r WHERE r.no = ?"))?;
    for no in numbers {
        let mut rows = statement.query([no])?;
        if let Some(r) = rows.next()?
            && filter.covers(&place(r, 1)?)
            && !visit(r)?
        {
            return Ok(());
        }
    }
    Ok(())
}

fn read_fill(
    c: &Connection,
    township_no: i64,
    scope: &Scope,
    after: u64,
    room: usize,
) -> Result<(Vec<PulledRecord>, bool)> {
    let mut found: Vec<PulledRecord> = Vec::new();
    let (mut bytes, mut complete) = (0, true);
    walk(c, township_no, scope, after, |r| {
        if bytes >= room && !found.is_empty() {
            complete = false;
            return Ok(false);
        }
        let mut record = pulled(r, 0)?;
        record.changes = records::changes(c, r.get(0)?)?;
        bytes += record.changes.iter().map(|change: &StoredChange| change.bytes.len()).sum::<usize>();
        found.push(record);
        Ok(true)
    })?;
    Ok((found, complete))
}

pub(super) fn pull_cost(c: &Connection, query: &PullQuery) -> Result<(u64, u64)> {
    let Some(head) = read_head(c, query.township)? else { return Ok((0, 0)) };
    let filter = PullFilter::new(query);
    let (mut changes, mut bytes) = (0, 0);
    let mut statement = c.prepare_cached(
        "SELECT length(c.bytes), r.no, r.id, r.area, r.subject, r.type
         FROM change c CROSS JOIN record r ON r.no = c.record_no WHERE c.no > ? AND c.no <= ? AND c.kind = 1",
    )?;
    let first = pack(head.township_no, query.after);
    let mut rows = statement.query([first, pack(head.township_no, head.position.seq)])?;
    while let Some(r) = rows.next()? {
        if filter.by_feed(&place(r, 2)?, seq_of(r.get(1)?)) {
            changes += 1;
            bytes += r.get::<_, i64>(0)?.cast_unsigned();
        }
    }
    for (_, scope, after) in &query.fills {
        walk(c, head.township_no, scope, *after, |r| {
            changes += r.get::<_, i64>(8)?.cast_unsigned();
            bytes += r.get::<_, i64>(9)?.cast_unsigned();
            Ok(true)
        })?;
    }
    Ok((changes, bytes))
}

pub(super) fn change_list(
    c: &Connection,
    township: TownshipId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, RecordId, Incarnation, ChangeHash)>> {
    let Some(no) = people::township_no(c, township)? else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(
        "SELECT c.no, r.id, r.incarnation, c.hash FROM change c CROSS JOIN record r ON r.no = c.record_no
         WHERE c.no > ? AND c.no < ? AND c.kind = 1 ORDER BY c.no LIMIT ?",
    )?;
    let rows = statement.query_map(params![pack(no, after), pack(no + 1, 0), limit], |r| {
        Ok((seq_of(r.get(0)?), RecordId(r.get(1)?), r.get(2)?, ChangeHash(r.get(3)?)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
