//! A user's log of grants as a phone keeps it. The chain after the last entry is keyed by the server: it is the server's word
//! for the whole log, so that a restored server takes back from a phone what it has forgotten, and nothing that is invented.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::codec::{DecodeError, Reader, Writer};
use super::reply::GrantEntry;
use crate::id::Chain;

/// Entries in a log that is brought back.
const ENTRIES_MAX: usize = 10_000;

/// All entries of a user's log, from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantLog {
    /// The entries, in their order.
    pub entries: Vec<GrantEntry>,
    /// The chain after the last.
    pub chain: Chain,
}

/// A log as JSON carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLogText {
    /// The entries as the frame *grants* writes them, one after the other, hexadecimal.
    pub entries: String,
    /// The chain after the last, hexadecimal.
    pub chain: String,
}

impl GrantLog {
    /// The entries' bytes.
    pub fn entry_bytes(entries: &[GrantEntry]) -> Vec<u8> {
        let mut w = Writer::new();
        entries.iter().for_each(|entry| entry.write(&mut w));
        w.0
    }

    /// As JSON carries it.
    pub fn to_text(&self) -> GrantLogText {
        GrantLogText {
            entries: HEXLOWER.encode(&Self::entry_bytes(&self.entries)),
            chain: HEXLOWER.encode(&self.chain.0),
        }
    }

    /// From the entries' bytes.
    pub fn read(entries: &[u8], chain: Chain) -> Result<Self, DecodeError> {
        let mut r = Reader::new(entries);
        let mut log = Self { entries: Vec::new(), chain };
        while !r.is_empty() {
            if log.entries.len() >= ENTRIES_MAX {
                return Err(DecodeError::Limit("number of grants"));
            }
            log.entries.push(GrantEntry::read(&mut r)?);
        }
        Ok(log)
    }
}

impl GrantLogText {
    /// The log.
    pub fn log(&self) -> Result<GrantLog, DecodeError> {
        let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).map_err(|_| DecodeError::Value("hexadecimal text"));
        let chain = bytes(&self.chain)?.try_into().map_err(|_| DecodeError::Value("chain"))?;
        GrantLog::read(&bytes(&self.entries)?, Chain(chain))
    }
}
