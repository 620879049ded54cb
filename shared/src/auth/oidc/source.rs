//! Where an issuer's keys come from: fetched when they are first needed, kept as long as the issuer says, and fetched
//! again for a key that is not among them, though not more often than every few seconds. While the issuer does not
//! answer, the keys that are known go on being used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use url::Url;

use super::TokenError;
use super::keys::KeySet;
use crate::clock::{Clock, millis};
use crate::config::{self, Oidc};
use crate::telemetry;

/// The largest document, in bytes.
const LARGEST: usize = 256 * 1024;
/// How long keys are kept where the issuer does not say.
const KEPT: Duration = Duration::from_secs(3_600);
/// The bounds of what the issuer may say.
const KEPT_LEAST: Duration = Duration::from_secs(60);
const KEPT_MOST: Duration = Duration::from_secs(86_400);
/// How much longer they are used while the issuer does not answer.
const OVERTIME: Duration = Duration::from_secs(86_400);

/// How long and how often an issuer is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long one look-up may take.
    pub(super) look_up: Duration,
    /// Before it is asked again for a key that it did not have.
    pub(super) after_success: Duration,
    /// Before it is asked again when it did not answer.
    pub(super) after_failure: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            look_up: Duration::from_secs(5),
            after_success: Duration::from_secs(10),
            after_failure: Duration::from_secs(2),
        }
    }
}

/// An issuer's keys.
#[derive(Debug)]
pub(super) struct KeySource {
    client: reqwest::Client,
    clock: Clock,
    patience: Patience,
    issuer: String,
    jwks_url: Option<Url>,
    known: Mutex<Arc<Known>>,
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of the keys; times in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    fresh_until: i64,
    ask_again_at: i64,
    last_failed: bool,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the issuer's name, or the address of its keys, is no URL")]
    Address(#[from] url::ParseError),
    #[error("no answer came")]
    Connection(#[source] reqwest::Error),
    #[error("no answer came in time")]
    Timeout,
    #[error("the answer's status is {0}")]
    Status(http::StatusCode),
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the discovery document is none, or names another issuer or an address that is not safe")]
    Discovery,
    #[error("the answer has no key that can be used")]
    NoKeys,
}

/// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Known {
    /// The key, or why there is none; `None` where the issuer is to be asked.
    fn answer(&self, id: Option<&str>, algorithm: Algorithm, now: i64) -> Option<Result<DecodingKey, TokenError>> {
        let found = self.keys.find(id, algorithm).filter(|_| now < self.fresh_until + millis(OVERTIME));
        match found {
            Some(key) if now < self.fresh_until => Some(Ok(key.clone())),
            Some(_) | None if now >= self.ask_again_at => None,
            Some(key) => Some(Ok(key.clone())),
            None if self.last_failed => Some(Err(TokenError::Unavailable)),
            None => Some(Err(TokenError::Invalid("no key of its issuer signed it"))),
        }
    }
}

impl KeySource {
    pub(super) fn new(settings: &Oidc, client: reqwest::Client, clock: Clock, patience: Patience) -> Self {
        Self {
            client,
            clock,
            patience,
            issuer: settings.issuer.clone(),
            jwks_url: settings.jwks_url.clone(),
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The key of this id for this algorithm.
    ///
    /// # Errors
    /// Where the issuer has none, or cannot be asked.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, TokenError> {
        let answer = || self.known().answer(id, algorithm, self.clock.now_ms());
        if let Some(answer) = answer() {
            return answer;
        }
        let _one_at_a_time = self.asking.lock().await;
        if let Some(answer) = answer() {
            return answer;
        }
        self.ask().await;
        answer().unwrap_or(Err(TokenError::Unavailable))
    }

    fn known(&self) -> Arc<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask(&self) {
        let fetched = tokio::time::timeout(self.patience.look_up, self.fetch()).await;
        let before = self.known();
        let now = self.clock.now_ms();
        let known = match fetched.unwrap_or(Err(FetchError::Timeout)) {
            Ok((keys, kept)) => Known {
                keys: Arc::new(keys),
                fresh_until: now + millis(kept),
                ask_again_at: now + millis(self.patience.after_success),
                last_failed: false,
            },
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "the issuer's keys cannot be fetched");
                Known {
                    keys: before.keys.clone(),
                    fresh_until: before.fresh_until,
                    ask_again_at: now + millis(self.patience.after_failure),
                    last_failed: true,
                }
            }
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    async fn fetch(&self) -> Result<(KeySet, Duration), FetchError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let (headers, body) = self.get(url).await?;
        let keys = KeySet::read(&body).ok_or(FetchError::NoKeys)?;
        Ok((keys, max_age(&headers).unwrap_or(KEPT).clamp(KEPT_LEAST, KEPT_MOST)))
    }

    async fn discover(&self) -> Result<Url, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let (_, body) = self.get(Url::parse(&address)?).await?;
        let found: Discovery = serde_json::from_slice(&body).map_err(|_| FetchError::Discovery)?;
        let keys = Url::parse(&found.jwks_uri)?;
        let is_theirs = found.issuer == self.issuer && config::is_safe(&keys);
        if is_theirs { Ok(keys) } else { Err(FetchError::Discovery) }
    }

    async fn get(&self, url: Url) -> Result<(HeaderMap, BytesMut), FetchError> {
        let request = self.client.get(url).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(FetchError::Connection)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Connection)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.headers().clone(), body))
    }
}

/// <https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.1>
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let seconds = |directive: &str| {
        let (name, value) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse().ok())?
    };
    directives.split(',').find_map(seconds).map(Duration::from_secs)
}
