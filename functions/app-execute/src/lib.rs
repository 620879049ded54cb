//! `POST /v1/apps/{app_id}/execute`: a message for an app in, the whole answer out. Every other path below `/v1` that is
//! nothing of ours ends here too.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, post};
use shared::app::App;
use shared::dialect::app::{ErrorResponse, ExecuteRequest, ExecuteResponse};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::{project, turn};
use utoipa::OpenApi;

const FUNCTION: &str = "app-execute";
const PATH: &str = "/v1/apps/{app_id}/execute";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(execute))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(execute).fallback(other_method)).route("/v1/{*rest}", any(other_path))
}

/// Sends a message to the app and waits for its answer.
#[utoipa::path(
    post, path = PATH, tag = "execute", operation_id = "execute",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body = ExecuteRequest,
    responses(
        (status = 200, body = ExecuteResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
async fn execute(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::App, FUNCTION, Cors::None), request, async |exchange| {
        answer(&app, &http::named(id), exchange).await
    })
    .await
}

async fn answer(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (_, events) = project::execute(app, exchange, id).await?;
    let answer = turn::last(events).await?;
    Ok(dialect::json(StatusCode::OK, &ExecuteResponse::from(*answer)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::App, FUNCTION, Cors::None), request, "POST").await
}

async fn other_path(request: Request) -> Response {
    match Exchange::read(Dialect::App, FUNCTION, Cors::None, request).await {
        Ok(exchange) => {
            exchange.reply(Err(ApiError::new(ErrorKind::NotFound, "Resource not found").code("unknown_url")))
        }
        Err(reply) => reply,
    }
}
