//! What receivers are told: compact JSON that is the same after `JSON.stringify(JSON.parse(body))`, which the documented
//! verifier signs. So there are no fractions, no keys that look like numbers, and no whole numbers above 2^53 in it.

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::{iso, iso_seconds};
use crate::id::{AgentId, Home, SessionId, WebhookId};
use crate::model::{Block, Message, Role};
use crate::session::{Escalation, app};
use crate::store::{AppSessionItem, SessionEnd};

/// The most tool calls of a turn that are told.
const MOST_TOOL_CALLS: usize = 500;
/// The longest answer that is told whole, in bytes of JSON: events wait together in one item of the table.
const LONGEST_RESPONSE: usize = 150_000;
/// What all tool calls of a turn may take together, in bytes of JSON.
const ROOM_FOR_TOOLS: usize = 150_000;
/// How many messages are told of a conversation for which a person was called.
const LAST_MESSAGES: usize = 10;
/// What is told of a tool's arguments and result, in characters each; less, where there are many.
const EXCERPTS: [usize; 4] = [2_000, 500, 100, 0];

/// What a receiver can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// The agent answered.
    MessageSent,
    /// A tool was called.
    ToolCallCompleted,
    /// A session was ended.
    SessionEnded,
    /// A turn failed.
    Error,
    /// A session of an app began.
    AppSessionStarted,
    /// A session of an app ended.
    AppSessionEnded,
    /// A person was called for.
    ConversationEscalated,
    /// Another receiver of the agent was disabled.
    WebhookDisabled,
    /// The owner tries a receiver out. Nobody subscribes to it.
    Test,
}

impl EventKind {
    /// What an agent's receivers can subscribe to, as the wire names it.
    pub const NAMES: [&str; 5] = ["message_sent", "tool_call_completed", "session_ended", "error", "webhook_disabled"];

    /// What an app's receivers can subscribe to.
    pub const APP_NAMES: [&str; 3] = ["session.started", "session.ended", "conversation.escalated"];

    /// As the wire names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageSent => "message_sent",
            Self::ToolCallCompleted => "tool_call_completed",
            Self::SessionEnded => "session_ended",
            Self::Error => "error",
            Self::AppSessionStarted => "session.started",
            Self::AppSessionEnded => "session.ended",
            Self::ConversationEscalated => "conversation.escalated",
            Self::WebhookDisabled => "webhook_disabled",
            Self::Test => "test",
        }
    }
}

/// It is no name of an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such event")]
pub struct UnknownEvent;

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(name: &str) -> Result<Self, UnknownEvent> {
        let all = [
            Self::MessageSent,
            Self::ToolCallCompleted,
            Self::SessionEnded,
            Self::Error,
            Self::AppSessionStarted,
            Self::AppSessionEnded,
            Self::ConversationEscalated,
            Self::WebhookDisabled,
        ];
        all.into_iter().find(|kind| kind.name() == name).ok_or(UnknownEvent)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    data: Data,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Tokens read by the model, over all rounds.
    pub input_tokens: u64,
    /// Tokens written by the model, over all rounds.
    pub output_tokens: u64,
    /// How many tools were called.
    pub tool_call_count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Data {
    MessageSent {
        response: String,
        metrics: Metrics,
        session_id: SessionId,
    },
    ToolCall {
        name: String,
        is_error: bool,
        tool_call_id: String,
        arguments: String,
        result: String,
        session_id: SessionId,
    },
    SessionEnded {
        session_id: SessionId,
        turn_count: u64,
        started_at: String,
    },
    Error {
        message: String,
        session_id: SessionId,
    },
    WebhookDisabled {
        webhook_id: WebhookId,
        name: String,
        target_url: String,
        reason: String,
    },
    Test {
        webhook_id: WebhookId,
    },
    App(Value),
}

/// The documented payload; an app's names no agent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a AgentId>,
    timestamp: String,
    data: &'a Data,
}

impl Event {
    /// The agent answered.
    #[must_use]
    pub fn message_sent(session: &SessionId, response: &str, metrics: Metrics) -> Self {
        let mut response = response.to_owned();
        while json_length(&response) > LONGEST_RESPONSE {
            response = excerpt(&response, response.chars().count() * 3 / 4);
        }
        Self {
            kind: EventKind::MessageSent,
            data: Data::MessageSent { response, metrics, session_id: session.clone() },
        }
    }

