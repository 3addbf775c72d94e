//! Drafts: answers in a journal until they are finished, and the one transaction that makes them changes.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use ed25519_dalek::SigningKey;

use super::Store;
use super::connection::{Durability, Work, number};
use super::content::{self, Held, held, state};
use super::error::{Result, StoreError};
use super::remake::heads_on;
use crate::clock::Millis;
use crate::fault;
use crate::id::{ActorId, AreaId, ChangeHash, Identity, RecordId, branch_actor};
use crate::record::{self, Author, ChangeNote, Edit, Value};

/// Marks a step of several answers in a journal; the value is their number. No answer key begins so.
const STEP: &str = "@step";
/// Marks what a form starts with likewise.
const START: &str = "@start";

/// A draft's number on this phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub i64);

/// A draft in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    /// The draft.
    pub id: DraftId,
    /// The form.
    pub form: String,
    /// Its version when the draft was opened.
    pub version: u32,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// What else it is about.
    pub further_subjects: Vec<RecordId>,
    /// The record that is being edited; `None` for a new one.
    pub record: Option<RecordId>,
    /// When it was opened, by the phone's clock.
    pub opened_ms: Millis,
    /// Answers in its journal.
    pub answers: u64,
}

/// One document that is to be written: one sensitivity class of a form instance.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedDocument {
    /// Type and natural key.
    pub identity: Identity,
    /// The record.
    pub id: RecordId,
    /// Where a new record is placed.
    pub area: AreaId,
    /// What a new record is about.
    pub subject: Option<RecordId>,
    /// What is written; nothing makes no change.
    pub edits: Vec<Edit>,
}

/// What finishing a draft writes.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishPlan {
    /// The documents, the core one first.
    pub documents: Vec<PlannedDocument>,
    /// Documents of other records, made on what the draft was shown of them, else on what the phone shows now.
    pub further: Vec<PlannedDocument>,
    /// Who, with which form.
    pub note: ChangeNote,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The first document's record.
    pub record: RecordId,
    /// The changes that were made: none where nothing differed.
    pub changes: Vec<(RecordId, ChangeHash)>,
}

/// The heads that a new change is made on.
pub(super) enum Shown {
    /// Whatever the phone shows now.
    Current,
    /// Those that a draft remembers; of records that it wasn't shown, the first change.
    Draft(DraftId),
    /// Those that a draft remembers; of records that it wasn't shown, what the phone shows now.
    DraftOrCurrent(DraftId),
}

impl Store {
    /// Starts a draft: of a new record, or of `record`. The heads of that record and of the subject (and those of their other
    /// sensitivity classes) are remembered as what the helper was shown.
    pub fn start_draft(
        &self,
        form: &str,
        version: u32,
        subject: Option<RecordId>,
        record: Option<RecordId>,
    ) -> Result<DraftId> {
        self.in_transaction(Durability::Process, |work| work.start_draft(form, version, subject, record))
    }

    /// Starts a draft of a new record about any number of subjects.
    pub fn start_draft_about(&self, form: &str, version: u32, subjects: &[RecordId]) -> Result<DraftId> {
        self.in_transaction(Durability::Process, |work| {
            let draft = work.start_draft(form, version, subjects.first().copied(), None)?;
            for subject in subjects.iter().skip(1) {
                work.db
                    .prepare_cached("INSERT INTO draft_subject (draft, subject) VALUES (?, ?)")?
                    .execute(params![draft.0, subject.0])?;
                work.remember_heads(draft, *subject)?;
            }
            Ok(draft)
        })
    }

    /// Saves an answer: when this returns, it survives the process being killed.
    pub fn save_answer(&self, draft: DraftId, key: &str, value: &Value) -> Result<()> {
        if fault::bug("draft_not_journaled") && !self.draft_answers(draft)?.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_string(value).map_err(|_| StoreError::Stored("answer"))?;
        self.in_transaction(Durability::Process, |work| {
            let now = work.tools.clock.now_ms().cast_signed();
            let saved = work
                .db
                .prepare_cached(
                    "INSERT INTO draft_answer (draft, key, value, at_ms) SELECT id, ?, ?, ? FROM draft WHERE id = ?",
                )?
                .execute(params![key, json, now, draft.0])?;
            if saved == 1 { Ok(()) } else { Err(StoreError::NoDraft) }
        })
    }

    /// Saves several answers as one step: all of them or none, and [`Store::undo`] takes them back together.
    pub fn save_step(&self, draft: DraftId, answers: &BTreeMap<String, Value>) -> Result<()> {
        self.save_marked(draft, STEP, answers)
    }

