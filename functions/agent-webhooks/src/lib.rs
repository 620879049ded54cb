//! `/api/agents/{agent_id}/webhooks`: an agent's webhooks, senders (`inbound`) and receivers (`outbound`), and what was
//! delivered to them. For people who come with an ID token and own the agent.

mod change;
mod deliveries;
mod messages;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use shared::app::{App, AppError};
use shared::auth::AuthError;
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::{AgentId, WebhookId};
use shared::store::{AgentItem, Webhook};
use shared::webhook::Deliveries;
use utoipa::OpenApi;

const FUNCTION: &str = "agent-webhooks";
const WEBHOOKS: &str = "/api/agents/{agent_id}/webhooks";
const WEBHOOK: &str = "/api/agents/{agent_id}/webhooks/{webhook_id}";
const SECRET: &str = "/api/agents/{agent_id}/webhooks/{webhook_id}/secret";
const TEST: &str = "/api/agents/{agent_id}/webhooks/{webhook_id}/test";
const DELIVERIES: &str = "/api/agents/{agent_id}/webhooks/{webhook_id}/deliveries";
const REDELIVERY: &str = "/api/agents/{agent_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::Kopern, FUNCTION, Cors::Any);

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
        .route(
            WEBHOOKS,
            get(change::list).post(change::create).fallback(|request| other(request, "GET, POST, OPTIONS")),
        )
        .route(
            WEBHOOK,
            get(change::read)
                .patch(change::update)
                .delete(change::remove)
                .fallback(|request| other(request, "GET, PATCH, DELETE, OPTIONS")),
        )
        .route(SECRET, post(change::rotate).fallback(|request| other(request, "POST, OPTIONS")))
        .route(TEST, post(deliveries::test).fallback(|request| other(request, "POST, OPTIONS")))
        .route(DELIVERIES, get(deliveries::list).fallback(|request| other(request, "GET, OPTIONS")))
        .route(REDELIVERY, post(deliveries::redeliver).fallback(|request| other(request, "POST, OPTIONS")))
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
