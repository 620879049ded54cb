//! `GET /api/health`: whether the service is up.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use shared::app::App;
use shared::dialect::{self, Dialect};
use shared::http::{Cors, Exchange, Request, StatusCode};
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "health";
const PATH: &str = "/api/health";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(health))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(health).fallback(method_not_allowed))
}

/// The service is up.
#[derive(Debug, Serialize, ToSchema)]
struct HealthResponse {
    /// Always `ok`.
    status: &'static str,
    /// The time of the answer, RFC 3339 with milliseconds.
    timestamp: String,
}

/// Says that the service is up.
#[utoipa::path(get, path = PATH, tag = "health", operation_id = "getHealth", security(()), responses((status = 200, body = HealthResponse)))]
async fn health(State(app): State<App>, request: Request) -> Response {
    let exchange = match Exchange::read(Dialect::Kopern, FUNCTION, Cors::None, request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let timestamp = app.clock().now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    exchange.reply(Ok(dialect::json(StatusCode::OK, &HealthResponse { status: "ok", timestamp })))
}

async fn method_not_allowed(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "GET").await
}
