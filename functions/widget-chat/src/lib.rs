//! `POST /api/widget/chat`: the chat behind the widget, as server-sent events.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use shared::app::App;
use shared::auth::{AuthError, Endpoint};
use shared::dialect::Dialect;
use shared::dialect::kopern::{ErrorResponse, widget_frames};
use shared::http::{self, ApiError, Cors, Exchange, Fields, Request, json_object};
use shared::id::SessionId;
use shared::model::{Message, Role};
use shared::session::Wish;
use shared::turn::TurnInput;
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "widget-chat";
const PATH: &str = "/api/widget/chat";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(chat))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(chat).fallback(other_method))
}

/// A message of a visitor.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
struct WidgetChatRequest {
    /// The message, 1 to 10,000 characters.
    #[schema(min_length = 1, max_length = 10_000)]
    message: String,
    /// What was said before, at most 50 messages; not needed with a session.
    #[schema(max_items = 50, nullable = false)]
    history: Option<Vec<HistoryItem>>,
    /// The session that the message belongs to, as the `done` event of an earlier answer named it.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    session_id: Option<String>,
}

/// A message that was said before.
#[derive(Debug, ToSchema)]
struct HistoryItem {
    /// `user` or `assistant`.
    #[schema(pattern = "^(user|assistant)$")]
    role: &'static str,
    /// What was said, at most 50,000 characters.
    #[schema(max_length = 50_000)]
    content: String,
}

impl WidgetChatRequest {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            message: fields.string("message", 1..=10_000),
            history: fields.optional_list("history", 50, |item| HistoryItem {
                role: item.word("role", &["user", "assistant"]),
                content: item.string("content", 0..=50_000),
            }),
            session_id: fields.optional_string("sessionId", 1..=200),
        };
        fields.finish()?;
        Ok(request)
    }
}

impl From<HistoryItem> for Message {
    fn from(item: HistoryItem) -> Self {
        Self::text(if item.role == "assistant" { Role::Assistant } else { Role::User }, item.content)
    }
}

/// Sends a message and streams the answer: `status`, then `token`, `tool_start` and `tool_end`, then `done` or `error`.
#[utoipa::path(
    post, path = PATH, tag = "widget", operation_id = "sendWidgetMessage",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated")),
    request_body = WidgetChatRequest,
    responses(
        (status = 200, content_type = "text/event-stream", body = http::Frame),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn chat(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Asker), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let presented = exchange.presented();
    let idempotency = exchange.idempotency(&[FUNCTION, presented.hash().map_or("", |hash| hash.as_str())])?;
    let checked =
        exchange.check(Endpoint::WidgetChat).with_idempotency(idempotency.as_ref()).by(app.gatekeeper()).await;
    if matches!(checked, Err(AuthError::Origin)) {
        exchange.refuse_origin();
    }
    let caller = checked?;
    exchange.let_in(app.admissions(), &caller.pass)?;
    let request = WidgetChatRequest::read(exchange.body())?;
    let (wish, history) = match request.session_id {
        Some(id) => (Wish::Known(SessionId::from(id)), None),
        None => (Wish::New, request.history),
    };
    let admission = app.admissions().admit(&caller.pass, wish, idempotency.as_ref()).await?;
    let history = history.map(|items| items.into_iter().map(Message::from).collect());
    let input = TurnInput { message: request.message, metadata: None, history };
    let (_, events) = exchange.begin(app.turns(), caller, admission, input)?;
    Ok(http::stream(widget_frames(events)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Asker), request, "POST, OPTIONS").await
}
