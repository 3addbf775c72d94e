//! `/quarantine`: what the server refused and kept, with the reason.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use doorstep_core::protocol::refusal_text;
use serde::Deserialize;

use super::phones::short_id;
use super::shell::{Request, Shell};
use super::texts;
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::limits;
use crate::service::view::People;
use crate::service::{Service, view};
use crate::storage::RefusedUploadRow;

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
}

/// A reason in plain words.
pub(super) fn reason_text(shell: &Shell, code: &str) -> &'static str {
    texts::find(&format!("reason.{code}"), shell.language).unwrap_or_else(|| shell.t("reason.other"))
}

fn load(service: &Service, request: &Request, after: Option<u64>) -> Result<QuarantinePage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("quarantine", &township);
    let names = view::people(service, township.id)?;
    let found = service.storage.quarantine(township.id, after, limits::PAGE_ROWS)?;
    let mut rows = Vec::new();
    for row in &found {
        let there = service.storage.record_row(township.id, row.change.record)?.is_some();
        rows.push(QuarantineRow {
            reason: reason_text(&shell, &row.change.reason).to_owned(),
            code: row.change.reason.clone(),
            form: super::record::type_name(&shell, township.forms(), &row.change.identity.record_type),
            href: there.then(|| format!("/households/{}", row.change.record)),
            name: names.device_user(row.device),
            device: short_id(row.device),
            received: shell.time(row.received_ms),
        });
    }
    let uploads = match after {
        None => service.storage.refused_uploads(township.id, None, limits::PAGE_ROWS)?,
        Some(_) => Vec::new(),
    };
    let uploads = uploads.iter().map(|row| refused_upload(&shell, &names, row)).collect();
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    let next = found.last().filter(|_| full).map(|r| format!("/quarantine?after={}", r.no));
    Ok(QuarantinePage { shell, rows, next, uploads })
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
    let after = query.map(|Query(q)| q).unwrap_or_default().after;
    let (service, asked) = (app.service.clone(), request.clone());
    let page = app.blocking(move || load(&service, &asked, after)).await;
    request.answer(page.and_then(|page| page))
}

#[cfg(test)]
impl QuarantinePage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("quarantine", language);
        let row = QuarantineRow {
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
            shell,
        }
    }
}
