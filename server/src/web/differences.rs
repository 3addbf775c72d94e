//! `/differences`: every record whose answers stand differently, for the office to decide.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::record::{Line, list_query};
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::limits;
use crate::service::Service;
use crate::storage::RecordFilter;

/// The page.
#[derive(Template)]
#[template(path = "differences.html")]
pub struct DifferencesPage {
    /// Frame.
    pub shell: Shell,
    /// The village, where only one is shown.
    pub village: String,
    /// In the order in which the records were made.
    pub rows: Vec<Line>,
    /// The next page's address.
    pub next: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct DifferencesQuery {
    area: Option<String>,
    after: Option<String>,
}

fn load(service: &Service, request: &Request, query: &DifferencesQuery) -> Result<DifferencesPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("differences", &township);
    let (area, after, limit) = list_query(query.area.as_deref(), query.after.as_deref())?;
    let filter = RecordFilter { with_differences: true, area, after, limit, ..RecordFilter::default() };
    let found = service.storage.list_records(township.id, &filter)?;
    let rows = found.iter().map(|r| Line::load(service, &shell, &township, r)).collect::<Result<Vec<_>, _>>()?;
    let at = area.map(|a| format!("area={a}&")).unwrap_or_default();
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    let next = found.last().filter(|_| full).map(|r| format!("/differences?{at}after={}", r.born));
    let village = area.map(|a| township.area_name(a, shell.language)).unwrap_or_default();
    Ok(DifferencesPage { shell, village, rows, next })
}

/// `GET /differences`.
pub async fn get_differences(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<DifferencesQuery>, QueryRejection>,
) -> Response {
    request.load(&app, query.map(|Query(q)| q).unwrap_or_default(), load).await
}

#[cfg(test)]
impl DifferencesPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("differences", language);
        Self {
            village: "石桥村".to_owned(),
            rows: vec![Line::sample(&shell)],
            next: Some("/differences?after=1".to_owned()),
            shell,
        }
    }
}
