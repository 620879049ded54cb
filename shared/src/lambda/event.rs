//! An event's HTTP request: REST APIs (format 1), HTTP APIs and function URLs (format 2).
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! Routes know no stage: format 1 names the path without it, and format 2's is taken off.

use std::fmt;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// An event that is no HTTP request.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    /// No JSON, or of a shape that is not known.
    #[error("the event is no HTTP request of API Gateway or of a function URL")]
    Unknown,
    /// Larger than any that Lambda sends.
    #[error("the event is larger than {LARGEST_EVENT} bytes")]
    TooLarge,
    /// The body is not in the encoding that it says.
    #[error("the event's body is no base64")]
    Body(#[from] base64::DecodeError),
    /// The parts make no request.
    #[error("the event's method, path, query or headers cannot be used")]
    Parts(#[from] http::Error),
}

/// The largest event, in bytes: Lambda's own limit is 6 MB.
pub(super) const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// What is read of an event: format 1 has a `path`, format 2 a `rawPath`. (`aws_lambda_events` reads all of it, and each
/// header several times, which took a tenth of what a chat allocates.)
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    multi_value_headers: Pairs,
    #[serde(default)]
    query_string_parameters: Pairs,
    #[serde(default)]
    multi_value_query_string_parameters: Pairs,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    request_context: Option<Context>,
}

#[derive(Deserialize)]
struct Context {
    stage: Option<String>,
    http: Option<Http>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Names with their values, in the order in which they stand: an object whose values are texts or lists of texts.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names with texts")
    }

    fn visit_unit<E: Error>(self) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::with_capacity(16);
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(Values(name, &mut pairs))?;
        }
        Ok(Pairs(pairs))
    }
}

/// The values of a name.
struct Values<'a>(String, &'a mut Vec<(String, String)>);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.1.push((self.0, value.to_owned()));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            self.1.push((self.0.clone(), value));
        }
        Ok(())
    }
}

/// Reads an event.
pub(super) fn read(event: &[u8]) -> Result<Request<Body>, EventError> {
    let event: Event = serde_json::from_slice(event).map_err(|_| EventError::Unknown)?;
    let mut headers = headers(event.multi_value_headers, event.headers)?;
    let body = (event.body, event.is_base64_encoded.unwrap_or_default());
    if let Some(path) = event.path {
        let (many, single) = (event.multi_value_query_string_parameters, event.query_string_parameters);
        let query = encode(&if many.0.is_empty() { single } else { many });
        return request(&event.http_method.ok_or(EventError::Unknown)?, &path, &query, headers, body);
    }
    let context = event.request_context.ok_or(EventError::Unknown)?;
    let method = context.http.ok_or(EventError::Unknown)?.method;
    let path = event.raw_path.ok_or(EventError::Unknown)?;
    let path = without_stage(&path, context.stage.as_deref());
    let query = event.raw_query_string.unwrap_or_else(|| encode(&event.query_string_parameters));
    let cookies = event.cookies.unwrap_or_default().join("; ");
    if !cookies.is_empty()
        && let Ok(cookies) = HeaderValue::from_str(&cookies)
    {
        headers.insert(header::COOKIE, cookies);
    }
    request(&method, path, &query, headers, body)
}

/// A header's values, or its only one. An event may have more headers than fit into a map.
fn headers(many: Pairs, single: Pairs) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::try_with_capacity(many.0.len().max(single.0.len()))?;
    for (name, value) in many.0 {
        headers.try_append(name.parse::<HeaderName>()?, value.try_into()?)?;
    }
    for (name, value) in single.0 {
        let name = name.parse::<HeaderName>()?;
        if !headers.contains_key(&name) {
            headers.try_insert(name, value.try_into()?)?;
        }
    }
    Ok(headers)
}

fn request(
    method: &str,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: (Option<String>, bool),
) -> Result<Request<Body>, EventError> {
    let body = match body {
        (None, _) => Body::empty(),
        (Some(text), true) => Body::from(STANDARD.decode(text)?),
        (Some(text), false) => Body::from(text),
    };
    let mut target = escape(path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let mut request = Request::builder().method(method).uri(target).body(body)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What a request that the stock runtime read is after, without the stage that it puts before the path.
pub(super) fn target(request: &lambda_http::Request) -> Option<Uri> {
    let path = match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => without_stage(request.raw_http_path(), context.stage.as_deref()),
        _ => request.raw_http_path(),
    };
    let target = match request.uri().query() {
        Some(query) => format!("{}?{query}", escape(path)),
        None => escape(path),
    };
    target.parse().ok()
}

/// The path of format 2 without the stage, which stands in it unless it is the default one.
fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    stage
        .filter(|stage| *stage != "$default")
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path)
}

/// The decoded parameters of format 1 as a query again.
fn encode(parameters: &Pairs) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters.0).finish()
}

/// The path with what may not stand in one escaped; what is escaped already stays. Dots are not resolved.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-3.3>
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        escaped.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex::encode_upper([byte]));
        }
    }
    escaped
}
