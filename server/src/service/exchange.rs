//! One sync, server side: admit a hello, take its upload, answer with a stream.
//!
//! The order is what makes a cut harmless: a push is committed before its states are written, states come before
//! records, news of the feed before fills, and each frame's position holds as soon as the frame arrived whole.

use std::collections::HashSet;
use std::sync::Arc;

use doorstep_core::fault;
use doorstep_core::id::{ChangeHash, DeviceId, MacTag, RecordId};
use doorstep_core::protocol::hello::SignedHello;
use doorstep_core::protocol::{
    Batch, ChangeHead, Hello, ManifestEntry, Outcome, Position, Receipt, RecordBody, Refill, ReplyFrame, SealedBatch,
    SealedBy, State, Upload, UploadKind, UploadRefusal, Welcome, limits, stream,
};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::life::Arrived;
use super::merge::{Sender, subjects};
use super::refused_upload::refusal_of;
use super::rights::{Rights, known_by};
use super::{Refused, ReplyStream, Service};
use crate::metrics::add;
use crate::storage::{BatchRow, Committed, Device, PreparedPush, PushBase, PushQuery};

/// How often a push is merged again when other pushes move its records meanwhile.
const MERGE_TRIES: usize = 20;
/// An upload that was cut before so many bytes isn't worth keeping.
const STAGE_MIN: usize = 256;

/// An admitted request.
pub struct Exchange {
    pub(super) service: Arc<Service>,
    pub(super) device: Device,
    pub(super) hello: Hello,
    pub(super) received_ms: u64,
}

impl Service {
    /// Checks who asks: tenant, enrolment, signature, counter.
    pub fn admit(self: &Arc<Self>, signed: SignedHello) -> Result<Exchange, Refused> {
        if signed.hello.tenant != self.secrets.tenant {
            return Err(Refused::WrongTenant);
        }
        let device = self.storage.device(signed.hello.device)?.ok_or(Refused::UnknownDevice)?;
        if device.revoked {
            return Err(Refused::Revoked);
        }
        let key = VerifyingKey::from_bytes(&device.public_key).map_err(|_| Refused::Signature)?;
        if !signed.is_signed_by(&key) {
            return Err(Refused::Signature);
        }
        self.take_counter(device.id, device.counter, signed.hello.counter)
            .map_err(|last| Refused::StaleCounter { last })?;
        Ok(Exchange { service: self.clone(), device, hello: signed.hello, received_ms: self.clock.now_ms() })
    }
}

/// What an upload led to.
pub(super) struct Pushed {
    pub frames: Vec<ReplyFrame>,
    pub welcome: Welcome,
    /// Changes that the phone holds, as this request shows: they needn't be sent to it.
    pub held: HashSet<(RecordId, ChangeHash)>,
    /// Number of the last batch of the hello's branch, where the upload told it.
    pub last_batch: Option<u64>,
}

impl Exchange {
    /// Who syncs.
    pub fn device(&self) -> DeviceId {
        self.device.id
    }

    /// How many bytes of upload follow the hello.
    pub fn upload_expected(&self) -> usize {
        self.hello.upload.map_or(0, |u| (u.total - u.offset) as usize)
    }

    /// The connection was cut: keeps what arrived of the upload.
    pub fn cut(self, partial: &[u8]) -> Result<(), Refused> {
        let Some(upload) = self.hello.upload else { return Ok(()) };
        let mut bytes = match self.staged(&upload)? {
            Some(staged) if staged.len() >= upload.offset as usize => staged,
            None if upload.offset == 0 => Vec::new(),
            _ => return Ok(()),
        };
        bytes.truncate(upload.offset as usize);
        bytes.extend_from_slice(&partial[..partial.len().min(self.upload_expected())]);
        if bytes.len() >= STAGE_MIN {
            self.service.storage.stage_upload(self.device.id, upload.digest, &bytes, self.received_ms)?;
            add(&self.service.metrics.uploads_cut, 1);
        }
        Ok(())
    }

    fn staged(&self, upload: &Upload) -> Result<Option<Vec<u8>>, Refused> {
        Ok(self.service.storage.staged_upload(self.device.id, upload.digest)?)
    }

