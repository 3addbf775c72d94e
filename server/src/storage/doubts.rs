//! Doubtful answers as they are kept: which rule a merged record broke, since when, and until when. No answer stands here.

use std::collections::BTreeSet;

use doorstep_core::clock::Millis;
use doorstep_core::form::Sensitivity;
use doorstep_core::form::session::Doubt;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, RecordId};
use doorstep_core::protocol::ChangeHead;
use doorstep_core::record::FormRef;
use doorstep_core::record::key::{AnswerKey, Leaf};

use super::columns::BadColumn;
use super::{Result, StorageError};

/// One doubtful answer of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewDoubt {
    /// The question's key, with the repeat instances around it.
    pub key: String,
    /// Why.
    pub kind: Doubt,
    /// Who may learn of it: who may read answers of this class.
    pub class: Sensitivity,
    /// By which form.
    pub form: FormRef,
}

impl NewDoubt {
    /// The question without the repeat instances around it, as `member/age`: what lists filter by.
    pub fn question(&self) -> String {
        question(&self.key)
    }
}

/// What a check of a merged record came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DoubtCheck {
    /// How many entries were open when the record was read: with none, and none found, nothing is read or written.
    pub before: u32,
    /// The doubtful answers now, in order, each once.
    pub found: BTreeSet<NewDoubt>,
    /// The form's day was judged: an open entry about it that isn't among `found` is closed. Otherwise it stays.
    pub date_judged: bool,
}

impl DoubtCheck {
    /// True when there is nothing to open and nothing to close.
    pub fn is_idle(&self) -> bool {
        self.before == 0 && self.found.is_empty()
    }

    /// What is to be closed and opened, where these are open now: numbers, and new entries.
    pub(super) fn difference(&self, open: &[(u64, NewDoubt)]) -> (Vec<u64>, Vec<&NewDoubt>) {
        // the version is told where it was opened; a later one that says the same opens no other
        let same = |a: &NewDoubt, b: &NewDoubt| a.key == b.key && a.kind == b.kind && a.class == b.class;
        let stays =
            |o: &NewDoubt| o.kind == Doubt::Date && !self.date_judged || self.found.iter().any(|found| same(o, found));
        let closed = open.iter().filter(|(_, o)| !stays(o)).map(|(no, _)| *no).collect();
        let new = self.found.iter().filter(|found| !open.iter().any(|(_, o)| same(o, found))).collect();
        (closed, new)
    }
}

/// A part of a form instance that a push doesn't change, but whose doubts depend on what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The record.
    pub id: RecordId,
    /// The heads with which it was looked at; `None`: there was no such record.
    pub heads: Option<Vec<ChangeHash>>,
    /// What the check came to.
    pub check: DoubtCheck,
}

/// What is computed of a record once more, without a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The record.
    pub id: RecordId,
    /// The heads that it was computed from.
    pub heads: Vec<ChangeHash>,
    /// Other documents that were read with it: each with its heads, `None` where there was none.
    pub beside: Vec<(RecordId, Option<Vec<ChangeHash>>)>,
    /// The projection now.
    pub projection: super::Projection,
    /// The doubts now.
    pub check: DoubtCheck,
}

/// Which entries a list shows.
#[derive(Debug, Clone, Default)]
pub struct DoubtFilter {
    /// Only of records placed here.
    pub area: Option<AreaId>,
    /// Only by this form.
    pub form: Option<String>,
    /// Only about this question, as `member/age`.
    pub question: Option<String>,
    /// Only of this kind.
    pub kind: Option<Doubt>,
    /// Only of this record.
    pub record: Option<RecordId>,
    /// Closed ones instead of open ones.
    pub closed: bool,
    /// With numbers below this one.
    pub before: Option<u64>,
    /// At most so many (1 to 1,000).
    pub limit: u32,
}

/// An entry as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtRow {
    /// Number in the township, the list's cursor.
    pub no: u64,
    /// The record.
    pub record: RecordId,
    /// The core record of its form instance.
    pub core: RecordId,
    /// Its type.
    pub record_type: String,
    /// Where it is placed.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// What is doubtful.
    pub doubt: NewDoubt,
    /// Server time at which it was opened.
    pub opened_ms: Millis,
    /// Server time at which a later merge closed it.
    pub closed_ms: Option<Millis>,
    /// Feed number of the newest change of the merge that opened it.
    pub seq: u64,
    /// That change: its author's claimed time in seconds since 1970, when it was received, from which device.
    pub change: Option<(i64, Millis, Option<DeviceId>)>,
}

/// How many entries are open of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtTotal {
    /// The form.
    pub form: String,
    /// The question, as `member/age`.
    pub question: String,
    /// Who may learn of it.
    pub class: Sensitivity,
    /// How many.
    pub open: u64,
}

/// The most questions of which totals are given.
pub(super) const TOTALS_MAX: i64 = 200;

fn question(key: &str) -> String {
    let Some(parsed) = AnswerKey::parse(key) else { return key.to_owned() };
    let mut question: String = parsed.instances.iter().map(|(repeat, _)| format!("{repeat}/")).collect();
    match parsed.leaf {
        Leaf::Question(name) | Leaf::Tick { question: name, .. } => question.push_str(name),
        Leaf::Order => question.push_str("@order"),
        Leaf::Deleted => question.push_str("@deleted"),
    }
    question
}

/// Reads a kind.
pub(super) fn to_kind(name: &str) -> Result<Doubt> {
    name.parse().map_err(|_| StorageError::from(BadColumn("kind of doubt")))
}

/// Reads a class.
pub(super) fn to_class(name: &str) -> Sensitivity {
    match name {
        "core" => Sensitivity::Core,
        "sensitive" => Sensitivity::Sensitive,
        _ => Sensitivity::Office,
    }
}

/// The claimed time of a stored change.
pub(super) fn claimed_s(bytes: &[u8]) -> i64 {
    ChangeHead::read(bytes).map_or(0, |head| head.claimed_s)
}
