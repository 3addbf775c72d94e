//! A helper's phone without its database: it asks and sends what a real one would, straight into the service.

use std::sync::atomic::Ordering;

use doorstep_core::clock::{SeededEntropy, SystemEntropy};
use doorstep_core::form::Catalog;
use doorstep_core::id::{AreaId, DeviceId, RecordId, RecordIdMaker};
use doorstep_core::protocol::{FormsKnown, Hello, Position, RecordFrame, Upload, UploadKind, stream};
use doorstep_core::record::{Edit, Record};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::super::Fault;
use super::super::author::Author;
use super::make::{documents, visit};
use crate::demo::answers::visit_answers;
use crate::demo::township::HouseholdSeed;
use crate::service::Service;
use crate::storage::{Device, TownshipId};

/// The key of a phone of this bench: it follows from the id, so that a file that is used again needs no second one.
pub(super) fn key_of(device: DeviceId) -> SigningKey {
    let digest = Sha256::new().chain_update(b"doorstep/bench/scale").chain_update(device.0).finalize();
    SigningKey::from_bytes(&digest.into())
}

/// A request: the bytes of its start, and its upload.
pub(super) struct Request {
    hello: Vec<u8>,
    upload: Vec<u8>,
}

/// A helper's phone.
pub(super) struct Helper {
    /// Its township.
    pub township: TownshipId,
    /// As the server knows it, with its key.
    pub author: Author,
    /// The paired households, and where they lie.
    pub households: Vec<(RecordId, AreaId)>,
    /// Visits that were sent, to be changed later.
    pub visits: Vec<(RecordFrame, Record)>,
    grants: Vec<Position>,
    areas: u64,
    forms: Position,
    counter: u64,
}

impl Helper {
    /// Reads what the phone knows; `None` if it isn't a helper's.
    pub fn load(service: &Service, device: &Device) -> Result<Option<Self>, Fault> {
        let storage = &*service.storage;
        let (mut grants, mut households) = (Vec::new(), Vec::new());
        for (at, grant) in storage.grants(device.user, 0)?.1 {
            grants.push(at);
            if let Some(subject) = grant.entry.subject {
                households.push((subject, grant.entry.area));
            }
        }
        if households.is_empty() {
            return Ok(None);
        }
        let last = storage.branch(device.id, 0)?;
        let last = (last.last, last.last_hash);
        Ok(Some(Self {
            township: device.township,
            author: Author::resume(device.clone(), key_of(device.id), service.secrets.tenant, last),
            households,
            visits: Vec::new(),
            grants,
            areas: storage.areas(device.township)?.0,
            forms: storage.form_log()?.last().map(|entry| entry.position).unwrap_or_default(),
            counter: device.counter,
        }))
    }

    /// Today's visits of so many households, as new records; they can be changed afterwards.
    pub fn visit(
        &mut self,
        service: &Service,
        forms: &Catalog,
        seeds: &[HouseholdSeed],
        count: usize,
    ) -> Result<Vec<RecordFrame>, Fault> {
        let (ids, entropy) = (RecordIdMaker::new(&SystemEntropy), SeededEntropy::new(self.counter));
        let mut frames = Vec::new();
        for n in 0..count {
            let (household, area) = self.households[n % self.households.len()];
            let answers = visit_answers(&entropy, &seeds[(n * 7 + 3) % seeds.len()], &service.today());
            let instance = visit(ids.next_id(), household, area, answers);
            let made = documents(&self.author, forms, &service.tenant_key(), &instance)?;
            frames.extend(made.iter().map(|(frame, _)| frame.clone()));
            self.visits.extend(made.into_iter().take(1));
        }
        Ok(frames)
    }

    /// Another remark in each of the visits that were sent.
    pub fn edit(&mut self) -> Result<Vec<RecordFrame>, Fault> {
        let author = &self.author;
        let visits = self.visits.iter_mut().enumerate();
        visits
            .map(|(n, (frame, record))| {
                author.edit(frame, record, Edit::answer("remark", format!("已核实，第{}户", n + 1)))
            })
            .collect()
    }

    fn hello(&mut self, service: &Service, feed: Position, grants: usize) -> Hello {
        self.counter += 1;
        let known = grants.checked_sub(1).and_then(|last| self.grants.get(last)).copied().unwrap_or_default();
        Hello {
            grants: known,
            feed: Some(feed),
            areas: self.areas,
            forms: Some(FormsKnown { position: self.forms, wanted: Vec::new() }),
            ..Hello::first(service.secrets.tenant, self.author.device.id, self.counter)
        }
    }

    /// A sync that sends these changes; the phone has read the feed up to there.
    pub fn push(&mut self, service: &Service, feed: Position, frames: Vec<RecordFrame>) -> Result<Request, Fault> {
        let batch = self.author.sign(frames);
        let upload = stream::compress(&batch.encode()?)?;
        let sent = Upload {
            kind: UploadKind::Batch,
            number: batch.header.number,
            digest: Sha256::digest(&upload).into(),
            total: upload.len() as u32,
            offset: 0,
        };
        let grants = self.grants.len();
        let hello = Hello { upload: Some(sent), ..self.hello(service, feed, grants) };
        Ok(Request { hello: self.author.hello(&hello), upload })
    }

    /// A sync of a phone that doesn't know its last pairing yet and else has read everything.
    pub fn newly_paired(&mut self, service: &Service, feed: Position) -> Request {
        let known = self.grants.len() - 1;
        let hello = self.hello(service, feed, known);
        Request { hello: self.author.hello(&hello), upload: Vec::new() }
    }
}

/// Answers a request to its last byte, as the server does after HTTP; gives how many bytes.
pub(super) fn answer(service: &std::sync::Arc<Service>, request: &Request) -> Result<usize, Fault> {
    let signed = Hello::decode(&request.hello)?.ok_or("half a hello")?;
    let mut reply = service.admit(signed)?.run(&request.upload)?;
    let mut bytes = 0;
    while let Some(chunk) = reply.next_chunk()? {
        bytes += chunk.len();
    }
    Ok(bytes)
}

/// Changes stored and records sent so far.
pub(super) fn counters(service: &Service) -> (u64, u64) {
    let metrics = &service.metrics;
    (metrics.changes_stored.load(Ordering::Relaxed), metrics.records_sent.load(Ordering::Relaxed))
}
