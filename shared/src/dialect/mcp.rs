//! MCP's dialect: JSON-RPC 2.0 over Streamable HTTP. <https://modelcontextprotocol.io/specification>

use std::time::Duration;

use axum::response::Response;
use futures::{Stream, StreamExt};
use http::header::{self, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::json;
use crate::http::{ApiError, ErrorKind, Frame, StatusCode};
use crate::turn::{Answer, TurnEvent, TurnFailure, TurnStream};

/// Between two notes of progress while the agent writes.
const WRITING: Duration = Duration::from_secs(1);
/// The longest time without a note of progress.
const SILENCE: Duration = Duration::from_secs(10);

/// JSON-RPC's error codes, and MCP's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcCode {
    /// No JSON.
    ParseError = -32700,
    /// JSON, and no message.
    InvalidRequest = -32600,
    /// No such method.
    MethodNotFound = -32601,
    /// The parameters are not what the method takes.
    InvalidParams = -32602,
    /// Our fault.
    InternalError = -32603,
    /// The caller is not let in.
    Refused = -32000,
    /// A header says something else than the body.
    HeaderMismatch = -32020,
    /// The protocol's version is not known.
    UnsupportedVersion = -32022,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct RpcError {
    /// For programs.
    pub code: i32,
    /// For people.
    pub message: String,
    /// What else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// An error of this code.
    pub fn new(code: RpcCode, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into(), data: None }
    }

    /// With what else is known.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// What else a refusal tells.
#[derive(Serialize)]
struct RefusalData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    details: &'a [String],
}

impl From<&ApiError> for RpcError {
    fn from(error: &ApiError) -> Self {
        let code = match error.kind {
            ErrorKind::InvalidRequest if error.code == Some("invalid_json") => RpcCode::ParseError,
            ErrorKind::InvalidRequest | ErrorKind::TooLarge => RpcCode::InvalidRequest,
            ErrorKind::AgentFailed | ErrorKind::Internal | ErrorKind::Unavailable => RpcCode::InternalError,
            ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::OverPlan
            | ErrorKind::NotFound
            | ErrorKind::MethodNotAllowed
            | ErrorKind::Conflict
            | ErrorKind::Mismatch
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::RateLimited => RpcCode::Refused,
        };
        let data = RefusalData { code: error.code, details: &error.details };
        let has_data = data.code.is_some() || !data.details.is_empty();
        Self { data: serde_json::to_value(data).ok().filter(|_| has_data), ..Self::new(code, &*error.message) }
    }
}

/// The answer to a call.
#[derive(Serialize, ToSchema)]
pub struct RpcResponse {
    /// Always `2.0`.
    jsonrpc: &'static str,
    /// What the method gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    result: Option<Value>,
    /// Why it gives nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<RpcError>,
    /// The call's id: a string or a whole number, or `null` where none could be read.
    id: Value,
}

impl RpcResponse {
    /// The answer to the call of this id; `null` for one that could not be read.
    pub fn new(id: Value, outcome: Result<Value, RpcError>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self { jsonrpc: "2.0", result, error, id }
    }
}

/// The reply to a request that is not let in. A call without a key is told where keys go, as RFC 6750 has it.
pub(super) fn refusal(status: StatusCode, error: &ApiError, call: &Value) -> Response {
    let mut response = json(status, &RpcResponse::new(call.clone(), Err(error.into())));
    if error.kind == ErrorKind::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What a tool gave.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallToolResult {
    /// For the model that called it.
    pub content: Vec<Content>,
    /// The same for programs, in the shape of the tool's `outputSchema`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// Whether it failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// A piece of what a tool gave.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Content {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
}

/// The answer of `kopern_chat` for programs.
#[derive(Serialize)]
struct ChatOutput<'a> {
    response: &'a str,
    session_id: &'a str,
}

