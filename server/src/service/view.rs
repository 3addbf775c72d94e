//! A record as people look at it: merged answers, differences with who and when, history, parts.

use std::collections::HashMap;
use std::sync::Arc;

use doorstep_core::clock::Millis;
use doorstep_core::form::{Form, Sensitivity};
use doorstep_core::id::{ChangeHash, DeviceId, Identity, RecordId, UserId};
use doorstep_core::link::LINK_TYPE;
use doorstep_core::record::{Difference, Record, Section, View};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Service, merge};
use crate::storage::{Device, RecordFilter, RecordRow, StorageError, StoredChange, StoredRecord, TownshipId, User};

/// The names behind ids of a township.
#[derive(Default)]
pub struct People {
    users: HashMap<UserId, User>,
    devices: HashMap<DeviceId, Device>,
}

impl People {
    /// A person's name; empty if unknown.
    pub fn user(&self, user: UserId) -> String {
        self.users.get(&user).map(|u| u.name.clone()).unwrap_or_default()
    }

    /// All people.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// A person's devices.
    pub fn devices_of(&self, user: UserId) -> impl Iterator<Item = DeviceId> {
        self.devices.values().filter(move |device| device.user == user).map(|device| device.id)
    }

    /// The name of the person whose device it is.
    pub fn device_user(&self, device: DeviceId) -> String {
        self.devices.get(&device).map(|d| self.user(d.user)).unwrap_or_default()
    }
}

/// Loads the names of a township.
pub fn people(service: &Service, township: TownshipId) -> Result<People, StorageError> {
    let users = service.storage.users()?.into_iter().map(|u| (u.id, u)).collect();
    let devices = service.storage.devices(township)?.into_iter().map(|d| (d.id, d)).collect();
    Ok(People { users, devices })
}

/// One value of a difference, or one entry of a history.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The answer's key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The values that it replaced; more than one if it decided a difference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Value>,
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// On which device; `None` if the server only knows that phones brought it back.
    pub device: Option<DeviceId>,
    /// By which form, as `name@version`.
    pub form: Option<String>,
    /// When, by the phone's clock, seconds since 1970.
    pub claimed_s: i64,
    /// When the server received it.
    pub received_ms: Millis,
    /// The feed's number of the change; 0 where that isn't known.
    pub seq: u64,
    /// The change.
    pub change: ChangeHash,
}

/// Answers that stand differently.
#[derive(Debug, Clone, Serialize)]
pub struct DifferenceEntry {
    /// The key.
    pub key: String,
    /// The values, the one shown first.
    pub values: Vec<Entry>,
}

/// A record's page.
pub struct RecordPage {
    /// Its row.
    pub row: RecordRow,
    /// Canonical JSON.
    pub json: String,
    /// The record's heads now: a decision names them.
    pub heads: Vec<ChangeHash>,
    /// Which moment of the past is shown: the number and the time of the last change that counts. `None`: now.
    pub as_of: Option<(u64, Millis)>,
    /// Differences.
    pub differences: Vec<DifferenceEntry>,
    /// History up to now, oldest first.
    pub history: Vec<Entry>,
    /// The other sensitivity classes of the same form instance.
    pub parts: Vec<RecordRow>,
    /// Visits and screenings about it.
    pub about: Vec<RecordRow>,
    /// The answers, by key.
    pub answers: std::collections::BTreeMap<String, doorstep_core::record::Value>,
    /// The form that the record's type belongs to, in its newest version.
    pub form: Option<Arc<Form>>,
}

impl RecordPage {
    /// True where nothing of the record may be shown yet: a sensitive or office-only part (`household.sensitive`), or a type
    /// of no form. `Service::look_at_masked` opens those.
    pub fn is_masked(&self) -> bool {
        is_masked(&self.row, self.form.as_deref())
    }

    /// Leaves only what may be shown: answers to the form's questions outside the sensitive classes. Others don't belong into
    /// this document, but a phone with an old form, or a hostile one, may have put them there.
    pub fn into_shown(mut self) -> Self {
        let form = self.form.clone();
        let is_shown = |key: &str| form.as_ref().is_some_and(|form| is_shown(form, key));
        self.differences.retain(|d| is_shown(&d.key));
        self.history.retain(|h| is_shown(&h.key));
        self.answers.retain(|key, _| is_shown(key));
        let mut merged: Value = serde_json::from_str(&self.json).unwrap_or_default();
        if let Some(answers) = merged.get_mut("answers").and_then(Value::as_object_mut) {
            answers.retain(|key, _| is_shown(key));
        }
        if let Some(differences) = merged.get_mut("differences").and_then(Value::as_array_mut) {
            differences.retain(|d| d["section"].is_string() || d["key"].as_str().is_some_and(is_shown));
        }
        self.json = merged.to_string();
        self
    }
}

/// A moment in a record's past, by the server's word: no phone's clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// When the feed had come to this number.
    Feed(u64),
    /// After all that the server had received by then.
    Received(Millis),
}

