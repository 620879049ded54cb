//! One line a request. The query, which may hold a key, is left out; so are bodies and headers.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// The longest path that is logged, in characters.
const LONGEST_PATH: usize = 200;

/// Answers a request and logs it when its reply begins.
pub(crate) async fn requests(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(LONGEST_PATH).collect();
    let start = Instant::now();
    let response = next.run(request).await;
    let ms = start.elapsed().as_millis();
    let status = response.status().as_u16();
    let request = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("-");
    tracing::info!(%method, path, status, ms, request, "request");
    response
}
