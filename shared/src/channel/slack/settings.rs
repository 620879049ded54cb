//! What the operator's Slack app is: its ids and secrets, and where Slack is.

use secrecy::{ExposeSecret, SecretString};

use super::api::BASE_URL;
use crate::config::Config;
use crate::secret::{SecretError, Secrets};

/// A setting that is needed and not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It is not set.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// The secrets cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What proves that a request comes from Slack.
///
/// # Errors
/// Where it is not set.
pub async fn signing_secret(secrets: &Secrets) -> Result<SecretString, SettingError> {
    get(secrets, "SLACK_SIGNING_SECRET").await
}

/// The app's client id.
///
/// # Errors
/// Where it is not set.
pub async fn client_id(secrets: &Secrets) -> Result<String, SettingError> {
    Ok(get(secrets, "SLACK_CLIENT_ID").await?.expose_secret().to_owned())
}

/// The app's client secret.
///
/// # Errors
/// Where it is not set.
pub async fn client_secret(secrets: &Secrets) -> Result<SecretString, SettingError> {
    get(secrets, "SLACK_CLIENT_SECRET").await
}

/// Where Slack's Web API is, without a slash at its end.
#[must_use]
pub fn base_url(config: &Config) -> String {
    config.base_urls.get("slack").map_or(BASE_URL, |url| url.as_str()).trim_end_matches('/').to_owned()
}

async fn get(secrets: &Secrets, name: &'static str) -> Result<SecretString, SettingError> {
    secrets.get(name).await?.ok_or(SettingError::Missing(name))
}
