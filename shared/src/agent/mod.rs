//! The agent: a document, the same in a file, in the table and in the API.

mod document;
mod error;
mod field;
pub mod origin;
mod parse;
mod parse_widget;
mod project;
#[cfg(test)]
mod tests;
mod yaml;

pub use document::{
    AgentDocument, BuiltInTool, Limits, RequestLimits, Skill, ToolDefinition, WidgetColors, WidgetPosition,
    WidgetScheme, WidgetSettings, WidgetTheme,
};
pub use error::{DocumentError, Problem};
pub use project::{MOST_AGENTS, ProjectDocument};

use std::sync::Arc;

use jiff::Timestamp;

use crate::id::{AgentId, TenantId};
use crate::store::{AgentItem, ProjectAgent};

/// An agent as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its id, as it stands in URLs.
    pub id: AgentId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Counts up by one each time that the document changes.
    pub version: u64,
    /// When this version was stored.
    pub updated_at: Timestamp,
    /// What it is.
    pub document: Arc<AgentDocument>,
}

/// An agent of a project, as the project's other agents know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: AgentId,
    /// Its name, by which the others hand over to it.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
}

impl From<&ProjectAgent> for Member {
    fn from(agent: &ProjectAgent) -> Self {
        Self { id: agent.id.clone(), name: agent.name.clone(), description: agent.description.clone() }
    }
}

/// An agent that cannot be read from the table.
#[derive(Debug, thiserror::Error)]
#[error("the stored document of the agent {agent} cannot be read")]
pub struct AgentError {
    agent: AgentId,
    source: serde_json::Error,
}

impl TryFrom<AgentItem> for Agent {
    type Error = AgentError;

    fn try_from(item: AgentItem) -> Result<Self, Self::Error> {
        let document =
            serde_json::from_str(&item.document).map_err(|source| AgentError { agent: item.id.clone(), source })?;
        Ok(Self {
            id: item.id,
            tenant: item.tenant,
            version: item.version,
            updated_at: Timestamp::from_millisecond(item.updated_at).unwrap_or_default(),
            document: Arc::new(document),
        })
    }
}
