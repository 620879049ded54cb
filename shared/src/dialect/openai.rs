//! OpenAI's dialect: chat completions, their chunks, models and errors.
//! <https://platform.openai.com/docs/api-reference/chat>

use futures::{Stream, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{ApiError, ErrorKind, Frame};
use crate::id::{CompletionId, TraceId};
use crate::model::{Stop, Usage};
use crate::turn::{Answer, TurnEvent, TurnStream};

/// A failure.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenAiErrorResponse)]
pub struct ErrorResponse {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// For people.
    pub message: String,
    /// The family.
    pub r#type: &'static str,
    /// The field that is wrong.
    pub param: Option<&'static str>,
    /// For programs.
    pub code: Option<&'static str>,
}

impl From<&ApiError> for ErrorResponse {
    fn from(error: &ApiError) -> Self {
        let r#type = match error.kind {
            ErrorKind::OverPlan => "insufficient_quota",
            ErrorKind::RateLimited => "rate_limit_error",
            ErrorKind::AgentFailed | ErrorKind::Internal | ErrorKind::Unavailable => "server_error",
            ErrorKind::InvalidRequest
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::MethodNotAllowed
            | ErrorKind::Conflict
            | ErrorKind::TooLarge
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::Mismatch => "invalid_request_error",
        };
        // The SDKs and their users know one code for every key that does not work.
        let code = if error.kind == ErrorKind::Unauthenticated { Some("invalid_api_key") } else { error.code };
        let message = match error.details.as_slice() {
            [] => error.message.to_string(),
            details => format!("{}: {}", error.message, details.join("; ")),
        };
        Self { error: ErrorBody { message, r#type, param: error.param, code } }
    }
}

/// A complete answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-…`.
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// When the turn began, in seconds since the Unix epoch.
    pub created: i64,
    /// The agent's model.
    pub model: String,
    /// One choice.
    pub choices: Vec<Choice>,
    /// The provider's figures, over all rounds.
    pub usage: CompletionUsage,
}

/// The answer itself.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Choice {
    /// Always 0.
    pub index: u32,
    /// What was said.
    pub message: AssistantMessage,
    /// Always `null`.
    pub logprobs: Option<()>,
    /// `stop`, `length` or `content_filter`.
    pub finish_reason: &'static str,
}

/// What was said.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssistantMessage {
    /// Always `assistant`.
    pub role: &'static str,
    /// The text.
    pub content: String,
    /// Always `null`: a refusal is told in the text.
    pub refusal: Option<String>,
}

/// Tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompletionUsage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

/// The models of an agent.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The agent's model.
    pub data: Vec<ModelInfo>,
}

/// A model.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelInfo {
    /// Its name.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When the agent was last changed, in seconds since the Unix epoch.
    pub created: i64,
    /// The provider.
    pub owned_by: String,
}

impl From<Usage> for CompletionUsage {
    fn from(usage: Usage) -> Self {
        Self { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens, total_tokens: usage.total() }
    }
}

/// A completion's id: the turn's, under OpenAI's prefix.
fn completion_id(trace: &TraceId) -> String {
    let bare = trace.as_str().trim_start_matches(TraceId::PREFIX);
    format!("{}{bare}", CompletionId::PREFIX)
}

const fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn | Stop::ToolUse | Stop::Pause => "stop",
        Stop::MaxTokens => "length",
        Stop::Refusal => "content_filter",
    }
}

/// The answer as one body.
#[must_use]
pub fn completion(answer: Answer, model: &str) -> ChatCompletion {
    ChatCompletion {
        id: completion_id(&answer.trace),
        object: "chat.completion",
        created: answer.started_at.div_euclid(1000),
        model: model.to_owned(),
        choices: vec![Choice {
            index: 0,
            finish_reason: finish_reason(answer.stop),
            message: AssistantMessage { role: "assistant", content: answer.text, refusal: None },
            logprobs: None,
        }],
        usage: answer.usage.into(),
    }
}

/// A piece of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatCompletionChunk<'a> {
    /// `chatcmpl-…`, the same in all chunks.
    pub id: &'a str,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// When the turn began, in seconds since the Unix epoch.
    pub created: i64,
    /// The agent's model.
    pub model: &'a str,
    /// One choice, or none in the chunk that tells the usage.
    pub choices: Vec<ChunkChoice<'a>>,
    /// Left out unless the request asked for it; then `null` in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<CompletionUsage>>,
}

/// More of the answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChunkChoice<'a> {
    /// Always 0.
    pub index: u32,
    /// What is new.
    pub delta: Delta<'a>,
    /// Always `null`.
    pub logprobs: Option<()>,
    /// `null` until the end.
    pub finish_reason: Option<&'static str>,
}

/// What is new.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Delta<'a> {
    /// Always `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
}

/// What all chunks of a stream share.
#[derive(Clone, Debug)]
pub struct Chunks {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
}

impl Chunks {
    /// The chunks of a turn that begins at `started_at` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn new(trace: &TraceId, started_at: i64, model: &str, include_usage: bool) -> Self {
        Self { id: completion_id(trace), created: started_at.div_euclid(1000), model: model.to_owned(), include_usage }
    }

    /// The stream: the role, the text as it comes, why it ended, its usage where that was asked for, and `[DONE]`. A
    /// failure is an error frame, and the end: nothing that looks like success comes after it.
    pub fn frames(self, events: TurnStream) -> impl Stream<Item = Frame> + Send {
        let role = self.piece(Delta { role: Some("assistant"), content: None }, None);
        let begin = futures::stream::once(async { role });
        begin.chain(events.flat_map(move |event| {
            futures::stream::iter(match event {
                TurnEvent::Text(text) => vec![self.piece(Delta { role: None, content: Some(&text) }, None)],
                TurnEvent::ToolStarted { .. } | TurnEvent::ToolFinished { .. } => Vec::new(),
                TurnEvent::Finished(answer) => self.end(&answer),
                TurnEvent::Failed(failure) => vec![frame(&ErrorResponse::from(&ApiError::from(failure)))],
            })
        }))
    }

    fn end(&self, answer: &Answer) -> Vec<Frame> {
        let mut frames = vec![self.piece(Delta::default(), Some(finish_reason(answer.stop)))];
        if self.include_usage {
            frames.push(self.chunk(Vec::new(), Some(answer.usage.into())));
        }
        frames.push(Frame { event: None, data: "[DONE]".to_owned() });
        frames
    }

    fn piece(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Frame {
        self.chunk(vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }], None)
    }

    fn chunk(&self, choices: Vec<ChunkChoice<'_>>, usage: Option<CompletionUsage>) -> Frame {
        frame(&ChatCompletionChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: self.include_usage.then_some(usage),
        })
    }
}

fn frame(data: &impl Serialize) -> Frame {
    Frame { event: None, data: serde_json::to_string(data).unwrap_or_default() }
}
