//! News of a pull: gathered from the changed records in scope while these are few, walked along the feed otherwise. Both
//! give the same pages.

use std::collections::BTreeSet;

use doorstep_core::id::{AreaId, Chain};
use doorstep_core::protocol::Position;
use rusqlite::{Connection, Row, params};

use super::super::chain::{KIND_ERASED, KIND_MOVE};
use super::super::columns::BadColumn;
use super::super::page::{CHANGED_MAX, PageBuilder, PullFilter, SCAN_MAX, scopes_of_news};
use super::super::{PullQuery, PulledRecord, Result};
use super::feed::{Head, PULLED_COLUMNS, place, pulled};
use super::{pack, records, seq_of};

/// News of a page: records with their new changes, how far they reach, and their bytes.
pub(super) type News = (Vec<PulledRecord>, Position, usize);

/// Reads news up to about the page's bytes.
pub(super) fn read(c: &Connection, head: &Head, query: &PullQuery) -> Result<News> {
    match changed_records(c, head, query)? {
        Some(changed) => gather(c, head, query, &changed),
        None => walk(c, head, query),
    }
}

fn sql(condition: &str) -> String {
    format!(
        "SELECT c.no, c.hash, c.device, c.received_ms, c.bytes, c.chain, {PULLED_COLUMNS}, c.kind, r.bytes
         FROM change c CROSS JOIN record r ON r.no = c.record_no WHERE {condition}"
    )
}

/// Adds what an entry of the feed means for the device: a change, or a move.
fn add(page: &mut PageBuilder, filter: &PullFilter, r: &Row<'_>) -> Result<()> {
    let (at, born) = (place(r, 7)?, seq_of(r.get(6)?));
    let kind = r.get::<_, u8>(14)?;
    if kind == KIND_ERASED {
        return Ok(());
    }
    if kind == KIND_MOVE {
        let from = r.get_ref(4)?.as_blob().ok().and_then(|bytes| AreaId::from_slice(bytes.get(..16)?));
        let arrival = filter.after_move(&at, from.ok_or(BadColumn("move"))?, born);
        let bytes = r.get::<_, i64>(15)?.cast_unsigned() as usize;
        return arrival.map_or(Ok(()), |arrival| Ok(page.moved(at.id, (arrival, bytes), || pulled(r, 6))?));
    }
    if filter.by_feed(&at, born) {
        page.add(at.id, records::change(r)?, || pulled(r, 6))?;
    }
    Ok(())
}

/// The page, which ends at a position.
fn end(c: &Connection, head: &Head, page: PageBuilder, upto: Position) -> Result<News> {
    let (found, bytes) = page.finish(|record| records::changes(c, pack(head.township_no, record.born)))?;
    Ok((found, upto, bytes))
}

/// Where the page stands when it is full after this row.
fn upto(r: &Row<'_>) -> Result<Position> {
    Ok(Position { seq: seq_of(r.get(0)?), chain: Chain(r.get(5)?) })
}

fn walk(c: &Connection, head: &Head, query: &PullQuery) -> Result<News> {
    let filter = PullFilter::new(query);
    let mut statement = c.prepare_cached(&sql("c.no > ? AND c.no <= ? ORDER BY c.no"))?;
    let mut page = PageBuilder::default();
    let mut rows = statement.query([pack(head.township_no, query.after), pack(head.township_no, head.position.seq)])?;
    let mut scanned = 0;
    while let Some(r) = rows.next()? {
        add(&mut page, &filter, r)?;
        scanned += 1;
        if page.bytes >= query.bytes_max || scanned >= SCAN_MAX {
            return end(c, head, page, upto(r)?);
        }
    }
    end(c, head, page, head.position)
}

/// The records whose news come by the feed, if looking them up is less work than walking the feed.
fn changed_records(c: &Connection, head: &Head, query: &PullQuery) -> Result<Option<BTreeSet<i64>>> {
    let Some(scopes) = scopes_of_news(query) else { return Ok(None) };
    let lookups: usize = scopes.iter().map(|(scope, _)| 2 * (scope.areas.len() + scope.subjects.len())).sum();
    if head.position.seq.saturating_sub(query.after) <= lookups as u64 {
        return Ok(None);
    }
    let (first, last) = (pack(head.township_no, query.after), pack(head.township_no, head.position.seq));
    let mut found = BTreeSet::new();
    let mut find = |column: &str, value: &[u8; 16], born_upto: u64| -> Result<bool> {
        // `+no`: the row numbers stand in the index, they aren't a way to search
        let sql = match column {
            "left" => {
                "SELECT DISTINCT record_no FROM placement WHERE area = ? AND no > ? AND no <= ? AND record_no <= ? LIMIT ?"
            }
            "area" => "SELECT no FROM record WHERE area = ? AND last > ? AND last <= ? AND +no <= ? LIMIT ?",
            "subject" => "SELECT no FROM record WHERE subject = ? AND last > ? AND last <= ? AND +no <= ? LIMIT ?",
            _ => "SELECT no FROM record WHERE id = ? AND last > ? AND last <= ? AND +no <= ? LIMIT ?",
        };
        let mut statement = c.prepare_cached(sql)?;
        let values = params![value, first, last, pack(head.township_no, born_upto), CHANGED_MAX as i64 + 1];
        for no in statement.query_map(values, |r| r.get(0))? {
            found.insert(no?);
        }
        Ok(found.len() <= CHANGED_MAX)
    };
    for (scope, born_upto) in scopes {
        for area in &scope.areas {
            if !find("area", &area.0, born_upto)? || !find("left", &area.0, u64::MAX)? {
                return Ok(None);
            }
        }
        for subject in &scope.subjects {
            if !find("id", &subject.0, born_upto)? || !find("subject", &subject.0, born_upto)? {
                return Ok(None);
            }
        }
    }
    // what a fill that starts anew had brought before may have left
    for area in query.fills.iter().filter(|(.., after)| *after == 0).flat_map(|(_, scope, _)| &scope.areas) {
        if !find("left", &area.0, u64::MAX)? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

fn gather(c: &Connection, head: &Head, query: &PullQuery, changed: &BTreeSet<i64>) -> Result<News> {
    let mut numbers: Vec<i64> = Vec::new();
    let mut find = c.prepare_cached("SELECT no FROM change WHERE record_no = ? AND +no > ?")?;
    for record in changed {
        for no in find.query_map([*record, pack(head.township_no, query.after)], |r| r.get(0))? {
            numbers.push(no?);
        }
    }
    numbers.sort_unstable();
    let mut statement = c.prepare_cached(&sql("c.no = ?"))?;
    let (filter, mut page) = (PullFilter::new(query), PageBuilder::default());
    for no in numbers {
        let mut rows = statement.query([no])?;
        let Some(r) = rows.next()? else { continue };
        add(&mut page, &filter, r)?;
        if page.bytes >= query.bytes_max {
            return end(c, head, page, upto(r)?);
        }
    }
    end(c, head, page, head.position)
}
