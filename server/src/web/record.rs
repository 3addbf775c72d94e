//! `/households/{id}`: one merged record, of any type: what stands differently first, then its answers, what is about it,
//! and who changed what.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use doorstep_core::form::{Catalog, Form};
use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;

use super::answers::{Answers, Reading, Section};
use super::households::status_name;
use super::phones::short_id;
use super::reason::{self, ReasonForm};
use super::shell::{Request, Shell};
use super::times;
use super::township::{Township, parse_area};
use crate::api::ApiError;
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::limits;
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::masked::MaskedLook;
use crate::service::view::{self, AsOf, DifferenceEntry, Entry, RecordPage};
use crate::storage::RecordRow;

/// Changes with more answers than this are folded in the history.
const UNFOLDED_MAX: usize = 8;

/// The page.
#[derive(Template)]
#[template(path = "record.html")]
pub struct RecordView {
    /// Frame.
    pub shell: Shell,
    /// The form's title.
    pub form: String,
    /// The household's head, or the visit's day.
    pub title: String,
    /// Number, village, status and the like: label and text.
    pub facts: Vec<(String, String)>,
    /// What it is about: address and name.
    pub subject: Option<(String, String)>,
    /// How many answers are doubtful, and where they are listed.
    pub doubts: (u32, String),
    /// The record itself is a sensitive part: nothing of it is shown.
    pub hidden: bool,
    /// Masked answers are shown, once, for this reason.
    pub looked: Option<String>,
    /// Where a look at the masked answers is asked for, and the reasons that are offered; none where nothing is masked.
    pub look: Option<(String, Vec<&'static str>)>,
    /// The sensitive parts: what may stand in them, and in how many places they differ.
    pub parts: Option<HiddenParts>,
    /// Its address.
    pub href: String,
    /// When the shown moment of the past was; `None`: now.
    pub then: Option<String>,
    /// The heads that the page shows, for decisions.
    pub heads: String,
    /// What stands differently.
    pub differences: Vec<Difference>,
    /// The merged answers.
    pub sections: Vec<Section>,
    /// Visits and screenings about it.
    pub about: Vec<Line>,
    /// Newest first.
    pub history: Vec<HistoryChange>,
}

/// Parts that exist and aren't shown.
#[derive(Debug, Clone)]
pub struct HiddenParts {
    /// What the parts may hold.
    pub labels: String,
    /// Answers in them that stand differently.
    pub differences: u32,
}

/// An answer that stands differently.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The question.
    pub label: String,
    /// The values, the one shown first.
    pub values: Vec<ValueRow>,
}

/// Who and when, as both clocks say.
#[derive(Debug, Clone)]
pub struct Author {
    /// Who.
    pub name: String,
    /// When, by the phone's clock.
    pub filled: String,
    /// When the server received it.
    pub received: String,
    /// The start of the device's id.
    pub device: String,
}

/// One of several values.
#[derive(Debug, Clone)]
pub struct ValueRow {
    /// The value.
    pub value: String,
    /// Whose.
    pub author: Author,
    /// What the button that decides for it says.
    pub choice: String,
}

/// One change of the history with all that it answered.
#[derive(Debug, Clone)]
pub struct HistoryChange {
    /// Whose.
    pub author: Author,
    /// Where the record is shown as it was after it.
    pub then: String,
    /// What it answered.
    pub answers: Vec<HistoryAnswer>,
    /// Too many to show at once.
    pub folded: bool,
    /// How many, in words.
    pub count: String,
}

/// One answer of a change.
#[derive(Debug, Clone)]
pub struct HistoryAnswer {
    /// Question.
    pub label: String,
    /// Value.
    pub value: String,
    /// What it replaced; may be empty.
    pub previous: String,
    /// What the button that puts it back says; none where it stands.
    pub restore: Option<String>,
}

/// A record in a list.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its page.
    pub href: String,
    /// What it is about, or its own name where it is about nothing.
    pub name: String,
    /// Its type in words.
    pub form: String,
    /// Its day; empty for none.
    pub day: String,
    /// What came of it; empty for nothing.
    pub result: String,
    /// Village.
    pub village: String,
    /// How many answers stand differently.
    pub differences: u32,
    /// When its newest change arrived.
    pub updated: String,
}

