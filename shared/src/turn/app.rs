//! What a turn makes of its app's session, and what it tells the app's receivers.

use super::TurnRequest;
use super::progress::{Progress, Spending};
use crate::clock::millis;
use crate::id::Home;
use crate::session::app::{KEPT, ends_at};
use crate::store::{AppSessionItem, AppUsageItem};
use crate::webhook::Event;

/// How long usage is kept, in milliseconds: for a year's comparison.
const USAGE_KEPT: i64 = 400 * 24 * 60 * 60 * 1000;

/// How the turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer.
    Answered,
    /// Without one.
    Failed,
}

/// What the session belongs to.
pub(super) fn home(request: &TurnRequest) -> Home {
    request.session.app.as_ref().map_or_else(|| Home::from(&request.agent.id), |session| Home::from(&session.app))
}

/// The session as it is after the turn.
pub(super) fn after(session: &AppSessionItem, number: u64, progress: &Progress, now_ms: i64) -> AppSessionItem {
    let usage = progress.usage();
    let escalated_at = progress.escalation.as_ref().map(|_| now_ms);
    AppSessionItem {
        agent: progress.agent.id.clone(),
        ends_at: ends_at(session.created_at, now_ms),
        escalated_at: session.escalated_at.or(escalated_at),
        last_turn: number,
        input_tokens: session.input_tokens + usage.input_tokens,
        output_tokens: session.output_tokens + usage.output_tokens,
        expires_at: now_ms.saturating_add(millis(KEPT)),
        lease_owner: None,
        lease_until: None,
        ..session.clone()
    }
}

/// What each agent used of each model, on the day of `day` (`yyyy-mm-dd`).
pub(super) fn usage(
    request: &TurnRequest,
    progress: &Progress,
    end: End,
    (day, now_ms): (&str, i64),
) -> Vec<AppUsageItem> {
    if request.session.app.is_none() {
        return Vec::new();
    }
    let item = |spending: &Spending| {
        let answered =
            end == End::Answered && spending.agent.id == progress.agent.id && spending.model == progress.model;
        AppUsageItem {
            tenant: request.agent.tenant.clone(),
            day: day.to_owned(),
            agent: spending.agent.id.clone(),
            agent_name: spending.agent.name.clone(),
            model: spending.model.clone(),
            input_tokens: spending.usage.input_tokens,
            output_tokens: spending.usage.output_tokens,
            turns: u64::from(answered),
            cost_micros: super::run::micros(spending.cost),
            expires_at: now_ms.saturating_add(USAGE_KEPT),
        }
    };
    progress.spent().iter().map(item).collect()
}

/// What is told of a turn that is stored: that its session began, if it did, and that a person was called for.
pub(super) fn events(request: &TurnRequest, session: &AppSessionItem, progress: &Progress) -> Vec<Event> {
    let began = request.session.lease.is_none().then(|| Event::app_session_started(session));
    let escalated = progress.escalation.as_ref().map(|escalation| {
        let messages = request.session.history.iter().chain(&progress.messages);
        Event::conversation_escalated(session, escalation, messages)
    });
    began.into_iter().chain(escalated).collect()
}
