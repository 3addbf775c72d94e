//! The answer, made page by page as the phone reads it. Each page is one snapshot of storage and one frame.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_core::fault;
use doorstep_core::id::{AreaId, ChangeHash, RecordId};
use doorstep_core::protocol::{
    Delivery, Position, Receipt, RecordBody, RecordFrame, ReplyEncoder, ReplyFrame, ScopeDigest, Source, Weight,
    Welcome, WireChange, limits,
};

use doorstep_core::rights::Roles;

use super::exchange::{Exchange, Pushed};
use super::rights::{add_scope, current, known_by, scope_of};
use super::{Refused, merge};
use crate::metrics::add;
use crate::storage::{
    Arrival, Known, PullPage, PullQuery, PulledRecord, Reads, ReplyQuery, Standing, StoredChange, StoredRecord,
    SyncNote,
};

/// Changes of a record from which on a snapshot is tried in a fill.
const SNAPSHOT_FROM: usize = 12;
/// Changes from which on a reply gets a large compression window.
const BULK_FROM: u64 = 200;

/// Replies that may have one at a time; the others compress in a small window, at about a tenth more bytes. Fifty phones that
/// fill at once would otherwise take 400 MB.
pub(super) const BULK_MAX: usize = 2;

/// Leave to use a large compression window, given back when the reply ends.
struct BulkSlot(Arc<AtomicUsize>);

impl BulkSlot {
    fn take(left: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok().then(|| Self(left.clone()))
    }
}

impl Drop for BulkSlot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reply under way.
pub struct ReplyStream {
    exchange: Exchange,
    encoder: Option<ReplyEncoder>,
    held: HashSet<(RecordId, ChangeHash)>,
    query: Option<PullQuery>,
    /// The first page, until it is written.
    first: Option<PullPage>,
    position: Position,
    whole: bool,
    /// What the device has shown to know.
    known: Known,
    _bulk: Option<BulkSlot>,
}

impl ReplyStream {
    pub(super) fn start(exchange: Exchange, pushed: Pushed) -> Result<Self, Refused> {
        let (storage, hello) = (&*exchange.service.storage, &exchange.hello);
        let (mut welcome, mut planned) = (pushed.welcome, None);
        let points: Vec<Position> = hello.feed.iter().chain(&hello.older).copied().collect();
        let asked = ReplyQuery {
            township: exchange.device.township,
            user: exchange.device.user,
            branch: pushed.last_batch.is_none().then_some((exchange.device.id, hello.branch)),
            points: if hello.feed.is_some() { &points } else { &[] },
            told: hello.told,
        };
        let first = storage.begin_reply(&asked, &mut |standing| {
            welcome.last_batch = pushed.last_batch.unwrap_or(standing.last_batch);
            welcome.reads_closed = standing.reads_closed;
            exchange.service.catalog_of(&standing.forms);
            if exchange.device.lost.is_none() && !exchange.hello.wiping {
                planned = plan(&exchange, &standing, &mut welcome);
            }
            planned.as_ref().filter(|_| !hello.cost_only).map(|plan| plan.query.clone())
        })?;
        let mut bulk = None;
        let mut frames = vec![ReplyFrame::Welcome(welcome)];
        frames.extend(pushed.frames);
        let (mut query, mut position, mut whole, mut known) = (None, Position::default(), false, Known::default());
        if let Some(plan) = planned {
            frames.extend(exchange.fates()?);
            frames.extend(plan.frames);
            let (changes, bytes) = if plan.query.fills.is_empty() && !hello.cost_only {
                (0, 0)
            } else {
                storage.pull_cost(&plan.query)?
            };
            if changes >= BULK_FROM {
                bulk = BulkSlot::take(&exchange.service.bulk_left);
            }
            if hello.cost_only {
                frames.push(ReplyFrame::Cost { changes, bytes });
            } else {
                (query, position, whole, known) = (Some(plan.query), plan.position, plan.whole, plan.known);
            }
        }
        let weight = if bulk.is_some() { Weight::Bulk } else { Weight::Light };
        let mut encoder = ReplyEncoder::new(weight)?;
        for frame in &frames {
            encoder.push(frame)?;
            if matches!(frame, ReplyFrame::Forms(_)) {
                encoder.flush()?;
            }
        }
        // with news of grants or areas a phone may drop what it has just pushed, and get it back by the same reply
        let may_drop = |frame: &ReplyFrame| matches!(frame, ReplyFrame::Grants { .. } | ReplyFrame::Areas { .. });
        let held = if frames.iter().any(may_drop) { HashSet::new() } else { pushed.held };
        let encoder = Some(encoder);
        Ok(Self { exchange, encoder, held, query, first, position, whole, known, _bulk: bulk })
    }

