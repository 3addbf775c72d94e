//! Linking duplicates: candidates that nobody has decided about, and what was decided.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use doorstep_core::id::{AreaId, ChangeHash, RecordId};
use doorstep_core::link::{self, Side, VERDICT, Verdict};
use doorstep_core::protocol::{RecordBody, RecordFrame};
use serde_json::Value;

use super::audit::{Act, Action, Actor};
use super::desk::{Desk, DeskError};
use super::duplicates::{Candidate, Found, link_key};
use super::office::check_here;
use crate::storage::{StorageError, StoredLink, TownshipId};

/// Looking for duplicates takes at most this part of the time: what was found is kept so many times as long as it took.
const KEPT_TIMES: u32 = 20;
/// Bytes of a member's instance.
const INSTANCE_MAX: usize = 64;

/// What somebody decides about two records.
#[derive(Debug, Clone)]
pub struct LinkDecision {
    /// The two.
    pub sides: (Side, Side),
    /// What they are.
    pub verdict: Verdict,
    /// The household that stands for both.
    pub leads: Option<RecordId>,
    /// The heads of the link that were shown; none where there was none.
    pub heads: Vec<ChangeHash>,
    /// Why; may be empty.
    pub reason: String,
}

/// A candidate that nobody has decided about, or about which people decided differently.
#[derive(Debug, Clone)]
pub struct OpenCandidate {
    /// The candidate.
    pub candidate: Candidate,
    /// The link's heads, where there is one.
    pub heads: Vec<ChangeHash>,
    /// People decided differently.
    pub is_disputed: bool,
}

/// A link that says something.
#[derive(Debug, Clone)]
pub struct DecidedLink {
    /// The link.
    pub stored: StoredLink,
    /// Its heads.
    pub heads: Vec<ChangeHash>,
    /// The two; `None` where a member isn't in its household any more, such as after an erasure.
    pub sides: Option<(Side, Side)>,
    /// What the two households, or the members, are called.
    pub names: (String, String),
}

/// Candidates about which nobody has decided, where the next page begins, and all that were found.
type OpenPage = (Vec<OpenCandidate>, Option<usize>, Arc<Found>);

