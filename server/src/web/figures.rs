//! `/figures`: households, visits and all other records by area and period; each figure leads to its list.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use doorstep_core::form::Catalog;
use doorstep_core::id::AreaId;

use super::households::status_name;
use super::record::type_name;
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::figures::FigureParameters;
use crate::api::office::Office;
use crate::app::App;
use crate::calendar::{Period, day_before};
use crate::service::Service;
use crate::service::figures::{FigureReport, Figures};
use crate::storage::figures::{FrozenReport, Kind, Sums};

/// Months that the choice of periods goes back.
const MONTHS: usize = 6;

/// The page.
#[derive(Template)]
#[template(path = "figures.html")]
pub struct FiguresPage {
    /// Frame.
    pub shell: Shell,
    /// The area's name; empty for the township.
    pub area_name: String,
    /// The area's id; empty for the township.
    pub area: String,
    /// Value, text, chosen.
    pub periods: Vec<(String, String, bool)>,
    /// The period.
    pub period: String,
    /// The day of the stock.
    pub as_of: String,
    /// Households before the period.
    pub opening: Option<String>,
    /// Phones not heard of since, in words.
    pub unheard: String,
    /// One row an area.
    pub rows: Vec<FigureRow>,
    /// Households by status.
    pub statuses: Vec<NamedFigure>,
    /// Records by form.
    pub forms: Vec<FormFigures>,
    /// Frozen reports: number, name, period, day, when, by whom.
    pub frozen: Vec<(u64, FrozenReport, String)>,
}

/// A figure and the address of its list.
#[derive(Debug, Clone)]
pub struct Linked {
    /// As text.
    pub text: String,
    /// The list; empty where nothing is counted.
    pub href: String,
}

/// A figure with a name.
#[derive(Debug, Clone)]
pub struct NamedFigure {
    /// The name.
    pub name: String,
    /// The figure.
    pub figure: Linked,
}

/// Figures of an area.
#[derive(Debug, Clone)]
pub struct FigureRow {
    /// Its name.
    pub name: String,
    /// Its own page; empty for the total.
    pub href: String,
    /// Households.
    pub households: Linked,
    /// Visited households.
    pub visited: Linked,
    /// Visits.
    pub visits: Linked,
    /// Screened households.
    pub screened: Linked,
    /// Late records.
    pub late: Linked,
    /// Records with differing answers.
    pub differing: Linked,
    /// Records with doubtful answers.
    pub doubtful: Linked,
}

/// Figures of a form.
#[derive(Debug, Clone)]
pub struct FormFigures {
    /// Its title.
    pub name: String,
    /// Records.
    pub records: Linked,
    /// Households that they reached.
    pub households: Linked,
    /// Late ones.
    pub late: Linked,
}

/// Households and persons as text.
pub fn households(shell: &Shell, sums: Sums) -> String {
    shell.households(sums.households.max(0).cast_unsigned(), sums.persons.max(0).cast_unsigned())
}

/// A count as text.
pub fn count(shell: &Shell, n: i64) -> String {
    shell.number(n.max(0).cast_unsigned())
}

/// Where lists of an area, a period and a day begin.
struct Lists {
    start: String,
}

impl Lists {
    fn new(area: Option<AreaId>, period: &Period, as_of: &str) -> Self {
        let area = area.map(|area| format!("area={area}&")).unwrap_or_default();
        Self { start: format!("/figures/list?{area}period={period}&as_of={as_of}") }
    }

    fn link(&self, text: String, n: i64, rest: &str) -> Linked {
        Linked { text, href: if n == 0 { String::new() } else { format!("{}&{rest}", self.start) } }
    }

    fn row(&self, shell: &Shell, name: String, href: String, figures: &Figures) -> FigureRow {
        let visit = figures.sum(Kind::Records, Some("visit"));
        let screening = figures.sum(Kind::Records, Some("screening"));
        let (stock, late) = (figures.stock(), figures.sum(Kind::Records, None).late);
        let open = |kind: Kind| {
            let n = figures.sum(kind, None).records;
            self.link(count(shell, n), n, &format!("kind={}", kind.as_str()))
        };
        FigureRow {
            name,
            href,
            households: self.link(households(shell, stock), stock.households, "kind=stock"),
            visited: self.link(households(shell, visit), visit.households, "form=visit&households=1"),
            visits: self.link(count(shell, visit.records), visit.records, "form=visit"),
            screened: self.link(households(shell, screening), screening.households, "form=screening&households=1"),
            late: self.link(count(shell, late), late, "late=1"),
            differing: open(Kind::Differing),
            doubtful: open(Kind::Doubtful),
        }
    }

    fn statuses(&self, shell: &Shell, forms: &Catalog, figures: &Figures) -> Vec<NamedFigure> {
        let stock = figures.rows.iter().filter(|((kind, ..), _)| *kind == Kind::Stock);
        stock
            .map(|((_, record_type, status), sums)| {
                let rest = format!("kind=stock&form={record_type}&status={status}");
                let figure = self.link(households(shell, *sums), sums.households, &rest);
                NamedFigure { name: status_name(shell, forms, status), figure }
            })
            .collect()
    }

