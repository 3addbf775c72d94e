//! Where the phone stands with the server: counters, grants, fills, the feed and its older points.

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::connection::{Durability, Work, clear_meta, meta, number, read_digest, set_meta};
use super::error::{Result, StoreError};
use super::{Enrolment, Store};
use crate::clock::{Millis, random};
use crate::fault;
use crate::id::Chain;
use crate::protocol::enrol::normal_code;
use crate::protocol::{AreaEntry, FillPosition, Position, ScopeDigest, limits};

/// How long batches and receipts are kept, in server time.
const KEEP_MS: Millis = 30 * 24 * 3600 * 1000;
/// How often old ones are looked for, in server time.
const PRUNE_EVERY_MS: Millis = 24 * 3600 * 1000;

/// The seed of the key that an enrolment under way registers, and the hash of its code.
const ENROL_SEED: &str = "enrol_seed";
const ENROL_CODE: &str = "enrol_code";

/// What this phone still lacked of the server's scope after all its fills had started again: program, count and sum.
const USELESS_RESTART: &str = "useless_restart";

/// What a request says about the phone.
#[derive(Debug, Clone)]
pub struct SyncState {
    /// Who this phone is; `None` before enrolment.
    pub enrolment: Option<Enrolment>,
    /// Number of the last request.
    pub counter: u64,
    /// The branch on which the phone writes.
    pub branch: u32,
    /// Where it stands in its grants.
    pub grants: Position,
    /// Where it stands in the feed; `None` before the first reply.
    pub feed: Option<Position>,
    /// The newest point that the server told with final states or a refill, where that is ahead of the feed.
    pub told: Option<Position>,
    /// Fills that aren't closed.
    pub fills: Vec<FillPosition>,
    /// Version of the area table.
    pub areas_version: u64,
    /// The scope digest differed from the server's.
    pub diverged: bool,
    /// The server's time in its last reply; 0 before the first.
    pub last_server_ms: Millis,
}

