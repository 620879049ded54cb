//! Why a call failed.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Answer;

/// Codes of a service that asks to slow down.
const THROTTLING: [&str; 8] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The connection did not come about, or broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer came in time.
    #[error("no answer came in time")]
    Silent,
}

impl TransportError {
    pub(super) fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Broken(error.into())
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The service was not reached, or did not answer: the call may have been carried out.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The service refused the call.
    #[error(transparent)]
    Refused(Refusal),
    /// The environment has no credentials.
    #[error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")]
    NoCredentials,
}

/// A service's refusal.
#[derive(thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The kind of error, as the service names it.
    pub code: String,
    message: String,
    body: Bytes,
}

/// Without its body, which may hold items.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("status", &self.status).field("code", &self.code).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
struct Words {
    #[serde(default, rename = "__type")]
    kind: String,
    #[serde(default)]
    message: Option<String>,
    /// As some services spell it.
    #[serde(default, rename = "Message")]
    other_message: Option<String>,
}

impl AwsError {
    /// Reads a refusal. <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html#operation-error-serialization>
    pub(super) fn refused(answer: Answer) -> Self {
        let words: Words = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = words.kind.rsplit('#').next().unwrap_or_default();
        let code = code.split(':').next().unwrap_or_default().to_owned();
        Self::Refused(Refusal {
            status: answer.status,
            code,
            message: words.message.or(words.other_message).unwrap_or_default(),
            body: answer.body,
        })
    }

    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            Self::Transport(_) | Self::NoCredentials => None,
        }
    }

    /// What else a refusal tells; `None` where it does not.
    #[must_use]
    pub fn detail<T: DeserializeOwned>(&self) -> Option<T> {
        match self {
            Self::Refused(refusal) => serde_json::from_slice(&refusal.body).ok(),
            Self::Transport(_) | Self::NoCredentials => None,
        }
    }

    /// Whether the service asks to slow down.
    pub(super) fn is_throttling(&self) -> bool {
        matches!(self, Self::Refused(refusal)
            if refusal.status == 429 || THROTTLING.contains(&refusal.code.as_str()))
    }

    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Refused(refusal) => refusal.status >= 500 || self.is_throttling(),
            Self::NoCredentials => false,
        }
    }
}
