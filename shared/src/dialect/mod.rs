//! How each dialect renders an error, a rate limit and a turn's events. Handlers write none of it.

pub mod app;
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
    /// `/v1/apps/…` of the app document.
    App,
}

impl Dialect {
    /// The largest body of a request, in bytes; Lambda's own limit is 6 MB.
    #[must_use]
    pub const fn largest_body(self) -> usize {
        match self {
            Self::Kopern | Self::OpenAi | Self::Mcp => 4 * 1024 * 1024,
            Self::App => 1024 * 1024,
        }
    }

    /// The status of a failure. All dialects but the app's agree on it.
    #[must_use]
    pub const fn status(self, kind: ErrorKind) -> StatusCode {
        if matches!(self, Self::App) {
            return app::status(kind);
        }
        match kind {
            ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden | ErrorKind::OverPlan => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
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
            Self::App => json(status, &app::ErrorResponse::from(error)),
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

    /// Tells how a bucket stands. The reset is counted in milliseconds since the Unix epoch; by the app dialect, in seconds.
    pub fn rate_headers(self, rate: &RateStatus, headers: &mut HeaderMap) {
        let reset = match self {
            Self::Kopern | Self::OpenAi | Self::Mcp => rate.reset_ms,
            Self::App => rate.reset_ms.saturating_add(999) / 1000,
        };
        for (name, value) in [
            ("x-ratelimit-limit", i64::from(rate.limit)),
            ("x-ratelimit-remaining", i64::from(rate.remaining)),
            ("x-ratelimit-reset", reset),
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
