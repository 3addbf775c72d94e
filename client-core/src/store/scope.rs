//! Losing scope: records that no grant covers any more go physically, as soon as own changes in them have a final state.
//! What has its only copy here stays: changes that nobody else keeps, and what a draft is about.

use rusqlite::Connection;

use super::connection::{Work, clear_meta, number, set_meta};
use super::content::changes;
use super::error::Result;

/// Records that no active grant covers: neither the whole township, nor an area at or above theirs, nor their subject. With
/// each, whether it has to stay: own changes have no final state, or were denied, or could not be made anew here (the server
/// keeps no copy of those), or a draft is about it.
const LOST: &str = "
    WITH RECURSIVE granted (area) AS (
        SELECT area FROM grant_entry WHERE active = 1 AND subject IS NULL
        UNION SELECT a.area FROM area a JOIN granted g ON a.parent = g.area
    )
    SELECT no, unsent > 0
        OR EXISTS (SELECT 1 FROM change c WHERE c.record = r.no AND (c.state = 6
                   OR c.state = 4 AND c.reason IN ('cannot_remake', 'unreadable', 'damaged_on_phone')))
        OR EXISTS (SELECT 1 FROM draft d WHERE r.id IN (d.record, d.subject))
        OR EXISTS (SELECT 1 FROM draft_heads h WHERE h.record = r.id)
    FROM record r
    WHERE NOT EXISTS (SELECT 1 FROM grant_entry WHERE active = 1 AND subject IS NULL AND area = ?)
      AND r.area NOT IN (SELECT area FROM granted)
      AND NOT EXISTS (SELECT 1 FROM grant_entry g WHERE g.active = 1 AND g.subject IN (r.id, r.subject))";

/// True while records that are out of scope wait for the final state of own changes.
const LOSING: &str = "losing_scope";

impl Work<'_> {
    /// A grant ended: from now on lost records are looked for.
    pub fn scope_shrank(&mut self) -> Result<()> {
        set_meta(self.db, LOSING, 1)?;
        self.drop_lost()
    }

    /// Drops what is out of scope and settled. Does nothing unless a grant has ended and not all of it is gone yet, nor while
    /// a rewound server still lacks what it had acknowledged.
    pub fn drop_lost(&mut self) -> Result<()> {
        if number(self.db, LOSING)? == 0 || !areas_known(self.db)? || self.has_receipts_to_bring()? {
            return Ok(());
        }
        let township = self.enrolment()?.township;
        let lost: Vec<(i64, bool)> = {
            let mut statement = self.db.prepare_cached(LOST)?;
            let rows = statement.query_map([township.0], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut waiting = false;
        for (no, stays) in lost {
            if stays {
                waiting = true;
                continue;
            }
            let rows = changes(self.db, no)?;
            self.delete_changes(no, &rows)?;
            self.db.prepare_cached("DELETE FROM about WHERE record = ?")?.execute([no])?;
            self.db.prepare_cached("DELETE FROM record WHERE no = ?")?.execute([no])?;
        }
        if waiting { Ok(()) } else { clear_meta(self.db, LOSING) }
    }
}

/// Without the tree below each granted area nothing can be called lost.
fn areas_known(db: &Connection) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM grant_entry g WHERE active = 1 AND subject IS NULL
               AND NOT EXISTS (SELECT 1 FROM area a WHERE a.area = g.area))";
    Ok(db.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}
