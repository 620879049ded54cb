//! `POST /v1/apps/{app_id}/execute/stream`: a message for an app in, its answer out as it comes.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use shared::app::App;
use shared::dialect::Dialect;
use shared::dialect::app::{ErrorResponse, ExecuteRequest, frames};
use shared::http::{self, ApiError, Cors, Exchange, InPath, Request};
use shared::project;
use utoipa::OpenApi;

const FUNCTION: &str = "app-execute-stream";
const PATH: &str = "/v1/apps/{app_id}/execute/stream";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(stream))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(stream).fallback(other_method))
}

/// Sends a message to the app and streams its answer: `start`, then `token` and `tool_call`, then `done` or `error`.
#[utoipa::path(
    post, path = PATH, tag = "execute", operation_id = "executeStream",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body = ExecuteRequest,
    responses(
        (status = 200, content_type = "text/event-stream", body = http::Frame),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
async fn stream(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::App, FUNCTION, Cors::None), request, async |exchange| {
        answer(&app, &http::named(id), exchange).await
    })
    .await
}

async fn answer(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (begun, events) = project::execute(app, exchange, id).await?;
    Ok(http::stream(frames(begun, events)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::App, FUNCTION, Cors::None), request, "POST").await
}
