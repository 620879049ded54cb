//! `GET /api/slack/oauth`: where Slack brings a person back who let the app into their team. The code that comes along is
//! exchanged for the bot's token, which is kept sealed; from then on the agent answers in the team.
//!
//! A person reads the reply: it is a page, whatever happens.

mod page;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use shared::app::App;
use shared::channel::slack::api::{Identity, Installation, SlackApi, SlackError, Team, oauth_access};
use shared::channel::slack::connect::{Install, StateError};
use shared::channel::{Platform, room, slack};
use shared::dialect::Dialect;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request, parameters};

const FUNCTION: &str = "slack-oauth";
/// The longest code that is handed on, in bytes.
const LONGEST_CODE: usize = 1_024;

/// The routes of this function. Slack's browser calls it, and no client: it stands in no description.
pub fn routes() -> Router<App> {
    Router::new().route("/api/slack/oauth", get(connect).fallback(other_method))
}

async fn connect(State(app): State<App>, request: Request) -> Response {
    let mut exchange = match Exchange::read(Dialect::Kopern, FUNCTION, Cors::None, request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let page = match answer(&app, &mut exchange).await {
        Ok(team) => page::connected(&team),
        Err(error) => {
            exchange.log(&error);
            page::failed(Dialect::Kopern.status(error.kind), &error.message)
        }
    };
    exchange.reply(Ok(page))
}

/// Connects the team, and tells its name.
async fn answer(app: &App, exchange: &mut Exchange) -> Result<String, ApiError> {
    let now = app.clock().now_ms();
    let query = parameters(exchange.query());
    let parameter = |name: &str| query.get(name).and_then(|value| value.as_str()).filter(|value| !value.is_empty());
    if let Some(error) = parameter("error") {
        return Err(denied(error));
    }
    let (Some(code), Some(state)) = (parameter("code").filter(|code| code.len() <= LONGEST_CODE), parameter("state"))
    else {
        return Err(ApiError::new(ErrorKind::InvalidRequest, "Missing code or state").code("invalid_request"));
    };
    let sealer = app.sealer().await?;
    let install = Install::open(&sealer, state, now).map_err(refused_state)?;
    exchange.about_agent(&install.agent);
    let (client_id, client_secret) =
        (slack::client_id(app.secrets()).await?, slack::client_secret(app.secrets()).await?);
    if app.store().agent(&install.tenant, &install.agent).await?.is_none() {
        return Err(ApiError::new(ErrorKind::NotFound, "The agent does not exist any more.").code("agent_not_found"));
    }
    if !install.take(app.store(), now).await? {
        return Err(refused_state(StateError::Expired));
    }

    let base = slack::base_url(app.config());
    let access = oauth_access(app.client(), &base, (&client_id, &client_secret), code).await;
    let installation = access.map_err(not_exchanged)?;
    let api = SlackApi::new(app.client().clone(), base, installation.access_token.clone());
    let (team, identity) = installed(&api, &installation).await?;
    room(app.store(), &install.tenant, Platform::Slack, &team.id, now).await??;
    let mut connection =
        install.connection(&sealer, (&installation, team, &identity), now).map_err(ApiError::internal)?;
    if let Some(earlier) = app.store().connection(Platform::Slack, &team.id).await? {
        connection.created_at = earlier.created_at;
    }
    if !app.store().put_connection(&connection).await? {
        let message = "This Slack workspace is connected by another account already.";
        return Err(ApiError::new(ErrorKind::Conflict, message).code("team_connected"));
    }
    tracing::info!(team = team.id, agent = install.agent.as_str(), "a Slack team is connected");
    Ok(team.name.clone())
}

/// The team that the app was installed in, and the bot there.
async fn installed<'a>(api: &SlackApi, installation: &'a Installation) -> Result<(&'a Team, Identity), ApiError> {
    let refused = |message: &str, code| Err(ApiError::new(ErrorKind::InvalidRequest, message).code(code));
    let Some(team) = &installation.team else {
        // Nobody is connected by it: what was let in for a whole organisation is let go again.
        if let Err(error) = api.auth_revoke().await {
            tracing::warn!(error = shared::telemetry::chain(&error), "the token of an organisation is not revoked");
        }
        let message = "The app was installed for a whole organisation. Install it in one workspace of it instead.";
        return refused(message, "organisation_install");
    };
    if installation.expires_in.is_some() {
        let message = "The Slack app rotates its tokens. Token rotation must be off.";
        return refused(message, "token_rotation");
    }
    let identity = api.auth_test().await.map_err(not_exchanged)?;
    if identity.team_id != team.id {
        return Err(ApiError::internal("the token is another team's"));
    }
    Ok((team, identity))
}

/// What a person did not want, or Slack did not let them.
fn denied(error: &str) -> ApiError {
    let message = match error {
        "access_denied" => "The app was not let into the workspace. Nothing was changed.",
        _ => "Slack did not let the app into the workspace. Nothing was changed.",
    };
    ApiError::new(ErrorKind::InvalidRequest, message).code("access_denied")
}

fn refused_state(error: StateError) -> ApiError {
    let message = match error {
        StateError::Foreign => "Invalid state parameter",
        StateError::Expired => "This link has expired or was used already. Please begin again.",
    };
    ApiError::new(ErrorKind::InvalidRequest, message).code("invalid_state")
}

fn not_exchanged(error: SlackError) -> ApiError {
    let kind = match &error {
        SlackError::Refused(_) => ErrorKind::InvalidRequest,
        SlackError::Later(_) | SlackError::Unknown(_) => ErrorKind::Unavailable,
    };
    ApiError::new(kind, "Slack did not confirm the installation. Please begin again.")
        .code("slack_failed")
        .because(error)
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "GET").await
}
