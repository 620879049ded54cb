//! Arguments held against a tool's JSON Schema.
//!
//! A schema is somebody else's text: references are followed within the schema only and unfolded beforehand, so that
//! neither a cycle nor a doubling chain of them is left when the arguments are checked; patterns run on an engine of
//! linear time.

use jsonschema::PatternOptions;
use serde_json::{Map, Value};

use super::text::shorten;

/// The most parts (objects, arrays, scalars) of a schema, its references unfolded.
const MAX_SCHEMA_PARTS: usize = 10_000;
/// The deepest nesting of a schema, its references unfolded.
const MAX_SCHEMA_DEPTH: usize = 100;
/// How many mistakes are told at once.
const MAX_MISTAKES: usize = 5;
/// The characters of one mistake.
const MAX_MISTAKE_CHARS: usize = 200;

/// Arguments that do not fit, or a schema that cannot tell.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ArgumentsError {
    /// The arguments do not fit the schema.
    #[error("the arguments do not fit the tool's parameters: {0}")]
    Mismatch(String),
    /// The schema is no schema.
    #[error("the tool's parameters are not a valid JSON Schema: {0}")]
    Schema(String),
    /// The schema is too large, or refers to itself.
    #[error("the tool's JSON Schema is too large, or its references form a cycle")]
    Unbounded,
    /// The schema refers to something outside itself, or to nothing.
    #[error("the tool's JSON Schema has a reference that cannot be followed: {0}")]
    Reference(String),
}

/// Holds the arguments against the schema.
pub(super) fn check(schema: &Value, arguments: &Value) -> Result<(), ArgumentsError> {
    let schema = Unfolding { root: schema, parts: 0 }.unfold(schema, 0)?;
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
        .build(&schema)
        .map_err(|error| ArgumentsError::Schema(shorten(&error.to_string(), MAX_MISTAKE_CHARS)))?;
    let mut mistakes = Vec::new();
    for error in validator.iter_errors(arguments).take(MAX_MISTAKES) {
        let path = error.instance_path().to_string();
        let path = if path.is_empty() { "/" } else { &path };
        mistakes.push(format!(
            "at {}: {}",
            shorten(path, MAX_MISTAKE_CHARS),
            shorten(&error.to_string(), MAX_MISTAKE_CHARS)
        ));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(ArgumentsError::Mismatch(mistakes.join("; "))) }
}

/// A copy of a schema in which each reference is replaced by what it refers to.
struct Unfolding<'a> {
    root: &'a Value,
    parts: usize,
}

impl<'a> Unfolding<'a> {
    fn unfold(&mut self, schema: &'a Value, depth: usize) -> Result<Value, ArgumentsError> {
        self.parts += 1;
        if self.parts > MAX_SCHEMA_PARTS || depth > MAX_SCHEMA_DEPTH {
            return Err(ArgumentsError::Unbounded);
        }
        match schema {
            Value::Object(object) => self.unfold_object(object, depth),
            Value::Array(items) => items.iter().map(|item| self.unfold(item, depth + 1)).collect(),
            scalar => Ok(scalar.clone()),
        }
    }

    fn unfold_object(&mut self, object: &'a Map<String, Value>, depth: usize) -> Result<Value, ArgumentsError> {
        let mut unfolded = Map::new();
        for (key, value) in object {
            match (key.as_str(), value) {
                // Definitions are copied to where they are referred to.
                ("$defs" | "definitions", Value::Object(_)) if depth == 0 => {}
                ("$ref", Value::String(reference)) => {
                    let referred = self.unfold(self.follow(reference)?, depth + 1)?;
                    unfolded.insert("allOf".to_owned(), self.and(object.get("allOf"), referred, depth)?);
                }
                ("$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    return Err(ArgumentsError::Reference(shorten(reference, MAX_MISTAKE_CHARS)));
                }
                ("allOf", _) if object.get("$ref").is_some_and(Value::is_string) => {}
                _ => {
                    unfolded.insert(key.clone(), self.unfold(value, depth + 1)?);
                }
            }
        }
        Ok(Value::Object(unfolded))
    }

    /// An `allOf` of what a schema already requires and of what it refers to.
    fn and(&mut self, all: Option<&'a Value>, referred: Value, depth: usize) -> Result<Value, ArgumentsError> {
        let mut schemas = match all {
            Some(all) => match self.unfold(all, depth + 1)? {
                Value::Array(schemas) => schemas,
                other => vec![other],
            },
            None => Vec::new(),
        };
        schemas.push(referred);
        Ok(Value::Array(schemas))
    }

    fn follow(&self, reference: &str) -> Result<&'a Value, ArgumentsError> {
        let unknown = || ArgumentsError::Reference(shorten(reference, MAX_MISTAKE_CHARS));
        let pointer = reference.strip_prefix('#').ok_or_else(unknown)?;
        self.root.pointer(pointer).ok_or_else(unknown)
    }
}
