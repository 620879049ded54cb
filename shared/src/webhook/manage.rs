//! What owners do with the webhooks of their agents and apps.

use std::time::Duration;

use secrecy::SecretString;

use super::sign;
use crate::app::{App, AppError};
use crate::clock::millis;
use crate::http::ApiError;
use crate::id::{Home, TenantId, WebhookId};
use crate::store::{PreviousSecret, StoreError, Webhook};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// There are as many as there may be, or what they belong to is gone.
    #[error("there is no room for another webhook")]
    Full,
    /// Another request changed it, or deleted it.
    #[error("the webhook was changed by another request")]
    Changed,
    /// Events cannot be sent to the address.
    #[error("events cannot be sent there: {0}")]
    Unreachable(String),
    /// The system gives no randomness.
    #[error("no randomness is to be had")]
    NoRandomness,
    /// The sealing keys cannot be had, or do not seal.
    #[error(transparent)]
    Seal(Box<ApiError>),
    /// The client for receivers cannot be built.
    #[error(transparent)]
    Client(#[from] AppError),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The webhooks of an agent or an app.
pub struct Webhooks<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    home: Home,
}

impl<'a> Webhooks<'a> {
    /// Those of this agent or app, which belongs to this tenant.
    #[must_use]
    pub fn of(app: &'a App, tenant: &'a TenantId, home: impl Into<Home>) -> Self {
        Self { app, tenant, home: home.into() }
    }

    /// Adds one, with this secret or a new one, which is in the result and nowhere else.
    ///
    /// # Errors
    /// [`ManageError::Full`] where there are as many as there may be; [`ManageError::Unreachable`] for a receiver that
    /// cannot be one.
    pub async fn add(
        &self,
        mut webhook: Webhook,
        secret: Option<String>,
    ) -> Result<(WebhookId, Webhook, SecretString), ManageError> {
        if let Some(receiver) = &webhook.receiver {
            self.check(&receiver.url).await?;
        }
        let (id, secret) = (WebhookId::generate(), secret_or_new(secret)?);
        webhook.sealed_secret = Some(self.seal(&id, &webhook, &secret).await?);
        if !self.app.store().put_webhook(self.tenant, &self.home, &id, &webhook).await? {
            return Err(ManageError::Full);
        }
        Ok((id, webhook, secret))
    }

    /// Whether events could be sent to this address.
    ///
    /// # Errors
    /// [`ManageError::Unreachable`] where they could not.
    pub async fn check(&self, url: &str) -> Result<(), ManageError> {
        self.app.deliveries()?.objection(url).await.map_or(Ok(()), |why| Err(ManageError::Unreachable(why)))
    }

    /// Puts a webhook in the place of what it was at `before`, its `updated_at`.
    ///
    /// # Errors
    /// [`ManageError::Changed`] where it is not that any more.
    pub async fn replace(&self, id: &WebhookId, mut webhook: Webhook, before: i64) -> Result<Webhook, ManageError> {
        webhook.updated_at = self.app.clock().now_ms().max(before + 1);
        let replaced = self.app.store().replace_webhook(self.tenant, &self.home, id, &webhook, before).await?;
        if replaced { Ok(webhook) } else { Err(ManageError::Changed) }
    }

    /// Puts a secret in the place of the old one, which holds for the overlap yet; and tells until when, in milliseconds
    /// since the Unix epoch.
    ///
    /// # Errors
    /// [`ManageError::Changed`] where the webhook was changed since it was read.
    pub async fn rotate(
        &self,
        id: &WebhookId,
        mut webhook: Webhook,
        secret: Option<String>,
        overlap: Duration,
    ) -> Result<(SecretString, i64), ManageError> {
        let (before, secret) = (webhook.updated_at, secret_or_new(secret)?);
        let sealed = self.seal(id, &webhook, &secret).await?;
        let until = self.app.clock().now_ms().saturating_add(millis(overlap));
        webhook.previous = webhook.sealed_secret.replace(sealed).map(|sealed| PreviousSecret { sealed, until });
        self.replace(id, webhook, before).await?;
        Ok((secret, until))
    }

    async fn seal(&self, id: &WebhookId, webhook: &Webhook, secret: &SecretString) -> Result<String, ManageError> {
        let sealer = self.app.sealer().await.map_err(|error| ManageError::Seal(Box::new(error)))?;
        let sealed = sealer.seal(self.tenant, &webhook.purpose(id.as_str()), secret);
        sealed.map_err(|error| ManageError::Seal(Box::new(ApiError::internal(error))))
    }
}

fn secret_or_new(given: Option<String>) -> Result<SecretString, ManageError> {
    given.map(SecretString::from).or_else(sign::generate).ok_or(ManageError::NoRandomness)
}