    /// Saves what a form starts with, as defaults: a step that isn't undone.
    pub fn save_start(&self, draft: DraftId, answers: &BTreeMap<String, Value>) -> Result<()> {
        self.save_marked(draft, START, answers)
    }

    /// A mark with the number of rows that belong to it, then the rows.
    fn save_marked(&self, draft: DraftId, mark: &str, answers: &BTreeMap<String, Value>) -> Result<()> {
        let count = Value::Int(i64::try_from(answers.len()).unwrap_or(i64::MAX));
        let mut rows = vec![(mark, &count)];
        rows.extend(answers.iter().map(|(key, value)| (key.as_str(), value)));
        self.in_transaction(Durability::Process, |work| {
            let now = work.tools.clock.now_ms().cast_signed();
            for (key, value) in &rows {
                let json = serde_json::to_string(value).map_err(|_| StoreError::Stored("answer"))?;
                let saved = work
                    .db
                    .prepare_cached(
                        "INSERT INTO draft_answer (draft, key, value, at_ms) SELECT id, ?, ?, ? FROM draft WHERE id = ?",
                    )?
                    .execute(params![key, json, now, draft.0])?;
                if saved != 1 {
                    return Err(StoreError::NoDraft);
                }
            }
            Ok(())
        })
    }

    /// Takes the newest answer back, or the newest step with all its answers; gives the (last) key. The answers before, if any,
    /// count again. What a form starts with stays.
    pub fn undo(&self, draft: DraftId) -> Result<Option<String>> {
        self.in_transaction(Durability::Process, |work| {
            let newest = "SELECT no, key FROM draft_answer WHERE draft = ? ORDER BY no DESC LIMIT 1";
            let newest: Option<(i64, String)> =
                work.db.prepare_cached(newest)?.query_row([draft.0], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
            let Some((newest, key)) = newest else { return Ok(None) };
            let mark =
                "SELECT no, key, value, (SELECT count(*) FROM draft_answer b WHERE b.draft = a.draft AND b.no > a.no)
                        FROM draft_answer a WHERE draft = ? AND substr(key, 1, 1) = '@' ORDER BY no DESC LIMIT 1";
            type Mark = (i64, String, String, i64);
            let mark: Option<Mark> = work
                .db
                .prepare_cached(mark)?
                .query_row([draft.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
                .optional()?;
            let from = match mark {
                Some((no, mark, count, since)) if since <= count.parse().unwrap_or(0) => {
                    if mark == START {
                        return Ok(None);
                    }
                    no
                }
                _ => newest,
            };
            work.db.prepare_cached("DELETE FROM draft_answer WHERE draft = ? AND no >= ?")?.execute([draft.0, from])?;
            Ok(Some(key))
        })
    }

    /// True when the draft's form was started with [`Store::save_start`].
    pub fn is_started(&self, draft: DraftId) -> Result<bool> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached("SELECT 1 FROM draft_answer WHERE draft = ? AND key = ? LIMIT 1")?;
            Ok(statement.query_row(params![draft.0, START], |_| Ok(())).optional()?.is_some())
        })
    }

