//! `/`: how far the work has come, village by village; each figure leads to its list.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use doorstep_core::id::AreaId;

use super::phones::Freshness;
use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::calendar::Period;
use crate::service::figures::{FigureReport, Figures};
use crate::storage::figures::{Kind, Sums};

/// Refused changes are counted up to here.
const QUARANTINE_COUNTED: u32 = 100;

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    /// Frame.
    pub shell: Shell,
    /// One row a village.
    pub villages: Vec<VillageRow>,
    /// The township's row; `None` while there is no household.
    pub total: Option<VillageRow>,
    /// The phones.
    pub phones: Freshness,
    /// How many changes were refused, in words; `None` for none.
    pub quarantined: Option<String>,
}

/// Figures of a village, or of the township.
#[derive(Debug, Clone)]
pub struct VillageRow {
    /// Its name.
    pub name: String,
    /// What to put behind a list's address: `area=…&`, or nothing.
    pub area_query: String,
    /// Where the lists behind its figures begin.
    pub list_query: String,
    /// Households and persons.
    pub households: String,
    /// Of those, visited.
    pub visited: Share,
    /// Of those, screened.
    pub screened: Share,
    /// Visits.
    pub visits: String,
    /// Records with differing answers.
    pub differing: u64,
}

/// A part of a whole.
#[derive(Debug, Clone)]
pub struct Share {
    /// Households and persons.
    pub figure: String,
    /// Percent of the households, rounded down: 100 means all.
    pub percent: u64,
}

impl VillageRow {
    fn new(shell: &Shell, name: String, area: Option<AreaId>, figures: &Figures) -> Self {
        let stock = figures.stock();
        let figure = |sums: Sums| shell.households(sums.households.max(0) as u64, sums.persons.max(0) as u64);
        let share = |record_type| {
            let reached = figures.sum(Kind::Records, Some(record_type));
            let percent = (reached.households * 100).checked_div(stock.households).unwrap_or(0).clamp(0, 100);
            Share { figure: figure(reached), percent: percent.cast_unsigned() }
        };
        Self {
            name,
            list_query: {
                let area = area.map(|a| format!("area={a}&")).unwrap_or_default();
                format!("/figures/list?{area}period=all&")
            },
            area_query: area.map(|a| format!("area={a}&")).unwrap_or_default(),
            households: figure(stock),
            visited: share("visit"),
            screened: share("screening"),
            visits: shell.number(figures.sum(Kind::Records, Some("visit")).records.max(0).cast_unsigned()),
            differing: figures.sum(Kind::Differing, None).records.max(0).cast_unsigned(),
        }
    }
}

impl OverviewPage {
    /// From figures.
    fn new(shell: Shell, township: &Township, report: &FigureReport, phones: Freshness, refused: usize) -> Self {
        let village = |(area, figures): &(AreaId, Figures)| {
            let name = township.area_name(*area, shell.language);
            let name = if name.is_empty() { shell.t("area.unknown").to_owned() } else { name };
            VillageRow::new(&shell, name, Some(*area), figures)
        };
        let villages = report.areas.iter().map(village).collect();
        let name = shell.t("overview.total").to_owned();
        let total = (!report.total.rows.is_empty()).then(|| VillageRow::new(&shell, name, None, &report.total));
        let more = if refused as u32 >= QUARANTINE_COUNTED { "+" } else { "" };
        let quarantined = (refused > 0).then(|| format!("{}{more}", shell.number(refused as u64)));
        Self { shell, villages, total, phones, quarantined }
    }

    /// For tests.
    #[cfg(test)]
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("overview", language);
        let figures = Figures::sample();
        let row = |name: &str| VillageRow::new(&shell, name.to_owned(), Some(AreaId([7; 16])), &figures);
        Self {
            villages: vec![row("石桥村 <script>"), row("柳树村")],
            total: Some(row("合计")),
            phones: Freshness { phones: 24, silent: 2, behind: 5 },
            quarantined: Some("3".to_owned()),
            shell,
        }
    }
}

/// `GET /`.
pub async fn get_overview(_: Office, State(app): State<Arc<App>>, request: Request) -> Response {
    let (service, asked) = (app.service.clone(), request.clone());
    let page = app.blocking(move || {
        let township = Township::load(&service)?;
        let report = service.figures(township.id, None, &Period::Whole, &service.today())?;
        let phones = Freshness::load(&service, &township)?;
        let refused = service.storage.quarantine(township.id, None, QUARANTINE_COUNTED)?.len();
        Ok(OverviewPage::new(asked.shell("overview", &township), &township, &report, phones, refused))
    });
    request.answer(page.await.and_then(|page: Result<_, ApiError>| page))
}
