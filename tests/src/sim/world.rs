//! The simulated township: who is there, one step after another, then peace.

use std::path::PathBuf;
use std::sync::Arc;

use doorstep_core::clock::{Clock, ManualClock, Millis, SeededEntropy};
use doorstep_core::fault;
use doorstep_core::id::{AreaId, Identity, RecordId, TenantKey, UserId};
use doorstep_core::protocol::enrol::proof_message;
use doorstep_core::protocol::{AreaEntry, GrantEntry, Position};
use doorstep_core::store::{Enrolment, StoreError};
use doorstep_core::sync::{Cancel, Silent, SyncError, SyncOptions, SyncReport};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::service::people::EnrolmentRequest;
use doorstep_server::storage::User;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::check;
use super::device::{Acted, Device, Owner};
use super::dice::Dice;
use super::hostile::Hostile;
use super::network::Network;
use super::outcome::{Failure, Outcome, count};
use super::server::Server;
use super::truth::{Doing, Finished};

/// When the simulated week begins, in milliseconds since 1970.
const START_MS: Millis = 1_790_000_000_000;
/// Rounds of syncs after the faults stopped, after which nothing may move any more.
const QUIET_ROUNDS: usize = 12;

/// Crash points that a sync passes; each gets its turn.
const POINTS: [&str; 13] = [
    "phone.before_request",
    "phone.before_statuses",
    "phone.after_statuses",
    "phone.before_delivery",
    "phone.after_delivery",
    "store.commit.before",
    "store.commit.after",
    "server.commit.before",
    "server.commit.after",
    "storage.commit.feed",
    "storage.commit.before",
    "sqlite.commit.before",
    "sqlite.commit.after",
];

/// Everything there is.
pub struct World<'a> {
    /// The workload's and the events' draws.
    pub dice: Dice,
    /// Where all files are.
    dir: TempDir,
    /// The network, with the server.
    pub network: Arc<Network>,
    /// The phones.
    pub devices: Vec<Device>,
    /// The township.
    pub township: AreaId,
    /// Its villages.
    pub villages: Vec<AreaId>,
    /// The campaign of the screenings.
    pub campaign: RecordId,
    /// The key of natural ids.
    pub tenant_key: TenantKey,
    /// Who writes at the office.
    pub office_user: UserId,
    /// A device that means harm.
    pub hostile: Hostile,
    /// Finished answers.
    pub finished: Vec<Finished>,
    /// What is counted.
    pub out: &'a mut Outcome,
    /// The server's clock.
    pub clock: Arc<ManualClock>,
    tokens: u64,
    trace: Sha256,
    verbose: bool,
    /// Rewinds so far.
    pub rewinds: u64,
}

/// A scratch folder, in memory where the machine has such a place.
fn scratch(seed: u64) -> std::io::Result<TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix(&format!("doorstep-sim-{seed}-")).tempdir_in(base)
}

fn area(area: AreaId, parent: Option<AreaId>, level: &str, code: &str, name: &str) -> AreaEntry {
    AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: code.to_owned(),
        name_zh: name.to_owned(),
        name_en: name.to_owned(),
    }
}

impl<'a> World<'a> {
    /// Plays a seed to its end.
    pub fn play(seed: u64, verbose: bool, out: &'a mut Outcome) -> Result<(), Failure> {
        let mut world = Self::new(seed, verbose, out)?;
        let result = world.live();
        world.close_books();
        result
    }

    fn new(seed: u64, verbose: bool, out: &'a mut Outcome) -> Result<Self, Failure> {
        let dice = Dice::new(seed);
        let dir = scratch(seed)?;
        let clock = Arc::new(ManualClock::at(START_MS));
        let server = Server::new(&dir.path().join("server"), clock.clone(), Arc::new(SeededEntropy::new(dice.seed())))?;
        let tenant_key = server.up()?.tenant_key();
        let network = Network::new(server, Dice::new(dice.seed()));
        let mut world = Self {
            township: AreaId(dice.bytes()),
            villages: vec![AreaId(dice.bytes()), AreaId(dice.bytes())],
            campaign: RecordId(dice.bytes()),
            office_user: UserId(dice.bytes()),
            hostile: Hostile::new(&dice),
            dice,
            dir,
            network,
            devices: Vec::new(),
            tenant_key,
            finished: Vec::new(),
            out,
            clock,
            tokens: 0,
            trace: Sha256::new(),
            verbose,
            rewinds: 0,
        };
        world.found()?;
        Ok(world)
    }

