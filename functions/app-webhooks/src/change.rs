//! Webhooks: listed, made, read, changed, deleted, and their secrets rotated.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use secrecy::ExposeSecret;
use shared::app::App;
use shared::clock::iso_seconds;
use shared::dialect;
use shared::dialect::app::ErrorResponse;
use shared::http::{self, ApiError, Exchange, InPath, Request, StatusCode};
use shared::store::{Receiver, Webhook};
use shared::webhook::Webhooks;

use crate::messages::{
    ChangeWebhookRequest, CreateWebhookRequest, DeleteWebhookResponse, ListWebhooksResponse, RotateSecretRequest,
    RotateSecretResponse, WebhookEntry, WebhookMade,
};
use crate::{DOOR, not_found, own_app, own_webhook};

/// Lists the app's webhooks, the oldest first. No secret is told.
#[utoipa::path(
    get, path = crate::WEBHOOKS, tag = "webhooks", operation_id = "listWebhooks",
    params(("app_id" = String, Path, description = "The app's id")),
    responses(
        (status = 200, body = ListWebhooksResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn list(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_list(&app, &http::named(id), exchange).await).await
}

async fn answer_list(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let project = own_app(app, exchange, id).await?;
    let now = app.clock().now_ms();
    let webhooks = project.webhooks.iter().map(|(id, webhook)| WebhookEntry::of(id, webhook, now)).collect();
    Ok(dialect::json(StatusCode::OK, &ListWebhooksResponse { webhooks }))
}

/// Makes a webhook. Its secret is told in this reply, and never again.
#[utoipa::path(
    post, path = crate::WEBHOOKS, tag = "webhooks", operation_id = "createWebhook",
    params(("app_id" = String, Path, description = "The app's id")),
    request_body = CreateWebhookRequest,
    responses(
        (status = 201, body = WebhookMade),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn create(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_create(&app, &http::named(id), exchange).await).await
}

async fn answer_create(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let project = own_app(app, exchange, id).await?;
    exchange.expect_json()?;
    let request = CreateWebhookRequest::read(exchange.body())?;
    let now = app.clock().now_ms();
    let webhook = Webhook {
        enabled: request.enabled,
        receiver: Some(Receiver { url: request.url, events: request.events, disabled: None }),
        ..Webhook::sender(String::new(), None, now)
    };
    let webhooks = Webhooks::of(app, &project.tenant, &project.id);
    let (id, webhook, secret) = webhooks.add(webhook, request.secret).await?;
    let made = WebhookMade {
        webhook: WebhookEntry::of(id.as_str(), &webhook, now),
        secret: secret.expose_secret().to_owned(),
    };
    Ok(dialect::json(StatusCode::CREATED, &made))
}

/// Tells of one webhook.
#[utoipa::path(
    get, path = crate::WEBHOOK, tag = "webhooks", operation_id = "readWebhook",
    params(("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = WebhookEntry),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn read(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_read(&app, http::named(path), exchange).await).await
}

async fn answer_read(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (_, id, webhook) = own_webhook(app, exchange, (&id, &hook)).await?;
    Ok(dialect::json(StatusCode::OK, &WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms())))
}

/// Changes a webhook. One that was switched off is asked again once it is switched on.
#[utoipa::path(
    patch, path = crate::WEBHOOK, tag = "webhooks", operation_id = "updateWebhook",
    params(("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    request_body = ChangeWebhookRequest,
    responses(
        (status = 200, body = WebhookEntry),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn update(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_update(&app, http::named(path), exchange).await).await
}

async fn answer_update(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (project, id, mut webhook) = own_webhook(app, exchange, (&id, &hook)).await?;
    exchange.expect_json()?;
    let request = ChangeWebhookRequest::read(exchange.body())?;
    let (before, webhooks) = (webhook.updated_at, Webhooks::of(app, &project.tenant, &project.id));
    webhook.enabled = request.enabled.unwrap_or(webhook.enabled);
    if let Some(receiver) = &mut webhook.receiver {
        if let Some(url) = request.url {
            webhooks.check(&url).await?;
            receiver.url = url;
        }
        receiver.events = request.events.unwrap_or_else(|| receiver.events.clone());
        if webhook.enabled {
            receiver.disabled = None;
        }
    }
    let webhook = webhooks.replace(&id, webhook, before).await?;
    Ok(dialect::json(StatusCode::OK, &WebhookEntry::of(id.as_str(), &webhook, app.clock().now_ms())))
}

/// Deletes a webhook. What was on its way to it is not sent any more.
#[utoipa::path(
    delete, path = crate::WEBHOOK, tag = "webhooks", operation_id = "deleteWebhook",
    params(("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = DeleteWebhookResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn remove(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_remove(&app, http::named(path), exchange).await).await
}

async fn answer_remove(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (project, id, _) = own_webhook(app, exchange, (&id, &hook)).await?;
    if !app.store().delete_webhook(&project.tenant, &project.id, &id).await? {
        return Err(not_found(id.as_str()));
    }
    Ok(dialect::json(StatusCode::OK, &DeleteWebhookResponse { webhook_id: id.to_string(), deleted: true }))
}

/// Puts a new secret in the place of the old one, which holds for a while yet. It is told in this reply, and never again.
#[utoipa::path(
    post, path = crate::SECRET, tag = "webhooks", operation_id = "rotateWebhookSecret",
    params(("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    request_body = Option<RotateSecretRequest>,
    responses(
        (status = 200, body = RotateSecretResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn rotate(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_rotate(&app, http::named(path), exchange).await).await
}

async fn answer_rotate(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (project, id, webhook) = own_webhook(app, exchange, (&id, &hook)).await?;
    exchange.expect_json()?;
    let request = RotateSecretRequest::read(exchange.body())?;
    let overlap = Duration::from_secs(request.overlap_seconds.into());
    let webhooks = Webhooks::of(app, &project.tenant, &project.id);
    let (secret, until) = webhooks.rotate(&id, webhook, request.secret, overlap).await?;
    let response = RotateSecretResponse {
        secret: secret.expose_secret().to_owned(),
        previous_secret_expires_at: iso_seconds(until),
    };
    Ok(dialect::json(StatusCode::OK, &response))
}