impl CallToolResult {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text { text: text.into() }], structured_content: None, is_error: false }
    }

    /// A failure, told to the model that called.
    pub fn failure(message: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(message) }
    }

    /// With the same for programs.
    #[must_use]
    pub fn structured(mut self, output: &impl Serialize) -> Self {
        self.structured_content = serde_json::to_value(output).ok();
        self
    }
}

/// The end of a turn. An agent that fails is told to the model, which may go on without it.
impl From<Result<Box<Answer>, TurnFailure>> for CallToolResult {
    fn from(outcome: Result<Box<Answer>, TurnFailure>) -> Self {
        match outcome {
            Ok(answer) => {
                let output = ChatOutput { response: &answer.text, session_id: answer.session.as_str() };
                Self::text(&*answer.text).structured(&output)
            }
            Err(failure) => Self::failure(failure.public_message()),
        }
    }
}

#[derive(Serialize)]
struct Notification<T> {
    jsonrpc: &'static str,
    method: &'static str,
    params: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    progress_token: &'a Value,
    progress: u64,
    message: String,
}

/// How far a turn is, told under the caller's token.
struct Progressing {
    events: TurnStream,
    token: Value,
    /// How often it was told.
    told: u64,
    told_at: Instant,
    /// How many characters were written, and were when it was told.
    written: usize,
    written_told: usize,
    /// What is told with the answer; nothing once it is.
    end: Option<Box<dyn FnOnce(CallToolResult) -> RpcResponse + Send>>,
}

/// The events of a turn whose caller wants to know how far it is: notes of progress, at most one a second while the
/// agent writes and one each ten seconds while it does not, then the call's answer, which `end` makes of the result.
pub fn progress_frames(
    events: TurnStream,
    token: Value,
    end: impl FnOnce(CallToolResult) -> RpcResponse + Send + 'static,
) -> impl Stream<Item = Frame> + Send {
    let progressing = Progressing {
        events,
        token,
        told: 0,
        told_at: Instant::now(),
        written: 0,
        written_told: 0,
        end: Some(Box::new(end)),
    };
    futures::stream::unfold(progressing, |mut progressing| async move {
        let frame = progressing.next().await?;
        Some((frame, progressing))
    })
}

impl Progressing {
    async fn next(&mut self) -> Option<Frame> {
        self.end.as_ref()?;
        loop {
            let patience = if self.written > self.written_told { WRITING } else { SILENCE };
            let outcome = match timeout_at(self.told_at + patience, self.events.next()).await {
                Err(_) if self.written > 0 => return Some(self.tell(format!("{} characters written", self.written))),
                Err(_) => return Some(self.tell("Working".to_owned())),
                Ok(Some(TurnEvent::Text(text))) => {
                    self.written += text.chars().count();
                    continue;
                }
                Ok(Some(TurnEvent::ToolStarted { name })) => return Some(self.tell(format!("Calling {name}"))),
                Ok(Some(TurnEvent::ToolFinished { name, is_error: false })) => {
                    return Some(self.tell(format!("{name} is done")));
                }
                Ok(Some(TurnEvent::ToolFinished { name, is_error: true })) => {
                    return Some(self.tell(format!("{name} failed")));
                }
                Ok(Some(TurnEvent::Finished(answer))) => Ok(answer),
                Ok(Some(TurnEvent::Failed(failure))) => Err(failure),
                Ok(None) => Err(TurnFailure::Abandoned),
            };
            let end = self.end.take()?;
            return Some(frame(&end(outcome.into())));
        }
    }

    fn tell(&mut self, message: String) -> Frame {
        self.told += 1;
        self.told_at = Instant::now();
        self.written_told = self.written;
        frame(&Notification {
            jsonrpc: "2.0",
            method: "notifications/progress",
            params: Progress { progress_token: &self.token, progress: self.told, message },
        })
    }
}

fn frame(message: &impl Serialize) -> Frame {
    Frame { event: Some("message"), data: serde_json::to_string(message).unwrap_or_default() }
}