/// Area, cursor and size of a page of a list.
pub fn list_query(area: Option<&str>, after: Option<&str>) -> Result<(Option<AreaId>, u64, u32), ApiError> {
    let after = after.and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok((parse_area(area)?, after, limits::PAGE_ROWS))
}

/// The form that reads records of this type, also a part's.
pub fn form_of(forms: &Catalog, record_type: &str) -> Option<Arc<Form>> {
    forms.of_type(record_type.split('.').next().unwrap_or_default())
}

/// The name of a record's type.
pub fn type_name(shell: &Shell, forms: &Catalog, record_type: &str) -> String {
    let Some(form) = form_of(forms, record_type) else { return record_type.to_owned() };
    let title = form.titles.get(shell.language.code(), &form.default_language).unwrap_or(&form.name);
    if record_type.contains('.') { shell.fill("record.part_of", &[("form", title)]) } else { title.to_owned() }
}

/// A value of one of the form's questions in words: a choice as its label.
pub fn choice_name(shell: &Shell, forms: &Catalog, record_type: &str, question: &str, value: &str) -> String {
    let Some(form) = form_of(forms, record_type).filter(|_| !value.is_empty()) else { return value.to_owned() };
    let (answers, none) = (Answers::new(), BTreeSet::new());
    Reading::new(&form, &answers, &none, shell).value(question, &value.into())
}

/// The second column of lists in words, as a visit's result.
fn label_text(shell: &Shell, forms: &Catalog, row: &RecordRow) -> String {
    let label = form_of(forms, &row.record_type).map(|form| form.list.label.clone()).unwrap_or_default();
    choice_name(shell, forms, &row.record_type, &label, &row.projection.label)
}

impl Line {
    /// A row as a list shows it.
    pub fn load(service: &Service, shell: &Shell, township: &Township, row: &RecordRow) -> Result<Self, ApiError> {
        let subject = row.subject.map(|id| service.storage.record_row(township.id, id)).transpose()?.flatten();
        Ok(Self::new(shell, township, row, subject.as_ref()))
    }

    fn new(shell: &Shell, township: &Township, row: &RecordRow, subject: Option<&RecordRow>) -> Self {
        let named = subject.unwrap_or(row);
        Self {
            href: format!("/households/{}", row.id),
            name: record_name(shell, named),
            form: type_name(shell, township.forms(), &row.record_type),
            day: row.projection.day.clone(),
            result: if named.id == row.id { String::new() } else { label_text(shell, township.forms(), row) },
            village: township.area_name(named.area, shell.language),
            differences: row.projection.differences,
            updated: shell.time(row.updated_ms),
        }
    }

    /// For tests.
    #[cfg(test)]
    pub fn sample(shell: &Shell) -> Self {
        Self {
            href: "/households/00".to_owned(),
            name: "王<script>".to_owned(),
            form: type_name(shell, &Catalog::default(), "visit"),
            day: "2020-06-01".to_owned(),
            result: choice_name(shell, &Catalog::default(), "visit", "result", "met"),
            village: "石桥村".to_owned(),
            differences: 2,
            updated: "2020-06-01 08:00".to_owned(),
        }
    }
}

fn record_name(shell: &Shell, row: &RecordRow) -> String {
    if row.projection.title.is_empty() { shell.t("record.nameless").to_owned() } else { row.projection.title.clone() }
}

fn author(shell: &Shell, entry: &Entry) -> Author {
    let unknown = || shell.t("times.unknown").to_owned();
    Author {
        name: if entry.name.is_empty() { shell.t("author.unknown").to_owned() } else { entry.name.clone() },
        filled: times::minute_of_second(entry.claimed_s).unwrap_or_else(unknown),
        received: shell.time(entry.received_ms),
        device: entry.device.map_or_else(unknown, short_id),
    }
}

/// Names a value: the change that put it, and the answer's key.
fn choice(entry: &Entry) -> String {
    format!("{} {}", entry.change, entry.key)
}

