//! `POST /api/agents/{agent_id}/chat`: the dashboard's chat, for people who come with an ID token and own the agent. Its
//! turns, and no others, are told to the agent's outbound webhooks.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};
use shared::app::App;
use shared::auth::{AuthError, Endpoint, Vouched};
use shared::dialect::Dialect;
use shared::dialect::kopern::{ErrorResponse, chat_frames};
use shared::http::{self, ApiError, Cors, Exchange, Fields, InPath, Method, Request, json_object};
use shared::id::{AgentId, SessionId};
use shared::model::{Message, Role};
use shared::session::Wish;
use shared::turn::TurnInput;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const FUNCTION: &str = "agent-chat";
/// The largest metadata, in bytes of JSON.
const LARGEST_METADATA: usize = 32 * 1024;

/// The routes of this function.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let (schemas, paths, methods) = routes!(chat);
    OpenApiRouter::new().routes((schemas, paths, methods.fallback(other_method)))
}

/// A message of an agent's owner.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
struct AgentChatRequest {
    /// The message, 1 to 50,000 characters.
    #[schema(min_length = 1, max_length = 50_000)]
    message: String,
    /// What was said before, at most 100 messages; not needed with a session.
    #[schema(max_items = 100, nullable = false)]
    history: Option<Vec<AgentChatHistoryItem>>,
    /// The session that the message belongs to, as the `session` event of an earlier answer named it.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    session_id: Option<String>,
    /// What the dashboard tells about the message; the agent reads it as data.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Map<String, Value>>,
}

/// A message that was said before.
#[derive(Debug, ToSchema)]
struct AgentChatHistoryItem {
    /// `user` or `assistant`.
    #[schema(pattern = "^(user|assistant)$")]
    role: &'static str,
    /// What was said, at most 100,000 characters.
    #[schema(max_length = 100_000)]
    content: String,
}

impl AgentChatRequest {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            message: fields.string("message", 1..=50_000),
            history: fields.optional_list("history", 100, |item| AgentChatHistoryItem {
                role: item.word("role", &["user", "assistant"]),
                content: item.string("content", 0..=100_000),
            }),
            session_id: fields.optional_string("sessionId", 1..=200),
            metadata: fields.optional_object("metadata", LARGEST_METADATA),
        };
        fields.finish()?;
        Ok(request)
    }
}

impl From<AgentChatHistoryItem> for Message {
    fn from(item: AgentChatHistoryItem) -> Self {
        Self::text(if item.role == "assistant" { Role::Assistant } else { Role::User }, item.content)
    }
}

/// Sends a message to one's own agent and streams the answer: `session`, `status`, then `token`, `tool_start` and
/// `tool_end`, then `done` or `error`.
#[utoipa::path(
    post, path = "/api/agents/{agent_id}/chat", tag = "chat", operation_id = "chatWithAgent",
    params(
        ("agent_id" = String, Path, description = "The agent's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body = AgentChatRequest,
    responses(
        (status = 200, content_type = "text/event-stream", body = http::Frame),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn chat(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    let mut exchange = match Exchange::read(Dialect::Kopern, FUNCTION, Cors::Any, request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let outcome = answer(&app, AgentId::from(http::named(agent)), &mut exchange).await;
    exchange.reply(outcome)
}

async fn answer(app: &App, agent: AgentId, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.identify(app.users()).await?;
    let idempotency = exchange.idempotency(&[FUNCTION, user.hash(), agent.as_str()])?;
    let vouched = Vouched {
        tenant: user.tenant().ok_or(AuthError::NoAgent)?,
        agent: &agent,
        endpoint: Endpoint::AgentChat,
        identity: user.hash(),
        idempotency: idempotency.as_ref(),
    };
    let caller = vouched.by(app.gatekeeper()).await?;
    exchange.let_in(app.admissions(), &caller)?;
    let request = AgentChatRequest::read(exchange.body())?;
    let (wish, history) = match request.session_id {
        Some(id) => (Wish::Known(SessionId::from(id)), None),
        None => (Wish::New, request.history),
    };
    let admission = app.admissions().admit(&caller, wish, idempotency.as_ref()).await?;
    let history = history.map(|items| items.into_iter().map(Message::from).collect());
    let input = TurnInput { message: request.message, metadata: request.metadata, history };
    let (begun, events) = exchange.begin(app.turns(), caller, admission, input)?;
    Ok(http::stream(chat_frames(agent, begun.session, events)))
}

async fn other_method(request: Request) -> Response {
    match Exchange::read(Dialect::Kopern, FUNCTION, Cors::Any, request).await {
        Ok(exchange) if exchange.method() == Method::OPTIONS => exchange.preflight("POST, OPTIONS"),
        Ok(exchange) => exchange.method_not_allowed("POST, OPTIONS"),
        Err(reply) => reply,
    }
}
