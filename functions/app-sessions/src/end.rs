//! Ending a session.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::app::App;
use shared::clock::iso_seconds;
use shared::dialect;
use shared::dialect::app::ErrorResponse;
use shared::http::{self, ApiError, Exchange, InPath, Request, StatusCode};
use shared::id::SessionId;
use shared::project;
use utoipa::ToSchema;

use crate::{DOOR, own_session};

/// A session that has ended.
#[derive(Debug, Serialize, ToSchema)]
struct EndSessionResponse {
    /// The session.
    #[schema(value_type = String)]
    session_id: SessionId,
    /// Always `ended`.
    #[schema(pattern = "^ended$")]
    status: &'static str,
    /// When it ended.
    #[schema(format = "date-time")]
    ended_at: String,
}

/// Ends a session. Its history stays readable for 30 days; to end it again changes nothing.
#[utoipa::path(
    delete, path = crate::SESSION, tag = "sessions", operation_id = "endSession",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("session_id" = String, Path, description = "The session's id"),
    ),
    responses(
        (status = 200, body = EndSessionResponse),
        (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn end(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer(&app, http::named(path), exchange).await).await
}

async fn answer(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (caller, session) = own_session(app, exchange, path).await?;
    let id = session.id.clone();
    let end = project::end_session(app, &caller.project, session).await?;
    let response = EndSessionResponse { session_id: id, status: "ended", ended_at: iso_seconds(end.at) };
    Ok(dialect::json(StatusCode::OK, &response))
}
