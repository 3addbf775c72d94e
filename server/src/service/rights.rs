//! What a user may read and write: grants and roles, looked at for one exchange.
//!
//! A grant reaches all of a township, the records in an area and below it, or those about one subject (and the subject
//! itself). What the role of a reaching grant allows is allowed. Writes count under the grants of now, and under those that
//! the device knew last (it may have been offline when they ended), for 30 days of server time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::protocol::{Hello, Position, REASON_BYTES};
use doorstep_core::record::{Candidate, Section, Value};
use doorstep_core::rights::{Action, OPEN, Role, Roles, Standing};

use crate::storage::page::Placed;
use crate::storage::{Areas, Claims, Grant, Known, Placement, Reads, Scope, TownshipId};

/// How long a device that hasn't heard of a loss may still write under it.
pub const LOSS_MS: Millis = 30 * 24 * 3600 * 1000;

/// Why a change may not be written. The code is what phones and pages know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// No grant of the user reaches the record.
    OutOfScope,
    /// The role doesn't make or edit records of this type.
    Type,
    /// The record is in a state in which the role doesn't edit it.
    Locked,
    /// These answers aren't the role's to write; the others of the change are. Empty: none is. More than a reason holds: the
    /// change is refused whole.
    Answers(Vec<String>),
    /// The role may not put the record into this state.
    State,
    /// There is no such area in the township.
    Area,
}

impl Forbidden {
    /// The code; for single answers with their keys after it.
    pub fn reason(&self) -> String {
        match self {
            Self::OutOfScope => "out_of_scope".to_owned(),
            Self::Type => "forbidden_type".to_owned(),
            Self::Locked => "locked".to_owned(),
            Self::Answers(keys) if keys.is_empty() => "forbidden_answer".to_owned(),
            Self::Answers(keys) => {
                let named = format!("forbidden_answer {}", keys.join(" "));
                if named.len() <= REASON_BYTES { named } else { "forbidden_answer".to_owned() }
            }
            Self::State => "forbidden_state".to_owned(),
            Self::Area => "unknown_area".to_owned(),
        }
    }
}

/// A grant with what it reaches.
#[derive(Debug, Clone)]
struct Reach {
    role: Arc<Role>,
    whole: bool,
    areas: HashSet<AreaId>,
    subject: Option<RecordId>,
    /// The grant as given, for those that follow from it.
    grant: Grant,
}

impl Reach {
    fn of(grant: &Grant, township: TownshipId, roles: &Roles, below: impl Fn(AreaId) -> Vec<AreaId>) -> Self {
        let entry = &grant.entry;
        let whole = entry.subject.is_none() && entry.area == township;
        let areas = if whole || entry.subject.is_some() { Vec::new() } else { below(entry.area) };
        Self {
            role: roles.get(&entry.role),
            whole,
            areas: areas.into_iter().collect(),
            subject: entry.subject,
            grant: grant.clone(),
        }
    }

    fn covers(&self, at: &Placed<'_>) -> bool {
        at.area != AreaId::NOWHERE
            && match self.subject {
                Some(subject) => at.id == subject || at.subject == Some(subject),
                None => self.whole || self.areas.contains(&at.area),
            }
    }
}

/// The grants of a log as they stand after it: the newest entry of each, with its place.
pub fn current(log: &[(Position, Grant)]) -> Vec<&(Position, Grant)> {
    let mut newest: HashMap<u64, usize> = HashMap::new();
    for (at, (_, grant)) in log.iter().enumerate() {
        newest.insert(grant.entry.grant, at);
    }
    let is_newest = |(at, entry): &(usize, &(Position, Grant))| newest.get(&entry.1.entry.grant) == Some(at);
    log.iter().enumerate().filter(is_newest).map(|(_, entry)| entry).collect()
}

/// What a hello says that its device knows. Of grants only what is a point of their log; else nothing.
pub fn known_by(hello: &Hello, claims: &Claims) -> Known {
    let is_point = claims.grants.iter().any(|(at, _)| *at == hello.grants);
    Known {
        feed: hello.feed.map_or(0, |feed| feed.seq),
        grants: if is_point { hello.grants.seq } else { 0 },
        areas: hello.areas,
    }
}

/// What a grant lets a device read.
pub fn scope_of(grant: &Grant, township: TownshipId, claims: &Claims) -> Scope {
    let role = claims.roles.get(&grant.entry.role);
    let reads = if role.reads_all() { Reads::All } else { Reads::By(role) };
    match grant.entry.subject {
        Some(subject) => Scope { reads, subjects: vec![subject], ..Scope::default() },
        None if grant.entry.area == township => Scope { reads, whole: true, ..Scope::default() },
        None => Scope { reads, areas: claims.areas.live_below(grant.entry.area), ..Scope::default() },
    }
}

