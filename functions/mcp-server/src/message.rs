//! Reading messages of JSON-RPC 2.0. <https://www.jsonrpc.org/specification>

use serde_json::{Map, Value};
use shared::dialect::mcp::{RpcCode, RpcError};
use shared::http::{ApiError, ErrorKind};

/// The most messages of a batch.
const LARGEST_BATCH: usize = 20;
/// The longest id, in characters.
const LONGEST_ID: usize = 1_000;

/// What a body holds.
pub(crate) enum Incoming {
    /// One message.
    One(Message),
    /// Several, at least one.
    Batch(Vec<Message>),
}

/// A message.
pub(crate) enum Message {
    /// It wants an answer.
    Call(Call),
    /// It wants none; its id is null.
    Note(Call),
    /// It answers a call, which we have not made.
    Answer,
    /// It is none, under the id that it should be answered with.
    Malformed(Value, RpcError),
}

/// A method and what it is given.
pub(crate) struct Call {
    /// A string or a whole number, to be given back as it came.
    pub(crate) id: Value,
    /// The method's name.
    pub(crate) method: String,
    /// Its parameters by name.
    pub(crate) params: Map<String, Value>,
}

impl Call {
    /// What the call says about itself.
    pub(crate) fn meta(&self, name: &str) -> Option<&Value> {
        self.params.get("_meta")?.get(name)
    }
}

/// Reads a body.
///
/// # Errors
/// Where it is no JSON, or a batch that is empty or too large.
pub(crate) fn read(body: &[u8]) -> Result<Incoming, ApiError> {
    let body: Value = serde_json::from_slice(body).map_err(|error| {
        let message = format!("Parse error at line {} column {}", error.line(), error.column());
        ApiError::new(ErrorKind::InvalidRequest, message).code("invalid_json")
    })?;
    match body {
        Value::Array(messages) if messages.is_empty() => Err(invalid("The batch is empty.")),
        Value::Array(messages) if messages.len() > LARGEST_BATCH => {
            Err(invalid("The batch has more than 20 messages."))
        }
        Value::Array(messages) => Ok(Incoming::Batch(messages.into_iter().map(message).collect())),
        one => Ok(Incoming::One(message(one))),
    }
}

fn message(value: Value) -> Message {
    let Value::Object(mut object) = value else {
        return malformed(Value::Null, RpcCode::InvalidRequest, "A message is an object.");
    };
    let id = match object.remove("id") {
        None => None,
        Some(id) if is_id(&id) => Some(id),
        Some(_) => return malformed(Value::Null, RpcCode::InvalidRequest, "The id is a string or a whole number."),
    };
    let shown = id.clone().unwrap_or_default();
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return malformed(shown, RpcCode::InvalidRequest, "jsonrpc is \"2.0\".");
    }
    let method = match object.remove("method") {
        Some(Value::String(method)) => method,
        None if object.contains_key("result") || object.contains_key("error") => return Message::Answer,
        Some(_) | None => return malformed(shown, RpcCode::InvalidRequest, "The method is a string."),
    };
    let params = match object.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return malformed(shown, RpcCode::InvalidParams, "The parameters are an object."),
    };
    match id {
        Some(id) => Message::Call(Call { id, method, params }),
        None => Message::Note(Call { id: Value::Null, method, params }),
    }
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.chars().count() <= LONGEST_ID,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn invalid(message: &'static str) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, message).code("invalid_request")
}

fn malformed(id: Value, code: RpcCode, message: &str) -> Message {
    Message::Malformed(id, RpcError::new(code, message))
}
