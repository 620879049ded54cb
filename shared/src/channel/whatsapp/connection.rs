//! A number's connection: what is kept of it, and how it is opened.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{AccessToken, GraphApi, PhoneNumber};
use super::voice::WhatsAppVoice;
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

/// Whose secret signs what comes to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedBy {
    /// The deployment's app at Meta: `WHATSAPP_APP_SECRET`.
    Deployment,
    /// An app of the tenant's own, whose secret is among the credentials.
    OwnApp,
}

/// What is kept of a number in the open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// As people write it.
    pub number: String,
    /// The business's name.
    pub name: String,
    /// The business account, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The SHA-256 of its verify token.
    pub verify_hash: String,
    /// Whose secret signs what comes to it.
    pub signed_by: SignedBy,
}

/// What opens a number.
pub struct Credentials {
    /// Speaks for it.
    pub token: AccessToken,
    /// Signs what comes to it, where it has an app of its own.
    pub app_secret: Option<SecretString>,
}

/// What Meta shows when it asks whether an address is willing.
pub struct VerifyToken(String);

impl VerifyToken {
    /// A fresh one for a number, which stands in it; `None` where the system gives no randomness.
    #[must_use]
    pub fn generate(phone: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(format!("{phone}_{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// One that a person has chosen.
    #[must_use]
    pub const fn chosen(token: String) -> Self {
        Self(token)
    }

    /// As Meta is told it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether what Meta shows is the token of this hash. It takes as long for any of the same length.
    #[must_use]
    pub fn holds(shown: &str, kept: &str) -> bool {
        verify_slices_are_equal(hash(shown).as_bytes(), kept.as_bytes()).is_ok()
    }
}

/// The number that a verify token was made for, if it was made here.
#[must_use]
pub fn phone_of_token(shown: &str) -> Option<&str> {
    shown.split_once('_').map(|(phone, _)| phone)
}

fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// A number's connection to an agent, to be stored.
///
/// # Errors
/// Where the credentials cannot be sealed.
pub fn connection(
    sealer: &Sealer,
    (tenant, agent): (&TenantId, &AgentId),
    (phone, account): (&PhoneNumber, Option<&str>),
    credentials: &Credentials,
    verify: &VerifyToken,
    now_ms: i64,
) -> Result<ConnectionItem, SealError> {
    let external = phone.id.clone();
    let sealed = SecretString::from(
        json!({
            "token": credentials.token.secret().expose_secret(),
            "app_secret": credentials.app_secret.as_ref().map(ExposeSecret::expose_secret),
        })
        .to_string(),
    );
    let signed_by = if credentials.app_secret.is_some() { "own_app" } else { "deployment" };
    let mut about = Map::new();
    about.insert("number".to_owned(), phone.display_phone_number.clone().into());
    about.insert("name".to_owned(), phone.verified_name.clone().into());
    about.insert("verify_hash".to_owned(), hash(verify.reveal()).into());
    about.insert("signed_by".to_owned(), signed_by.into());
    about.extend(account.map(|account| ("account".to_owned(), Value::from(account))));
    Ok(ConnectionItem {
        platform: Platform::WhatsApp,
        sealed: sealer.seal(tenant, &ConnectionItem::purpose(Platform::WhatsApp, &external), &sealed)?,
        external,
        tenant: tenant.clone(),
        agent: agent.clone(),
        about,
        created_at: now_ms,
        updated_at: now_ms,
    })
}

impl About {
    /// What is kept of a connection's number.
    ///
    /// # Errors
    /// Where it is not a number's connection.
    pub fn of(connection: &ConnectionItem) -> Result<Self, ConnectionError> {
        Self::deserialize(Value::Object(connection.about.clone())).map_err(|_| ConnectionError::Malformed)
    }
}

impl Credentials {
    /// Reads what [`connection`] has sealed.
    ///
    /// # Errors
    /// Where it is none of a number.
    pub fn read(opened: &SecretString) -> Result<Self, ConnectionError> {
        let value: Value = serde_json::from_str(opened.expose_secret()).map_err(|_| ConnectionError::Malformed)?;
        let token = value["token"].as_str().and_then(AccessToken::parse).ok_or(ConnectionError::Malformed)?;
        Ok(Self { token, app_secret: value["app_secret"].as_str().map(|secret| secret.to_owned().into()) })
    }
}

/// The Graph API for a number, with the credentials that [`connection`] has sealed.
///
/// # Errors
/// Where they are none of a number.
pub fn open(app: &App, phone: &str, credentials: &SecretString) -> Result<GraphApi, ConnectionError> {
    let token = Credentials::read(credentials)?.token;
    Ok(GraphApi::new(app.client().clone(), app.config().base_urls.get("graph"), phone.to_owned(), token))
}

/// The voice that answers a message.
///
/// # Errors
/// Where the credentials are none of a number, or the message is none of WhatsApp's.
pub fn voice(app: &App, credentials: &SecretString, incoming: &Incoming) -> Result<WhatsAppVoice, ConnectionError> {
    let api = open(app, &incoming.connection, credentials)?;
    WhatsAppVoice::new(api, &incoming.place).map_err(|_| ConnectionError::Malformed)
}
