//! Random townships in which people get and lose rights, records move and everybody writes; every value that is written is a
//! canary. Nothing that a phone gets, keeps or is told, and no log, may hold a canary from outside its person's scope, and what
//! lies inside must come.
//!
//! What should hold is computed here by itself, from what was done, and not by the server's code: only the table of roles is
//! shared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;

use doorstep_core::clock::{Clock, ManualClock, Millis, SeededEntropy};
use doorstep_core::id::{AreaId, Identity, RecordId, UserId};
use doorstep_core::protocol::AreaEntry;
use doorstep_core::rights::Roles;
use doorstep_server::service::office::Office;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{PostgresStorage, SqliteStorage, Storage, User};

use phones::{Handset, Invitation};
use rights::Given;

use crate::database::fresh_database;
use crate::sim::dice::Dice;

mod acts;
mod log;
mod look;
mod phones;
mod rights;
mod writes;

/// When histories begin.
const START_MS: u64 = 1_790_000_000_000;
const DAY_MS: Millis = 24 * 3600 * 1000;
/// Bytes of a canary.
const CANARY_BYTES: usize = 16;
/// Who wrote what no phone wrote.
const OFFICE: usize = usize::MAX;

/// A record as it should be.
#[derive(Debug, Clone)]
struct Known {
    record_type: String,
    /// The household that it is about, or is a part of: it lies where that lies, also if its author didn't know yet.
    about: RecordId,
    /// Canaries, each with the phone that wrote it, or [`OFFICE`].
    canaries: Vec<(String, usize)>,
}

/// Where a household lies.
struct House {
    /// Where it lay at first.
    base: AreaId,
    /// Moves that the server took, each with its day; no two have the same.
    moves: Vec<(String, AreaId)>,
    /// The server has it.
    is_stored: bool,
}

struct Person {
    user: UserId,
    grants: BTreeMap<u64, Given>,
}

/// What histories did, added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Syncs after which everything was looked through.
    pub looks: u64,
    /// Values that were found where they belong.
    pub delivered: u64,
    /// Changes that the server took from phones.
    pub accepted: u64,
    /// Changes that it refused.
    pub refused: u64,
    /// Households that moved.
    pub moves: u64,
    /// Moves and splits that were written on phones.
    pub phone_events: u64,
    /// Roles given in somebody's stead.
    pub stand_ins: u64,
    /// Times that the township's roles changed.
    pub roles: u64,
    /// Persons who were erased.
    pub erased: u64,
    /// Phones.
    pub phones: u64,
}

impl AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.looks += other.looks;
        self.delivered += other.delivered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.moves += other.moves;
        self.phone_events += other.phone_events;
        self.stand_ins += other.stand_ins;
        self.roles += other.roles;
        self.erased += other.erased;
        self.phones += other.phones;
    }
}

/// Where a history's server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A database of its own on the server of `DOORSTEP_TEST_POSTGRES`.
    Postgres,
}

/// One history.
pub struct History {
    dice: Dice,
    dir: tempfile::TempDir,
    service: Arc<Service>,
    clock: Arc<ManualClock>,
    office: Office,
    township: AreaId,
    roles: Roles,
    parents: BTreeMap<AreaId, AreaId>,
    /// Areas that went into others.
    united: BTreeMap<AreaId, AreaId>,
    people: Vec<Person>,
    phones: Vec<Handset>,
    invitations: Vec<Invitation>,
    records: BTreeMap<RecordId, Known>,
    houses: BTreeMap<RecordId, House>,
    /// Households that the server has, in the order in which it got them.
    stored: Vec<RecordId>,
    /// Households of the office that haven't split.
    whole: Vec<RecordId>,
    /// Those whose head hasn't been erased.
    with_head: Vec<RecordId>,
    /// Events of phones that may move households once the server has them: event, household, day, area.
    phone_moves: Vec<(RecordId, RecordId, String, AreaId)>,
    /// All canaries.
    made: BTreeSet<String>,
    /// Those that the server was seen to have.
    seen_taken: BTreeSet<String>,
    /// Those that went with an erasure.
    gone: BTreeSet<String>,
    /// When a person last had a grant, of any role, that reached a household.
    reached: BTreeMap<(usize, RecordId), Millis>,
    /// When a person last had a grant for an area or one above it.
    reached_areas: BTreeMap<(usize, AreaId), Millis>,
    days: u32,
    seed: u64,
    /// What happened, step by step.
    pub told: Vec<String>,
    /// What was done.
    pub done: Done,
}

type Outcome<T = ()> = Result<T, String>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// What somebody does next.
type Act = fn(&mut History) -> Outcome;

/// What is done how often.
const ACTS: [(u64, Act); 19] = [
    (4, History::register),
    (26, History::write),
    (4, History::trespass),
    (10, History::give),
    (6, History::end),
    (3, History::tidy),
    (3, History::change_roles),
    (5, History::relocate),
    (3, History::rehang),
    (3, History::unite),
    (4, History::found),
    (2, History::split),
    (5, History::phone_moves),
    (4, History::phone_splits),
    (3, History::erase),
    (4, History::further_phone),
    (3, History::set_clock),
    (3, History::pass),
    (25, History::sync_some),
];

