//! One sync: as many exchanges as it takes to send what waits and to read what is new, normally one.

mod cost;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;

pub use cost::Cost;

use super::backoff::Backoff;
use super::transport::{Cancel, Transport, TransportError};
use crate::clock::{Clock, Entropy, Millis};
use crate::fault;
use crate::id::TenantKey;
use crate::protocol::enrol::EnrolAgainBody;
use crate::protocol::{
    DecodeError, Hello, ManifestEntry, Position, ReplyDecoder, ReplyFrame, Upload, UploadKind, UploadRefusal, Welcome,
};
use crate::store::{PendingUpload, StatusReport, Store, StoreError};

/// Exchanges in one sync; a healthy one takes one or two.
const ROUNDS_MAX: u32 = 200;
/// Changes in a batch on a good link.
pub(super) const BATCH_CHANGES: usize = 500;
/// Changes in a batch after repeated cuts.
pub(super) const BATCH_CHANGES_MIN: usize = 10;

/// Syncs in which the same upload was refused before its changes are made anew.
const REMAKE_AFTER: u32 = 4;

/// Why a sync ended early. Nothing is lost: what was taken is taken, the rest waits.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The way to the server.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server's reply can't be read.
    #[error("the server's reply can't be read: {0}")]
    Reply(#[from] DecodeError),
    /// The phone's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The phone isn't enrolled.
    #[error("the phone isn't enrolled yet")]
    NotEnrolled,
    /// The phone was reported lost: it has sent what waited, and has erased itself.
    #[error("the phone was reported lost and has erased itself")]
    Wiped,
    /// Server and phone keep answering each other without an end.
    #[error("the sync didn't come to an end")]
    Endless,
}

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Exchanges with the server.
    pub requests: u32,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of reply bodies.
    pub bytes_down: u64,
    /// Changes in batches that went up.
    pub changes_sent: u64,
    /// Changes that the server has for good now.
    pub changes_acknowledged: u64,
    /// Changes that wait on the server for others.
    pub changes_waiting: u64,
    /// Changes refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The server refused a whole upload, with this reason; it stays on the phone ([`Store::refused_upload`]), and the
    /// rest of the sync went on without it.
    pub upload_refused: Option<String>,
    /// Records that came.
    pub records_received: u64,
    /// Changes that came.
    pub changes_received: u64,
    /// Versions of forms that came.
    pub forms_received: u64,
    /// Versions of forms that came and couldn't be read; they are asked for again.
    pub forms_unreadable: u64,
    /// Changes made anew because of a cloned phone or a refusal.
    pub remade: u64,
    /// Changes brought back to a rewound server.
    pub brought_back: u64,
    /// The server had gone back in time.
    pub rewound: bool,
    /// The server answers pushes only, until an administrator has looked at it.
    pub reads_closed: bool,
    /// The user has no grant (any more): the server takes what this phone sends, and gives it nothing to read.
    pub no_grants: bool,
    /// The phone's clock minus the server's, in milliseconds.
    pub clock_off_ms: i64,
}

/// A phone's clock that is off by more is wrong.
const CLOCK_OFF_MS: u64 = 5 * 60 * 1000;

impl SyncReport {
    /// What a person is told whose phone's clock is wrong, in Chinese (`zh`) or English.
    pub fn clock_advice(&self, language: &str) -> Option<&'static str> {
        (self.clock_off_ms.unsigned_abs() > CLOCK_OFF_MS).then(|| crate::messages::text("clock_off", language))
    }
}

/// Hears how a sync goes on. Called between frames, from the syncing thread.
pub trait Progress: Send + Sync {
    /// `report` so far.
    fn progressed(&self, report: &SyncReport);
}

/// Hears nothing.
pub struct Silent;

impl Progress for Silent {
    fn progressed(&self, _report: &SyncReport) {}
}

/// How patient a sync is.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Tries after a cut or an unreachable server before giving up; progress starts the count anew.
    pub tries: u32,
    /// The first wait.
    pub wait_first: Duration,
    /// The longest wait.
    pub wait_max: Duration,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { tries: 5, wait_first: Duration::from_secs(1), wait_max: Duration::from_secs(30) }
    }
}

