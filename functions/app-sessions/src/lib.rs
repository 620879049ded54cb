//! `/v1/apps/{app_id}/sessions`: sessions of an app are begun, read and ended.

mod begin;
mod end;
mod history;

use axum::Router;
use axum::response::Response;
use axum::routing::{delete, get, post};
use shared::app::App;
use shared::auth::{AppCaller, AppCheck};
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::SessionId;
use shared::store::AppSessionItem;
use utoipa::OpenApi;

const FUNCTION: &str = "app-sessions";
const SESSIONS: &str = "/v1/apps/{app_id}/sessions";
const SESSION: &str = "/v1/apps/{app_id}/sessions/{session_id}";
const HISTORY: &str = "/v1/apps/{app_id}/sessions/{session_id}/history";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::App, FUNCTION, Cors::None);

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(begin::begin, end::end, history::history))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new()
        .route(SESSIONS, post(begin::begin).fallback(|request| other_method(request, "POST")))
        .route(SESSION, delete(end::end).fallback(|request| other_method(request, "DELETE")))
        .route(HISTORY, get(history::history).fallback(|request| other_method(request, "GET")))
}

async fn other_method(request: Request, allow: &'static str) -> Response {
    Exchange::answer_other_method(DOOR, request, allow).await
}

/// Lets a caller in, and takes their rate token.
async fn let_in(app: &App, exchange: &mut Exchange, check: AppCheck) -> Result<AppCaller, ApiError> {
    let caller = check.by(app.gatekeeper()).await?;
    exchange.set_rate(app.admissions().take(&caller.pass).await?);
    Ok(caller)
}

/// The session that the path names.
async fn own_session(
    app: &App,
    exchange: &mut Exchange,
    (id, session): (String, String),
) -> Result<(AppCaller, AppSessionItem), ApiError> {
    let session = SessionId::from(session);
    let check = exchange.check_app(&id).in_session(Some(session.clone()));
    let mut caller = let_in(app, exchange, check).await?;
    let found = caller.session.take().ok_or_else(|| {
        ApiError::new(ErrorKind::NotFound, "Session not found")
            .code("session_not_found")
            .details(vec![format!("session_id: {session}")])
    })?;
    Ok((caller, found))
}
