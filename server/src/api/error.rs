//! One shape for every failure: `{"error": {"code", "message": {"zh", "en"}, "details"}}`.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use doorstep_core::protocol::UploadRefusal;
use serde_json::{Value, json};

use crate::limits;
use crate::messages;
use crate::service::Refused;
use crate::service::masked::MaskedError;
use crate::storage::StorageError;

/// A failed request.
#[derive(Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// A code for programs; `messages/errors.json` has its texts.
    pub code: &'static str,
    /// Facts for programs; never personal data.
    pub details: Value,
}

impl ApiError {
    /// An error without details.
    pub fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, details: Value::Null }
    }

    /// Nothing there.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found")
    }

    /// A reason is missing, or longer than the audit log takes.
    pub fn reason_needed() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "reason_needed")
    }

    /// A parameter is wrong.
    pub fn bad_request(parameter: &str) -> Self {
        Self { details: json!({"parameter": parameter}), ..Self::new(StatusCode::BAD_REQUEST, "bad_request") }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy"),
            StorageError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "storage failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

impl From<UploadRefusal> for ApiError {
    fn from(refusal: UploadRefusal) -> Self {
        let (status, details) = match refusal {
            UploadRefusal::Unreadable(error) => (StatusCode::BAD_REQUEST, json!({"reason": error.to_string()})),
            UploadRefusal::Sealed(error) => (StatusCode::BAD_REQUEST, json!({"reason": error.to_string()})),
            UploadRefusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Value::Null),
            UploadRefusal::Signature => (StatusCode::UNAUTHORIZED, Value::Null),
            UploadRefusal::Foreign => (StatusCode::FORBIDDEN, Value::Null),
            _ => (StatusCode::BAD_REQUEST, Value::Null),
        };
        Self { status, code: refusal.code(), details }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let bad = |code| Self::new(StatusCode::BAD_REQUEST, code);
        match refused {
            Refused::Unreadable(error) => Self { details: json!({"reason": error.to_string()}), ..bad("unreadable") },
            Refused::Upload(refusal) => refusal.into(),
            Refused::WrongTenant => Self::new(StatusCode::FORBIDDEN, "wrong_tenant"),
            Refused::UnknownDevice => Self::new(StatusCode::UNAUTHORIZED, "unknown_device"),
            Refused::Revoked => Self::new(StatusCode::UNAUTHORIZED, "revoked"),
            Refused::Signature => Self::new(StatusCode::UNAUTHORIZED, "signature"),
            Refused::StaleCounter { last } => {
                Self { details: json!({"last": last}), ..Self::new(StatusCode::CONFLICT, "stale_counter") }
            }
            Refused::InvitationUnknown => Self::new(StatusCode::FORBIDDEN, "invitation_unknown"),
            Refused::InvitationUsed => Self::new(StatusCode::FORBIDDEN, "invitation_used"),
            Refused::InvitationOver => Self::new(StatusCode::FORBIDDEN, "invitation_over"),
            Refused::TooManyTries { retry_after_s } => Self {
                details: json!({"retry_after_s": retry_after_s}),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries")
            },
            Refused::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Refused::Storage(error) => error.into(),
        }
    }
}

impl From<MaskedError> for ApiError {
    fn from(error: MaskedError) -> Self {
        match error {
            MaskedError::Unknown => Self::not_found(),
            MaskedError::Reason => Self::reason_needed(),
            MaskedError::Storage(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = messages::error(self.code);
        let body = json!({"error": {
            "code": self.code,
            "message": {"zh": text.zh, "en": text.en},
            "details": self.details,
        }});
        let mut response = (self.status, Json(body)).into_response();
        let asked = self.details["retry_after_s"].as_u64().and_then(|s| u32::try_from(s).ok());
        let retry_after_s = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some(limits::RETRY_AFTER_S),
            _ => asked,
        };
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