    /// Takes the upload (whole, or its rest) and prepares the answer.
    pub fn run(self, rest: &[u8]) -> Result<ReplyStream, Refused> {
        let mut pushed =
            Pushed { frames: Vec::new(), welcome: Welcome::default(), held: HashSet::new(), last_batch: None };
        if let Some(upload) = self.hello.upload {
            if !self.device.is_wiped() {
                self.upload(&upload, rest, &mut pushed)?;
            } else if !rest.is_empty() {
                return Err(self.refuse_wiped(&upload, rest));
            }
        }
        let service = &self.service;
        pushed.frames.extend(self.wipe_order()?);
        pushed.welcome.server_ms = self.received_ms;
        pushed.welcome.opens_sealed = true;
        if self.hello.diverged {
            add(&service.metrics.diverged, 1);
            tracing::warn!(device = %self.device.id, "a phone's scope digest differed; it fills again");
        }
        add(&service.metrics.syncs, 1);
        ReplyStream::start(self, pushed)
    }

    fn upload(&self, upload: &Upload, rest: &[u8], pushed: &mut Pushed) -> Result<(), Refused> {
        let storage = &*self.service.storage;
        let mut bytes = Vec::new();
        if upload.offset > 0 {
            if upload.kind == UploadKind::Batch && rest.is_empty() {
                let known = self.service.storage.batch(self.device.id, self.hello.branch, upload.number)?;
                if let Some(row) = known.filter(|row| row.digest == upload.digest) {
                    return self.repeated(row, pushed);
                }
            }
            let staged = self.staged(upload)?.unwrap_or_default();
            if rest.is_empty() || staged.len() < upload.offset as usize {
                // the phone only asks how much arrived, or believes in more than there is
                pushed.welcome.staged = staged.len() as u32;
                return Ok(());
            }
            bytes.extend_from_slice(&staged[..upload.offset as usize]);
        }
        bytes.extend_from_slice(rest);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if bytes.len() != upload.total as usize || digest != upload.digest {
            storage.drop_upload(self.device.id)?;
            self.keep_refused(Some(upload), digest, &bytes, UploadRefusal::Digest);
            pushed.welcome.upload_refused = true;
            return Ok(());
        }
        if upload.offset > 0 {
            storage.drop_upload(self.device.id)?;
        }
        let taken = self.take(upload.kind, &bytes, digest, pushed);
        if let Some(why) = refusal_of(&taken, &pushed.frames) {
            self.keep_refused(Some(upload), digest, &bytes, why);
        }
        taken
    }

    fn take(&self, kind: UploadKind, bytes: &[u8], digest: [u8; 32], pushed: &mut Pushed) -> Result<(), Refused> {
        let inflated = stream::inflate(bytes, limits::UPLOAD_INFLATED_MAX).map_err(UploadRefusal::from)?;
        let key = self.service.tenant_key();
        match kind {
            UploadKind::Batch => {
                let batch = SealedBatch::decode(&inflated, &key).map_err(UploadRefusal::from)?;
                let batch = batch.open(&self.service.identity_key(), &key).map_err(UploadRefusal::from)?;
                self.batch(&batch, digest, pushed)
            }
            UploadKind::Refill => self.refill(Refill::decode(&inflated, &key).map_err(UploadRefusal::from)?, pushed),
        }
    }

