//! `GET /api/figures`: figures by area, the lists behind them, frozen reports.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::calendar::{Period, parse_day};
use crate::limits;
use crate::service::Service;
use crate::service::figures::frozen::{self, NAME_MAX};
use crate::service::figures::{AreaTree, Figures};
use crate::storage::TownshipId;
use crate::storage::figures::{FigureEntry, FigureFilter, FrozenReport, Kind, Sums};

/// The routes.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/figures", get(get_figures))
        .route("/api/figures/list", get(get_list))
        .route("/api/figures/frozen", get(list_frozen).post(post_frozen))
        .route("/api/figures/frozen/{no}", get(get_frozen))
}

/// Which figures are asked for; unknown parameters are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FigureParameters {
    pub(crate) township: Option<String>,
    pub(crate) area: Option<String>,
    /// `2026`, `2026-Q1`, `2026-03`, `round:ID`, or `all`, which is taken if there is none.
    pub(crate) period: Option<String>,
    /// `YYYY-MM-DD`; the period's last day, or today, if there is none.
    pub(crate) as_of: Option<String>,
    /// A record type.
    pub(crate) form: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) late: Option<String>,
    pub(crate) households: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The area, if one is named.
    pub area: Option<AreaId>,
    /// The period.
    pub period: Period,
    /// The day of the stock.
    pub as_of: String,
}

impl FigureParameters {
    /// Checks area, period and day.
    pub(crate) fn asked(&self, service: &Service) -> Result<Asked, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let bad = |name| move || ApiError::bad_request(name);
        let area = given(&self.area).map(|text| text.parse().map_err(|_| ApiError::bad_request("area"))).transpose()?;
        let period = given(&self.period).map_or(Ok(Period::Whole), |text| text.parse());
        let period = period.map_err(|_| ApiError::bad_request("period"))?;
        let as_of = match given(&self.as_of) {
            Some(day) => parse_day(&day).map(|_| day).ok_or_else(bad("as_of"))?,
            None => service.as_of(&period),
        };
        Ok(Asked { area, period, as_of })
    }

    /// The list that is asked for.
    pub(crate) fn filter(&self, asked: &Asked, tree: &AreaTree) -> Result<FigureFilter, ApiError> {
        let kind = match self.kind.as_deref().unwrap_or("records") {
            "stock" => Kind::Stock,
            "records" => Kind::Records,
            "differing" => Kind::Differing,
            "doubtful" => Kind::Doubtful,
            _ => return Err(ApiError::bad_request("kind")),
        };
        let number = |text: &Option<String>, name| {
            text.as_deref().map(str::parse::<u64>).transpose().map_err(|_| ApiError::bad_request(name))
        };
        let yes = |flag: &Option<String>| flag.as_deref() == Some("1");
        let limit = number(&self.limit, "limit")?.unwrap_or(limits::PAGE_ROWS.into());
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty() && !text.contains('\0'));
        Ok(FigureFilter {
            areas: tree.below(asked.area),
            record_type: given(&self.form),
            status: given(&self.status),
            late: yes(&self.late),
            households: yes(&self.households),
            after: number(&self.after, "after")?.unwrap_or(0),
            limit: limit.clamp(1, limits::PAGE_ROWS_MAX.into()) as u32,
            ..FigureFilter::whole(kind, asked.period.clone(), asked.as_of.clone())
        })
    }
}

type Names = HashMap<AreaId, (String, String)>;

fn names(service: &Service, township: TownshipId) -> Result<Names, ApiError> {
    let (_, areas) = service.storage.areas(township)?;
    Ok(areas.into_iter().map(|a| (a.area, (a.name_zh, a.name_en))).collect())
}

fn figures_json(figures: &Figures, form: Option<&str>) -> Value {
    let stock: Vec<Value> = figures
        .rows
        .iter()
        .filter(|((kind, ..), _)| *kind == Kind::Stock)
        .map(|((_, record_type, status), sums)| {
            json!({"form": record_type, "status": status, "households": sums.households, "persons": sums.persons})
        })
        .collect();
    let records: BTreeMap<&str, Value> = figures
        .by_type()
        .into_iter()
        .filter(|(record_type, _)| form.is_none_or(|asked| asked == *record_type))
        .map(|(record_type, sums)| (record_type, json!(sums)))
        .collect();
    let all = figures.stock();
    let open = |kind| figures.sum(kind, form).records;
    json!({
        "households": all.households,
        "persons": all.persons,
        "by_status": stock,
        "records": records,
        "differing": open(Kind::Differing),
        "doubtful": open(Kind::Doubtful),
    })
}

