//! `/figures/list`: the records or households that a figure counts.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;

use super::figures::{count, households, period_name};
use super::households::status_name;
use super::record::type_name;
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::figures::{FigureParameters, title};
use crate::api::office::Office;
use crate::app::App;
use crate::service::Service;
use crate::storage::figures::Kind;

/// The page.
#[derive(Template)]
#[template(path = "figure_list.html")]
pub struct FigureListPage {
    /// Frame.
    pub shell: Shell,
    /// The figure whose list it is.
    pub figure: String,
    /// What is listed, in words.
    pub about: String,
    /// The entries.
    pub rows: Vec<EntryRow>,
    /// The next page's address.
    pub next: Option<String>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Whom it is about.
    pub name: String,
    /// The record's page.
    pub href: String,
    /// Its form.
    pub form: String,
    /// Where it counts.
    pub area: String,
    /// With which status.
    pub status: String,
    /// Its day.
    pub day: String,
    /// Persons.
    pub persons: String,
    /// It is late.
    pub late: bool,
}

fn load(service: &Service, request: &Request, query: &FigureParameters) -> Result<FigureListPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("figures", &township);
    let asked = query.asked(service)?;
    let filter = query.filter(&asked, &service.area_tree(township.id)?)?;
    let entries = service.storage.figure_list(township.id, &filter)?;
    let next = entries.last().filter(|_| entries.len() as u32 >= filter.limit).map(|e| shell.next_page(e.born));
    let mut rows = Vec::new();
    for entry in entries {
        let name = title(service, township.id, &entry)?;
        rows.push(EntryRow {
            name: if name.is_empty() { shell.t("record.nameless").to_owned() } else { name },
            href: format!("/households/{}", entry.record),
            form: type_name(&shell, township.forms(), &entry.record_type),
            area: township.area_name(entry.area, shell.language),
            status: status_name(&shell, township.forms(), &entry.status),
            day: entry.day,
            persons: shell.number(entry.persons.into()),
            late: entry.late,
        });
    }
    let area = asked.area.map(|area| township.area_name(area, shell.language)).unwrap_or_default();
    let period = period_name(&shell, &asked.period.to_string());
    let about = shell.fill("figures.list_about", &[("area", &area), ("period", &period), ("day", &asked.as_of)]);
    let total = service.figures(township.id, asked.area, &asked.period, &asked.as_of)?.total;
    let sums = total.sum_of(filter.kind, filter.record_type.as_deref(), filter.status.as_deref());
    let figure = match filter.kind {
        Kind::Stock => households(&shell, sums),
        _ if filter.households => households(&shell, sums),
        _ if filter.late => count(&shell, sums.late),
        _ => count(&shell, sums.records),
    };
    Ok(FigureListPage { figure, about: about.trim().to_owned(), rows, next, shell })
}

/// `GET /figures/list`.
pub async fn get_figure_list(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<FigureParameters>, QueryRejection>,
) -> Response {
    request.load(&app, query.map(|Query(q)| q).unwrap_or_default(), load).await
}

#[cfg(test)]
impl FigureListPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("figures", language);
        let row = EntryRow {
            name: "王<script>".to_owned(),
            href: "/households/00".to_owned(),
            form: type_name(&shell, &doorstep_core::form::Catalog::default(), "visit"),
            area: "石桥村".to_owned(),
            status: status_name(&shell, &doorstep_core::form::Catalog::default(), "out"),
            day: "2020-06-01".to_owned(),
            persons: "4".to_owned(),
            late: true,
        };
        Self {
            figure: "1".to_owned(),
            about: "2020-06".to_owned(),
            rows: vec![row],
            next: Some("/figures/list?after=1".to_owned()),
            shell,
        }
    }
}
