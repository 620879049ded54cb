//! `POST /api/agents/{agent_id}/chat`: the dashboard's chat, for people who come with an ID token and own the agent. Its
//! turns, and no others, are told to the agent's outbound webhooks.
//!
//! `DELETE /api/agents/{agent_id}/sessions/{session_id}` ends one of its conversations.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, post};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::app::App;
use shared::auth::{AuthError, Endpoint, Vouched};
use shared::dialect::kopern::{ErrorResponse, chat_frames};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, ErrorKind, Exchange, Fields, InPath, Request, StatusCode, json_object};
use shared::id::{AgentId, EventId, SessionId};
use shared::model::{Message, Role};
use shared::session::{SessionError, Wish};
use shared::turn::TurnInput;
use shared::webhook::{Event, Listeners};
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "agent-chat";
const CHAT: &str = "/api/agents/{agent_id}/chat";
const SESSION: &str = "/api/agents/{agent_id}/sessions/{session_id}";
/// The largest metadata, in bytes of JSON.
const LARGEST_METADATA: usize = 32 * 1024;

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(chat, end))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new()
        .route(CHAT, post(chat).fallback(|request| other_method(request, "POST, OPTIONS")))
        .route(SESSION, delete(end).fallback(|request| other_method(request, "DELETE, OPTIONS")))
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
    post, path = CHAT, tag = "chat", operation_id = "chatWithAgent",
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
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer(&app, AgentId::from(http::named(agent)), exchange).await
    })
    .await
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
    exchange.let_in(app.admissions(), &caller.pass)?;
    let request = AgentChatRequest::read(exchange.body())?;
    let (wish, history) = match request.session_id {
        Some(id) => (Wish::Known(SessionId::from(id)), None),
        None => (Wish::New, request.history),
    };
    let admission = app.admissions().admit(&caller.pass, wish, idempotency.as_ref()).await?;
    let history = history.map(|items| items.into_iter().map(Message::from).collect());
    let input = TurnInput { message: request.message, metadata: request.metadata, history };
    let (begun, events) = exchange.begin(app.turns(), caller, admission, input)?;
    Ok(http::stream(chat_frames(agent, begun.session, events)))
}

/// That the session is over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndSessionResponse {
    /// Always `true`.
    success: bool,
    /// The session.
    session_id: String,
}

/// Ends a session of the dashboard's chat: what was said in it is forgotten, and receivers are told (`session_ended`).
#[utoipa::path(
    delete, path = SESSION, tag = "chat", operation_id = "endSession",
    params(("agent_id" = String, Path, description = "The agent's id"), ("session_id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, body = EndSessionResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn end(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_end(&app, http::named(path), exchange).await
    })
    .await
}

async fn answer_end(
    app: &App,
    (agent, session): (String, String),
    exchange: &mut Exchange,
) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let (agent, session) = (AgentId::from(agent), SessionId::from(session));
    let tenant = user.tenant().ok_or(AuthError::NoAgent)?;
    let (store, now) = (app.store(), app.clock().now_ms());
    let found = store.agent(tenant, &agent).await?.ok_or(AuthError::NoAgent)?;
    exchange.about_agent(&agent);
    let begun = store.session(tenant, &agent, &session, now).await?;
    let begun = begun.filter(|begun| begun.source == Endpoint::AgentChat.name());
    let begun =
        begun.ok_or_else(|| ApiError::new(ErrorKind::NotFound, "Session not found.").code("session_not_found"))?;
    let event = Event::session_ended(&session, begun.last_turn - begun.ended_turn, begun.created_at);
    let listeners = Listeners::of(&found.webhooks);
    let outbox = listeners.outbox(EventId::generate().as_str(), (tenant, &agent), vec![event], now);
    if !store.end_session(&begun, outbox.as_ref(), now).await? {
        return Err(SessionError::Busy.into());
    }
    app.outbox().hand_over(outbox.as_ref()).await;
    Ok(dialect::json(StatusCode::OK, &EndSessionResponse { success: true, session_id: session.to_string() }))
}

async fn other_method(request: Request, allow: &'static str) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, allow).await
}
