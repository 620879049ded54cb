//! What comes back.

use std::collections::VecDeque;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use crate::model::message::parse_arguments;
use crate::model::stream::Decoder;
use crate::model::{Block, Completion, ErrorKind, ModelError, ModelEvent, ModelName, Stop, Usage, json};

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    #[serde(deserialize_with = "content")]
    content: String,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
    function_call: Option<FunctionDelta>,
}

/// A text, parts that have texts, or nothing.
fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Content;

    impl<'de> Visitor<'de> for Content {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of parts")
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<String, E> {
            Ok(String::new())
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<String, A::Error> {
            let mut text = String::new();
            while let Some(part) = parts.next_element::<ContentPart>()? {
                text.push_str(&part.text.unwrap_or_default());
            }
            Ok(text)
        }
    }

    deserializer.deserialize_any(Content)
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CallDelta {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptTokens>,
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptTokens {
    cached_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    /// Some services leave thinking out of `completion_tokens`, but not out of the total.
    fn from(tokens: Tokens) -> Self {
        let input = tokens.prompt_tokens.unwrap_or_default();
        let beyond_input = tokens.total_tokens.unwrap_or_default().saturating_sub(input);
        let cached = tokens.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Self {
            input_tokens: input,
            output_tokens: tokens.completion_tokens.unwrap_or_default().max(beyond_input),
            cache_read_tokens: cached.or(tokens.prompt_cache_hit_tokens).unwrap_or_default().min(input),
            cache_write_tokens: 0,
        }
    }
}

#[derive(Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// Puts an answer together.
pub(in crate::model) struct ChunkDecoder {
    model: ModelName,
    /// How many messages the conversation has: part of the ids of calls that have none.
    round: usize,
    text: String,
    calls: Vec<Call>,
    has_refused: bool,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl ChunkDecoder {
    pub(in crate::model) const fn new(model: ModelName, round: usize) -> Self {
        Self {
            model,
            round,
            text: String::new(),
            calls: Vec::new(),
            has_refused: false,
            finish_reason: None,
            usage: None,
        }
    }

    fn say(&mut self, text: String, events: &mut VecDeque<ModelEvent>) {
        if !text.is_empty() {
            self.text.push_str(&text);
            events.push_back(ModelEvent::Text(text));
        }
    }

    fn read_choice(&mut self, choice: Choice, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let delta = choice.delta.unwrap_or_default();
        self.say(delta.content, events);
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.has_refused = true;
            self.say(refusal, events);
        }
        delta.tool_calls.into_iter().flatten().for_each(|call| self.read_call(call));
        if let Some(function) = delta.function_call {
            self.read_call(CallDelta { index: Some(0), id: None, function: Some(function) });
        }
        if choice.finish_reason.as_deref() == Some("error") {
            return Err(ModelError::new(ErrorKind::Server));
        }
        self.finish_reason = choice.finish_reason.or_else(|| self.finish_reason.take());
        Ok(())
    }

    /// A delta goes on with the call of its index, or the last one where it has none; another id begins another call.
    fn read_call(&mut self, delta: CallDelta) {
        let id = delta.id.unwrap_or_default();
        let found = match delta.index {
            Some(_) => self.calls.iter().rposition(|call| call.index == delta.index),
            None => self.calls.len().checked_sub(1),
        };
        let goes_on = |at: &usize| id.is_empty() || self.calls[*at].id.is_empty() || self.calls[*at].id == id;
        let at = found.filter(goes_on).unwrap_or_else(|| {
            self.calls.push(Call { index: delta.index, ..Call::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        let function = delta.function.unwrap_or_default();
        if call.name.is_empty() {
            call.name = function.name.unwrap_or_default();
        }
        match function.arguments {
            Some(Value::String(more)) => call.arguments.push_str(&more),
            Some(Value::Null) | None => {}
            Some(whole) => call.arguments = whole.to_string(),
        }
    }

    /// The completion, if a finish reason has come and every call has a name.
    fn complete(&mut self) -> Option<Completion> {
        if self.calls.iter().any(|call| call.name.is_empty()) {
            return None;
        }
        let reason = self.finish_reason.take()?;
        if self.usage.is_none() {
            tracing::warn!(model = %self.model, "the provider told no usage: the call counts as nothing");
        }
        let stop = match reason.as_str() {
            "content_filter" => Stop::Refusal,
            _ if self.has_refused => Stop::Refusal,
            "length" => Stop::MaxTokens,
            _ if !self.calls.is_empty() => Stop::ToolUse,
            _ => Stop::EndTurn,
        };
        let text = std::mem::take(&mut self.text);
        let mut content: Vec<_> = (!text.is_empty()).then_some(Block::Text { text }).into_iter().collect();
        let mut ids: Vec<String> = Vec::new();
        for (number, call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            let is_usable = !call.id.is_empty() && !ids.contains(&call.id);
            let id = if is_usable { call.id } else { format!("call_{}_{number}", self.round) };
            ids.push(id.clone());
            content.push(Block::ToolUse { id, name: call.name, input: parse_arguments(&call.arguments) });
        }
        Some(Completion { model: self.model.clone(), content, stop, usage: self.usage() })
    }
}

impl Decoder for ChunkDecoder {
    fn read(&mut self, data: &str, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if data == "[DONE]" {
            let completion = self.complete().ok_or_else(|| ModelError::new(ErrorKind::Cut))?;
            events.push_back(ModelEvent::Completed(completion));
            return Ok(());
        }
        let chunk: Chunk =
            json::from_str(data).map_err(|error| ModelError::new(ErrorKind::Malformed).with_source(error))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(failure(&error));
        }
        if let Some(usage) = chunk.usage.map(Usage::from).filter(|usage| self.usage != Some(*usage)) {
            self.usage = Some(usage);
            events.push_back(ModelEvent::Usage(usage));
        }
        let first = chunk.choices.into_iter().flatten().find(|choice| choice.index.is_none_or(|index| index == 0));
        first.map_or(Ok(()), |choice| self.read_choice(choice, events))
    }

    fn finish(&mut self) -> Option<Completion> {
        self.complete()
    }

    fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }
}

/// An error inside a stream: its code may be a word or a number.
fn failure(error: &Value) -> ModelError {
    let code = match (&error["code"], &error["type"]) {
        (Value::String(code), _) | (_, Value::String(code)) => code.clone(),
        (Value::Number(code), _) => code.to_string(),
        _ => String::new(),
    };
    ModelError::from_stream(&code, error["message"].as_str().or_else(|| error.as_str()).unwrap_or_default())
}
