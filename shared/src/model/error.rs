//! How a call to a model fails.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822;

use super::{Usage, json};

/// The most that is kept of a provider's words, in characters.
const MAX_DETAIL_CHARS: usize = 500;

/// What went wrong, as far as it matters to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The provider wants fewer calls from us.
    RateLimited,
    /// The provider has too much to do.
    Overloaded,
    /// Our key is missing or wrong, or the account behind it is not in order.
    Unauthorized,
    /// The provider does not take the request as it is.
    InvalidRequest,
    /// The conversation is longer than the model can read.
    ContextTooLong,
    /// There is no such provider or model.
    UnknownModel,
    /// Nothing came in time.
    Timeout,
    /// The answer broke off.
    Cut,
    /// The answer cannot be understood.
    Malformed,
    /// No connection could be made, or it was lost before the answer began.
    Unreachable,
    /// The provider failed.
    Server,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RateLimited => "the provider's rate limit is reached",
            Self::Overloaded => "the provider is overloaded",
            Self::Unauthorized => "the provider's key is missing or not accepted",
            Self::InvalidRequest => "the provider does not accept the request",
            Self::ContextTooLong => "the conversation exceeds the model's context",
            Self::UnknownModel => "the model is not known",
            Self::Timeout => "the model did not answer in time",
            Self::Cut => "the answer broke off",
            Self::Malformed => "the answer cannot be understood",
            Self::Unreachable => "the provider cannot be reached",
            Self::Server => "the provider failed",
        })
    }
}

/// A call to a model that failed. Its display holds nothing of the provider's: that is in the source, for the log alone.
#[derive(Debug)]
pub struct ModelError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The provider's HTTP status, where it sent one other than success.
    pub status: Option<u16>,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
    /// What the failed calls had used, as far as the provider told; it may be billed.
    pub usage: Usage,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Detail(String);

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} (status {status})", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl ModelError {
    /// A failure of that kind, without more to tell.
    #[must_use]
    pub const fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            status: None,
            retry_after: None,
            usage: Usage { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 },
            source: None,
        }
    }

    /// With words for the log: the first 500 characters, on one line.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> Self {
        let detail = detail.chars().take(MAX_DETAIL_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.with_source(Detail(detail))
    }

    /// With an error for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) const fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// What anyone may read.
    #[must_use]
    pub const fn public_message(&self) -> &'static str {
        match self.kind {
            ErrorKind::RateLimited | ErrorKind::Overloaded => "The model is busy. Please try again in a moment.",
            ErrorKind::Unauthorized | ErrorKind::UnknownModel => "The agent's model is not set up correctly.",
            ErrorKind::InvalidRequest => "The model did not accept the request.",
            ErrorKind::ContextTooLong => "The conversation is too long for the model.",
            ErrorKind::Timeout => "The model did not answer in time.",
            ErrorKind::Cut | ErrorKind::Malformed => "The model's answer broke off.",
            ErrorKind::Unreachable | ErrorKind::Server => "The model is not available at the moment.",
        }
    }

    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::RateLimited
            | ErrorKind::Overloaded
            | ErrorKind::Timeout
            | ErrorKind::Cut
            | ErrorKind::Malformed
            | ErrorKind::Unreachable
            | ErrorKind::Server => true,
            ErrorKind::Unauthorized
            | ErrorKind::InvalidRequest
            | ErrorKind::ContextTooLong
            | ErrorKind::UnknownModel => false,
        }
    }

    /// From a response that is not a success.
    pub(super) fn from_response(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let detail = provider_words(body);
        let kind = match status.as_u16() {
            401..=403 => ErrorKind::Unauthorized,
            404 => ErrorKind::UnknownModel,
            408 => ErrorKind::Timeout,
            409 => ErrorKind::Server,
            413 => ErrorKind::ContextTooLong,
            429 => ErrorKind::RateLimited,
            503 | 529 => ErrorKind::Overloaded,
            500..=599 => ErrorKind::Server,
            _ => refused(&detail),
        };
        Self {
            status: Some(status.as_u16()),
            retry_after: retry_after(headers),
            ..Self::new(kind).with_detail(&detail)
        }
    }

    /// From the `type` or `code` of an error that came inside a stream.
    pub(super) fn from_stream(code: &str, message: &str) -> Self {
        let kind = match code {
            "rate_limit_error" | "rate_limit_exceeded" | "429" => ErrorKind::RateLimited,
            "overloaded_error" | "503" | "529" => ErrorKind::Overloaded,
            "authentication_error"
            | "permission_error"
            | "billing_error"
            | "insufficient_quota"
            | "401"
            | "402"
            | "403" => ErrorKind::Unauthorized,
            "not_found_error" | "model_not_found" | "404" => ErrorKind::UnknownModel,
            "request_too_large" | "context_length_exceeded" | "413" => ErrorKind::ContextTooLong,
            "timeout_error" | "408" => ErrorKind::Timeout,
            "invalid_request_error" | "400" | "422" => refused(message),
            _ => ErrorKind::Server,
        };
        Self::new(kind).with_detail(&format!("{code}: {message}"))
    }
}

