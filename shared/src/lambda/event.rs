//! An event's HTTP request: REST APIs (format 1), HTTP APIs and function URLs (format 2).
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! Routes know no stage: format 1 names the path without it, and format 2's is taken off.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use lambda_http::RequestExt as _;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::RequestContext;

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
    #[error("the event's path or query cannot be used")]
    Target(#[from] http::Error),
}

/// The largest event, in bytes: Lambda's own limit is 6 MB.
pub(super) const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// Reads an event.
pub(super) fn read(event: &[u8]) -> Result<Request<Body>, EventError> {
    if let Ok(event) = serde_json::from_slice(event) {
        return first_format(event);
    }
    serde_json::from_slice(event).map_err(|_| EventError::Unknown).and_then(second_format)
}

fn first_format(event: ApiGatewayProxyRequest) -> Result<Request<Body>, EventError> {
    let path = event.path.ok_or(EventError::Unknown)?;
    let (many, single) = (&event.multi_value_query_string_parameters, &event.query_string_parameters);
    let query = encode(if many.is_empty() { single } else { many });
    let mut headers = event.multi_value_headers;
    for (name, value) in &event.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    request(event.http_method, &path, &query, headers, event.body, event.is_base64_encoded)
}

fn second_format(event: ApiGatewayV2httpRequest) -> Result<Request<Body>, EventError> {
    let path = event.raw_path.ok_or(EventError::Unknown)?;
    let path = without_stage(&path, event.request_context.stage.as_deref());
    let query = event.raw_query_string.unwrap_or_else(|| encode(&event.query_string_parameters));
    let mut headers = event.headers;
    let cookies = event.cookies.unwrap_or_default().join("; ");
    if !cookies.is_empty()
        && let Ok(cookies) = HeaderValue::from_str(&cookies)
    {
        headers.insert(header::COOKIE, cookies);
    }
    request(event.request_context.http.method, path, &query, headers, event.body, event.is_base64_encoded)
}

fn request(
    method: Method,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: Option<String>,
    is_base64: bool,
) -> Result<Request<Body>, EventError> {
    let body = match body {
        None => Body::empty(),
        Some(text) if is_base64 => Body::from(STANDARD.decode(text)?),
        Some(text) => Body::from(text),
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
fn encode(parameters: &QueryMap) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters.iter()).finish()
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
