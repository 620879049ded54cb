//! Slack. A connection is a team's installation of the app; a conversation is a thread.

pub mod api;
pub mod connect;
pub mod event;
mod message;
pub mod mrkdwn;
mod readable;
mod settings;
pub mod signature;
mod thread;
mod voice;

pub use settings::{SettingError, base_url, client_id, client_secret, signing_secret};
pub use voice::SlackVoice;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::Incoming;
use crate::app::App;

/// Slack for a team, with its connection's opened credentials.
///
/// # Errors
/// Where the credentials are not ours.
pub fn open(app: &App, credentials: &SecretString) -> serde_json::Result<api::SlackApi> {
    let credentials: connect::Credentials = serde_json::from_str(credentials.expose_secret())?;
    Ok(client(app, credentials.bot_token))
}

/// The voice that answers a message, with the connection's opened credentials.
///
/// # Errors
/// Where the credentials, or the message's place, are not ours.
pub(super) fn voice(app: &App, credentials: &SecretString, incoming: &Incoming) -> serde_json::Result<SlackVoice> {
    let credentials: connect::Credentials = serde_json::from_str(credentials.expose_secret())?;
    let place = event::Place::deserialize(&incoming.place)?;
    let api = client(app, credentials.bot_token);
    Ok(SlackVoice::new(api, place, incoming.event.clone(), (credentials.bot_user, credentials.bot_id)))
}

fn client(app: &App, token: SecretString) -> api::SlackApi {
    api::SlackApi::new(app.client().clone(), base_url(app.config()), token)
}

/// Reads a secret out of JSON.
fn secret<'de, D: Deserializer<'de>>(json: D) -> Result<SecretString, D::Error> {
    String::deserialize(json).map(SecretString::from)
}
