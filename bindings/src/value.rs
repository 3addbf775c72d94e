//! Values that cross to the app, each made from one of the core.

use std::collections::HashMap;

use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::protocol::AreaEntry;
use doorstep_core::record::{Difference, Value};
use doorstep_core::store::{self, RefusedRow, Row};
use doorstep_core::sync;

uniffi::custom_type!(RecordId, String, {
    remote,
    try_lift: |text| Ok(text.parse()?),
    lower: |id| id.to_string(),
});
uniffi::custom_type!(AreaId, String, {
    remote,
    try_lift: |text| Ok(text.parse()?),
    lower: |id| id.to_string(),
});

/// An answer.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum Answer {
    /// Cleared on purpose.
    Blank,
    /// A tick or an acknowledgement.
    Mark { value: bool },
    /// A whole number.
    Int { value: i64 },
    /// A decimal number.
    Number { value: f64 },
    /// Everything else: text, the name of a choice, a date as `2026-03-01`.
    Text { value: String },
}

impl From<Answer> for Value {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Blank => Self::Blank,
            Answer::Mark { value } => Self::Bool(value),
            Answer::Int { value } => Self::Int(value),
            Answer::Number { value } => Self::Number(value),
            Answer::Text { value } => Self::Text(value),
        }
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        match value {
            Value::Blank => Self::Blank,
            Value::Bool(value) => Self::Mark { value },
            Value::Int(value) => Self::Int { value },
            Value::Number(value) => Self::Number { value },
            Value::Text(value) => Self::Text { value },
        }
    }
}

/// An area that the phone knows.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Area {
    pub id: AreaId,
    pub parent: Option<AreaId>,
    /// A name from the pack, such as `village`.
    pub level: String,
    pub name_zh: String,
    pub name_en: String,
}

impl From<AreaEntry> for Area {
    fn from(area: AreaEntry) -> Self {
        Self { id: area.area, parent: area.parent, level: area.level, name_zh: area.name_zh, name_en: area.name_en }
    }
}

/// A record in a list.
#[derive(Debug, Clone, uniffi::Record)]
pub struct RecordRow {
    pub id: RecordId,
    /// Such as `household`.
    pub record_type: String,
    /// Where it is placed.
    pub area: AreaId,
    /// What the list shows first, such as the head of household.
    pub title: String,
    /// What the list shows beside it, such as the household's number.
    pub label: String,
    pub status: String,
    /// Members of a household.
    pub persons: u32,
    /// Answers for which two values stand.
    pub differences: u32,
}

impl From<Row> for RecordRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            record_type: row.record_type,
            area: row.area,
            title: row.title,
            label: row.label,
            status: row.status,
            persons: row.persons,
            differences: row.differences,
        }
    }
}

/// An answer for which several values stand; the first is shown until someone decides.
#[derive(Debug, Clone, uniffi::Record)]
pub struct AnswerDifference {
    /// The answer's key.
    pub key: String,
    pub values: Vec<DifferingValue>,
}

/// One of the values, with who and when.
#[derive(Debug, Clone, uniffi::Record)]
pub struct DifferingValue {
    pub value: Answer,
    /// The person's id.
    pub user: String,
    /// Seconds since 1970 as the phone claimed.
    pub claimed_s: i64,
}

impl From<Difference> for AnswerDifference {
    fn from(difference: Difference) -> Self {
        let values = difference.values.into_iter().map(|v| DifferingValue {
            value: v.value.into(),
            user: v.user.to_string(),
            claimed_s: v.claimed_s,
        });
        Self { key: difference.key, values: values.collect() }
    }
}

/// A change that the server refused and keeps.
#[derive(Debug, Clone, uniffi::Record)]
pub struct RefusedChange {
    pub record: RecordId,
    /// A code; messages for people are the app's.
    pub reason: String,
}

impl From<RefusedRow> for RefusedChange {
    fn from(row: RefusedRow) -> Self {
        Self { record: row.record, reason: row.reason }
    }
}

/// An upload that the server refused as a whole. Nothing of it is lost: each sync sends it once more.
#[derive(Debug, Clone, uniffi::Record)]
pub struct RefusedUpload {
    /// A batch's number; 0 for an upload that brings back what a restored server lacks.
    pub number: u64,
    /// Changes in it.
    pub changes: u64,
    /// Its bytes.
    pub bytes: u64,
    /// A code.
    pub reason: String,
    /// What happened, for the person.
    pub what_zh: String,
    pub what_en: String,
    /// What the person does about it.
    pub advice_zh: String,
    pub advice_en: String,
    /// When it was refused first, milliseconds since 1970 by the phone's clock.
    pub first_ms: u64,
    /// In how many syncs it was refused.
    pub times: u32,
}

impl From<store::RefusedUpload> for RefusedUpload {
    fn from(upload: store::RefusedUpload) -> Self {
        let (what, advice) = (|l| upload.what(l).to_owned(), |l| upload.advice(l).to_owned());
        Self {
            number: upload.number,
            changes: upload.changes,
            bytes: upload.bytes,
            what_zh: what("zh"),
            what_en: what("en"),
            advice_zh: advice("zh"),
            advice_en: advice("en"),
            first_ms: upload.first_ms,
            times: upload.times,
            reason: upload.reason.clone(),
        }
    }
}

/// What the next sync costs.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SyncCost {
    /// Bytes that go up.
    pub bytes_up: u64,
    pub changes_up: u64,
    /// If the server was asked.
    pub changes_down: Option<u64>,
    /// Before compression, if the server was asked.
    pub bytes_down: Option<u64>,
}

impl From<sync::Cost> for SyncCost {
    fn from(cost: sync::Cost) -> Self {
        Self {
            bytes_up: cost.bytes_up,
            changes_up: cost.changes_up,
            changes_down: cost.changes_down,
            bytes_down: cost.bytes_down,
        }
    }
}

/// What a sync did, or has done so far.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SyncReport {
    pub requests: u32,
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub changes_sent: u64,
    /// Changes that the server has for good now.
    pub changes_acknowledged: u64,
    /// Changes that wait on the server for others.
    pub changes_waiting: u64,
    /// Refused changes by reason.
    pub refused: HashMap<String, u64>,
    /// The server refused a whole upload, with this reason: see `Phone.refused_upload`. The rest of the sync went on.
    pub upload_refused: Option<String>,
    pub records_received: u64,
    pub changes_received: u64,
    /// Versions of forms that came.
    pub forms_received: u64,
    /// The phone's clock minus the server's, in milliseconds.
    pub clock_off_ms: i64,
}

impl From<&sync::SyncReport> for SyncReport {
    fn from(report: &sync::SyncReport) -> Self {
        Self {
            requests: report.requests,
            bytes_up: report.bytes_up,
            bytes_down: report.bytes_down,
            changes_sent: report.changes_sent,
            changes_acknowledged: report.changes_acknowledged,
            changes_waiting: report.changes_waiting,
            refused: report.refused.iter().map(|(reason, count)| (reason.clone(), *count)).collect(),
            upload_refused: report.upload_refused.clone(),
            records_received: report.records_received,
            changes_received: report.changes_received,
            forms_received: report.forms_received,
            clock_off_ms: report.clock_off_ms,
        }
    }
}
