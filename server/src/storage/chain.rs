//! The keyed chains of feeds and grant logs: opaque to phones, so that nobody can forge a position.

use doorstep_core::id::{AreaId, Chain, ChangeHash, Incarnation, RecordId, UserId, first16, keyed};
use doorstep_core::protocol::{GrantEntry, Writer};
use hmac::Mac;
use sha2::{Digest, Sha256};

use super::audit::AuditEntry;
use super::forms::FormChange;

/// The kind of a feed entry that is a change.
pub const KIND_CHANGE: u8 = 1;

/// The kind of a feed entry that says that a record lies elsewhere.
pub const KIND_MOVE: u8 = 2;

/// The kind of a feed entry that was a change and whose content was erased: only number, chain and hash are left.
pub const KIND_ERASED: u8 = 3;

/// Makes the links of a server's chains.
#[derive(Clone)]
pub struct Links {
    feed: hmac::Hmac<sha2::Sha256>,
    grant: hmac::Hmac<sha2::Sha256>,
    form: hmac::Hmac<sha2::Sha256>,
    audit: hmac::Hmac<sha2::Sha256>,
}

impl Links {
    /// With the tenant's chain key.
    pub fn new(chain_key: &[u8; 32]) -> Self {
        let link = |purpose| keyed(chain_key, purpose);
        Self {
            feed: link("doorstep/feed/1"),
            grant: link("doorstep/grant/1"),
            form: link("doorstep/form/1"),
            audit: link("doorstep/audit/1"),
        }
    }

    /// The chain after a change.
    pub fn change(&self, previous: Chain, record: RecordId, incarnation: Incarnation, hash: &ChangeHash) -> Chain {
        self.entry(previous, KIND_CHANGE, record, incarnation, hash)
    }

    /// The entry of a move, which stands in the place of a change's hash, and the chain after it.
    pub fn moved(
        &self,
        previous: Chain,
        record: RecordId,
        incarnation: Incarnation,
        to: AreaId,
    ) -> (ChangeHash, Chain) {
        // the chain before makes each move's entry another one
        let hash = Sha256::new_with_prefix(b"doorstep/move/1").chain_update(previous.0).chain_update(record.0);
        let hash = ChangeHash(hash.chain_update(to.0).finalize().into());
        (hash, self.entry(previous, KIND_MOVE, record, incarnation, &hash))
    }

    fn entry(&self, previous: Chain, kind: u8, record: RecordId, incarnation: Incarnation, hash: &ChangeHash) -> Chain {
        let mut mac = self.feed.clone();
        mac.update(&previous.0);
        mac.update(&[kind]);
        mac.update(&record.0);
        mac.update(&incarnation.to_be_bytes());
        mac.update(&hash.0);
        Chain(first16(&mac.finalize().into_bytes()))
    }

    /// The chain after an entry of the log of forms.
    pub fn form(&self, previous: Chain, change: &FormChange) -> Chain {
        let mut w = Writer::new();
        w.text(&change.name);
        w.number(u64::from(change.version));
        w.raw(&change.hash);
        w.byte(u8::from(change.retired));
        let mut mac = self.form.clone();
        mac.update(&previous.0);
        mac.update(&w.0);
        Chain(first16(&mac.finalize().into_bytes()))
    }

    /// The chain after an entry of a user's grants.
    pub fn grant(&self, previous: Chain, user: UserId, entry: &GrantEntry) -> Chain {
        let mut w = Writer::new();
        w.number(entry.grant);
        w.text(&entry.role);
        w.raw(&entry.area.0);
        w.optional(entry.subject, |w, s| w.raw(&s.0));
        w.byte(u8::from(entry.active));
        let mut mac = self.grant.clone();
        mac.update(&previous.0);
        mac.update(&user.0);
        mac.update(&w.0);
        Chain(first16(&mac.finalize().into_bytes()))
    }

    /// The chain after an entry of the audit log.
    pub fn audit(&self, previous: Chain, entry: &AuditEntry) -> Chain {
        let mut w = Writer::new();
        w.number(entry.at_ms);
        w.text(&entry.actor);
        w.text(&entry.action);
        w.optional(entry.township, |w, t| w.raw(&t.0));
        w.text(&entry.subjects);
        w.text(&entry.reason);
        w.text(&entry.details);
        let mut mac = self.audit.clone();
        mac.update(&previous.0);
        mac.update(&w.0);
        Chain(first16(&mac.finalize().into_bytes()))
    }
}
