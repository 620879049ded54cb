//! Sessions whose time is over end, also where nobody asks.

use futures::StreamExt;

use super::end_session;
use crate::app::App;
use crate::http::ApiError;
use crate::session::app::{SessionStatus, status};
use crate::store::SessionAlarm;

/// How many alarms are looked at in a run; those that are left ring in the next one.
const MOST: i32 = 500;
/// How many of them at once.
const AT_ONCE: usize = 16;
/// How long an alarm waits that failed, in milliseconds: meanwhile it is in nobody's way.
const AGAIN: i64 = 10 * 60 * 1000;

/// Ends the sessions whose time is over, and tells their apps' receivers. Gives how many ended; one that cannot be ended
/// is tried again ten minutes later, behind all others.
///
/// # Errors
/// Where the index cannot be read, or a session could not be ended: the last failure.
pub async fn end_sessions(app: &App) -> Result<usize, ApiError> {
    let alarms = app.store().ringing(app.clock().now_ms(), MOST).await?;
    let mut outcomes =
        futures::stream::iter(alarms).map(|alarm| answer_or_put_off(app, alarm)).buffer_unordered(AT_ONCE);
    let (mut ended, mut failure) = (0, None);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(has_ended) => ended += usize::from(has_ended),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(ended), Err)
}

/// Whether the session ended by this alarm. One that fails rings again later.
async fn answer_or_put_off(app: &App, alarm: SessionAlarm) -> Result<bool, ApiError> {
    let outcome = answer(app, &alarm).await;
    if outcome.is_err() {
        // Where that fails too it rings in the next run.
        let _put_off = app.store().move_alarm(&alarm, app.clock().now_ms() + AGAIN).await;
    }
    outcome
}

async fn answer(app: &App, alarm: &SessionAlarm) -> Result<bool, ApiError> {
    let (store, now) = (app.store(), app.clock().now_ms());
    let session = store.app_session(&alarm.tenant, &alarm.app, &alarm.session, now).await?;
    let project = store.project(&alarm.tenant, &alarm.app).await?;
    let (Some(session), Some(project)) = (session, project) else {
        store.delete_alarm(alarm).await?;
        return Ok(false);
    };
    match status(&session, now) {
        SessionStatus::Active | SessionStatus::Escalated => {
            store.move_alarm(alarm, session.ends_at).await?;
            Ok(false)
        }
        // A turn that runs past its session's end keeps it for as long as it runs.
        SessionStatus::Over(_) if session.lease_until.is_some_and(|until| until > now) => Ok(false),
        SessionStatus::Over(_) => end_session(app, &project, session).await.map(|_| true),
    }
}
