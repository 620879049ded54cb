//! The kopern dialect: `{"error": …}`, the webhook's answer, and the widget's events.

use futures::{Stream, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{ApiError, ErrorKind, Frame};
use crate::id::{AgentId, SessionId};
use crate::turn::{Answer, TurnEvent, TurnStream};

/// A failure.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What went wrong, for people.
    pub error: String,
    /// What went wrong, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong with the body, a line a field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl From<&ApiError> for ErrorResponse {
    fn from(error: &ApiError) -> Self {
        let message = match error.kind {
            ErrorKind::AgentFailed => "Agent execution failed".to_owned(),
            _ => error.message.to_string(),
        };
        Self { error: message, code: error.code, details: error.details.clone() }
    }
}

/// The webhook's answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookResponse {
    /// Everything that the agent said.
    pub response: String,
    /// Always `true`: a machine wrote it.
    #[serde(rename = "ai_generated")]
    pub ai_generated: bool,
    /// The session; sent along with the next message it carries the conversation on.
    pub session_id: String,
    /// What it took.
    pub metrics: WebhookMetrics,
}

/// What an answer took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookMetrics {
    /// Tokens read by the model, over all rounds.
    pub input_tokens: u64,
    /// Tokens written by the model, over all rounds.
    pub output_tokens: u64,
    /// How many tools were called.
    pub tool_call_count: u64,
}

impl From<Answer> for WebhookResponse {
    fn from(answer: Answer) -> Self {
        Self {
            response: answer.text,
            ai_generated: true,
            session_id: answer.session.to_string(),
            metrics: WebhookMetrics {
                input_tokens: answer.usage.input_tokens,
                output_tokens: answer.usage.output_tokens,
                tool_call_count: answer.tool_calls,
            },
        }
    }
}

/// One of the widget's events. It satisfies the document's table (`event: token`, `data: {"text": …}`) and its example,
/// which reads `{"type": "token", "data": {"text": …}}`.
#[derive(Debug, Serialize)]
struct WidgetEvent<'a, T> {
    r#type: &'static str,
    data: &'a T,
    #[serde(flatten)]
    fields: &'a T,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Serialize)]
struct Token {
    text: String,
}

#[derive(Serialize)]
struct ToolStart {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolEnd {
    name: String,
    is_error: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionBegun {
    session_id: SessionId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatDone<'a> {
    agent_id: &'a AgentId,
    #[serde(flatten)]
    done: Done,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    metrics: DoneMetrics,
    session_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DoneMetrics {
    input_tokens: u64,
    output_tokens: u64,
    /// In US dollars. A number always, as documented: 0 where the model's price is not known.
    estimated_cost: f64,
    /// Told to the dashboard alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_count: Option<u64>,
}

#[derive(Serialize)]
struct Failure {
    message: String,
}

/// The widget's events: `status`, then `token`, `tool_start` and `tool_end`, then `done` or `error`.
pub fn widget_frames(events: TurnStream) -> impl Stream<Item = Frame> + Send {
    turn_frames(events, |answer| frame("done", &Done::from(answer)))
}

/// The dashboard's events: `session`, then the widget's. Its `done` tells the agent and the number of tool calls too.
pub fn chat_frames(agent_id: AgentId, session_id: SessionId, events: TurnStream) -> impl Stream<Item = Frame> + Send {
    let session = futures::stream::once(async move { frame("session", &SessionBegun { session_id }) });
    session.chain(turn_frames(events, move |answer| {
        let tool_calls = answer.tool_calls;
        let mut done = Done::from(answer);
        done.metrics.tool_call_count = Some(tool_calls);
        frame("done", &ChatDone { agent_id: &agent_id, done })
    }))
}

fn turn_frames(events: TurnStream, done: impl Fn(Answer) -> Frame + Send) -> impl Stream<Item = Frame> + Send {
    let thinking = futures::stream::once(async { frame("status", &Status { status: "thinking" }) });
    thinking.chain(events.map(move |event| match event {
        TurnEvent::Text(text) => frame("token", &Token { text }),
        TurnEvent::ToolStarted { name } => frame("tool_start", &ToolStart { name }),
        TurnEvent::ToolFinished { name, is_error } => frame("tool_end", &ToolEnd { name, is_error }),
        TurnEvent::Finished(answer) => done(*answer),
        TurnEvent::Failed(failure) => frame("error", &Failure { message: failure.public_message() }),
    }))
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self {
            metrics: DoneMetrics {
                input_tokens: answer.usage.input_tokens,
                output_tokens: answer.usage.output_tokens,
                estimated_cost: answer.cost.unwrap_or_default(),
                tool_call_count: None,
            },
            session_id: answer.session.to_string(),
        }
    }
}

fn frame(event: &'static str, fields: &impl Serialize) -> Frame {
    let data = WidgetEvent { r#type: event, data: fields, fields };
    Frame { event: Some(event), data: serde_json::to_string(&data).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_satisfies_the_table_and_the_example() {
        let frame = frame("token", &Token { text: "é\n".to_owned() });
        assert_eq!(frame.event, Some("token"));
        assert_eq!(frame.data, r#"{"type":"token","data":{"text":"é\n"},"text":"é\n"}"#);
    }
}
