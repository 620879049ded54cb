//! Values held against a JSON Schema, draft 2020-12 as far as tools use it, and the older form of `items`.
//!
//! Both are somebody else's text: the work and its depth are counted, so that neither a cycle of references nor a
//! doubling chain of them goes on for long; a pattern runs on an engine of linear time; nothing is fetched. What is
//! unknown is passed over: keywords, `format`, a pattern that the engine cannot read, a keyword's value of the wrong type.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::compare::{compare, compare_numbers, effort, is_multiple, is_whole, whole};
use super::text::shorten;

/// The most parts of a value held against parts of a schema, or of equal effort.
const MAX_STEPS: usize = 200_000;
/// The deepest nesting of schemas, references and values in one another.
const MAX_DEPTH: usize = 200;
/// The most bytes of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 17;
/// How many mistakes are told at once.
const MAX_MISTAKES: usize = 5;
/// The characters of a mistake, of its place, and of what an error cites.
const MAX_CHARS: usize = 200;

/// A schema that cannot tell whether a value fits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum SchemaError {
    /// The schema is no schema.
    #[error("the tool's parameters are not a valid JSON Schema: {0}")]
    Invalid(String),
    /// The schema takes too long or goes too deep, or refers to itself.
    #[error("the tool's JSON Schema asks for too much work, or its references form a cycle")]
    Unbounded,
    /// The schema refers to something outside itself, or to nothing.
    #[error("the tool's JSON Schema has a reference that cannot be followed: {0}")]
    Reference(String),
}

type Checked = Result<(), SchemaError>;
type Object = Map<String, Value>;

/// The value's mistakes, each with its place as a JSON Pointer; none if it fits the schema.
pub(super) fn mistakes(schema: &Value, value: &Value) -> Result<Vec<String>, SchemaError> {
    if let Some(Value::String(dialect)) = schema.get("$schema")
        && !dialect.contains("://json-schema.org/")
    {
        return Err(SchemaError::Invalid(format!("{:?} is an unknown dialect", shorten(dialect, MAX_CHARS))));
    }
    let mut check = Check {
        root: schema,
        steps: 0,
        depth: 0,
        failures: 0,
        tone: Tone::Telling,
        path: String::new(),
        mistakes: Vec::new(),
        patterns: HashMap::new(),
    };
    check.apply(schema, value)?;
    Ok(check.mistakes)
}

/// Whether mistakes are told, or a schema is only tried, as in `anyOf`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Telling,
    Trying,
}

struct Check<'a> {
    root: &'a Value,
    steps: usize,
    depth: usize,
    failures: usize,
    tone: Tone,
    /// The JSON Pointer of the value at hand.
    path: String,
    mistakes: Vec<String>,
    /// What has been compiled; none where that is impossible.
    patterns: HashMap<&'a str, Option<Regex>>,
}

impl<'a> Check<'a> {
    fn apply(&mut self, schema: &'a Value, value: &Value) -> Checked {
        self.charge(1)?;
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => {
                self.fail(|| format!("False schema does not allow {value}"));
                return Ok(());
            }
            other => return Err(invalid("a schema", other)),
        };
        if self.depth == MAX_DEPTH {
            return Err(SchemaError::Unbounded);
        }
        self.depth += 1;
        self.kind(schema, value)?;
        match value {
            Value::Number(_) => self.number(schema, value),
            Value::String(text) => self.text(schema, value, text)?,
            Value::Array(items) => self.array(schema, value, items)?,
            Value::Object(object) => self.object(schema, value, object)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.reference(schema, value)?;
        self.combination(schema, value)?;
        self.depth -= 1;
        Ok(())
    }

    /// Applies a schema to a part of the value at hand.
    fn apply_at(&mut self, step: &str, schema: &'a Value, value: &Value) -> Checked {
        let parent = self.path.len();
        self.path.push('/');
        self.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        self.apply(schema, value)?;
        self.path.truncate(parent);
        Ok(())
    }

    /// Whether the value fits the schema; its mistakes are not told.
    fn fits(&mut self, schema: &'a Value, value: &Value) -> Result<bool, SchemaError> {
        let outside = (self.failures, self.tone);
        (self.failures, self.tone) = (0, Tone::Trying);
        self.apply(schema, value)?;
        let fits = self.failures == 0;
        (self.failures, self.tone) = outside;
        Ok(fits)
    }

    fn charge(&mut self, steps: usize) -> Checked {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS { Err(SchemaError::Unbounded) } else { Ok(()) }
    }

    fn fail(&mut self, mistake: impl FnOnce() -> String) {
        self.failures += 1;
        if self.tone == Tone::Telling && self.mistakes.len() < MAX_MISTAKES {
            let path = if self.path.is_empty() { "/" } else { &self.path };
            self.mistakes.push(format!("at {}: {}", shorten(path, MAX_CHARS), shorten(&mistake(), MAX_CHARS)));
        }
    }

