//! A signed batch of changes: how a phone's work reaches the server, by whatever path.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::codec::{DecodeError, Reader, Writer};
use super::limits;
use super::records::{RecordBody, RecordFrame, read_records, write_records};
use crate::id::{ChangeHash, DeviceId, Incarnation, RecordId, TenantId, TenantKey};

/// Format of a batch whose records are all clear.
const FORMAT: u8 = 1;
/// Format of a batch that sealed parts follow, see [`super::SealedBatch`].
pub(super) const FORMAT_SEALED: u8 = 2;
/// Ed25519 over SHA-256.
const ALGORITHM: u8 = 1;

/// The head of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHeader {
    /// Whose data.
    pub tenant: TenantId,
    /// Who signed.
    pub device: DeviceId,
    /// The device's branch: every change of the batch is by the actor of this branch.
    pub branch: u32,
    /// 1, 2, 3 ... on each branch.
    pub number: u64,
    /// Hash of the branch's previous batch; zeros for the first.
    pub previous: [u8; 32],
}

/// A line of what a batch's signature stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The record.
    pub record: RecordId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The change.
    pub change: ChangeHash,
}

impl ManifestEntry {
    /// Bytes of an entry: record, incarnation (big endian), change.
    pub const LEN: usize = 52;

    /// The entry as hashed and stored.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut line = [0; Self::LEN];
        line[..16].copy_from_slice(&self.record.0);
        line[16..20].copy_from_slice(&self.incarnation.to_be_bytes());
        line[20..].copy_from_slice(&self.change.0);
        line
    }

    /// Reads a stored entry.
    pub fn from_bytes(line: &[u8; Self::LEN]) -> Option<Self> {
        Some(Self {
            record: RecordId::from_slice(&line[..16])?,
            incarnation: u32::from_be_bytes(line[16..20].try_into().ok()?),
            change: ChangeHash::from_slice(&line[20..])?,
        })
    }
}

/// A signed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The head.
    pub header: BatchHeader,
    /// The records with their new changes, in causal order.
    pub records: Vec<RecordFrame>,
    /// Ed25519 over [`Batch::signed_message`].
    pub signature: [u8; 64],
}

impl Batch {
    /// Signs a batch.
    pub fn sign(header: BatchHeader, records: Vec<RecordFrame>, key: &SigningKey) -> Self {
        let mut batch = Self { header, records, signature: [0; 64] };
        batch.signature = key.sign(&batch.signed_message()).to_bytes();
        batch
    }

    /// True when the signature is the device's.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verify_strict(&self.signed_message(), &Signature::from_bytes(&self.signature)).is_ok()
    }

    /// Record, incarnation and hash of each change, in order: the proof that stays when content must go.
    pub fn manifest(&self) -> Vec<ManifestEntry> {
        let mut entries = Vec::new();
        for record in &self.records {
            if let RecordBody::Changes(changes) = &record.body {
                entries.extend(changes.iter().map(|c| ManifestEntry {
                    record: record.id,
                    incarnation: record.incarnation,
                    change: c.hash,
                }));
            }
        }
        entries
    }

    /// What is signed: purpose, header, count and SHA-256 of the manifest, SHA-256 of the records' types, areas and subjects.
    pub fn signed_message(&self) -> Vec<u8> {
        let manifest = self.manifest();
        let mut hash = Sha256::new();
        for entry in &manifest {
            hash.update(entry.to_bytes());
        }
        let mut w = Writer::new();
        w.raw(b"doorstep/batch/1");
        self.write_header(&mut w, FORMAT);
        w.raw(&(manifest.len() as u32).to_be_bytes());
        w.raw(&hash.finalize());
        w.raw(&self.placement_hash());
        w.0
    }

    /// Over each record's type and key, area and subject, so that a carrier can't move a new record elsewhere.
    fn placement_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for record in &self.records {
            let mut w = Writer::new();
            w.text(&record.identity.record_type);
            w.number(record.identity.key.len() as u64);
            record.identity.key.iter().for_each(|k| w.raw(&k.0));
            w.raw(&record.area.0);
            w.optional(record.subject, |w, s| w.raw(&s.0));
            hash.update(&w.0);
        }
        hash.finalize().into()
    }

    /// The batch's hash: what the next batch names as its previous one.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.signed_message()).into()
    }

    fn write_header(&self, w: &mut Writer, format: u8) {
        w.byte(format);
        w.byte(ALGORITHM);
        w.raw(&self.header.tenant.0);
        w.raw(&self.header.device.0);
        w.number(u64::from(self.header.branch));
        w.number(self.header.number);
        w.raw(&self.header.previous);
    }

    /// The bytes before compression.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        self.encode_as(FORMAT)
    }

    /// The same, to be followed by sealed parts.
    pub(super) fn encode_sealed(&self) -> Result<Vec<u8>, DecodeError> {
        self.encode_as(FORMAT_SEALED)
    }

    fn encode_as(&self, format: u8) -> Result<Vec<u8>, DecodeError> {
        let mut w = Writer::new();
        self.write_header(&mut w, format);
        w.raw(&self.signature);
        write_records(&mut w, &self.records)?;
        Ok(w.0)
    }

    /// Reads a batch; the signature isn't checked yet.
    pub fn decode(bytes: &[u8], tenant_key: &TenantKey) -> Result<Self, DecodeError> {
        match Self::read(&mut Reader::new(bytes), tenant_key)? {
            (batch, false) => Ok(batch),
            (_, true) => Err(DecodeError::Version),
        }
    }

    /// Reads a batch, and whether sealed parts follow.
    pub(super) fn read(r: &mut Reader<'_>, tenant_key: &TenantKey) -> Result<(Self, bool), DecodeError> {
        let format = r.byte()?;
        if !matches!(format, FORMAT | FORMAT_SEALED) || r.byte()? != ALGORITHM {
            return Err(DecodeError::Version);
        }
        let header = BatchHeader {
            tenant: TenantId(r.array()?),
            device: DeviceId(r.array()?),
            branch: r.number32()?,
            number: r.number()?,
            previous: r.array()?,
        };
        let signature = r.array()?;
        let mut records = read_records(r, limits::BATCH_CHANGES_MAX, tenant_key)?;
        for record in &mut records {
            match &mut record.body {
                // nobody signed a time of receipt
                RecordBody::Changes(changes) => changes.iter_mut().for_each(|c| c.received_ms = 0),
                RecordBody::Snapshot { .. } => return Err(DecodeError::Value("snapshot in a batch")),
            }
        }
        Ok((Self { header, records, signature }, format == FORMAT_SEALED))
    }
}
