//! What is sent.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::PROVIDER;
use crate::model::history::normalise;
use crate::model::message::arguments;
use crate::model::models::secret_header;
use crate::model::{Block, ErrorKind, Message, ModelError, ModelName, ModelRequest, Role, ToolSpec};

/// The version of the protocol that is written and read here.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// The least that the API lets a model think.
const MIN_THINKING_TOKENS: u32 = 1_024;

/// The headers of a call with that key.
pub(in crate::model) fn headers(key: Option<SecretString>) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::from_iter([(HeaderName::from_static("anthropic-version"), VERSION)]);
    if let Some(key) = key {
        headers.insert(HeaderName::from_static("x-api-key"), secret_header(&key)?);
    }
    Ok(headers)
}

/// The body of a call.
pub(in crate::model) fn body(model: &ModelName, request: &ModelRequest) -> Result<Value, ModelError> {
    let history = normalise(&request.messages, PROVIDER);
    if history.is_empty() {
        return Err(ModelError::new(ErrorKind::InvalidRequest).with_detail("nobody says anything in the conversation"));
    }
    let thinking =
        request.thinking_tokens.filter(|_| may_think(&history)).map(|tokens| tokens.max(MIN_THINKING_TOKENS));
    let mut body = json!({
        "model": model.model(),
        "max_tokens": request.max_output_tokens.saturating_add(thinking.unwrap_or_default()),
        "stream": true,
        "messages": history.iter().map(message).collect::<Vec<_>>(),
    });
    match (thinking, request.temperature) {
        (Some(tokens), _) => body["thinking"] = json!({"type": "enabled", "budget_tokens": tokens}),
        (None, Some(temperature)) => body["temperature"] = temperature.into(),
        (None, None) => {}
    }
    let system = [&request.system, &request.context].into_iter().filter(|text| !text.trim().is_empty());
    let system: Vec<_> = system.map(|text| json!({"type": "text", "text": text})).collect();
    if !system.is_empty() {
        body["system"] = system.into();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    } else if history.iter().flat_map(|message| &message.content).any(is_of_a_call) {
        body["tools"] = json!([tool(&no_tool())]);
        body["tool_choice"] = json!({"type": "none"});
    }
    mark_cache(&mut body);
    Ok(body)
}

/// Within a round of tools the API lets a model think only where its calls were preceded by thoughts; those of another
/// provider's model were not.
fn may_think(history: &[Message]) -> bool {
    let [.., calls, results] = history else { return true };
    let is_answering = results.content.iter().any(|block| matches!(block, Block::ToolResult { .. }));
    !is_answering || matches!(calls.content.first(), Some(Block::Opaque { .. }))
}

const fn is_of_a_call(block: &Block) -> bool {
    matches!(block, Block::ToolUse { .. } | Block::ToolResult { .. })
}

/// What stands for the tools of an agent that has none: the API takes no conversation in which tools were called without
/// a definition of any.
fn no_tool() -> ToolSpec {
    ToolSpec {
        name: "none".to_owned(),
        description: "There are no tools here.".to_owned(),
        parameters: json!({"type": "object", "properties": {}}),
    }
}

/// Marks what the next call will begin with too: tools and system prompt, and the conversation once it has a past or
/// can call tools. <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>
fn mark_cache(body: &mut Value) {
    let has_tools = body.get("tools").is_some();
    let has_past = body["messages"].as_array().is_some_and(|messages| messages.len() > 1);
    if body.get("system").is_some() {
        mark(body.pointer_mut("/system/0"));
    } else {
        mark(body.get_mut("tools").and_then(last));
    }
    if has_tools || has_past {
        mark(body.get_mut("messages").and_then(last).and_then(|message| message.get_mut("content")).and_then(last));
    }
}

fn last(list: &mut Value) -> Option<&mut Value> {
    list.as_array_mut()?.last_mut()
}

fn mark(part: Option<&mut Value>) {
    if let Some(Value::Object(part)) = part
        && matches!(part.get("type").and_then(Value::as_str), None | Some("text" | "tool_use" | "tool_result"))
    {
        part.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
    }
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({"role": role, "content": message.content.iter().map(block).collect::<Vec<_>>()})
}

fn block(block: &Block) -> Value {
    match block {
        Block::Text { text } => json!({"type": "text", "text": text}),
        Block::ToolUse { id, name, input } => {
            json!({"type": "tool_use", "id": call_id(id), "name": name, "input": arguments(input)})
        }
        Block::ToolResult { tool_use_id, content, is_error } => {
            let mut result = Map::from_iter([
                ("type".to_owned(), "tool_result".into()),
                ("tool_use_id".to_owned(), call_id(tool_use_id).into()),
                ("content".to_owned(), content.as_str().into()),
            ]);
            if *is_error {
                result.insert("is_error".to_owned(), true.into());
            }
            result.into()
        }
        Block::Opaque { block, .. } => block.clone(),
    }
}

/// The id with the characters that the API takes; other providers' ids may have more.
fn call_id(id: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    id.chars().map(allowed).collect()
}

fn tool(tool: &ToolSpec) -> Value {
    json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters})
}