    fn batch(&self, batch: &Batch, digest: [u8; 32], pushed: &mut Pushed) -> Result<(), Refused> {
        let (service, header) = (&self.service, &batch.header);
        let named = (header.branch, header.number);
        let key = VerifyingKey::from_bytes(&self.device.public_key).map_err(|_| Refused::Signature)?;
        if header.tenant != service.secrets.tenant || header.device != self.device.id {
            return Err(UploadRefusal::Foreign.into());
        }
        if !batch.is_signed_by(&key) && !fault::bug("skip_signature") {
            return Err(UploadRefusal::Signature.into());
        }
        let records: Vec<RecordId> = batch.records.iter().map(|frame| frame.id).collect();
        let subjects = subjects(&batch.records);
        let query = PushQuery {
            subjects: &subjects,
            user: self.device.user,
            township: self.device.township,
            device: self.device.id,
            branch: header.branch,
            number: header.number,
            records: &records,
        };
        for _ in 0..MERGE_TRIES {
            let PushBase { branch, taken, merge: mut base } = service.storage.push_base(&query)?;
            let lost = self.device.lost.is_some();
            if header.number <= branch.last {
                let same = taken.filter(|row| row.hash == batch.hash() || fault::bug("trust_batch_number"));
                if let Some(row) = same {
                    return self.repeated(row, pushed);
                }
                if !lost {
                    pushed.frames.push(ReplyFrame::BranchTaken { branch: header.branch });
                    return Ok(());
                }
            } else if !lost && (header.number != branch.last + 1 || header.previous != branch.last_hash) {
                let frame = if header.number == branch.last + 1 {
                    // the chain forked before this batch: another phone has written under this key
                    ReplyFrame::BranchTaken { branch: header.branch }
                } else {
                    ReplyFrame::BatchGap { branch: header.branch, last: branch.last }
                };
                pushed.frames.push(frame);
                return Ok(());
            }
            let sender = Sender::Author { device: &self.device, branch: header.branch };
            let mut merge = service.merge(sender, self.hello.counter, self.received_ms)?.judging_dates();
            if let Some(claims) = base.claims.take().filter(|_| !fault::bug("trust_scope")) {
                let known = self.device.known.and(known_by(&self.hello, &claims));
                let rights = Rights::of(&claims, self.device.township, known, self.received_ms);
                merge = merge.by_rights(rights, claims);
            }
            let in_turn = header.number == branch.last + 1;
            // out of its turn nothing was read of what the batch changes: only a lost phone's is taken so
            let merge = if in_turn { merge.on(base) } else { merge };
            let mut push = merge.batch(batch, digest)?;
            let outcomes = push.batch.as_ref().map(|row| row.outcomes.clone()).unwrap_or_default();
            if !in_turn {
                // a lost phone sends what it has once; that its number is taken must not keep it from being seen
                push.batch = None;
            }
            if fault::bug("acknowledge_before_commit") {
                self.statuses(named, &batch.manifest(), outcomes, Position::default(), pushed);
                fault::point("server.early_ack");
                let _ = service.committer.commit(&*service.storage, push);
                return Ok(());
            }
            match self.commit(push, &sender)? {
                Committed::Done(head) => {
                    pushed.last_batch = (header.branch == self.hello.branch).then_some(header.number);
                    self.statuses(named, &batch.manifest(), outcomes, head, pushed);
                    add(&service.metrics.batches, 1);
                    return Ok(());
                }
                Committed::Moved | Committed::BatchTaken => add(&service.metrics.merges_repeated, 1),
            }
        }
        Err(Refused::Busy)
    }

    fn commit(&self, push: PreparedPush, sender: &Sender<'_>) -> Result<Committed, Refused> {
        let touched: Vec<RecordId> =
            push.records.iter().map(|r| r.id).chain(push.waiting.iter().map(|held| held.record)).collect();
        let arrived = Arrived::of(&push);
        fault::point("server.commit.before");
        let committed = self.service.committer.commit(&*self.service.storage, push)?;
        fault::point("server.commit.after");
        if matches!(committed, Committed::Done(_)) {
            self.settle(&touched, sender)?;
            self.service.settle_arrived(self.device.township, &arrived);
        }
        Ok(committed)
    }

    /// Merges what waits for these records and fits by now.
    fn settle(&self, records: &[RecordId], sender: &Sender<'_>) -> Result<(), Refused> {
        let service = &self.service;
        for _ in 0..MERGE_TRIES {
            let merge = service.merge(*sender, self.hello.counter, self.received_ms)?;
            let Some(push) = merge.waiting_for(records)? else { return Ok(()) };
            if let Committed::Done(_) = service.committer.commit(&*service.storage, push)? {
                return Ok(());
            }
        }
        Err(Refused::Busy)
    }

    /// A batch that the server has: a reply was lost.
    fn repeated(&self, row: BatchRow, pushed: &mut Pushed) -> Result<(), Refused> {
        let manifest: Vec<ManifestEntry> =
            row.manifest.as_chunks().0.iter().filter_map(ManifestEntry::from_bytes).collect();
        let known = |o: Outcome| if o.state == State::Stored { Outcome::of(State::Known) } else { o };
        let outcomes = row.outcomes.into_iter().map(known).collect();
        let (head, _) = self.service.storage.head(self.device.township)?;
        self.statuses((row.branch, row.number), &manifest, outcomes, head, pushed);
        Ok(())
    }

