//! What a phone keeps for a rewound server of records that it may not hold any more: readable for the server alone.
//!
//! A part is one record's changes, sealed by HPKE (RFC 9180: X25519, HKDF-SHA-256, ChaCha20-Poly1305) to the server's
//! long-lived identity, which every phone pinned when it was enrolled. The identity is an Ed25519 key; sealing uses the same
//! key's X25519 form. Tenant and device are part of the seal: nobody else's parts open under theirs.

use std::collections::HashMap;
use std::convert::Infallible;

use ed25519_dalek::{SigningKey, VerifyingKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

use super::batch::Batch;
use super::codec::{DecodeError, Reader, Writer};
use super::limits;
use super::records::{RecordBody, RecordFrame, WireChange, read_records, write_records};
use super::refill::Refill;
use crate::clock::{Entropy, random};
use crate::id::{ChangeHash, DeviceId, RecordId, TenantId, TenantKey};

/// Format of parts that this code seals.
const FORMAT: u8 = 1;
/// Bytes of the one-time public key in a part.
const ENCAPPED: usize = 32;
/// Bytes of content after which the next part of a record begins.
const PART_TARGET: usize = 48 << 10;

/// Why a part can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The server's identity isn't a public key.
    #[error("the server's identity isn't a key")]
    Identity,
    /// Another format.
    #[error("the sealed part has another format version")]
    Version,
    /// Over [`limits::SEALED_MAX`].
    #[error("the sealed part is over its limit")]
    TooLarge,
    /// It wasn't sealed to this server by this device, or was damaged since.
    #[error("the sealed part can't be opened with this server's key")]
    Closed,
    /// What is inside isn't changes of one record.
    #[error("the sealed part holds something else: {0}")]
    Content(DecodeError),
    /// The parts don't fit together, or not into their batch.
    #[error("the sealed parts don't fit together")]
    Misplaced,
}

/// Changes of one record after sealing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChanges {
    /// Their hashes, in their order.
    pub changes: Vec<ChangeHash>,
    /// What only the server can open.
    pub content: Vec<u8>,
}

/// What binds parts to one phone of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct SealedBy {
    /// Whose data.
    pub tenant: TenantId,
    /// Who sealed.
    pub device: DeviceId,
}

impl SealedBy {
    fn info(&self) -> Vec<u8> {
        [b"doorstep/sealed/1".as_slice(), &self.tenant.0, &self.device.0].concat()
    }

    /// Seals changes of one record to a server, in as many parts as their limit asks for.
    pub fn seal(
        &self,
        frame: &RecordFrame,
        server_identity: &[u8; 32],
        entropy: &dyn Entropy,
    ) -> Result<Vec<SealedChanges>, SealError> {
        let RecordBody::Changes(changes) = &frame.body else {
            return Err(SealError::Content(DecodeError::Value("snapshot")));
        };
        let key = VerifyingKey::from_bytes(server_identity).map_err(|_| SealError::Identity)?;
        let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key.to_montgomery().as_bytes())
            .map_err(|_| SealError::Identity)?;
        let mut parts = Vec::new();
        for changes in in_parts(changes) {
            let mut w = Writer::new();
            let part = frame.with(changes.to_vec());
            write_records(&mut w, &[part]).map_err(SealError::Content)?;
            let (encapped, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &key,
                &self.info(),
                &w.0,
                &[],
                &mut Randomness(entropy),
            )
            .map_err(|_| SealError::Identity)?;
            let content = [&[FORMAT], encapped.to_bytes().as_slice(), &sealed].concat();
            if content.len() > limits::SEALED_MAX {
                return Err(SealError::TooLarge);
            }
            parts.push(SealedChanges { changes: changes.iter().map(|c| c.hash).collect(), content });
        }
        Ok(parts)
    }

    /// Opens a part with the server's identity.
    pub fn open(&self, part: &[u8], identity: &SigningKey, tenant_key: &TenantKey) -> Result<RecordFrame, SealError> {
        if part.len() > limits::SEALED_MAX {
            return Err(SealError::TooLarge);
        }
        let (format, rest) = part.split_first().ok_or(SealError::Closed)?;
        if *format != FORMAT {
            return Err(SealError::Version);
        }
        let (encapped, sealed) = rest.split_at_checked(ENCAPPED).ok_or(SealError::Closed)?;
        let key = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&identity.to_scalar_bytes());
        let encapped = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapped);
        let (Ok(key), Ok(encapped)) = (key, encapped) else { return Err(SealError::Closed) };
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &key,
            &encapped,
            &self.info(),
            sealed,
            &[],
        )
        .map_err(|_| SealError::Closed)?;
        let mut records = read_records(&mut Reader::new(&opened), limits::BATCH_CHANGES_MAX, tenant_key)
            .map_err(SealError::Content)?;
        match (records.pop(), records.is_empty()) {
            (Some(mut frame), true) => match &mut frame.body {
                RecordBody::Changes(changes) => {
                    // nobody signed a time of receipt
                    changes.iter_mut().for_each(|c| c.received_ms = 0);
                    Ok(frame)
                }
                RecordBody::Snapshot { .. } => Err(SealError::Content(DecodeError::Value("snapshot"))),
            },
            _ => Err(SealError::Content(DecodeError::Value("number of records"))),
        }
    }
}