    /// Areas, people, grants, households, phones.
    fn found(&mut self) -> Result<(), Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let storage = &*service.storage;
        let mut areas = vec![area(self.township, None, "township", "", "township")];
        for (i, village) in self.villages.iter().enumerate() {
            areas.push(area(*village, Some(self.township), "village", &format!("0{i}"), &format!("village {i}")));
        }
        storage.put_areas(self.township, &areas)?;
        let phones = self.dice.between(3, 6) as usize;
        let mut owners = Vec::new();
        for i in 0..phones {
            // the first phone reads everything, the second one village; a person may have two phones
            let village = match i {
                0 => None,
                1 => Some(self.villages[0]),
                _ => self.dice.chance(60).then(|| self.villages[self.dice.below(2) as usize]),
            };
            owners.push(Owner { user: UserId(self.dice.bytes()), village });
        }
        let user = |id, name: &str| User { id, name: name.to_owned(), unit: String::new() };
        let mut users = vec![user(self.office_user, "office"), user(self.hostile.user, "intruder")];
        users.extend(owners.iter().map(|o| user(o.user, "helper")));
        storage.put_users(&users)?;
        for owner in &owners {
            let area = owner.village.unwrap_or(self.township);
            let grant = GrantEntry { grant: 0, role: "township_office".into(), area, subject: None, active: true };
            storage.append_grants(owner.user, &[grant.into()])?;
        }
        self.hostile.enrol(storage, self.township, self.villages[0])?;
        for owner in owners {
            self.enrol(owner)?;
        }
        for _ in 0..self.dice.between(5, 15) {
            self.register_household()?;
        }
        let heads = self.network.with(|s| s.server.up())?.storage.head(self.township)?.0.seq;
        self.note(&format!("{phones} phones, feed at {heads}"));
        Ok(())
    }

    /// Enrols a phone without HTTP.
    fn enrol(&mut self, owner: Owner) -> Result<(), Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let index = self.devices.len();
        let seed: [u8; 32] = self.dice.bytes();
        let key = SigningKey::from_bytes(&seed);
        let public_key = key.verifying_key().to_bytes();
        let code = service.invite(Actor::CommandLine, owner.user, self.township)?;
        let proof = key.sign(&proof_message(&code, &public_key)).to_bytes();
        let enrolled = service.enrol(&EnrolmentRequest { code, public_key, proof })?;
        let enrolment = Enrolment {
            tenant: service.secrets.tenant,
            tenant_key: service.secrets.tenant_key,
            township: self.township,
            device: enrolled.id,
            user: enrolled.user,
            user_name: "helper".into(),
            signing_seed: seed,
            server_url: "https://server.invalid".into(),
            server_identity: service.identity(),
            certificate: None,
        };
        let clock = Arc::new(ManualClock::at(START_MS));
        let entropy = Arc::new(SeededEntropy::new(self.dice.seed()));
        let dir = self.dir.path().join(format!("phone-{index}"));
        let device = Device::open(index, dir, owner, clock, entropy, self.network.clone())?;
        device.phone()?.store().enrol(&enrolment)?;
        self.devices.push(device);
        Ok(())
    }

    /// A folder for another phone.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The office registers a household.
    pub fn register_household(&mut self) -> Result<(), Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let village = self.villages[self.dice.below(2) as usize];
        let id = RecordId(self.dice.bytes());
        let answers = vec![
            ("head_name".to_owned(), self.token()),
            ("household_no".to_owned(), self.token()),
            ("phone".to_owned(), self.token()),
        ];
        let office = Office::start(&service, self.office_user, self.township)?;
        let identity = Identity::of_type("household");
        let instance = FormInstance { id, identity, area: village, subject: None, answers: answers.clone() };
        office.write(&[instance])?;
        for (key, value) in answers {
            let record = self.document("household", id, &key)?;
            self.finished.push(Finished {
                phone: usize::MAX,
                record,
                key,
                value,
                unique: true,
                seen: Default::default(),
                lost: false,
            });
        }
        count(&mut self.out.work, "households", 1);
        Ok(())
    }

    /// A value that no other answer has.
    pub fn token(&mut self) -> doorstep_core::record::Value {
        self.tokens += 1;
        format!("t{}", self.tokens).into()
    }

    /// A number that no other answer has.
    pub fn number(&mut self) -> doorstep_core::record::Value {
        self.tokens += 1;
        doorstep_core::record::Value::Int(1_000_000 + self.tokens as i64)
    }

    /// Writes something into the trace.
    pub fn note(&mut self, what: &str) {
        self.trace.update(what.as_bytes());
        self.trace.update(b"\n");
        if self.verbose {
            #[expect(clippy::print_stderr, reason = "asked for with --verbose")]
            {
                eprintln!("  {what}");
            }
        }
    }

    /// Counts a fault.
    pub fn fault(&mut self, name: &str) {
        count(&mut self.out.faults, name, 1);
    }

    fn live(&mut self) -> Result<(), Failure> {
        for i in 0..self.devices.len() {
            if self.dice.chance(80) {
                self.sync(i)?;
            }
        }
        self.network.with(|s| s.faulty = true);
        for step in 0..self.dice.between(30, 80) {
            let passed = self.dice.between(60_000, 4 * 3_600_000);
            self.clock.advance(passed);
            for device in &self.devices {
                device.clock.advance(passed);
            }
            self.note(&format!("step {step}"));
            self.step()?;
            if let Some(broken) = self.network.with(|s| s.broken.take()) {
                return Err(broken);
            }
        }
        self.quiet()?;
        check::all(self)
    }

    fn step(&mut self) -> Result<(), Failure> {
        if self.network.with(|s| s.server.service().is_none()) && self.dice.chance(70) {
            self.network.with(|s| s.server.start())?;
        }
        match self.dice.below(100) {
            0..30 => {
                let who = self.anyone();
                self.sync(who)
            }
            30..82 => self.work(),
            _ => self.event(),
        }
    }

    /// One of the phones.
    pub fn anyone(&self) -> usize {
        self.dice.below(self.devices.len() as u64) as usize
    }

    /// A phone syncs, perhaps for the last time before it or the server dies.
    pub fn sync(&mut self, who: usize) -> Result<(), Failure> {
        let faulty = self.network.with(|s| s.faulty);
        if faulty && self.dice.chance(30) {
            match self.dice.below(3) {
                0 => fault::arm(Some(1 + self.dice.below(80))),
                1 => fault::arm(Some(1 + self.dice.below(12))),
                _ => fault::arm_at(self.dice.pick(&POINTS).copied()),
            }
        }
        let full = faulty && self.dice.chance(5);
        let server_full = faulty && self.dice.chance(8);
        let mut report = SyncReport::default();
        let read = self.devices[who].phone()?.store().sync_state()?.feed;
        let off_chain = self.is_off_chain(read)?;
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        fault::limit_pages("phone", full.then(|| self.dice.below(3) as u32));
        fault::limit_pages("server", server_full.then(|| self.dice.below(3) as u32));
        let acted = self.devices[who].act(&Doing::Nothing, |phone| {
            Ok(phone.engine(options)?.sync_into(&mut report, &Silent, &Cancel::default()))
        });
        fault::limit_pages("phone", None);
        fault::limit_pages("server", None);
        fault::arm(None);
        let ended = match acted? {
            Acted::Done(Ok(())) => {
                // it may have brought back by chance what makes the same chain again
                if off_chain && !report.rewound && self.is_off_chain(read)? {
                    return Failure::err(
                        "I9",
                        format!("phone {who} synced without noticing that the server was rewound"),
                    );
                }
                "ok".to_owned()
            }
            Acted::Done(Err(SyncError::Store(StoreError::Full))) if full => {
                self.fault("phone disk full");
                "full".to_owned()
            }
            Acted::Done(Err(error)) => self.sync_failed(who, &error)?,
            Acted::Refused(error) => return Failure::err("unexpected error", format!("phone {who}: {error}")),
            Acted::Died(point) => {
                count(&mut self.out.crashes, point, 1);
                self.fault("phone crash");
                format!("died at {point}")
            }
        };
        count(&mut self.out.work, "syncs", 1);
        count(&mut self.out.states, "made anew", report.remade);
        count(&mut self.out.states, "brought back", report.brought_back);
        count(&mut self.out.states, "rewound noticed", u64::from(report.rewound));
        self.note(&format!("phone {who} syncs: {ended}; {report:?}"));
        if !faulty {
            self.movement(&report, &ended);
        }
        Ok(())
    }

    /// A sync may fail on its way, and in no other manner.
    fn sync_failed(&mut self, who: usize, error: &SyncError) -> Result<String, Failure> {
        match error {
            SyncError::Transport(error) => {
                let internal = self.network.with(|s| s.internal.take());
                if let Some(internal) = internal {
                    return Failure::err(
                        "unexpected error",
                        format!("the server answered phone {who} with {internal}"),
                    );
                }
                Ok(format!("{error}"))
            }
            SyncError::Endless => Failure::err("L", format!("phone {who}: a sync has no end")),
            error => {
                Err(Failure::broken("unexpected error", format!("phone {who}: {}", Failure::unexpected(error).what)))
            }
        }
    }

    /// True when the server doesn't know this point of the feed.
    fn is_off_chain(&self, feed: Option<Position>) -> Result<bool, Failure> {
        let Some(service) = self.network.with(|s| s.server.service().cloned()) else { return Ok(false) };
        let Some(feed) = feed else { return Ok(false) };
        let head = service.storage.head(self.township)?.0;
        Ok(feed.seq > head.seq || !service.storage.is_on_chain(self.township, feed)?)
    }

    fn movement(&mut self, report: &SyncReport, ended: &str) {
        let moved = report.changes_sent + report.changes_received + report.remade + report.brought_back;
        if moved > 0 || report.rewound || ended != "ok" {
            self.out.states.insert("moving".into(), 1);
        }
    }

    /// The faults stop; everybody syncs until nothing moves.
    fn quiet(&mut self) -> Result<(), Failure> {
        self.note("quiet");
        self.network.with(|s| {
            s.faulty = false;
            s.forget_late();
            s.server.start()
        })?;
        self.network.with(|s| s.server.open_reads())?;
        for _ in 0..QUIET_ROUNDS {
            self.out.states.remove("moving");
            for who in 0..self.devices.len() {
                self.sync(who)?;
            }
            if let Some(broken) = self.network.with(|s| s.broken.take()) {
                return Err(broken);
            }
            if self.out.states.remove("moving").is_none() {
                return Ok(());
            }
        }
        Failure::err("L", format!("after {QUIET_ROUNDS} rounds without faults something still moves"))
    }

    /// What network and server counted, and the digest of all that happened.
    fn close_books(&mut self) {
        let (faults, crashes, counts) = self.network.with(|s| (s.faults.clone(), s.crashes.clone(), s.server.counts()));
        for (name, n) in faults {
            count(&mut self.out.faults, &name, n);
        }
        for (point, n) in crashes {
            count(&mut self.out.crashes, &point, n);
        }
        for (name, n) in counts {
            count(&mut self.out.states, &name, n);
        }
        let now = self.clock.now_ms();
        self.note(&format!("{now} {:?}", self.out.states));
        let digest = self.trace.clone().finalize();
        self.out.digest = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    }
}
