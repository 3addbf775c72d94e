//! The request: who asks, how far it has read, and what it uploads.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::batch::ManifestEntry;
use super::codec::{DecodeError, Reader, Writer};
use super::forms::FormsKnown;
use super::{MAGIC, VERSION, limits};
use crate::id::{Chain, DeviceId, TenantId};

/// A place in a chained log: the number of the last entry read, and the chain there. 0 and zeros before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Number of the last entry read.
    pub seq: u64,
    /// The chain at that entry.
    pub chain: Chain,
}

/// How far an unfinished fill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillPosition {
    /// The grant that is being filled.
    pub grant: u64,
    /// The township sequence at which the last record received was born.
    pub after: u64,
}

/// What kind of bytes follow the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// A compressed [`super::Batch`].
    Batch,
    /// A compressed [`super::Refill`].
    Refill,
}

/// An upload that follows the hello, from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// What it is.
    pub kind: UploadKind,
    /// The batch's number on the hello's branch; 0 for a refill. Lets the server answer for a batch whose reply was lost.
    pub number: u64,
    /// SHA-256 of the whole compressed upload.
    pub digest: [u8; 32],
    /// Its whole length in bytes.
    pub total: u32,
    /// How many bytes of it the server has from an earlier, cut request. Equal to `total` with an empty rest, a phone
    /// only asks how much arrived.
    pub offset: u32,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Whose data.
    pub tenant: TenantId,
    /// Who asks.
    pub device: DeviceId,
    /// Counts the device's requests; the server takes only larger ones than before, so that none can be replayed.
    pub counter: u64,
    /// The branch on which the device writes now.
    pub branch: u32,
    /// Where the device stands in its user's grants.
    pub grants: Position,
    /// Where it stands in its township's feed; `None` before the first reply.
    pub feed: Option<Position>,
    /// Unfinished fills.
    pub fills: Vec<FillPosition>,
    /// The version of the area table that the device has.
    pub areas: u64,
    /// Older points of the feed, newest first; sent only after "rewound".
    pub older: Vec<Position>,
    /// The newest point that the server told with final states or a refill, where that is ahead of `feed`: shows a rewind
    /// that took those back and nothing that the device has read.
    pub told: Option<Position>,
    /// What the device has of the log of forms; `None` from a phone that takes no forms.
    pub forms: Option<FormsKnown>,
    /// Own changes that the server let wait, as far as the device knows: what became of them? Only with `forms`.
    pub waiting: Vec<ManifestEntry>,
    /// Asks only what a pull would cost.
    pub cost_only: bool,
    /// The device found its scope digest to differ from the server's.
    pub diverged: bool,
    /// The device obeys the server's order to erase itself, and does so after this request.
    pub wiping: bool,
    /// What follows.
    pub upload: Option<Upload>,
}

const PURPOSE: &[u8] = b"doorstep/hello/1";

impl Hello {
    /// The hello of a device that has nothing yet and sends nothing.
    pub fn first(tenant: TenantId, device: DeviceId, counter: u64) -> Self {
        Self {
            tenant,
            device,
            counter,
            branch: 0,
            grants: Position::default(),
            feed: None,
            fills: Vec::new(),
            areas: 0,
            older: Vec::new(),
            told: None,
            forms: None,
            waiting: Vec::new(),
            cost_only: false,
            diverged: false,
            wiping: false,
            upload: None,
        }
    }

