//! `/quarantine`: what the server refused and kept, with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use doorstep_core::id::DeviceId;
use doorstep_core::protocol::refusal_text;
use serde::Deserialize;

use super::phones::short_id;
use super::reason::{self, ReasonForm};
use super::shell::{Request, Shell};
use super::texts;
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::limits;
use crate::service::view::People;
use crate::service::{Service, view};
use crate::storage::{Decision, QuarantineFilter, RefusedUploadRow};

/// The page.
#[derive(Template)]
#[template(path = "quarantine.html")]
pub struct QuarantinePage {
    /// Frame.
    pub shell: Shell,
    /// Newest first.
    pub rows: Vec<QuarantineRow>,
    /// The next page's address.
    pub next: Option<String>,
    /// Uploads refused as a whole, newest first; only on the first page.
    pub uploads: Vec<RefusedUpload>,
    /// Events in the life of households that can't be applied yet; only on the first page.
    pub events: Vec<EventRow>,
    /// Only of one phone.
    pub of_phone: bool,
    /// Reasons that are offered.
    pub reasons: Vec<&'static str>,
    /// What came of a decision.
    pub done: Vec<String>,
}

/// An event that can't be applied yet.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Why, in plain words.
    pub reason: String,
    /// What happened.
    pub form: String,
    /// The event's page.
    pub href: String,
    /// Who wrote it.
    pub name: String,
    /// Since when it waits.
    pub since: String,
}

/// An upload that was refused as a whole.
#[derive(Debug, Clone)]
pub struct RefusedUpload {
    /// Why, in plain words.
    pub reason: String,
    /// What the person with the phone does about it.
    pub advice: String,
    /// The same as a code.
    pub code: String,
    /// Whose phone sent it.
    pub name: String,
    /// Which phone.
    pub device: String,
    /// How large it was.
    pub size: String,
    /// Where the kept bytes are, while there are any.
    pub href: Option<String>,
    /// How often the same came.
    pub times: u64,
    /// When it was received last.
    pub received: String,
}

/// A refused change.
#[derive(Debug, Clone)]
pub struct QuarantineRow {
    /// Its number.
    pub no: u64,
    /// Why, in plain words.
    pub reason: String,
    /// The same as a code, for whoever looks it up.
    pub code: String,
    /// What it was about.
    pub form: String,
    /// The record's page, where there is one.
    pub href: Option<String>,
    /// Whose phone sent it.
    pub name: String,
    /// Which phone.
    pub device: String,
    /// When it was received.
    pub received: String,
}

/// Which page of the list.
#[derive(Debug, Default, Deserialize)]
pub struct QuarantineQuery {
    after: Option<u64>,
    device: Option<String>,
}

/// What is decided, about which: `no-12=on` for each change.
#[derive(Debug, Clone, Default)]
struct Decided {
    release: bool,
    numbers: Vec<u64>,
    reason: ReasonForm,
}

impl Decided {
    fn of(release: bool, mut form: BTreeMap<String, String>) -> Self {
        let mut take = |name: &str| form.remove(name).unwrap_or_default();
        let reason = ReasonForm { why: take("why"), more: take("more") };
        let numbers = form.keys().filter_map(|key| key.strip_prefix("no-")?.parse().ok()).collect();
        Self { release, numbers, reason }
    }
}

/// A reason in plain words.
pub(super) fn reason_text(shell: &Shell, code: &str) -> &'static str {
    texts::reason(code, shell.language)
}

fn load(service: &Service, request: &Request, query: &QuarantineQuery) -> Result<QuarantinePage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("quarantine", &township);
    let names = view::people(service, township.id)?;
    let (after, device) = (query.after, query.device.as_deref().map(str::parse::<DeviceId>).transpose());
    let filter = QuarantineFilter {
        decision: Some(Decision::Open),
        device: device.map_err(|_| ApiError::not_found())?,
        reason: None,
        before: after,
        limit: limits::PAGE_ROWS,
    };
    let of_phone = filter.device.is_some();
    let found = service.storage.quarantine_list(township.id, &filter)?;
    let mut rows = Vec::new();
    for row in &found {
        let there = service.storage.record_row(township.id, row.change.record)?.is_some();
        rows.push(QuarantineRow {
            no: row.no,
            reason: reason_text(&shell, &row.change.reason).to_owned(),
            code: row.change.reason.clone(),
            form: super::record::type_name(&shell, township.forms(), &row.change.identity.record_type),
            href: there.then(|| format!("/households/{}", row.change.record)),
            name: names.device_user(row.device),
            device: short_id(row.device),
            received: shell.time(row.received_ms),
        });
    }
    let events = match after.or(of_phone.then_some(0)) {
        None => waiting_events(service, &shell, &township, &names)?,
        Some(_) => Vec::new(),
    };
    let uploads = match after.or(of_phone.then_some(0)) {
        None => service.storage.refused_uploads(township.id, None, limits::PAGE_ROWS)?,
        Some(_) => Vec::new(),
    };
    let uploads = uploads.iter().map(|row| refused_upload(&shell, &names, row)).collect();
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    let next = found.last().filter(|_| full).map(|r| {
        let device = filter.device.map(|d| format!("&device={d}")).unwrap_or_default();
        format!("/quarantine?after={}{device}", r.no)
    });
    let reasons = reason::to_decide(&shell);
    Ok(QuarantinePage { shell, rows, next, uploads, events, of_phone, reasons, done: Vec::new() })
}

