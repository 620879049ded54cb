//! Agents. The compiled document is what a turn reads; the Markdown beside it is what a person wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{GSI1_PK, GSI1_SK, Item, Key, number, text};
use super::outbox::outbox_write;
use super::project::project_key;
use super::read::Query;
use super::write::Write;
use super::{OutboxItem, Store, StoreError};
use crate::id::{AgentId, EventId, Home, TenantId, WebhookId};

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
    /// Its webhooks by id, at most [`MOST_WEBHOOKS`].
    #[serde(default)]
    pub webhooks: BTreeMap<String, Webhook>,
}

/// The most webhooks of an agent: they stand in its item.
pub const MOST_WEBHOOKS: usize = 20;

/// A sender that may call the agent's webhook, or a receiver of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its name, for people.
    pub name: String,
    /// The secret of the signatures, sealed; `None` for a sender that does not sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_secret: Option<String>,
    /// The secret before that one, for as long as both hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// Whether it is switched on.
    #[serde(default = "switched_on")]
    pub enabled: bool,
    /// What makes it a receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Receiver>,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed.
    #[serde(default)]
    pub updated_at: i64,
}

const fn switched_on() -> bool {
    true
}

/// A secret that another took the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// It, sealed.
    pub sealed: String,
    /// Until when it holds.
    pub until: i64,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The address that they are posted to.
    pub url: String,
    /// The names of those that are wanted.
    pub events: Vec<String>,
    /// Why it was switched off, where its owner did not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// Why a receiver gets no events any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// In words for its owner.
    pub reason: String,
    /// Since when.
    pub at: i64,
}

impl Webhook {
    /// A sender, which signs where it has a secret.
    #[must_use]
    pub const fn sender(name: String, sealed_secret: Option<String>, now_ms: i64) -> Self {
        Self {
            name,
            sealed_secret,
            previous: None,
            enabled: true,
            receiver: None,
            created_at: now_ms,
            updated_at: now_ms,
        }
    }

    /// Whether it calls us, rather than we it.
    #[must_use]
    pub const fn is_sender(&self) -> bool {
        self.receiver.is_none()
    }

    /// What its secrets are sealed for.
    #[must_use]
    pub fn purpose(&self, id: &str) -> String {
        let kind = if self.is_sender() { "inbound" } else { "outbound" };
        format!("{kind}-webhook:{id}")
    }

    /// Its secrets, sealed: the current one first, then the one before it for as long as that one holds.
    pub fn sealed_secrets(&self, now_ms: i64) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().filter(|previous| previous.until > now_ms);
        self.sealed_secret.as_deref().into_iter().chain(previous.map(|previous| previous.sealed.as_str()))
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
            .value(":none", AttributeValue::M(Item::new()))
            .value(":before", number(agent.version.saturating_sub(1)))
            .condition(if agent.version == 1 {
                "attribute_not_exists(pk) OR (#version = :before AND #tenant = :tenant)"
            } else {
                "#version = :before AND #tenant = :tenant"
            });
        for (name, value) in sets {
            write = write.name(format!("#{name}"), name).value(format!(":{name}"), value);
        }
        self.write(&write).await
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
        self.write(&write).await
    }

    /// The webhooks of an agent or an app; none where it is gone.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn webhooks(&self, tenant: &TenantId, home: &Home) -> Result<BTreeMap<String, Webhook>, StoreError> {
        let webhooks = match home {
            Home::Agent(agent) => self.agent(tenant, agent).await?.map(|agent| agent.webhooks),
            Home::App(project) => self.project(tenant, project).await?.map(|project| project.webhooks),
        };
        Ok(webhooks.unwrap_or_default())
    }

    /// Adds a webhook to an agent or an app; `false` where that is gone, or has [`MOST_WEBHOOKS`].
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_webhook(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        id: &WebhookId,
        webhook: &Webhook,
    ) -> Result<bool, StoreError> {
        let write = webhook_update(tenant, &home.into(), id, "SET webhooks.#id = :value")
            .condition("tenant = :tenant AND size(webhooks) < :most")
            .value(":value", serde_dynamo::to_attribute_value(webhook)?)
            .value(":most", number(MOST_WEBHOOKS));
        self.write(&write).await
    }

    /// Puts a webhook in the place of what it was at `before`, its `updated_at`; `false` where it is not that any more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn replace_webhook(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        id: &WebhookId,
        webhook: &Webhook,
        before: i64,
    ) -> Result<bool, StoreError> {
        let write = webhook_update(tenant, &home.into(), id, "SET webhooks.#id = :value")
            .condition("tenant = :tenant AND webhooks.#id.updated_at = :before")
            .value(":value", serde_dynamo::to_attribute_value(webhook)?)
            .value(":before", number(before));
        self.write(&write).await
    }

    /// Switches a receiver off and stores what tells of it, in one transaction; `false` where it is switched off
    /// already, or gone.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn disable_receiver(
        &self,
        (tenant, home): (&TenantId, &Home),
        id: &WebhookId,
        disabled: &Disabled,
        outbox: Option<&OutboxItem>,
    ) -> Result<bool, StoreError> {
        let expression = "SET webhooks.#id.#enabled = :off, webhooks.#id.updated_at = :at, \
                          webhooks.#id.receiver.#disabled = :disabled";
        let update = webhook_update(tenant, home, id, expression)
            .condition("tenant = :tenant AND webhooks.#id.#enabled = :on")
            .name("#enabled", "enabled")
            .name("#disabled", "disabled")
            .value(":on", AttributeValue::Bool(true))
            .value(":off", AttributeValue::Bool(false))
            .value(":at", number(disabled.at))
            .value(":disabled", serde_dynamo::to_attribute_value(disabled)?);
        let mut writes = vec![update];
        if let Some(outbox) = outbox {
            writes.push(outbox_write(outbox)?);
        }
        self.transact(&writes, EventId::generate().as_str()).await
    }

    /// Deletes a webhook; `false` where it, or the agent, is not there.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_webhook(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        id: &WebhookId,
    ) -> Result<bool, StoreError> {
        let write = webhook_update(tenant, &home.into(), id, "REMOVE webhooks.#id")
            .condition("tenant = :tenant AND attribute_exists(webhooks.#id)");
        self.write(&write).await
    }
}

/// A change of one webhook; its condition is to name the `:tenant`.
fn webhook_update(tenant: &TenantId, home: &Home, id: &WebhookId, expression: &'static str) -> Write {
    let key = match home {
        Home::Agent(agent) => agent_key(agent),
        Home::App(project) => project_key(project),
    };
    Write::update(&key, expression).name("#id", id.as_str()).value(":tenant", text(tenant.as_str()))
}
