//! What OpenAI's clients send, read as liberally as they write it: unknown fields are passed over, system and tool
//! messages too (the agent has its own prompt and tools), and content comes as a text, as parts, or not at all.

use serde_json::{Map, Value};
use shared::http::{ApiError, ErrorKind, json_object};
use shared::model::{Message, Role};
use utoipa::ToSchema;

/// The most messages in a request.
const MOST_MESSAGES: usize = 5_000;

/// The shape that the OpenAPI document shows.
#[derive(ToSchema)]
#[schema(as = ChatCompletionRequest)]
#[expect(dead_code, reason = "a body is read field by field, more liberally than it is described")]
pub(crate) struct ChatCompletionBody {
    /// The conversation; the last user's message is answered. System messages have no effect: the agent has its own
    /// prompt.
    #[schema(min_items = 1)]
    messages: Vec<ChatMessage>,
    /// Whether the answer is streamed.
    #[schema(default = false)]
    stream: Option<bool>,
    /// How it is streamed.
    stream_options: Option<StreamOptions>,
    /// No effect: the agent's model answers.
    #[schema(nullable = false)]
    model: Option<String>,
    /// No effect: the agent has its own.
    temperature: Option<f64>,
}

/// A message of the conversation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as ChatCompletionBody")]
struct ChatMessage {
    /// `user`, `assistant`, or `system`, `developer`, `tool` and `function`, which have no effect.
    #[schema(pattern = "^(system|developer|user|assistant|tool|function)$")]
    role: String,
    /// A text, or a list of text parts.
    #[schema(value_type = Option<Value>)]
    content: Value,
}

/// How an answer is streamed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as ChatCompletionBody")]
struct StreamOptions {
    /// Whether a last chunk tells the usage.
    include_usage: Option<bool>,
}

/// A chat, read.
#[derive(Debug, PartialEq)]
pub(crate) struct ChatCompletionRequest {
    /// What the user says.
    pub(crate) message: String,
    /// What was said before.
    pub(crate) history: Vec<Message>,
    /// Whether the answer is streamed.
    pub(crate) stream: bool,
    /// Whether the stream ends with its usage.
    pub(crate) include_usage: bool,
}

impl ChatCompletionRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body = json_object(body)?;
        let list = match body.get("messages") {
            Some(Value::Array(list)) if !list.is_empty() => list,
            _ => return Err(invalid("invalid_messages", "messages is required and must be a non-empty array.")),
        };
        if list.len() > MOST_MESSAGES {
            return Err(invalid("invalid_messages", format!("messages has more than {MOST_MESSAGES} elements.")));
        }
        let stream = flag(&body, "stream")?;
        let options = match body.get("stream_options") {
            Some(Value::Object(options)) => options,
            _ => &Map::new(),
        };
        let mut history = Vec::with_capacity(list.len());
        for (index, message) in list.iter().enumerate() {
            history.extend(read_message(index, message)?);
        }
        if !history.iter().any(|message| message.role == Role::User) {
            return Err(invalid("no_user_message", "At least one user message is required."));
        }
        Ok(Self {
            message: last_words(&mut history),
            history,
            stream,
            include_usage: options.get("include_usage") == Some(&Value::Bool(true)),
        })
    }
}

/// The user's last words, taken from the end of the history. After an answer's beginning the user wants it to go on.
fn last_words(history: &mut Vec<Message>) -> String {
    match history.pop() {
        Some(last) if last.role == Role::User => last.plain_text(),
        Some(last) => {
            history.push(last);
            "Please continue.".to_owned()
        }
        None => String::new(),
    }
}

/// A message of the user or the assistant; `None` for those of others, and for those that say nothing.
fn read_message(index: usize, message: &Value) -> Result<Option<Message>, ApiError> {
    let Value::Object(message) = message else {
        return Err(invalid("invalid_messages", format!("messages[{index}] must be an object.")));
    };
    let role = match message.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer" | "tool" | "function") => return Ok(None),
        _ => {
            let roles = "system, developer, user, assistant, tool or function";
            return Err(invalid("invalid_messages", format!("messages[{index}].role must be {roles}.")));
        }
    };
    let text = read_content(index, message.get("content").unwrap_or(&Value::Null))?;
    if text.is_empty() && role == Role::User {
        return Err(invalid("invalid_messages", format!("messages[{index}].content must not be empty.")));
    }
    Ok((!text.is_empty()).then(|| Message::text(role, text)))
}

