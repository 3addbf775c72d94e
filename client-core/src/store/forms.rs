//! Published forms on the phone: the server's log of them as far as it came.
//!
//! A definition that can't be read keeps nothing else from coming: its version stands in the list without one, and the next
//! request asks for it, whole. Versions are never deleted, since records and drafts may name them; they take a few KB each.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::{Durability, Work, meta, number, set_meta};
use super::error::Result;
use super::{Store, content};
use crate::form::version::{DefinitionBytes, VersionError, VersionHash};
use crate::form::{Catalog, ListColumns, Pack, Summary, Version};
use crate::id::Chain;
use crate::protocol::forms::WANTED_MAX;
use crate::protocol::{FormBytes, FormEntry, FormsKnown, FormsNews, Position};
use crate::record::Value;

/// How often a definition that couldn't be read is asked for again.
const ASK_MAX: u32 = 8;

const SEQ: &str = "forms_seq";
const CHAIN: &str = "forms_chain";

/// What came of a part of the log of forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FormsReport {
    /// Versions whose definition came.
    pub received: u64,
    /// Versions whose definition came and couldn't be read.
    pub unreadable: u64,
}

impl Store {
    /// Takes in news of the log of forms, with the position that holds after them.
    pub fn apply_forms(&self, news: &FormsNews) -> Result<FormsReport> {
        let report = self.in_transaction(Durability::Power, |work| {
            let mut report = FormsReport::default();
            for entry in &news.entries {
                work.apply_form(entry, &mut report)?;
            }
            set_meta(work.db, SEQ, news.position.seq.cast_signed())?;
            set_meta(work.db, CHAIN, news.position.chain.0)?;
            Ok(report)
        })?;
        self.forget_forms();
        Ok(report)
    }

    /// What the next request says of forms.
    pub fn forms_known(&self) -> Result<FormsKnown> {
        self.connections.read(known)
    }

    /// A request goes out: counts what it asks for again.
    pub fn forms_asked(&self) -> Result<()> {
        let wanted = self.forms_known()?.wanted;
        if wanted.is_empty() {
            return Ok(());
        }
        self.in_transaction(Durability::Process, |work| {
            for (name, version) in &wanted {
                work.db
                    .prepare_cached("UPDATE form SET wanted = wanted + 1 WHERE name = ? AND version = ?")?
                    .execute(params![name, version])?;
            }
            Ok(())
        })
    }

    /// The forms on this phone; kept until other ones come.
    pub fn forms(&self) -> Result<Arc<Catalog>> {
        let mut kept = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalog) = &*kept {
            return Ok(catalog.clone());
        }
        let catalog = Arc::new(self.connections.read(catalog)?);
        *kept = Some(catalog.clone());
        Ok(catalog)
    }

    fn forget_forms(&self) {
        *self.forms.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A stored definition turned out to be damaged: it is asked for again.
    pub fn want_form(&self, name: &str, version: u32) -> Result<()> {
        self.in_transaction(Durability::Process, |work| {
            work.db
                .prepare_cached("UPDATE form SET definition = NULL, wanted = 1 WHERE name = ? AND version = ?")?
                .execute(params![name, version])?;
            Ok(())
        })?;
        self.forget_forms();
        Ok(())
    }
}

fn catalog(db: &Connection) -> Result<Catalog> {
    let mut statement =
        db.prepare_cached("SELECT name, version, hash, retired, published_ms, definition FROM form ORDER BY no")?;
    let rows = statement.query_map([], |r| {
        Ok(Version {
            name: r.get(0)?,
            version: r.get(1)?,
            hash: r.get(2)?,
            retired: r.get(3)?,
            published_ms: r.get::<_, i64>(4)?.cast_unsigned(),
            packed: r.get(5)?,
        })
    })?;
    Ok(Catalog::new(rows.collect::<rusqlite::Result<_>>()?))
}