impl Desk {
    /// Likely duplicates, looked for anew where something changed since, but not all the time.
    pub fn duplicates(&self, township: TownshipId) -> Result<Arc<Found>, StorageError> {
        let (head, _) = self.service.storage.head(township)?;
        let mut kept = self.duplicates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seq, took, at, found)) = kept.get(&township)
            && (*seq == head.seq || at.elapsed() < *took * KEPT_TIMES)
        {
            return Ok(found.clone());
        }
        let begun = Instant::now();
        let found = Arc::new(self.service.find_duplicates(township)?);
        kept.insert(township, (head.seq, begun.elapsed(), Instant::now(), found.clone()));
        Ok(found)
    }

    /// Candidates about which nobody has decided, after so many of the likeliest; the page, and where the next begins.
    pub fn open_candidates(
        &self,
        township: TownshipId,
        area: Option<AreaId>,
        (after, limit): (usize, usize),
    ) -> Result<OpenPage, StorageError> {
        let found = self.duplicates(township)?;
        let links = self.service.storage.links(township)?;
        let links: HashMap<Vec<RecordId>, &StoredLink> = links.iter().map(|l| (l.identity.key.clone(), l)).collect();
        let united: HashSet<RecordId> = self.service.storage.united(township)?.into_keys().collect();
        let mut page = Vec::new();
        for (at, candidate) in found.candidates.iter().enumerate().skip(after) {
            let (one, other) = (candidate.sides.0.household, candidate.sides.1.household);
            let is_here = area.is_none_or(|area| candidate.areas.0 == area || candidate.areas.1 == area);
            let stored = links.get(&link_key(candidate));
            let is_decided = stored.is_some_and(|s| s.link.is_same || s.link.is_not_same);
            if !is_here || is_decided || united.contains(&one) || united.contains(&other) {
                continue;
            }
            let (heads, is_disputed) = match stored {
                Some(stored) => self.link_now(township, stored.record)?,
                None => (Vec::new(), false),
            };
            page.push(OpenCandidate { candidate: candidate.clone(), heads, is_disputed });
            if page.len() >= limit {
                return Ok((page, Some(at + 1), found.clone()));
            }
        }
        Ok((page, None, found.clone()))
    }

    /// Links that say something, at most so many.
    pub fn decided_links(&self, township: TownshipId, limit: usize) -> Result<Vec<DecidedLink>, StorageError> {
        let links = self.service.storage.links(township)?;
        let decided = links.into_iter().filter(|s| s.link.is_same || s.link.is_not_same).take(limit);
        decided
            .map(|stored| {
                let (one, other) = stored.link.households;
                let parts = stored.identity.key.get(2..4).unwrap_or_default();
                let (one, one_name) = self.side(township, one, parts.first())?;
                let (other, other_name) = self.side(township, other, parts.get(1))?;
                let (heads, _) = self.link_now(township, stored.record)?;
                Ok(DecidedLink { stored, heads, sides: one.zip(other), names: (one_name, other_name) })
            })
            .collect()
    }

    /// One of a link's two, with the member that the link's key means by `part`, and what it is called.
    fn side(
        &self,
        township: TownshipId,
        household: RecordId,
        part: Option<&RecordId>,
    ) -> Result<(Option<Side>, String), StorageError> {
        let Some(row) = self.service.storage.record_row(township, household)? else {
            return Ok((None, String::new()));
        };
        let Some(part) = part else { return Ok((Some(Side::of(household)), row.projection.title)) };
        let merged: Value = serde_json::from_str(&row.projection.json).unwrap_or_default();
        let answers = merged["answers"].as_object().into_iter().flatten();
        let instances: BTreeSet<&str> =
            answers.filter_map(|(key, _)| Some(key.strip_prefix("member#")?.split_once('/')?.0)).collect();
        let mut sides = instances.into_iter().map(|m| Side { household, member: Some(m.to_owned()) });
        let Some(side) = sides.find(|side| side.member_part().as_ref() == Some(part)) else {
            return Ok((None, row.projection.title));
        };
        let member = side.member.as_deref().unwrap_or_default();
        let name = merged["answers"][format!("member#{member}/name")].as_str().unwrap_or_default().to_owned();
        Ok((Some(side), if name.is_empty() { row.projection.title } else { name }))
    }

    fn link_now(&self, township: TownshipId, record: RecordId) -> Result<(Vec<ChangeHash>, bool), StorageError> {
        match self.open(township, record) {
            Ok((_, record)) => {
                let differs = record.view().differences.iter().any(|d| d.key == VERDICT);
                Ok((record.heads(), differs))
            }
            Err(DeskError::Storage(error)) => Err(error),
            Err(_) => Ok((Vec::new(), false)),
        }
    }

    /// Says that two are the same, that they aren't, or takes that back: an ordinary change of the link's record.
    pub fn link(&self, actor: Actor, township: TownshipId, decision: &LinkDecision) -> Result<RecordId, DeskError> {
        let (one, other) = (&decision.sides.0, &decision.sides.1);
        let identity = link::identity(one, other).ok_or(DeskError::Unlinkable)?;
        let id = identity.derived_id(&self.service.tenant_key()).ok_or(DeskError::Unlinkable)?;
        let is_instance = |m: &String| {
            (1..=INSTANCE_MAX).contains(&m.len()) && m.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let mut areas = Vec::new();
        for side in [one.min(other), one.max(other)] {
            let row = self.service.storage.record_row(township, side.household)?.ok_or(DeskError::UnknownRecord)?;
            if row.record_type != "household" || !side.member.as_ref().is_none_or(is_instance) {
                return Err(DeskError::Unlinkable);
            }
            if decision.verdict == Verdict::Same {
                check_here(row.area)?;
            }
            areas.push(row.area);
        }
        if decision.leads.is_some_and(|leads| leads != one.household && leads != other.household) {
            return Err(DeskError::Unlinkable);
        }
        let subject = one.household.min(other.household);
        let author = self.author(township)?;
        let act = Act::new(Action::RecordsLinked).in_township(township).record(one.household).record(other.household);
        let act = act.about("link", id).because(&decision.reason).with("verdict", decision.verdict.as_str());
        let entry = self.service.entry(actor, act.with("members", one.member.is_some()));
        let frame = RecordFrame {
            id,
            identity,
            incarnation: 0,
            area: areas.first().copied().unwrap_or(township),
            subject: Some(subject),
            body: RecordBody::Changes(Vec::new()),
        };
        author.edit_keyed(frame, &decision.heads, link::edits(decision.verdict, decision.leads), entry)?;
        Ok(id)
    }
}
