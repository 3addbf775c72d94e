//! `/api/register`: previewing and importing spreadsheets, faulty rows back, imports and undoing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::messages::Language;
use crate::register::lists::{Kind, List};
use crate::register::preview::Page;
use crate::register::{self, Options, RegisterError, Table, sheet, undo};
use crate::service::audit::{Act, Action, Actor};
use crate::storage::register::ImportRow;

/// Tables under way at once: each may take some 400 MB.
static TABLES: Semaphore = Semaphore::const_new(1);

/// The routes; an import may take minutes, so they aren't under the usual timeout.
pub fn router() -> Router<Arc<App>> {
    let body = DefaultBodyLimit::max(sheet::FILE_BYTES);
    Router::new()
        .route("/api/register/preview", post(post_preview).layer(body))
        .route("/api/register/import", post(post_import).layer(body))
        .route("/api/register/faulty", post(post_faulty).layer(body))
        .route("/api/register/imports", get(get_imports))
        .route("/api/register/imports/{no}/undo", post(post_undo))
}

/// How the file in the body is read. What columns mean is a JSON object in the header `doorstep-columns`, ASCII with escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileQuery {
    township: Option<String>,
    kind: Option<String>,
    file: Option<String>,
    sheet: Option<String>,
    /// Question names, separated by commas.
    only: Option<String>,
    village: Option<String>,
    token: Option<String>,
    skip: usize,
    rows: Option<usize>,
    unchanged: bool,
    show_values: bool,
    language: Option<String>,
    before: Option<u64>,
}

impl FileQuery {
    fn options(&self, headers: &HeaderMap) -> Result<Options, ApiError> {
        let mapping: BTreeMap<String, String> = match headers.get("doorstep-columns") {
            Some(json) => {
                serde_json::from_slice(json.as_bytes()).map_err(|_| ApiError::bad_request("doorstep-columns"))?
            }
            None => BTreeMap::new(),
        };
        let only = self.only.as_deref().unwrap_or_default();
        let only = only.split(',').map(str::trim).filter(|o| !o.is_empty()).map(str::to_owned).collect();
        Ok(Options {
            file_name: self.file.clone().unwrap_or_default(),
            sheet: self.sheet.clone(),
            mapping,
            only,
            village: self.village.clone(),
        })
    }

    /// Areas, people or pairings; `None` for households.
    fn list(&self) -> Result<Option<Kind>, ApiError> {
        match self.kind.as_deref() {
            None | Some(register::HOUSEHOLDS) => Ok(None),
            Some(kind) => Kind::parse(kind).map(Some).ok_or_else(|| ApiError::bad_request("kind")),
        }
    }

    fn page(&self) -> Page {
        Page {
            skip: self.skip,
            rows: self.rows.unwrap_or(Page::default().rows),
            unchanged: self.unchanged,
            show_values: self.show_values,
        }
    }
}

/// What is wrong with the table is told with 422; what is wrong with the server as elsewhere.
fn refuse(error: RegisterError) -> Result<Response, ApiError> {
    let code = error.code();
    match (error.text(), error) {
        (Some(text), error) => {
            let status = match &error {
                RegisterError::Table("no_import") => StatusCode::NOT_FOUND,
                RegisterError::EditedSince { .. } => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let mut body = json!({"error": code, "message": {"zh": text.zh, "en": text.en}});
            if let RegisterError::EditedSince { count, numbers, .. } = error {
                body["count"] = count.into();
                body["numbers"] = numbers.into();
            }
            Ok((status, Json(body)).into_response())
        }
        (None, RegisterError::Storage(error)) => Err(error.into()),
        (None, _) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")),
    }
}

/// The table in a body.
enum Parsed {
    Table(Box<Table>),
    List(Box<List>),
}

type Body = Result<Bytes, BytesRejection>;

/// Reads the table in the body on a worker thread and does something with it.
async fn with_table(
    app: Arc<App>,
    headers: HeaderMap,
    query: FileQuery,
    body: Body,
    work: impl FnOnce(&App, &FileQuery, &Parsed) -> Result<Response, RegisterError> + Send + 'static,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let body = body.map_err(|rejection| ApiError::new(rejection.status(), "too_large"))?;
    let (options, kind) = (query.options(&headers)?, query.list()?);
    let _turn = TABLES.acquire().await;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let table = match kind {
            Some(kind) => {
                List::read(&shared.service, kind, township, &body, &options).map(|l| Parsed::List(Box::new(l)))
            }
            None => Table::read(&shared.service, township, &body, &options).map(|t| Parsed::Table(Box::new(t))),
        };
        drop(body);
        match table.and_then(|table| work(&shared, &query, &table)) {
            Ok(response) => Ok(response),
            Err(error) => refuse(error),
        }
    })
    .await?
}