impl History {
    /// A township by a seed; `None` where the test run has no PostgreSQL.
    pub fn new(seed: u64, backend: Backend) -> Outcome<Option<Self>> {
        log::listen();
        log::said();
        let dice = Dice::new(seed);
        let dir = tempfile::TempDir::new().map_err(text)?;
        let clock = Arc::new(ManualClock::at(START_MS));
        let storage: Arc<dyn Storage> = match backend {
            Backend::Sqlite => Arc::new(SqliteStorage::open(&dir.path().join("server.db")).map_err(text)?),
            Backend::Postgres => match fresh_database("doorstep_scopes") {
                Some(address) => Arc::new(PostgresStorage::connect(&address).map_err(text)?),
                None => return Ok(None),
            },
        };
        let entropy = Arc::new(SeededEntropy::new(dice.seed()));
        let service = Service::open(storage, clock.clone(), entropy, Committer::Inline).map_err(text)?;
        let township = AreaId(dice.bytes());
        let mut parents = BTreeMap::new();
        for _ in 0..dice.between(2, 4) {
            let village = AreaId(dice.bytes());
            parents.insert(village, township);
            for _ in 0..dice.between(0, 3) {
                parents.insert(AreaId(dice.bytes()), village);
            }
        }
        let desk = UserId(dice.bytes());
        service.storage.put_users(&[user(desk)]).map_err(text)?;
        service.storage.put_areas(township, &area_entries(township, &parents)).map_err(text)?;
        let office = Office::start(&service, desk, township).map_err(text)?;
        let mut history = Self {
            dice,
            dir,
            service,
            clock,
            office,
            township,
            roles: Roles::clone(Roles::builtin()),
            parents,
            united: BTreeMap::new(),
            people: Vec::new(),
            phones: Vec::new(),
            invitations: Vec::new(),
            records: BTreeMap::new(),
            houses: BTreeMap::new(),
            stored: Vec::new(),
            whole: Vec::new(),
            with_head: Vec::new(),
            phone_moves: Vec::new(),
            made: BTreeSet::new(),
            seen_taken: BTreeSet::new(),
            gone: BTreeSet::new(),
            reached: BTreeMap::new(),
            reached_areas: BTreeMap::new(),
            days: 0,
            seed,
            told: Vec::new(),
            done: Done::default(),
        };
        history.settle_in()?;
        Ok(Some(history))
    }

    fn settle_in(&mut self) -> Outcome {
        for _ in 0..self.dice.between(2, 5) {
            self.register()?;
        }
        for _ in 0..self.dice.between(2, 4) {
            self.join()?;
        }
        for _ in 0..2 * self.people.len() {
            self.give()?;
        }
        for index in 0..self.phones.len() {
            self.sync(index)?;
        }
        Ok(())
    }

    /// Runs it.
    pub fn run(&mut self) -> Outcome {
        for _ in 0..self.dice.between(20, 40) {
            self.clock.advance(60_000);
            self.remember();
            self.dice.weighted(&ACTS)(self)?;
        }
        // what was pushed by the last one reaches those before
        self.tidy()?;
        for _ in 0..2 {
            for index in 0..self.phones.len() {
                self.sync(index)?;
            }
        }
        self.done.phones = self.phones.len() as u64;
        self.agree()
    }

    fn sync_some(&mut self) -> Outcome {
        self.sync(self.any_phone())
    }

    /// Days go by, sometimes more than a late write may take.
    fn pass(&mut self) -> Outcome {
        let days = if self.dice.chance(40) { self.dice.between(25, 45) } else { self.dice.between(1, 10) };
        self.clock.advance(days * DAY_MS);
        self.remember();
        Ok(())
    }

    fn say(&mut self, what: String) {
        self.told.push(format!("{} {what}", self.now_ms() - START_MS));
    }

    fn now_ms(&self) -> Millis {
        self.clock.now_ms()
    }

    /// The next day on which something happens: every event has one of its own.
    fn day(&mut self) -> String {
        self.days += 1;
        format!("2020-{:02}-{:02}", 1 + self.days / 28, 1 + self.days % 28)
    }

    fn canary(&mut self) -> String {
        let canary = format!("77{:07}{:05}77", self.seed % 10_000_000, self.made.len());
        self.made.insert(canary.clone());
        canary
    }

    fn any_area(&self) -> AreaId {
        let areas: Vec<AreaId> = self.parents.keys().copied().collect();
        areas[self.dice.below(areas.len() as u64) as usize]
    }

    fn part(&self, record_type: &str, class: &str, core: RecordId) -> Outcome<RecordId> {
        let part = Identity::part(record_type, class, core).derived_id(&self.service.tenant_key());
        part.ok_or_else(|| "a part has an id".to_owned())
    }

    fn note(&mut self, id: RecordId, record_type: &str, about: RecordId, canary: String, by: usize) {
        self.say(format!("phone {by} writes {canary} into {record_type} {id} about {about}"));
        let fresh = || Known { record_type: record_type.to_owned(), about, canaries: Vec::new() };
        self.records.entry(id).or_insert_with(fresh).canaries.push((canary, by));
    }

    fn lies_in(&self, mut area: AreaId, above: AreaId) -> bool {
        loop {
            if area == above {
                return true;
            }
            match self.parents.get(&area) {
                Some(parent) => area = *parent,
                None => return false,
            }
        }
    }
}

fn user(id: UserId) -> User {
    User { id, name: String::new(), unit: String::new() }
}

fn area_entries(township: AreaId, parents: &BTreeMap<AreaId, AreaId>) -> Vec<AreaEntry> {
    let entry = |area, parent: Option<AreaId>| AreaEntry {
        area,
        parent,
        level: match parent {
            None => "township",
            Some(parent) if parent == township => "village",
            Some(_) => "group",
        }
        .into(),
        code: String::new(),
        name_zh: "村".into(),
        name_en: "Village".into(),
    };
    let below = parents.iter().map(|(area, parent)| entry(*area, Some(*parent)));
    std::iter::once(entry(township, None)).chain(below).collect()
}
