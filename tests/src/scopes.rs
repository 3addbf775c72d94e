//! Random townships in which people get and lose rights, records move and everybody writes; every value that is written is a
//! canary. Nothing that a phone gets, keeps or is told may hold a canary from outside its person's scope, and what lies
//! inside must come.
//!
//! What should hold is computed here by itself, from what was done, and not by the server's code: only the table of roles is
//! shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::clock::{Clock, ManualClock, SeededEntropy};
use doorstep_core::id::{AreaId, Identity, RecordId, TenantKey, UserId};
use doorstep_core::protocol::enrol::{EnrolAgainBody, proof_message};
use doorstep_core::protocol::{AreaEntry, Hello, ReplyDecoder};
use doorstep_core::record::{ChangeNote, Edit};
use doorstep_core::rights::Roles;
use doorstep_core::store::{Enrolment, ListFilter, PlannedDocument};
use doorstep_core::sync::{Cancel, Reply, Silent, SyncOptions, Transport, TransportError};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::NewGrant;
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::service::people::EnrolmentRequest;
use doorstep_server::service::{Committer, ReplyStream, Service};
use doorstep_server::storage::{Move, RecordFilter, SqliteStorage, User};
use ed25519_dalek::{Signer, SigningKey};

use acts::{HEAD, SON};

use crate::sim::dice::Dice;

mod acts;

/// When histories begin.
const START_MS: u64 = 1_790_000_000_000;
/// Roles that are drawn for areas.
const AREA_ROLES: [&str; 7] =
    ["village_cadre", "poverty_clerk", "township_leader", "county", "supervisor", "inspector", "township_office"];

/// A grant as it was given.
#[derive(Debug, Clone)]
struct Given {
    role: &'static str,
    area: AreaId,
    household: Option<RecordId>,
}

/// A record as it should be.
#[derive(Debug, Clone)]
struct Known {
    record_type: String,
    /// The household that it is about, or is a part of: it lies where that lies, also if its author didn't know yet.
    about: RecordId,
    /// Canaries, each with who wrote it (`usize::MAX`: the office).
    canaries: Vec<(String, usize)>,
}

/// A person with a phone.
struct Person {
    user: UserId,
    dir: PathBuf,
    phone: Phone,
    grants: BTreeMap<u64, Given>,
}

/// What came down, frame by frame, uncompressed.
#[derive(Default)]
struct Tap(Mutex<Vec<u8>>);

struct Wire {
    service: Arc<Service>,
    tenant_key: TenantKey,
    tap: Arc<Tap>,
}

struct Answer<'a> {
    stream: ReplyStream,
    decoder: ReplyDecoder,
    tap: &'a Tap,
}

impl Reply for Answer<'_> {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some(bytes) = self.stream.next_chunk().map_err(|_| TransportError::Cut)? else { return Ok(None) };
        for frame in self.decoder.push(&bytes).map_err(|_| TransportError::Cut)? {
            let (_, plain) = frame.encode().map_err(|_| TransportError::Cut)?;
            self.tap.0.lock().unwrap_or_else(PoisonError::into_inner).extend(plain);
        }
        Ok(Some(bytes))
    }
}

impl Transport for Wire {
    fn exchange(&self, request: Vec<u8>, _: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        let signed = Hello::decode(&request).ok().flatten().ok_or(TransportError::Cut)?;
        let rest = request[signed.length..].to_vec();
        let exchange = self.service.admit(signed).map_err(|_| TransportError::Cut)?;
        let stream = exchange.run(&rest).map_err(|_| TransportError::Cut)?;
        let decoder = ReplyDecoder::new(self.tenant_key.clone()).map_err(|_| TransportError::Cut)?;
        Ok(Box::new(Answer { stream, decoder, tap: &self.tap }))
    }

    fn enrol_again(&self, _: &EnrolAgainBody, _: &Cancel) -> Result<(), TransportError> {
        Err(TransportError::Unreachable)
    }
}

/// What histories did, added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Syncs after which everything was looked through.
    pub looks: u64,
    /// Records that were found where they belong.
    pub delivered: u64,
    /// Changes that the server took from phones.
    pub accepted: u64,
    /// Changes that it refused.
    pub refused: u64,
    /// Records that moved.
    pub moves: u64,
}

