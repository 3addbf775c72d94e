//! `/differences`: answers that stand differently, by village and question, with who and when; the office decides here.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::answers::{Answers, Reading};
use super::households::{FilterChoice, encoded};
use super::record::{Difference, Line, difference, form_of, list_query};
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::service::Service;
use crate::service::differences::{DifferenceFilter, DifferencePage, DifferingRecord};

/// Records on a page: each may show many values.
const PAGE_RECORDS: u32 = 20;

/// The page.
#[derive(Template)]
#[template(path = "differences.html")]
pub struct DifferencesPage {
    /// Frame.
    pub shell: Shell,
    /// The filters as choices.
    pub choices: Vec<FilterChoice>,
    /// In the order in which the records were made.
    pub rows: Vec<DifferingRow>,
    /// The next page's address.
    pub next: Option<String>,
}

/// A record with what stands differently in it.
#[derive(Debug, Clone)]
pub struct DifferingRow {
    /// The record.
    pub line: Line,
    /// The heads that are shown, for decisions.
    pub heads: String,
    /// How many sensitive answers differ; they aren't shown.
    pub masked: u32,
    /// What stands differently.
    pub differences: Vec<Difference>,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct DifferencesQuery {
    area: Option<String>,
    question: Option<String>,
    after: Option<String>,
}

/// A question's name for people, as the form of some record type has it.
fn question_name(shell: &Shell, township: &Township, question: &str) -> String {
    let (answers, none) = (Answers::new(), BTreeSet::new());
    // an instance for each repeat, so that it reads like an answer's key
    let key = question.rsplit_once('/').map_or_else(|| question.to_owned(), |(r, q)| format!("{r}#x/{q}"));
    let labels = township.forms().current().into_iter().filter(|form| form.question_of(&key).is_some());
    let label = labels.map(|form| Reading::new(&form, &answers, &none, shell).question_label(&key)).next();
    label.unwrap_or_else(|| question.to_owned())
}

fn choices(shell: &Shell, township: &Township, filter: &DifferenceFilter, page: &DifferencePage) -> Vec<FilterChoice> {
    let all = |chosen: bool| (String::new(), shell.t("filter.all").to_owned(), chosen);
    let villages = township.villages();
    let village = |v: &doorstep_core::protocol::AreaEntry| {
        (v.area.to_string(), township.area_name(v.area, shell.language), filter.area == Some(v.area))
    };
    let mut areas = vec![all(filter.area.is_none())];
    areas.extend(villages.into_iter().map(village));
    let mut questions = vec![all(filter.question.is_none())];
    let asked = filter.question.iter().filter(|asked| !page.questions.contains(asked));
    questions.extend(page.questions.iter().chain(asked).map(|question| {
        let chosen = filter.question.as_ref() == Some(question);
        (question.clone(), question_name(shell, township, question), chosen)
    }));
    vec![
        FilterChoice { name: "area", label: shell.t("filter.area"), options: areas },
        FilterChoice { name: "question", label: shell.t("differences.question"), options: questions },
    ]
}

fn row(
    service: &Service,
    shell: &Shell,
    township: &Township,
    found: &DifferingRecord,
) -> Result<DifferingRow, ApiError> {
    let heads: Vec<String> = found.heads.iter().map(ToString::to_string).collect();
    let mut row = DifferingRow {
        line: Line::load(service, shell, township, &found.row)?,
        heads: heads.join(","),
        masked: if found.is_masked { found.row.projection.differences } else { 0 },
        differences: Vec::new(),
    };
    if let Some(form) = form_of(township.forms(), &found.row.record_type) {
        let merged: serde_json::Value = serde_json::from_str(&found.row.projection.json).unwrap_or_default();
        let merged = merged["answers"].as_object().cloned().unwrap_or_default();
        let (answers, none): (Answers, _) = (merged.into_iter().collect(), BTreeSet::new());
        let reading = Reading::new(&form, &answers, &none, shell);
        row.differences = found.differences.iter().map(|d| difference(shell, &reading, d)).collect();
    }
    Ok(row)
}

fn load(service: &Service, request: &Request, query: &DifferencesQuery) -> Result<DifferencesPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("differences", &township);
    let (area, after, _) = list_query(query.area.as_deref(), query.after.as_deref())?;
    let question = query.question.clone().filter(|q| !q.is_empty());
    let filter = DifferenceFilter { area, question, after, limit: PAGE_RECORDS };
    let page = service.differences(township.id, &filter)?;
    let rows = page.records.iter().map(|found| row(service, &shell, &township, found));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let at = area.map(|a| format!("area={a}&")).unwrap_or_default();
    let of = filter.question.as_deref().map(|q| format!("question={}&", encoded(q))).unwrap_or_default();
    let next = page.next.map(|next| format!("/differences?{at}{of}after={next}"));
    let choices = choices(&shell, &township, &filter, &page);
    Ok(DifferencesPage { shell, choices, rows, next })
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
        let row = DifferingRow {
            line: Line::sample(&shell),
            heads: "00".repeat(32),
            masked: 0,
            differences: super::record::sample(language).differences,
        };
        let options = vec![(String::new(), shell.t("filter.all").to_owned(), true)];
        Self {
            choices: vec![FilterChoice { name: "question", label: shell.t("differences.question"), options }],
            rows: vec![row.clone(), DifferingRow { masked: 2, ..row }],
            next: Some("/differences?after=1".to_owned()),
            shell,
        }
    }
}