impl AsOf {
    /// From a number of the feed, or a time as RFC 3339 writes it (`2026-11-20T08:00:00+08:00`).
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(seq) = text.parse() {
            return Some(Self::Feed(seq));
        }
        // a plus sign that wasn't escaped in an address arrives as a space
        let time = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok()?;
        u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().map(Self::Received)
    }

    /// The record as stored by then. The feed's order is causal, so that what counts is whole.
    fn of(self, stored: &StoredRecord) -> StoredRecord {
        let counts = |c: &&StoredChange| match self {
            Self::Feed(seq) => c.seq <= seq,
            Self::Received(ms) => c.received_ms <= ms,
        };
        let changes = stored.changes.iter().take_while(counts).cloned().collect();
        StoredRecord { changes, ..stored.clone() }
    }
}

/// True for a record of which nothing is shown without a reason: a part, or a type of no form.
pub(super) fn is_masked(row: &RecordRow, form: Option<&Form>) -> bool {
    row.record_type.contains('.') || form.is_none()
}

/// True for an answer that a core document may show.
pub(super) fn is_shown(form: &Form, key: &str) -> bool {
    form.class_of(key) == Some(Sensitivity::Core)
}

/// Loads the page of a township's record.
pub fn record_page(service: &Service, township: TownshipId, id: RecordId) -> Result<Option<RecordPage>, StorageError> {
    record_page_at(service, township, id, None)
}

/// The same, with the answers and differences as they were at a moment. The row and the history are those of now.
pub fn record_page_at(
    service: &Service,
    township: TownshipId,
    id: RecordId,
    as_of: Option<AsOf>,
) -> Result<Option<RecordPage>, StorageError> {
    let storage = &*service.storage;
    let Some(row) = storage.record_row(township, id)? else { return Ok(None) };
    let Some(stored) = storage.full_record(township, id)? else { return Ok(None) };
    let Ok(record) = merge::open_record(&stored) else { return Ok(None) };
    let names = people(service, township)?;
    let about = storage.list_records(
        township,
        &RecordFilter { subject: Some(id), elsewhere: true, limit: 200, ..RecordFilter::default() },
    )?;
    let is_told = |r: &RecordRow| r.core == r.id && r.record_type != LINK_TYPE;
    let about = about.into_iter().filter(is_told).collect();
    let parts = parts(service, township, &row)?;
    let circumstances = Circumstances::new(&stored, &names);
    let (view, answers, as_of) = match as_of {
        None => {
            let (view, answers) = record.view_and_answers();
            (view, answers, None)
        }
        Some(as_of) => {
            let earlier = as_of.of(&stored);
            let Ok(then) = merge::open_record(&earlier) else { return Ok(None) };
            let at = earlier.changes.last().map_or((0, 0), |c| (c.seq, c.received_ms));
            (record.view_at(&then.heads()), record.answers_at(&then.heads()), Some(at))
        }
    };
    let differences = circumstances.differences(&record, &view);
    let history = record
        .history()
        .into_iter()
        .filter(|h| h.section == Section::Answers)
        .map(|h| {
            let previous = h.previous.iter().map(doorstep_core::record::Value::to_json).collect();
            circumstances.entry(&record, &h.key, h.value.to_json(), previous, h.change)
        })
        .collect();
    let form = service.forms()?.of_type(row.record_type.split('.').next().unwrap_or_default());
    let (json, heads) = (view.json, record.heads());
    Ok(Some(RecordPage { row, json, heads, as_of, differences, history, parts, about, answers, form }))
}

/// The other sensitivity classes of a core record's form instance, as far as there are any.
fn parts(service: &Service, township: TownshipId, row: &RecordRow) -> Result<Vec<RecordRow>, StorageError> {
    let mut parts = Vec::new();
    for class in [Sensitivity::Sensitive, Sensitivity::Office].into_iter().filter(|_| row.core == row.id) {
        let id = Identity::part(&row.record_type, class.as_str(), row.id).derived_id(&service.tenant_key());
        parts.extend(id.map(|id| service.storage.record_row(township, id)).transpose()?.flatten());
    }
    Ok(parts)
}

/// Who sent a record's changes, and when.
pub(super) struct Circumstances<'a> {
    received: HashMap<ChangeHash, (Option<DeviceId>, Millis, u64)>,
    names: &'a People,
}

impl<'a> Circumstances<'a> {
    pub(super) fn new(stored: &StoredRecord, names: &'a People) -> Self {
        let received = stored.changes.iter().map(|c| (c.hash, (c.device, c.received_ms, c.seq))).collect();
        Self { received, names }
    }

    /// A view's differences with people and times.
    pub(super) fn differences(&self, record: &Record, view: &View) -> Vec<DifferenceEntry> {
        let entry = |d: &Difference| {
            let values = d.values.iter();
            let values = values.map(|v| self.entry(record, &d.key, v.value.to_json(), Vec::new(), v.change));
            DifferenceEntry { key: d.key.clone(), values: values.collect() }
        };
        view.differences.iter().map(entry).collect()
    }

    fn entry(&self, record: &Record, key: &str, value: Value, previous: Vec<Value>, change: ChangeHash) -> Entry {
        let info = record.author_of(&change);
        let (device, received_ms, seq) = self.received.get(&change).copied().unwrap_or((None, 0, 0));
        let user = info.as_ref().map_or(UserId([0; 16]), |i| i.note.user);
        Entry {
            key: key.to_owned(),
            value,
            previous,
            user,
            name: self.names.user(user),
            device,
            form: info.as_ref().and_then(|i| i.note.form.as_ref().map(ToString::to_string)),
            claimed_s: info.map_or(0, |i| i.claimed_s),
            received_ms,
            seq,
            change,
        }
    }
}
