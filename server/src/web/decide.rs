//! `POST /households/{id}/decide` and `/restore`: buttons beside differing and earlier answers.

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use doorstep_core::id::{ChangeHash, RecordId};
use serde::Deserialize;

use super::record::RecordView;
use super::shell::Request;
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::service::desk::{Choice, Decision};

/// The button that was pressed, with what the page showed.
#[derive(Debug, Deserialize)]
pub struct Pressed {
    /// A change's hash, a space, the answer's key.
    choose: String,
    /// Hashes with commas between.
    heads: String,
    #[serde(default)]
    reason: String,
}

impl Pressed {
    fn decision(&self, id: &str) -> Result<Decision, ApiError> {
        let record: RecordId = id.parse().map_err(|_| ApiError::not_found())?;
        let bad = || ApiError::bad_request("choose");
        let (change, key) = self.choose.split_once(' ').ok_or_else(bad)?;
        let heads = self.heads.split(',').map(str::parse::<ChangeHash>).collect::<Result<Vec<_>, _>>();
        Ok(Decision {
            record,
            key: key.to_owned(),
            choice: Choice::Of(change.parse().map_err(|_| bad())?),
            heads: heads.map_err(|_| ApiError::bad_request("heads"))?,
            reason: self.reason.clone(),
        })
    }
}

type Body = Result<Form<Pressed>, FormRejection>;

/// `POST /households/{id}/decide`.
pub async fn post_decide(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    press(office, app, request, &headers, (id, body), true).await
}

/// `POST /households/{id}/restore`.
pub async fn post_restore(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    press(office, app, request, &headers, (id, body), false).await
}

async fn press(
    office: Office,
    app: Arc<App>,
    request: Request,
    headers: &HeaderMap,
    (id, body): (String, Body),
    is_difference: bool,
) -> Response {
    let checked = same_origin(headers).and_then(|()| body.map_err(|_| ApiError::bad_request("body")));
    let decision = match checked.and_then(|Form(pressed)| pressed.decision(&id)) {
        Ok(decision) => decision,
        Err(error) => return request.answer(Err::<RecordView, _>(error)),
    };
    let (desk, service) = (app.desk.clone(), app.service.clone());
    let done = app.blocking(move || {
        let township = Township::load(&service)?.id;
        match is_difference {
            true => desk.decide(office.actor(), township, &decision)?,
            false => desk.restore(office.actor(), township, &decision)?,
        };
        Ok(())
    });
    match done.await.and_then(|done| done) {
        // the page tells what differs still
        Ok(()) => Redirect::to(&format!("/households/{id}")).into_response(),
        Err(error) => request.answer(Err::<RecordView, _>(error)),
    }
}
