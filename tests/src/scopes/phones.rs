//! Phones: how they are enrolled, whose they are, what goes over their wire, and clocks that are wrong by years.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use doorstep_core::client::Phone;
use doorstep_core::clock::{Clock, ManualClock, Millis, SeededEntropy};
use doorstep_core::id::UserId;
use doorstep_core::protocol::enrol::proof_message;
use doorstep_core::store::Enrolment;
use doorstep_core::sync::{Cancel, Silent, SyncOptions};
use doorstep_server::service::Refused;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::people::EnrolmentRequest;
use ed25519_dalek::{Signer, SigningKey};

use super::{DAY_MS, History, Outcome, Person, text, user};
use crate::tap::{Tap, Wire};

/// Phones in one history, at most.
const PHONES_MAX: usize = 7;
/// How long an invitation holds.
const INVITATION_MS: Millis = 7 * DAY_MS;
const YEAR_MS: i64 = 365 * DAY_MS as i64;

/// A phone.
pub(super) struct Handset {
    /// Whose: a place in the list of people.
    pub person: usize,
    pub dir: PathBuf,
    pub phone: Phone,
    pub tap: Arc<Tap>,
    clock: Arc<PhoneClock>,
}

/// A code that nobody has used yet.
pub(super) struct Invitation {
    code: String,
    person: usize,
    until_ms: Millis,
}

/// The server's clock, and how far the phone's is off.
struct PhoneClock {
    right: Arc<ManualClock>,
    off_ms: AtomicI64,
}

impl Clock for PhoneClock {
    fn now_ms(&self) -> Millis {
        self.right.now_ms().saturating_add_signed(self.off_ms.load(Ordering::Relaxed))
    }
}

impl History {
    pub(super) fn any_phone(&self) -> usize {
        self.dice.below(self.phones.len() as u64) as usize
    }

    /// A new person with a phone.
    pub(super) fn join(&mut self) -> Outcome {
        let id = UserId(self.dice.bytes());
        self.service.storage.put_users(&[user(id)]).map_err(text)?;
        self.people.push(Person { user: id, grants: std::collections::BTreeMap::new() });
        self.invite(self.people.len() - 1)?;
        self.redeem()
    }

    /// Somebody is invited to a further phone, or uses an invitation that they have.
    pub(super) fn further_phone(&mut self) -> Outcome {
        if self.invitations.is_empty() || self.dice.chance(30) {
            let person = self.dice.below(self.people.len() as u64) as usize;
            return self.invite(person);
        }
        self.redeem()
    }

    fn invite(&mut self, person: usize) -> Outcome {
        let code = self.service.invite(Actor::CommandLine, self.people[person].user, self.township).map_err(text)?;
        self.invitations.push(Invitation { code, person, until_ms: self.now_ms() + INVITATION_MS });
        Ok(())
    }

    /// The newest invitation is used: one that is over enrols nobody, and none does so twice.
    fn redeem(&mut self) -> Outcome {
        if self.phones.len() >= PHONES_MAX {
            return Ok(());
        }
        let Some(Invitation { code, person, until_ms }) = self.invitations.pop() else { return Ok(()) };
        let seed: [u8; 32] = self.dice.bytes();
        let asks = |seed: [u8; 32]| {
            let key = SigningKey::from_bytes(&seed);
            let public_key = key.verifying_key().to_bytes();
            let proof = key.sign(&proof_message(&code, &public_key)).to_bytes();
            self.service.enrol(&EnrolmentRequest { code: code.clone(), public_key, proof })
        };
        let is_over = until_ms <= self.now_ms();
        let device = match asks(seed) {
            Ok(device) if !is_over => device,
            Err(Refused::InvitationOver) if is_over => return Ok(()),
            answer => return Err(format!("an invitation (over: {is_over}) came to {answer:?}")),
        };
        match asks(self.dice.bytes()) {
            Err(Refused::InvitationUsed) => {}
            answer => return Err(format!("an invitation was used twice: {answer:?}")),
        }
        let tenant_key = self.service.secrets.tenant_key;
        let enrolment = Enrolment {
            tenant: self.service.secrets.tenant,
            tenant_key,
            township: self.township,
            device: device.id,
            user: self.people[person].user,
            user_name: String::new(),
            signing_seed: seed,
            server_url: "https://server.invalid".into(),
            server_identity: self.service.identity(),
            certificate: None,
        };
        let tap = Arc::new(Tap::default());
        tap.add(format!("{:?}", self.service.certificate(&device, "")).as_bytes());
        let dir = self.dir.path().join(format!("phone-{}", self.phones.len()));
        let clock = Arc::new(PhoneClock { right: self.clock.clone(), off_ms: AtomicI64::new(0) });
        let entropy = Arc::new(SeededEntropy::new(self.dice.seed()));
        let (phone, _) = Phone::open(&dir, clock.clone() as Arc<dyn Clock>, entropy).map_err(text)?;
        phone.store().enrol(&enrolment).map_err(text)?;
        phone.use_transport(Arc::new(Wire::to(&self.service, tap.clone())));
        self.say(format!("phone {} is person {person}'s", self.phones.len()));
        self.phones.push(Handset { person, dir, phone, tap, clock });
        Ok(())
    }

    /// A phone's clock is set wrong by years, or right again.
    pub(super) fn set_clock(&mut self) -> Outcome {
        let years = self.dice.between(1, 12) as i64;
        let off_ms = [0, years * YEAR_MS, -years * YEAR_MS][self.dice.below(3) as usize];
        self.say(format!("a phone's clock is off by {off_ms}"));
        self.phones[self.any_phone()].clock.off_ms.store(off_ms, Ordering::Relaxed);
        Ok(())
    }

    /// A phone syncs, and everything that it got and keeps is looked through.
    pub(super) fn sync(&mut self, index: usize) -> Outcome {
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        let engine = self.phones[index].phone.engine(options).map_err(text)?;
        let report = engine.sync(&Silent, &Cancel::default()).map_err(text)?;
        self.say(format!("phone {index} syncs: {:?} taken, {:?}", report.changes_acknowledged, report.refused));
        self.done.accepted += report.changes_acknowledged;
        self.done.refused += report.refused.values().sum::<u64>();
        self.learn()?;
        self.look_through(index)
    }
}
