//! What goes to a model and what comes back, in a shape that every provider can be given.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ModelName, json};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Block>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Block::Text { text: text.into() }] }
    }

    /// Its texts, one after the other.
    #[must_use]
    pub fn plain_text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Opaque { .. } => None,
        });
        texts.collect()
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// The model calls a tool.
    ToolUse {
        /// The provider's id of this call; its result carries it again.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments, as the model wrote them: an object, if the model kept to the schema.
        input: Value,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the call that is answered.
        tool_use_id: String,
        /// The answer as text.
        content: String,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// A block of the provider's own (a thinking block with its signature, say): sent back unchanged to the
    /// provider that made it, and left out for every other.
    Opaque {
        /// The provider that made it, as in [`ModelName::provider`].
        provider: String,
        /// The block as it came.
        block: Value,
    },
}

/// The arguments that a model wrote, read. None at all are an empty object; what is no JSON is kept as a string, so that
/// the tool's schema refuses it and the model learns why.
pub(super) fn parse_arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    json::from_str(text).unwrap_or_else(|_| text.into())
}

/// The arguments as they are sent back to a provider, which wants an object whatever the model wrote.
pub(super) fn arguments(input: &Value) -> Cow<'_, Value> {
    match input {
        Value::Object(_) => Cow::Borrowed(input),
        other => Cow::Owned(serde_json::json!({ "unreadable": other })),
    }
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name by which the model calls it: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, for the model to read.
    pub description: String,
    /// The JSON Schema of its arguments, an object's.
    pub parameters: Value,
}

/// One call to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// The system prompt: the same in every request, so that providers can cache it.
    pub system: String,
    /// What the system prompt is followed by in this request alone.
    pub context: String,
    /// The conversation, oldest first; it ends with a user's message.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// The most tokens that it may write.
    pub max_output_tokens: u32,
    /// The sampling temperature; the provider's own default where it is not set.
    pub temperature: Option<f64>,
    /// How many tokens the model may think before it answers; no thinking where it is not set.
    pub thinking_tokens: Option<u32>,
}

impl ModelRequest {
    /// The system prompt and the context as one text; `None` where both are empty.
    pub(super) fn whole_system(&self) -> Option<String> {
        let parts = [self.system.as_str(), &self.context].into_iter().filter(|text| !text.trim().is_empty());
        let whole = parts.collect::<Vec<_>>().join("\n\n");
        (!whole.is_empty()).then_some(whole)
    }
}

/// What a model tells while it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// More of the answer's text, as it came.
    Text(String),
    /// The provider's figures of this call so far; each replaces the one before.
    Usage(Usage),
    /// The call is complete. Always the last event; a stream that ends without it has failed.
    Completed(Completion),
}

/// A complete answer to one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The model that answered.
    pub model: ModelName,
    /// Everything that it said, in order, ready to be sent back in the next call.
    pub content: Vec<Block>,
    /// Why it stopped.
    pub stop: Stop,
    /// The provider's figures of this call.
    pub usage: Usage,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It had said what it had to say.
    EndTurn,
    /// It waits for the results of its tool calls.
    ToolUse,
    /// It reached `max_output_tokens`, or the end of its context window.
    MaxTokens,
    /// It, or the provider's filter, refused.
    Refusal,
    /// The provider paused a long answer: send the conversation again as it stands to go on.
    Pause,
}

/// Tokens, by the provider's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens read, those of the cache included.
    pub input_tokens: u64,
    /// All tokens written, thinking included.
    pub output_tokens: u64,
    /// Of the input: those read from the provider's prompt cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Of the input: those written to the provider's prompt cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
}

impl Usage {
    /// Input and output together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
    }
}