    /// The tools that were called in these messages, each with what it answered.
    #[must_use]
    pub fn tool_calls(session: &SessionId, messages: &[Message]) -> Vec<Self> {
        let told = |longest: usize| -> Vec<Self> {
            let results = messages.iter().flat_map(|message| &message.content).filter_map(|block| match block {
                Block::ToolResult { tool_use_id, content, is_error } => Some((tool_use_id, content, *is_error)),
                Block::Text { .. } | Block::ToolUse { .. } | Block::Opaque { .. } => None,
            });
            let event = |(id, content, is_error): (&String, &String, bool)| {
                let (name, arguments) = call(messages, id).unwrap_or_default();
                let data = Data::ToolCall {
                    name: excerpt(&name, 200),
                    is_error,
                    tool_call_id: excerpt(id, 200),
                    arguments: excerpt(&arguments, longest),
                    result: excerpt(content, longest),
                    session_id: session.clone(),
                };
                Self { kind: EventKind::ToolCallCompleted, data }
            };
            results.take(MOST_TOOL_CALLS).map(event).collect()
        };
        let size = |events: &[Self]| -> usize { events.iter().map(|event| json_length(&event.data)).sum() };
        let mut events = Vec::new();
        for longest in EXCERPTS {
            events = told(longest);
            if size(&events) <= ROOM_FOR_TOOLS {
                break;
            }
        }
        events
    }

    /// A session was ended after so many turns; it began at `started_at`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn session_ended(session: &SessionId, turns: u64, started_at: i64) -> Self {
        let started_at = iso(started_at);
        let data = Data::SessionEnded { session_id: session.clone(), turn_count: turns, started_at };
        Self { kind: EventKind::SessionEnded, data }
    }

    /// A turn failed; the message is one that anyone may read.
    #[must_use]
    pub fn error(session: &SessionId, message: &str) -> Self {
        let data = Data::Error { message: message.to_owned(), session_id: session.clone() };
        Self { kind: EventKind::Error, data }
    }

    /// A session of an app began.
    #[must_use]
    pub fn app_session_started(session: &AppSessionItem) -> Self {
        let data = json!({
            "session_id": session.id,
            "user_id": session.user,
            "metadata": app::metadata(session),
            "created_at": iso_seconds(session.created_at),
        });
        Self { kind: EventKind::AppSessionStarted, data: Data::App(data) }
    }

    /// A session of an app ended.
    #[must_use]
    pub fn app_session_ended(session: &AppSessionItem, end: &SessionEnd) -> Self {
        let data = json!({
            "session_id": session.id,
            "reason": end.reason,
            "ended_at": iso_seconds(end.at),
            "message_count": session.last_turn * 2,
            "usage": { "input_tokens": session.input_tokens, "output_tokens": session.output_tokens },
        });
        Self { kind: EventKind::AppSessionEnded, data: Data::App(data) }
    }

    /// A person was called for, in the conversation of these messages.
    #[must_use]
    pub fn conversation_escalated<'a>(
        session: &AppSessionItem,
        escalation: &Escalation,
        messages: impl DoubleEndedIterator<Item = &'a Message>,
    ) -> Self {
        let said = messages.rev().filter_map(|message| {
            let text = message.plain_text();
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            (!text.is_empty()).then(|| json!({ "role": role, "content": excerpt(&text, EXCERPTS[0]) }))
        });
        let mut last: Vec<Value> = said.take(LAST_MESSAGES).collect();
        last.reverse();
        let data = json!({
            "session_id": session.id,
            "reason": escalation.reason,
            "context": {
                "agent": escalation.agent.name,
                "summary": escalation.summary,
                "last_messages": last,
                "metadata": app::metadata(session),
            },
        });
        Self { kind: EventKind::ConversationEscalated, data: Data::App(data) }
    }

    /// A receiver was disabled.
    #[must_use]
    pub fn webhook_disabled(webhook: &WebhookId, name: &str, target_url: &str, reason: &str) -> Self {
        let data = Data::WebhookDisabled {
            webhook_id: webhook.clone(),
            name: name.to_owned(),
            target_url: target_url.to_owned(),
            reason: reason.to_owned(),
        };
        Self { kind: EventKind::WebhookDisabled, data }
    }

    /// The owner tries a receiver out.
    #[must_use]
    pub fn test(webhook: &WebhookId) -> Self {
        Self { kind: EventKind::Test, data: Data::Test { webhook_id: webhook.clone() } }
    }

    /// The body that receivers get: the documented payload.
    #[must_use]
    pub fn body(&self, home: &Home, at_ms: i64) -> String {
        let (agent_id, timestamp) = match home {
            Home::Agent(agent) => (Some(agent), iso(at_ms)),
            Home::App(_) => (None, iso_seconds(at_ms)),
        };
        let payload = Payload { event: self.kind.name(), agent_id, timestamp, data: &self.data };
        serde_json::to_string(&payload).unwrap_or_default()
    }
}

