//! Slack: the app's settings, its door, and each team's token.

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::channel::slack::api::SlackError;
use shared::channel::slack::{self, connect, signature};
use shared::id::RequestId;
use shared::telemetry;

use super::door::{self, Knock};
use super::report::{About, Report};
use super::{Connection, Deployment};

const DOOR: &str = "/api/slack/events";
const SIGNING: &str = "SLACK_SIGNING_SECRET";
const INSTALL: &str = "install the app again with /api/slack/install";

pub(super) async fn check(deployment: &Deployment, teams: &[&Connection], report: &mut Report) {
    let mut about = report.about("slack");
    let signing = deployment.setting(SIGNING, &mut about).await;
    for name in ["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"] {
        deployment.setting(name, &mut about).await;
    }
    match signing {
        Some(signing) => challenge(deployment, &signing, &mut about).await,
        None => about.skipped("door", "the door was not tried: there is no signing secret"),
    }
    for team in teams {
        let name = team.item.about.get("teamName").and_then(Value::as_str).unwrap_or_default();
        let mut about = report.about(format!("slack {} {name}", team.item.external)).for_agent(&team.agent);
        token(deployment, team, &mut about).await;
    }
}

/// Asks the door as Slack does when the app is saved.
async fn challenge(deployment: &Deployment, secret: &SecretString, about: &mut About<'_>) {
    let challenge = RequestId::generate().to_string();
    let body = json!({ "type": "url_verification", "challenge": challenge, "token": "" }).to_string();
    let time = (deployment.place.clock.now_ms() / 1000).to_string();
    let signed = signature::signature(secret, &time, body.as_bytes());
    let headers = [("x-slack-request-timestamp", time), ("x-slack-signature", signed)];
    let is_echo = |answer: &str| serde_json::from_str(answer).is_ok_and(|body: Value| body["challenge"] == challenge);
    door::knock(deployment, Knock { path: DOOR, headers: &headers, body, setting: SIGNING }, is_echo, about).await;
}

/// Asks Slack who the token speaks as, and what it may do.
async fn token(deployment: &Deployment, team: &Connection, about: &mut About<'_>) {
    let Some(credentials) = deployment.open(&team.item, about) else { return };
    let Ok(api) = slack::open(&deployment.app, &credentials) else {
        return about.wrong("token", "what is stored of it cannot be read", INSTALL);
    };
    let (identity, scopes) = match api.granted().await {
        Ok(granted) => granted,
        Err(SlackError::Refused(code)) => {
            return about.wrong("token", format!("Slack refuses the token with {code}"), INSTALL);
        }
        Err(error @ (SlackError::Later(_) | SlackError::Unknown(_))) => {
            return about.wrong("token", telemetry::chain(&error), "see that Slack is reached, and try again");
        }
    };
    let bot = connect::bot_user(&team.item);
    if identity.team_id != team.item.external || identity.user_id != bot {
        let message = format!("the token speaks as {} in {}, not as {bot}", identity.user_id, identity.team_id);
        return about.wrong("token", message, INSTALL);
    }
    about.well("token", format!("the token speaks as {bot}"));
    let Some(granted) = scopes else {
        return about.skipped("scopes", "Slack does not say what the token may do");
    };
    let missing: Vec<_> =
        connect::SCOPES.split(',').filter(|scope| !granted.iter().any(|granted| granted == scope)).collect();
    if missing.is_empty() {
        about.well("scopes", "it may do all that is needed");
    } else {
        about.wrong("scopes", format!("the token lacks {}", missing.join(", ")), INSTALL);
    }
}
