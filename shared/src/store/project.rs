//! Projects: agents that work together, with the app dialect's receivers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{GSI1_PK, GSI1_SK, Item, Key, number, text};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError, Webhook};
use crate::id::{AgentId, ProjectId, TenantId};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectItem {
    /// Its id.
    pub id: ProjectId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Counts up by one with each change.
    pub version: u64,
    /// Its agents; the first one answers first.
    pub agents: Vec<ProjectAgent>,
    /// Whether a conversation stops to be answered once it was handed to a person.
    #[serde(default)]
    pub pause_on_escalation: bool,
    /// Its document as Markdown.
    pub source: String,
    /// When this version was stored.
    pub updated_at: i64,
    /// Its receivers by id, at most [`MOST_WEBHOOKS`](super::MOST_WEBHOOKS).
    #[serde(default)]
    pub webhooks: BTreeMap<String, Webhook>,
}

/// An agent of a project, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectAgent {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

impl ProjectItem {
    /// The agent who answers first.
    #[must_use]
    pub fn entry(&self) -> Option<&ProjectAgent> {
        self.agents.first()
    }

    /// The agent of this id.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&ProjectAgent> {
        self.agents.iter().find(|agent| agent.id == *id)
    }
}

pub(super) fn project_key(project: &ProjectId) -> Key {
    Key::new(format!("PROJECT#{project}"), "PROJECT")
}

fn tenant_index(tenant: &TenantId) -> String {
    format!("TENANT#{tenant}#PROJECT")
}

impl Store {
    /// Stores a new version of a project; its webhooks stay as they are. `false` where another writer stored this version
    /// first.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_project(&self, project: &ProjectItem) -> Result<bool, StoreError> {
        let sets: [(&str, _); 10] = [
            ("id", text(project.id.as_str())),
            ("tenant", text(project.tenant.as_str())),
            ("name", text(&project.name)),
            ("version", number(project.version)),
            ("agents", serde_dynamo::to_attribute_value(&project.agents)?),
            ("pause_on_escalation", AttributeValue::Bool(project.pause_on_escalation)),
            ("source", text(&project.source)),
            ("updated_at", number(project.updated_at)),
            (GSI1_PK, text(tenant_index(&project.tenant))),
            (GSI1_SK, text(&project.name)),
        ];
        let assignments: Vec<String> = sets.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let expression = format!("SET {}, webhooks = if_not_exists(webhooks, :none)", assignments.join(", "));
        let mut write = Write::update(&project_key(&project.id), expression)
            .value(":none", AttributeValue::M(Item::new()))
            .value(":before", number(project.version.saturating_sub(1)))
            .condition(if project.version == 1 {
                "attribute_not_exists(pk) OR (#version = :before AND #tenant = :tenant)"
            } else {
                "#version = :before AND #tenant = :tenant"
            });
        for (name, value) in sets {
            write = write.name(format!("#{name}"), name).value(format!(":{name}"), value);
        }
        self.write(&write).await
    }

    /// A project of a tenant.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn project(&self, tenant: &TenantId, project: &ProjectId) -> Result<Option<ProjectItem>, StoreError> {
        let item: Option<ProjectItem> = self.get(&project_key(project)).await?;
        Ok(item.filter(|item| item.tenant == *tenant))
    }

    /// All projects of a tenant, by name. The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn projects(&self, tenant: &TenantId) -> Result<Vec<ProjectItem>, StoreError> {
        self.all(Query::index(&tenant_index(tenant))).await
    }

    /// Deletes a project of a tenant; `false` where there is none.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_project(&self, tenant: &TenantId, project: &ProjectId) -> Result<bool, StoreError> {
        let write =
            Write::delete(&project_key(project)).condition("tenant = :tenant").value(":tenant", text(tenant.as_str()));
        self.write(&write).await
    }
}
