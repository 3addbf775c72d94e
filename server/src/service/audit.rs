//! Writing the audit log: sign-ins, looks at masked answers, exports, changes of rights and phones, releases.
//!
//! What changes the database has its entry in the same transaction (`Service::act`, `super::acts`): neither stands without the
//! other. What is only shown, or leaves as a file, has its entry before. Entries hold ids, codes and a reason; no answer and no
//! name.

pub mod export;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, DeviceId, RecordId, UserId};
use doorstep_core::protocol::Position;
use serde_json::{Map, Value};

use super::Service;
use crate::storage::audit::{self, AuditFault, AuditVerified};
use crate::storage::chain::Links;
use crate::storage::{AuditEntry, StorageError, TownshipId};

/// The longest reason, in characters.
pub const REASON_CHARS: usize = 200;
/// Refused sign-ins that are listed in an hour; more are counted.
const REFUSED_LISTED: u32 = 20;
/// The span in which they are counted.
const REFUSED_SPAN: Millis = 3600 * 1000;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A signed-in person.
    User(UserId),
    /// A phone.
    Device(DeviceId),
    /// Whoever has the office key.
    Office,
    /// Whoever runs commands on the server.
    CommandLine,
    /// The server by itself.
    Server,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user/{id}"),
            Self::Device(id) => write!(f, "device/{id}"),
            Self::Office => f.write_str("office"),
            Self::CommandLine => f.write_str("command_line"),
            Self::Server => f.write_str("server"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Declares actions with their codes.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $code:literal,)*) => {
        /// What is done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code that stands in the log.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

actions! {
    /// Somebody signed in on the pages.
    SignIn => "sign_in",
    /// A wrong key or password.
    SignInRefused => "sign_in_refused",
    /// Masked answers were looked at, with a reason.
    MaskedLook => "masked_look",
    /// Data left the server as a file: a list, refused bytes, this log, a backup.
    Export => "export",
    /// A role or grant was given.
    GrantGiven => "grant_given",
    /// A role or grant is to be given from a day on, or isn't any more.
    GrantPlanned => "grant_planned",
    /// A role or grant was ended.
    GrantEnded => "grant_ended",
    /// A helper and a household were paired, or not any more.
    PairingChanged => "pairing_changed",
    /// A phone was invited.
    DeviceInvited => "device_invited",
    /// A phone was enrolled.
    DeviceEnrolled => "device_enrolled",
    /// A phone brought back an enrolment that the database had forgotten.
    DeviceReturned => "device_returned",
    /// A phone was reported lost.
    DeviceLost => "device_lost",
    /// A phone's report as lost was withdrawn.
    LostWithdrawn => "lost_withdrawn",
    /// A phone was shut out.
    DeviceRevoked => "device_revoked",
    /// A lost phone was told to erase itself, or said that it has.
    DeviceWiped => "device_wiped",
    /// Quarantined changes were released.
    QuarantineReleased => "quarantine_released",
    /// Quarantined changes were discarded.
    QuarantineDiscarded => "quarantine_discarded",
    /// A backup was put back.
    Restored => "restored",
    /// Reading was opened again.
    Reopened => "reopened",
    /// A register was imported.
    Imported => "imported",
    /// An import was undone.
    ImportUndone => "import_undone",
    /// Areas were made, renamed, merged or ended.
    AreaChanged => "area_changed",
    /// A form's version was published.
    FormPublished => "form_published",
    /// A form's version was retired.
    FormRetired => "form_retired",
    /// The office decided a difference.
    DifferenceDecided => "difference_decided",
    /// A record, or an earlier value of it, was brought back.
    RecordRestored => "record_restored",
    /// Records were linked as one, or not any more.
    RecordsLinked => "records_linked",
    /// A household went to another township with all its records.
    HouseholdHandedOver => "household_handed_over",
    /// A person was erased.
    Erased => "erased",
}

/// What was done, to what, why.
#[derive(Debug, Clone)]
#[must_use = "an act counts once `Service::act` wrote it"]
pub struct Act {
    entry: AuditEntry,
    details: Map<String, Value>,
}

impl Act {
    /// An act about nothing yet.
    pub fn new(action: Action) -> Self {
        Self { entry: AuditEntry { action: action.code().to_owned(), ..AuditEntry::default() }, details: Map::new() }
    }

    /// In this township.
    pub fn in_township(mut self, township: TownshipId) -> Self {
        self.entry.township = Some(township);
        self
    }

    /// About something named by `kind/id`; ids have no spaces.
    pub fn about(mut self, kind: &str, id: impl fmt::Display) -> Self {
        if !self.entry.subjects.is_empty() {
            self.entry.subjects.push(' ');
        }
        self.entry.subjects.push_str(&format!("{kind}/{id}"));
        self
    }

    /// About a record.
    pub fn record(self, id: RecordId) -> Self {
        self.about("record", id)
    }

    /// About a person.
    pub fn user(self, id: UserId) -> Self {
        self.about("user", id)
    }

    /// About a phone.
    pub fn device(self, id: DeviceId) -> Self {
        self.about("device", id)
    }

    /// About an area.
    pub fn area(self, id: AreaId) -> Self {
        self.about("area", id)
    }

    /// Why; what is longer than [`REASON_CHARS`] is cut.
    pub fn because(mut self, reason: &str) -> Self {
        self.entry.reason = reason.trim().chars().filter(|c| *c != '\0').take(REASON_CHARS).collect();
        self
    }

    /// A further fact: a number or a code, never an answer or a name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The entry that says so.
    pub fn entry(self, actor: Actor, at_ms: Millis) -> AuditEntry {
        let details = if self.details.is_empty() { String::new() } else { Value::Object(self.details).to_string() };
        AuditEntry { at_ms, actor: actor.to_string(), details, ..self.entry }
    }
}

/// Refused sign-ins of the current span: anybody can cause them, so that their entries are bounded.
#[derive(Debug, Default)]
pub(super) struct RefusedSignIns(Mutex<(Millis, u32)>);

impl RefusedSignIns {
    /// Whether this one gets an entry, and how many got none since the last entry.
    fn take(&self, now_ms: Millis) -> Option<u32> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = *known;
        if now_ms.saturating_sub(since) >= REFUSED_SPAN {
            *known = (now_ms, 1);
            return Some(count.saturating_sub(REFUSED_LISTED));
        }
        known.1 = count.saturating_add(1);
        (count < REFUSED_LISTED).then_some(0)
    }
}

