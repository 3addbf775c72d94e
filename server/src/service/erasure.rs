//! Erasing a person on legal ground: every document of the household, and of what is about it, that holds or held an answer of
//! the person is rooted anew without these; the old content goes physically.

mod find;
mod reroot;
mod uncovered;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::id::{DeviceId, RecordId};
use serde::Serialize;

use super::audit::{Act, Action, Actor};
use super::office::{Office, WriteError};
use super::{Refused, Service};
use crate::register::office_user;
use crate::storage::{Committed, PreparedRecord, QuarantineFilter, StorageError, TownshipId};
use find::{Found, Group};
use uncovered::not_covered;
pub use uncovered::{KnownBackups, NotCovered};

/// Tries when phones move the records meanwhile.
const TRIES: usize = 20;
/// Entries of a list that are read at once.
const PAGE: u32 = 1_000;
/// The code of [`NotCovered`] for the database's own files.
const REMAINS: &str = "remains";

/// Who is to be erased, and why.
#[derive(Debug, Clone)]
pub struct Erase {
    /// The household's record.
    pub household: RecordId,
    /// The member: the repeat instance in the household's answers, or a name that one member has.
    pub member: String,
    /// Further answers that go, by record and key: free texts that mention the person.
    pub also: Vec<(RecordId, String)>,
    /// The legal ground, for the audit log; no name.
    pub ground: String,
}

/// Why nobody is erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// No household of this id.
    #[error("there is no such household")]
    Household,
    /// The household moved on: it is at home in another township of this server, and is erased there, in all of them.
    #[error("the household is at home in another township: erase there")]
    Elsewhere,
    /// No member of this instance or name.
    #[error("the household has no such member")]
    Member,
    /// Several members have the name: the instance must be given.
    #[error("several members have this name: name the instance")]
    SeveralMembers,
    /// No legal ground is given.
    #[error("the legal ground is missing")]
    Ground,
    /// A further answer isn't in a document of the household or about it.
    #[error("a further answer is in no record of the household")]
    Also,
    /// Writing failed; nothing was erased.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The records were rooted anew, but remains are still in the database's files.
    #[error("the answers are gone from all tables, but the database's files still hold remains: clean them")]
    Remains(#[source] StorageError),
}

impl From<StorageError> for EraseError {
    fn from(error: StorageError) -> Self {
        WriteError::from(Refused::from(error)).into()
    }
}

/// A document that is rooted anew.
#[derive(Debug, Clone, Serialize)]
pub struct ErasedDocument {
    /// The record.
    pub record: RecordId,
    /// Its type.
    pub record_type: String,
    /// The keys of answers that go; no values. Empty where only the form instance's other documents hold some.
    pub answers: BTreeSet<String>,
    /// Answers that differ: only the shown value stays.
    pub differences: usize,
}

/// A phone that may still hold what was erased.
#[derive(Debug, Clone, Serialize)]
pub struct Behind {
    /// The phone.
    pub device: DeviceId,
    /// Server time of its last sync.
    pub last_sync_ms: Millis,
    /// It is shut out: it will not sync again.
    pub revoked: bool,
}

/// What goes, or went.
#[derive(Debug, Clone, Serialize)]
pub struct Erasure {
    /// False for a dry run.
    pub erased: bool,
    /// The household.
    pub household: RecordId,
    /// The member's repeat instance.
    pub member: String,
    /// Documents that are rooted anew.
    pub documents: Vec<ErasedDocument>,
    /// Texts that mention a name of the person and stay unless they are named: record and key.
    pub mentions: Vec<(RecordId, String)>,
    /// Refused and waiting changes of these records, of whomever, that go.
    pub held_changes: usize,
    /// The township's uploads that were refused as a whole, whose bytes go: nobody can tell what they hold.
    pub refused_uploads: usize,
    /// Phones that follow at their next sync; those that never come back keep what they have.
    pub phones: Vec<Behind>,
    /// Backups that were made before and hold the person.
    pub backups: KnownBackups,
    /// What the erasure doesn't reach.
    pub not_covered: Vec<NotCovered>,
}

impl Erasure {
    /// True where the database's files still hold remains: [`Service::clean_files`] hasn't succeeded.
    pub fn has_remains(&self) -> bool {
        self.not_covered.iter().any(|one| one.code == REMAINS)
    }

    /// Adds what goes in another township.
    fn add(&mut self, other: Self) {
        self.documents.extend(other.documents);
        self.mentions.extend(other.mentions);
        self.held_changes += other.held_changes;
        self.refused_uploads += other.refused_uploads;
        self.phones.extend(other.phones);
    }
}

impl Service {
    /// Says what erasing a member would do; nothing is written.
    ///
    /// # Errors
    /// No such household or member, no ground, or the database's.
    pub fn plan_erasure(&self, township: TownshipId, erase: &Erase) -> Result<Erasure, EraseError> {
        let others = self.elsewhere(township, erase)?;
        let found = self.find_erased(township, erase)?;
        let mut planned = self.erasure(township, erase, &found)?;
        for other in others {
            if let Some(copies) = self.find_copies(other, erase, &found)? {
                planned.add(self.erasure(other, erase, &copies)?);
            }
        }
        Ok(planned)
    }

