//! Who may do what where: grants with their ends, the past of areas, units, and where records lay before they moved.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry, Position};
use doorstep_core::rights::Roles;

use super::{Areas, Relocation, Result, TownshipId};

/// The setting that holds a tenant's own roles as JSON (`Roles::from_json`).
pub const ROLES: &str = "roles";
/// Records that move with one household, at most.
pub const MOVED_MAX: usize = 5_000;

/// An entry of a user's log of grants, with what phones don't get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What phones get.
    pub entry: GrantEntry,
    /// Until when it holds, by the server's clock; `None`: until it is ended.
    pub until_ms: Option<Millis>,
    /// For whom the person stands in.
    pub stand_in_for: Option<UserId>,
    /// When the entry was made.
    pub at_ms: Millis,
}

impl From<GrantEntry> for Grant {
    fn from(entry: GrantEntry) -> Self {
        Self { entry, until_ms: None, stand_in_for: None, at_ms: 0 }
    }
}

impl Grant {
    /// The entry that ends it.
    pub fn ended(&self, at_ms: Millis) -> Self {
        Self { entry: GrantEntry { active: false, ..self.entry.clone() }, at_ms, ..self.clone() }
    }

    /// True when it is given and not over at a time of the server's clock.
    pub fn holds_at(&self, now_ms: Millis) -> bool {
        self.entry.active && self.until_ms.is_none_or(|until| until > now_ms)
    }
}

/// What a user claims to be allowed, and by which roles: read in one snapshot with what is asked about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// The user's grants: all entries with their places in the log.
    pub grants: Vec<(Position, Grant)>,
    /// The township's areas.
    pub areas: Arc<Areas>,
    /// The roles.
    pub roles: Arc<Roles>,
}

/// What an area was until a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaPast {
    /// As it was.
    pub entry: AreaEntry,
    /// Up to (without) this day, `YYYY-MM-DD`.
    pub until_day: String,
}

/// An area that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaEnd {
    /// Which.
    pub area: AreaId,
    /// From this day on it isn't there.
    pub day: String,
    /// The one that it went into.
    pub into: Option<AreaId>,
}

/// A change of an area from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaChange {
    /// As it is from then on.
    pub entry: AreaEntry,
    /// The first day of that, `YYYY-MM-DD`.
    pub from_day: String,
    /// Set when the area ends on that day: the one that it goes into.
    pub merged_into: Option<AreaId>,
    /// When the server writes it down.
    pub at_ms: Millis,
}

/// A unit: one that sends helpers, one that is responsible for problems, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Id.
    pub id: [u8; 16],
    /// Its name, unique in the tenant.
    pub name: String,
    /// It sends helpers (帮扶单位).
    pub sends: bool,
    /// It puts problems right (责任单位).
    pub is_responsible: bool,
}

/// Where a record lay before a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The move's number in the feed.
    pub seq: u64,
    /// Where it lay.
    pub area: AreaId,
    /// The day that the move says, `YYYY-MM-DD`.
    pub until_day: String,
    /// When the server wrote it down.
    pub at_ms: Millis,
}

/// Where a record is, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its area.
    pub area: AreaId,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// The state that it is in.
    pub state: String,
}

/// What of the database is about rights.
pub trait RightsStorage {
    /// What a user claims in a township, read in one snapshot.
    fn claims(&self, township: TownshipId, user: UserId) -> Result<Claims>;
    /// Every grant entry about a subject, of all users, in the order of their logs.
    fn grants_about(&self, subject: RecordId) -> Result<Vec<(UserId, Grant)>>;
    /// Active grants whose time is over and that no entry has ended yet; at most 1,000.
    fn overdue_grants(&self, now_ms: Millis) -> Result<Vec<(UserId, Grant)>>;
    /// The areas as a tree, as one snapshot.
    fn area_tree(&self, township: TownshipId) -> Result<Arc<Areas>>;
    /// What areas were, and those that ended.
    fn area_past(&self, township: TownshipId) -> Result<(Vec<AreaPast>, Vec<AreaEnd>)>;
    /// All units, by name.
    fn units(&self) -> Result<Vec<Unit>>;
    /// Where records lie; those that aren't there are left out.
    fn places(&self, township: TownshipId, ids: &[RecordId]) -> Result<HashMap<RecordId, Place>>;
    /// Where a record lay before, in the order in which the server moved it.
    fn placements(&self, township: TownshipId, record: RecordId) -> Result<Vec<Placement>>;
    /// What moved a record, in no order ([`super::relocation::past`]); empty for one that never moved.
    fn relocations(&self, township: TownshipId, record: RecordId) -> Result<Vec<Relocation>>;
}

/// The roles of the newest table that was read. The table's text is read with everything else, so that another server's change
/// is seen at once.
#[derive(Debug, Default)]
pub(super) struct RolesCache(Mutex<Option<(String, Arc<Roles>)>>);

impl RolesCache {
    /// The roles by the setting's text: those of the pack with the tenant's own ones in place of theirs.
    pub fn of(&self, setting: Option<String>) -> Arc<Roles> {
        let Some(text) = setting else { return Roles::builtin().clone() };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roles)) = known.as_ref().filter(|(of, _)| *of == text) {
            return roles.clone();
        }
        // only a table that can be read is ever stored; should one be damaged, nobody gets more than the pack gives
        let own = Roles::from_json(&text).unwrap_or_default();
        let roles = Arc::new(own.over(Roles::builtin()));
        *known = Some((text, roles.clone()));
        roles
    }
}
