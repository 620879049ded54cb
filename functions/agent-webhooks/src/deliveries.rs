//! What was sent to a receiver, and what is sent to it on demand.

use axum::extract::State;
use axum::response::Response;
use shared::app::App;
use shared::dialect;
use shared::dialect::kopern::ErrorResponse;
use shared::http::{self, ApiError, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::id::{EventId, Home};
use shared::store::Webhook;

use crate::messages::{DeliveryEntry, ListDeliveriesQuery, ListDeliveriesResponse, TestWebhookResponse};
use crate::{DOOR, own_webhook, sender};

/// Sends a `test` event to a receiver, once and at once, and tells what came back. Nothing of it is kept.
#[utoipa::path(
    post, path = crate::TEST, tag = "webhooks", operation_id = "testWebhook",
    params(("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = TestWebhookResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn test(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_test(&app, http::named(path), exchange).await).await
}

async fn answer_test(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, webhook) = own_webhook(app, exchange, path).await?;
    receives(&webhook)?;
    let sent = sender(app)?.test((&agent.tenant, &Home::from(&agent.id)), &id, &webhook).await?;
    Ok(dialect::json(StatusCode::OK, &TestWebhookResponse::from(sent)))
}

/// Lists what was sent to a receiver in the last 30 days, the newest first, each with its attempts.
#[utoipa::path(
    get, path = crate::DELIVERIES, tag = "webhooks", operation_id = "listDeliveries",
    params(
        ("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id"),
        ListDeliveriesQuery,
    ),
    responses(
        (status = 200, body = ListDeliveriesResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn list(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_list(&app, http::named(path), exchange).await).await
}

async fn answer_list(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (agent, id, webhook) = own_webhook(app, exchange, path).await?;
    receives(&webhook)?;
    let query = ListDeliveriesQuery::read(exchange.query())?;
    let before = query.before.map(EventId::from);
    let now = app.clock().now_ms();
    let home = Home::from(&agent.id);
    let receiver = (&home, &id);
    let found = app.store().deliveries(&agent.tenant, receiver, before.as_ref(), query.limit, now).await?;
    Ok(dialect::json(StatusCode::OK, &ListDeliveriesResponse::new(found, query.limit)))
}

/// Sends an event again, whatever became of it before: under its old id, and by the whole schedule.
#[utoipa::path(
    post, path = crate::REDELIVERY, tag = "webhooks",
    operation_id = "redeliver",
    params(
        ("agent_id" = String, Path, description = "The agent's id"), ("webhook_id" = String, Path, description = "The webhook's id"),
        ("delivery_id" = String, Path, description = "The delivery's id"),
    ),
    responses(
        (status = 200, body = DeliveryEntry),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
pub(crate) async fn redeliver(
    State(app): State<App>,
    path: InPath<(String, String, String)>,
    request: Request,
) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_redeliver(&app, http::named(path), exchange).await).await
}

async fn answer_redeliver(
    app: &App,
    (agent, webhook, delivery): (String, String, String),
    exchange: &mut Exchange,
) -> Result<Response, ApiError> {
    let (agent, id, webhook) = own_webhook(app, exchange, (agent, webhook)).await?;
    receives(&webhook)?;
    if !webhook.enabled {
        let message = "The webhook is switched off. Switch it on first.";
        return Err(ApiError::new(ErrorKind::Conflict, message).code("webhook_disabled"));
    }
    let event = EventId::from(delivery);
    let found = sender(app)?.redeliver(&agent.tenant, (&Home::from(&agent.id), &id, &event)).await?;
    let found =
        found.ok_or_else(|| ApiError::new(ErrorKind::NotFound, "Delivery not found.").code("delivery_not_found"))?;
    Ok(dialect::json(StatusCode::OK, &DeliveryEntry::from(found)))
}

fn receives(webhook: &Webhook) -> Result<(), ApiError> {
    if webhook.is_sender() {
        let message = "Nothing is delivered to an inbound webhook.";
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).code("inbound_webhook"));
    }
    Ok(())
}
