//! `/v1/apps/{app_id}/webhooks`: who is told of an app's sessions and escalations, and what was delivered to them.

mod change;
mod deliveries;
mod messages;

use axum::response::Response;
use shared::app::{App, AppError};
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::WebhookId;
use shared::store::{ProjectItem, Webhook};
use shared::webhook::Deliveries;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const FUNCTION: &str = "app-webhooks";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::App, FUNCTION, Cors::None);

/// The routes of this function.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let (all, one) = (routes!(change::list, change::create), routes!(change::read, change::update, change::remove));
    let (secret, test) = (routes!(change::rotate), routes!(deliveries::test));
    let (sent, again) = (routes!(deliveries::list), routes!(deliveries::redeliver));
    OpenApiRouter::new()
        .routes((all.0, all.1, all.2.fallback(|request| other_method(request, "GET, POST"))))
        .routes((one.0, one.1, one.2.fallback(|request| other_method(request, "GET, PATCH, DELETE"))))
        .routes((secret.0, secret.1, secret.2.fallback(|request| other_method(request, "POST"))))
        .routes((test.0, test.1, test.2.fallback(|request| other_method(request, "POST"))))
        .routes((sent.0, sent.1, sent.2.fallback(|request| other_method(request, "GET"))))
        .routes((again.0, again.1, again.2.fallback(|request| other_method(request, "POST"))))
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
