//! Ids: 16-byte newtypes, change hashes, and how derived ids are made.
//!
//! Every derivation names its purpose first ("doorstep/…/1") and prefixes each variable part with its length, so that no
//! two purposes and no two inputs can give the same bytes. They are part of the wire format: see docs/protocol.md.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A text that isn't an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {expected} hexadecimal digits")]
pub struct ParseIdError {
    /// How many digits an id of this kind has.
    pub expected: usize,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { expected: $len * 2 };
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| error.clone())?;
                Self::from_slice(&bytes).ok_or(error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_id!(/// One organisation's data, with keys of its own.
    TenantId, 16);
byte_id!(/// An area of the area tree (province to group): identity is this id; codes and names have periods.
    AreaId, 16);
byte_id!(/// A person who uses the system.
    UserId, 16);
byte_id!(/// An enrolled device: a phone, or one process start of the server.
    DeviceId, 16);
byte_id!(/// A record.
    RecordId, 16);
byte_id!(/// The author of changes inside a document: one device on one branch.
    ActorId, 16);
byte_id!(/// SHA-256 of a change, as automerge defines it.
    ChangeHash, 32);
byte_id!(/// One link of a keyed chain: opaque to whoever lacks the server's key.
    Chain, 16);
byte_id!(/// A message authentication code.
    MacTag, 16);

impl AreaId {
    /// No area: where a record lies that has left a device's scope.
    pub const NOWHERE: Self = Self([0; 16]);
}

/// How often a record was re-rooted by the server; 0 at first.
pub type Incarnation = u32;

/// What a record is: its type and its natural key.
///
/// With an empty key the record's id is random. With a key (16-byte ids that the server issued, such as campaign and
/// household) the id is derived, so that two phones that never met make the same record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The record type, for example `visit` or `household.sensitive`: `[a-z][a-z0-9_.]*`, at most 64 bytes.
    pub record_type: String,
    /// The parts of the natural key, at most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<RecordId>,
}

impl Identity {
    /// A record without natural key.
    pub fn of_type(record_type: &str) -> Self {
        Self { record_type: record_type.to_owned(), key: Vec::new() }
    }

    /// A record with a natural key.
    pub fn keyed(record_type: &str, key: &[RecordId]) -> Self {
        Self { record_type: record_type.to_owned(), key: key.to_vec() }
    }

    /// The part of a form instance that holds one sensitivity class: type `core.class`, key = the core record.
    pub fn part(core_type: &str, class: &str, core: RecordId) -> Self {
        Self { record_type: format!("{core_type}.{class}"), key: vec![core] }
    }

    /// True when type and key have the allowed form.
    pub fn is_valid(&self) -> bool {
        let t = self.record_type.as_bytes();
        (1..=64).contains(&t.len())
            && t[0].is_ascii_lowercase()
            && t.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'))
            && self.key.len() <= 4
    }

    /// The id that follows from the natural key; `None` where the id is random.
    pub fn derived_id(&self, tenant_key: &TenantKey) -> Option<RecordId> {
        if self.key.is_empty() {
            return None;
        }
        let mut mac = tenant_key.mac("doorstep/record/1");
        self.absorb(|bytes| mac.update(bytes));
        RecordId::from_slice(&mac.finalize().into_bytes()[..16])
    }

    /// The actor of the record's derived first change.
    pub fn genesis_actor(&self) -> ActorId {
        let mut hash = Sha256::new();
        hash.update(b"doorstep/genesis/1");
        self.absorb(|bytes| hash.update(bytes));
        ActorId(first16(&hash.finalize()))
    }

    fn absorb(&self, mut update: impl FnMut(&[u8])) {
        update(&(self.record_type.len() as u32).to_be_bytes());
        update(self.record_type.as_bytes());
        update(&(self.key.len() as u32).to_be_bytes());
        for part in &self.key {
            update(&part.0);
        }
    }
}

/// The key from which a tenant's natural record ids follow. Phones get it when they are enrolled.
#[derive(Clone)]
pub struct TenantKey(pub [u8; 32]);

impl TenantKey {
    fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        keyed(&self.0, purpose)
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(..)")
    }
}

/// An HMAC-SHA-256 that has taken in its purpose.
pub fn keyed(key: &[u8; 32], purpose: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(purpose.as_bytes());
    mac
}

/// The first 16 bytes of a digest.
pub fn first16(digest: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// The actor of a device on one of its branches.
///
/// A device starts on branch 0. It takes a random new branch when its changes can't stand as they are (a cloned phone,
/// a refused change, a re-rooted record); the actor follows from key and branch, so that no registration is needed.
pub fn branch_actor(device_public_key: &[u8; 32], branch: u32) -> ActorId {
    let mut hash = Sha256::new();
    hash.update(b"doorstep/actor/1");
    hash.update(device_public_key);
    hash.update(branch.to_be_bytes());
    ActorId(first16(&hash.finalize()))
}

/// Makes random record ids: 12 random bytes drawn when the store is opened, then a counter.
///
/// A restored or cloned phone opens its store anew and so never repeats an id of its twin; ids made in one run share
/// their prefix, which costs the wire 2 bytes a record in place of 16.
#[derive(Debug)]
pub struct RecordIdMaker {
    prefix: [u8; 12],
    next: std::sync::atomic::AtomicU32,
}

impl RecordIdMaker {
    /// A maker with a fresh prefix.
    pub fn new(entropy: &(impl crate::clock::Entropy + ?Sized)) -> Self {
        Self { prefix: crate::clock::random(entropy), next: std::sync::atomic::AtomicU32::new(0) }
    }

    /// The next id.
    pub fn next_id(&self) -> RecordId {
        let n = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut id = [0; 16];
        id[..12].copy_from_slice(&self.prefix);
        id[12..].copy_from_slice(&n.to_be_bytes());
        RecordId(id)
    }
}

#[expect(clippy::derivable_impls, reason = "only a chain has a natural zero: the place before the first entry")]
impl Default for Chain {
    fn default() -> Self {
        Self([0; 16])
    }
}
