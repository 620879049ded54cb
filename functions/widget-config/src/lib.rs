//! `GET /api/widget/config`: what the chat widget of a key's agent looks like.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use shared::agent::{AgentDocument, WidgetColors, WidgetPosition, WidgetScheme};
use shared::app::App;
use shared::auth::{AuthError, Endpoint};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, Exchange, Request, StatusCode};
use utoipa::{OpenApi, ToSchema};

const FUNCTION: &str = "widget-config";
const PATH: &str = "/api/widget/config";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(config))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(config).fallback(other_method))
}

/// What the widget looks like.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WidgetConfigResponse {
    /// The greeting when it opens.
    welcome_message: String,
    /// `bottom-right` or `bottom-left`.
    #[schema(value_type = String, pattern = "^bottom-(right|left)$")]
    position: WidgetPosition,
    /// Whether "Powered by" is shown.
    show_powered_by: bool,
    /// The agent's name as visitors read it.
    agent_name: String,
    /// How it looks.
    theme: ThemeResponse,
}

/// How the widget looks.
#[derive(Debug, Serialize, ToSchema)]
struct ThemeResponse {
    /// `auto`, `light` or `dark`.
    #[schema(value_type = String, pattern = "^(auto|light|dark)$")]
    scheme: WidgetScheme,
    /// Colours of the agent's own.
    colors: ColorsResponse,
}

/// Colours of the agent's own, `#rrggbb`.
#[derive(Debug, Serialize, ToSchema)]
struct ColorsResponse {
    /// The bubble, buttons and the visitor's messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    accent: Option<String>,
    /// The panel.
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<String>,
    /// Text on the panel.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl From<&AgentDocument> for WidgetConfigResponse {
    fn from(document: &AgentDocument) -> Self {
        let widget = document.widget.clone();
        let WidgetColors { accent, background, text } = widget.theme.colors;
        Self {
            welcome_message: widget.welcome_message,
            position: widget.position,
            show_powered_by: widget.show_powered_by,
            agent_name: widget.title.unwrap_or_else(|| document.name.clone()),
            theme: ThemeResponse { scheme: widget.theme.scheme, colors: ColorsResponse { accent, background, text } },
        }
    }
}

/// Tells what the widget looks like.
#[utoipa::path(
    get, path = PATH, tag = "widget", operation_id = "getWidgetConfig",
    responses(
        (status = 200, body = WidgetConfigResponse),
        (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn config(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Asker), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let checked = exchange.check(Endpoint::WidgetConfig).by(app.gatekeeper()).await;
    if matches!(checked, Err(AuthError::Origin)) {
        exchange.refuse_origin();
    }
    let caller = checked?;
    Ok(dialect::json(StatusCode::OK, &WidgetConfigResponse::from(caller.agent.document.as_ref())))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Asker), request, "GET, OPTIONS").await
}
