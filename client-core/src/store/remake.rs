//! Making own changes anew under a new actor, when they can't stand as they are: a cloned or restored phone, a refusal,
//! a re-rooted record. The old ones stay as evidence; their edits, claimed times and notes are kept.

use std::collections::{HashMap, HashSet};

use ed25519_dalek::SigningKey;

use super::Store;
use super::connection::{Durability, Work, number, set_meta};
use super::content::{self, Held, Stored, changes, held_by_no, state};
use super::error::Result;
use super::outbox::batch_state;
use crate::clock::random;
use crate::fault;
use crate::id::{ActorId, ChangeHash, Incarnation, branch_actor};
use crate::protocol::forbidden_keys;
use crate::record::{Author, ChangeNote, RawChange, Record, Section};

/// What taking a new branch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemakeReport {
    /// The branch now.
    pub branch: u32,
    /// Changes made anew.
    pub changes: u64,
}

/// A record that the server re-rooted, with the changes of the old incarnation.
pub(super) struct ReRooted {
    pub held: Held,
    pub old: Vec<Stored>,
}

/// A change made anew, or not.
struct Remade {
    old: ChangeHash,
    /// `Ok(None)`: its values stand already.
    new: std::result::Result<Option<RawChange>, &'static str>,
}

impl Store {
    /// Takes a new random branch: every own change without a final state is made anew under its actor. Does nothing, and
    /// reports the last time, when the branch is fresh: no batch was made on it.
    pub fn take_new_branch(&self) -> Result<RemakeReport> {
        self.in_transaction(Durability::Power, |work| {
            let branch = number(work.db, "branch")? as u32;
            if branch != 0 && number(work.db, "batch_number")? == 0 {
                return Ok(RemakeReport { branch, changes: number(work.db, "remade")? });
            }
            work.take_branch(&HashSet::new(), &[])
        })
    }
}

impl Work<'_> {
    /// Takes a new branch. `refused` are changes (by row number) that aren't open any more but whose edits must be made
    /// anew all the same.
    pub fn take_branch(&mut self, refused: &HashSet<i64>, rerooted: &[ReRooted]) -> Result<RemakeReport> {
        let key = SigningKey::from_bytes(&self.enrolment()?.signing_seed);
        let before = number(self.db, "branch")? as u32;
        let branch = loop {
            let branch = u32::from_be_bytes(random(&*self.tools.entropy));
            if branch != 0 && branch != before {
                break if fault::bug("reuse_actor") { before } else { branch };
            }
        };
        let actor = branch_actor(key.verifying_key().as_bytes(), branch);
        set_meta(self.db, "branch", branch)?;
        set_meta(self.db, "batch_number", 0)?;
        set_meta(self.db, "batch_hash", [0u8; 32])?;
        let set_aside = self
            .db
            .prepare_cached("UPDATE batch SET state = ?, closed_ms = ? WHERE state = ?")?
            .execute((batch_state::SET_ASIDE, number(self.db, "server_ms")?.cast_signed(), batch_state::PENDING))?;
        if set_aside > 0 {
            self.note_unsealed()?;
        }
        let mut report = RemakeReport { branch, changes: 0 };
        for no in self.records_to_remake(refused)? {
            report.changes += self.remake_record(no, actor, branch, refused)?;
        }
        for ReRooted { held, old } in rerooted {
            report.changes += self.remake_on_new_root(held, old, actor, branch)?;
        }
        set_meta(self.db, "remade", report.changes.cast_signed())?;
        Ok(report)
    }

    /// Roots a record anew: its old content goes physically. Own open edits, if there are any, are to be made anew with
    /// [`Work::take_branch`], and what was sent of them is to be forgotten.
    pub fn root_anew(&mut self, mut held: Held, incarnation: Incarnation) -> Result<(Held, Option<ReRooted>)> {
        let old = changes(self.db, held.no)?;
        self.delete_changes(held.no, &old)?;
        held.incarnation = incarnation;
        self.db
            .prepare_cached("UPDATE record SET incarnation = ? WHERE no = ?")?
            .execute((held.incarnation, held.no))?;
        let is_open = old.iter().any(Stored::is_own_open);
        let rerooted = is_open.then(|| ReRooted { held: held.clone(), old });
        Ok((held, rerooted))
    }

    fn records_to_remake(&self, refused: &HashSet<i64>) -> Result<Vec<i64>> {
        let mut statement = self.db.prepare_cached(
            "SELECT record, no, state FROM change WHERE state <> 2 AND branch IS NOT NULL ORDER BY record, no",
        )?;
        let rows = statement.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, u8>(2)?)))?;
        let mut records = Vec::new();
        for row in rows {
            let (record, no, at) = row?;
            if (state::is_open(at) || refused.contains(&no)) && records.last() != Some(&record) {
                records.push(record);
            }
        }
        Ok(records)
    }

    fn remake_record(&mut self, no: i64, actor: ActorId, branch: u32, refused: &HashSet<i64>) -> Result<u64> {
        let held = held_by_no(self.db, no)?;
        let rows = changes(self.db, no)?;
        let wanted: HashSet<ChangeHash> =
            rows.iter().filter(|c| c.is_own_open() || refused.contains(&c.no)).map(|c| c.hash).collect();
        let mut base = content::build(&held.identity, rows.iter().filter(|c| c.state == state::ACKNOWLEDGED));
        let partly = self.refused_in_part(no)?;
        let remade = remake((&held, &rows), &wanted, &partly, &mut base, actor);
        let by_hash: HashMap<ChangeHash, &Stored> = rows.iter().map(|c| (c.hash, c)).collect();
        let mut made = 0;
        for Remade { old, new } in remade {
            let Some(row) = by_hash.get(&old) else { continue };
            match new {
                Ok(new) => {
                    // of what was refused in part the forbidden answers wait for the helper
                    if !partly.contains_key(&old) {
                        self.set_state(row, state::SUPERSEDED, "remade")?;
                    }
                    if let Some(raw) = new {
                        self.insert_change(no, raw.hash, &raw.bytes, state::LOCAL, Some(branch), 0)?;
                        made += 1;
                    }
                }
                Err(reason) => self.set_state(row, state::QUARANTINED, reason)?,
            }
        }
        self.refresh(no, &base)?;
        Ok(made)
    }

    /// The changes of a record that were refused in part, each with the answers that were.
    fn refused_in_part(&self, no: i64) -> Result<HashMap<ChangeHash, HashSet<String>>> {
        let mut statement = self.db.prepare_cached(
            "SELECT hash, reason FROM change WHERE record = ? AND state = ? AND instr(reason, ' ') > 0",
        )?;
        let found = statement.query_map((no, state::QUARANTINED), |r| Ok((ChangeHash(r.get(0)?), r.get(1)?)))?;
        let found: Vec<(ChangeHash, String)> = found.collect::<rusqlite::Result<_>>()?;
        let keys = |reason: &str| forbidden_keys(reason).into_iter().map(str::to_owned).collect();
        Ok(found.into_iter().map(|(hash, reason)| (hash, keys(&reason))).collect())
    }

    fn remake_on_new_root(&mut self, held: &Held, old: &[Stored], actor: ActorId, branch: u32) -> Result<u64> {
        let wanted: HashSet<ChangeHash> = old.iter().filter(|c| c.is_own_open()).map(|c| c.hash).collect();
        let mut base = content::load(self.db, held)?;
        let mut made = 0;
        for Remade { old: hash, new } in remake((held, old), &wanted, &HashMap::new(), &mut base, actor) {
            match new {
                Ok(Some(raw)) => {
                    self.insert_change(held.no, raw.hash, &raw.bytes, state::LOCAL, Some(branch), 0)?;
                    made += 1;
                }
                Ok(None) => {}
                Err(reason) => {
                    // what can't be made anew stays for the helper to see
                    if let Some(row) = old.iter().find(|c| c.hash == hash) {
                        self.insert_change(held.no, hash, &row.bytes, state::LOCAL, row.branch, 0)?;
                        self.db
                            .prepare_cached("UPDATE change SET state = ?, reason = ? WHERE record = ? AND hash = ?")?
                            .execute((state::QUARANTINED, reason, held.no, hash.0))?;
                    }
                }
            }
        }
        self.refresh(held.no, &base)?;
        Ok(made)
    }
}

