//! The process with the phones: real client cores, a database each. One JSON line asks, one JSON line answers.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use doorstep_core::client::Phone;
use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::record::{ChangeNote, Edit, FormRef, Section, Value};
use doorstep_core::store::PlannedDocument;
use doorstep_core::sync::{Cancel, HttpTransport, Silent, SyncReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Fault;
use crate::cli::Outcome;
use crate::say;

/// Changes in a batch made before the start, as the sync engine would make it.
const BATCH_CHANGES: usize = 500;

/// What the worker does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Ask {
    /// Opens an enrolled phone.
    Open {
        /// Its name in later lines.
        phone: String,
        /// Its folder.
        dir: PathBuf,
    },
    /// Writes documents, one change each, without sending them.
    Write {
        /// Which phone.
        phone: String,
        /// What.
        documents: Vec<Written>,
    },
    /// Makes and signs the batch that the next sync sends.
    Prepare {
        /// Which phones.
        phones: Vec<String>,
    },
    /// Syncs the phones at the same time, each over a new connection.
    Sync {
        /// Which phones.
        phones: Vec<String>,
        /// The server's address.
        server: String,
    },
    /// The merged record.
    Show {
        /// Which phone.
        phone: String,
        /// Which record.
        record: RecordId,
    },
}

/// A document to write: a new record, or answers of one that the phone holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    /// Type.
    pub record_type: String,
    /// The record; `None` for a new one.
    pub record: Option<RecordId>,
    /// Natural key of a new record.
    pub key: Vec<RecordId>,
    /// Placement.
    pub area: AreaId,
    /// Subject.
    pub subject: Option<RecordId>,
    /// Answers.
    pub answers: Vec<(String, Value)>,
}

#[derive(Default)]
struct Phones(HashMap<String, Phone>);

/// Takes lines until there are no more.
pub fn work() -> Outcome {
    let mut phones = Phones::default();
    for line in std::io::stdin().lock().lines() {
        let answer = phones.answer(&line?).unwrap_or_else(|error| json!({"error": with_causes(&*error)}));
        say!("{answer}");
    }
    Ok(ExitCode::SUCCESS)
}

fn with_causes(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl Phones {
    fn phone(&self, name: &str) -> Result<&Phone, Fault> {
        self.0.get(name).ok_or_else(|| format!("no phone {name}").into())
    }

    fn answer(&mut self, line: &str) -> Result<Json, Fault> {
        match serde_json::from_str(line)? {
            Ask::Open { phone, dir } => {
                let (opened, _) = Phone::open(&dir, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
                self.0.insert(phone, opened);
            }
            Ask::Write { phone, documents } => self.write(&phone, documents)?,
            Ask::Prepare { phones } => {
                let mut changes = 0;
                for name in phones {
                    changes += self.phone(&name)?.store().pending_upload(BATCH_CHANGES)?.map_or(0, |p| p.changes);
                }
                return Ok(json!({"changes": changes}));
            }
            Ask::Sync { phones, server } => return self.sync(&phones, &server),
            Ask::Show { phone, record } => {
                let phone = self.phone(&phone)?;
                let view: Json = serde_json::from_str(&phone.view(record)?.json)?;
                return Ok(json!({"record": view}));
            }
        }
        Ok(json!({}))
    }

    fn write(&self, name: &str, documents: Vec<Written>) -> Result<(), Fault> {
        let phone = self.phone(name)?;
        let enrolment = phone.enrolment()?.ok_or("not enrolled")?;
        let tenant_key = doorstep_core::id::TenantKey(enrolment.tenant_key);
        let form = documents.first().map(|d| FormRef { name: d.record_type.clone(), version: 1 });
        let note = ChangeNote { form, ..ChangeNote::by(enrolment.user) };
        let store = phone.store();
        let plan = |document: Written| {
            let identity = Identity { record_type: document.record_type, key: document.key };
            let new = || identity.derived_id(&tenant_key).unwrap_or_else(|| store.new_record_id());
            let id = document.record.unwrap_or_else(new);
            let edit = |(key, value)| Edit { section: Section::Answers, key, value };
            let edits = document.answers.into_iter().map(edit).collect();
            PlannedDocument { id, identity, area: document.area, subject: document.subject, edits }
        };
        let planned: Vec<PlannedDocument> = documents.into_iter().map(plan).collect();
        store.write(&planned, &note)?;
        Ok(())
    }

    /// Each phone on a thread of its own, all let go at once; the clock runs from there until the last is done.
    fn sync(&self, names: &[String], server: &str) -> Result<Json, Fault> {
        let phones = names.iter().map(|name| self.phone(name)).collect::<Result<Vec<_>, _>>()?;
        for phone in &phones {
            phone.use_transport(Arc::new(HttpTransport::new(server)?));
        }
        let (ready, start) = (Barrier::new(phones.len() + 1), Barrier::new(phones.len() + 1));
        let (took, results) = std::thread::scope(|scope| {
            let threads: Vec<_> = phones
                .iter()
                .map(|phone| {
                    scope.spawn(|| {
                        ready.wait();
                        start.wait();
                        let begin = Instant::now();
                        let report = phone.sync(&Silent, &Cancel::default());
                        (begin.elapsed(), report)
                    })
                })
                .collect();
            ready.wait();
            let begin = Instant::now();
            start.wait();
            let results: Vec<_> = threads.into_iter().map(|t| t.join()).collect();
            (begin.elapsed(), results)
        });
        let mut sum = SyncReport::default();
        let mut each_ms = Vec::new();
        for result in results {
            let (took, report) = result.map_err(|_| "a phone's thread panicked")?;
            let report = report?;
            each_ms.push(took.as_secs_f64() * 1000.0);
            sum.requests += report.requests;
            sum.changes_sent += report.changes_sent;
            sum.changes_acknowledged += report.changes_acknowledged;
            sum.records_received += report.records_received;
            sum.changes_received += report.changes_received;
            sum.refused.extend(report.refused);
        }
        Ok(json!({
            "wall_ms": took.as_secs_f64() * 1000.0,
            "each_ms": each_ms,
            "changes_sent": sum.changes_sent,
            "changes_acknowledged": sum.changes_acknowledged,
            "records_received": sum.records_received,
            "changes_received": sum.changes_received,
            "refused": sum.refused,
        }))
    }
}
