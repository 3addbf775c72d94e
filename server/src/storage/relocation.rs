//! Where a record lay on which day, computed from all that moved it: the order in which moves, corrections and withdrawals
//! arrive doesn't count.

use doorstep_core::id::{AreaId, RecordId};

/// What moves a record. The order of those of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MovedBy {
    /// Nothing: there it lay at first.
    Start,
    /// An event.
    Event(RecordId),
    /// The office, at this place of the feed.
    Office(u64),
}

impl MovedBy {
    /// The columns `kind` and `source`.
    pub(super) fn to_columns(self) -> (i64, [u8; 16]) {
        match self {
            Self::Start => (0, [0; 16]),
            Self::Event(event) => (1, event.0),
            Self::Office(seq) => (2, u128::from(seq).to_be_bytes()),
        }
    }

    pub(super) fn from_columns(kind: i64, source: [u8; 16]) -> Self {
        match kind {
            1 => Self::Event(RecordId(source)),
            2 => Self::Office(u128::from_be_bytes(source) as u64),
            _ => Self::Start,
        }
    }
}

/// That a record lies in an area from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    /// What moved it.
    pub by: MovedBy,
    /// The first day, `YYYY-MM-DD`; empty for where it lay at first.
    pub from_day: String,
    /// Set when an area went into another: only what lies there by then is moved.
    pub only_from: Option<AreaId>,
    /// Where to.
    pub area: AreaId,
}

/// Where a record lay before, each with the day from which on it didn't, and where it lies now; `None` of one that never moved.
pub fn past(rows: &[Relocation]) -> (Vec<(String, AreaId)>, Option<AreaId>) {
    let mut sorted: Vec<&Relocation> = rows.iter().collect();
    sorted.sort_by(|a, b| (&a.from_day, a.by).cmp(&(&b.from_day, b.by)));
    // whatever day a move may have, it comes after where the record lay at first
    sorted.sort_by_key(|row| row.by != MovedBy::Start);
    let (mut earlier, mut now) = (Vec::new(), None);
    for row in sorted {
        match now {
            None => now = Some(row.area),
            Some(at) if at == row.area || row.only_from.is_some_and(|from| from != at) => {}
            Some(at) => {
                earlier.push((row.from_day.clone(), at));
                now = Some(row.area);
            }
        }
    }
    (earlier, now)
}

/// That a record, and every record about it, lies in another area from a day on; or that an event says so no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which; one that isn't there is left out.
    pub record: RecordId,
    /// The event that says so; `None`: the office does.
    pub event: Option<RecordId>,
    /// Set when an area goes into another: only what lies there by then is moved.
    pub only_from: Option<AreaId>,
    /// Where to; `None` for an event that was taken back, or that names no area of the township.
    pub area: Option<AreaId>,
    /// The first day there, `YYYY-MM-DD`.
    pub from_day: String,
}

impl Move {
    /// One by the office.
    pub fn by_office(record: RecordId, area: AreaId, from_day: impl Into<String>) -> Self {
        Self { record, event: None, only_from: None, area: Some(area), from_day: from_day.into() }
    }
}

/// What a move changes of a record's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put(Relocation),
    Drop(MovedBy),
}

/// Changes the rows of a record that lies in an area as a move says, and gives what was changed; `seq` is the next place of the
/// feed.
pub fn apply(rows: &mut Vec<Relocation>, moved: &Move, lies: AreaId, seq: u64) -> Vec<Change> {
    let by = moved.event.map_or(MovedBy::Office(seq), MovedBy::Event);
    let Some(area) = moved.area else {
        let before = rows.len();
        rows.retain(|row| row.by != by);
        return if rows.len() < before { vec![Change::Drop(by)] } else { Vec::new() };
    };
    let known = match (moved.event, moved.only_from) {
        (Some(_), _) => rows.iter().any(|r| r.by == by && (&r.from_day, r.area) == (&moved.from_day, area)),
        (None, Some(from)) => rows.iter().any(|row| row.only_from == Some(from) && row.from_day >= moved.from_day),
        (None, None) => past(rows).1.unwrap_or(lies) == area,
    };
    if known {
        return Vec::new();
    }
    let mut changes = Vec::new();
    if rows.is_empty() {
        let start = Relocation { by: MovedBy::Start, from_day: String::new(), only_from: None, area: lies };
        changes.push(Change::Put(start.clone()));
        rows.push(start);
    }
    rows.retain(|row| row.by != by);
    let fresh = Relocation { by, from_day: moved.from_day.clone(), only_from: moved.only_from, area };
    changes.push(Change::Put(fresh.clone()));
    rows.push(fresh);
    changes
}
