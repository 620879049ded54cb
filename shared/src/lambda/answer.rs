//! A request's reply, also where the handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt;

use crate::dialect;
use crate::id::RequestId;

/// Lets the router answer. A panic becomes a 500, and the next request is served.
pub(super) async fn answer(router: Router, request: Request<Body>) -> Response {
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => broken(panic),
    }
}

/// The reply in a shape that no dialect owns, as nobody knows what the handler was about.
fn broken(panic: Box<dyn Any + Send>) -> Response {
    forget(panic);
    let id = RequestId::generate();
    tracing::error!(request = id.as_str(), "the handler panicked");
    let body = json!({"error": {"message": "Something went wrong on our side.", "type": "server_error", "code": "internal_error"}});
    let mut response = dialect::json(StatusCode::INTERNAL_SERVER_ERROR, &body);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Drops what a panic carried, unread: it may quote what a user wrote. A payload can panic once more when it is dropped.
pub(super) fn forget(panic: Box<dyn Any + Send>) {
    let _again = std::panic::catch_unwind(AssertUnwindSafe(|| drop(panic)));
}

/// Logs panics by their place alone, in place of the standard hook, which would print what they say.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}