/// The name and the arguments of the call of this id.
fn call(messages: &[Message], wanted: &str) -> Option<(String, String)> {
    messages.iter().flat_map(|message| &message.content).find_map(|block| match block {
        Block::ToolUse { id, name, input } if id == wanted => Some((name.clone(), input.to_string())),
        _ => None,
    })
}

fn excerpt(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn json_length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str) -> Home {
        Home::Agent(AgentId::from(id))
    }

    const METRICS: Metrics = Metrics { input_tokens: 156, output_tokens: 423, tool_call_count: 0 };

    fn session() -> SessionId {
        SessionId::from("sess_1")
    }

    fn turn(calls: usize, result: &str) -> Vec<Message> {
        let id = |index: usize| format!("call_{index}");
        let uses = (0..calls).map(|index| Block::ToolUse {
            id: id(index),
            name: "add".to_owned(),
            input: json!({ "1": 1.0, "big": 12_345_678_901_234_567_890_u64 }),
        });
        let results = (0..calls).map(|index| Block::ToolResult {
            tool_use_id: id(index),
            content: result.to_owned(),
            is_error: index == 1,
        });
        vec![
            Message { role: Role::Assistant, content: uses.collect() },
            Message { role: Role::User, content: results.collect() },
        ]
    }

    #[test]
    fn a_message_is_told_as_documented() {
        let body = Event::message_sent(&session(), "Ünï \"q\" \u{7}\u{2028}/</script>", METRICS)
            .body(&agent("abc123"), 1_774_449_000_000);
        assert_eq!(
            body,
            "{\"event\":\"message_sent\",\"agentId\":\"abc123\",\"timestamp\":\"2026-03-25T14:30:00.000Z\",\"data\":{\
             \"response\":\"Ünï \\\"q\\\" \\u0007\u{2028}/</script>\",\"metrics\":{\"inputTokens\":156,\
             \"outputTokens\":423,\"toolCallCount\":0},\"sessionId\":\"sess_1\"}}"
        );
    }

    #[test]
    fn a_tools_arguments_are_text_since_their_numbers_and_keys_could_be_any() {
        let events = Event::tool_calls(&session(), &turn(2, "3"));
        let body: serde_json::Value = serde_json::from_str(&events[1].body(&agent("a"), 0)).unwrap();
        assert_eq!(body["event"], "tool_call_completed");
        assert_eq!(body["data"]["arguments"], r#"{"1":1.0,"big":12345678901234567890}"#);
        assert_eq!((&body["data"]["result"], &body["data"]["isError"]), (&json!("3"), &json!(true)));
        assert_eq!((&body["data"]["name"], &body["data"]["toolCallId"]), (&json!("add"), &json!("call_1")));
    }

    #[test]
    fn all_events_of_a_turn_fit_into_one_item() {
        let events = Event::tool_calls(&session(), &turn(960, &"\u{1}".repeat(3_000)));
        assert_eq!(events.len(), MOST_TOOL_CALLS);
        let tools: usize = events.iter().map(|event| event.body(&agent("a"), 0).len()).sum();
        let answer = Event::message_sent(&session(), &"\u{1}".repeat(300_000), METRICS).body(&agent("a"), 0);
        assert!(answer.ends_with("\"}}") && answer.contains('…'));
        assert!(tools + answer.len() < 350_000, "{tools} {}", answer.len());
    }

    #[test]
    fn every_name_reads_back() {
        for name in EventKind::NAMES.into_iter().chain(EventKind::APP_NAMES) {
            assert_eq!(name.parse::<EventKind>().map(EventKind::name), Ok(name));
        }
        assert_eq!("test".parse::<EventKind>(), Err(UnknownEvent));
    }
}
