//! `/api/mcp/keys`: keys, made (POST), listed (GET), rotated (PUT) and deleted (DELETE) by the people who own them. They
//! come with an ID token, not with a key.
//!
//! An `Idempotency-Key` means nothing here: to answer a repeated request, the key's text would have to be kept. A key
//! whose reply was lost is deleted, or rotated.

mod messages;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use shared::app::App;
use shared::auth::{Keyring, NewKey};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, Exchange, Request, StatusCode};
use shared::id::{AgentId, TenantId};
use shared::limit::Plan;
use utoipa::OpenApi;

use messages::{
    CreateKeyRequest, CreateKeyResponse, DeleteKeyQuery, DeleteKeyResponse, ListKeysQuery, ListKeysResponse,
    RotateKeyRequest, RotateKeyResponse,
};

const FUNCTION: &str = "mcp-keys";
const PATH: &str = "/api/mcp/keys";
const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list, create, rotate, delete))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(list).post(create).put(rotate).delete(delete).fallback(other_method))
}

/// Lists an agent's keys, the oldest first, those that do not work any more too. No key is told.
#[utoipa::path(
    get, path = PATH, tag = "keys",
    params(ListKeysQuery),
    responses(
        (status = 200, body = ListKeysResponse),
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
    let query = ListKeysQuery::read(exchange.query())?;
    let tenant = app.users().tenant(&user).await?;
    let (agent, keyring) = keyring(app, exchange, tenant, query.agent_id).await?;
    let keys = keyring.list(&agent).await?;
    Ok(dialect::json(StatusCode::OK, &ListKeysResponse::from(keys)))
}

/// Makes a key for an agent. Its text is told in this reply, and never again.
#[utoipa::path(
    post, path = PATH, tag = "keys",
    request_body = CreateKeyRequest,
    responses(
        (status = 200, body = CreateKeyResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn create(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_create(&app, exchange).await
    })
    .await
}

async fn answer_create(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let request = CreateKeyRequest::read(exchange.body(), app.clock().now())?;
    let tenant = app.users().tenant(&user).await?;
    let (agent, keyring) = keyring(app, exchange, tenant.clone(), request.agent_id).await?;
    let plan = Plan::of(app.store().tenant(&tenant).await?.as_ref());
    let new = NewKey {
        home: (&agent).into(),
        kind: request.kind,
        name: request.name,
        description: request.description,
        scopes: Vec::new(),
        expires_at: request.expires_at,
        origins: request.allowed_origins,
        requests_per_minute: request.rate_limit_per_minute,
    };
    let (plain, key) = keyring.create_within(new, plan.connectors()).await?;
    let response = CreateKeyResponse {
        server_id: key.connector.to_string(),
        api_key: plain.reveal().to_owned(),
        api_key_prefix: key.prefix,
    };
    Ok(dialect::json(StatusCode::OK, &response))
}

/// Puts a new key in the place of one. The old one stops to work at once, or after a grace. The server's id stays.
#[utoipa::path(
    put, path = PATH, tag = "keys",
    request_body = RotateKeyRequest,
    responses(
        (status = 200, body = RotateKeyResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn rotate(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_rotate(&app, exchange).await
    })
    .await
}

async fn answer_rotate(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let request = RotateKeyRequest::read(exchange.body())?;
    let tenant = app.users().tenant(&user).await?;
    let (agent, keyring) = keyring(app, exchange, tenant, request.agent_id).await?;
    let grace = Duration::from_secs(request.grace_seconds.into());
    let (plain, key) = keyring.rotate_connector(&agent, &request.server_id, grace).await?;
    let response = RotateKeyResponse { api_key: plain.reveal().to_owned(), api_key_prefix: key.prefix };
    Ok(dialect::json(StatusCode::OK, &response))
}

/// Stops a key from working, at once and for good, and those before it whose grace has not ended.
#[utoipa::path(
    delete, path = PATH, tag = "keys",
    params(DeleteKeyQuery),
    responses(
        (status = 200, body = DeleteKeyResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn delete(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_delete(&app, exchange).await
    })
    .await
}

async fn answer_delete(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let query = DeleteKeyQuery::read(exchange.query())?;
    let tenant = app.users().tenant(&user).await?;
    let (agent, keyring) = keyring(app, exchange, tenant, query.agent_id).await?;
    keyring.delete_connector(&agent, &query.server_id).await?;
    Ok(dialect::json(StatusCode::OK, &DeleteKeyResponse { success: true }))
}

/// The tenant's keys, where the agent is the tenant's own; to anybody else, it does not exist.
async fn keyring(
    app: &App,
    exchange: &mut Exchange,
    tenant: TenantId,
    agent: AgentId,
) -> Result<(AgentId, Keyring), ApiError> {
    exchange.own_agent(app.store(), &tenant, &agent).await?;
    Ok((agent, Keyring::new(app.store().clone(), app.clock().clone(), tenant)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, METHODS).await
}
