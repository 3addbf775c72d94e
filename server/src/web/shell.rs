//! What every page shares: language, navigation, and the answer to the browser.

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::texts;
use super::times;
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::OfficeAccess;
use crate::app::App;
use crate::limits;
use crate::messages::{self, Language};
use crate::service::Service;

const COOKIE: &str = "doorstep_lang";
/// How long a browser remembers its language, in seconds.
const COOKIE_S: u32 = 365 * 24 * 3600;

/// How a page is asked for: in which language, under which address.
#[derive(Debug, Clone)]
pub struct Request {
    /// The language of the answer.
    pub language: Language,
    /// The browser chose it with this request: it is to be remembered.
    chosen: bool,
    /// The path and the query without the language, ready for another parameter.
    address: String,
    /// Somebody signed in, so they can sign out.
    signed_in: bool,
}

impl FromRequestParts<Arc<App>> for Request {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let pairs = || parts.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
        let asked = pairs().find_map(|p| p.strip_prefix("lang=")).and_then(Language::from_code);
        let mut address = format!("{}?", parts.uri.path());
        for pair in pairs().filter(|p| !p.starts_with("lang=")) {
            address.push_str(pair);
            address.push('&');
        }
        Ok(Self {
            language: asked.or_else(|| remembered(&parts.headers)).unwrap_or_default(),
            chosen: asked.is_some(),
            address,
            signed_in: !matches!(app.office, OfficeAccess::Open),
        })
    }
}

fn remembered(headers: &HeaderMap) -> Option<Language> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, code)| Language::from_code(code))
}

impl Request {
    /// The frame of a page under a navigation entry.
    pub fn shell(&self, here: &'static str, township: &Township) -> Shell {
        Shell {
            language: self.language,
            here,
            township: township.name(self.language),
            address: self.address.clone(),
            as_of: times::minute(township.as_of_ms).unwrap_or_default(),
            signed_in: self.signed_in,
        }
    }

    /// The frame of a page that shows nothing of the township.
    pub fn bare_shell(&self) -> Shell {
        Shell {
            language: self.language,
            here: "",
            township: String::new(),
            address: self.address.clone(),
            as_of: String::new(),
            signed_in: false,
        }
    }

    /// The page that `load` makes on a worker thread of what is asked for, or the page that says why there is none.
    pub async fn load<T: Template + Send + 'static, Q: Send + 'static>(
        self,
        app: &App,
        query: Q,
        load: fn(&Service, &Self, &Q) -> Result<T, ApiError>,
    ) -> Response {
        let (service, asked) = (app.service.clone(), self.clone());
        let page = app.blocking(move || load(&service, &asked, &query)).await;
        self.answer(page.and_then(|page| page))
    }

    /// The page, or the page that says why there is none.
    pub fn answer<T: Template>(&self, page: Result<T, ApiError>) -> Response {
        let mut response = match page {
            Ok(page) => self.html(StatusCode::OK, &page),
            Err(error) => self.error(&error),
        };
        if self.chosen {
            let code = self.language.code();
            let cookie = format!("{COOKIE}={code}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_S}");
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
        response
    }

    fn error(&self, error: &ApiError) -> Response {
        let own = texts::find(&format!("error.{}", error.code), self.language).map(str::to_owned);
        let message = own.unwrap_or_else(|| messages::error(error.code).in_language(self.language).to_owned());
        let page = ErrorPage { shell: self.bare_shell(), message };
        let mut response = self.html(error.status, &page);
        if error.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, limits::RETRY_AFTER_S.into());
        }
        response
    }

    fn html(&self, status: StatusCode, page: &impl Template) -> Response {
        match page.render() {
            Ok(html) => {
                let language = [(header::CONTENT_LANGUAGE, self.language.code())];
                (status, language, Html(html)).into_response()
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a page could not be rendered");
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
            }
        }
    }
}

/// The frame of a page: header, navigation, footer; and the words and figures in its language.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The language.
    pub language: Language,
    /// The navigation entry that the page belongs to; empty for none.
    pub here: &'static str,
    /// The township's name.
    pub township: String,
    /// The page's address, ready for another parameter.
    pub address: String,
    /// When the page was made.
    pub as_of: String,
    /// Somebody is signed in.
    pub signed_in: bool,
}

impl Shell {
    /// A text.
    pub fn t(&self, key: &str) -> &'static str {
        texts::text(key, self.language)
    }

    /// A text with values in it.
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        texts::fill(self.t(key), values)
    }

    /// The value of the page's `lang` attribute.
    pub fn lang(&self) -> &'static str {
        match self.language {
            Language::Zh => "zh-CN",
            Language::En => "en",
        }
    }

    /// The link to the same page in the other language.
    pub fn switch_href(&self) -> String {
        let other = if self.language == Language::Zh { Language::En } else { Language::Zh };
        format!("{}lang={}", self.address, other.code())
    }

    /// The same page further down, where its list goes on after a number.
    pub fn next_page(&self, after: u64) -> String {
        let (path, query) = self.address.split_once('?').unwrap_or((&self.address, ""));
        let kept = query.split('&').filter(|p| !p.is_empty() && !p.starts_with("after="));
        format!("{path}?{}after={after}", kept.map(|p| format!("{p}&")).collect::<String>())
    }

    /// The navigation: name, address, text.
    pub fn navigation(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        vec![
            ("overview", "/", self.t("nav.overview")),
            ("figures", "/figures", self.t("nav.figures")),
            ("households", "/households", self.t("nav.households")),
            ("differences", "/differences", self.t("nav.differences")),
            ("duplicates", "/duplicates", self.t("nav.duplicates")),
            ("doubts", "/doubts", self.t("nav.doubts")),
            ("phones", "/phones", self.t("nav.phones")),
            ("quarantine", "/quarantine", self.t("nav.quarantine")),
            ("audit", "/audit", self.t("nav.audit")),
        ]
    }

    /// A number as the language writes it.
    pub fn number(&self, n: u64) -> String {
        let digits = n.to_string();
        if self.language == Language::Zh {
            return digits;
        }
        let mut out = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    }

    /// Households with their persons: "475户1402人".
    pub fn households(&self, households: u64, persons: u64) -> String {
        let key = if households == 1 { "figure.household" } else { "figure.households" };
        self.fill(key, &[("households", &self.number(households)), ("persons", &self.number(persons))])
    }

    /// A time, or the word for an unknown one.
    pub fn time(&self, ms: u64) -> String {
        times::minute(ms).unwrap_or_else(|| self.t("times.unknown").to_owned())
    }

    /// A frame for tests.
    #[cfg(test)]
    pub fn sample(here: &'static str, language: Language) -> Self {
        Self {
            language,
            here,
            township: "青石乡".to_owned(),
            address: "/?".to_owned(),
            as_of: "2020-06-30 18:00".to_owned(),
            signed_in: true,
        }
    }
}

/// What went wrong.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// Frame.
    pub shell: Shell,
    /// In plain words.
    pub message: String,
}
