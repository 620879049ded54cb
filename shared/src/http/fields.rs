//! Reading a JSON object field by field, so that everything that is wrong is told at once, in the words that the
//! contract's validation errors use (those of zod 3).

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{ApiError, ErrorKind};

/// The body as a JSON object.
///
/// # Errors
/// Where it is no JSON, or no object.
pub fn json_object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(invalid(vec![format!("Expected object, received {}", kind(&other))])),
        Err(error) => Err(ApiError::new(ErrorKind::InvalidRequest, "Invalid JSON body")
            .code("invalid_json")
            .details(vec![format!("Invalid JSON at line {} column {}", error.line(), error.column())])),
    }
}

fn invalid(details: Vec<String>) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, "Invalid request body").code("invalid_request").details(details)
}

/// The query's parameters as an object of strings; of several with the same name the first.
#[must_use]
pub fn parameters(query: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        parameters.entry(name).or_insert_with(|| value.into_owned().into());
    }
    parameters
}

/// What is wrong with [`parameters`].
#[must_use]
pub fn in_the_query(error: ApiError) -> ApiError {
    ApiError { message: "Invalid query parameters".into(), ..error }
}

/// The fields of an object, and what is wrong with them.
#[derive(Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    details: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Reads this object.
    #[must_use]
    pub const fn of(object: &'a Map<String, Value>) -> Self {
        Self { object, path: String::new(), details: Vec::new() }
    }

    /// A string that must be there; empty where it is wrong.
    pub fn string(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        if self.object.contains_key(name) {
            return self.optional_string(name, length).unwrap_or_default();
        }
        self.wrong(name, "Required");
        String::new()
    }

    /// A string that may be there.
    pub fn optional_string(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.object.get(name)?;
        let Some(text) = value.as_str() else {
            self.wrong(name, &format!("Expected string, received {}", kind(value)));
            return None;
        };
        let found = text.chars().count();
        if found < *length.start() {
            self.wrong(name, &format!("String must contain at least {} character(s)", length.start()));
        } else if found > *length.end() {
            self.wrong(name, &format!("String must contain at most {} character(s)", length.end()));
        }
        Some(text.to_owned())
    }

    /// One of these words, which must be there; the first one where it is wrong.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        if !self.object.contains_key(name) {
            self.wrong(name, "Required");
        }
        self.optional_word(name, words).or(words.first().copied()).unwrap_or_default()
    }

    /// One of these words, which may be there.
    pub fn optional_word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        match self.object.get(name)? {
            Value::String(text) => match words.iter().find(|word| *word == text) {
                Some(word) => return Some(word),
                None => self.wrong(name, "Invalid enum value"),
            },
            other => self.wrong(name, &format!("Expected string, received {}", kind(other))),
        }
        None
    }

    /// A whole number that may be there.
    pub fn optional_integer(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.object.get(name)?;
        let Some(number) = value.as_f64() else {
            self.wrong(name, &format!("Expected number, received {}", kind(value)));
            return None;
        };
        if number.fract() != 0.0 {
            self.wrong(name, "Expected integer, received float");
        } else if number < f64::from(*range.start()) {
            self.wrong(name, &format!("Number must be greater than or equal to {}", range.start()));
        } else if number > f64::from(*range.end()) {
            self.wrong(name, &format!("Number must be less than or equal to {}", range.end()));
        }
        range.clone().contains(&(number as u32)).then_some(number as u32)
    }

    /// `true` or `false`, which may be there.
    pub fn optional_bool(&mut self, name: &str) -> Option<bool> {
        let value = self.object.get(name)?;
        if !value.is_boolean() {
            self.wrong(name, &format!("Expected boolean, received {}", kind(value)));
        }
        value.as_bool()
    }

    /// A moment as RFC 3339 writes it, which may be there.
    pub fn optional_time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.optional_string(name, 0..=64)?;
        let time = text.parse().ok();
        if time.is_none() {
            self.wrong(name, "Invalid datetime");
        }
        time
    }

    /// A list of strings that may be there, each read by `read`, which says what is wrong with it.
    pub fn optional_strings<T>(
        &mut self,
        name: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let list = self.array(name, most)?;
        let mut items = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            match item.as_str().map(&read) {
                Some(Ok(item)) => items.push(item),
                Some(Err(why)) => self.wrong(&format!("{name}.{index}"), why),
                None => self.wrong(&format!("{name}.{index}"), &format!("Expected string, received {}", kind(item))),
            }
        }
        Some(items)
    }

    /// An object that may be there, of at most so many bytes of JSON.
    pub fn optional_object(&mut self, name: &str, largest: usize) -> Option<Map<String, Value>> {
        let value = self.object.get(name)?;
        let Value::Object(object) = value else {
            self.wrong(name, &format!("Expected object, received {}", kind(value)));
            return None;
        };
        if value.to_string().len() > largest {
            self.wrong(name, &format!("Object must be at most {largest} bytes of JSON"));
        }
        Some(object.clone())
    }

    /// A list of objects that may be there, each read by `read`.
    pub fn optional_list<T>(&mut self, name: &str, most: usize, read: impl Fn(&mut Fields<'_>) -> T) -> Option<Vec<T>> {
        let list = self.array(name, most)?;
        let mut items = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let path = format!("{}{name}.{index}", self.path);
            let Value::Object(object) = item else {
                self.details.push(format!("{path}: Expected object, received {}", kind(item)));
                continue;
            };
            let mut fields = Fields { object, path: format!("{path}."), details: Vec::new() };
            items.push(read(&mut fields));
            self.details.append(&mut fields.details);
        }
        Some(items)
    }

    /// The end of the reading.
    ///
    /// # Errors
    /// Where anything was wrong: all of it.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.details.is_empty() { Ok(()) } else { Err(invalid(self.details)) }
    }

    fn array(&mut self, name: &str, most: usize) -> Option<&'a [Value]> {
        let value = self.object.get(name)?;
        let Value::Array(list) = value else {
            self.wrong(name, &format!("Expected array, received {}", kind(value)));
            return None;
        };
        if list.len() > most {
            self.wrong(name, &format!("Array must contain at most {most} element(s)"));
            return None;
        }
        Some(list)
    }

    /// Notes that a field is wrong in a way that the other methods do not see.
    pub fn wrong(&mut self, name: &str, message: &str) {
        self.details.push(format!("{}{name}: {message}", self.path));
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Vec<String> {
        let object = match json_object(body.as_bytes()) {
            Ok(object) => object,
            Err(error) => return error.details,
        };
        let mut fields = Fields::of(&object);
        fields.string("message", 1..=5);
        fields.optional_string("sessionId", 1..=3);
        fields.optional_object("metadata", 20);
        fields.optional_list("history", 2, |item| {
            (item.word("role", &["user", "assistant"]), item.string("content", 0..=5))
        });
        fields.optional_word("kind", &["server", "widget"]);
        fields.optional_integer("limit", 1..=1000);
        fields.optional_bool("on");
        fields.optional_time("until");
        fields.optional_strings("origins", 2, |text| if text == "x" { Ok(()) } else { Err("Invalid url") });
        fields.finish().err().map(|error| error.details).unwrap_or_default()
    }

    #[test]
    fn what_is_right_has_no_details() {
        assert!(read(r#"{"message":"héllo","extra":1,"history":[{"role":"user","content":""}]}"#).is_empty());
        assert!(read(r#"{"message":"x","kind":"widget","limit":1000,"origins":["x"]}"#).is_empty());
        for time in ["2027-01-31T00:00:00Z", "2027-01-31T00:00:00.000+01:00"] {
            assert!(read(&format!(r#"{{"message":"x","until":"{time}"}}"#)).is_empty(), "{time}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_in_the_contracts_words() {
        for (body, expected) in [
            ("{}", "message: Required"),
            (r#"{"message":""}"#, "message: String must contain at least 1 character(s)"),
            (r#"{"message":"123456"}"#, "message: String must contain at most 5 character(s)"),
            (r#"{"message":null}"#, "message: Expected string, received null"),
            (r#"{"message":"x","sessionId":1}"#, "sessionId: Expected string, received number"),
            (r#"{"message":"x","metadata":[]}"#, "metadata: Expected object, received array"),
            (
                r#"{"message":"x","metadata":{"a":"aaaaaaaaaaaaaaaa"}}"#,
                "metadata: Object must be at most 20 bytes of JSON",
            ),
            (r#"{"message":"x","history":{}}"#, "history: Expected array, received object"),
            (r#"{"message":"x","history":[1]}"#, "history.0: Expected object, received number"),
            (r#"{"message":"x","history":[{},{},{}]}"#, "history: Array must contain at most 2 element(s)"),
            (r#"{"message":"x","history":[{"role":"system","content":""}]}"#, "history.0.role: Invalid enum value"),
            (r#"{"message":"x","history":[{"role":"user"}]}"#, "history.0.content: Required"),
            (r#"{"message":"x","kind":"other"}"#, "kind: Invalid enum value"),
            (r#"{"message":"x","kind":null}"#, "kind: Expected string, received null"),
            (r#"{"message":"x","limit":"1"}"#, "limit: Expected number, received string"),
            (r#"{"message":"x","limit":1.5}"#, "limit: Expected integer, received float"),
            (r#"{"message":"x","limit":0}"#, "limit: Number must be greater than or equal to 1"),
            (r#"{"message":"x","limit":-1e300}"#, "limit: Number must be greater than or equal to 1"),
            (r#"{"message":"x","limit":1001}"#, "limit: Number must be less than or equal to 1000"),
            (r#"{"message":"x","until":"tomorrow"}"#, "until: Invalid datetime"),
            (r#"{"message":"x","on":"true"}"#, "on: Expected boolean, received string"),
            (r#"{"message":"x","until":7}"#, "until: Expected string, received number"),
            (r#"{"message":"x","origins":"x"}"#, "origins: Expected array, received string"),
            (r#"{"message":"x","origins":["x","y"]}"#, "origins.1: Invalid url"),
            (r#"{"message":"x","origins":[7]}"#, "origins.0: Expected string, received number"),
            (r#"{"message":"x","origins":["x","x","x"]}"#, "origins: Array must contain at most 2 element(s)"),
            ("[]", "Expected object, received array"),
            ("{", "Invalid JSON at line 1 column 1"),
        ] {
            assert_eq!(read(body), [expected], "{body}");
        }
        assert_eq!(read(r#"{"sessionId":""}"#).len(), 2);
    }
}
