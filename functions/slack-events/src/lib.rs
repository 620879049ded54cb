//! `POST /api/slack/events`: what happens in Slack, as its Events API tells it. What a person says to the bot is queued;
//! Slack has its answer at once, and sends again what has none.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use shared::app::App;
use shared::channel::Platform;
use shared::channel::slack::event::{self, Event, Happened, Meaning};
use shared::channel::slack::{connect, signature, signing_secret};
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request, StatusCode};
use shared::store::ConnectionItem;

const FUNCTION: &str = "slack-events";

/// The routes of this function. Slack calls it, and no client: it stands in no description.
pub fn routes() -> Router<App> {
    Router::new().route("/api/slack/events", post(receive).fallback(other_method))
}

/// That the event came.
#[derive(Serialize)]
struct EventResponse {
    ok: bool,
}

/// That the URL is ours.
#[derive(Serialize)]
struct ChallengeResponse {
    challenge: String,
}

async fn receive(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::None), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let secret = signing_secret(app.secrets()).await?;
    let header = |name| exchange.header(name).map(|value| value.as_bytes());
    signature::check(
        &secret,
        header("x-slack-request-timestamp"),
        header("x-slack-signature"),
        exchange.body(),
        app.clock().now_ms(),
    )?;
    let event = event::read(exchange.body()).map_err(|error| {
        ApiError::new(ErrorKind::InvalidRequest, "Invalid JSON body").code("invalid_json").because(error)
    })?;
    match event {
        Event::Challenge(challenge) => return Ok(dialect::json(StatusCode::OK, &ChallengeResponse { challenge })),
        Event::Happened(happened) => take(app, exchange, *happened).await?,
        Event::Nothing => {}
    }
    Ok(dialect::json(StatusCode::OK, &EventResponse { ok: true }))
}

async fn take(app: &App, exchange: &mut Exchange, happened: Happened) -> Result<(), ApiError> {
    let Some(connection) = app.store().connection(Platform::Slack, &happened.team).await? else {
        tracing::info!(team = happened.team, "an event of a Slack team that is not connected");
        return Ok(());
    };
    exchange.about_agent(&connection.agent);
    let at = happened.at;
    match happened.meaning(connect::bot_user(&connection), app.clock().now_ms()) {
        Meaning::Said(incoming) => {
            app.channels().send(&incoming.to_message().map_err(ApiError::internal)?).await?;
        }
        Meaning::Gone => disconnect(app, &connection, at).await?,
        Meaning::Nothing => {}
    }
    Ok(())
}

/// Forgets a team, unless it was connected anew since.
async fn disconnect(app: &App, connection: &ConnectionItem, at: i64) -> Result<(), ApiError> {
    let (team, agent) = (connection.external.as_str(), connection.agent.as_str());
    if connection.updated_at / 1000 > at {
        tracing::info!(team, agent, "a Slack team was connected again since it removed the app");
        return Ok(());
    }
    app.store().delete_connection(&connection.tenant, Platform::Slack, team).await?;
    tracing::info!(team, agent, "a Slack team removed the app");
    Ok(())
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "POST").await
}
