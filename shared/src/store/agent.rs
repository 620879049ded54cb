//! Agents. The compiled document is what a turn reads; the Markdown beside it is what a person wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::item::{GSI1_PK, GSI1_SK, Item, Key, number, text};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{AgentId, TenantId, WebhookId};

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentItem {
    /// Its id.
    pub id: AgentId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Counts up by one with each change.
    pub version: u64,
    /// The document as JSON, ready to run.
    pub document: String,
    /// The document as Markdown.
    pub source: String,
    /// When this version was stored.
    pub updated_at: i64,
    /// Its inbound webhooks by id.
    #[serde(default)]
    pub webhooks: BTreeMap<String, InboundWebhook>,
}

/// A sender that may call the agent's webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundWebhook {
    /// Its name, for people.
    pub name: String,
    /// The secret that it signs with, sealed; `None` where it does not sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_secret: Option<String>,
    /// When it was made.
    pub created_at: i64,
}

impl InboundWebhook {
    /// What its secret is sealed for.
    #[must_use]
    pub fn purpose(id: &str) -> String {
        format!("inbound-webhook:{id}")
    }
}

pub(super) fn agent_key(agent: &AgentId) -> Key {
    Key::new(format!("AGENT#{agent}"), "AGENT")
}

fn tenant_index(tenant: &TenantId) -> String {
    format!("TENANT#{tenant}#AGENT")
}

impl Store {
    /// Stores a new version of an agent's document; its webhooks stay as they are. `false` where another writer stored
    /// this version first.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_agent(&self, agent: &AgentItem) -> Result<bool, StoreError> {
        let sets: [(&str, _); 9] = [
            ("id", text(agent.id.as_str())),
            ("tenant", text(agent.tenant.as_str())),
            ("name", text(&agent.name)),
            ("version", number(agent.version)),
            ("document", text(&agent.document)),
            ("source", text(&agent.source)),
            ("updated_at", number(agent.updated_at)),
            (GSI1_PK, text(tenant_index(&agent.tenant))),
            (GSI1_SK, text(&agent.name)),
        ];
        let assignments: Vec<String> = sets.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let expression = format!("SET {}, webhooks = if_not_exists(webhooks, :none)", assignments.join(", "));
        let mut write = Write::update(&agent_key(&agent.id), expression)
            .value(":none", serde_dynamo::AttributeValue::M(Item::new()))
            .value(":before", number(agent.version.saturating_sub(1)))
            .condition(if agent.version == 1 {
                "attribute_not_exists(pk) OR (#version = :before AND #tenant = :tenant)"
            } else {
                "#version = :before AND #tenant = :tenant"
            });
        for (name, value) in sets {
            write = write.name(format!("#{name}"), name).value(format!(":{name}"), value);
        }
        Ok(self.write(&write).await?.is_done())
    }

    /// An agent of a tenant.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<AgentItem>, StoreError> {
        let item: Option<AgentItem> = self.get(&agent_key(agent)).await?;
        Ok(item.filter(|item| item.tenant == *tenant))
    }

    /// All agents of a tenant, by name. The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentItem>, StoreError> {
        self.all(Query::index(&tenant_index(tenant))).await
    }

    /// Deletes an agent of a tenant; `false` where there is none.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<bool, StoreError> {
        let write =
            Write::delete(&agent_key(agent)).condition("tenant = :tenant").value(":tenant", text(tenant.as_str()));
        Ok(self.write(&write).await?.is_done())
    }

    /// Adds or replaces an inbound webhook of an agent; `false` where the agent is gone.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_webhook(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        id: &WebhookId,
        webhook: &InboundWebhook,
    ) -> Result<bool, StoreError> {
        let value = serde_dynamo::to_attribute_value(webhook)?;
        self.change_webhook(tenant, agent, id, "SET webhooks.#id = :value", Some(value)).await
    }

    /// Deletes an inbound webhook; `false` where it, or the agent, is not there.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_webhook(&self, tenant: &TenantId, agent: &AgentId, id: &WebhookId) -> Result<bool, StoreError> {
        self.change_webhook(tenant, agent, id, "REMOVE webhooks.#id", None).await
    }

    async fn change_webhook(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        id: &WebhookId,
        expression: &'static str,
        value: Option<serde_dynamo::AttributeValue>,
    ) -> Result<bool, StoreError> {
        let mut write = Write::update(&agent_key(agent), expression)
            .condition(match value {
                Some(_) => "tenant = :tenant",
                None => "tenant = :tenant AND attribute_exists(webhooks.#id)",
            })
            .name("#id", id.as_str())
            .value(":tenant", text(tenant.as_str()));
        if let Some(value) = value {
            write = write.value(":value", value);
        }
        Ok(self.write(&write).await?.is_done())
    }
}
