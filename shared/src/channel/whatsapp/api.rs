//! The Graph API, as far as it is used.
//! <https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes>

use std::fmt;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::channel::VoiceError;
use crate::channel::call::{self, CallError};

/// Where the Graph API is, and in which version, if the settings do not say it.
const ADDRESS: &str = "https://graph.facebook.com/v25.0";
/// Codes that ask to come later: too many calls of the app, of the account, of the number, to one person; services that
/// are overloaded or away.
const LATER: [i64; 9] = [4, 17, 613, 80007, 130_429, 131_048, 131_056, 131_057, 133_016];
/// Codes for faults of Meta's own: it may have been done.
const BROKEN: [i64; 5] = [1, 2, 131_000, 131_016, 133_004];
/// Codes for a token that does not hold, or not for this, for a person who is not on WhatsApp, and for one who has not
/// written for a day: nothing can be said any more.
const CLOSED: [i64; 10] = [0, 3, 10, 102, 190, 131_005, 131_026, 131_031, 131_047, 368];
/// How long is waited where the Graph API asks to wait.
const PAUSE: Duration = Duration::from_secs(6);

/// An access token.
#[derive(Clone)]
pub struct AccessToken(SecretString);

impl AccessToken {
    /// Reads a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = (16..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned().into()))
    }

    /// To be sealed.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.0
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The settings name no address of it.
    #[error("GRAPH_BASE_URL is no address that can be called")]
    Address,
    /// The Graph API refuses the call.
    #[error("the Graph API refuses with {code}: {message}")]
    Refused {
        /// Its code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// The Graph API failed: it may have been done.
    #[error("the Graph API failed with {0}")]
    Broken(i64),
    /// The Graph API has had too many calls.
    #[error("the Graph API asks to wait: {0}")]
    Busy(i64),
}

impl From<GraphError> for VoiceError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Call(CallError::Unreached(_)) => Self::Later(None),
            GraphError::Call(_) | GraphError::Address | GraphError::Broken(_) => Self::Unknown(error.into()),
            GraphError::Busy(_) => Self::Later(Some(PAUSE)),
            GraphError::Refused { code, message } => {
                let is_closed = CLOSED.contains(&code) || (200..300).contains(&code);
                let said = format!("{code} {message}");
                if is_closed { Self::Closed(said) } else { Self::Refused(said) }
            }
        }
    }
}

/// A business's phone number, as Meta tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct PhoneNumber {
    /// Its id.
    pub id: String,
    /// As people write it.
    #[serde(default)]
    pub display_phone_number: String,
    /// The business's name.
    #[serde(default)]
    pub verified_name: String,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetails,
}

#[derive(Deserialize)]
struct FailureDetails {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Success {}

#[derive(Deserialize)]
pub(super) struct Posted {
    pub(super) messages: Vec<PostedMessage>,
}

#[derive(Deserialize)]
pub(super) struct PostedMessage {
    pub(super) id: String,
}

/// The Graph API for one phone number.
#[derive(Clone)]
pub struct GraphApi {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    phone: String,
    token: AccessToken,
}

impl fmt::Debug for GraphApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphApi").field("base", &self.base).field("phone", &self.phone).finish_non_exhaustive()
    }
}

impl GraphApi {
    /// The API at this address, or at Meta's own.
    #[must_use]
    pub fn new(client: reqwest::Client, base: Option<&Url>, phone: String, token: AccessToken) -> Self {
        let base = base.map_or(ADDRESS, Url::as_str).trim_end_matches('/').to_owned();
        Self { client, base, phone, token }
    }

    /// What the number is.
    ///
    /// # Errors
    /// Where the token does not open it, or Meta does not answer.
    pub async fn phone_number(&self) -> Result<PhoneNumber, GraphError> {
        let path = format!("{}?fields=id,display_phone_number,verified_name", self.phone);
        self.call(Method::GET, &path, None).await
    }

