//! How each dialect renders an error, a rate limit and a turn's events. Handlers write none of it.

pub mod kopern;
pub mod mcp;
pub mod openai;

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::http::{ApiError, ErrorKind};
use crate::limit::RateStatus;

/// A vocabulary on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/api/…` of the kopern document.
    Kopern,
    /// OpenAI's, on the compatible endpoints.
    OpenAi,
    /// MCP's JSON-RPC.
    Mcp,
}

impl Dialect {
    /// The status of a failure. All dialects agree on it.
    #[must_use]
    pub const fn status(self, kind: ErrorKind) -> StatusCode {
        match kind {
            ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden | ErrorKind::OverPlan => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Mismatch => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::AgentFailed | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The reply to a failure; `call` is the id of the call that failed, in a dialect whose calls have ids.
    #[must_use]
    pub fn error(self, error: &ApiError, call: &Value) -> Response {
        let status = self.status(error.kind);
        let mut response = match self {
            Self::Kopern => json(status, &kopern::ErrorResponse::from(error)),
            Self::OpenAi => json(status, &openai::ErrorResponse::from(error)),
            Self::Mcp => mcp::refusal(status, error, call),
        };
        if error.kind == ErrorKind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = error.retry_after {
            // Whole seconds, rounded up: who waits as long as told is let in.
            let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
            if let Ok(seconds) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
        }
        response
    }

    /// Tells how a bucket stands. All dialects count the reset in milliseconds since the Unix epoch.
    pub fn rate_headers(self, rate: &RateStatus, headers: &mut HeaderMap) {
        for (name, value) in [
            ("x-ratelimit-limit", i64::from(rate.limit)),
            ("x-ratelimit-remaining", i64::from(rate.remaining)),
            ("x-ratelimit-reset", rate.reset_ms),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// A reply of compact JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