impl Service {
    /// Writes an entry, durably, about what is shown or leaves the server: to be called before that. What changes the database
    /// goes through [`Service::act`].
    pub fn audit(&self, actor: Actor, act: Act) -> Result<Position, StorageError> {
        self.audit_all(actor, [act])
    }

    /// The same for several acts at once.
    pub fn audit_all(&self, actor: Actor, acts: impl IntoIterator<Item = Act>) -> Result<Position, StorageError> {
        let now_ms = self.clock.now_ms();
        let entries: Vec<AuditEntry> = acts.into_iter().map(|act| act.entry(actor, now_ms)).collect();
        self.storage.append_audit(&entries)
    }

    /// The entry of an act that is written with something larger.
    pub(crate) fn entry(&self, actor: Actor, act: Act) -> AuditEntry {
        act.entry(actor, self.clock.now_ms())
    }

    /// Notes a refused sign-in; of many in an hour the first 20, and with the next hour's first how many more there were.
    pub fn audit_refused_sign_in(&self) -> Result<(), StorageError> {
        let Some(unlisted) = self.refused_sign_ins.take(self.clock.now_ms()) else { return Ok(()) };
        let act = Act::new(Action::SignInRefused);
        let act = if unlisted == 0 { act } else { act.with("unlisted_before", unlisted) };
        self.audit(Actor::Unknown, act).map(drop)
    }

    /// Recomputes the audit log's chain; see [`audit::verify`].
    pub fn verify_audit(&self, noted: Option<Position>) -> Result<Result<AuditVerified, AuditFault>, StorageError> {
        audit::verify(&*self.storage, &Links::new(&self.secrets.chain_key), noted)
    }
}

/// What was done to a form's version.
pub(super) fn form_act(action: Action, name: &str, version: u32) -> Act {
    Act::new(action).about("form", format_args!("{name}@{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_sign_ins_are_listed_up_to_a_bound_and_then_counted() {
        let refused = RefusedSignIns::default();
        let listed = (0..50).filter(|n| refused.take(REFUSED_SPAN + n) == Some(0)).count();
        assert_eq!(listed, REFUSED_LISTED as usize);
        assert_eq!(refused.take(2 * REFUSED_SPAN + 100), Some(30));
        assert_eq!(refused.take(2 * REFUSED_SPAN + 101), Some(0));
    }

    #[test]
    fn an_act_becomes_an_entry_with_subjects_reason_and_details() {
        let act = Act::new(Action::MaskedLook)
            .record(RecordId([1; 16]))
            .about("import", 7)
            .because(&format!("  {}  ", "核".repeat(300)))
            .with("n", 3);
        let entry = act.entry(Actor::Office, 5);
        assert_eq!(entry.subjects, format!("record/{} import/7", RecordId([1; 16])));
        assert_eq!(entry.reason.chars().count(), REASON_CHARS);
        assert_eq!((entry.details.as_str(), entry.actor.as_str(), entry.at_ms), ("{\"n\":3}", "office", 5));
        let codes: std::collections::BTreeSet<_> = Action::ALL.iter().map(|a| a.code()).collect();
        assert_eq!(codes.len(), Action::ALL.len());
    }
}
