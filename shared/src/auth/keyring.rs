//! Making, listing, rotating and revoking keys.

use std::time::Duration;

use jiff::Timestamp;

use super::{Kind, PlainKey, Scope};
use crate::clock::Clock;
use crate::id::{ConnectorId, Home, KeyId, TenantId};
use crate::limit::PlanLimit;
use crate::store::{KeyItem, Store, StoreError};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it opens.
    pub home: Home,
    /// What it is for.
    pub kind: Kind,
    /// A person's name for it.
    pub name: String,
    /// What it is for, in a person's words.
    pub description: String,
    /// Which of its kind's parts of the API; all where the list is empty.
    pub scopes: Vec<Scope>,
    /// When it stops to work; never where it is not set.
    pub expires_at: Option<Timestamp>,
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
    /// The plan has no room for another.
    #[error(transparent)]
    Plan(#[from] PlanLimit),
    /// The system gives no randomness.
    #[error("no randomness is to be had")]
    NoRandomness,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a connector's key is looked up anew that is rotated in between.
const TRIES: u32 = 5;

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
        let (plain, item) = self.draft(new)?;
        self.store.put_key(&item).await?;
        Ok((plain, item))
    }

    /// Makes a key where the plan has room for another connector; `None` is room without end.
    ///
    /// # Errors
    /// [`KeyringError::Plan`] where it has not.
    pub async fn create_within(&self, new: NewKey, most: Option<u32>) -> Result<(PlainKey, KeyItem), KeyringError> {
        let Some(most) = most else { return self.create(new).await };
        let (plain, item) = self.draft(new)?;
        if self.store.put_key_within(&item, most, self.clock.now_ms()).await? {
            Ok((plain, item))
        } else {
            Err(PlanLimit::Connectors(most).into())
        }
    }

    fn draft(&self, new: NewKey) -> Result<(PlainKey, KeyItem), KeyringError> {
        let now = self.clock.now_ms();
        fresh(KeyItem {
            hash: String::new(),
            id: KeyId::generate(),
            tenant: self.tenant.clone(),
            home: new.home,
            kind: new.kind.name().to_owned(),
            connector: ConnectorId::generate(),
            name: new.name,
            description: new.description,
            prefix: String::new(),
            enabled: true,
            scopes: new.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            origins: new.origins,
            requests_per_minute: new.requests_per_minute,
            created_at: now,
            expires_at: new.expires_at.map(Timestamp::as_millisecond),
            last_used_at: None,
            rotated_to: None,
            rotated_at: None,
            revoked_at: None,
        })
    }

    /// All keys of an agent or an app, disabled ones too, the oldest first.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn list(&self, home: impl Into<Home>) -> Result<Vec<KeyItem>, KeyringError> {
        Ok(self.store.keys(&self.tenant, home).await?)
    }

    /// Puts a new key in the place of another, which stops to work at once.
    ///
    /// # Errors
    /// [`KeyringError::Disabled`] where it does not work any more: of many rotations at once, one wins.
    pub async fn rotate(&self, home: impl Into<Home>, key: &KeyId) -> Result<(PlainKey, KeyItem), KeyringError> {
        let old = self.find(&home.into(), key).await?;
        self.replace(old, Duration::ZERO).await
    }

    /// Puts a new key in the place of the one that stands in this connector, which works for the time of `grace` yet.
    ///
    /// # Errors
    /// [`KeyringError::Disabled`] where it does not work any more: of many rotations at once, one wins.
    pub async fn rotate_connector(
        &self,
        home: impl Into<Home>,
        connector: &ConnectorId,
        grace: Duration,
    ) -> Result<(PlainKey, KeyItem), KeyringError> {
        let old = self.standing_in(&home.into(), connector).await?.ok_or(KeyringError::Missing)?;
        self.replace(old, grace).await
    }

    async fn replace(&self, old: KeyItem, grace: Duration) -> Result<(PlainKey, KeyItem), KeyringError> {
        let now = self.clock.now_ms();
        if !old.enabled || old.expires_at.is_some_and(|at| at <= now) {
            return Err(KeyringError::Disabled);
        }
        let (plain, new) = fresh(KeyItem {
            id: KeyId::generate(),
            enabled: true,
            created_at: now,
            last_used_at: None,
            rotated_to: None,
            rotated_at: None,
            ..old.clone()
        })?;
        let until = (!grace.is_zero()).then(|| later(now, grace).min(old.expires_at.unwrap_or(i64::MAX)));
        let is_won = self.store.rotate_key(&old, &new, now, until).await?;
        if is_won { Ok((plain, new)) } else { Err(KeyringError::Disabled) }
    }

    /// The key that stands in a connector, read consistently.
    async fn standing_in(&self, home: &Home, connector: &ConnectorId) -> Result<Option<KeyItem>, KeyringError> {
        match self.store.connector(&self.tenant, connector).await? {
            Some(found) if found.home == *home => Ok(self.store.key(&self.tenant, &found.key_hash).await?),
            Some(_) | None => Ok(None),
        }
    }

    /// Stops a key from working, at once and for good.
    ///
    /// # Errors
    /// [`KeyringError::Disabled`] where it does not work any more.
    pub async fn revoke(&self, home: impl Into<Home>, key: &KeyId) -> Result<(), KeyringError> {
        let key = self.find(&home.into(), key).await?;
        if self.store.revoke_key(&key, self.clock.now_ms()).await? { Ok(()) } else { Err(KeyringError::Disabled) }
    }

    /// Stops every key of a connector from working, at once and for good: the one that stands in it, and those before
    /// it whose grace has not ended. Nothing happens where none works any more.
    ///
    /// # Errors
    /// [`KeyringError::Missing`] where there never was such a connector.
    pub async fn delete_connector(&self, home: impl Into<Home>, connector: &ConnectorId) -> Result<(), KeyringError> {
        let home = home.into();
        let mut is_known = false;
        for _ in 0..TRIES {
            let Some(key) = self.standing_in(&home, connector).await? else { break };
            is_known = true;
            if self.store.revoke_key(&key, self.clock.now_ms()).await? {
                break;
            }
        }
        for key in self.list(&home).await?.into_iter().filter(|key| key.connector == *connector) {
            is_known = true;
            if key.enabled {
                self.store.revoke_key(&key, self.clock.now_ms()).await?;
            }
        }
        if is_known { Ok(()) } else { Err(KeyringError::Missing) }
    }

    async fn find(&self, home: &Home, key: &KeyId) -> Result<KeyItem, KeyringError> {
        let keys = self.store.keys(&self.tenant, home).await?;
        let found = keys.into_iter().find(|found| found.id == *key).ok_or(KeyringError::Missing)?;
        if found.enabled { Ok(found) } else { Err(KeyringError::Disabled) }
    }
}

/// A time in milliseconds, so much later.
fn later(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// Gives the item a text, and the text's hash.
fn fresh(item: KeyItem) -> Result<(PlainKey, KeyItem), KeyringError> {
    let plain = match item.home {
        Home::Agent(_) => PlainKey::generate(),
        Home::App(_) => PlainKey::generate_for_app(),
    };
    let plain = plain.ok_or(KeyringError::NoRandomness)?;
    let item = KeyItem { hash: plain.hash().as_str().to_owned(), prefix: plain.shown(), ..item };
    Ok((plain, item))
}
