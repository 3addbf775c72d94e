//! `/doubts`: answers that break a rule of their form since records were merged, for the office to look at. No values stand
//! here: whoever may read them opens the record.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use doorstep_core::form::session::Doubt;
use doorstep_core::form::{Form, Sensitivity};
use doorstep_core::id::RecordId;
use serde::Deserialize;

use super::answers::{Answers, Reading};
use super::households::FilterChoice;
use super::record::{Line, type_name};
use super::shell::{Request, Shell};
use super::times;
use super::township::{Township, parse_area};
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::limits;
use crate::service::Service;
use crate::storage::{DoubtFilter, DoubtRow as Stored, DoubtTotal};

/// The page.
#[derive(Template)]
#[template(path = "doubts.html")]
pub struct DoubtsPage {
    /// Frame.
    pub shell: Shell,
    /// The filters as choices.
    pub choices: Vec<FilterChoice>,
    /// Only the entries of one record are shown: its id.
    pub record: Option<String>,
    /// Entries that a later change has dealt with.
    pub closed: bool,
    /// Newest first.
    pub rows: Vec<DoubtLine>,
    /// The next page's address.
    pub next: Option<String>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct DoubtLine {
    /// The record's page.
    pub href: String,
    /// What it is about, or its own name where it is about nothing.
    pub name: String,
    /// Village.
    pub village: String,
    /// The form's title.
    pub form: String,
    /// The question; only that it is hidden where its class is.
    pub question: String,
    /// Why, in plain words.
    pub kind: &'static str,
    /// Since when.
    pub opened: String,
    /// Until when; empty while it is open.
    pub closed: String,
    /// When the change was filled in, by the phone's clock.
    pub filled: String,
    /// When the server received it.
    pub received: String,
}

/// What is asked for; a question as `form/question`.
#[derive(Debug, Default, Deserialize)]
pub struct DoubtsQuery {
    area: Option<String>,
    question: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    record: Option<String>,
    after: Option<u64>,
}

impl DoubtsQuery {
    fn filter(&self) -> Result<DoubtFilter, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let (form, question) = match given(&self.question) {
            Some(both) => {
                let (form, question) = both.split_once('/').ok_or_else(|| ApiError::bad_request("question"))?;
                (Some(form.to_owned()), Some(question.to_owned()))
            }
            None => (None, None),
        };
        let kind = given(&self.kind).map(|k| k.parse::<Doubt>()).transpose();
        let record = given(&self.record).map(|r| r.parse::<RecordId>()).transpose();
        Ok(DoubtFilter {
            area: parse_area(self.area.as_deref())?,
            form,
            question,
            kind: kind.map_err(|_| ApiError::bad_request("kind"))?,
            record: record.map_err(|_| ApiError::bad_request("record"))?,
            closed: self.state.as_deref() == Some("closed"),
            before: self.after,
            limit: limits::PAGE_ROWS,
        })
    }
}

/// A kind of doubt in plain words.
fn kind_text(shell: &Shell, kind: Doubt) -> &'static str {
    shell.t(match kind {
        Doubt::Constraint => "doubts.constraint",
        Doubt::Differs => "doubts.differs",
        Doubt::NotRelevant => "doubts.not_relevant",
        Doubt::Missing => "doubts.missing",
        Doubt::Date => "doubts.date",
        _ => "doubts.unfit",
    })
}

/// What a key asks; in a repeat, of which kind of thing.
fn question_text(shell: &Shell, form: Option<&Form>, key: &str) -> String {
    let Some(form) = form else { return shell.t("answer.unknown").to_owned() };
    Reading::new(form, &Answers::new(), &BTreeSet::new(), shell).label(key)
}

fn line(service: &Service, shell: &Shell, township: &Township, row: &Stored) -> Result<DoubtLine, ApiError> {
    let by = &row.doubt.form;
    let form = township.forms().named(&by.name, by.version).or_else(|| township.forms().newest(&by.name));
    let is_hidden = row.doubt.class != Sensitivity::Core;
    let question = if is_hidden {
        shell.t("answer.hidden").to_owned()
    } else {
        question_text(shell, form.as_deref(), &row.doubt.key)
    };
    // of a part nothing is shown: its core record leads there
    let record = match service.storage.record_row(township.id, row.core)? {
        Some(record) => Some(record),
        None => service.storage.record_row(township.id, row.record)?,
    };
    let about = record.map(|record| Line::load(service, shell, township, &record)).transpose()?;
    let (name, href) = about.map(|line| (line.name, line.href)).unwrap_or_default();
    let unknown = || shell.t("times.unknown").to_owned();
    Ok(DoubtLine {
        href,
        name,
        village: township.area_name(row.area, shell.language),
        form: type_name(shell, township.forms(), &row.record_type),
        question,
        kind: kind_text(shell, row.doubt.kind),
        opened: shell.time(row.opened_ms),
        closed: row.closed_ms.map(|ms| shell.time(ms)).unwrap_or_default(),
        filled: row.change.and_then(|(claimed_s, ..)| times::minute_of_second(claimed_s)).unwrap_or_else(unknown),
        received: row.change.map_or_else(unknown, |(_, received_ms, _)| shell.time(received_ms)),
    })
}