    /// A draft's answers, the newest of each key.
    pub fn draft_answers(&self, draft: DraftId) -> Result<BTreeMap<String, Value>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT key, value FROM draft_answer WHERE draft = ? AND substr(key, 1, 1) <> '@' ORDER BY no",
            )?;
            let rows = statement.query_map([draft.0], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
            let mut answers = BTreeMap::new();
            for row in rows {
                let (key, json) = row?;
                let value = serde_json::from_str(&json).map_err(|_| StoreError::Stored("answer"))?;
                answers.insert(key, value);
            }
            Ok(answers)
        })
    }

    /// Drafts, newest first.
    pub fn drafts(&self) -> Result<Vec<DraftRow>> {
        self.connections.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, form, version, subject, record, opened_ms,
                 (SELECT count(*) FROM draft_answer a WHERE a.draft = draft.id AND substr(a.key, 1, 1) <> '@')
                 FROM draft ORDER BY id DESC",
            )?;
            let rows = statement.query_map([], |r| {
                Ok(DraftRow {
                    id: DraftId(r.get(0)?),
                    form: r.get(1)?,
                    version: r.get(2)?,
                    subject: r.get::<_, Option<[u8; 16]>>(3)?.map(RecordId),
                    record: r.get::<_, Option<[u8; 16]>>(4)?.map(RecordId),
                    opened_ms: r.get::<_, i64>(5)?.cast_unsigned(),
                    further_subjects: Vec::new(),
                    answers: r.get::<_, i64>(6)?.cast_unsigned(),
                })
            })?;
            let mut drafts: Vec<DraftRow> = rows.collect::<rusqlite::Result<_>>()?;
            let mut further = db.prepare_cached("SELECT subject FROM draft_subject WHERE draft = ? ORDER BY no")?;
            for draft in &mut drafts {
                let subjects = further.query_map([draft.id.0], |r| r.get(0).map(RecordId))?;
                draft.further_subjects = subjects.collect::<rusqlite::Result<_>>()?;
            }
            Ok(drafts)
        })
    }

    /// Throws a draft away.
    pub fn discard_draft(&self, draft: DraftId) -> Result<()> {
        self.in_transaction(Durability::Process, |work| {
            work.delete_draft(draft)?;
            work.drop_lost()
        })
    }

    /// Finishes a draft: one change for each document, durable against a power cut, and the draft is gone.
    pub fn finish_draft(&self, draft: DraftId, plan: &FinishPlan) -> Result<Finished> {
        self.in_transaction(Durability::Power, |work| {
            let finished = work.write_plan(draft, plan)?;
            work.delete_draft(draft)?;
            work.drop_lost()?;
            Ok(finished)
        })
    }

    /// Finishes a draft and goes on with a draft of the record that it became, all or nothing.
    pub fn share_draft(&self, draft: DraftId, plan: &FinishPlan) -> Result<(Finished, DraftId)> {
        self.in_transaction(Durability::Power, |work| {
            let of = "SELECT form, version, subject FROM draft WHERE id = ?";
            type Of = (String, u32, Option<[u8; 16]>);
            let of: Option<Of> = work
                .db
                .prepare_cached(of)?
                .query_row([draft.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                .optional()?;
            let (form, version, subject) = of.ok_or(StoreError::NoDraft)?;
            let finished = work.write_plan(draft, plan)?;
            work.delete_draft(draft)?;
            let next = work.start_draft(&form, version, subject.map(RecordId), Some(finished.record))?;
            work.drop_lost()?;
            Ok((finished, next))
        })
    }

    /// Writes documents on what the phone shows now, without a draft: deciding a difference.
    pub fn write(&self, documents: &[PlannedDocument], note: &ChangeNote) -> Result<Finished> {
        self.in_transaction(Durability::Power, |work| work.write_documents(documents, note, &Shown::Current))
    }
}

/// The record and the other sensitivity classes of its form instance.
fn instance_of(db: &Connection, core: RecordId) -> Result<Vec<Held>> {
    let Some(held) = held(db, core)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(&format!(
        "SELECT {} FROM record WHERE subject = ?3 AND type > ?2 || '.' AND type < ?2 || '/' AND key = ?1",
        content::HELD
    ))?;
    let about = held.subject.unwrap_or(core);
    let parts = statement.query_map(params![core.0, held.identity.record_type, about.0], content::held_from)?;
    let parts = parts.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(std::iter::once(held).chain(parts).collect())
}

impl Work<'_> {
    fn start_draft(
        &mut self,
        form: &str,
        version: u32,
        subject: Option<RecordId>,
        record: Option<RecordId>,
    ) -> Result<DraftId> {
        let now = self.tools.clock.now_ms().cast_signed();
        self.db
            .prepare_cached("INSERT INTO draft (form, version, subject, record, opened_ms) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![form, version, subject.map(|s| s.0), record.map(|r| r.0), now])?;
        let draft = DraftId(self.db.last_insert_rowid());
        for shown in [record, subject].into_iter().flatten() {
            self.remember_heads(draft, shown)?;
        }
        Ok(draft)
    }

    /// Remembers what a draft shows of a record; nothing of one that isn't on this phone.
    fn remember_heads(&mut self, draft: DraftId, record: RecordId) -> Result<()> {
        for held in instance_of(self.db, record)? {
            let heads: Vec<u8> = content::load(self.db, &held)?.heads().iter().flat_map(|h| h.0).collect();
            self.db
                .prepare_cached("INSERT OR REPLACE INTO draft_heads (draft, record, heads) VALUES (?, ?, ?)")?
                .execute(params![draft.0, held.id.0, heads])?;
        }
        Ok(())
    }

    fn delete_draft(&self, draft: DraftId) -> Result<()> {
        self.db.prepare_cached("DELETE FROM draft_answer WHERE draft = ?")?.execute([draft.0])?;
        self.db.prepare_cached("DELETE FROM draft_heads WHERE draft = ?")?.execute([draft.0])?;
        self.db.prepare_cached("DELETE FROM draft_subject WHERE draft = ?")?.execute([draft.0])?;
        let deleted = self.db.prepare_cached("DELETE FROM draft WHERE id = ?")?.execute([draft.0])?;
        if deleted == 1 { Ok(()) } else { Err(StoreError::NoDraft) }
    }

    /// This device's actor on its branch, and the branch.
    pub fn own_actor(&self) -> Result<(ActorId, u32)> {
        let key = SigningKey::from_bytes(&self.enrolment()?.signing_seed);
        let branch = number(self.db, "branch")? as u32;
        Ok((branch_actor(key.verifying_key().as_bytes(), branch), branch))
    }

    fn write_plan(&mut self, draft: DraftId, plan: &FinishPlan) -> Result<Finished> {
        let mut finished = self.write_documents(&plan.documents, &plan.note, &Shown::Draft(draft))?;
        if !plan.further.is_empty() {
            // what was finished is the draft's form, not theirs
            let note = ChangeNote { is_complete: false, ..plan.note.clone() };
            let further = self.write_documents(&plan.further, &note, &Shown::DraftOrCurrent(draft))?;
            finished.changes.extend(further.changes);
        }
        Ok(finished)
    }

    pub(super) fn write_documents(
        &mut self,
        documents: &[PlannedDocument],
        note: &ChangeNote,
        shown: &Shown,
    ) -> Result<Finished> {
        let first = documents.first().ok_or(StoreError::NothingPlanned)?;
        let (actor, branch) = self.own_actor()?;
        let claimed_s = (self.tools.clock.now_ms() / 1000).cast_signed();
        let author = Author { actor, note: note.clone(), claimed_s };
        let mut changes = Vec::new();
        for document in documents {
            self.write_document(document, &author, branch, shown, &mut changes)?;
        }
        Ok(Finished { record: first.id, changes })
    }

    /// Writes one document: as one change, or as several, each on the one before, where one doesn't hold it all.
    fn write_document(
        &mut self,
        document: &PlannedDocument,
        author: &Author,
        branch: u32,
        shown: &Shown,
        changes: &mut Vec<(RecordId, ChangeHash)>,
    ) -> Result<()> {
        let known = held(self.db, document.id)?;
        if known.as_ref().is_some_and(|h| h.identity != document.identity) {
            return Err(StoreError::Identity);
        }
        let rows = known.as_ref().map(|h| content::changes(self.db, h.no)).transpose()?.unwrap_or_default();
        let mut record = content::build(&document.identity, rows.iter().filter(|c| state::is_live(c.state)));
        let at = match shown {
            Shown::Current => record.heads(),
            Shown::Draft(_) if fault::bug("merge_on_merged_heads") => record.heads(),
            Shown::DraftOrCurrent(draft) if self.shown_heads(*draft, document.id)?.is_empty() => record.heads(),
            Shown::Draft(draft) | Shown::DraftOrCurrent(draft) => {
                // own changes that were made anew meanwhile are in the author's past by themselves
                let by_hash = rows.iter().map(|c| (c.hash, c)).collect();
                heads_on(&record, self.shown_heads(*draft, document.id)?, &HashMap::new(), &by_hash)
            }
        };
        let mut written = false;
        let mut no = known.map(|held| held.no);
        for edits in record::pieces(&document.edits) {
            let Some(raw) = record.edit(&at, author, edits)? else { continue };
            let no = match no {
                Some(no) => no,
                None => {
                    let held = self.insert_record(Held {
                        no: 0,
                        id: document.id,
                        identity: document.identity.clone(),
                        incarnation: 0,
                        area: document.area,
                        subject: document.subject,
                    })?;
                    *no.insert(held.no)
                }
            };
            self.insert_change(no, raw.hash, &raw.bytes, state::LOCAL, Some(branch), 0)?;
            changes.push((document.id, raw.hash));
            written = true;
        }
        match no {
            Some(no) if written => self.refresh(no, &record),
            _ => Ok(()),
        }
    }

    /// What the draft was shown of a record; nothing of one that it wasn't shown.
    fn shown_heads(&self, draft: DraftId, record: RecordId) -> Result<Vec<ChangeHash>> {
        let mut statement = self.db.prepare_cached("SELECT heads FROM draft_heads WHERE draft = ? AND record = ?")?;
        let heads: Option<Vec<u8>> = statement.query_row(params![draft.0, record.0], |r| r.get(0)).optional()?;
        Ok(heads.unwrap_or_default().as_chunks::<32>().0.iter().map(|h| ChangeHash(*h)).collect())
    }
}
