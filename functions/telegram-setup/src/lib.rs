//! `/api/telegram/setup`: ties a bot to an agent (POST), tells which are (GET), and unties them (DELETE), for the people
//! who own the agent. They come with an ID token.
//!
//! A bot's connection is stored before Telegram is told of its webhook, and deleted after Telegram has forgotten it: a
//! call that was cut short is made whole by making it again.

mod messages;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use shared::app::App;
use shared::channel::telegram::{self, BotApi, TelegramError, WebhookSecret};
use shared::channel::{self, Platform};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request, StatusCode};
use shared::id::{AgentId, TenantId};
use shared::store::ConnectionItem;
use utoipa::OpenApi;

use messages::{
    ConnectBotRequest, ConnectBotResponse, DisconnectBotQuery, DisconnectBotResponse, ListBotsQuery, ListBotsResponse,
};

const FUNCTION: &str = "telegram-setup";
const PATH: &str = "/api/telegram/setup";
const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const WEBHOOK: &str = "/api/telegram/webhook";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list, connect, disconnect))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(list).post(connect).delete(disconnect).fallback(other_method))
}

/// Lists the bots that an agent answers for. No token is told.
#[utoipa::path(
    get, path = PATH, tag = "telegram", operation_id = "listTelegramBots",
    params(ListBotsQuery),
    responses(
        (status = 200, body = ListBotsResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn list(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_list(&app, exchange).await
    })
    .await
}

async fn answer_list(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let query = ListBotsQuery::read(exchange.query())?;
    let tenant = app.users().tenant(&user).await?;
    let bots = bots(app, exchange, &tenant, &query.agent_id).await?;
    Ok(dialect::json(StatusCode::OK, &ListBotsResponse::from(bots)))
}

/// Ties a bot to an agent: from now on the agent answers what people write to the bot. A bot that is tied already gets a
/// new secret, and answers for this agent from now on.
#[utoipa::path(
    post, path = PATH, tag = "telegram", operation_id = "connectTelegramBot",
    request_body = ConnectBotRequest,
    responses(
        (status = 200, body = ConnectBotResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn connect(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_connect(&app, exchange).await
    })
    .await
}

async fn answer_connect(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let request = ConnectBotRequest::read(exchange.body())?;
    let tenant = app.users().tenant(&user).await?;
    exchange.own_agent(app.store(), &tenant, &request.agent_id).await?;
    let url = exchange.public_url(app.config().public_url.as_ref(), WEBHOOK)?;
    let (token, now) = (request.bot_token, app.clock().now_ms());
    let before = app.store().connection(Platform::Telegram, token.bot()).await?;
    if before.as_ref().is_some_and(|before| before.tenant != tenant) {
        return Err(taken());
    }
    if before.is_none() {
        channel::room(app.store(), &tenant, Platform::Telegram, token.bot(), now).await??;
    }
    let api = BotApi::new(app.client().clone(), app.config().base_urls.get("telegram"), token.clone());
    let bot = api.me().await.map_err(unknown_bot)?;
    let secret = WebhookSecret::generate(token.bot())
        .ok_or_else(|| ApiError::new(ErrorKind::Internal, "Something went wrong on our side."))?;
    let mut connection =
        telegram::connection(&app.sealer().await?, (&tenant, &request.agent_id), (&bot, &token), &secret, now)
            .map_err(ApiError::internal)?;
    connection.created_at = before.as_ref().map_or(now, |before| before.created_at);
    if !app.store().put_connection(&connection).await? {
        return Err(taken());
    }
    if let Err(error) = api.set_webhook(&url, &secret).await {
        if before.is_none() && matches!(error, TelegramError::Refused { .. }) {
            app.store().delete_connection(&tenant, Platform::Telegram, token.bot()).await?;
        }
        return Err(told(error));
    }
    Ok(dialect::json(StatusCode::OK, &ConnectBotResponse::new(&connection, &bot, &url)))
}

/// Unties an agent's bot, or all of its bots: Telegram is told to send nothing any more, and their tokens are deleted.
#[utoipa::path(
    delete, path = PATH, tag = "telegram", operation_id = "disconnectTelegramBot",
    params(DisconnectBotQuery),
    responses(
        (status = 200, body = DisconnectBotResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn disconnect(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_disconnect(&app, exchange).await
    })
    .await
}

async fn answer_disconnect(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let query = DisconnectBotQuery::read(exchange.query(), exchange.body())?;
    let tenant = app.users().tenant(&user).await?;
    let mut bots = bots(app, exchange, &tenant, &query.agent_id).await?;
    bots.retain(|bot| query.bot_id.as_ref().is_none_or(|id| *id == bot.external));
    if bots.is_empty() {
        let message = "No such bot is connected to the agent.";
        return Err(ApiError::new(ErrorKind::NotFound, message).code("bot_not_found"));
    }
    for bot in &bots {
        forget(app, bot).await?;
        app.store().delete_connection(&tenant, Platform::Telegram, &bot.external).await?;
    }
    Ok(dialect::json(StatusCode::OK, &DisconnectBotResponse { success: true }))
}

/// Has Telegram send nothing any more. A bot whose token does not hold any more is forgotten already.
async fn forget(app: &App, bot: &ConnectionItem) -> Result<(), ApiError> {
    let purpose = ConnectionItem::purpose(bot.platform, &bot.external);
    let opened = app.sealer().await?.open(&bot.tenant, &purpose, &bot.sealed);
    let Some(api) = opened.ok().and_then(|credentials| telegram::open(app, &credentials).ok()) else {
        tracing::warn!(bot = bot.external, "a bot's token does not open: its webhook is left as it is");
        return Ok(());
    };
    match api.delete_webhook().await {
        Ok(()) | Err(TelegramError::Refused { .. }) => Ok(()),
        Err(error) => Err(told(error)),
    }
}

/// The agent's bots, where the agent is the tenant's own.
async fn bots(
    app: &App,
    exchange: &mut Exchange,
    tenant: &TenantId,
    agent: &AgentId,
) -> Result<Vec<ConnectionItem>, ApiError> {
    exchange.own_agent(app.store(), tenant, agent).await?;
    let mut connections = app.store().connections(tenant, agent).await?;
    connections.retain(|connection| connection.platform == Platform::Telegram);
    Ok(connections)
}

fn taken() -> ApiError {
    ApiError::new(ErrorKind::Conflict, "The bot is connected by somebody else.").code("bot_taken")
}

fn unknown_bot(error: TelegramError) -> ApiError {
    match error {
        TelegramError::Refused { code: 401 | 404, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, "Telegram does not know the bot token.").code("invalid_bot_token")
        }
        error => told(error),
    }
}

fn told(error: TelegramError) -> ApiError {
    match error {
        TelegramError::Refused { description, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, format!("Telegram refuses: {description}"))
                .code("telegram_refused")
        }
        TelegramError::Busy(wait) => unavailable().retry_after(wait),
        error => unavailable().because(error),
    }
}

fn unavailable() -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "Telegram does not answer. Please try again.").code("telegram_unavailable")
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, METHODS).await
}