/// Drives syncs of one store.
pub struct Engine {
    store: Arc<Store>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    options: SyncOptions,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Sync,
    Cost,
    Wiping,
}

/// What one exchange asks for next.
#[derive(Default)]
struct Round {
    /// The request's number.
    counter: u64,
    welcome: Option<Welcome>,
    more: bool,
    again: bool,
    scope: Option<crate::protocol::ScopeDigest>,
    progressed: bool,
}

/// What a sync remembers between its exchanges.
#[derive(Default)]
struct Memory {
    /// An upload whose fate is unknown: ask before sending it again.
    uncertain: Option<[u8; 32]>,
    /// How many bytes of it the server has.
    staged: u32,
    /// Show older points.
    older: bool,
    batch_changes: usize,
    /// The server refused the upload: the rest of this sync goes on without it.
    held: bool,
    /// An upload arrived spoiled once in this sync.
    spoiled: bool,
    /// The certificate was shown once in this sync.
    shown_certificate: bool,
    /// The user's grants were shown once in this sync: what the server says of them now stands.
    shown_grants: bool,
    /// Definitions of forms that couldn't be read were asked for again once in this sync.
    asked_forms: bool,
    /// The waiting changes that the request asks about.
    asked: Vec<ManifestEntry>,
    /// Requests of this sync.
    requests: u64,
}

impl Engine {
    /// An engine.
    pub fn new(
        store: Arc<Store>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: SyncOptions,
    ) -> Self {
        Self { store, transport, clock, entropy, options }
    }

    /// Syncs until nothing is left to send or to read.
    pub fn sync(&self, progress: &dyn Progress, cancel: &Cancel) -> Result<SyncReport, SyncError> {
        let mut report = SyncReport::default();
        self.sync_into(&mut report, progress, cancel)?;
        Ok(report)
    }

