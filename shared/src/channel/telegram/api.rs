//! The Bot API, as far as it is used. A bot's token stands in the address of each call: no error and no `Debug` shows one.
//! <https://core.telegram.org/bots/api#making-requests>

use std::fmt;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::WebhookSecret;
use crate::channel::VoiceError;
use crate::channel::call::{self, CallError};

/// Where Telegram is, if the settings do not say it.
const ADDRESS: &str = "https://api.telegram.org";
/// What Telegram is asked to send.
const UPDATES: [&str; 1] = ["message"];
/// The longest pause that Telegram is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A bot's token: its id, a colon, and what is secret.
#[derive(Clone)]
pub struct BotToken(SecretString);

impl BotToken {
    /// Reads a token, as BotFather tells it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (bot, secret) = text.split_once(':')?;
        let is_token = (1..=20).contains(&bot.len())
            && bot.bytes().all(|byte| byte.is_ascii_digit())
            && (20..=128).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        is_token.then(|| Self(text.to_owned().into()))
    }

    /// The bot's id.
    #[must_use]
    pub fn bot(&self) -> &str {
        self.0.expose_secret().split(':').next().unwrap_or_default()
    }

    /// To be sealed.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.0
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The settings name no address of it.
    #[error("TELEGRAM_BASE_URL is no address that can be called")]
    Address,
    /// Telegram has had too many calls, and says when to come again.
    #[error("Telegram asks to wait")]
    Busy(Duration),
    /// Telegram's servers are in trouble: it may have been done.
    #[error("Telegram failed with {0}")]
    Broken(u16),
    /// Telegram refuses the call.
    #[error("Telegram refuses with {code}: {description}")]
    Refused {
        /// Its code, an HTTP status.
        code: u16,
        /// Its words, without any of ours.
        description: String,
        /// Where the chat is now, if it has moved.
        moved_to: Option<i64>,
    },
}

impl TelegramError {
    /// Whether it is the message's markup that Telegram does not read.
    pub(super) fn is_markup(&self) -> bool {
        matches!(self, Self::Refused { code: 400, description, .. } if description.contains(UNPARSEABLE))
    }
}

/// How Telegram begins to say that it cannot read the markup; behind it stand parts of the message.
const UNPARSEABLE: &str = "can't parse entities";
/// How it says, with 400, that a bot may not speak in a chat, or that there is none.
const CLOSED: [&str; 6] = [
    "chat not found",
    "not enough rights",
    "have no rights",
    "peer_id_invalid",
    "chat_write_forbidden",
    "group is deactivated",
];

impl From<TelegramError> for VoiceError {
    fn from(error: TelegramError) -> Self {
        match error {
            TelegramError::Call(CallError::Unreached(_)) => Self::Later(None),
            TelegramError::Call(_) | TelegramError::Broken(_) | TelegramError::Address => Self::Unknown(error.into()),
            TelegramError::Busy(wait) => Self::Later(Some(wait)),
            TelegramError::Refused { code, description, .. } => {
                let words = description.to_lowercase();
                let is_closed = matches!(code, 401 | 403 | 404) || CLOSED.iter().any(|closed| words.contains(closed));
                let said = format!("{code} {description}");
                if is_closed { Self::Closed(said) } else { Self::Refused(said) }
            }
        }
    }
}

/// A bot, as it says itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Bot {
    /// Its id.
    pub id: i64,
    /// Its name, without the `@`.
    pub username: String,
    /// Its name for people.
    pub first_name: String,
}

/// What Telegram knows of a bot's webhook.
#[derive(Clone, Debug, Deserialize)]
pub struct WebhookInfo {
    /// Its address; empty where there is none.
    pub url: String,
    /// How many updates wait.
    #[serde(default)]
    pub pending_update_count: u64,
    /// Why the last delivery failed, in Telegram's words.
    #[serde(default)]
    pub last_error_message: Option<String>,
    /// When, in seconds since the Unix epoch.
    #[serde(default)]
    pub last_error_date: Option<i64>,
}