fn known(db: &Connection) -> Result<FormsKnown> {
    let mut statement =
        db.prepare_cached("SELECT name, version FROM form WHERE wanted BETWEEN 1 AND ? ORDER BY no LIMIT ?")?;
    let wanted = statement.query_map(params![ASK_MAX, WANTED_MAX as i64], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let chain = meta::<[u8; 16]>(db, CHAIN)?.map(Chain).unwrap_or_default();
    Ok(FormsKnown {
        position: Position { seq: number(db, SEQ)?, chain },
        wanted: wanted.collect::<rusqlite::Result<_>>()?,
    })
}

/// The bytes of the version with this hash: published or built-in.
fn base(db: &Connection, hash: &VersionHash) -> Result<Option<DefinitionBytes>> {
    let mut statement = db.prepare_cached("SELECT definition FROM form WHERE hash = ? AND definition IS NOT NULL")?;
    let stored: Option<Vec<u8>> = statement.query_row([hash], |r| r.get(0)).optional()?;
    if let Some(bytes) = stored.and_then(|packed| DefinitionBytes::unpack(&packed, None, hash).ok()) {
        return Ok(Some(bytes));
    }
    let built_in = Pack::built_in().forms().iter().filter_map(|f| DefinitionBytes::of(f.def()).ok());
    Ok(built_in.into_iter().find(|bytes| bytes.hash() == *hash))
}

/// What lists show of a record, by the newest published form of its type, else by the built-in one.
pub(super) fn summary(db: &Connection, record_type: &str, answers: &BTreeMap<String, Value>) -> Result<Summary> {
    Ok(match columns(db, record_type)?.and_then(|json| serde_json::from_str::<ListColumns>(&json).ok()) {
        Some(columns) => Summary::by(&columns, answers),
        None => Summary::of(record_type, answers),
    })
}

/// What the newest published form of a type shows in lists, as JSON.
fn columns(db: &Connection, record_type: &str) -> Result<Option<String>> {
    let mut statement =
        db.prepare_cached("SELECT list FROM form WHERE type = ? AND retired = 0 ORDER BY version DESC LIMIT 1")?;
    Ok(statement.query_row([record_type], |r| r.get(0)).optional()?)
}

/// What a definition's row says of it.
#[derive(Default)]
struct Read {
    packed: Option<Vec<u8>>,
    record_type: String,
    list: String,
}

impl Work<'_> {
    fn apply_form(&self, entry: &FormEntry, report: &mut FormsReport) -> Result<()> {
        let came = entry.definition.is_some();
        let read = match &entry.definition {
            None => Read::default(),
            Some(definition) => match self.read_form(definition, &entry.hash)? {
                Ok(read) => {
                    report.received += 1;
                    read
                }
                Err(_) => {
                    report.unreadable += 1;
                    Read::default()
                }
            },
        };
        let wanted = u8::from(came && read.packed.is_none());
        let before = columns(self.db, &read.record_type)?;
        // what is here already under the same hash stays, whatever came now
        self.db
            .prepare_cached(
                "INSERT INTO form (name, version, hash, retired, published_ms, wanted, definition, type, list)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (name, version) DO UPDATE SET retired = excluded.retired, hash = excluded.hash,
                 published_ms = CASE WHEN ?10 THEN excluded.published_ms ELSE published_ms END,
                 wanted = CASE WHEN excluded.definition IS NOT NULL THEN 0
                     WHEN hash = excluded.hash AND definition IS NOT NULL THEN 0
                     WHEN ?10 THEN max(wanted, excluded.wanted) ELSE wanted END,
                 type = CASE WHEN excluded.definition IS NOT NULL THEN excluded.type ELSE type END,
                 list = CASE WHEN excluded.definition IS NOT NULL THEN excluded.list ELSE list END,
                 definition = CASE WHEN excluded.definition IS NOT NULL THEN excluded.definition
                     WHEN hash = excluded.hash THEN definition ELSE NULL END",
            )?
            .execute(params![
                entry.name,
                entry.version,
                entry.hash,
                entry.retired,
                entry.at_ms.cast_signed(),
                wanted,
                read.packed,
                read.record_type,
                read.list,
                came,
            ])?;
        if columns(self.db, &read.record_type)? != before { self.refresh_type(&read.record_type) } else { Ok(()) }
    }

    /// A definition that came, if its bytes are those of the hash. One that needs a newer program is kept for it.
    fn read_form(&self, came: &FormBytes, hash: &VersionHash) -> Result<std::result::Result<Read, VersionError>> {
        let (bytes, packed) = match &came.base {
            None => (DefinitionBytes::unpack(&came.packed, None, hash), Some(&came.packed)),
            Some(base_hash) => match base(self.db, base_hash)? {
                Some(base) => (DefinitionBytes::unpack(&came.packed, Some(&base), hash), None),
                None => (Err(VersionError::Damaged), None),
            },
        };
        Ok(bytes.and_then(|bytes| {
            let def = bytes.read().ok();
            let list = def.as_ref().and_then(|def| serde_json::to_string(&def.list).ok()).unwrap_or_default();
            let packed = packed.map_or_else(|| bytes.pack_fast(), |packed| Ok(packed.clone()))?;
            Ok(Read { packed: Some(packed), record_type: def.map(|d| d.record_type).unwrap_or_default(), list })
        }))
    }

    /// Lists show something else of a type's records from now on.
    fn refresh_type(&self, record_type: &str) -> Result<()> {
        let numbers: Vec<i64> = {
            let mut statement = self.db.prepare_cached("SELECT no FROM record WHERE type = ?")?;
            let rows = statement.query_map([record_type], |r| r.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for no in numbers {
            let record = content::load(self.db, &content::held_by_no(self.db, no)?)?;
            self.refresh(no, &record)?;
        }
        Ok(())
    }
}
