//! The frames of a reply.

use super::codec::{DecodeError, Reader, Writer};
use super::forms::FormsNews;
use super::hello::{Position, read_position, write_position};
use super::limits;
use super::records::{RecordFrame, read_records, write_records};
use super::status::{Outcome, read_outcomes, write_outcomes};
use super::wipe::WipeOrder;
use crate::clock::Millis;
use crate::id::{AreaId, Chain, MacTag, RecordId, TenantKey};
use crate::rights::ROLES_BYTES_MAX;

/// First frame of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Welcome {
    /// The server's time.
    pub server_ms: Millis,
    /// Number of the last batch that the server has of the device's branch.
    pub last_batch: u64,
    /// How many bytes of the named upload the server has.
    pub staged: u32,
    /// The upload didn't match its digest, or couldn't be read, and was dropped: send it from the start.
    pub upload_refused: bool,
    /// Reading is closed until an administrator has looked at a restored server; pushing works.
    pub reads_closed: bool,
    /// The device must ask again from older points: the server went back in time.
    pub rewound: bool,
    /// The server opens sealed parts of batches and refills.
    pub opens_sealed: bool,
    /// Where a rewound feed and the device's points meet; set in the answer to a hello with older points.
    pub common: Option<Position>,
    /// Seconds to wait before the next request; 0 for none.
    pub retry_after_s: u32,
}

/// An entry of the user's log of grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEntry {
    /// Number of the grant; a later entry with the same number changes it.
    pub grant: u64,
    /// The role that holds, a name from the pack such as `helper`.
    pub role: String,
    /// All records placed in this area or below it ...
    pub area: AreaId,
    /// ... or only those about this subject.
    pub subject: Option<RecordId>,
    /// False: the grant has ended.
    pub active: bool,
}

/// An area as phones need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaEntry {
    /// The area.
    pub area: AreaId,
    /// The one above it.
    pub parent: Option<AreaId>,
    /// Its level, a name from the pack such as `village`.
    pub level: String,
    /// Its code; may change.
    pub code: String,
    /// Its Chinese name.
    pub name_zh: String,
    /// Its English name.
    pub name_en: String,
}

/// Why records come, and where the device stands once they are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// News of the feed, up to this position.
    Feed(Position),
    /// A grant's fill, up to the record born at this township sequence.
    Fill {
        /// The grant.
        grant: u64,
        /// Position of the fill.
        after: u64,
    },
}

/// Records that come down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Why they come, and the position that holds after them.
    pub source: Source,
    /// The records. May be empty where only the position moves.
    pub records: Vec<RecordFrame>,
    /// The feed's head when they were read.
    pub as_of: u64,
    /// Receipt over the changes in the frame, in order (a snapshot counts as its heads).
    pub receipt: MacTag,
}

/// Count and sum over the hashes of all changes that a device may hold; shows silent divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeDigest {
    /// How many changes.
    pub count: u64,
    /// Sum of the first 8 bytes of each hash (big endian), modulo 2^64.
    pub sum: u64,
}

impl ScopeDigest {
    /// Adds a change.
    pub fn add(&mut self, hash: &crate::id::ChangeHash) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(Self::part(hash));
    }

    /// Takes a change out.
    pub fn remove(&mut self, hash: &crate::id::ChangeHash) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(Self::part(hash));
    }

    fn part(hash: &crate::id::ChangeHash) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&hash.0[..8]);
        u64::from_be_bytes(first)
    }
}

/// Last frame of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// How many frames came before it.
    pub frames: u32,
    /// First 16 bytes of SHA-256 over all frames before it: a cut at a frame's end shows.
    pub digest: [u8; 16],
    /// More is waiting: ask again.
    pub more: bool,
    /// What the device must hold now; only when it has everything.
    pub scope: Option<ScopeDigest>,
}

