//! `/v1/apps/{app_id}/webhooks`: who is told of an app's sessions and escalations, and what was delivered to them.

mod change;
mod deliveries;
mod messages;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use shared::app::{App, AppError};
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::WebhookId;
use shared::store::{ProjectItem, Webhook};
use shared::webhook::Deliveries;
use utoipa::OpenApi;

const FUNCTION: &str = "app-webhooks";
const WEBHOOKS: &str = "/v1/apps/{app_id}/webhooks";
const WEBHOOK: &str = "/v1/apps/{app_id}/webhooks/{webhook_id}";
const SECRET: &str = "/v1/apps/{app_id}/webhooks/{webhook_id}/secret";
const TEST: &str = "/v1/apps/{app_id}/webhooks/{webhook_id}/test";
const DELIVERIES: &str = "/v1/apps/{app_id}/webhooks/{webhook_id}/deliveries";
const REDELIVERY: &str = "/v1/apps/{app_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::App, FUNCTION, Cors::None);

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(
    change::list,
    change::create,
    change::read,
    change::update,
    change::remove,
    change::rotate,
    deliveries::test,
    deliveries::list,
    deliveries::redeliver,
))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new()
        .route(WEBHOOKS, get(change::list).post(change::create).fallback(|request| other_method(request, "GET, POST")))
        .route(
            WEBHOOK,
            get(change::read)
                .patch(change::update)
                .delete(change::remove)
                .fallback(|request| other_method(request, "GET, PATCH, DELETE")),
        )
        .route(SECRET, post(change::rotate).fallback(|request| other_method(request, "POST")))
        .route(TEST, post(deliveries::test).fallback(|request| other_method(request, "POST")))
        .route(DELIVERIES, get(deliveries::list).fallback(|request| other_method(request, "GET")))
        .route(REDELIVERY, post(deliveries::redeliver).fallback(|request| other_method(request, "POST")))
}

async fn other_method(request: Request, allow: &'static str) -> Response {
    Exchange::answer_other_method(DOOR, request, allow).await
}

/// The caller's app; their rate token is taken.
async fn own_app(app: &App, exchange: &mut Exchange, id: &str) -> Result<ProjectItem, ApiError> {
    let caller = exchange.check_app(id).by(app.gatekeeper()).await?;
    exchange.set_rate(app.admissions().take(&caller.pass).await?);
    Ok(caller.project)
}

/// A webhook of the caller's app.
async fn own_webhook(
    app: &App,
    exchange: &mut Exchange,
    (id, webhook): (&str, &str),
) -> Result<(ProjectItem, WebhookId, Webhook), ApiError> {
    let project = own_app(app, exchange, id).await?;
    let found = project.webhooks.get(webhook).cloned().ok_or_else(|| not_found(webhook))?;
    Ok((project, WebhookId::from(webhook), found))
}

fn not_found(webhook: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, "Webhook not found")
        .code("webhook_not_found")
        .details(vec![format!("webhook_id: {webhook}")])
}

fn sender(app: &App) -> Result<&Deliveries, ApiError> {
    app.deliveries().map_err(|error: AppError| ApiError::internal(error))
}
