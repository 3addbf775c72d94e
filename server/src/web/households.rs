//! `/households`: the register's list, by village, status and what was done, with search.
//!
//! A search holds names, so it comes as a form (POST) and never stands in an address; all other filters do.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use doorstep_core::form::{Catalog, Choice};
use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;

use super::shell::{Request, Shell};
use super::township::{Township, parse_area};
use crate::api::ApiError;
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::calendar::Period;
use crate::limits;
use crate::service::Service;
use crate::storage::{RecordFilter, RecordRow};

/// Characters of a search that count.
const SEARCH_MAX: usize = 64;
/// Rows read at once while a filter is applied to them here.
const BATCH: u32 = 500;

/// The page.
#[derive(Template)]
#[template(path = "households.html")]
pub struct HouseholdsPage {
    /// Frame.
    pub shell: Shell,
    /// What is searched for.
    pub search: String,
    /// The filters as choices.
    pub choices: Vec<FilterChoice>,
    /// How many there are, where a figure says so.
    pub total: Option<String>,
    /// The households.
    pub rows: Vec<HouseholdRow>,
    /// This is a later page.
    pub later: bool,
    /// The filters as an address without a page.
    pub address: String,
    /// Where the next page begins.
    pub next: Option<u64>,
}

/// A filter with its choices.
#[derive(Debug, Clone)]
pub struct FilterChoice {
    /// Name of the field.
    pub name: &'static str,
    /// Label.
    pub label: &'static str,
    /// Value, text, chosen.
    pub options: Vec<(String, String, bool)>,
}

/// A household.
#[derive(Debug, Clone)]
pub struct HouseholdRow {
    /// Its page.
    pub href: String,
    /// Head of household.
    pub head: String,
    /// Number.
    pub number: String,
    /// Village.
    pub village: String,
    /// Status.
    pub status: String,
    /// Persons.
    pub persons: String,
    /// Day of the last visit; empty for none.
    pub visited: String,
    /// Day of the last screening; empty for none.
    pub screened: String,
    /// How many answers stand differently.
    pub differences: u32,
    /// The households that are united into it, in words; empty for none.
    pub united: String,
    /// How many answers are doubtful.
    pub doubts: u32,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    q: Option<String>,
    area: Option<String>,
    status: Option<String>,
    visited: Option<String>,
    screened: Option<String>,
    after: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone, Default)]
struct Filter {
    search: String,
    area: Option<AreaId>,
    status: Option<String>,
    visited: Option<bool>,
    screened: Option<bool>,
    after: u64,
}