    /// Erases a member, in each township that the household was in, its home last. The audit log says so in the same transactions.
    ///
    /// # Errors
    /// As [`Service::plan_erasure`]. Where all is done but [`Service::clean_files`], that stands first in what isn't covered.
    pub fn erase(self: &Arc<Self>, actor: Actor, township: TownshipId, erase: &Erase) -> Result<Erasure, EraseError> {
        let others = self.elsewhere(township, erase)?;
        for other in &others {
            // what arrived there late is part of it
            self.settle_elsewhere(*other, erase.household)?;
        }
        let office = Office::start(self, office_user(self)?, township).map_err(WriteError::from)?;
        'tries: for _ in 0..TRIES {
            let found = self.find_erased(township, erase)?;
            let mut done = self.erasure(township, erase, &found)?;
            let (roots, mut parts) = (self.rerooted(&office, &found)?, Vec::new());
            for other in &others {
                let Some(copies) = self.find_copies(*other, erase, &found)? else { continue };
                let part = self.erasure(*other, erase, &copies)?;
                if !self.put_roots(actor, *other, erase, (&part, &copies.with_roots(&roots)))? {
                    continue 'tries;
                }
                parts.push(part);
            }
            if self.put_roots(actor, township, erase, (&done, &roots))? {
                parts.into_iter().for_each(|part| done.add(part));
                done.erased = true;
                if let Err(error) = self.clean_files() {
                    tracing::error!(error = &error as &dyn std::error::Error, "remains of what was erased");
                    done.not_covered.insert(0, NotCovered::of(REMAINS));
                }
                return Ok(done);
            }
        }
        Err(WriteError::from(Refused::Busy).into())
    }

    /// The other townships that the household was in.
    fn elsewhere(&self, township: TownshipId, erase: &Erase) -> Result<Vec<TownshipId>, EraseError> {
        if self.storage.away(township, erase.household)?.is_some() {
            return Err(EraseError::Elsewhere);
        }
        Ok(self.storage.came_from(township, erase.household)?)
    }

    /// Replaces documents by their new roots, with the entry of the audit log; false if one was changed meanwhile.
    fn put_roots(
        &self,
        actor: Actor,
        township: TownshipId,
        erase: &Erase,
        (done, roots): (&Erasure, &[PreparedRecord]),
    ) -> Result<bool, EraseError> {
        let answers: usize = done.documents.iter().map(|d| d.answers.len()).sum();
        let act = Act::new(Action::Erased)
            .in_township(township)
            .record(erase.household)
            .about("member", &done.member)
            .because(&erase.ground)
            .with("documents", done.documents.len())
            .with("answers", answers);
        let entry = self.entry(actor, act);
        let committed = self.storage.reroot(township, roots, &[entry], self.clock.now_ms())?;
        Ok(matches!(committed, Committed::Done(_)))
    }

    /// Writes the database's files anew, without remains of what was erased.
    ///
    /// # Errors
    /// [`EraseError::Remains`]: try again, with free room of the database's size.
    pub fn clean_files(&self) -> Result<(), EraseError> {
        self.storage.purge().map_err(EraseError::Remains)
    }

    fn erasure(&self, township: TownshipId, erase: &Erase, found: &Found) -> Result<Erasure, EraseError> {
        let documents = found.groups.iter().flat_map(Group::erased).collect();
        let uploads = self.storage.refused_uploads(township, None, PAGE)?;
        let devices = self.storage.devices(township)?.into_iter().filter(|d| d.last_sync_ms > 0);
        let behind =
            |d: crate::storage::Device| Behind { device: d.id, last_sync_ms: d.last_sync_ms, revoked: d.revoked };
        let backups = self.known_backups()?;
        Ok(Erasure {
            erased: false,
            household: erase.household,
            member: found.member.clone(),
            documents,
            mentions: found.mentions.clone(),
            held_changes: self.held_changes(township, found)?,
            refused_uploads: uploads.iter().filter(|u| u.kept > 0).count(),
            phones: devices.map(behind).collect(),
            not_covered: not_covered(&backups),
            backups,
        })
    }

    fn held_changes(&self, township: TownshipId, found: &Found) -> Result<usize, EraseError> {
        let ids: Vec<RecordId> = found.groups.iter().flat_map(Group::ids).collect();
        let known: BTreeSet<RecordId> = ids.iter().copied().collect();
        let mut count = self.storage.waiting(township, &ids)?.len();
        let mut before = None;
        loop {
            let filter = QuarantineFilter { decision: None, before, limit: PAGE, ..QuarantineFilter::default() };
            let rows = self.storage.quarantine_list(township, &filter)?;
            let Some(last) = rows.last() else { return Ok(count) };
            before = Some(last.no);
            let about = |c: &crate::storage::HeldChange| c.subject.is_some_and(|s| known.contains(&s));
            count += rows.iter().filter(|r| known.contains(&r.change.record) || about(&r.change)).count();
        }
    }
}

/// Answers by key.
type Answers = BTreeMap<String, doorstep_core::record::Value>;