async fn get_figures(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<FigureParameters>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let service = &shared.service;
        let township = township(&shared, query.township.as_deref())?;
        let asked = query.asked(service)?;
        let report = service.figures(township, asked.area, &asked.period, &asked.as_of)?;
        let names = names(service, township)?;
        let form = query.form.as_deref().filter(|form| !form.is_empty());
        let area = |id: AreaId, figures: &Figures| {
            let (zh, en) = names.get(&id).cloned().unwrap_or_default();
            let mut json = figures_json(figures, form);
            json["area"] = json!(id);
            json["name"] = json!({"zh": zh, "en": en});
            json
        };
        let late = service.late_days()?;
        let opening = report.opening.map(|sums| json!({"households": sums.households, "persons": sums.persons}));
        Ok(Json(json!({
            "period": report.period.to_string(),
            "as_of": report.as_of,
            "made_ms": service.clock.now_ms(),
            "phones_unheard": report.unheard,
            "late_days": late.usual(),
            "late_days_of": late.own(),
            "opening": opening,
            "total": area(report.area.unwrap_or(township), &report.total),
            "areas": report.areas.iter().map(|(id, figures)| area(*id, figures)).collect::<Vec<_>>(),
        })))
    })
    .await?
}

fn entry_json(entry: &FigureEntry, title: String) -> Value {
    json!({
        "id": entry.record,
        "type": entry.record_type,
        "subject": entry.subject,
        "title": title,
        "area": entry.area,
        "status": entry.status,
        "day": entry.day,
        "persons": entry.persons,
        "late": entry.late,
        "household": entry.household,
        "cursor": entry.born,
    })
}

/// What a list calls a record: its household's head where it is about one, otherwise its own title.
pub(crate) fn title(service: &Service, township: TownshipId, entry: &FigureEntry) -> Result<String, ApiError> {
    let of = |id: RecordId| Ok(service.storage.record_row(township, id)?.map(|row| row.projection.title));
    let subject = entry.subject.map(of).transpose()?.flatten();
    Ok(subject.map_or_else(|| of(entry.record), |title| Ok::<_, ApiError>(Some(title)))?.unwrap_or_default())
}

async fn get_list(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<FigureParameters>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let service = &shared.service;
        let township = township(&shared, query.township.as_deref())?;
        let asked = query.asked(service)?;
        let filter = query.filter(&asked, &service.area_tree(township)?)?;
        let entries = service.storage.figure_list(township, &filter)?;
        let next = (entries.len() as u32 >= filter.limit).then(|| entries.last().map(|e| e.born)).flatten();
        let rows: Result<Vec<Value>, ApiError> =
            entries.iter().map(|entry| Ok(entry_json(entry, title(service, township, entry)?))).collect();
        Ok(Json(json!({"period": asked.period.to_string(), "as_of": asked.as_of, "records": rows?, "next": next})))
    })
    .await?
}

fn report_json(report: &FrozenReport) -> Value {
    json!({
        "no": report.no, "name": report.name, "period": report.period, "as_of": report.as_of,
        "made_ms": report.made_ms, "made_by": report.made_by,
    })
}

async fn list_frozen(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<FigureParameters>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let reports = shared.service.storage.frozen_reports(township)?;
        Ok(Json(json!({"reports": reports.iter().map(report_json).collect::<Vec<_>>()})))
    })
    .await?
}

/// What is to be frozen.
#[derive(Debug, Deserialize)]
struct NewReport {
    township: Option<String>,
    name: String,
    by: String,
    period: String,
    as_of: Option<String>,
}

async fn post_frozen(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Json<NewReport>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let shared = app.clone();
    app.blocking(move || {
        let named = |text: &str| (1..=NAME_MAX).contains(&text.trim().chars().count()) && !text.contains('\0');
        if !named(&body.name) {
            return Err(ApiError::bad_request("name"));
        }
        if !named(&body.by) {
            return Err(ApiError::bad_request("by"));
        }
        let township = township(&shared, body.township.as_deref())?;
        let parameters =
            FigureParameters { period: Some(body.period), as_of: body.as_of, ..FigureParameters::default() };
        let asked = parameters.asked(&shared.service)?;
        let no = shared.service.freeze(township, (&body.name, &body.by), &asked.period, &asked.as_of)?;
        Ok(Json(json!({"no": no})))
    })
    .await?
}

async fn get_frozen(
    _: Office,
    State(app): State<Arc<App>>,
    Path(no): Path<u64>,
    Query(query): Query<FigureParameters>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let report = shared.service.frozen_report(township, no)?.ok_or_else(ApiError::not_found)?;
        let comparison = shared.service.compare_frozen(township, &report)?;
        let names = frozen::area_names(&report);
        let figures: Vec<Value> = comparison
            .figures
            .iter()
            .map(|(place, (then, now)): (_, &(Sums, Sums))| {
                let (zh, en) = names.get(&place.area).cloned().unwrap_or_default();
                json!({
                    "area": place.area, "name": {"zh": zh, "en": en}, "kind": place.kind, "form": place.record_type,
                    "status": place.status, "then": then, "now": now,
                })
            })
            .collect();
        Ok(Json(json!({
            "report": report_json(&report),
            "figures": figures,
            "changed": comparison.changed,
            "records": comparison.records,
        })))
    })
    .await?
}
