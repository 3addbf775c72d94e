//! An enrolled device that means harm: hostile bytes, other people's names, other devices' authorship.

use std::collections::BTreeMap;

use doorstep_core::fault;
use doorstep_core::id::{AreaId, DeviceId, Identity, RecordId, UserId, branch_actor};
use doorstep_core::protocol::records::{restore_change, strip_change};
use doorstep_core::protocol::{
    Batch, BatchHeader, GrantEntry, Hello, RecordBody, RecordFrame, ReplyDecoder, ReplyFrame, State, Upload,
    UploadKind, WireChange, stream,
};
use doorstep_core::record::{Author, ChangeNote, Edit, RawChange, Record};
use doorstep_core::sync::TransportError;
use doorstep_server::service::Refused;
use doorstep_server::storage::{Device as Enrolled, Known, Storage, TownshipId};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::dice::Dice;
use super::outcome::{Failure, count};
use super::world::World;

/// The word in every value that must never get into a record.
pub const EVIL: &str = "evil";

/// The device.
pub struct Hostile {
    /// Its person.
    pub user: UserId,
    device: DeviceId,
    seed: [u8; 32],
    counter: u64,
    made: u64,
}

/// What a hostile upload holds, change by change, with the states that may come back; none: any.
struct Attack {
    name: &'static str,
    frames: Vec<RecordFrame>,
    wanted: Vec<Vec<State>>,
    good_signature: bool,
}

impl Hostile {
    /// A device before its enrolment.
    pub fn new(dice: &Dice) -> Self {
        let (user, device) = (UserId(dice.bytes()), DeviceId(dice.bytes()));
        Self { user, device, seed: dice.bytes(), counter: 0, made: 0 }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.seed)
    }

    fn public_key(&self) -> [u8; 32] {
        self.key().verifying_key().to_bytes()
    }

    /// Enrols it as any other, with rights in one village.
    pub fn enrol(&self, storage: &dyn Storage, township: TownshipId, village: AreaId) -> Result<(), Failure> {
        let entry = GrantEntry { grant: 0, role: "township_office".into(), area: village, subject: None, active: true };
        storage.append_grants(self.user, &[entry.into()])?;
        storage.put_device(&Enrolled {
            id: self.device,
            user: self.user,
            township,
            public_key: self.public_key(),
            enrolled_ms: 0,
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: Known::default(),
        })?;
        Ok(())
    }
}

fn frame(id: RecordId, identity: &Identity, world: &World<'_>, changes: &[RawChange]) -> RecordFrame {
    RecordFrame {
        id,
        identity: identity.clone(),
        incarnation: 0,
        area: world.villages[0],
        subject: None,
        body: RecordBody::Changes(changes.iter().map(|c| WireChange::new(c.hash, c.bytes.clone())).collect()),
    }
}

