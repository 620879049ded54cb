//! Agents. The compiled document is what a turn reads; the Markdown beside it is what a person wrote.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use serde::{Deserialize, Serialize};

use super::item::{GSI1, GSI1_PK, GSI1_SK, Item, Key, number, text};
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
        let mut update =
            self.client.update_item().table_name(&self.table).set_key(Some(agent_key(&agent.id).attributes()));
        for (name, value) in &sets {
            update = update
                .expression_attribute_names(format!("#{name}"), *name)
                .expression_attribute_values(format!(":{name}"), value.clone());
        }
        let assignments: Vec<String> = sets.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let sent = update
            .update_expression(format!("SET {}, webhooks = if_not_exists(webhooks, :none)", assignments.join(", ")))
            .expression_attribute_values(":none", aws_sdk_dynamodb::types::AttributeValue::M(Item::new()))
            .expression_attribute_values(":before", number(agent.version.saturating_sub(1)))
            .condition_expression(if agent.version == 1 {
                "attribute_not_exists(pk) OR (#version = :before AND #tenant = :tenant)"
            } else {
                "#version = :before AND #tenant = :tenant"
            })
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception())
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
        self.index(tenant_index(tenant)).await
    }

    /// Deletes an agent of a tenant; `false` where there is none.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<bool, StoreError> {
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(agent_key(agent).attributes()))
            .condition_expression("tenant = :tenant")
            .expression_attribute_values(":tenant", text(tenant.as_str()))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception())
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
        expression: &str,
        value: Option<aws_sdk_dynamodb::types::AttributeValue>,
    ) -> Result<bool, StoreError> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(agent_key(agent).attributes()))
            .update_expression(expression)
            .condition_expression(match value {
                Some(_) => "tenant = :tenant",
                None => "tenant = :tenant AND attribute_exists(webhooks.#id)",
            })
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None)
            .expression_attribute_names("#id", id.as_str())
            .expression_attribute_values(":tenant", text(tenant.as_str()));
        if let Some(value) = value {
            update = update.expression_attribute_values(":value", value);
        }
        super::gate::accepted(update.send().await, |error| error.is_conditional_check_failed_exception())
    }

    /// All items of one partition of the index.
    pub(super) async fn index<T: serde::de::DeserializeOwned>(&self, partition: String) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(GSI1)
                .key_condition_expression("gsi1pk = :partition")
                .expression_attribute_values(":partition", text(&partition))
                .set_exclusive_start_key(from)
                .send()
                .await?;
            items.extend(serde_dynamo::from_items::<_, T>(page.items.unwrap_or_default())?);
            match page.last_evaluated_key {
                Some(last) => from = Some(last),
                None => return Ok(items),
            }
        }
    }
}