/// A frame of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyFrame {
    /// First.
    Welcome(Welcome),
    /// The final states of a batch's changes, in order.
    Statuses {
        /// The batch's branch.
        branch: u32,
        /// The batch's number.
        number: u64,
        /// States, one for each change.
        outcomes: Vec<Outcome>,
        /// The feed's head after the commit.
        as_of: u64,
        /// Receipt over the acknowledged changes, in order.
        receipt: MacTag,
        /// The feed's chain at `as_of`.
        chain: Chain,
    },
    /// The batch's number was used before with other content: a cloned or restored phone. Nothing of it was taken; take
    /// a new branch and make the changes anew.
    BranchTaken {
        /// The branch that is taken.
        branch: u32,
    },
    /// The server lacks earlier batches of the branch: send those after `last` first.
    BatchGap {
        /// The branch.
        branch: u32,
        /// The last batch that the server has.
        last: u64,
    },
    /// How many changes a refill brought that the server lacked.
    Refilled {
        /// Changes stored.
        stored: u32,
        /// Changes refused or not covered by a genuine receipt.
        refused: u32,
        /// The feed's head after the commit.
        head: Position,
    },
    /// New entries of the user's grants.
    Grants {
        /// Where the log stands after them.
        position: Position,
        /// The entries.
        entries: Vec<GrantEntry>,
        /// The roles of the township's own as JSON (`crate::rights::Roles`); empty where those of the program hold.
        roles: String,
    },
    /// The area table, whole.
    Areas {
        /// Its version.
        version: u64,
        /// The areas.
        areas: Vec<AreaEntry>,
    },
    /// News of the log of forms.
    Forms(FormsNews),
    /// Records.
    Delivery(Delivery),
    /// A grant's subject is complete.
    FillClosed {
        /// The grant.
        grant: u64,
    },
    /// What a pull would bring, in bytes before compression and in records; the answer to a cost-only hello.
    Cost {
        /// Changes that wait.
        changes: u64,
        /// Their bytes, uncompressed.
        bytes: u64,
    },
    /// The phone was reported lost: it erases itself, once what it still had to send was taken.
    Wipe(WipeOrder),
    /// What became of the changes that the hello asked about, in its order.
    Fates {
        /// Their states now.
        outcomes: Vec<Outcome>,
        /// The feed's head when they were read.
        as_of: u64,
        /// Receipt over the acknowledged changes, in order.
        receipt: MacTag,
        /// The feed's chain at `as_of`.
        chain: Chain,
    },
    /// Last.
    Done(Done),
    /// A frame of a kind that this version doesn't know.
    Unknown {
        /// Its number.
        kind: u64,
    },
}

mod kind {
    pub const WELCOME: u64 = 1;
    pub const STATUSES: u64 = 2;
    pub const BRANCH_TAKEN: u64 = 3;
    pub const BATCH_GAP: u64 = 4;
    pub const REFILLED: u64 = 5;
    pub const GRANTS: u64 = 6;
    pub const AREAS: u64 = 7;
    pub const DELIVERY: u64 = 8;
    pub const FILL_CLOSED: u64 = 9;
    pub const COST: u64 = 10;
    pub const DONE: u64 = 11;
    pub const FORMS: u64 = 12;
    pub const WIPE: u64 = 14;
    pub const FATES: u64 = 15;
}

