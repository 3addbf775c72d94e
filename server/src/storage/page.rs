//! Which records a pull gives, and how a page of it is put together; alike in both backends.

use std::collections::{HashMap, HashSet};

use doorstep_core::id::{AreaId, RecordId};

use super::{PullQuery, PulledRecord, Scope, StoredChange};

/// Rows of the feed that one page reads at most, also when none of them is in scope.
pub const SCAN_MAX: usize = 20_000;
/// Changed records in scope up to which news are gathered from them; with more of them the feed is walked.
pub const CHANGED_MAX: usize = 256;

/// The parts of a query whose records' news come by the feed, each with the number up to which they were born; `None` when
/// that is all of the township.
pub fn scopes_of_news(query: &PullQuery) -> Option<Vec<(&Scope, u64)>> {
    let fills = query.fills.iter().map(|(_, scope, after)| (scope, *after)).filter(|(_, after)| *after > 0);
    let scopes: Vec<_> = std::iter::once((&query.complete, u64::MAX)).chain(fills).collect();
    scopes.iter().all(|(scope, _)| !scope.whole).then_some(scopes)
}

/// A scope, ready to be asked about many records.
#[derive(Debug, Default)]
pub struct ScopeFilter {
    whole: bool,
    areas: HashSet<AreaId>,
    subjects: HashSet<RecordId>,
}

impl ScopeFilter {
    /// The filter of a scope.
    pub fn new(scope: &Scope) -> Self {
        Self {
            whole: scope.whole,
            areas: scope.areas.iter().copied().collect(),
            subjects: scope.subjects.iter().copied().collect(),
        }
    }

    /// True when the record is in the scope.
    pub fn covers(&self, id: RecordId, area: AreaId, subject: Option<RecordId>) -> bool {
        self.whole
            || self.areas.contains(&area)
            || self.subjects.contains(&id)
            || subject.is_some_and(|s| self.subjects.contains(&s))
    }
}

/// What a device gets by the feed and what by fills.
#[derive(Debug)]
pub struct PullFilter {
    complete: ScopeFilter,
    fills: Vec<(ScopeFilter, u64)>,
}

impl PullFilter {
    /// The filter of a query.
    pub fn new(query: &PullQuery) -> Self {
        Self {
            complete: ScopeFilter::new(&query.complete),
            fills: query.fills.iter().map(|(_, scope, after)| (ScopeFilter::new(scope), *after)).collect(),
        }
    }

    /// True when news of the record come by the feed: a complete grant covers it, or a fill that has passed it.
    pub fn by_feed(&self, id: RecordId, area: AreaId, subject: Option<RecordId>, born: u64) -> bool {
        self.complete.covers(id, area, subject)
            || self.fills.iter().any(|(scope, after)| born <= *after && scope.covers(id, area, subject))
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
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => {
                self.records.push(record()?);
                self.places.insert(id, self.records.len() - 1);
                self.records.len() - 1
            }
        };
        self.records[place].changes.push(change);
        Ok(())
    }

    /// The records.
    pub fn finish(self) -> Vec<PulledRecord> {
        self.records
    }
}
