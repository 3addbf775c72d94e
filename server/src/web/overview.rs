//! `/`: how far the work has come, village by village; each figure leads to its list.

use std::collections::HashMap;
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
use crate::storage::Coverage;

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
    fn new(shell: &Shell, name: String, area: Option<AreaId>, c: &Coverage) -> Self {
        let share = |households, persons| Share {
            figure: shell.households(households, persons),
            percent: (households * 100).checked_div(c.households).unwrap_or(0).min(100),
        };
        Self {
            name,
            area_query: area.map(|a| format!("area={a}&")).unwrap_or_default(),
            households: shell.households(c.households, c.persons),
            visited: share(c.visited, c.visited_persons),
            screened: share(c.screened, c.screened_persons),
            visits: shell.number(c.visits),
            differing: c.differing,
        }
    }
}

impl OverviewPage {
    /// From figures by area.
    fn new(
        shell: Shell,
        township: &Township,
        coverage: Vec<(AreaId, Coverage)>,
        phones: Freshness,
        refused: usize,
    ) -> Self {
        let mut by_area: HashMap<AreaId, Coverage> = coverage.into_iter().collect();
        let mut total = Coverage::default();
        by_area.values().for_each(|c| add(&mut total, c));
        let mut villages = Vec::new();
        for village in township.villages() {
            let figures = by_area.remove(&village.area).unwrap_or_default();
            if figures != Coverage::default() || village.level == "village" {
                let name = township.area_name(village.area, shell.language);
                villages.push(VillageRow::new(&shell, name, Some(village.area), &figures));
            }
        }
        for (area, figures) in by_area.into_iter().filter(|(_, c)| *c != Coverage::default()) {
            let name = township.area_name(area, shell.language);
            let name = if name.is_empty() { shell.t("area.unknown").to_owned() } else { name };
            villages.push(VillageRow::new(&shell, name, Some(area), &figures));
        }
        let name = shell.t("overview.total").to_owned();
        let total = (total != Coverage::default()).then(|| VillageRow::new(&shell, name, None, &total));
        let more = if refused as u32 >= QUARANTINE_COUNTED { "+" } else { "" };
        let quarantined = (refused > 0).then(|| format!("{}{more}", shell.number(refused as u64)));
        Self { shell, villages, total, phones, quarantined }
    }

    /// For tests.
    #[cfg(test)]
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("overview", language);
        let figures = Coverage {
            households: 475,
            persons: 1402,
            visited: 120,
            visited_persons: 380,
            screened: 475,
            screened_persons: 1402,
            visits: 131,
            differing: 3,
        };
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

fn add(total: &mut Coverage, c: &Coverage) {
    total.households += c.households;
    total.persons += c.persons;
    total.visited += c.visited;
    total.visited_persons += c.visited_persons;
    total.screened += c.screened;
    total.screened_persons += c.screened_persons;
    total.visits += c.visits;
    total.differing += c.differing;
}

/// `GET /`.
pub async fn get_overview(_: Office, State(app): State<Arc<App>>, request: Request) -> Response {
    let (service, asked) = (app.service.clone(), request.clone());
    let page = app.blocking(move || {
        let township = Township::load(&service)?;
        let coverage = service.storage.coverage(township.id, "")?;
        let phones = Freshness::load(&service, &township)?;
        let refused = service.storage.quarantine(township.id, None, QUARANTINE_COUNTED)?.len();
        Ok(OverviewPage::new(asked.shell("overview", &township), &township, coverage, phones, refused))
    });
    request.answer(page.await.and_then(|page: Result<_, ApiError>| page))
}
