//! `/visits`: the visits behind a figure.

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
#[template(path = "visits.html")]
pub struct VisitsPage {
    /// Frame.
    pub shell: Shell,
    /// The village, where only one is shown.
    pub village: String,
    /// In the order in which they arrived.
    pub rows: Vec<Line>,
    /// The next page's address.
    pub next: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct VisitsQuery {
    area: Option<String>,
    after: Option<String>,
}

fn load(service: &Service, request: &Request, query: &VisitsQuery) -> Result<VisitsPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("households", &township);
    let (area, after, limit) = list_query(query.area.as_deref(), query.after.as_deref())?;
    let filter = RecordFilter { record_type: Some("visit".to_owned()), area, after, limit, ..RecordFilter::default() };
    let found = service.storage.list_records(township.id, &filter)?;
    let rows = found.iter().map(|r| Line::load(service, &shell, &township, r)).collect::<Result<Vec<_>, _>>()?;
    let at = area.map(|a| format!("area={a}&")).unwrap_or_default();
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    let next = found.last().filter(|_| full).map(|r| format!("/visits?{at}after={}", r.born));
    let village = area.map(|a| township.area_name(a, shell.language)).unwrap_or_default();
    Ok(VisitsPage { shell, village, rows, next })
}

/// `GET /visits`.
pub async fn get_visits(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<VisitsQuery>, QueryRejection>,
) -> Response {
    request.load(&app, query.map(|Query(q)| q).unwrap_or_default(), load).await
}

#[cfg(test)]
impl VisitsPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("households", language);
        Self {
            village: "石桥村".to_owned(),
            rows: vec![Line::sample(&shell)],
            next: Some("/visits?after=1".to_owned()),
            shell,
        }
    }
}
