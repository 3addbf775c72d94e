//! `/sign-in`: the form that asks for the office's key; `api::office` checks it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::shell::{Request, Shell};
use crate::app::App;

/// The page.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// Frame.
    pub shell: Shell,
    /// The last key was wrong.
    pub wrong: bool,
}

/// What the address says.
#[derive(Debug, Default, Deserialize)]
pub struct SignInQuery {
    wrong: Option<String>,
}

/// `GET /sign-in`.
pub async fn get_sign_in(State(_): State<Arc<App>>, request: Request, query: Query<SignInQuery>) -> Response {
    let wrong = query.wrong.as_deref() == Some("1");
    request.answer(Ok(SignInPage { shell: request.bare_shell(), wrong }))
}

#[cfg(test)]
impl SignInPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        Self { shell: Shell { signed_in: false, ..Shell::sample("", language) }, wrong: true }
    }
}