impl Filter {
    fn of(query: &ListQuery) -> Result<Self, ApiError> {
        let yes_no = |text: &Option<String>| match text.as_deref() {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        };
        let given = |s: &String| !s.is_empty() && s.chars().count() <= SEARCH_MAX;
        Ok(Self {
            search: query.q.as_deref().unwrap_or_default().trim().chars().take(SEARCH_MAX).collect(),
            area: parse_area(query.area.as_deref())?,
            status: query.status.clone().filter(given),
            visited: yes_no(&query.visited),
            screened: yes_no(&query.screened),
            after: query.after.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    /// The list's address without search and page, ready for another parameter.
    fn address(&self) -> String {
        let word = |flag| if flag { "yes" } else { "no" };
        let pairs = [
            ("area", self.area.map(|a| a.to_string())),
            ("status", self.status.as_deref().map(encoded)),
            ("visited", self.visited.map(|v| word(v).to_owned())),
            ("screened", self.screened.map(|v| word(v).to_owned())),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| value.map(|v| format!("{name}={v}&")));
        format!("/households?{}", pairs.collect::<String>())
    }

    fn storage(&self, after: u64, limit: u32) -> RecordFilter {
        RecordFilter {
            record_type: Some("household".to_owned()),
            without_united: true,
            area: self.area,
            status: self.status.clone(),
            search: Some(self.search.to_lowercase()).filter(|s| !s.is_empty()),
            after,
            limit,
            ..RecordFilter::default()
        }
    }

    fn choices(&self, shell: &Shell, township: &Township) -> Vec<FilterChoice> {
        let all = |chosen: bool| (String::new(), shell.t("filter.all").to_owned(), chosen);
        let mut areas = vec![all(self.area.is_none())];
        areas.extend(
            township
                .villages()
                .iter()
                .map(|v| (v.area.to_string(), township.area_name(v.area, shell.language), self.area == Some(v.area))),
        );
        let mut by_status = vec![all(self.status.is_none())];
        by_status.extend(statuses(township.forms()).iter().map(|c| {
            let chosen = self.status.as_ref() == Some(&c.name);
            (c.name.clone(), c.label(shell.language.code(), "zh").to_owned(), chosen)
        }));
        let yes_no = |flag: Option<bool>, yes: &str, no: &str| {
            let option = |value: &str, key: &str, own| (value.to_owned(), shell.t(key).to_owned(), flag == Some(own));
            vec![all(flag.is_none()), option("yes", yes, true), option("no", no, false)]
        };
        let choice = |name, key, options| FilterChoice { name, label: shell.t(key), options };
        vec![
            choice("area", "filter.area", areas),
            choice("status", "filter.status", by_status),
            choice("visited", "filter.visited", yes_no(self.visited, "filter.visited_yes", "filter.visited_no")),
            choice("screened", "filter.screened", yes_no(self.screened, "filter.screened_yes", "filter.screened_no")),
        ]
    }

    /// How many households there are today, where the list shows all of an area.
    fn total(&self, service: &Service, shell: &Shell, township: &Township) -> Result<Option<String>, ApiError> {
        let narrowed = self.status.is_some() || self.visited.is_some() || self.screened.is_some();
        if narrowed || !self.search.is_empty() {
            return Ok(None);
        }
        let stock = service.figures(township.id, self.area, &Period::Whole, &service.today())?.total.stock();
        Ok(Some(shell.households(stock.households.max(0) as u64, stock.persons.max(0) as u64)))
    }
}

/// A text as a part of an address: what isn't a letter, digit or `-._` as `%XX`.
pub fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The statuses that the household's form offers.
fn statuses(forms: &Catalog) -> Vec<Choice> {
    let form = forms.of_type("household");
    let list = form.as_ref().and_then(|f| f.def().choices_of(f.question(&f.list.status)?));
    list.map(|l| l.choices.clone()).unwrap_or_default()
}

/// The label of a status.
pub fn status_name(shell: &Shell, forms: &Catalog, status: &str) -> String {
    let form = forms.of_type("household");
    form.map_or_else(String::new, |f| super::record::choice_name(shell, forms, "household", &f.list.status, status))
}

/// Ids of the households that a record of this type is about.
fn subjects(service: &Service, township: &Township, record_type: &str) -> Result<HashSet<RecordId>, ApiError> {
    let mut found = HashSet::new();
    let mut after = 0;
    loop {
        let filter =
            RecordFilter { record_type: Some(record_type.to_owned()), after, limit: BATCH, ..RecordFilter::default() };
        let rows = service.storage.list_records(township.id, &filter)?;
        found.extend(rows.iter().filter_map(|r| r.subject));
        match rows.last() {
            Some(last) if rows.len() as u32 >= BATCH => after = last.born,
            _ => return Ok(found),
        }
    }
}

/// The households of one page, and where the next begins.
fn find(service: &Service, township: &Township, filter: &Filter) -> Result<(Vec<RecordRow>, Option<u64>), ApiError> {
    let set = |flag: Option<bool>, record_type| {
        flag.map(|f| subjects(service, township, record_type).map(|s| (f, s))).transpose()
    };
    let conditions = [set(filter.visited, "visit")?, set(filter.screened, "screening")?];
    let wanted = |row: &RecordRow| conditions.iter().flatten().all(|(flag, set)| set.contains(&row.id) == *flag);
    let page = limits::PAGE_ROWS as usize;
    let batch = if conditions.iter().all(Option::is_none) { limits::PAGE_ROWS + 1 } else { BATCH };
    let mut rows: Vec<RecordRow> = Vec::new();
    let mut after = filter.after;
    loop {
        let found = service.storage.list_records(township.id, &filter.storage(after, batch))?;
        let last = found.last().map(|r| r.born);
        let over = (found.len() as u32) < batch;
        rows.extend(found.into_iter().filter(wanted));
        if rows.len() > page {
            rows.truncate(page);
            let next = rows.last().map(|r| r.born);
            return Ok((rows, next));
        }
        match last {
            Some(last) if !over => after = last,
            _ => return Ok((rows, None)),
        }
    }
}

/// The newest day of the records of a type about a household; empty for none.
fn last_day(
    service: &Service,
    township: &Township,
    household: RecordId,
    record_type: &str,
) -> Result<String, ApiError> {
    let filter = RecordFilter {
        record_type: Some(record_type.to_owned()),
        subject: Some(household),
        limit: limits::PAGE_ROWS_MAX,
        ..RecordFilter::default()
    };
    let rows = service.storage.list_records(township.id, &filter)?;
    Ok(rows.into_iter().map(|r| r.projection.day).max().unwrap_or_default())
}

fn load(service: &Service, request: &Request, query: &ListQuery) -> Result<HouseholdsPage, ApiError> {
    let township = Township::load(service)?;
    let mut filter = Filter::of(query)?;
    let known = statuses(township.forms());
    filter.status = filter.status.filter(|status| known.iter().any(|c| c.name == *status));
    let shell = request.shell("households", &township);
    let (found, next) = find(service, &township, &filter)?;
    let united = service.storage.united(township.id)?;
    let mut rows = Vec::new();
    for row in found {
        let with = united.values().filter(|leads| **leads == row.id).count() as u64;
        rows.push(HouseholdRow {
            href: format!("/households/{}", row.id),
            head: row.projection.title,
            number: row.projection.label,
            village: township.area_name(row.area, shell.language),
            status: status_name(&shell, township.forms(), &row.projection.status),
            persons: shell.number(row.projection.persons.into()),
            visited: last_day(service, &township, row.id, "visit")?,
            screened: last_day(service, &township, row.id, "screening")?,
            united: if with == 0 { String::new() } else { shell.fill("mark.united", &[("n", &shell.number(with))]) },
            differences: row.projection.differences,
            doubts: row.projection.doubts,
        });
    }
    let total = filter.total(service, &shell, &township)?;
    Ok(HouseholdsPage {
        choices: filter.choices(&shell, &township),
        address: filter.address(),
        search: filter.search,
        later: filter.after > 0,
        total,
        rows,
        next,
        shell,
    })
}

/// `GET /households`.
pub async fn get_households(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(q)| ListQuery { q: None, ..q }).unwrap_or_default();
    respond(&app, request, query).await
}

/// `POST /households`: a search. Without words it is a list with an address of its own.
pub async fn post_households(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    form: Result<Form<ListQuery>, FormRejection>,
) -> Response {
    if let Err(error) = same_origin(&headers) {
        return request.answer(Err::<HouseholdsPage, _>(error));
    }
    let Ok(Form(query)) = form else { return request.answer(Err::<HouseholdsPage, _>(ApiError::bad_request("body"))) };
    match Filter::of(&query) {
        Ok(filter) if filter.search.is_empty() => {
            Redirect::to(filter.address().trim_end_matches(['?', '&'])).into_response()
        }
        _ => respond(&app, request, query).await,
    }
}

async fn respond(app: &App, request: Request, query: ListQuery) -> Response {
    request.load(app, query, load).await
}

#[cfg(test)]
impl HouseholdsPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("households", language);
        let options = vec![("".to_owned(), shell.t("filter.all").to_owned(), true)];
        let row = HouseholdRow {
            href: "/households/00".to_owned(),
            head: "王<script>".to_owned(),
            number: "0001".to_owned(),
            village: "石桥村".to_owned(),
            status: status_name(&shell, &Catalog::default(), "out"),
            persons: "4".to_owned(),
            visited: "2020-06-01".to_owned(),
            screened: String::new(),
            differences: 1,
            united: shell.fill("mark.united", &[("n", "1")]),
            doubts: 2,
        };
        Self {
            search: "<script>".to_owned(),
            choices: vec![FilterChoice { name: "area", label: shell.t("filter.area"), options }],
            total: Some(shell.households(475, 1402)),
            rows: vec![row.clone(), HouseholdRow { visited: String::new(), differences: 0, doubts: 0, ..row }],
            later: true,
            address: "/households?".to_owned(),
            next: Some(7),
            shell,
        }
    }
}
