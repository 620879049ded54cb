//! Slack's Web API, as far as a bot needs it. <https://docs.slack.dev/apis/web-api/>
//!
//! Each method is one request; nothing is tried again here. A reply of status 200 says in `ok` whether it went well.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::message::Message;
use crate::channel::VoiceError;

/// Where Slack is, unless the settings say otherwise.
pub const BASE_URL: &str = "https://slack.com/api";
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest reply, in bytes.
const LARGEST_REPLY: usize = 4 * 1024 * 1024;
/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const JSON: &str = "application/json; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";
/// The header that names what a token may do. <https://docs.slack.dev/authentication/installing-with-oauth>
const SCOPES: &str = "x-oauth-scopes";
/// The codes after which a call may have been carried out.
const UNCERTAIN: [&str; 5] =
    ["fatal_error", "internal_error", "request_timeout", "service_unavailable", "messaging_processing_failed"];
/// The codes that ask to come again.
const BUSY: [&str; 3] = ["ratelimited", "rate_limited", "accesslimited"];
/// The codes after which nothing can be said in the conversation any more.
const CLOSED: [&str; 14] = [
    "account_inactive",
    "app_uninstalled",
    "channel_is_archived",
    "channel_not_found",
    "invalid_auth",
    "is_archived",
    "messages_tab_disabled",
    "not_authed",
    "not_in_channel",
    "org_login_required",
    "team_access_not_granted",
    "thread_not_found",
    "token_expired",
    "token_revoked",
];

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// Slack asks to come again, after this time if it says when. Nothing was done.
    #[error("Slack asks to come again later")]
    Later(Option<Duration>),
    /// Slack was not reached, or its answer: the call may have been carried out.
    #[error("it is not known whether Slack carried the call out")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Slack refuses, with this code.
    #[error("Slack refuses: {0}")]
    Refused(String),
}

impl From<SlackError> for VoiceError {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::Later(wait) => Self::Later(wait),
            SlackError::Unknown(source) => Self::Unknown(source),
            SlackError::Refused(code) if CLOSED.contains(&code.as_str()) => Self::Closed(code),
            SlackError::Refused(code) => Self::Refused(code),
        }
    }
}

/// What an installation brings. <https://docs.slack.dev/reference/methods/oauth.v2.access>
#[derive(Deserialize)]
pub struct Installation {
    /// The bot's token.
    #[serde(deserialize_with = "super::secret")]
    pub access_token: SecretString,
    /// The bot's user id.
    pub bot_user_id: Option<String>,
    /// The team, but where the app was installed for a whole organisation.
    pub team: Option<Team>,
    /// The app.
    pub app_id: Option<String>,
    /// How long the token works, in seconds, where tokens of the app are rotated.
    pub expires_in: Option<u64>,
}

/// A team.
#[derive(Deserialize)]
pub struct Team {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// Who a token speaks as.
#[derive(Deserialize)]
pub struct Identity {
    /// The bot's user id.
    pub user_id: String,
    /// The bot's id, which its posts carry.
    pub bot_id: Option<String>,
    /// The team.
    pub team_id: String,
}

/// One page of a thread, the oldest first.
#[derive(Deserialize)]
pub struct Page {
    /// Its messages. The thread's first one may stand before others on every page.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Whether there are newer ones.
    #[serde(default)]
    pub has_more: bool,
    #[serde(default)]
    response_metadata: Next,
}

#[derive(Default, Deserialize)]
struct Next {
    #[serde(default)]
    next_cursor: String,
}

impl Page {
    /// Where the next page begins, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        Some(self.response_metadata.next_cursor.as_str()).filter(|cursor| self.has_more && !cursor.is_empty())
    }
}

/// Which part of a thread is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The thread's first message.
    pub thread: &'a str,
    /// Not what is older than this.
    pub oldest: Option<&'a str>,
    /// Not what is newer than this.
    pub latest: Option<&'a str>,
    /// Where the page begins.
    pub cursor: Option<&'a str>,
    /// The most messages.
    pub limit: u32,
}

impl Part<'_> {
    fn form(&self) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("channel", self.channel).append_pair("ts", self.thread);
        form.append_pair("limit", &self.limit.to_string());
        form.append_pair("include_all_metadata", "true").append_pair("inclusive", "true");
        for (name, value) in [("oldest", self.oldest), ("latest", self.latest), ("cursor", self.cursor)] {
            form.extend_pairs(value.map(|value| (name, value)));
        }
        form.finish()
    }
}

/// Slack, for who holds a bot's token.
#[derive(Clone)]
pub struct SlackApi {
    client: reqwest::Client,
    base: String,
    token: SecretString,
}

/// Without the token.
impl std::fmt::Debug for SlackApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackApi").field("base", &self.base).finish_non_exhaustive()
    }
}

impl SlackApi {
    /// The API at this address.
    #[must_use]
    pub const fn new(client: reqwest::Client, base: String, token: SecretString) -> Self {
        Self { client, base, token }
    }

    /// Who the token speaks as.
    ///
    /// # Errors
    /// Where it does not work.
    pub async fn auth_test(&self) -> Result<Identity, SlackError> {
        self.call("auth.test", &json!({})).await
    }

