//! Where secrets come from. In the cloud: one secret of Secrets Manager, a JSON object of names and values, kept for a
//! while and read again. On one machine: the environment, and a file with the sealing keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::aws::{AwsError, Client};
use crate::clock::Clock;
use crate::model::{KeyError, KeySource};

/// A secret that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not answer, or refused.
    #[error("the secret {name} cannot be read")]
    Unavailable {
        /// The secret's name in Secrets Manager.
        name: String,
        /// What went wrong.
        source: AwsError,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The file of the sealing keys cannot be read.
    #[error("the file of the sealing keys cannot be read")]
    File(#[from] std::io::Error),
    /// The secret is no JSON object of strings.
    #[error("the secret {0} is not a JSON object of names and strings")]
    Malformed(String),
}

/// The name of the sealing keys.
pub const SEALING_KEYS: &str = "ORRERY_SEALING_KEYS";

type Values = Arc<BTreeMap<String, SecretString>>;

/// The secrets of this deployment.
#[derive(Clone)]
pub struct Secrets(Arc<Source>);

enum Source {
    Environment { values: Values, sealing_keys: Option<PathBuf> },
    Manager { client: Client, name: String, ttl: Duration, clock: Clock, cache: Mutex<Option<(Timestamp, Values)>> },
}

impl Secrets {
    /// Those that the environment holds. Sealing keys that are not among them are read from the file, anew each time.
    #[must_use]
    pub fn environment(values: BTreeMap<String, SecretString>, sealing_keys: Option<PathBuf>) -> Self {
        Self(Arc::new(Source::Environment { values: Arc::new(values), sealing_keys }))
    }

    /// Those of one secret in Secrets Manager, read again when `ttl` has passed.
    #[must_use]
    pub fn manager(client: Client, name: String, ttl: Duration, clock: Clock) -> Self {
        Self(Arc::new(Source::Manager { client, name, ttl, clock, cache: Mutex::new(None) }))
    }

    /// The secret of this name; `None` where it is not set, or empty.
    ///
    /// # Errors
    /// Where Secrets Manager cannot be read and nothing was read before. A value that was read before is used on while
    /// it cannot be read again.
    pub async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretError> {
        let values = match &*self.0 {
            Source::Environment { values, sealing_keys: Some(path) }
                if name == SEALING_KEYS && !values.contains_key(name) =>
            {
                return Ok(Some(std::fs::read_to_string(path)?.into()));
            }
            Source::Environment { values, .. } => values.clone(),
            Source::Manager { client, name: secret, ttl, clock, cache } => {
                let mut cache = cache.lock().await;
                match &*cache {
                    Some((read_at, values)) if clock.now().duration_since(*read_at).unsigned_abs() < *ttl => {
                        values.clone()
                    }
                    stale => {
                        let values = match (fetch(client, secret).await, stale) {
                            (Ok(values), _) => values,
                            (Err(error), Some((_, values))) => {
                                tracing::warn!(
                                    error = &error as &dyn std::error::Error,
                                    "the secret is used on as it was read before"
                                );
                                values.clone()
                            }
                            (Err(error), None) => return Err(error),
                        };
                        *cache = Some((clock.now(), values.clone()));
                        values
                    }
                }
            }
        };
        Ok(values.get(name).cloned())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    #[serde(default)]
    secret_string: String,
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
async fn fetch(client: &Client, name: &str) -> Result<Values, SecretError> {
    let malformed = |_| SecretError::Malformed(name.to_owned());
    let request = serde_json::json!({ "SecretId": name }).to_string();
    let answer = client
        .call("secretsmanager.GetSecretValue", request)
        .await
        .map_err(|source| SecretError::Unavailable { name: name.to_owned(), source })?;
    let value: SecretValue = serde_json::from_slice(&answer).map_err(malformed)?;
    let values: BTreeMap<String, String> = serde_json::from_str(&value.secret_string).map_err(malformed)?;
    Ok(Arc::new(
        values.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.into())).collect(),
    ))
}

#[async_trait]
impl KeySource for Secrets {
    async fn key(&self, name: &str) -> Result<Option<SecretString>, KeyError> {
        self.get(name).await.map_err(KeyError::new)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;
    use wiremock::matchers::{body_partial_json, header};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::aws::Service;
    use crate::config::Aws;
    use crate::outbound::{self, TlsRoots};

    const TTL: Duration = Duration::from_secs(300);

    fn of(server: &MockServer, clock: &Clock) -> Secrets {
        let client = outbound::client(TlsRoots::Bundled, Duration::from_secs(1)).unwrap();
        let aws = Aws {
            region: "eu-central-1".to_owned(),
            secrets_endpoint: Some(server.uri()),
            credentials: Some(("id".to_owned(), "secret".into(), None)),
            ..Aws::default()
        };
        let manager = Client::new(client, clock.clone(), Service::SecretsManager, &aws);
        Secrets::manager(manager, "orrery/keys".to_owned(), TTL, clock.clone())
    }

    async fn answer(server: &MockServer, times: u64, reply: ResponseTemplate) {
        server.reset().await;
        Mock::given(header("x-amz-target", "secretsmanager.GetSecretValue"))
            .and(body_partial_json(json!({ "SecretId": "orrery/keys" })))
            .respond_with(reply)
            .expect(times)
            .mount(server)
            .await;
    }

    fn secret(text: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({ "Name": "orrery/keys", "SecretString": text }))
    }

    async fn get(secrets: &Secrets) -> Option<String> {
        secrets.get("A_API_KEY").await.unwrap().map(|value| value.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn the_manager_is_asked_once_in_the_lifetime_and_what_it_said_outlives_its_absence() {
        let (server, clock) = (MockServer::start().await, Clock::manual(Timestamp::UNIX_EPOCH));
        let secrets = of(&server, &clock);
        answer(&server, 1, secret(r#"{"A_API_KEY":"one","B_API_KEY":""}"#)).await;
        assert_eq!(get(&secrets).await.as_deref(), Some("one"));
        clock.advance(TTL - Duration::from_secs(1));
        assert_eq!(get(&secrets).await.as_deref(), Some("one"));
        assert!(secrets.get("B_API_KEY").await.unwrap().is_none(), "an empty value is none");

        answer(&server, 1, secret(r#"{"A_API_KEY":"two"}"#)).await;
        clock.advance(Duration::from_secs(1));
        assert_eq!(get(&secrets).await.as_deref(), Some("two"));

        answer(&server, 3, ResponseTemplate::new(500)).await;
        clock.advance(TTL);
        assert_eq!(get(&secrets).await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn a_manager_that_never_answered_and_a_secret_of_another_shape_are_told() {
        let (server, clock) = (MockServer::start().await, Clock::manual(Timestamp::UNIX_EPOCH));
        answer(&server, 3, ResponseTemplate::new(500)).await;
        assert!(matches!(of(&server, &clock).get("A_API_KEY").await, Err(SecretError::Unavailable { .. })));
        answer(&server, 1, secret("plain text")).await;
        assert!(matches!(of(&server, &clock).get("A_API_KEY").await, Err(SecretError::Malformed(_))));
    }

    #[tokio::test]
    async fn the_environment_answers_by_name() {
        let secrets = Secrets::environment([("A_API_KEY".to_owned(), SecretString::from("x"))].into(), None);
        assert_eq!(secrets.get("A_API_KEY").await.unwrap().unwrap().expose_secret(), "x");
        assert!(secrets.get("B_API_KEY").await.unwrap().is_none());
    }
}