async fn post_preview(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<FileQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    with_table(app, headers, query, body, |app, query, table| {
        let table = match table {
            Parsed::Table(table) => table,
            Parsed::List(list) => {
                let (items, page) = (list.plan(&app.service)?, query.page());
                return Ok(Json(list.preview_json(&items, page.skip, page.rows)).into_response());
            }
        };
        if query.show_values {
            app.service.audit(Actor::Office, Act::new(Action::MaskedLook).because("register preview"))?;
        }
        let preview = table.preview(&app.service, query.page())?;
        Ok(Json(table.preview_json(&preview, query.show_values)).into_response())
    })
    .await
}

async fn post_import(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<FileQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    with_table(app, headers, query, body, |app, query, table| {
        let user = register::office_user(&app.service)?;
        let file = query.file.as_deref().unwrap_or_default();
        let table = match table {
            Parsed::Table(table) => table,
            Parsed::List(list) => {
                return Ok(Json(list.import(&app.service, user, file, Actor::Office)?).into_response());
            }
        };
        let done = table.import(&app.service, user, file, query.token.as_deref(), Actor::Office)?;
        Ok(Json(done).into_response())
    })
    .await
}

async fn post_faulty(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<FileQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    with_table(app, headers, query, body, |app, query, table| {
        let language = query.language.as_deref().and_then(Language::from_code).unwrap_or_default();
        let found = match table {
            Parsed::Table(table) => table.faulty(&app.service, language)?,
            Parsed::List(list) => list.faulty(&app.service, language)?,
        };
        let Some(workbook) = found.workbook else { return Ok(StatusCode::NO_CONTENT.into_response()) };
        app.service.audit(Actor::Office, Act::new(Action::Export).with("faulty_rows", found.rows))?;
        let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
        let name = "attachment; filename=\"faulty.xlsx\"";
        Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], workbook).into_response())
    })
    .await
}

fn import_json(row: &ImportRow) -> Value {
    let summary: Value = serde_json::from_str(&row.summary).unwrap_or_default();
    json!({
        "no": row.no, "kind": row.import.kind, "file": row.import.file_name, "user": row.import.user,
        "started_ms": row.import.started_ms, "state": row.state.as_str(), "changed_ms": row.changed_ms, "summary": summary,
    })
}

async fn get_imports(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<FileQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let rows = shared.service.storage.imports(township, query.before, 100)?;
        let next = (rows.len() == 100).then(|| rows.last().map(|r| r.no)).flatten();
        Ok(Json(json!({"imports": rows.iter().map(import_json).collect::<Vec<_>>(), "next": next})))
    })
    .await?
}

async fn post_undo(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(no): Path<String>,
    Query(query): Query<FileQuery>,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let no: u64 = no.parse().map_err(|_| ApiError::bad_request("no"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let undone = register::office_user(&shared.service)
            .map_err(RegisterError::from)
            .and_then(|user| undo::undo(&shared.service, township, no, user, Actor::Office));
        match undone {
            Ok(done) => Ok(Json(done).into_response()),
            Err(error) => refuse(error),
        }
    })
    .await?
}
