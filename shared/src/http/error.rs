//! One error for every layer: what the caller is told, and what the log is told.

use std::error::Error;
use std::time::Duration;

use crate::auth::{AuthError, KeyringError, SignatureError, TokenError, UserError};
use crate::channel::slack;
use crate::limit::{LimitError, PlanLimit, RateStatus};
use crate::queue::QueueError;
use crate::session::SessionError;
use crate::session::app::FactError;
use crate::store::{EndReason, MOST_WEBHOOKS, StoreError};
use crate::turn::TurnFailure;
use crate::webhook::{DeliverError, ManageError};

/// What kind of failure it is. A dialect gives each kind its status and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The body is no JSON, or not what the endpoint takes.
    InvalidRequest,
    /// The key is missing, unknown, expired or disabled; or a signature is.
    Unauthenticated,
    /// The key is for something else, or something is switched off.
    Forbidden,
    /// The plan's limit is reached.
    OverPlan,
    /// There is no such thing.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The same request is still running.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The body is of a type that the endpoint does not take.
    UnsupportedMediaType,
    /// The idempotency key came with another body before.
    Mismatch,
    /// The rate limit is reached.
    RateLimited,
    /// The agent could not answer.
    AgentFailed,
    /// Our fault.
    Internal,
    /// The table does not answer; later it may.
    Unavailable,
}

/// A failure at the boundary.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind.
    pub kind: ErrorKind,
    /// What the caller is told.
    pub message: Box<str>,
    /// A word for programs, where the kind alone does not say it.
    pub code: Option<&'static str>,
    /// The field that is wrong.
    pub param: Option<&'static str>,
    /// Everything that is wrong with the body, a line a field.
    pub details: Vec<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// How the bucket stands that refused.
    pub rate: Option<Box<RateStatus>>,
    /// What the log is told, and nobody else.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            param: None,
            details: Vec::new(),
            retry_after: None,
            rate: None,
            source: None,
        }
    }

    /// With a word for programs.
    #[must_use]
    pub const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// With the field that is wrong.
    #[must_use]
    pub const fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// With everything that is wrong.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// With the time to wait.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With its cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Something of ours went wrong.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, "Something went wrong on our side.").because(source)
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        use ErrorKind::{Forbidden, NotFound, Unauthenticated};
        match error {
            AuthError::Unknown => {
                Self::new(Unauthenticated, "Missing or invalid API key. Use Bearer header or ?key= param.")
                    .code("invalid_api_key")
            }
            AuthError::Disabled => Self::new(Unauthenticated, "API key is disabled.").code("api_key_disabled"),
            AuthError::Expired => Self::new(Unauthenticated, "API key has expired.").code("api_key_expired"),
            AuthError::OtherAgent => {
                Self::new(Forbidden, "API key is not authorized for this agent.").code("agent_mismatch")
            }
            AuthError::WrongKind => {
                Self::new(Forbidden, "API key is not authorized for this endpoint.").code("endpoint_mismatch")
            }
            AuthError::Origin => Self::new(Forbidden, "Origin not allowed.").code("origin_not_allowed"),
            AuthError::WidgetDisabled => {
                Self::new(Forbidden, "Widget is not enabled for this agent.").code("widget_disabled")
            }
            AuthError::NoApp => Self::new(NotFound, "App not found.").code("app_not_found"),
            AuthError::NoAgent => Self::new(NotFound, "Agent not found.").code("agent_not_found"),
            AuthError::Agent(source) => Self::internal(source),
            AuthError::Store(source) => source.into(),
        }
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Token(error) => error.into(),
            UserError::Store(source) => source.into(),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        use ErrorKind::{Unauthenticated, Unavailable};
        match error {
            TokenError::Missing => {
                Self::new(Unauthenticated, "Missing ID token. Use Bearer header.").code("token_missing")
            }
            TokenError::Invalid(_) => Self::new(Unauthenticated, "Invalid ID token.").code("invalid_token"),
            TokenError::Expired => Self::new(Unauthenticated, "ID token has expired.").code("token_expired"),
            TokenError::NotConfigured => {
                Self::new(Unavailable, "Sign-in is not configured on this deployment.").code("sign_in_not_configured")
            }
            TokenError::Unavailable => {
                Self::new(Unavailable, "The identity provider does not answer. Please try again.")
                    .code("identity_provider_unavailable")
                    .retry_after(Duration::from_secs(2))
            }
        }
    }
}

impl From<KeyringError> for ApiError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Missing => Self::new(ErrorKind::NotFound, "Server not found.").code("server_not_found"),
            KeyringError::Disabled => {
                let message = "The key does not work any more, or another request is rotating it.";
                Self::new(ErrorKind::Conflict, message).code("key_disabled")
            }
            KeyringError::Plan(limit) => limit.into(),
            KeyringError::NoRandomness => Self::internal(error),
            KeyringError::Store(source) => source.into(),
        }
    }
}

