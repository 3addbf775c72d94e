//! Records on the wire: a block of records with their changes or a snapshot.
//!
//! Changes travel raw and without the first bytes of their chunk (magic, checksum, type, length), which follow from the
//! rest: 4 of them are a checksum that no compressor can shrink. Types and areas stand in a table before the records.

use sha2::{Digest, Sha256};

use super::codec::{DecodeError, Reader, Writer};
use crate::clock::Millis;
use crate::id::{AreaId, ChangeHash, Identity, Incarnation, RecordId, TenantKey};

/// One change on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireChange {
    /// SHA-256 of the chunk, as automerge defines it; recomputed by the reader, never sent.
    pub hash: ChangeHash,
    /// The whole uncompressed change chunk.
    pub bytes: Vec<u8>,
    /// When the server received it; 0 on the way up.
    pub received_ms: Millis,
}

/// What a record frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordBody {
    /// Changes in causal order. The derived first change never travels.
    Changes(Vec<WireChange>),
    /// A whole history: an uncompressed automerge document, with the heads that loading it must give. Only from the server.
    Snapshot {
        /// Heads, sorted.
        heads: Vec<ChangeHash>,
        /// The document chunk.
        bytes: Vec<u8>,
        /// When the server received the newest of it.
        received_ms: Millis,
    },
}

/// A record on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFrame {
    /// The record; derived where it has a natural key.
    pub id: RecordId,
    /// Type and natural key.
    pub identity: Identity,
    /// How often it was re-rooted.
    pub incarnation: Incarnation,
    /// Where it is; on the way up it counts only for a record that the server has never seen.
    pub area: AreaId,
    /// The record that it is about, such as the household of a visit.
    pub subject: Option<RecordId>,
    /// The content.
    pub body: RecordBody,
}

impl RecordFrame {
    /// The same record with these changes.
    pub fn with(&self, changes: Vec<WireChange>) -> Self {
        Self {
            id: self.id,
            identity: self.identity.clone(),
            incarnation: self.incarnation,
            area: self.area,
            subject: self.subject,
            body: RecordBody::Changes(changes),
        }
    }
}

const CHUNK_MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_CHANGE: u8 = 1;

/// The part of a raw change chunk that travels; `None` if it isn't an uncompressed change chunk.
pub fn strip_change(chunk: &[u8]) -> Option<&[u8]> {
    if chunk.len() < 10 || chunk[..4] != CHUNK_MAGIC || chunk[8] != CHUNK_CHANGE {
        return None;
    }
    let mut r = Reader::new(&chunk[9..]);
    let len = r.number().ok()?;
    (len == r.0.len() as u64).then_some(r.0)
}

/// Makes the chunk again from what travelled, and its hash.
pub fn restore_change(body: &[u8]) -> (ChangeHash, Vec<u8>) {
    let mut w = Writer(Vec::with_capacity(body.len() + 16));
    w.raw(&CHUNK_MAGIC);
    w.raw(&[0; 4]);
    w.byte(CHUNK_CHANGE);
    w.counted(body);
    let mut chunk = w.0;
    let hash: [u8; 32] = Sha256::digest(&chunk[8..]).into();
    chunk[4..8].copy_from_slice(&hash[..4]);
    (ChangeHash(hash), chunk)
}

impl WireChange {
    /// A change that is about to be sent.
    pub fn new(hash: ChangeHash, bytes: Vec<u8>) -> Self {
        Self { hash, bytes, received_ms: 0 }
    }
}

/// Writes a block of records.
pub fn write_records(w: &mut Writer, records: &[RecordFrame]) -> Result<(), DecodeError> {
    let mut types: Vec<&str> = Vec::new();
    let mut areas: Vec<AreaId> = Vec::new();
    for record in records {
        if !types.contains(&record.identity.record_type.as_str()) {
            types.push(&record.identity.record_type);
        }
        if !areas.contains(&record.area) {
            areas.push(record.area);
        }
    }
    w.number(types.len() as u64);
    types.iter().for_each(|t| w.text(t));
    w.number(areas.len() as u64);
    areas.iter().for_each(|a| w.raw(&a.0));
    w.number(records.len() as u64);
    for record in records {
        let index = |found: Option<usize>| found.unwrap_or(0) as u64;
        w.number(index(types.iter().position(|t| *t == record.identity.record_type)));
        w.number(index(areas.iter().position(|a| *a == record.area)));
        w.number(record.identity.key.len() as u64);
        if record.identity.key.is_empty() {
            w.raw(&record.id.0);
        }
        record.identity.key.iter().for_each(|k| w.raw(&k.0));
        w.number(u64::from(record.incarnation));
        w.optional(record.subject, |w, s| w.raw(&s.0));
    }
    let mut clock: Millis = 0;
    let mut time = |w: &mut Writer, at: Millis| {
        w.signed(at.wrapping_sub(clock) as i64);
        clock = at;
    };
    for record in records {
        match &record.body {
            RecordBody::Changes(changes) => {
                w.number((changes.len() as u64) << 1);
                for change in changes {
                    let body = strip_change(&change.bytes).ok_or(DecodeError::Value("change chunk"))?;
                    time(w, change.received_ms);
                    w.counted(body);
                }
            }
            RecordBody::Snapshot { heads, bytes, received_ms } => {
                w.number(((heads.len() as u64) << 1) | 1);
                heads.iter().for_each(|h| w.raw(&h.0));
                time(w, *received_ms);
                w.counted(bytes);
            }
        }
    }
    Ok(())
}

