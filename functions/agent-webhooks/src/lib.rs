//! `/api/agents/{agent_id}/webhooks`: an agent's webhooks, senders (`inbound`) and receivers (`outbound`), and what was
//! delivered to them. For people who come with an ID token and own the agent.

mod change;
mod deliveries;
mod messages;

use axum::response::Response;
use shared::app::{App, AppError};
use shared::auth::AuthError;
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::{AgentId, WebhookId};
use shared::store::{AgentItem, Webhook};
use shared::webhook::Deliveries;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const FUNCTION: &str = "agent-webhooks";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::Kopern, FUNCTION, Cors::Any);

/// The routes of this function.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let (all, one) = (routes!(change::list, change::create), routes!(change::read, change::update, change::remove));
    let (secret, test) = (routes!(change::rotate), routes!(deliveries::test));
    let (sent, again) = (routes!(deliveries::list), routes!(deliveries::redeliver));
    OpenApiRouter::new()
        .routes((all.0, all.1, all.2.fallback(|request| other(request, "GET, POST, OPTIONS"))))
        .routes((one.0, one.1, one.2.fallback(|request| other(request, "GET, PATCH, DELETE, OPTIONS"))))
        .routes((secret.0, secret.1, secret.2.fallback(|request| other(request, "POST, OPTIONS"))))
        .routes((test.0, test.1, test.2.fallback(|request| other(request, "POST, OPTIONS"))))
        .routes((sent.0, sent.1, sent.2.fallback(|request| other(request, "GET, OPTIONS"))))
        .routes((again.0, again.1, again.2.fallback(|request| other(request, "POST, OPTIONS"))))
}

async fn other(request: Request, allow: &'static str) -> Response {
    Exchange::answer_other_method(DOOR, request, allow).await
}

/// The caller's agent; to anybody else, it does not exist.
async fn own_agent(app: &App, exchange: &mut Exchange, agent: String) -> Result<AgentItem, ApiError> {
    let user = exchange.user(app.users()).await?;
    let agent = AgentId::from(agent);
    exchange.own_agent(app.store(), user.tenant().ok_or(AuthError::NoAgent)?, &agent).await
}

/// A webhook of the caller's agent.
async fn own_webhook(
    app: &App,
    exchange: &mut Exchange,
    (agent, webhook): (String, String),
) -> Result<(AgentItem, WebhookId, Webhook), ApiError> {
    let agent = own_agent(app, exchange, agent).await?;
    let found = agent.webhooks.get(&webhook).cloned().ok_or_else(not_found)?;
    Ok((agent, WebhookId::from(webhook), found))
}

fn not_found() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "Webhook not found.").code("webhook_not_found")
}

fn sender(app: &App) -> Result<&Deliveries, ApiError> {
    app.deliveries().map_err(|error: AppError| ApiError::internal(error))
}
