//! `GET /v1/apps/{app_id}/traces/{trace_id}`: what happened in a turn.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use shared::app::App;
use shared::clock::iso;
use shared::dialect::app::{ErrorResponse, TokenUsage};
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, ErrorKind, Exchange, InPath, Request, StatusCode};
use shared::id::{SessionId, TraceId};
use shared::model::Stop;
use shared::session::{Escalation, EscalationReason, Round, ToolCall, Turn};
use shared::store::TurnItem;
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "app-traces";
const PATH: &str = "/v1/apps/{app_id}/traces/{trace_id}";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(read))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(read).fallback(other_method))
}

/// What happened in a turn.
#[derive(Debug, Serialize, ToSchema)]
struct TraceResponse {
    /// The trace.
    #[schema(value_type = String)]
    trace_id: TraceId,
    /// The session that the turn belongs to.
    #[schema(value_type = String)]
    session_id: SessionId,
    /// The agent that answered.
    agent: String,
    /// When it began.
    #[schema(format = "date-time")]
    started_at: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
    /// What it took.
    usage: TokenUsage,
    /// Its price in US dollars by the providers' lists, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    estimated_cost: Option<f64>,
    /// Its calls of models, in their order; of many, the first ones and the last.
    rounds: Vec<TraceRound>,
    /// That a person was called for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    escalation: Option<TraceEscalation>,
}

/// One call of a model, with the tools that it called. Times are milliseconds since the turn's beginning.
#[derive(Debug, Serialize, ToSchema)]
struct TraceRound {
    /// The agent.
    agent: String,
    /// The model, `provider/model`.
    model: String,
    /// When it was called.
    started_ms: u64,
    /// How long it took, without its tools.
    duration_ms: u64,
    /// When its first text came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    first_token_ms: Option<u64>,
    /// What it took.
    usage: TokenUsage,
    /// Why it stopped: `end_turn`, `tool_use`, `max_tokens`, `refusal` or `pause`.
    #[schema(value_type = String)]
    stop_reason: Stop,
    /// The tools that it called.
    tools: Vec<TraceTool>,
    /// The agent that it handed the conversation to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    handoff: Option<String>,
}

/// One call of a tool.
#[derive(Debug, Serialize, ToSchema)]
struct TraceTool {
    /// The tool.
    tool: String,
    /// `completed` or `failed`.
    #[schema(pattern = "^(completed|failed)$")]
    status: &'static str,
    /// When it was called.
    started_ms: u64,
    /// How long it took.
    duration_ms: u64,
}

/// That a person was called for.
#[derive(Debug, Serialize, ToSchema)]
struct TraceEscalation {
    /// Why: `user_requested`, `agent_requested` or `tool_failure`.
    #[schema(value_type = String)]
    reason: EscalationReason,
    /// What it is about.
    summary: String,
    /// The agent that called for them.
    agent: String,
}

impl From<Round> for TraceRound {
    fn from(round: Round) -> Self {
        Self {
            agent: round.agent,
            model: round.model,
            started_ms: round.started_ms,
            duration_ms: round.duration_ms,
            first_token_ms: round.first_token_ms,
            usage: round.usage.into(),
            stop_reason: round.stop,
            tools: round.tools.into_iter().map(TraceTool::from).collect(),
            handoff: round.handoff,
        }
    }
}

impl From<ToolCall> for TraceTool {
    fn from(call: ToolCall) -> Self {
        Self {
            tool: call.name,
            status: if call.is_error { "failed" } else { "completed" },
            started_ms: call.started_ms,
            duration_ms: call.duration_ms,
        }
    }
}

impl From<Escalation> for TraceEscalation {
    fn from(escalation: Escalation) -> Self {
        Self { reason: escalation.reason, summary: escalation.summary, agent: escalation.agent.name }
    }
}

impl TraceResponse {
    fn new(item: TurnItem, turn: Turn) -> Self {
        Self {
            agent: turn.agent.map(|agent| agent.name).unwrap_or_default(),
            started_at: iso(item.started_at),
            duration_ms: u64::try_from(item.ended_at - item.started_at).unwrap_or_default(),
            usage: turn.usage.into(),
            estimated_cost: turn.cost,
            rounds: turn.rounds.into_iter().map(TraceRound::from).collect(),
            escalation: turn.escalation.map(TraceEscalation::from),
            trace_id: item.trace,
            session_id: item.session,
        }
    }
}

/// Tells what happened in a turn: its calls of models and tools, with times and tokens. Kept for 30 days.
#[utoipa::path(
    get, path = PATH, tag = "analytics", operation_id = "getTrace",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("trace_id" = String, Path, description = "The trace's id"),
    ),
    responses(
        (status = 200, body = TraceResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
async fn read(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer((Dialect::App, FUNCTION, Cors::None), request, async |exchange| {
        answer(&app, http::named(path), exchange).await
    })
    .await
}

async fn answer(app: &App, (id, trace): (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let caller = exchange.check_app(&id).by(app.gatekeeper()).await?;
    exchange.set_rate(app.admissions().take(&caller.pass).await?);
    let (project, trace) = (&caller.project, TraceId::from(trace));
    let found = app.store().traced_turn(&project.tenant, &project.id, &trace, app.clock().now_ms()).await?;
    let item = found.ok_or_else(|| {
        ApiError::new(ErrorKind::NotFound, "Trace not found")
            .code("trace_not_found")
            .details(vec![format!("trace_id: {trace}")])
    })?;
    let turn = Turn::from_record(&item.record).map_err(ApiError::internal)?;
    Ok(dialect::json(StatusCode::OK, &TraceResponse::new(item, turn)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::App, FUNCTION, Cors::None), request, "GET").await
}
