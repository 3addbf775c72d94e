//! News of a pull: gathered from the changed records in scope while these are few, walked along the feed otherwise. Both
//! give the same pages.

use std::collections::BTreeSet;

use doorstep_core::id::{Chain, RecordId};
use doorstep_core::protocol::Position;
use rusqlite::{Connection, Row, params};

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
        "SELECT c.no, c.hash, c.device, c.received_ms, c.bytes, c.chain, {PULLED_COLUMNS}
         FROM change c CROSS JOIN record r ON r.no = c.record_no WHERE {condition}"
    )
}

fn add(page: &mut PageBuilder, r: &Row<'_>) -> rusqlite::Result<()> {
    page.add(RecordId(r.get(7)?), records::change(r)?, || pulled(r, 6))
}

/// The page's end, when it is full after this row.
fn end(page: PageBuilder, r: &Row<'_>) -> Result<News> {
    let (upto, bytes) = (Position { seq: seq_of(r.get(0)?), chain: Chain(r.get(5)?) }, page.bytes);
    Ok((page.finish(), upto, bytes))
}

fn walk(c: &Connection, head: &Head, query: &PullQuery) -> Result<News> {
    let filter = PullFilter::new(query);
    let mut statement = c.prepare_cached(&sql("c.no > ? AND c.no <= ? ORDER BY c.no"))?;
    let mut page = PageBuilder::default();
    let mut rows = statement.query([pack(head.township_no, query.after), pack(head.township_no, head.position.seq)])?;
    let mut scanned = 0;
    while let Some(r) = rows.next()? {
        let (id, area, subject) = place(r, 7)?;
        if filter.by_feed(id, area, subject, seq_of(r.get(6)?)) {
            add(&mut page, r)?;
        }
        scanned += 1;
        if page.bytes >= query.bytes_max || scanned >= SCAN_MAX {
            return end(page, r);
        }
    }
    let bytes = page.bytes;
    Ok((page.finish(), head.position, bytes))
}

/// The records whose news come by the feed, if looking them up is less work than walking the feed.
fn changed_records(c: &Connection, head: &Head, query: &PullQuery) -> Result<Option<BTreeSet<i64>>> {
    let Some(scopes) = scopes_of_news(query) else { return Ok(None) };
    let lookups: usize = scopes.iter().map(|(scope, _)| scope.areas.len() + 2 * scope.subjects.len()).sum();
    if head.position.seq.saturating_sub(query.after) <= lookups as u64 {
        return Ok(None);
    }
    let (first, last) = (pack(head.township_no, query.after), pack(head.township_no, head.position.seq));
    let mut found = BTreeSet::new();
    let mut find = |column: &str, value: &[u8; 16], born_upto: u64| -> Result<bool> {
        // `+no`: the row numbers stand in the index, they aren't a way to search
        let mut statement = c.prepare_cached(&format!(
            "SELECT no FROM record WHERE {column} = ? AND last > ? AND last <= ? AND +no <= ? LIMIT ?"
        ))?;
        let values = params![value, first, last, pack(head.township_no, born_upto), CHANGED_MAX as i64 + 1];
        for no in statement.query_map(values, |r| r.get(0))? {
            found.insert(no?);
        }
        Ok(found.len() <= CHANGED_MAX)
    };
    for (scope, born_upto) in scopes {
        for area in &scope.areas {
            if !find("area", &area.0, born_upto)? {
                return Ok(None);
            }
        }
        for subject in &scope.subjects {
            if !find("id", &subject.0, born_upto)? || !find("subject", &subject.0, born_upto)? {
                return Ok(None);
            }
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
    let mut page = PageBuilder::default();
    for no in numbers {
        let mut rows = statement.query([no])?;
        let Some(r) = rows.next()? else { continue };
        add(&mut page, r)?;
        if page.bytes >= query.bytes_max {
            return end(page, r);
        }
    }
    let bytes = page.bytes;
    Ok((page.finish(), head.position, bytes))
}