    /// The next bytes; `None` after the last. Everything in them is readable at once.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let Some(query) = &self.query else {
            return Ok(Some(encoder.finish(false, None)?));
        };
        let page = match self.first.take() {
            Some(page) => page,
            None => self.exchange.service.storage.pull_page(query)?,
        };
        let finished = self.page(&mut encoder, &page)?;
        if finished {
            let scope = self.whole.then_some(page.digest);
            self.note(page.head.seq);
            return Ok(Some(encoder.finish(false, scope)?));
        }
        if encoder.inflated() > limits::REPLY_MAX {
            return Ok(Some(encoder.finish(true, None::<ScopeDigest>)?));
        }
        let bytes = encoder.take_flushed()?;
        self.encoder = Some(encoder);
        Ok(Some(bytes))
    }

    /// Writes a page's frames and moves the query on; true when nothing is left.
    fn page(&mut self, encoder: &mut ReplyEncoder, page: &PullPage) -> Result<bool, Refused> {
        let Some(query) = &mut self.query else { return Ok(true) };
        let mut records = Vec::new();
        for pulled in &page.feed {
            // a record that came into the scope comes whole: what the phone has pushed of it may have gone with an ended grant
            let is_news =
                |c: &&StoredChange| pulled.arrival == Arrival::Entered || !self.held.contains(&(pulled.id, c.hash));
            let news: Vec<WireChange> = pulled.changes.iter().filter(is_news).map(wire).collect();
            if pulled.arrival == Arrival::Left {
                records.push(elsewhere(pulled));
            } else if !news.is_empty() || pulled.arrival != Arrival::Known {
                records.push(frame(pulled, RecordBody::Changes(news)));
            }
        }
        let upto = page.feed_upto;
        query.after = upto.seq;
        if fault::bug("cursor_skips") && records.len() > 1 {
            records.pop();
        }
        if !records.is_empty() || upto != self.position {
            self.position = upto;
            add(&self.exchange.service.metrics.records_sent, records.len() as u64);
            deliver(&self.exchange, encoder, Source::Feed(upto), records, page.head.seq)?;
        }
        // a phone that lacks something may be unable to take a snapshot: it gets every change
        let snapshots = !self.exchange.hello.diverged;
        let Some(grant) = page.fill_grant else { return Ok(upto.seq == page.head.seq && query.fills.is_empty()) };
        let records: Vec<RecordFrame> = page.fill.iter().map(|p| frame(p, fill_body(p, snapshots))).collect();
        let after = page.fill.last().map(|p| p.born);
        if let Some(after) = after {
            add(&self.exchange.service.metrics.records_sent, records.len() as u64);
            deliver(&self.exchange, encoder, Source::Fill { grant, after }, records, page.head.seq)?;
        }
        if page.fill_complete {
            encoder.push(&ReplyFrame::FillClosed { grant })?;
            let (closed, open) = std::mem::take(&mut query.fills).into_iter().partition(|(g, ..)| *g == grant);
            query.fills = open;
            let closed: Vec<_> = closed;
            closed.into_iter().for_each(|(_, scope, _)| add_scope(&mut query.complete, scope));
        } else if let Some(after) = after {
            query.fills.iter_mut().filter(|(g, ..)| *g == grant).for_each(|fill| fill.2 = after);
        }
        Ok(page.fill_complete && query.fills.is_empty())
    }

    fn note(&self, feed_seq: u64) {
        let (service, counter) = (&self.exchange.service, self.exchange.hello.counter);
        let (device, now_ms) = (self.exchange.device.id, self.exchange.received_ms);
        let known = self.known;
        service.committer.note(&*service.storage, SyncNote { device, counter, now_ms, feed_seq, known });
    }
}

struct Plan {
    frames: Vec<ReplyFrame>,
    query: PullQuery,
    position: Position,
    whole: bool,
    known: Known,
}

