//! Who may look at pages and the JSON API: holders of the office key, by header or by signed-in browser.
//!
//! Roles and people come with the register; until then one key opens the township's data for reading. A server that
//! only listens on this machine with invented data (the demo) may stand open.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use data_encoding::HEXLOWER;
use doorstep_core::clock::Millis;
use doorstep_core::id::keyed;
use hmac::Mac;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ApiError;
use crate::app::App;
use crate::service::audit::{Act, Action, Actor};

const COOKIE: &str = "doorstep_office";
/// How long a browser stays signed in.
const SESSION: Duration = Duration::from_secs(8 * 3600);

/// How the office's pages and API are guarded.
#[derive(Clone)]
pub enum OfficeAccess {
    /// Anybody who reaches the address; only for invented data on this machine.
    Open,
    /// Whoever has the key; its SHA-256.
    Key([u8; 32]),
}

impl OfficeAccess {
    /// Guarded by this key.
    pub fn key(key: &str) -> Self {
        Self::Key(Sha256::digest(key.as_bytes()).into())
    }

    fn opens(&self, key: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Key(hash) => {
                let given: [u8; 32] = Sha256::digest(key.as_bytes()).into();
                given == *hash
            }
        }
    }
}

/// The office: an extractor that only lets it through.
#[derive(Debug, Clone, Copy)]
pub struct Office;

impl Office {
    /// Who it is in the audit log.
    pub fn actor(self) -> Actor {
        Actor::Office
    }
}

impl FromRequestParts<Arc<App>> for Office {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        if matches!(app.office, OfficeAccess::Open) || has_key(&parts.headers, app) || has_session(&parts.headers, app)
        {
            return Ok(Self);
        }
        if parts.uri.path().starts_with("/api/") {
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized").into_response());
        }
        Err(Redirect::to("/sign-in").into_response())
    }
}

fn has_key(headers: &HeaderMap, app: &App) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    value.and_then(|v| v.strip_prefix("Bearer ")).is_some_and(|key| app.office.opens(key))
}

fn has_session(headers: &HeaderMap, app: &App) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut values = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().split_once('='));
    values.any(|(name, value)| name == COOKIE && session_holds(value, app))
}

fn session_tag(app: &App, until_ms: Millis) -> Vec<u8> {
    let mut mac = keyed(&app.service.secrets.session_key, "doorstep/office-session/1");
    mac.update(&until_ms.to_be_bytes());
    if let OfficeAccess::Key(hash) = &app.office {
        mac.update(hash);
    }
    mac.finalize().into_bytes().to_vec()
}

fn session_holds(value: &str, app: &App) -> bool {
    let Some((until, tag)) = value.split_once('.') else { return false };
    let (Ok(until_ms), Ok(tag)) = (until.parse::<Millis>(), HEXLOWER.decode(tag.as_bytes())) else { return false };
    until_ms > app.service.clock.now_ms() && session_tag(app, until_ms) == tag
}

/// The routes; the page that shows the form is `web`'s.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/sign-in", post(post_sign_in)).route("/sign-out", post(post_sign_out))
}

#[derive(Deserialize)]
struct SignIn {
    key: String,
}

async fn post_sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let opens = app.office.opens(form.key.trim());
    let service = app.service.clone();
    app.blocking(move || {
        if opens {
            service.audit(Actor::Office, Act::new(Action::SignIn)).map(drop)
        } else {
            service.audit_refused_sign_in()
        }
    })
    .await??;
    if !opens {
        return Ok(Redirect::to("/sign-in?wrong=1").into_response());
    }
    let until_ms = app.service.clock.now_ms() + SESSION.as_millis() as Millis;
    let value = format!("{until_ms}.{}", HEXLOWER.encode(&session_tag(&app, until_ms)));
    let cookie = cookie(&headers, &value, SESSION.as_secs());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

async fn post_sign_out(headers: HeaderMap) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let cookie = cookie(&headers, "", 0);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}

/// The session's cookie. Where the page came over HTTPS, by the browser's word or that of the proxy that speaks TLS, the
/// browser must not send it over anything else.
fn cookie(headers: &HeaderMap, value: &str, max_age_s: u64) -> String {
    let says =
        |name, start: &str| headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with(start));
    let https = says(header::ORIGIN.as_str(), "https://") || says("x-forwarded-proto", "https");
    let secure = if https { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{secure}")
}

/// A browser says where a form came from; another site's form is refused.
pub(crate) fn same_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let site = headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    let origin = headers.get(header::ORIGIN).and_then(|v| v.to_str().ok());
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let own = origin.is_none_or(|o| o.rsplit("://").next() == Some(host));
    if own && site.is_none_or(|s| matches!(s, "same-origin" | "none")) {
        Ok(())
    } else {
        Err(ApiError::new(StatusCode::FORBIDDEN, "bad_request"))
    }
}
