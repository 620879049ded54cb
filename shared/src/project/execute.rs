//! One message for an app, as both of its endpoints take it.

use crate::admission::Admission;
use crate::agent::Member;
use crate::app::App;
use crate::auth::AppCaller;
use crate::dialect::app::ExecuteRequest;
use crate::http::{ApiError, ErrorKind, Exchange, Respondent};
use crate::id::AgentId;
use crate::session::{AppWish, Wish};
use crate::store::{AppSessionItem, ProjectAgent, ProjectItem};
use crate::turn::{AppTurn, Begun, TurnInput, TurnStream};
use crate::webhook::Listeners;

/// What an idempotency key is unique within, beside its app: it does not matter by which endpoint a message comes again.
const SCOPE: &str = "app-execute";

/// Checks the key, limits, reads the message and runs it.
///
/// # Errors
/// Everything that stands against an answer before it begins.
pub async fn execute(app: &App, exchange: &mut Exchange, id: &str) -> Result<(Begun, TurnStream), ApiError> {
    let idempotency = exchange.idempotency(&[SCOPE, id])?;
    let request = exchange.expect_json().and_then(|()| ExecuteRequest::read(exchange.body()));
    let named = request.as_ref().ok().and_then(|request| request.session_id.clone());
    let check = exchange.check_app(id).in_session(named).with_idempotency(idempotency.as_ref());
    let AppCaller { pass, project, session } = check.by(app.gatekeeper()).await?;
    exchange.let_in(app.admissions(), &pass)?;
    let request = request?;
    if pass.earlier.is_none() {
        check_pause(&project, session.as_ref())?;
    }
    let entry = project.entry().ok_or_else(|| ApiError::internal("a project without agents"))?;
    let next = who_answers(&project, entry, session.as_ref()).clone();
    let wish = Wish::App(AppWish {
        app: project.id.clone(),
        facts: request.facts()?,
        session: request.session_id,
        entry: entry.id.clone(),
    });
    let (admission, agent) = tokio::join!(
        app.admissions().admit(&pass, wish, idempotency.as_ref()),
        app.gatekeeper().find_agent(&pass.tenant, &next),
    );
    let mut admission = admission?;
    let mut team = None;
    let mut agent = agent.map_err(ApiError::from);
    if let Admission::Run(admitted) = &mut admission {
        let opened = admitted.session.app.as_deref();
        let now = who_answers(&project, entry, opened);
        if *now != next {
            // The session was handed over after it was read.
            agent = app.gatekeeper().find_agent(&pass.tenant, now).await.map_err(ApiError::from);
        }
        if agent.is_err() {
            app.admissions().withdraw(&pass, admitted).await;
        }
        team = opened.map(|session| AppTurn {
            members: project.agents.iter().map(Member::from).collect(),
            memory: crate::session::app::memory(session, &admitted.trace, app.clock().now_ms()),
        });
    }
    let listeners = Listeners::of(&project.webhooks);
    let respondent = Respondent { pass, agent: agent?, listeners, app: team };
    let input = TurnInput { message: request.message, ..TurnInput::default() };
    exchange.begin(app.turns(), respondent, admission, input)
}

/// The agent that the session is with, if it belongs to the project still.
fn who_answers<'a>(project: &ProjectItem, entry: &'a ProjectAgent, session: Option<&'a AppSessionItem>) -> &'a AgentId {
    session.map(|session| &session.agent).filter(|agent| project.agent(agent).is_some()).unwrap_or(&entry.id)
}

fn check_pause(project: &ProjectItem, session: Option<&AppSessionItem>) -> Result<(), ApiError> {
    match session {
        Some(session) if project.pause_on_escalation && session.escalated_at.is_some() => {
            Err(ApiError::new(ErrorKind::InvalidRequest, "Session was handed to a person")
                .code("session_paused")
                .details(vec![format!("session_id: {}", session.id)]))
        }
        _ => Ok(()),
    }
}