/// Changes in runs of at most [`PART_TARGET`] bytes, or of one change.
fn in_parts(changes: &[WireChange]) -> Vec<&[WireChange]> {
    let (mut parts, mut start, mut size) = (Vec::new(), 0, 0);
    for (at, change) in changes.iter().enumerate() {
        if at > start && size + change.bytes.len() > PART_TARGET {
            parts.push(&changes[start..at]);
            (start, size) = (at, 0);
        }
        size += change.bytes.len();
    }
    if start < changes.len() {
        parts.push(&changes[start..]);
    }
    parts
}

/// The core's source of randomness as HPKE takes it.
struct Randomness<'a>(&'a dyn Entropy);

impl TryRng for Randomness<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random(self.0)))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl TryCryptoRng for Randomness<'_> {}

/// A sealed part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// Which of the batch's records it belongs to, counted from 0. Parts of one record have the same place.
    pub place: u32,
    /// See [`SealedBy::seal`].
    pub content: Vec<u8>,
}

/// A batch of which some records are sealed. Its signature is that of the whole batch, as it was when nothing was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBatch {
    /// Header, signature, and the records that aren't sealed.
    pub clear: Batch,
    /// The others, by place.
    pub sealed: Vec<SealedPart>,
}

impl SealedBatch {
    /// The bytes before compression: those of a plain batch where nothing is sealed.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        if self.sealed.is_empty() {
            return self.clear.encode();
        }
        self.encode_with_parts()
    }

    /// The bytes of what isn't sealed, where the parts are kept elsewhere. Not to be sent.
    pub fn encode_rest(clear: Batch) -> Result<Vec<u8>, DecodeError> {
        Self { clear, sealed: Vec::new() }.encode_with_parts()
    }

    /// True for the bytes of a batch of which something is or was sealed.
    pub fn is_sealed(bytes: &[u8]) -> bool {
        bytes.first() == Some(&super::batch::FORMAT_SEALED)
    }

    fn encode_with_parts(&self) -> Result<Vec<u8>, DecodeError> {
        let mut w = Writer(self.clear.encode_sealed()?);
        w.number(self.sealed.len() as u64);
        for part in &self.sealed {
            w.number(u64::from(part.place));
            w.counted(&part.content);
        }
        Ok(w.0)
    }

    /// Reads a batch with or without sealed parts; nothing is opened and no signature checked.
    pub fn decode(bytes: &[u8], tenant_key: &TenantKey) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let (clear, has_sealed) = Batch::read(&mut r, tenant_key)?;
        let mut sealed = Vec::new();
        if has_sealed {
            let n = r.count(limits::BATCH_CHANGES_MAX, "number of sealed parts")?;
            for _ in 0..n {
                let place = r.number32()?;
                sealed.push(SealedPart { place, content: r.counted(limits::SEALED_MAX, "sealed part")?.to_vec() });
            }
        }
        Ok(Self { clear, sealed })
    }

    /// The batch as it was signed. The signature is still to be checked.
    pub fn open(self, identity: &SigningKey, tenant_key: &TenantKey) -> Result<Batch, SealError> {
        let Self { clear: Batch { header, records, signature }, sealed } = self;
        let by = SealedBy { tenant: header.tenant, device: header.device };
        let mut clear = records.into_iter();
        let mut whole: Vec<RecordFrame> = Vec::new();
        let mut last = None;
        for part in sealed {
            let frame = by.open(&part.content, identity, tenant_key)?;
            if last == Some(part.place) {
                if join(whole.last_mut(), frame).is_some() {
                    return Err(SealError::Misplaced);
                }
                continue;
            }
            while whole.len() < part.place as usize {
                whole.push(clear.next().ok_or(SealError::Misplaced)?);
            }
            if whole.len() > part.place as usize {
                return Err(SealError::Misplaced);
            }
            last = Some(part.place);
            whole.push(frame);
        }
        whole.extend(clear);
        if count_changes(&whole) > limits::BATCH_CHANGES_MAX {
            return Err(SealError::TooLarge);
        }
        Ok(Batch { header, records: whole, signature })
    }
}

