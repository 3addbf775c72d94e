//! The log of forms.

use std::sync::Arc;

use doorstep_core::protocol::{FormBytes, Position};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::Result;
use super::super::chain::Links;
use super::super::forms::{FormChange, FormLogEntry, FormsCache};
use super::people;

pub(super) fn head(c: &Connection) -> Result<Position> {
    let mut statement = c.prepare_cached("SELECT no, chain FROM form_log ORDER BY no DESC LIMIT 1")?;
    Ok(statement.query_row([], |r| people::position(r, 0)).optional()?.unwrap_or_default())
}

pub(super) fn log(c: &Connection, cache: &FormsCache) -> Result<Arc<[FormLogEntry]>> {
    if let Some(known) = cache.get(head(c)?) {
        return Ok(known);
    }
    let mut statement = c.prepare_cached(
        "SELECT no, chain, name, version, hash, retired, at_ms, definition, base, difference FROM form_log ORDER BY no",
    )?;
    let rows = statement.query_map([], entry)?;
    Ok(cache.put(rows.collect::<rusqlite::Result<_>>()?))
}

fn entry(r: &Row<'_>) -> rusqlite::Result<FormLogEntry> {
    let packed: Option<Vec<u8>> = r.get(9)?;
    let base = r.get(8)?;
    let change = FormChange {
        name: r.get(2)?,
        version: r.get(3)?,
        hash: r.get(4)?,
        retired: r.get(5)?,
        at_ms: r.get::<_, i64>(6)?.cast_unsigned(),
        definition: r.get(7)?,
        difference: packed.map(|packed| FormBytes { base, packed }),
    };
    Ok(FormLogEntry { position: people::position(r, 0)?, change })
}

pub(super) fn append(c: &Connection, links: &Links, on: Position, change: &FormChange) -> Result<Option<Position>> {
    if head(c)? != on {
        return Ok(None);
    }
    let now = Position { seq: on.seq + 1, chain: links.form(on.chain, change) };
    c.prepare_cached(
        "INSERT INTO form_log (no, chain, name, version, hash, retired, at_ms, definition, base, difference)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        now.seq.cast_signed(),
        now.chain.0,
        change.name,
        change.version,
        change.hash,
        change.retired,
        change.at_ms as i64,
        change.definition,
        change.difference.as_ref().and_then(|d| d.base),
        change.difference.as_ref().map(|d| &d.packed),
    ])?;
    Ok(Some(now))
}