/// Makes the wanted changes anew on `base`, in their order, each at the heads that its author saw as far as they stand, and
/// without the answers that `partly` says were refused.
fn remake(
    (held, rows): (&Held, &[Stored]),
    wanted: &HashSet<ChangeHash>,
    partly: &HashMap<ChangeHash, HashSet<String>>,
    base: &mut Record,
    actor: ActorId,
) -> Vec<Remade> {
    let written = content::as_written(&held.identity, rows, wanted);
    let by_hash: HashMap<ChangeHash, &Stored> = rows.iter().map(|c| (c.hash, c)).collect();
    let mut stands_for: HashMap<ChangeHash, Vec<ChangeHash>> = HashMap::new();
    let mut remade = Vec::new();
    for row in rows.iter().filter(|c| wanted.contains(&c.hash)) {
        let Some(info) = written.author_of(&row.hash) else {
            remade.push(Remade { old: row.hash, new: Err("unreadable") });
            continue;
        };
        let at = heads_on(base, row.dependencies(), &stands_for, &by_hash);
        let note = ChangeNote { remade_from: Some(row.hash), ..info.note };
        let author = Author { actor, note, claimed_s: info.claimed_s };
        let mut edits = written.operations(&row.hash);
        if let Some(forbidden) = partly.get(&row.hash) {
            edits.retain(|edit| edit.section != Section::Answers || !forbidden.contains(&edit.key));
        }
        let new = match base.edit(&at, &author, &edits) {
            Ok(Some(raw)) => {
                stands_for.insert(row.hash, vec![raw.hash]);
                Ok(Some(raw))
            }
            Ok(None) => {
                stands_for.insert(row.hash, at);
                Ok(None)
            }
            Err(_) => Err("cannot_remake"),
        };
        remade.push(Remade { old: row.hash, new });
    }
    remade
}

/// The heads in `base` that stand for `heads`: what was made anew is replaced, what was refused is stepped over.
pub(super) fn heads_on(
    base: &Record,
    heads: Vec<ChangeHash>,
    stands_for: &HashMap<ChangeHash, Vec<ChangeHash>>,
    by_hash: &HashMap<ChangeHash, &Stored>,
) -> Vec<ChangeHash> {
    let mut next = heads;
    let mut heads = Vec::new();
    let mut seen = HashSet::new();
    while let Some(hash) = next.pop() {
        if !seen.insert(hash) {
            continue;
        }
        if base.contains(&hash) {
            heads.push(hash);
        } else if let Some(new) = stands_for.get(&hash) {
            heads.extend(new);
        } else if let Some(old) = by_hash.get(&hash) {
            next.extend(old.dependencies());
        }
    }
    if heads.is_empty() {
        heads.push(base.genesis_hash());
    }
    heads.sort_unstable();
    heads.dedup();
    heads
}
