//! Opening a call: retries, fallbacks, time-outs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::stream::{self, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::provider::{KeyNeed, Protocol, Provider};
use super::stream::{Events, Patience};
use super::{
    ErrorKind, KeySource, ModelError, ModelEvent, ModelName, ModelRequest, Usage, anthropic, demo, openai,
    stream as wire,
};

/// A provider that wants us to wait longer than this is left for the next model.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The most of an error's body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// How models are called.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// How long the first bytes of an answer may take, from the call on.
    pub first_byte_timeout: Duration,
    /// The longest silence within an answer; pings count as signs of life.
    pub idle_timeout: Duration,
    /// How often one model is tried, the first time included.
    pub attempts: u32,
    /// The pause before the second attempt, with up to as much again at random; it doubles each time.
    pub retry_delay: Duration,
    /// Addresses by provider: other ones for the known, and the only one for others. A path is kept as a prefix.
    pub base_urls: BTreeMap<String, Url>,
    /// The pause between two words of the `demo` models.
    pub demo_delay: Duration,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            attempts: 3,
            retry_delay: Duration::from_millis(500),
            base_urls: BTreeMap::new(),
            demo_delay: Duration::from_millis(20),
        }
    }
}

/// A model that has begun to answer.
pub struct Answer {
    /// Which of the models it is.
    pub model: ModelName,
    /// What it tells; it ends with [`ModelEvent::Completed`] or an error. Dropping it ends the provider's work.
    pub events: Events,
    /// What failed attempts before this one had used, as far as the providers told; it may be billed.
    pub wasted: Usage,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("model", &self.model).field("wasted", &self.wasted).finish_non_exhaustive()
    }
}

/// The language models.
#[derive(Clone)]
pub struct Models {
    client: reqwest::Client,
    settings: Arc<ModelSettings>,
    keys: Arc<dyn KeySource>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").finish_non_exhaustive()
    }
}

impl Models {
    /// Models that are called through that client, with keys from that source.
    #[must_use]
    pub fn new(client: reqwest::Client, settings: ModelSettings, keys: Arc<dyn KeySource>) -> Self {
        Self { client, settings: Arc::new(settings), keys }
    }

