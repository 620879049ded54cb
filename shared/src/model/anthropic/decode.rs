//! What comes back: <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::PROVIDER;
use crate::model::message::parse_arguments;
use crate::model::stream::Decoder;
use crate::model::{Block, Completion, ErrorKind, ModelError, ModelEvent, ModelName, Stop, Usage, json};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        #[serde(default)]
        delta: StopDelta,
        #[serde(default)]
        usage: Option<Tokens>,
    },
    MessageStop,
    Error {
        error: Failure,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
struct StopDelta {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// A block that is being told.
struct Part {
    index: u64,
    block: PartBlock,
    /// The pieces of its arguments.
    json: String,
}

enum PartBlock {
    Text(String),
    ToolUse { id: String, name: String, input: Value },
    Opaque(Map<String, Value>),
}

/// Puts a message together.
pub(in crate::model) struct MessageDecoder {
    model: ModelName,
    parts: Vec<Part>,
    /// Tokens as the API counts them: the input without the cache's.
    input: u64,
    usage: Usage,
    stop_reason: Option<String>,
}

impl MessageDecoder {
    pub(in crate::model) const fn new(model: ModelName) -> Self {
        let usage = Usage { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };
        Self { model, parts: Vec::new(), input: 0, usage, stop_reason: None }
    }

    /// Later figures replace earlier ones; those that are missing leave them.
    fn count(&mut self, tokens: Option<Tokens>, events: &mut VecDeque<ModelEvent>) {
        let Some(tokens) = tokens else { return };
        self.input = tokens.input_tokens.unwrap_or(self.input);
        let cache_read_tokens = tokens.cache_read_input_tokens.unwrap_or(self.usage.cache_read_tokens);
        let cache_write_tokens = tokens.cache_creation_input_tokens.unwrap_or(self.usage.cache_write_tokens);
        let usage = Usage {
            input_tokens: self.input.saturating_add(cache_read_tokens).saturating_add(cache_write_tokens),
            output_tokens: tokens.output_tokens.unwrap_or(self.usage.output_tokens),
            cache_read_tokens,
            cache_write_tokens,
        };
        if usage != self.usage {
            self.usage = usage;
            events.push_back(ModelEvent::Usage(usage));
        }
    }

    fn start(&mut self, index: u64, block: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let Value::Object(mut block) = block else { return Err(malformed("a block that is no object")) };
        let mut text = |name: &str| match block.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let block = match text("type").as_str() {
            "text" => {
                let text = text("text");
                tell(&text, events);
                PartBlock::Text(text)
            }
            "tool_use" => {
                let (id, name) = (text("id"), text("name"));
                PartBlock::ToolUse { id, name, input: block.remove("input").unwrap_or_default() }
            }
            other => {
                block.insert("type".to_owned(), other.into());
                PartBlock::Opaque(block)
            }
        };
        self.parts.push(Part { index, block, json: String::new() });
        Ok(())
    }

    fn add(&mut self, index: u64, delta: Delta, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let part = self.parts.iter_mut().rev().find(|part| part.index == index);
        let part = part.ok_or_else(|| malformed("a delta to a block that did not begin"))?;
        match (delta, &mut part.block) {
            (Delta::Text { text }, PartBlock::Text(whole)) => {
                tell(&text, events);
                whole.push_str(&text);
            }
            (Delta::InputJson { partial_json }, _) => part.json.push_str(&partial_json),
            (Delta::Text { text }, PartBlock::Opaque(block)) => append(block, "text", &text),
            (Delta::Thinking { thinking }, PartBlock::Opaque(block)) => append(block, "thinking", &thinking),
            (Delta::Signature { signature }, PartBlock::Opaque(block)) => append(block, "signature", &signature),
            _ => {}
        }
        Ok(())
    }
}

impl Decoder for MessageDecoder {
    fn read(&mut self, data: &str, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let event = json::from_str(data).map_err(|error| ModelError::new(ErrorKind::Malformed).with_source(error))?;
        match event {
            Event::MessageStart { message } => self.count(message.usage, events),
            Event::ContentBlockStart { index, content_block } => self.start(index, content_block, events)?,
            Event::ContentBlockDelta { index, delta } => self.add(index, delta, events)?,
            Event::MessageDelta { delta, usage } => {
                self.stop_reason = delta.stop_reason.or_else(|| self.stop_reason.take());
                self.count(usage, events);
            }
            Event::MessageStop => {
                let reason = self.stop_reason.take().ok_or_else(|| malformed("a message without a stop reason"))?;
                let content: Vec<Block> = std::mem::take(&mut self.parts).into_iter().filter_map(whole).collect();
                let stop = stop(&reason, &content);
                let completion = Completion { model: self.model.clone(), content, stop, usage: self.usage };
                events.push_back(ModelEvent::Completed(completion));
            }
            Event::Error { error } => return Err(ModelError::from_stream(&error.kind, &error.message)),
            Event::Other => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Option<Completion> {
        None
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

fn malformed(detail: &str) -> ModelError {
    ModelError::new(ErrorKind::Malformed).with_detail(detail)
}

fn tell(text: &str, events: &mut VecDeque<ModelEvent>) {
    if !text.is_empty() {
        events.push_back(ModelEvent::Text(text.to_owned()));
    }
}

fn append(block: &mut Map<String, Value>, field: &str, more: &str) {
    match block.get_mut(field) {
        Some(Value::String(text)) => text.push_str(more),
        _ => drop(block.insert(field.to_owned(), more.into())),
    }
}

/// The finished block; nothing for an empty text.
fn whole(part: Part) -> Option<Block> {
    Some(match part.block {
        PartBlock::Text(text) if text.is_empty() => return None,
        PartBlock::Text(text) => Block::Text { text },
        PartBlock::ToolUse { id, name, input } => {
            let input =
                if part.json.trim().is_empty() && input.is_object() { input } else { parse_arguments(&part.json) };
            Block::ToolUse { id, name, input }
        }
        PartBlock::Opaque(mut block) => {
            if !part.json.trim().is_empty() {
                block.insert("input".to_owned(), parse_arguments(&part.json));
            }
            Block::Opaque { provider: PROVIDER.to_owned(), block: block.into() }
        }
    })
}

fn stop(reason: &str, content: &[Block]) -> Stop {
    let has_calls = content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Stop::MaxTokens,
        "refusal" => Stop::Refusal,
        "pause_turn" => Stop::Pause,
        _ if has_calls => Stop::ToolUse,
        _ => Stop::EndTurn,
    }
}
