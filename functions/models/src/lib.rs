//! `GET /api/agents/{agent_id}/v1/models`: the agent's model, as OpenAI's clients ask for it.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use shared::app::App;
use shared::auth::Endpoint;
use shared::dialect::openai::{ErrorResponse, ModelInfo, ModelList};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, Exchange, InPath, Request, StatusCode};
use shared::id::AgentId;
use utoipa::OpenApi;

const FUNCTION: &str = "models";
const PATH: &str = "/api/agents/{agent_id}/v1/models";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(list).fallback(other_method))
}

/// Lists the agent's model.
#[utoipa::path(
    get, path = PATH, tag = "openai", operation_id = "listModels",
    params(("agent_id" = String, Path, description = "The agent's id")),
    responses(
        (status = 200, body = ModelList),
        (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn list(State(app): State<App>, agent: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::OpenAi, FUNCTION, Cors::Any), request, async |exchange| {
        answer(&app, http::named(agent), exchange).await
    })
    .await
}

async fn answer(app: &App, agent: String, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let caller = exchange.check(Endpoint::Models).for_agent(AgentId::from(agent)).by(app.gatekeeper()).await?;
    exchange.let_in(app.admissions(), &caller.pass)?;
    exchange.set_rate(app.admissions().take(&caller.pass).await?);
    let model = &caller.agent.document.model;
    let info = ModelInfo {
        id: model.model().to_owned(),
        object: "model",
        created: caller.agent.updated_at.as_second(),
        owned_by: model.provider().to_owned(),
    };
    Ok(dialect::json(StatusCode::OK, &ModelList { object: "list", data: vec![info] }))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::OpenAi, FUNCTION, Cors::Any), request, "GET, OPTIONS").await
}
