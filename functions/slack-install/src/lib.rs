//! `GET /api/slack/install`: where a person lets the Slack app into their team, so that an agent answers there.
//!
//! The address carries a sealed `state`: who asked, for which agent, until when. It brings the person back to
//! `/api/slack/oauth`, once. A page fetches the address with its user's ID token and goes there; what asks for HTML with
//! such a token is sent there.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use shared::app::App;
use shared::channel::slack::{self, connect};
use shared::channel::{Platform, room};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, Exchange, Fields, Request, StatusCode, in_the_query, parameters};
use shared::id::AgentId;
use utoipa::{IntoParams, OpenApi, ToSchema};

const FUNCTION: &str = "slack-install";
const PATH: &str = "/api/slack/install";
const METHODS: &str = "GET, OPTIONS";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(install))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(install).fallback(other_method))
}

/// For whom the app is installed.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
struct InstallQuery {
    /// The agent that is to answer in the team.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    agent_id: AgentId,
}

impl InstallQuery {
    fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self { agent_id: AgentId::from(fields.string("agentId", 1..=200)) };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// Where to go.
#[derive(Serialize, ToSchema)]
struct InstallResponse {
    /// Slack's page. It brings the person back within ten minutes, and once.
    url: String,
}

/// Tells where a person lets the Slack app into their team.
#[utoipa::path(
    get, path = PATH, tag = "slack", operation_id = "installSlack",
    params(InstallQuery),
    responses(
        (status = 200, body = InstallResponse),
        (status = 302, description = "The same, for what asks for text/html", headers(("Location" = String))),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn install(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let InstallQuery { agent_id: agent } = InstallQuery::read(exchange.query())?;
    let tenant = app.users().tenant(&user).await?;
    exchange.own_agent(app.store(), &tenant, &agent).await?;
    let now = app.clock().now_ms();
    // Which team it will be is not known yet: it may be the one that the agent answers in already.
    let connections = app.store().connections(&tenant, &agent).await?;
    let team = connections.iter().find(|connection| connection.platform == Platform::Slack);
    let team = team.map_or("", |connection| &connection.external);
    room(app.store(), &tenant, Platform::Slack, team, now).await??;
    let client_id = slack::client_id(app.secrets()).await?;
    let sealer = app.sealer().await?;
    let install = connect::Install::begin(tenant, agent, user.hash().to_owned(), now);
    let state = install.seal(&sealer).map_err(ApiError::internal)?;
    let url = connect::authorize_url(&slack::base_url(app.config()), &client_id, &state);
    let wants_a_page = exchange.header("accept").is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    Ok(if wants_a_page {
        (StatusCode::FOUND, [("location", url)]).into_response()
    } else {
        dialect::json(StatusCode::OK, &InstallResponse { url })
    })
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, METHODS).await
}