    fn expect(&mut self, condition: bool, mistake: impl FnOnce() -> String) {
        if !condition {
            self.fail(mistake);
        }
    }

    fn kind(&mut self, schema: &'a Object, value: &Value) -> Checked {
        match schema.get("type") {
            None => {}
            Some(Value::String(name)) => {
                let fits = is_of(name, value)?;
                self.expect(fits, || format!("{value} is not of type \"{name}\""));
            }
            Some(Value::Array(names)) => {
                let mut fits = false;
                for name in names {
                    fits |= is_of(name.as_str().ok_or_else(|| invalid("a type", name))?, value)?;
                }
                let told = || names.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
                self.expect(fits, || format!("{value} is not of types {}", told()));
            }
            Some(other) => return Err(invalid("a type", other)),
        }
        if let Some(Value::Array(options)) = schema.get("enum") {
            self.charge(options.iter().map(effort).sum())?;
            let fits = options.iter().any(|option| compare(option, value).is_eq());
            self.expect(fits, || format!("{value} is not one of {}", Value::from(options.as_slice())));
        }
        if let Some(expected) = schema.get("const") {
            self.charge(effort(expected))?;
            self.expect(compare(expected, value).is_eq(), || format!("{expected} was expected"));
        }
        Ok(())
    }

    fn number(&mut self, schema: &'a Object, value: &Value) {
        let Value::Number(number) = value else { return };
        let limit = |key| match schema.get(key) {
            Some(Value::Number(limit)) => Some((limit, compare_numbers(number, limit))),
            _ => None,
        };
        if let Some((limit, order)) = limit("minimum") {
            self.expect(order.is_ge(), || format!("{value} is less than the minimum of {limit}"));
        }
        if let Some((limit, order)) = limit("maximum") {
            self.expect(order.is_le(), || format!("{value} is greater than the maximum of {limit}"));
        }
        if let Some((limit, order)) = limit("exclusiveMinimum") {
            self.expect(order.is_gt(), || format!("{value} is less than or equal to the minimum of {limit}"));
        }
        if let Some((limit, order)) = limit("exclusiveMaximum") {
            self.expect(order.is_lt(), || format!("{value} is greater than or equal to the maximum of {limit}"));
        }
        if let Some(Value::Number(of)) = schema.get("multipleOf") {
            self.expect(is_multiple(number, of), || format!("{value} is not a multiple of {of}"));
        }
    }

    fn text(&mut self, schema: &'a Object, value: &Value, text: &str) -> Checked {
        if schema.contains_key("minLength") || schema.contains_key("maxLength") {
            self.charge(text.len() / 10)?;
            self.size(schema, ["minLength", "maxLength"], text.chars().count(), value, ["characters", "character"]);
        }
        if let Some(Value::String(pattern)) = schema.get("pattern") {
            let fits = self.matches(pattern, text)?;
            self.expect(fits != Some(false), || format!("{value} does not match \"{pattern}\""));
        }
        Ok(())
    }

    /// Bounds of a count, which is said in these units, many or one.
    fn size(&mut self, schema: &Object, [least, most]: [&str; 2], size: usize, value: &Value, units: [&str; 2]) {
        let limit = |key| schema.get(key)?.as_number().and_then(whole);
        let size = i128::try_from(size).unwrap_or(i128::MAX);
        let told = |limit| format!("{limit} {}", units[usize::from(limit == 1)]);
        if let Some(limit) = limit(least) {
            self.expect(size >= limit, || format!("{value} has less than {}", told(limit)));
        }
        if let Some(limit) = limit(most) {
            self.expect(size <= limit, || format!("{value} has more than {}", told(limit)));
        }
    }

    /// Whether the pattern is found in the text; none if the pattern cannot be read.
    fn matches(&mut self, pattern: &'a str, text: &str) -> Result<Option<bool>, SchemaError> {
        self.charge(1 + text.len() / 2)?;
        let compile = || RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build().ok();
        let regex = self.patterns.entry(pattern).or_insert_with(compile);
        Ok(regex.as_ref().map(|regex| regex.is_match(text)))
    }

    fn array(&mut self, schema: &'a Object, value: &Value, items: &[Value]) -> Checked {
        self.size(schema, ["minItems", "maxItems"], items.len(), value, ["items", "item"]);
        let (first, rest) = match schema.get("items") {
            Some(Value::Array(first)) => (first.as_slice(), schema.get("additionalItems")),
            rest => (list(schema, "prefixItems"), rest),
        };
        let schemas = first.iter().map(Some).chain(std::iter::repeat(rest));
        for (index, (item, schema)) in items.iter().zip(schemas).enumerate() {
            let Some(schema) = schema else { break };
            self.apply_at(&index.to_string(), schema, item)?;
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.charge(effort(value))?;
            let mut sorted: Vec<_> = items.iter().collect();
            sorted.sort_by(|left, right| compare(left, right));
            let unique = sorted.windows(2).all(|pair| compare(pair[0], pair[1]).is_ne());
            self.expect(unique, || format!("{value} has non-unique elements"));
        }
        let Some(contained) = schema.get("contains") else { return Ok(()) };
        let mut count = 0;
        for item in items {
            count += usize::from(self.fits(contained, item)?);
        }
        if !schema.contains_key("minContains") {
            self.expect(count > 0, || format!("None of {value} are valid under the given schema"));
        }
        let units = ["items that 'contains' describes", "item that 'contains' describes"];
        self.size(schema, ["minContains", "maxContains"], count, value, units);
        Ok(())
    }