    fn encode_unsigned(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.tenant.0);
        w.raw(&self.device.0);
        w.number(self.counter);
        w.number(u64::from(self.branch));
        write_position(&mut w, &self.grants);
        w.optional(self.feed, |w, p| write_position(w, &p));
        w.number(self.fills.len() as u64);
        for fill in &self.fills {
            w.number(fill.grant);
            w.number(fill.after);
        }
        w.number(self.areas);
        w.number(self.older.len() as u64);
        self.older.iter().for_each(|p| write_position(&mut w, p));
        w.byte(u8::from(self.cost_only) | u8::from(self.diverged) << 1 | u8::from(self.wiping) << 2);
        w.optional(self.upload, |w, u| {
            w.byte(match u.kind {
                UploadKind::Batch => 1,
                UploadKind::Refill => 2,
            });
            w.number(u.number);
            w.raw(&u.digest);
            w.number(u64::from(u.total));
            w.number(u64::from(u.offset));
        });
        if self.told.is_some() || self.forms.is_some() {
            // before the first entry of a feed nothing can be told: there it stands for none
            write_position(&mut w, &self.told.unwrap_or_default());
        }
        if let Some(forms) = &self.forms {
            forms.write(&mut w);
            if !self.waiting.is_empty() {
                w.number(self.waiting.len() as u64);
                self.waiting.iter().for_each(|entry| w.raw(&entry.to_bytes()));
            }
        }
        w.0
    }

    /// The start of the request body: magic, version, length, hello, signature. The upload's bytes follow.
    pub fn encode_signed(&self, key: &SigningKey) -> Vec<u8> {
        let body = self.encode_unsigned();
        let mut w = Writer::new();
        w.raw(&MAGIC);
        w.byte(VERSION);
        w.counted(&body);
        w.raw(&key.sign(&[PURPOSE, &body].concat()).to_bytes());
        w.0
    }

    /// Reads the start of a request body. `Ok(None)` asks for more bytes.
    pub fn decode(bytes: &[u8]) -> Result<Option<SignedHello>, DecodeError> {
        let known = bytes.len().min(4);
        if bytes[..known] != MAGIC[..known] {
            return Err(DecodeError::Version);
        }
        if bytes.len() < 5 {
            return Ok(None);
        }
        if bytes[4] != VERSION {
            return Err(DecodeError::Version);
        }
        let mut r = Reader::new(&bytes[5..]);
        let len = match r.number() {
            Ok(n) if n as usize > limits::HELLO_MAX => return Err(DecodeError::Limit("hello")),
            Ok(n) => n as usize,
            Err(DecodeError::Truncated) => return Ok(None),
            Err(e) => return Err(e),
        };
        if r.0.len() < len + 64 {
            return Ok(None);
        }
        let body = r.take(len)?.to_vec();
        let signature = r.array()?;
        let hello = Self::decode_body(&body)?;
        Ok(Some(SignedHello { hello, length: bytes.len() - r.0.len(), body, signature }))
    }

    fn decode_body(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let tenant = TenantId(r.array()?);
        let device = DeviceId(r.array()?);
        let counter = r.number()?;
        let branch = r.number32()?;
        let grants = read_position(&mut r)?;
        let feed = r.optional(read_position)?;
        let n = r.count(limits::POSITIONS_MAX, "number of fills")?;
        let fills = (0..n)
            .map(|_| Ok(FillPosition { grant: r.number()?, after: r.number()? }))
            .collect::<Result<Vec<_>, DecodeError>>()?;
        let areas = r.number()?;
        let n = r.count(limits::OLDER_POINTS_MAX, "number of older points")?;
        let older = (0..n).map(|_| read_position(&mut r)).collect::<Result<Vec<_>, _>>()?;
        let flags = r.byte()?;
        let upload = r.optional(|r| {
            let kind = match r.byte()? {
                1 => UploadKind::Batch,
                2 => UploadKind::Refill,
                _ => return Err(DecodeError::Value("kind of upload")),
            };
            Ok(Upload { kind, number: r.number()?, digest: r.array()?, total: r.number32()?, offset: r.number32()? })
        })?;
        if upload.is_some_and(|u| u.total as usize > limits::UPLOAD_MAX || u.offset > u.total) {
            return Err(DecodeError::Limit("upload"));
        }
        let told = if r.is_empty() { None } else { Some(read_position(&mut r)?).filter(|told| told.seq > 0) };
        let forms = if r.is_empty() { None } else { Some(FormsKnown::read(&mut r)?) };
        let n = if r.is_empty() { 0 } else { r.count(limits::WAITING_ASKED_MAX, "number of waiting changes")? };
        let waiting = (0..n).map(|_| read_entry(&mut r)).collect::<Result<_, _>>()?;
        let (cost_only, diverged, wiping) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        Ok(Self {
            tenant,
            device,
            counter,
            branch,
            grants,
            feed,
            fills,
            areas,
            older,
            told,
            forms,
            waiting,
            cost_only,
            diverged,
            wiping,
            upload,
        })
    }
}

/// A hello as received.
#[derive(Debug, Clone)]
pub struct SignedHello {
    /// What it says.
    pub hello: Hello,
    /// How many bytes of the body it took.
    pub length: usize,
    body: Vec<u8>,
    signature: [u8; 64],
}

impl SignedHello {
    /// True when the signature is the device's.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let message = [PURPOSE, self.body.as_slice()].concat();
        key.verify_strict(&message, &Signature::from_bytes(&self.signature)).is_ok()
    }
}

fn read_entry(r: &mut Reader<'_>) -> Result<ManifestEntry, DecodeError> {
    ManifestEntry::from_bytes(&r.array()?).ok_or(DecodeError::Value("waiting change"))
}

pub(super) fn write_position(w: &mut Writer, position: &Position) {
    w.number(position.seq);
    w.raw(&position.chain.0);
}

pub(super) fn read_position(r: &mut Reader<'_>) -> Result<Position, DecodeError> {
    Ok(Position { seq: r.number()?, chain: Chain(r.array()?) })
}
