//! Keys, found by the SHA-256 of their text. The text itself is never here.

use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{GSI1_PK, GSI1_SK, Item, Key, number, text};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{ConnectorId, Home, KeyId, TenantId};

/// How often a key is tried to be stored while others are, too.
const ROOM_TRIES: u32 = 30;
/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyItem {
    /// The SHA-256 of the key's text, in hex.
    pub hash: String,
    /// The name by which it is listed, rotated and revoked.
    pub id: KeyId,
    /// Who owns it.
    pub tenant: TenantId,
    /// What it opens.
    #[serde(rename = "agent")]
    pub home: Home,
    /// What it may be used on.
    pub kind: String,
    /// What it stands for, through its rotations; a new one for a key that has none.
    #[serde(default = "ConnectorId::generate")]
    pub connector: ConnectorId,
    /// A person's name for it.
    #[serde(default)]
    pub name: String,
    /// What it is for, in a person's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The first characters of its text, to tell keys apart.
    pub prefix: String,
    /// Whether it works.
    pub enabled: bool,
    /// Which of its kind's parts of the API it opens; all where the list is empty.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The origins from which it works; all where the list is empty.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Requests a minute of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// When it was made.
    pub created_at: i64,
    /// When it stops to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// When it was last used, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<i64>,
    /// The key that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<i64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
}

pub(super) fn key_key(hash: &str) -> Key {
    Key::new(format!("KEY#{hash}"), "KEY")
}

fn home_index(home: &Home) -> String {
    format!("AGENT#{home}#KEY")
}

impl KeyItem {
    fn item(&self) -> Result<Item, StoreError> {
        let mut item = key_key(&self.hash).with(serde_dynamo::to_item(self)?);
        item.insert(GSI1_PK.to_owned(), text(home_index(&self.home)));
        item.insert(GSI1_SK.to_owned(), text(self.id.as_str()));
        Ok(item)
    }
}

impl Store {
    /// Stores a new key, and the connector that it stands for.
    ///
    /// # Errors
    /// Where the table does not take it; two keys never share a hash.
    pub async fn put_key(&self, key: &KeyItem) -> Result<(), StoreError> {
        let writes = vec![self.new_key(key)?, self.new_connector(key)?];
        if self.transact(&writes, key.id.as_str()).await? { Ok(()) } else { Err(StoreError::Taken) }
    }

    /// Stores a new key where fewer than `most` of its tenant's connectors work; `false` where as many do already. Of
    /// many at once, no more are stored than there is room for.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_key_within(&self, key: &KeyItem, most: u32, now_ms: i64) -> Result<bool, StoreError> {
        for attempt in 0..ROOM_TRIES {
            let found = self.connectors(&key.tenant, now_ms).await?;
            if found.working >= most as usize {
                return Ok(false);
            }
            let writes = vec![self.new_key(key)?, self.new_connector(key)?, Self::one_more(&key.tenant, found.made)];
            if self.transact(&writes, &format!("{}-{attempt}", key.id)).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Contended)
    }

    fn new_key(&self, key: &KeyItem) -> Result<Write, StoreError> {
        let put = Write::put(key.item()?)
            .condition("attribute_not_exists(pk) OR id = :id")
            .value(":id", text(key.id.as_str()));
        Ok(put)
    }

    /// A key of a tenant, by its hash.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn key(&self, tenant: &TenantId, hash: &str) -> Result<Option<KeyItem>, StoreError> {
        let item: Option<KeyItem> = self.get(&key_key(hash)).await?;
        Ok(item.filter(|key| key.tenant == *tenant))
    }

    /// All keys of an agent or an app, the oldest first. The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn keys(&self, tenant: &TenantId, home: impl Into<Home>) -> Result<Vec<KeyItem>, StoreError> {
        let keys: Vec<KeyItem> = self.all(Query::index(&home_index(&home.into()))).await?;
        Ok(keys.into_iter().filter(|key| key.tenant == *tenant).collect())
    }

    /// Puts `new` in the place of `old` in one transaction; the old one works until `until`, or not any more. `false`
    /// where `old` does not work, or another took its place already: of two rotations at once, one wins.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn rotate_key(
        &self,
        old: &KeyItem,
        new: &KeyItem,
        now_ms: i64,
        until: Option<i64>,
    ) -> Result<bool, StoreError> {
        let (expression, name, value) = match until {
            None => ("SET enabled = :no, rotated_to = :to, rotated_at = :now", ":no", AttributeValue::Bool(false)),
            Some(until) => ("SET expires_at = :until, rotated_to = :to, rotated_at = :now", ":until", number(until)),
        };
        let retire = Write::update(&key_key(&old.hash), expression)
            .value(name, value)
            .condition("enabled = :yes AND tenant = :tenant AND attribute_not_exists(rotated_to)")
            .value(":yes", AttributeValue::Bool(true))
            .value(":to", text(new.id.as_str()))
            .value(":now", number(now_ms))
            .value(":tenant", text(old.tenant.as_str()));
        let writes = vec![retire, self.new_key(new)?, self.next_of_connector(old, new)?];
        self.transact(&writes, new.id.as_str()).await
    }

    /// Disables a key for good, and its connector with it unless another key took its place; `false` where the key is
    /// not enabled.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn revoke_key(&self, key: &KeyItem, now_ms: i64) -> Result<bool, StoreError> {
        let (place, delete) = match key.rotated_to {
            None => ("attribute_not_exists(rotated_to)", Some(Self::end_of_connector(key))),
            Some(_) => ("attribute_exists(rotated_to)", None),
        };
        let disable = Write::update(&key_key(&key.hash), "SET enabled = :no, revoked_at = :now")
            .condition(format!("enabled = :yes AND tenant = :tenant AND {place}"))
            .value(":no", AttributeValue::Bool(false))
            .value(":yes", AttributeValue::Bool(true))
            .value(":now", number(now_ms))
            .value(":tenant", text(key.tenant.as_str()));
        let writes: Vec<Write> = std::iter::once(disable).chain(delete).collect();
        self.transact(&writes, KeyId::generate().as_str()).await
    }
}
