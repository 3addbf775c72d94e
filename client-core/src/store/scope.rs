//! Losing scope: records that no grant covers any more go physically, as soon as own changes in them have a final state.
//! What has its only copy here stays: changes that nobody else keeps, and what a draft is about. Own changes in kept batches
//! stay sealed to the server (see `sealed`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::connection::{Work, clear_meta, number, set_meta};
use super::content::{changes, held_by_no, state};
use super::error::Result;
use super::grants;
use super::outbox::OLD_INCARNATION;
use crate::id::AreaId;
use crate::rights::Role;

/// All records, each with whether it has to stay: own changes have no final state, or were denied, or could not be made anew
/// here (the server keeps no copy of those), or a draft is about it.
const RECORDS: &str = "
    SELECT no, id, area, subject, type, unsent > 0
        OR EXISTS (SELECT 1 FROM change c WHERE c.record = r.no AND (c.state = 6
                   OR c.state = 4 AND c.reason IN ('cannot_remake', 'unreadable', 'damaged_on_phone')))
        OR EXISTS (SELECT 1 FROM draft d WHERE r.id IN (d.record, d.subject))
        OR EXISTS (SELECT 1 FROM draft_heads h WHERE h.record = r.id)
    FROM record r";

/// What an active grant lets the phone hold.
struct Held {
    role: Arc<Role>,
    /// The whole township.
    whole: bool,
    /// The area and all below it.
    areas: HashSet<[u8; 16]>,
    subject: Option<[u8; 16]>,
}

impl Held {
    fn covers(&self, id: [u8; 16], area: [u8; 16], subject: Option<[u8; 16]>, record_type: &str) -> bool {
        let reached = match self.subject {
            Some(about) => id == about || subject == Some(about),
            None => self.whole || self.areas.contains(&area),
        };
        area != AreaId::NOWHERE.0 && reached && self.role.reads(record_type)
    }
}

/// True while records that are out of scope wait for the final state of own changes.
const LOSING: &str = "losing_scope";

impl Work<'_> {
    /// A grant ended: from now on lost records are looked for.
    pub fn scope_shrank(&mut self) -> Result<()> {
        self.note_loss()?;
        self.drop_lost()
    }

    /// Something left the scope: lost records are looked for with the next [`Work::drop_lost`].
    pub fn note_loss(&self) -> Result<()> {
        set_meta(self.db, LOSING, 1)
    }

    /// Drops what is out of scope and settled. Does nothing unless a grant has ended and not all of it is gone yet, nor while
    /// a rewound server still lacks what it had acknowledged.
    pub fn drop_lost(&mut self) -> Result<()> {
        if number(self.db, LOSING)? == 0 || !areas_known(self.db)? || self.has_receipts_to_bring()? {
            return Ok(());
        }
        let held = self.held_by_grants()?;
        let mut lost: Vec<(i64, [u8; 16], bool)> = Vec::new();
        {
            let mut statement = self.db.prepare_cached(RECORDS)?;
            let mut rows = statement.query([])?;
            while let Some(r) = rows.next()? {
                let (id, area, subject) = (r.get(1)?, r.get(2)?, r.get(3)?);
                let record_type: String = r.get(4)?;
                if !held.iter().any(|held| held.covers(id, area, subject, &record_type)) {
                    lost.push((r.get(0)?, id, r.get(5)?));
                }
            }
        }
        let (mut waiting, mut dropped, mut rerooted) = (false, false, Vec::new());
        for (no, id, stays) in lost {
            // a batch with it may be on its way again
            if stays || self.is_in_pending_batch(id)? {
                waiting = true;
                if self.is_replaced(no)? {
                    let held = held_by_no(self.db, no)?;
                    let next = held.incarnation + 1;
                    rerooted.extend(self.root_anew(held, next)?.1);
                }
                continue;
            }
            dropped = true;
            let rows = changes(self.db, no)?;
            self.delete_changes(no, &rows)?;
            self.db.prepare_cached("DELETE FROM about WHERE record = ?")?.execute([no])?;
            self.db.prepare_cached("DELETE FROM record WHERE no = ?")?.execute([no])?;
        }
        if !rerooted.is_empty() {
            self.take_branch(&HashSet::new(), &rerooted)?;
            let roots: Vec<_> = rerooted.iter().map(|r| (r.held.id, r.held.incarnation)).collect();
            self.forget_uploads(&roots)?;
        }
        if dropped {
            self.note_unsealed()?;
        }
        if waiting { Ok(()) } else { clear_meta(self.db, LOSING) }
    }

    fn is_in_pending_batch(&self, record: [u8; 16]) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE state = 0 AND instr(entries, ?) > 0)";
        Ok(self.db.prepare_cached(sql)?.query_row([record], |r| r.get(0))?)
    }

    /// Own changes of a record wait for an incarnation that the server has put in place of this one. As it is out of scope, that
    /// never comes: they are made anew on an empty one, and get their final state there.
    fn is_replaced(&self, no: i64) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM change WHERE record = ? AND state = ? AND reason = ?)";
        let found = (no, state::WAITING, OLD_INCARNATION);
        Ok(self.db.prepare_cached(sql)?.query_row(found, |r| r.get(0))?)
    }

    fn held_by_grants(&self) -> Result<Vec<Held>> {
        let township = self.enrolment()?.township;
        let roles = grants::roles(self.db)?;
        let mut below: HashMap<[u8; 16], Vec<[u8; 16]>> = HashMap::new();
        let mut statement = self.db.prepare_cached("SELECT parent, area FROM area WHERE parent IS NOT NULL")?;
        for row in statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))? {
            let (parent, area) = row?;
            below.entry(parent).or_default().push(area);
        }
        let mut statement = self.db.prepare_cached("SELECT role, area, subject FROM grant_entry WHERE active = 1")?;
        let found = statement.query_map([], |r| {
            let (role, area, subject) =
                (r.get::<_, String>(0)?, r.get::<_, [u8; 16]>(1)?, r.get::<_, Option<[u8; 16]>>(2)?);
            let mut areas = HashSet::new();
            let mut next = vec![area];
            while let Some(area) = next.pop() {
                if areas.insert(area) {
                    next.extend(below.get(&area).into_iter().flatten());
                }
            }
            Ok(Held { role: roles.get(&role), whole: subject.is_none() && area == township.0, areas, subject })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

/// Without the tree below each granted area nothing can be called lost.
fn areas_known(db: &Connection) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM grant_entry g WHERE active = 1 AND subject IS NULL
               AND NOT EXISTS (SELECT 1 FROM area a WHERE a.area = g.area))";
    Ok(db.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}
