//! Keys, found by the SHA-256 of their text. The text itself is never here.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::item::{GSI1_PK, GSI1_SK, Item, Key, number, text};
use super::{Store, StoreError};
use crate::id::{AgentId, KeyId, TenantId};

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyItem {
    /// The SHA-256 of the key's text, in hex.
    pub hash: String,
    /// The name by which it is listed, rotated and revoked.
    pub id: KeyId,
    /// Who owns it.
    pub tenant: TenantId,
    /// The agent that it opens.
    pub agent: AgentId,
    /// What it may be used on.
    pub kind: String,
    /// A person's name for it.
    #[serde(default)]
    pub name: String,
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

fn agent_index(agent: &AgentId) -> String {
    format!("AGENT#{agent}#KEY")
}

impl KeyItem {
    fn item(&self) -> Result<Item, StoreError> {
        let mut item = key_key(&self.hash).with(serde_dynamo::to_item(self)?);
        item.insert(GSI1_PK.to_owned(), text(agent_index(&self.agent)));
        item.insert(GSI1_SK.to_owned(), text(self.id.as_str()));
        Ok(item)
    }
}

impl Store {
    /// Stores a new key.
    ///
    /// # Errors
    /// Where the table does not take it; two keys never share a hash.
    pub async fn put_key(&self, key: &KeyItem) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key.item()?))
            .condition_expression("attribute_not_exists(pk) OR id = :id")
            .expression_attribute_values(":id", text(key.id.as_str()))
            .send()
            .await?;
        Ok(())
    }

    /// All keys of an agent, the oldest first. The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn keys(&self, tenant: &TenantId, agent: &AgentId) -> Result<Vec<KeyItem>, StoreError> {
        let keys: Vec<KeyItem> = self.index(agent_index(agent)).await?;
        Ok(keys.into_iter().filter(|key| key.tenant == *tenant).collect())
    }

    /// Puts `new` in the place of `old` in one transaction. `false` where `old` is not enabled any more: of two
    /// rotations at once, one wins.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn rotate_key(&self, old: &KeyItem, new: &KeyItem, now_ms: i64) -> Result<bool, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(new.item()?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|error| StoreError::Refused(Box::new(error)))?;
        let disable = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key_key(&old.hash).attributes()))
            .update_expression("SET enabled = :no, rotated_to = :to, rotated_at = :now")
            .condition_expression("enabled = :yes AND tenant = :tenant")
            .expression_attribute_values(":no", aws_sdk_dynamodb::types::AttributeValue::Bool(false))
            .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
            .expression_attribute_values(":to", text(new.id.as_str()))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":tenant", text(old.tenant.as_str()))
            .build()
            .map_err(|error| StoreError::Refused(Box::new(error)))?;
        self.transact(
            vec![TransactWriteItem::builder().update(disable).build(), TransactWriteItem::builder().put(put).build()],
            new.id.as_str(),
        )
        .await
    }

    /// Disables a key for good; `false` where it is not enabled.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn revoke_key(&self, key: &KeyItem, now_ms: i64) -> Result<bool, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_key(&key.hash).attributes()))
            .update_expression("SET enabled = :no, revoked_at = :now")
            .condition_expression("enabled = :yes AND tenant = :tenant")
            .expression_attribute_values(":no", aws_sdk_dynamodb::types::AttributeValue::Bool(false))
            .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":tenant", text(key.tenant.as_str()))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception())
    }
}