/// The kind of a refusal, told from the words of those who have no code for it.
fn refused(words: &str) -> ErrorKind {
    const TOO_LONG: [&str; 5] = [
        "context_length_exceeded",
        "prompt is too long",
        "maximum context length",
        "context window",
        "too many tokens",
    ];
    let words = words.to_lowercase();
    if TOO_LONG.iter().any(|phrase| words.contains(phrase)) {
        ErrorKind::ContextTooLong
    } else {
        ErrorKind::InvalidRequest
    }
}

/// The code and message of an error's body, or the body itself where it has neither.
fn provider_words(body: &str) -> String {
    let parsed: serde_json::Value = json::from_str(body).unwrap_or_default();
    let error = parsed.get("error").unwrap_or(&parsed);
    let field = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
    match (field("code").or_else(|| field("type")), field("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (None, Some(message)) => message.to_owned(),
        _ => body.to_owned(),
    }
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date, which is read against the response's own `Date`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = header("retry-after-ms").and_then(|value| value.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let value = header("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |value: &str| rfc2822::parse(value).ok().map(|time| time.timestamp());
    let wait = date(value)?.duration_since(date(header("date")?)?);
    Duration::try_from(wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let cases = [
            (headers(&[("retry-after", "7")]), Some(7_000)),
            (headers(&[("retry-after", "0.5")]), Some(500)),
            (headers(&[("retry-after-ms", "20"), ("retry-after", "7")]), Some(20)),
            (
                headers(&[("date", "Sat, 21 Nov 2026 10:00:00 GMT"), ("retry-after", "Sat, 21 Nov 2026 10:00:30 GMT")]),
                Some(30_000),
            ),
            (
                headers(&[("date", "Sat, 21 Nov 2026 10:00:30 GMT"), ("retry-after", "Sat, 21 Nov 2026 10:00:00 GMT")]),
                None,
            ),
            (headers(&[("retry-after", "Sat, 21 Nov 2026 10:00:30 GMT")]), None),
            (headers(&[("retry-after", "-1")]), None),
            (headers(&[("retry-after", "soon")]), None),
            (headers(&[]), None),
        ];
        for (headers, expected) in cases {
            assert_eq!(retry_after(&headers), expected.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn a_status_decides_the_kind_and_whether_to_try_again() {
        let cases = [
            (400, "{}", ErrorKind::InvalidRequest, false),
            (401, "{}", ErrorKind::Unauthorized, false),
            (403, "{}", ErrorKind::Unauthorized, false),
            (404, "{}", ErrorKind::UnknownModel, false),
            (422, "{}", ErrorKind::InvalidRequest, false),
            (302, "", ErrorKind::InvalidRequest, false),
            (400, r#"{"error":{"message":"prompt is too long: 9 > 8"}}"#, ErrorKind::ContextTooLong, false),
            (400, r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#, ErrorKind::ContextTooLong, false),
            (408, "", ErrorKind::Timeout, true),
            (409, "", ErrorKind::Server, true),
            (429, "", ErrorKind::RateLimited, true),
            (500, "", ErrorKind::Server, true),
            (502, "<html>", ErrorKind::Server, true),
            (529, "", ErrorKind::Overloaded, true),
        ];
        for (status, body, kind, again) in cases {
            let error = ModelError::from_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body);
            assert_eq!((error.kind, error.is_retryable()), (kind, again), "{status} {body}");
        }
    }

    #[test]
    fn a_providers_words_are_kept_short_and_out_of_the_message() {
        let body = format!(r#"{{"error":{{"type":"api_error","message":"secret\n{}"}}}}"#, "x".repeat(2_000));
        let error = ModelError::from_response(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &body);
        let source = error.source().unwrap().to_string();
        assert!(source.starts_with("api_error: secret x"), "{source}");
        assert_eq!(source.chars().count(), MAX_DETAIL_CHARS);
        assert!(!error.to_string().contains("secret"));
        assert!(!error.public_message().contains("secret"));
    }
}