fn waiting_events(
    service: &Service,
    shell: &Shell,
    township: &Township,
    names: &People,
) -> Result<Vec<EventRow>, ApiError> {
    let mut rows = Vec::new();
    for event in service.storage.waiting_events(township.id, None, limits::PAGE_ROWS)? {
        let Some(row) = service.storage.record_row(township.id, event.event)? else { continue };
        rows.push(EventRow {
            reason: reason_text(shell, &event.reason).to_owned(),
            form: super::record::type_name(shell, township.forms(), &row.record_type),
            href: format!("/households/{}", event.event),
            name: names.user(event.author),
            since: shell.time(event.since_ms),
        });
    }
    Ok(rows)
}

fn refused_upload(shell: &Shell, names: &People, row: &RefusedUploadRow) -> RefusedUpload {
    let text = refusal_text(&row.reason);
    let language = shell.language.code();
    RefusedUpload {
        reason: text.what.in_language(language).to_owned(),
        advice: text.advice.in_language(language).to_owned(),
        code: row.reason.clone(),
        name: names.device_user(row.device),
        device: short_id(row.device),
        size: texts::fill(shell.t("quarantine.bytes"), &[("n", &row.size.to_string())]),
        href: (row.kept > 0).then(|| format!("/api/quarantine/uploads/{}", row.no)),
        times: row.times,
        received: shell.time(row.last_ms),
    }
}

/// `GET /quarantine`.
pub async fn get_quarantine(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<QuarantineQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let query = query.map(|Query(q)| q).unwrap_or_default();
    request.load(&app, query, load).await
}

type Boxes = Result<Form<BTreeMap<String, String>>, FormRejection>;

/// `POST /quarantine/release`.
pub async fn post_release(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    boxes: Boxes,
) -> Response {
    decide(office, &app, request, &headers, boxes, true).await
}

/// `POST /quarantine/discard`.
pub async fn post_discard(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    boxes: Boxes,
) -> Response {
    decide(office, &app, request, &headers, boxes, false).await
}

async fn decide(
    office: Office,
    app: &App,
    request: Request,
    headers: &HeaderMap,
    boxes: Boxes,
    release: bool,
) -> Response {
    let checked = same_origin(headers).and_then(|()| boxes.map_err(|_| ApiError::bad_request("body")));
    let decided = match checked {
        Ok(Form(form)) => Decided::of(release, form),
        Err(error) => return request.answer(Err::<QuarantinePage, _>(error)),
    };
    let (service, asked) = (app.service.clone(), request.clone());
    let page = app.blocking(move || decide_and_show(&service, &asked, office, &decided)).await;
    request.answer(page.and_then(|page| page))
}

fn decide_and_show(
    service: &Arc<Service>,
    request: &Request,
    office: Office,
    decided: &Decided,
) -> Result<QuarantinePage, ApiError> {
    let township = Township::load(service)?.id;
    let reason = decided.reason.text().ok_or_else(ApiError::reason_needed)?;
    let (mut done, mut refused) = (0, Vec::new());
    if decided.release {
        for one in service.release(office.actor(), township, &decided.numbers, &reason)? {
            match one.refused {
                None => done += 1,
                Some(why) => refused.push((one.no, why)),
            }
        }
    } else {
        done = service.discard(office.actor(), township, &decided.numbers, &reason)? as u64;
    }
    let mut page = load(service, request, &QuarantineQuery::default())?;
    let key = if decided.release { "quarantine.released" } else { "quarantine.discarded" };
    let shell = &page.shell;
    page.done = vec![texts::fill(shell.t(key), &[("n", &shell.number(done))])];
    for (no, why) in refused {
        let cannot = shell.fill("quarantine.cannot", &[("n", &no.to_string())]);
        page.done.push(format!("{cannot} {}", reason_text(shell, &why)));
    }
    Ok(page)
}

#[cfg(test)]
impl QuarantinePage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("quarantine", language);
        let row = QuarantineRow {
            no: 12,
            reason: reason_text(&shell, "foreign_user").to_owned(),
            code: "foreign_user".to_owned(),
            form: super::record::type_name(&shell, &doorstep_core::form::Catalog::default(), "visit"),
            href: Some("/households/00".to_owned()),
            name: "王<script>".to_owned(),
            device: "a1b2c3".to_owned(),
            received: "2020-06-01 08:00".to_owned(),
        };
        let text = refusal_text("upload_signature");
        let upload = RefusedUpload {
            reason: text.what.in_language(language.code()).to_owned(),
            advice: text.advice.in_language(language.code()).to_owned(),
            code: "upload_signature".to_owned(),
            name: "王<script>".to_owned(),
            device: "a1b2c3".to_owned(),
            size: texts::fill(shell.t("quarantine.bytes"), &[("n", "13500")]),
            href: Some("/api/quarantine/uploads/1".to_owned()),
            times: 1,
            received: "2020-06-01 08:00".to_owned(),
        };
        Self {
            rows: vec![row.clone(), QuarantineRow { href: None, ..row }],
            next: Some("/quarantine?after=1".to_owned()),
            uploads: vec![upload.clone(), RefusedUpload { href: None, times: 3, ..upload }],
            events: vec![EventRow {
                reason: reason_text(&shell, "event_household").to_owned(),
                form: super::record::type_name(&shell, &doorstep_core::form::Catalog::default(), "death"),
                href: "/households/00".to_owned(),
                name: "王<script>".to_owned(),
                since: "2020-06-01 08:00".to_owned(),
            }],
            of_phone: true,
            reasons: reason::to_decide(&shell),
            done: vec![texts::fill(shell.t("quarantine.released"), &[("n", "1")])],
            shell,
        }
    }
}
