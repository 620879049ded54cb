//! Calls of a platform's API: JSON in, JSON out, each with a limit of time and size. An address may hold a token, so no
//! error keeps one.

use std::time::Duration;

use bytes::BytesMut;
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest answer, in bytes.
const LARGEST: usize = 1024 * 1024;

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection came about: nothing was done.
    #[error("the platform is not reached")]
    Unreached(#[source] reqwest::Error),
    /// The connection broke, or nothing came in time: it may have been done.
    #[error("the platform's answer did not arrive")]
    Lost(#[source] reqwest::Error),
    /// The answer is not what the platform documents: it may have been done.
    #[error("the platform's answer, of status {0}, cannot be read")]
    Unreadable(StatusCode),
}

/// What a platform answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// Calls once. Nothing is tried again.
pub(super) async fn call(
    client: &reqwest::Client,
    method: Method,
    url: Url,
    bearer: Option<&SecretString>,
    body: Option<&Value>,
) -> Result<Answer, CallError> {
    let mut request = client.request(method, url).timeout(LIMIT);
    if let Some(token) = bearer {
        request = request.bearer_auth(token.expose_secret());
    }
    if let Some(body) = body {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    let mut response = request.send().await.map_err(|error| {
        let is_connect = error.is_connect();
        let error = error.without_url();
        if is_connect { CallError::Unreached(error) } else { CallError::Lost(error) }
    })?;
    let status = response.status();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| CallError::Lost(error.without_url()))? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(CallError::Unreadable(status));
        }
        bytes.extend_from_slice(&chunk);
    }
    let body = serde_json::from_slice(&bytes).map_err(|_| CallError::Unreadable(status))?;
    Ok(Answer { status, body })
}