impl World<'_> {
    /// The hostile device uploads something. The good change in it must be taken, the bad ones must not, and the rest of
    /// the world goes on.
    pub fn attack(&mut self) -> Result<(), Failure> {
        let Some(attack) = self.draw_attack()? else { return Ok(()) };
        let name = attack.name;
        let answer = self.upload(&attack)?;
        self.fault("hostile upload");
        self.note(&format!("hostile: {name}: {answer:?}"));
        let Some(states) = answer else { return Ok(()) };
        if !attack.good_signature {
            return Failure::err("I7", "a batch with a wrong signature was taken");
        }
        for (index, (state, wanted)) in states.iter().zip(&attack.wanted).enumerate() {
            if !wanted.is_empty() && !wanted.contains(state) {
                let invariant = if index == 0 { "I11" } else { "I7" };
                return Failure::err(invariant, format!("hostile upload ({name}): change {index} is {state:?}"));
            }
        }
        if states.len() != attack.wanted.len() {
            return Failure::err("I11", format!("hostile upload ({name}): {} states", states.len()));
        }
        Ok(())
    }

    fn draw_attack(&mut self) -> Result<Option<Attack>, Failure> {
        use State::{Equivocation, Known, Quarantined, Stored, Waiting};
        let refused = vec![Quarantined, Equivocation];
        let good = self.good_visit()?;
        let rows = self.server_rows(Some("household"))?;
        let Some(row) = self.dice.pick(&rows).cloned() else { return Ok(None) };
        let Some(record) = self.server_record(row.id)? else { return Ok(None) };
        let identity = record.identity().clone();
        let own = branch_actor(&self.hostile.public_key(), 0);
        let victim = self.anyone();
        let mut good_signature = true;
        let (name, changes, wanted): (_, Vec<RawChange>, Vec<Vec<State>>) = match self.dice.below(8) {
            0 => {
                let other = self.victim_actor(victim)?;
                let change = self.evil(&record, other, self.hostile.user)?;
                ("foreign author", vec![change], vec![refused])
            }
            1 => {
                let change = self.evil(&record, own, self.devices[victim].user)?;
                ("foreign user", vec![change], vec![refused])
            }
            2 => {
                let change = self.plain(&record, own)?;
                let body = strip_change(&change.bytes).unwrap_or_default();
                let short = body.len() - self.dice.between(1, 20) as usize;
                let (hash, bytes) = restore_change(&body[..short]);
                ("cut change", vec![RawChange { hash, bytes }], vec![refused])
            }
            3 => {
                let mut raw = vec![0; self.dice.between(1, 300) as usize];
                raw.fill_with(|| self.dice.below(256) as u8);
                let (hash, bytes) = restore_change(&raw);
                ("noise", vec![RawChange { hash, bytes }], vec![refused])
            }
            4 => {
                let mut later = record.clone();
                let first = Self::change(&mut later, own, self.hostile.user, "group", "g1")?;
                let second = Self::change(&mut later, own, self.hostile.user, "group", "g2")?;
                let _ = first;
                ("missing dependency", vec![second], vec![vec![Waiting, Quarantined, Equivocation]])
            }
            5 => {
                let one = self.plain(&record, own)?;
                let two = self.plain(&record, own)?;
                ("equivocation", vec![one, two], vec![vec![Stored, Equivocation, Quarantined], refused])
            }
            6 => {
                let rows = self.server_rows(Some("household"))?;
                let elsewhere: Vec<_> = rows.into_iter().filter(|row| row.area == self.villages[1]).collect();
                let Some(row) = self.dice.pick(&elsewhere).cloned() else { return Ok(None) };
                let Some(record) = self.server_record(row.id)? else { return Ok(None) };
                let change = self.plain(&record, own)?;
                let frames = vec![good, frame(row.id, record.identity(), self, &[change])];
                let wanted = vec![vec![Stored, Known], refused];
                return Ok(Some(Attack { name: "out of scope", frames, wanted, good_signature }));
            }
            _ => {
                good_signature = false;
                ("wrong signature", vec![self.plain(&record, own)?], vec![vec![]])
            }
        };
        let frames = vec![good, frame(row.id, &identity, self, &changes)];
        let wanted = [vec![vec![Stored, Known]], wanted].concat();
        Ok(Some(Attack { name, frames, wanted, good_signature }))
    }

    fn victim_actor(&self, victim: usize) -> Result<doorstep_core::id::ActorId, Failure> {
        let store = self.devices[victim].phone()?.store();
        let enrolment = store.enrolment()?.ok_or_else(|| Failure::broken("simulation", "a phone isn't enrolled"))?;
        let key = SigningKey::from_bytes(&enrolment.signing_seed).verifying_key().to_bytes();
        Ok(branch_actor(&key, store.sync_state()?.branch))
    }

    fn change(
        record: &mut Record,
        actor: doorstep_core::id::ActorId,
        user: UserId,
        key: &str,
        value: &str,
    ) -> Result<RawChange, Failure> {
        let author = Author { actor, note: ChangeNote::by(user), claimed_s: 1 };
        let heads = record.heads();
        let made = record.edit(&heads, &author, &[Edit::answer(key, value)])?;
        made.ok_or_else(|| Failure::broken("simulation", "a hostile change is empty"))
    }

    fn word(&mut self, word: &str) -> String {
        self.hostile.made += 1;
        format!("{word} {}", self.hostile.made)
    }

    fn evil(&mut self, record: &Record, actor: doorstep_core::id::ActorId, user: UserId) -> Result<RawChange, Failure> {
        let value = self.word(EVIL);
        Self::change(&mut record.clone(), actor, user, "group", &value)
    }

    /// A change that would be right by itself; only hostile devices write "group".
    fn plain(&mut self, record: &Record, actor: doorstep_core::id::ActorId) -> Result<RawChange, Failure> {
        let value = self.word("group");
        Self::change(&mut record.clone(), actor, self.hostile.user, "group", &value)
    }

    fn good_visit(&mut self) -> Result<RecordFrame, Failure> {
        let identity = Identity::of_type("visit");
        let mut record = Record::new(identity.clone());
        let own = branch_actor(&self.hostile.public_key(), 0);
        let value = self.word("good");
        let change = Self::change(&mut record, own, self.hostile.user, "remark", &value)?;
        Ok(frame(RecordId(self.dice.bytes()), &identity, self, &[change]))
    }

    /// Sends the upload; the states that came back, or none if the request was refused or the server died.
    fn upload(&mut self, attack: &Attack) -> Result<Option<Vec<State>>, Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let branch = service.storage.branch(self.hostile.device, 0)?;
        let header = BatchHeader {
            tenant: service.secrets.tenant,
            device: self.hostile.device,
            branch: 0,
            number: branch.last + 1,
            previous: branch.last_hash,
        };
        let mut batch = Batch::sign(header, attack.frames.clone(), &self.hostile.key());
        if !attack.good_signature {
            batch.signature[self.dice.below(64) as usize] ^= 1;
        }
        let bytes = stream::compress(&batch.encode()?)?;
        drop(service);
        self.hostile.counter += 1;
        let upload = Upload {
            kind: UploadKind::Batch,
            number: batch.header.number,
            digest: Sha256::digest(&bytes).into(),
            total: bytes.len() as u32,
            offset: 0,
        };
        let (tenant, device) = (batch.header.tenant, self.hostile.device);
        let hello = Hello { upload: Some(upload), ..Hello::first(tenant, device, self.hostile.counter) };
        let mut request = hello.encode_signed(&self.hostile.key());
        request.extend_from_slice(&bytes);
        if self.dice.chance(20) {
            fault::arm(Some(self.dice.between(1, 6)));
        }
        let answered = self.network.with(|s| {
            s.on_server(|service| {
                let signed = Hello::decode(&request)?.ok_or(Refused::Busy)?;
                let at = signed.length;
                let mut reply = service.admit(signed)?.run(&request[at..])?;
                let mut bytes = Vec::new();
                while let Some(chunk) = reply.next_chunk()? {
                    bytes.extend(chunk);
                }
                Ok(bytes)
            })
        });
        fault::arm(None);
        let bytes = match answered {
            Ok(bytes) => bytes,
            Err(TransportError::Refused { status, code, .. }) if status < 500 => {
                count(&mut self.out.states, &format!("refused whole: {code}"), 1);
                return if attack.good_signature {
                    Failure::err("I11", format!("a batch with one bad change was refused whole: {code}"))
                } else {
                    Ok(None)
                };
            }
            Err(_) => return Ok(None),
        };
        self.states(&bytes)
    }

    fn states(&self, reply: &[u8]) -> Result<Option<Vec<State>>, Failure> {
        let mut decoder = ReplyDecoder::new(self.tenant_key.clone())?;
        let mut by_batch: BTreeMap<u64, Vec<State>> = BTreeMap::new();
        for frame in decoder.push(reply)? {
            if let ReplyFrame::Statuses { number, outcomes, .. } = frame {
                by_batch.insert(number, outcomes.into_iter().map(|o| o.state).collect());
            }
        }
        Ok(by_batch.into_values().next())
    }
}
