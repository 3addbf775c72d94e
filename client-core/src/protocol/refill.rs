//! Receipts, and what a phone brings back to a server that went back in time.
//!
//! Each delivery and each list of final states carries a receipt: a MAC of the server over the (record, incarnation,
//! change) list and the township sequence at which it was true. After a rewind a phone shows receipts and brings the
//! changes; the server takes them because it has vouched for them before, whoever made them.

use hmac::Mac;
use sha2::{Digest, Sha256};

use super::batch::ManifestEntry;
use super::codec::{DecodeError, Reader, Writer};
use super::limits;
use super::records::{RecordFrame, read_records, write_records};
use crate::id::{ChangeHash, DeviceId, MacTag, RecordId, TenantId, TenantKey, first16, keyed};

/// The server's word that it holds changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The feed's head when it was given.
    pub as_of: u64,
    /// The MAC, see [`Receipt::tag`].
    pub tag: MacTag,
    /// What it stands for, in the order of delivery.
    pub entries: Vec<ManifestEntry>,
}

impl Receipt {
    /// The MAC over a list: HMAC-SHA-256 with the server's key over purpose, tenant, device, `as_of`, and SHA-256 of the
    /// entries; its first 16 bytes.
    pub fn tag(key: &[u8; 32], tenant: TenantId, device: DeviceId, as_of: u64, entries: &[ManifestEntry]) -> MacTag {
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update(entry.to_bytes());
        }
        let mut mac = keyed(key, "doorstep/receipt/1");
        mac.update(&tenant.0);
        mac.update(&device.0);
        mac.update(&as_of.to_be_bytes());
        mac.update(&hash.finalize());
        MacTag(first16(&mac.finalize().into_bytes()))
    }

    /// True when the MAC is right.
    pub fn is_genuine(&self, key: &[u8; 32], tenant: TenantId, device: DeviceId) -> bool {
        Self::tag(key, tenant, device, self.as_of, &self.entries) == self.tag
    }
}

/// Receipts with the changes under them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refill {
    /// The receipts, oldest first.
    pub receipts: Vec<Receipt>,
    /// The changes, in causal order.
    pub records: Vec<RecordFrame>,
    /// Changes that the phone itself can't read any more, see [`super::SealedBy`].
    pub sealed: Vec<Vec<u8>>,
}

impl Refill {
    /// The bytes before compression.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut w = Writer::new();
        w.number(self.receipts.len() as u64);
        for receipt in &self.receipts {
            w.number(receipt.as_of);
            w.raw(&receipt.tag.0);
            w.number(receipt.entries.len() as u64);
            for entry in &receipt.entries {
                w.raw(&entry.record.0);
                w.number(u64::from(entry.incarnation));
                w.raw(&entry.change.0);
            }
        }
        write_records(&mut w, &self.records)?;
        if !self.sealed.is_empty() {
            w.number(self.sealed.len() as u64);
            self.sealed.iter().for_each(|part| w.counted(part));
        }
        Ok(w.0)
    }

    /// Reads a refill; the receipts aren't checked yet.
    pub fn decode(bytes: &[u8], tenant_key: &TenantKey) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let n = r.count(limits::REFILL_RECEIPTS_MAX, "number of receipts")?;
        let mut receipts = Vec::with_capacity(n);
        for _ in 0..n {
            let as_of = r.number()?;
            let tag = MacTag(r.array()?);
            let n = r.count(limits::REFILL_CHANGES_MAX * 4, "receipt")?;
            let entries = (0..n)
                .map(|_| {
                    Ok(ManifestEntry {
                        record: RecordId(r.array()?),
                        incarnation: r.number32()?,
                        change: ChangeHash(r.array()?),
                    })
                })
                .collect::<Result<Vec<_>, DecodeError>>()?;
            receipts.push(Receipt { as_of, tag, entries });
        }
        let records = read_records(&mut r, limits::REFILL_CHANGES_MAX, tenant_key)?;
        let n = if r.is_empty() { 0 } else { r.count(limits::REFILL_SEALED_MAX, "number of sealed parts")? };
        let sealed = (0..n)
            .map(|_| Ok(r.counted(limits::SEALED_MAX, "sealed part")?.to_vec()))
            .collect::<Result<Vec<_>, DecodeError>>()?;
        Ok(Self { receipts, records, sealed })
    }
}
