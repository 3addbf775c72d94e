//! Users, devices and invitations.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use doorstep_core::clock::{Millis, random};
use doorstep_core::id::{Chain, DeviceId, UserId};
use doorstep_core::protocol::GrantLog;
use doorstep_core::protocol::enrol::{Certificate, EnrolAgainBody, SignedCertificate, normal_code, proof_message};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::attempts;
use super::audit::{Act, Action, Actor};
use super::{Refused, Service};
use crate::storage::chain::Links;
use crate::storage::{Device, Grant, Known, READS_CLOSED, StorageError, TownshipId, User, Write};

/// How long an invitation holds.
const INVITATION_MS: Millis = 7 * 24 * 3600 * 1000;

/// What a phone sends to be enrolled.
#[derive(Debug, Clone)]
pub struct EnrolmentRequest {
    /// The invitation's code as typed or scanned.
    pub code: String,
    /// The phone's Ed25519 public key.
    pub public_key: [u8; 32],
    /// The key's signature over `enrol::proof_message`: the sender holds the key.
    pub proof: [u8; 64],
}

fn code_hash(code: &str) -> [u8; 32] {
    Sha256::digest([b"doorstep/invitation/1".as_slice(), normal_code(code).as_bytes()].concat()).into()
}

impl Service {
    /// Makes a one-time invitation: 128 random bits as 26 letters and digits, in groups of five.
    pub fn invite(&self, actor: Actor, user: UserId, township: TownshipId) -> Result<String, StorageError> {
        let (code, invitation) = self.invitation_for(user, township);
        self.act(actor, Act::new(Action::DeviceInvited).in_township(township).user(user), [invitation])?;
        Ok(code)
    }

    /// A code, and what makes it an invitation.
    pub(super) fn invitation_for(&self, user: UserId, township: TownshipId) -> (String, Write) {
        let secret: [u8; 16] = random(&*self.entropy);
        let code = BASE32_NOPAD.encode(&secret);
        let until_ms = self.invitation_end_ms();
        let invitation = Write::Invitation { secret_hash: code_hash(&code), user, township, until_ms };
        let groups: Vec<String> = code.as_bytes().chunks(5).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        (groups.join("-"), invitation)
    }

    /// Until when an invitation holds that is made now.
    pub fn invitation_end_ms(&self) -> Millis {
        self.clock.now_ms() + INVITATION_MS
    }

    /// Enrols a phone with an invitation; wrong codes count for the address that they come from.
    pub fn enrol_from(self: &Arc<Self>, address: IpAddr, request: &EnrolmentRequest) -> Result<Device, Refused> {
        if !self.attempts.may_try(address, self.clock.now_ms()) {
            return Err(Refused::TooManyTries { retry_after_s: attempts::WAIT_S });
        }
        let enrolled = self.enrol(request);
        if matches!(enrolled, Err(Refused::InvitationUnknown)) {
            self.attempts.was_wrong(address, self.clock.now_ms());
        }
        enrolled
    }

    /// Enrols a phone with an invitation.
    pub fn enrol(self: &Arc<Self>, request: &EnrolmentRequest) -> Result<Device, Refused> {
        let key = VerifyingKey::from_bytes(&request.public_key).map_err(|_| Refused::Signature)?;
        let message = proof_message(&request.code, &request.public_key);
        key.verify_strict(&message, &Signature::from_bytes(&request.proof)).map_err(|_| Refused::Signature)?;
        let now_ms = self.clock.now_ms();
        let device = Device {
            id: DeviceId(random(&*self.entropy)),
            user: UserId([0; 16]),
            township: doorstep_core::id::AreaId([0; 16]),
            public_key: request.public_key,
            enrolled_ms: now_ms,
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: Known::default(),
        };
        let entry = |enrolled: &Device| {
            let act = Act::new(Action::DeviceEnrolled).in_township(enrolled.township);
            act.device(enrolled.id).user(enrolled.user).entry(Actor::Device(enrolled.id), now_ms)
        };
        match self.storage.redeem_invitation(code_hash(&request.code), &device, now_ms, &entry)? {
            Some(enrolled) => Ok(enrolled),
            None => Err(self.invitation_refused(&request.code, now_ms)?),
        }
    }

