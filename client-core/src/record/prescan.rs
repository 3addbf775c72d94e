//! Bounded structural scans before anything is decoded: linear in the input, no allocation.
//!
//! automerge has no limits of its own: a few bytes of run lengths hold the processor for seconds, which no
//! `catch_unwind` ends. So every run length is counted here first.

use sha2::{Digest, Sha256};

use super::limits;
use super::refusal::Refusal;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const DOCUMENT: u8 = 0;
const CHANGE: u8 = 1;
const DEFLATED: u64 = 8;

struct Bytes<'a>(&'a [u8]);

type Scan<T> = Result<T, Refusal>;

impl<'a> Bytes<'a> {
    fn unsigned(&mut self) -> Scan<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return Err(Refusal::Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(Refusal::Malformed);
            }
        }
    }

    fn signed(&mut self) -> Scan<i64> {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let byte = self.take(1)?[0];
            if shift > 63 {
                return Err(Refusal::Malformed);
            }
            value |= i64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                if shift < 64 && byte & 0x40 != 0 {
                    value |= -1i64 << shift;
                }
                return Ok(value);
            }
        }
    }

    fn take(&mut self, n: u64) -> Scan<&'a [u8]> {
        if n > self.0.len() as u64 {
            return Err(Refusal::Malformed);
        }
        let (head, rest) = self.0.split_at(n as usize);
        self.0 = rest;
        Ok(head)
    }

    fn actor(&mut self) -> Scan<()> {
        let length = self.unsigned()?;
        if length != limits::ACTOR_BYTES {
            return Err(Refusal::ActorLength);
        }
        self.take(length).map(|_| ())
    }
}

/// Checks frame and checksum of exactly one chunk; gives its hash and body.
fn frame(bytes: &[u8], kind: u8, limit: usize) -> Scan<([u8; 32], Bytes<'_>)> {
    if bytes.len() > limit {
        return Err(Refusal::TooLarge);
    }
    if bytes.len() < 10 || bytes[..4] != MAGIC || bytes[8] != kind {
        return Err(Refusal::NotAChange);
    }
    let mut body = Bytes(&bytes[9..]);
    if body.unsigned()? != body.0.len() as u64 {
        return Err(Refusal::Malformed);
    }
    let hash: [u8; 32] = Sha256::digest(&bytes[8..]).into();
    if hash[..4] != bytes[4..8] {
        return Err(Refusal::Checksum);
    }
    Ok((hash, body))
}

/// Scans a raw change; gives its hash.
pub(super) fn change(bytes: &[u8]) -> Scan<[u8; 32]> {
    let (hash, mut body) = frame(bytes, CHANGE, limits::CHANGE_BYTES)?;
    let dependencies = body.unsigned()?;
    if dependencies > limits::DEPENDENCIES {
        return Err(Refusal::TooManyDependencies);
    }
    body.take(dependencies * 32)?;
    body.actor()?;
    if body.unsigned()? == 0 {
        return Err(Refusal::Sequence);
    }
    let start = body.unsigned()?;
    if start == 0 || start > limits::START_OP {
        return Err(Refusal::StartOp);
    }
    body.signed()?;
    let message = body.unsigned()?;
    if message == 0 || message > limits::MESSAGE_BYTES {
        return Err(Refusal::Message);
    }
    body.take(message)?;
    let actors = body.unsigned()?;
    if actors > limits::ACTORS {
        return Err(Refusal::Malformed);
    }
    for _ in 0..actors {
        body.actor()?;
    }
    let specs = column_specs(&mut body)?;
    columns(&mut body, &specs, limits::OPERATIONS, limits::PREDECESSORS)?;
    if body.0.is_empty() { Ok(hash) } else { Err(Refusal::Malformed) }
}

/// Scans a snapshot: one uncompressed document chunk.
pub(super) fn document(bytes: &[u8]) -> Scan<()> {
    let (_, mut body) = frame(bytes, DOCUMENT, limits::SNAPSHOT_BYTES)?;
    let actors = body.unsigned()?;
    if actors > limits::SNAPSHOT_ACTORS {
        return Err(Refusal::TooLarge);
    }
    for _ in 0..actors {
        body.actor()?;
    }
    let heads = body.unsigned()?;
    if heads > limits::SNAPSHOT_ROWS {
        return Err(Refusal::TooLarge);
    }
    body.take(heads * 32)?;
    let changes = column_specs(&mut body)?;
    let operations = column_specs(&mut body)?;
    let rows = limits::SNAPSHOT_ROWS.min(limits::SNAPSHOT_ROWS_PER_BYTE * bytes.len() as u64);
    columns(&mut body, &changes, rows, rows)?;
    columns(&mut body, &operations, rows, rows)?;
    for _ in 0..heads {
        body.unsigned()?;
    }
    if body.0.is_empty() { Ok(()) } else { Err(Refusal::Malformed) }
}

struct Specs {
    columns: [(u64, u64); limits::COLUMNS as usize],
    count: usize,
}

fn column_specs(body: &mut Bytes<'_>) -> Scan<Specs> {
    let count = body.unsigned()?;
    if count > limits::COLUMNS {
        return Err(Refusal::Malformed);
    }
    let mut specs = Specs { columns: [(0, 0); limits::COLUMNS as usize], count: count as usize };
    let mut last = None;
    for column in &mut specs.columns[..count as usize] {
        let spec = body.unsigned()?;
        if spec & DEFLATED != 0 || spec > 0xff || last.is_some_and(|l| spec <= l) {
            return Err(Refusal::Malformed);
        }
        last = Some(spec);
        *column = (spec, body.unsigned()?);
    }
    Ok(specs)
}

fn columns(body: &mut Bytes<'_>, specs: &Specs, rows: u64, grouped_rows: u64) -> Scan<()> {
    for &(spec, length) in &specs.columns[..specs.count] {
        column(Bytes(body.take(length)?), spec & 7, rows, grouped_rows)?;
    }
    Ok(())
}

/// Counts the rows of one column by its type: 7 holds raw values, 4 run lengths of booleans, 3 deltas, 5 texts, the rest unsigned numbers.
fn column(mut bytes: Bytes<'_>, kind: u64, rows: u64, grouped_rows: u64) -> Scan<()> {
    let mut count = 0u64;
    let mut add = |n: u64, limit: u64| {
        count = count.saturating_add(n);
        if count > limit { Err(Refusal::TooManyOperations) } else { Ok(()) }
    };
    match kind {
        7 => return Ok(()),
        4 => {
            while !bytes.0.is_empty() {
                add(bytes.unsigned()?, rows)?;
            }
        }
        _ => {
            while !bytes.0.is_empty() {
                let run = bytes.signed()?;
                let (repeats, values) = match run {
                    1.. => (run as u64, 1),
                    0 => (bytes.unsigned()?, 0),
                    _ => (run.unsigned_abs(), run.unsigned_abs()),
                };
                if repeats == 0 {
                    return Err(Refusal::Malformed);
                }
                add(repeats, grouped_rows)?;
                for _ in 0..values {
                    scan_value(&mut bytes, kind)?;
                }
            }
        }
    }
    Ok(())
}

fn scan_value(bytes: &mut Bytes<'_>, kind: u64) -> Scan<()> {
    match kind {
        3 => bytes.signed().map(|_| ()),
        5 => {
            let length = bytes.unsigned()?;
            std::str::from_utf8(bytes.take(length)?).map(|_| ()).map_err(|_| Refusal::Malformed)
        }
        _ if bytes.unsigned()? > 1 << 32 => Err(Refusal::Malformed),
        _ => Ok(()),
    }
}
