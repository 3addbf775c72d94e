//! `/join`: where the QR code of an invitation leads whoever scans it with another program than the app.

use askama::Template;
use axum::response::Response;

use super::shell::{Request, Shell};

/// The page. It never sees the code: that follows the `#` of the address.
#[derive(Template)]
#[template(path = "join.html")]
pub struct JoinPage {
    /// Frame.
    pub shell: Shell,
}

/// `GET /join`, for everybody.
pub async fn get_join(request: Request) -> Response {
    request.answer(Ok(JoinPage { shell: request.bare_shell() }))
}

#[cfg(test)]
impl JoinPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        Self { shell: Shell { signed_in: false, ..Shell::sample("", language) } }
    }
}