impl Store {
    /// Who the phone is. Enrolling again as the same device is harmless; as another one it is refused.
    pub fn enrol(&self, enrolment: &Enrolment) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            if super::connection::enrolment(work.db)?.is_some_and(|known| known.device != enrolment.device) {
                return Err(StoreError::AlreadyEnrolled);
            }
            set_meta(
                work.db,
                "enrolment",
                serde_json::to_string(enrolment).map_err(|_| StoreError::Stored("enrolment"))?,
            )?;
            clear_meta(work.db, ENROL_SEED)?;
            clear_meta(work.db, ENROL_CODE)
        })?;
        super::wipe::forget(&self.dir);
        self.make_ballast();
        Ok(())
    }

    /// The seed of the phone's key for an enrolment with this code: the same one until the phone is enrolled, so that the
    /// server knows who asks again after its answer was lost.
    pub fn seed_for_code(&self, code: &str) -> Result<[u8; 32]> {
        let code: [u8; 32] = Sha256::digest(normal_code(code)).into();
        self.in_transaction(Durability::Power, |work| {
            if meta(work.db, ENROL_CODE)? == Some(code)
                && let Some(seed) = meta(work.db, ENROL_SEED)?
            {
                return Ok(seed);
            }
            let seed: [u8; 32] = random(&*work.tools.entropy);
            set_meta(work.db, ENROL_CODE, code)?;
            set_meta(work.db, ENROL_SEED, seed)?;
            Ok(seed)
        })
    }

    /// Who the phone is; `None` before enrolment.
    pub fn enrolment(&self) -> Result<Option<Enrolment>> {
        self.connections.read(super::connection::enrolment)
    }

    /// What the next request says.
    pub fn sync_state(&self) -> Result<SyncState> {
        self.connections.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT grant_no, after FROM fill WHERE closed = 0 ORDER BY grant_no LIMIT ?")?;
            let fills = statement.query_map([limits::POSITIONS_MAX as i64], |r| {
                let number = |i| -> rusqlite::Result<u64> { Ok(r.get::<_, i64>(i)?.cast_unsigned()) };
                Ok(FillPosition { grant: number(0)?, after: number(1)? })
            })?;
            let feed = match meta::<i64>(db, "feed_seq")? {
                Some(seq) => Some(Position { seq: seq.cast_unsigned(), chain: chain(meta(db, "feed_chain")?) }),
                None => None,
            };
            let told = Position { seq: number(db, "told_seq")?, chain: chain(meta(db, "told_chain")?) };
            Ok(SyncState {
                told: (told.seq > feed.map_or(0, |f| f.seq)).then_some(told),
                enrolment: super::connection::enrolment(db)?,
                counter: number(db, "counter")?,
                branch: number(db, "branch")? as u32,
                grants: Position { seq: number(db, "grants_seq")?, chain: chain(meta(db, "grants_chain")?) },
                feed,
                fills: fills.collect::<rusqlite::Result<_>>()?,
                areas_version: number(db, "areas_version")?,
                diverged: number(db, "diverged")? != 0,
                last_server_ms: number(db, "server_ms")?,
            })
        })
    }

    /// The number of the next request; never given twice.
    pub fn next_counter(&self) -> Result<u64> {
        self.in_transaction(Durability::Power, |work| {
            let next = number(work.db, "counter")? + 1;
            set_meta(work.db, "counter", next.cast_signed())?;
            Ok(next)
        })
    }

    /// The server has seen this number already: the next one is larger.
    pub fn raise_counter(&self, to: u64) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            let now = number(work.db, "counter")?.max(to);
            set_meta(work.db, "counter", now.cast_signed())
        })
    }

    /// Takes the area table, whole.
    pub fn apply_areas(&self, version: u64, areas: &[AreaEntry]) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            work.db.execute("DELETE FROM area", [])?;
            let mut insert = work.db.prepare_cached(
                "INSERT OR REPLACE INTO area (area, parent, level, code, name_zh, name_en) VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            for area in areas {
                insert.execute(params![
                    area.area.0,
                    area.parent.map(|p| p.0),
                    area.level,
                    area.code,
                    area.name_zh,
                    area.name_en
                ])?;
            }
            set_meta(work.db, "areas_version", version.cast_signed())?;
            drop(insert);
            // an area may lie below another one now
            work.scope_shrank()
        })
    }

    /// A grant's subject is complete here.
    pub fn close_fill(&self, grant: u64) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            work.db.prepare_cached("UPDATE fill SET closed = 1 WHERE grant_no = ?")?.execute([grant.cast_signed()])?;
            Ok(())
        })
    }

    /// Over all changes that the server gave or acknowledged.
    pub fn scope_digest(&self) -> Result<ScopeDigest> {
        self.connections.read(read_digest)
    }

    /// Compares the scope digest with the server's. Where they differ, all fills start again (true), as changes instead of
    /// snapshots. When that was of no use, because this phone can't take something, the difference is remembered, and fills
    /// start again only for another one, or under a newer program.
    pub fn compare_scope(&self, server: ScopeDigest) -> Result<bool> {
        let (own, diverged, useless) = self
            .connections
            .read(|db| Ok((read_digest(db)?, number(db, "diverged")? != 0, meta::<String>(db, USELESS_RESTART)?)))?;
        let lacks = (server != own).then(|| {
            let (count, sum) = (server.count.wrapping_sub(own.count), server.sum.wrapping_sub(own.sum));
            format!("{} {count} {sum}", env!("CARGO_PKG_VERSION"))
        });
        if !diverged && lacks == useless {
            return Ok(false);
        }
        let start_again = !diverged && lacks.is_some();
        self.in_transaction(Durability::Power, |work| {
            match lacks {
                Some(_) if start_again => work.restart_fills()?,
                Some(lacks) => set_meta(work.db, USELESS_RESTART, lacks)?,
                None => clear_meta(work.db, USELESS_RESTART)?,
            }
            set_meta(work.db, "diverged", start_again)
        })?;
        Ok(start_again)
    }

    /// Remembers a point that the server told beside the feed, before what it vouches for is taken.
    pub fn note_told(&self, told: Position) -> Result<()> {
        self.in_transaction(Durability::Process, |work| {
            if told.seq > number(work.db, "told_seq")? {
                set_meta(work.db, "told_seq", told.seq.cast_signed())?;
                set_meta(work.db, "told_chain", told.chain.0)?;
            }
            Ok(())
        })
    }

    /// The server went back in time to `common` (`None`: to where the phone knows no point). The feed goes on from there;
    /// what the server had vouched for since is to be brought back.
    pub fn rewound(&self, common: Option<Position>) -> Result<()> {
        self.in_transaction(Durability::Power, |work| {
            let from = common.map_or(0, |c| c.seq).cast_signed();
            work.db.prepare_cached("DELETE FROM point WHERE seq > ?")?.execute([from])?;
            work.store_feed(common)?;
            clear_meta(work.db, "told_seq")?;
            if common.is_none() {
                work.restart_fills()?;
            }
            if !fault::bug("skip_receipt") {
                work.db.prepare_cached("UPDATE receipt SET bring_from = 0 WHERE as_of > ?")?.execute([from])?;
            }
            work.db.execute("DELETE FROM refill", [])?;
            Ok(())
        })
    }

    /// Older points of the feed, newest first.
    pub fn older_points(&self) -> Result<Vec<Position>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached("SELECT seq, chain FROM point ORDER BY seq DESC LIMIT ?")?;
            let points = statement.query_map([limits::OLDER_POINTS_MAX as i64], |r| {
                Ok(Position { seq: r.get::<_, i64>(0)?.cast_unsigned(), chain: Chain(r.get(1)?) })
            })?;
            Ok(points.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The server's time, from its reply. Once a day of it, what has been kept long enough goes; what was deleted goes from
    /// the log too, if a reader was in the way before, and what found no room to be sealed is sealed.
    pub fn note_server_time(&self, server_ms: Millis) -> Result<()> {
        let pruned_ms = self.in_transaction(Durability::Process, |work| {
            set_meta(work.db, "server_ms", server_ms.cast_signed())?;
            number(work.db, "pruned_ms")
        })?;
        self.connections.finish_deleting(&self.tools)?;
        if server_ms.saturating_sub(pruned_ms) >= PRUNE_EVERY_MS { self.prune(server_ms) } else { Ok(()) }
    }

    /// Lets go of batches and receipts older than 30 days of server time.
    pub fn prune(&self, server_ms: Millis) -> Result<()> {
        let before = server_ms.saturating_sub(KEEP_MS).cast_signed();
        self.in_transaction(Durability::Process, |work| {
            if work.db.execute("DELETE FROM batch WHERE state <> 0 AND closed_ms < ?", [before])? > 0 {
                work.drop_sealed_without_batch()?;
                work.note_deleted()?;
            }
            work.db.execute("DELETE FROM receipt WHERE received_ms < ? AND bring_from IS NULL", [before])?;
            set_meta(work.db, "pruned_ms", server_ms.cast_signed())
        })
    }
}