    /// Has the app that the token is of get what comes to the business account.
    /// <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint>
    ///
    /// # Errors
    /// Where Meta does not take it.
    pub async fn subscribe(&self, account: &str) -> Result<(), GraphError> {
        self.call::<Success>(Method::POST, &format!("{account}/subscribed_apps"), Some(&json!({}))).await.map(drop)
    }

    /// How many apps get what comes to the business account.
    ///
    /// # Errors
    /// Where the token does not open it, or Meta does not answer.
    pub async fn subscribed(&self, account: &str) -> Result<usize, GraphError> {
        #[derive(Deserialize)]
        struct Subscribed {
            #[serde(default)]
            data: Vec<Value>,
        }
        let path = format!("{account}/subscribed_apps");
        self.call::<Subscribed>(Method::GET, &path, None).await.map(|subscribed| subscribed.data.len())
    }

    /// Where what comes to the number is sent: its own address, else the account's, else the app's.
    /// <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/override/>
    ///
    /// # Errors
    /// Where the token does not open it, or Meta does not answer.
    pub async fn callback(&self) -> Result<Option<String>, GraphError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Configuration {
            phone_number: Option<String>,
            whatsapp_business_account: Option<String>,
            application: Option<String>,
        }
        #[derive(Deserialize)]
        struct Configured {
            #[serde(default)]
            webhook_configuration: Configuration,
        }
        let path = format!("{}?fields=webhook_configuration", self.phone);
        let found = self.call::<Configured>(Method::GET, &path, None).await?.webhook_configuration;
        let set = |url: Option<String>| url.filter(|url| !url.is_empty());
        Ok(set(found.phone_number).or_else(|| set(found.whatsapp_business_account)).or_else(|| set(found.application)))
    }

    /// Has what comes to the number sent to this address, which Meta asks for its verify token at once.
    /// <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/override/>
    ///
    /// # Errors
    /// Where Meta does not take it, or the address does not answer as it should.
    pub async fn set_callback(&self, url: &Url, verify_token: &str) -> Result<(), GraphError> {
        let address = json!({ "override_callback_uri": url.as_str(), "verify_token": verify_token });
        self.configure(address).await
    }

    /// Has nothing sent to that address any more.
    ///
    /// # Errors
    /// Where Meta does not take it.
    pub async fn delete_callback(&self) -> Result<(), GraphError> {
        self.configure(json!({ "override_callback_uri": "" })).await
    }

    async fn configure(&self, webhook: Value) -> Result<(), GraphError> {
        let body = json!({ "webhook_configuration": webhook });
        self.call::<Success>(Method::POST, &self.phone, Some(&body)).await.map(drop)
    }

    pub(super) async fn send(&self, message: &Value) -> Result<Posted, GraphError> {
        self.call(Method::POST, &format!("{}/messages", self.phone), Some(message)).await
    }

    pub(super) async fn mark(&self, status: &Value) -> Result<(), GraphError> {
        self.call::<Success>(Method::POST, &format!("{}/messages", self.phone), Some(status)).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, GraphError> {
        let url = Url::parse(&format!("{}/{path}", self.base)).map_err(|_| GraphError::Address)?;
        let answer = call::call(&self.client, method, url, Some(self.token.secret()), body).await?;
        if answer.status.is_success() {
            return serde_json::from_value(answer.body).map_err(|_| CallError::Unreadable(answer.status).into());
        }
        let status = i64::from(answer.status.as_u16());
        let Ok(Failure { error: FailureDetails { code, message } }) = serde_json::from_value(answer.body) else {
            return Err(if status == 429 { GraphError::Busy(status) } else { GraphError::Broken(status) });
        };
        Err(if LATER.contains(&code) || status == 429 {
            GraphError::Busy(code)
        } else if BROKEN.contains(&code) || (status >= 500 && !CLOSED.contains(&code)) {
            GraphError::Broken(code)
        } else {
            GraphError::Refused { code, message: self.words(&message) }
        })
    }

    /// What Meta says, without the token.
    fn words(&self, message: &str) -> String {
        let message = message.replace(self.token.0.expose_secret(), "…");
        message.chars().filter(|letter| !letter.is_control()).take(200).collect()
    }
}
