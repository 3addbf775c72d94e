//! The user's grants: what the phone may read, and the log of it that a restored server gets back.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::Store;
use super::connection::{Durability, Work, clear_meta, meta, number, set_meta};
use super::error::Result;
use crate::fault;
use crate::id::Chain;
use crate::protocol::{GrantEntry, GrantLog, Position};
use crate::rights::Roles;

/// The entries of the log, from the first, as the wire writes them.
const LOG: &str = "grants_log";
/// The chain after the last of them.
const LOG_CHAIN: &str = "grants_log_chain";
/// How many there are.
const LOG_LENGTH: &str = "grants_log_length";
/// The township's own roles as JSON; empty where those of the program hold.
const ROLES: &str = "roles";
/// True while the log is to be shown to a server that lacks part of it.
const BRING: &str = "grants_bring";

impl Store {
    /// Takes new entries of the user's grants; the whole log replaces what was known. Each active grant is to be filled; one
    /// that ended isn't any more.
    ///
    /// Records that no grant covers any more go at once, those with own open changes when these have a final state.
    pub fn apply_grants(&self, position: Position, entries: &[GrantEntry], roles: &str) -> Result<()> {
        let whole = position.seq == entries.len() as u64;
        let mut shrank = entries.iter().any(|entry| !entry.active);
        self.in_transaction(Durability::Power, |work| {
            work.keep_log(position, entries)?;
            // another table of roles may let them read less
            shrank |= meta::<String>(work.db, ROLES)?.unwrap_or_default() != roles;
            set_meta(work.db, ROLES, roles)?;
            if whole {
                shrank |= work.db.execute("DELETE FROM grant_entry", [])? > 0;
                work.db.execute("DELETE FROM fill", [])?;
            }
            for entry in entries {
                let grant = entry.grant.cast_signed();
                work.db
                    .prepare_cached(
                        "INSERT OR REPLACE INTO grant_entry (grant_no, role, area, subject, active) VALUES (?, ?, ?, ?, ?)",
                    )?
                    .execute(params![grant, entry.role, entry.area.0, entry.subject.map(|s| s.0), entry.active])?;
                work.db.prepare_cached("DELETE FROM fill WHERE grant_no = ?")?.execute([grant])?;
                if entry.active {
                    work.db
                        .prepare_cached("INSERT INTO fill (grant_no, after, closed) VALUES (?, 0, ?)")?
                        .execute(params![grant, fault::bug("forget_fill")])?;
                }
            }
            set_meta(work.db, "grants_seq", position.seq.cast_signed())?;
            set_meta(work.db, "grants_chain", position.chain.0)?;
            if shrank { work.scope_shrank() } else { Ok(()) }
        })
    }

    /// True when some grant of the user is active: without one the server gives nothing.
    pub fn has_grants(&self) -> Result<bool> {
        self.connections.read(|db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM grant_entry WHERE active = 1)";
            Ok(db.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
        })
    }

    /// The roles, as far as the server told them.
    pub fn roles(&self) -> Result<Arc<Roles>> {
        self.connections.read(roles)
    }

    /// The log as far as the server told it; `None` if the phone doesn't have it from the start.
    pub fn grant_log(&self) -> Result<Option<GrantLog>> {
        self.connections.read(|db| {
            let (Some(entries), Some(chain)) = (meta::<Vec<u8>>(db, LOG)?, meta(db, LOG_CHAIN)?) else {
                return Ok(None);
            };
            // a log that can't be read any more is one that the phone doesn't have
            Ok(GrantLog::read(&entries, Chain(chain)).ok())
        })
    }

    /// The server's log is shorter than it was. Until the phone's log was shown, grants stay as they are here; then the
    /// server sends the whole log, and all fills start again: what the feed gave meanwhile was given for fewer grants.
    pub fn grants_were_lost(&self) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            clear_meta(work.db, "grants_seq")?;
            clear_meta(work.db, "grants_chain")?;
            set_meta(work.db, BRING, 1)
        })
    }

    /// True while the log is to be shown to the server.
    pub fn has_grants_to_bring(&self) -> Result<bool> {
        self.connections.read(|db| Ok(number(db, BRING)? != 0))
    }

    /// The server has seen the log; what it made of it comes with its next reply.
    pub fn grants_shown(&self) -> Result<()> {
        self.in_transaction(Durability::Power, |work| clear_meta(work.db, BRING))
    }
}

pub(super) fn roles(db: &Connection) -> Result<Arc<Roles>> {
    let own = meta::<String>(db, ROLES)?.filter(|json| !json.is_empty());
    // a table that this version can't read gives nobody more than the program's own
    let own = own.and_then(|json| Roles::from_json(&json).ok());
    Ok(own.map_or_else(|| Roles::builtin().clone(), |own| Arc::new(own.over(Roles::builtin()))))
}

impl Work<'_> {
    /// Keeps the log with these entries at its end; one that isn't known from the start isn't kept.
    fn keep_log(&self, position: Position, entries: &[GrantEntry]) -> Result<()> {
        let before = position.seq.checked_sub(entries.len() as u64);
        let mut log: Vec<u8> = match before {
            Some(0) => Vec::new(),
            Some(n) if n == number(self.db, LOG_LENGTH)? => meta(self.db, LOG)?.unwrap_or_default(),
            _ => return [LOG, LOG_CHAIN, LOG_LENGTH].iter().try_for_each(|name| clear_meta(self.db, name)),
        };
        log.extend(GrantLog::entry_bytes(entries));
        set_meta(self.db, LOG, log)?;
        set_meta(self.db, LOG_CHAIN, position.chain.0)?;
        set_meta(self.db, LOG_LENGTH, position.seq.cast_signed())
    }
}