    fn forms(&self, shell: &Shell, forms: &Catalog, figures: &Figures) -> Vec<FormFigures> {
        let by_type = figures.by_type().into_iter();
        by_type
            .map(|(record_type, sums)| {
                let at = format!("form={record_type}");
                FormFigures {
                    name: type_name(shell, forms, record_type),
                    records: self.link(count(shell, sums.records), sums.records, &at),
                    households: self.link(households(shell, sums), sums.households, &format!("{at}&households=1")),
                    late: self.link(count(shell, sums.late), sums.late, &format!("{at}&late=1")),
                }
            })
            .collect()
    }
}

/// The periods to choose from: this month and those before, this quarter and the one before, the years, everything.
fn periods(shell: &Shell, today: &str, chosen: &Period) -> Vec<(String, String, bool)> {
    let mut texts = vec!["all".to_owned()];
    let mut day = today.to_owned();
    for _ in 0..MONTHS {
        let Some(periods) = Period::of_day(&day) else { break };
        texts.extend(periods);
        let first = format!("{}-01", &day[..7]);
        day = day_before(&first);
    }
    texts.push(chosen.to_string());
    texts.sort_by_key(|text| (text.len() == 4, text.contains('Q'), std::cmp::Reverse(text.clone())));
    texts.dedup();
    texts.sort_by_key(|text| text != "all");
    let named = |text: String| {
        let name = period_name(shell, &text);
        let is_chosen = text == chosen.to_string();
        (text, name, is_chosen)
    };
    texts.into_iter().map(named).collect()
}

/// A period in words.
pub fn period_name(shell: &Shell, period: &str) -> String {
    match period {
        "all" => shell.t("figures.all").to_owned(),
        text if text.starts_with("round:") => shell.t("figures.round").to_owned(),
        text => text.to_owned(),
    }
}

impl FiguresPage {
    fn new(shell: Shell, township: &Township, today: &str, report: &FigureReport, frozen: Vec<FrozenReport>) -> Self {
        let mut rows: Vec<FigureRow> = report
            .areas
            .iter()
            .map(|(area, figures)| {
                let name = township.area_name(*area, shell.language);
                let name = if name.is_empty() { shell.t("area.unknown").to_owned() } else { name };
                let href = format!("/figures?area={area}&period={}", report.period);
                Lists::new(Some(*area), &report.period, &report.as_of).row(&shell, name, href, figures)
            })
            .collect();
        let lists = Lists::new(report.area, &report.period, &report.as_of);
        let total = shell.t("overview.total").to_owned();
        rows.push(lists.row(&shell, total, String::new(), &report.total));
        let named = |report: FrozenReport| {
            let made = shell.time(report.made_ms);
            (report.no, report, made)
        };
        Self {
            area_name: report.area.map(|area| township.area_name(area, shell.language)).unwrap_or_default(),
            area: report.area.map(|area| area.to_string()).unwrap_or_default(),
            periods: periods(&shell, today, &report.period),
            period: report.period.to_string(),
            as_of: report.as_of.clone(),
            opening: report.opening.map(|sums| households(&shell, sums)),
            unheard: shell.fill(
                "figures.unheard",
                &[("n", shell.number(report.unheard).as_str()), ("day", report.as_of.as_str())],
            ),
            statuses: lists.statuses(&shell, township.forms(), &report.total),
            forms: lists.forms(&shell, township.forms(), &report.total),
            frozen: frozen.into_iter().map(named).collect(),
            rows,
            shell,
        }
    }

    /// For tests.
    #[cfg(test)]
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("figures", language);
        let period: Period = "2020-06".parse().unwrap_or(Period::Whole);
        let lists = Lists::new(None, &period, "2020-06-30");
        let (figures, forms) = (Figures::sample(), Catalog::default());
        let report = FrozenReport {
            no: 1,
            name: "<script>".to_owned(),
            period: "2020-05".to_owned(),
            as_of: "2020-05-31".to_owned(),
            made_ms: 1,
            made_by: "张三".to_owned(),
            areas: String::new(),
        };
        Self {
            area_name: "石桥村".to_owned(),
            area: String::new(),
            periods: periods(&shell, "2020-06-30", &period),
            period: period.to_string(),
            as_of: "2020-06-30".to_owned(),
            opening: Some(shell.households(475, 1402)),
            unheard: shell.fill("figures.unheard", &[("n", "3"), ("day", "2020-06-30")]),
            rows: vec![lists.row(&shell, "石桥村 <script>".to_owned(), "/figures?".to_owned(), &figures)],
            statuses: lists.statuses(&shell, &forms, &figures),
            forms: lists.forms(&shell, &forms, &figures),
            frozen: vec![(1, report, "2020-06-01 08:00".to_owned())],
            shell,
        }
    }
}

fn load(service: &Service, request: &Request, query: &FigureParameters) -> Result<FiguresPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("figures", &township);
    let today = service.today();
    let this_month = || Period::of_day(&today).map(|[month, ..]| month);
    let period = query.period.clone().filter(|text| !text.is_empty()).or_else(this_month);
    let asked = FigureParameters { period, ..query.clone() }.asked(service)?;
    let report = service.figures(township.id, asked.area, &asked.period, &asked.as_of)?;
    let frozen = service.storage.frozen_reports(township.id)?;
    Ok(FiguresPage::new(shell, &township, &today, &report, frozen))
}

/// `GET /figures`.
pub async fn get_figures(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<FigureParameters>, QueryRejection>,
) -> Response {
    request.load(&app, query.map(|Query(q)| q).unwrap_or_default(), load).await
}
