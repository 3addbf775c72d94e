//! What apps read: lists, counts, refusals.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::Store;
use super::content::{self, changes, held_by_no, identity_from, state};
use super::error::Result;
use crate::clock::Millis;
use crate::id::{AreaId, ChangeHash, Identity, RecordId};
use crate::protocol::{AreaEntry, change_refusal_text, forbidden_keys};
use crate::record::{Edit, Record};

/// A record in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The record.
    pub id: RecordId,
    /// Its type, such as `household`.
    pub record_type: String,
    /// Type and natural key.
    pub identity: Identity,
    /// Where it is placed.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// Shown first: the head of household, a visit's date.
    pub title: String,
    /// Shown beside it: the household's number, a visit's result.
    pub label: String,
    /// Status, a name from the pack; empty where the type has none.
    pub status: String,
    /// Members of a household.
    pub persons: u32,
    /// The day that it is about, `YYYY-MM-DD`; empty where there is none.
    pub day: String,
    /// Answers that stand differently.
    pub differences: u32,
    /// Own changes that the server hasn't given a final state.
    pub unsent: u32,
    /// Something that the server sent of it could not be taken yet.
    pub stuck: bool,
}

/// Which records a list holds. An empty filter holds all, which is for small phones and checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only of this type.
    pub record_type: Option<String>,
    /// Only in this area or below it.
    pub area: Option<AreaId>,
    /// Only about this record.
    pub subject: Option<RecordId>,
    /// Only with this text, in lower case, in name, number, address or members.
    pub search: Option<String>,
    /// Only with answers that stand differently.
    pub with_differences: bool,
    /// Records that are left out because another one stands for them; where the search text is in one of them, that other
    /// one is found.
    pub united: BTreeMap<RecordId, RecordId>,
    /// Leave out so many.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

/// How much of everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records.
    pub records: u64,
    /// Changes that the server hasn't answered for.
    pub unsent: u64,
    /// Changes that wait on the server for others.
    pub waiting: u64,
    /// Changes that the server refused.
    pub refused: u64,
    /// Drafts.
    pub drafts: u64,
}

/// A change that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedRow {
    /// The record.
    pub record: RecordId,
    /// The change.
    pub hash: ChangeHash,
    /// A code such as `start_op`; where only some answers were refused, `forbidden_answer` and their keys.
    pub reason: String,
    /// What it would have written, as far as it was refused; empty if it can't be read.
    pub edits: Vec<Edit>,
}

impl RefusedRow {
    /// What happened, in Chinese (`zh`, also `zh-CN`) or English.
    pub fn what(&self, language: &str) -> &'static str {
        change_refusal_text(&self.reason).what.in_language(language)
    }

    /// What the person with the phone does about it.
    pub fn advice(&self, language: &str) -> &'static str {
        change_refusal_text(&self.reason).advice.in_language(language)
    }
}

const ROW: &str = "id, type, key, area, subject, title, label, status, persons, day, differences, unsent, stuck";

fn row_from(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let identity = identity_from(r.get(1)?, &r.get::<_, Vec<u8>>(2)?);
    Ok(Row {
        id: RecordId(r.get(0)?),
        record_type: identity.record_type.clone(),
        identity,
        area: AreaId(r.get(3)?),
        subject: r.get::<_, Option<[u8; 16]>>(4)?.map(RecordId),
        title: r.get(5)?,
        label: r.get(6)?,
        status: r.get(7)?,
        persons: r.get(8)?,
        day: r.get(9)?,
        differences: r.get(10)?,
        unsent: r.get(11)?,
        stuck: r.get(12)?,
    })
}

/// The statement of a list and its values; public in the store so that a test can ask for its plan.
pub(super) fn list_statement(db: &Connection, filter: &ListFilter) -> Result<(String, Vec<Box<dyn ToSql>>)> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut with = String::new();
    if !filter.united.is_empty() {
        with = format!("WITH united (id, leads) AS (VALUES {}) ", vec!["(?, ?)"; filter.united.len()].join(", "));
        values.extend(
            filter.united.iter().flat_map(|(id, leads)| [id, leads]).map(|id| Box::new(id.0) as Box<dyn ToSql>),
        );
        conditions.push("id NOT IN (SELECT id FROM united)");
    }
    if let Some(record_type) = &filter.record_type {
        // a subject has few records: they are found by it, not by their type
        conditions.push(if filter.subject.is_some() { "+type = ?" } else { "type = ?" });
        values.push(Box::new(record_type.clone()));
    }
    if let Some(area) = filter.area {
        if has_areas_below(db, area)? {
            conditions.push(
                "area IN (WITH RECURSIVE below (area) AS (VALUES (?) UNION SELECT a.area FROM area a JOIN below b
                 ON a.parent = b.area) SELECT area FROM below)",
            );
        } else {
            conditions.push("area = ?");
        }
        values.push(Box::new(area.0));
    }
    if let Some(subject) = filter.subject {
        conditions
            .push("no IN (SELECT no FROM record WHERE subject = ? UNION SELECT record FROM about WHERE subject = ?)");
        values.extend([Box::new(subject.0) as Box<dyn ToSql>, Box::new(subject.0)]);
    }
    if let Some(search) = &filter.search {
        conditions.push(match filter.united.is_empty() {
            true => "instr(search, ?) > 0",
            false => {
                values.push(Box::new(search.clone()));
                "(instr(search, ?) > 0 OR id IN
                 (SELECT u.leads FROM united u JOIN record r ON r.id = u.id WHERE instr(r.search, ?) > 0))"
            }
        });
        values.push(Box::new(search.clone()));
    }
    if filter.with_differences {
        conditions.push("differences > 0");
    }
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let order = match (filter.subject, &filter.record_type) {
        (Some(_), _) => "day DESC, no",
        (None, Some(_)) => "label, no",
        (None, None) => "no",
    };
    values.push(Box::new(filter.limit));
    values.push(Box::new(filter.offset));
    Ok((format!("{with}SELECT {ROW} FROM record WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?"), values))
}

