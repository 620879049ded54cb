//! Webhooks: listed, made, read, changed, deleted, and their secrets rotated.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use secrecy::ExposeSecret;
use shared::app::App;
use shared::dialect;
use shared::dialect::kopern::ErrorResponse;
use shared::http::{self, ApiError, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::store::{MOST_WEBHOOKS, Receiver, Webhook};
use shared::webhook::{ManageError, Webhooks};

use crate::messages::{
    ChangeWebhookRequest, CreateWebhookRequest, DeleteWebhookResponse, Direction, ListWebhooksResponse,
    RotateSecretRequest, RotateSecretResponse, WebhookEntry, WebhookMade, invalid_url,
};
use crate::{DOOR, not_found, own_agent, own_webhook};

/// Lists an agent's webhooks, by id: the oldest first. No secret is told.
#[utoipa::path(
    get, path = crate::WEBHOOKS, tag = "webhooks", operation_id = "listWebhooks",
    params(("agent_id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, body = ListWebhooksResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn list(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_list(&app, http::named(agent), exchange).await).await
}

async fn answer_list(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let agent = own_agent(app, exchange, agent).await?;
    let now = app.clock().now_ms();
    let webhooks = agent.webhooks.iter().map(|(id, webhook)| WebhookEntry::of(id, webhook, now)).collect();
    Ok(dialect::json(StatusCode::OK, &ListWebhooksResponse { webhooks }))
}

/// Makes a webhook. Its secret is told in this reply, and never again.
#[utoipa::path(
    post, path = crate::WEBHOOKS, tag = "webhooks", operation_id = "createWebhook",
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
    Exchange::answer(DOOR, request, async |exchange| answer_create(&app, http::named(agent), exchange).await).await
}

async fn answer_create(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let agent = own_agent(app, exchange, agent).await?;
    let request = CreateWebhookRequest::read(exchange.body())?;
    if agent.webhooks.len() >= MOST_WEBHOOKS {
        return Err(told(ManageError::Full));
    }
    let now = app.clock().now_ms();
    let mut webhook = Webhook { enabled: request.enabled, ..Webhook::sender(request.name, None, now) };
    if request.direction == Direction::Outbound {
        webhook.receiver = Some(Receiver { url: request.target_url, events: request.events, disabled: None });
    }
    let added = Webhooks::of(app, &agent.tenant, &agent.id).add(webhook, request.secret).await;
    let (id, webhook, secret) = added.map_err(told)?;
    let made = WebhookMade {
        webhook: WebhookEntry::of(id.as_str(), &webhook, now),
        secret: secret.expose_secret().to_owned(),
    };
    Ok(dialect::json(StatusCode::OK, &made))
}

/// A failure in this endpoint's words.
fn told(error: ManageError) -> ApiError {
    match error {
        ManageError::Full => {
            let message = format!("An agent has at most {MOST_WEBHOOKS} webhooks.");
            ApiError::new(ErrorKind::Conflict, message).code("webhook_limit_reached")
        }
        ManageError::Unreachable(why) => invalid_url(&why),
        other => other.into(),
    }
}

/// Tells of one webhook.
#[utoipa::path(
    get, path = crate::WEBHOOK, tag = "webhooks", operation_id = "readWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = WebhookEntry),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn read(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_read(&app, http::named(path), exchange).await).await
}

async fn answer_read(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (_, id, webhook) = own_webhook(app, exchange, path).await?;
    let entry = WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms());
    Ok(dialect::json(StatusCode::OK, &entry))
}

/// Changes a webhook: what is not named stays. Switched on again, a receiver is asked anew.
#[utoipa::path(
    patch, path = crate::WEBHOOK, tag = "webhooks", operation_id = "changeWebhook",
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
    Exchange::answer(DOOR, request, async |exchange| answer_update(&app, http::named(path), exchange).await).await
}

async fn answer_update(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, mut webhook) = own_webhook(app, exchange, path).await?;
    let request = ChangeWebhookRequest::read(exchange.body(), &webhook)?;
    let (before, webhooks) = (webhook.updated_at, Webhooks::of(app, &agent.tenant, &agent.id));
    webhook.name = request.name.unwrap_or(webhook.name);
    webhook.enabled = request.enabled.unwrap_or(webhook.enabled);
    if let Some(receiver) = &mut webhook.receiver {
        if let Some(url) = request.target_url {
            webhooks.check(&url).await.map_err(told)?;
            receiver.url = url;
        }
        receiver.events = request.events.unwrap_or_else(|| receiver.events.clone());
        if webhook.enabled {
            receiver.disabled = None;
        }
    }
    let webhook = webhooks.replace(&id, webhook, before).await?;
    let entry = WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms());
    Ok(dialect::json(StatusCode::OK, &entry))
}

/// Deletes a webhook. What was on its way to it is not sent any more.
#[utoipa::path(
    delete, path = crate::WEBHOOK, tag = "webhooks", operation_id = "deleteWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = DeleteWebhookResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn remove(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_remove(&app, http::named(path), exchange).await).await
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
    post, path = crate::SECRET, tag = "webhooks", operation_id = "rotateWebhookSecret",
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
    Exchange::answer(DOOR, request, async |exchange| answer_rotate(&app, http::named(path), exchange).await).await
}

async fn answer_rotate(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, webhook) = own_webhook(app, exchange, path).await?;
    let request = RotateSecretRequest::read(exchange.body())?;
    let overlap = Duration::from_secs(request.overlap_seconds.into());
    let webhooks = Webhooks::of(app, &agent.tenant, &agent.id);
    let (secret, until) = webhooks.rotate(&id, webhook, request.secret, overlap).await?;
    let response = RotateSecretResponse::new(secret.expose_secret().to_owned(), until);
    Ok(dialect::json(StatusCode::OK, &response))
}
