//! Beginning a session.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::app::App;
use shared::auth::{AppCaller, Idempotency};
use shared::clock::{iso_seconds, millis};
use shared::dialect;
use shared::dialect::app::ErrorResponse;
use shared::http::{self, ApiError, ErrorKind, Exchange, Fields, InPath, Request, StatusCode, json_object};
use shared::id::SessionId;
use shared::project;
use shared::session::Facts;
use shared::session::app::{LONGEST, LONGEST_USER};
use shared::store::{AppSessionItem, IdempotencyItem, IdempotencyState};
use utoipa::ToSchema;

use crate::{DOOR, FUNCTION, let_in};

/// A session to be begun.
#[derive(Debug, ToSchema)]
struct CreateSessionRequest {
    /// Whom it is held with.
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    user_id: Option<String>,
    /// What is known about it.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Map<String, Value>>,
}

impl CreateSessionRequest {
    /// Reads a body; an empty one tells nothing.
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { user_id: None, metadata: None });
        }
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            user_id: fields.optional_string("user_id", 1..=LONGEST_USER),
            metadata: fields.optional_object("metadata", usize::MAX),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
struct CreateSessionResponse {
    /// The session; sent along with each message of the conversation.
    #[schema(value_type = String)]
    session_id: SessionId,
    /// When it began.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ends, unless a message comes before.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// Begins a session.
#[utoipa::path(
    post, path = crate::SESSIONS, tag = "sessions", operation_id = "createSession",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]*$", description = "A request that comes again with the same key is answered, not repeated"),
    ),
    request_body(content = Option<CreateSessionRequest>, description = "Nothing needs to be told"),
    responses(
        (status = 201, body = CreateSessionResponse, headers(("Location" = String, description = "The session's history"))),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn begin(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer(&app, &http::named(id), exchange).await).await
}

async fn answer(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let idempotency = exchange.idempotency(&[FUNCTION, id])?;
    let check = exchange.check_app(id).with_idempotency(idempotency.as_ref());
    let caller = let_in(app, exchange, check).await?;
    exchange.expect_json()?;
    let request = CreateSessionRequest::read(exchange.body())?;
    let facts = Facts::new(request.user_id, request.metadata)?;
    let session = match (&idempotency, &caller.pass.earlier) {
        (Some(asked), Some(earlier)) => begun(app, &caller, earlier, asked).await?,
        _ => store(app, &caller, &facts, idempotency.as_ref()).await?,
    };
    // As seen from this path, whatever stands before it.
    let location = format!("sessions/{}/history", session.id);
    let response = CreateSessionResponse {
        created_at: iso_seconds(session.created_at),
        expires_at: iso_seconds(shared::session::app::ends_at(session.created_at, session.created_at)),
        session_id: session.id,
    };
    Ok(([("location", location)], dialect::json(StatusCode::CREATED, &response)).into_response())
}

/// The session that an earlier request began.
async fn begun(
    app: &App,
    caller: &AppCaller,
    earlier: &IdempotencyItem,
    asked: &Idempotency,
) -> Result<AppSessionItem, ApiError> {
    if earlier.body_hash != asked.body_hash {
        let message = "The Idempotency-Key was used with another body.";
        return Err(ApiError::new(ErrorKind::Mismatch, message).code("idempotency_mismatch"));
    }
    let IdempotencyState::Answered { session, .. } = &earlier.state else { return Err(running()) };
    let (project, now) = (&caller.project, app.clock().now_ms());
    app.store().app_session(&project.tenant, &project.id, session, now).await?.ok_or_else(running)
}

fn running() -> ApiError {
    ApiError::new(ErrorKind::Conflict, "The same request is still being answered.")
        .code("request_running")
        .retry_after(Duration::from_secs(1))
}

async fn store(
    app: &App,
    caller: &AppCaller,
    facts: &Facts,
    idempotency: Option<&Idempotency>,
) -> Result<AppSessionItem, ApiError> {
    let (project, now) = (&caller.project, app.clock().now_ms());
    let entry = project.entry().ok_or_else(|| ApiError::internal("a project without agents"))?;
    let session = facts.begin(&project.tenant, (&project.id, &entry.id), SessionId::generate(), now)?;
    let answer = idempotency.map(|asked| {
        let item = IdempotencyItem {
            tenant: project.tenant.clone(),
            body_hash: asked.body_hash.clone(),
            lapses_at: now.saturating_add(millis(LONGEST)),
            owner: session.id.to_string(),
            state: IdempotencyState::Answered { session: session.id.clone(), turn: 0 },
        };
        (asked.hash.as_str(), item)
    });
    let claim = answer.as_ref().map(|(hash, item)| (*hash, item));
    if project::begin_session(app, project, &session, claim).await? { Ok(session) } else { Err(running()) }
}
