//! The township's pages, rendered on the server: no script, one style sheet, Chinese and English.
//!
//! Each page is one module with a typed context, a `sample()` for the test that renders them all, and handlers that load
//! the context on a worker thread. To add a page: a module here, a template in `templates/`, its texts in
//! `messages/pages.json`, a line in [`router`] and in `tests::every_page`.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use doorstep_core::protocol::invitation::JOIN_PATH;

use crate::app::App;

mod answers;
mod audit;
mod decide;
mod differences;
mod doubts;
mod duplicates;
mod figure_list;
mod figures;
mod frozen;
mod households;
mod join;
mod overview;
mod phones;
mod quarantine;
mod reason;
mod record;
mod shell;
mod sign_in;
pub(crate) mod texts;
pub(crate) mod times;
mod township;
mod visits;

#[cfg(test)]
mod tests;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::get_overview))
        .route("/households", get(households::get_households).post(households::post_households))
        .route("/households/{id}", get(record::get_record))
        .route("/households/{id}/masked", post(record::post_masked))
        .route("/households/{id}/decide", post(decide::post_decide))
        .route("/households/{id}/restore", post(decide::post_restore))
        .route("/visits", get(visits::get_visits))
        .route("/figures", get(figures::get_figures))
        .route("/figures/list", get(figure_list::get_figure_list))
        .route("/figures/frozen/{no}", get(frozen::get_frozen))
        .route("/figures/freeze", post(frozen::post_freeze))
        .route("/differences", get(differences::get_differences))
        .route("/duplicates", get(duplicates::get_duplicates).post(duplicates::post_duplicates))
        .route("/doubts", get(doubts::get_doubts))
        .route("/phones", get(phones::get_phones))
        .route("/quarantine", get(quarantine::get_quarantine))
        .route("/audit", get(audit::get_audit))
        .route("/quarantine/release", post(quarantine::post_release))
        .route("/quarantine/discard", post(quarantine::post_discard))
        .route(JOIN_PATH, get(join::get_join))
        .route("/sign-in", get(sign_in::get_sign_in))
        .route("/static/pages.css", get(get_style))
        .route("/static/icon.svg", get(get_icon))
}

async fn get_style() -> impl IntoResponse {
    fixed("text/css; charset=utf-8", include_str!("../static/pages.css"))
}

async fn get_icon() -> impl IntoResponse {
    fixed("image/svg+xml", include_str!("../static/icon.svg"))
}

fn fixed(content_type: &'static str, body: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "max-age=600")], body)
}