    /// Why a code enrols nobody. Only who knows the whole code learns that it was used or is over.
    fn invitation_refused(&self, code: &str, now_ms: Millis) -> Result<Refused, StorageError> {
        Ok(match self.storage.invitation(code_hash(code))? {
            None => Refused::InvitationUnknown,
            Some(known) if known.used => Refused::InvitationUsed,
            Some(known) if known.until_ms <= now_ms => Refused::InvitationOver,
            // it was used by another request in this moment
            Some(_) => Refused::InvitationUsed,
        })
    }

    /// The server's word for an enrolment.
    pub fn certificate(&self, device: &Device, user_name: &str) -> Option<SignedCertificate> {
        let certificate = Certificate {
            tenant: self.secrets.tenant,
            device: device.id,
            user: device.user,
            user_name: user_name.to_owned(),
            township: device.township,
            public_key: HEXLOWER.encode(&device.public_key),
            enrolled_ms: device.enrolled_ms,
        };
        certificate.sign(&SigningKey::from_bytes(&self.secrets.identity_seed))
    }

    /// Takes back a phone, and grants of its user, that this database has forgotten, on the server's own word.
    pub fn enrol_again(&self, shown: &EnrolAgainBody) -> Result<(), Refused> {
        let identity = SigningKey::from_bytes(&self.secrets.identity_seed).verifying_key();
        let certificate = shown.certificate.verified(&identity).filter(|c| c.tenant == self.secrets.tenant);
        let certificate = certificate.ok_or(Refused::Signature)?;
        let (user, device) = (certificate.user, certificate.device);
        match self.storage.device(device)? {
            Some(device) if device.revoked => return Err(Refused::Revoked),
            Some(_) => {}
            None => self.take_device_back(certificate)?,
        }
        match &shown.grants {
            Some(text) => self.take_grants_back(device, user, &text.log()?),
            None => Ok(()),
        }
    }

    /// Appends what a user's log lacks of `log`. The chain after its last entry is this server's word for all of it. A log
    /// that went on otherwise since stands: an administrator has given or ended grants after the restore.
    fn take_grants_back(&self, device: DeviceId, user: UserId, log: &GrantLog) -> Result<(), Refused> {
        let links = Links::new(&self.secrets.chain_key);
        let chain = log.entries.iter().fold(Chain::default(), |chain, entry| links.grant(chain, user, entry));
        if chain != log.chain {
            return Err(Refused::Signature);
        }
        let (head, known) = self.storage.grants(user, 0)?;
        let lost = log.entries.get(known.len()..).unwrap_or_default();
        let same = known.iter().zip(&log.entries).all(|((_, ours), theirs)| ours.entry == *theirs);
        if lost.is_empty() || !same {
            return Ok(());
        }
        let lost: Vec<Grant> = lost.iter().cloned().map(Grant::from).collect();
        let entries = lost.len();
        let act = Act::new(Action::GrantGiven).device(device).user(user).with("brought_back", entries);
        self.act(Actor::Device(device), act, [Write::Grants(user, lost)])?;
        tracing::warn!(%user, after = head.seq, entries, "a phone brought back grants that this database had forgotten");
        Ok(())
    }

    /// That a signed phone is unknown means that the database is older than the enrolment: reading closes until an
    /// administrator has looked through the phones.
    fn take_device_back(&self, certificate: Certificate) -> Result<(), Refused> {
        let public_key = HEXLOWER.decode(certificate.public_key.as_bytes()).ok().and_then(|k| k.try_into().ok());
        let device = Device {
            id: certificate.device,
            user: certificate.user,
            township: certificate.township,
            public_key: public_key.ok_or(Refused::Signature)?,
            enrolled_ms: certificate.enrolled_ms,
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: Known::default(),
        };
        let act = Act::new(Action::DeviceReturned).in_township(device.township).device(device.id).user(device.user);
        let mut writes = vec![Write::Setting(READS_CLOSED.to_owned(), "1".to_owned()), Write::Device(device.clone())];
        if !self.storage.users()?.iter().any(|u| u.id == certificate.user) {
            let user = User { id: certificate.user, name: certificate.user_name, unit: String::new() };
            writes.push(Write::Users(vec![user]));
        }
        self.act(Actor::Device(device.id), act, writes)?;
        tracing::warn!(device = %device.id, "a phone showed an enrolment that this database has forgotten; reading is closed");
        Ok(())
    }

    /// The server's public identity, which phones pin.
    pub fn identity(&self) -> [u8; 32] {
        self.identity_key().verifying_key().to_bytes()
    }

    /// The key behind [`Service::identity`]: phones also seal to it what only this server shall read.
    pub(super) fn identity_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.secrets.identity_seed)
    }
}
