//! What was sent to receivers.

use axum::extract::State;
use axum::response::Response;
use shared::app::App;
use shared::dialect;
use shared::dialect::app::ErrorResponse;
use shared::http::{self, ApiError, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::id::{EventId, Home};

use crate::messages::{DeliveryEntry, ListDeliveriesQuery, ListDeliveriesResponse, TestWebhookResponse};
use crate::{DOOR, own_webhook, sender};

/// Sends the receiver a test event (`test`) once, and tells what came back. Nothing is kept of it.
#[utoipa::path(
    post, path = crate::TEST, tag = "webhooks", operation_id = "testWebhook",
    params(("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, body = TestWebhookResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn test(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_test(&app, http::named(path), exchange).await).await
}

async fn answer_test(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (project, id, webhook) = own_webhook(app, exchange, (&id, &hook)).await?;
    let sent = sender(app)?.test((&project.tenant, &Home::from(&project.id)), &id, &webhook).await?;
    Ok(dialect::json(StatusCode::OK, &TestWebhookResponse::from(sent)))
}

/// Lists what was sent to a receiver in the last 30 days, the newest first, each with its attempts.
#[utoipa::path(
    get, path = crate::DELIVERIES, tag = "webhooks", operation_id = "listDeliveries",
    params(
        ("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id"),
        ListDeliveriesQuery,
    ),
    responses(
        (status = 200, body = ListDeliveriesResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn list(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer_list(&app, http::named(path), exchange).await).await
}

async fn answer_list(app: &App, (id, hook): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (project, id, _) = own_webhook(app, exchange, (&id, &hook)).await?;
    let query = ListDeliveriesQuery::read(exchange.query())?;
    let (home, before) = (Home::from(&project.id), query.before.map(EventId::from));
    let (receiver, now) = ((&home, &id), app.clock().now_ms());
    let found = app.store().deliveries(&project.tenant, receiver, before.as_ref(), query.limit, now).await?;
    Ok(dialect::json(StatusCode::OK, &ListDeliveriesResponse::new(found, query.limit)))
}

/// Sends an event again, whatever became of it before: under its old id, and by the whole schedule.
#[utoipa::path(
    post, path = crate::REDELIVERY, tag = "webhooks",
    operation_id = "redeliver",
    params(
        ("app_id" = String, Path, description = "The app's id"), ("webhook_id" = String, Path, description = "The webhook's id"),
        ("delivery_id" = String, Path, description = "The delivery's id"),
    ),
    responses(
        (status = 200, body = DeliveryEntry),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
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
    (id, hook, delivery): (String, String, String),
    exchange: &mut Exchange,
) -> Result<Response, ApiError> {
    let (project, id, webhook) = own_webhook(app, exchange, (&id, &hook)).await?;
    if !webhook.enabled {
        let message = "The webhook is switched off. Switch it on first.";
        return Err(ApiError::new(ErrorKind::Conflict, message).code("webhook_disabled"));
    }
    let (home, event) = (Home::from(&project.id), EventId::from(delivery));
    let found = sender(app)?.redeliver(&project.tenant, (&home, &id, &event)).await?;
    let found = found.ok_or_else(|| {
        ApiError::new(ErrorKind::NotFound, "Delivery not found")
            .code("delivery_not_found")
            .details(vec![format!("delivery_id: {event}")])
    })?;
    Ok(dialect::json(StatusCode::OK, &DeliveryEntry::from(found)))
}