impl From<LimitError> for ApiError {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Refused { status, retry_after } => Self {
                rate: Some(Box::new(status)),
                ..Self::new(ErrorKind::RateLimited, "Too many requests. Please try again later.")
                    .code("rate_limit_exceeded")
                    .retry_after(retry_after)
            },
            LimitError::Store(source) => source.into(),
        }
    }
}

impl From<PlanLimit> for ApiError {
    fn from(limit: PlanLimit) -> Self {
        let code = match limit {
            PlanLimit::Tokens(_) => "quota_exceeded",
            PlanLimit::Connectors(_) => "connector_limit_reached",
        };
        Self::new(ErrorKind::OverPlan, limit.to_string()).code(code)
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        Self::new(ErrorKind::Unavailable, "The service is busy. Please try again.")
            .code("unavailable")
            .retry_after(Duration::from_secs(1))
            .because(error)
    }
}

impl From<slack::SettingError> for ApiError {
    fn from(error: slack::SettingError) -> Self {
        Self::new(ErrorKind::Unavailable, "Slack is not configured on this deployment.")
            .code("slack_not_configured")
            .because(error)
    }
}

impl From<slack::signature::SignatureError> for ApiError {
    fn from(error: slack::signature::SignatureError) -> Self {
        let message = match error {
            slack::signature::SignatureError::Missing => "Missing signature",
            slack::signature::SignatureError::Stale => "The request is too old",
            slack::signature::SignatureError::Wrong => "Invalid signature",
        };
        Self::new(ErrorKind::Unauthenticated, message).code("invalid_signature")
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Busy => {
                Self::new(ErrorKind::RateLimited, "Another message of this session is still being answered.")
                    .code("session_busy")
                    .retry_after(Duration::from_secs(1))
            }
            SessionError::Missing(session) => Self::new(ErrorKind::InvalidRequest, "Session not found")
                .code("session_not_found")
                .details(vec![format!("session_id: {session}")]),
            SessionError::Over(session, reason) => {
                let (message, code) = match reason {
                    EndReason::UserEnded => ("Session has ended", "session_ended"),
                    EndReason::Expired => ("Session expired", "session_expired"),
                };
                Self::new(ErrorKind::InvalidRequest, message).code(code).details(vec![format!("session_id: {session}")])
            }
            SessionError::Fact(error) => error.into(),
            SessionError::Store(source) => source.into(),
        }
    }
}

impl From<FactError> for ApiError {
    fn from(error: FactError) -> Self {
        Self::new(ErrorKind::InvalidRequest, "Invalid request body")
            .code("invalid_request")
            .details(vec![error.to_string()])
    }
}

impl From<SignatureError> for ApiError {
    fn from(error: SignatureError) -> Self {
        let message = match error {
            SignatureError::Missing => "Missing webhook signature",
            SignatureError::Wrong => "Invalid webhook signature",
        };
        Self::new(ErrorKind::Unauthenticated, message).code("invalid_signature")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Contended => {
                Self::new(ErrorKind::Unavailable, "The service is busy. Please try again.")
                    .code("unavailable")
                    .retry_after(Duration::from_secs(1))
                    .because(error)
            }
            StoreError::Refused(_) | StoreError::Taken | StoreError::Malformed(_) | StoreError::Answer(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<DeliverError> for ApiError {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::Store(error) | DeliverError::Queue(QueueError::Store(error)) => error.into(),
            DeliverError::Queue(_) | DeliverError::Secret(_) | DeliverError::Seal(_) => Self::internal(error),
        }
    }
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Full => {
                let message = format!("There may be at most {MOST_WEBHOOKS} webhooks.");
                Self::new(ErrorKind::Conflict, message).code("webhook_limit_reached")
            }
            ManageError::Changed => {
                let message = "The webhook was changed by another request, or deleted. Please try again.";
                Self::new(ErrorKind::Conflict, message).code("webhook_changed")
            }
            ManageError::Unreachable(why) => Self::new(ErrorKind::InvalidRequest, "Invalid request body")
                .code("invalid_request")
                .details(vec![format!("url: Invalid url: {why}")]),
            ManageError::Seal(error) => *error,
            ManageError::NoRandomness | ManageError::Client(_) => Self::internal(error),
            ManageError::Store(source) => source.into(),
        }
    }
}

/// The turn itself has written the cause into the log.
impl From<TurnFailure> for ApiError {
    fn from(failure: TurnFailure) -> Self {
        match failure {
            TurnFailure::Store(error) => Self { source: None, ..error.into() },
            _ => Self::new(ErrorKind::AgentFailed, failure.public_message()).code("agent_error"),
        }
    }
}
