//! `/figures/frozen/NO`: a frozen report beside today's figures; and the form that freezes one.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::figures::{count, households, period_name};
use super::record::type_name;
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::figures::{FigureParameters, title};
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::service::Service;
use crate::service::figures::frozen::{ChangedRecord, NAME_MAX, area_names};
use crate::storage::figures::{FigureEntry, Kind, Sums};

/// Changed records that the page shows.
const SHOWN: usize = 200;

/// The page.
#[derive(Template)]
#[template(path = "frozen.html")]
pub struct FrozenPage {
    /// Frame.
    pub shell: Shell,
    /// The report's name.
    pub name: String,
    /// Period, day, when and by whom, in words.
    pub about: String,
    /// What is counted; then; now; the same.
    pub rows: Vec<(String, String, String, bool)>,
    /// How many records count otherwise.
    pub changed: String,
    /// The first of them: name, page, then, now.
    pub records: Vec<(String, String, String, String)>,
}

fn sums(shell: &Shell, kind: Kind, sums: Sums) -> String {
    match kind {
        Kind::Records => format!("{} · {}", count(shell, sums.records), households(shell, sums)),
        _ => households(shell, sums),
    }
}

fn load(service: &Service, request: &Request, no: &u64) -> Result<FrozenPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("figures", &township);
    let report = service.frozen_report(township.id, *no)?.ok_or_else(ApiError::not_found)?;
    let comparison = service.compare_frozen(township.id, &report)?;
    let what = |kind: Kind, record_type: &str| match kind {
        Kind::Stock => shell.t("overview.households").to_owned(),
        _ => type_name(&shell, township.forms(), record_type),
    };
    let row = |((kind, record_type), (then, now)): ((Kind, &str), (Sums, Sums))| {
        (what(kind, record_type), sums(&shell, kind, then), sums(&shell, kind, now), then == now)
    };
    let rows = comparison.by_type().into_iter().map(row).collect();
    let names = area_names(&report);
    let entry = |entry: &Option<FigureEntry>| match entry {
        None => shell.t("figures.not_counted").to_owned(),
        Some(e) => {
            let name = |pair: &(String, String)| if shell.lang() == "en" { pair.1.clone() } else { pair.0.clone() };
            let area = names.get(&e.area).map_or_else(|| township.area_name(e.area, shell.language), name);
            let late = if e.late { shell.t("figures.late_mark") } else { "" };
            let persons = shell.fill("figures.persons", &[("n", &shell.number(e.persons.into()))]);
            format!("{area} {} {persons} {late}", e.day)
        }
    };
    let mut records = Vec::new();
    for changed in comparison.records.iter().take(SHOWN) {
        let ChangedRecord { record, then, now, .. } = changed;
        let Some(one) = now.as_ref().or(then.as_ref()) else { continue };
        let name = title(service, township.id, one)?;
        let name = if name.is_empty() { shell.t("record.nameless").to_owned() } else { name };
        records.push((name, format!("/households/{record}"), entry(then), entry(now)));
    }
    let about = shell.fill(
        "figures.frozen_about",
        &[
            ("period", &period_name(&shell, &report.period)),
            ("day", &report.as_of),
            ("when", &shell.time(report.made_ms)),
            ("by", &report.made_by),
        ],
    );
    let changed = shell.fill("figures.changed", &[("n", &shell.number(comparison.changed))]);
    Ok(FrozenPage { name: report.name, about, rows, changed, records, shell })
}

/// `GET /figures/frozen/NO`.
pub async fn get_frozen(_: Office, State(app): State<Arc<App>>, request: Request, Path(no): Path<u64>) -> Response {
    request.load(&app, no, load).await
}

/// What is to be frozen.
#[derive(Debug, Deserialize)]
pub struct FreezeForm {
    name: String,
    by: String,
    period: String,
}

/// `POST /figures/freeze`.
pub async fn post_freeze(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Result<Form<FreezeForm>, FormRejection>,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let Form(form) = form.map_err(|_| ApiError::bad_request("body"))?;
    let shared = app.clone();
    app.blocking(move || {
        let named = |text: &str| (1..=NAME_MAX).contains(&text.trim().chars().count()) && !text.contains('\0');
        if !named(&form.name) || !named(&form.by) {
            return Err(ApiError::bad_request("name"));
        }
        let township = Township::load(&shared.service)?;
        let parameters = FigureParameters { period: Some(form.period), ..FigureParameters::default() };
        let asked = parameters.asked(&shared.service)?;
        let no = shared.service.freeze(township.id, (&form.name, &form.by), &asked.period, &asked.as_of)?;
        Ok(Redirect::to(&format!("/figures/frozen/{no}")).into_response())
    })
    .await?
}

#[cfg(test)]
impl FrozenPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("figures", language);
        let (then, now) = (shell.households(475, 1402), shell.households(474, 1398));
        Self {
            name: "<script>".to_owned(),
            about: shell.fill("figures.frozen_about", &[("period", "2020-05"), ("day", ""), ("when", ""), ("by", "")]),
            rows: vec![(shell.t("overview.households").to_owned(), then, now, false)],
            changed: shell.fill("figures.changed", &[("n", "1")]),
            records: vec![("张三".to_owned(), "/households/00".to_owned(), "4".to_owned(), "3".to_owned())],
            shell,
        }
    }
}
