//! The kopern dialect: `{"error": …}`, the webhook's answer, and the widget's events.

use futures::{Stream, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::{ApiError, ErrorKind, Frame};
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

/// The widget's events. Each satisfies the document's table (`event: token`, `data: {"text": …}`) and its example, which
/// reads `{"type": "token", "data": {"text": …}}`.
pub fn widget_frames(events: TurnStream) -> impl Stream<Item = Frame> + Send {
    let thinking = futures::stream::once(async { frame("status", json!({ "status": "thinking" })) });
    thinking.chain(events.map(|event| match event {
        TurnEvent::Text(text) => frame("token", json!({ "text": text })),
        TurnEvent::ToolStarted { name } => frame("tool_start", json!({ "name": name })),
        TurnEvent::ToolFinished { name, is_error } => frame("tool_end", json!({ "name": name, "isError": is_error })),
        TurnEvent::Finished(answer) => frame("done", done(&answer)),
        TurnEvent::Failed(failure) => frame("error", json!({ "message": failure.public_message() })),
    }))
}

fn done(answer: &Answer) -> Value {
    json!({
        "metrics": {
            "inputTokens": answer.usage.input_tokens,
            "outputTokens": answer.usage.output_tokens,
            // A number always, as documented; 0 where the model's price is not known.
            "estimatedCost": answer.cost.unwrap_or_default(),
        },
        "sessionId": answer.session,
    })
}

fn frame(event: &'static str, data: Value) -> Frame {
    let mut both = json!({ "type": event, "data": data.clone() });
    if let (Some(both), Value::Object(fields)) = (both.as_object_mut(), data) {
        both.extend(fields);
    }
    Frame { event: Some(event), data: both.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_satisfies_the_table_and_the_example() {
        let frame = frame("token", json!({ "text": "é\n" }));
        assert_eq!(frame.event, Some("token"));
        assert!(!frame.data.contains('\n'));
        let data: Value = serde_json::from_str(&frame.data).unwrap();
        assert_eq!(data, json!({ "type": "token", "data": { "text": "é\n" }, "text": "é\n" }));
    }
}
