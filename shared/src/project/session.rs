//! Sessions begin and end, and receivers are told.

use crate::app::App;
use crate::http::ApiError;
use crate::id::EventId;
use crate::session::SessionError;
use crate::session::app::{SessionStatus, status};
use crate::store::{AppSessionItem, EndReason, IdempotencyItem, ProjectItem, SessionEnd, StoreError};
use crate::webhook::{Event, Listeners};

/// How often an end is tried that a turn comes before.
const TRIES: u32 = 5;

/// Begins a session, and answers the claim of the request that asks for it. `false` where the same request came before.
///
/// # Errors
/// Where the table does not take it.
pub async fn begin_session(
    app: &App,
    project: &ProjectItem,
    session: &AppSessionItem,
    claim: Option<(&str, &IdempotencyItem)>,
) -> Result<bool, StoreError> {
    let event = Event::app_session_started(session);
    let home = (&project.tenant, &project.id);
    let outbox = Listeners::of(&project.webhooks).outbox(session.id.as_str(), home, vec![event], session.created_at);
    let is_new = app.store().begin_app_session(session, claim, outbox.as_ref()).await?;
    if is_new {
        app.outbox().hand_over(outbox.as_ref()).await;
    }
    Ok(is_new)
}

/// Ends a session, or tells how it ended already. One whose time is over ends by that, whoever asks.
///
/// # Errors
/// Where a turn runs in it, or the table does not take it.
pub async fn end_session(
    app: &App,
    project: &ProjectItem,
    mut session: AppSessionItem,
) -> Result<SessionEnd, ApiError> {
    for _ in 0..TRIES {
        if let Some(end) = session.end {
            return Ok(end);
        }
        let now = app.clock().now_ms();
        let end = match status(&session, now) {
            SessionStatus::Over(EndReason::Expired) => SessionEnd { at: session.ends_at, reason: EndReason::Expired },
            _ => SessionEnd { at: now, reason: EndReason::UserEnded },
        };
        let event = Event::app_session_ended(&session, &end);
        let home = (&project.tenant, &project.id);
        let outbox = Listeners::of(&project.webhooks).outbox(EventId::generate().as_str(), home, vec![event], now);
        if app.store().end_app_session(&session, &end, outbox.as_ref(), now).await? {
            app.outbox().hand_over(outbox.as_ref()).await;
            return Ok(end);
        }
        let found = app.store().app_session(&project.tenant, &project.id, &session.id, now).await?;
        session = found.ok_or_else(|| SessionError::Missing(session.id.clone()))?;
        if session.lease_until.is_some_and(|until| until > now) {
            break;
        }
    }
    Err(SessionError::Busy.into())
}