impl ReplyFrame {
    /// The frame's number and content.
    pub fn encode(&self) -> Result<(u64, Vec<u8>), DecodeError> {
        let mut w = Writer::new();
        let kind = match self {
            Self::Welcome(welcome) => {
                w.number(welcome.server_ms);
                w.number(welcome.last_batch);
                w.number(u64::from(welcome.staged));
                w.byte(
                    u8::from(welcome.upload_refused)
                        | u8::from(welcome.reads_closed) << 1
                        | u8::from(welcome.rewound) << 2
                        | u8::from(welcome.opens_sealed) << 3,
                );
                w.optional(welcome.common, |w, p| write_position(w, &p));
                w.number(u64::from(welcome.retry_after_s));
                kind::WELCOME
            }
            Self::Statuses { branch, number, outcomes, as_of, receipt, chain } => {
                w.number(u64::from(*branch));
                w.number(*number);
                write_outcomes(&mut w, outcomes);
                w.number(*as_of);
                w.raw(&receipt.0);
                w.raw(&chain.0);
                kind::STATUSES
            }
            Self::BranchTaken { branch } => {
                w.number(u64::from(*branch));
                kind::BRANCH_TAKEN
            }
            Self::BatchGap { branch, last } => {
                w.number(u64::from(*branch));
                w.number(*last);
                kind::BATCH_GAP
            }
            Self::Refilled { stored, refused, head } => {
                w.number(u64::from(*stored));
                w.number(u64::from(*refused));
                write_position(&mut w, head);
                kind::REFILLED
            }
            Self::Grants { position, entries, roles } => {
                write_position(&mut w, position);
                w.number(entries.len() as u64);
                entries.iter().for_each(|entry| entry.write(&mut w));
                if !roles.is_empty() {
                    w.text(roles);
                }
                kind::GRANTS
            }
            Self::Areas { version, areas } => {
                w.number(*version);
                w.number(areas.len() as u64);
                areas.iter().for_each(|area| area.write(&mut w));
                kind::AREAS
            }
            Self::Delivery(delivery) => {
                delivery.write(&mut w)?;
                kind::DELIVERY
            }
            Self::FillClosed { grant } => {
                w.number(*grant);
                kind::FILL_CLOSED
            }
            Self::Cost { changes, bytes } => {
                w.number(*changes);
                w.number(*bytes);
                kind::COST
            }
            Self::Done(done) => {
                w.number(u64::from(done.frames));
                w.raw(&done.digest);
                w.byte(u8::from(done.more));
                w.optional(done.scope, |w, s| {
                    w.number(s.count);
                    w.raw(&s.sum.to_be_bytes());
                });
                kind::DONE
            }
            Self::Forms(news) => {
                news.write(&mut w);
                kind::FORMS
            }
            Self::Wipe(order) => {
                w.raw(&order.0);
                kind::WIPE
            }
            Self::Fates { outcomes, as_of, receipt, chain } => {
                write_outcomes(&mut w, outcomes);
                w.number(*as_of);
                w.raw(&receipt.0);
                w.raw(&chain.0);
                kind::FATES
            }
            Self::Unknown { kind } => *kind,
        };
        Ok((kind, w.0))
    }

    /// Reads a frame. Bytes after the fields that this version knows are ignored.
    pub fn decode(kind: u64, bytes: &[u8], tenant_key: &TenantKey) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        Ok(match kind {
            kind::WELCOME => {
                let (server_ms, last_batch, staged) = (r.number()?, r.number()?, r.number32()?);
                let flags = r.byte()?;
                Self::Welcome(Welcome {
                    server_ms,
                    last_batch,
                    staged,
                    upload_refused: flags & 1 != 0,
                    reads_closed: flags & 2 != 0,
                    rewound: flags & 4 != 0,
                    opens_sealed: flags & 8 != 0,
                    common: r.optional(read_position)?,
                    retry_after_s: r.number32()?,
                })
            }
            kind::STATUSES => Self::Statuses {
                branch: r.number32()?,
                number: r.number()?,
                outcomes: read_outcomes(r, limits::BATCH_CHANGES_MAX)?,
                as_of: r.number()?,
                receipt: MacTag(r.array()?),
                chain: Chain(r.array()?),
            },
            kind::BRANCH_TAKEN => Self::BranchTaken { branch: r.number32()? },
            kind::BATCH_GAP => Self::BatchGap { branch: r.number32()?, last: r.number()? },
            kind::REFILLED => Self::Refilled { stored: r.number32()?, refused: r.number32()?, head: read_position(r)? },
            kind::GRANTS => {
                let position = read_position(r)?;
                let n = r.count(100_000, "number of grants")?;
                let entries = (0..n).map(|_| GrantEntry::read(r)).collect::<Result<_, _>>()?;
                let roles = if r.is_empty() { "" } else { r.text(ROLES_BYTES_MAX, "roles")? };
                Self::Grants { position, entries, roles: roles.to_owned() }
            }
            kind::AREAS => {
                let version = r.number()?;
                let n = r.count(100_000, "number of areas")?;
                let areas = (0..n).map(|_| AreaEntry::read(r)).collect::<Result<_, _>>()?;
                Self::Areas { version, areas }
            }
            kind::DELIVERY => Self::Delivery(Delivery::read(r, tenant_key)?),
            kind::FILL_CLOSED => Self::FillClosed { grant: r.number()? },
            kind::COST => Self::Cost { changes: r.number()?, bytes: r.number()? },
            kind::DONE => Self::Done(Done {
                frames: r.number32()?,
                digest: r.array()?,
                more: r.byte()? != 0,
                scope: r.optional(|r| Ok(ScopeDigest { count: r.number()?, sum: u64::from_be_bytes(r.array()?) }))?,
            }),
            kind::WIPE => Self::Wipe(WipeOrder(r.array()?)),
            kind::FATES => Self::Fates {
                outcomes: read_outcomes(r, limits::WAITING_ASKED_MAX)?,
                as_of: r.number()?,
                receipt: MacTag(r.array()?),
                chain: Chain(r.array()?),
            },
            // forms that can't be read must not keep records from coming: they are asked for again
            kind::FORMS => FormsNews::read(r).map_or(Self::Unknown { kind }, Self::Forms),
            kind => Self::Unknown { kind },
        })
    }
}