/// Answers that differ, in words.
pub fn difference(shell: &Shell, reading: &Reading<'_>, entry: &DifferenceEntry) -> Difference {
    let value =
        |e: &Entry| ValueRow { value: reading.value(&e.key, &e.value), author: author(shell, e), choice: choice(e) };
    Difference { label: reading.label(&entry.key), values: entry.values.iter().map(value).collect() }
}

/// The history by change, newest first as they arrived; the order of things isn't told.
fn history(shell: &Shell, reading: &Reading<'_>, href: &str, now: &Answers, entries: &[Entry]) -> Vec<HistoryChange> {
    let mut changes: Vec<HistoryChange> = Vec::new();
    let mut last = None;
    let mut entries: Vec<&Entry> = entries.iter().filter(|e| !e.key.ends_with("/@order")).collect();
    entries.sort_by_key(|e| e.received_ms); // stable: what arrived together stays in causal order
    for entry in entries {
        if last != Some(entry.change) {
            last = Some(entry.change);
            let author = author(shell, entry);
            let then = format!("{href}?as_of={}", entry.seq);
            changes.push(HistoryChange { author, then, answers: Vec::new(), folded: false, count: String::new() });
        }
        let previous: Vec<String> = entry.previous.iter().map(|v| reading.value(&entry.key, v)).collect();
        let previous = previous.join(shell.t("answer.separator"));
        if let Some(change) = changes.last_mut() {
            change.answers.push(HistoryAnswer {
                label: reading.label(&entry.key),
                value: reading.value(&entry.key, &entry.value),
                previous,
                restore: (now.get(&entry.key) != Some(&entry.value)).then(|| choice(entry)),
            });
        }
    }
    for change in &mut changes {
        change.folded = change.answers.len() > UNFOLDED_MAX;
        change.count = shell.fill("history.count", &[("n", &shell.number(change.answers.len() as u64))]);
    }
    changes.reverse();
    changes
}

fn facts(shell: &Shell, township: &Township, row: &RecordRow) -> Vec<(String, String)> {
    let p = &row.projection;
    let mut facts = vec![("fact.village", township.area_name(row.area, shell.language))];
    if row.record_type == "household" {
        facts.push(("fact.number", p.label.clone()));
        facts.push(("fact.status", status_name(shell, township.forms(), &p.status)));
        facts.push(("fact.persons", shell.number(p.persons.into())));
    }
    facts.push(("fact.updated", shell.time(row.updated_ms)));
    facts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (shell.t(key).to_owned(), text)).collect()
}