/// Adds a scope to others: to the one that reads the same, if there is one.
pub fn add_scope(scopes: &mut Vec<Scope>, scope: Scope) {
    match scopes.iter_mut().find(|known| known.reads == scope.reads) {
        Some(known) => {
            known.whole |= scope.whole;
            known.areas.extend(scope.areas);
            known.subjects.extend(scope.subjects);
        }
        None => scopes.push(scope),
    }
}

/// Where a change goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The record.
    pub at: Placed<'a>,
    /// The state that it was in when the author wrote.
    pub state: &'a str,
    /// The author saw no record yet.
    pub is_new: bool,
}

/// A user's rights in a township.
#[derive(Debug, Clone)]
pub struct Rights {
    held: Vec<Reach>,
    /// Grants that ended, and what grants reached that doesn't lie below their areas any more, as the device knew it when it
    /// last synced.
    known_before: Vec<Reach>,
    areas: Arc<Areas>,
    township: TownshipId,
    /// How far the device has read the feed: moves after it are news to it.
    seen: u64,
    now_ms: Millis,
}

impl Rights {
    /// The rights by a user's claims, on a device that knows so much.
    pub fn of(claims: &Claims, township: TownshipId, known: Known, now_ms: Millis) -> Self {
        let now = current(&claims.grants);
        let areas = &claims.areas;
        let reach = |grant: &Grant| Reach::of(grant, township, &claims.roles, |area| areas.below(area));
        let held = now.iter().filter(|(_, grant)| grant.holds_at(now_ms)).map(|(_, grant)| reach(grant)).collect();
        let told: Vec<(Position, Grant)> =
            claims.grants.iter().filter(|(at, _)| at.seq <= known.grants).cloned().collect();
        let newest: HashMap<u64, &Grant> = now.iter().map(|(_, grant)| (grant.entry.grant, grant)).collect();
        let lost_ms = |grant: u64| {
            let newest = newest.get(&grant);
            newest
                .filter(|g| !g.holds_at(now_ms))
                // one whose time was over is lost from then on, whenever the server wrote that down
                .map(|g| g.until_ms.unwrap_or(Millis::MAX).min(if g.entry.active { Millis::MAX } else { g.at_ms }))
        };
        let was = |(_, grant): &(Position, Grant)| {
            let recent = lost_ms(grant.entry.grant).is_some_and(|at| at.saturating_add(LOSS_MS) > now_ms);
            grant.entry.active && recent
        };
        let told = current(&told);
        let mut known_before: Vec<Reach> = told.iter().filter(|g| was(g)).map(|(_, grant)| reach(grant)).collect();
        if let Some(before) = areas.known_at(known.areas, now_ms.saturating_sub(LOSS_MS)) {
            let holds = |grant: u64| newest.get(&grant).is_some_and(|g| g.holds_at(now_ms));
            let counts = told.iter().filter(|g| g.1.entry.active && holds(g.1.entry.grant) || was(g));
            let reach = |grant: &Grant| Reach::of(grant, township, &claims.roles, |area| before.below(area));
            known_before.extend(counts.map(|(_, grant)| reach(grant)));
        }
        Self { held, known_before, areas: areas.clone(), township, seen: known.feed, now_ms }
    }

