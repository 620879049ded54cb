//! `/v1/apps/{app_id}/sessions`: sessions of an app are begun, read and ended.

mod begin;
mod end;
mod history;

use axum::response::Response;
use shared::app::App;
use shared::auth::{AppCaller, AppCheck};
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request};
use shared::id::SessionId;
use shared::store::AppSessionItem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const FUNCTION: &str = "app-sessions";
/// In which shape, by which function and to which pages it is answered.
const DOOR: (Dialect, &str, Cors) = (Dialect::App, FUNCTION, Cors::None);

/// The routes of this function.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let (begin, end, history) = (routes!(begin::begin), routes!(end::end), routes!(history::history));
    OpenApiRouter::new()
        .routes((begin.0, begin.1, begin.2.fallback(|request| other_method(request, "POST"))))
        .routes((end.0, end.1, end.2.fallback(|request| other_method(request, "DELETE"))))
        .routes((history.0, history.1, history.2.fallback(|request| other_method(request, "GET"))))
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
