//! A bot's connection: what is kept of it, and how it is opened.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{Bot, BotApi, BotToken};
use super::voice::TelegramVoice;
use super::{Addressee, WebhookSecret};
use crate::app::App;
use crate::channel::{Incoming, Platform};
use crate::id::{AgentId, TenantId};
use crate::secret::{SealError, Sealer};
use crate::store::ConnectionItem;

/// A connection that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// It is not of the shape that is written here.
    #[error("the stored connection cannot be read")]
    Malformed,
}

/// What is kept of a bot in the open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its name, without the `@`.
    pub username: String,
    /// Its name for people.
    pub name: String,
    /// The SHA-256 of its webhook's secret.
    pub secret_hash: String,
}

/// A bot's connection to an agent, to be stored.
///
/// # Errors
/// Where the token cannot be sealed.
pub fn connection(
    sealer: &Sealer,
    (tenant, agent): (&TenantId, &AgentId),
    (bot, token): (&Bot, &BotToken),
    secret: &WebhookSecret,
    now_ms: i64,
) -> Result<ConnectionItem, SealError> {
    let external = token.bot().to_owned();
    let credentials = SecretString::from(json!({ "token": token.secret().expose_secret() }).to_string());
    let mut about = Map::new();
    about.insert("username".to_owned(), bot.username.clone().into());
    about.insert("name".to_owned(), bot.first_name.clone().into());
    about.insert("secret_hash".to_owned(), secret.hash().into());
    Ok(ConnectionItem {
        platform: Platform::Telegram,
        sealed: sealer.seal(tenant, &ConnectionItem::purpose(Platform::Telegram, &external), &credentials)?,
        external,
        tenant: tenant.clone(),
        agent: agent.clone(),
        about,
        created_at: now_ms,
        updated_at: now_ms,
    })
}

impl About {
    /// What is kept of a connection's bot.
    ///
    /// # Errors
    /// Where it is not a bot's connection.
    pub fn of(connection: &ConnectionItem) -> Result<Self, ConnectionError> {
        Self::deserialize(Value::Object(connection.about.clone())).map_err(|_| ConnectionError::Malformed)
    }

    /// The bot, as messages name it.
    ///
    /// # Errors
    /// Where the connection's name is no bot's id.
    pub fn addressee(&self, connection: &ConnectionItem) -> Result<Addressee<'_>, ConnectionError> {
        let id = connection.external.parse().map_err(|_| ConnectionError::Malformed)?;
        Ok(Addressee { id, username: &self.username })
    }
}

/// The Bot API with these credentials, which [`connection`] has sealed.
///
/// # Errors
/// Where they are none of a bot.
pub fn open(app: &App, credentials: &SecretString) -> Result<BotApi, ConnectionError> {
    let credentials: Value =
        serde_json::from_str(credentials.expose_secret()).map_err(|_| ConnectionError::Malformed)?;
    let token = credentials["token"].as_str().and_then(BotToken::parse).ok_or(ConnectionError::Malformed)?;
    Ok(BotApi::new(app.client().clone(), app.config().base_urls.get("telegram"), token))
}

/// The voice that answers a message.
///
/// # Errors
/// Where the credentials are none of a bot, or the message is none of Telegram's.
pub fn voice(app: &App, credentials: &SecretString, incoming: &Incoming) -> Result<TelegramVoice, ConnectionError> {
    TelegramVoice::new(open(app, credentials)?, &incoming.place).map_err(|_| ConnectionError::Malformed)
}