/// What is united with a household, as a fact.
fn united_fact(
    service: &Service,
    shell: &Shell,
    township: &Township,
    id: RecordId,
) -> Result<Option<(String, String)>, ApiError> {
    let united = service.storage.united(township.id)?;
    if let Some(leads) = united.get(&id) {
        let row = service.storage.record_row(township.id, *leads)?;
        return Ok(row.map(|row| (shell.t("fact.united_into").to_owned(), record_name(shell, &row))));
    }
    let with = united.values().filter(|leads| **leads == id).count() as u64;
    let text = || shell.fill("mark.united", &[("n", &shell.number(with))]);
    Ok((with > 0).then(|| (shell.t("fact.united").to_owned(), text())))
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct RecordQuery {
    as_of: Option<String>,
}

fn load(service: &Service, request: &Request, (id, query): &(String, RecordQuery)) -> Result<RecordView, ApiError> {
    let id: RecordId = id.parse().map_err(|_| ApiError::not_found())?;
    let as_of = match query.as_of.as_deref() {
        Some(text) => Some(AsOf::parse(text).ok_or_else(|| ApiError::bad_request("as_of"))?),
        None => None,
    };
    let township = Township::load(service)?;
    let page = view::record_page_at(service, township.id, id, as_of)?.ok_or_else(ApiError::not_found)?;
    view_of(service, request, &township, page)
}

/// A record's page with its masked answers, for a reason that stands in the audit log by then.
fn load_masked(
    service: &Service,
    request: &Request,
    (actor, id, reason): &(Actor, String, ReasonForm),
) -> Result<RecordView, ApiError> {
    let id: RecordId = id.parse().map_err(|_| ApiError::not_found())?;
    let township = Township::load(service)?;
    let text = reason.text().ok_or_else(ApiError::reason_needed)?;
    let MaskedLook { page, parts } = service.look_at_masked(*actor, township.id, id, &text)?;
    let form = page.form.clone();
    let whole = parts.iter().chain([&page]);
    let answers: Answers =
        whole.clone().flat_map(|p| p.answers.iter().map(|(key, value)| (key.clone(), value.to_json()))).collect();
    let entries: Vec<DifferenceEntry> = whole.flat_map(|p| p.differences.iter().cloned()).collect();
    let differing: BTreeSet<String> = entries.iter().map(|d| d.key.clone()).collect();
    let mut view = view_of(service, request, &township, page)?;
    (view.parts, view.look, view.hidden) = (None, None, false);
    view.looked = Some(text);
    if let Some(form) = form {
        let shell = view.shell.clone();
        let reading = Reading::new(&form, &answers, &differing, &shell).unmasked();
        view.differences = entries.iter().map(|d| difference(&shell, &reading, d)).collect();
        view.sections = reading.sections();
    }
    Ok(view)
}

fn view_of(
    service: &Service,
    request: &Request,
    township: &Township,
    page: RecordPage,
) -> Result<RecordView, ApiError> {
    let id = page.row.id;
    let shell = request.shell("households", township);
    let form = page.form.clone();
    // a part leads to its form instance
    let leads_to = if page.row.core == page.row.id { page.row.subject } else { Some(page.row.core) };
    let subject = leads_to.map(|id| service.storage.record_row(township.id, id)).transpose()?.flatten();
    let answers: Answers = page.answers.iter().map(|(key, value)| (key.clone(), value.to_json())).collect();
    let differing: BTreeSet<String> = page.differences.iter().map(|d| d.key.clone()).collect();
    let mut about: Vec<Line> = page.about.iter().map(|r| Line::new(&shell, township, r, None)).collect();
    about.sort_by(|a, b| b.day.cmp(&a.day));
    let mut view = RecordView {
        form: type_name(&shell, township.forms(), &page.row.record_type),
        title: record_name(&shell, &page.row),
        facts: facts(&shell, township, &page.row),
        subject: subject.map(|s| (format!("/households/{}", s.id), record_name(&shell, &s))),
        doubts: (page.row.projection.doubts, format!("/doubts?record={id}")),
        hidden: form.is_none() || page.row.record_type.contains('.'),
        looked: None,
        look: None,
        parts: None,
        href: format!("/households/{id}"),
        then: page.as_of.map(|(_, received_ms)| shell.time(received_ms)),
        heads: page.heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        differences: Vec::new(),
        sections: Vec::new(),
        about,
        history: Vec::new(),
        shell: shell.clone(),
    };
    if form.is_some() && (view.hidden || !page.parts.is_empty()) {
        view.look = Some((format!("/households/{id}/masked"), reason::to_look(&shell)));
    }
    let (false, Some(form)) = (view.hidden, form) else {
        view.title = view.subject.as_ref().map(|(_, name)| name.clone()).unwrap_or(view.title);
        return Ok(view);
    };
    view.facts.extend(united_fact(service, &shell, township, id)?);
    let reading = Reading::new(&form, &answers, &differing, &shell);
    if !page.parts.is_empty() {
        let differences = page.parts.iter().map(|p| p.projection.differences).sum();
        view.parts =
            Some(HiddenParts { labels: reading.hidden_labels().join(shell.t("answer.separator")), differences });
    }
    view.differences = page.differences.iter().map(|d| difference(&shell, &reading, d)).collect();
    view.sections = reading.sections();
    view.history = history(&shell, &reading, &view.href, &answers, &page.history);
    Ok(view)
}

/// `GET /households/{id}`.
pub async fn get_record(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    Path(id): Path<String>,
    query: Result<Query<RecordQuery>, QueryRejection>,
) -> Response {
    request.load(&app, (id, query.map(|Query(q)| q).unwrap_or_default()), load).await
}

/// `POST /households/{id}/masked`.
pub async fn post_masked(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    Path(id): Path<String>,
    form: Result<axum::Form<ReasonForm>, FormRejection>,
) -> Response {
    let checked = same_origin(&headers).and_then(|()| form.map_err(|_| ApiError::bad_request("body")));
    match checked {
        Ok(axum::Form(reason)) => request.load(&app, (office.actor(), id, reason), load_masked).await,
        Err(error) => request.answer(Err::<RecordView, _>(error)),
    }
}

/// For tests: a household that two people changed.
#[cfg(test)]
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn sample(language: crate::messages::Language) -> RecordView {
    use serde_json::json;
    let shell = Shell::sample("households", language);
    let entry = |key: &str, value, previous, name: &str, at_s: i64, change: u8| Entry {
        key: key.to_owned(),
        value,
        previous,
        user: doorstep_core::id::UserId([1; 16]),
        name: name.to_owned(),
        device: Some(doorstep_core::id::DeviceId([0xaa; 16])),
        form: None,
        claimed_s: at_s,
        received_ms: (at_s as u64 + 131_400) * 1000,
        seq: u64::from(change),
        change: doorstep_core::id::ChangeHash([change; 32]),
    };
    const FIRST: i64 = 1_590_969_600; // 2020-06-01 08:00 in the pages' zone
    let first = |key: &str, value| entry(key, value, Vec::new(), "张三", FIRST, 1);
    let history = vec![
        first("head_name", json!("张三<script>")),
        first("member#m1/name", json!("张三<script>")),
        first("member#m1/sex", json!("male")),
        first("member#m1/id_number", json!("999999199001010017")),
        first("member#m2/name", json!("红梅")),
        first("member#m2/@order", json!(2)),
        first("member#m2/@deleted", json!(true)),
        first("phone", json!("13800000000")),
        first("attributes=minimum_living", json!(true)),
        first("new_question", json!("from another version")),
        entry("status", json!("out"), vec![json!("not_out")], "张三", FIRST, 2),
        entry("status", json!("marginal"), vec![json!("not_out")], "李四", FIRST, 3),
        entry("remark", json!(null), vec![json!("<script>")], "李四", FIRST, 3),
    ];
    let answers: Answers = history.iter().map(|e| (e.key.clone(), e.value.clone())).collect();
    let differing = BTreeSet::from(["status".to_owned(), "phone".to_owned()]);
    let forms = Catalog::default();
    let form = form_of(&forms, "household").unwrap_or_else(|| panic!("the household's form"));
    let reading = Reading::new(&form, &answers, &differing, &shell);
    let values = history.iter().filter(|e| e.key == "status").cloned().collect();
    let phone = history.iter().filter(|e| e.key == "phone").cloned().collect();
    let stands = [
        DifferenceEntry { key: "status".to_owned(), values },
        DifferenceEntry { key: "phone".to_owned(), values: phone },
    ];
    RecordView {
        form: type_name(&shell, &forms, "household"),
        title: "张三<script>".to_owned(),
        facts: vec![(shell.t("fact.village").to_owned(), "石桥村".to_owned())],
        subject: Some(("/households/00".to_owned(), "王五".to_owned())),
        doubts: (1, "/doubts?record=00".to_owned()),
        hidden: false,
        looked: None,
        look: Some(("/households/00/masked".to_owned(), reason::to_look(&shell))),
        href: "/households/00".to_owned(),
        then: Some("2020-06-01 08:00".to_owned()),
        heads: "00".repeat(32),
        parts: Some(HiddenParts { labels: reading.hidden_labels().join(", "), differences: 1 }),
        differences: stands.iter().map(|d| difference(&shell, &reading, d)).collect(),
        sections: reading.sections(),
        about: vec![Line::sample(&shell)],
        history: self::history(&shell, &reading, "/households/00", &answers, &history),
        shell: shell.clone(),
    }
}