fn chain(stored: Option<[u8; 16]>) -> Chain {
    stored.map(Chain).unwrap_or_default()
}

impl Work<'_> {
    fn restart_fills(&self) -> Result<()> {
        self.db.execute("DELETE FROM fill", [])?;
        self.db.execute(
            "INSERT INTO fill (grant_no, after, closed) SELECT grant_no, 0, 0 FROM grant_entry WHERE active = 1",
            [],
        )?;
        Ok(())
    }

    /// Moves the feed, and remembers the place among its older points.
    pub fn store_feed(&self, position: Option<Position>) -> Result<()> {
        let Some(position) = position else {
            clear_meta(self.db, "feed_seq")?;
            return clear_meta(self.db, "feed_chain");
        };
        set_meta(self.db, "feed_seq", position.seq.cast_signed())?;
        set_meta(self.db, "feed_chain", position.chain.0)?;
        if position.seq > 0 {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO point (seq, chain) VALUES (?, ?)")?
                .execute(params![position.seq.cast_signed(), position.chain.0])?;
        }
        self.thin_points(position.seq)
    }

    /// Of the points whose distance has the same binary length the oldest stays: about as many points as the feed's
    /// number has binary digits, twice as far apart at each step back.
    fn thin_points(&self, newest: u64) -> Result<()> {
        let mut statement = self.db.prepare_cached("SELECT seq FROM point ORDER BY seq")?;
        let points = statement.query_map([], |r| r.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let step = |seq: i64| u64::BITS - newest.saturating_sub(seq.cast_unsigned()).leading_zeros();
        let mut kept = None;
        for seq in points {
            if kept == Some(step(seq)) {
                self.db.prepare_cached("DELETE FROM point WHERE seq = ?")?.execute([seq])?;
            }
            kept = Some(step(seq));
        }
        Ok(())
    }
}
