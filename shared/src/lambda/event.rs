//! An event's HTTP request: REST APIs (format 1), HTTP APIs and function URLs (format 2).
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! Routes know no stage: format 1 names the path without it, and format 2's is taken off.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::LambdaRequest;

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
    match serde_json::from_slice(event) {
        Ok(LambdaRequest::ApiGatewayV1(event)) => first_format(event),
        Ok(LambdaRequest::ApiGatewayV2(event)) => second_format(event),
        Ok(_) | Err(_) => Err(EventError::Unknown),
    }
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
    let stage = event.request_context.stage.as_deref().filter(|stage| *stage != "$default");
    let path = stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(&path);
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