impl Refill {
    /// Opens the sealed parts and puts them before the changes that came clear. A part that can't be opened is left out, with
    /// the reason; it is never in the way of the others. Of a record's incarnations only the highest stays: it replaced the
    /// others.
    ///
    /// # Errors
    /// When there are more changes than a refill may hold.
    pub fn open(
        self,
        by: SealedBy,
        identity: &SigningKey,
        tenant_key: &TenantKey,
    ) -> Result<(Self, Vec<SealError>), DecodeError> {
        let Self { receipts, records: clear, sealed } = self;
        let mut records: Vec<RecordFrame> = Vec::new();
        let mut known: HashMap<RecordId, usize> = HashMap::new();
        let mut unopened = Vec::new();
        let opened = sealed.iter().map(|part| by.open(part, identity, tenant_key));
        for frame in opened.chain(clear.into_iter().map(Ok)) {
            match frame {
                Ok(frame) => {
                    let mut at = known.get(&frame.id).and_then(|at| records.get_mut(*at));
                    if let Some(known) = at.as_deref_mut().filter(|known| known.incarnation != frame.incarnation) {
                        if known.incarnation < frame.incarnation {
                            *known = frame;
                        }
                        continue;
                    }
                    if let Some(frame) = join(at, frame) {
                        known.insert(frame.id, records.len());
                        records.push(frame);
                    }
                }
                Err(error) => unopened.push(error),
            }
        }
        if count_changes(&records) > limits::REFILL_CHANGES_MAX {
            return Err(DecodeError::Limit("number of changes"));
        }
        Ok((Self { receipts, records, sealed: Vec::new() }, unopened))
    }
}

/// How many changes records hold.
pub fn count_changes(records: &[RecordFrame]) -> usize {
    records.iter().map(|r| if let RecordBody::Changes(changes) = &r.body { changes.len() } else { 0 }).sum()
}

/// Adds more changes of the same record, or gives them back.
fn join(to: Option<&mut RecordFrame>, more: RecordFrame) -> Option<RecordFrame> {
    let Some(to) = to else { return Some(more) };
    if to.id != more.id || to.identity != more.identity || to.incarnation != more.incarnation {
        return Some(more);
    }
    match (&mut to.body, more.body) {
        (RecordBody::Changes(changes), RecordBody::Changes(more)) => changes.extend(more),
        (_, body) => return Some(RecordFrame { body, ..to.clone() }),
    }
    None
}
