//! Arguments held against a tool's JSON Schema.

use serde_json::Value;

use super::schema::{self, SchemaError};

/// Arguments that do not fit, or a schema that cannot tell.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ArgumentsError {
    /// The arguments do not fit the schema.
    #[error("the arguments do not fit the tool's parameters: {0}")]
    Mismatch(String),
    /// The schema is no schema that can be followed within its bounds.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Holds the arguments against the schema.
pub(super) fn check(schema: &Value, arguments: &Value) -> Result<(), ArgumentsError> {
    let mistakes = schema::mistakes(schema, arguments)?;
    if mistakes.is_empty() { Ok(()) } else { Err(ArgumentsError::Mismatch(mistakes.join("; "))) }
}