fn choices(shell: &Shell, township: &Township, filter: &DoubtFilter, totals: &[DoubtTotal]) -> Vec<FilterChoice> {
    let all = |chosen: bool| (String::new(), shell.t("filter.all").to_owned(), chosen);
    let mut areas = vec![all(filter.area.is_none())];
    areas.extend(
        township
            .villages()
            .iter()
            .map(|v| (v.area.to_string(), township.area_name(v.area, shell.language), filter.area == Some(v.area))),
    );
    let mut questions = vec![all(filter.question.is_none())];
    let shown = totals.iter().filter(|t| t.class == Sensitivity::Core);
    questions.extend(shown.map(|total| {
        let form = township.forms().newest(&total.form);
        // the place of a question is read as a key of any instance
        let key = total.question.replace('/', "#0/");
        let title = form.as_ref().map_or_else(|| total.form.clone(), |f| title(shell, f));
        let question = question_text(shell, form.as_deref(), &key);
        let n = shell.number(total.open);
        let text = shell.fill("doubts.total", &[("form", &title), ("question", &question), ("n", &n)]);
        let chosen = filter.form.as_ref() == Some(&total.form) && filter.question.as_ref() == Some(&total.question);
        (format!("{}/{}", total.form, total.question), text, chosen)
    }));
    let kinds = Doubt::ALL.iter().map(|k| (k.to_string(), kind_text(shell, *k).to_owned(), filter.kind == Some(*k)));
    let kinds = std::iter::once(all(filter.kind.is_none())).chain(kinds).collect();
    let state = |value: &str, key: &str, chosen| (value.to_owned(), shell.t(key).to_owned(), chosen);
    let states = vec![state("open", "doubts.open", !filter.closed), state("closed", "doubts.closed", filter.closed)];
    let choice = |name, key, options| FilterChoice { name, label: shell.t(key), options };
    vec![
        choice("area", "filter.area", areas),
        choice("question", "doubts.question", questions),
        choice("kind", "doubts.kind", kinds),
        choice("state", "doubts.state", states),
    ]
}

fn title(shell: &Shell, form: &Form) -> String {
    form.titles.get(shell.language.code(), &form.default_language).unwrap_or(&form.name).to_owned()
}

fn load(service: &Service, request: &Request, query: &DoubtsQuery) -> Result<DoubtsPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("doubts", &township);
    let filter = query.filter()?;
    let totals = service.storage.doubt_totals(township.id, filter.area)?;
    let found = service.storage.doubts(township.id, &filter)?;
    // asked by a question, a hidden one doesn't show
    let shown = found.iter().filter(|row| filter.question.is_none() || row.doubt.class == Sensitivity::Core);
    let rows = shown.map(|row| line(service, &shell, &township, row)).collect::<Result<Vec<_>, _>>()?;
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    Ok(DoubtsPage {
        choices: choices(&shell, &township, &filter, &totals),
        record: filter.record.map(|id| id.to_string()),
        closed: filter.closed,
        rows,
        next: found.last().filter(|_| full).map(|last| shell.next_page(last.no)),
        shell,
    })
}

/// `GET /doubts`.
pub async fn get_doubts(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<DoubtsQuery>, QueryRejection>,
) -> Response {
    request.load(&app, query.map(|Query(q)| q).unwrap_or_default(), load).await
}

#[cfg(test)]
impl DoubtsPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("doubts", language);
        let rows = Doubt::ALL.iter().map(|kind| DoubtLine {
            href: "/households/00".to_owned(),
            name: "王<script>".to_owned(),
            village: "石桥村".to_owned(),
            form: "visit".to_owned(),
            question: shell.t("answer.hidden").to_owned(),
            kind: kind_text(&shell, *kind),
            opened: "2020-06-01 08:00".to_owned(),
            closed: "2020-06-02 08:00".to_owned(),
            filled: "2020-05-31 17:00".to_owned(),
            received: "2020-06-01 08:00".to_owned(),
        });
        let options = vec![("a".to_owned(), "石桥村".to_owned(), true)];
        Self {
            choices: vec![FilterChoice { name: "area", label: shell.t("filter.area"), options }],
            record: Some("00".to_owned()),
            closed: true,
            rows: rows.collect(),
            next: Some("/doubts?after=1".to_owned()),
            shell,
        }
    }
}