impl GrantEntry {
    pub(super) fn write(&self, w: &mut Writer) {
        w.number(self.grant);
        w.text(&self.role);
        w.raw(&self.area.0);
        w.optional(self.subject, |w, s| w.raw(&s.0));
        w.byte(u8::from(self.active));
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            grant: r.number()?,
            role: r.text(64, "role")?.to_owned(),
            area: AreaId(r.array()?),
            subject: r.optional(|r| r.array().map(RecordId))?,
            active: r.byte()? != 0,
        })
    }
}

impl AreaEntry {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.area.0);
        w.optional(self.parent, |w, p| w.raw(&p.0));
        for text in [&self.level, &self.code, &self.name_zh, &self.name_en] {
            w.text(text);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            area: AreaId(r.array()?),
            parent: r.optional(|r| r.array().map(AreaId))?,
            level: r.text(64, "level")?.to_owned(),
            code: r.text(64, "code")?.to_owned(),
            name_zh: r.text(256, "name")?.to_owned(),
            name_en: r.text(256, "name")?.to_owned(),
        })
    }
}

impl Delivery {
    fn write(&self, w: &mut Writer) -> Result<(), DecodeError> {
        match &self.source {
            Source::Feed(position) => {
                w.byte(0);
                write_position(w, position);
            }
            Source::Fill { grant, after } => {
                w.byte(1);
                w.number(*grant);
                w.number(*after);
            }
        }
        w.number(self.as_of);
        w.raw(&self.receipt.0);
        write_records(w, &self.records)
    }

    fn read(r: &mut Reader<'_>, tenant_key: &TenantKey) -> Result<Self, DecodeError> {
        let source = match r.byte()? {
            0 => Source::Feed(read_position(r)?),
            1 => Source::Fill { grant: r.number()?, after: r.number()? },
            _ => return Err(DecodeError::Value("source of records")),
        };
        let as_of = r.number()?;
        let receipt = MacTag(r.array()?);
        Ok(Self { source, records: read_records(r, limits::FRAME_MAX, tenant_key)?, as_of, receipt })
    }

    /// The list that the receipt stands for.
    pub fn entries(&self) -> Vec<super::ManifestEntry> {
        let mut entries = Vec::new();
        for record in &self.records {
            let mut push = |change| {
                entries.push(super::ManifestEntry { record: record.id, incarnation: record.incarnation, change })
            };
            match &record.body {
                super::RecordBody::Changes(changes) => changes.iter().for_each(|c| push(c.hash)),
                super::RecordBody::Snapshot { heads, .. } => heads.iter().for_each(|h| push(*h)),
            }
        }
        entries
    }
}
