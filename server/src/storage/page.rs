//! Which records a pull gives, and how a page of it is put together; alike in both backends.

use std::collections::{HashMap, HashSet};

use doorstep_core::id::{AreaId, RecordId};

use super::{Arrival, PullQuery, PulledRecord, Reads, Scope, StoredChange};

/// Rows of the feed that one page reads at most, also when none of them is in scope.
pub const SCAN_MAX: usize = 20_000;
/// Changed records in scope up to which news are gathered from them; with more of them the feed is walked.
pub const CHANGED_MAX: usize = 256;

/// The parts of a query whose records' news come by the feed, each with the number up to which they were born; `None` when
/// that is all of the township.
pub fn scopes_of_news(query: &PullQuery) -> Option<Vec<(&Scope, u64)>> {
    let fills = query.fills.iter().map(|(_, scope, after)| (scope, *after)).filter(|(_, after)| *after > 0);
    let scopes: Vec<_> = query.complete.iter().map(|scope| (scope, u64::MAX)).chain(fills).collect();
    scopes.iter().all(|(scope, _)| !scope.whole).then_some(scopes)
}

/// What a scope is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The record.
    pub id: RecordId,
    /// Where it lies.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// Its type.
    pub record_type: &'a str,
}

/// A scope, ready to be asked about many records.
#[derive(Debug, Default)]
pub struct ScopeFilter {
    reads: Reads,
    whole: bool,
    areas: HashSet<AreaId>,
    subjects: HashSet<RecordId>,
}

impl ScopeFilter {
    /// The filter of a scope.
    pub fn new(scope: &Scope) -> Self {
        Self {
            reads: scope.reads.clone(),
            whole: scope.whole,
            areas: scope.areas.iter().copied().collect(),
            subjects: scope.subjects.iter().copied().collect(),
        }
    }

    /// True when the record is in the scope; one that lies nowhere is in none.
    pub fn covers(&self, at: &Placed<'_>) -> bool {
        let reached = at.area != AreaId::NOWHERE
            && (self.whole
                || self.areas.contains(&at.area)
                || self.subjects.contains(&at.id)
                || at.subject.is_some_and(|s| self.subjects.contains(&s)));
        reached && self.reads.covers(at.record_type)
    }
}

/// What a device gets by the feed and what by fills.
#[derive(Debug)]
pub struct PullFilter {
    complete: Vec<ScopeFilter>,
    fills: Vec<(ScopeFilter, u64)>,
}

impl PullFilter {
    /// The filter of a query.
    pub fn new(query: &PullQuery) -> Self {
        Self {
            complete: query.complete.iter().map(ScopeFilter::new).collect(),
            fills: query.fills.iter().map(|(_, scope, after)| (ScopeFilter::new(scope), *after)).collect(),
        }
    }

    /// True when news of the record come by the feed: a complete grant covers it, or a fill that has passed it.
    pub fn by_feed(&self, at: &Placed<'_>, born: u64) -> bool {
        self.complete.iter().any(|scope| scope.covers(at))
            || self.fills.iter().any(|(scope, after)| born <= *after && scope.covers(at))
    }

    /// How a record comes whose move is in the feed: it lies at `at` now and lay in `from` before. `None`: not at all, or a
    /// fill that hasn't passed it brings it.
    pub fn after_move(&self, at: &Placed<'_>, from: AreaId, born: u64) -> Option<Arrival> {
        let before = Placed { area: from, ..*at };
        let by_a_fill = |place: &Placed<'_>| self.fills.iter().any(|(scope, _)| scope.covers(place));
        if self.by_feed(at, born) {
            return Some(if self.by_feed(&before, born) { Arrival::Placed } else { Arrival::Entered });
        }
        // a grant that is filled again may have brought it the time before
        let had = self.by_feed(&before, born) || by_a_fill(&before);
        (had && !by_a_fill(at)).then_some(Arrival::Left)
    }
}

/// Groups changes by record in order of first appearance and counts their bytes.
#[derive(Debug, Default)]
pub struct PageBuilder {
    records: Vec<PulledRecord>,
    places: HashMap<RecordId, usize>,
    /// Bytes of changes so far.
    pub bytes: usize,
}

impl PageBuilder {
    /// Adds a change; `record` (without changes) is asked for only when it is the record's first in the page.
    pub fn add<E>(
        &mut self,
        id: RecordId,
        change: StoredChange,
        record: impl FnOnce() -> Result<PulledRecord, E>,
    ) -> Result<(), E> {
        self.bytes += change.bytes.len();
        self.entry(id, record)?.changes.push(change);
        Ok(())
    }

    fn entry<E>(
        &mut self,
        id: RecordId,
        record: impl FnOnce() -> Result<PulledRecord, E>,
    ) -> Result<&mut PulledRecord, E> {
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => {
                self.records.push(record()?);
                self.places.insert(id, self.records.len() - 1);
                self.records.len() - 1
            }
        };
        Ok(&mut self.records[place])
    }

    /// Adds a record that was moved, with the bytes of its changes; what it is, without changes, is asked for only when it is its
    /// first entry in the page.
    pub fn moved<E>(
        &mut self,
        id: RecordId,
        (arrival, bytes): (Arrival, usize),
        record: impl FnOnce() -> Result<PulledRecord, E>,
    ) -> Result<(), E> {
        let known = &mut self.entry(id, record)?.arrival;
        let before = *known;
        // a record that came in and moved on inside the scope came in
        if !(before == Arrival::Entered && arrival == Arrival::Placed) {
            *known = arrival;
        }
        if arrival == Arrival::Entered && before != Arrival::Entered {
            self.bytes += bytes;
        }
        Ok(())
    }

    /// The records that came into the scope by a move.
    pub fn entered(&self) -> Vec<RecordId> {
        let entered = self.records.iter().filter(|record| record.arrival == Arrival::Entered);
        entered.map(|record| record.id).collect()
    }

    /// The records; those that came into the scope get all their changes by `changes`.
    pub fn finish<E>(
        mut self,
        mut changes: impl FnMut(&PulledRecord) -> Result<Vec<StoredChange>, E>,
    ) -> Result<(Vec<PulledRecord>, usize), E> {
        for record in self.records.iter_mut().filter(|record| record.arrival == Arrival::Entered) {
            record.changes = changes(record)?;
        }
        Ok((self.records, self.bytes))
    }
}