/// The text of a message's content: a string, a list of parts, or `null`.
fn read_content(index: usize, content: &Value) -> Result<String, ApiError> {
    let parts = match content {
        Value::Null => return Ok(String::new()),
        Value::String(text) => return Ok(text.clone()),
        Value::Array(parts) => parts,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(invalid(
                "invalid_messages",
                format!("messages[{index}].content must be a string or an array of parts."),
            ));
        }
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        let text = match part.get("type").and_then(Value::as_str) {
            Some("text" | "input_text" | "output_text") => part.get("text"),
            Some("refusal") => part.get("refusal"),
            Some(other) => {
                let message = format!("messages[{index}].content[{place}]: the agent reads text, not {other:?}.");
                return Err(invalid("unsupported_content", message));
            }
            None => None,
        };
        let Some(text) = text.and_then(Value::as_str) else {
            return Err(invalid("invalid_messages", format!("messages[{index}].content[{place}] is not a text part.")));
        };
        texts.push(text);
    }
    Ok(texts.join("\n"))
}

fn flag(body: &Map<String, Value>, name: &'static str) -> Result<bool, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(ApiError::new(ErrorKind::InvalidRequest, format!("{name} must be true or false."))
            .code("invalid_type")
            .param(name)),
    }
}

fn invalid(code: &'static str, message: impl Into<Box<str>>) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, message).code(code).param("messages")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<ChatCompletionRequest, ApiError> {
        ChatCompletionRequest::read(body.to_string().as_bytes())
    }

    fn code(body: Value) -> Option<&'static str> {
        read(body).unwrap_err().code
    }

    #[test]
    fn the_last_user_message_is_answered_and_the_rest_is_history() {
        let request = read(json!({
            "model": "x", "temperature": 0.3, "tools": [{}], "n": 3, "stream": true, "stream_options": { "include_usage": true },
            "messages": [
                { "role": "system", "content": "be rude" },
                { "role": "developer", "content": "be rude" },
                { "role": "user", "content": [{ "type": "text", "text": "one" }, { "type": "text", "text": "two" }] },
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "1" }] },
                { "role": "tool", "tool_call_id": "1", "content": "42" },
                { "role": "assistant", "content": "" },
                { "role": "assistant", "content": "three" },
                { "role": "user", "content": "four", "name": "bob" },
            ],
        }))
        .unwrap();
        assert_eq!(
            request,
            ChatCompletionRequest {
                message: "four".into(),
                history: vec![Message::text(Role::User, "one\ntwo"), Message::text(Role::Assistant, "three")],
                stream: true,
                include_usage: true,
            }
        );
    }

    #[test]
    fn an_answer_that_was_begun_goes_on() {
        let request =
            read(json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }] }))
                .unwrap();
        assert_eq!((request.message.as_str(), request.history.len()), ("Please continue.", 2));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (messages, expected) in [
            (json!(null), "invalid_messages"),
            (json!([]), "invalid_messages"),
            (json!("hi"), "invalid_messages"),
            (json!([null]), "invalid_messages"),
            (json!([{ "role": "robot", "content": "x" }]), "invalid_messages"),
            (json!([{ "role": "user", "content": 5 }]), "invalid_messages"),
            (json!([{ "role": "user", "content": "" }]), "invalid_messages"),
            (json!([{ "role": "user", "content": [{ "type": "text" }] }]), "invalid_messages"),
            (
                json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }]),
                "unsupported_content",
            ),
            (json!([{ "role": "system", "content": "x" }]), "no_user_message"),
            (json!([{ "role": "assistant", "content": "x" }]), "no_user_message"),
        ] {
            assert_eq!(code(json!({ "messages": messages })), Some(expected), "{messages}");
        }
        assert_eq!(
            code(json!({ "messages": [{ "role": "user", "content": "x" }], "stream": "yes" })),
            Some("invalid_type")
        );
        assert_eq!(ChatCompletionRequest::read(b"{").unwrap_err().code, Some("invalid_json"));
    }
}
