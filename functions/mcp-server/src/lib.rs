//! `POST /api/mcp/server`: the agent as an MCP server with two tools, for IDEs and other agents.
//!
//! Streamable HTTP without sessions: each request stands for itself. The answer is one JSON body; a call that carries a
//! progress token is answered as server-sent events. A caller who goes away gives its turn up.

mod door;
mod message;
mod tool;
mod version;
mod visit;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use shared::app::App;
use shared::dialect::mcp::{RpcError, RpcResponse};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, Exchange, Method, Request, StatusCode};
use utoipa::OpenApi;

use message::{Incoming, Message};
use visit::{Reply, Visit};

const FUNCTION: &str = "mcp-server";
const PATH: &str = "/api/mcp/server";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(receive))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, post(receive).fallback(other_method))
}

/// A call that is not answered as asked.
enum Failure {
    /// The caller is not let in.
    Refused(ApiError),
    /// The call is wrong.
    Wrong(StatusCode, RpcError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Takes a message of the Model Context Protocol: a call (`initialize`, `ping`, `tools/list`, `tools/call`, or
/// `server/discover`), a notification, or a batch of them.
#[utoipa::path(
    post, path = PATH, tag = "mcp",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A call that comes again with the same key is answered, not repeated")),
    request_body(content = Object, description = "A message of JSON-RPC 2.0"),
    responses(
        (status = 200, content((RpcResponse = "application/json"), (http::Frame = "text/event-stream"))),
        (status = 202, description = "A notification is taken"),
        (status = 400, body = RpcResponse), (status = 401, body = RpcResponse), (status = 403, body = RpcResponse),
        (status = 404, body = RpcResponse), (status = 409, body = RpcResponse), (status = 413, body = RpcResponse),
        (status = 422, body = RpcResponse), (status = 429, body = RpcResponse), (status = 500, body = RpcResponse),
        (status = 503, body = RpcResponse),
    ),
)]
async fn receive(State(app): State<App>, request: Request) -> Response {
    let admitted = door::check(app.config(), request.headers());
    let cors = if admitted.is_ok() { Cors::Asker } else { Cors::NotAsker };
    let work = async |exchange: &mut Exchange| {
        admitted?;
        answer(&app, exchange).await
    };
    Exchange::answer((Dialect::Mcp, FUNCTION, cors), request, work).await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let mut visit = Visit::begin(app, exchange).await?;
    match message::read(visit.exchange.body())? {
        Incoming::One(message) => one(&mut visit, message).await,
        Incoming::Batch(messages) => batch(&mut visit, messages).await,
    }
}

async fn one(visit: &mut Visit<'_>, message: Message) -> Result<Response, ApiError> {
    match message {
        Message::Call(call) => {
            visit.exchange.set_call(call.id.clone());
            reply(call.id.clone(), visit.answer(&call).await)
        }
        Message::Note(note) => reply(Value::Null, visit.hear(&note)),
        Message::Answer => Ok(accepted()),
        Message::Malformed(id, error) => reply(id, Err(Failure::Wrong(StatusCode::BAD_REQUEST, error))),
    }
}

/// Answers a batch call by call, in its order.
async fn batch(visit: &mut Visit<'_>, messages: Vec<Message>) -> Result<Response, ApiError> {
    if let Err(failure) = visit.check_batch() {
        return reply(Value::Null, Err(failure));
    }
    let mut answers = Vec::new();
    for message in messages {
        match message {
            Message::Call(call) => answers.push(RpcResponse::new(call.id.clone(), visit.answer_in_batch(&call).await)),
            Message::Malformed(id, error) => answers.push(RpcResponse::new(id, Err(error))),
            Message::Note(_) | Message::Answer => {}
        }
    }
    Ok(if answers.is_empty() { accepted() } else { dialect::json(StatusCode::OK, &answers) })
}

fn reply(id: Value, outcome: Result<Reply, Failure>) -> Result<Response, ApiError> {
    match outcome {
        Ok(Reply::Result(result)) => Ok(dialect::json(StatusCode::OK, &RpcResponse::new(id, Ok(result)))),
        Ok(Reply::Stream(response)) => Ok(response),
        Ok(Reply::Nothing) => Ok(accepted()),
        Err(Failure::Refused(error)) => Err(error),
        Err(Failure::Wrong(status, error)) => Ok(dialect::json(status, &RpcResponse::new(id, Err(error)))),
    }
}

/// Notifications and answers get no body.
fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// There is no stream to be opened by GET, and no session to be deleted: the protocol's answer to both is 405, with a
/// key or without. Anything else makes clients try again.
async fn other_method(State(app): State<App>, request: Request) -> Response {
    let admitted = door::check(app.config(), request.headers());
    let cors = if admitted.is_ok() { Cors::Asker } else { Cors::NotAsker };
    match Exchange::read(Dialect::Mcp, FUNCTION, cors, request).await {
        Ok(exchange) if exchange.method() == Method::OPTIONS => exchange.preflight("POST, OPTIONS"),
        Ok(exchange) => exchange.method_not_allowed("POST"),
        Err(reply) => reply,
    }
}
