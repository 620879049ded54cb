//! `POST /api/telegram/webhook`: takes what Telegram sends. A message is queued, and answered later.
//! <https://core.telegram.org/bots/api#setwebhook>

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use shared::app::App;
use shared::channel::telegram::{About, WebhookSecret, incoming};
use shared::channel::{Incoming, Platform};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request, StatusCode};
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "telegram-webhook";
const PATH: &str = "/api/telegram/webhook";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(receive))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(receive).fallback(other_method))
}

/// That an update is taken.
#[derive(Serialize, ToSchema)]
struct TelegramWebhookResponse {
    /// Always `true`.
    ok: bool,
}

/// Takes an update from Telegram. What asks for no answer is taken too, and passed over.
#[utoipa::path(
    post, path = PATH, tag = "telegram", operation_id = "receiveTelegramUpdate",
    params(("X-Telegram-Bot-Api-Secret-Token" = String, Header, description = "The secret that Telegram was given when the bot was connected")),
    request_body(content = Object, description = "An update of the Bot API"),
    responses(
        (status = 200, body = TelegramWebhookResponse), (status = 400, body = ErrorResponse),
        (status = 401, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn receive(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::None), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    if let Some(incoming) = read(app, exchange).await? {
        let message = incoming.to_message().map_err(ApiError::internal)?;
        app.channels().send(&message).await.map_err(busy)?;
    }
    Ok(dialect::json(StatusCode::OK, &TelegramWebhookResponse { ok: true }))
}

/// The message of an update that is Telegram's, for a bot that is connected.
async fn read(app: &App, exchange: &mut Exchange) -> Result<Option<Incoming>, ApiError> {
    let header = exchange.header("x-telegram-bot-api-secret-token").map(|value| value.as_bytes()).unwrap_or_default();
    let bot = WebhookSecret::bot_of(header).ok_or_else(refused)?;
    let connection = app.store().connection(Platform::Telegram, bot).await?.ok_or_else(refused)?;
    let about = About::of(&connection).map_err(ApiError::internal)?;
    if !WebhookSecret::holds(header, &about.secret_hash) {
        return Err(refused());
    }
    exchange.about_agent(&connection.agent);
    let addressee = about.addressee(&connection).map_err(ApiError::internal)?;
    Ok(incoming(exchange.body(), addressee, app.clock().now_ms()).unwrap_or_else(|error| {
        // Telegram would send it again for a day, and hold the chat's other messages back.
        tracing::warn!(line = error.line(), column = error.column(), "an update of Telegram cannot be read");
        None
    }))
}

fn refused() -> ApiError {
    ApiError::new(ErrorKind::Unauthenticated, "Missing or invalid secret token.").code("invalid_secret_token")
}

fn busy(error: shared::queue::QueueError) -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "The service is busy. Please try again.").code("unavailable").because(error)
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "POST").await
}