/// A message that was sent.
#[derive(Deserialize)]
pub(super) struct Posted {
    pub(super) message_id: i64,
}

#[derive(Deserialize)]
struct Envelope {
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    migrate_to_chat_id: Option<i64>,
    #[serde(default)]
    retry_after: Option<u64>,
}

/// The Bot API for one bot.
#[derive(Clone)]
pub struct BotApi {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    token: BotToken,
}

impl fmt::Debug for BotApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BotApi").field("base", &self.base).field("bot", &self.token.bot()).finish_non_exhaustive()
    }
}

impl BotApi {
    /// The API at this address, or at Telegram's own.
    #[must_use]
    pub fn new(client: reqwest::Client, base: Option<&Url>, token: BotToken) -> Self {
        let base = base.map_or(ADDRESS, Url::as_str).trim_end_matches('/').to_owned();
        Self { client, base, token }
    }

    /// Who the bot is.
    ///
    /// # Errors
    /// Where the token is none, or Telegram does not answer.
    pub async fn me(&self) -> Result<Bot, TelegramError> {
        self.call("getMe", &json!({})).await
    }

    /// Has the bot's messages sent to this address, each with the secret.
    ///
    /// # Errors
    /// Where Telegram does not take it.
    pub async fn set_webhook(&self, url: &Url, secret: &WebhookSecret) -> Result<(), TelegramError> {
        let body = json!({ "url": url.as_str(), "secret_token": secret.reveal(), "allowed_updates": UPDATES });
        self.call::<bool>("setWebhook", &body).await.map(drop)
    }

    /// Has nothing sent any more.
    ///
    /// # Errors
    /// Where Telegram does not take it.
    pub async fn delete_webhook(&self) -> Result<(), TelegramError> {
        self.call::<bool>("deleteWebhook", &json!({})).await.map(drop)
    }

    /// Where the bot's messages are sent to, and how that goes.
    ///
    /// # Errors
    /// Where Telegram does not answer.
    pub async fn webhook_info(&self) -> Result<WebhookInfo, TelegramError> {
        self.call("getWebhookInfo", &json!({})).await
    }

    pub(super) async fn send_message(&self, message: &Value) -> Result<Posted, TelegramError> {
        self.call("sendMessage", message).await
    }

    pub(super) async fn send_chat_action(&self, action: &Value) -> Result<(), TelegramError> {
        self.call::<bool>("sendChatAction", action).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, body: &Value) -> Result<T, TelegramError> {
        let url = format!("{}/bot{}/{method}", self.base, self.token.0.expose_secret());
        let url = Url::parse(&url).map_err(|_| TelegramError::Address)?;
        let answer = call::call(&self.client, Method::POST, url, None, Some(body)).await?;
        let unreadable = |_| CallError::Unreadable(answer.status);
        let envelope: Envelope = serde_json::from_value(answer.body).map_err(unreadable)?;
        if envelope.ok {
            return Ok(serde_json::from_value(envelope.result).map_err(unreadable)?);
        }
        let code = envelope.error_code.unwrap_or(answer.status.as_u16());
        Err(match (code, envelope.parameters.retry_after) {
            (_, Some(seconds)) => TelegramError::Busy(Duration::from_secs(seconds).min(LONGEST_PAUSE)),
            (429, None) => TelegramError::Busy(Duration::from_secs(1)),
            (500.., None) => TelegramError::Broken(code),
            _ => TelegramError::Refused {
                code,
                description: words(&envelope.description),
                moved_to: envelope.parameters.migrate_to_chat_id,
            },
        })
    }
}

/// What Telegram says, without what it repeats of a message.
fn words(description: &str) -> String {
    match description.find(UNPARSEABLE) {
        Some(at) => description.get(..at + UNPARSEABLE.len()).unwrap_or_default().to_owned(),
        None => description.chars().filter(|letter| !letter.is_control()).take(200).collect(),
    }
}
