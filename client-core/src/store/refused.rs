//! The upload that the server refused as a whole: kept as it is, and shown until the server takes what is in it.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::Store;
use super::connection::{Durability, Work, clear_meta, meta, set_meta};
use super::error::{Result, StoreError};
use crate::clock::Millis;
use crate::protocol::{ManifestEntry, refusal_text};

const NAME: &str = "refused_upload";

/// An upload that the server refused as a whole. Nothing of it is lost: each sync sends it once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedUpload {
    /// True if it brings back what a rewound server lacks; false for a batch of this phone's changes.
    pub refill: bool,
    /// A batch's branch.
    pub branch: u32,
    /// A batch's number on its branch; 0 for a refill.
    pub number: u64,
    /// Changes in it.
    pub changes: u64,
    /// Its bytes, compressed.
    pub bytes: u64,
    /// A code of [`crate::protocol::UploadRefusal`], or of a newer server.
    pub reason: String,
    /// When it was refused first, by the phone's clock.
    pub first_ms: Millis,
    /// When it was refused last, by the phone's clock.
    pub last_ms: Millis,
    /// In how many syncs it was refused.
    pub times: u32,
}

impl RefusedUpload {
    /// What happened, in Chinese (`zh`, also `zh-CN`) or English.
    pub fn what(&self, language: &str) -> &'static str {
        refusal_text(&self.reason).what.in_language(language)
    }

    /// What the person with the phone does about it.
    pub fn advice(&self, language: &str) -> &'static str {
        refusal_text(&self.reason).advice.in_language(language)
    }
}

impl Store {
    /// Notes that the server refused the pending upload with this digest; gives what is known of it then. `None` if no such
    /// upload is pending any more.
    pub fn note_refused_upload(&self, digest: [u8; 32], reason: &str) -> Result<Option<RefusedUpload>> {
        self.in_transaction(Durability::Power, |work| {
            let Some(mut noted) = work.pending_as_refused(digest)? else { return Ok(None) };
            let before = read(work.db)?;
            noted.reason = reason.to_owned();
            noted.last_ms = work.tools.clock.now_ms();
            noted.first_ms = before.as_ref().map_or(noted.last_ms, |b| b.first_ms);
            noted.times = before.map_or(0, |b| b.times).saturating_add(1);
            let json = serde_json::to_string(&noted).map_err(|_| StoreError::Stored(NAME))?;
            set_meta(work.db, NAME, json)?;
            // the server has none of it for sure: the next sync needn't ask
            clear_meta(work.db, "attempt")?;
            Ok(Some(noted))
        })
    }

    /// The upload that the server refused last, until it takes one.
    pub fn refused_upload(&self) -> Result<Option<RefusedUpload>> {
        self.connections.read(read)
    }
}

fn read(db: &rusqlite::Connection) -> Result<Option<RefusedUpload>> {
    let json: Option<String> = meta(db, NAME)?;
    json.map(|json| serde_json::from_str(&json).map_err(|_| StoreError::Stored(NAME))).transpose()
}

impl Work<'_> {
    /// The server took an upload: none is refused any more.
    pub fn upload_taken(&self) -> Result<()> {
        clear_meta(self.db, NAME)
    }

    fn pending_as_refused(&self, digest: [u8; 32]) -> Result<Option<RefusedUpload>> {
        let row = |refill: bool, r: &rusqlite::Row<'_>| {
            Ok(RefusedUpload {
                refill,
                branch: r.get(0)?,
                number: r.get::<_, i64>(1)?.cast_unsigned(),
                changes: r.get::<_, i64>(2)?.cast_unsigned(),
                bytes: r.get::<_, i64>(3)?.cast_unsigned(),
                reason: String::new(),
                first_ms: 0,
                last_ms: 0,
                times: 0,
            })
        };
        let batch = self
            .db
            .prepare_cached(
                "SELECT branch, number, length(entries) / ?, length(upload) FROM batch WHERE state = 0 AND digest = ?",
            )?
            .query_row(params![ManifestEntry::LEN as i64, digest], |r| row(false, r))
            .optional()?;
        if batch.is_some() {
            return Ok(batch);
        }
        let mut refill = self.db.prepare_cached("SELECT 0, 0, changes, length(upload) FROM refill WHERE digest = ?")?;
        Ok(refill.query_row([digest], |r| row(true, r)).optional()?)
    }
}
