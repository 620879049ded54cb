//! Making, listing, rotating and revoking keys.

use std::time::Duration;

use super::{Kind, PlainKey, Scope};
use crate::clock::Clock;
use crate::id::{AgentId, KeyId, TenantId};
use crate::store::{KeyItem, Store, StoreError};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The agent that it opens.
    pub agent: AgentId,
    /// What it is for.
    pub kind: Kind,
    /// A person's name for it.
    pub name: String,
    /// Which of its kind's parts of the API; all where the list is empty.
    pub scopes: Vec<Scope>,
    /// How long it works; for ever where it is not set.
    pub expires_in: Option<Duration>,
    /// From which origins it works; from all where the list is empty.
    pub origins: Vec<String>,
    /// Requests a minute of its own.
    pub requests_per_minute: Option<u32>,
}

/// What can go wrong with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no such key.
    #[error("there is no such key")]
    Missing,
    /// It is disabled: revoked, or another took its place.
    #[error("the key is disabled already")]
    Disabled,
    /// The system gives no randomness.
    #[error("no randomness is to be had")]
    NoRandomness,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys of a tenant.
#[derive(Clone, Debug)]
pub struct Keyring {
    store: Store,
    clock: Clock,
    tenant: TenantId,
}

impl Keyring {
    /// The keys of this tenant.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, tenant: TenantId) -> Self {
        Self { store, clock, tenant }
    }

    /// Makes a key. Its text is in the first part of the result, and nowhere else.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn create(&self, new: NewKey) -> Result<(PlainKey, KeyItem), KeyringError> {
        let now = self.clock.now_ms();
        let item = KeyItem {
            hash: String::new(),
            id: KeyId::generate(),
            tenant: self.tenant.clone(),
            agent: new.agent,
            kind: new.kind.name().to_owned(),
            name: new.name,
            prefix: String::new(),
            enabled: true,
            scopes: new.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            origins: new.origins,
            requests_per_minute: new.requests_per_minute,
            created_at: now,
            expires_at: new
                .expires_in
                .map(|time| now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))),
            last_used_at: None,
            rotated_to: None,
            rotated_at: None,
            revoked_at: None,
        };
        let (plain, item) = fresh(item)?;
        self.store.put_key(&item).await?;
        Ok((plain, item))
    }

    /// All keys of an agent, disabled ones too, the oldest first.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn list(&self, agent: &AgentId) -> Result<Vec<KeyItem>, KeyringError> {
        Ok(self.store.keys(&self.tenant, agent).await?)
    }

    /// Puts a new key in the place of another, which stops to work at once.
    ///
    /// # Errors
    /// [`KeyringError::Disabled`] where it does not work any more: of many rotations at once, one wins.
    pub async fn rotate(&self, agent: &AgentId, key: &KeyId) -> Result<(PlainKey, KeyItem), KeyringError> {
        let old = self.find(agent, key).await?;
        let now = self.clock.now_ms();
        let (plain, new) = fresh(KeyItem {
            id: KeyId::generate(),
            enabled: true,
            created_at: now,
            last_used_at: None,
            ..old.clone()
        })?;
        if self.store.rotate_key(&old, &new, now).await? { Ok((plain, new)) } else { Err(KeyringError::Disabled) }
    }

    /// Stops a key from working, at once and for good.
    ///
    /// # Errors
    /// [`KeyringError::Disabled`] where it does not work any more.
    pub async fn revoke(&self, agent: &AgentId, key: &KeyId) -> Result<(), KeyringError> {
        let key = self.find(agent, key).await?;
        if self.store.revoke_key(&key, self.clock.now_ms()).await? { Ok(()) } else { Err(KeyringError::Disabled) }
    }

    async fn find(&self, agent: &AgentId, key: &KeyId) -> Result<KeyItem, KeyringError> {
        let keys = self.store.keys(&self.tenant, agent).await?;
        let found = keys.into_iter().find(|found| found.id == *key).ok_or(KeyringError::Missing)?;
        if found.enabled { Ok(found) } else { Err(KeyringError::Disabled) }
    }
}

/// Gives the item a text, and the text's hash.
fn fresh(item: KeyItem) -> Result<(PlainKey, KeyItem), KeyringError> {
    let plain = PlainKey::generate().ok_or(KeyringError::NoRandomness)?;
    let item = KeyItem { hash: plain.hash().as_str().to_owned(), prefix: plain.shown(), ..item };
    Ok((plain, item))
}
