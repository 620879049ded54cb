//! What is sent.

use serde_json::{Value, json};
use url::Url;

use crate::model::history::normalise;
use crate::model::message::arguments;
use crate::model::{Block, ErrorKind, Message, ModelError, ModelName, ModelRequest, Role, ToolSpec};

/// OpenAI's own service calls the output limit by a newer name than the others do.
const OPENAI_HOST: &str = "api.openai.com";
/// Tells usage without being asked, and refuses fields that it does not know.
const MISTRAL: &str = "mistral";

/// The body of a call to that address.
pub(in crate::model) fn body(model: &ModelName, request: &ModelRequest, url: &Url) -> Result<Value, ModelError> {
    let history = normalise(&request.messages, model.provider());
    if history.is_empty() {
        return Err(ModelError::new(ErrorKind::InvalidRequest).with_detail("nobody says anything in the conversation"));
    }
    let mut messages = Vec::with_capacity(history.len() + 1);
    if let Some(system) = request.whole_system() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for message in &history {
        match message.role {
            Role::User => user(message, &mut messages),
            Role::Assistant => messages.push(assistant(message)),
        }
    }
    let limit = if url.host_str() == Some(OPENAI_HOST) { "max_completion_tokens" } else { "max_tokens" };
    let mut body = json!({"model": model.model(), "messages": messages, "stream": true});
    body[limit] = request.max_output_tokens.saturating_add(request.thinking_tokens.unwrap_or_default()).into();
    if model.provider() != MISTRAL {
        body["stream_options"] = json!({"include_usage": true});
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    Ok(body)
}

/// The results of tools are messages of their own and precede what the user says.
fn user(message: &Message, messages: &mut Vec<Value>) {
    for block in &message.content {
        if let Block::ToolResult { tool_use_id, content, is_error } = block {
            let content = if *is_error { format!("Error: {content}") } else { content.clone() };
            messages.push(json!({"role": "tool", "tool_call_id": tool_use_id, "content": content}));
        }
    }
    if let Some(text) = joined_text(message) {
        messages.push(json!({"role": "user", "content": text}));
    }
}

fn assistant(message: &Message) -> Value {
    let call = |block: &Block| match block {
        Block::ToolUse { id, name, input } => {
            let function = json!({"name": name, "arguments": arguments(input).to_string()});
            Some(json!({"id": id, "type": "function", "function": function}))
        }
        _ => None,
    };
    let calls: Vec<_> = message.content.iter().filter_map(call).collect();
    let mut value = json!({"role": "assistant", "content": joined_text(message)});
    if !calls.is_empty() {
        value["tool_calls"] = calls.into();
    }
    value
}

fn joined_text(message: &Message) -> Option<String> {
    let text = |block: &Block| match block {
        Block::Text { text } => Some(text.clone()),
        _ => None,
    };
    let texts: Vec<_> = message.content.iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn tool(tool: &ToolSpec) -> Value {
    let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
    json!({"type": "function", "function": function})
}
