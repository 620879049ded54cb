//! Connections: what ties a Slack team, a Telegram bot or a phone number to an agent, with its sealed credentials.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::item::{GSI1_PK, GSI1_SK, Key, text};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::channel::Platform;
use crate::id::{AgentId, TenantId};

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionItem {
    /// Where.
    pub platform: Platform,
    /// Slack's team id, Telegram's bot id, WhatsApp's phone number id.
    pub external: String,
    /// Who owns it.
    pub tenant: TenantId,
    /// Who answers.
    pub agent: AgentId,
    /// The credentials as JSON of the platform's own shape, sealed for [`ConnectionItem::purpose`].
    pub sealed: String,
    /// What may be seen of it, in the platform's own shape: names, the bot's own id.
    pub about: Map<String, Value>,
    /// When it was made.
    pub created_at: i64,
    /// When it was made anew.
    pub updated_at: i64,
}

impl ConnectionItem {
    /// What its credentials are sealed for.
    #[must_use]
    pub fn purpose(platform: Platform, external: &str) -> String {
        format!("connection:{}:{external}", platform.name())
    }
}

pub(super) fn connection_key(platform: Platform, external: &str) -> Key {
    Key::new(format!("CHANNEL#{}#{external}", platform.name()), "CHANNEL")
}

fn agent_index(agent: &AgentId) -> String {
    format!("AGENT#{agent}#CHANNEL")
}

impl Store {
    /// A connection.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn connection(&self, platform: Platform, external: &str) -> Result<Option<ConnectionItem>, StoreError> {
        let key = connection_key(platform, external);
        if key.is_possible() { self.get(&key).await } else { Ok(None) }
    }

    /// All connections of an agent. The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn connections(&self, tenant: &TenantId, agent: &AgentId) -> Result<Vec<ConnectionItem>, StoreError> {
        let mut found: Vec<ConnectionItem> = self.all(Query::index(&agent_index(agent))).await?;
        found.retain(|connection| connection.tenant == *tenant);
        Ok(found)
    }

    /// Stores a connection, in place of the tenant's own of the same name; `false` where another tenant has one.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_connection(&self, connection: &ConnectionItem) -> Result<bool, StoreError> {
        let mut item =
            connection_key(connection.platform, &connection.external).with(serde_dynamo::to_item(connection)?);
        item.insert(GSI1_PK.to_owned(), text(agent_index(&connection.agent)));
        item.insert(GSI1_SK.to_owned(), text(format!("{}#{}", connection.platform.name(), connection.external)));
        let write = Write::put(item)
            .condition("attribute_not_exists(pk) OR tenant = :tenant")
            .value(":tenant", text(connection.tenant.as_str()));
        self.write(&write).await
    }

    /// Deletes a connection; `false` where the tenant has none of this name.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_connection(
        &self,
        tenant: &TenantId,
        platform: Platform,
        external: &str,
    ) -> Result<bool, StoreError> {
        let write = Write::delete(&connection_key(platform, external))
            .condition("tenant = :tenant")
            .value(":tenant", text(tenant.as_str()));
        self.write(&write).await
    }
}