/// One history.
pub struct History {
    dice: Dice,
    dir: tempfile::TempDir,
    service: Arc<Service>,
    clock: Arc<ManualClock>,
    office: Office,
    township: AreaId,
    parents: BTreeMap<AreaId, AreaId>,
    /// Areas that went into others.
    united: BTreeMap<AreaId, AreaId>,
    people: Vec<Person>,
    records: BTreeMap<RecordId, Known>,
    households: Vec<RecordId>,
    /// Those of the office that haven't split.
    whole: Vec<RecordId>,
    /// Where households lie.
    homes: BTreeMap<RecordId, AreaId>,
    taps: Vec<Arc<Tap>>,
    canaries: u64,
    seed: u64,
    /// What was done.
    pub done: Done,
}

type Outcome<T = ()> = Result<T, String>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl History {
    /// A township by a seed.
    pub fn new(seed: u64) -> Outcome<Self> {
        let dice = Dice::new(seed);
        let dir = tempfile::TempDir::new().map_err(text)?;
        let clock = Arc::new(ManualClock::at(START_MS));
        let storage = Arc::new(SqliteStorage::open(&dir.path().join("server.db")).map_err(text)?);
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
            parents,
            united: BTreeMap::new(),
            people: Vec::new(),
            records: BTreeMap::new(),
            households: Vec::new(),
            whole: Vec::new(),
            homes: BTreeMap::new(),
            taps: Vec::new(),
            canaries: 0,
            seed,
            done: Done::default(),
        };
        for _ in 0..history.dice.between(2, 5) {
            history.register()?;
        }
        for index in 0..history.dice.between(2, 4) as usize {
            history.enrol(index)?;
        }
        for _ in 0..2 * history.people.len() {
            history.give()?;
        }
        for index in 0..history.people.len() {
            history.sync(index)?;
        }
        Ok(history)
    }

    /// Runs it.
    pub fn run(&mut self) -> Outcome {
        for _ in 0..self.dice.between(12, 30) {
            self.clock.advance(60_000);
            match self.dice.below(100) {
                0..6 => self.register()?,
                6..36 => self.write()?,
                36..40 => self.trespass()?,
                40..50 => self.give()?,
                50..58 => self.end()?,
                58..66 => self.relocate()?,
                66..69 => self.rehang()?,
                69..72 => self.unite()?,
                72..76 => self.found()?,
                76..79 => self.split()?,
                _ => {
                    let index = self.dice.below(self.people.len() as u64) as usize;
                    self.sync(index)?;
                }
            }
        }
        // what was pushed by the last one reaches those before
        for _ in 0..2 {
            for index in 0..self.people.len() {
                self.sync(index)?;
            }
        }
        self.agree()
    }

    fn canary(&mut self) -> String {
        self.canaries += 1;
        format!("77{:07}{:05}77", self.seed % 10_000_000, self.canaries)
    }

    fn any_area(&mut self) -> AreaId {
        let areas: Vec<AreaId> = self.parents.keys().copied().collect();
        areas[self.dice.below(areas.len() as u64) as usize]
    }

    fn part(&self, record_type: &str, core: RecordId) -> Outcome<RecordId> {
        let part = Identity::part(record_type, "sensitive", core).derived_id(&self.service.tenant_key());
        part.ok_or_else(|| "a part has an id".to_owned())
    }

    fn note(&mut self, id: RecordId, record_type: &str, about: RecordId, canary: String, by: usize) {
        let fresh = || Known { record_type: record_type.to_owned(), about, canaries: Vec::new() };
        self.records.entry(id).or_insert_with(fresh).canaries.push((canary, by));
    }

    /// The office registers a household.
    fn register(&mut self) -> Outcome {
        let (id, area) = (RecordId(self.dice.bytes()), self.any_area());
        let (core, hidden) = (self.canary(), self.canary());
        let answers = vec![
            ("head_name".to_owned(), core.as_str().into()),
            ("household_no".to_owned(), format!("n{}", self.canaries).into()),
            ("status".to_owned(), "out".into()),
            ("phone".to_owned(), hidden.as_str().into()),
            (format!("member#{HEAD}/name"), "A".into()),
            (format!("member#{HEAD}/relation"), "head".into()),
            (format!("member#{SON}/name"), "B".into()),
            (format!("member#{SON}/relation"), "son".into()),
        ];
        let identity = Identity::of_type("household");
        self.office.write(&[FormInstance { id, identity, area, subject: None, answers }]).map_err(text)?;
        self.note(id, "household", id, core, usize::MAX);
        let part = self.part("household", id)?;
        self.note(part, "household.sensitive", id, hidden, usize::MAX);
        self.households.push(id);
        self.whole.push(id);
        self.homes.insert(id, area);
        Ok(())
    }

    fn enrol(&mut self, index: usize) -> Outcome {
        let person = UserId(self.dice.bytes());
        self.service.storage.put_users(&[user(person)]).map_err(text)?;
        let seed: [u8; 32] = self.dice.bytes();
        let key = SigningKey::from_bytes(&seed);
        let public_key = key.verifying_key().to_bytes();
        let code = self.service.invite(Actor::CommandLine, person, self.township).map_err(text)?;
        let proof = key.sign(&proof_message(&code, &public_key)).to_bytes();
        let enrolled = self.service.enrol(&EnrolmentRequest { code, public_key, proof }).map_err(text)?;
        let tenant_key = self.service.secrets.tenant_key;
        let enrolment = Enrolment {
            tenant: self.service.secrets.tenant,
            tenant_key,
            township: self.township,
            device: enrolled.id,
            user: person,
            user_name: String::new(),
            signing_seed: seed,
            server_url: "https://server.invalid".into(),
            server_identity: self.service.identity(),
            certificate: None,
        };
        let dir = self.dir.path().join(format!("phone-{index}"));
        let entropy = Arc::new(SeededEntropy::new(self.dice.seed()));
        let (phone, _) = Phone::open(&dir, self.clock.clone() as Arc<dyn Clock>, entropy).map_err(text)?;
        phone.store().enrol(&enrolment).map_err(text)?;
        let tap = Arc::new(Tap::default());
        let wire = Wire { service: self.service.clone(), tenant_key: TenantKey(tenant_key), tap: tap.clone() };
        phone.use_transport(Arc::new(wire));
        self.people.push(Person { user: person, dir, phone, grants: BTreeMap::new() });
        self.taps.push(tap);
        Ok(())
    }

    /// Somebody writes into what their phone shows, or makes a visit of a household there.
    fn write(&mut self) -> Outcome {
        let index = self.dice.below(self.people.len() as u64) as usize;
        let rows = self.people[index].phone.list(ListFilter {
            record_type: Some("household".into()),
            limit: 100,
            ..ListFilter::default()
        });
        let rows = rows.map_err(text)?;
        let Some(at) = self.dice.index(rows.len()) else { return Ok(()) };
        let household = rows[at].id;
        let (core, hidden) = (self.canary(), self.canary());
        let (visits, also_hidden) = (self.dice.chance(50), self.dice.chance(50));
        let phone = &self.people[index].phone;
        if visits {
            let draft = phone.start("visit", Some(household)).map_err(text)?;
            for (key, value) in [("visit_date", "2026-09-20"), ("result", "met"), ("remark", core.as_str())] {
                phone.answer_text(draft, key, value).map_err(text)?;
            }
            let visit = phone.finish_as(draft, &NewRecord::default()).map_err(text)?;
            self.note(visit, "visit", household, core, index);
            return Ok(());
        }
        let draft = phone.edit(household).map_err(text)?;
        phone.answer_text(draft, "remark", &core).map_err(text)?;
        if also_hidden {
            phone.answer_text(draft, "phone", &hidden).map_err(text)?;
        }
        phone.finish(draft).map_err(text)?;
        self.note(household, "household", household, core, index);
        if also_hidden {
            let part = self.part("household", household)?;
            self.note(part, "household.sensitive", household, hidden, index);
        }
        Ok(())
    }

    /// Somebody's phone writes into a household that it doesn't hold, as only another program would.
    fn trespass(&mut self) -> Outcome {
        let index = self.dice.below(self.people.len() as u64) as usize;
        let Some(at) = self.dice.index(self.households.len()) else { return Ok(()) };
        let household = self.households[at];
        let phone = &self.people[index].phone;
        if phone.store().row(household).map_err(text)?.is_some() {
            return Ok(());
        }
        let Some(stored) = self.service.storage.full_record(self.township, household).map_err(text)? else {
            return Ok(());
        };
        let area = self.any_area();
        let canary = self.canary();
        let document = PlannedDocument {
            // one that a split made has a key
            identity: stored.identity,
            id: household,
            area,
            subject: None,
            edits: vec![Edit::answer("remark", canary.as_str())],
        };
        let person = &self.people[index];
        person.phone.store().write(&[document], &ChangeNote::by(person.user)).map_err(text)?;
        self.note(household, "household", household, canary, index);
        Ok(())
    }

    /// Somebody gets a role for an area, or is paired with a household.
    fn give(&mut self) -> Outcome {
        let index = self.dice.below(self.people.len() as u64) as usize;
        let given = match self.dice.index(self.households.len()).filter(|_| self.dice.chance(60)) {
            Some(at) => {
                let household = self.households[at];
                Given { role: "helper", area: self.homes[&household], household: Some(household) }
            }
            None => {
                let role = AREA_ROLES[self.dice.below(AREA_ROLES.len() as u64) as usize];
                let area = if self.dice.chance(15) { self.township } else { self.any_area() };
                Given { role, area, household: None }
            }
        };
        let user = self.people[index].user;
        let new = NewGrant {
            user,
            role: given.role.to_owned(),
            area: given.area,
            household: given.household,
            until_ms: None,
            stand_in_for: None,
        };
        let before = self.service.storage.grants(user, 0).map_err(text)?.0;
        self.service.give(Actor::CommandLine, self.township, &new).map_err(text)?;
        let (_, log) = self.service.storage.grants(user, before.seq).map_err(text)?;
        if let Some((_, grant)) = log.last() {
            self.people[index].grants.insert(grant.entry.grant, given);
        }
        Ok(())
    }

    fn end(&mut self) -> Outcome {
        let index = self.dice.below(self.people.len() as u64) as usize;
        let held: Vec<u64> = self.people[index].grants.keys().copied().collect();
        let Some(at) = self.dice.index(held.len()) else { return Ok(()) };
        self.service.end_grant(Actor::CommandLine, self.people[index].user, held[at]).map_err(text)?;
        self.people[index].grants.remove(&held[at]);
        Ok(())
    }

    /// A household moves, with all about it.
    fn relocate(&mut self) -> Outcome {
        let Some(at) = self.dice.index(self.households.len()) else { return Ok(()) };
        let (record, area) = (self.households[at], self.any_area());
        let moved = Move::by_office(record, area, "2026-09-21");
        self.office.move_records(vec![moved]).map_err(text)?;
        self.homes.insert(record, area);
        self.done.moves += 1;
        Ok(())
    }

    /// A group comes under another village.
    fn rehang(&mut self) -> Outcome {
        let groups: Vec<AreaId> = self.parents.iter().filter(|(_, p)| **p != self.township).map(|(a, _)| *a).collect();
        let villages: Vec<AreaId> =
            self.parents.iter().filter(|(_, p)| **p == self.township).map(|(a, _)| *a).collect();
        let (Some(group), Some(village)) = (self.dice.index(groups.len()), self.dice.index(villages.len())) else {
            return Ok(());
        };
        self.parents.insert(groups[group], villages[village]);
        let entries = area_entries(self.township, &self.parents);
        let entry = entries.into_iter().find(|e| e.area == groups[group]).ok_or("the group is there")?;
        self.service.change_area(Actor::CommandLine, self.township, entry, "2026-09-22").map_err(text)
    }

    /// What a person may hold now, as far as this test knows.
    fn in_scope(&self, index: usize, id: RecordId, known: &Known) -> bool {
        self.people[index].grants.values().any(|given| {
            let reached = match given.household {
                Some(household) => household == id || household == known.about,
                None => self.lies_in(self.homes[&known.about], given.area),
            };
            reached && Roles::builtin().get(given.role).reads(&known.record_type)
        })
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

    /// A phone syncs, and everything that it got and keeps is looked through.
    fn sync(&mut self, index: usize) -> Outcome {
        self.taps[index].0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        let engine = self.people[index].phone.engine(options).map_err(text)?;
        let report = engine.sync(&Silent, &Cancel::default()).map_err(text)?;
        self.done.accepted += report.changes_acknowledged;
        self.done.refused += report.refused.values().sum::<u64>();
        self.take_in(index)?;
        self.learn(self.township)?;
        self.look_through(index)
    }

    /// What the server made of what was written: refused canaries belong nowhere.
    fn take_in(&mut self, index: usize) -> Outcome {
        for row in self.service.storage.quarantine(self.township, None, 1_000).map_err(text)? {
            let bytes = &row.change.bytes;
            for known in self.records.values_mut() {
                known.canaries.retain(|(canary, by)| *by != index || !holds(bytes, canary));
            }
        }
        self.records.retain(|_, known| !known.canaries.is_empty());
        Ok(())
    }

    fn look_through(&mut self, index: usize) -> Outcome {
        let came = self.taps[index].0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = crate::files::readable(&self.people[index].dir).map_err(text)?;
        let kept: BTreeSet<&[u8]> = kept.windows(16).filter(|w| w.starts_with(b"77") && w.ends_with(b"77")).collect();
        let came: BTreeSet<&[u8]> = came.windows(16).filter(|w| w.starts_with(b"77") && w.ends_with(b"77")).collect();
        let mut delivered = 0;
        for (id, known) in &self.records {
            let inside = self.in_scope(index, *id, known);
            // what it wrote itself goes with the record, once that is settled
            let held = self.people[index].phone.store().row(*id).map_err(text)?.is_some();
            for (canary, by) in &known.canaries {
                let stored = self.is_stored(*id, canary)?;
                let word = canary.as_bytes();
                if !inside && (*by != index || !held) && kept.contains(word) {
                    return Err(self.tell(index, "its files hold", canary, known));
                }
                if !inside && came.contains(word) {
                    return Err(self.tell(index, "it was sent", canary, known));
                }
                if inside && stored && !self.shows(index, *id, canary)? {
                    return Err(self.tell(index, "it lacks", canary, known));
                }
                delivered += u64::from(inside && stored);
            }
        }
        self.done.looks += 1;
        self.done.delivered += delivered;
        Ok(())
    }

    fn is_stored(&self, id: RecordId, canary: &str) -> Outcome<bool> {
        let record = self.service.storage.full_record(self.township, id).map_err(text)?;
        Ok(record.is_some_and(|r| r.changes.iter().any(|c| holds(&c.bytes, canary))))
    }

    fn shows(&self, index: usize, id: RecordId, canary: &str) -> Outcome<bool> {
        let record = self.people[index].phone.store().record(id).map_err(text)?;
        Ok(record.is_some_and(|r| r.changes().iter().any(|c| holds(&c.bytes, canary))))
    }

    fn tell(&self, index: usize, what: &str, canary: &str, known: &Known) -> String {
        let grants: Vec<_> = self.people[index].grants.values().collect();
        format!(
            "phone {index} with {grants:?}: {what} {canary} of a {} in {:?}",
            known.record_type, self.homes[&known.about]
        )
    }

    /// At the end each phone shows of each of its records what the server shows, byte for byte.
    fn agree(&self) -> Outcome {
        let filter = RecordFilter { limit: 1_000, ..RecordFilter::default() };
        for row in self.service.storage.list_records(self.township, &filter).map_err(text)? {
            for (index, person) in self.people.iter().enumerate() {
                // what it wrote into a record that isn't in its scope it may show, refused
                let Some(known) = self.records.get(&row.id).filter(|known| self.in_scope(index, row.id, known)) else {
                    continue;
                };
                let record = person.phone.store().record(row.id).map_err(text)?;
                if record.is_none_or(|record| record.view().json != row.projection.json) {
                    return Err(format!("phone {index} shows another {} than the server", known.record_type));
                }
            }
        }
        let verified = self.service.verify_figures(self.township).map_err(text)?;
        if verified.differing > 0 {
            return Err(format!("the figures are not those of the records: {:?}", verified.differences));
        }
        Ok(())
    }
}

fn holds(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|w| w == canary.as_bytes())
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