    fn statuses(
        &self,
        (branch, number): (u32, u64),
        manifest: &[ManifestEntry],
        outcomes: Vec<Outcome>,
        head: Position,
        pushed: &mut Pushed,
    ) {
        let metrics = &self.service.metrics;
        let mut acknowledged: Vec<ManifestEntry> = Vec::new();
        for (entry, outcome) in manifest.iter().zip(&outcomes) {
            if outcome.state.is_acknowledged() {
                acknowledged.push(*entry);
                pushed.held.insert((entry.record, entry.change));
            }
            let counter = match outcome.state {
                State::Stored => &metrics.changes_stored,
                State::Known => &metrics.changes_known,
                State::Waiting => &metrics.changes_waiting,
                State::Quarantined | State::Denied => &metrics.changes_quarantined,
                State::Equivocation => &metrics.changes_equivocation,
            };
            add(counter, 1);
        }
        let receipt = self.receipt(head, &acknowledged);
        let (as_of, chain) = (head.seq, head.chain);
        pushed.frames.push(ReplyFrame::Statuses { branch, number, outcomes, as_of, receipt, chain });
    }

    fn receipt(&self, head: Position, acknowledged: &[ManifestEntry]) -> MacTag {
        let secrets = &self.service.secrets;
        Receipt::tag(&secrets.receipt_key, secrets.tenant, self.device.id, head.seq, acknowledged)
    }

    /// What became of the changes that the phone asks about.
    pub(super) fn fates(&self) -> Result<Option<ReplyFrame>, Refused> {
        let asked = &self.hello.waiting;
        if asked.is_empty() || self.hello.cost_only {
            return Ok(None);
        }
        let (outcomes, head) = self.service.storage.fates(self.device.township, self.device.id, asked)?;
        let told = asked.iter().zip(&outcomes).filter(|(_, outcome)| outcome.state.is_acknowledged());
        let receipt = self.receipt(head, &told.map(|(entry, _)| *entry).collect::<Vec<_>>());
        Ok(Some(ReplyFrame::Fates { outcomes, as_of: head.seq, receipt, chain: head.chain }))
    }

    /// Opens what a refill brings sealed; gives how many parts stayed closed.
    fn open(&self, refill: Refill) -> Result<(Refill, u32), Refused> {
        let by = SealedBy { tenant: self.service.secrets.tenant, device: self.device.id };
        let opened = refill.open(by, &self.service.identity_key(), &self.service.tenant_key());
        let (refill, closed) = opened.map_err(UploadRefusal::from)?;
        for reason in &closed {
            tracing::warn!(device = %self.device.id, %reason, "a sealed part that a phone brought back was refused");
        }
        Ok((refill, closed.len() as u32))
    }

    fn refill(&self, refill: Refill, pushed: &mut Pushed) -> Result<(), Refused> {
        let service = &self.service;
        let (refill, unopened) = self.open(refill)?;
        let mut covered: HashSet<(RecordId, ChangeHash)> = HashSet::new();
        for receipt in &refill.receipts {
            if receipt.is_genuine(&service.secrets.receipt_key, service.secrets.tenant, self.device.id) {
                covered.extend(receipt.entries.iter().map(|e| (e.record, e.change)));
            }
        }
        cover_ancestors(&refill, &mut covered);
        for _ in 0..MERGE_TRIES {
            let sender = Sender::Carrier { device: &self.device, covered: &covered };
            let merge = service.merge(sender, self.hello.counter, self.received_ms)?;
            let (push, refused) = merge.refill(&refill)?;
            let stored = push.records.iter().map(|r| r.changes.len() as u32).sum();
            if let Committed::Done(head) = self.commit(push, &sender)? {
                add(&service.metrics.changes_refilled, u64::from(stored));
                let refused = refused + unopened;
                pushed.frames.push(ReplyFrame::Refilled { stored, refused, head });
                for record in &refill.records {
                    if let RecordBody::Changes(changes) = &record.body {
                        pushed.held.extend(changes.iter().map(|c| (record.id, c.hash)));
                    }
                }
                return Ok(());
            }
        }
        Err(Refused::Busy)
    }
}

/// A receipt over heads vouches for everything below them.
fn cover_ancestors(refill: &Refill, covered: &mut HashSet<(RecordId, ChangeHash)>) {
    for record in &refill.records {
        let RecordBody::Changes(changes) = &record.body else { continue };
        for change in changes.iter().rev() {
            if covered.contains(&(record.id, change.hash))
                && let Some(head) = ChangeHead::read(&change.bytes)
            {
                covered.extend(head.dependencies.into_iter().map(|d| (record.id, d)));
            }
        }
    }
}
