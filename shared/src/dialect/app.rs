//! The app dialect: `{"error": {"code", "message", "details"}}`, the answer of `execute`, and its events.

use futures::{Stream, StreamExt};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::{ApiError, ErrorKind, Fields, Frame, json_object};
use crate::id::{SessionId, TraceId};
use crate::limit::Window;
use crate::model::Usage;
use crate::session::Facts;
use crate::turn::{Answer, Begun, TurnEvent, TurnFailure, TurnStream};

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 10_000;
/// The most bytes of metadata that are looked at.
const LARGEST_METADATA: usize = 1024 * 1024;

/// A failure.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AppErrorResponse)]
pub struct ErrorResponse {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AppErrorBody)]
struct ErrorBody {
    /// For programs.
    #[schema(pattern = "^(invalid_request|authentication_error|not_found|rate_limited|internal_error)$")]
    code: &'static str,
    /// For people.
    message: String,
    /// What is wrong, by field.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Option<Object>, nullable = false)]
    details: Map<String, Value>,
}

/// The document's status of a failure. It has five; what they do not cover keeps its own.
#[must_use]
pub const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => StatusCode::UNAUTHORIZED,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Mismatch => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::RateLimited | ErrorKind::OverPlan => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::AgentFailed | ErrorKind::Internal | ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Mismatch => "invalid_request",
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => "authentication_error",
        ErrorKind::NotFound => "not_found",
        ErrorKind::RateLimited | ErrorKind::OverPlan => "rate_limited",
        ErrorKind::AgentFailed | ErrorKind::Internal | ErrorKind::Unavailable => "internal_error",
    }
}

impl From<&ApiError> for ErrorResponse {
    fn from(error: &ApiError) -> Self {
        let message = match error.kind {
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => "Invalid API key".to_owned(),
            _ => error.message.to_string(),
        };
        let mut details = Map::new();
        for detail in &error.details {
            let (field, text) = detail.split_once(": ").unwrap_or(("body", detail));
            details.insert(field.to_owned(), text.into());
        }
        match (error.kind, &error.rate) {
            (ErrorKind::RateLimited, Some(rate)) => {
                let limit = match rate.window {
                    Window::Minute => "minute",
                    Window::Day => "day",
                };
                details.insert("limit".to_owned(), limit.into());
            }
            (ErrorKind::OverPlan, _) => drop(details.insert("limit".to_owned(), "monthly_tokens".into())),
            _ => {}
        }
        Self { error: ErrorBody { code: code(error.kind), message, details } }
    }
}

/// A message for an app.
#[derive(Clone, Debug, PartialEq, ToSchema)]
pub struct ExecuteRequest {
    /// The message, 1 to 10,000 characters.
    #[schema(min_length = 1, max_length = 10_000, pattern = "\\S")]
    pub message: String,
    /// The session that it belongs to; a new one begins where it is not set.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, nullable = false)]
    pub session_id: Option<SessionId>,
    /// What becomes part of the session's metadata.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Map<String, Value>>,
}

impl ExecuteRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            message: fields.string("message", 1..=LONGEST_MESSAGE),
            session_id: fields.optional_string("session_id", 1..=200).map(SessionId::from),
            metadata: fields.optional_object("metadata", LARGEST_METADATA),
        };
        if !request.message.is_empty() && request.message.trim().is_empty() {
            fields.wrong("message", "String must contain at least 1 character(s)");
        }
        fields.finish()?;
        Ok(request)
    }

    /// What it tells about the session.
    ///
    /// # Errors
    /// Where the metadata does not fit.
    pub fn facts(&self) -> Result<Facts, ApiError> {
        Ok(Facts::new(None, self.metadata.clone())?)
    }
}

/// The answer to a message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExecuteResponse {
    /// Everything that was said.
    response: String,
    /// The session; sent along with the next message it carries the conversation on.
    #[schema(value_type = String)]
    session_id: SessionId,
    /// The turn's trace.
    #[schema(value_type = String)]
    trace_id: TraceId,
    /// The agent that answered.
    agent: String,
    /// The tools that were called, each once, in the order of their first calls.
    tools_used: Vec<String>,
    /// What it took.
    usage: TokenUsage,
}

/// Tokens of all calls of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenUsage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens }
    }
}

impl From<Answer> for ExecuteResponse {
    fn from(answer: Answer) -> Self {
        Self {
            response: answer.text,
            session_id: answer.session,
            trace_id: answer.trace,
            agent: answer.agent.name,
            tools_used: answer.tools_used,
            usage: answer.usage.into(),
        }
    }
}

#[derive(Serialize)]
struct Start {
    trace_id: TraceId,
    session_id: SessionId,
}

#[derive(Serialize)]
struct Token {
    content: String,
}

#[derive(Serialize)]
struct ToolCall {
    tool: String,
    status: &'static str,
}

#[derive(Serialize)]
struct Done {
    usage: TokenUsage,
    session_id: SessionId,
    trace_id: TraceId,
    agent: String,
    tools_used: Vec<String>,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self {
            usage: answer.usage.into(),
            session_id: answer.session,
            trace_id: answer.trace,
            agent: answer.agent.name,
            tools_used: answer.tools_used,
        }
    }
}

/// The events of a turn: `start`, then `token` and `tool_call`, then `done` or `error`.
pub fn frames(begun: Begun, events: TurnStream) -> impl Stream<Item = Frame> + Send {
    let start = Start { trace_id: begun.trace, session_id: begun.session };
    let start = futures::stream::once(async move { frame("start", &start) });
    start.chain(events.map(|event| match event {
        TurnEvent::Text(content) => frame("token", &Token { content }),
        TurnEvent::ToolStarted { name } => frame("tool_call", &ToolCall { tool: name, status: "started" }),
        TurnEvent::ToolFinished { name, is_error } => {
            frame("tool_call", &ToolCall { tool: name, status: if is_error { "failed" } else { "completed" } })
        }
        TurnEvent::Finished(answer) => frame("done", &Done::from(*answer)),
        TurnEvent::Failed(failure) => frame("error", &failed(failure)),
    }))
}

fn failed(failure: TurnFailure) -> ErrorResponse {
    ErrorResponse::from(&ApiError::from(failure))
}

fn frame(event: &'static str, data: &impl Serialize) -> Frame {
    Frame { event: Some(event), data: serde_json::to_string(data).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_as_documented() {
        let error = ApiError::new(ErrorKind::InvalidRequest, "Session not found")
            .code("session_not_found")
            .details(vec!["session_id: sess_invalid".to_owned()]);
        assert_eq!(
            serde_json::to_value(ErrorResponse::from(&error)).unwrap(),
            json!({ "error": {
                "code": "invalid_request",
                "message": "Session not found",
                "details": { "session_id": "sess_invalid" },
            } })
        );
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_by_field() {
        let error = ExecuteRequest::read(br#"{"message":"  ","session_id":7}"#).unwrap_err();
        let told = serde_json::to_value(ErrorResponse::from(&error)).unwrap();
        assert_eq!(
            told["error"]["details"],
            json!({
                "message": "String must contain at least 1 character(s)",
                "session_id": "Expected string, received number",
            })
        );
        assert!(ExecuteRequest::read(br#"{"message":"hi","unknown":{},"metadata":{}}"#).is_ok());
    }
}