    /// Calls the first of the models that answers, and returns once it has told its first words or is done.
    ///
    /// Up to then a failure that may pass is tried again, after a growing pause or as long as the provider asks, and a
    /// model that fails for good is followed by the next. After it nothing is repeated: a failure is the stream's last
    /// item. Neither this call nor the stream goes on after the deadline.
    ///
    /// # Errors
    /// What became of the first model, where none answers. Its `usage` is that of all attempts.
    pub async fn open(
        &self,
        models: &[ModelName],
        request: &ModelRequest,
        deadline: Instant,
    ) -> Result<Answer, ModelError> {
        let mut wasted = Usage::default();
        let mut failure = None;
        for model in models {
            match self.open_one(model, request, deadline, &mut wasted).await {
                Ok(events) => return Ok(Answer { model: model.clone(), events, wasted }),
                Err(error) => failure = failure.or(Some(error)),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        let none = || ModelError::new(ErrorKind::UnknownModel).with_detail("no model was named");
        Err(failure.unwrap_or_else(none).with_usage(wasted))
    }

    async fn open_one(
        &self,
        model: &ModelName,
        request: &ModelRequest,
        deadline: Instant,
        wasted: &mut Usage,
    ) -> Result<Events, ModelError> {
        let retries = usize::try_from(self.settings.attempts.saturating_sub(1)).unwrap_or_default();
        let backoff = ExponentialBuilder::new().with_min_delay(self.settings.retry_delay).with_jitter();
        let mut pauses = backoff.with_max_times(retries).build();
        loop {
            let error = match self.attempt(model, request, deadline).await {
                Ok(events) => return Ok(events),
                Err(error) => error,
            };
            *wasted += error.usage;
            tracing::warn!(
                model = %model,
                kind = ?error.kind,
                status = error.status,
                error = &error as &(dyn std::error::Error + 'static),
                "a call to a model failed"
            );
            let may_retry = error.is_retryable() && model.provider() != demo::PROVIDER;
            let Some(pause) = pauses.next().filter(|_| may_retry) else { return Err(error) };
            let pause = error.retry_after.unwrap_or_default().max(pause);
            if pause > MAX_WAIT || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// One call, up to its first words.
    async fn attempt(
        &self,
        model: &ModelName,
        request: &ModelRequest,
        deadline: Instant,
    ) -> Result<Events, ModelError> {
        let mut events = self.call(model, request, deadline).await?;
        let mut begun = Vec::new();
        while let Some(event) = events.next().await {
            let event = event?;
            let is_enough = !matches!(event, ModelEvent::Usage(_));
            begun.push(Ok(event));
            if is_enough {
                return Ok(stream::iter(begun).chain(events).boxed());
            }
        }
        Err(ModelError::new(ErrorKind::Cut))
    }

    async fn call(&self, model: &ModelName, request: &ModelRequest, deadline: Instant) -> Result<Events, ModelError> {
        if model.provider() == demo::PROVIDER {
            return Ok(demo::answer(model, request, self.settings.demo_delay, deadline));
        }
        let provider = Provider::find(model.provider(), &self.settings.base_urls)?;
        let patience = Patience {
            first_byte: (Instant::now() + self.settings.first_byte_timeout).min(deadline),
            idle: self.settings.idle_timeout,
            deadline,
        };
        let key = timeout_at(patience.first_byte, self.key(&provider)).await.map_err(|_| late())??;
        match provider.protocol {
            Protocol::Anthropic => {
                let body = anthropic::body(model, request)?;
                let headers = anthropic::headers(key)?;
                let response = self.post(provider.endpoint("/v1/messages"), headers, &body, patience).await?;
                Ok(wire::decode(wire::body(response, patience), anthropic::MessageDecoder::new(model.clone())))
            }
            Protocol::OpenAi => {
                let url = provider.endpoint("/chat/completions");
                let body = openai::body(model, request, &url)?;
                let headers = bearer(key)?;
                let response = self.post(url, headers, &body, patience).await?;
                let decoder = openai::ChunkDecoder::new(model.clone(), request.messages.len());
                Ok(wire::decode(wire::body(response, patience), decoder))
            }
        }
    }

    async fn key(&self, provider: &Provider) -> Result<Option<SecretString>, ModelError> {
        let unauthorized = ModelError::new(ErrorKind::Unauthorized);
        match self.keys.key(&provider.key_name).await {
            Ok(None) if provider.key_need == KeyNeed::Required => {
                Err(unauthorized.with_detail(&format!("{} is not set", provider.key_name)))
            }
            Ok(key) => Ok(key),
            Err(error) => Err(unauthorized.with_source(error)),
        }
    }

    async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: &Value,
        patience: Patience,
    ) -> Result<reqwest::Response, ModelError> {
        let request =
            self.client.post(url).header(CONTENT_TYPE, "application/json").headers(headers).body(body.to_string());
        let response = timeout_at(patience.first_byte, request.send()).await.map_err(|_| late())?;
        let response = response.map_err(|error| {
            let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unreachable };
            ModelError::new(kind).with_source(error.without_url())
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let words = error_body(response, patience).await;
        Err(ModelError::from_response(status, &headers, &words))
    }
}

/// As much of an error's body as can be had.
async fn error_body(response: reqwest::Response, patience: Patience) -> String {
    let mut chunks = Box::pin(wire::body(response, patience));
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    bytes.truncate(MAX_ERROR_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

const fn late() -> ModelError {
    ModelError::new(ErrorKind::Timeout)
}

fn bearer(key: Option<SecretString>) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let value = SecretString::from(format!("Bearer {}", key.expose_secret().trim()));
        headers.insert(AUTHORIZATION, secret_header(&value)?);
    }
    Ok(headers)
}

/// A header's value that is kept out of logs.
pub(super) fn secret_header(secret: &SecretString) -> Result<HeaderValue, ModelError> {
    let mut value = HeaderValue::from_str(secret.expose_secret().trim())
        .map_err(|_| ModelError::new(ErrorKind::Unauthorized).with_detail("the key cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