    fn object(&mut self, schema: &'a Object, value: &Value, object: &Object) -> Checked {
        self.size(schema, ["minProperties", "maxProperties"], object.len(), value, ["properties", "property"]);
        self.required(list(schema, "required"), object)?;
        for (name, required) in members(schema, "dependentRequired") {
            if let (true, Value::Array(required)) = (object.contains_key(name), required) {
                self.required(required, object)?;
            }
        }
        for (name, dependent) in members(schema, "dependentSchemas") {
            if object.contains_key(name) {
                self.apply(dependent, value)?;
            }
        }
        if let Some(names) = schema.get("propertyNames") {
            for name in object.keys() {
                let fits = self.fits(names, &Value::from(name.as_str()))?;
                self.expect(fits, || format!("{name:?} is not a name that 'propertyNames' allows"));
            }
        }
        self.properties(schema, object)
    }

    fn required(&mut self, required: &[Value], object: &Object) -> Checked {
        self.charge(required.len())?;
        for name in required {
            let missing = name.as_str().is_some_and(|name| !object.contains_key(name));
            self.expect(!missing, || format!("{name} is a required property"));
        }
        Ok(())
    }

    fn properties(&mut self, schema: &'a Object, object: &Object) -> Checked {
        let named = schema.get("properties").and_then(Value::as_object);
        for (name, value) in object {
            let own = named.and_then(|named| named.get(name));
            if let Some(own) = own {
                self.apply_at(name, own, value)?;
            }
            let mut known = own.is_some();
            for (pattern, described) in members(schema, "patternProperties") {
                let matched = self.matches(pattern, name)?;
                known |= matched != Some(false);
                if matched == Some(true) {
                    self.apply_at(name, described, value)?;
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !known => {
                    self.fail(|| format!("Additional properties are not allowed ({name:?} was unexpected)"));
                }
                Some(additional) if !known => self.apply_at(name, additional, value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn reference(&mut self, schema: &'a Object, value: &Value) -> Checked {
        for key in ["$dynamicRef", "$recursiveRef"] {
            if let Some(Value::String(reference)) = schema.get(key) {
                return Err(SchemaError::Reference(shorten(reference, MAX_CHARS)));
            }
        }
        let Some(Value::String(reference)) = schema.get("$ref") else { return Ok(()) };
        let pointer = reference.strip_prefix('#').map(|pointer| percent_decode_str(pointer).decode_utf8_lossy());
        match pointer.and_then(|pointer| self.root.pointer(&pointer)) {
            Some(referred) => self.apply(referred, value),
            None => Err(SchemaError::Reference(shorten(reference, MAX_CHARS))),
        }
    }

    fn combination(&mut self, schema: &'a Object, value: &Value) -> Checked {
        for each in list(schema, "allOf") {
            self.apply(each, value)?;
        }
        for (key, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
            let Some(Value::Array(options)) = schema.get(key) else { continue };
            let mut count = 0;
            for option in options {
                count += usize::from(self.fits(option, value)?);
                if count > most || (count == 1 && key == "anyOf") {
                    break;
                }
            }
            let listed = || format!("of the schemas listed in the '{key}' keyword");
            self.expect(count > 0, || format!("{value} is not valid under any {}", listed()));
            self.expect(count <= most, || format!("{value} is valid under more than one {}", listed()));
        }
        if let Some(refused) = schema.get("not") {
            let fits = self.fits(refused, value)?;
            self.expect(!fits, || format!("{refused} is not allowed for {value}"));
        }
        if let Some(condition) = schema.get("if") {
            let key = if self.fits(condition, value)? { "then" } else { "else" };
            if let Some(branch) = schema.get(key) {
                self.apply(branch, value)?;
            }
        }
        Ok(())
    }
}

fn is_of(name: &str, value: &Value) -> Result<bool, SchemaError> {
    Ok(match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_number().is_some_and(is_whole),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => return Err(SchemaError::Invalid(format!("{:?} is not a type", shorten(name, MAX_CHARS)))),
    })
}

fn invalid(what: &str, value: &Value) -> SchemaError {
    SchemaError::Invalid(format!("{} is not {what}", shorten(&value.to_string(), MAX_CHARS)))
}

fn list<'a>(schema: &'a Object, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn members<'a>(schema: &'a Object, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(key).and_then(Value::as_object).into_iter().flatten()
}
