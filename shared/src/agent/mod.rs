//! The agent: a document, the same in a file, in the table and in the API.

mod document;

pub use document::{
    AgentDocument, BuiltInTool, Limits, RequestLimits, Skill, ToolDefinition, WidgetPosition, WidgetSettings,
};

use std::sync::Arc;

use jiff::Timestamp;

use crate::id::{AgentId, TenantId};

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