    /// Like [`Engine::sync`]; `report` also tells what a sync did before it failed.
    pub fn sync_into(
        &self,
        report: &mut SyncReport,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(), SyncError> {
        let uncertain = self.store.attempted()?;
        let mut memory = Memory { batch_changes: BATCH_CHANGES, uncertain, ..Memory::default() };
        let mut backoff = Backoff::new(self.options.wait_first, self.options.wait_max);
        let mut tries_left = self.options.tries;
        for _ in 0..ROUNDS_MAX {
            if cancel.is_cancelled() {
                return Err(TransportError::Cancelled.into());
            }
            let mut round = Round::default();
            let result = self.exchange(&mut memory, &mut round, report, progress, cancel);
            if round.progressed {
                tries_left = self.options.tries;
            }
            match result {
                Ok(()) => {
                    if self.store.is_wipe_ordered()? {
                        if memory.held || !self.store.has_pending()? {
                            return self.wipe(cancel);
                        }
                    } else if !self.goes_on(&memory, &round)? {
                        report.no_grants = !report.reads_closed && !self.store.has_grants()?;
                        return Ok(());
                    }
                }
                Err(SyncError::Transport(TransportError::Refused { code, last_counter: Some(last), .. }))
                    if code == "stale_counter" =>
                {
                    self.store.raise_counter(last)?;
                }
                Err(SyncError::Transport(TransportError::Refused { code, .. }))
                    if code == "unknown_device" && !memory.shown_certificate =>
                {
                    memory.shown_certificate = true;
                    self.enrol_again(cancel)?;
                }
                Err(SyncError::Transport(TransportError::Refused { code, .. }))
                    if UploadRefusal::is_code(&code) && memory.uncertain.is_some() =>
                {
                    self.hold_upload(&code, &mut memory, report)?;
                }
                Err(SyncError::Transport(error)) if error.is_temporary() && tries_left > 0 => {
                    tries_left -= 1;
                    memory.batch_changes = (memory.batch_changes / 2).max(BATCH_CHANGES_MIN);
                    let asked = match &error {
                        TransportError::Refused { retry_after_s: Some(s), .. } => u64::from(*s),
                        _ => 0,
                    };
                    self.wait(backoff.next_wait(Duration::from_secs(asked), &*self.entropy), cancel)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(SyncError::Endless)
    }

    /// Tells the server that the phone erases itself now, and does so, whether or not that was heard.
    fn wipe(&self, cancel: &Cancel) -> Result<(), SyncError> {
        let told = || -> Result<(), SyncError> {
            let mut asked = self.request(&Memory::default(), None, Asking::Wiping, self.store.next_counter()?)?;
            let mut reply = self.transport.exchange(std::mem::take(&mut asked.0), cancel)?;
            while reply.next_chunk()?.is_some() {}
            Ok(())
        };
        // without a network it erases itself all the same: the office sees that the order arrived
        let _ = told();
        self.store.wipe().map_err(|error| StoreError::Files(error.kind()))?;
        Err(SyncError::Wiped)
    }

    /// The server refuses the pending upload: it stays as it is, and the next sync sends it once more. After four syncs, and
    /// each time that this number has doubled, its changes are made anew into a fresh batch, which heals one that is
    /// damaged here or that an older program made.
    fn hold_upload(&self, reason: &str, memory: &mut Memory, report: &mut SyncReport) -> Result<(), SyncError> {
        (memory.held, memory.staged) = (true, 0);
        report.upload_refused = Some(reason.to_owned());
        let Some(digest) = memory.uncertain.take() else { return Ok(()) };
        let noted = self.store.note_refused_upload(digest, reason)?;
        if noted.is_some_and(|n| !n.refill && n.times >= REMAKE_AFTER && n.times.is_power_of_two()) {
            report.remade += self.store.take_new_branch()?.changes;
        }
        Ok(())
    }

    /// A restored server has forgotten grants: shows it its own word for them. A refusal ends the matter: the server's log
    /// stands.
    fn show_grants(&self, memory: &mut Memory, cancel: &Cancel) -> Result<(), SyncError> {
        match self.enrol_again(cancel) {
            Err(SyncError::Transport(TransportError::Refused { status: 400..=407 | 409..=428, .. })) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        memory.shown_grants = true;
        Ok(self.store.grants_shown()?)
    }

    /// A restored server has forgotten the phone or grants: shows it its own signature and the log of grants.
    fn enrol_again(&self, cancel: &Cancel) -> Result<(), SyncError> {
        let enrolment = self.store.enrolment()?.ok_or(SyncError::NotEnrolled)?;
        let forgotten = || TransportError::Refused {
            status: 401,
            code: "unknown_device".to_owned(),
            last_counter: None,
            retry_after_s: None,
        };
        let certificate = enrolment.certificate.ok_or_else(forgotten)?;
        let grants = self.store.grant_log()?.map(|log| log.to_text());
        Ok(self.transport.enrol_again(&EnrolAgainBody { certificate, grants }, cancel)?)
    }

    fn wait(&self, wait: Duration, cancel: &Cancel) -> Result<(), SyncError> {
        const STEP: Duration = Duration::from_millis(100);
        let mut left = wait;
        while !left.is_zero() {
            if cancel.is_cancelled() {
                return Err(TransportError::Cancelled.into());
            }
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
        Ok(())
    }

    fn exchange(
        &self,
        memory: &mut Memory,
        round: &mut Round,
        report: &mut SyncReport,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(), SyncError> {
        if self.store.has_grants_to_bring()? {
            self.show_grants(memory, cancel)?;
        }
        let pending = if memory.held { None } else { self.store.pending_upload(memory.batch_changes)? };
        if memory.uncertain != pending.as_ref().map(|p| p.digest) {
            (memory.uncertain, memory.staged) = (None, 0);
        }
        let counter = self.store.next_counter()?;
        round.counter = counter;
        memory.requests += 1;
        let (request, tenant_key);
        (request, tenant_key, memory.asked) = self.request(memory, pending.as_ref(), Asking::Sync, counter)?;
        self.store.forms_asked()?;
        report.requests += 1;
        report.bytes_up += request.len() as u64;
        if let Some(pending) = &pending {
            if memory.uncertain.is_none() {
                report.changes_sent += pending.changes as u64;
                self.store.mark_attempt(pending.digest)?;
            }
            memory.uncertain = Some(pending.digest);
        }
        fault::point("phone.before_request");
        let mut reply = self.transport.exchange(request, cancel)?;
        let mut decoder = ReplyDecoder::new(tenant_key)?;
        while let Some(chunk) = reply.next_chunk()? {
            report.bytes_down += chunk.len() as u64;
            for frame in decoder.push(&chunk)? {
                self.frame(frame, memory, round, report)?;
                round.progressed = true;
            }
            progress.progressed(report);
        }
        if !decoder.is_done() {
            return Err(TransportError::Cut.into());
        }
        if memory.uncertain.is_some() {
            // the server has not taken the upload yet: send it, from where it was cut
            memory.staged = round.welcome.as_ref().map_or(0, |w| w.staged);
            if memory.staged == 0 {
                memory.uncertain = None;
            }
            round.again = true;
        }
        Ok(())
    }

    /// The request's bytes. After a cut only a question goes up first; then the rest from where the server stands.
    fn request(
        &self,
        memory: &Memory,
        pending: Option<&PendingUpload>,
        asking: Asking,
        counter: u64,
    ) -> Result<(Vec<u8>, TenantKey, Vec<ManifestEntry>), SyncError> {
        let state = self.store.sync_state()?;
        let enrolment = state.enrolment.ok_or(SyncError::NotEnrolled)?;
        let total = pending.map_or(0, |p| p.bytes.len() as u32);
        let offset = match pending {
            Some(pending) if memory.uncertain == Some(pending.digest) => {
                if memory.staged > 0 {
                    memory.staged.min(total)
                } else {
                    total
                }
            }
            _ => 0,
        };
        let odd = memory.requests % 2 == 1;
        let asked = if asking == Asking::Sync { self.store.waiting_to_ask(counter, odd)? } else { Vec::new() };
        let hello = Hello {
            tenant: enrolment.tenant,
            device: enrolment.device,
            counter,
            branch: pending.filter(|p| p.kind == UploadKind::Batch).map_or(state.branch, |p| p.branch),
            grants: state.grants,
            feed: state.feed,
            fills: state.fills,
            areas: state.areas_version,
            older: if memory.older { self.store.older_points()? } else { Vec::new() },
            told: state.told.filter(|_| !fault::bug("forget_told")),
            forms: Some(self.store.forms_known()?),
            waiting: asked.clone(),
            cost_only: asking == Asking::Cost,
            diverged: state.diverged,
            wiping: asking == Asking::Wiping,
            upload: pending.map(|p| Upload { kind: p.kind, number: p.number, digest: p.digest, total, offset }),
        };
        let mut request = hello.encode_signed(&SigningKey::from_bytes(&enrolment.signing_seed));
        if let Some(pending) = pending {
            request.extend_from_slice(&pending.bytes[offset as usize..]);
        }
        Ok((request, TenantKey(enrolment.tenant_key), asked))
    }

    fn taken(&self, done: StatusReport, round: &mut Round, report: &mut SyncReport) -> Result<(), SyncError> {
        report.changes_acknowledged += done.stored + done.known;
        for reason in done.refused {
            *report.refused.entry(reason).or_default() += 1;
        }
        if done.needs_remake {
            report.remade += self.store.take_new_branch()?.changes;
            round.again = true;
        }
        Ok(())
    }

    fn frame(
        &self,
        frame: ReplyFrame,
        memory: &mut Memory,
        round: &mut Round,
        report: &mut SyncReport,
    ) -> Result<(), SyncError> {
        match frame {
            ReplyFrame::Welcome(welcome) => self.welcome(welcome, memory, round, report)?,
            ReplyFrame::Statuses { branch, number, outcomes, as_of, receipt, chain } => {
                self.store.note_told(Position { seq: as_of, chain })?;
                fault::point("phone.before_statuses");
                let done = self.store.apply_statuses(branch, number, &outcomes, as_of, receipt)?;
                fault::point("phone.after_statuses");
                memory.batch_changes = (memory.batch_changes * 2).min(BATCH_CHANGES);
                (memory.uncertain, memory.staged) = (None, 0);
                report.changes_waiting += done.waiting;
                self.taken(done, round, report)?;
            }
            ReplyFrame::Fates { outcomes, as_of, receipt, chain } => {
                self.store.note_told(Position { seq: as_of, chain })?;
                let done = self.store.apply_fates(&memory.asked, &outcomes, as_of, receipt)?;
                round.again |= done.more_to_ask;
                self.taken(done, round, report)?;
            }
            ReplyFrame::BranchTaken { .. } => {
                (memory.uncertain, memory.staged) = (None, 0);
                report.remade += self.store.take_new_branch()?.changes;
                round.again = true;
            }
            ReplyFrame::BatchGap { branch, last } => {
                (memory.uncertain, memory.staged) = (None, 0);
                self.store.rewind_batches(branch, last)?;
                round.again = true;
            }
            ReplyFrame::Refilled { stored, head, .. } => {
                self.store.note_told(head)?;
                if let Some(digest) = memory.uncertain.take() {
                    self.store.refill_done(digest)?;
                }
                memory.staged = 0;
                report.brought_back += u64::from(stored);
                round.again = true;
            }
            ReplyFrame::Grants { position, entries, roles } => {
                let lost = position.seq < self.store.sync_state()?.grants.seq && self.store.grant_log()?.is_some();
                if lost && !memory.shown_grants {
                    self.store.grants_were_lost()?;
                    round.again = true;
                } else {
                    self.store.apply_grants(position, &entries, &roles)?;
                }
            }
            ReplyFrame::Areas { version, areas } => self.store.apply_areas(version, &areas)?,
            ReplyFrame::Forms(news) => {
                let done = self.store.apply_forms(&news)?;
                report.forms_received += done.received;
                report.forms_unreadable += done.unreadable;
                // what came as a difference against something that isn't here comes whole in the same sync
                round.again |= done.unreadable > 0 && !std::mem::replace(&mut memory.asked_forms, true);
            }
            ReplyFrame::Delivery(delivery) => {
                fault::point("phone.before_delivery");
                let done = self.store.apply_delivery(&delivery)?;
                fault::point("phone.after_delivery");
                report.records_received += done.records;
                report.changes_received += done.changes;
                for (_, reason) in done.refused {
                    *report.refused.entry(reason).or_default() += 1;
                }
                if done.own_actor_clash {
                    report.remade += self.store.take_new_branch()?.changes;
                    round.again = true;
                }
            }
            ReplyFrame::FillClosed { grant } => self.store.close_fill(grant)?,
            ReplyFrame::Done(done) => {
                round.more = done.more;
                round.scope = done.scope;
            }
            ReplyFrame::Wipe(order) => {
                let enrolment = self.store.enrolment()?.ok_or(SyncError::NotEnrolled)?;
                if order.is_genuine(&enrolment.server_identity, enrolment.tenant, enrolment.device, round.counter) {
                    self.store.order_wipe()?;
                }
            }
            ReplyFrame::Cost { .. } | ReplyFrame::Unknown { .. } => {}
        }
        Ok(())
    }

    fn welcome(
        &self,
        welcome: Welcome,
        memory: &mut Memory,
        round: &mut Round,
        report: &mut SyncReport,
    ) -> Result<(), SyncError> {
        self.store.note_server_time(welcome.server_ms)?;
        self.store.note_opens_sealed(welcome.opens_sealed)?;
        report.clock_off_ms = self.clock.now_ms() as i64 - welcome.server_ms as Millis as i64;
        report.reads_closed = welcome.reads_closed;
        if welcome.upload_refused {
            // perhaps only what was resumed didn't fit together: once more, whole
            if std::mem::replace(&mut memory.spoiled, true) {
                self.hold_upload(UploadRefusal::Digest.code(), memory, report)?;
            }
            (memory.uncertain, memory.staged) = (None, 0);
            round.again = true;
        }
        if welcome.rewound {
            report.rewound = true;
            round.again = true;
            match welcome.common {
                None => memory.older = true,
                Some(common) => {
                    memory.older = false;
                    self.store.rewound((common != Position::default()).then_some(common))?;
                    let branch = self.store.sync_state()?.branch;
                    self.store.rewind_batches(branch, welcome.last_batch)?;
                }
            }
        }
        round.welcome = Some(welcome);
        Ok(())
    }

    /// Decides whether another exchange is needed.
    fn goes_on(&self, memory: &Memory, round: &Round) -> Result<bool, SyncError> {
        if round.again || round.more {
            return Ok(true);
        }
        if !memory.held && self.store.has_pending()? {
            return Ok(true);
        }
        if let Some(scope) = round.scope {
            return Ok(self.store.compare_scope(scope)?);
        }
        Ok(false)
    }
}