fn has_areas_below(db: &Connection, area: AreaId) -> Result<bool> {
    let mut statement = db.prepare_cached("SELECT 1 FROM area WHERE parent = ? LIMIT 1")?;
    Ok(statement.exists([area.0])?)
}

/// What is granted, where households lie that are granted one by one, and all below; then what is above these.
const AREAS_IN_SCOPE: &str = "
    WITH RECURSIVE reach (area) AS (
        SELECT area FROM grant_entry WHERE active = 1
        UNION SELECT r.area FROM grant_entry g JOIN record r ON r.id = g.subject WHERE g.active = 1
        UNION SELECT a.area FROM area a JOIN reach ON a.parent = reach.area
    ), above (area) AS (
        SELECT area FROM reach
        UNION SELECT a.parent FROM area a JOIN above ON a.area = above.area WHERE a.parent IS NOT NULL
    )
    SELECT area, parent, level, code, name_zh, name_en FROM area WHERE area IN (SELECT area FROM above) ORDER BY code, area";

impl Store {
    /// A record as merged here.
    pub fn record(&self, id: RecordId) -> Result<Option<Record>> {
        self.connections.read(|db| match content::held(db, id)? {
            Some(held) => content::load(db, &held).map(Some),
            None => Ok(None),
        })
    }

    /// A record's row.
    pub fn row(&self, id: RecordId) -> Result<Option<Row>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {ROW} FROM record WHERE id = ?"))?;
            Ok(statement.query_row([id.0], row_from).optional()?)
        })
    }

    /// Records by filter; a village's households in the order of their numbers, a household's visits newest first.
    pub fn list(&self, filter: &ListFilter) -> Result<Vec<Row>> {
        self.connections.read(|db| {
            let (sql, values) = list_statement(db, filter)?;
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), row_from)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The area table: all areas of the township.
    pub fn areas(&self) -> Result<Vec<AreaEntry>> {
        self.areas_by("SELECT area, parent, level, code, name_zh, name_en FROM area ORDER BY code, area")
    }

    /// The areas that the user's grants reach, and those above them.
    pub fn areas_in_scope(&self) -> Result<Vec<AreaEntry>> {
        self.areas_by(AREAS_IN_SCOPE)
    }

    fn areas_by(&self, sql: &str) -> Result<Vec<AreaEntry>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([], |r| {
                Ok(AreaEntry {
                    area: AreaId(r.get(0)?),
                    parent: r.get::<_, Option<[u8; 16]>>(1)?.map(AreaId),
                    level: r.get(2)?,
                    code: r.get(3)?,
                    name_zh: r.get(4)?,
                    name_en: r.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How much of everything there is.
    pub fn counts(&self) -> Result<Counts> {
        self.connections.read(|db| {
            let count = |sql: &str| -> Result<u64> {
                Ok(db.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0))?.cast_unsigned())
            };
            Ok(Counts {
                records: count("SELECT count(*) FROM record")?,
                unsent: count("SELECT count(*) FROM change WHERE state IN (0, 1) AND state <> 2")?,
                waiting: count("SELECT count(*) FROM change WHERE state = 3 AND state <> 2")?,
                refused: count("SELECT count(*) FROM change WHERE state IN (4, 6) AND state <> 2")?,
                drafts: count("SELECT count(*) FROM draft")?,
            })
        })
    }

    /// Changes that the server refused, with what they would have written.
    pub fn refused(&self) -> Result<Vec<RefusedRow>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT record, hash, reason FROM change WHERE state IN (4, 6) AND state <> 2 ORDER BY no",
            )?;
            let found = statement.query_map([], |r| Ok((r.get(0)?, ChangeHash(r.get(1)?), r.get(2)?)))?;
            let found: Vec<(i64, ChangeHash, String)> = found.collect::<rusqlite::Result<_>>()?;
            let mut refused = Vec::with_capacity(found.len());
            for (record, hash, reason) in found {
                let held = held_by_no(db, record)?;
                let written = content::as_written(&held.identity, &changes(db, record)?, &HashSet::from([hash]));
                let mut edits = written.operations(&hash);
                let forbidden = forbidden_keys(&reason);
                if !forbidden.is_empty() {
                    edits.retain(|edit| forbidden.contains(&edit.key.as_str()));
                }
                refused.push(RefusedRow { record: held.id, hash, reason, edits });
            }
            Ok(refused)
        })
    }

    /// When the server received a change; `None` if it hasn't, as far as the phone knows.
    pub fn received_ms(&self, record: RecordId, hash: ChangeHash) -> Result<Option<Millis>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT c.received_ms FROM change c JOIN record r ON r.no = c.record
                 WHERE r.id = ? AND c.hash = ? AND c.state = ?",
            )?;
            let found = statement.query_row(params![record.0, hash.0, state::ACKNOWLEDGED], |r| r.get::<_, i64>(0));
            Ok(found.optional()?.map(i64::cast_unsigned))
        })
    }
}
