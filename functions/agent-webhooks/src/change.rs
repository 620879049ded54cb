//! Webhooks: listed, made, read, changed, deleted, and their secrets rotated.

use axum::extract::State;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use shared::app::App;
use shared::dialect;
use shared::dialect::kopern::ErrorResponse;
use shared::http::{self, ApiError, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::id::{TenantId, WebhookId};
use shared::store::{MOST_WEBHOOKS, PreviousSecret, Receiver, Webhook};
use shared::webhook::sign;

use crate::messages::{
    ChangeWebhookRequest, CreateWebhookRequest, DeleteWebhookResponse, Direction, ListWebhooksResponse,
    RotateSecretRequest, RotateSecretResponse, WebhookEntry, WebhookMade, invalid_url,
};
use crate::{exchange, not_found, own_agent, own_webhook, sender};

/// Lists an agent's webhooks, by id: the oldest first. No secret is told.
#[utoipa::path(
    get, path = "/api/agents/{agent_id}/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(("agent_id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, body = ListWebhooksResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn list(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_list(&app, http::named(agent), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_list(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let agent = own_agent(app, exchange, agent).await?;
    let now = app.clock().now_ms();
    let webhooks = agent.webhooks.iter().map(|(id, webhook)| WebhookEntry::of(id, webhook, now)).collect();
    Ok(dialect::json(StatusCode::OK, &ListWebhooksResponse { webhooks }))
}

/// Makes a webhook. Its secret is told in this reply, and never again.
#[utoipa::path(
    post, path = "/api/agents/{agent_id}/webhooks", tag = "webhooks", operation_id = "createWebhook",
    params(("agent_id" = String, Path, description = "The agent's id")),
    request_body = CreateWebhookRequest,
    responses(
        (status = 200, body = WebhookMade),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn create(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_create(&app, http::named(agent), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_create(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let agent = own_agent(app, exchange, agent).await?;
    let request = CreateWebhookRequest::read(exchange.body())?;
    if agent.webhooks.len() >= MOST_WEBHOOKS {
        return Err(full());
    }
    let now = app.clock().now_ms();
    let mut webhook = Webhook { enabled: request.enabled, ..Webhook::sender(request.name, None, now) };
    if request.direction == Direction::Outbound {
        reachable(app, &request.target_url).await?;
        webhook.receiver = Some(Receiver { url: request.target_url, events: request.events, disabled: None });
    }
    let id = WebhookId::generate();
    let secret = secret(request.secret)?;
    webhook.sealed_secret = Some(seal(app, &agent.tenant, (&id, &webhook), &secret).await?);
    if !app.store().put_webhook(&agent.tenant, &agent.id, &id, &webhook).await? {
        return Err(full());
    }
    let made = WebhookMade {
        webhook: WebhookEntry::of(id.as_str(), &webhook, now),
        secret: secret.expose_secret().to_owned(),
    };
    Ok(dialect::json(StatusCode::OK, &made))
}

fn full() -> ApiError {
    let message = format!("An agent has at most {MOST_WEBHOOKS} webhooks.");
    ApiError::new(ErrorKind::Conflict, message).code("webhook_limit_reached")
}

/// Tells of one webhook.
#[utoipa::path(
    get, path = "/api/agents/{agent_id}/webhooks/{webhook_id}", tag = "webhooks", operation_id = "readWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = WebhookEntry),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn read(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_read(&app, http::named(path), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_read(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (_, id, webhook) = own_webhook(app, exchange, path).await?;
    let entry = WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms());
    Ok(dialect::json(StatusCode::OK, &entry))
}

/// Changes a webhook: what is not named stays. Switched on again, a receiver is asked anew.
#[utoipa::path(
    patch, path = "/api/agents/{agent_id}/webhooks/{webhook_id}", tag = "webhooks", operation_id = "changeWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    request_body = ChangeWebhookRequest,
    responses(
        (status = 200, body = WebhookEntry),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn update(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_update(&app, http::named(path), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_update(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, mut webhook) = own_webhook(app, exchange, path).await?;
    let request = ChangeWebhookRequest::read(exchange.body(), &webhook)?;
    let before = webhook.updated_at;
    webhook.name = request.name.unwrap_or(webhook.name);
    webhook.enabled = request.enabled.unwrap_or(webhook.enabled);
    if let Some(receiver) = &mut webhook.receiver {
        if let Some(url) = request.target_url {
            reachable(app, &url).await?;
            receiver.url = url;
        }
        receiver.events = request.events.unwrap_or_else(|| receiver.events.clone());
        if webhook.enabled {
            receiver.disabled = None;
        }
    }
    let webhook = store(app, (&agent.tenant, &agent.id, &id), webhook, before).await?;
    let entry = WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms());
    Ok(dialect::json(StatusCode::OK, &entry))
}

/// Deletes a webhook. What was on its way to it is not sent any more.
#[utoipa::path(
    delete, path = "/api/agents/{agent_id}/webhooks/{webhook_id}", tag = "webhooks", operation_id = "deleteWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = DeleteWebhookResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn remove(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_remove(&app, http::named(path), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_remove(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, _) = own_webhook(app, exchange, path).await?;
    if !app.store().delete_webhook(&agent.tenant, &agent.id, &id).await? {
        return Err(not_found());
    }
    Ok(dialect::json(StatusCode::OK, &DeleteWebhookResponse { success: true }))
}

/// Puts a new secret in the place of the old one, which holds for a while yet. It is told in this reply, and never again.
#[utoipa::path(
    post, path = "/api/agents/{agent_id}/webhooks/{webhook_id}/secret", tag = "webhooks", operation_id = "rotateWebhookSecret",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    request_body = Option<RotateSecretRequest>,
    responses(
        (status = 200, body = RotateSecretResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn rotate(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    let mut exchange = match exchange(request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer_rotate(&app, http::named(path), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer_rotate(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, mut webhook) = own_webhook(app, exchange, path).await?;
    let request = RotateSecretRequest::read(exchange.body())?;
    let before = webhook.updated_at;
    let secret = secret(request.secret)?;
    let sealed = seal(app, &agent.tenant, (&id, &webhook), &secret).await?;
    let until = app.clock().now_ms() + i64::from(request.overlap_seconds) * 1000;
    webhook.previous = webhook.sealed_secret.replace(sealed).map(|sealed| PreviousSecret { sealed, until });
    store(app, (&agent.tenant, &agent.id, &id), webhook, before).await?;
    let response = RotateSecretResponse::new(secret.expose_secret().to_owned(), until);
    Ok(dialect::json(StatusCode::OK, &response))
}

/// Stores a webhook that was read as it stood at `before`.
async fn store(
    app: &App,
    (tenant, agent, id): (&TenantId, &shared::id::AgentId, &WebhookId),
    mut webhook: Webhook,
    before: i64,
) -> Result<Webhook, ApiError> {
    webhook.updated_at = app.clock().now_ms().max(before + 1);
    if app.store().replace_webhook(tenant, agent, id, &webhook, before).await? {
        Ok(webhook)
    } else {
        let message = "The webhook was changed by another request, or deleted. Please try again.";
        Err(ApiError::new(ErrorKind::Conflict, message).code("webhook_changed"))
    }
}

/// The secret that was given, or a new one.
fn secret(given: Option<String>) -> Result<SecretString, ApiError> {
    match given {
        Some(given) => Ok(given.into()),
        None => sign::generate().ok_or_else(|| ApiError::internal("the system gives no randomness")),
    }
}

async fn seal(
    app: &App,
    tenant: &TenantId,
    (id, webhook): (&WebhookId, &Webhook),
    secret: &SecretString,
) -> Result<String, ApiError> {
    app.sealer().await?.seal(tenant, &webhook.purpose(id.as_str()), secret).map_err(ApiError::internal)
}

/// Refuses an address that events could not be sent to.
async fn reachable(app: &App, url: &str) -> Result<(), ApiError> {
    match sender(app)?.objection(url).await {
        Some(objection) => Err(invalid_url(&objection)),
        None => Ok(()),
    }
}
