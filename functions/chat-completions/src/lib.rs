//! `POST /api/agents/{agent_id}/v1/chat/completions`: an agent as an OpenAI model; and the answer in OpenAI's shape to
//! every other path below `…/v1`.

mod messages;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{any, post};
use shared::app::App;
use shared::auth::Endpoint;
use shared::dialect::openai::{self, ChatCompletion, Chunks, ErrorResponse};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, ErrorKind, Exchange, InPath, Method, Request, StatusCode};
use shared::id::AgentId;
use shared::session::Wish;
use shared::turn::{self, TurnInput};
use utoipa::OpenApi;

use messages::{ChatCompletionBody, ChatCompletionRequest};

const FUNCTION: &str = "chat-completions";
const PATH: &str = "/api/agents/{agent_id}/v1/chat/completions";
const METHODS: &str = "POST, OPTIONS";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(create))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new()
        .route(PATH, post(create).fallback(other_method))
        .route("/api/agents/{agent_id}/v1/{*rest}", any(other_path))
}

/// Lets the agent answer.
#[utoipa::path(
    post, path = PATH, tag = "openai", operation_id = "createChatCompletion",
    params(
        ("agent_id" = String, Path, description = "The agent's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body = ChatCompletionBody,
    responses(
        (status = 200, content((ChatCompletion = "application/json"), (http::Frame = "text/event-stream"))),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn create(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::OpenAi, FUNCTION, Cors::Any), request, async |exchange| {
        answer(&app, http::named(agent), exchange).await
    })
    .await
}

async fn answer(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let idempotency = exchange.idempotency(&[FUNCTION, &agent])?;
    let caller = exchange
        .check(Endpoint::ChatCompletions)
        .for_agent(AgentId::from(agent))
        .with_idempotency(idempotency.as_ref())
        .by(app.gatekeeper())
        .await?;
    exchange.let_in(app.admissions(), &caller.pass)?;
    let request = ChatCompletionRequest::read(exchange.body())?;
    let admission = app.admissions().admit(&caller.pass, Wish::New, idempotency.as_ref()).await?;
    let model = caller.agent.document.model.model().to_owned();
    let input = TurnInput { message: request.message, metadata: None, history: Some(request.history) };
    let (begun, events) = exchange.begin(app.turns(), caller, admission, input)?;
    if request.stream {
        let chunks = Chunks::new(&begun.trace, begun.started_at, &model, request.include_usage);
        return Ok(http::stream(chunks.frames(events)));
    }
    let answer = turn::last(events).await?;
    Ok(dialect::json(StatusCode::OK, &openai::completion(*answer, &model)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::OpenAi, FUNCTION, Cors::Any), request, METHODS).await
}

/// Every other path below `…/v1`: the same endpoint with a slash too many, a browser's preflight, or nothing of ours.
async fn other_path(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    let (agent, rest) = http::named(path);
    if rest.trim_end_matches('/') == "chat/completions" && request.method() == Method::POST {
        return create(State(app), Ok(Path(agent)), request).await;
    }
    match Exchange::read(Dialect::OpenAi, FUNCTION, Cors::Any, request).await {
        Ok(exchange) if exchange.method() == Method::OPTIONS => exchange.preflight("GET, POST, OPTIONS"),
        Ok(exchange) => {
            let message =
                format!("There is no /v1/{rest} here. An agent answers at /v1/chat/completions and /v1/models.");
            exchange.reply(Err(ApiError::new(ErrorKind::NotFound, message).code("unknown_url")))
        }
        Err(reply) => reply,
    }
}