/// Reads a block of records with at most `changes_max` changes.
pub fn read_records(
    r: &mut Reader<'_>,
    changes_max: usize,
    tenant_key: &TenantKey,
) -> Result<Vec<RecordFrame>, DecodeError> {
    let n = r.count(256, "number of record types")?;
    let types = (0..n).map(|_| r.text(64, "record type")).collect::<Result<Vec<_>, _>>()?;
    let n = r.count(4096, "number of areas")?;
    let areas = (0..n).map(|_| r.array().map(AreaId)).collect::<Result<Vec<_>, _>>()?;
    let n = r.count(changes_max, "number of records")?;
    let mut records = Vec::with_capacity(n);
    for _ in 0..n {
        records.push(read_head(r, &types, &areas, tenant_key)?);
    }
    let mut left = changes_max;
    let mut clock: Millis = 0;
    for record in &mut records {
        let mark = r.number()?;
        let n = usize::try_from(mark >> 1).map_err(|_| DecodeError::Number)?;
        if mark & 1 == 1 {
            if n > 1024 {
                return Err(DecodeError::Limit("number of heads"));
            }
            let heads = (0..n).map(|_| r.array().map(ChangeHash)).collect::<Result<Vec<_>, _>>()?;
            clock = clock.wrapping_add(r.signed()? as u64);
            let bytes = r.counted(super::limits::FRAME_MAX, "snapshot")?.to_vec();
            record.body = RecordBody::Snapshot { heads, bytes, received_ms: clock };
            continue;
        }
        left = left.checked_sub(n).ok_or(DecodeError::Limit("number of changes"))?;
        let mut changes = Vec::with_capacity(n.min(r.0.len()));
        for _ in 0..n {
            clock = clock.wrapping_add(r.signed()? as u64);
            let (hash, bytes) = restore_change(r.counted(super::limits::UPLOAD_INFLATED_MAX, "change")?);
            changes.push(WireChange { hash, bytes, received_ms: clock });
        }
        record.body = RecordBody::Changes(changes);
    }
    Ok(records)
}

fn read_head(
    r: &mut Reader<'_>,
    types: &[&str],
    areas: &[AreaId],
    tenant_key: &TenantKey,
) -> Result<RecordFrame, DecodeError> {
    let record_type = types.get(r.number()? as usize).ok_or(DecodeError::Value("record type"))?;
    let area = *areas.get(r.number()? as usize).ok_or(DecodeError::Value("area"))?;
    let parts = r.number()?;
    if parts > 4 {
        return Err(DecodeError::Limit("natural key"));
    }
    let given = if parts == 0 { Some(RecordId(r.array()?)) } else { None };
    let key = (0..parts).map(|_| r.array().map(RecordId)).collect::<Result<Vec<_>, _>>()?;
    let identity = Identity { record_type: (*record_type).to_owned(), key };
    if !identity.is_valid() {
        return Err(DecodeError::Value("record type"));
    }
    let id = given.or_else(|| identity.derived_id(tenant_key)).ok_or(DecodeError::Value("record id"))?;
    let incarnation = r.number32()?;
    let subject = r.optional(|r| r.array().map(RecordId))?;
    Ok(RecordFrame { id, identity, incarnation, area, subject, body: RecordBody::Changes(Vec::new()) })
}

/// The head of a change chunk, read without trusting or decoding the rest: who claims to have made it and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeHead<'a> {
    /// The changes that it builds on.
    pub dependencies: Vec<ChangeHash>,
    /// Its actor.
    pub actor: crate::id::ActorId,
    /// The actor's number.
    pub seq: u64,
    /// Claimed time in seconds since 1970.
    pub claimed_s: i64,
    /// Its message.
    pub message: &'a str,
}

impl<'a> ChangeHead<'a> {
    /// Reads the head of an uncompressed change chunk; `None` if there is none.
    pub fn read(chunk: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(strip_change(chunk)?);
        let n = r.count(1024, "number of dependencies").ok()?;
        let dependencies = (0..n).map(|_| r.array().map(ChangeHash)).collect::<Result<_, _>>().ok()?;
        let actor = crate::id::ActorId::from_slice(r.counted(16, "actor").ok()?)?;
        let seq = r.number().ok()?;
        let _start_op = r.number().ok()?;
        let claimed_s = signed_leb128(&mut r)?;
        let message = r.text(256, "message").ok()?;
        Some(Self { dependencies, actor, seq, claimed_s, message })
    }
}

fn signed_leb128(r: &mut Reader<'_>) -> Option<i64> {
    let mut n = 0i64;
    for shift in (0..63).step_by(7) {
        let b = r.byte().ok()?;
        n |= i64::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            let width = shift + 7;
            return Some(if b & 0x40 != 0 && width < 64 { n | (-1i64 << width) } else { n });
        }
    }
    None
}