    /// Who the token speaks as, and what it may do, where Slack says that.
    ///
    /// # Errors
    /// Where it does not work.
    pub async fn granted(&self) -> Result<(Identity, Option<Vec<String>>), SlackError> {
        let (identity, headers) = send_and_tell(self.request("auth.test", JSON, json!({}).to_string())).await?;
        let scopes = headers.get(SCOPES).and_then(|scopes| scopes.to_str().ok());
        let scopes = scopes.map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect());
        Ok((identity, scopes))
    }

    /// Ends the token.
    ///
    /// # Errors
    /// Where Slack does not carry it out.
    pub async fn auth_revoke(&self) -> Result<(), SlackError> {
        self.call::<Value>("auth.revoke", &json!({})).await.map(drop)
    }

    /// Posts a message, and tells its time, which names it. (`chat.postMessage`, `chat.startStream`)
    ///
    /// # Errors
    /// Where Slack does not carry it out.
    pub async fn say(&self, method: &str, body: &Value) -> Result<String, SlackError> {
        #[derive(Deserialize)]
        struct Posted {
            ts: String,
        }
        self.call::<Posted>(method, body).await.map(|posted| posted.ts)
    }

    /// Calls a method whose answer says nothing more. (`chat.update`, `chat.delete`, `chat.appendStream`,
    /// `chat.stopStream`)
    ///
    /// # Errors
    /// Where Slack does not carry it out.
    pub async fn ask(&self, method: &str, body: &Value) -> Result<(), SlackError> {
        self.call::<Value>(method, body).await.map(drop)
    }

    /// Puts a reaction on a message; that it is there already is as good.
    ///
    /// # Errors
    /// Where Slack does not carry it out.
    pub async fn react(&self, channel: &str, ts: &str, name: &str) -> Result<(), SlackError> {
        let body = json!({ "channel": channel, "timestamp": ts, "name": name });
        forgive("already_reacted", self.ask("reactions.add", &body).await)
    }

    /// Takes the bot's own reaction from a message; that there is none is as good.
    ///
    /// # Errors
    /// Where Slack does not carry it out.
    pub async fn unreact(&self, channel: &str, ts: &str, name: &str) -> Result<(), SlackError> {
        let body = json!({ "channel": channel, "timestamp": ts, "name": name });
        forgive("no_reaction", self.ask("reactions.remove", &body).await)
    }

    /// A part of a thread, with the metadata of its messages.
    ///
    /// # Errors
    /// Where Slack does not tell it.
    pub async fn replies(&self, part: Part<'_>) -> Result<Page, SlackError> {
        send(self.request("conversations.replies", FORM, part.form())).await
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, body: &Value) -> Result<T, SlackError> {
        send(self.request(method, JSON, body.to_string())).await
    }

    fn request(&self, method: &str, kind: &'static str, body: String) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{}/{method}", self.base)).timeout(TIMEOUT);
        request.bearer_auth(self.token.expose_secret()).header(CONTENT_TYPE, kind).body(body)
    }
}

/// Exchanges the code of an installation. It works once.
///
/// # Errors
/// Where Slack does not take it.
pub async fn oauth_access(
    client: &reqwest::Client,
    base: &str,
    (id, secret): (&str, &SecretString),
    code: &str,
) -> Result<Installation, SlackError> {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{}", secret.expose_secret()));
    let form = Serializer::new(String::new()).append_pair("code", code).finish();
    let request = client.post(format!("{base}/oauth.v2.access")).timeout(TIMEOUT);
    let request = request.header(CONTENT_TYPE, FORM);
    send(request.header(AUTHORIZATION, format!("Basic {basic}")).body(form)).await
}

fn forgive(code: &str, outcome: Result<(), SlackError>) -> Result<(), SlackError> {
    match outcome {
        Err(SlackError::Refused(found)) if found == code => Ok(()),
        other => other,
    }
}

#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    error: Option<String>,
}

async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, SlackError> {
    send_and_tell(request).await.map(|(answer, _)| answer)
}

/// What came back, with its headers.
async fn send_and_tell<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<(T, HeaderMap), SlackError> {
    let unknown = |error: reqwest::Error| SlackError::Unknown(error.without_url().into());
    let mut reply = request.send().await.map_err(unknown)?;
    let status = reply.status();
    if status.as_u16() == 429 {
        return Err(SlackError::Later(wait(reply.headers())));
    }
    let headers = reply.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.map_err(unknown)? {
        if body.len() + chunk.len() > LARGEST_REPLY {
            return Err(SlackError::Unknown("the reply is too large".into()));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(SlackError::Unknown(format!("status {}", status.as_u16()).into()));
    }
    let unreadable =
        |error: serde_json::Error| SlackError::Unknown(format!("the reply cannot be read: {error}").into());
    let verdict: Verdict = serde_json::from_slice(&body).map_err(unreadable)?;
    if verdict.ok {
        return Ok((serde_json::from_slice(&body).map_err(unreadable)?, headers));
    }
    let code = verdict.error.unwrap_or_else(|| "no code".to_owned());
    Err(match code.as_str() {
        busy if BUSY.contains(&busy) => SlackError::Later(wait(&headers)),
        uncertain if UNCERTAIN.contains(&uncertain) => SlackError::Unknown(code.into()),
        _ => SlackError::Refused(code),
    })
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