/// What the device gets: grants, areas, and the pull; `None` while it may not read.
fn plan(exchange: &Exchange, standing: &Standing, welcome: &mut Welcome) -> Option<Plan> {
    let (hello, township) = (&exchange.hello, exchange.device.township);
    let on_chain = hello.feed.is_none() || hello.feed == standing.common;
    if !on_chain && !fault::bug("ignore_chain") {
        welcome.rewound = true;
        add(&exchange.service.metrics.rewinds, 1);
        if !hello.older.is_empty() {
            welcome.common = Some(standing.common.unwrap_or_default());
        }
        tracing::warn!(device = %exchange.device.id, "a phone has read further than this database goes: it was rewound");
        return None;
    }
    if !standing.told_on_chain && !fault::bug("ignore_chain") {
        // what the device has read stands, what it was told of its own changes doesn't
        add(&exchange.service.metrics.rewinds, 1);
        (welcome.rewound, welcome.common) = (true, Some(hello.feed.unwrap_or_default()));
        return None;
    }
    if standing.reads_closed {
        return None;
    }
    let position = hello.feed.unwrap_or(standing.head);
    let mut frames = Vec::new();
    let log = &standing.claims.grants;
    let grants_head = log.last().map(|(at, _)| *at).unwrap_or_default();
    // what the device says it knows counts only if it is a point of the log; else it gets the whole log, also an empty one:
    // it shows what a restored database lacks, and nobody is left without a word about reading nothing
    let shown = known_by(hello, &standing.claims);
    let known = shown.grants;
    if known != grants_head.seq || log.is_empty() {
        let news = log.iter().filter(|(at, _)| at.seq > known).map(|(_, grant)| grant.entry.clone()).collect();
        let roles = &standing.claims.roles;
        let own = if **roles == **Roles::builtin() { String::new() } else { roles.to_json() };
        frames.push(ReplyFrame::Grants { position: grants_head, entries: news, roles: own });
    }
    if standing.claims.areas.version() != hello.areas {
        frames.push(ReplyFrame::Areas {
            version: standing.claims.areas.version(),
            areas: standing.claims.areas.live().cloned().collect(),
        });
    }
    if let Some(known) = hello.forms.as_ref().filter(|_| !hello.cost_only) {
        frames.extend(super::forms::news(&standing.forms, known));
    }
    let mut query = PullQuery {
        township,
        after: position.seq,
        complete: Vec::new(),
        fills: Vec::new(),
        bytes_max: limits::FRAME_RECORDS_TARGET,
    };
    let mut whole = false;
    let now_ms = exchange.received_ms;
    for (at, given) in current(log).into_iter().filter(|(_, given)| given.holds_at(now_ms)) {
        let (at, grant) = (at.seq, given.entry.grant);
        let scope = scope_of(given, township, &standing.claims);
        whole |= scope.whole && scope.reads == Reads::All;
        let unfinished = hello.fills.iter().find(|f| f.grant == grant).map(|f| f.after);
        let fresh = at > known || hello.feed.is_none();
        // a grant that was given anew starts anew: what it reaches may be more than before
        match if fresh { Some(0) } else { unfinished } {
            Some(after) => query.fills.push((grant, scope, after)),
            None => add_scope(&mut query.complete, scope),
        }
    }
    // a first cursor is only news if the device has none
    let position = if hello.feed.is_none() { Position { seq: u64::MAX, ..Position::default() } } else { position };
    let known = Known { areas: shown.areas.min(standing.claims.areas.version()), ..shown };
    Some(Plan { frames, query, position, whole, known })
}

fn wire(change: &crate::storage::StoredChange) -> WireChange {
    WireChange { hash: change.hash, bytes: change.bytes.clone(), received_ms: change.received_ms }
}

fn frame(pulled: &PulledRecord, body: RecordBody) -> RecordFrame {
    RecordFrame {
        id: pulled.id,
        identity: pulled.identity.clone(),
        incarnation: pulled.incarnation,
        area: pulled.area,
        subject: pulled.subject,
        body,
    }
}

/// That a record lies outside the device's scope now: its area is told as nowhere.
fn elsewhere(pulled: &PulledRecord) -> RecordFrame {
    RecordFrame { area: AreaId::NOWHERE, subject: None, ..frame(pulled, RecordBody::Changes(Vec::new())) }
}

/// All changes, or a snapshot where that is allowed and smaller.
fn fill_body(pulled: &PulledRecord, snapshots: bool) -> RecordBody {
    let changes = || RecordBody::Changes(pulled.changes.iter().map(wire).collect());
    if !snapshots || pulled.changes.len() < SNAPSHOT_FROM {
        return changes();
    }
    let stored = StoredRecord {
        id: pulled.id,
        identity: pulled.identity.clone(),
        incarnation: pulled.incarnation,
        area: pulled.area,
        subject: pulled.subject,
        heads: pulled.heads.clone(),
        doubts: 0,
        changes: pulled.changes.clone(),
    };
    let Ok(record) = merge::open_record(&stored) else { return changes() };
    let Ok(bytes) = record.snapshot() else { return changes() };
    let size: usize = pulled.changes.iter().map(|c| c.bytes.len()).sum();
    if bytes.len() + 32 * pulled.heads.len() >= size {
        return changes();
    }
    let received_ms = pulled.changes.iter().map(|c| c.received_ms).max().unwrap_or(0);
    RecordBody::Snapshot { heads: record.heads(), bytes, received_ms }
}

fn deliver(
    exchange: &Exchange,
    encoder: &mut ReplyEncoder,
    source: Source,
    records: Vec<RecordFrame>,
    as_of: u64,
) -> Result<(), Refused> {
    let service = &exchange.service;
    let mut delivery = Delivery { source, records, as_of, receipt: doorstep_core::id::MacTag([0; 16]) };
    delivery.receipt = Receipt::tag(
        &service.secrets.receipt_key,
        service.secrets.tenant,
        exchange.device.id,
        as_of,
        &delivery.entries(),
    );
    encoder.push(&ReplyFrame::Delivery(delivery))?;
    Ok(())
}
