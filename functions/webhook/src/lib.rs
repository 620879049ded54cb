//! `POST /api/webhook/{agent_id}`: a message in, the whole answer out.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Map, Value};
use shared::app::App;
use shared::auth::{Caller, Endpoint, SignatureError, verify};
use shared::dialect::kopern::{ErrorResponse, WebhookResponse};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, ErrorKind, Exchange, Fields, InPath, Request, StatusCode, json_object};
use shared::id::{AgentId, SessionId};
use shared::session::Wish;
use shared::store::Webhook;
use shared::turn::{self, TurnInput};
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "webhook";
const PATH: &str = "/api/webhook/{agent_id}";
/// The most of a message's metadata, in bytes of JSON.
const LARGEST_METADATA: usize = 32 * 1024;

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(receive))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(receive).fallback(other_method))
}

/// A message for an agent.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
struct WebhookRequest {
    /// The message, 1 to 10,000 characters.
    #[schema(min_length = 1, max_length = 10_000)]
    message: String,
    /// What the sender tells about it; the agent reads it as data.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Map<String, Value>>,
    /// The session that the message belongs to; a new one begins where it is not set, or not known.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    session_id: Option<String>,
    /// The webhook whose secret signs the body.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    webhook_id: Option<String>,
}

impl WebhookRequest {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            message: fields.string("message", 1..=10_000),
            metadata: fields.optional_object("metadata", LARGEST_METADATA),
            session_id: fields.optional_string("sessionId", 1..=200),
            webhook_id: fields.optional_string("webhookId", 1..=200),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// Sends a message to the agent and waits for its answer.
#[utoipa::path(
    post, path = PATH, tag = "webhook", operation_id = "receiveWebhook",
    params(
        ("agent_id" = String, Path, description = "The agent's id"),
        ("X-Webhook-Signature" = Option<String>, Header, description = "HMAC-SHA256 of the raw body under the webhook's secret, in hex"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body = WebhookRequest,
    responses(
        (status = 200, body = WebhookResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn receive(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::None), request, async |exchange| {
        answer(&app, http::named(agent), exchange).await
    })
    .await
}

async fn answer(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let idempotency = exchange.idempotency(&[FUNCTION, &agent])?;
    let caller = exchange
        .check(Endpoint::Webhook)
        .for_agent(AgentId::from(agent))
        .with_idempotency(idempotency.as_ref())
        .by(app.gatekeeper())
        .await?;
    exchange.let_in(app.admissions(), &caller.pass)?;
    let request = WebhookRequest::read(exchange.body())?;
    check_signature(app, exchange, &caller, request.webhook_id.as_deref()).await?;
    let wish = request.session_id.map_or(Wish::New, |id| Wish::Named(SessionId::from(id)));
    let admission = app.admissions().admit(&caller.pass, wish, idempotency.as_ref()).await?;
    let input = TurnInput { message: request.message, metadata: request.metadata, history: None };
    let (_, events) = exchange.begin(app.turns(), caller, admission, input)?;
    let answer = turn::last(events).await?;
    Ok(dialect::json(StatusCode::OK, &WebhookResponse::from(*answer)))
}

/// A body must be signed by the webhook that it names; where it names none and the agent has webhooks that sign, by one
/// of those, so that leaving the name out is no way around a secret.
async fn check_signature(app: &App, exchange: &Exchange, caller: &Caller, named: Option<&str>) -> Result<(), ApiError> {
    let mut senders = caller.webhooks.iter().filter(|(_, webhook)| webhook.is_sender());
    let senders: Vec<(&String, &Webhook)> = match named {
        Some(named) => {
            let sender = senders
                .find(|(id, _)| id.as_str() == named)
                .ok_or_else(|| ApiError::new(ErrorKind::NotFound, "Webhook not found").code("webhook_not_found"))?;
            if !sender.1.enabled {
                return Err(ApiError::new(ErrorKind::Forbidden, "Webhook is disabled").code("webhook_disabled"));
            }
            vec![sender]
        }
        None => senders.collect(),
    };
    if senders.iter().all(|(_, webhook)| webhook.sealed_secret.is_none()) {
        return Ok(());
    }
    let signature = exchange.header("x-webhook-signature").map(|value| value.as_bytes());
    let sealer = app.sealer().await?;
    let mut outcome = Err(SignatureError::Missing);
    let now = app.clock().now_ms();
    for (id, webhook) in senders.into_iter().filter(|(_, webhook)| webhook.enabled) {
        for sealed in webhook.sealed_secrets(now) {
            let secret = sealer.open(&caller.pass.tenant, &webhook.purpose(id), sealed).map_err(ApiError::internal)?;
            outcome = verify(&secret, exchange.body(), signature);
            if outcome.is_ok() {
                return Ok(());
            }
        }
    }
    Ok(outcome?)
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "POST").await
}