    /// How far the device has read the feed.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn reaches<'a>(&'a self, at: &'a Placed<'_>) -> impl Iterator<Item = &'a Reach> {
        self.held.iter().chain(&self.known_before).filter(move |reach| reach.covers(at))
    }

    /// True when some grant reaches a record where it lies.
    pub fn covers(&self, at: &Placed<'_>) -> bool {
        self.reaches(at).next().is_some()
    }

    /// True when a record may be edited where it lies, in this state.
    pub fn edits(&self, at: &Placed<'_>, state: &str) -> bool {
        self.reaches(at).any(|reach| reach.role.may(Action::Edit, at.record_type, state))
    }

    /// The place under which the device may still write a record that moved: where it lay before a move that the device
    /// hasn't heard of.
    pub fn place_before<'a>(&self, at: &Placed<'a>, moves: &[Placement]) -> Option<Placed<'a>> {
        let unheard = |p: &&Placement| p.seq > self.seen && p.at_ms.saturating_add(LOSS_MS) > self.now_ms;
        let mut before = moves.iter().filter(unheard).map(|p| Placed { area: p.area, ..*at });
        before.find(|at| self.covers(at))
    }

    /// The grant under which a user who is paired with single households may make a new one in this area; the new record gets
    /// a grant of its own like it.
    pub fn maker(&self, at: &Placed<'_>, claims: &Claims) -> Option<&Grant> {
        let fits = |reach: &&Reach| {
            let inside = || claims.areas.below(reach.grant.entry.area).contains(&at.area);
            reach.subject.is_some() && reach.role.may(Action::Create, at.record_type, OPEN) && inside()
        };
        self.held.iter().find(fits).map(|reach| &reach.grant)
    }

    /// Whether a change may be written where it goes; `made` says that the user has just made the record's subject.
    pub fn allow(&self, to: &Target<'_>, made: Option<&Role>, change: &Candidate) -> Result<(), Forbidden> {
        if to.is_new && to.at.area != self.township && !self.areas.contains(to.at.area) {
            return Err(Forbidden::Area);
        }
        let roles: Vec<&Role> = self.reaches(&to.at).map(|reach| &*reach.role).chain(made).collect();
        if roles.is_empty() {
            return Err(Forbidden::OutOfScope);
        }
        let action = if to.is_new { Action::Create } else { Action::Edit };
        let mut keys = Vec::new();
        let (mut answers, mut allowed) = (0, 0);
        for (section, key, value) in change.puts() {
            match section {
                Section::Answers => {
                    answers += 1;
                    if roles.iter().any(|role| role.writes(action, to.at.record_type, to.state, key)) {
                        allowed += 1;
                    } else {
                        keys.push(key.to_owned());
                    }
                }
                Section::Events => self.allow_event(to, &roles, value)?,
                Section::Files => {
                    if !roles.iter().any(|role| role.may(action, to.at.record_type, to.state)) {
                        return Err(self.whole(to, &roles, action));
                    }
                }
            }
        }
        match (allowed, keys.len()) {
            (_, 0) => Ok(()),
            (0, n) if n == answers => Err(self.whole(to, &roles, action)),
            _ => Err(Forbidden::Answers(keys)),
        }
    }

    fn allow_event(&self, to: &Target<'_>, roles: &[&Role], value: &Value) -> Result<(), Forbidden> {
        let standing = match value {
            Value::Text(json) => Standing::from_json(json).ok(),
            _ => None,
        };
        let record_type = to.at.record_type;
        let may = |role: &&Role| match &standing {
            Some(standing) => role.sets_state(record_type, to.state, &standing.state),
            None => role.may(Action::Edit, record_type, to.state),
        };
        if roles.iter().any(may) { Ok(()) } else { Err(Forbidden::State) }
    }

    /// Why none of a change's answers may be written.
    fn whole(&self, to: &Target<'_>, roles: &[&Role], action: Action) -> Forbidden {
        let may = |state: &str| roles.iter().any(|role| role.may(action, to.at.record_type, state));
        match (may(to.state), may(OPEN)) {
            (true, _) => Forbidden::Answers(Vec::new()),
            (false, true) => Forbidden::Locked,
            (false, false) => Forbidden::Type,
        }
    }
}

#[cfg(test)]
mod tests {
    use doorstep_core::protocol::GrantEntry;

    use super::*;

    const TOWNSHIP: TownshipId = AreaId([1; 16]);
    const OVER_MS: Millis = 1_790_000_000_000;

    /// What a helper may still write at a time whose phone hasn't heard of the end of a grant that was over at `OVER_MS`.
    fn still_writes(ended_ms: Option<Millis>, now_ms: Millis) -> bool {
        let household = RecordId([2; 16]);
        let entry =
            GrantEntry { grant: 1, role: "helper".into(), area: TOWNSHIP, subject: Some(household), active: true };
        let given = Grant { entry, until_ms: Some(OVER_MS), stand_in_for: None, at_ms: 1 };
        let ended = ended_ms.map(|at_ms| given.ended(at_ms));
        let log = [Some(given), ended].into_iter().flatten().zip(1..);
        let grants = log.map(|(grant, seq)| (Position { seq, ..Position::default() }, grant)).collect();
        let claims = Claims { grants, roles: Roles::builtin().clone(), ..Claims::default() };
        let known = Known { grants: 1, ..Known::default() };
        let at = Placed { id: household, area: TOWNSHIP, subject: None, record_type: "household" };
        Rights::of(&claims, TOWNSHIP, known, now_ms).edits(&at, OPEN)
    }

    #[test]
    fn what_is_written_late_counts_for_thirty_days_after_the_time_was_over_however_late_the_server_ends_the_grant() {
        let last = OVER_MS + LOSS_MS - 1;
        for ended_ms in [None, Some(OVER_MS + 1), Some(last)] {
            assert!(still_writes(ended_ms, last), "{ended_ms:?}");
            assert!(!still_writes(ended_ms, last + 1), "{ended_ms:?}");
        }
        // one that was ended before its time is lost from then on
        assert!(!still_writes(Some(OVER_MS - 1), last));
    }
}
